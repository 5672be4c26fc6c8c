"""bytewax at tumbling windows of NDJSON: values are kept, and the nine statistics computed when a window closes."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from llmopt_stream.units import EPOCH, MICROSECOND

from .contender import Contender
from .reference import Answer, Percentiles

__all__ = ["MOST_RECORDS", "tumbling_ndjson"]

MOST_RECORDS = 200_000
"""It takes microseconds a record: so many are enough."""


def tumbling_ndjson(path: Path, records: int) -> Contender:
    """Windows of 60 s of the FeedbackEvents of a file, at most MOST_RECORDS of them."""
    import bytewax.operators as op
    from bytewax.connectors.files import FileSource
    from bytewax.dataflow import Dataflow
    from bytewax.operators import windowing
    from bytewax.testing import TestingSink, run_main

    loads = _json_loads()
    # Its clock goes on by itself while it waits for records: on a busy machine it would drop some.
    clock = windowing.EventClock(
        ts_getter=lambda record: record[0],
        wait_for_system_duration=timedelta(seconds=5),
        now_getter=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        to_system_utc=lambda _: None,
    )

    def record_of(line: str) -> tuple[str, tuple[datetime, float]]:
        event = loads(line)
        data = event["data"]
        return data["model"], (datetime.fromisoformat(event["timestamp"]), data["latency_ms"])

    def add(values: list[float], record: tuple[datetime, float]) -> list[float]:
        values.append(record[1])
        return values

    def run() -> tuple[list[Any], list[Any]]:
        panes: list[Any] = []
        opened: list[Any] = []
        flow = Dataflow("bench")
        lines = op.input("lines", flow, FileSource(path, batch_size=1_000))
        windows = windowing.fold_window(
            "windows",
            op.map("decode", lines, record_of),
            clock,
            windowing.TumblingWindower(length=timedelta(minutes=1), align_to=EPOCH),
            builder=list,
            folder=add,
            merger=list.__add__,
            ordered=False,
        )
        nine = op.map_value("nine", windows.down, lambda pane: (pane[0], _nine_of(pane[1])))
        op.output("panes", nine, TestingSink(panes))
        op.output("starts", windows.meta, TestingSink(opened))
        run_main(flow)
        return panes, opened

    return Contender(run=run, answer=_answer, percentiles=Percentiles.NEAREST_RANK, records=records)


def _json_loads() -> Callable[[str], Any]:
    if importlib.util.find_spec("orjson") is None:
        return json.loads
    import orjson

    return orjson.loads  # type: ignore[no-any-return]


def _nine_of(values: list[float]) -> list[float]:
    values.sort()
    count, total = len(values), math.fsum(values)
    average = total / count
    return [
        count,
        total,
        average,
        values[0],
        values[-1],
        math.sqrt(math.fsum((value - average) ** 2 for value in values) / count),
        *(values[-(-count * percent // 100) - 1] for percent in (50, 95, 99)),
    ]


def _answer(results: tuple[list[Any], list[Any]]) -> Answer:
    panes, opened = results
    starts = {(key, window): (meta.open_time - EPOCH) // MICROSECOND for key, (window, meta) in opened}
    return Answer(
        [starts[key, window] for key, (window, _) in panes],
        [key for key, _ in panes],
        list(zip(*(nine for _, (_, nine) in panes), strict=True)),
    )
