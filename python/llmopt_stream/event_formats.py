"""Event types of standards: CloudEvents, and OpenTelemetry's names for generative AI."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Required, TypedDict

from .schemas import EventTime

__all__ = ["CloudEvent", "CloudEventData", "GenAiAttributes", "GenAiEvent"]


class CloudEventData(TypedDict, total=False):
    """What a request to a model cost and how it went. Times in milliseconds, cost in US dollars."""

    model: str | None
    latency_ms: float | None
    ttft_ms: float | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None
    quality: float | None
    error: str | None
    tenant: str | None
    region: str | None
    user: str | None


class CloudEvent(TypedDict, total=False):
    """One event in the envelope of CloudEvents 1.0, structured mode, as JSON. Its event time is `time`; an event
    without one is malformed. Extension attributes and further fields of `data` are field paths all the same.

    >>> from llmopt_stream import create_pipeline
    >>> event: CloudEvent = {
    ...     "specversion": "1.0", "id": "e1", "source": "/gateway", "type": "completion",
    ...     "time": "2026-01-01T00:00:01Z", "data": {"model": "gpt-4o", "prompt_tokens": 12},
    ... }
    >>> builder = create_pipeline(event_type=CloudEvent).with_tumbling_window("1m")
    >>> with builder.aggregate("data.prompt_tokens", ["sum"]).open() as session:
    ...     _ = session.push(event)
    ...     session.flush()[0].results
    {'sum': 12}
    """

    specversion: Required[str]
    id: Required[str]
    source: Required[str]
    type: Required[str]
    time: Annotated[datetime | str, EventTime()]
    subject: str
    datacontenttype: str
    dataschema: str
    data: CloudEventData


GenAiAttributes = TypedDict(
    "GenAiAttributes",
    {
        "gen_ai.operation.name": str,
        "gen_ai.provider.name": str,
        "gen_ai.request.model": str,
        "gen_ai.response.model": str,
        "gen_ai.response.finish_reasons": list[str],
        "gen_ai.response.time_to_first_chunk": float,
        "gen_ai.usage.input_tokens": int,
        "gen_ai.usage.output_tokens": int,
        "gen_ai.client.operation.duration": float,
        "gen_ai.evaluation.name": str,
        "gen_ai.evaluation.score.value": float,
        "gen_ai.evaluation.score.label": str,
        "error.type": str,
        "user.id": str,
    },
    total=False,
)
"""Times in seconds."""


class GenAiEvent(GenAiAttributes, total=False):
    """One event with the names of OpenTelemetry's conventions for generative AI
    (https://opentelemetry.io/docs/specs/semconv/gen-ai/), flat in the record or in its `attributes`. Its event time is
    `timestamp`, a number in nanoseconds as in OpenTelemetry's log records, or text.

    >>> from llmopt_stream import create_pipeline
    >>> event: GenAiEvent = {
    ...     "timestamp": "2026-01-01T00:00:01Z", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 12,
    ... }
    >>> builder = create_pipeline(event_type=GenAiEvent).with_tumbling_window("1m")
    >>> with builder.aggregate("gen_ai.usage.input_tokens", ["sum"]).open() as session:
    ...     _ = session.push(event)
    ...     session.flush()[0].results
    {'sum': 12}
    """

    timestamp: Annotated[datetime | str | int, EventTime(unit="ns")]
    attributes: GenAiAttributes
