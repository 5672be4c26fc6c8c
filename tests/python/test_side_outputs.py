"""Records that `process` emits beside its stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us").key_by("key")
RECORDS = [
    {"ts": ts, "key": key, "value": value} for ts, key, value in [(1, "a", 1), (12, "b", 7), (3, "a", 9), (14, "a", 2)]
]  # fmt: skip


def high(record: dict[str, Any], context: ls.KeyContext) -> dict[str, Any]:
    """Everything goes on; what is above 5 is told beside it."""
    if record["value"] > 5:
        context.emit({"high": record["value"]}, to="high")
        context.emit({"high": -record["value"]}, to="high", timestamp=record["ts"] + 100)
    return record


def split(record: dict[str, Any], context: ls.KeyContext) -> dict[str, Any]:
    if record["value"] == 1:
        context.emit({"key": "one", "value": 1}, to="low")
    return high(record, context)


def by_branch(builder: ls.StreamPipelineBuilder, records: Any = RECORDS) -> dict[str, Any]:
    with builder.open() as session:
        first, rest = session.push(records), session.flush()
    return {name: [*first[name], *rest[name]] for name in first}


def test_what_is_emitted_to_a_side_output_is_the_stream_of_a_branch() -> None:
    builder = (
        STREAM.process(split, side_outputs=["high", "low"])
        .branch("all")
        .branch("high", emitted_to="high")
        .branch("low", emitted_to="low")
    )
    out = by_branch(builder)
    assert [event.data for event in out["all"]] == RECORDS
    assert [(event.timestamp.microsecond, event.key, event.data["high"]) for event in out["high"]] == [
        (12, {"key": "b"}, 7), (112, {"key": "b"}, -7), (3, {"key": "a"}, 9), (103, {"key": "a"}, -9),
    ]  # fmt: skip
    assert [event.data for event in out["low"]] == [{"key": "one", "value": 1}]


def test_a_side_output_has_the_watermark_of_its_stream() -> None:
    builder = (
        STREAM.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5us"))
        .process(high, side_outputs="high")
        .branch("all").with_tumbling_window("10us").aggregate("value", ["sum"])
        .branch("high", emitted_to="high").key_by().with_tumbling_window("10us").aggregate("high", ["count"])
    )  # fmt: skip
    harness = PipelineHarness(builder)
    harness.push(RECORDS[:2])
    assert harness.drain() == []
    harness.push({"ts": 27, "key": "c", "value": 0})  # the watermark is 22, beyond [10, 20)
    assert [(pane.branch, pane.window.micros[0], dict(pane.results)) for pane in harness.drain()] == [
        ("all", 0, {"sum": 1.0}), ("all", 10, {"sum": 7.0}), ("high", 10, {"count": 1}),
    ]  # fmt: skip
    harness.push(RECORDS[1])
    assert [(late.branch, late.event) for late in harness.drain_late()] == [
        ("all", RECORDS[1]), ("high", {"high": 7}),
    ]  # fmt: skip


class Timed:
    def process(self, record: dict[str, Any], context: ls.KeyContext) -> None:
        context.set_timer(record["ts"] + 5)
        context.set_processing_timer(50)

    def on_timer(self, time: Any, context: ls.KeyContext) -> dict[str, Any]:
        context.emit({"timer": time.microsecond}, to="timers")
        return {"of": context.key["key"]}


def test_timers_emit_to_side_outputs_too() -> None:
    harness = PipelineHarness(
        STREAM.process(Timed, side_outputs="timers").branch("main").branch("timers", emitted_to="timers")
    )
    harness.push(RECORDS[0])
    harness.advance_processing_time(50)
    assert [event.data for event in harness.drain()] == [{"of": "a"}, {"timer": 50}]
    harness.end_of_input()
    assert [event.data for event in harness.drain()] == [{"of": "a"}, {"timer": 6}]


def test_steps_have_side_outputs_of_their_own() -> None:
    def second(record: dict[str, Any], context: ls.KeyContext) -> dict[str, Any]:
        if record["value"] == 2:
            context.emit({"two": 2}, to="two")
        return record

    builder = (
        STREAM.process(high, side_outputs="high")
        .branch("all").process(second, side_outputs="two")
        .branch("two", emitted_to="two").branch("high", emitted_to="high").branch("high again", emitted_to="high")
    )  # fmt: skip
    out = by_branch(builder)
    assert [event.data for event in out["two"]] == [{"two": 2}]
    assert [[event.data["high"] for event in out[name]] for name in ("high", "high again")] == [
        [7, -7, 9, -9]
    ] * 2


def test_a_step_behind_results_tells_them_beside() -> None:
    def low(pane: dict[str, Any], context: ls.KeyContext) -> dict[str, Any]:
        if pane["sum"] < 8:
            context.emit({"low": pane["sum"]}, to="low")
        return pane

    builder = (
        STREAM.branch("sums").with_tumbling_window("10us").aggregate("value", ["sum"]).process(low, side_outputs="low")
        .branch("low", emitted_to="low").filter(lambda record: record["low"] > 5)
    )  # fmt: skip
    harness = PipelineHarness(builder)
    harness.push(RECORDS)
    harness.end_of_input()
    assert [event.data.get("low") for event in harness.drain()] == [None, None, None, 7.0]
    assert harness.metrics["behind_windows"] == {"filtered": 1}


def test_what_a_failed_call_has_emitted_is_left_out_everywhere() -> None:
    def fails(record: dict[str, Any], context: ls.KeyContext) -> dict[str, Any]:
        context.emit(record, to="beside")
        if record["value"] == 7:
            raise LookupError("seven")
        return record

    handler = ls.ErrorHandler(ls.ErrorPolicy.skip())
    builder = (
        STREAM.with_error_handler(handler)
        .process(fails, side_outputs="beside")
        .branch("main")
        .branch("beside", emitted_to="beside")
    )
    out = by_branch(builder)
    assert [[event.data["value"] for event in events] for events in out.values()] == [[1, 9, 2], [1, 9, 2]]


def test_emitting_to_what_is_no_side_output_is_an_error_of_the_call() -> None:
    builder = STREAM.process(split, side_outputs="low").branch("low", emitted_to="low")
    with pytest.raises(ls.PipelineError, match=r"emit: to: 'high' is none of side_outputs: 'low'; record"):
        PipelineHarness(builder).push(RECORDS[1])
    with pytest.raises(ls.PipelineError, match=r"emit: to: 'high' is none of side_outputs: none were said"):
        PipelineHarness(STREAM.process(split)).push(RECORDS[1])


HIGH = STREAM.process(high, side_outputs="high")
SETTINGS: list[tuple[Callable[[], Any], str]] = [
    (
        lambda: STREAM.branch("x", emitted_to="y"),
        "branch: emitted_to: 'y' is no side output of a process step before it, but none",
    ),
    (
        lambda: HIGH.branch("x", emitted_to="y"),
        "branch: emitted_to: 'y' is no side output of a process step before it, but 'high'",
    ),
    (
        lambda: HIGH.branch("x").with_tumbling_window("1m").branch("y", late_of="x", emitted_to="high"),
        "branch: emitted_to: its records are the late ones of another branch already; leave late_of out",
    ),
    (HIGH.open, "process: side_outputs: nothing takes 'high'; say .branch(name, emitted_to='high')"),
    (
        HIGH.process(high, side_outputs="high").branch("x", emitted_to="high").open,
        "process: side_outputs: two steps have one called 'high'",
    ),
    (lambda: STREAM.process(high, side_outputs=["a", "a"]), "process: side_outputs: ['a', 'a'] are no different names"),
    (lambda: STREAM.process(high, side_outputs=""), "process: side_outputs: '' are no different names"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "text"), SETTINGS)
def test_wrong_settings_are_named(build: Callable[[], Any], text: str) -> None:
    with pytest.raises(ls.ConfigurationError) as raised:
        build()
    assert str(raised.value) == text


def test_a_snapshot_of_other_side_outputs_is_refused() -> None:
    def taking(one: str, other: str) -> ls.StreamPipelineBuilder:
        builder = STREAM.process(split, side_outputs=["high", "low"])
        return builder.branch("one", emitted_to=one).branch("other", emitted_to=other)

    with pytest.raises(ls.CheckpointError):
        PipelineHarness.restore(taking("low", "high"), PipelineHarness(taking("high", "low")).snapshot())


def test_side_outputs_of_an_input_are_taken_behind_the_join() -> None:
    joined = HIGH.union(STREAM).branch("all").branch("high", emitted_to="high")
    harness = PipelineHarness(joined)
    harness.push(RECORDS, input="0")
    harness.push(RECORDS, input="1")
    assert [event.data.get("high") for event in harness.drain()] == [None] * 8 + [7, -7, 9, -9]


def test_the_plan_says_which_records_a_branch_has() -> None:
    text = HIGH.branch("all").branch("beside", emitted_to="high").plan.explain()
    assert "  branch 'beside', of what process emits to 'high'\n" in text
    assert "  process    high by key, beside it high " in text


def test_enrich_knows_nothing_of_the_fields_of_a_side_output() -> None:
    table = {"a": {"value": 1}}
    selected = STREAM.select("ts", "key", "value").branch("all").process(split, side_outputs=["high", "low"])
    with pytest.raises(ls.ConfigurationError, match="'value' is a field of the records already"):
        STREAM.select("ts", "key", "value").enrich(table, on="key")
    assert selected.branch("beside", emitted_to="high").enrich(table, on="high")
