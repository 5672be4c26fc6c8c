"""Windowed aggregation, one record at a time, as simply as it can be written: the oracle of the tests.

Slow on purpose. It keeps every record of every open window and computes with exact fractions, so it
answers "what should have come out?" for a few thousand records. Times are integer microseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import pstdev
from typing import Any, TypeAlias

__all__ = [
    "Metric",
    "NaiveLateRecord",
    "NaivePane",
    "NaiveWindows",
    "Session",
    "Sliding",
    "Tumbling",
    "WindowKind",
    "key_order",
]

Record: TypeAlias = Mapping[str, Any]
Interval: TypeAlias = tuple[int, int]
"""[start, end) in microseconds."""

EARLIEST = -(2**63)
END_OF_TIME = 2**63 - 1


def _saturated(time: int) -> int:
    return max(EARLIEST, min(END_OF_TIME, time))


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
        return [(_saturated(start), _saturated(start + self.size)) for start in reversed(starts)]


@dataclass(frozen=True, slots=True)
class Session:
    """Records of a key that are at most `gap` apart share a window, [first, last + gap).

    >>> Session(10).windows_of(7)
    [(7, 17)]
    """

    gap: int

    def windows_of(self, time: int) -> list[Interval]:
        """The session of a record at `time` that has no neighbours."""
        return [(time, _saturated(time + self.gap))]


WindowKind: TypeAlias = Tumbling | Sliding | Session


@dataclass(frozen=True, slots=True)
class Metric:
    """Statistics of one field; the results are named `prefix` + statistic."""

    field: str = "value"
    statistics: Sequence[str] = ("count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99")
    prefix: str = ""

    def results(self, records: Iterable[Record]) -> dict[str, Any]:
        """Of the finite numbers in the field; anything else is skipped.

        >>> Metric(statistics=["count", "p50"]).results([{"value": 3}, {"value": None}, {"value": 1}])
        {'count': 2, 'p50': 1}
        """
        numbers = [value for record in records if _is_number(value := _field(record, self.field))]
        return {self.prefix + name: _statistic(name, numbers) for name in self.statistics}


@dataclass(frozen=True, slots=True)
class NaivePane:
    """What one firing of one key in one window says: an AggregationResult with integer times."""

    window: Interval
    key: tuple[Any, ...]
    results: dict[str, Any]
    timing: str = "on_time"
    index: int = 0
    is_last: bool = True
    replaces: Sequence[Interval] = ()


@dataclass(frozen=True, slots=True)
class NaiveLateRecord:
    """A record that no window took because it came too late: a LateEvent with integer times."""

    event: Record
    key: tuple[Any, ...]
    windows: Sequence[Interval]
    watermark: int
    lateness: int
    position: int


def key_order(key: Iterable[Any]) -> tuple[tuple[int, Any], ...]:
    """Sorts keys, and tells whether two are the same: null < false < true < numbers < text, 1 is 1.0.

    >>> sorted([("b",), (2,), (True,), (None,), (1.5,), ("B",), (False,)], key=key_order)
    [(None,), (False,), (True,), (1.5,), (2,), ('B',), ('b',)]
    """
    return tuple(map(_value_order, key))


def _value_order(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (2, 0) if value else (1, 0)
    if _is_number(value):
        return (3, value)
    if isinstance(value, str):
        return (4, value)
    raise TypeError(f"{value!r} is not a key; expected None, a bool, a finite number or text")


@dataclass(slots=True, eq=False)
class _OpenWindow:
    window: Interval
    key: tuple[Any, ...]
    records: list[Record] = field(default_factory=list)
    next_index: int = 0
    standing: list[Interval] = field(default_factory=list)
    """The intervals of earlier panes that the next pane supersedes (its own among them)."""


class NaiveWindows:
    """Drives like a PipelineHarness and says what its pipeline has to deliver.

    Without `max_out_of_orderness` only `advance_watermark` and `end_of_input` move the watermark. A time that
    is no int64 makes a record malformed. Where the semantics leave room, this is what the reference does:

    - The first pane of a window whose first record came after `end` is "late" with index 0.
    - A session's pane index continues after its parts: one more than the greatest index among their panes,
      0 if none has fired. A fired session that grew beyond the watermark fires "on_time" again.
    - `replaces` names the intervals of earlier panes that nothing has replaced yet, in order, without the
      pane's own. With accumulation "discarding" panes add up, so none is replaced.
    - A session expires like any window: a record exactly one gap later does not join it any more.

    >>> windows = NaiveWindows(Tumbling(10), metrics=[Metric("value", ["count", "sum"])], allowed_lateness=5)
    >>> windows.push([{"ts": 1, "key": "a", "value": 2}, {"ts": 9, "key": "a", "value": 3}])
    >>> windows.advance_watermark(12)
    >>> windows.push({"ts": 4, "key": "a", "value": 5})
    >>> for pane in windows.drain():
    ...     print(pane.window, pane.results, pane.timing, pane.index, pane.is_last)
    (0, 10) {'count': 2, 'sum': 5} on_time 0 False
    (0, 10) {'count': 3, 'sum': 10} late 1 False
    >>> windows.advance_watermark(15)
    >>> windows.push({"ts": 4, "key": "a", "value": 5})
    >>> windows.drain(), windows.drain_late()[0].windows
    ([], [(0, 10)])
    """

    def __init__(
        self,
        window: WindowKind,
        *,
        key_fields: Sequence[str] = ("key",),
        metrics: Sequence[Metric] = (Metric(),),
        allowed_lateness: int = 0,
        accumulation: str = "accumulating",
        max_out_of_orderness: int | None = None,
        time_field: str = "ts",
    ) -> None:
        self._kind = window
        self._key_fields = tuple(key_fields)
        self._metrics = tuple(metrics)
        self._allowed_lateness = allowed_lateness
        self._accumulating = {"accumulating": True, "discarding": False}[accumulation]
        self._max_out_of_orderness = max_out_of_orderness
        self._time_field = time_field

        self.watermark = EARLIEST
        self._open: list[_OpenWindow] = []
        self._panes: list[NaivePane] = []
        self._late: list[NaiveLateRecord] = []
        self.records_in = self.aggregated = self.late = self.malformed = self.outside_windows = 0

    def push(self, records: Record | Iterable[Record]) -> None:
        """Takes one record, or several in their order."""
        for record in [records] if isinstance(records, Mapping) else records:
            self._push_one(record)

    def advance_watermark(self, watermark: int) -> None:
        """No record with a time before `watermark` is expected any more; going back is ignored."""
        before, self.watermark = self.watermark, max(self.watermark, watermark)
        self._fire([each for each in self._open if before < each.window[1] <= self.watermark], "on_time")
        self._open = [each for each in self._open if not self._is_expired(each.window)]

    def end_of_input(self) -> None:
        """Completes every window."""
        self.advance_watermark(END_OF_TIME)

    def drain(self) -> list[NaivePane]:
        """The panes since the last drain, in the order in which they come out."""
        panes, self._panes = self._panes, []
        return panes

    def drain_late(self) -> list[NaiveLateRecord]:
        """The records of the late output since the last drain."""
        late, self._late = self._late, []
        return late

    @property
    def counters(self) -> dict[str, int]:
        """What became of the records; the others add up to `records_in`."""
        return {
            "records_in": self.records_in,
            "aggregated": self.aggregated,
            "late": self.late,
            "malformed": self.malformed,
            "outside_windows": self.outside_windows,
        }

    def _push_one(self, record: Record) -> None:
        position = self.records_in
        self.records_in += 1
        time = _field(record, self._time_field)
        if not isinstance(time, int) or isinstance(time, bool) or time != _saturated(time):
            self.malformed += 1
            return
        key = tuple(_field(record, name) for name in self._key_fields)
        # Judged and added under the watermark of the records before it; only then it moves the watermark.
        windows = self._kind.windows_of(time)
        taken = [each for window in windows if (each := self._add(window, key, record)) is not None]
        if taken:
            self.aggregated += 1
        elif _saturated(time + self._allowed_lateness) < self.watermark:
            self.late += 1
            lateness = self.watermark - time
            self._late.append(NaiveLateRecord(record, key, windows, self.watermark, lateness, position))
        else:
            self.outside_windows += 1
        self._fire([each for each in taken if each.window[1] <= self.watermark], "late")
        if self._max_out_of_orderness is not None:
            self.advance_watermark(_saturated(time - self._max_out_of_orderness))

    def _add(self, window: Interval, key: tuple[Any, ...], record: Record) -> _OpenWindow | None:
        """The open window that the record is in now; None if that has expired."""
        of_key = [each for each in self._open if key_order(each.key) == key_order(key)]
        if isinstance(self._kind, Session):
            parts = [each for each in of_key if each.window[0] <= window[1] and window[0] <= each.window[1]]
            spans = [window, *(part.window for part in parts)]
            window = (min(start for start, _ in spans), max(end for _, end in spans))
        else:
            parts = [each for each in of_key if each.window == window]
        if self._is_expired(window):
            return None
        merged = _OpenWindow(
            window,
            parts[0].key if parts else key,
            [kept for part in parts for kept in part.records] + [record],
            max((part.next_index for part in parts), default=0),
            [interval for part in parts for interval in part.standing],
        )
        self._open = [each for each in self._open if each not in parts] + [merged]
        return merged

    def _fire(self, windows: list[_OpenWindow], timing: str) -> None:
        for each in sorted(windows, key=lambda each: (each.window[1], key_order(each.key))):
            results = {
                name: value
                for metric in self._metrics
                for name, value in metric.results(each.records).items()
            }
            replaces = sorted(interval for interval in each.standing if interval != each.window)
            is_last = self._is_expired(each.window)
            self._panes.append(
                NaivePane(each.window, each.key, results, timing, each.next_index, is_last, replaces)
            )
            each.next_index += 1
            if self._accumulating:
                each.standing = [each.window]
            else:
                each.records.clear()

    def _is_expired(self, window: Interval) -> bool:
        return self.watermark >= _saturated(window[1] + self._allowed_lateness)


def _field(record: Record, path: str) -> Any:
    """The value under a dotted path, or in a flat field of that name; None where there is none."""
    if path in record:
        return record[path]
    first, _, rest = path.partition(".")
    inner = record.get(first)
    return _field(inner, rest) if rest and isinstance(inner, Mapping) else None


def _is_number(value: Any) -> bool:
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    )


def _statistic(name: str, numbers: list[Any]) -> Any:
    if name.startswith("p") and name[1:2].isdigit():
        return _nearest_rank(Fraction(name[1:]), sorted(numbers)) if numbers else None
    return _STATISTICS[name](numbers)


def _nearest_rank(percent: Fraction, ordered: list[Any]) -> Any:
    return ordered[max(math.ceil(percent * len(ordered) / 100), 1) - 1]


def _exact_sum(numbers: list[Any]) -> Any:
    if all(isinstance(number, int) for number in numbers):
        return sum(numbers)
    return _as_float(sum(map(Fraction, numbers), Fraction(0)))


def _as_float(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _stddev(numbers: list[Any]) -> float:
    return float(pstdev(map(Fraction, numbers)))


def _or_none(statistic: Callable[[list[Any]], Any], least: int = 1) -> Callable[[list[Any]], Any]:
    return lambda numbers: statistic(numbers) if len(numbers) >= least else None


_STATISTICS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": _exact_sum,
    "average": _or_none(lambda numbers: _as_float(sum(map(Fraction, numbers), Fraction(0)) / len(numbers))),
    "min": _or_none(min),
    "max": _or_none(max),
    "stddev": _or_none(_stddev),
    "stddev_sample": _or_none(
        lambda numbers: _stddev(numbers) * math.sqrt(len(numbers) / (len(numbers) - 1)), 2
    ),
}
