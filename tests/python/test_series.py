"""Moving averages and z-scores across the windows of a key, against a plain computation."""

from __future__ import annotations

import math
from typing import Any

import llmopt_stream as ls
import pytest
from hypothesis import given, settings
from llmopt_stream.testing import PipelineHarness, assert_laws, event_streams

STREAM = ls.create_pipeline().with_event_time("ts", unit="s").key_by("key")
BOTH = (ls.MovingAverage("average", alpha=0.5), ls.ZScore("average", alpha=0.5, threshold=2, warm_up=2))


def panes(builder: ls.StreamPipelineBuilder, *steps: Any) -> list[ls.AggregationResult]:
    """Each step a record, or a number: the watermark in seconds."""
    harness = PipelineHarness(builder)
    for step in steps:
        if isinstance(step, dict):
            harness.push(step)
        else:
            harness.advance_watermark(step * 1_000_000)
    harness.end_of_input()
    return harness.drain()


def at(second: int, value: Any, key: str = "a") -> dict[str, Any]:
    return {"ts": second, "key": key, "value": value}


def minutes(*asked: str, **options: Any) -> ls.StreamPipelineBuilder:
    return STREAM.with_tumbling_window("10s", **options).aggregate("value", list(asked) or ["average"])


def test_a_moving_average_and_a_z_score_by_hand() -> None:
    builder = minutes().across_windows(*BOTH)
    found = [
        dict(pane.results)
        for pane in panes(builder, at(1, 10), at(11, 20), at(21, 15), at(31, 60), at(41, None))
    ]
    # means 10, 15, 15, 37.5; variances 0, 25, 12.5
    assert found == [
        {"average": 10.0, "average_ema": 10.0, "average_zscore": None, "average_anomaly": None},
        {"average": 20.0, "average_ema": 15.0, "average_zscore": None, "average_anomaly": None},
        {"average": 15.0, "average_ema": 15.0, "average_zscore": 0.0, "average_anomaly": False},
        {
            "average": 60.0,
            "average_ema": 37.5,
            "average_zscore": 45 / math.sqrt(12.5),
            "average_anomaly": True,
        },
        {"average": None, "average_ema": None, "average_zscore": None, "average_anomaly": None},
    ]


def test_keys_have_series_of_their_own() -> None:
    builder = minutes().across_windows(ls.MovingAverage("average", alpha=0.5))
    found = panes(builder, at(1, 10), at(2, 100, "b"), at(11, 20), at(12, 300, "b"))
    assert [(pane.key["key"], pane.results["average_ema"]) for pane in found] == [
        ("a", 10.0), ("b", 100.0), ("a", 15.0), ("b", 200.0),
    ]  # fmt: skip


def test_after_equal_windows_another_one_is_an_anomaly_without_a_score() -> None:
    builder = minutes().across_windows(ls.ZScore("average", warm_up=1))
    found = panes(builder, at(1, 5), at(11, 5), at(21, 6))
    assert [(pane.results["average_zscore"], pane.results["average_anomaly"]) for pane in found] == [
        (None, None), (0.0, False), (None, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("alpha", "averages", "expected"),
    [
        (1, [1e17, 0.1, -3.0], [1e17, 0.1, -3.0]),
        (0.5, [1.5e308, -1.5e308, 5.0], [1.5e308, 0.0, 2.5]),
        (0.3, [0.1] * 40, [0.1] * 40),
    ],
)
def test_a_moving_average_lies_between_its_values(
    alpha: float, averages: list[float], expected: list[float]
) -> None:
    builder = minutes().across_windows(ls.MovingAverage("average", alpha=alpha))
    found = panes(builder, *(at(10 * window, value) for window, value in enumerate(averages)))
    assert [pane.results["average_ema"] for pane in found] == expected


def test_a_z_score_of_weight_1_knows_changes_only() -> None:
    builder = minutes().across_windows(ls.ZScore("average", alpha=1, warm_up=1))
    found = panes(builder, *(at(10 * window, value) for window, value in enumerate([1e17, 0.1, 0.1, 0.2])))
    assert [(pane.results["average_zscore"], pane.results["average_anomaly"]) for pane in found] == [
        (None, None), (None, True), (0.0, False), (None, True),
    ]  # fmt: skip


def test_a_late_pane_takes_its_windows_place_and_counts_for_what_comes_later() -> None:
    builder = minutes(allowed_lateness="1m").across_windows(ls.MovingAverage("average", alpha=0.5))
    found = panes(builder, at(1, 10), at(11, 20), 20, at(2, 30), at(21, 40))
    assert [
        (pane.window.micros[0] // 1_000_000, pane.pane.timing, pane.results["average_ema"]) for pane in found
    ] == [
        (0, "on_time", 10.0),
        (10, "on_time", 15.0),
        (0, "late", 20.0),
        # (20 + 20) / 2 and then 40
        (20, "on_time", 30.0),
    ]


def test_a_session_that_grew_replaces_what_it_was() -> None:
    builder = (
        STREAM.with_session_window("5s", allowed_lateness="1h")
        .aggregate("value", ["sum"])
        .across_windows(ls.MovingAverage("sum", alpha=0.5))
    )
    found = panes(builder, at(0, 1), at(100, 10), at(110, 20), 200, at(105, 30), at(300, 2))
    assert [(pane.results["sum"], pane.results["sum_ema"]) for pane in found] == [
        (1.0, 1.0), (10.0, 5.5), (20.0, 12.75), (60.0, 30.5), (2.0, 16.25),
    ]  # fmt: skip


def test_a_key_that_was_away_too_long_starts_anew_and_is_forgotten() -> None:
    builder = minutes().across_windows(ls.MovingAverage("average", alpha=0.5), forget_after="30s")
    steps = (at(1, 10), at(31, 20), at(81, 40))
    assert [pane.results["average_ema"] for pane in panes(builder, *steps)] == [10.0, 15.0, 40.0]
    assert [pane.results["average_ema"] for pane in panes(builder, steps[0], 20, 75, *steps[1:])][-1] == 40.0


def test_count_windows_follow_one_another() -> None:
    builder = STREAM.with_count_window(2).aggregate("value", ["sum"]).across_windows(ls.MovingAverage("sum"))
    found = panes(builder, at(9, 1), at(1, 1), at(3, 4), at(2, 8))
    assert [pane.results["sum_ema"] for pane in found] == [2.0, 0.7 * 2 + 0.3 * 12]


@pytest.mark.parametrize(
    "window", [ls.tumbling("20s").with_allowed_lateness("40s"), ls.sliding("1m", "25s"), ls.session("20s")]
)
def test_the_laws_hold(window: ls.WindowAssigner) -> None:
    builder = (
        ls.create_pipeline()
        .key_by("data.model")
        .with_window(window)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("30s"))
        .aggregate("data.ms", ["average", "p95"])
        .across_windows(*BOTH, ls.MovingAverage("p95"), forget_after="2m")
    )
    assert_laws(builder, max_examples=20)


@given(event_streams(values="numbers", grid=10, span=200, max_size=40))
@settings(max_examples=60, deadline=None)
def test_records_in_order_give_the_plain_computation(records: list[dict[str, Any]]) -> None:
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="us")
        .key_by("key")
        .with_tumbling_window(10e-6)
        .aggregate("value", ["average"])
        .across_windows(*BOTH)
    )
    harness = PipelineHarness(builder)
    for record in sorted(records, key=lambda each: each["ts"]):
        harness.push(record)
    harness.end_of_input()
    before: dict[Any, tuple[int, float, float]] = {}
    for pane in harness.drain():
        value = pane.results["average"]
        count, mean, variance = before.get(pane.key["key"], (0, value, 0.0))
        deviation = value - mean
        if count >= 2:
            score = 0.0 if deviation == 0 else deviation / math.sqrt(variance) if variance else None
            found = pane.results["average_zscore"]
            assert found == score or math.isclose(found, score, rel_tol=1e-9)
            assert pane.results["average_anomaly"] is (score is None or abs(score) >= 2)
        else:
            assert pane.results["average_zscore"] is None
        before[pane.key["key"]] = (
            count + 1, 0.5 * value + 0.5 * mean, 0.5 * (variance + 0.5 * deviation * deviation),
        )  # fmt: skip
        assert math.isclose(pane.results["average_ema"], 0.5 * value + 0.5 * mean, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ls.MovingAverage("average", alpha=0), "MovingAverage: alpha: 0 is not a weight"),
        (lambda: ls.ZScore("average", threshold=-1), "ZScore: threshold: -1 is not a positive number"),
        (lambda: ls.ZScore("average", warm_up=0), "ZScore: warm_up: 0 is not"),
        (lambda: minutes().across_windows("average"), "across_windows: 'average' is not one of"),
        (lambda: minutes().across_windows(ls.ZScore("p95")).checked(), "'p95' is no result; expected one of average"),
        (
            lambda: minutes().across_windows(ls.ZScore("average"), ls.ZScore("average")).checked(),
            "two columns of the result would be called 'average_zscore'",
        ),
        (
            lambda: minutes().across_windows(BOTH[0]).with_accumulation("discarding").checked(),
            "across_windows: .* leave with_accumulation",
        ),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=message):
        make()
