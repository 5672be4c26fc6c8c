"""Where events of a format have what recipes ask for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeAlias

from llmopt_stream.columns import Expression, field_path
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.units import checked_unit

__all__ = ["CLOUD_EVENTS", "FEEDBACK", "GEN_AI", "Fields"]

Number: TypeAlias = str | Expression | None
"""A path, or what is computed of fields."""

_SETTINGS = ("latency_unit", "refusals")


@dataclass(frozen=True, kw_only=True, eq=False)
class Fields:
    """The field path of each role, for numbers also an expression; None where events have no such thing.

    `FEEDBACK`, `CLOUD_EVENTS` and `GEN_AI` are those of FeedbackEvent, CloudEvent and GenAiEvent. For events of your
    own, start from one of them:

    >>> from dataclasses import replace
    >>> from llmopt_stream import col
    >>> ours = replace(FEEDBACK, tenant="metadata.team", latency="data.seconds", latency_unit="s")
    >>> priced = replace(GEN_AI, cost=col("gen_ai.usage.input_tokens") * 3e-6 + col("gen_ai.usage.output_tokens") * 15e-6)
    """

    model: str | None = None
    tenant: str | None = None
    region: str | None = None
    user: str | None = None
    latency: Number = None
    time_to_first_token: Number = None
    latency_unit: str = "ms"
    """That of both: "s", "ms", "us" or "ns"."""
    prompt_tokens: Number = None
    completion_tokens: Number = None
    cost: Number = None
    quality: Number = None
    error: str | None = None
    """Null, or missing, in requests that went well. Where errors are objects, a field of theirs: "data.error.code"."""
    refusals: tuple[str, ...] = ("content_filter", "refusal")
    """What `error` says of requests that a model refused."""

    def __post_init__(self) -> None:
        if checked_unit(self.latency_unit, "Fields: latency_unit") is None:
            raise ConfigurationError("Fields: latency_unit: None is not known; expected one of s, ms, us, ns")
        refusals: object = self.refusals
        if not isinstance(refusals, tuple) or not all(isinstance(each, str) for each in refusals):
            raise ConfigurationError(f"Fields: refusals: {refusals!r} is not a tuple of texts")
        for role in ROLES:
            path = getattr(self, role)
            if path is not None and not (role in NUMBERS and isinstance(path, Expression)):
                field_path(path, f"Fields: {role}")

    def under(self, parent: str) -> Fields:
        """The same names inside of another field.

        >>> GEN_AI.under("attributes").model
        'attributes.gen_ai.request.model'
        """
        field_path(parent, "Fields.under: parent")
        moved: dict[str, Any] = {}
        for role in ROLES:
            path = getattr(self, role)
            if isinstance(path, Expression):
                raise ConfigurationError(
                    f"Fields.under: {role}: {path!r} has paths of its own; set it afterwards, by dataclasses.replace"
                )
            moved[role] = None if path is None else f"{parent}.{path}"
        return dataclasses.replace(self, **moved)


ROLES = tuple(field.name for field in dataclasses.fields(Fields) if field.name not in _SETTINGS)
NUMBERS = (
    "latency",
    "time_to_first_token",
    "prompt_tokens",
    "completion_tokens",
    "cost",
    "quality",
)
"""The roles that have numbers."""

FEEDBACK = Fields(
    model="data.model",
    tenant="metadata.tenant",
    region="metadata.region",
    user="metadata.user",
    latency="data.latency_ms",
    time_to_first_token="data.ttft_ms",  # noqa: S106 (no password)
    prompt_tokens="data.prompt_tokens",
    completion_tokens="data.completion_tokens",
    cost="data.cost_usd",
    quality="data.quality",
    error="data.error",
)
"""Of FeedbackEvent; `ttft_ms` and `user` are further fields."""

CLOUD_EVENTS = dataclasses.replace(FEEDBACK, tenant="data.tenant", region="data.region", user="data.user")
"""Of CloudEvent. Where a role is an extension attribute, `dataclasses.replace(CLOUD_EVENTS, tenant="tenant")`."""

GEN_AI = Fields(
    model="gen_ai.request.model",
    user="user.id",
    latency="gen_ai.client.operation.duration",
    time_to_first_token="gen_ai.response.time_to_first_chunk",  # noqa: S106 (no password)
    latency_unit="s",
    prompt_tokens="gen_ai.usage.input_tokens",
    completion_tokens="gen_ai.usage.output_tokens",
    quality="gen_ai.evaluation.score.value",
    error="error.type",
)
"""Of GenAiEvent, flat in the record; `GEN_AI.under("attributes")` where they are there. The conventions name no cost, tenant
and region: say where yours are.
"""
