"""The benchmark: `llmopt-stream bench`. One module per engine, one per kind of row; works.py is the table."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from llmopt_stream.errors import ConfigurationError

from .report import as_json, check_markdown, machine, text, write_markdown
from .row import Row, Settings
from .works import WORKS

__all__ = ["WORKS", "bench"]


def bench(
    *,
    rows: int | None = None,
    rounds: int = 5,
    only: Sequence[str] = (),
    json_file: Path | None = None,
    markdown_file: Path | None = None,
) -> int:
    """Measures the rows of the table, or the named ones, and prints each as soon as it is there.

    Raises AnswerError where an engine's answer is not the reference's.
    """
    names = [work.name for work in WORKS]
    for name in only:
        if name not in names:
            raise ConfigurationError(f"--only: {name!r} is no row; there are {', '.join(names)}")
    if markdown_file is not None and only:
        raise ConfigurationError("--markdown: the table has every row; leave out --only or --markdown")
    if markdown_file is not None:
        check_markdown(markdown_file)
    print(machine())
    measured: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="llmopt-stream-") as folder:
        settings = Settings(rounds=rounds, folder=Path(folder), records=rows)
        for work in WORKS:
            if only and work.name not in only:
                continue
            if sys.stderr.isatty():
                print(f"measuring {work.name} ...", end="\r", file=sys.stderr, flush=True)
            measured.append(work.measure(settings))
            print(f"\n{text(measured[-1])}", flush=True)
    missed = sum(verdict.reached is False for row in measured for verdict in row.verdicts)
    print(f"\n{missed} missed" if missed else "\nall that was measured is reached")
    if json_file is not None:
        json_file.write_text(as_json(measured) + "\n", encoding="utf-8")
    if markdown_file is not None:
        write_markdown(markdown_file, measured)
    return 0
