"""Exceptions in users' operators under each policy, wrong settings, and what `explain()` says of operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

STREAM = ls.create_pipeline("s").with_event_time("ts", unit="us").key_by("key")
RECORDS = [{"ts": ts, "key": "a", "v": v} for ts, v in [(1, 1), (2, 7), (3, 2), (4, 7)]]
SEVEN = RECORDS[1]


def no_seven(record: dict[str, Any], context: Any = None) -> dict[str, Any]:
    if context is not None:
        context.emit({"left": "out"})
        context.state.put("n", context.state.get("n", 0) + 1)
    if record["v"] == 7:
        raise LookupError("seven")
    return {"v": record["v"]} | ({} if context is None else {"n": context.state.get("n")})


def no_seven_of_batch(table: Any) -> Any:
    if 7 in table["v"].to_pylist():
        raise LookupError("seven")
    return table.select(["v"])


def is_no_seven(record: dict[str, Any]) -> bool:
    return bool(no_seven(record))


def each_no_seven(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [no_seven(record)]


OPERATORS: dict[str, tuple[ls.StreamPipelineBuilder, str]] = {
    "map": (STREAM.map(no_seven), "map(no_seven)"),
    "filter": (STREAM.filter(is_no_seven), "filter(is_no_seven)"),
    "flat_map": (STREAM.flat_map(each_no_seven), "flat_map(each_no_seven)"),
    "map_batches": (STREAM.map_batches(no_seven_of_batch), "map_batches(no_seven_of_batch)"),
    "process": (STREAM.process(no_seven), "process(no_seven)"),
}


def told(name: str) -> str:
    of_key = "; key {'key': 'a'}" if name == "process" else ""
    return f"{OPERATORS[name][1]}: LookupError: seven; record {SEVEN!r}{of_key}"


def pushed(builder: ls.StreamPipelineBuilder, policy: ls.ErrorPolicy | None = None) -> PipelineHarness:
    harness = PipelineHarness(
        builder if policy is None else builder.with_error_handler(ls.ErrorHandler(policy))
    )
    harness.push(RECORDS)
    return harness


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("policy", [None, ls.ErrorPolicy.fail()], ids=["by default", "fail"])
def test_the_first_exception_ends_the_pipeline(name: str, policy: ls.ErrorPolicy | None) -> None:
    with pytest.raises(ls.PipelineError) as raised:
        pushed(OPERATORS[name][0], policy)
    assert str(raised.value) == told(name)
    assert isinstance(raised.value.__cause__, LookupError)


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize(
    "policy",
    [ls.ErrorPolicy.skip(), ls.ErrorPolicy.dead_letter(), ls.ErrorPolicy.retry(max_attempts=2)],
    ids=str,
)
def test_what_failed_is_left_out_and_told(name: str, policy: ls.ErrorPolicy) -> None:
    harness = pushed(OPERATORS[name][0], policy)
    values = [event.data for event in harness.drain()]
    # What a call put in the state before it failed is there; a second attempt puts it again.
    counts = {"process": [1, 4 if policy.kind == "retry" else 3]}.get(name)
    assert [each["v"] for each in values if "left" not in each] == [1, 2]
    assert counts is None or [each["n"] for each in values if "n" in each] == counts
    assert len(values) == (4 if name == "process" else 2)
    assert harness.metrics["errors"] == 2
    first, second = harness.drain_errors()
    assert (str(first.error), first.aggregator, first.value, first.position) == (told(name), name, SEVEN, 1)
    assert (first.method, second.position) == (OPERATORS[name][1][len(name) + 1 : -1], 3)


def test_errors_that_were_not_taken_are_restored_as_they_are() -> None:
    builder = STREAM.map(no_seven).with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.skip()))
    harness = pushed(builder)
    errors = PipelineHarness.restore(builder, harness.snapshot()).drain_errors()
    assert [(type(each.error), each.to_json()) for each in errors] == [
        (ls.PipelineError, each.to_json()) for each in harness.drain_errors()
    ]


def test_a_call_that_succeeds_at_a_later_attempt_has_not_failed() -> None:
    calls = []

    def fails_once(record: dict[str, Any]) -> dict[str, Any]:
        calls.append(record)
        if len(calls) == 1:
            raise LookupError("once")
        return record

    harness = pushed(STREAM.map(fails_once), ls.ErrorPolicy.retry(max_attempts=3))
    assert [event.data for event in harness.drain()] == RECORDS
    assert (len(calls), harness.metrics["errors"]) == (5, 0)


def test_dead_letters_of_operators_reach_the_sink_of_a_run() -> None:
    errors, results = ls.CollectSink(), ls.CollectSink()
    handler = ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(errors)
    builder = STREAM.map(no_seven).with_error_handler(handler).with_source(ls.IterableSource(RECORDS))
    summary = builder.with_sink(results).build().run()
    assert [str(event.error) for event in errors.results][:1] == [told("map")]
    assert (len(errors.results), len(results.results), summary.errors) == (2, 2, 2)


class FailsAtTimer:
    def process(self, record: dict[str, Any], context: Any) -> None:
        context.set_timer(5)

    def on_timer(self, time: Any, context: Any) -> None:
        raise LookupError("timer")


def test_an_exception_of_a_timer_has_no_record() -> None:
    harness = pushed(STREAM.process(FailsAtTimer), ls.ErrorPolicy.skip())
    harness.end_of_input()
    (event,) = harness.drain_errors()
    assert str(event.error) == "process(FailsAtTimer.on_timer): LookupError: timer; key {'key': 'a'}"
    assert (event.value, event.position, event.key) == (None, None, {"key": "a"})


NO_RECORD = "which is no record (a dict, dataclass, …)"


@pytest.mark.parametrize(
    ("builder", "text"),
    [
        (STREAM.map(lambda _: None), f"map(<lambda>): TypeError: it returned None, {NO_RECORD}"),
        (STREAM.map(lambda _: 3), f"map(<lambda>): TypeError: it returned 3, {NO_RECORD}"),
        (STREAM.map(lambda r: [r]), f"map(<lambda>): TypeError: it returned [{SEVEN!r}], {NO_RECORD}"),
        (STREAM.flat_map(lambda _: "ab"), "flat_map(<lambda>): TypeError: it returned 'ab', which is no list of records"),
        (STREAM.flat_map(lambda _: [1]), f"flat_map(<lambda>): TypeError: it returned 1, {NO_RECORD}"),
        (STREAM.process(lambda _, c: "x"), f"process(<lambda>): TypeError: it returned 'x', {NO_RECORD}"),
        (STREAM.process(lambda _, c: c.emit(1)), f"process(<lambda>): TypeError: it returned 1, {NO_RECORD}"),
        (
            STREAM.process(lambda _, c: c.set_timer(1)),
            "process(<lambda>): ConfigurationError: set_timer: <lambda> has no on_timer(time, context)",
        ),
        (STREAM.map_batches(lambda t: t.slice(1)), ("map_batches(<lambda>): ValueError: it returned 0 rows for 1; "
         "one is needed for each, filter and flat_map give fewer or more")),
    ],
)  # fmt: skip
def test_what_is_no_record_is_an_error(builder: ls.StreamPipelineBuilder, text: str) -> None:
    with pytest.raises(ls.PipelineError) as raised:
        PipelineHarness(builder).push(SEVEN)
    of_key = "; key {'key': 'a'}" if text.startswith("process") else ""
    assert str(raised.value) == f"{text}; record {SEVEN!r}{of_key}"


SETTINGS: list[tuple[Callable[[], Any], str]] = [
    (lambda: STREAM.map(3), "map: fn: 3 is not callable"),
    (lambda: STREAM.filter("x"), "filter: condition: 'x' is not callable"),
    (lambda: STREAM.filter(ls.col("a") + 1), "filter: condition: col('a') + 1 is not a condition"),
    (lambda: STREAM.flat_map(None), "flat_map: fn: None is not callable"),
    (lambda: STREAM.map_batches(1), "map_batches: fn: 1 is not callable"),
    (STREAM.select, "select: [] are no different names, at least one"),
    (lambda: STREAM.select("a", a="b"), "select: ['a', 'a'] are no different names, at least one"),
    (lambda: STREAM.select(a=3), "select: a: 3 is not a field path"),
    (lambda: STREAM.deduplicate("", ttl="1m"), "deduplicate: by: '' is not a field path"),
    (lambda: STREAM.deduplicate("id", ttl="0s"), "deduplicate: ttl: '0s' is not a positive duration"),
    (lambda: STREAM.deduplicate("id", ttl="x"), "deduplicate: ttl: 'x' is not a duration"),
    *[
        (
            lambda rate=rate: STREAM.deduplicate("id", ttl="1m", false_positive_rate=rate),  # type: ignore[misc]
            f"deduplicate: false_positive_rate: {rate!r} is not a share between 0 and 1",
        )
        for rate in (0, 1, float("nan"), "x", True)
    ],
    (lambda: STREAM.process(3), "process: 3 is neither callable nor has it process(record, context)"),
    (lambda: STREAM.process(no_seven, ttl=0), "process: ttl: 0 is not a positive duration"),
    (lambda: STREAM.key_by().track_sessions(), "track_sessions: of whom? say it by .key_by(field) before"),
    (lambda: STREAM.track_sessions("0s"), "track_sessions: timeout: '0s' is not a positive duration"),
    (STREAM.union, "union: another stream is needed"),
    (lambda: STREAM.union(3), "union: 3 is not a stream"),
    (lambda: STREAM.union(STREAM.with_sink(ls.CollectSink())), "union: 's' has sinks"),
    (
        lambda: STREAM.union(
            STREAM.with_late_event_handler(ls.LateEventHandler().with_side_output(ls.CollectSink()))
        ),
        "union: 's' has sinks",
    ),
    (lambda: STREAM.union(STREAM.branch("a").branch("b")), "union: 's' has several branches"),
    (lambda: STREAM.union(STREAM).build(), "pipeline 's' has no source"),
    (
        lambda: STREAM.with_tumbling_window("1m").aggregate("v", ["sum"]).key_by("sum").open(),
        "key_by: sum: it comes behind a window and what it aggregates",
    ),
    (lambda: STREAM.map(no_seven).aggregate("v", ["sum"]).open(), "pipeline 's' has no window for aggregate"),
    (lambda: ls.StateStore(ttl=0), "StateStore: ttl: 0 is not a positive duration"),
    (lambda: ls.StateStore().put("a", 1, ttl="x"), "StateStore.put: ttl: 'x' is not a duration"),
]


@pytest.mark.parametrize(("build", "text"), SETTINGS, ids=[text[:40] for _, text in SETTINGS])
def test_wrong_settings_are_named(build: Callable[[], Any], text: str) -> None:
    with pytest.raises(ls.ConfigurationError) as raised:
        build()
    assert str(raised.value).startswith(text)


IN_CORE = """\
pipeline 's'
  source      none yet                                        -
  decode      fields ts, key, v, id                           C++
  event time  'ts' in us                                      C++
  watermark   greatest event time − 30s (default)             C++
  filter      col('v') > 0                                    C++
  deduplicate by 'id' within 10m                              C++
  key         key                                             C++
  window      tumbling 1m, allowed lateness 0s, accumulating  C++
  trigger     EventTimeTrigger()                              C++
  aggregate   v (float64): count                              C++
  sink        none yet                                        -"""
PER_RECORD = """\
pipeline 's'
  source      none yet                             -
  decode      whole records                        C++ and Python per record
  event time  'ts' in us                           C++
  watermark   greatest event time − 30s (default)  C++
  map         no_seven                             Python per record
  map_batches no_seven_of_batch                    Python per batch
  select      v, half=col('v') / 2                 expressions in C++, fields in Python per record
  key         key                                  C++
  sink        none yet                             -"""
STAGES = """\
pipeline 's'
  source     none yet                                                 -
  decode     whole records                                            C++ and Python per record
  event time 'ts' in us                                               C++
  watermark  greatest event time − 30s (default)                      C++
  key        key                                                      C++
  window     tumbling 1m, allowed lateness 0s, accumulating           C++
  trigger    EventTimeTrigger()                                       C++
  aggregate  v (float64): p95                                         C++
  then, of results
  filter     col('p95') > 3                                           C++
  process    FailsAtTimer by nothing, state kept for 10m              Python per record
  key        none: all records form one group                         C++
  window     sliding 1h every 10m, allowed lateness 0s, accumulating  C++
  trigger    EventTimeTrigger()                                       C++
  aggregate  p95 (float64): max                                       C++
  sink       none yet                                                 -"""


@pytest.mark.parametrize(
    ("builder", "text"),
    [
        (
            STREAM.filter(ls.col("v") > 0).deduplicate("id", ttl="10m").with_tumbling_window("1m").aggregate("v", ["count"]),
            IN_CORE,
        ),
        (STREAM.map(no_seven).map_batches(no_seven_of_batch).select("v", half=ls.col("v") / 2), PER_RECORD),
        (
            STREAM.with_tumbling_window("1m").aggregate("v", ["p95"]).filter(ls.col("p95") > 3)
            .key_by().process(FailsAtTimer, ttl="10m").with_sliding_window("1h", "10m").aggregate("p95", ["max"]),
            STAGES,
        ),
    ],
    ids=["in the core", "per batch and record", "stages"],
)  # fmt: skip
def test_the_plan_says_where_operators_run(builder: ls.StreamPipelineBuilder, text: str) -> None:
    assert builder.plan.explain() == text


def test_the_plan_names_the_inputs_of_a_union() -> None:
    text = STREAM.union(STREAM.track_sessions()).plan.explain()
    assert [" ".join(line.split()) for line in text.splitlines() if "input" in line or "union" in line or "track" in line] == [
        "input '0'", "input '1'", "track_sessions of key, over after 30m Python per record", "union Python per record",
    ]  # fmt: skip
