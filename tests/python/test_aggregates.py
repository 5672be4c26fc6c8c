"""Statistics and aggregators beyond the nine: exact small cases, and the laws."""

from __future__ import annotations

import math
import random
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness, assert_laws

BOUNDED = ls.BoundedOutOfOrdernessWatermark("30s")
STATISTICS = [
    "last", "count", "skewness", "range", "first", "variance", "kurtosis", "variance_sample", "rate", "p50", "sum_rate",
]  # fmt: skip
JOINT = [
    ls.RatioAggregator("data.tokens", scale=1000),
    ls.WeightedAverageAggregator("data.tokens"),
    ls.CovarianceAggregator("data.tokens"),
    ls.CovarianceAggregator("data.tokens", sample=True),
    ls.CorrelationAggregator("data.tokens"),
]


def results_of(
    records: list[dict[str, Any]], *asked: Any, field: str = "x", window: Any = None
) -> dict[str, Any]:
    """The only pane of records that are given in order."""
    harness = PipelineHarness(
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .with_window(window or ls.tumbling("1m"))
        .aggregate(field, list(asked))
    )
    for record in records:
        harness.push(record)
    harness.end_of_input()
    [pane] = harness.drain()
    return dict(pane.results)


def values(*numbers: Any) -> list[dict[str, Any]]:
    return [{"ts": at, "x": number} for at, number in enumerate(numbers)]


@pytest.mark.parametrize(
    "window",
    [ls.tumbling("1m").with_allowed_lateness("30s"), ls.sliding("1m", "25s"), ls.session("20s")],
    ids=["tumbling", "sliding", "session"],
)
@pytest.mark.parametrize(
    "metrics",
    [
        [("data.ms", STATISTICS), ("data.tokens", ["first", "last", "range", "variance", "kurtosis"])],
        [("data.ms", JOINT)],
        [
            ("data.ms", [ls.LinearTrendAggregator(), "count"]),
            ("data.tokens", [ls.LinearTrendAggregator(on="data.ms")]),
        ],
    ],
    ids=["statistics", "joint", "trend"],
)
def test_the_laws_hold(window: ls.WindowAssigner, metrics: list[tuple[str, list[Any]]]) -> None:
    builder = ls.create_pipeline().key_by("data.model").with_window(window).with_watermark_generator(BOUNDED)
    for at, (field, asked) in enumerate(metrics):
        builder = builder.aggregate(field, asked, prefix=f"{at}_")
    assert_laws(builder.with_schema({"data.tokens": int}), max_examples=20)


def test_results_come_in_the_order_in_which_they_were_asked_for() -> None:
    assert list(results_of(values(1, 2), *STATISTICS)) == STATISTICS


def test_moments_of_a_known_sample() -> None:
    found = results_of(
        values(2, 4, 4, 4, 5, 5, 7, 9), "variance", "variance_sample", "skewness", "kurtosis", "range"
    )
    # By hand: mean 5, squared deviations 32, cubed 42, to the fourth 356.
    assert found == {
        "variance": 4.0,
        "variance_sample": 32 / 7,
        "skewness": 42 / 8 / 8,
        "kurtosis": 356 / 8 / 16 - 3,
        "range": 7.0,
    }


def test_equal_values_have_no_shape_and_one_value_no_sample_variance() -> None:
    asked = ("variance", "variance_sample", "skewness", "kurtosis", "range")
    assert results_of(values(0.1, 0.1, 0.1), *asked) == {
        "variance": 0.0, "variance_sample": 0.0, "skewness": None, "kurtosis": None, "range": 0.0,
    }  # fmt: skip
    assert results_of(values(0.1), *asked) == {
        "variance": 0.0, "variance_sample": None, "skewness": None, "kurtosis": None, "range": 0.0,
    }  # fmt: skip


def test_a_pane_without_values() -> None:
    assert results_of(values(None), *STATISTICS) == {
        **dict.fromkeys(STATISTICS), "count": 0, "rate": 0.0, "sum_rate": 0.0,
    }  # fmt: skip


def test_shape_far_from_zero_keeps_its_digits() -> None:
    source = random.Random(5)
    shifted = [source.lognormvariate(0, 1) + 2.0**20 for _ in range(500)]
    near = [value - 2.0**20 for value in shifted]
    expected, found = (
        results_of(values(*each), "skewness", "kurtosis", window=ls.tumbling("1h"))
        for each in (near, shifted)
    )
    assert math.isclose(found["skewness"], expected["skewness"], rel_tol=1e-7)
    assert math.isclose(found["kurtosis"], expected["kurtosis"], rel_tol=1e-6)


def test_shape_of_epoch_seconds_with_little_spread() -> None:
    # Multiples of 2^-20, so that nothing is rounded far from 0.
    near = [round(each * 2**20) / 2**20 for each in (0.013, 0.152, 0.171)]
    expected, found = (
        results_of(values(*each), "skewness", "kurtosis") for each in (near, [1.7e9 + each for each in near])
    )
    assert found == pytest.approx(expected, rel=1e-12)
    assert expected["skewness"] == pytest.approx(-0.6687, abs=1e-4)


def test_shape_of_values_whose_fourth_power_is_no_float_is_absent() -> None:
    assert results_of(values(1e300, -1e300, 3.0), "skewness", "kurtosis") == {
        "skewness": None,
        "kurtosis": None,
    }


def test_first_and_last_are_by_event_time_and_among_equals_by_value() -> None:
    records = [{"ts": 3, "x": 7}, {"ts": 1, "x": 5}, {"ts": 3, "x": 9}, {"ts": 1, "x": 6}]
    for order in (records, records[::-1]):
        assert results_of(order, "first", "last") == {"first": 5.0, "last": 9.0}


def test_first_and_last_by_the_clock_are_still_by_event_time() -> None:
    harness = PipelineHarness(
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .with_tumbling_window("10s", time="processing")
        .aggregate("x", ["first", "last"])
    )
    harness.push({"ts": 9, "x": 1.0})
    harness.advance_processing_time(1)
    harness.push({"ts": 4, "x": 2.0})
    harness.advance_processing_time(10_000_000)
    assert [pane.results for pane in harness.drain()] == [{"first": 2.0, "last": 1.0}]


def test_rates_are_per_second_of_the_window_and_absent_where_it_has_no_length() -> None:
    assert results_of(values(30, 90), "rate", "sum_rate") == {"rate": 2 / 60, "sum_rate": 2.0}
    assert results_of(values(30, 90), "rate", "sum_rate", window=ls.session("9s")) == {
        "rate": 0.2,
        "sum_rate": 12.0,
    }
    assert results_of(values(1, 2), "rate", window=ls.CountWindowAssigner(2)) == {"rate": None}


def test_the_range_of_integers_is_exact_or_an_error() -> None:
    def run(*numbers: int) -> dict[str, Any]:
        builder = ls.create_pipeline().with_event_time("ts", unit="s").with_tumbling_window("1m")
        harness = PipelineHarness(builder.with_schema({"x": int}).aggregate("x", ["range"]))
        harness.push(values(*numbers))
        harness.end_of_input()
        return dict(harness.drain()[0].results)

    assert run(2**62, 2**62 + 1) == {"range": 1}
    with pytest.raises(ls.AggregationError, match="the range of an integer column, field 'x', does not fit"):
        run(-(2**63), 2**63 - 1)


# Several fields


def test_joint_aggregators_count_records_that_have_every_field() -> None:
    records = [
        {"ts": 0, "x": 1.0, "y": 10.0},
        {"ts": 1, "x": 2.0},
        {"ts": 2, "y": 30.0},
        {"ts": 3, "x": 3.0, "y": 30.0},
    ]
    harness = PipelineHarness(
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .with_tumbling_window("1m")
        .aggregate("x", [ls.RatioAggregator("y"), ls.WeightedAverageAggregator("y"), "count"])
    )
    harness.push(records)
    harness.end_of_input()
    assert harness.drain()[0].results == {"ratio": 0.1, "weighted_average": 2.5, "count": 3}
    assert harness.metrics["skipped_values"] == [1, 2, 2]


def test_nothing_is_divided_by_zero() -> None:
    records = [{"ts": 0, "x": 1.0, "y": 1.0}, {"ts": 1, "x": 2.0, "y": -1.0}]
    assert results_of(records, ls.RatioAggregator("y"), ls.WeightedAverageAggregator("y")) == {
        "ratio": None,
        "weighted_average": None,
    }


def test_a_trend_over_event_time_is_per_second_from_the_start_of_the_window() -> None:
    records = [{"ts": 60 + at, "x": 5 + 0.5 * at} for at in (0, 10, 40)]
    assert results_of(records, ls.LinearTrendAggregator()) == {
        "trend_slope": 0.5, "trend_intercept": 5.0, "trend_r2": 1.0,
    }  # fmt: skip
    without_start = results_of(records, ls.LinearTrendAggregator(), window=ls.CountWindowAssigner(3))
    assert without_start == {"trend_slope": 0.5, "trend_intercept": None, "trend_r2": 1.0}


def test_a_trend_over_several_fields_finds_the_plane() -> None:
    records = [
        {"ts": 0, "x": 3 + 2 * a - 4 * b, "a": a, "b": b} for a, b in ((0, 0), (1, 0), (0, 1), (2, 5), (7, 1))
    ]
    found = results_of(records, ls.LinearTrendAggregator(on=["a", "b"]))
    assert list(found) == ["trend_slope.a", "trend_slope.b", "trend_intercept", "trend_r2"]
    assert all(map(math.isclose, found.values(), (2, -4, 3, 1)))
    dependent = [{**record, "b": 2 * record["a"]} for record in records]
    assert set(results_of(dependent, ls.LinearTrendAggregator(on=["a", "b"])).values()) == {None}


def test_constants_have_no_correlation() -> None:
    records = [{"ts": at, "x": 0.1, "y": float(at)} for at in range(7)]
    assert results_of(records, ls.CorrelationAggregator("y"), ls.CovarianceAggregator("y")) == {
        "correlation": None,
        "covariance": 0.0,
    }


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ls.RatioAggregator(3), "RatioAggregator: per: 3 is not a field path"),
        (lambda: ls.LinearTrendAggregator(on=[]), "LinearTrendAggregator: on: no field"),
        (lambda: ls.LinearTrendAggregator(on=["a", "a"]), "'a' is named twice"),
    ],
)
def test_wrong_settings_are_named(make: Any, message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=message):
        make()


# Alone


def test_first_and_last_alone_need_the_time() -> None:
    aggregator = ls.CompositeAggregator(["last", "p50", ls.CountAggregator()])
    accumulator = aggregator.create_accumulator()
    with pytest.raises(ls.AggregationError, match="needs the event time"):
        aggregator.add(accumulator, 3.0)
    aggregator.add(accumulator, 3.0, time="2026-01-01T00:00:02Z")
    other = aggregator.create_accumulator()
    aggregator.add(other, 9.0, time="2026-01-01T00:00:01Z")
    assert aggregator.get_result(aggregator.merge(accumulator, other)) == {
        "last": 3.0,
        "p50": 3.0,
        "count": 2,
    }


def test_joint_aggregators_alone_merge_and_survive_bytes() -> None:
    aggregator = ls.CorrelationAggregator("y")
    left, right, restored = (aggregator.create_accumulator() for _ in range(3))
    for pair in ((1, 2), (2, 5), (None, 3)):
        aggregator.add(left, pair)
    aggregator.add(right, (3, 11))
    restored.decode(aggregator.merge(left, right).encode())
    assert math.isclose(aggregator.get_result(restored), 0.9819805060619657)
    with pytest.raises(ls.ConfigurationError, match="expected 2 values, of the field, 'y'"):
        aggregator.add(left, 3)
