from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import llmopt_stream as ls
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmopt_stream.testing import PipelineHarness

SECOND = 1_000_000


def builder(generator: ls.WatermarkGenerator) -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline()
        .with_event_time("t", unit="s")
        .with_watermark_generator(generator)
        .key_by("k")
        .with_tumbling_window("10s", allowed_lateness="3s")
        .aggregate("v", ["count", "sum"])
    )


class SecondsBehind(ls.WatermarkGenerator):
    """What BoundedOutOfOrdernessWatermark does, written by a user."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.greatest: int | None = None

    def on_event(self, timestamp: Any) -> None:
        self.greatest = timestamp if self.greatest is None else max(self.greatest, timestamp)

    def current_watermark(self) -> int | None:
        return None if self.greatest is None else self.greatest - self.seconds * SECOND


class Returns(ls.WatermarkGenerator):
    """Whatever it is told to."""

    def __init__(self, *watermarks: Any) -> None:
        self.watermarks = list(watermarks)

    def on_event(self, timestamp: Any) -> None:
        assert isinstance(timestamp, int)

    def current_watermark(self) -> Any:
        value = self.watermarks.pop(0)
        if isinstance(value, Exception):
            raise value
        return value


def watermarks(harness: PipelineHarness, times: list[int], partition: int = 0) -> list[int | None]:
    seen = []
    for time in times:
        harness.push({"t": time, "k": "a", "v": 1}, partition=partition)
        seen.append(None if harness.watermark is None else int(harness.watermark) // SECOND)
    return seen


def test_periodic_generator_steps_when_event_time_has_advanced_by_the_interval() -> None:
    periodic = ls.PeriodicWatermarkGenerator("10s", ls.BoundedOutOfOrdernessWatermark("5s"))
    harness = PipelineHarness(builder(periodic))
    # The first record, then just before and exactly at the interval; an old record is no step.
    assert watermarks(harness, [100, 109, 50, 110, 119, 131, 140, 141]) == [
        95,
        95,
        95,
        105,
        105,
        126,
        126,
        136,
    ]


def test_periodic_generator_alone_does_what_it_does_in_a_pipeline() -> None:
    periodic = ls.PeriodicWatermarkGenerator("10s", ls.BoundedOutOfOrdernessWatermark("5s"))
    assert periodic.current_watermark() is None
    seen = []
    for time in [100, 109, 50, 110, 119, 131, 140, 141]:
        periodic.on_event(time * SECOND)
        seen.append(int(periodic.current_watermark() or 0) // SECOND)
    assert seen == [95, 95, 95, 105, 105, 126, 126, 136]
    assert repr(periodic) == "PeriodicWatermarkGenerator('10s', BoundedOutOfOrdernessWatermark('5s'))"
    assert periodic.interval == timedelta(seconds=10)


def test_processing_time_steps_by_the_clock() -> None:
    now = [0.0]
    periodic = ls.PeriodicWatermarkGenerator(
        "10s", ls.BoundedOutOfOrdernessWatermark(0), clock="processing", now=lambda: now[0]
    )
    harness = PipelineHarness(builder(periodic))
    assert watermarks(harness, [100]) == [100]
    now[0] = 9.999
    assert watermarks(harness, [200]) == [100]
    now[0] = 10.0
    assert watermarks(harness, [201]) == [201]


def test_wrong_settings_are_refused() -> None:
    bound = ls.BoundedOutOfOrdernessWatermark(0)
    with pytest.raises(ls.ConfigurationError, match="PeriodicWatermarkGenerator: interval: 0 must"):
        ls.PeriodicWatermarkGenerator(0, bound)
    with pytest.raises(ls.ConfigurationError, match="PeriodicWatermarkGenerator: base: 5 is not a Watermark"):
        ls.PeriodicWatermarkGenerator("1s", 5)  # type: ignore[arg-type]
    with pytest.raises(ls.ConfigurationError, match="clock: 'wall' is not known; expected 'event' or 'proc"):
        ls.PeriodicWatermarkGenerator("1s", bound, clock="wall")
    with pytest.raises(
        ls.ConfigurationError, match="with_watermark_generator: '5s' is not a WatermarkGenerator"
    ):
        builder("5s")  # type: ignore[arg-type]


def test_a_record_is_judged_under_the_watermark_of_the_records_before_it() -> None:
    # The third record's own watermark, 30 s, does not make it late.
    harness = PipelineHarness(builder(Returns(None, 12 * SECOND, 30 * SECOND, 30 * SECOND)))
    for time in (1, 2, 3, 4):
        harness.push({"t": time, "k": "a", "v": 1})
    assert [(pane.results["count"], pane.pane.timing) for pane in harness.drain()] == [
        (2, "on_time"),
        (3, "late"),
    ]
    late = harness.drain_late()
    assert [(event.position, int(event.watermark)) for event in late] == [(3, 30 * SECOND)]


def test_watermarks_of_any_type_are_taken_and_never_go_back() -> None:
    generator = Returns(
        None,
        ls.Watermark(5 * SECOND),
        3 * SECOND,
        datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC),
        "1970-01-01T00:00:09Z",
    )
    harness = PipelineHarness(builder(generator))
    assert watermarks(harness, [1, 2, 3, 4, 5]) == [None, 5, 5, 7, 9]


@pytest.mark.parametrize("fails", [ValueError("no idea"), RuntimeError("no idea")])
def test_what_a_generator_raises_is_a_watermark_error(fails: Exception) -> None:
    harness = PipelineHarness(builder(Returns(fails)))
    with pytest.raises(ls.WatermarkError, match=f"Returns: {type(fails).__name__}: no idea"):
        harness.push({"t": 1, "k": "a", "v": 1})


def test_what_is_no_watermark_is_an_error() -> None:
    harness = PipelineHarness(builder(Returns(1.5)))
    with pytest.raises(ls.WatermarkError, match=r"Returns.current_watermark\(\): 1.5 is not a time"):
        harness.push({"t": 1, "k": "a", "v": 1})


def test_each_partition_has_a_generator_of_its_own() -> None:
    original = SecondsBehind(0)
    harness = PipelineHarness(builder(original))
    assert watermarks(harness, [100], partition=0) == [100]
    assert watermarks(harness, [50, 120], partition=1) == [100, 100]
    assert watermarks(harness, [110], partition=0) == [110]
    assert original.greatest is None


def test_a_pipeline_runs_again_with_fresh_generators() -> None:
    sink = ls.CollectSink()
    records = [{"t": time, "k": "a", "v": 1} for time in (1, 12, 40)]
    pipeline = builder(SecondsBehind(1)).with_source(ls.IterableSource(records)).with_sink(sink).build()
    first = (pipeline.run().late, sink.results)
    assert (pipeline.run().late, sink.results) == first
    assert len(sink.results) == 3


def test_generators_work_in_push_sessions_and_async_runs() -> None:
    records = [{"t": time, "k": "a", "v": 1} for time in (1, 12, 40)]
    with builder(SecondsBehind(1)).open() as session:
        panes = [*session.push(records), *session.flush()]
    sink = ls.CollectSink()
    pipeline = builder(SecondsBehind(1)).with_source(ls.IterableSource(records)).with_sink(sink).build()
    asyncio.run(pipeline.run_async())
    assert sink.results == panes


def test_the_plan_says_where_generators_run() -> None:
    bound = ls.BoundedOutOfOrdernessWatermark("5s")
    assert (
        "greatest event time − 5s, in steps of 10s"
        in builder(ls.PeriodicWatermarkGenerator("10s", bound)).plan.explain()
    )
    lines = builder(ls.PeriodicWatermarkGenerator("10s", SecondsBehind(1))).plan.explain().splitlines()
    assert next(line for line in lines if "watermark" in line).endswith("Python per record")


TIMES = st.lists(st.integers(0, 60), max_size=60)
GENERATORS = {
    "bounded": lambda: ls.BoundedOutOfOrdernessWatermark("4s"),
    "periodic": lambda: ls.PeriodicWatermarkGenerator("7s", ls.BoundedOutOfOrdernessWatermark("4s")),
    "user": lambda: SecondsBehind(4),
    "periodic user": lambda: ls.PeriodicWatermarkGenerator("7s", SecondsBehind(4)),
}


def output(harness: PipelineHarness) -> Any:
    return harness.drain(), harness.drain_late(), harness.watermark


@pytest.mark.parametrize("name", GENERATORS)
@given(
    times=TIMES, cuts=st.lists(st.integers(0, 60), max_size=4), arrow=st.booleans(), saved=st.integers(0, 60)
)
def test_batch_cuts_and_snapshots_change_nothing(
    name: str, times: list[int], cuts: list[int], arrow: bool, saved: int
) -> None:
    build = builder(GENERATORS[name]())
    records = [{"t": time, "k": "ab"[at % 2], "v": float(at)} for at, time in enumerate(times)]
    whole = PipelineHarness(build)
    whole.push(records)
    whole.end_of_input()

    parts = PipelineHarness(build)
    edges = sorted({0, saved, len(records), *cuts})
    for first, last in pairwise(edges):
        part = records[first:last]
        if arrow and part:
            parts.push_batch(pyarrow.Table.from_pylist(part))
        else:
            parts.push(part)
        if last == saved:
            parts = PipelineHarness.restore(build, parts.snapshot())
    parts.end_of_input()
    assert output(parts) == output(whole)


@pytest.mark.parametrize(("in_core", "in_python"), [("bounded", "user"), ("periodic", "periodic user")])
@given(times=TIMES)
def test_generators_of_the_core_agree_with_the_same_in_python(
    in_core: str, in_python: str, times: list[int]
) -> None:
    outputs = []
    for name in (in_core, in_python):
        harness = PipelineHarness(builder(GENERATORS[name]()))
        seen = watermarks(harness, times)
        harness.end_of_input()
        outputs.append((seen, output(harness)))
    assert outputs[0] == outputs[1]
