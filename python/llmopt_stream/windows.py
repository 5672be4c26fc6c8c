"""Windows: stretches of event time, and the assigners that say which of them a record is in."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Self

from . import _core
from .errors import ConfigurationError
from .units import Duration, Time, duration_micros, duration_text, time_micros, to_datetime, to_timedelta

__all__ = [
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
    SESSION = "session"


class Window:
    """The stretch of time [start, end): an event on a boundary belongs to the later window.

    >>> window = Window("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z")
    >>> window.contains("2026-01-01T00:00:00Z"), window.contains("2026-01-01T00:05:00Z")
    (True, False)
    >>> window.duration
    datetime.timedelta(seconds=300)
    """

    __slots__ = ("_end", "_start")

    def __init__(self, start: Time, end: Time) -> None:
        self._start = time_micros(start, "Window: start")
        self._end = time_micros(end, "Window: end")
        if self._end <= self._start:
            raise ConfigurationError(f"Window: end {end!r} must be after start {start!r}")

    @property
    def start(self) -> datetime:
        return to_datetime(self._start)

    @property
    def end(self) -> datetime:
        return to_datetime(self._end)

    @property
    def start_text(self) -> str:
        """The start as RFC 3339 text."""
        return self.start.isoformat().replace("+00:00", "Z")

    @property
    def end_text(self) -> str:
        """The end as RFC 3339 text."""
        return self.end.isoformat().replace("+00:00", "Z")

    @property
    def duration(self) -> timedelta:
        return to_timedelta(self._end - self._start)

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
        return f"Window({self.start.isoformat()!r}, {self.end.isoformat()!r})"


@dataclass(frozen=True)
class WindowSpec:
    """A window assigner's settings in microseconds, as the core takes them."""

    type: WindowType
    size: int = 0
    slide: int = 0
    offset: int = 0
    gap: int = 0
    """Of sessions, instead of the three above."""
    allowed_lateness: int | None = None
    """None where nothing was said, which means zero."""

    def __str__(self) -> str:
        if self.type is WindowType.SESSION:
            text = f"session, gap {duration_text(self.gap)}"
        else:
            text = f"{self.type.value} {duration_text(self.size)}"
        if self.type is WindowType.SLIDING:
            text += f" every {duration_text(self.slide)}"
        if self.offset:
            text += f", offset {duration_text(self.offset)}"
        return f"{text}, allowed lateness {duration_text(self.allowed_lateness or 0)}"


class WindowAssigner:
    """Says which windows a record belongs to."""

    def __init__(self, spec: WindowSpec) -> None:
        self.spec = spec

    def assign(self, timestamp: Time) -> list[Window]:
        """The windows of an event at this time, earliest first."""
        spec = self.spec
        time = time_micros(timestamp, "timestamp")
        windows = _core.assign_windows(time, size=spec.size, slide=spec.slide, offset=spec.offset)
        return [Window(start, end) for start, end in windows]

    def with_allowed_lateness(self, allowed_lateness: Duration) -> Self:
        """How long after its completion a window still takes late records and fires again."""
        return self._with(allowed_lateness=_lateness(type(self).__name__, allowed_lateness))

    def _with(self, **changes: int | None) -> Self:
        changed = copy(self)
        changed.spec = replace(self.spec, **changes)  # type: ignore[arg-type]
        return changed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec})"


def _lateness(assigner: str, allowed_lateness: Duration | None) -> int | None:
    return (
        None
        if allowed_lateness is None
        else duration_micros(allowed_lateness, f"{assigner}: allowed_lateness")
    )


def _offset(assigner: str, offset: Duration, slide: int) -> int:
    micros = duration_micros(offset, f"{assigner}: offset", least=None)
    if abs(micros) >= slide:
        raise ConfigurationError(f"{assigner}: offset {offset!r} must be shorter than {duration_text(slide)}")
    return micros


class SlidingWindowAssigner(WindowAssigner):
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
    ) -> None:
        name = type(self).__name__
        every = duration_micros(slide, f"{name}: slide", least=1)
        super().__init__(
            WindowSpec(
                WindowType.SLIDING,
                size=duration_micros(size, f"{name}: size", least=1),
                slide=every,
                offset=_offset(name, offset, every),
                allowed_lateness=_lateness(name, allowed_lateness),
            )
        )

    def with_offset(self, offset: Duration) -> Self:
        """Windows start at offset + k · slide."""
        return self._with(offset=_offset(type(self).__name__, offset, self.spec.slide))


class TumblingWindowAssigner(SlidingWindowAssigner):
    """Fixed, gap-free windows: every event falls in exactly one. They are aligned to the epoch
    plus the offset, also before 1970; for a time zone's days, say `with_offset("-8h")`.

    >>> assigner = TumblingWindowAssigner("5m").with_offset("1m").with_allowed_lateness("60s")
    >>> assigner.assign("2026-01-01T00:07:30Z")
    [Window('2026-01-01T00:06:00+00:00', '2026-01-01T00:11:00+00:00')]
    """

    def __init__(
        self, size: Duration, *, offset: Duration = 0, allowed_lateness: Duration | None = None
    ) -> None:
        duration_micros(size, f"{type(self).__name__}: size", least=1)
        super().__init__(size, size, offset=offset, allowed_lateness=allowed_lateness)
        self.spec = replace(self.spec, type=WindowType.TUMBLING)


class SessionWindowAssigner(WindowAssigner):
    """A key's events that are at most `gap` apart share a window [first, last + gap). `assign` gives the
    window of an event without neighbours.

    >>> SessionWindowAssigner("30s").assign("1970-01-01T00:00:07Z")
    [Window('1970-01-01T00:00:07+00:00', '1970-01-01T00:00:37+00:00')]
    """

    def __init__(self, gap: Duration, *, allowed_lateness: Duration | None = None) -> None:
        name = type(self).__name__
        super().__init__(
            WindowSpec(
                WindowType.SESSION,
                gap=duration_micros(gap, f"{name}: gap", least=1),
                allowed_lateness=_lateness(name, allowed_lateness),
            )
        )

    def assign(self, timestamp: Time) -> list[Window]:
        time = time_micros(timestamp, "timestamp")
        return [Window(time, time + self.spec.gap)]


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
