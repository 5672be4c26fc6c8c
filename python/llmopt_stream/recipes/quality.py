"""How well requests go."""

from __future__ import annotations

from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.joint_aggregates import LinearTrendAggregator
from llmopt_stream.series import MovingAverage, ZScore
from llmopt_stream.windows import WindowAssigner

from .fields import Fields
from .recipe import Per, Recipe

__all__ = ["error_rate", "quality_drift"]


def quality_drift(
    builder: StreamPipelineBuilder,
    *,
    alpha: float = 0.1,
    threshold: float = 4.0,
    per: Per = None,
    window: WindowAssigner | None = None,
    fields: Fields | None = None,
) -> StreamPipelineBuilder:
    """Average, spread and trend of the quality inside of windows, and how the averages of successive windows
    move: `quality_average_ema` by MovingAverage, `quality_average_zscore` and `quality_average_anomaly` by ZScore, of
    the same `alpha` and from `threshold` standard deviations on. `quality_trend_slope` is per second.

    >>> from llmopt_stream import create_pipeline, tumbling
    >>> drift = quality_drift(create_pipeline(), window=tumbling("1m"))
    >>> with drift.open() as session:
    ...     _ = session.push([
    ...         {"timestamp": f"2026-01-01T00:00:{16 * index}Z", "data": {"quality": quality}}
    ...         for index, quality in enumerate((0.75, 0.5, 0.25), start=1)
    ...     ])
    ...     results = session.flush()[0].results
    >>> results["quality_average"], results["quality_trend_slope"], results["quality_trend_intercept"]
    (0.5, -0.015625, 1.0)
    """
    recipe = Recipe("quality_drift", builder, fields)
    return (
        recipe.grouped(per, window)
        .aggregate(
            recipe.number("quality"),
            ["count", "average", "stddev", LinearTrendAggregator()],
            prefix="quality_",
        )
        .across_windows(
            MovingAverage("quality_average", alpha=alpha),
            ZScore("quality_average", alpha=alpha, threshold=threshold),
        )
    )


def error_rate(
    builder: StreamPipelineBuilder,
    *,
    per: Per = None,
    window: WindowAssigner | None = None,
    fields: Fields | None = None,
) -> StreamPipelineBuilder:
    """How many requests there are, and the number (`_sum`) and share (`_average`) of those that failed and of those
    that were refused. A request was refused where its error is one of `Fields.refusals`, and failed where it is
    another one.

    >>> from llmopt_stream import create_pipeline, tumbling
    >>> rate = error_rate(create_pipeline(), per="model", window=tumbling("1m"))
    >>> with rate.open() as session:
    ...     _ = session.push([
    ...         {"timestamp": "2026-01-01T00:00:01Z", "data": {"model": "opus", "error": error}}
    ...         for error in (None, "timeout", "content_filter", None)
    ...     ])
    ...     session.flush()[0].results
    {'requests_count': 4, 'errors_sum': 1.0, 'errors_average': 0.25, 'refusals_sum': 1.0, 'refusals_average': 0.25}
    """
    recipe = Recipe("error_rate", builder, fields)
    error = recipe.column("error")
    refused = error.is_in(recipe.fields.refusals).fill_null(False)
    failed = error.is_not_null() & ~refused
    return (
        recipe.grouped(per, window)
        .aggregate(failed, ["count"], prefix="requests_")
        .aggregate(failed, ["sum", "average"], prefix="errors_")
        .aggregate(refused, ["sum", "average"], prefix="refusals_")
    )
