"""What becomes of exceptions in users' aggregators."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness, assert_laws
from pyarrow import parquet

SECOND = 1_000_000


class Bag(ls.Aggregator):
    """The sum of its values. Its methods fail on request: `fails` names a method, and at which values or calls."""

    def __init__(self, fails: str = "", *, when: Any = lambda call: True) -> None:
        self.fails, self.when, self.calls = fails, when, 0

    def _may_fail(self, method: str, seen: Any) -> None:
        if method == self.fails:
            self.calls += 1
            if self.when(seen):
                raise LookupError("no such thing")

    def create_accumulator(self) -> Any:
        self._may_fail("create_accumulator", None)
        return 0.0

    def add(self, acc: Any, value: Any) -> Any:
        self._may_fail("add", value)
        return acc + value

    def merge(self, a: Any, b: Any) -> Any:
        self._may_fail("merge", b)
        return a + b

    def get_result(self, acc: Any) -> Any:
        self._may_fail("get_result", acc)
        return acc

    def name(self) -> str:
        return "bag"

    def to_bytes(self, acc: Any) -> bytes:
        return json.dumps(acc).encode()

    def from_bytes(self, encoded: bytes) -> Any:
        return json.loads(encoded)


class BatchBag(Bag):
    def add_batch(self, acc: Any, values: Any) -> Any:
        if any(self.when(value) for value in values):
            raise LookupError("one of them")
        return acc + float(values.sum())


def is_two(value: Any) -> bool:
    return value == 2


BUILDER = ls.create_pipeline().with_event_time("ts", unit="s").key_by("key", "region")
TENS = BUILDER.with_tumbling_window("10s")
RECORDS = [
    {"ts": 1, "key": "a", "region": 7, "value": 1},
    {"ts": 2, "key": "a", "region": 7, "value": 2},
    {"ts": 3, "key": "b", "region": 7, "value": 4},
    {"ts": 6, "key": "a", "region": 7, "value": 8},
]
DEAD_LETTER = ls.ErrorHandler(ls.ErrorPolicy.dead_letter())
SKIP = ls.ErrorHandler(ls.ErrorPolicy.skip())


def driven(builder, records=RECORDS, **options):
    harness = PipelineHarness(builder, **options)
    pushed_to_the_end(harness, records)
    return harness


def pushed_to_the_end(harness, records=RECORDS):
    for record in records:
        harness.push(record)
    harness.end_of_input()


FIRST = "[1970-01-01T00:00:00Z, 1970-01-01T00:00:10Z)"
KEY = "key {'key': 'a', 'region': 7}"


NO_SUCH = "LookupError: no such thing"
ADD = f"Bag.add: {NO_SUCH}; value 2.0; {KEY}"
FAILING = [
    (ls.tumbling("10s"), Bag("create_accumulator"), f"Bag.create_accumulator: {NO_SUCH}; value 1.0; {KEY}, window {FIRST}"),
    (ls.tumbling("10s"), Bag("add", when=is_two), f"{ADD}, window {FIRST}"),
    (ls.sliding("10s", "5s"), Bag("add", when=is_two), f"{ADD}, windows [1969-12-31T23:59:55Z, 1970-01-01T00:00:05Z), {FIRST}"),
    (ls.session("10s"), Bag("add", when=is_two), f"{ADD}, window [1970-01-01T00:00:02Z, 1970-01-01T00:00:12Z)"),
    (ls.SessionWindowAssigner(ls.col("value")), Bag("add", when=is_two),
     f"{ADD}, window [1970-01-01T00:00:02Z, 1970-01-01T00:00:04Z)"),
    (ls.CountWindowAssigner(3), Bag("add", when=is_two), f"{ADD}, window without bounds"),
    (ls.sliding("10s", "5s"), Bag("merge"), f"Bag.merge: {NO_SUCH}; {KEY}, window {FIRST}"),
    (ls.tumbling("10s"), Bag("get_result"), f"Bag.get_result: {NO_SUCH}; {KEY}, window {FIRST}"),
    (ls.tumbling("10s"), BatchBag(when=is_two),
     f"BatchBag.add_batch: LookupError: one of them; value [2.0]; {KEY}, window {FIRST}"),
    (ls.tumbling("10s"), BatchBag("create_accumulator"),
     f"BatchBag.create_accumulator: {NO_SUCH}; value [1.0]; {KEY}, window {FIRST}"),
]  # fmt: skip


@pytest.mark.parametrize(("window", "bag", "message"), FAILING)
def test_without_a_handler_the_pipeline_fails_and_says_where(window, bag, message):
    builder = BUILDER.with_window(window).aggregate("value", ["count", bag])
    for failing in (builder, builder.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.fail()))):
        harness = PipelineHarness(failing)
        with pytest.raises(ls.AggregationError) as raised:
            pushed_to_the_end(harness)
        assert str(raised.value) == message
        assert isinstance(raised.value.__cause__, LookupError)
        with pytest.raises(ls.PipelineError, match="cannot go on after an error: AggregationError: "):
            harness.push(RECORDS[0])
        harness.drain()


def test_panes_that_fired_before_the_failure_stay():
    harness = PipelineHarness(
        TENS.aggregate("value", ["count", Bag("get_result", when=lambda acc: acc == 4)])
    )
    with pytest.raises(ls.AggregationError, match="'key': 'b'"):
        pushed_to_the_end(harness)
    assert [(pane.key["key"], pane.results) for pane in harness.drain()] == [("a", {"count": 3, "bag": 11.0})]


def test_a_value_that_is_skipped_is_counted_and_not_taken():
    harness = driven(TENS.aggregate("value", ["count", Bag("add", when=is_two)]).with_error_handler(SKIP))
    assert [pane.results for pane in harness.drain()] == [{"count": 3, "bag": 9.0}, {"count": 1, "bag": 4.0}]
    assert harness.metrics["errors"] == 1
    assert harness.metrics["skipped_values"] == [0, 0]


@pytest.mark.parametrize("method", ["get_result", "merge"])
def test_a_result_that_is_skipped_is_null_and_counted(method):
    bag = Bag(method, when=lambda seen: seen in (3, 8))
    builder = BUILDER.with_sliding_window("10s", "5s").aggregate("value", ["count", bag])
    harness = driven(builder.with_error_handler(SKIP))
    panes = [(pane.window.start.second, pane.key["key"], pane.results) for pane in harness.drain()]
    null = {"get_result": {(55, "a"), (5, "a")}, "merge": {(0, "a")}}[method]
    expected = [(55, "a", 2, 3.0), (55, "b", 1, 4.0), (0, "a", 3, 11.0), (0, "b", 1, 4.0), (5, "a", 1, 8.0)]
    assert panes == [
        (start, key, {"count": count, "bag": None if (start, key) in null else bag})
        for start, key, count, bag in expected
    ]
    assert harness.metrics["errors"] == len(null)


def test_a_session_that_cannot_be_merged_has_no_result_whatever_comes_later():
    builder = (
        BUILDER.with_session_window("3s").aggregate("value", ["count", Bag("merge")]).with_error_handler(SKIP)
    )
    harness = PipelineHarness(builder)
    for second in (1, 7, 4, 8, 20):
        harness.push({"ts": second, "key": "a", "region": 7, "value": second})
    harness = PipelineHarness.restore(builder, harness.snapshot())
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [
        {"count": 4, "bag": None},
        {"count": 1, "bag": 20.0},
    ]
    [event] = harness.drain_errors()
    assert (event.method, event.windows[0].end.second) == ("merge", 11)
    assert str(event.error).startswith("Bag.merge: LookupError: no such thing; key")


def test_dead_letters_say_everything():
    sink = ls.CollectSink()
    harness = driven(
        TENS.aggregate("value", [Bag("add", when=is_two)])
        .aggregate("value", [Bag("get_result", when=lambda acc: acc == 4)], prefix="b_")
        .with_error_handler(DEAD_LETTER.with_sink(sink))
    )
    add, result = harness.drain_errors()
    window = ls.Window("1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z")
    assert (add.aggregator, add.method, add.value, add.position) == ("Bag", "add", 2.0, 1)
    assert (add.key, add.windows, add.branch) == ({"key": "a", "region": 7}, (window,), "")
    assert isinstance(add.error, ls.AggregationError)
    assert isinstance(add.error.__cause__, LookupError)
    assert (result.method, result.value, result.position) == ("get_result", None, None)
    assert (result.key, result.windows) == ({"key": "b", "region": 7}, (window,))
    assert harness.drain_errors() == []
    assert harness.metrics["errors"] == 2
    assert json.loads(add.to_json()) == {
        "error": f"Bag.add: LookupError: no such thing; value 2.0; {KEY}, window {FIRST}",
        "aggregator": "Bag",
        "method": "add",
        "key": {"key": "a", "region": 7},
        "windows": [{"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:10Z"}],
        "value": 2.0,
        "position": 1,
    }


def test_a_run_hands_dead_letters_to_the_sink():
    errors, results = ls.CollectSink(), ls.CollectSink()
    pipeline = (
        TENS.aggregate("value", [Bag("add", when=is_two)])
        .with_source(ls.IterableSource(RECORDS))
        .with_sink(results)
        .with_error_handler(DEAD_LETTER.with_sink(errors))
        .build()
    )
    for _ in range(2):
        summary = pipeline.run()
        assert summary.errors == pipeline.metrics["errors"] == 1
        assert "1 errors" in str(summary)
        assert [event.value for event in errors.results] == [2.0]
        assert [result.results["bag"] for result in results.results] == [9.0, 4.0]


def test_files_take_them(tmp_path):
    for sink in (ls.NdjsonSink(tmp_path / "errors.ndjson"), ls.ParquetSink(tmp_path / "errors.parquet")):
        builder = TENS.aggregate("value", [Bag("add", when=is_two)])
        builder = builder.aggregate("value", [Bag("get_result")], prefix="b_")
        with builder.with_error_handler(DEAD_LETTER.with_sink(sink)).open() as session:
            session.push(RECORDS)
            session.flush()
    rows = [json.loads(line) for line in (tmp_path / "errors.ndjson").read_text().splitlines()]
    assert [(row["method"], row["value"]) for row in rows] == [
        ("add", 2.0),
        ("get_result", None),
        ("get_result", None),
    ]
    table = parquet.read_table(tmp_path / "errors.parquet").to_pylist()
    assert [
        {**row, **{name: json.loads(row[name]) for name in ("key", "windows", "value")}} for row in table
    ] == rows


def test_a_push_session_hands_them_on_too():
    errors = ls.CollectSink()
    builder = TENS.aggregate("value", [Bag("add", when=is_two)]).with_error_handler(
        DEAD_LETTER.with_sink(errors)
    )
    with builder.open() as session:
        session.push(RECORDS)
        assert [event.value for event in errors.results] == [2.0]
        assert session.metrics["errors"] == 1


class Flaky:
    """True at the first `times` calls."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self, seen: Any) -> bool:
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize("method", ["create_accumulator", "add", "merge", "get_result"])
@pytest.mark.parametrize(("attempts", "lost"), [(3, 0), (2, 1)])
def test_a_call_is_tried_again_up_to_the_most_attempts(method, attempts, lost):
    bag = Bag(method, when=Flaky(2))
    builder = BUILDER.with_sliding_window("10s", "5s").aggregate("value", ["count", bag])
    handler = ls.ErrorHandler(ls.ErrorPolicy.retry(max_attempts=attempts, initial_delay="1h", max_delay="2h"))
    harness = driven(builder.with_error_handler(handler))
    results = [pane.results["bag"] for pane in harness.drain()]
    assert harness.metrics["errors"] == lost
    if not lost:
        assert results == [3.0, 4.0, 11.0, 4.0, 8.0]


def test_delays_double_up_to_the_longest_where_a_real_clock_runs(monkeypatch):
    waited = []
    pipeline = (
        TENS.aggregate("value", [Bag("add", when=is_two)])
        .with_source(ls.IterableSource(RECORDS))
        .with_sink(ls.CollectSink())
        .with_error_handler(
            ls.ErrorHandler(ls.ErrorPolicy.retry(max_attempts=5, initial_delay="100ms", max_delay="300ms"))
        )
        .build()
    )
    monkeypatch.setattr(pipeline._stop, "wait", waited.append)
    assert pipeline.run().errors == 1
    assert waited == [0.1, 0.2, 0.3, 0.3]


def test_after_the_last_attempt_the_sink_has_it():
    errors = ls.CollectSink()
    handler = ls.ErrorHandler(ls.ErrorPolicy.retry()).with_sink(errors)
    with TENS.aggregate("value", [Bag("add", when=is_two)]).with_error_handler(handler).open() as session:
        session.push(RECORDS)
    assert [event.value for event in errors.results] == [2.0]


@pytest.mark.parametrize("handler", [SKIP, DEAD_LETTER, ls.ErrorHandler(ls.ErrorPolicy.retry())], ids=repr)
def test_where_add_batch_fails_values_are_added_one_by_one(handler):
    harness = PipelineHarness(
        TENS.aggregate("value", [BatchBag("add", when=is_two)]).with_error_handler(handler)
    )
    harness.push(RECORDS)
    harness.end_of_input()
    assert [pane.results["bag"] for pane in harness.drain()] == [9.0, 4.0]
    assert harness.metrics["errors"] == 1
    assert [(event.method, event.value) for event in harness.drain_errors()] == [("add", 2.0)]


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("method", ["create_accumulator", "add", "add_batch", "merge", "get_result"])
def test_interrupts_and_exits_come_out(method, leaving):
    def leave(*_):
        raise leaving

    bag = Bag()
    setattr(bag, method, leave)
    builder = BUILDER.with_sliding_window("10s", "5s").aggregate("value", [bag]).with_error_handler(SKIP)
    with pytest.raises(leaving):
        driven(builder)


def test_branches_count_their_own():
    builder = (
        BUILDER.branch("tens").with_tumbling_window("10s").aggregate("value", [Bag("add", when=is_two)])
        .branch("all").with_global_window().aggregate("value", [Bag("add", when=lambda value: value > 1)])
        .with_error_handler(DEAD_LETTER)
    )  # fmt: skip
    harness = PipelineHarness(builder)
    harness.push(RECORDS)
    assert harness.metrics["errors"] == 4
    assert [branch["errors"] for branch in harness.metrics["branches"].values()] == [1, 3]
    events = harness.drain_errors()
    assert [(event.position, event.branch) for event in events] == [
        (1, "tens"),
        (1, "all"),
        (2, "all"),
        (3, "all"),
    ]
    assert events[1].windows == (ls.Window(None, None),)


@pytest.mark.parametrize(
    "builder",
    [
        BUILDER.with_sliding_window("20s", "5s", allowed_lateness="1m").with_accumulation("discarding"),
        BUILDER.with_sliding_window("20s", "5s", allowed_lateness="1m").with_trigger(
            ls.any_of(ls.CountTrigger(2), ls.EventTimeTrigger())
        ),
        BUILDER.with_sliding_window("20s", "5s", allowed_lateness="1m"),
    ],
)
def test_a_value_in_several_windows_counts_once(builder):
    bags = [Bag("add", when=is_two), Bag("add", when=lambda value: value >= 2)]
    for bag, prefix in zip(bags, ("", "b_"), strict=True):
        builder = builder.aggregate("value", [bag], prefix=prefix)
    harness = PipelineHarness(builder.with_error_handler(DEAD_LETTER))
    harness.push(RECORDS)
    harness.advance_watermark(12 * SECOND)
    harness.push(RECORDS)
    events = harness.drain_errors()
    assert [event.position for event in events] == [1, 1, 2, 3, 5, 5, 6, 7]
    assert [len(event.windows) for event in events] == [4] * 8
    assert harness.metrics["errors"] == 8


def test_copies_that_cannot_be_made_name_the_way_out():
    class Locked(Bag):
        to_bytes = from_bytes = None

        def create_accumulator(self):
            return (line for line in "")

        def add(self, acc, value):
            pass

        def get_result(self, acc):
            return None

    builder = BUILDER.with_sliding_window("10s", "5s").aggregate("value", [Locked()])
    with pytest.raises(ls.AggregationError, match=r"Locked\.merge: .*copy\.deepcopy.*give it to_bytes"):
        driven(builder)


@pytest.mark.parametrize("parallelism", [1, 2, 4])
def test_the_order_of_dead_letters_is_that_of_the_input(parallelism):
    builder = (
        BUILDER.with_sliding_window("10s", "5s", allowed_lateness="5s")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
        .aggregate("value", [Bag("add", when=lambda value: value % 3 == 0)])
        .aggregate("value", [Bag("get_result", when=lambda acc: acc % 2 == 0)], prefix="b_")
        .with_error_handler(DEAD_LETTER)
    )
    records = [{"ts": at, "key": "abc"[at * 5 % 3], "region": at % 2, "value": at} for at in range(60)]
    lines = []
    for size in (1, 7, 60):
        harness = PipelineHarness(builder, parallelism=parallelism)
        for first in range(0, 60, size):
            harness.push(records[first : first + size])
        harness.end_of_input()
        lines.append([event.to_json() for event in harness.drain_errors()])
    assert lines[0] == lines[1] == lines[2]
    assert len(lines[0]) > 40


@pytest.mark.parametrize("handler", [SKIP, DEAD_LETTER], ids=repr)
@pytest.mark.parametrize(
    "window",
    [
        ls.tumbling("10s"),
        ls.sliding("20s", "5s", allowed_lateness="5s"),
        ls.session("5s"),
        ls.CountWindowAssigner(3, 2),
    ],
    ids=repr,
)
def test_laws_hold_of_what_fails(window, handler):
    def odd(seen: Any) -> bool:
        return seen is not None and int(seen) % 3 == 0

    builder = BUILDER.with_window(window).aggregate("value", ["count", Bag("add", when=odd)])
    for at, method in enumerate(("merge", "get_result")):
        builder = builder.aggregate("value", [Bag(method, when=odd)], prefix=f"{at}_")
    assert_laws(builder.with_error_handler(handler), max_examples=15)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"max_attempts": 0}, "max_attempts: 0 is not a whole number of at least 1"),
        ({"max_attempts": True}, "max_attempts: True"),
        ({"initial_delay": "-1s"}, "initial_delay"),
        ({"initial_delay": "6s"}, "max_delay: '5s' is shorter than initial_delay '6s'"),
        ({"max_delay": "soon"}, "max_delay"),
    ],
)
def test_settings_are_checked(settings, complaint):
    with pytest.raises(ls.ConfigurationError, match=complaint):
        ls.ErrorPolicy.retry(**settings)


def test_durations_are_taken_in_every_form():
    policy = ls.ErrorPolicy.retry(initial_delay=timedelta(seconds=1), max_delay=90)
    assert (policy.initial_delay, policy.max_delay) == (1_000_000, 90_000_000)


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ls.ConfigurationError, match="is not an ErrorPolicy"):
        ls.ErrorHandler("retry")
    with pytest.raises(ls.ConfigurationError, match="is not a Sink"):
        DEAD_LETTER.with_sink(print)
    with pytest.raises(ls.ConfigurationError, match=r"ErrorPolicy\.skip\(\) hands nothing on"):
        SKIP.with_sink(ls.CollectSink())
    with pytest.raises(ls.ConfigurationError, match="is not an ErrorHandler"):
        BUILDER.with_error_handler(ls.ErrorPolicy.skip())
    builder = TENS.aggregate("value", [Bag()]).with_error_handler(DEAD_LETTER)
    with pytest.raises(ls.ConfigurationError, match="needs a sink"):
        builder.open()
    with pytest.raises(ls.ConfigurationError, match="needs a sink"):
        builder.with_source(ls.IterableSource([])).with_sink(ls.CollectSink()).build()
