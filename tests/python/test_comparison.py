"""Differences of means with Welch's interval, against closed forms, tables and simulation."""

from __future__ import annotations

import math
import random
import statistics
from statistics import NormalDist

import llmopt_stream as ls
import pytest
from llmopt_stream.recipes import Difference, difference
from llmopt_stream.recipes.student_t import two_sided_quantile

CONFIDENCES = [1e-3, 0.5, 0.9, 0.95, 0.99, 0.999, 0.999999]


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_quantiles_of_one_two_and_four_degrees_are_the_closed_forms(confidence: float) -> None:
    c = confidence
    cosine = math.cos(math.acos(math.sqrt(1 - c * c)) / 3) / math.sqrt(1 - c * c)
    closed = {
        1: math.tan(math.pi * c / 2),
        2: c * math.sqrt(2 / (1 - c * c)),
        4: 2 * math.sqrt(cosine - 1),
    }
    for degrees, t in closed.items():
        # That of four degrees cancels where c is small.
        assert two_sided_quantile(c, degrees) == pytest.approx(t, rel=1e-8 if degrees == 4 else 1e-10)


@pytest.mark.parametrize("confidence", CONFIDENCES)
@pytest.mark.parametrize("degrees", [1.0, 2.5, 7.3, 40.0, 999.0])
def test_quantile_encloses_its_probability(confidence: float, degrees: float) -> None:
    t = two_sided_quantile(confidence, degrees)
    steps = 4_000
    # With t = sqrt(n) tan(angle) the density is a power of the cosine; its integral by Simpson's rule.
    end = math.atan(t / math.sqrt(degrees))
    heights = [math.cos(end * step / steps) ** (degrees - 1) for step in range(steps + 1)]
    integral = (
        (heights[0] + heights[-1] + 4 * sum(heights[1:-1:2]) + 2 * sum(heights[2:-1:2])) * end / steps / 3
    )
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) * 2 / math.sqrt(math.pi)
    assert scale * integral == pytest.approx(confidence, abs=1e-8)


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_the_expansion_continues_the_quantile_and_ends_at_the_normal(confidence: float) -> None:
    assert two_sided_quantile(confidence, 1000) == pytest.approx(
        two_sided_quantile(confidence, 999.999999), rel=1e-8
    )
    normal = NormalDist().inv_cdf(0.5 + confidence / 2)
    assert two_sided_quantile(confidence, 1e12) == pytest.approx(normal, rel=1e-9)


def pane(values: list[float], prefix: str = "") -> ls.AggregationResult:
    records = [{"timestamp": "2026-01-01T00:00:00Z", "value": value} for value in values]
    builder = ls.create_pipeline().with_tumbling_window("1m")
    with builder.aggregate("value", ["count", "average", "variance_sample"], prefix=prefix).open() as session:
        session.push(records)
        return session.flush()[0]


def test_interval_of_a_worked_example() -> None:
    a, b = [18.0, 20.0, 20.0, 22.0], [18.0, 26.0, 26.0, 26.0]
    assert [statistics.variance(values) / 4 for values in (a, b)] == [2 / 3, 4]
    change = difference(pane(a), pane(b))
    degrees = (2 / 3 + 4) ** 2 / ((2 / 3) ** 2 / 3 + 4**2 / 3)
    margin = two_sided_quantile(0.95, degrees) * math.sqrt(2 / 3 + 4)
    assert change.difference == pytest.approx(4.0)
    assert change.relative == pytest.approx(0.2)
    assert change.low == pytest.approx(4.0 - margin)
    assert change.high == pytest.approx(4.0 + margin)
    assert not change.excludes_zero


def test_exchanged_panes_give_the_mirrored_interval() -> None:
    a, b = pane([1.0, 2.0, 4.0]), pane([10.0, 11.0, 15.0, 16.0])
    there, back = difference(a, b), difference(b, a)
    assert there.low is not None
    assert back.high is not None
    assert (there.low, there.high) == pytest.approx((-back.high, -(back.low or 0)))
    assert there.excludes_zero
    assert back.excludes_zero


def test_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    generator = random.Random(7)
    covered = 0
    for _ in range(2_000):
        a = [generator.gauss(10, 1) for _ in range(4)]
        b = [generator.gauss(13, 5) for _ in range(12)]
        change = difference(_sampled(a), _sampled(b), confidence=0.9)
        covered += change.low is not None and change.high is not None and change.low <= 3 <= change.high
    assert covered / 2_000 == pytest.approx(0.9, abs=0.02)  # three standard errors


def _sampled(values: list[float]) -> ls.AggregationResult:
    results = {
        "count": len(values),
        "average": statistics.fmean(values),
        "variance_sample": statistics.variance(values),
    }
    return ls.AggregationResult(ls.Window(0, 1), ls.GroupingKey(), results)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([], [1.0], Difference(None, None, None, None, 0.95)),
        ([2.0], [3.0, 3.0], Difference(1.0, None, None, 0.5, 0.95)),
        ([0.0, 0.0], [3.0, 3.0], Difference(3.0, 3.0, 3.0, None, 0.95)),
        ([2.0, 2.0], [2.0, 2.0], Difference(0.0, 0.0, 0.0, 0.0, 0.95)),
    ],
    ids=["no value", "one value", "constant", "equal"],
)
def test_what_is_not_known_is_none(a: list[float], b: list[float], expected: Difference) -> None:
    assert difference(pane([*a, math.nan]), pane(b)) == expected


def test_extreme_variances_keep_their_interval() -> None:
    tiny, huge = pane([0.0, 1e-200]), pane([0.0, 1e150])
    for change in (difference(tiny, tiny), difference(tiny, huge), difference(huge, huge)):
        assert change.low is not None
        assert math.isfinite(change.low)
        assert not change.excludes_zero


@pytest.mark.parametrize("confidence", [0, 1, 95, "95 %", math.nan])
def test_confidence_is_a_share(confidence: float) -> None:
    with pytest.raises(
        ls.ConfigurationError, match=r"difference: confidence: .* is not a number between 0 and 1"
    ):
        difference(pane([1.0]), pane([2.0]), confidence=confidence)


def test_panes_without_the_statistics_are_named() -> None:
    with pytest.raises(
        ls.ConfigurationError,
        match=r"difference: prefix: 'latency_ms_': .* has no 'latency_ms_count', 'latency_ms_average', "
        r"'latency_ms_variance_sample'; there are count, average, variance_sample",
    ):
        difference(pane([1.0, 2.0]), pane([2.0, 3.0]), prefix="latency_ms_")
