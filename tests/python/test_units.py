from __future__ import annotations

from datetime import timedelta
from typing import Any

import llmopt_stream as ls
import numpy
import pandas
import pyarrow
import pytest
from llmopt_stream.testing import PipelineHarness
from llmopt_stream.units import duration_micros, time_micros

SECOND = 1_000_000


def arrow_time(value: int | None, unit: str, zone: str | None = None) -> Any:
    return pyarrow.scalar(value, pyarrow.timestamp(unit, zone))


@pytest.mark.parametrize(
    ("time", "micros"),
    [
        (numpy.datetime64(1_999, "ns"), 1),
        (numpy.datetime64(-1, "ns"), -1),  # floored
        (numpy.datetime64(-1, "as"), -1),
        (numpy.datetime64(7, "us"), 7),
        (numpy.datetime64(7, "ms"), 7_000),
        (numpy.datetime64(7, "s"), 7 * SECOND),
        (numpy.datetime64(2, "25s"), 50 * SECOND),
        (numpy.datetime64("1970-01-02"), 86_400 * SECOND),
        (numpy.datetime64("1970-02"), 31 * 86_400 * SECOND),
        (numpy.datetime64("1971"), 365 * 86_400 * SECOND),
        (numpy.datetime64("12000-01-01T00:00:00"), 316_516_204_800 * SECOND),
        (numpy.int64(5), 5),
        (pandas.Timestamp(1_999), 1),
        (pandas.Timestamp("1970-01-01T01:00:00", tz="Europe/Berlin"), 0),
        (arrow_time(-1, "ns"), -1),
        (arrow_time(7, "s", "Europe/Berlin"), 7 * SECOND),
        (ls.EventTimestamp(7), 7),
        (ls.Watermark(7), 7),
    ],
    ids=repr,
)
def test_times_of_any_unit_are_taken(time: Any, micros: int) -> None:
    assert time_micros(time) == micros
    assert type(time_micros(time)) is int


@pytest.mark.parametrize(
    ("duration", "micros"),
    [
        (numpy.timedelta64(1_500, "ns"), 2),
        (numpy.timedelta64(2_500, "ns"), 2),
        (numpy.timedelta64(5, "m"), 300 * SECOND),
        (numpy.timedelta64(1, "W"), 604_800 * SECOND),
        (numpy.float32(0.5), SECOND // 2),
        (pandas.Timedelta("5min"), 300 * SECOND),
        (pandas.Timedelta(1_999), 2),
        (pyarrow.scalar(5, pyarrow.duration("s")), 5 * SECOND),
    ],
    ids=repr,
)
def test_durations_of_any_unit_are_taken(duration: Any, micros: int) -> None:
    assert duration_micros(duration, "gap") == micros


NO_TIMES = [
    numpy.datetime64("NaT"),
    numpy.datetime64("NaT", "ns"),
    pandas.NaT,
    arrow_time(None, "s"),
    numpy.timedelta64(5, "s"),
    pandas.Timedelta("5s"),
    numpy.array(["2026-01-01"], "datetime64[s]"),
    numpy.array([1, 2]),
]


@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
def test_what_is_no_time_is_refused_by_the_name_of_the_setting(value: Any) -> None:
    harness = PipelineHarness(ls.create_pipeline().with_tumbling_window("1m"))
    with pytest.raises(ls.ConfigurationError, match=r"^advance_watermark: .* is not a time"):
        harness.advance_watermark(value)
    with pytest.raises(ls.ConfigurationError, match=r"^timestamp: .* is not a time"):
        ls.tumbling("1m").assign(value)
    with pytest.raises(ls.ConfigurationError, match=r"^timestamp: .* is not a time"):
        ls.Window(0, 5).contains(value)


@pytest.mark.parametrize(
    "value",
    [
        numpy.timedelta64("NaT"),
        numpy.timedelta64(5),
        numpy.timedelta64(5, "M"),
        numpy.datetime64(5, "s"),
        pandas.NaT,
        float("nan"),
        numpy.array([1.0, 2.0]),
        "٣s",
    ],
    ids=repr,
)
def test_what_is_no_duration_is_refused_by_the_name_of_the_setting(value: Any) -> None:
    with pytest.raises(ls.ConfigurationError, match=r"TumblingWindowAssigner: size: .* is not a duration"):
        ls.tumbling(value)


def test_settings_take_times_of_numpy() -> None:
    minute = ls.tumbling(numpy.timedelta64(1, "m"))  # type: ignore[arg-type]
    time: Any = numpy.datetime64("2026-01-01T00:00:30")
    assert minute.assign(time) == minute.assign("2026-01-01T00:00:30Z")
    assert minute.assign(time)[0].contains(time)
    harness = PipelineHarness(ls.create_pipeline().with_window(minute))
    harness.advance_watermark(time)
    assert harness.watermark == ls.Watermark("2026-01-01T00:00:30Z")
    harness.advance_watermark(ls.EventTimestamp.event("2026-01-01T00:00:31Z"))  # type: ignore[arg-type]
    assert harness.watermark == ls.Watermark("2026-01-01T00:00:31Z")


def test_watermarks_and_timestamps_are_ordered() -> None:
    early, later = ls.Watermark(1), ls.Watermark(2)
    assert early < later
    assert early <= later
    assert later > 1
    assert later >= 2
    assert early < later.timestamp
    assert early == early.timestamp
    assert ls.EventTimestamp(1) < ls.EventTimestamp(2)
    assert max(ls.EventTimestamp(1), ls.EventTimestamp(2)) <= ls.EventTimestamp(2)
    # Beyond datetime's range, .timestamp is held at its end; the watermark is not.
    assert ls.Watermark(2**62) > ls.Watermark(2**62).timestamp
    with pytest.raises(TypeError):
        early < "1970"  # type: ignore[operator]  # noqa: B015
    assert ls.BoundedOutOfOrdernessWatermark(numpy.timedelta64(5, "s")).max_out_of_orderness == timedelta(  # type: ignore[arg-type]
        seconds=5
    )
