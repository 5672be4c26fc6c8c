"""The answers that every engine has to give, in plain Python and exact: values are integer thousandths."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from llmopt_stream.errors import ProcessorError
from llmopt_stream.metrics import NINE

from .events import Events

__all__ = ["Answer", "AnswerError", "Percentiles", "Reference", "nine_of", "sessions", "sliding", "tumbling"]

_PERCENTS = (50, 95, 99)
_ROUNDING = 1e-9
"""Relative; doubles added in any order stay far within."""


class AnswerError(ProcessorError):
    """An engine's answer is not the reference's; nothing is timed then."""


class Percentiles(Enum):
    """What an engine computes as p50, p95 and p99."""

    NEAREST_RANK = "of nearest rank"
    WITHIN_ONE_PERCENT = "of nearest rank, exact up to 64 values, then within 1 %"
    LINEAR = "interpolated between two ranks"


@dataclass(frozen=True, slots=True)
class Answer:
    """Of each window and key: its start in microseconds, the key, and in columns the nine statistics."""

    starts: Sequence[int]
    keys: Sequence[str]
    statistics: Sequence[Sequence[float]]


@dataclass(slots=True)
class Reference:
    """The answer of each window and key."""

    index: dict[tuple[int, str], int] = field(default_factory=dict)
    statistics: list[array[float]] = field(default_factory=lambda: [array("d") for _ in NINE])
    interpolated: list[array[float]] = field(default_factory=lambda: [array("d") for _ in _PERCENTS])

    def __len__(self) -> int:
        return len(self.index)

    def add(self, start: int, key: str, ascending: Sequence[int]) -> None:
        """A window with its values."""
        self.add_sums(start, key, ascending, sum(ascending), sum(value * value for value in ascending))

    def add_sums(self, start: int, key: str, ascending: Sequence[int], total: int, squares: int) -> None:
        """A window with its values, their sum and that of their squares."""
        self.index[start, key] = len(self.index)
        for column, value in zip(self.statistics, nine_of(ascending, total, squares), strict=True):
            column.append(value)
        for column, percent in zip(self.interpolated, _PERCENTS, strict=True):
            below, beyond = divmod((len(ascending) - 1) * percent, 100)
            low, high = ascending[below], ascending[min(below + 1, len(ascending) - 1)]
            column.append((low + (high - low) * beyond / 100) / 1_000)

    def check(self, engine: str, answer: Answer, percentiles: Percentiles) -> None:
        """Raises AnswerError unless the answer has these windows and, within rounding, these statistics."""
        if len(answer.keys) != len(self):
            raise AnswerError(f"{engine}: {len(answer.keys):,} results, expected {len(self):,}")
        try:
            at = [self.index[window] for window in zip(answer.starts, answer.keys, strict=True)]
        except KeyError as error:
            raise AnswerError(f"{engine}: {error.args[0]} is no window and key of the input") from error
        if len(set(at)) != len(at):
            raise AnswerError(f"{engine}: results repeat")
        for number, name in enumerate(NINE):
            is_percentile = number >= len(NINE) - len(_PERCENTS)
            interpolated = is_percentile and percentiles is Percentiles.LINEAR
            expected = self.interpolated[number - len(NINE)] if interpolated else self.statistics[number]
            rough = is_percentile and percentiles is Percentiles.WITHIN_ONE_PERCENT
            for result, value in zip(at, answer.statistics[number], strict=True):
                wanted = expected[result]
                tolerance = 0.01 if rough and self.statistics[0][result] > 64 else _ROUNDING
                # So written, NaN is wrong too.
                if not abs(value - wanted) <= tolerance * abs(wanted):
                    window = list(self.index)[result]
                    raise AnswerError(f"{engine}: {name} of {window}: {value}, expected {wanted}")


def nine_of(ascending: Sequence[int], total: int, squares: int) -> tuple[float, ...]:
    """count, sum, average, min, max, stddev, p50, p95, p99.

    >>> nine_of([10_000, 20_000, 30_000], 60_000, 1_400_000_000)
    (3, 60.0, 20.0, 10.0, 30.0, 8.16496580927726, 20.0, 30.0, 30.0)
    """
    count = len(ascending)
    return (
        count,
        total / 1_000,
        total / (1_000 * count),
        ascending[0] / 1_000,
        ascending[-1] / 1_000,
        math.sqrt((count * squares - total * total) / (1_000 * count) ** 2),
        *(ascending[-(-count * percent // 100) - 1] / 1_000 for percent in _PERCENTS),
    )


def tumbling(events: Events, size: int) -> Reference:
    """Windows of `size` microseconds."""
    windows: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for time, key, value in zip(events.times, events.keys, events.thousandths, strict=True):
        windows[time - time % size, key].append(value)
    reference = Reference()
    for (start, key), values in windows.items():
        values.sort()
        reference.add(start, key, values)
    return reference


def sliding(events: Events, size: int, slide: int) -> Reference:
    """Windows of `size` that begin every `slide` microseconds; the values of one are carried to the next."""
    reference = Reference()
    for key, records in _by_key(events).items():
        ascending: list[int] = []
        total = squares = entered = left = 0
        start = (records[0][0] - size) // slide * slide + slide
        while left < len(records):
            while entered < len(records) and records[entered][0] < start + size:
                value = records[entered][1]
                insort(ascending, value)
                total, squares, entered = total + value, squares + value * value, entered + 1
            while left < entered and records[left][0] < start:
                value = records[left][1]
                del ascending[bisect_left(ascending, value)]
                total, squares, left = total - value, squares - value * value, left + 1
            if ascending:
                reference.add_sums(start, key, ascending, total, squares)
            start += slide
    return reference


def sessions(events: Events, gap: int) -> Reference:
    """Sessions: records of a key at most `gap` microseconds apart."""
    reference = Reference()
    for key, records in _by_key(events).items():
        first = 0
        for end in range(1, len(records) + 1):
            if end == len(records) or records[end][0] - records[end - 1][0] > gap:
                reference.add(records[first][0], key, sorted(_values(records[first:end])))
                first = end
    return reference


def _by_key(events: Events) -> dict[str, list[tuple[int, int]]]:
    by_key: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for time, key, value in zip(events.times, events.keys, events.thousandths, strict=True):
        by_key[key].append((time, value))
    for records in by_key.values():
        records.sort()
    return by_key


def _values(records: Iterable[tuple[int, int]]) -> Iterable[int]:
    return (value for _, value in records)
