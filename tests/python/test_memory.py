"""Memory follows what is alive, not what has been seen."""

from __future__ import annotations

import os
from pathlib import Path

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

KEYS_PER_BATCH = 100_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("window", "batches"),
    [(ls.tumbling("10s"), 100), (ls.session("1s"), 24), (ls.sliding("4s", "2s", allowed_lateness="1s"), 24)],
    ids=["tumbling, ten million keys", "session", "sliding"],
)
def test_memory_is_flat_over_millions_of_distinct_keys(window: ls.WindowAssigner, batches: int) -> None:
    numpy = pytest.importorskip("numpy")
    polars = pytest.importorskip("polars")
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="us")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
        .key_by("key")
        .with_window(window)
        .aggregate("value")
    )
    harness = PipelineHarness(builder)
    warm = 0
    for batch in range(batches):
        number = numpy.arange(batch * KEYS_PER_BATCH, (batch + 1) * KEYS_PER_BATCH)
        harness.push_batch(polars.DataFrame({"ts": number * 100, "key": number, "value": number * 0.5}))
        # Results are the caller's; here only their number matters.
        harness.discard()
        if batch == batches // 4:
            warm = resident_bytes()
    assert resident_bytes() < 1.1 * warm + (16 << 20)
    harness.end_of_input()
    metrics = harness.metrics
    assert metrics["aggregated"] == batches * KEYS_PER_BATCH
    assert metrics["live_keys"] == metrics["live_slices"] == metrics["state_bytes"] == 0
