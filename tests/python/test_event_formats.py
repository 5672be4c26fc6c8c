"""Events of several formats: which field is the event time, and which are integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

BEYOND_FLOATS = 2**53 + 1
SECOND = 1_767_225_601  # 2026-01-01T00:00:01Z

CLOUD_EVENT: ls.CloudEvent = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/gateway",
    "type": "completion",
    "time": "2026-01-01T00:00:01Z",
    "datacontenttype": "application/json",
    "data": {"model": "opus", "prompt_tokens": BEYOND_FLOATS},
}
GEN_AI_EVENT: ls.GenAiEvent = {
    "timestamp": "2026-01-01T00:00:01Z",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "opus",
    "gen_ai.usage.input_tokens": BEYOND_FLOATS,
}


def panes_of(builder: ls.StreamPipelineBuilder, *records: Any) -> list[ls.AggregationResult]:
    harness = PipelineHarness(builder.with_tumbling_window("1m"))
    harness.push(list(records))
    harness.end_of_input()
    return harness.drain()


@pytest.mark.parametrize(
    ("event_type", "record", "model", "tokens"),
    [
        (ls.CloudEvent, CLOUD_EVENT, "data.model", "data.prompt_tokens"),
        (ls.GenAiEvent, GEN_AI_EVENT, "gen_ai.request.model", "gen_ai.usage.input_tokens"),
        (
            ls.FeedbackEvent,
            {"timestamp": CLOUD_EVENT["time"], "data": CLOUD_EVENT["data"]},
            "data.model",
            "data.prompt_tokens",
        ),
    ],
    ids=["CloudEvent", "GenAiEvent", "FeedbackEvent"],
)
def test_event_type_says_the_event_time_and_the_integers(
    event_type: type, record: Any, model: str, tokens: str
) -> None:
    builder = ls.create_pipeline(event_type=event_type).key_by(model).aggregate(tokens, ["sum"])
    [pane] = panes_of(builder, record)
    assert pane.window.start == datetime(2026, 1, 1, tzinfo=UTC)
    assert pane.key == {model: "opus"}
    assert pane.results == {"sum": BEYOND_FLOATS}


def test_a_number_as_time_of_a_gen_ai_event_is_nanoseconds() -> None:
    builder = ls.create_pipeline(event_type=ls.GenAiEvent).aggregate("gen_ai.usage.input_tokens", ["count"])
    [pane] = panes_of(builder, GEN_AI_EVENT, {**GEN_AI_EVENT, "timestamp": SECOND * 1_000_000_000})
    assert pane.results == {"count": 2}


def test_event_time_of_the_pipeline_goes_before_that_of_the_type() -> None:
    builder = ls.create_pipeline(event_type=ls.GenAiEvent).with_event_time("end_time", unit="s")
    [pane] = panes_of(builder.aggregate("gen_ai.usage.input_tokens", ["count"]), {"end_time": SECOND + 60})
    assert pane.window.start == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


def test_a_cloud_event_without_time_is_malformed() -> None:
    session = ls.create_pipeline(event_type=ls.CloudEvent).with_tumbling_window("1m").open()
    session.push([CLOUD_EVENT, {**CLOUD_EVENT, "time": None}, {"specversion": "1.0"}])
    assert session.metrics["malformed"] == 2
    assert session.metrics["aggregated"] == 1


def test_extension_attributes_of_cloud_events_are_fields() -> None:
    builder = ls.create_pipeline(event_type=ls.CloudEvent).key_by("tenant").aggregate("data.retries", ["sum"])
    [pane] = panes_of(builder, {**CLOUD_EVENT, "tenant": "acme", "data": {"retries": 2}})
    assert (pane.key, pane.results) == ({"tenant": "acme"}, {"sum": 2.0})


@dataclass
class Timing:
    ended: Annotated[int, ls.EventTime(unit="s")] | None = None


@dataclass
class Call:
    tokens: int
    timing: Timing = field(default_factory=Timing)


def test_any_event_type_can_mark_a_nested_field_as_event_time() -> None:
    builder = ls.create_pipeline(event_type=Call).aggregate("tokens", ["sum"])
    assert (builder.plan.time_field, builder.plan.time_unit) == ("timing.ended", "s")
    [pane] = panes_of(builder, Call(BEYOND_FLOATS, Timing(SECOND)))
    assert pane.results == {"sum": BEYOND_FLOATS}


def test_two_event_times_are_refused() -> None:
    @dataclass
    class Span:
        started: Annotated[str, ls.EventTime()]
        ended: Annotated[str, ls.EventTime()]

    with pytest.raises(
        ls.ConfigurationError,
        match=r"create_pipeline: event_type: Span marks 'started' and 'ended' as EventTime; expected one field",
    ):
        ls.create_pipeline(event_type=Span)


def test_unknown_unit_of_an_event_time_is_refused() -> None:
    with pytest.raises(
        ls.ConfigurationError, match=r"EventTime: unit: 'min' is not known; expected one of s, ms, us, ns"
    ):
        ls.EventTime(unit="min")
