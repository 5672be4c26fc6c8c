"""One call from data to windowed statistics."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic
from typing import Any

from .aggregator import Aggregator
from .builder import create_pipeline
from .columns import Expression
from .errors import ProcessorWarning
from .intake import Intake
from .losses import losses
from .metrics import NINE
from .results import ResultTable
from .run_summary import RunSummary
from .sources import source_of
from .units import Duration
from .watermarks import BoundedOutOfOrdernessWatermark, WatermarkGenerator
from .windows import WindowAssigner

__all__ = ["aggregate"]


def aggregate(
    data: Any,
    *,
    time: str = "timestamp",
    unit: str | None = None,
    key: str | Sequence[str] | None = None,
    value: str | Expression = "value",
    window: WindowAssigner,
    aggregations: Sequence[str | Aggregator] | str | Aggregator = NINE,
    where: Expression | None = None,
    watermark: Duration | WatermarkGenerator | None = None,
) -> ResultTable:
    """Windowed statistics of a DataFrame, an Arrow table, a file or a list of records.

    `data` is anything with `__arrow_c_stream__` (pandas, polars, pyarrow, duckdb), a path, or a list of
    dicts; `value` is a field or an expression, and `where` a condition for the records that count. With
    `watermark=None` nothing is late and windows complete at the end; with a duration, records
    that much out of order are waited for and later ones dropped, as a live stream would. The table's
    `summary` says where the records went; malformed records, a key that is null everywhere and a field without
    any value are a ProcessorWarning.

    >>> from llmopt_stream import tumbling
    >>> table = aggregate(
    ...     [{"timestamp": f"2026-01-01T00:00:{s}Z", "value": s} for s in (10, 20, 30, 40, 50)],
    ...     window=tumbling("1m"),
    ... )
    >>> table[0].results["p50"], table[0].results["p95"], table[0].results["p99"]
    (30.0, 50.0, 50.0)
    """
    fields = [] if key is None else [key] if isinstance(key, str) else list(key)
    plan = (
        create_pipeline("aggregate")
        .with_event_time(time, unit=unit)
        .key_by(*fields)
        .with_window(window)
        .aggregate(value, aggregations, where=where)
        .checked()
        .plan
    )
    if watermark is not None and not isinstance(watermark, WatermarkGenerator):
        watermark = BoundedOutOfOrdernessWatermark(watermark)
    intake = Intake(plan, watermark=watermark, collect_late=False)
    started = monotonic()
    step = source_of(data).open(intake)
    while step():
        pass
    intake.core.end_of_input()
    duration = timedelta(seconds=monotonic() - started)
    [table] = intake.drain()
    table.summary = RunSummary.of(intake, duration)
    for loss in losses(table, plan, data):
        warnings.warn(f"ls.aggregate: {loss}", ProcessorWarning, stacklevel=2)
    return table
