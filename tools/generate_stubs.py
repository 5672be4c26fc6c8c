"""Write the type stub of the extension module: `generate_stubs.py OUTPUT`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


def generate() -> str:
    """The stub of llmopt_stream._core, laid out like every other file."""
    with tempfile.TemporaryDirectory() as folder:
        run_module("pybind11_stubgen", "llmopt_stream._core", "--output-dir", folder, "--exit-code")
        stub = Path(folder, "llmopt_stream", "_core.pyi").read_text(encoding="utf-8")
    layout = ("--isolated", "--line-length=110", "--stdin-filename=_core.pyi")
    return run_module("ruff", "format", *layout, "-", text=stub)


def run_module(*command: str, text: str | None = None) -> str:
    return subprocess.run(
        [sys.executable, "-m", *command], check=True, capture_output=True, text=True, input=text
    ).stdout


if __name__ == "__main__":
    try:
        Path(sys.argv[1]).write_text(generate(), encoding="utf-8")
    except subprocess.CalledProcessError as error:
        sys.exit(error.stderr)
