"""Watermarks: how far event time has come, and so which windows are complete."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import total_ordering
from time import monotonic
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, ProcessorError, WatermarkError
from .events import GroupingKey
from .units import Duration, Time, duration_micros, duration_text, time_micros, to_datetime
from .windows import Window

if TYPE_CHECKING:
    from .kafka_record import KafkaRecord

__all__ = [
    "BoundedOutOfOrdernessWatermark",
    "LateEvent",
    "PeriodicWatermarkGenerator",
    "Watermark",
    "WatermarkGenerator",
]


@total_ordering
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
        if isinstance(other, Watermark | int | datetime):
            return self._micros == time_micros(other)
        return NotImplemented

    def __lt__(self, other: Watermark | datetime | int) -> bool:
        if isinstance(other, Watermark | int | datetime):
            return self._micros < time_micros(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._micros)

    def __repr__(self) -> str:
        return f"Watermark({self.timestamp.isoformat()!r})"


class WatermarkGenerator:
    """Tells from the event times seen so far how far event time has come.

    One of your own subclasses it. A pipeline gives each partition a copy of its own, calls both methods
    for every usable record in the order of the input, with times as integer microseconds, and never lets
    the watermark go back. That costs some microseconds per record: the generators of this module,
    which run in C++, are much faster.

    >>> class OneSecondBehind(WatermarkGenerator):
    ...     def __init__(self):
    ...         self.last = None
    ...     def on_event(self, timestamp):
    ...         self.last = timestamp
    ...     def current_watermark(self):
    ...         return None if self.last is None else self.last - 1_000_000
    """

    def on_event(self, timestamp: Time) -> None:
        """Takes the time of the next event."""
        raise NotImplementedError

    def current_watermark(self) -> Watermark | Time | None:
        """The watermark after the events so far; None before there is one."""
        raise NotImplementedError

    def get_state(self) -> Any:
        """What a snapshot keeps of this generator: its attributes unless overridden. JSON's types, tuples,
        sets, deques, bytes, times, Decimal, numbers of NumPy, and dataclasses of these are restored exactly;
        a snapshot with anything else is refused.
        """
        return dict(vars(self))

    def set_state(self, state: Any) -> None:
        """Goes on from what `get_state()` gave."""
        vars(self).update(state)


class BoundedOutOfOrdernessWatermark(WatermarkGenerator):
    """Events come at most `max_out_of_orderness` after later ones: the watermark is the greatest
    event time minus that bound (Flink's strategy of this name).

    In a pipeline it is a setting, applied to each partition by itself; the stream's watermark is
    the minimum. A partition that has brought nothing for `idle_timeout` on the clock does not hold the
    others back. When the whole stream has been silent for `flush_timeout`, event time moves on as the clock
    does, so that the last windows fire; records that come after that may be late. Without these two the
    watermark waits for records. Alone it shows what it does:

    >>> generator = BoundedOutOfOrdernessWatermark(timedelta(seconds=5))
    >>> generator.on_event("2026-01-01T10:00:00Z")
    >>> generator.on_event("2026-01-01T09:00:00Z")
    >>> generator.current_watermark()
    Watermark('2026-01-01T09:59:55+00:00')
    """

    def __init__(
        self,
        max_out_of_orderness: Duration,
        *,
        idle_timeout: Duration | None = None,
        flush_timeout: Duration | None = None,
    ) -> None:
        name = type(self).__name__
        self._bound = duration_micros(max_out_of_orderness, f"{name}: max_out_of_orderness")
        self._idle_timeout = _timeout(idle_timeout, f"{name}: idle_timeout")
        self._flush_timeout = _timeout(flush_timeout, f"{name}: flush_timeout")
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
        parts = [repr(duration_text(self._bound))]
        for name, timeout in (("idle_timeout", self._idle_timeout), ("flush_timeout", self._flush_timeout)):
            if timeout is not None:
                parts.append(f"{name}={duration_text(timeout)!r}")
        return f"BoundedOutOfOrdernessWatermark({', '.join(parts)})"


def _timeout(value: Duration | None, setting: str) -> int | None:
    return None if value is None else duration_micros(value, setting, least=1)


class PeriodicWatermarkGenerator(WatermarkGenerator):
    """Takes over the watermark of `base` only now and then: at the first event, and whenever event time
    (the greatest time seen) has advanced by at least `interval` since it did so last.

    Fewer steps mean fewer, larger firings, each up to `interval` later. With `clock="processing"` wall time
    has to advance instead; results then depend on how fast records come. At the end of the input
    every window completes all the same.

    >>> generator = PeriodicWatermarkGenerator("10s", BoundedOutOfOrdernessWatermark("5s"))
    >>> for second in (100, 109, 110):
    ...     generator.on_event(second * 1_000_000)
    ...     print(int(generator.current_watermark()) // 1_000_000)
    95
    95
    105
    """

    def __init__(
        self,
        interval: Duration,
        base: WatermarkGenerator,
        *,
        clock: str = "event",
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._interval = duration_micros(interval, "PeriodicWatermarkGenerator: interval", least=1)
        if not isinstance(base, WatermarkGenerator):
            raise ConfigurationError(
                f"PeriodicWatermarkGenerator: base: {base!r} is not a WatermarkGenerator; "
                "expected e.g. BoundedOutOfOrdernessWatermark('30s')"
            )
        if clock not in {"event", "processing"}:
            raise ConfigurationError(
                f"PeriodicWatermarkGenerator: clock: {clock!r} is not known; expected 'event' or 'processing'"
            )
        self.base = base
        self.clock = clock
        self._now = now
        self._greatest: int | None = None
        self._at_step: int | None = None
        self._watermark: int | None = None

    @property
    def interval(self) -> timedelta:
        return timedelta(microseconds=self._interval)

    def on_event(self, timestamp: Time) -> None:
        time = time_micros(timestamp, "timestamp")
        self.base.on_event(time)
        self._greatest = time if self._greatest is None else max(self._greatest, time)
        reached = self._greatest if self.clock == "event" else int(self._now() * 1e6)
        if self._at_step is None or reached >= self._at_step + self._interval:
            self._at_step = reached
            self._watermark = watermark_micros(self.base)

    def current_watermark(self) -> Watermark | None:
        return None if self._watermark is None else Watermark(self._watermark)

    def get_state(self) -> Any:
        # Another process has another clock: its first event is the next step.
        at_step = self._at_step if self.clock == "event" else None
        return [self.base.get_state(), self._greatest, at_step, self._watermark]

    def set_state(self, state: Any) -> None:
        base, self._greatest, self._at_step, self._watermark = state
        self.base.set_state(base)

    def __repr__(self) -> str:
        clock = "" if self.clock == "event" else f", clock={self.clock!r}"
        return f"PeriodicWatermarkGenerator({duration_text(self._interval)!r}, {self.base!r}{clock})"


def watermark_micros(generator: WatermarkGenerator) -> int | None:
    """The current watermark of any generator as the core counts it."""
    watermark = generator.current_watermark()
    if watermark is None:
        return None
    try:
        micros = time_micros(watermark, f"{type(generator).__name__}.current_watermark()")
    except ConfigurationError as error:
        raise WatermarkError(str(error)) from error
    return max(-(2**63), min(2**63 - 1, micros))


@dataclass(frozen=True, slots=True)
class CoreWatermark:
    """Settings of a generator that the core itself has."""

    max_out_of_orderness: int
    interval: int = 0
    idle_timeout: int | None = None
    flush_timeout: int | None = None

    def as_tuple(self) -> tuple[int, int, int | None, int | None]:
        return (self.max_out_of_orderness, self.interval, self.idle_timeout, self.flush_timeout)

    @classmethod
    def of(cls, generator: WatermarkGenerator) -> CoreWatermark | None:
        """The settings, if the core has such a generator; subclasses have behaviour of their own."""
        if type(generator) is BoundedOutOfOrdernessWatermark:
            return cls(
                generator._bound, idle_timeout=generator._idle_timeout, flush_timeout=generator._flush_timeout
            )
        if type(generator) is PeriodicWatermarkGenerator and generator.clock == "event":
            base = cls.of(generator.base)
            if base is not None and base.interval == 0:
                return replace(base, interval=generator._interval)
        return None


class PartitionedGenerators:
    """Copies of a generator, one for each partition, called for every record."""

    def __init__(self, generator: WatermarkGenerator) -> None:
        self._original = generator
        self.name = type(generator).__qualname__
        self._copies: dict[int, WatermarkGenerator] = {}

    def __call__(self, partition: int, times: Sequence[int]) -> list[int]:
        """The partition's watermark after each record."""
        generator = self._of(partition)
        watermarks = []
        try:
            for time in times:
                generator.on_event(time)
                watermark = watermark_micros(generator)
                watermarks.append(-(2**63) if watermark is None else watermark)
        except ProcessorError:
            raise
        except Exception as error:
            raise WatermarkError(f"{type(generator).__name__}: {type(error).__name__}: {error}") from error
        return watermarks

    def _of(self, partition: int) -> WatermarkGenerator:
        if partition not in self._copies:
            self._copies[partition] = copy.deepcopy(self._original)
        return self._copies[partition]

    def get_states(self) -> list[tuple[str, int, Any]]:
        return [(self.name, partition, each.get_state()) for partition, each in self._copies.items()]

    def set_states(self, states: Mapping[int, Any]) -> None:
        for partition, state in states.items():
            self._of(partition).set_state(state)


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
    branch: str = ""
    """The branch that it came too late for, where there are several."""
    source: KafkaRecord | None = None
    """The record as it lies in Kafka, where it comes from there."""

    @property
    def reason(self) -> str:
        """What happened, in one line."""
        return f"late by {self.lateness.total_seconds():g} s, under the watermark {self.watermark.timestamp.isoformat()}"

    def to_dict(self) -> dict[str, Any]:
        """The shape that late events have as JSON; `lateness` in seconds."""
        return {
            "event": plain_json(self.event),
            "key": plain_json(self.key),
            "windows": [{"start": window.start_text, "end": window.end_text} for window in self.windows],
            "watermark": self.watermark.timestamp.isoformat().replace("+00:00", "Z"),
            "lateness": self.lateness.total_seconds(),
            "position": self.position,
        }

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)


def plain_json(value: Any) -> Any:
    """Any record as JSON can hold it: times as ISO-8601 text, numbers that are not finite as null.

    >>> plain_json({"at": datetime(2026, 1, 1), "values": (1, float("nan"), Decimal("2.5"))})
    {'at': '2026-01-01T00:00:00', 'values': [1, None, 2.5]}
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, Mapping):
        return {str(name): plain_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain_json(each) for each in value]
    if isinstance(value, date):
        return value.isoformat() if value == value else None  # noqa: PLR0124 (pandas' NaT is not itself)
    if isinstance(value, Decimal):
        return plain_json(float(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return plain_json(value.model_dump())
    if hasattr(value, "__struct_fields__"):
        return {name: plain_json(getattr(value, name)) for name in value.__struct_fields__}
    if hasattr(value, "tolist"):  # NumPy
        return plain_json(value.tolist())
    return str(value)
