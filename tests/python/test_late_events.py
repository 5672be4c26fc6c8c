from __future__ import annotations

import io
import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
import pandas
import polars
import pyarrow
import pytest
from llmopt_stream.testing import PipelineHarness

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [
    {"t": 1_000, "k": "a", "v": 1.0, "extra": {"id": 1}},
    {"t": 25_000, "k": "a", "v": 2.0, "extra": {"id": 2}},
    {"t": 9_999, "k": "b", "v": 3.0, "extra": {"id": 3}},  # under watermark 25 s: 15.001 s late
    {"t": 15_000, "k": "a", "v": 4.0, "extra": {"id": 4}},  # its window [10, 20) expires at 25 s
    {"t": 21_000, "k": "a", "v": 5.0, "extra": {"id": 5}},
    {"t": 60_000, "k": "a", "v": 6.0, "extra": {"id": 6}},
    {"t": 2_000, "k": "a", "v": 7.0, "extra": {"id": 7}},
]


def builder(**window: Any) -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline("late")
        .with_event_time("t", unit="ms")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
        .key_by("k")
        .with_tumbling_window("10s", **window)
        .aggregate("v", ["count"])
    )


def check(late: list[ls.LateEvent], events: list[Any]) -> None:
    assert [(event.position, dict(event.key), event.lateness) for event in late] == [
        (2, {"k": "b"}, timedelta(seconds=15.001)),
        (3, {"k": "a"}, timedelta(seconds=10)),
        (6, {"k": "a"}, timedelta(seconds=58)),
    ]
    assert [event.windows for event in late] == [
        (ls.Window(0, 10_000_000),),
        (ls.Window(10_000_000, 20_000_000),),
        (ls.Window(0, 10_000_000),),
    ]
    assert [int(event.watermark) for event in late] == [25_000_000, 25_000_000, 60_000_000]
    assert [event.event for event in late] == events


def late_of(source: ls.Source) -> list[ls.LateEvent]:
    sink = ls.CollectSink()
    handler = ls.LateEventHandler("5s").with_side_output(sink)
    summary = builder().with_late_event_handler(handler).with_source(source).build().run()
    assert summary.late == len(sink.results)
    return sink.results


EXPECTED = [RECORDS[2], RECORDS[3], RECORDS[6]]


def test_side_output_takes_the_records_of_a_list() -> None:
    late = late_of(ls.IterableSource(RECORDS))
    check(late, EXPECTED)
    assert late[0].event is RECORDS[2]


def test_side_output_takes_the_records_of_ndjson_files_as_they_were(tmp_path: Path) -> None:
    # A malformed record and a second file move the positions.
    lines = [json.dumps(record) for record in RECORDS]
    (tmp_path / "1.ndjson").write_text("\n".join([*lines[:1], "", *lines[1:3]]) + "\n")
    (tmp_path / "2.ndjson").write_text("\n".join([*lines[3:]]) + "\n")
    check(late_of(ls.FileSource(tmp_path / "*.ndjson")), EXPECTED)


@pytest.mark.parametrize("table", ["pyarrow", "polars", "pandas", "stream", "batches"])
def test_side_output_takes_the_rows_of_arrow_data(table: str) -> None:
    arrow = pyarrow.Table.from_pylist(RECORDS)
    source = {
        "pyarrow": lambda: arrow,
        "polars": lambda: polars.DataFrame(arrow),
        "pandas": lambda: pandas.DataFrame(RECORDS),
        "stream": lambda: pyarrow.RecordBatchReader.from_batches(
            arrow.schema, arrow.to_batches(max_chunksize=2)
        ),
        "batches": lambda: arrow.to_batches(max_chunksize=3),
    }[table]()
    check(late_of(ls.ArrowSource(source)), EXPECTED)


def test_the_harness_gives_the_same_late_events() -> None:
    harness = PipelineHarness(builder(allowed_lateness="5s"))
    for record in RECORDS[:5]:
        harness.push(record)
    harness.push_batch(pyarrow.Table.from_pylist(RECORDS[5:]))
    check(harness.drain_late(), EXPECTED)
    assert harness.drain_late() == []


def test_allowed_lateness_of_the_handler_is_that_of_the_windows() -> None:
    by_handler = PipelineHarness(builder().with_late_event_handler(ls.LateEventHandler("5s")))
    by_window = PipelineHarness(builder(allowed_lateness="5s"))
    for harness in (by_handler, by_window):
        harness.push(RECORDS)
        harness.end_of_input()
    assert by_handler.drain() == by_window.drain()


def test_allowed_lateness_said_twice_must_be_the_same() -> None:
    twice = builder(allowed_lateness="5s").with_late_event_handler(ls.LateEventHandler(5))
    assert len(PipelineHarness(twice).drain()) == 0
    with pytest.raises(ls.ConfigurationError, match="the window says '5s', LateEventHandler '1m'"):
        builder(allowed_lateness="5s").with_late_event_handler(ls.LateEventHandler("60s")).checked()
    with pytest.raises(ls.ConfigurationError, match="the window says '0s', LateEventHandler '1m'"):
        builder(allowed_lateness=0).with_late_event_handler(ls.LateEventHandler("60s")).checked()


def test_wrong_handlers_are_refused() -> None:
    with pytest.raises(ls.ConfigurationError, match="allowed_lateness: '-1s' must not be negative"):
        ls.LateEventHandler("-1s")
    with pytest.raises(ls.ConfigurationError, match="with_side_output: 3 is not a Sink"):
        ls.LateEventHandler("1s").with_side_output(3)  # type: ignore[arg-type]
    with pytest.raises(
        ls.ConfigurationError, match="with_late_event_handler: '60s' is not a LateEventHandler"
    ):
        builder().with_late_event_handler("60s")  # type: ignore[arg-type]


def test_with_side_output_leaves_the_handler_as_it_was() -> None:
    handler = ls.LateEventHandler("5s")
    assert handler.with_side_output(ls.CollectSink()).side_output is not None
    assert handler.side_output is None


def test_console_prints_late_events_as_lines_of_json() -> None:
    stream = io.StringIO()
    handler = ls.LateEventHandler("5s").with_side_output(ls.ConsoleSink(stream))
    source = ls.IterableSource([*RECORDS[:2], {"t": 0, "k": None, "v": float("nan")}])
    builder().with_late_event_handler(handler).with_source(source).build().run()
    assert json.loads(stream.getvalue()) == {
        "event": {"t": 0, "k": None, "v": None},
        "key": {"k": None},
        "windows": [{"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:00:10Z"}],
        "watermark": "1970-01-01T00:00:25Z",
        "lateness": 25.0,
        "position": 2,
    }


def test_callbacks_are_called_with_late_events() -> None:
    seen: list[ls.LateEvent] = []

    async def take(event: ls.LateEvent) -> None:
        seen.append(event)

    handler = ls.LateEventHandler("5s").with_side_output(ls.CallbackSink(take))
    builder().with_late_event_handler(handler).with_source(ls.IterableSource(RECORDS)).build().run()
    check(seen, EXPECTED)


def test_one_sink_may_take_results_and_late_events() -> None:
    opened: list[str] = []

    class Both(ls.CollectSink):
        def open(self) -> None:
            opened.append("open")
            super().open()

        def close(self) -> None:
            opened.append("close")

    sink = Both()
    pipeline = (
        builder()
        .with_late_event_handler(ls.LateEventHandler("5s").with_side_output(sink))
        .with_sink(sink)
        .with_source(ls.IterableSource(RECORDS))
        .build()
    )
    assert pipeline.run().panes == 3
    assert [type(result).__name__ for result in sink.results] == ["AggregationResult"] * 3 + ["LateEvent"] * 3
    assert opened == ["open", "close"]


def test_two_sinks_that_collect_do_not_share_their_table() -> None:
    first, second = ls.CollectSink(), ls.CollectSink()
    session = builder().with_sink(first).with_sink(second).open()
    table = session.push(RECORDS[:2])
    session.push(RECORDS[5])
    assert len(table) == 1
    assert len(first.results) == len(second.results) == 2
    assert first.results == second.results


def test_late_rows_of_a_frame_of_numbers_keep_their_types() -> None:
    harness = PipelineHarness(builder())
    harness.push_batch(pandas.DataFrame({"t": [60_000, 1], "k": [1, 2**53 + 1], "v": [1.5, 2.5]}))
    (late,) = harness.drain_late()
    assert late.event == {"t": 1, "k": 2**53 + 1, "v": 2.5}
    assert [type(value) for value in late.event.values()] == [int, int, float]


def test_late_rows_may_have_nanoseconds() -> None:
    nanos = [3_600_000_000_000, 1_000_000_001]
    table = pyarrow.table(
        {"t": pyarrow.array(nanos, pyarrow.timestamp("ns", "UTC")), "k": ["a", "b"], "v": [1.0, 2.0]}
    )
    harness = PipelineHarness(builder())
    harness.push_batch(table)
    (late,) = harness.drain_late()
    assert (late.event["k"], late.event["v"], late.lateness) == ("b", 2.0, timedelta(seconds=3599))
    assert json.loads(late.to_json())["event"]["t"].startswith("1970-01-01T00:00:01")


def test_late_events_of_any_type_are_json() -> None:
    event = ls.FeedbackEvent.from_dict({"id": "e", "timestamp": "2026-01-01T00:00:00Z", "n": Decimal("1.5")})
    late = ls.LateEvent(event, ls.GroupingKey(), (), ls.Watermark(0), timedelta(0), 0)
    parsed = json.loads(late.to_json())["event"]
    assert (parsed["id"], parsed["extra"]) == ("e", {"n": 1.5})
    missing = ls.LateEvent(
        {"t": pandas.NaT, "b": b"x", "s": {1}}, ls.GroupingKey(), (), ls.Watermark(0), timedelta(0), 0
    )
    assert json.loads(missing.to_json())["event"] == {"t": None, "b": "x", "s": [1]}


def test_threads_change_nothing_about_late_events() -> None:
    records = [
        {"t": second * 1_000 - (90_000 if second % 7 == 6 else 0), "k": str(second % 13), "v": 1.0}
        for second in range(100, 3_000)
    ]
    outputs = []
    for parallelism in (1, 3):
        late = ls.CollectSink()
        handler = ls.LateEventHandler("5s").with_side_output(late)
        pipeline = builder().with_options(parallelism=parallelism).with_late_event_handler(handler)
        pipeline.with_source(ls.IterableSource(records)).build().run()
        assert all(event.event is records[event.position] for event in late.results)
        outputs.append(late.results)
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 300
