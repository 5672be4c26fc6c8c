"""The clock: silent partitions and streams, times too far from it."""

from __future__ import annotations

import llmopt_stream as ls
from llmopt_stream.testing import PipelineHarness

BUILDER = (
    ls.create_pipeline().with_event_time("ts", unit="s").with_tumbling_window("10s").aggregate("v", ["count"])
)
MINUTE = 60_000_000


def watermarked(**settings: str) -> ls.StreamPipelineBuilder:
    return BUILDER.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0, **settings))


def test_a_silent_partition_holds_the_others_until_it_counts_as_idle() -> None:
    harness = PipelineHarness(watermarked(idle_timeout="1m"))
    harness.push({"ts": 1, "v": 1}, partition=0)
    harness.push({"ts": 2, "v": 1}, partition=1)
    harness.advance_processing_time(MINUTE - 1)
    harness.push({"ts": 50, "v": 1}, partition=0)
    assert harness.drain() == []
    harness.advance_processing_time(MINUTE)
    assert [pane.results["count"] for pane in harness.drain()] == [2]
    assert harness.watermark == 50_000_000


def test_without_an_idle_timeout_a_silent_partition_holds_the_others_forever() -> None:
    harness = PipelineHarness(watermarked())
    harness.push({"ts": 1, "v": 1}, partition=0)
    harness.push({"ts": 2, "v": 1}, partition=1)
    harness.push({"ts": 50, "v": 1}, partition=0)
    harness.advance_processing_time(1_000 * MINUTE)
    assert harness.drain() == []


def test_a_stream_that_went_quiet_is_flushed_as_the_clock_goes_on() -> None:
    harness = PipelineHarness(watermarked(flush_timeout="5s"))
    harness.advance_processing_time(1_000_000_000)
    harness.push({"ts": 1, "v": 1})
    harness.advance_processing_time(1_000_000_000 + 8_999_999)
    assert harness.drain() == []
    harness.advance_processing_time(1_000_000_000 + 9_000_000)
    assert [pane.pane.timing for pane in harness.drain()] == ["on_time"]


def test_restored_idleness_goes_on() -> None:
    builder = watermarked(idle_timeout="1m")
    harness = PipelineHarness(builder)
    harness.push({"ts": 1, "v": 1}, partition=0)
    harness.push({"ts": 2, "v": 1}, partition=1)
    harness.advance_processing_time(30_000_000)
    harness.push({"ts": 50, "v": 1}, partition=0)
    restored = PipelineHarness.restore(builder, harness.snapshot())
    restored.advance_processing_time(MINUTE)
    assert restored.watermark == 50_000_000


def test_times_too_far_from_the_clock_are_malformed_and_move_nothing() -> None:
    harness = PipelineHarness(
        BUILDER.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0)).with_options(
            future_skew="5m", past_skew="1h"
        )
    )
    now = 1_000 * MINUTE
    harness.push({"ts": 10**9, "v": 1})  # the clock was not set yet
    assert harness.metrics["malformed"] == 0
    harness = PipelineHarness(
        BUILDER.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0)).with_options(
            future_skew="5m", past_skew="1h"
        )
    )
    harness.advance_processing_time(now)
    for seconds in (60_000 + 301, 60_000 - 3_601, 2**43, 60_000 + 300, 60_000 - 3_600):
        harness.push({"ts": seconds, "v": 1})
    assert harness.metrics["malformed_by_kind"] == {"time_ahead": 2, "time_behind": 1}
    assert harness.watermark == 60_300_000_000
    assert (harness.metrics["aggregated"], harness.metrics["late"]) == (1, 1)


def test_processing_time_windows_take_records_by_the_clock() -> None:
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .with_tumbling_window("10s", time="processing")
        .aggregate("v", ["sum"])
    )
    harness = PipelineHarness(builder)
    harness.push({"ts": 999, "v": 1})
    harness.advance_processing_time(9_999_999)
    harness.push({"ts": 1, "v": 2})
    harness.advance_processing_time(10_000_000)
    harness.push({"ts": 5, "v": 4})
    assert [pane.results for pane in harness.drain()] == [{"sum": 3.0}]
    harness.end_of_input()
    assert [(pane.results, pane.window.micros) for pane in harness.drain()] == [
        ({"sum": 4.0}, (10_000_000, 20_000_000))
    ]
    assert harness.metrics["late"] == 0
