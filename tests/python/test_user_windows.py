"""Window assigners, triggers and session gaps that users write in Python."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import llmopt_stream as ls
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmopt_stream.testing import PipelineHarness

BUILDER = (
    ls.create_pipeline().with_event_time("ts", unit="us").key_by("key").aggregate("value", ["count", "sum"])
)


class Tens(ls.WindowAssigner):
    def assign(self, timestamp: int) -> list[ls.Window]:
        start = timestamp - timestamp % 10
        return [ls.Window(start, start + 10)]


class SpecificationHybrid(ls.WindowTrigger):
    """As the specification has it."""

    def __init__(self, count_threshold: int, time_threshold: int) -> None:
        self.count_threshold = count_threshold
        self.time_threshold = time_threshold

    def should_fire(self, window: ls.Window, watermark: ls.Watermark, element_count: int) -> bool:
        return element_count >= self.count_threshold or watermark.timestamp >= window.end

    def should_purge(self, window: ls.Window, watermark: ls.Watermark) -> bool:
        return int(watermark) >= window.micros[1] + self.time_threshold


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(-30, 60), st.sampled_from("ab")),
        st.tuples(st.just("watermark"), st.integers(-30, 80)),
        st.tuples(st.just("clock"), st.integers(1, 40)),
    ),
    max_size=25,
)


def play(builder: ls.StreamPipelineBuilder, steps: Any, parallelism: int = 1) -> list[Any]:
    harness = PipelineHarness(builder, parallelism=parallelism)
    for step in steps:
        if step[0] == "push":
            harness.push({"ts": step[1], "key": step[2], "value": step[1]})
        elif step[0] == "watermark":
            harness.advance_watermark(step[1])
        else:
            harness.advance_processing_time(step[1])
    harness.end_of_input()
    counters = {name: harness.metrics[name] for name in ("aggregated", "late", "outside_windows", "unfired")}
    return [[pane.to_dict() for pane in harness.drain()], counters]


@given(STEPS, st.sampled_from(["accumulating", "discarding"]), st.integers(0, 20), st.sampled_from([1, 2]))
@settings(max_examples=60)
def test_assigner_of_a_user_equals_the_tumbling_one(
    steps: Any, mode: str, lateness: int, parallelism: int
) -> None:
    late = f"{lateness}us"
    theirs = BUILDER.with_window(Tens().with_allowed_lateness(late)).with_accumulation(mode)
    ours = BUILDER.with_tumbling_window("10us", allowed_lateness=late).with_accumulation(mode)
    assert play(theirs, steps, parallelism) == play(ours, steps)


@given(
    STEPS,
    st.sampled_from([("tumbling", ("10us",)), ("sliding", ("10us", "4us")), ("session", ("5us",))]),
    st.sampled_from(["accumulating", "discarding"]),
    st.integers(1, 3),
    st.integers(0, 20),
)
@settings(max_examples=60)
def test_trigger_of_a_user_equals_the_hybrid_one(
    steps: Any, window: Any, mode: str, count: int, lateness: int
) -> None:
    kind, arguments = window
    builder = getattr(BUILDER, f"with_{kind}_window")(*arguments, allowed_lateness=f"{lateness}us")
    builder = builder.with_accumulation(mode)
    theirs = play(builder.with_trigger(SpecificationHybrid(count, 30)), steps)
    ours = play(builder.with_trigger(ls.HybridTrigger(count, "30us")), steps)
    for panes, _ in (theirs, ours):
        for pane in panes:
            # As long as a user's trigger keeps the state, it might still fire.
            del pane["pane"]["is_last"]
    assert theirs == ours


def test_trigger_of_a_user_is_asked_only_when_what_it_looks_at_has_changed() -> None:
    asked: list[tuple[int, int]] = []

    class Asked(ls.WindowTrigger):
        def should_fire(self, window: ls.Window, watermark: ls.Watermark, element_count: int) -> bool:
            asked.append((int(watermark), element_count))
            return element_count == 2

    harness = PipelineHarness(BUILDER.with_tumbling_window("10us").with_trigger(Asked()))
    harness.advance_watermark(1)
    harness.push({"ts": 1, "key": "a", "value": 1})
    harness.advance_watermark(1)
    harness.advance_processing_time(5)
    harness.advance_watermark(2)
    harness.push({"ts": 2, "key": "a", "value": 1})
    harness.advance_watermark(3)  # nothing waits
    harness.advance_watermark(10)
    assert asked == [(1, 1), (2, 1), (2, 2), (10, 0)]


def test_state_stays_until_a_trigger_lets_it_go_and_can_still_fire() -> None:
    class Later(ls.WindowTrigger):
        def should_fire(self, window: ls.Window, watermark: ls.Watermark, element_count: int) -> bool:
            return int(watermark) >= window.micros[1] + 30

        def should_purge(self, window: ls.Window, watermark: ls.Watermark) -> bool:
            return int(watermark) >= window.micros[1] + 50

    harness = PipelineHarness(BUILDER.with_tumbling_window("10us").with_trigger(Later()))
    harness.push({"ts": 1, "key": "a", "value": 1})
    for watermark in (10, 39, 40):
        harness.advance_watermark(watermark)
        harness.push({"ts": 1, "key": "a", "value": 1})  # late: its window takes no more
    panes = harness.drain()
    assert [(pane.results["count"], pane.pane.timing) for pane in panes] == [(1, "late")]
    assert (harness.metrics["late"], harness.metrics["live_slices"]) == (3, 1)
    harness.advance_watermark(60)
    assert (harness.metrics["live_slices"], harness.metrics["state_bytes"]) == (0, 0)


@pytest.mark.parametrize(
    ("builder", "words"),
    [
        (lambda: BUILDER.with_window(Broken()), ["Broken.assign", "ZeroDivisionError"]),
        (lambda: BUILDER.with_window(Text()), ["Text.assign", "'10'", "not a Window"]),
        (
            lambda: BUILDER.with_tumbling_window("1s").with_trigger(ls.WindowTrigger()),
            ["WindowTrigger.should_fire"],
        ),
    ],
)
def test_what_user_code_raises_comes_out_with_its_name(builder: Any, words: list[str]) -> None:
    with pytest.raises(ls.WindowAssignmentError) as raised:
        PipelineHarness(builder()).push({"ts": 1, "key": "a", "value": 1})
    assert all(word in str(raised.value) for word in words)


class Broken(ls.WindowAssigner):
    def assign(self, timestamp: int) -> list[ls.Window]:
        raise ZeroDivisionError(timestamp)


class Text(ls.WindowAssigner):
    def assign(self, timestamp: int) -> list[Any]:
        return ["10"]


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([1, 3, 5, 12])), max_size=12))
def test_gap_by_column_and_by_callable_are_the_same(records: list[tuple[int, int]]) -> None:
    rows = [{"ts": ts, "key": "a", "value": 1, "gap": gap / 1e6} for ts, gap in records]
    outcomes = []
    for gap in (ls.col("gap"), lambda record: record["gap"]):
        harness = PipelineHarness(BUILDER.with_session_window(gap))
        harness.push(rows)
        harness.end_of_input()
        outcomes.append([pane.to_dict() for pane in harness.drain()])
    assert outcomes[0] == outcomes[1]


def test_a_record_without_a_usable_gap_is_malformed() -> None:
    harness = PipelineHarness(BUILDER.with_session_window(ls.col("gap")))
    for gap in (None, 0, -1, float("nan"), "x", 1e-7, 1e-6):
        harness.push({"ts": 1, "key": "a", "value": 1, "gap": gap})
    assert harness.metrics["malformed_by_kind"] == {"gap_invalid": 6}
    assert harness.metrics["aggregated"] == 1


def test_a_gap_callable_may_give_a_timedelta_and_what_it_raises_comes_out() -> None:
    harness = PipelineHarness(
        BUILDER.with_session_window(lambda record: timedelta(microseconds=record["gap"]))
    )
    harness.push({"ts": 1, "key": "a", "value": 1, "gap": 7})
    with pytest.raises(ls.WindowAssignmentError, match=r"session gap.*KeyError"):
        harness.push({"ts": 1, "key": "a", "value": 1})
    harness.end_of_input()
    assert [pane.window.micros for pane in harness.drain()] == [(1, 8)]
