from __future__ import annotations

import copy
import pickle

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

RECORD = {
    "id": "e1",
    "timestamp": "2026-01-01T00:00:01Z",
    "shard": 7,
    "data": {"model": "opus", "latency_ms": 10.0, "ttft_ms": 90.0, "cache": {"hits": 3}},
    "metadata": {"region": "eu", "zone": "eu-1a"},
}


def test_fields_that_an_event_does_not_name_are_reached_by_their_paths() -> None:
    builder = (
        ls.create_pipeline(event_type=ls.FeedbackEvent)
        .key_by("metadata.zone", "shard", "data.none")
        .with_tumbling_window("1m")
        .aggregate("data.ttft_ms", ["sum"])
        .aggregate("data.cache.hits", ["sum"], prefix="hits_")
    )
    outputs = []
    for record in (RECORD, ls.FeedbackEvent.from_dict(RECORD)):
        harness = PipelineHarness(builder)
        harness.push(record)
        harness.end_of_input()
        outputs.append(harness.drain())
    assert outputs[0] == outputs[1]
    assert outputs[1][0].key == {"metadata.zone": "eu-1a", "shard": 7, "data.none": None}
    assert outputs[1][0].results == {"sum": 90.0, "hits_sum": 3.0}


def test_events_with_extra_fields_can_be_copied() -> None:
    event = ls.FeedbackEvent.from_dict(RECORD)
    assert copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event
    assert event.data.ttft_ms == 90.0  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="'FeedbackData' object has no attribute 'ttft'"):
        event.data.ttft  # type: ignore[attr-defined]  # noqa: B018


def test_a_key_does_not_name_a_field_twice() -> None:
    with pytest.raises(ls.ConfigurationError, match=r"GroupingKey: fields: .* name a field twice"):
        ls.GroupingKey.from_fields([("model", "a"), ("model", "b")])


def test_nan_in_a_key_equals_itself() -> None:
    key, same = ls.GroupingKey({"k": float("nan")}), ls.GroupingKey({"k": float("nan")})
    assert key == same
    assert key == {"k": float("nan")}
    assert len({key, same}) == 1
    assert key != ls.GroupingKey({"k": 1.0})
    assert ls.GroupingKey({"k": 1}) == {"k": 1.0}


def test_true_is_another_key_than_one() -> None:
    assert ls.GroupingKey({"k": True}) != ls.GroupingKey({"k": 1})
    assert ls.GroupingKey({"k": 1.0}) == {"k": 1}
    assert len({ls.GroupingKey({"k": value}) for value in (True, 1, 1.0, False, 0)}) == 4
