"""Rankings: of the results of a window, and of what trends."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from itertools import groupby
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


BY_CLOCK = STREAM.key_by("model").with_tumbling_window("10us", time="processing").aggregate("value", ["sum"])


def test_windows_of_the_clock_are_ranked_when_the_clock_is_at_their_end() -> None:
    harness = PipelineHarness(BY_CLOCK.top_n(2, by="sum"))
    records = [
        {"ts": ts, "model": model, "value": value}
        for ts, model, value in [(7, "a", 1), (900, "b", 3), (1, "c", 2)]
    ]
    harness.push(records)
    harness.advance_watermark(1000)
    harness.advance_processing_time(9)
    assert harness.drain() == []
    harness.push(records[0])
    harness.advance_processing_time(10)
    assert [said(pane) for pane in harness.drain()] == [
        ((0, 10), ("b",), {"sum": 3.0, "rank": 1}, "on_time", 0),
        ((0, 10), ("a",), {"sum": 2.0, "rank": 2}, "on_time", 0),
    ]
    harness.push(records[0])
    harness.end_of_input()
    assert [said(pane)[:3] for pane in harness.drain()] == [((10, 20), ("a",), {"sum": 1.0, "rank": 1})]
    assert work_of(harness).live() == 0


@pytest.mark.parametrize(
    "builder",
    [
        BY_CLOCK.top_n(2, by="sum"),
        BY_CLOCK.filter(ls.col("sum") > 3).top_n(1, by="sum"),
        BY_CLOCK.top_n(2, by="sum").key_by("rank").with_tumbling_window("40us").aggregate("sum", STATISTICS),
        STREAM.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("20us"))
        .key_by("model")
        .with_sliding_window("30us", "10us", time="processing")
        .aggregate("value", ["sum"])
        .top_n(2, by="sum"),
    ],
    ids=["top_n", "of results that are chosen", "in windows", "sliding"],
)
def test_rankings_by_the_clock_obey_law_1(builder: Any) -> None:
    rng = random.Random(7)
    clock, turns = 0, []
    for at in range(300):
        if rng.random() < 0.2:
            clock += rng.randrange(25)
            turns.append(clock)
        else:
            turns.append(
                {"ts": at - rng.randrange(30), "model": rng.choice("abcd"), "value": rng.randrange(9)}
            )

    def driven(most: int, *, restores: bool = False) -> list[Any]:
        harness = PipelineHarness(builder)
        for of_clock, group in groupby(turns, key=lambda turn: isinstance(turn, int)):
            listed = list(group)
            for first in range(0, len(listed), 1 if of_clock else most):
                if of_clock:
                    harness.advance_processing_time(listed[first])
                else:
                    harness.push(listed[first : first + most])
                if restores:
                    harness = PipelineHarness.restore(builder, harness.snapshot())
        harness.end_of_input()
        return harness.drain()

    expected = driven(1)
    assert len(expected) > 10
    assert driven(100) == driven(3) == driven(2, restores=True) == expected


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
        (lambda: DISCARDING.top_n(1, by="sum"), "leave with_accumulation"),
        (lambda: TENS.with_trigger(OwnTrigger()).top_n(1, by="sum"), "with_trigger: of "),
        (lambda: STREAM.key_by("rank").with_tumbling_window("5us").top_n(1, by="sum"), "a field 'rank' already"),
    ],
)  # fmt: skip
def test_rankings_that_make_no_sense_are_refused(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=f"top_n: .*{message}"):
        wrong()


# trending


SECOND = 1_000_000
ITEMS = STREAM.key_by("item")


def event(ts: float, item: Any) -> dict[str, Any]:
    """A record at so many seconds."""
    return {"ts": round(ts * SECOND), "item": item}


def shown(events: Iterable[ls.ProcessorEvent]) -> list[tuple[Any, ...]]:
    return [
        (each.data["window_end"].timestamp(), each.data["rank"], each.data["item"], each.data["score"])
        for each in events
    ]


def decayed(age: int, half_life: int) -> Decimal:
    return Decimal(2) ** (Decimal(-age) / half_life)


def naive_trends(
    steps: Sequence[Step], half_life: int, window: int, top: int, drop_below: float
) -> list[tuple[Any, ...]]:
    """All times of all items that are not forgotten."""
    counted: dict[Any, list[int]] = {}
    waiting: list[tuple[int, Any]] = []
    complete = -math.inf
    made = []
    with localcontext(prec=60):
        for step in steps:
            if isinstance(step, Mapping):
                if step["ts"] < complete:
                    counted.setdefault(step["item"], []).append(step["ts"])
                else:
                    waiting.append((step["ts"], step["item"]))
                continue
            ends = [ts // window * window + window for ts, _ in waiting]
            last = max(ends, default=-math.inf) if step is None else step // window * window
            while complete < last and (counted or min(ends, default=math.inf) <= last):
                complete = end = int(complete + window if counted else min(ends))
                for ts, item in waiting:
                    if ts < end:
                        counted.setdefault(item, []).append(ts)
                waiting = [each for each in waiting if each[0] >= end]
                ends = [ts // window * window + window for ts, _ in waiting]
                scores = {
                    item: sum(decayed(end - ts, half_life) for ts in times).quantize(Decimal(10) ** -40)
                    for item, times in counted.items()
                }
                counted = {item: times for item, times in counted.items() if scores[item] >= drop_below}
                greatest = sorted(counted, key=lambda item: (-scores[item], key_order([item])))
                made += [
                    (end / SECOND, rank, item, float(scores[item]))
                    for rank, item in enumerate(greatest[:top], 1)
                ]
            complete = max(complete, last)
    return made


def random_items(seed: int, length: int = 100) -> list[Step]:
    chance = random.Random(seed)
    watermark = -20 * SECOND
    steps: list[Step] = []
    for _ in range(length):
        if chance.random() < 0.2:
            watermark += chance.choice([1, SECOND, 7 * SECOND, 30 * SECOND])
            steps.append(watermark)
        # Whole seconds make ties.
        ts = watermark + chance.randrange(-8, 25) * SECOND
        steps.append({"ts": ts, "item": chance.choice(["a", "b", "c", "d", "e", None, 7])})
    return [*steps, None]


@pytest.mark.parametrize(
    ("half_life", "window", "drop_below"),
    [("5s", "5s", 0.1), ("7s", "3s", 0.25), ("1s", "1m", 1e-9), ("100s", "4s", 0.9), ("3s", "10s", 1e-30)],
)
def test_trends_are_decayed_sums_and_obey_law_1(half_life: str, window: str, drop_below: float) -> None:
    for seed in range(2):
        steps = random_items(seed)
        builder = ITEMS.trending(half_life=half_life, top=3, window=window, drop_below=drop_below)
        got = shown(outputs(builder, steps))
        micros = (int(half_life[:-1]) * SECOND, 60 * SECOND if window == "1m" else int(window[:-1]) * SECOND)
        expected = naive_trends(steps, *micros, 3, drop_below)
        assert [each[:3] for each in got] == [each[:3] for each in expected]
        assert [each[3] for each in got] == pytest.approx([each[3] for each in expected], rel=1e-9)
        assert len(got) > 5
        obey_law_1(builder, steps, seed)
        if seed == 0:
            obey_law_1(builder.process(Due), steps, seed)


class Due:
    """Says between which records timers are due."""

    def process(self, record: Mapping[str, Any], context: Any) -> dict[str, Any]:
        context.set_timer(record["window_end"])
        return dict(record)

    def on_timer(self, time: Any, context: Any) -> None:
        context.emit({"due": time})


def test_disorder_within_the_bound_changes_no_trend() -> None:
    chance = random.Random(3)
    times = [chance.uniform(0, 200) for _ in range(300)]
    records = [event(ts, chance.choice("abcdef")) for ts in times]
    builder = ITEMS.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("20s")).trending(
        half_life="9s", window="10s", drop_below=0.01
    )
    ordered = sorted(records, key=lambda each: each["ts"])
    disordered = sorted(records, key=lambda each: each["ts"] + chance.uniform(0, 20) * SECOND)
    expected = outputs(builder, [*ordered, None])
    assert disordered != ordered
    assert len(expected) > 50
    # To the bit.
    assert outputs(builder, [*disordered, None]) == expected


def test_a_score_halves_with_each_half_life() -> None:
    builder = ITEMS.trending(half_life="10s", window="10s", drop_below=0.1)
    steps = [event(0, "a"), event(0, "a"), event(10, "b"), 30 * SECOND]
    assert shown(outputs(builder, steps)) == [
        (10.0, 1, "a", 1.0),
        (20.0, 1, "a", 0.5),
        (20.0, 2, "b", 0.5),
        (30.0, 1, "a", 0.25),
        (30.0, 2, "b", 0.25),
    ]


def test_a_trend_is_a_record_of_its_item_at_the_end_of_the_window() -> None:
    (trend,) = outputs(ITEMS.trending(half_life="10s", window="10s"), [event(0, "a"), 10 * SECOND])
    assert trend.key == {"item": "a"}
    assert trend.timestamp == datetime(1970, 1, 1, 0, 0, 9, 999_999, tzinfo=UTC)
    end = datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC)
    assert trend.data == {"item": "a", "rank": 1, "score": 0.5, "window_end": end}


def test_a_record_counts_from_the_end_of_its_own_window_on() -> None:
    builder = ITEMS.trending(half_life="10s", window="10s", drop_below=0.2)
    steps = [event(10, "ahead"), event(0, "now"), 10 * SECOND, 20 * SECOND]
    assert [each[:3] for each in shown(outputs(builder, steps))] == [
        (10.0, 1, "now"),
        (20.0, 1, "ahead"),
        (20.0, 2, "now"),
    ]


@pytest.mark.parametrize(("ts", "late"), [(9, 1), (10, 0), (12, 0)])
def test_a_record_of_a_complete_window_is_late_and_counts_from_the_next_on(ts: int, late: int) -> None:
    harness = PipelineHarness(ITEMS.trending(half_life="10s", window="10s", drop_below=0.01))
    harness.push(event(0, "a"))
    harness.advance_watermark(15 * SECOND)
    harness.push(event(ts, "b"))
    assert harness.metrics["late"] == late
    harness.drain()
    harness.advance_watermark(20 * SECOND)
    assert shown(harness.drain()) == [
        (20.0, 1, "b", pytest.approx(0.5 ** ((20 - ts) / 10))),
        (20.0, 2, "a", 0.25),
    ]


def test_an_item_is_forgotten_when_its_score_is_less_than_the_least() -> None:
    builder = ITEMS.trending(half_life="10s", window="10s", drop_below=0.25)
    harness = PipelineHarness(builder)
    harness.push([event(0, "a"), event(35, "b")])
    lives = []
    for end in (10, 20, 30, 40, 70):
        harness.advance_watermark(end * SECOND)
        lives.append((end, shown(harness.drain()), work_of(harness).live()))
    b = pytest.approx(0.5**0.5)
    assert lives == [
        (10, [(10.0, 1, "a", 0.5)], 2),
        (20, [(20.0, 1, "a", 0.25)], 2),
        (30, [], 1),
        (40, [(40.0, 1, "b", b)], 1),
        (70, [(50.0, 1, "b", pytest.approx(0.5**1.5))], 0),
    ]


def test_the_last_ranking_of_the_input_is_that_of_the_latest_record() -> None:
    harness = PipelineHarness(ITEMS.trending(half_life="1d", window="10s"))
    harness.push([event(25, "a")])
    harness.end_of_input()
    assert [each[:3] for each in shown(harness.drain())] == [(30.0, 1, "a")]
    assert work_of(harness).live() == 0


def test_trends_far_from_the_epoch_and_far_apart() -> None:
    builder = ITEMS.trending(half_life="1ms", window="1ms", drop_below=0.5)
    steps = [event(-(10**9), "old"), event(0, "a"), event(0.0005, "b"), event(10**9, "new"), None]
    got = shown(outputs(builder, steps))
    assert [each[1:3] for each in got] == [(1, "old"), (1, "b"), (2, "a"), (1, "new")]
    assert [each[3] for each in got] == [0.5, pytest.approx(0.5**0.5), 0.5, 0.5]


def zipf(seed: int, items: int, length: int) -> list[int]:
    chance = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(items)]
    return chance.choices(range(items), weights, k=length)


@pytest.mark.parametrize("capacity", [10, 40, 200])
def test_scores_of_more_items_than_counters_are_within_their_errors(capacity: int) -> None:
    half_life, top = 20 * SECOND, 10
    for seed in range(3):
        items = zipf(seed, 1000, 2000)
        records = [event(number / 50, item) for number, item in enumerate(items)]  # 40 s
        builder = ITEMS.trending(half_life="20s", window="10s", top=top, drop_below=1e-12, capacity=capacity)
        harness = PipelineHarness(builder)
        for record in records:
            harness.push(record)
            if record["ts"] % SECOND == 0:
                harness.advance_watermark(record["ts"])
            assert work_of(harness).live() <= 4 * capacity
        harness.end_of_input()
        events = harness.drain()
        assert len(events) == 4 * top
        for first in range(0, len(events), top):
            ranking = [each.data for each in events[first : first + top]]
            end = ranking[0]["window_end"].timestamp() * SECOND
            truth: dict[int, float] = {}
            for record in records:
                if record["ts"] < end:
                    score = 0.5 ** ((end - record["ts"]) / half_life)
                    truth[record["item"]] = truth.get(record["item"], 0.0) + score
            bound = sum(truth.values()) / capacity
            for each in ranking:
                true, error = truth[each["item"]], each.get("error", 0.0)
                assert error <= bound
                assert true * (1 - 1e-9) <= each["score"] <= (true + error) * (1 + 1e-9)
            ranked_items = {each["item"] for each in ranking}
            others = [score for item, score in truth.items() if item not in ranked_items]
            assert max(others) <= ranking[-1]["score"] * (1 + 1e-9)


def test_items_beyond_the_counters_obey_law_1_and_are_forgotten() -> None:
    builder = ITEMS.trending(half_life="2s", window="3s", top=3, drop_below=0.1, capacity=3)
    steps: list[Step] = [event(number / 5, item) for number, item in enumerate(zipf(1, 50, 120))]
    for at in range(len(steps), 0, -15):
        steps.insert(at, (at // 5 - 4) * SECOND)
    obey_law_1(builder, [*steps, None], 4)
    harness = PipelineHarness(builder)
    for step in steps:
        take(harness, step)
    harness.advance_watermark(1000 * SECOND)
    assert work_of(harness).live() == 0
    harness.drain()
    # Whatever was forgotten has decayed as well.
    harness.push(event(2000, "a"))
    harness.end_of_input()
    (trend,) = harness.drain()
    assert "error" not in trend.data


def test_equal_items_beyond_the_counters_are_kept_in_the_order_of_their_keys() -> None:
    builder = ITEMS.trending(half_life="10s", window="10s", top=2, capacity=2)
    events = outputs(builder, [*(event(0, item) for item in "fedcba"), None])
    # Of f, e, d, c and b the first two by key were kept; a may have been among those who were not.
    assert [(each.data["item"], each.data["score"], each.data.get("error")) for each in events] == [
        ("a", 1.0, 0.5),
        ("b", 0.5, None),
    ]


def test_explain_says_where_trends_are_found() -> None:
    text = ITEMS.trending(half_life="30s", top=5).plan.explain()
    (line,) = (line for line in text.splitlines() if "trending" in line)
    assert " ".join(line.split()) == (
        "trending item: top 5 every 5m, half-life 30s, scores from 0.1, 1000 counters Python per record"
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (STREAM.trending, "what\\? say it by .key_by"),
        (lambda: STREAM.key_by("score").trending(), "'score' is the name of a field"),
        (lambda: ITEMS.trending(top=0), "top: 0 is not a number of items"),
        (lambda: ITEMS.trending(top=2.5), "top: 2.5 is not a number of items"),
        (lambda: ITEMS.trending(half_life=0), "half_life: 0 is not a positive duration"),
        (lambda: ITEMS.trending(window="0s"), "window: '0s' is not a positive duration"),
        (lambda: ITEMS.trending(drop_below=0), "drop_below: 0 is not a score greater than 0"),
        (lambda: ITEMS.trending(drop_below=math.nan), "drop_below: nan is not a score"),
        (lambda: ITEMS.trending(top=10, capacity=9), "capacity: 9 is not a number of counters of at least 10"),
    ],
)  # fmt: skip
def test_trends_that_make_no_sense_are_refused(wrong: Callable[[], Any], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=f"trending: .*{message}"):
        wrong()


@pytest.mark.parametrize("start", range(9))
def test_a_score_of_exactly_the_least_is_kept_wherever_its_record_lies(start: int) -> None:
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .key_by("k")
        .trending(half_life="8s", window="1s", drop_below=0.5)
    )
    harness = PipelineHarness(builder)
    harness.push({"ts": start, "k": "a"})
    harness.advance_watermark(100_000_000)
    assert [event.data["score"] for event in harness.drain()] == pytest.approx(
        [0.5 ** (age / 8) for age in range(1, 9)]
    )
