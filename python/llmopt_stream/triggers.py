"""Triggers: when a window's pane fires.

A trigger looks at one key's window. It knows the watermark, the clock, and the records that came since the
window last fired; any firing starts these anew, for all parts of a trigger at once. When sessions merge,
their records add up and the earliest of their times counts.

The watermark's arrival at the window's end *completes* the window. A pane that fires before that is
"early", the pane that completion fires "on_time", any later one "late". Records are taken until
`end + allowed_lateness`; what has not fired by then is lost and counted as `unfired`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import ConfigurationError, ProcessorError, WindowAssignmentError
from .units import Duration, duration_micros, duration_text
from .watermarks import Watermark
from .windows import Window

__all__ = [
    "AfterWatermark",
    "AllOfTrigger",
    "AnyOfTrigger",
    "CountTrigger",
    "EventTimeTrigger",
    "HybridTrigger",
    "ProcessingTimeTrigger",
    "WindowTrigger",
    "all_of",
    "any_of",
    "asks_user",
    "core_trigger",
    "kept_after_end",
]


class WindowTrigger:
    """When a window fires, and when its state may go. Subclass it for a rule of your own.

    >>> class HundredOrComplete(WindowTrigger):
    ...     def should_fire(self, window, watermark, element_count):
    ...         return element_count >= 100 or watermark.timestamp >= window.end

    `should_fire` is asked after each record that the window takes, and when the watermark moves while
    records wait to be fired or arrives at the window's end. It is called for each key, in Python, and
    an exception from it ends the pipeline with a WindowAssignmentError.
    """

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        """Whether a pane fires now. `element_count` is the number of records since the last firing."""
        raise NotImplementedError(
            f"{type(self).__name__} must define should_fire(window, watermark, element_count)"
        )

    def should_purge(self, window: Window, watermark: Watermark) -> bool:
        """Whether the window's state may go; asked once it takes no records any more, and at each
        watermark from there on. Until it goes, it can still fire.
        """
        return _is_complete(window, watermark)


@dataclass(frozen=True)
class EventTimeTrigger(WindowTrigger):
    """The default: once when the watermark reaches the window's end, then at every late record.

    >>> EventTimeTrigger().should_fire(Window(0, 10), Watermark(10), 1)
    True
    """

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        return _is_complete(window, watermark)


@dataclass(frozen=True)
class CountTrigger(WindowTrigger):
    """At every `count`-th record of a key in a window. Completion fires nothing: the last records, fewer
    than `count`, are lost when the window expires, and counted as `unfired`. To have them, say
    `any_of(CountTrigger(n), EventTimeTrigger())`, or `AfterWatermark(early=CountTrigger(n))`.
    """

    count: int

    def __post_init__(self) -> None:
        _check_count("CountTrigger: count", self.count)

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        return element_count >= self.count


class ProcessingTimeTrigger(WindowTrigger):
    """`delay` on the clock after the first record since the last firing. Completion fires nothing: records
    that still wait when the window expires are lost, and counted as `unfired`.

    >>> ProcessingTimeTrigger("5s")
    ProcessingTimeTrigger('5s')
    """

    def __init__(self, delay: Duration) -> None:
        self.delay = duration_micros(delay, "ProcessingTimeTrigger: delay", least=1)
        """In microseconds."""

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        """Never: what is asked here does not depend on the clock, at which alone it fires."""
        return False

    def __repr__(self) -> str:
        return f"ProcessingTimeTrigger({duration_text(self.delay)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessingTimeTrigger) and self.delay == other.delay

    def __hash__(self) -> int:
        return hash(self.delay)


class HybridTrigger(WindowTrigger):
    """At every `count_threshold`-th record, when the window is complete, and at every late record. The
    window's state is kept until `time_threshold` after its end, or longer if late records are.

    >>> HybridTrigger(1000, "1h")
    HybridTrigger(1000, '1h')
    """

    def __init__(self, count_threshold: int, time_threshold: Duration = "1h") -> None:
        _check_count("HybridTrigger: count_threshold", count_threshold)
        self.count_threshold = count_threshold
        self.time_threshold = duration_micros(time_threshold, "HybridTrigger: time_threshold")
        """In microseconds."""

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        return element_count >= self.count_threshold or _is_complete(window, watermark)

    def should_purge(self, window: Window, watermark: Watermark) -> bool:
        return int(watermark) >= window.micros[1] + self.time_threshold

    def __repr__(self) -> str:
        return f"HybridTrigger({self.count_threshold}, {duration_text(self.time_threshold)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HybridTrigger) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.count_threshold, self.time_threshold))


@dataclass(frozen=True)
class AfterWatermark(WindowTrigger):
    """When the window is complete; before that as `early` says, if anything, and after it as `late` says,
    where None means at every late record (Beam's AfterWatermark).

    A window whose first record comes after its end fires at that record.

    >>> AfterWatermark(early=CountTrigger(100))
    AfterWatermark(early=CountTrigger(count=100), late=None)
    """

    early: WindowTrigger | None = None
    late: WindowTrigger | None = None

    def __post_init__(self) -> None:
        for part in (self.early, self.late):
            if part is not None:
                _check_part("AfterWatermark", part)

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        if _is_complete(window, watermark):
            return self.late is None or self.late.should_fire(window, watermark, element_count)
        return self.early is not None and self.early.should_fire(window, watermark, element_count)


@dataclass(frozen=True)
class AnyOfTrigger(WindowTrigger):
    """As soon as one of its parts would fire."""

    triggers: tuple[WindowTrigger, ...]

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        return any(part.should_fire(window, watermark, element_count) for part in self.triggers)


@dataclass(frozen=True)
class AllOfTrigger(WindowTrigger):
    """As soon as all of its parts would fire."""

    triggers: tuple[WindowTrigger, ...]

    def should_fire(self, window: Window, watermark: Watermark, element_count: int) -> bool:
        return all(part.should_fire(window, watermark, element_count) for part in self.triggers)


def any_of(*triggers: WindowTrigger) -> AnyOfTrigger:
    """Fires as soon as one of `triggers` would.

    >>> trigger = any_of(CountTrigger(1000), ProcessingTimeTrigger("5s"), EventTimeTrigger())
    """
    return AnyOfTrigger(_parts("any_of", triggers))


def all_of(*triggers: WindowTrigger) -> AllOfTrigger:
    """Fires as soon as all of `triggers` would: each part's condition stays met until something fires.

    >>> trigger = all_of(CountTrigger(10), ProcessingTimeTrigger("5s"))
    """
    return AllOfTrigger(_parts("all_of", triggers))


def _parts(name: str, triggers: tuple[WindowTrigger, ...]) -> tuple[WindowTrigger, ...]:
    if not triggers:
        raise ConfigurationError(f"{name}: no trigger is given; expected at least one")
    for trigger in triggers:
        _check_part(name, trigger)
    return triggers


def _check_part(name: str, trigger: object) -> None:
    if not isinstance(trigger, WindowTrigger):
        raise ConfigurationError(
            f"{name}: {trigger!r} is not a trigger; expected e.g. CountTrigger(100) or a subclass of WindowTrigger"
        )


def _check_count(name: str, count: object) -> None:
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count < 2**63:
        raise ConfigurationError(f"{name} {count!r} must be a whole number of at least 1")


def core_trigger(trigger: WindowTrigger) -> tuple[Any, ...]:
    """A trigger as the core takes it: its kind, then its settings."""
    if type(trigger) not in _BUILT_IN:
        return ("user", _Asked(trigger))
    match trigger:
        case EventTimeTrigger():
            return ("event_time",)
        case CountTrigger(count):
            return ("count", count)
        case ProcessingTimeTrigger():
            return ("processing_time", trigger.delay)
        case HybridTrigger():
            return ("any_of", [("count", trigger.count_threshold), ("event_time",)])
        case AfterWatermark(early, late):
            return (
                "after_watermark",
                *(None if part is None else core_trigger(part) for part in (early, late)),
            )
        case AnyOfTrigger(triggers):
            return ("any_of", [core_trigger(part) for part in triggers])
        case AllOfTrigger(triggers):
            return ("all_of", [core_trigger(part) for part in triggers])
    raise AssertionError(trigger)


def kept_after_end(trigger: WindowTrigger) -> int:
    """How long after a window's end its state is kept at least, in microseconds."""
    match trigger:
        case HybridTrigger():
            return trigger.time_threshold
        case AfterWatermark(early, late):
            return max((kept_after_end(part) for part in (early, late) if part is not None), default=0)
        case AnyOfTrigger(triggers) | AllOfTrigger(triggers):
            return max(kept_after_end(part) for part in triggers)
    return 0


def asks_user(trigger: WindowTrigger) -> bool:
    """Whether a part of it is a user's, which is called in Python."""
    match trigger:
        case AfterWatermark(early, late) if type(trigger) in _BUILT_IN:
            return any(asks_user(part) for part in (early, late) if part is not None)
        case AnyOfTrigger(triggers) | AllOfTrigger(triggers):
            return any(asks_user(part) for part in triggers)
    return type(trigger) not in _BUILT_IN


_BUILT_IN = (
    EventTimeTrigger,
    CountTrigger,
    ProcessingTimeTrigger,
    HybridTrigger,
    AfterWatermark,
    AnyOfTrigger,
    AllOfTrigger,
)


def _is_complete(window: Window, watermark: Watermark) -> bool:
    return int(watermark) >= window.micros[1]


class _Asked:
    """What the core calls for a user's trigger, with microseconds."""

    def __init__(self, trigger: WindowTrigger) -> None:
        self._trigger = trigger

    def should_fire(self, start: int, end: int, watermark: int, waiting: int) -> bool:
        return self._answer("should_fire", Window(start, end), Watermark(watermark), waiting)

    def should_purge(self, start: int, end: int, watermark: int) -> bool:
        return self._answer("should_purge", Window(start, end), Watermark(watermark))

    def _answer(self, method: str, *arguments: Any) -> bool:
        try:
            return bool(getattr(self._trigger, method)(*arguments))
        except ProcessorError:
            raise
        except Exception as error:
            raise WindowAssignmentError(
                f"{type(self._trigger).__name__}.{method}: {type(error).__name__}: {error}"
            ) from error
