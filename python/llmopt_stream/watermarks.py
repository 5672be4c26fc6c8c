"""Watermarks: how far event time has come, and so which windows are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from .events import GroupingKey
from .units import Duration, Time, duration_micros, duration_text, time_micros, to_datetime
from .windows import Window

__all__ = ["BoundedOutOfOrdernessWatermark", "LateEvent", "Watermark", "WatermarkGenerator"]


class Watermark:
    """No record with a time before `timestamp` is expected any more. `int()` gives microseconds.

    >>> Watermark(1_000_000).timestamp.isoformat()
    '1970-01-01T00:00:01+00:00'
    >>> Watermark("1970-01-01T00:00:01Z") == Watermark(1_000_000)
    True
    """

    __slots__ = ("_micros",)

    def __init__(self, timestamp: Time) -> None:
        self._micros = time_micros(timestamp, "Watermark: timestamp")

    @property
    def timestamp(self) -> datetime:
        return to_datetime(self._micros)

    def __int__(self) -> int:
        return self._micros

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Watermark | int):
            return self._micros == int(other)
        return self.timestamp == other if isinstance(other, datetime) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._micros)

    def __repr__(self) -> str:
        return f"Watermark({self.timestamp.isoformat()!r})"


class WatermarkGenerator:
    """Tells from the event times seen so far how far event time has come."""

    def on_event(self, timestamp: Time) -> None:
        """Takes the time of the next event."""
        raise NotImplementedError

    def current_watermark(self) -> Watermark | None:
        """The watermark after the events so far; None before the first. It never goes back."""
        raise NotImplementedError


class BoundedOutOfOrdernessWatermark(WatermarkGenerator):
    """Events come at most `max_out_of_orderness` after later ones: the watermark is the greatest
    event time minus that bound (Flink's strategy of this name).

    In a pipeline it is a setting, applied to each partition by itself; the stream's watermark is
    the minimum. Alone it shows what it does:

    >>> generator = BoundedOutOfOrdernessWatermark(timedelta(seconds=5))
    >>> generator.on_event("2026-01-01T10:00:00Z")
    >>> generator.on_event("2026-01-01T09:00:00Z")
    >>> generator.current_watermark()
    Watermark('2026-01-01T09:59:55+00:00')
    """

    def __init__(self, max_out_of_orderness: Duration) -> None:
        self._bound = duration_micros(
            max_out_of_orderness, "BoundedOutOfOrdernessWatermark: max_out_of_orderness"
        )
        self._greatest: int | None = None

    @property
    def max_out_of_orderness(self) -> timedelta:
        return timedelta(microseconds=self._bound)

    def on_event(self, timestamp: Time) -> None:
        time = time_micros(timestamp, "timestamp")
        self._greatest = time if self._greatest is None else max(self._greatest, time)

    def current_watermark(self) -> Watermark | None:
        return None if self._greatest is None else Watermark(max(self._greatest - self._bound, -(2**63)))

    def __repr__(self) -> str:
        return f"BoundedOutOfOrdernessWatermark({duration_text(self._bound)!r})"


@dataclass(frozen=True, slots=True)
class LateEvent:
    """A record that came after every window that it belongs to had expired."""

    event: Any
    """The record as it came in."""
    key: GroupingKey
    windows: Sequence[Window]
    """The windows that it came too late for."""
    watermark: Watermark
    """The watermark that it was judged under."""
    lateness: timedelta
    """How far the watermark was past the record's time."""
    position: int
    """How many records came before it."""
