"""Records before, between and after windows: operators without state of their own, and how stages follow each other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from llmopt_stream.testing import PipelineHarness
from pyarrow import parquet

STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us").key_by("key")
RECORDS = [
    {"ts": ts, "key": key, "value": value} for ts, key, value in [(1, "a", 1), (12, "b", 2), (3, "a", 4)]
]
END = 2**63 - 1


def outputs(builder: ls.StreamPipelineBuilder, *steps: Any, **options: Any) -> list[Any]:
    """Of records pushed and of watermarks (numbers) in their order, and of the end."""
    harness = PipelineHarness(builder, **options)
    for step in steps:
        if isinstance(step, int):
            harness.advance_watermark(step)
        else:
            harness.push(step)
    harness.end_of_input()
    return harness.drain()


def data(builder: ls.StreamPipelineBuilder, *steps: Any) -> list[Any]:
    return [event.data for event in outputs(builder, *steps)]


def panes(builder: ls.StreamPipelineBuilder, *steps: Any) -> list[Any]:
    """(start, end, the key's values, results) of each."""
    return [(*pane.window.micros, *pane.key.values(), pane.results) for pane in outputs(builder, *steps)]


def doubled(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "value": record["value"] * 2}


def test_records_without_a_window_come_out_as_they_are() -> None:
    events = outputs(STREAM, RECORDS)
    assert [event.data for event in events] == RECORDS
    assert [event.timestamp.microsecond for event in events] == [1, 12, 3]
    assert [event.key for event in events] == [{"key": "a"}, {"key": "b"}, {"key": "a"}]


def test_map_gives_another_record_with_the_same_time() -> None:
    events = outputs(STREAM.map(lambda record: {"key": "m", "was": record["key"]}), RECORDS)
    assert [(event.timestamp.microsecond, event.key, event.data) for event in events] == [
        (1, {"key": "m"}, {"key": "m", "was": "a"}),
        (12, {"key": "m"}, {"key": "m", "was": "b"}),
        (3, {"key": "m"}, {"key": "m", "was": "a"}),
    ]


@dataclass
class Reading:
    ts: int
    key: str
    value: float


def test_records_are_of_any_type() -> None:
    builder = STREAM.map(lambda record: Reading(record.ts, record.key, record.value + 1)).filter(
        ls.col("value") > 2
    )
    assert data(builder, Reading(1, "a", 1.0), Reading(2, "a", 2.0)) == [Reading(2, "a", 3.0)]


def test_filters_keep_records_for_which_they_are_true_and_count_the_others() -> None:
    builder = STREAM.filter(lambda record: record["ts"] < 10).filter(ls.col("value") > 1)
    harness = PipelineHarness(builder)
    harness.push([*RECORDS, {"ts": 4, "key": "a", "value": None}])
    assert [event.data for event in harness.drain()] == [RECORDS[2]]
    assert harness.metrics["filtered"] == 3


def test_records_that_are_left_out_move_the_watermark() -> None:
    builder = STREAM.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5us"))
    for condition in (ls.col("key") == "a", lambda record: record["key"] == "a"):
        harness = PipelineHarness(
            builder.filter(condition).with_tumbling_window("5us").aggregate("value", ["sum"])
        )
        harness.push(RECORDS[:2])
        assert [pane.results for pane in harness.drain()] == [{"sum": 1.0}]
        harness.push(RECORDS[2])
        assert [event.event for event in harness.drain_late()] == [RECORDS[2]]


def test_flat_map_gives_any_number_of_records() -> None:
    builder = STREAM.flat_map(lambda record: ({"n": n} for n in range(record["value"] - 1)))
    events = outputs(builder, RECORDS)
    assert [(event.timestamp.microsecond, event.data["n"]) for event in events] == [
        (12, 0),
        (3, 0),
        (3, 1),
        (3, 2),
    ]
    assert outputs(STREAM.flat_map(lambda _: None), RECORDS) == []


def test_select_takes_paths_and_computes_expressions() -> None:
    builder = STREAM.select(
        "key", "a.b", v="value", half=ls.col("value") / 2, big=ls.col("value") > 1, col=ls.col("x")
    )
    assert data(
        builder, {"ts": 1, "key": "a", "value": 3, "a": {"b": [1]}}, {"ts": 2, "value": None, "x": "y"}
    ) == [
        {"key": "a", "a.b": [1], "v": 3, "half": 1.5, "big": True, "col": None},
        {"key": None, "a.b": None, "v": None, "half": None, "big": None, "col": "y"},
    ]


def test_map_batches_gives_a_table_for_each_table() -> None:
    builder = STREAM.map_batches(lambda table: table.append_column("more", pc.add(table["value"], 1)))
    assert data(builder, RECORDS) == [{**record, "more": record["value"] + 1} for record in RECORDS]


def test_rows_of_map_batches_have_fields_and_types_of_their_own() -> None:
    """A batch has the columns and types that each of its records would have alone."""
    records = [{"ts": 1, "v": 1}, {"ts": 2, "v": 2.5, "w": "x"}, {"ts": 3, "v": None}, {"ts": 4, "v": 7}]
    seen: list[list[str]] = []

    def types(table: Any) -> Any:
        seen.append([str(each) for each in table.schema.types])
        return table

    assert repr(data(STREAM.map_batches(types), records)) == repr(records)
    assert seen == [["int64", "int64"], ["int64", "double", "string"], ["int64", "null"]]


def test_operators_before_windows() -> None:
    builder = (
        STREAM.map(doubled)
        .filter(ls.col("value") > 2)
        .with_tumbling_window("10us")
        .aggregate("value", ["sum"])
    )
    assert panes(builder, RECORDS) == [(0, 10, "a", {"sum": 8.0}), (10, 20, "b", {"sum": 4.0})]


def test_windows_of_records_that_operators_made_judge_and_tell_late_records() -> None:
    builder = STREAM.map(doubled).with_tumbling_window("10us").aggregate("value", ["sum"])
    harness = PipelineHarness(builder)
    harness.push(RECORDS[:2])
    harness.advance_watermark(15)
    harness.push(RECORDS[2])
    (late,) = harness.drain_late()
    assert (late.event, late.key, late.watermark) == (
        {**RECORDS[2], "value": 8},
        {"key": "a"},
        ls.Watermark(15),
    )


def test_a_gap_by_a_callable_sees_what_operators_made() -> None:
    builder = (
        STREAM.map(doubled)
        .with_session_window(lambda record: record["value"] * 1e-6)
        .aggregate("value", ["sum"])
    )
    assert panes(builder, RECORDS) == [(1, 11, "a", {"sum": 10.0}), (12, 16, "b", {"sum": 4.0})]


PANES = STREAM.with_tumbling_window("10us", allowed_lateness="20us").aggregate("value", ["count", "sum"])


def test_results_are_flat_records_at_the_end_of_their_window() -> None:
    (event,) = outputs(PANES.map(dict), RECORDS[0])
    assert {name: str(value) for name, value in event.data.items()} == {
        "window_start": "1970-01-01 00:00:00+00:00",
        "window_end": "1970-01-01 00:00:00.000010+00:00",
        "key": "a",
        "count": "1",
        "sum": "1.0",
        "pane_timing": "on_time",
        "pane_index": "0",
    }
    assert (event.timestamp.microsecond, event.key) == (9, {"key": "a"})


def test_results_that_pass_a_filter_stay_results() -> None:
    (pane,) = outputs(PANES.filter(lambda pane: pane["count"] > 1).filter(ls.col("sum") > 1), RECORDS)
    assert isinstance(pane, ls.AggregationResult)
    assert (pane.window.micros, pane.results, pane.pane.timing) == (
        (0, 10),
        {"count": 2, "sum": 5.0},
        "on_time",
    )


def test_windows_of_results_by_another_key() -> None:
    builder = PANES.key_by().with_tumbling_window("20us").aggregate("sum", ["count", "sum", "max"])
    assert panes(builder, RECORDS, {"ts": 25, "key": "b", "value": 8}) == [
        (0, 20, {"count": 2, "sum": 7.0, "max": 5.0}),
        (20, 40, {"count": 1, "sum": 8.0, "max": 8.0}),
    ]


def test_a_later_stage_takes_panes_that_are_late_within_what_is_allowed() -> None:
    builder = PANES.key_by().with_tumbling_window("20us").aggregate("sum", ["count", "sum"])
    harness = PipelineHarness(builder)
    harness.push(RECORDS[:2])
    harness.advance_watermark(29)
    harness.push(RECORDS[2])  # fires [0, 10) again, with both of its values
    assert harness.drain() == []
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [{"count": 3, "sum": 8.0}]
    assert harness.drain_late() == []


def test_three_stages_with_keys_of_their_own() -> None:
    builder = (
        STREAM.with_tumbling_window("10us").aggregate("value", ["sum"])
        .map(lambda pane: {"parity": int(pane["sum"]) % 2, "sum": pane["sum"]})
        .key_by("parity").with_tumbling_window("20us").aggregate("sum", ["count"])
        .key_by().with_count_window(2, flush=True).aggregate("count", ["sum"])
    )  # fmt: skip
    records = [*RECORDS, {"ts": 13, "key": "a", "value": 3}, {"ts": 33, "key": "a", "value": 3}]
    assert panes(builder, records) == [(-(2**63), END, {"sum": 3.0}), (-(2**63), END, {"sum": 1.0})]


def test_windows_by_the_clock_are_followed_by_windows_by_the_clock_s_time() -> None:
    builder = STREAM.with_tumbling_window("10us", time="processing").aggregate("value", ["count"])
    harness = PipelineHarness(builder.key_by().with_tumbling_window("20us").aggregate("count", ["sum"]))
    for clock in (10, 20, 30):
        harness.push([{"ts": 10**15 + clock, "key": "a", "value": 1}])
        harness.advance_watermark(10**15)
        harness.advance_processing_time(clock)
    assert [(pane.window.micros, pane.results) for pane in harness.drain()] == [((0, 20), {"sum": 2.0})]
    harness.end_of_input()
    assert [(pane.window.micros, pane.results) for pane in harness.drain()] == [((20, 40), {"sum": 1.0})]


def test_the_future_is_what_is_ahead_of_the_clock_at_the_source_only() -> None:
    """A pane at the end of an hour is no record from the future."""
    builder = STREAM.with_options(future_skew="5m").with_tumbling_window("1h").aggregate("value", ["count"])
    harness = PipelineHarness(builder.key_by().with_tumbling_window("2h").aggregate("count", ["sum"]))
    harness.push(RECORDS)
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [{"sum": 3.0}]
    assert harness.metrics["malformed"] == 0


def branched() -> ls.StreamPipelineBuilder:
    return (
        STREAM.map(doubled)
        .branch("windows").filter(ls.col("value") > 2).with_tumbling_window("10us").aggregate("value", ["sum"])
        .branch("all").key_by().with_count_window(2).aggregate("value", ["max"])
        .branch("records").flat_map(lambda record: [record["key"] and {"k": record["key"]}]).key_by("k").running_count()
    )  # fmt: skip


def test_branches_have_keys_and_operators_of_their_own() -> None:
    with branched().open() as session:
        first = session.push(RECORDS)
        rest = session.flush()
        metrics = session.metrics["branches"]
    assert {name: [each.results for each in table] for name, table in rest.items() if name != "records"} == {
        "windows": [{"sum": 8.0}, {"sum": 4.0}],
        "all": [],
    }
    assert [(pane.key, pane.results) for pane in first["all"]] == [({}, {"max": 4.0})]
    assert [event.data for event in first["records"]] == [
        {"k": "a", "count": 1}, {"k": "b", "count": 1}, {"k": "a", "count": 2},
    ]  # fmt: skip
    assert {name: (each["aggregated"], each.get("filtered", 0), each["panes"]) for name, each in metrics.items()} == {
        "windows": (2, 1, 2), "all": (3, 0, 1), "records": (0, 0, 0),
    }  # fmt: skip
    assert (metrics["all"]["unfired"], metrics["records"]["delivered"]) == (1, 3)


def test_a_union_has_the_records_of_all_under_the_least_watermark() -> None:
    other = (
        ls.create_pipeline("other")
        .with_event_time("at", unit="ms")
        .map(lambda record: {**record, "key": "o"})
    )
    harness = PipelineHarness(
        STREAM.union(other).key_by("key").with_tumbling_window("10us").aggregate("ts", ["count"])
    )
    harness.push(RECORDS, input="0")
    harness.push({"at": 0, "ts": 1}, input="1")
    harness.advance_watermark(10)
    assert [(pane.key["key"], pane.results["count"]) for pane in harness.drain()] == [("a", 2), ("o", 1)]
    with pytest.raises(ls.ConfigurationError, match=r"input: say to which of '0', '1'"):
        harness.push(RECORDS)
    with pytest.raises(ls.ConfigurationError, match=r"input: 'left' is none of '0', '1'"):
        harness.push(RECORDS, input="left")


def test_a_union_waits_for_the_slower_of_its_inputs() -> None:
    stream = STREAM.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
    harness = PipelineHarness(stream.union(stream).with_tumbling_window("10us").aggregate("value", ["sum"]))
    harness.push({"ts": 100, "value": 1}, input="0")
    harness.push({"ts": 5, "value": 2}, input="1")
    assert harness.drain() == []
    harness.push({"ts": 10, "value": 4}, input="1")
    assert [pane.results for pane in harness.drain()] == [{"sum": 2.0}]


# Sources and sinks


def sources(tmp_path: Path) -> list[ls.Source]:
    path = tmp_path / "records.ndjson"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in RECORDS))
    return [ls.IterableSource(RECORDS), ls.FileSource(path), ls.ArrowSource(pa.Table.from_pylist(RECORDS))]


def test_every_source_feeds_operators(tmp_path: Path) -> None:
    for source in sources(tmp_path):
        sink = ls.CollectSink()
        builder = STREAM.map(doubled).filter(ls.col("value") > 2).with_source(source).with_sink(sink)
        for built in (builder, builder.with_options(buffer_size=1), builder.with_options(parallelism=3)):
            summary = built.build().run()
            assert [event.data for event in sink.results] == [doubled(record) for record in RECORDS[1:]]
            assert (summary.records_in, summary.filtered) == (3, 1)


def test_stages_run_from_every_source(tmp_path: Path) -> None:
    for source in sources(tmp_path):
        first, second = ls.CollectSink(), ls.CollectSink()
        builder = PANES.with_source(source).with_sink(first).key_by().with_tumbling_window("20us")
        summary = builder.aggregate("sum", ["max"]).with_sink(second).build().run()
        assert [pane.results for pane in first.results] == [
            {"count": 2, "sum": 5.0},
            {"count": 1, "sum": 2.0},
        ]
        assert [pane.results for pane in second.results] == [{"max": 5.0}]
        assert (summary.records_in, summary.errors) == (3, 0)


def test_a_union_runs_its_sources_to_the_end() -> None:
    one = STREAM.with_source(ls.IterableSource(RECORDS))
    two = STREAM.with_source(ls.IterableSource([{"ts": 2, "key": "z", "value": 9}]))
    sink = ls.CollectSink()
    summary = one.union(two).running_count().with_sink(sink).build().run()
    assert summary.records_in == 4
    assert [event.data["count"] for event in sink.results] == [1, 2, 3, 4]


def test_records_are_lines_of_json_and_rows(tmp_path: Path) -> None:
    lines, rows = tmp_path / "out.ndjson", tmp_path / "out.parquet"
    builder = STREAM.map(lambda record: {**record, "bad": float("nan")}).with_source(
        ls.IterableSource(RECORDS[:2])
    )
    builder.with_sink(ls.NdjsonSink(lines)).with_sink(ls.ParquetSink(rows)).build().run()
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [
        {
            "timestamp": f"1970-01-01T00:00:00.{record['ts']:06}Z",
            "key": {"key": record["key"]},
            "data": {**record, "bad": None},
        }
        for record in RECORDS[:2]
    ]
    table = parquet.read_table(rows)
    assert table.column_names == ["timestamp", "key", "data"]
    assert [row["ts"] for row in table["data"].to_pylist()] == [1, 12]
    assert table["key"].to_pylist() == ['{"key": "a"}', '{"key": "b"}']


def test_lines_that_a_pipeline_wrote_are_read_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "out.ndjson"
    STREAM.map(doubled).with_source(ls.IterableSource(RECORDS)).with_sink(ls.NdjsonSink(path)).build().run()
    sink = ls.CollectSink()
    builder = (
        ls.create_pipeline().with_source(ls.FileSource(path)).key_by("data.key").with_tumbling_window("10us")
    )
    builder.aggregate("data.value", ["sum"]).with_sink(sink).build().run()
    assert [result.results for result in sink.results] == [{"sum": 10.0}, {"sum": 4.0}]


def test_late_records_go_to_the_side_output_of_their_stage() -> None:
    """Of two stages of one branch each has a sink of its own for late records."""
    first, second = ls.CollectSink(), ls.CollectSink()
    builder = (
        STREAM.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
        .with_tumbling_window("10us").aggregate("value", ["sum"])
        .with_late_event_handler(ls.LateEventHandler().with_side_output(first))
        .key_by().with_tumbling_window("20us").aggregate("sum", ["count"])
        .with_late_event_handler(ls.LateEventHandler().with_side_output(second))
        .with_source(ls.IterableSource([RECORDS[1], RECORDS[0]])).with_sink(ls.CollectSink())
    )  # fmt: skip
    summary = builder.build().run()
    assert [event.event for event in first.results] == [RECORDS[0]]
    assert (second.results, summary.late) == ([], 1)


def test_a_snapshot_needs_no_results_of_earlier_stages_to_be_taken() -> None:
    builder = (
        PANES.with_sink(ls.CollectSink()).key_by().with_tumbling_window("40us").aggregate("sum", ["max"])
    )
    harness = PipelineHarness(builder)
    harness.push(RECORDS)
    harness.advance_watermark(30)
    harness = PipelineHarness.restore(builder, harness.snapshot())
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [{"max": 5.0}]


@pytest.mark.parametrize(
    "other",
    [
        STREAM.map(doubled).key_by("value").running_count(),
        STREAM.filter(doubled).running_count(),
        STREAM.map(doubled).process(lambda record, context: record),
        STREAM.map(doubled).track_sessions("1m"),
        STREAM.map(doubled).branch("b").running_count(),
        STREAM.with_tumbling_window("1m"),
        STREAM.union(STREAM).running_count(),
    ],
    ids=["key", "operator", "state", "kind", "branch", "plain", "inputs"],
)
def test_a_snapshot_of_another_plan_is_refused(other: ls.StreamPipelineBuilder) -> None:
    harness = PipelineHarness(STREAM.map(doubled).running_count())
    harness.push(RECORDS)
    with pytest.raises(ls.CheckpointError):
        PipelineHarness.restore(other, harness.snapshot())


def test_late_records_that_were_not_taken_are_restored_in_their_order() -> None:
    builder = (
        STREAM.map(doubled)
        .branch("tens").with_tumbling_window("10us").aggregate("value", ["sum"])
        .branch("ones").with_tumbling_window("1us").aggregate("value", ["sum"])
    )  # fmt: skip
    whole, parts = PipelineHarness(builder), PipelineHarness(builder)
    for harness in (whole, parts):
        harness.advance_watermark(50)
        harness.push(RECORDS[:1])
    parts = PipelineHarness.restore(builder, parts.snapshot())
    for harness in (whole, parts):
        harness.push(RECORDS[1:])
    assert [(event.branch, event.position) for event in whole.drain_late()] == [
        (event.branch, event.position) for event in parts.drain_late()
    ] == [(branch, position) for branch in ("tens", "ones") for position in range(3)]  # fmt: skip


@pytest.mark.parametrize("pushed_at_once", [True, False])
def test_late_records_are_a_stream_of_their_own(pushed_at_once: bool) -> None:
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
        .branch("tens")
        .with_tumbling_window("10s")
        .aggregate("v", ["sum"])
        .branch("missed", late_of="tens")
        .map(lambda record: {"missed": record["v"]})
    )
    records = [{"ts": ts, "v": ts} for ts in (1, 12, 3, 25, 14, 26)]
    harness = PipelineHarness(builder)
    for batch in [records] if pushed_at_once else [[record] for record in records]:
        harness.push(batch)
        harness = PipelineHarness.restore(builder, harness.snapshot())
    harness.end_of_input()
    panes, missed = [], []
    for each in harness.drain():
        (panes if isinstance(each, ls.AggregationResult) else missed).append(each)
    assert [pane.results for pane in panes] == [{"sum": 1.0}, {"sum": 12.0}, {"sum": 51.0}]
    assert [(event.data, event.timestamp.second) for event in missed] == [
        ({"missed": 3}, 3),
        ({"missed": 14}, 14),
    ]
    assert [late.event["v"] for late in harness.drain_late()] == [3, 14]
    assert "branch 'missed', of the late records of 'tens'" in builder.explain()


def test_late_records_are_of_a_branch_with_a_window() -> None:
    builder = ls.create_pipeline().branch("all")
    with pytest.raises(ls.ConfigurationError, match="late_of: 'none' is none of the branches"):
        builder.branch("missed", late_of="none")
    with pytest.raises(ls.ConfigurationError, match="late_of: branch 'all' has no window"):
        builder.branch("missed", late_of="all").open()


def test_another_window_replaces_the_first_unless_it_has_aggregates_of_its_own() -> None:
    tens = (
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .with_tumbling_window("10s")
        .aggregate("v", ["sum"])
    )

    def results(builder: ls.StreamPipelineBuilder) -> list[dict[str, Any]]:
        harness = PipelineHarness(builder)
        harness.push([{"ts": ts, "v": 1} for ts in (1, 2, 12, 33)])
        harness.end_of_input()
        return [pane.results for pane in harness.drain()]

    assert results(tens.with_tumbling_window("20s")) == [{"sum": 3.0}, {"sum": 1.0}]
    of_results = (
        tens.with_tumbling_window("20s").with_trigger(ls.CountTrigger(1)).aggregate("sum", ["max", "count"])
    )
    assert results(of_results) == [
        {"max": 2.0, "count": 1},
        {"max": 2.0, "count": 2},
        {"max": 1.0, "count": 1},
    ]
