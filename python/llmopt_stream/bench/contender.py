"""An engine at one job: how it runs, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .reference import Answer, Percentiles

__all__ = ["Contender", "answer_of"]


@dataclass(frozen=True, slots=True)
class Contender:
    """What is timed is `run`; `answer` brings its result into the form of the reference."""

    run: Callable[[], Any]
    answer: Callable[[Any], Answer]
    percentiles: Percentiles
    records: int
    """How many it takes in one run."""


def answer_of(table: Any, names: Sequence[str]) -> Answer:
    """Of anything that pyarrow reads: the start, the key and the nine statistics are in columns of these names."""
    import pyarrow as pa

    columns = [pa.table(table)[name] for name in names]
    starts = columns[0].cast(pa.timestamp("us")).cast(pa.int64()).to_pylist()
    return Answer(starts, columns[1].to_pylist(), [column.to_pylist() for column in columns[2:]])
