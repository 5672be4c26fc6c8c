from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from llmopt_stream.cli import main

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "llmopt_stream"]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """The message of a command that refuses its settings."""
    assert main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.err


def test_help_names_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert "demo " in text
    assert "run " in text
    assert "explain " in text
    assert "list, verify, export and restore checkpoints" in text
    assert "generate " in text
    assert "conformance " in text
    assert "bench " in text
    assert "exit codes: 0 done, 1 failed, 2 wrong settings" in text


@pytest.mark.parametrize(
    "command", ["demo", "run", "explain", "checkpoints", "generate", "conformance", "bench"]
)
def test_help_of_a_command_fits_a_narrow_terminal(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_without_a_command_the_help_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert "start here" in error_of(capsys)


def test_wrong_settings_name_the_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n")
    assert "invalid choice: 'dmeo'" in error_of(capsys, "dmeo")
    assert "unrecognized arguments: -- --events" in error_of(capsys, "generate", "--", "--events")
    assert "--events: 'nine' is not a number" in error_of(capsys, "demo", "--events", "nine")
    assert "--events: '0' is not a number from 1" in error_of(capsys, "demo", "--events", "0")
    assert "--seed: '-1' is not an integer" in error_of(capsys, "demo", "--seed", "-1")
    assert f"--trace: cannot read {tmp_path / 'no.csv'}" in error_of(
        capsys, "demo", "--trace", tmp_path / "no.csv"
    )
    assert "--events: a trace is not generated" in error_of(capsys, "demo", "--trace", trace, "--events", "5")
    assert "--seed: a trace is not generated" in error_of(capsys, "demo", "--trace", trace, "--seed", "5")
    assert "--keep: " in error_of(capsys, "demo", "--events", "5", "--keep", tmp_path / "no" / "x.ndjson")
    assert "--keep: " in error_of(capsys, "demo", "--events", "5", "--keep", tmp_path)
    assert "--keep: " in error_of(capsys, "demo", "--events", "5", "--keep", tmp_path / "x.ndjson.gz")
    assert "--keep: this is the trace itself" in error_of(capsys, "demo", "--trace", trace, "--keep", trace)
    assert "late_share must be 0 to 1" in error_of(capsys, "generate", "--late-share", "2")
    assert "--max-disorder" in error_of(capsys, "generate", "--max-disorder", "soon")
    assert "--start" in error_of(capsys, "generate", "--start", "yesterday")


def test_trace_without_its_columns_names_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,Context,GeneratedTokens\n2023-11-16 18:17:03.9799600,1,2\n")
    assert "has no column ContextTokens;" in error_of(capsys, "demo", "--trace", trace)
    trace.write_text("")
    assert "has no column TIMESTAMP, ContextTokens, GeneratedTokens;" in error_of(
        capsys, "demo", "--trace", trace
    )


def test_generate_writes_the_same_events_to_standard_output_and_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    assert main(["generate", "--events", "5_000", "--seed", "7", "--output", str(file)]) == 0
    piped = subprocess.run(
        [*COMMAND, "generate", "--events", "5,000", "--seed", "7"], check=True, capture_output=True
    )
    assert piped.stdout == file.read_bytes()
    assert piped.stderr.startswith(b"5,000 records, ")
    assert piped.stdout.count(b"\n") == 5_000


def test_seeds_reproduce_and_differ(tmp_path: Path) -> None:
    def events(seed: str) -> bytes:
        file = tmp_path / "events.ndjson"
        assert main(["generate", "--events", "1_000", "--seed", seed, "--output", str(file)]) == 0
        return file.read_bytes()

    assert events("1") == events("1")
    assert events("1") != events("2")


def test_generate_options_shape_the_events(tmp_path: Path) -> None:
    file = tmp_path / "events.ndjson"
    options = "--events 300 --start 2030-02-03T00:00:00Z --rate 0.01 --tenants 1 --late-share 0"
    options += " --malformed-share 0 --max-disorder 0s"
    assert main(["generate", *options.split(), "--output", str(file)]) == 0
    events = [json.loads(line) for line in file.read_bytes().splitlines()]
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    assert times[0].startswith("2030-02-03T00:")
    assert {event["metadata"]["tenant"] for event in events} == {"tenant-01"}


def test_file_that_cannot_be_written_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "--events", "5", "--output", "/dev/full"]) == 1
    assert capsys.readouterr().err.startswith("llmopt-stream generate: cannot write /dev/full: ")


def test_reader_that_wants_no_more_is_no_failure() -> None:
    with subprocess.Popen(
        [*COMMAND, "generate", "--events", "200_000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"id":"evt-')
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0
