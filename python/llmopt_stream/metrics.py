"""What is computed of a field: the statistics asked for, and the core's metrics that give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, NamedTuple

from .aggregator import Aggregator
from .columns import Column, Expression, col
from .errors import ConfigurationError

__all__ = [
    "NINE",
    "CoreMetric",
    "Metric",
    "Statistic",
    "collect_metric",
    "core_metrics_of",
    "distinct_metric",
    "heavy_hitters_metric",
    "histogram_metric",
    "metric_of",
    "parse_statistic",
    "percentile_statistic",
]

NINE = ("count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99")
"""What is computed where nothing else is asked for."""

_CORE_KINDS = {
    **dict.fromkeys(
        (
            "count",
            "sum",
            "average",
            "min",
            "max",
            "range",
            "variance",
            "variance_sample",
            "stddev",
            "stddev_sample",
            "percentile",
            "rate",
            "sum_rate",
            "percentile_error",
        ),
        "values",
    ),
    "first": "endpoints",
    "last": "endpoints",
    "skewness": "shape",
    "kurtosis": "shape",
}
"""Which of the core's metrics has a statistic."""

DEFAULT_PRECISION = 12
DEFAULT_HITTERS = 10
COUNTERS_PER_HITTER = 20
"""How many values heavy hitters are chosen from, for each that is shown."""
DEFAULT_LIMIT = 100
MOST_BINS = 768
"""What the core's histogram has at most, for the values of one sign."""

_ALIASES = {"avg": "average", "mean": "average", "std_dev": "stddev", "std": "stddev", "var": "variance"}
_PERCENTILE = re.compile(r"p(\d+(?:\.\d+)?)", re.ASCII)


class Statistic(NamedTuple):
    """One statistic as the core takes it."""

    kind: str
    percentile: float
    result_name: str


def parse_statistic(name: object, *, prefix: str = "") -> Statistic:
    """Reads a statistic's name: count, sum, average, min, max, range, variance, stddev (and their _sample
    variants), skewness, kurtosis, first, last, rate, sum_rate, any pNN, percentile_error, distinct, heavy_hitters,
    histogram, collect.

    >>> parse_statistic("mean"), parse_statistic("p99.90", prefix="cost_")
    (Statistic(kind='average', percentile=0.0, result_name='average'), \
Statistic(kind='percentile', percentile=99.9, result_name='cost_p99.9'))
    """
    known = _ALIASES.get(name, name) if isinstance(name, str) else name
    if isinstance(known, str) and known in _NAMES:
        return Statistic(known, 0.0, prefix + known)
    matched = _PERCENTILE.fullmatch(known) if isinstance(known, str) else None
    if matched and float(matched[1]) <= 100:
        number = matched[1].rstrip("0").rstrip(".") if "." in matched[1] else str(int(matched[1]))
        return Statistic("percentile", float(matched[1]), f"{prefix}p{number}")
    raise ConfigurationError(
        f"aggregate: {name!r} is not a statistic; expected {', '.join(_NAMES)}, a percentile such as 'p95' or "
        "'p99.9', or an Aggregator"
    )


def percentile_statistic(percent: float, *, prefix: str = "") -> Statistic:
    """A percentile, whose name has as many digits as it needs; it is read to 1e-9."""
    number = f"{percent:.9f}".rstrip("0").rstrip(".")
    return Statistic("percentile", percent, f"{prefix}p{number}")


@dataclass(frozen=True)
class CoreMetric:
    """One of the core's metrics: what it reads, what its results are called, and its other settings."""

    kind: str
    fields: tuple[str, ...]
    """Read as numbers."""
    results: tuple[str, ...]
    labels: tuple[str, ...] = ()
    """Read as they are."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: Expression | None = None
    """Of which records it takes those for which this is true."""
    refuses_nulls: bool = False
    derived: Mapping[str, Expression] = field(default_factory=dict)
    """The expressions that are among the fields besides the metric's own, by their texts."""

    @property
    def depends_on_order(self) -> bool:
        """Whether another order of the same records may give other results, by more than the rounding of sums."""
        return self.kind in ("heavy_hitters", "kll_percentiles")

    def core_settings(
        self, fields: Sequence[str], labels: Sequence[str], selections: Sequence[str] = ()
    ) -> dict[str, Any]:
        """As the core takes them, where these are all that a pipeline reads, and all conditions by their texts."""
        return {
            "kind": self.kind,
            "fields": list(self.fields),
            "columns": [fields.index(name) for name in self.fields],
            "label_fields": list(self.labels),
            "labels": [labels.index(name) for name in self.labels],
            "results": list(self.results),
            "selection": None if self.where is None else selections.index(repr(self.where)),
            "refuses_nulls": self.refuses_nulls,
            **self.settings,
        }


def distinct_metric(field: str, result: str, *, precision: int = DEFAULT_PRECISION) -> CoreMetric:
    """What DistinctAggregator computes."""
    return CoreMetric("distinct", (), (result,), (field,), {"precision": precision})


def heavy_hitters_metric(
    field: str, result: str, *, k: int = DEFAULT_HITTERS, capacity: int | None = None
) -> CoreMetric:
    """What HeavyHittersAggregator computes."""
    settings = {"k": k, "capacity": COUNTERS_PER_HITTER * k if capacity is None else capacity}
    return CoreMetric("heavy_hitters", (), (result,), (field,), settings)


def histogram_metric(
    field: str, result: str, *, edges: Sequence[float] | None = None, bins: int = MOST_BINS
) -> CoreMetric:
    """What HistogramAggregator computes."""
    if edges is None:
        return CoreMetric("log_bucket_histogram", (field,), (result,), settings={"bins": bins})
    return CoreMetric("edge_histogram", (field,), (result,), settings={"edges": list(edges)})


def collect_metric(field: str, result: str, *, limit: int = DEFAULT_LIMIT) -> CoreMetric:
    """What CollectAggregator computes."""
    return CoreMetric("collect", (), (result,), (field,), {"limit": limit})


_ALONE: Mapping[str, Callable[[str, str], CoreMetric]] = {
    "distinct": distinct_metric,
    "heavy_hitters": heavy_hitters_metric,
    "histogram": histogram_metric,
    "collect": collect_metric,
}
"""The statistics that have a metric of their own, here with the settings that their aggregators have by default."""

_NAMES = tuple(kind for kind in (*_CORE_KINDS, *_ALONE) if kind != "percentile")


def core_metrics_of(field: str, statistics: Sequence[Statistic]) -> list[CoreMetric]:
    """The metrics that give these statistics of one field."""
    grouped: dict[str, list[Statistic]] = {}
    alone: list[CoreMetric] = []
    for statistic in statistics:
        if statistic.kind in _ALONE:
            alone.append(_ALONE[statistic.kind](field, statistic.result_name))
        else:
            grouped.setdefault(_CORE_KINDS[statistic.kind], []).append(statistic)
    together = [
        CoreMetric(
            kind,
            (field,),
            tuple(each.result_name for each in asked),
            settings={"field": field, "statistics": [tuple(each) for each in asked]},
        )
        for kind, asked in grouped.items()
    ]
    return together + alone


@dataclass(frozen=True, eq=False)
class Metric:
    """Statistics and aggregators of one field or expression; the results are named `prefix` + name."""

    field: str
    """The path, or the expression's text."""
    asked: tuple[Statistic | Aggregator, ...]
    prefix: str = ""
    expression: Expression | None = None
    """Whose value it is of, if not a field's."""
    where: Expression | None = None
    refuses_nulls: bool = False

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """Those that were asked for by name."""
        return tuple(each for each in self.asked if isinstance(each, Statistic))

    @property
    def aggregators(self) -> tuple[Aggregator, ...]:
        return tuple(each for each in self.asked if not isinstance(each, Statistic))

    def core_metrics(self) -> list[CoreMetric]:
        """What the core computes for it."""
        of_aggregators = [
            metric
            for aggregator in self.aggregators
            for metric in aggregator.core_metrics(self.field, self.prefix)
        ]
        metrics = [*core_metrics_of(self.field, self.statistics), *of_aggregators]
        return [replace(each, where=self.where, refuses_nulls=self.refuses_nulls) for each in metrics]

    def result_names(self) -> list[str]:
        """In the order in which they were asked for."""
        names: list[str] = []
        for each in self.asked:
            if isinstance(each, Statistic):
                names.append(each.result_name)
            else:
                names += [self.prefix + name for name in each.result_names()]
        return names


def metric_of(
    field: str | Expression,
    asked: Sequence[object],
    prefix: str = "",
    *,
    where: Expression | None = None,
    nulls: object = "skip",
) -> Metric:
    """From names of statistics and aggregators. A number as `nulls` stands for null."""
    for each in asked:
        if isinstance(each, Aggregator):
            each.refuse_changes()
    value = col(field) if isinstance(field, str) else field
    if nulls is not True and nulls is not False and isinstance(nulls, Real):
        value = value.fill_null(nulls)
    elif nulls not in ("skip", "error"):
        raise ConfigurationError(
            f"aggregate: nulls: {nulls!r} is not known; expected 'skip', 'error' or a number"
        )
    metric = Metric(
        value.path if isinstance(value, Column) else repr(value),
        tuple(
            each if isinstance(each, Aggregator) else parse_statistic(each, prefix=prefix) for each in asked
        ),
        prefix,
        expression=None if isinstance(value, Column) else value,
        where=where,
        refuses_nulls=nulls == "error",
    )
    if metric.expression is not None and (read := [each for each in metric.core_metrics() if each.labels]):
        raise ConfigurationError(
            f"aggregate: {metric.field}: {', '.join(read[0].results)} reads a field as it is, not an expression or "
            "nulls=<a number>; expected the path of a field"
        )
    return metric
