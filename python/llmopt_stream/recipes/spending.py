"""What requests cost."""

from __future__ import annotations

import math

from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.joint_aggregates import RatioAggregator
from llmopt_stream.units import Duration, duration_micros
from llmopt_stream.windows import WindowAssigner

from .fields import Fields
from .recipe import Per, Recipe

__all__ = ["budget_burn", "cost_and_tokens"]


def cost_and_tokens(
    builder: StreamPipelineBuilder,
    *,
    per: Per = None,
    window: WindowAssigner | None = None,
    fields: Fields | None = None,
) -> StreamPipelineBuilder:
    """Cost, cost per 1,000 tokens, and prompt and completion tokens with their rates per second.

    Where events have no cost, it can be computed: `Fields.cost` may be an expression of tokens and prices.

    >>> from llmopt_stream import create_pipeline, tumbling
    >>> spending = cost_and_tokens(create_pipeline(), per="tenant", window=tumbling("10s"))
    >>> with spending.open() as session:
    ...     _ = session.push([
    ...         {"timestamp": "2026-01-01T00:00:01Z", "metadata": {"tenant": "acme"},
    ...          "data": {"cost_usd": cost, "prompt_tokens": prompt, "completion_tokens": completion}}
    ...         for cost, prompt, completion in ((0.25, 1000, 500), (0.5, 2000, 500))
    ...     ])
    ...     session.flush()[0].results
    {'cost_count': 2, 'cost_sum': 0.75, 'cost_per_1k_tokens_ratio': 0.1875, 'prompt_tokens_sum': 3000.0,
     'prompt_tokens_sum_rate': 300.0, 'completion_tokens_sum': 1000.0, 'completion_tokens_sum_rate': 100.0}
    """
    recipe = Recipe("cost_and_tokens", builder, fields)
    tokens = recipe.column("prompt_tokens") + recipe.column("completion_tokens")
    return (
        recipe.grouped(per, window)
        .aggregate(recipe.number("cost"), ["count", "sum"], prefix="cost_")
        .aggregate(recipe.number("cost"), RatioAggregator(tokens, scale=1000), prefix="cost_per_1k_tokens_")
        .aggregate(recipe.number("prompt_tokens"), ["sum", "sum_rate"], prefix="prompt_tokens_")
        .aggregate(recipe.number("completion_tokens"), ["sum", "sum_rate"], prefix="completion_tokens_")
    )


def budget_burn(
    builder: StreamPipelineBuilder,
    *,
    budget: float,
    period: Duration = "1d",
    per: Per = None,
    window: WindowAssigner | None = None,
    fields: Fields | None = None,
) -> StreamPipelineBuilder:
    """What is spent, as `spent_sum` and, of the budget of a period, as `budget_used_sum`; and how fast:
    `burn_sum_rate` is 1 where spending as in this window uses up the budget in exactly one period ("burn rate" as in
    Beyer et al., "The Site Reliability Workbook", chapter 5).

    With cumulative windows of a period's size the panes follow a period: `budget_used_sum` is the share so far.

    >>> from llmopt_stream import CumulativeWindowAssigner, create_pipeline
    >>> hours = CumulativeWindowAssigner("1d", "6h")
    >>> burn = budget_burn(create_pipeline(), budget=100, per="tenant", window=hours)
    >>> with burn.open() as session:
    ...     _ = session.push([
    ...         {"timestamp": f"2026-01-01T{hour:02}:00:00Z", "data": {"cost_usd": 25.0}} for hour in (1, 7)
    ...     ])
    ...     [tuple(result.results.values()) for result in session.flush()][:2]
    [(25.0, 0.25, 1.0), (50.0, 0.5, 1.0)]
    """
    recipe = Recipe("budget_burn", builder, fields)
    if not _is_positive(budget):
        raise ConfigurationError(f"budget_burn: budget: {budget!r} is not a positive number")
    seconds = duration_micros(period, "budget_burn: period", least=1) / 1_000_000
    cost = recipe.column("cost")
    return (
        recipe.grouped(per, window)
        .aggregate(recipe.number("cost"), ["sum"], prefix="spent_")
        .aggregate(cost / budget, ["sum"], prefix="budget_used_")
        .aggregate(cost * (seconds / budget), ["sum_rate"], prefix="burn_")
    )


def _is_positive(number: object) -> bool:
    return isinstance(number, float | int) and not isinstance(number, bool) and 0 < number < math.inf
