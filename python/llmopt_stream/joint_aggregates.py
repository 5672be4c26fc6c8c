"""Aggregators of several fields of the same records. They run in C++.

A record counts where every field has a value; the first field is the one that `aggregate` names. The results
are a function of the records to about 1e-30 of the sums behind them, whatever their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ._core import Accumulator
from .aggregates import BuiltInAggregator
from .columns import Column, Expression, field_path
from .errors import ConfigurationError
from .metrics import CoreMetric
from .units import Time, core_time

__all__ = [
    "CorrelationAggregator",
    "CovarianceAggregator",
    "LinearTrendAggregator",
    "RatioAggregator",
    "WeightedAverageAggregator",
]

_Statistic = tuple[str, str, float, int]
"""(kind, result name, scale, regressor) as the core takes them."""


class _JointAggregator(BuiltInAggregator):
    _others: tuple[str, ...]
    """Paths, and texts of expressions."""
    _derived: Mapping[str, Expression] = MappingProxyType({})
    """The expressions among them, by their texts."""
    _by_time = False

    def _statistics(self) -> list[_Statistic]:
        raise NotImplementedError

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        statistics = [(kind, prefix + name, scale, at) for kind, name, scale, at in self._statistics()]
        return [
            CoreMetric(
                "joint",
                (field, *self._others),
                tuple(name for _, name, _, _ in statistics),
                settings={"statistics": statistics, "by_time": self._by_time},
                derived=self._derived,
            )
        ]

    def add(self, accumulator: Accumulator, value: Any, *, time: Time | None = None) -> None:
        """Takes the values of one record, the first field's first: `(value, other, …)`."""
        values = list(value) if isinstance(value, Sequence) else [value]
        if len(values) != len(self._others) + 1:
            raise ConfigurationError(
                f"{type(self).__name__}.add: {value!r}: expected {len(self._others) + 1} values, of "
                f"{', '.join(['the field', *map(repr, self._others)])}"
            )
        accumulator.add_record(values, [], None if time is None else core_time(time, "add: time"))

    def get_result(self, accumulator: Accumulator) -> Any:
        """The result; a dict by name where there are several. None where there is none."""
        results = accumulator.results()
        return next(iter(results.values())) if len(results) == 1 else results

    def name(self) -> str:
        return self._statistics()[0][1]


class RatioAggregator(_JointAggregator):
    """`scale` × the sum of the field / the sum of `per`, a field or an expression: cost per 1,000 tokens, errors per
    request.

    Absent where the sum of `per` is 0.

    >>> aggregator = RatioAggregator("tokens", scale=1000)
    >>> accumulator = aggregator.create_accumulator()
    >>> for cost, tokens in ((0.02, 1000), (0.04, 3000)):
    ...     aggregator.add(accumulator, (cost, tokens))
    >>> aggregator.get_result(accumulator)
    0.015
    """

    def __init__(self, per: str | Expression, *, scale: float = 1.0) -> None:
        if isinstance(per, Expression) and not isinstance(per, Column):
            self._others = (repr(per),)
            self._derived = {repr(per): per}
        else:
            path = per.path if isinstance(per, Column) else per
            self._others = (field_path(path, "RatioAggregator: per"),)
        self._scale = float(scale)

    def _statistics(self) -> list[_Statistic]:
        return [("ratio", "ratio", self._scale, 1)]


class WeightedAverageAggregator(_JointAggregator):
    """The average of the field, each value weighted by `weight` of its record.

    Absent where the weights sum to 0.

    >>> aggregator = WeightedAverageAggregator("tokens")
    >>> accumulator = aggregator.create_accumulator()
    >>> for quality, tokens in ((0.5, 100), (1.0, 300)):
    ...     aggregator.add(accumulator, (quality, tokens))
    >>> aggregator.get_result(accumulator)
    0.875
    """

    def __init__(self, weight: str) -> None:
        self._others = (field_path(weight, "WeightedAverageAggregator: weight"),)

    def _statistics(self) -> list[_Statistic]:
        return [("weighted_average", "weighted_average", 1.0, 1)]


class CovarianceAggregator(_JointAggregator):
    """The covariance of the field and another one: of the population, or with `sample=True` of a sample.

    >>> aggregator = CovarianceAggregator("tokens")
    >>> accumulator = aggregator.create_accumulator()
    >>> for latency, tokens in ((1.0, 10.0), (2.0, 30.0), (3.0, 20.0)):
    ...     aggregator.add(accumulator, (latency, tokens))
    >>> aggregator.get_result(accumulator)
    3.3333333333333335
    """

    def __init__(self, other: str, *, sample: bool = False) -> None:
        self._others = (field_path(other, "CovarianceAggregator: other"),)
        self._kind = "covariance_sample" if sample else "covariance"

    def _statistics(self) -> list[_Statistic]:
        return [(self._kind, self._kind, 1.0, 1)]


class CorrelationAggregator(_JointAggregator):
    """Pearson's correlation of the field and another one, in [-1, 1]; absent where either is constant.

    >>> aggregator = CorrelationAggregator("tokens")
    >>> accumulator = aggregator.create_accumulator()
    >>> for latency, tokens in ((1.0, 10.0), (2.0, 30.0), (3.0, 20.0)):
    ...     aggregator.add(accumulator, (latency, tokens))
    >>> aggregator.get_result(accumulator)
    0.5
    """

    def __init__(self, other: str) -> None:
        self._others = (field_path(other, "CorrelationAggregator: other"),)

    def _statistics(self) -> list[_Statistic]:
        return [("correlation", "correlation", 1.0, 1)]


class LinearTrendAggregator(_JointAggregator):
    """Least squares of the field over event time, or over other fields.

    Over event time: `trend_slope` per second and `trend_intercept`, the value at the start of the window (absent
    where it has none). Over one field `on`: the same per unit of it, and the value where it is 0. Over several:
    `trend_slope.<path>` of each, all others held. `trend_r2` is the share of the field's variance that is
    explained. Absent where the fields determine each other, or with fewer records than needed.

    >>> aggregator = LinearTrendAggregator(on="tokens")
    >>> accumulator = aggregator.create_accumulator()
    >>> for latency, tokens in ((12.0, 1.0), (14.0, 2.0), (16.0, 3.0)):
    ...     aggregator.add(accumulator, (latency, tokens))
    >>> aggregator.get_result(accumulator)
    {'trend_slope': 2.0, 'trend_intercept': 10.0, 'trend_r2': 1.0}
    """

    def __init__(self, on: str | Sequence[str] | None = None) -> None:
        fields = [] if on is None else [on] if isinstance(on, str) else list(on)
        self._others = tuple(field_path(field, "LinearTrendAggregator: on") for field in fields)
        for field in self._others:
            if self._others.count(field) > 1:
                raise ConfigurationError(f"LinearTrendAggregator: on: {field!r} is named twice")
        if on is not None and not fields:
            raise ConfigurationError("LinearTrendAggregator: on: no field; leave it out for event time")
        self._by_time = on is None

    def _statistics(self) -> list[_Statistic]:
        slopes = (
            [("slope", f"trend_slope.{field}", 1.0, at + 1) for at, field in enumerate(self._others)]
            if len(self._others) > 1
            else [("slope", "trend_slope", 1.0, 1)]
        )
        return [*slopes, ("intercept", "trend_intercept", 1.0, 0), ("determination", "trend_r2", 1.0, 0)]

    def name(self) -> str:
        return "trend"
