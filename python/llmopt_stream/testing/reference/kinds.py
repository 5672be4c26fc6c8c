"""The kinds of windows, as functions from a time to intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any, TypeAlias

from .values import EARLIEST, END_OF_TIME, Interval, Record, field_of, is_number, saturated

__all__ = ["Count", "Cumulative", "Custom", "Global", "Session", "Sliding", "Tumbling", "WindowKind"]

_NO_RECORD: Record = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Windows of one size without gaps or overlaps; `offset` moves them off the epoch.

    >>> Tumbling(10).windows_of(-1), Tumbling(10, offset=3).windows_of(3)
    ([(-10, 0)], [(3, 13)])
    """

    size: int
    offset: int = 0

    def windows_of(self, time: int) -> list[Interval]:
        """The one window that `time` lies in."""
        return Sliding(self.size, self.size, self.offset).windows_of(time)


@dataclass(frozen=True, slots=True)
class Sliding:
    """A window of `size` starts every `slide`; with `slide > size` some times lie in none.

    >>> Sliding(5, 2).windows_of(4), Sliding(2, 5).windows_of(3)
    ([(0, 5), (2, 7), (4, 9)], [])
    """

    size: int
    slide: int
    offset: int = 0

    def windows_of(self, time: int) -> list[Interval]:
        """Every window that `time` lies in, the earliest first."""
        last_start = time - (time - self.offset) % self.slide
        starts = range(last_start, time - self.size, -self.slide)
        return [(saturated(start), saturated(start + self.size)) for start in reversed(starts)]


@dataclass(frozen=True, slots=True)
class Cumulative:
    """Windows that share a start and grow by `step` up to `size`, a multiple of it; then they start anew.

    >>> Cumulative(12, 4).windows_of(4), Cumulative(12, 4, offset=1).windows_of(0)
    ([(0, 8), (0, 12)], [(-11, 1)])
    """

    size: int
    step: int
    offset: int = 0

    def windows_of(self, time: int) -> list[Interval]:
        """Every window that `time` lies in, the shortest first."""
        start = time - (time - self.offset) % self.size
        ends = range(start + self.step, start + self.size + 1, self.step)
        return [(saturated(start), saturated(end)) for end in ends if time < end]


@dataclass(frozen=True, slots=True)
class Session:
    """Each record reaches from its time to its time plus the gap; those of a key that touch share a window.

    `gap` is in microseconds, or says it for each record in seconds: the path of a field, or a callable.

    >>> Session(10).windows_of(7), Session("idle").windows_of(7, {"idle": 0.5}), Session("idle").windows_of(7, {})
    ([(7, 17)], [(7, 500007)], [])
    """

    gap: int | str | Callable[[Any], Any]

    def windows_of(self, time: int, record: Record = _NO_RECORD) -> list[Interval]:
        """The session of a record that has no neighbours; none where the record says no usable gap."""
        gap = self.gap if isinstance(self.gap, int) else self._gap_of(record)
        return [(time, saturated(time + gap))] if gap > 0 else []

    def _gap_of(self, record: Record) -> int:
        seconds = field_of(record, self.gap) if isinstance(self.gap, str) else self.gap(record)  # type: ignore[operator]
        return round(Fraction(seconds) * 1_000_000) if is_number(seconds) else 0


@dataclass(frozen=True, slots=True)
class Count:
    """A key's records by their positions 0, 1, …, in windows [k · slide - size, k · slide) for k ≥ 1.

    The first of these begin before position 0, and so have fewer records. `flush` fires the next one with
    what it has at the end of the input.

    >>> Count(5, 2).windows_of(1), Count(2, 5).windows_of(1), Count(2, 5).windows_of(3)
    ([(-3, 2), (-1, 4), (1, 6)], [], [(3, 5)])
    """

    size: int
    slide: int
    flush: bool = False

    def windows_of(self, position: int) -> list[Interval]:
        """Every window that has the record at `position`, the earliest first."""
        ends = range((position // self.slide + 1) * self.slide, position + self.size + 1, self.slide)
        return [(end - self.size, end) for end in ends]


@dataclass(frozen=True, slots=True)
class Global:
    """One window for all of time, complete at the end of the input."""

    def windows_of(self, time: int) -> list[Interval]:
        """The one window."""
        return [(EARLIEST, END_OF_TIME)]


@dataclass(frozen=True, slots=True)
class Custom:
    """The intervals that a function says for a time."""

    assign: Callable[[int], Sequence[Interval]]

    def windows_of(self, time: int) -> list[Interval]:
        """As the function says."""
        return list(self.assign(time))


WindowKind: TypeAlias = Tumbling | Sliding | Cumulative | Session | Count | Global | Custom
