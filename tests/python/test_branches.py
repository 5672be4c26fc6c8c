"""Several windows on one stream."""

from __future__ import annotations

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us").key_by("key")


def two_branches(**sinks: ls.Sink) -> ls.StreamPipelineBuilder:
    tens = (
        STREAM.branch("tens")
        .with_tumbling_window("10us", allowed_lateness="5us")
        .aggregate("value", ["count", "sum"])
    )
    tens = tens.with_sink(sinks["tens"]) if sinks else tens
    pairs = tens.branch("pairs").with_count_window(2, flush=True).aggregate("value", ["sum"], prefix="pair_")
    return pairs.with_sink(sinks["pairs"]) if sinks else pairs


RECORDS = [{"ts": ts, "key": "a", "value": value} for ts, value in [(1, 1), (12, 2), (3, 4)]]


def test_each_branch_has_windows_lateness_and_aggregates_of_its_own() -> None:
    harness = PipelineHarness(two_branches())
    harness.push(RECORDS[:2])
    harness.advance_watermark(15)
    harness.push(RECORDS[2])
    harness.end_of_input()
    seen = [(pane.branch, pane.window.micros[1], pane.results) for pane in harness.drain()]
    end = 2**63 - 1
    assert seen == [
        ("tens", 10, {"count": 1, "sum": 1.0}),
        ("tens", 20, {"count": 1, "sum": 2.0}),
        ("pairs", end, {"pair_sum": 3.0}),
        ("pairs", end, {"pair_sum": 4.0}),
    ]
    late = harness.drain_late()
    assert [(event.branch, event.event, event.watermark) for event in late] == [("tens", RECORDS[2], 15)]
    branches = harness.metrics["branches"]
    assert (branches["tens"]["aggregated"], branches["tens"]["late"]) == (2, 1)
    assert (branches["pairs"]["aggregated"], branches["pairs"]["late"]) == (3, 0)


def test_a_run_reads_its_input_once_and_feeds_each_branch_its_sinks() -> None:
    tens, pairs = ls.CollectSink(), ls.CollectSink()
    reads: list[int] = []

    def records() -> object:
        reads.append(1)
        yield from RECORDS

    pipeline = (
        two_branches(tens=tens, pairs=pairs)
        .with_source(ls.IterableSource(records()))
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("10us"))
        .build()
    )
    summary = pipeline.run()
    assert [result.results for result in tens.results] == [{"count": 2, "sum": 5.0}, {"count": 1, "sum": 2.0}]
    assert [result.results for result in pairs.results] == [{"pair_sum": 3.0}, {"pair_sum": 4.0}]
    assert (reads, summary.records_in, summary.panes) == ([1], 3, 4)


def test_a_push_session_returns_a_table_for_each_branch() -> None:
    with two_branches().open() as session:
        tables = session.push(RECORDS)
        assert isinstance(tables, dict)
        assert {name: len(table) for name, table in tables.items()} == {"tens": 0, "pairs": 1}


def test_snapshots_carry_all_branches_and_refuse_other_plans() -> None:
    harness = PipelineHarness(two_branches())
    harness.push(RECORDS)
    restored = PipelineHarness.restore(two_branches(), harness.snapshot())
    for each in (harness, restored):
        each.end_of_input()
    assert [pane.to_dict() for pane in restored.drain()] == [pane.to_dict() for pane in harness.drain()]
    with pytest.raises(ls.CheckpointError):
        PipelineHarness.restore(two_branches().branch("third").with_global_window(), harness.snapshot())


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: two_branches().branch("tens"), ["branch", "'tens'"]),
        (lambda: STREAM.with_tumbling_window("1m").branch("late"), ["branch", "'late'", "window"]),
        (
            lambda: STREAM.with_tumbling_window("1m").aggregate("value", ["sum"]).key_by("key").open(),
            ["key_by", "before"],
        ),
        (lambda: STREAM.branch(""), ["branch", "name"]),
        (lambda: two_branches().branch("empty").aggregate().open(), ["branch 'empty'", "no window"]),
    ],
)
def test_wrong_branches_are_named(build: object, words: list[str]) -> None:
    with pytest.raises(ls.ConfigurationError) as raised:
        build()  # type: ignore[operator]
    assert all(word in str(raised.value) for word in words)


def test_the_plan_names_its_branches() -> None:
    text = two_branches().plan.explain()
    assert [line.strip() for line in text.splitlines() if "branch" in line] == [
        "branch 'tens'",
        "branch 'pairs'",
    ]
