"""Windows: stretches of event time, and the assigners that say which of them a record is in."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Self

from . import _core
from .columns import Column
from .errors import ConfigurationError
from .units import (
    Duration,
    Time,
    core_time,
    duration_micros,
    duration_text,
    time_micros,
    to_datetime,
    to_timedelta,
)

__all__ = [
    "CountWindowAssigner",
    "CumulativeWindowAssigner",
    "GlobalWindowAssigner",
    "SessionWindowAssigner",
    "SlidingWindowAssigner",
    "TumblingWindowAssigner",
    "Window",
    "WindowAssigner",
    "WindowSpec",
    "WindowType",
    "session",
    "sliding",
    "tumbling",
]


class WindowType(Enum):
    """The kinds of windows."""

    TUMBLING = "tumbling"
    SLIDING = "sliding"
    CUMULATIVE = "cumulative"
    SESSION = "session"
    COUNT = "count"
    GLOBAL = "global"
    CUSTOM = "custom"
    """Of an assigner written in Python."""


_EARLIEST = -(2**63)
_LATEST = 2**63 - 1


class Window:
    """The stretch of time [start, end): an event on a boundary belongs to the later window. Count windows
    and the global window have no start and no end: both are None.

    >>> window = Window("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z")
    >>> window.contains("2026-01-01T00:00:00Z"), window.contains("2026-01-01T00:05:00Z")
    (True, False)
    >>> window.duration
    datetime.timedelta(seconds=300)
    """

    __slots__ = ("_end", "_start")

    def __init__(self, start: Time | None, end: Time | None) -> None:
        self._start = _EARLIEST if start is None else time_micros(start, "Window: start")
        self._end = _LATEST if end is None else time_micros(end, "Window: end")
        if self._end <= self._start or (start is None) != (end is None):
            raise ConfigurationError(f"Window: end {end!r} must be after start {start!r}")

    @property
    def micros(self) -> tuple[int, int]:
        """Start and end in microseconds since the epoch; int64's ends where there is none."""
        return (self._start, self._end)

    @property
    def is_unbounded(self) -> bool:
        """Whether it has no start and no end."""
        return self._start == _EARLIEST and self._end == _LATEST

    @property
    def start(self) -> datetime | None:
        return None if self.is_unbounded else to_datetime(self._start)

    @property
    def end(self) -> datetime | None:
        return None if self.is_unbounded else to_datetime(self._end)

    @property
    def start_text(self) -> str | None:
        """The start as RFC 3339 text."""
        return None if self.is_unbounded else _rfc3339(self._start)

    @property
    def end_text(self) -> str | None:
        """The end as RFC 3339 text."""
        return None if self.is_unbounded else _rfc3339(self._end)

    @property
    def duration(self) -> timedelta | None:
        return None if self.is_unbounded else to_timedelta(self._end - self._start)

    def contains(self, timestamp: Time) -> bool:
        return self._start <= time_micros(timestamp, "timestamp") < self._end

    def intersects(self, other: Window) -> bool:
        """Whether they overlap or touch, as sessions that are to be merged do (Flink's rule).

        >>> Window(0, 10).intersects(Window(10, 20)), Window(0, 10).intersects(Window(11, 20))
        (True, False)
        """
        return self._start <= other._end and other._start <= self._end

    def merge(self, other: Window) -> Window:
        """The smallest window that covers both.

        >>> Window(0, 10).merge(Window(5, 20)) == Window(0, 20)
        True
        """
        return Window(min(self._start, other._start), max(self._end, other._end))

    def id(self) -> str:
        """Start and end in milliseconds since the epoch."""
        return f"{self._start // 1_000}_{self._end // 1_000}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Window) and (self._start, self._end) == (other._start, other._end)

    def __lt__(self, other: Window) -> bool:
        return (self._end, self._start) < (other._end, other._start)

    def __hash__(self) -> int:
        return hash((self._start, self._end))

    def __repr__(self) -> str:
        if self.is_unbounded:
            return "Window(None, None)"
        return f"Window({to_datetime(self._start).isoformat()!r}, {to_datetime(self._end).isoformat()!r})"


def _rfc3339(micros: int) -> str:
    return to_datetime(micros).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, eq=False)
class WindowSpec:
    """A window assigner's settings as the core takes them: microseconds, or records for count windows."""

    type: WindowType = WindowType.CUSTOM
    size: int = 0
    slide: int = 0
    """From one window's start to the next; of cumulative windows, the step."""
    offset: int = 0
    gap: int | Column | Callable[[Any], Any] = 0
    """Of sessions, instead of the three above: one for all, or where each record's is, in seconds."""
    flush: bool = False
    """Of count windows: whether the end of the input fires the records that fill no window."""
    time: str = "event"
    """"event", or "processing": the clock at which a record arrives."""
    allowed_lateness: int | None = None
    """None where nothing was said, which means zero."""

    def _settings(self) -> tuple[Any, ...]:
        settings = [getattr(self, each.name) for each in fields(self)]
        # Between columns, == is an expression.
        return tuple(repr(each) if isinstance(each, Column) else each for each in settings)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WindowSpec) and self._settings() == other._settings()

    def __hash__(self) -> int:
        return hash(self._settings())

    def __str__(self) -> str:
        parts = [self._kind()]
        if self.offset:
            parts.append(f"offset {duration_text(self.offset)}")
        if self.flush:
            parts.append("the rest at the end of the input")
        if self.time == "processing":
            parts.append("by the clock")
        elif self.type not in (WindowType.COUNT, WindowType.GLOBAL):
            parts.append(f"allowed lateness {duration_text(self.allowed_lateness or 0)}")
        return ", ".join(parts)

    def _kind(self) -> str:
        if self.type is WindowType.SESSION:
            return f"session, gap {duration_text(self.gap) if isinstance(self.gap, int) else str(self.gap)}"
        if self.type is WindowType.COUNT:
            every = f" every {self.slide}" if self.slide != self.size else ""
            return f"count {self.size} records{every}"
        if self.type in (WindowType.SLIDING, WindowType.CUMULATIVE):
            return f"{self.type.value} {duration_text(self.size)} every {duration_text(self.slide)}"
        if self.type is WindowType.TUMBLING:
            return f"tumbling {duration_text(self.size)}"
        return str(self.type.value)


class WindowAssigner:
    """Says which windows a record belongs to. For windows of your own, override `assign`; it is called for
    the time of each record, in Python.

    >>> class QuarterHours(WindowAssigner):
    ...     def assign(self, timestamp):
    ...         start = timestamp - timestamp % 900_000_000
    ...         return [Window(start, start + 900_000_000)]
    """

    spec: WindowSpec = WindowSpec()

    def assign(self, timestamp: Time) -> list[Window]:
        """The windows of an event at this time, earliest first. A pipeline asks with integer microseconds;
        with no window in the list the event is counted as outside of windows.
        """
        raise NotImplementedError(f"{type(self).__name__} must define assign(timestamp)")

    def with_allowed_lateness(self, allowed_lateness: Duration) -> Self:
        """How long after its completion a window still takes late records and fires again."""
        return self._with(allowed_lateness=_lateness(type(self).__name__, allowed_lateness))

    def _with(self, **changes: Any) -> Self:
        changed = copy(self)
        changed.spec = replace(self.spec, **changes)
        return changed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec})"


def _lateness(assigner: str, allowed_lateness: Duration | None) -> int | None:
    return (
        None
        if allowed_lateness is None
        else duration_micros(allowed_lateness, f"{assigner}: allowed_lateness")
    )


def _time(assigner: str, time: str) -> str:
    if time not in ("event", "processing"):
        raise ConfigurationError(f"{assigner}: time: {time!r} is not known; expected 'event' or 'processing'")
    return time


def _check_lateness(spec: WindowSpec, assigner: str) -> WindowSpec:
    if spec.time == "processing" and spec.allowed_lateness is not None:
        raise ConfigurationError(
            f"{assigner}: allowed_lateness: by the clock no record is late; leave it out"
        )
    return spec


def _offset(assigner: str, offset: Duration, slide: int) -> int:
    micros = duration_micros(offset, f"{assigner}: offset", least=None)
    if abs(micros) >= slide:
        raise ConfigurationError(f"{assigner}: offset {offset!r} must be shorter than {duration_text(slide)}")
    return micros


class _AlignedWindowAssigner(WindowAssigner):
    """Windows that lie the same for every key: aligned to the epoch plus an offset."""

    def __init__(
        self,
        type: WindowType,
        size: int,
        slide: int,
        offset: Duration,
        allowed_lateness: Duration | None,
        time: str,
    ) -> None:
        name = self.__class__.__name__
        self.spec = _check_lateness(
            WindowSpec(
                type,
                size=size,
                slide=slide,
                offset=_offset(name, offset, size if type is WindowType.CUMULATIVE else slide),
                time=_time(name, time),
                allowed_lateness=_lateness(name, allowed_lateness),
            ),
            name,
        )

    def assign(self, timestamp: Time) -> list[Window]:
        """The windows of an event at this time, earliest first."""
        spec = self.spec
        windows = _core.assign_windows(
            core_time(timestamp, "timestamp"),
            size=spec.size,
            slide=spec.slide,
            offset=spec.offset,
            cumulative=spec.type is WindowType.CUMULATIVE,
        )
        return [Window(start, end) for start, end in windows]

    def with_offset(self, offset: Duration) -> Self:
        """Windows start at offset + k · slide (cumulative ones at offset + k · size)."""
        spec = self.spec
        unit = spec.size if spec.type is WindowType.CUMULATIVE else spec.slide
        return self._with(offset=_offset(type(self).__name__, offset, unit))


class SlidingWindowAssigner(_AlignedWindowAssigner):
    """Windows of one size that start every `slide`. With slide < size they overlap, and an event is in
    several; the size needs not be a multiple. With slide > size there are gaps between them.

    >>> SlidingWindowAssigner("10s", "5s").assign("1970-01-01T00:00:07Z")
    [Window('1970-01-01T00:00:00+00:00', '1970-01-01T00:00:10+00:00'), \
Window('1970-01-01T00:00:05+00:00', '1970-01-01T00:00:15+00:00')]
    """

    def __init__(
        self,
        size: Duration,
        slide: Duration,
        *,
        offset: Duration = 0,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> None:
        name = type(self).__name__
        super().__init__(
            WindowType.SLIDING,
            duration_micros(size, f"{name}: size", least=1),
            duration_micros(slide, f"{name}: slide", least=1),
            offset,
            allowed_lateness,
            time,
        )


class TumblingWindowAssigner(_AlignedWindowAssigner):
    """Fixed, gap-free windows: every event falls in exactly one. They are aligned to the epoch
    plus the offset, also before 1970; for a time zone's days, say `with_offset("-8h")`.

    >>> assigner = TumblingWindowAssigner("5m").with_offset("1m").with_allowed_lateness("60s")
    >>> assigner.assign("2026-01-01T00:07:30Z")
    [Window('2026-01-01T00:06:00+00:00', '2026-01-01T00:11:00+00:00')]
    """

    def __init__(
        self,
        size: Duration,
        *,
        offset: Duration = 0,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> None:
        micros = duration_micros(size, f"{type(self).__name__}: size", least=1)
        super().__init__(WindowType.TUMBLING, micros, micros, offset, allowed_lateness, time)


class CumulativeWindowAssigner(_AlignedWindowAssigner):
    """Windows that share a start and grow by `step` up to `size`, then start anew: the day so far, every
    hour. The size must be a multiple of the step.

    >>> CumulativeWindowAssigner("1d", "8h").assign("1970-01-01T10:00:00Z")
    [Window('1970-01-01T00:00:00+00:00', '1970-01-01T16:00:00+00:00'), \
Window('1970-01-01T00:00:00+00:00', '1970-01-02T00:00:00+00:00')]
    """

    def __init__(
        self,
        size: Duration,
        step: Duration,
        *,
        offset: Duration = 0,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> None:
        name = type(self).__name__
        whole = duration_micros(size, f"{name}: size", least=1)
        part = duration_micros(step, f"{name}: step", least=1)
        if whole % part != 0:
            raise ConfigurationError(f"{name}: size {size!r} must be a multiple of step {step!r}")
        super().__init__(WindowType.CUMULATIVE, whole, part, offset, allowed_lateness, time)


class SessionWindowAssigner(WindowAssigner):
    """A key's events that are at most `gap` apart share a window [first, last + gap). `assign` gives the
    window of an event without neighbours.

    `gap` may differ from record to record: `col(path)`, or a callable that is given each record, says it in
    seconds. Each record then reaches from its time to its time plus its own gap, and those that touch share
    a session.

    >>> SessionWindowAssigner("30s").assign("1970-01-01T00:00:07Z")
    [Window('1970-01-01T00:00:07+00:00', '1970-01-01T00:00:37+00:00')]
    """

    def __init__(
        self,
        gap: Duration | Column | Callable[[Any], Any],
        *,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> None:
        name = type(self).__name__
        self.spec = _check_lateness(
            WindowSpec(
                WindowType.SESSION,
                gap=gap
                if isinstance(gap, Column) or callable(gap)
                else duration_micros(gap, f"{name}: gap", least=1),
                time=_time(name, time),
                allowed_lateness=_lateness(name, allowed_lateness),
            ),
            name,
        )

    def assign(self, timestamp: Time) -> list[Window]:
        """The window of an event without neighbours; only where one gap holds for all."""
        gap = self.spec.gap
        if not isinstance(gap, int):
            raise ConfigurationError(
                f"SessionWindowAssigner: assign needs one gap for all events, not {gap!r}"
            )
        time = core_time(timestamp, "timestamp")
        return [Window(time, min(time + gap, _LATEST))]


class CountWindowAssigner(WindowAssigner):
    """Windows of `size` records of a key, in order of arrival, one every `slide` records: without `slide`,
    each record is in one window. As in Flink's countWindow, the first windows of a key with slide < size
    have fewer records.

    They are complete when full, whatever time it is, so no record is late. Records that fill no window at
    the end of the input are counted as `unfired`; with `flush=True` they fire as a last pane.

    >>> CountWindowAssigner(100).assign("2026-01-01T00:00:00Z")
    [Window(None, None)]
    """

    def __init__(self, size: int, slide: int | None = None, *, flush: bool = False) -> None:
        name = type(self).__name__
        every = size if slide is None else slide
        for setting, count in (("size", size), ("slide", every)):
            if type(count) is not int or not 1 <= count < 2**61:
                raise ConfigurationError(f"{name}: {setting} {count!r} must be a whole number of at least 1")
        if not isinstance(flush, bool):
            raise ConfigurationError(f"{name}: flush {flush!r} must be True or False")
        self.spec = WindowSpec(WindowType.COUNT, size=size, slide=every, flush=flush)

    def assign(self, timestamp: Time) -> list[Window]:
        """One window without start and end."""
        return [Window(None, None)]

    def with_allowed_lateness(self, allowed_lateness: Duration) -> Self:
        raise ConfigurationError(
            f"{type(self).__name__}: allowed_lateness: by count no record is late; leave it out"
        )


class GlobalWindowAssigner(WindowAssigner):
    """One window for all records of a key. It is complete at the end of the input; a trigger can fire it
    before.

    >>> GlobalWindowAssigner().assign("2026-01-01T00:00:00Z")
    [Window(None, None)]
    """

    spec = WindowSpec(WindowType.GLOBAL)

    def assign(self, timestamp: Time) -> list[Window]:
        """One window without start and end."""
        return [Window(None, None)]

    def with_allowed_lateness(self, allowed_lateness: Duration) -> Self:
        raise ConfigurationError(
            f"{type(self).__name__}: allowed_lateness: no record is late for it; leave it out"
        )


def tumbling(
    size: Duration, *, offset: Duration = 0, allowed_lateness: Duration | None = None
) -> TumblingWindowAssigner:
    """A short form of TumblingWindowAssigner for notebooks.

    >>> tumbling("1m").assign("2026-01-01T00:00:30Z")
    [Window('2026-01-01T00:00:00+00:00', '2026-01-01T00:01:00+00:00')]
    """
    return TumblingWindowAssigner(size, offset=offset, allowed_lateness=allowed_lateness)


def sliding(
    size: Duration, slide: Duration, *, offset: Duration = 0, allowed_lateness: Duration | None = None
) -> SlidingWindowAssigner:
    """A short form of SlidingWindowAssigner for notebooks."""
    return SlidingWindowAssigner(size, slide, offset=offset, allowed_lateness=allowed_lateness)


def session(gap: Duration, *, allowed_lateness: Duration | None = None) -> SessionWindowAssigner:
    """A short form of SessionWindowAssigner for notebooks."""
    return SessionWindowAssigner(gap, allowed_lateness=allowed_lateness)
