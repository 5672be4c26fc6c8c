"""The oracle with windows and triggers written in Python, and made from a builder; by hand.

What a file can say (every built-in kind and trigger) is checked against the conformance suite's cases.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import Count, Custom, Metric, NaivePane, NaiveWindows, Session, Tumbling

SUM = [Metric("value", ["sum"])]
EARLIEST, END_OF_TIME = -(2**63), 2**63 - 1


def record(ts: Any, value: Any = 1, key: Any = "a", **more: Any) -> dict[str, Any]:
    return {"ts": ts, "key": key, "value": value, **more}


def shown(panes: list[NaivePane]) -> list[tuple[Any, ...]]:
    return [(pane.window, pane.results["sum"], pane.timing, pane.index, pane.is_last) for pane in panes]


class Asked(ls.WindowTrigger):
    """Fires from `threshold` waiting records on, or when the window is complete; notes what it is asked."""

    def __init__(self, threshold: int, purge_at: int = 0) -> None:
        self.threshold = threshold
        self.purge_at = purge_at
        self.asked: list[tuple[int, int, int]] = []

    def should_fire(self, window: ls.Window, watermark: ls.Watermark, element_count: int) -> bool:
        end = int((window.end - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
        self.asked.append((end, int(watermark), element_count))
        return element_count >= self.threshold

    def should_purge(self, window: ls.Window, watermark: ls.Watermark) -> bool:
        return int(watermark) >= self.purge_at


def test_a_users_trigger_is_asked_after_records_and_at_steps_where_records_wait_or_the_end_is_reached() -> (
    None
):
    trigger = Asked(2)
    windows = NaiveWindows(Tumbling(10), metrics=SUM, trigger=trigger, allowed_lateness=20)
    windows.push(record(1))
    windows.advance_watermark(5)
    windows.advance_processing_time(100)
    windows.push(record(2))
    assert trigger.asked == [(10, EARLIEST, 1), (10, 5, 1), (10, 5, 2)]
    trigger.asked.clear()
    windows.advance_watermark(6)  # nothing waits
    windows.advance_watermark(6)
    windows.advance_watermark(10)  # the end
    windows.advance_watermark(11)
    assert trigger.asked == [(10, 10, 0)]
    assert shown(windows.drain()) == [((0, 10), 2, "early", 0, False)]


def test_a_users_trigger_keeps_state_that_can_still_fire_but_takes_no_records() -> None:
    trigger = Asked(2, purge_at=30)
    windows = NaiveWindows(Tumbling(10), metrics=SUM, trigger=trigger)
    windows.push(record(1, 7))
    windows.advance_watermark(15)
    windows.push(record(2, 1))
    assert windows.counters["late"] == 1
    assert windows.counters["unfired"] == 0
    trigger.threshold = 1
    windows.advance_watermark(20)
    assert shown(windows.drain()) == [((0, 10), 7, "late", 0, False)]
    windows.advance_watermark(30)
    trigger.threshold = 0
    windows.end_of_input()
    assert windows.drain() == []


def test_what_waits_when_a_users_trigger_purges_is_unfired() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, trigger=Asked(2, purge_at=30))
    windows.push([record(1), record(12, key="b")])
    windows.advance_watermark(29)
    assert windows.counters["unfired"] == 0
    windows.advance_watermark(30)
    assert windows.counters["unfired"] == 2


def test_the_end_of_the_input_ends_state_that_a_users_trigger_would_keep() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, trigger=Asked(0, purge_at=END_OF_TIME + 1))
    windows.push(record(1))
    windows.end_of_input()
    assert shown(windows.drain()) == [
        ((0, 10), 1, "early", 0, False),
        ((0, 10), 1, "on_time", 1, True),
    ]
    trigger = Asked(9, purge_at=END_OF_TIME + 1)
    windows = NaiveWindows(Tumbling(10), metrics=SUM, trigger=trigger)
    windows.push(record(1))
    windows.advance_watermark(END_OF_TIME)
    assert windows.counters["unfired"] == 0
    windows.end_of_input()
    assert windows.counters["unfired"] == 1


def test_an_expired_session_that_is_kept_is_not_merged_with() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM, trigger=Asked(9, purge_at=100))
    windows.push(record(0, 1))
    windows.advance_watermark(10)
    windows.push(record(5, 2))
    windows.end_of_input()
    assert windows.drain() == []
    assert windows.counters["unfired"] == 2


def test_a_users_trigger_within_another_is_not_asked_by_the_clock() -> None:
    trigger = ls.any_of(Asked(1), ls.ProcessingTimeTrigger("10us"))
    windows = NaiveWindows(Tumbling(10), metrics=SUM, trigger=ls.all_of(ls.CountTrigger(2), trigger))
    windows.push(record(1))
    windows.push(record(2))
    assert shown(windows.drain()) == [((0, 10), 2, "early", 0, False)]
    windows.push([record(3), record(4, key="b")])
    windows.advance_processing_time(10)
    assert windows.drain() == []


def test_hybrid_keeps_no_window_open_for_records_beyond_allowed_lateness() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, trigger=ls.HybridTrigger(2, "1h"), allowed_lateness=5)
    windows.push([record(1), record(2), record(3)])
    windows.advance_watermark(10)
    windows.push(record(4))
    windows.advance_watermark(15)
    windows.push(record(5))
    assert shown(windows.drain()) == [
        ((0, 10), 2, "early", 0, False),
        ((0, 10), 3, "on_time", 1, False),
        ((0, 10), 4, "late", 2, False),
    ]
    assert windows.counters["late"] == 1


def test_custom_windows_are_those_of_the_function() -> None:
    windows = NaiveWindows(Custom(lambda time: [(0, 10), (5, 10)] if time >= 5 else [(0, 10)]), metrics=SUM)
    windows.push([record(1, 1), record(7, 2)])
    windows.end_of_input()
    assert shown(windows.drain()) == [((0, 10), 3, "on_time", 0, True), ((5, 10), 2, "on_time", 0, True)]


def test_custom_windows_may_be_none() -> None:
    windows = NaiveWindows(Custom(lambda time: []), metrics=SUM)
    windows.push(record(1))
    windows.advance_watermark(2)
    windows.push(record(1))
    assert windows.counters["outside_windows"] == 1
    assert windows.drain_late()[0].windows == []


@pytest.mark.parametrize("gap", [None, "7", True, float("nan"), float("inf"), 0, -1, 4e-7])
def test_record_without_a_usable_gap_is_malformed_and_moves_nothing(gap: Any) -> None:
    windows = NaiveWindows(Session(lambda record: record["gap"]), metrics=SUM, max_out_of_orderness=0)
    windows.push(record(100, gap=gap))
    assert windows.counters["malformed"] == 1
    assert windows.watermark == EARLIEST


def test_watermark_is_the_minimum_over_the_partitions_seen() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, max_out_of_orderness=0)
    windows.push(record(15, 1), partition=0)
    windows.push(record(9, 2), partition=1)  # is judged under 15, and does not move it back
    windows.push(record(30, 4), partition=0)
    assert windows.watermark == 15
    windows.push(record(20, 8), partition=1)
    assert windows.watermark == 20
    assert shown(windows.drain()) == [((10, 20), 1, "on_time", 0, True)]
    assert windows.counters["late"] == 1


def test_count_windows_take_no_other_trigger() -> None:
    with pytest.raises(ls.ConfigurationError, match="count windows fire when full"):
        NaiveWindows(Count(2, 2), trigger=ls.CountTrigger(1))


# From a builder


def of(builder: ls.StreamPipelineBuilder) -> NaiveWindows:
    return NaiveWindows.of(builder.with_event_time("ts", unit="us").key_by("key").aggregate("value", ["sum"]))


MICRO = timedelta(microseconds=1)


class Tens(ls.WindowAssigner):
    def assign(self, timestamp: Any) -> list[ls.Window]:
        return [ls.Window(timestamp - timestamp % 10, timestamp - timestamp % 10 + 10)]


@pytest.mark.parametrize(
    ("assigner", "panes"),
    [
        (ls.TumblingWindowAssigner(10 * MICRO), [((0, 10), 3), ((10, 20), 4)]),
        (ls.TumblingWindowAssigner(10 * MICRO, offset=2 * MICRO), [((-8, 2), 1), ((2, 12), 6)]),
        (
            ls.SlidingWindowAssigner(10 * MICRO, 5 * MICRO),
            [((-5, 5), 1), ((0, 10), 3), ((5, 15), 6), ((10, 20), 4)],
        ),
        (
            ls.CumulativeWindowAssigner(10 * MICRO, 5 * MICRO),
            [((0, 5), 1), ((0, 10), 3), ((10, 15), 4), ((10, 20), 4)],
        ),
        (ls.SessionWindowAssigner(5 * MICRO), [((1, 6), 1), ((7, 16), 6)]),
        (ls.SessionWindowAssigner(ls.col("gap")), [((1, 14), 7)]),
        (
            ls.SessionWindowAssigner(lambda record: record["value"] / 1e6),
            [((1, 2), 1), ((7, 9), 2), ((11, 15), 4)],
        ),
        (
            ls.CountWindowAssigner(2, 1),
            [((EARLIEST, END_OF_TIME), 1), ((EARLIEST, END_OF_TIME), 3), ((EARLIEST, END_OF_TIME), 6)],
        ),
        (ls.CountWindowAssigner(2, flush=True), [((EARLIEST, END_OF_TIME), 3), ((EARLIEST, END_OF_TIME), 4)]),
        (ls.GlobalWindowAssigner(), [((EARLIEST, END_OF_TIME), 7)]),
        (ls.TumblingWindowAssigner(10 * MICRO, time="processing"), [((0, 10), 7)]),
        (Tens(), [((0, 10), 3), ((10, 20), 4)]),
    ],
    ids=str,
)
def test_oracle_of_a_builder_has_its_windows(assigner: ls.WindowAssigner, panes: list[Any]) -> None:
    windows = of(ls.create_pipeline().with_window(assigner))
    windows.push([record(1, 1, gap=6e-6), record(7, 2, gap=4e-6), record(11, 4, gap=3e-6)])
    windows.end_of_input()
    assert [(pane.window, pane.results["sum"]) for pane in windows.drain()] == panes


def test_oracle_of_a_builder_has_its_trigger_lateness_accumulation_and_watermarks() -> None:
    windows = of(
        ls.create_pipeline()
        .with_tumbling_window(10 * MICRO)
        .with_trigger(ls.AfterWatermark(early=ls.CountTrigger(2)))
        .with_accumulation("discarding")
        .with_late_event_handler(ls.LateEventHandler(3 * MICRO))
        .with_watermark_generator(
            ls.PeriodicWatermarkGenerator(5 * MICRO, ls.BoundedOutOfOrdernessWatermark(2 * MICRO))
        )
    )
    windows.push([record(1, 1), record(2, 2), record(3, 4)])
    assert windows.watermark == -1
    windows.push([record(13, 0), record(9, 8), record(15, 0), record(9, 16), record(18, 0), record(9, 32)])
    assert shown(windows.drain()) == [
        ((0, 10), 3, "early", 0, False),
        ((0, 10), 4, "on_time", 1, False),
        ((0, 10), 8, "late", 2, False),
        ((10, 20), 0, "early", 0, False),
        ((0, 10), 16, "late", 3, False),
    ]
    assert windows.counters["late"] == 1


def test_oracle_of_a_builder_names_results_as_the_pipeline_does() -> None:
    windows = NaiveWindows.of(
        ls.create_pipeline()
        .with_tumbling_window("1s")
        .aggregate("ms", ["mean", "p99.90"], prefix="p_")
        .aggregate("cost", ["sum"])
    )
    windows.push(
        [
            {"timestamp": "1970-01-01T00:00:00Z", "ms": 4, "cost": 1},
            {"timestamp": datetime(1970, 1, 1, 0, 0, 0, 5, tzinfo=UTC), "ms": 6, "cost": 2},
        ]
    )
    windows.end_of_input()
    assert windows.drain()[0].results == {"p_average": 5.0, "p_p99.9": 6, "sum": 3}
