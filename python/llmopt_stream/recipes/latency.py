"""How long requests take."""

from __future__ import annotations

from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.columns import Expression
from llmopt_stream.joint_aggregates import RatioAggregator
from llmopt_stream.units import Duration, duration_micros
from llmopt_stream.windows import WindowAssigner

from .fields import Fields
from .recipe import Per, Recipe

__all__ = ["latency_slo", "streaming_speed"]

_PER_MICROSECOND = {"s": (1, 1_000_000), "ms": (1, 1_000), "us": (1, 1), "ns": (1_000, 1)}


def latency_slo(
    builder: StreamPipelineBuilder,
    *,
    threshold: Duration,
    per: Per = None,
    window: WindowAssigner | None = None,
    fields: Fields | None = None,
) -> StreamPipelineBuilder:
    """The share of requests that take at most `threshold`, as `within_slo_average`, and percentiles in milliseconds.

    Requests without a latency count in neither.

    >>> from llmopt_stream import create_pipeline, tumbling
    >>> slo = latency_slo(create_pipeline(), threshold="1s", per="model", window=tumbling("1m"))
    >>> with slo.open() as session:
    ...     _ = session.push([
    ...         {"timestamp": "2026-01-01T00:00:01Z", "data": {"model": "opus", "latency_ms": ms}}
    ...         for ms in (400.0, 1000.0, 1000.5, 700.0)
    ...     ])
    ...     session.flush()[0].results
    {'latency_ms_count': 4, 'latency_ms_p50': 700.0, 'latency_ms_p95': 1000.5, 'latency_ms_p99': 1000.5,
     'within_slo_average': 0.75}
    """
    recipe = Recipe("latency_slo", builder, fields)
    times, divisor = _PER_MICROSECOND[recipe.fields.latency_unit]
    limit = duration_micros(threshold, "latency_slo: threshold", least=1) * times / divisor
    within: Expression = recipe.column("latency") <= limit
    return (
        recipe.grouped(per, window)
        .aggregate(recipe.milliseconds("latency"), ["count", "p50", "p95", "p99"], prefix="latency_ms_")
        .aggregate(within, ["average"], prefix="within_slo_")
    )


def streaming_speed(
    builder: StreamPipelineBuilder,
    *,
    per: Per = None,
    window: WindowAssigner | None = None,
    fields: Fields | None = None,
) -> StreamPipelineBuilder:
    """Percentiles of the time to the first token; completion tokens per second of latency; and the time per token
    after the first. The last two are ratios of sums, so that long answers count for more.

    >>> from llmopt_stream import create_pipeline, tumbling
    >>> speed = streaming_speed(create_pipeline(), window=tumbling("1m"))
    >>> with speed.open() as session:
    ...     _ = session.push([
    ...         {"timestamp": "2026-01-01T00:00:01Z",
    ...          "data": {"latency_ms": latency, "ttft_ms": first, "completion_tokens": tokens}}
    ...         for latency, first, tokens in ((1500.0, 300.0, 41), (500.0, 100.0, 11))
    ...     ])
    ...     session.flush()[0].results
    {'time_to_first_token_ms_count': 2, 'time_to_first_token_ms_p50': 100.0, 'time_to_first_token_ms_p95': 300.0,
     'time_to_first_token_ms_p99': 300.0, 'tokens_per_second_ratio': 26.0, 'time_per_token_ms_ratio': 32.0}
    """
    recipe = Recipe("streaming_speed", builder, fields)
    tokens = recipe.column("completion_tokens")
    after_first = recipe.column("latency") - recipe.column("time_to_first_token")
    to_milliseconds = recipe.milliseconds_per_unit
    return (
        recipe.grouped(per, window)
        .aggregate(
            recipe.milliseconds("time_to_first_token"),
            ["count", "p50", "p95", "p99"],
            prefix="time_to_first_token_ms_",
        )
        .aggregate(
            recipe.number("completion_tokens"),
            RatioAggregator(recipe.number("latency"), scale=1000 / to_milliseconds),
            prefix="tokens_per_second_",
        )
        .aggregate(
            after_first,
            RatioAggregator(tokens - 1, scale=to_milliseconds),
            prefix="time_per_token_ms_",
            where=tokens > 0,
        )
    )
