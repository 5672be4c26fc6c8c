from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from llmopt_stream.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "llmopt_stream"]

BUILDER = """
    import llmopt_stream as ls

    pipeline = (
        ls.create_pipeline("latency")
        .with_source({source})
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", ["count"])
        .with_sink(ls.ConsoleSink())
    )
"""
THOUSAND = "ls.GeneratorSource(events=1_000, malformed_share=0, late_share=0)"


@pytest.fixture(autouse=True)
def _same_interpreter_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("llmopt_stream_script", None)


def script(folder: Path, text: str, source: str = THOUSAND) -> str:
    path = folder / "latency.py"
    path.write_text(textwrap.dedent(text.format(source=source)))
    return str(path)


def counts(output: str) -> list[int]:
    return [json.loads(line)["results"]["count"] for line in output.splitlines()]


def test_run_prints_results_to_standard_output_and_the_summary_to_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", script(tmp_path, BUILDER)]) == 0
    captured = capsys.readouterr()
    assert sum(counts(captured.out)) == 1_000
    assert re.fullmatch(r"1,000 records in \S+ s \(\S+/s\), 1,000 aggregated, 1 panes\n", captured.err)


@pytest.mark.parametrize(
    "ending",
    [
        "pipeline = pipeline.build()",
        "first = pipeline; del pipeline\ndef build(): return first",
        "first = pipeline; del pipeline\ndef build(): return first.build()",
    ],
)
def test_run_takes_a_builder_a_pipeline_or_a_function(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "latency.py"
    path.write_text(textwrap.dedent(BUILDER.format(source=THOUSAND)) + ending + "\n")
    assert main(["run", str(path), "--max-events", "10"]) == 0
    assert counts(capsys.readouterr().out) == [10]


def test_a_script_has_its_own_arguments_and_folder_and_is_not_main(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "beside_it.py").write_text("EVENTS = 10\n")
    ending = """
    import sys, beside_it
    assert sys.argv[1:] == ["a", "--b"], sys.argv
    pipeline = pipeline.with_source(ls.GeneratorSource(events=beside_it.EVENTS))
    if __name__ == "__main__":
        raise AssertionError
    """
    path = script(tmp_path, BUILDER + ending)
    assert main(["run", path, "--no-progress", "--", "a", "--b"]) == 0
    assert sum(counts(capsys.readouterr().out)) == 10


def test_explain_prints_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", script(tmp_path, BUILDER)]) == 0
    output = capsys.readouterr().out
    assert output.startswith("pipeline 'latency'\n")
    assert "GeneratorSource(seed=42, events=1_000)" in output
    assert (
        main(
            [
                "explain",
                script(tmp_path, "import llmopt_stream as ls\npipeline = ls.create_pipeline().aggregate()"),
            ]
        )
        == 2
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "expected a variable `pipeline` or a function `build()`"),
        ("pipeline = 3", "there is a int"),
        ("import llmopt_stream as ls\npipeline = ls.create_pipeline().aggregate()", "has no window"),
        ("import llmopt_stream as ls\npipeline = ls.create_pipeline().key_by('')", "'' is not a field path"),
    ],
)
def test_wrong_scripts_are_wrong_settings(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", script(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_wrong_options_are_wrong_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path / "no.py")]) == 2
    assert "no.py: No such file" in capsys.readouterr().err
    assert main(["run"]) == 2
    assert main(["run", script(tmp_path, BUILDER), "--timeout", "soon"]) == 2
    assert "run: timeout: 'soon' is not a duration" in capsys.readouterr().err
    assert main(["run", script(tmp_path, BUILDER, "ls.FileSource('no.ndjson')")]) == 2


@pytest.mark.parametrize("text", ["1 / 0", "import no_such_module", "this is not Python"])
def test_code_that_fails_is_shown_with_its_place(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", script(tmp_path, text)]) == 1
    assert 'latency.py", line 1' in capsys.readouterr().err


def test_an_interrupted_run_is_drained_and_says_so(tmp_path: Path) -> None:
    path = script(tmp_path, BUILDER, "ls.FileSource('-')")
    with subprocess.Popen(
        [*COMMAND, "run", path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for minute in (0, 1):
            process.stdin.write(
                f'{{"timestamp": "2026-01-01T00:0{minute}:30Z", "data": {{"latency_ms": 1}}}}\n'
            )
        process.stdin.flush()
        assert counts(process.stdout.readline()) == [1]
        process.send_signal(signal.SIGINT)
        output, error = process.communicate()
    assert process.returncode == 0
    assert output == ""
    assert error.startswith("stopped early: windows that were not complete did not fire\n2 records in ")


@pytest.mark.parametrize("rich", [True, False])
def test_progress_is_shown_on_a_terminal(rich: bool, tmp_path: Path) -> None:
    path = script(tmp_path, BUILDER, "ls.GeneratorSource(events=500_000)")
    hide = "" if rich else "import sys; sys.modules['rich'] = None\n"
    program = f"{hide}from llmopt_stream.cli import main\nraise SystemExit(main(['run', {path!r}]))"
    terminal, child = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=child
    ) as process:
        os.close(child)
        shown = b""
        try:
            while part := os.read(terminal, 65_536):
                shown += part
        except OSError:  # the terminal's other end is closed
            pass
        assert process.wait() == 0
    os.close(terminal)
    assert b"\r" in shown
    assert b" records  " in shown
    assert b"500,000 records in " in shown.splitlines()[-1]
