"""Where the records of pipelines of several stages went."""

from __future__ import annotations

from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

BOUND = 10
STREAM = (
    ls.create_pipeline("stream")
    .with_event_time("ts", unit="us")
    .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(f"{BOUND}us"))
    .key_by("key")
)
RECORDS = [
    {"ts": ts, "key": key, "value": value}
    for ts, key, value in [
        (1, "a", 1), (2, "a", None), (3, [], 2), (12, "b", 7), (35, "a", 4), (4, "a", 5), (36, "b", 0), (None, "a", 1),
        (37, "a", "x"),
    ]
]  # fmt: skip
LOSSES = ("late", "malformed", "filtered", "outside_windows", "errors")


def no_seven(record: dict[str, Any]) -> dict[str, Any]:
    if record["value"] == 7:
        raise LookupError("seven")
    return record


ONE_WINDOW = (
    STREAM.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.skip()))
    .map(no_seven)
    .filter(lambda record: record["value"] != 0)
    .with_tumbling_window("10us")
    .aggregate("value", ["count", "sum"])
)


def ended(builder: ls.StreamPipelineBuilder, records: Any = RECORDS) -> PipelineHarness:
    harness = PipelineHarness(builder)
    harness.push(records)
    harness.end_of_input()
    harness.drain()
    return harness


def run(builder: ls.StreamPipelineBuilder) -> ls.RunSummary:
    return builder.with_source(ls.IterableSource(RECORDS)).with_sink(ls.CollectSink()).build().run()


def test_every_record_is_counted_once_on_its_way_to_the_first_windows() -> None:
    metrics = ended(ONE_WINDOW).metrics
    assert [metrics[name] for name in ("records_in", "aggregated", *LOSSES)] == [9, 4, 1, 2, 1, 0, 1]
    assert metrics["malformed_by_kind"] == {"time_missing": 1, "key_not_scalar": 1}
    assert metrics["stages"] == [
        {"stage": "source", "records_in": 9, "malformed": 1, "filtered": 0, "records_out": 8},
        {"stage": "map", "records_in": 8, "filtered": 0, "malformed": 0, "errors": 1, "records_out": 7},
        {"stage": "filter", "records_in": 7, "filtered": 1, "malformed": 0, "errors": 0, "records_out": 6},
        {
            "stage": "window", "records_in": 6, "malformed": 1, "filtered": 0, "aggregated": 4, "late": 1,
            "outside_windows": 0, "unfired": 0, "panes": 2,
        },
    ]  # fmt: skip


TWO_STAGES = (
    STREAM.map(dict).with_tumbling_window("10us").aggregate("value", ["sum"])
    .filter(ls.col("sum") > 0).key_by().with_tumbling_window("40us").aggregate("sum", ["max"])
)  # fmt: skip


def test_counters_are_about_the_records_of_the_source_and_panes_those_of_the_last_windows() -> None:
    metrics = ended(TWO_STAGES).metrics
    assert [metrics[name] for name in ("records_in", "aggregated", *LOSSES)] == [9, 6, 1, 2, 0, 0, 0]
    assert (metrics["panes"], metrics["behind_windows"]) == (1, {"filtered": 1})
    assert [(each["stage"], each["records_in"]) for each in metrics["stages"]] == [
        ("source", 9), ("map", 8), ("window", 8), ("filter", 4), ("window", 3),
    ]  # fmt: skip
    assert [each.get("panes") for each in metrics["stages"]] == [None, None, 4, None, 1]


def test_a_summary_says_what_became_of_results() -> None:
    text = str(run(TWO_STAGES))
    assert text.split(", ", 1)[1] == (
        "6 aggregated, 1 late, 2 malformed, 1 panes, 1 filtered behind windows, 2 values of 'value' skipped"
    )


def test_a_summary_says_how_many_records_were_delivered() -> None:
    summary = run(STREAM.filter(ls.col("value") > 0).running_count())
    assert summary.delivered == 4
    assert str(summary).split(", ", 1)[1] == "2 malformed, 3 filtered, 4 delivered"
    assert run(ONE_WINDOW).delivered is None
    assert str(run(STREAM.filter(lambda record: False))).endswith(", 1 malformed, 8 filtered, 0 delivered")


def test_a_summary_of_results_that_are_chosen_says_panes_and_delivered() -> None:
    summary = run(STREAM.with_tumbling_window("10us").aggregate("value", ["sum"]).filter(ls.col("sum") > 0))
    assert (summary.aggregated, summary.panes, summary.delivered) == (6, 4, 3)
    assert "6 aggregated, 1 late, 2 malformed, 4 panes, 1 filtered behind windows, 3 delivered" in str(
        summary
    )


def test_skipped_values_are_those_of_every_window() -> None:
    assert ended(ONE_WINDOW).metrics["skipped_values"] == [2]
    plain = STREAM.with_tumbling_window("10us").aggregate("value", ["count", "sum"])
    assert run(plain.map(dict)).skipped_values == run(plain).skipped_values == {"value": 2}


BRANCHES = (
    STREAM.map(dict)
    .branch("tens").with_tumbling_window("10us").aggregate("value", ["count"])
    .branch("records").filter(lambda record: record["value"] != 0)
)  # fmt: skip


def test_branches_count_and_are_summed_up() -> None:
    metrics = ended(BRANCHES).metrics
    tens, records = metrics["branches"]["tens"], metrics["branches"]["records"]
    assert (tens["aggregated"], tens["late"], tens["malformed"], tens["panes"]) == (6, 1, 1, 4)
    assert (records["filtered"], records["delivered"], "delivered" in tens) == (1, 7, False)
    assert [metrics[name] for name in ("records_in", "aggregated", "late", "malformed", "filtered", "delivered")] == [
        9, 6, 1, 2, 1, 7,
    ]  # fmt: skip
    assert [(each["stage"], each.get("branch")) for each in metrics["stages"]] == [
        ("source", None), ("map", None), ("window", "tens"), ("filter", "records"),
    ]  # fmt: skip


def test_inputs_are_stages_of_their_own() -> None:
    harness = PipelineHarness(STREAM.join(STREAM, on="key", within="5us"))
    harness.push(RECORDS, input="left")
    harness.push(RECORDS[0], input="right")
    assert [(each["stage"], each["records_in"]) for each in harness.metrics["stages"]] == [
        ("input 'left'", 9), ("input 'right'", 1), ("join", 9),
    ]  # fmt: skip


@pytest.mark.parametrize("bound", [0, 3, 50])
@pytest.mark.parametrize(
    "windowed",
    [
        lambda builder: builder.with_tumbling_window("10us"),
        lambda builder: builder.with_sliding_window("20us", "5us"),
        lambda builder: builder.with_session_window("4us"),
    ],
    ids=["tumbling", "sliding", "session"],
)
def test_lateness_is_measured_behind_operators_as_it_is_without(windowed: Any, bound: int) -> None:
    times = [5, 1, 30, 12, 29, 90, 31, 60, 88, 89, 130, 2]
    stream = STREAM.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(f"{bound}us"))
    records = [{"ts": ts, "key": "a", "value": 1} for ts in times]
    plain, behind = (
        ended(windowed(each).aggregate("value", ["count"]), records).lateness
        for each in (stream, stream.map(dict))
    )
    assert isinstance(plain, ls.LatenessReport)
    assert str(behind) == str(plain)
    assert isinstance(behind, ls.LatenessReport)
    assert (behind.records, behind.disordered, behind.greatest_delay) == (12, 8, 131)  # rounded up
    assert behind.lost() > 0


def test_lateness_of_streams_without_windows_says_how_much_they_are_out_of_order() -> None:
    report = ended(STREAM.running_count()).lateness
    assert isinstance(report, ls.LatenessReport)
    assert (report.records, report.disordered, report.greatest_delay, report.lost()) == (8, 1, 31, 0)
    by_branch = ended(BRANCHES).lateness
    assert isinstance(by_branch, dict)
    assert {name: each.lost() for name, each in by_branch.items()} == {"tens": 1, "records": 0}
