"""Snapshots are whole and unaltered, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import llmopt_stream as ls
import numpy
import pandas
import pytest
from llmopt_stream.testing import PipelineHarness

BUILDER = (
    ls.create_pipeline()
    .with_event_time("ts", unit="us")
    .key_by("key")
    .with_session_window("10us")
    .aggregate("value")
)


def snapshot() -> bytes:
    harness = PipelineHarness(BUILDER)
    harness.push([{"ts": 100, "key": "a", "value": 1}, {"ts": 200, "key": "b", "value": 2}])
    harness.advance_watermark(150)
    harness.push({"ts": 1, "key": "late", "value": 3})
    return harness.snapshot()


def test_every_truncation_and_every_flipped_bit_is_refused() -> None:
    blob = snapshot()
    for size in range(len(blob)):
        with pytest.raises(ls.CheckpointError):
            PipelineHarness.restore(BUILDER, blob[:size])
    for bit in range(8 * len(blob)):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ls.CheckpointError):
            PipelineHarness.restore(BUILDER, bytes(altered))


def test_state_of_another_plan_is_refused_and_named() -> None:
    other = BUILDER.with_session_window("20us")
    with pytest.raises(ls.CheckpointError, match="another plan"):
        PipelineHarness.restore(other, snapshot())


def test_what_was_not_drained_comes_out_of_the_restored_harness() -> None:
    restored = PipelineHarness.restore(BUILDER, snapshot())
    assert [pane.results["sum"] for pane in restored.drain()] == [1.0]
    assert [late.event for late in restored.drain_late()] == [{"ts": 1, "key": "late", "value": 3}]
    restored.end_of_input()
    assert [pane.results["sum"] for pane in restored.drain()] == [2.0]


@dataclass
class Event:
    ts: int
    key: Any = "late"
    value: Any = 3
    extra: Any = None


LATE_RECORDS = [
    Event(1, extra=("tuple", {1: "int key"}, {"a"})),
    {"ts": 1, "key": "late", "value": Decimal("3.10")},
    {"ts": numpy.int64(1), "key": "late", "value": numpy.float32(3)},
    {
        "ts": 1,
        "key": "late",
        "value": 3,
        "at": pandas.Timestamp("2026-01-01T00:00:00.123456789"),
        "end": pandas.NaT,
    },
    {"ts": 1, "key": "late", "value": 3, "$time": "x", "$bytes": "!", "inner": {"$time": 5}},
    {"ts": 1, "key": float("inf"), "value": float("-inf")},
]


def with_late(record: Any) -> PipelineHarness:
    harness = PipelineHarness(BUILDER)
    harness.advance_watermark(150)
    harness.push(record)
    return harness


@pytest.mark.parametrize("record", LATE_RECORDS, ids=repr)
def test_late_records_that_were_not_drained_come_back_as_they_were(record: Any) -> None:
    harness = with_late(record)
    blob = harness.snapshot()
    (restored,), (kept,) = PipelineHarness.restore(BUILDER, blob).drain_late(), harness.drain_late()
    assert repr(restored) == repr(kept)
    assert kept.event is record


def test_a_late_record_that_cannot_come_back_is_refused_with_type_and_place() -> None:
    harness = with_late({"ts": 1, "key": "late", "value": 3, "scores": [1j]})
    with pytest.raises(
        ls.CheckpointError,
        match=r"snapshot: late record 0\['scores'\]\[0\]: a builtins.complex cannot be restored exactly",
    ):
        harness.snapshot()
    assert len(harness.drain_late()) == 1
    assert PipelineHarness.restore(BUILDER, harness.snapshot()).drain_late() == []


def test_late_windows_and_lateness_keep_their_microseconds_beyond_the_range_of_datetime() -> None:
    # Far enough apart that seconds as a float have no microseconds.
    harness = PipelineHarness(BUILDER)
    harness.advance_watermark(300_000_000_000_000_001)
    harness.push([{"ts": -300_000_000_000_000_000, "key": "a"}, {"ts": 7, "key": "a"}])
    kept = PipelineHarness.restore(BUILDER, harness.snapshot()).drain_late()
    assert kept == harness.drain_late()
    assert kept[0].windows == (ls.Window(-300_000_000_000_000_000, -299_999_999_999_999_990),)
    assert kept[1].lateness == timedelta(microseconds=299_999_999_999_999_994)


class Keeps(ls.WatermarkGenerator):
    """Whatever it is given, beside the greatest time."""

    def __init__(self, kept: Any) -> None:
        self.kept = kept
        self.greatest = 0

    def on_event(self, timestamp: Any) -> None:
        self.greatest = max(self.greatest, timestamp)

    def current_watermark(self) -> int:
        assert self.kept in (KEPT, UNKEEPABLE)
        return self.greatest


KEPT = {1: ("a", {2, 3}), "1": Decimal(1)}
UNKEEPABLE = [len]


def test_a_generator_goes_on_from_the_attributes_that_it_had() -> None:
    build = BUILDER.with_watermark_generator(Keeps(KEPT))
    harness = PipelineHarness(build)
    harness.push([{"ts": 5, "key": "a", "value": 1}], partition=2)
    restored = PipelineHarness.restore(build, harness.snapshot())
    restored.push({"ts": 4, "key": "a", "value": 1}, partition=2)
    assert restored.watermark == 5


def test_an_attribute_of_a_generator_that_cannot_come_back_is_refused() -> None:
    harness = PipelineHarness(BUILDER.with_watermark_generator(Keeps(UNKEEPABLE)))
    harness.push([{"ts": 5, "key": "a", "value": 1}], partition=2)
    with pytest.raises(
        ls.CheckpointError,
        match=r"Keeps.get_state\(\) of partition 2\['kept'\]\[0\]: a builtins.builtin_function_or_method cannot",
    ):
        harness.snapshot()


def test_the_manual_clock_comes_back() -> None:
    harness = PipelineHarness(BUILDER)
    harness.advance_processing_time(5_000)
    blob = harness.snapshot()
    harness.advance_processing_time(4_000)
    assert harness.snapshot() == blob == PipelineHarness.restore(BUILDER, blob).snapshot()
