"""Traces of LLM inference requests (CSV) as feedback events (NDJSON)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["TraceCounts", "write_trace_events"]

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@dataclass
class TraceCounts:
    """What `write_trace_events` has read."""

    rows: int = 0
    unusable_rows: int = 0


def write_trace_events(trace: Path, target: Path) -> TraceCounts:
    """Write each row of the trace as one line of the target, in the same order.

    The model is the name of the file, without folder and extension. A row that has not the header's
    number of cells, or no whole numbers where tokens stand, becomes a JSON text of itself, which
    every pipeline counts as malformed; times are left to the pipeline to judge. Blank lines are no rows.
    """
    counts = TraceCounts()
    try:
        source = trace.open(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"--trace: cannot read {trace}: {error.strerror}") from error
    with source, target.open("w", encoding="utf-8") as sink:
        positions, width = _read_header(next(source, ""), trace)
        sink.writelines(_events(source, positions, width, trace.stem, counts))
    return counts


def _cells(line: str) -> list[str]:
    # Not the csv module: one stray quote would make it take the rest of the file for one cell.
    return [cell.strip().strip('"') for cell in line.split(",")]


def _read_header(line: str, trace: Path) -> tuple[tuple[int, int, int], int]:
    header = _cells(line)
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise ConfigurationError(
            f"--trace: {trace} has no column {', '.join(missing)}; "
            f"its first line must name {', '.join(COLUMNS)}"
        )
    time, prompt, completion = (header.index(column) for column in COLUMNS)
    return (time, prompt, completion), len(header)


def _events(
    lines: Iterator[str], positions: tuple[int, int, int], width: int, model: str, counts: TraceCounts
) -> Iterator[str]:
    time_at, prompt_at, completion_at = positions
    name = json.dumps(model)
    # An id needs no escapes beyond those of the name.
    id_start = name[:-1]
    for line in lines:
        if line.isspace():
            continue
        counts.rows += 1
        cells = _cells(line)
        if len(cells) != width or not (_is_count(cells[prompt_at]) and _is_count(cells[completion_at])):
            counts.unusable_rows += 1
            yield json.dumps(line.rstrip("\n")) + "\n"
            continue
        yield (
            f'{{"id":{id_start}-{counts.rows:09}","timestamp":{json.dumps(cells[time_at])},"source":{name},'
            f'"event_type":"completion","data":{{"model":{name},"prompt_tokens":{int(cells[prompt_at])},'
            f'"completion_tokens":{int(cells[completion_at])}}},"metadata":{{}}}}\n'
        )


def _is_count(cell: str) -> bool:
    return cell.isascii() and cell.isdecimal() and len(cell) <= 15
