from __future__ import annotations

import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import llmopt_stream as ls
import numpy as np
import pytest
from llmopt_stream.cli import main
from llmopt_stream.demo import feedback_pipeline, trace_pipeline
from llmopt_stream.inference_trace import write_trace_events
from llmopt_stream.pane_display import PlainDisplay

EVENTS = 60_000
RATE = 50  # so that panes of a minute have from 20 to 400 values
TRACES = Path(__file__).parents[3] / "shared" / "data"
PaneKey = tuple[datetime, tuple[Any, ...]]


class Truth(NamedTuple):
    """What a plain loop over a file finds: the values of each pane, and the accounts."""

    panes: dict[PaneKey, list[tuple[float, float]]]
    records: int
    late: int
    malformed: int


def no_constant(text: str) -> float:
    raise ValueError(text)


def truth_of(path: Path, key: tuple[str, ...], values: tuple[str, str]) -> Truth:
    """One-minute windows under a watermark 5 s behind the latest time, nothing else allowed."""
    panes = defaultdict(list)
    latest = datetime(1970, 1, 1, tzinfo=UTC)
    records = late = malformed = 0
    for line in path.read_bytes().splitlines():
        records += 1
        try:
            event = json.loads(line.decode(), parse_constant=no_constant)
            time = datetime.fromisoformat(event["timestamp"])
        except (ValueError, KeyError, TypeError):
            malformed += 1
            continue
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        start = time.replace(second=0, microsecond=0)
        fields = {**event["data"], **event["metadata"]}
        if latest - timedelta(seconds=5) >= start + timedelta(minutes=1):
            late += 1
        else:
            pane_key = (start, tuple(fields[name] for name in key))
            panes[pane_key].append((fields[values[0]], fields[values[1]]))
        latest = max(latest, time)
    return Truth(panes, records, late, malformed)


def nearest_rank(values: np.ndarray[Any, Any], percent: float) -> float:
    return float(np.sort(values)[math.ceil(percent / 100 * len(values)) - 1])


def assert_percentiles(results: dict[str, Any], prefix: str, values: np.ndarray[Any, Any]) -> None:
    # Exact up to 64 values, within 1 % beyond.
    tolerance = 0.0 if len(values) <= 64 else 0.01
    for percent in (50, 95, 99):
        expected = nearest_rank(values, percent)
        assert results[f"{prefix}p{percent}"] == pytest.approx(expected, rel=tolerance, abs=0.0)


def assert_balanced(summary: ls.RunSummary, truth: Truth) -> None:
    assert summary.records_in == truth.records
    assert summary.late == truth.late
    assert summary.malformed == truth.malformed
    assert summary.aggregated == truth.records - truth.late - truth.malformed
    assert summary.panes == len(truth.panes)


def panes_of(output: str) -> list[list[str]]:
    """The pane lines of the plain display, split into cells."""
    return [line.split() for line in output.splitlines() if line[:2] == "20" and line[10] == "T"]


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "events.ndjson"
    assert main(["generate", "--events", str(EVENTS), "--rate", str(RATE), "--output", str(path)]) == 0
    return path


def test_panes_of_generated_events_equal_those_of_numpy(events_file: Path) -> None:
    truth = truth_of(events_file, ("model", "region"), ("latency_ms", "cost_usd"))
    assert truth.malformed > 30
    assert truth.late > 60
    sink = ls.CollectSink()
    assert_balanced(feedback_pipeline(ls.FileSource(events_file)).with_sink(sink).build().run(), truth)

    assert len(sink.results) == len(truth.panes)
    sizes = set()
    for result in sink.results:
        pairs = truth.panes[result.window.start, result.key.values()]
        latencies, costs = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
        sizes.add(len(pairs) <= 64)
        assert result.results["count"] == len(pairs)
        assert_percentiles(result.results, "", latencies)
        assert result.results["cost_sum"] == pytest.approx(math.fsum(costs), rel=1e-12, abs=0.0)
    assert sizes == {True, False}, "both exact and approximate panes are to be compared"


def test_malformed_records_are_found_by_their_kind(events_file: Path) -> None:
    written = ls._core.FeedbackGenerator(events=EVENTS, events_per_second=RATE)
    while written.next_chunk():
        pass
    defects = written.counts()["malformed"]
    summary = feedback_pipeline(ls.FileSource(events_file)).with_sink(ls.CollectSink()).build().run()
    assert summary.malformed_by_kind == {
        "syntax": defects["truncated"] + defects["nan_literal"],
        "not_an_object": defects["not_an_object"],
        "time_missing": defects["time_missing"],
        "time_invalid": defects["time_invalid"],
        "bad_utf8": defects["bad_utf8"],
    }


def test_demo_prints_every_pane_and_the_accounts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "events.ndjson"
    assert main(["demo", "--events", "20_000", "--keep", str(kept)]) == 0
    output = capsys.readouterr().out
    truth = truth_of(kept, ("model", "region"), ("latency_ms", "cost_usd"))
    shown = {(cells[0], cells[1], cells[2]): int(cells[3]) for cells in panes_of(output)}
    assert shown == {
        (f"{start:%Y-%m-%dT%H:%M:%SZ}", *key): len(pairs) for (start, key), pairs in truth.panes.items()
    }
    assert len({len(line) for line in output.splitlines() if line[:2] == "20"}) == 1
    assert f"kept in {kept}" in output
    aggregated = truth.records - truth.late - truth.malformed
    assert output.splitlines()[-1] == (
        f"check: records_in = aggregated + late + malformed: "
        f"20,000 = {aggregated:,} + {truth.late:,} + {truth.malformed:,}: ok"
    )


def test_demo_of_a_seed_always_prints_the_same_panes(capsys: pytest.CaptureFixture[str]) -> None:
    def demo(seed: str) -> list[list[str]]:
        assert main(["demo", "--events", "5_000", "--seed", seed]) == 0
        return panes_of(capsys.readouterr().out)

    first = demo("42")
    assert len(first) >= 24
    assert demo("42") == first
    assert demo("43") != first
    command = [sys.executable, "-m", "llmopt_stream", "demo", "--events", "5_000"]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    assert panes_of(finished.stdout) == first
    assert finished.stderr == ""


def test_demo_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert main(["demo", "--events", "1"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert "1 = 1 + 0 + 0: ok" in capsys.readouterr().out


def test_demo_on_a_terminal_shows_a_table_and_gives_the_cursor_back() -> None:
    # A new pseudo-terminal has no size; these variables stand in for it.
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "llmopt_stream", "demo", "--events", "20_000"]
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        output = b""
        try:
            while chunk := os.read(ours, 65_536):
                output += chunk
        except OSError:  # Linux's end of file of a pseudo-terminal
            pass
        assert process.wait() == 0
    os.close(ours)
    assert output.count(b"\x1b[?25l") == 1
    assert output.count(b"\x1b[?25h") == 1
    assert output.index(b"\x1b[?25h") > output.rindex(b"mistral-large")
    assert b"complete until 2026-01-01 00:01 UTC" in output
    assert b": ok" in output


@pytest.mark.parametrize("name", ["AzureLLMInferenceTrace_code", "AzureLLMInferenceTrace_conv"])
def test_panes_of_a_real_trace_equal_those_of_numpy(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = TRACES / f"{name}.csv"
    if not trace.exists():
        pytest.skip(f"no trace at {trace}")
    rows = [line.split(",") for line in trace.read_text().splitlines()[1:]]
    minutes = np.array([row[0][:16] for row in rows])
    tokens = {
        "context_": np.array([int(row[1]) for row in rows]),
        "generated_": np.array([int(row[2]) for row in rows]),
    }

    events = tmp_path / "events.ndjson"
    assert write_trace_events(trace, events).rows == len(rows)
    sink = ls.CollectSink()
    summary = trace_pipeline(ls.FileSource(events)).with_sink(sink).build().run()
    assert summary.records_in == summary.aggregated == len(rows)
    assert {f"{result.window.start:%Y-%m-%d %H:%M}" for result in sink.results} == set(minutes)
    for result in sink.results:
        of_minute = minutes == f"{result.window.start:%Y-%m-%d %H:%M}"
        assert result.key.values() == (name,)
        assert result.results["context_count"] == of_minute.sum()
        for prefix, column in tokens.items():
            assert result.results[f"{prefix}sum"] == column[of_minute].sum()
            assert_percentiles(result.results, prefix, column[of_minute])

    assert main(["demo", "--trace", str(trace)]) == 0
    output = capsys.readouterr().out
    shown = {cells[0][:16].replace("T", " "): int(cells[2]) for cells in panes_of(output)}
    assert shown == dict(
        zip(*(part.tolist() for part in np.unique(minutes, return_counts=True)), strict=True)
    )
    assert output.endswith(f": {len(rows):,} = {len(rows):,} + 0 + 0: ok\n")


def test_unusable_rows_of_a_trace_are_counted_and_nothing_is_invented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / 'our "trace".csv'
    trace.write_bytes(
        b"\xef\xbb\xbfTIMESTAMP, Extra,ContextTokens,GeneratedTokens\r\n"
        b"2023-11-16 18:17:03.9799600,x,4808,10\r\n"
        b"2023-11-16 18:17:04.0319600,x,3180\r\n"
        b"\r\n"
        b"2023-11-16 18:17:05.0000000,x,many,8\r\n"
        b"2023-11-16 18:17:06.0000000,x,-5,8\r\n"
        b"yesterday,x,1,2\r\n"
        b'"2023-11-16 18:17:07",\xff,"200","30"\r\n'
        b'"an open quote,x,1\r\n'
        b"2023-11-16 18:18:08.0000001,x,7,9"
    )
    events = tmp_path / "events.ndjson"
    assert main(["demo", "--trace", str(trace), "--keep", str(events)]) == 0
    output = capsys.readouterr().out
    assert [(cells[0], cells[3]) for cells in panes_of(output)] == [
        ("2023-11-16T18:17:00Z", "2"),
        ("2023-11-16T18:18:00Z", "1"),
    ]
    assert output.endswith("8 = 3 + 0 + 5: ok\n")
    lines = events.read_text().splitlines()
    assert json.loads(lines[0]) == {
        "id": 'our "trace"-000000001',
        "timestamp": "2023-11-16 18:17:03.9799600",
        "source": 'our "trace"',
        "event_type": "completion",
        "data": {"model": 'our "trace"', "prompt_tokens": 4808, "completion_tokens": 10},
        "metadata": {},
    }
    assert json.loads(lines[1]) == "2023-11-16 18:17:04.0319600,x,3180"


def test_interrupted_demo_shows_its_totals_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    # The first pane comes after about 40,000 events.
    monkeypatch.setattr(PlainDisplay, "send", interrupt)
    assert main(["demo", "--events", "100_000"]) == 1
    output = capsys.readouterr().out
    assert "records in" in output
    assert re.search(r"stopped early: [\d,]+ of 100,000 records were read\n$", output)


def test_demo_interrupted_before_it_runs_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ls.StreamPipeline, "run", interrupted)
    assert main(["demo", "--events", "100"]) == 1
    assert capsys.readouterr().err == "llmopt-stream demo: interrupted\n"


def test_progress_of_the_generator_may_end_it(tmp_path: Path) -> None:
    heard: list[int] = []

    def stop(records: int) -> None:
        heard.append(records)
        raise RuntimeError("enough")

    generator = ls._core.FeedbackGenerator(events=EVENTS)
    with pytest.raises(RuntimeError, match="enough"):
        generator.write(bytes(tmp_path / "events.ndjson"), progress=stop)
    assert len(heard) == 1
    assert 0 < heard[0] < EVENTS
