"""Aggregators: what is computed of the values in a window. Built-in ones run in C++."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ._core import Accumulator
from .aggregator import Aggregator
from .checks import percents, whole_number
from .errors import ConfigurationError
from .events import GroupingKey
from .metrics import NINE, CoreMetric, core_metrics_of, metric_of, parse_statistic, percentile_statistic
from .results import AggregationResult, Pane
from .units import Time, core_time
from .windows import Window

__all__ = [
    "NINE",
    "Accumulator",
    "AggregationState",
    "AverageAggregator",
    "CompositeAggregator",
    "CountAggregator",
    "MaxAggregator",
    "MinAggregator",
    "PercentileAggregator",
    "StdDevAggregator",
    "SumAggregator",
]


class BuiltInAggregator(Aggregator):
    """One that runs in C++."""

    def result_names(self) -> list[str]:
        return [name for metric in self.core_metrics("value") for name in metric.results]

    def create_accumulator(self) -> Accumulator:
        metrics = self.core_metrics("value")
        fields = list(dict.fromkeys(name for metric in metrics for name in metric.fields))
        labels = list(dict.fromkeys(name for metric in metrics for name in metric.labels))
        settings = [metric.core_settings(fields, labels) for metric in metrics]
        return Accumulator(settings, ["float64"] * len(fields), len(labels))

    def add(self, accumulator: Accumulator, value: Any, *, time: Time | None = None) -> None:
        """Takes one value; null, NaN and infinite values are skipped. First, last and collect need its event
        time.
        """
        if value is None:
            return
        if time is None and not accumulator.reads_labels:
            accumulator.add(value)
        else:
            accumulator.add_scalar(value, None if time is None else core_time(time, "add: time"))

    def merge(self, a: Accumulator, b: Accumulator) -> Accumulator:
        merged = a.copy()
        merged.merge(b)
        return merged

    def get_result(self, accumulator: Accumulator) -> Any:
        """The accumulator as it is now: read `.count`, `.sum`, `.average()`, … of it."""
        return accumulator.copy()


class _Statistics(BuiltInAggregator):
    """Keeps only what its statistics need; the accumulator has all of them, a pipeline shows `_shown`."""

    _statistics: tuple[str, ...]
    _shown: tuple[str, ...]
    _name: str

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        return core_metrics_of(field, [parse_statistic(name, prefix=prefix) for name in self._shown])

    def create_accumulator(self) -> Accumulator:
        metrics = core_metrics_of("value", [parse_statistic(name) for name in self._statistics])
        return Accumulator([metric.core_settings(["value"], []) for metric in metrics], ["float64"])

    def name(self) -> str:
        return self._name


class CountAggregator(_Statistics):
    """Counts values.

    >>> aggregator = CountAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> aggregator.add(accumulator, 42.0)
    >>> aggregator.get_result(accumulator).count
    1
    """

    _statistics = ("count",)
    _shown = ("count",)
    _name = "count"


class SumAggregator(_Statistics):
    """Sums values, compensated to about 32 digits. A sum that leaves a float's range (1.8e308) is infinite.

    >>> aggregator = SumAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.sum
    60.0
    """

    _statistics = ("count", "sum")
    _shown = ("sum",)
    _name = "sum"


class AverageAggregator(_Statistics):
    """The mean of the values; infinite where their sum is.

    >>> aggregator = AverageAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.average(), accumulator.sum, accumulator.count
    (20.0, 60.0, 3)
    """

    _statistics = ("count", "sum", "average")
    _shown = ("average",)
    _name = "average"


class MinAggregator(_Statistics):
    """The smallest value.

    >>> aggregator = MinAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 50.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.min
    10.0
    """

    _statistics = ("count", "min")
    _shown = ("min",)
    _name = "min"


class MaxAggregator(_Statistics):
    """The greatest value.

    >>> aggregator = MaxAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 50.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.max
    50.0
    """

    _statistics = ("count", "max")
    _shown = ("max",)
    _name = "max"


class StdDevAggregator(_Statistics):
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
    _shown = ("stddev",)
    _name = "stddev"


class PercentileAggregator(BuiltInAggregator):
    """Percentiles by nearest rank, each named p and its number: p50, p99.9.

    - `method="default"`: exact up to 64 values, beyond that from a log-bucket histogram within 1 % of the value
      (DDSketch, Masson et al., VLDB 2019) while values span less than about 4e6 times; wider ones double that with
      each collapse, and `percentile_error` says the bound. A function of the multiset of values.
    - `method="exact"`: always exact. Every value is kept, 8 to 12 bytes each, for as long as its window; one
      that fires copies and orders them.
    - `method="kll"`: exact up to `k` values, beyond that a value of nearly the rank asked for (KLL, Karnin, Lang and
      Liberty, FOCS 2016): the standard deviation of the rank's error is at most 2.45 / k of the number of values, and
      with k = 200 it is within 1.65 % in 99 of 100 cases. Answers are values that occurred; the least and the greatest
      are exact. About 4 k values are kept. Beyond `k` values the answer is a function of their order.

    >>> aggregator = PercentileAggregator()
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0, 40.0, 50.0):
    ...     aggregator.add(accumulator, value)
    >>> accumulator.p50(), accumulator.p95(), accumulator.p99(), accumulator.percentile(20)
    (30.0, 50.0, 50.0, 10.0)
    """

    def __init__(
        self,
        percentiles: Sequence[float] = (50, 95, 99),
        method: Literal["default", "exact", "kll"] = "default",
        *,
        k: int = 200,
    ) -> None:
        if method not in ("default", "exact", "kll"):
            raise ConfigurationError(
                f"PercentileAggregator: method: {method!r}: expected 'default', 'exact' or 'kll'"
            )
        self._percentiles = percents(percentiles, "PercentileAggregator: percentiles")
        self._method = method
        self._k = whole_number(k, "PercentileAggregator: k", least=8, most=65535)

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        asked = [percentile_statistic(percent, prefix=prefix) for percent in self._percentiles]
        if self._method == "default":
            return core_metrics_of(field, asked)
        settings: dict[str, Any] = {"percentiles": list(self._percentiles)}
        if self._method == "kll":
            settings["k"] = self._k
        names = tuple(each.result_name for each in asked)
        return [CoreMetric(f"{self._method}_percentiles", (field,), names, settings=settings)]

    def create_accumulator(self) -> Accumulator:
        counted = [parse_statistic("count")]
        if self._method == "default":
            asked = [percentile_statistic(percent) for percent in self._percentiles]
            metrics = core_metrics_of("value", [*counted, *asked])
        else:
            metrics = core_metrics_of("value", counted) + self.core_metrics("value")
        return Accumulator([metric.core_settings(["value"], []) for metric in metrics], ["float64"])

    def name(self) -> str:
        return "percentile"


class CompositeAggregator(BuiltInAggregator):
    """Several statistics in one pass.

    >>> aggregator = CompositeAggregator(["count", "average", "p95"])
    >>> accumulator = aggregator.create_accumulator()
    >>> for value in (10.0, 20.0, 30.0):
    ...     aggregator.add(accumulator, value)
    >>> aggregator.get_result(accumulator)
    {'count': 3, 'average': 20.0, 'p95': 30.0}
    """

    def __init__(self, aggregations: Sequence[str | Aggregator] = NINE) -> None:
        self._aggregations = tuple(aggregations)
        metric_of("value", self._aggregations)  # refuses what is unknown

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        return metric_of(field, self._aggregations, prefix).core_metrics()

    def result_names(self) -> list[str]:
        return metric_of("value", self._aggregations).result_names()

    def get_result(self, accumulator: Accumulator) -> dict[str, Any]:
        """The statistics by name."""
        results = accumulator.results()
        return {name: results[name] for name in self.result_names()}

    def name(self) -> str:
        return "composite"


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
    def accumulator(self) -> Accumulator:
        """Of the nine statistics."""
        return self._accumulator

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
