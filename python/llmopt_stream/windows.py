"""Windows: stretches of event time, and the assigners that say which of them a record is in."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum
from typing import Self

from . import _core
from .errors import ConfigurationError
from .units import Duration, Time, duration_micros, duration_text, time_micros, to_datetime, to_timedelta

__all__ = ["TumblingWindowAssigner", "Window", "WindowAssigner", "WindowSpec", "WindowType", "tumbling"]


class WindowType(Enum):
    """The kinds of windows."""

    TUMBLING = "tumbling"


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


class WindowSpec:
    """A window assigner's settings in microseconds, as the core takes them."""

    __slots__ = ("allowed_lateness", "offset", "size", "slide", "type")

    def __init__(
        self, type: WindowType, *, size: int, slide: int | None = None, offset: int = 0, allowed_lateness: int | None = None
    ) -> None:
        self.type = type
        self.size = size
        self.slide = size if slide is None else slide
        self.offset = offset
        self.allowed_lateness = allowed_lateness
        """None where nothing was said, which means zero."""

    def __str__(self) -> str:
        text = f"{self.type.value} {duration_text(self.size)}"
        if self.slide != self.size:
            text += f" every {duration_text(self.slide)}"
        if self.offset:
            text += f", offset {duration_text(self.offset)}"
        return f"{text}, allowed lateness {duration_text(self.allowed_lateness or 0)}"


class WindowAssigner:
    """Says which windows a record belongs to."""

    spec: WindowSpec

    def assign(self, timestamp: Time) -> list[Window]:
        """The windows of an event at this time, earliest first."""
        raise NotImplementedError

    def with_allowed_lateness(self, allowed_lateness: Duration) -> Self:
        """How long after its completion a window still takes late records and fires again."""
        raise NotImplementedError


class TumblingWindowAssigner(WindowAssigner):
    """Fixed, gap-free windows: every event falls in exactly one. They are aligned to the epoch
    plus the offset, also before 1970.

    >>> assigner = TumblingWindowAssigner("5m").with_offset("1m").with_allowed_lateness("60s")
    >>> assigner.assign("2026-01-01T00:07:30Z")
    [Window('2026-01-01T00:06:00+00:00', '2026-01-01T00:11:00+00:00')]
    """

    def __init__(self, size: Duration, *, offset: Duration = 0, allowed_lateness: Duration | None = None) -> None:
        micros = duration_micros(size, "TumblingWindowAssigner: size", least=1)
        shift = duration_micros(offset, "TumblingWindowAssigner: offset", least=None)
        if abs(shift) >= micros:
            raise ConfigurationError(f"TumblingWindowAssigner: offset {offset!r} must be shorter than the size {size!r}")
        lateness = (
            None
            if allowed_lateness is None
            else duration_micros(allowed_lateness, "TumblingWindowAssigner: allowed_lateness")
        )
        self.spec = WindowSpec(WindowType.TUMBLING, size=micros, offset=shift, allowed_lateness=lateness)

    def with_offset(self, offset: Duration) -> Self:
        """Windows start at offset + k · size; for a time zone's days, say `with_offset("-8h")`."""
        return self._with(offset=offset)

    def with_allowed_lateness(self, allowed_lateness: Duration) -> Self:
        return self._with(allowed_lateness=allowed_lateness)

    def _with(self, *, offset: Duration | None = None, allowed_lateness: Duration | None = None) -> Self:
        spec = self.spec
        lateness = None if spec.allowed_lateness is None else to_timedelta(spec.allowed_lateness)
        return type(self)(
            to_timedelta(spec.size),
            offset=to_timedelta(spec.offset) if offset is None else offset,
            allowed_lateness=lateness if allowed_lateness is None else allowed_lateness,
        )

    def assign(self, timestamp: Time) -> list[Window]:
        windows = _core.assign_windows(
            time_micros(timestamp, "timestamp"), size=self.spec.size, slide=self.spec.slide, offset=self.spec.offset
        )
        return [Window(start, end) for start, end in windows]

    def __repr__(self) -> str:
        return f"TumblingWindowAssigner({self.spec})"


def tumbling(size: Duration, *, offset: Duration = 0, allowed_lateness: Duration | None = None) -> TumblingWindowAssigner:
    """A short form of TumblingWindowAssigner for notebooks.

    >>> tumbling("1m").assign("2026-01-01T00:00:30Z")
    [Window('2026-01-01T00:00:00+00:00', '2026-01-01T00:01:00+00:00')]
    """
    return TumblingWindowAssigner(size, offset=offset, allowed_lateness=allowed_lateness)
