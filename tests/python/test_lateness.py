"""Why records were late, what would have kept them, and a second chance for them."""

from __future__ import annotations

from typing import Any

import llmopt_stream as ls
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmopt_stream.testing import PipelineHarness

BUILDER = ls.create_pipeline().with_event_time("ts", unit="us").aggregate("value", ["sum"])


def records(times: list[int]) -> list[dict[str, int]]:
    return [{"ts": time, "value": 1} for time in times]


@given(
    st.lists(st.integers(0, 63), max_size=40),
    st.sampled_from([("tumbling", ("10us",)), ("sliding", ("12us", "5us")), ("cumulative", ("20us", "5us"))]),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_what_the_report_says_would_be_lost_is_what_is_lost(
    times: list[int], window: Any, bound: int, lateness: int
) -> None:
    kind, arguments = window

    def run(bound: int, lateness: int) -> PipelineHarness:
        builder = getattr(BUILDER, f"with_{kind}_window")(*arguments, allowed_lateness=f"{lateness}us")
        harness = PipelineHarness(
            builder.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(f"{bound}us"))
        )
        harness.push(records(times))
        return harness

    report = run(7, 3).lateness
    assert isinstance(report, ls.LatenessReport)
    assert (
        report.lost(bound=f"{bound}us", allowed_lateness=f"{lateness}us")
        == run(bound, lateness).metrics["late"]
    )


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=60), st.floats(0.5, 1))
def test_waiting_as_long_as_the_report_says_keeps_the_share(times: list[int], share: float) -> None:
    harness = PipelineHarness(
        BUILDER.with_tumbling_window("1ms").with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("1h"))
    )
    harness.push(records(times))
    report = harness.lateness
    assert isinstance(report, ls.LatenessReport)
    wait = report.wait_for(share)
    bounded = PipelineHarness(
        BUILDER.with_tumbling_window("1ms").with_watermark_generator(
            ls.BoundedOutOfOrdernessWatermark(f"{wait}us")
        )
    )
    bounded.push(records(times))
    assert bounded.metrics["late"] <= (1 - share) * len(times) + 1e-6


def test_a_run_s_summary_has_the_report_and_prints_it() -> None:
    pipeline = (
        BUILDER.with_tumbling_window("10us")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5us"))
        .with_source(ls.IterableSource(records([1, 25, 3, 40, 38])))
        .build()
    )
    report = pipeline.run().lateness
    assert isinstance(report, ls.LatenessReport)
    assert str(report) == (
        "5 records, 2 out of order, by up to 22us\n"
        "bound + lateness        lost   share\n"
        "              0s           2  40.0000%\n"
        "            16us           0  0.0000%"
    )
    assert report.to_dicts()[0] == {"wait": 0, "lost": 2, "share_lost": 0.4}
    assert "16us" in report._repr_html_()
    assert report.to_arrow().to_pylist() == report.to_dicts()


@given(
    st.lists(st.one_of(st.integers(0, 60), st.none()), max_size=20), st.integers(0, 15), st.integers(0, 15)
)
def test_an_explanation_says_what_happens_then_and_changes_nothing(
    times: list[int | None], bound: int, lateness: int
) -> None:
    builder = (
        BUILDER.with_sliding_window("8us", "10us")
        .with_late_event_handler(ls.LateEventHandler(f"{lateness}us"))
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(f"{bound}us"))
    )
    harness = PipelineHarness(builder)
    for time in times:
        record = {"ts": time, "value": 1}
        before, blob = harness.metrics, harness.snapshot()
        verdict = harness.explain_record(record).verdict
        assert harness.snapshot() == blob
        harness.push(record)
        after = harness.metrics
        counted = {"taken": "aggregated"}.get(verdict, verdict)
        moved = [
            name
            for name in ("aggregated", "late", "outside_windows", "malformed")
            if before[name] != after[name]
        ]
        assert moved == [counted]


def test_an_explanation_of_a_session_shows_what_it_would_be_with_the_record() -> None:
    harness = PipelineHarness(BUILDER.with_session_window("10us"))
    harness.push(records([0, 30]))
    explanation = harness.explain_record({"ts": 10, "value": 1})
    assert [each.window.micros for each in explanation.windows] == [(0, 20)]
    harness.push(records([10]))
    assert [each.window.micros for each in harness.explain_record({"ts": 20, "value": 1}).windows] == [
        (0, 40)
    ]


def test_late_events_are_reprocessed_into_another_pipeline_or_session() -> None:
    builder = BUILDER.with_tumbling_window("10us")
    harness = PipelineHarness(builder)
    harness.advance_watermark(100)
    harness.push(records([15, 3, 12]))
    late = harness.drain_late()
    table = ls.reprocess(late, into=builder)
    assert isinstance(table, ls.ResultTable)
    assert [(result.window.micros, result.results) for result in table] == [
        ((0, 10), {"sum": 1.0}),
        ((10, 20), {"sum": 2.0}),
    ]
    with builder.open() as session:
        session.advance_watermark(10)
        ls.reprocess(late, into=session)
        assert (session.metrics["aggregated"], session.metrics["late"]) == (2, 1)
    with pytest.raises(ls.ConfigurationError, match="into"):
        ls.reprocess(late, into=5)  # type: ignore[arg-type]
    with pytest.raises(ls.ConfigurationError, match="not a LateEvent"):
        ls.reprocess([{"ts": 1}], into=builder)  # type: ignore[list-item]


def test_timestamps_are_aligned_down_or_up() -> None:
    assert ls.align_timestamp(-1, "1s").isoformat() == "1969-12-31T23:59:59+00:00"
    assert ls.align_timestamp("2026-01-01T00:05:00Z", "5m", up=True) == ls.align_timestamp(
        "2026-01-01T00:05:00Z", "5m"
    )


def test_the_notebook_warns_of_records_that_filled_no_window() -> None:
    with pytest.warns(ls.ProcessorWarning, match="1 records filled no window"):
        ls.aggregate([{"ts": 1, "value": 1}], time="ts", unit="s", window=ls.CountWindowAssigner(2))
