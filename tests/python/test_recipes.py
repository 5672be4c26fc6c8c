"""Recipes against plain loops over the events, in every format."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import llmopt_stream as ls
import pytest
from llmopt_stream import recipes
from llmopt_stream._core import FeedbackGenerator
from llmopt_stream.inference_trace import write_trace_events
from llmopt_stream.recipes.student_t import two_sided_quantile
from llmopt_stream.testing import PipelineHarness

TRACES = Path(__file__).parents[3] / "shared" / "data"
WINDOW = timedelta(seconds=10)
Event = dict[str, Any]
Panes = dict[tuple[datetime, Any], dict[str, Any]]
Recipe = Callable[..., ls.StreamPipelineBuilder]


class Format(NamedTuple):
    """How events are written, and where they then have what recipes ask for."""

    event_type: Any
    fields: recipes.Fields | None
    write: Callable[[Event], Event]


def cloud_event(event: Event) -> Event:
    return {
        "specversion": "1.0",
        "id": event["id"],
        "source": "/gateway",
        "type": "completion",
        "time": event["timestamp"],
        "data": {**event["data"], **event["metadata"]},
    }


def attributes(event: Event) -> Event:
    data = event["data"]
    latency, first = data.get("latency_ms"), data.get("ttft_ms")
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": data["model"],
        "gen_ai.client.operation.duration": None if latency is None else latency / 1000,
        "gen_ai.response.time_to_first_chunk": None if first is None else first / 1000,
        "gen_ai.usage.input_tokens": data["prompt_tokens"],
        "gen_ai.usage.output_tokens": data["completion_tokens"],
        "gen_ai.evaluation.score.value": data.get("quality"),
        "error.type": data.get("error"),
        "usage.cost": data.get("cost_usd"),
        "tenant.id": event["metadata"].get("tenant"),
    }


GEN_AI = replace(recipes.GEN_AI, cost="usage.cost", tenant="tenant.id")
FORMATS = {
    "feedback": Format(ls.FeedbackEvent, None, lambda event: event),
    "feedback objects": Format(None, None, ls.FeedbackEvent.from_dict),
    "cloud events": Format(ls.CloudEvent, None, cloud_event),
    "gen_ai": Format(
        ls.GenAiEvent, GEN_AI, lambda event: {"timestamp": event["timestamp"], **attributes(event)}
    ),
    "gen_ai attributes": Format(
        ls.GenAiEvent,
        GEN_AI.under("attributes"),
        lambda event: {"timestamp": event["timestamp"], "attributes": attributes(event)},
    ),
}
each_format = pytest.mark.parametrize("written", FORMATS.values(), ids=FORMATS)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """Generated ones, with a time to the first token."""
    path = tmp_path_factory.mktemp("events") / "events.ndjson"
    FeedbackGenerator(seed=7, events=4_000, events_per_second=60.0, malformed_share=0.0, tenants=3).write(
        bytes(path)
    )
    made = [json.loads(line) for line in path.read_text().splitlines()]
    generator = random.Random(7)
    for event in made:
        event["data"]["ttft_ms"] = round(event["data"]["latency_ms"] * generator.uniform(0.05, 0.5), 3)
        if generator.random() < 0.1:
            event["data"]["error"] = generator.choice(["timeout", "content_filter"])
            event["data"]["completion_tokens"] = 0
    return made


def panes_of(written: Format, recipe: Recipe, events: Sequence[Event], **settings: Any) -> Panes:
    builder = ls.create_pipeline(event_type=written.event_type)
    made = recipe(
        builder, **{"window": ls.tumbling(WINDOW), "fields": written.fields, "per": "model", **settings}
    )
    with made.open() as session:
        table = session.push([written.write(event) for event in events])
        table.extend(session.flush())
    found = {(result.window.start, *result.key.values()): result.results for result in table}
    assert len(found) == len(table)
    return found  # type: ignore[return-value]


def time_of(event: Event) -> datetime:
    return datetime.fromisoformat(event["timestamp"])


def groups_of(events: Sequence[Event], key: str = "data.model") -> Iterator[tuple[Any, list[Event]]]:
    """The events of each pane."""
    first, last = key.split(".")
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        groups[(ls.align_timestamp(time_of(event), WINDOW), event[first][last])].append(event)
    yield from groups.items()


def values_of(events: Sequence[Event], *names: str) -> list[tuple[float, ...]]:
    """Of those that have all."""
    rows = [tuple(event["data"].get(name) for name in names) for event in events]
    return [row for row in rows if None not in row]


def column_of(events: Sequence[Event], name: str) -> list[float]:
    return [value for (value,) in values_of(events, name)]


def percentiles_of(values: Sequence[float], prefix: str) -> dict[str, Any]:
    """By nearest rank; beyond 64 values within 1 %."""
    ordered = sorted(values)
    tolerance = 1e-9 if len(values) <= 64 else 0.01
    return {
        f"{prefix}p{p}": pytest.approx(ordered[math.ceil(p / 100 * len(ordered)) - 1], rel=tolerance)
        for p in (50, 95, 99)
    }


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


@each_format
def test_latency_slo_is_the_share_of_requests_within_the_threshold(
    written: Format, events: list[Event]
) -> None:
    found = panes_of(written, recipes.latency_slo, events, threshold="4s")
    expected = {}
    for pane, group in groups_of(events):
        latencies = column_of(group, "latency_ms")
        expected[pane] = {
            "latency_ms_count": len(latencies),
            **percentiles_of(latencies, "latency_ms_"),
            "within_slo_average": close(sum(ms <= 4000 for ms in latencies) / len(latencies)),
        }
    assert found == expected
    assert any(0 < results["within_slo_average"] < 1 for results in found.values())


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_request_that_takes_the_threshold_exactly_is_within(unit: str) -> None:
    fields = recipes.Fields(latency="latency", latency_unit=unit)
    digits = {"s": 6, "ms": 3, "us": 0, "ns": -3}[unit]
    for micros in range(1, 3_000_000, 7_919):
        latency = float(f"{micros}e{-digits}")
        builder = recipes.latency_slo(
            ls.create_pipeline(), threshold=f"{micros}us", fields=fields, window=ls.tumbling("1m")
        )
        harness = PipelineHarness(builder)
        for value in (latency, math.nextafter(latency, math.inf)):
            harness.push({"timestamp": "2026-01-01T00:00:00Z", "latency": value})
        harness.end_of_input()
        assert harness.drain()[0].results["within_slo_average"] == 0.5


@each_format
def test_streaming_speed_is_in_ratios_of_sums(written: Format, events: list[Event]) -> None:
    found = panes_of(written, recipes.streaming_speed, events)
    expected = {}
    for pane, group in groups_of(events):
        first = column_of(group, "ttft_ms")
        rows = values_of(group, "latency_ms", "ttft_ms", "completion_tokens")
        written_out = [row for row in rows if row[2] > 0]
        expected[pane] = {
            "time_to_first_token_ms_count": len(first),
            **percentiles_of(first, "time_to_first_token_ms_"),
            "tokens_per_second_ratio": close(
                sum(row[2] for row in rows) / sum(row[0] / 1000 for row in rows)
            ),
            "time_per_token_ms_ratio": close(
                sum(row[0] - row[1] for row in written_out) / sum(row[2] - 1 for row in written_out)
            ),
        }
    assert found == expected


@each_format
def test_cost_and_tokens_per_tenant(written: Format, events: list[Event]) -> None:
    found = panes_of(written, recipes.cost_and_tokens, events, per="tenant")
    expected = {}
    for pane, group in groups_of(events, "metadata.tenant"):
        rows = values_of(group, "cost_usd", "prompt_tokens", "completion_tokens")
        cost, prompt, completion = (sum(row[at] for row in rows) for at in range(3))
        expected[pane] = {
            "cost_count": len(rows),
            "cost_sum": close(cost),
            "cost_per_1k_tokens_ratio": close(1000 * cost / (prompt + completion)),
            "prompt_tokens_sum": prompt,
            "prompt_tokens_sum_rate": close(prompt / 10),
            "completion_tokens_sum": completion,
            "completion_tokens_sum_rate": close(completion / 10),
        }
    assert found == expected
    integers = written.event_type is not None
    assert all(isinstance(results["prompt_tokens_sum"], int) == integers for results in found.values())


@each_format
def test_budget_burn_follows_the_period(written: Format, events: list[Event]) -> None:
    window = ls.CumulativeWindowAssigner("60s", "20s")
    builder = recipes.budget_burn(
        ls.create_pipeline(event_type=written.event_type),
        budget=2.5,
        period="60s",
        per="tenant",
        window=window,
        fields=written.fields,
    )
    with builder.open() as session:
        session.push([written.write(event) for event in events])
        table = session.flush()
    assert len(table)
    for result in table:
        start, end = result.window.start, result.window.end
        assert start is not None
        assert end is not None
        spent = sum(
            event["data"]["cost_usd"]
            for event in events
            if start <= time_of(event) < end and event["metadata"]["tenant"] == result.key.values()[0]
        )
        assert result.results == {
            "spent_sum": close(spent),
            "budget_used_sum": close(spent / 2.5),
            "burn_sum_rate": close(spent / 2.5 / ((end - start) / timedelta(seconds=60))),
        }


def trend_of(group: list[Event], start: datetime) -> tuple[Any, Any]:
    """Slope and intercept by least squares."""
    points = [
        ((time_of(event) - start).total_seconds(), event["data"]["quality"])
        for event in group
        if event["data"]["quality"] is not None
    ]
    if len(points) < 2:
        return None, None
    slope, intercept = statistics.linear_regression(*zip(*points, strict=True))
    return pytest.approx(slope, rel=1e-6, abs=1e-9), pytest.approx(intercept, rel=1e-6)


@each_format
def test_quality_drift_inside_of_windows_and_across_them(written: Format, events: list[Event]) -> None:
    found = panes_of(written, recipes.quality_drift, events, alpha=0.5)
    averages: dict[str, float] = {}
    for (start, model), group in sorted(groups_of(events), key=lambda pane: pane[0]):
        values = column_of(group, "quality")
        results = found.pop((start, model))
        slope, intercept = trend_of(group, start)
        assert results["quality_count"] == len(values)
        assert results["quality_trend_slope"] == slope
        assert results["quality_trend_intercept"] == intercept
        if values:
            average = statistics.fmean(values)
            averages[model] = (average + averages.get(model, average)) / 2
            assert results["quality_average"] == close(average)
            assert results["quality_stddev"] == close(statistics.pstdev(values))
            assert results["quality_average_ema"] == close(averages[model])
    assert not found


def test_a_drop_of_quality_is_an_anomaly() -> None:
    generator = random.Random(7)
    made = [
        {
            "timestamp": f"2026-01-01T00:{minute:02}:{second:02}Z",
            "data": {"quality": generator.gauss(0.8 if minute < 20 else 0.6, 0.05)},
        }
        for minute in range(22)
        for second in range(60)
    ]
    builder = recipes.quality_drift(ls.create_pipeline(), window=ls.tumbling("1m"))
    with builder.open() as session:
        session.push(made)
        anomalies = [
            result.window.start.minute
            for result in session.flush()
            if result.results["quality_average_anomaly"] and result.window.start
        ]
    assert anomalies == [20]


@pytest.mark.parametrize(
    ("settings", "share"), [({}, 0.001), ({"threshold": 3}, 0.01), ({"alpha": 0.3, "threshold": 3}, 0.04)]
)
def test_steady_quality_has_as_many_anomalies_by_chance_as_documented(
    settings: dict[str, float], share: float
) -> None:
    generator = random.Random(1)
    start = int(ls.EventTimestamp.event("2026-01-01T00:00:00Z"))
    made = [
        {"timestamp": start + 60_000_000 * minute, "data": {"quality": generator.gauss(0.8, 0.05)}}
        for minute in range(20_000)
    ]
    builder = recipes.quality_drift(ls.create_pipeline(), window=ls.tumbling("1m"), **settings)
    with builder.open() as session:
        session.push(made)
        anomalies = [bool(result.results["quality_average_anomaly"]) for result in session.flush()]
    assert sum(anomalies) / len(anomalies) == pytest.approx(share, rel=0.2)


@each_format
def test_error_rate_tells_errors_from_refusals(written: Format, events: list[Event]) -> None:
    found = panes_of(written, recipes.error_rate, events)
    expected = {}
    for pane, group in groups_of(events):
        errors = [event["data"]["error"] for event in group]
        refused = errors.count("content_filter")
        failed = len(errors) - errors.count(None) - refused
        expected[pane] = {
            "requests_count": len(group),
            "errors_sum": failed,
            "errors_average": close(failed / len(group)),
            "refusals_sum": refused,
            "refusals_average": close(refused / len(group)),
        }
    assert found == expected
    assert sum(results["refusals_sum"] for results in found.values()) > 100


def test_an_error_may_be_anything_but_null() -> None:
    fields = replace(recipes.FEEDBACK, refusals=("no",))
    builder = recipes.error_rate(ls.create_pipeline(), window=ls.tumbling("1m"), fields=fields)
    with builder.open() as session:
        for error in (None, 500, True, "", "refusal", "no"):
            session.push({"timestamp": "2026-01-01T00:00:00Z", "data": {"error": error}})
        session.push({"timestamp": "2026-01-01T00:00:00Z"})
        results = session.flush()[0].results
    assert [results[name] for name in ("requests_count", "errors_sum", "refusals_sum")] == [7, 4, 1]


@each_format
def test_models_are_compared_by_their_means(written: Format, events: list[Event]) -> None:
    found = panes_of(written, recipes.compare_models, events)
    expected = {}
    for pane, group in groups_of(events):
        latencies = column_of(group, "latency_ms")
        expected[pane] = {
            "latency_ms_count": len(latencies),
            "latency_ms_average": close(statistics.fmean(latencies)),
            "latency_ms_variance_sample": close(statistics.variance(latencies)),
            **percentiles_of(latencies, "latency_ms_"),
        }
    assert found == expected


# How recipes are put together


def test_recipes_share_a_builder_or_have_branches_of_one_stream(events: list[Event]) -> None:
    keyed = ls.create_pipeline(event_type=ls.FeedbackEvent).key_by("data.model")
    together = recipes.error_rate(recipes.latency_slo(keyed.with_window(ls.tumbling(WINDOW)), threshold="4s"))
    branched = recipes.latency_slo(
        keyed.branch("slo"), threshold="4s", per="model", window=ls.tumbling(WINDOW)
    )
    branched = recipes.error_rate(branched.branch("errors"), per="model", window=ls.tumbling(WINDOW))
    with together.open() as session:
        session.push(events)
        both = session.flush()
    with branched.open() as session:
        session.push(events)
        tables = session.flush()
    for together_result, slo, errors in zip(both, tables["slo"], tables["errors"], strict=True):
        assert together_result.key == slo.key == errors.key
        assert together_result.results == {**slo.results, **errors.results}


def test_per_takes_several_roles_and_paths() -> None:
    builder = recipes.error_rate(ls.create_pipeline(), per=["model", "region", ls.col("metadata.zone")])
    assert builder.plan.key == ("data.model", "metadata.region", "metadata.zone")
    assert recipes.error_rate(builder).plan.key == builder.plan.key
    assert recipes.error_rate(builder, per=()).plan.key == ()


def test_cost_may_be_computed_of_tokens() -> None:
    fields = replace(
        recipes.GEN_AI,
        cost=ls.col("gen_ai.usage.input_tokens") * 0.25 + ls.col("gen_ai.usage.output_tokens") * 0.5,
    )
    builder = recipes.cost_and_tokens(
        ls.create_pipeline(event_type=ls.GenAiEvent), window=ls.tumbling("1m"), fields=fields
    )
    record = {"timestamp": "2026-01-01T00:00:00Z", "gen_ai.usage.input_tokens": 6}
    with builder.open() as session:
        session.push([{**record, "gen_ai.usage.output_tokens": 2}, record])
        results = session.flush()[0].results
    assert results["cost_sum"] == 2.5
    assert results["cost_per_1k_tokens_ratio"] == 312.5


BUILDER = ls.create_pipeline().with_tumbling_window("1m")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: recipes.latency_slo(BUILDER, threshold="soon"),
            r"latency_slo: threshold: 'soon' is not a duration",
        ),
        (
            lambda: recipes.latency_slo(BUILDER, threshold=0),
            r"latency_slo: threshold: 0 must be at least 1e-06 s",
        ),
        (
            lambda: recipes.error_rate(BUILDER, per="modle"),
            r"error_rate: per: 'modle' is no role; expected model, tenant, region, user, error or ls\.col\(path\)",
        ),
        (lambda: recipes.error_rate(BUILDER, per="latency"), r"error_rate: per: 'latency' is no role"),
        (
            lambda: recipes.cost_and_tokens(ls.create_pipeline(event_type=ls.GenAiEvent)),
            r"cost_and_tokens: fields: cost is None; expected dataclasses\.replace\(fields, cost='a\.path'\)",
        ),
        (
            lambda: recipes.error_rate(ls.create_pipeline(event_type=ls.FeedbackData)),
            r"error_rate: fields: not known for event type .*FeedbackData.*; expected recipes\.Fields\(…\)",
        ),
        (
            lambda: recipes.error_rate("calls"),  # type: ignore[arg-type]
            r"error_rate: builder: 'calls' is not a StreamPipelineBuilder; expected ls\.create_pipeline",
        ),
        (
            lambda: recipes.error_rate(BUILDER, fields="data"),  # type: ignore[arg-type]
            r"error_rate: fields: 'data' is not a Fields; expected recipes\.Fields\(…\)",
        ),
        (
            lambda: recipes.difference({"count": 1}, {"count": 1}),  # type: ignore[arg-type]
            r"difference: \{'count': 1\} is not an AggregationResult; expected table\[0\]",
        ),
        (lambda: recipes.error_rate(BUILDER, window="1m"), r"with_window: '1m' is not a WindowAssigner"),
        (lambda: recipes.error_rate(BUILDER.branch("b"), per="model"), r"branch: 'b' comes after a window"),
        (lambda: recipes.budget_burn(BUILDER, budget=0), r"budget_burn: budget: 0 is not a positive number"),
        (lambda: recipes.budget_burn(BUILDER, budget=True), r"budget_burn: budget: True is not a positive"),
        (
            lambda: recipes.budget_burn(BUILDER, budget=math.inf),
            r"budget_burn: budget: inf is not a positive",
        ),
        (
            lambda: recipes.budget_burn(BUILDER, budget=1, period="0s"),
            r"budget_burn: period: '0s' must be at least",
        ),
        (lambda: recipes.quality_drift(BUILDER, alpha=2), r"MovingAverage: alpha: 2 is not a weight"),
        (lambda: recipes.quality_drift(BUILDER, threshold=-1), r"ZScore: threshold: -1 is not a positive"),
        (
            lambda: recipes.compare_models(BUILDER, of="model"),
            r"compare_models: of: 'model' is no role; expected latency, time_to_first_token, prompt_tokens",
        ),
        (lambda: recipes.Fields(latency="a..b"), r"Fields: latency: 'a\.\.b' is not a field path"),
        (lambda: recipes.Fields(model=ls.col("a")), r"Fields: model: col\('a'\) is not a field path"),  # type: ignore[arg-type]
        (
            lambda: recipes.Fields(latency_unit="min"),
            r"Fields: latency_unit: 'min' is not known; expected one of",
        ),
        (lambda: recipes.Fields(latency_unit=None), r"Fields: latency_unit: None is not known"),  # type: ignore[arg-type]
        (lambda: recipes.Fields(refusals="no"), r"Fields: refusals: 'no' is not a tuple of texts"),  # type: ignore[arg-type]
        (
            lambda: recipes.Fields(cost=ls.col("a") * 2).under("data"),
            r"Fields\.under: cost: col\('a'\) \* 2 has paths of its own; set it afterwards",
        ),
        (lambda: recipes.FEEDBACK.under(""), r"Fields\.under: parent: '' is not a field path"),
    ],
)
def test_wrong_settings_are_named(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=message):
        make()


# Real traces, which have times and tokens


@pytest.fixture(scope="module")
def trace_events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    folder = tmp_path_factory.mktemp("traces")
    made = []
    for name in ("AzureLLMInferenceTrace_code", "AzureLLMInferenceTrace_conv"):
        trace = TRACES / f"{name}.csv"
        if not trace.exists():
            pytest.skip(f"no trace at {trace}")
        write_trace_events(trace, folder / name)
        made += [json.loads(line) for line in (folder / name).read_text().splitlines()]
    for event in made:
        event["timestamp"] = event["timestamp"].replace(" ", "T")[:26] + "Z"
    return made


@each_format
def test_spending_of_real_traces(written: Format, trace_events: list[Event]) -> None:
    fields = written.fields or recipes.FEEDBACK
    prompt, completion = (ls.col(str(path)) for path in (fields.prompt_tokens, fields.completion_tokens))
    priced = replace(fields, cost=prompt * 3e-6 + completion * 15e-6)
    window = ls.tumbling("10m")
    found = panes_of(written, recipes.cost_and_tokens, trace_events, fields=priced, window=window)
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in trace_events:
        groups[(ls.align_timestamp(time_of(event), "10m"), event["data"]["model"])].append(event["data"])
    assert found.keys() == groups.keys()
    assert len(found) > 10
    for pane, group in groups.items():
        read, wrote = (sum(data[name] for data in group) for name in ("prompt_tokens", "completion_tokens"))
        cost = read * 3e-6 + wrote * 15e-6
        assert found[pane] == {
            "cost_count": len(group),
            "cost_sum": close(cost),
            "cost_per_1k_tokens_ratio": close(1000 * cost / (read + wrote)),
            "prompt_tokens_sum": read,
            "prompt_tokens_sum_rate": close(read / 600),
            "completion_tokens_sum": wrote,
            "completion_tokens_sum_rate": close(wrote / 600),
        }


@each_format
def test_two_services_of_real_traces_differ(written: Format, trace_events: list[Event]) -> None:
    panes = {}
    samples = {}
    for name in ("AzureLLMInferenceTrace_code", "AzureLLMInferenceTrace_conv"):
        of_trace = [event for event in trace_events if event["data"]["model"] == name]
        builder = recipes.compare_models(
            ls.create_pipeline(event_type=written.event_type),
            of="completion_tokens",
            window=ls.tumbling("1d"),
            fields=written.fields,
        )
        with builder.open() as session:
            session.push([written.write(event) for event in of_trace])
            [panes[name]] = session.flush()
        samples[name] = column_of(of_trace, "completion_tokens")
    change = recipes.difference(*panes.values(), prefix="completion_tokens_", confidence=0.99)
    a, b = samples.values()
    errors = [statistics.variance(sample) / len(sample) for sample in (a, b)]
    degrees = sum(errors) ** 2 / (errors[0] ** 2 / (len(a) - 1) + errors[1] ** 2 / (len(b) - 1))
    expected = statistics.fmean(b) - statistics.fmean(a)
    margin = two_sided_quantile(0.99, degrees) * math.sqrt(sum(errors))
    assert (change.difference, change.low, change.high) == (
        close(expected),
        close(expected - margin),
        close(expected + margin),
    )
    assert change.excludes_zero
