"""What records are grouped by: one rule for windows, joins and operators."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any

import llmopt_stream as ls
import numpy as np
import pandas as pd
import pytest
from llmopt_stream.testing import PipelineHarness

STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us").key_by("key")
OTHER = ls.create_pipeline("other").with_event_time("ts", unit="us")
NAN = float("nan")


class Color(str, Enum):  # noqa: UP042 - its text is another one than its value
    RED = "red"


KEYS = [
    None, NAN, np.float64("nan"), "a", "", "é", Color.RED, np.str_("b"), True, False, np.bool_(True), 0, -0.0, 1, 1.0,
    2**64 - 1, -(2**63), 2.5, float("inf"), 1e300, np.int64(3), np.float32(1.5), Decimal("1.50"), Fraction(1, 4),
    date(2020, 1, 2), datetime(2020, 1, 2, 3),  # noqa: DTZ001
    datetime(2020, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=-8))),
    np.datetime64("2020-01-02"), np.datetime64("NaT"), pd.Timestamp("2020-01-02 03:04:05.123456789"), pd.NaT,
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-8))), datetime.min.replace(tzinfo=timezone(timedelta(hours=8))),
]  # fmt: skip
NO_KEYS = [
    [], ["x"], {"a": 1}, set(), (1, 2), b"x", uuid.UUID(int=1), object(), 2**64, -(2**63) - 1, 1j, "\ud800",
    np.array([1, 2]),
]  # fmt: skip

GROUPED: dict[str, Callable[[ls.StreamPipelineBuilder], ls.StreamPipelineBuilder]] = {
    "windows behind map": lambda stream: stream.map(dict).with_tumbling_window("10us"),
    "running_count": lambda stream: stream.running_count(),
    "track_sessions": lambda stream: stream.track_sessions(),
    "process": lambda stream: stream.process(lambda record, context: {"n": 1}),
    "trending": lambda stream: stream.trending(window="10us"),
    "interval join": lambda stream: stream.join(OTHER, on="key", within="1s", how="left"),
    "window join": lambda stream: stream.join(OTHER, on="key", window=ls.tumbling("10us"), how="left"),
}


def pushed(builder: ls.StreamPipelineBuilder, *keys: Any, **options: Any) -> PipelineHarness:
    harness = PipelineHarness(builder)
    harness.push([{"ts": 1, "key": key, "value": 1} for key in keys], **options)
    harness.end_of_input()
    return harness


def side(name: str) -> dict[str, str]:
    return {"input": "left"} if "join" in name else {}


def key_of_windows(value: Any) -> Any:
    (pane,) = pushed(STREAM.with_tumbling_window("10us"), value).drain()
    return pane.key


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("value", KEYS, ids=repr)
def test_keys_are_those_of_windows(name: str, value: Any) -> None:
    (event,) = pushed(GROUPED[name](STREAM), value, **side(name)).drain()
    expected = key_of_windows(value)
    assert event.key == expected
    assert type(event.key["key"]) is type(expected["key"])


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("value", NO_KEYS, ids=repr)
def test_what_is_no_key_is_malformed(name: str, value: Any) -> None:
    """Whatever the error policy says: none of the user's code has failed."""
    harness = pushed(GROUPED[name](STREAM), value, "a", value, **side(name))
    assert [event.key["key"] for event in harness.drain()] == ["a"]
    kind = "bad_utf8" if isinstance(value, str) else "key_not_scalar"
    assert harness.metrics["malformed"] == 2
    assert harness.metrics["malformed_by_kind"] == {kind: 2}
    assert (harness.metrics["errors"], harness.metrics["live_keys"]) == (0, 0)


@pytest.mark.parametrize("name", GROUPED)
def test_null_and_nan_are_two_keys(name: str) -> None:
    harness = pushed(GROUPED[name](STREAM), None, NAN, np.float64("nan"), **side(name))
    assert {repr(event.key["key"]) for event in harness.drain()} == {"None", "nan"}


@pytest.mark.parametrize("name", GROUPED)
def test_snapshots_hold_what_was_malformed(name: str) -> None:
    builder = GROUPED[name](STREAM)
    harness = PipelineHarness(builder)
    harness.push({"ts": 1, "key": []}, **side(name))
    restored = PipelineHarness.restore(builder, harness.snapshot())
    restored.push({"ts": 1, "key": []}, **side(name))
    assert restored.metrics["malformed_by_kind"] == {"key_not_scalar": 2}


def test_where_nothing_is_grouped_a_record_without_a_key_goes_on() -> None:
    events = pushed(STREAM.map(dict), [], "a").drain()
    assert [event.key for event in events] == [None, {"key": "a"}]


def test_results_of_nan_and_null_are_ranked_by_key() -> None:
    builder = STREAM.with_tumbling_window("10us").aggregate("value", ["count"]).top_n(9, by="count")
    panes = pushed(builder, "a", NAN, float("inf"), None, 1, True).drain()
    assert [repr(pane.key["key"]) for pane in panes] == ["None", "True", "1", "inf", "nan", "'a'"]


def test_times_as_keys_are_text_in_utc() -> None:
    events = pushed(STREAM.running_count(), datetime(2020, 1, 2, tzinfo=UTC), date(2020, 1, 2)).drain()
    assert [event.data["key"] for event in events] == ["2020-01-02T00:00:00+00:00", "2020-01-02"]
