"""Aggregators with settings, as configurations have them, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llmopt_stream as ls
from llmopt_stream.errors import ConfigurationError

from .expressions import expression_from

__all__ = ["aggregator_of", "said_of"]


def aggregator_of(said: Any) -> ls.Aggregator:
    """The aggregator that a section describes."""
    match said._section.tag:
        case "composite":
            return ls.CompositeAggregator(
                [each if isinstance(each, str) else aggregator_of(each) for each in said.enabled]
            )
        case "percentile":
            return ls.PercentileAggregator(said.percentiles, said.method, k=said.k)
        case "distinct":
            return ls.DistinctAggregator(said.precision)
        case "heavy_hitters":
            return ls.HeavyHittersAggregator(said.k, said.capacity)
        case "histogram":
            return ls.HistogramAggregator(said.buckets, said.bins)
        case "collect":
            return ls.CollectAggregator(said.limit)
        case "ratio":
            if (said.per is None) == (said.per_expression is None):
                raise ConfigurationError("a ratio needs either 'per' or 'per_expression'")
            per = said.per if said.per_expression is None else expression_from(said.per_expression)
            return ls.RatioAggregator(per, scale=said.scale)
        case "weighted_average":
            return ls.WeightedAverageAggregator(said.weight)
        case "covariance":
            return ls.CovarianceAggregator(said.other, sample=said.sample)
        case "correlation":
            return ls.CorrelationAggregator(said.other)
    return ls.LinearTrendAggregator(said.on)


def said_of(aggregator: Any) -> dict[str, Any]:
    """What a configuration says of an aggregator; a ConfigurationError of one of a user's own."""
    kind = type(aggregator)
    if kind in _STATISTICS:
        return {"type": "composite", "enabled": [aggregator.name()]}
    if kind is ls.CompositeAggregator:
        parts = [each if isinstance(each, str) else said_of(each) for each in aggregator._aggregations]
        return {"type": "composite", "enabled": parts}
    if kind not in _SAID:
        raise ConfigurationError(
            f"the aggregator {kind.__name__} has no form in a configuration; it is Python"
        )
    tag, settings = _SAID[kind]
    return {"type": tag, **settings(aggregator)}


_STATISTICS = (
    ls.CountAggregator,
    ls.SumAggregator,
    ls.AverageAggregator,
    ls.MinAggregator,
    ls.MaxAggregator,
    ls.StdDevAggregator,
)


def _ratio(said: Any) -> dict[str, Any]:
    per = "per_expression" if said._derived else "per"
    return {per: said._others[0], "scale": said._scale}


_SAID: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    ls.PercentileAggregator: (
        "percentile",
        lambda said: {"percentiles": [*said._percentiles], "method": said._method, "k": said._k},
    ),
    ls.DistinctAggregator: ("distinct", lambda said: {"precision": said._precision}),
    ls.HeavyHittersAggregator: ("heavy_hitters", lambda said: {"k": said._k, "capacity": said._capacity}),
    ls.HistogramAggregator: (
        "histogram",
        lambda said: {"bins": said._bins} if said._edges is None else {"buckets": [*said._edges]},
    ),
    ls.CollectAggregator: ("collect", lambda said: {"limit": said._limit}),
    ls.RatioAggregator: ("ratio", _ratio),
    ls.WeightedAverageAggregator: ("weighted_average", lambda said: {"weight": said._others[0]}),
    ls.CovarianceAggregator: (
        "covariance",
        lambda said: {"other": said._others[0], "sample": said._kind == "covariance_sample"},
    ),
    ls.CorrelationAggregator: ("correlation", lambda said: {"other": said._others[0]}),
    ls.LinearTrendAggregator: ("linear_trend", lambda said: {"on": [*said._others] or None}),
}
