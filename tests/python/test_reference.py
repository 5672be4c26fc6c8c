"""The oracle against answers worked out by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from llmopt_stream.testing import Metric, NaivePane, NaiveWindows, Session, Sliding, Tumbling, key_order

COUNT = [Metric("value", ["count"])]
SUM = [Metric("value", ["sum"])]
END_OF_TIME = 2**63 - 1


def record(ts: Any, value: Any = 1, key: Any = "a") -> dict[str, Any]:
    return {"ts": ts, "key": key, "value": value}


def pane(
    start: int,
    end: int,
    value: Any,
    timing: str = "on_time",
    index: int = 0,
    *,
    last: bool,
    replaces: list[tuple[int, int]] | tuple[()] = (),
    key: Any = "a",
    name: str = "sum",
) -> NaivePane:
    return NaivePane((start, end), (key,), {name: value}, timing, index, last, list(replaces))


# Windows of a time


@pytest.mark.parametrize(
    ("time", "window"),
    [
        (-11, (-20, -10)),
        (-10, (-10, 0)),
        (-1, (-10, 0)),
        (0, (0, 10)),
        (9, (0, 10)),
        (10, (10, 20)),
    ],
)
def test_tumbling_window_starts_at_the_floor_also_before_1970(time: int, window: tuple[int, int]) -> None:
    assert Tumbling(10).windows_of(time) == [window]


@pytest.mark.parametrize(
    ("offset", "time", "window"),
    [(3, 2, (-7, 3)), (3, 3, (3, 13)), (-3, 6, (-3, 7)), (-3, 7, (7, 17)), (3, -8, (-17, -7))],
)
def test_offset_moves_tumbling_windows(offset: int, time: int, window: tuple[int, int]) -> None:
    assert Tumbling(10, offset).windows_of(time) == [window]


def test_slide_need_not_divide_the_size() -> None:
    assert Sliding(5, 2).windows_of(4) == [(0, 5), (2, 7), (4, 9)]
    assert Sliding(5, 2).windows_of(5) == [(2, 7), (4, 9)]
    assert Sliding(5, 2).windows_of(-1) == [(-4, 1), (-2, 3)]
    assert Sliding(5, 2, offset=1).windows_of(4) == [(1, 6), (3, 8)]


def test_slide_beyond_the_size_leaves_gaps() -> None:
    assert [Sliding(2, 5).windows_of(time) for time in (-1, 0, 1, 2, 4, 5)] == [
        [],
        [(0, 2)],
        [(0, 2)],
        [],
        [],
        [(5, 7)],
    ]


def test_windows_at_the_ends_of_time_saturate() -> None:
    assert Tumbling(10).windows_of(END_OF_TIME) == [(END_OF_TIME - 7, END_OF_TIME)]
    assert Session(10).windows_of(END_OF_TIME - 1) == [(END_OF_TIME - 1, END_OF_TIME)]


# Firing and lateness


@pytest.mark.parametrize(("watermark", "fired"), [(9, 0), (10, 1), (11, 1)])
def test_window_is_complete_when_the_watermark_reaches_its_end(watermark: int, fired: int) -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM)
    windows.push(record(9))
    windows.advance_watermark(watermark)
    assert len(windows.drain()) == fired


def test_watermark_never_goes_back() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM)
    windows.advance_watermark(20)
    windows.advance_watermark(5)
    windows.push(record(9))
    assert windows.watermark == 20
    assert windows.late == 1


@pytest.mark.parametrize(("watermark", "taken"), [(14, True), (15, False), (16, False)])
def test_record_is_dropped_once_the_watermark_reaches_end_plus_lateness(watermark: int, taken: bool) -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, allowed_lateness=5)
    windows.advance_watermark(watermark)
    windows.push(record(9, 7))
    assert windows.drain() == ([pane(0, 10, 7, "late", last=False)] if taken else [])
    assert windows.counters == {
        "records_in": 1,
        "aggregated": int(taken),
        "late": int(not taken),
        "malformed": 0,
        "outside_windows": 0,
        "unfired": 0,
    }


def test_late_record_fires_its_window_again_at_once() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, allowed_lateness=5)
    windows.push(record(1, 1))
    windows.advance_watermark(10)
    windows.push([record(2, 2), record(3, 4)])
    windows.end_of_input()
    assert windows.drain() == [
        pane(0, 10, 1, last=False),
        pane(0, 10, 3, "late", 1, last=False),
        pane(0, 10, 7, "late", 2, last=False),
    ]


def test_discarding_panes_hold_only_what_came_since_the_last() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, allowed_lateness=5, accumulation="discarding")
    windows.push([record(1, 1), record(1, 8)])
    windows.advance_watermark(10)
    windows.push([record(2, 2), record(3, 4)])
    assert windows.drain() == [
        pane(0, 10, 9, last=False),
        pane(0, 10, 2, "late", 1, last=False),
        pane(0, 10, 4, "late", 2, last=False),
    ]


def test_watermark_beyond_end_and_expiry_fires_the_pane_first() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, allowed_lateness=5)
    windows.push(record(1, 1))
    windows.advance_watermark(1000)
    windows.push(record(1, 2))
    assert windows.drain() == [pane(0, 10, 1, last=True)]
    assert windows.late == 1


def test_window_without_records_has_no_pane() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, allowed_lateness=5)
    windows.push(record(25, 1))
    windows.end_of_input()
    windows.end_of_input()
    assert windows.drain() == [pane(20, 30, 1, last=True)]
    assert windows.drain() == []


def test_expiry_at_the_end_of_time_saturates() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, allowed_lateness=2**62)
    windows.push(record(2**62, 1))
    windows.advance_watermark(END_OF_TIME - 1)
    assert [each.is_last for each in windows.drain()] == [False]
    windows.push(record(2**62, 1))
    assert [each.timing for each in windows.drain()] == ["late"]
    windows.end_of_input()
    windows.push(record(2**62, 1))
    assert windows.drain() == []


def test_record_is_judged_under_the_watermark_of_the_records_before_it() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, max_out_of_orderness=5)
    windows.push([record(3, 1), record(15, 2)])  # 15 moves the watermark to 10
    assert windows.drain() == [pane(0, 10, 1, last=True)]
    windows.push([record(16, 4), record(9, 8), record(10, 16)])
    windows.end_of_input()
    assert windows.drain() == [pane(10, 20, 22, last=True)]
    [late] = windows.drain_late()
    assert (late.event, late.key, late.windows) == (record(9, 8), ("a",), [(0, 10)])
    assert (late.watermark, late.lateness, late.position) == (11, 2, 3)


def test_record_completes_its_own_window_with_no_disorder_at_the_next_boundary() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, max_out_of_orderness=0)
    windows.push([record(9, 1), record(9, 2), record(10, 4)])
    assert windows.drain() == [pane(0, 10, 3, last=True)]


def test_a_new_key_has_the_watermark_of_the_stream() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, max_out_of_orderness=0)
    windows.push([record(50, 1, "a"), record(9, 2, "b")])
    assert [late.key for late in windows.drain_late()] == [("b",)]


# Sliding


def test_record_late_for_some_sliding_windows_counts_in_the_others() -> None:
    windows = NaiveWindows(Sliding(10, 5), metrics=SUM)
    windows.advance_watermark(10)
    windows.push(record(7, 1))  # [0, 10) has expired, [5, 15) has not
    windows.end_of_input()
    assert windows.drain() == [pane(5, 15, 1, last=True)]
    assert windows.drain_late() == []
    assert windows.counters["aggregated"] == 1


def test_record_fires_the_complete_sliding_windows_again_and_joins_the_open_one() -> None:
    windows = NaiveWindows(Sliding(9, 3), metrics=SUM, allowed_lateness=2)
    windows.push(record(6, 1))  # [0, 9) [3, 12) [6, 15)
    windows.advance_watermark(12)  # [0, 9) expired at 11
    windows.push(record(6, 2))
    windows.end_of_input()
    assert windows.drain() == [
        pane(0, 9, 1, last=True),
        pane(3, 12, 1, last=False),
        pane(3, 12, 3, "late", 1, last=False),
        pane(6, 15, 3, last=True),
    ]


def test_record_late_for_every_sliding_window_names_them_all() -> None:
    windows = NaiveWindows(Sliding(10, 5), metrics=SUM)
    windows.advance_watermark(15)
    windows.push(record(7, 1))
    assert [late.windows for late in windows.drain_late()] == [[(0, 10), (5, 15)]]


@pytest.mark.parametrize(("watermark", "late"), [(5, False), (6, False), (7, True)])
def test_record_in_a_gap_is_outside_until_the_watermark_passes_it(watermark: int, late: bool) -> None:
    windows = NaiveWindows(Sliding(2, 5), metrics=SUM, allowed_lateness=3)
    windows.advance_watermark(watermark)
    windows.push(record(3))
    assert windows.counters["late"] == int(late)
    assert windows.counters["outside_windows"] == int(not late)
    assert [each.windows for each in windows.drain_late()] == ([[]] if late else [])


def test_record_in_a_gap_moves_the_watermark() -> None:
    windows = NaiveWindows(Sliding(2, 5), metrics=SUM, max_out_of_orderness=0)
    windows.push([record(1), record(3)])
    assert windows.drain() == [pane(0, 2, 1, last=True)]


# Sessions


@pytest.mark.parametrize(
    ("second", "sessions"),
    [
        (9, [(0, 19)]),
        (10, [(0, 20)]),
        (11, [(0, 10), (11, 21)]),
        (-10, [(-10, 10)]),
        (-11, [(-11, -1), (0, 10)]),
    ],
)
def test_records_at_most_one_gap_apart_share_a_session(second: int, sessions: list[tuple[int, int]]) -> None:
    windows = NaiveWindows(Session(10), metrics=SUM)
    windows.push([record(0), record(second)])
    windows.end_of_input()
    assert [each.window for each in windows.drain()] == sessions


def test_sessions_of_different_keys_do_not_merge() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM)
    windows.push([record(0, 1, "a"), record(5, 2, "b")])
    windows.end_of_input()
    assert windows.drain() == [pane(0, 10, 1, last=True), pane(5, 15, 2, key="b", last=True)]


def test_bridge_between_unfired_sessions_merges_them_into_a_first_pane() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM)
    windows.push([record(0, 1), record(20, 2), record(10, 4)])
    windows.end_of_input()
    assert windows.drain() == [pane(0, 30, 7, last=True)]


def test_fired_session_grows_and_fires_again_when_the_watermark_passes_its_new_end() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM, allowed_lateness=20)
    windows.push(record(0, 1))
    windows.advance_watermark(12)
    windows.push(record(9, 2))  # [0, 19) is not complete at 12
    assert windows.drain() == [pane(0, 10, 1, last=False)]
    windows.advance_watermark(19)
    assert windows.drain() == [pane(0, 19, 3, index=1, replaces=[(0, 10)], last=False)]


def test_fired_session_that_grows_behind_the_watermark_fires_at_once() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM, allowed_lateness=20)
    windows.push(record(0, 1))
    windows.advance_watermark(15)
    windows.push([record(5, 2), record(5, 4), record(3, 8)])
    assert windows.drain() == [
        pane(0, 10, 1, last=False),
        pane(0, 15, 3, "late", 1, replaces=[(0, 10)], last=False),
        pane(0, 15, 7, "late", 2, last=False),
        pane(0, 15, 15, "late", 3, last=False),
    ]


def test_bridge_between_a_fired_and_an_unfired_session() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM, allowed_lateness=20)
    windows.push([record(0, 1), record(15, 2)])
    windows.advance_watermark(12)
    windows.push(record(8, 4))
    assert windows.drain() == [pane(0, 10, 1, last=False)]
    windows.advance_watermark(25)
    assert windows.drain() == [pane(0, 25, 7, index=1, replaces=[(0, 10)], last=False)]


def test_bridge_between_two_fired_sessions_replaces_both_and_continues_the_greater_index() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM, allowed_lateness=50)
    windows.push([record(20, 2), record(0, 1)])
    windows.advance_watermark(40)
    windows.push([record(20, 4), record(20, 8), record(10, 16)])
    assert windows.drain() == [
        pane(0, 10, 1, last=False),
        pane(20, 30, 2, last=False),
        pane(20, 30, 6, "late", 1, last=False),
        pane(20, 30, 14, "late", 2, last=False),
        pane(0, 30, 31, "late", 3, replaces=[(0, 10), (20, 30)], last=False),
    ]


def test_session_that_grows_twice_before_it_fires_replaces_only_what_was_delivered() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM, allowed_lateness=50)
    windows.push(record(0, 1))
    windows.advance_watermark(10)
    windows.push([record(5, 2), record(12, 4)])
    windows.advance_watermark(22)
    windows.push(record(-3, 8))
    assert windows.drain() == [
        pane(0, 10, 1, last=False),
        pane(0, 22, 7, index=1, replaces=[(0, 10)], last=False),
        pane(-3, 22, 15, "late", 2, replaces=[(0, 22)], last=False),
    ]


def test_discarding_session_that_grows_replaces_nothing() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM, allowed_lateness=20, accumulation="discarding")
    windows.push(record(0, 1))
    windows.advance_watermark(15)
    windows.push(record(5, 2))
    assert windows.drain() == [pane(0, 10, 1, last=False), pane(0, 15, 2, "late", 1, last=False)]


def test_late_record_is_taken_because_it_merges_with_a_session_that_lives() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM)
    windows.push(record(20, 1))
    windows.advance_watermark(25)
    windows.push([record(11, 2), record(0, 4)])  # [11, 21) alone would have expired; [0, 10) does not touch
    windows.end_of_input()
    assert windows.drain() == [pane(11, 30, 3, last=True)]
    [late] = windows.drain_late()
    assert (late.windows, late.lateness) == ([(0, 10)], 25)


def test_expired_session_is_not_joined_any_more() -> None:
    windows = NaiveWindows(Session(10), metrics=SUM)
    windows.push(record(0, 1))
    windows.advance_watermark(10)
    windows.push([record(10, 2), record(5, 4)])  # exactly one gap later, and within it
    windows.end_of_input()
    assert windows.drain() == [pane(0, 10, 1, last=True), pane(5, 20, 6, last=True)]


# Order, keys, values


def test_panes_of_one_firing_come_by_window_end_then_key() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=COUNT)
    keys = ["b", 10, "B", True, 2, None, False, -1.5, ""]
    windows.push([record(15, key=key) for key in keys] + [record(5, key="z")])
    windows.end_of_input()
    assert [each.key[0] for each in windows.drain()] == ["z", None, False, True, -1.5, 2, 10, "", "B", "b"]


def test_one_is_one_point_zero_but_neither_true_nor_text() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=COUNT)
    windows.push([record(1, key=key) for key in (1, True, 1.0, "1", 0, False)])
    windows.end_of_input()
    assert [(each.key, each.results["count"]) for each in windows.drain()] == [
        ((False,), 1),
        ((True,), 1),
        ((0,), 1),
        ((1,), 2),
        (("1",), 1),
    ]


def test_missing_key_field_is_null() -> None:
    windows = NaiveWindows(
        Tumbling(10), key_fields=["model", "meta.region"], metrics=[Metric("ts", ["count"])]
    )
    windows.push(
        [{"ts": 1, "model": "m"}, {"ts": 2, "model": "m", "meta": {"region": None}}, {"ts": 3, "meta": 7}]
    )
    windows.push({"ts": 4, "model": "m", "meta": {"region": "eu"}})
    windows.push({"ts": 5, "model": "m", "meta.region": "eu"})
    windows.end_of_input()
    assert [(each.key, each.results["count"]) for each in windows.drain()] == [
        ((None, None), 1),
        (("m", None), 2),
        (("m", "eu"), 2),
    ]


def test_records_without_key_fields_share_one_key() -> None:
    windows = NaiveWindows(Tumbling(10), key_fields=[], metrics=COUNT)
    windows.push([record(1, key="a"), record(2, key="b")])
    windows.end_of_input()
    assert [(each.key, each.results["count"]) for each in windows.drain()] == [((), 2)]


def test_other_types_are_no_keys() -> None:
    with pytest.raises(TypeError, match=r"\[1\] is not a key"):
        key_order([[1]])
    with pytest.raises(TypeError, match="nan is not a key"):
        key_order([math.nan])


@pytest.mark.parametrize("time", [None, "1970", True, 1.0, 2**63, -(2**63) - 1])
def test_record_without_a_time_is_malformed_and_moves_nothing(time: Any) -> None:
    windows = NaiveWindows(Tumbling(10), max_out_of_orderness=0)
    windows.push([record(time), {"key": "a", "value": 1}])
    assert windows.counters["malformed"] == windows.counters["records_in"] == 2
    assert windows.watermark == -(2**63)


def test_values_that_are_no_finite_numbers_are_skipped() -> None:
    windows = NaiveWindows(Tumbling(10))
    strange = [None, math.nan, math.inf, -math.inf, "7", True, [1], {"x": 1}]
    windows.push([record(1, value, "none") for value in strange] + [{"ts": 1, "key": "none"}])
    windows.push([record(1, value, "some") for value in [*strange, 10, 50.0, 30, 20, 40]])
    windows.end_of_input()
    none, some = (each.results for each in windows.drain())
    assert none == {"count": 0, "sum": 0} | dict.fromkeys(
        ["average", "min", "max", "stddev", "p50", "p95", "p99"]
    )
    assert some == {
        "count": 5,
        "sum": 150.0,
        "average": 30.0,
        "min": 10,
        "max": 50.0,
        "stddev": math.sqrt(200),
        "p50": 30,
        "p95": 50.0,
        "p99": 50.0,
    }


def test_late_record_without_a_value_fires_its_window_again() -> None:
    windows = NaiveWindows(Tumbling(10), metrics=SUM, allowed_lateness=5)
    windows.push(record(1, 3))
    windows.advance_watermark(10)
    windows.push(record(2, None))
    assert windows.drain() == [pane(0, 10, 3, last=False), pane(0, 10, 3, "late", 1, last=False)]


# Statistics


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ([1, 2], "p50", 1),
        ([1, 2], "p50.1", 2),
        ([1, 2], "p100", 2),
        ([1, 2], "p0", 1),
        (list(range(1, 101)), "p95", 95),
        (list(range(1, 101)), "p99.9", 100),
        (list(range(1, 1001)), "p99.9", 999),
        (list(range(1, 1001)), "p29", 290),
        ([7], "p99", 7),
        ([3, -5, 3, 0], "p25", -5),
        ([2**53, 1, -(2**53)], "sum", 1),
        ([1e16, 1.0, -1e16], "sum", 1.0),
        ([0.1] * 10, "sum", 1.0),
        ([1e308, 1e308], "sum", math.inf),
        ([1e308, 1e308], "average", 1e308),
        ([1, 2], "average", 1.5),
        ([5], "stddev", 0.0),
        ([1e9 + 1, 1e9 + 3], "stddev", 1.0),
        ([0.1, 0.1, 0.1], "stddev", 0.0),
        ([2, 4, 4, 4, 5, 5, 7, 9], "stddev", 2.0),
        ([5], "stddev_sample", None),
        ([1, 3], "stddev_sample", math.sqrt(2)),
    ],
)
def test_statistics(values: list[Any], name: str, expected: Any) -> None:
    assert Metric(statistics=[name]).results([{"value": value} for value in values]) == {name: expected}


def test_metrics_of_several_fields_carry_their_prefix() -> None:
    metrics = [Metric("data.ms", ["count"]), Metric("cost", ["sum"], prefix="cost_")]
    windows = NaiveWindows(Tumbling(10), metrics=metrics)
    windows.push([{"ts": 1, "key": "a", "data": {"ms": 5}, "cost": 2}, {"ts": 1, "key": "a", "cost": 3}])
    windows.end_of_input()
    assert [each.results for each in windows.drain()] == [{"count": 1, "cost_sum": 5}]


def test_testing_imports_without_hypothesis_and_says_what_the_strategies_need() -> None:
    program = """
import sys
sys.modules["hypothesis"] = None
import llmopt_stream.testing as testing
testing.PipelineHarness, testing.NaiveWindows
try:
    testing.event_streams
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert "pip install hypothesis" in done.stdout
