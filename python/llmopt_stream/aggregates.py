"""Aggregators: what is computed of the values in a window. Built-in ones run in C++."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ._core import Accumulator
from .errors import ConfigurationError
from .events import GroupingKey
from .results import AggregationResult, Pane
from .windows import Window

__all__ = [
    "NINE",
    "Accumulator",
    "AggregationState",
    "Aggregator",
    "AverageAggregator",
    "CompositeAggregator",
    "CountAggregator",
    "MaxAggregator",
    "MinAggregator",
    "PercentileAggregator",
    "StdDevAggregator",
    "SumAggregator",
]

NINE = ("count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99")
"""What is computed where nothing else is asked for."""

_KINDS = ("count", "sum", "average", "min", "max", "stddev", "stddev_sample")
_ALIASES = {"avg": "average", "mean": "average", "std_dev": "stddev", "std": "stddev"}
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)", re.ASCII)


class Statistic(NamedTuple):
    """One statistic as the core takes it."""

    kind: str
    percentile: float
    result_name: str


def parse_statistic(name: object, *, prefix: str = "") -> Statistic:
    """Reads a statistic's name: count, sum, average, min, max, stddev, stddev_sample or any pNN.

    >>> parse_statistic("mean"), parse_statistic("p99.90", prefix="cost_")
    (Statistic(kind='average', percentile=0.0, result_name='average'), \
Statistic(kind='percentile', percentile=99.9, result_name='cost_p99.9'))
    """
    known = _ALIASES.get(name, name) if isinstance(name, str) else name
    if known in _KINDS:
        return Statistic(known, 0.0, prefix + known)
    matched = _PERCENTILE.fullmatch(known) if isinstance(known, str) else None
    if matched and float(matched[1]) <= 100:
        number = matched[1].rstrip("0").rstrip(".") if "." in matched[1] else str(int(matched[1]))
        return Statistic("percentile", float(matched[1]), f"{prefix}p{number}")
    raise ConfigurationError(
        f"aggregate: {name!r} is not a statistic; expected {', '.join(_KINDS)} or a percentile such as 'p95' or 'p99.9'"
    )


class Aggregator:
    """Five methods that say how values become a result: `create_accumulator`, `add`, `merge`,
    `get_result` and `name`. Merging the accumulators of two groups of values must give what
    adding all values to one gives.
    """

    def create_accumulator(self) -> Any:
        """An accumulator without values."""
        raise NotImplementedError

    def add(self, accumulator: Any, value: Any) -> None:
        """Takes one value."""
        raise NotImplementedError

    def merge(self, a: Any, b: Any) -> Any:
        """An accumulator of the values of both."""
        raise NotImplementedError

    def get_result(self, accumulator: Any) -> Any:
        """What the accumulator's values amount to."""
        raise NotImplementedError

    def name(self) -> str:
        """The result's name."""
        raise NotImplementedError


class _BuiltIn(Aggregator):
    """Keeps only what its statistics need."""

    _statistics: tuple[str, ...]
    _name: str

    def create_accumulator(self) -> Accumulator:
        return Accumulator("float64", [parse_statistic(name) for name in self._statistics])

    def add(self, accumulator: Accumulator, value: float) -> None:
        """Takes one value; null, NaN and infinite values are skipped."""
        if value is not None:
            accumulator.add(value)

    def merge(self, a: Accumulator, b: Accumulator) -> Accumulator:
        merged = a.copy()
        merged.merge(b)
        return merged

    def get_result(self, accumulator: Accumulator) -> Accumulator:
        """The accumulator as it is now: read `.count`, `.sum`, `.average()`, … of it."""
        return accumulator.copy()

    def name(self) -> str:
        return self._name


class CountAggregator(_BuiltIn):
    """Counts values.

    >>> aggregator = CountAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> aggregator.add(accumulator, 42.0)
    >>> aggregator.get_result(accumulator).count
    1
    """

    _statistics = ("count",)
    _name = "count"


class SumAggregator(_BuiltIn):
    """Sums values, compensated to about 32 digits. A sum that leaves a float's range (1.8e308) is infinite.

    >>> aggregator = SumAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.sum
    60.0
    """

    _statistics = ("count", "sum")
    _name = "sum"


class AverageAggregator(_BuiltIn):
    """The mean of the values; infinite where their sum is.

    >>> aggregator = AverageAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.average(), accumulator.sum, accumulator.count
    (20.0, 60.0, 3)
    """

    _statistics = ("count", "sum", "average")
    _name = "average"


class MinAggregator(_BuiltIn):
    """The smallest value.

    >>> aggregator = MinAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 50.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.min
    10.0
    """

    _statistics = ("count", "min")
    _name = "min"


class MaxAggregator(_BuiltIn):
    """The greatest value.

    >>> aggregator = MaxAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 50.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.max
    50.0
    """

    _statistics = ("count", "max")
    _name = "max"


class StdDevAggregator(_BuiltIn):
    """The standard deviation: `stddev()` of the population, `stddev_sample()` of a sample.

    It is infinite where the sum of the squares leaves a float's range, as n values of 1.3e154 / √n do.

    >>> aggregator = StdDevAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0, 40.0, 50.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.stddev(), accumulator.stddev_sample()
    (14.142135623730951, 15.811388300841896)
    """

    _statistics = ("count", "average", "stddev", "stddev_sample")
    _name = "stddev"


class PercentileAggregator(_BuiltIn):
    """Percentiles by nearest rank: exact up to 64 values, beyond that from a log-bucket histogram
    within 1 % of the value (DDSketch, Masson et al., VLDB 2019).

    >>> aggregator = PercentileAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0, 40.0, 50.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.p50(), accumulator.p95(), accumulator.p99(), accumulator.percentile(20)
    (30.0, 50.0, 50.0, 10.0)
    """

    _statistics = ("count", "p50", "p95", "p99")
    _name = "percentile"


class CompositeAggregator(_BuiltIn):
    """Several statistics in one pass.

    >>> aggregator = CompositeAggregator(["count", "average", "p95"])
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> aggregator.get_result(accumulator)
    {'count': 3, 'average': 20.0, 'p95': 30.0}
    """

    _name = "composite"

    def __init__(self, aggregations: Sequence[str] = NINE) -> None:
        self._statistics = tuple(aggregations)
        self._parsed = [parse_statistic(name) for name in self._statistics]

    def get_result(self, accumulator: Accumulator) -> dict[str, Any]:  # type: ignore[override]
        """The statistics by name."""
        return {each.result_name: result_of(accumulator, each) for each in self._parsed}


def result_of(accumulator: Accumulator, statistic: Statistic) -> int | float | None:
    """One statistic of an accumulator."""
    if statistic.kind == "percentile":
        return accumulator.percentile(statistic.percentile)
    value = getattr(accumulator, statistic.kind)
    return value() if callable(value) else value  # type: ignore[no-any-return]


class AggregationState:
    """All nine statistics of one window's values at once.

    >>> state = AggregationState(Window("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z"))
    >>> for value in (10.0, 20.0, 30.0):
    ...     state.add_value(value)
    >>> state.min, state.max, state.count, state.sum, state.standard_deviation()
    (10.0, 30.0, 3, 60.0, 8.16496580927726)
    >>> result = state.to_result()
    >>> result.results["average"], result.results["p50"], result.results["p95"], result.results["p99"]
    (20.0, 20.0, 30.0, 30.0)
    """

    def __init__(self, window: Window, key: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self.window = window
        self.key = GroupingKey(key)
        self._aggregator = CompositeAggregator()
        self._accumulator = self._aggregator.create_accumulator()

    def add_value(self, value: float) -> None:
        """Takes one value; null, NaN and infinite values are skipped."""
        self._aggregator.add(self._accumulator, value)

    @property
    def count(self) -> int:
        return self._accumulator.count

    @property
    def sum(self) -> float:
        return float(self._accumulator.sum or 0.0)

    @property
    def min(self) -> float | None:
        return self._accumulator.min

    @property
    def max(self) -> float | None:
        return self._accumulator.max

    def standard_deviation(self) -> float | None:
        """Of the population: 0.0 for one value, None for none."""
        return self._accumulator.stddev()

    def to_result(self) -> AggregationResult:
        """The statistics as a pipeline would emit them."""
        results = self._aggregator.get_result(self._accumulator)
        return AggregationResult(self.window, self.key, results, Pane("on_time", 0, True, ()))
