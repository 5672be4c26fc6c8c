"""Aggregators that summarise many values by few: different ones, frequent ones, histograms, samples. They run in C++.

What is null, not finite or no scalar is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._core import Accumulator
from .aggregates import BuiltInAggregator
from .checks import ascending_numbers, whole_number
from .errors import ConfigurationError
from .metrics import (
    COUNTERS_PER_HITTER,
    DEFAULT_HITTERS,
    DEFAULT_LIMIT,
    DEFAULT_PRECISION,
    MOST_BINS,
    CoreMetric,
    collect_metric,
    distinct_metric,
    heavy_hitters_metric,
    histogram_metric,
)

__all__ = ["CollectAggregator", "DistinctAggregator", "HeavyHittersAggregator", "HistogramAggregator"]


class _OneResult(BuiltInAggregator):
    """One with a single result, of its own name."""

    _name: str

    def get_result(self, accumulator: Accumulator) -> Any:
        """The result."""
        return accumulator.results()[self._name]

    def name(self) -> str:
        return self._name


class DistinctAggregator(_OneResult):
    """How many different values there are, of any type: HyperLogLog (Flajolet et al., 2007) with the improved
    estimator of Ertl ("New cardinality estimation algorithms for HyperLogLog sketches", 2017).

    Exact up to 2^precision / 8 values, but at least 64 and at most 1024; beyond that with a standard error of
    1.04 / √(2^precision), 1.6 % by default, in 2^precision bytes. The result is a function of the set of values. A
    number is its value, however it was written: 1 and 1.0 are one.

    >>> aggregator = DistinctAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for user in ("ada", "grace", "ada", None):
    ...     aggregator.add(accumulator, user)
    >>> aggregator.get_result(accumulator)
    2
    """

    _name = "distinct"

    def __init__(self, precision: int = DEFAULT_PRECISION) -> None:
        self._precision = whole_number(precision, "DistinctAggregator: precision", least=4, most=18)

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        return [distinct_metric(field, prefix + self._name, precision=self._precision)]


class HeavyHittersAggregator(_OneResult):
    """The `k` most frequent values, of any type, as a list of `{value, count, error}`: by descending count, then
    ascending value. Space-Saving (Metwally et al., 2005) in the form whose summaries can be merged (Agarwal et al.,
    "Mergeable Summaries", 2012).

    Of n values, with `capacity` 20 k unless given: `count - error <= true count <= count`, `error <= n / capacity`, and
    every value more frequent than n / capacity is among the candidates. Up to twice the capacity of different
    values, counts are exact and a function of the multiset of values. Beyond that the result is a function
    of their order, and of nothing else; another order changes it within these bounds.

    >>> aggregator = HeavyHittersAggregator(k=2)
    >>> accumulator = aggregator.create_accumulator()
    >>> for model in ("opus", "haiku", "opus", "sonnet"):
    ...     aggregator.add(accumulator, model)
    >>> aggregator.get_result(accumulator)
    [{'value': 'opus', 'count': 2, 'error': 0}, {'value': 'haiku', 'count': 1, 'error': 0}]
    """

    _name = "heavy_hitters"

    def __init__(self, k: int = DEFAULT_HITTERS, capacity: int | None = None) -> None:
        self._k = whole_number(k, "HeavyHittersAggregator: k", least=1, most=50_000)
        self._capacity = whole_number(
            COUNTERS_PER_HITTER * self._k if capacity is None else capacity,
            "HeavyHittersAggregator: capacity",
            least=self._k,
            most=1_000_000,
        )

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        return [heavy_hitters_metric(field, prefix + self._name, k=self._k, capacity=self._capacity)]


class HistogramAggregator(_OneResult):
    """How many values lie in each bucket, as a list of `{lower, upper, count}` by ascending values. It is a function of
    the multiset of values.

    With `buckets=[e0, e1, …]`, which ascend: those below e0 (`lower` is None), those with `e0 <= value < e1`, …, and
    those from the last edge on (`upper` is None), also where they are none.

    Without: the log buckets of the default percentiles that have any values, each about 2 % wide (DDSketch, Masson et
    al., VLDB 2019), with `lower <= value < upper`; of negative values `lower < value <= upper`, and zeros lie between 0
    and 0. The values of one sign span at most `bins` buckets, 768 unless given: wider ones collapse pair by pair
    (UDDSketch, Epicoco et al., 2020).

    >>> aggregator = HistogramAggregator([0, 100])
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (5.0, 99.0, 100.0):
    ...     aggregator.add(accumulator, value)
    >>> [(bucket["lower"], bucket["upper"], bucket["count"]) for bucket in aggregator.get_result(accumulator)]
    [(None, 0.0, 0), (0.0, 100.0, 2), (100.0, None, 1)]
    """

    _name = "histogram"

    def __init__(self, buckets: Sequence[float] | None = None, bins: int | None = None) -> None:
        if buckets is not None and bins is not None:
            raise ConfigurationError("HistogramAggregator: buckets and bins: expected one of them")
        self._edges = (
            None
            if buckets is None
            else ascending_numbers(buckets, "HistogramAggregator: buckets", most=10_000)
        )
        self._bins = whole_number(
            MOST_BINS if bins is None else bins, "HistogramAggregator: bins", least=2, most=MOST_BINS
        )

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        return [histogram_metric(field, prefix + self._name, edges=self._edges, bins=self._bins)]


class CollectAggregator(_OneResult):
    """The values of the first `limit` records by event time that have one, of any type, as a list. Of records at the
    same time the lesser values come first, so that the result is a function of the records, not of their order.

    >>> aggregator = CollectAggregator(limit=2)
    >>> accumulator = aggregator.create_accumulator()
    >>> for second, status in ((3, "ok"), (1, "timeout"), (2, 503)):
    ...     aggregator.add(accumulator, status, time=second * 1_000_000)
    >>> aggregator.get_result(accumulator)
    ['timeout', 503]
    """

    _name = "collect"

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = whole_number(limit, "CollectAggregator: limit", least=1, most=1_000_000)

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        return [collect_metric(field, prefix + self._name, limit=self._limit)]
