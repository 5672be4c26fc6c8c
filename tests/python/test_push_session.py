from __future__ import annotations

from typing import Any

import llmopt_stream as ls
import pandas
import polars
import pyarrow
import pytest
from llmopt_stream.testing import PipelineHarness


def builder() -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline("pushed")
        .with_event_time("t", unit="s")
        .key_by("k")
        .with_tumbling_window("10s")
        .aggregate("v", ["count", "sum"])
    )


def rows(table: ls.ResultTable) -> list[tuple[str, int, float]]:
    return [(result.key["k"], result.results["count"], result.results["sum"]) for result in table]


RECORDS = [{"t": 1, "k": "a", "v": 1.0}, {"t": 2, "k": "b", "v": 2.0}]


@pytest.mark.parametrize(
    "data",
    [
        RECORDS,
        pyarrow.Table.from_pylist(RECORDS),
        pyarrow.RecordBatch.from_pylist(RECORDS),
        pandas.DataFrame(RECORDS),
        polars.DataFrame(RECORDS),
    ],
    ids=["list", "table", "batch", "pandas", "polars"],
)
def test_push_takes_records_and_tables(data: Any) -> None:
    harness = PipelineHarness(builder())
    with builder().open() as session:
        assert len(session.push(data)) == 0
        harness.push(data)
        panes = session.advance_watermark(10_000_000)
        assert rows(panes) == [("a", 1, 1.0), ("b", 1, 2.0)]
        assert len(session.flush()) == 0
    harness.advance_watermark(10_000_000)
    assert harness.drain() == list(panes)


def test_the_clock_of_a_session_is_set_by_hand() -> None:
    with builder().open() as session:
        assert len(session.advance_processing_time(5_000_000)) == 0
        with pytest.raises(ls.ConfigurationError, match="advance_processing_time: 'noon' is not a time"):
            session.advance_processing_time("noon")
    with pytest.raises(ls.PipelineError, match="it is closed"):
        session.advance_processing_time(6_000_000)


def test_push_returns_what_the_records_complete() -> None:
    generator = ls.BoundedOutOfOrdernessWatermark(0)
    with builder().with_watermark_generator(generator).open() as session:
        assert session.watermark is None
        assert len(session.push({"t": 9, "k": "a", "v": 5})) == 0
        assert rows(session.push({"t": 10, "k": "a", "v": 6})) == [("a", 1, 5.0)]
        assert session.watermark == ls.Watermark(10_000_000)
        assert session.metrics["records_in"] == 2
        assert session.metrics["live_keys"] == 1
        assert rows(session.flush()) == [("a", 1, 6.0)]


def test_nothing_is_taken_after_the_end_of_the_input() -> None:
    session = builder().open()
    session.flush()
    with pytest.raises(ls.PipelineError, match=r"'pushed' takes no more: its input was ended by flush\(\)"):
        session.push(RECORDS)
    session.close()
    session.close()
    with pytest.raises(ls.PipelineError, match="it is closed"):
        session.advance_watermark(5)


def test_sinks_and_the_side_output_get_what_push_returns() -> None:
    sink, late = ls.CollectSink(), ls.CollectSink()
    closed: list[str] = []

    class Watched(ls.CollectSink):
        def close(self) -> None:
            closed.append("close")

        def abort(self) -> None:
            closed.append("abort")

    pushed = (
        builder()
        .with_sink(sink)
        .with_sink(Watched())
        .with_late_event_handler(ls.LateEventHandler().with_side_output(late))
    )
    with pushed.open() as session:
        session.push(RECORDS)
        table = session.advance_watermark(10_000_000)
        session.push({"t": 3, "k": "a", "v": 9.0})
    assert sink.results == list(table)
    assert [(event.event["v"], event.position) for event in late.results] == [(9.0, 2)]
    assert closed == ["close"]
    with pytest.raises(KeyError), pushed.open():
        raise KeyError
    assert closed == ["close", "abort"]


def test_a_built_pipeline_opens_too_and_its_source_is_not_read() -> None:
    class Unread(ls.Source):
        def batches(self) -> Any:
            raise AssertionError

    with builder().with_source(Unread()).build().open() as session:
        session.push(RECORDS)
        assert rows(session.flush()) == [("a", 1, 1.0), ("b", 1, 2.0)]


def test_session_and_harness_give_the_same_panes() -> None:
    harness, session = PipelineHarness(builder()), builder().open()
    pushed = []
    for second in range(50):
        record = {"t": second * 7 % 40, "k": "ab"[second % 2], "v": float(second)}
        harness.push(record)
        pushed += session.push(record)
        if second % 10 == 9:
            harness.advance_watermark((second - 5) * 1_000_000)
            pushed += session.advance_watermark((second - 5) * 1_000_000)
    harness.end_of_input()
    pushed += session.flush()
    assert pushed == harness.drain()
    assert session.metrics == harness.metrics
