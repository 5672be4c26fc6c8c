"""When a window fires: every trigger's condition, read off its definition."""

from __future__ import annotations

from dataclasses import dataclass

from llmopt_stream.triggers import (
    AfterWatermark,
    AllOfTrigger,
    AnyOfTrigger,
    CountTrigger,
    EventTimeTrigger,
    HybridTrigger,
    ProcessingTimeTrigger,
    WindowTrigger,
)
from llmopt_stream.watermarks import Watermark
from llmopt_stream.windows import Window

from .values import Interval, saturated

__all__ = ["TriggerView", "is_ready", "may_purge", "retention"]

_BUILT_IN = (
    EventTimeTrigger,
    CountTrigger,
    ProcessingTimeTrigger,
    HybridTrigger,
    AfterWatermark,
    AnyOfTrigger,
    AllOfTrigger,
)


@dataclass(frozen=True, slots=True)
class TriggerView:
    """What a trigger sees of one key's window."""

    window: Interval
    watermark: int
    """Of windows by the clock, the clock."""
    clock: int
    waiting: int
    """Records since the last firing."""
    first_clock: int | None
    """The clock at the first of them."""
    complete: bool
    """Whether it has fired at or after its end."""
    asks_users: bool
    """Whether triggers written in Python are asked: not when only the clock has moved."""


def is_ready(trigger: WindowTrigger, view: TriggerView) -> bool:
    """Whether the trigger's condition is met."""
    has_ended = view.watermark >= view.window[1]
    if _is_users(trigger):
        return view.asks_users and bool(
            trigger.should_fire(Window(*view.window), Watermark(view.watermark), view.waiting)
        )
    match trigger:
        case EventTimeTrigger():
            return has_ended and (view.waiting > 0 or not view.complete)
        case CountTrigger(count=count):
            return view.waiting >= count
        case ProcessingTimeTrigger(delay=delay):
            return view.first_clock is not None and view.clock >= saturated(view.first_clock + delay)
        case HybridTrigger(count_threshold=count):
            return view.waiting >= count or is_ready(EventTimeTrigger(), view)
        case AfterWatermark(late=late) if view.complete:
            return view.waiting > 0 if late is None else is_ready(late, view)
        case AfterWatermark(early=early):
            return has_ended or (early is not None and is_ready(early, view))
        case AnyOfTrigger(triggers=parts):
            return any(is_ready(part, view) for part in parts)
        case AllOfTrigger(triggers=parts):
            return all(is_ready(part, view) for part in parts)
    raise TypeError(f"{trigger!r} is not a trigger that the reference knows")


def retention(trigger: WindowTrigger) -> int:
    """How long after a window's end the trigger keeps its state, if allowed lateness does not for longer."""
    if isinstance(trigger, HybridTrigger):
        return trigger.time_threshold
    return max(map(retention, _parts(trigger)), default=0)


def may_purge(trigger: WindowTrigger, window: Interval, watermark: int) -> bool:
    """Whether the trigger, or all of its parts, let the window's state go; only users' triggers have a say."""
    if _is_users(trigger):
        return bool(trigger.should_purge(Window(*window), Watermark(watermark)))
    return all(may_purge(part, window, watermark) for part in _parts(trigger))


def _is_users(trigger: WindowTrigger) -> bool:
    return type(trigger) not in _BUILT_IN


def _parts(trigger: WindowTrigger) -> tuple[WindowTrigger, ...]:
    match trigger:
        case AnyOfTrigger(triggers=parts) | AllOfTrigger(triggers=parts):
            return parts
        case AfterWatermark(early=early, late=late):
            return tuple(part for part in (early, late) if part is not None)
    return ()
