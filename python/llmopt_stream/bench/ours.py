"""llmopt_stream at each job."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from llmopt_stream.metrics import NINE
from llmopt_stream.notebook import aggregate
from llmopt_stream.units import EPOCH, MICROSECOND

from .contender import Contender, answer_of
from .reference import Answer, Percentiles

if TYPE_CHECKING:
    from llmopt_stream.results import ResultTable
    from llmopt_stream.windows import WindowAssigner

    from .events import Events

__all__ = ["MAX_DISORDER", "answer", "columns", "ndjson"]

MAX_DISORDER = "5s"
"""Of the events; a record that is later would be dropped."""


def columns(events: Events, window: WindowAssigner) -> Contender:
    """Arrow columns, read in place."""
    table = events.columns()
    return Contender(
        run=lambda: aggregate(table, key="key", value="value", window=window, watermark=MAX_DISORDER),
        answer=lambda results: answer(results, "key"),
        percentiles=Percentiles.WITHIN_ONE_PERCENT,
        records=len(events),
    )


def ndjson(path: Path, records: int, window: WindowAssigner) -> Contender:
    """A file of FeedbackEvents."""
    return Contender(
        run=lambda: aggregate(
            path, key="data.model", value="data.latency_ms", window=window, watermark=MAX_DISORDER
        ),
        answer=lambda results: answer(results, "data.model"),
        percentiles=Percentiles.WITHIN_ONE_PERCENT,
        records=records,
    )


def answer(results: ResultTable, key: str) -> Answer:
    """A table of the nine statistics by one key; without pyarrow result by result, which takes longer."""
    if importlib.util.find_spec("pyarrow") is not None:
        return answer_of(results, ["window_start", key, *NINE])
    rows = results.to_dicts()
    return Answer(
        [(row["window_start"] - EPOCH) // MICROSECOND for row in rows],
        [row[key] for row in rows],
        [[row[name] for row in rows] for name in NINE],
    )
