"""`assert_laws` on pipelines as users have them, and what it says of those that break a law."""

from __future__ import annotations

import itertools
import subprocess
import sys
from datetime import timedelta
from typing import Any

import llmopt_stream as ls
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmopt_stream.testing import (
    AdvanceProcessingTime,
    AdvanceWatermark,
    NaiveWindows,
    Push,
    assert_equals_reference,
    assert_laws,
    event_streams,
    input_steps,
    interleavings,
    triggers,
    window_assigners,
)

MICRO = timedelta(microseconds=1)
BOUNDED = ls.BoundedOutOfOrdernessWatermark("30s")
FEW = settings(max_examples=40, deadline=None)


def pipeline() -> ls.StreamPipelineBuilder:
    return ls.create_pipeline().key_by("data.model", "region")


@pytest.mark.parametrize(
    "builder",
    [
        pipeline().with_tumbling_window("1m", allowed_lateness="30s").with_watermark_generator(BOUNDED),
        pipeline().with_sliding_window("1m", "25s").with_watermark_generator(BOUNDED),
        pipeline().with_cumulative_window("1m", "20s", allowed_lateness="1h"),
        pipeline().with_session_window("20s").with_watermark_generator(BOUNDED),
        pipeline().with_session_window(ls.col("data.idle")).with_watermark_generator(BOUNDED),
        pipeline().with_count_window(3, 2),
        pipeline().with_global_window().with_trigger(ls.AfterWatermark(early=ls.CountTrigger(2))),
        pipeline().with_tumbling_window("1m", time="processing"),
        pipeline().with_tumbling_window("1m").with_trigger(ls.ProcessingTimeTrigger("10s")),
        pipeline().with_tumbling_window("1m", allowed_lateness="30s").with_watermark_generator(BOUNDED)
        .aggregate("data.ms", ["count", "min"], where=(ls.col("data.kind") == "chat") | (ls.col("data.ms") > 2))
        .aggregate(ls.col("data.ms") / ls.col("data.tokens"), ["sum"], nulls=-1, prefix="per_token_"),
        pipeline()
        .branch("minutes").with_tumbling_window("1m").aggregate("data.ms", ["count", "p50"])
        .branch("sessions").with_session_window("20s").aggregate("data.tokens", ["sum"])
        .with_watermark_generator(BOUNDED),
    ],
    ids=lambda builder: " and ".join(str(branch.window) for branch in builder.plan.branches),
)  # fmt: skip
def test_pipelines_keep_the_laws(builder: ls.StreamPipelineBuilder) -> None:
    if not builder.plan.branches[0].metrics:
        builder = builder.aggregate("data.ms").aggregate("data.tokens", ["sum"], prefix="tokens_")
    assert_laws(builder.with_schema({"data.tokens": int}), max_examples=25, partitions=2)


def test_a_trigger_that_counts_for_itself_breaks_the_law_of_restored_snapshots_or_the_reference() -> None:
    class EveryThirdQuestion(ls.WindowTrigger):
        questions = itertools.count()

        def should_fire(self, window: ls.Window, watermark: ls.Watermark, element_count: int) -> bool:
            return next(self.questions) % 3 == 0

    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="us")
        .with_tumbling_window("1m")
        .with_trigger(EveryThirdQuestion())
    )
    records = st.lists(st.just({"ts": 1, "value": 3}), min_size=2, max_size=4)
    with pytest.raises(AssertionError, match=r"(?s)(law 1|naive reference).*expected.*got.*steps:"):
        assert_laws(builder, records=records, max_examples=50)


def test_records_of_ones_own() -> None:
    seen: list[float] = []

    def gap(record: dict[str, Any]) -> float:
        seen.append(record["idle"])
        return record["idle"]

    record = st.fixed_dictionaries(
        {"ts": st.integers(0, 100), "idle": st.sampled_from([1e-6, 1e-5]), "value": st.integers(0, 9)}
    )
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="us")
        .with_session_window(gap)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(20 * MICRO))
    )
    assert_laws(builder, records=st.lists(record, max_size=12), max_examples=25)
    assert set(seen) == {1e-6, 1e-5}
    with pytest.raises(ls.ConfigurationError, match="records: the session gap is a callable"):
        assert_laws(builder)


def test_a_pipeline_with_timeouts_is_refused() -> None:
    generator = ls.BoundedOutOfOrdernessWatermark("1s", idle_timeout="1s")
    builder = ls.create_pipeline().with_tumbling_window("1m").with_watermark_generator(generator)
    with pytest.raises(ls.ConfigurationError, match="no timeouts and skews"):
        assert_laws(builder)


def test_a_difference_to_the_reference_shows_both_and_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    builder = ls.create_pipeline().with_event_time("ts", unit="us").with_tumbling_window(10 * MICRO)
    steps = [Push({"ts": 1, "value": 3}), AdvanceProcessingTime(4), AdvanceWatermark(10)]
    assert_equals_reference(builder, steps)
    other = NaiveWindows.of(builder.aggregate(aggregations=["count"]))
    monkeypatch.setattr(NaiveWindows, "of", lambda *_: other)
    with pytest.raises(AssertionError) as failure:
        assert_equals_reference(builder, steps)
    assert "pane 0: expected the results ['count'], got ['count', 'sum', 'average'" in str(failure.value)
    assert "  2: AdvanceWatermark(watermark=10)" in str(failure.value)


# Strategies


@given(window_assigners(gap_field="gap"), triggers(), st.data())
@FEW
def test_drawn_windows_and_triggers_make_pipelines(
    assigner: ls.WindowAssigner, trigger: ls.WindowTrigger, data: st.DataObject
) -> None:
    builder = ls.create_pipeline().with_event_time("ts", unit="us").with_window(assigner)
    if not isinstance(assigner, ls.CountWindowAssigner):
        builder = builder.with_trigger(trigger)
    builder.checked()
    reference = NaiveWindows.of(builder)
    for record in data.draw(event_streams(gap_field="gap")):
        reference.push(record)
    reference.end_of_input()
    counters = reference.counters
    assert counters["records_in"] == sum(counters.values()) - counters["unfired"] - counters["records_in"]


@given(st.data())
@FEW
def test_steps_keep_the_records_in_order_and_let_time_go_forward(data: st.DataObject) -> None:
    records = [{"ts": number} for number in range(data.draw(st.integers(0, 8)))]
    steps = data.draw(input_steps(records, partitions=3, watermarks=True, clock=True))
    assert [step.record for step in steps if isinstance(step, Push)] == records
    assert {step.partition for step in steps if isinstance(step, Push)} <= {0, 1, 2}
    times = [step.time for step in steps if isinstance(step, AdvanceProcessingTime)]
    assert times == sorted(times)


@given(st.data())
@FEW
def test_interleavings_keep_the_order_within_each_partition(data: st.DataObject) -> None:
    partitions = [[{"ts": 1}, {"ts": 2}], [], [{"ts": 3}]]
    steps = data.draw(interleavings(partitions))
    for number, records in enumerate(partitions):
        of_partition = [step for step in steps if isinstance(step, Push) and step.partition == number]
        assert [step.record for step in of_partition] == records


def test_laws_say_what_they_need() -> None:
    program = """
import sys
sys.modules["hypothesis"] = None
import llmopt_stream.testing as testing
try:
    testing.assert_laws
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "pip install hypothesis" in done.stdout
