"""Recipes for streams of LLM events: each adds aggregates to a builder, made of the public parts.

All take `per` (roles such as "model" or "tenant", or `ls.col(path)`), `window` (such as `ls.tumbling("5m")`) and `fields`
(where events have what the recipe asks for). Without `per` and `window` the builder's own stay; without `fields` they
are those of the pipeline's event type, `FEEDBACK` where it has none. So several recipes can be added to one builder, or
each to a branch.

>>> import llmopt_stream as ls
>>> minutes = ls.create_pipeline(event_type=ls.CloudEvent).key_by("data.model").with_tumbling_window("1m")
>>> both = ls.recipes.error_rate(ls.recipes.latency_slo(minutes, threshold="2s"))
"""

from .comparison import Difference, compare_models, difference
from .fields import CLOUD_EVENTS, FEEDBACK, GEN_AI, Fields
from .latency import latency_slo, streaming_speed
from .quality import error_rate, quality_drift
from .spending import budget_burn, cost_and_tokens

__all__ = [
    "CLOUD_EVENTS",
    "FEEDBACK",
    "GEN_AI",
    "Difference",
    "Fields",
    "budget_burn",
    "compare_models",
    "cost_and_tokens",
    "difference",
    "error_rate",
    "latency_slo",
    "quality_drift",
    "streaming_speed",
]
