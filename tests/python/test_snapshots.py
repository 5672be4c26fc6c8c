"""Snapshots are whole and unaltered, or refused."""

from __future__ import annotations

import llmopt_stream as ls
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
