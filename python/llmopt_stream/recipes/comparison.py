"""Which of two models does better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.results import AggregationResult
from llmopt_stream.windows import WindowAssigner

from .fields import NUMBERS, Fields
from .recipe import Per, Recipe
from .student_t import two_sided_quantile

__all__ = ["Difference", "compare_models", "difference"]


def compare_models(
    builder: StreamPipelineBuilder,
    *,
    of: str = "latency",
    per: Per = "model",
    window: WindowAssigner | None = None,
    fields: Fields | None = None,
) -> StreamPipelineBuilder:
    """What `difference` takes to compare two models, and percentiles: of the latency or another role that is a
    number. The results' names begin with the role, of durations with e.g. `latency_ms_`.

    >>> from llmopt_stream import create_pipeline, tumbling
    >>> comparison = compare_models(create_pipeline(), of="quality", window=tumbling("1m"))
    >>> with comparison.open() as session:
    ...     _ = session.push([
    ...         {"timestamp": "2026-01-01T00:00:01Z", "data": {"model": model, "quality": quality}}
    ...         for model in ("haiku", "opus") for quality in ((0.5, 0.75) if model == "haiku" else (0.75, 1.0))
    ...     ])
    ...     haiku, opus = session.flush()
    >>> difference(haiku, opus, prefix="quality_").difference
    0.25
    """
    recipe = Recipe("compare_models", builder, fields)
    if of not in NUMBERS:
        raise ConfigurationError(f"compare_models: of: {of!r} is no role; expected {', '.join(NUMBERS)}")
    is_duration = of in ("latency", "time_to_first_token")
    return recipe.grouped(per, window).aggregate(
        recipe.milliseconds(of) if is_duration else recipe.number(of),
        ["count", "average", "variance_sample", "p50", "p95", "p99"],
        prefix=f"{of}_ms_" if is_duration else f"{of}_",
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """The mean of one pane minus that of another, with Welch's confidence interval."""

    difference: float | None
    """None where a pane has no value."""
    low: float | None
    high: float | None
    """The interval's ends: None where a pane has fewer than two values."""
    relative: float | None
    """The difference as a share of the first mean; None where that is 0."""
    confidence: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def difference(
    a: AggregationResult, b: AggregationResult, *, prefix: str = "", confidence: float = 0.95
) -> Difference:
    """The mean of `b` minus that of `a`, of two panes with count, average and variance_sample under the prefix.

    Variances need not be equal (Welch, "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34, 1947; degrees of freedom by Satterthwaite, 1946). The values
    are taken as independent, and the interval holds for one look: of many windows, some exclude 0 by chance.

    >>> from llmopt_stream import aggregate, tumbling
    >>> records = [
    ...     {"timestamp": "2026-01-01T00:00:00Z", "model": model, "ms": ms}
    ...     for model, values in {"old": (100, 110, 120, 130), "new": (90, 95, 100, 107)}.items() for ms in values
    ... ]
    >>> new, old = aggregate(
    ...     records, key="model", value="ms", window=tumbling("1m"), aggregations=["count", "mean", "variance_sample"]
    ... )
    >>> change = difference(old, new)
    >>> change.difference, round(change.low, 2), round(change.high, 2), round(change.relative, 3)
    (-17.0, -36.37, 2.37, -0.148)
    >>> change.excludes_zero
    False
    """
    _check_confidence(confidence)
    first, second = _sample(a, prefix), _sample(b, prefix)
    if first.mean is None or second.mean is None:
        return Difference(None, None, None, None, confidence)
    change = second.mean - first.mean
    relative = change / first.mean if first.mean else None
    if first.variance is None or second.variance is None:
        return Difference(change, None, None, relative, confidence)
    margin = _margin(first.variance, first.count, second.variance, second.count, confidence)
    return Difference(change, change - margin, change + margin, relative, confidence)


def _check_confidence(confidence: object) -> None:
    if not isinstance(confidence, float | int) or not 0 < confidence < 1:
        raise ConfigurationError(f"difference: confidence: {confidence!r} is not a number between 0 and 1")


def _margin(variance_a: float, n_a: int, variance_b: float, n_b: int, confidence: float) -> float:
    of_a, of_b = variance_a / n_a, variance_b / n_b
    if of_a + of_b == 0:
        return 0.0
    # Of the shares, as their squares cannot leave a float's range.
    share = of_a / (of_a + of_b)
    degrees = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
    return two_sided_quantile(confidence, degrees) * math.sqrt(of_a + of_b)


@dataclass(frozen=True, slots=True)
class _Sample:
    count: int
    mean: float | None
    variance: float | None


def _sample(pane: AggregationResult, prefix: str) -> _Sample:
    given: object = pane
    if not isinstance(given, AggregationResult):
        raise ConfigurationError(f"difference: {given!r} is not an AggregationResult; expected table[0]")
    results: Mapping[str, Any] = pane.results
    names = [prefix + name for name in ("count", "average", "variance_sample")]
    missing = [name for name in names if name not in results]
    if missing:
        raise ConfigurationError(
            f"difference: prefix: {prefix!r}: the pane of {pane.key} has no {', '.join(map(repr, missing))}; "
            f"there are {', '.join(results)}"
        )
    return _Sample(*(results[name] for name in names))
