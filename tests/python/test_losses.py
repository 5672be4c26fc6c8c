"""What the log says of a run whose records give nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import llmopt_stream as ls
import pytest
from interrupted_runs import Fate, FatefulSource

GOOD = {"timestamp": "2026-01-01T00:00:01Z", "latency": 5}


def said(caplog: pytest.LogCaptureFixture, records: Iterable[Any]) -> list[str]:
    pipeline = (
        ls.create_pipeline("p")
        .with_source(ls.IterableSource(records))
        .with_tumbling_window("1m")
        .aggregate("latency")
        .with_options(buffer_size=100)
        .build()
    )
    return messages_of(caplog, pipeline)


def messages_of(caplog: pytest.LogCaptureFixture, pipeline: ls.StreamPipeline) -> list[str]:
    with caplog.at_level(logging.WARNING, "llmopt_stream"):
        pipeline.run()
    return [each.getMessage() for each in caplog.records]


def test_a_run_without_any_time_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert said(caplog, [{"ts": 1}, {"ts": 2}]) == [
        "pipeline 'p': 2 of 2 records were malformed (2 time_missing); is the path 'timestamp' right?"
    ]


def test_a_run_without_any_object_does_not_guess_at_paths(caplog: pytest.LogCaptureFixture) -> None:
    assert said(caplog, [1, 2]) == ["pipeline 'p': 2 of 2 records were malformed (2 not_an_object)"]


def test_a_run_without_any_value_says_so(caplog: pytest.LogCaptureFixture) -> None:
    assert said(caplog, [{**GOOD, "latency": None}, {"timestamp": GOOD["timestamp"]}]) == [
        (
            "pipeline 'p': all 2 values of 'latency' were skipped: null, not finite or no numbers; "
            "is the path 'latency' right?"
        )
    ]


@pytest.mark.parametrize("records", [[], [GOOD], [GOOD, {"ts": 1}], [GOOD, {**GOOD, "latency": None}]])
def test_a_run_with_anything_to_show_for_it_says_nothing(
    caplog: pytest.LogCaptureFixture, records: list[Any]
) -> None:
    assert said(caplog, records) == []


def test_a_run_need_not_end_for_it(caplog: pytest.LogCaptureFixture) -> None:
    known: list[int] = []

    def endless() -> Iterator[Any]:
        for _ in range(3):
            yield from [{"ts": 1}] * 1_000
            known.append(len(caplog.records))

    assert len(said(caplog, endless())) == 1
    assert known[-1] == 1


def test_each_branch_is_judged_by_its_own_records(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = (
        ls.create_pipeline("p")
        .with_source(ls.IterableSource([GOOD] * 2))
        .branch("a")
        .with_tumbling_window("1m")
        .aggregate("latncy")
        .branch("b")
        .with_tumbling_window("1m")
        .aggregate("latency")
        .build()
    )
    assert messages_of(caplog, pipeline) == [
        (
            "pipeline 'p': all 2 values of 'latncy' were skipped: null, not finite or no numbers; "
            "is the path 'latncy' right?"
        )
    ]


def test_a_time_that_was_read_is_no_wrong_path(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = (
        ls.create_pipeline("p")
        .with_source(ls.IterableSource([GOOD]))
        .with_options(past_skew="1h")
        .with_tumbling_window("1m")
        .aggregate("latency")
        .build()
    )
    assert messages_of(caplog, pipeline) == ["pipeline 'p': 1 of 1 records were malformed (1 time_behind)"]


def test_records_before_a_restart_do_not_count(caplog: pytest.LogCaptureFixture) -> None:
    backend = ls.MemoryStateBackend()
    records: list[Any] = [GOOD] * 3_000 + [{"ts": 1}] * 2_000

    def pipeline_of(source: ls.Source) -> ls.StreamPipeline:
        return (
            ls.create_pipeline("p")
            .with_source(source)
            .with_tumbling_window("1m")
            .aggregate("latency")
            .with_options(buffer_size=1_000)
            .with_state_backend(backend)
            .build()
        )

    source = FatefulSource(ls.IterableSource(records))
    first = pipeline_of(source)
    source.fate = Fate(3, "stop", first)
    assert messages_of(caplog, first) == []
    assert messages_of(caplog, pipeline_of(ls.IterableSource(records))) == [
        "pipeline 'p': 1,000 of 1,000 records were malformed (1,000 time_missing); is the path 'timestamp' right?"
    ]
