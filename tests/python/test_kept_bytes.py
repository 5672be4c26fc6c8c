"""Checkpoints and snapshots that past releases wrote are read, and go on exactly.

`python tests/python/test_kept_bytes.py NAME` writes those of the present formats to fixtures/NAME.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from interrupted_runs import Fate, FatefulSource
from llmopt_stream.testing import PipelineHarness

FIXTURES = Path(__file__).parent / "fixtures"
STREAM = (
    ls.create_pipeline("kept")
    .with_event_time("ts", unit="us")
    .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("20us"))
    .key_by("key")
)
NINE = ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]
RECORDS = [
    {
        "ts": at * 2 - at * 7 % 23,
        "key": ["a", "b", None, 3, True, 2.5][at % 6],
        "value": at * 37 % 101 / 4,
        "id": at % 40,
    }
    for at in range(160)
]


class Seen:
    """How many records of a key there were; and a timer, which says when."""

    def process(self, record: dict[str, Any], context: Any) -> dict[str, Any]:
        seen = context.state.get("seen", 0) + 1
        context.state.put("seen", seen, ttl="60us")
        context.set_timer(context.timestamp + timedelta(microseconds=30))
        return {"key": record["key"], "seen": seen, "value": record["value"]}

    def on_timer(self, time: datetime, context: Any) -> dict[str, Any]:
        return {"key": "timer", "seen": context.state.get("seen", 0), "value": 0.5}


def windows() -> ls.StreamPipelineBuilder:
    """Every kind of window and of accumulator, in one core."""
    late = {"allowed_lateness": "15us"}
    builder = STREAM.branch("tumbling").with_tumbling_window("40us", **late).aggregate("value", NINE)
    builder = builder.branch("sliding").with_sliding_window("60us", "20us").aggregate("value", NINE)
    builder = builder.branch("session").with_session_window("12us", **late).aggregate("value", NINE)
    builder = builder.branch("count").with_count_window(5, 3, flush=True).aggregate("value", ["sum"])
    builder = (
        builder.branch("triggered")
        .with_tumbling_window("40us", **late)
        .with_trigger(ls.AfterWatermark(early=ls.CountTrigger(3), late=ls.CountTrigger(2)))
        .aggregate("value", ["sum"])
    )
    return (
        builder.branch("sketches")
        .with_tumbling_window("100us")
        .aggregate("value", [ls.PercentileAggregator(method="kll"), ls.HistogramAggregator([0, 5, 20])])
        .aggregate("id", [ls.DistinctAggregator(), ls.HeavyHittersAggregator()], prefix="id_")
    )


def stages() -> ls.StreamPipelineBuilder:
    """Operators with state, and windows behind them."""
    steps = STREAM.deduplicate(by="id", ttl="30us").process(Seen)
    return steps.with_tumbling_window("40us").aggregate("value", ["count", "sum"]).top_n(2, by="sum")


BUILDERS: dict[str, Callable[[], ls.StreamPipelineBuilder]] = {"windows": windows, "stages": stages}
STOPPED_AT = 90


def lines_of(name: str, backend: Any, *, stops: bool) -> list[str]:
    """The results of a run, which is stopped at one place; branch by branch."""
    builder = BUILDERS[name]()
    source = FatefulSource(ls.IterableSource(RECORDS))
    source.fate = Fate(STOPPED_AT // 10 if stops else 0, "stop")
    sinks = [ls.CollectSink() for _ in builder.plan.branches]
    branches = zip(builder.plan.branches, sinks, strict=True)
    builder = builder._but(branches=tuple(replace(branch, sinks=(sink,)) for branch, sink in branches))
    builder = builder.with_source(source).with_options(buffer_size=10)
    pipeline = (builder if backend is None else builder.with_state_backend(backend)).build()
    source.fate.pipeline = pipeline
    pipeline.run()
    return [result.to_json() for sink in sinks for result in sink.results]


def harness_of(name: str) -> PipelineHarness:
    """With results, late records and sessions that are in no way at their end."""
    harness = PipelineHarness(BUILDERS[name]())
    harness.push(RECORDS[:STOPPED_AT])
    harness.push({"ts": 1, "key": "late", "value": 1.0, "id": 1})
    return harness


def rest_of(harness: PipelineHarness) -> list[str]:
    harness.push(RECORDS[STOPPED_AT:])
    harness.end_of_input()
    return [each.to_json() for each in (*harness.drain(), *harness.drain_late())]


def write(folder: Path) -> None:
    for name in BUILDERS:
        made = folder / name
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        with ls.RocksDBStateBackend(made / "state", made / "checkpoints") as backend:
            before = lines_of(name, backend, stops=True)
        shutil.rmtree(made / "state")
        (made / "checkpoints" / "LOCK").unlink()
        whole = lines_of(name, None, stops=False)
        after = list(whole)
        for line in before:
            after.remove(line)
        (made / "run.ndjson").write_text("".join(f"{line}\n" for line in after))
        (made / "snapshot").write_bytes(harness_of(name).snapshot())
        (made / "harness.ndjson").write_text("".join(f"{line}\n" for line in rest_of(harness_of(name))))


of_every_format = pytest.mark.parametrize(
    "kept", sorted(FIXTURES.glob("*/*")), ids=lambda path: f"{path.parent.name}-{path.name}"
)


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@of_every_format
def test_checkpoints_go_on(kept: Path, tmp_path: Path) -> None:
    shutil.copytree(kept / "checkpoints", tmp_path / "checkpoints")
    with ls.RocksDBStateBackend(tmp_path / "state", tmp_path / "checkpoints") as backend:
        (checkpoint,) = backend.checkpoints()
        assert backend.verify(checkpoint) == []
        assert json.loads(checkpoint.manifest)["counts"]["records_in"] == STOPPED_AT
        assert lines_of(kept.name, backend, stops=False) == lines(kept / "run.ndjson")


@of_every_format
def test_snapshots_go_on(kept: Path) -> None:
    harness = PipelineHarness.restore(BUILDERS[kept.name](), (kept / "snapshot").read_bytes())
    assert rest_of(harness) == lines(kept / "harness.ndjson")


def test_there_are_some_of_every_kind() -> None:
    assert {path.name for path in FIXTURES.glob("*/*")} == set(BUILDERS)
    assert all(len(lines(path)) > 5 for path in FIXTURES.rglob("*.ndjson"))


if __name__ == "__main__":
    write(FIXTURES / sys.argv[1])
