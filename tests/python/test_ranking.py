"""Rankings: of the results of a window, and of what trends."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import llmopt_stream as ls
import pytest
from llmopt_stream.operators.flow import START, FlowWriter
from llmopt_stream.operators.operator import Work
from llmopt_stream.operators.panes import PaneRecord
from llmopt_stream.testing import PipelineHarness, key_order

STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us")
STATISTICS = ["count", "sum", "max"]

Step: TypeAlias = Mapping[str, Any] | int | None
"""A record, a watermark, or the end of the input."""


def take(harness: PipelineHarness, step: Step) -> None:
    if step is None:
        harness.end_of_input()
    elif isinstance(step, int):
        harness.advance_watermark(step)
    else:
        harness.push(step)


def stepwise(builder: Any, steps: Sequence[Step]) -> Iterator[list[Any]]:
    """What comes out of each step."""
    harness = PipelineHarness(builder)
    for step in steps:
        take(harness, step)
        yield harness.drain()


def outputs(builder: Any, steps: Sequence[Step]) -> list[Any]:
    return [each for panes in stepwise(builder, steps) for each in panes]


def in_batches(builder: Any, steps: Sequence[Step], cut: Callable[[], bool]) -> list[Any]:
    """With records that follow each other in one push, unless they are cut."""
    harness = PipelineHarness(builder)
    batch: list[Any] = []
    for step in steps:
        if batch and (not isinstance(step, Mapping) or cut()):
            harness.push(batch)
            batch = []
        if isinstance(step, Mapping):
            batch.append(step)
        else:
            take(harness, step)
    if batch:
        harness.push(batch)
    return harness.drain()


def restored_at_each_step(builder: Any, steps: Sequence[Step]) -> list[Any]:
    harness = PipelineHarness(builder)
    for step in steps:
        harness = PipelineHarness.restore(builder, harness.snapshot())
        take(harness, step)
    return PipelineHarness.restore(builder, harness.snapshot()).drain()


def work_of(harness: PipelineHarness) -> Work:
    """The last operator at work."""
    work: Work = harness._intake._stages[-2].work  # type: ignore[union-attr]
    return work


def obey_law_1(builder: Any, steps: Sequence[Step], seed: int) -> None:
    expected = outputs(builder, steps)
    chance = random.Random(seed)
    assert in_batches(builder, steps, lambda: False) == expected
    assert in_batches(builder, steps, lambda: chance.random() < 0.3) == expected
    assert restored_at_each_step(builder, steps) == expected


# top_n


KEYED = STREAM.key_by("model", "region")
TENS = KEYED.with_tumbling_window("10us").aggregate("value", STATISTICS)


def said(pane: ls.AggregationResult) -> tuple[Any, ...]:
    return (
        pane.window.micros,
        pane.key.values(),
        pane.results,
        pane.pane.timing,
        pane.pane.index,
    )


def ranked(builder: Any, steps: Sequence[Step]) -> list[tuple[Any, ...]]:
    return [said(pane) for pane in outputs(builder, steps)]


def naive_rankings(
    builder: Any, steps: Sequence[Step], n: int, by: str, per: Sequence[str] = (), *, ascending: bool = False
) -> list[tuple[Any, ...]]:
    """Of all panes that the windows have given so far, step by step."""
    windows: dict[tuple[int, int], dict[Any, ls.AggregationResult]] = {}
    times: dict[Any, int] = {}
    made = []

    def group_of(pane: ls.AggregationResult) -> Any:
        return key_order(pane.key[path] for path in per)

    def top(span: tuple[int, int], group: Any) -> list[ls.AggregationResult]:
        sign = 1 if ascending else -1
        panes = [
            pane
            for pane in windows.get(span, {}).values()
            if group_of(pane) == group and pane.results[by] is not None
        ]
        return sorted(panes, key=lambda pane: (sign * pane.results[by], key_order(pane.key.values())))[:n]

    def contents(panes: Iterable[ls.AggregationResult]) -> list[Any]:
        return [(key_order(pane.key.values()), pane.results) for pane in panes]

    def put_out(span: tuple[int, int], group: Any, timing: str) -> None:
        panes = top(span, group)
        for rank, pane in enumerate(panes, 1):
            results = {**pane.results, "rank": rank}
            index = times.get((span, group), 0)
            made.append((pane.window.micros, pane.key.values(), results, timing, index))
        if panes:
            times[span, group] = times.get((span, group), 0) + 1

    for panes in stepwise(builder, steps):
        completed = set()
        for pane in panes:
            start, end = pane.window.micros
            span, group = (end, start), group_of(pane)
            before = contents(top(span, group))
            windows.setdefault(span, {})[key_order(pane.key.values())] = pane
            if pane.pane.timing == "on_time":
                completed.add(span)
            elif before != contents(top(span, group)):
                put_out(span, group, "late")
        for span in sorted(completed):
            for group in sorted({group_of(pane) for pane in windows[span].values()}):
                put_out(span, group, "on_time")
    return made


def random_steps(seed: int, length: int = 70) -> list[Step]:
    chance = random.Random(seed)
    watermark = 0
    steps: list[Step] = []
    for number in range(length):
        if chance.random() < 0.25:
            watermark += chance.choice([1, 3, 10, 25])
            steps.append(watermark)
        steps.append(
            {
                "ts": max(0, watermark + chance.randrange(-15, 20)),
                "model": chance.choice(["a", "b", "c", None, 1, 2.5, True, False]),
                "region": chance.choice(["eu", "us"]),
                "value": chance.choice([None, 0, 1, 2, 3]),
                "number": number,
            }
        )
    return [*steps, None]


WINDOWS: dict[str, Callable[[Any], Any]] = {
    "tumbling": lambda stream: stream.with_tumbling_window("10us"),
    "lateness": lambda stream: stream.with_tumbling_window("10us", allowed_lateness="12us"),
    "sliding": lambda stream: stream.with_sliding_window("10us", "4us", allowed_lateness="5us"),
    "cumulative": lambda stream: stream.with_cumulative_window("12us", "4us"),
}


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("per", "ascending"), [((), False), ((), True), (("region",), False)])
def test_rankings_are_those_of_all_results_and_obey_law_1(
    window: str, per: tuple[str, ...], ascending: bool
) -> None:
    windows = WINDOWS[window](KEYED).aggregate("value", STATISTICS)
    for seed in range(2):
        steps = random_steps(seed)
        builder = windows.top_n(2, by="max", per=per, ascending=ascending)
        assert ranked(builder, steps) == naive_rankings(windows, steps, 2, "max", per, ascending=ascending)
        obey_law_1(builder, steps, seed)


def test_rankings_obey_law_1_where_records_move_the_watermark() -> None:
    moved = KEYED.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5us"))
    for window in WINDOWS.values():
        windows = window(moved).aggregate("value", STATISTICS)
        steps = [step for step in random_steps(7) if not isinstance(step, int)]
        builder = windows.top_n(2, by="sum", per="region")
        assert ranked(builder, steps) == naive_rankings(windows, steps, 2, "sum", ["region"])
        obey_law_1(builder, steps, 1)
        # What follows sees the same watermarks, however the input is cut.
        followed = builder.process(Clock)
        obey_law_1(followed, steps, 2)


class Clock:
    """Says between which records timers are due."""

    def process(self, record: Mapping[str, Any], context: Any) -> dict[str, Any]:
        context.set_timer(int(context.timestamp.timestamp() * 1e6) + 2)
        return {"rank": record["rank"], "count": record["count"]}

    def on_timer(self, time: Any, context: Any) -> None:
        context.emit({"due": time})


def record(ts: int, model: Any, value: Any, region: str = "eu") -> dict[str, Any]:
    return {"ts": ts, "model": model, "region": region, "value": value}


def test_ties_are_in_the_order_of_the_keys() -> None:
    models = ["b", 2, None, "a", True, 1.5, False]
    panes = outputs(TENS.top_n(7, by="sum"), [*(record(1, model, 3) for model in models), 10])
    assert [pane.key["model"] for pane in panes] == [None, False, True, 1.5, 2, "a", "b"]
    assert [pane.results["rank"] for pane in panes] == [1, 2, 3, 4, 5, 6, 7]


def test_results_that_are_null_have_no_rank() -> None:
    steps = [record(1, "a", None), record(2, "b", -1), 10]
    assert [pane.key["model"] for pane in outputs(TENS.top_n(5, by="max"), steps)] == ["b"]
    assert outputs(TENS.top_n(5, by="max"), [record(1, "a", None), 10]) == []


def test_a_ranking_comes_out_at_the_end_of_its_window_and_not_before() -> None:
    steps = [record(1, "a", 1), record(2, "b", 2), 9, 10, 11]
    windows = KEYED.with_tumbling_window("10us", allowed_lateness="30us").aggregate("value", STATISTICS)
    for builder in (TENS.top_n(1, by="sum"), windows.top_n(1, by="sum")):
        assert [len(panes) for panes in stepwise(builder, steps)] == [0, 0, 0, 1, 0]


def test_a_late_record_that_changes_the_first_n_puts_the_ranking_out_again() -> None:
    windows = KEYED.with_tumbling_window("10us", allowed_lateness="5us").aggregate("value", ["sum"])
    steps: list[Step] = [
        *(record(1, model, value) for model, value in [("a", 3), ("b", 2), ("c", 1)]),
        10,
        record(2, "c", 0.5),  # still third
        record(2, "c", 5),
        record(3, "a", 0),  # changes nothing
        14,
        record(3, "new", 9),
        15,
        record(3, "b", 99),  # too late
    ]
    shown = [
        [(pane.key["model"], pane.results["sum"], pane.results["rank"], pane.pane.index) for pane in panes]
        for panes in stepwise(windows.top_n(2, by="sum"), steps)
    ]
    assert shown == [
        [], [], [],
        [("a", 3.0, 1, 0), ("b", 2.0, 2, 0)],
        [],
        [("c", 6.5, 1, 1), ("a", 3.0, 2, 1)],
        [], [],
        [("new", 9.0, 1, 2), ("c", 6.5, 2, 2)],
        [], [],
    ]  # fmt: skip


def test_the_last_ranking_says_so() -> None:
    windows = KEYED.with_tumbling_window("10us", allowed_lateness="5us").aggregate("value", ["sum"])
    builder = windows.top_n(1, by="sum")
    in_time = outputs(builder, [record(1, "a", 1), 10, record(2, "a", 1), 15])
    assert [(pane.pane.timing, pane.pane.is_last) for pane in in_time] == [
        ("on_time", False),
        ("late", False),
    ]
    assert [pane.pane.is_last for pane in outputs(builder, [record(1, "a", 1), None])] == [True]
    assert [pane.pane.is_last for pane in outputs(TENS.top_n(1, by="sum"), [record(1, "a", 1), 10])] == [True]


def test_early_panes_of_a_key_are_ranked_by_the_latest() -> None:
    windows = (
        KEYED.with_tumbling_window("10us")
        .with_trigger(ls.AfterWatermark(early=ls.CountTrigger(1)))
        .aggregate("value", ["sum"])
    )
    steps = [record(1, "a", 5), record(1, "b", 6), record(2, "a", -4), 10]
    panes = outputs(windows.top_n(2, by="sum"), steps)
    assert [(pane.key["model"], pane.results) for pane in panes] == [
        ("b", {"sum": 6.0, "rank": 1}),
        ("a", {"sum": 1.0, "rank": 2}),
    ]


def test_results_are_kept_until_their_window_cannot_fire_again() -> None:
    windows = KEYED.with_tumbling_window("10us", allowed_lateness="5us").aggregate("value", ["sum"])
    harness = PipelineHarness(windows.top_n(1, by="sum"))
    harness.push([record(1, f"model {number}", number) for number in range(20)])
    lives = []
    for watermark in (10, 14, 15):
        harness.advance_watermark(watermark)
        lives.append(work_of(harness).live())
    assert lives == [20, 20, 0]


def test_of_windows_that_fire_once_only_n_results_are_kept() -> None:
    builder = TENS.top_n(2, by="sum", per="region")
    work = work_of(PipelineHarness(builder))
    panes = outputs(TENS, [*(record(1, number, number) for number in range(50)), 10])
    writer = FlowWriter(START)
    writer.mark(9)
    for pane in panes:
        writer.add(PaneRecord(pane), 9, pane.key)
    assert len(work.run(writer.flow)) == 0
    assert work.live() == 2
    work._advance(10, writer)
    assert work.live() == 0
    assert [each["model"] for each in writer.flow.records[-2:]] == [49, 48]


def test_filters_may_come_between_where_windows_fire_once() -> None:
    steps = [record(1, "a", 5), record(1, "b", 3), record(2, "b", 1), 10]
    by_core, by_python = ls.col("count") > 1, lambda pane: pane["count"] > 1
    for condition in (by_core, by_python):
        panes = outputs(TENS.filter(condition).top_n(1, by="sum"), steps)
        assert [(pane.key["model"], pane.results["rank"]) for pane in panes] == [("b", 1)]
    again = KEYED.with_tumbling_window("10us", allowed_lateness="5us").aggregate("value", ["sum"])
    with pytest.raises(ls.ConfigurationError, match="top_n: a filter comes before it"):
        again.filter(by_core).top_n(1, by="sum")


def test_rankings_are_records_of_the_next_stage() -> None:
    often = TENS.top_n(1, by="sum").key_by("model").with_tumbling_window("30us").aggregate("rank", ["count"])
    steps = [record(1, "a", 5), record(1, "b", 3), record(11, "a", 1), record(21, "b", 1), None]
    panes = outputs(often, steps)
    assert [(pane.window.micros, pane.key["model"], pane.results) for pane in panes] == [
        ((0, 30), "a", {"count": 2}),
        ((0, 30), "b", {"count": 1}),
    ]


def test_rankings_of_a_run_go_to_sinks() -> None:
    sink = ls.CollectSink()
    source = ls.IterableSource([record(1, "a", 5), record(1, "b", 6)])
    TENS.top_n(1, by="sum").with_source(source).with_sink(sink).build().run()
    assert [(pane.key["model"], pane.results["rank"]) for pane in sink.results] == [("b", 1)]


def test_explain_says_where_rankings_are_made() -> None:
    text = TENS.top_n(3, by="sum", per="region", ascending=True).plan.explain()
    (line,) = (line for line in text.splitlines() if "top_n" in line)
    assert " ".join(line.split()) == "top_n 3 by sum, least first per region Python per record"


DISCARDING = TENS.with_accumulation("discarding")


class OwnTrigger(ls.WindowTrigger):
    def should_fire(self, window: ls.Window, watermark: ls.Watermark, element_count: int) -> bool:
        return watermark.timestamp >= window.end


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: KEYED.top_n(1, by="sum"), "say it directly behind one"),
        (lambda: TENS.map(dict).top_n(1, by="sum"), "only filters may come between"),
        (lambda: TENS.top_n(1, by="sum").top_n(1, by="sum"), "only filters may come between"),
        (lambda: TENS.key_by("region").top_n(1, by="sum"), "say it directly behind one"),
        (lambda: TENS.top_n(0, by="sum"), "n: 0 is not a number of results"),
        (lambda: TENS.top_n(True, by="sum"), "n: True is not a number of results"),
        (lambda: TENS.top_n(1, by="p99"), "by: 'p99' is no result; expected one of count, sum, max"),
        (lambda: TENS.top_n(1, by="sum", per="tenant"), "per: 'tenant' is no field of the key; expected one of model"),
        (lambda: KEYED.with_session_window("5us").top_n(1, by="sum"), "session windows are of one key"),
        (lambda: KEYED.with_count_window(5).top_n(1, by="sum"), "count windows are of one key"),
        (lambda: KEYED.with_global_window().top_n(1, by="sum"), "global windows are of one key"),
        (lambda: KEYED.with_tumbling_window("5us", time="processing").top_n(1, by="sum"), "not of the clock"),
        (lambda: DISCARDING.top_n(1, by="sum"), "leave with_accumulation"),
        (lambda: TENS.with_trigger(OwnTrigger()).top_n(1, by="sum"), "with_trigger: of "),
        (lambda: STREAM.key_by("rank").with_tumbling_window("5us").top_n(1, by="sum"), "a field 'rank' already"),
    ],
)  # fmt: skip
def test_rankings_that_make_no_sense_are_refused(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=f"top_n: .*{message}"):
        wrong()
