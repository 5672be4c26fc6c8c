"""The measured rows as text, as a table in Markdown between two marker lines, and as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from llmopt_stream.errors import ConfigurationError

from .row import Row
from .works import PEERS

__all__ = ["as_json", "check_markdown", "machine", "markdown", "text", "write_markdown"]

_BEGIN = "<!-- bench: the table begins; `llmopt-stream bench --markdown` writes it -->"
_END = "<!-- bench: the table ends -->"


def machine() -> str:
    """What the numbers were measured on, and with which versions."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    return (
        f"{os.cpu_count()} × {_processor()}, {system}, Python {platform.python_version()}; "
        f"{versions or 'no other engine is installed'}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for name in (*PEERS, "orjson"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    polars = sys.modules.get("polars")
    if polars is not None and polars.thread_pool_size() > 1:
        found["polars"] += f" in {polars.thread_pool_size()} threads"
    return found


def text(row: Row) -> str:
    """What is printed of a row as soon as it is measured."""
    verdicts = [f"{verdict.goal}: {verdict.mark}" for verdict in row.verdicts]
    lines = [f"{row.name}: {row.title}; {row.records:,} records", *row.details]
    return "\n  ".join([*lines, f"must reach {'; '.join(verdicts)}".replace("**", "")])


def markdown(rows: Iterable[Row]) -> str:
    """The machine and the table."""
    head = ["work", "records", "ours", *PEERS, "must be reached", "aim"]
    cells = [[row.title, _rounded(row.records), row.ours, *_peers(row), _goals(row), row.aim] for row in rows]
    lines = [head, ["---"] * len(head), *cells]
    return "\n".join([f"{machine()}.", "", *map(_line, lines)])


def _line(cells: Iterable[str]) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def _peers(row: Row) -> list[str]:
    return [row.peers.get(peer, "") for peer in PEERS]


def _goals(row: Row) -> str:
    return "; ".join(
        f"{verdict.goal}" + ("" if verdict.reached else f" {verdict.mark}") for verdict in row.verdicts
    )


def _rounded(records: int) -> str:
    return f"{records / 1e6:g} M" if records >= 100_000 else f"{records:,}"


def check_markdown(path: Path) -> None:
    """Raises ConfigurationError if the table has no place in the file."""
    if path.exists():
        _split(path)


def write_markdown(path: Path, rows: Iterable[Row]) -> None:
    """Between the marker lines of the file; what stands around them is kept. A new file has nothing else."""
    before, after = _split(path) if path.exists() else ("", "")
    path.write_text(f"{before}{_BEGIN}\n{markdown(rows)}\n{_END}\n{after}", encoding="utf-8")


def _split(path: Path) -> tuple[str, str]:
    content = path.read_text(encoding="utf-8")
    before, begin, rest = content.partition(f"{_BEGIN}\n")
    _, end, after = rest.partition(f"{_END}\n")
    if not (begin and end):
        raise ConfigurationError(f"--markdown: {path} has no lines {_BEGIN!r} and {_END!r}")
    return before, after


def as_json(rows: Sequence[Row]) -> str:
    """Everything, for programs."""
    return json.dumps(
        {
            "machine": machine(),
            "versions": _versions(),
            "rows": [_row(row) for row in rows],
        },
        indent=2,
        ensure_ascii=False,
    )


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "work": row.title,
        "records": row.records,
        "figures": row.figures,
        "goals": [
            {
                "goal": str(verdict.goal),
                "limit": verdict.goal.limit,
                "measured": verdict.measured,
                "reached": verdict.reached,
            }
            for verdict in row.verdicts
        ],
        "aim": row.aim,
    }
