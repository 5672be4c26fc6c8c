"""What the log says of a run whose records give nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import llmopt_stream as ls
import pytest

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
