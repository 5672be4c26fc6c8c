"""Exceptions of users' code in a pipeline at work, and what its error policy makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .error_policy import ErrorEvent, ErrorHandler, ErrorPolicy
from .errors import AggregationError
from .events import GroupingKey
from .windows import Window

__all__ = ["Failures", "Place"]

_Result = TypeVar("_Result")

Order = tuple[int, int, int, int]
"""Where an event stands: the records taken by then, its branch, adding before firing, the metric."""


class Failures:
    """Counts and keeps what failed. `wait` is given the seconds between two attempts; without it nothing waits."""

    def __init__(
        self,
        handler: ErrorHandler | None = None,
        *,
        branches: int = 1,
        keeps_events: bool = False,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._policy = ErrorPolicy.fail() if handler is None else handler.policy
        self._keeps_events = keeps_events or (handler is not None and handler.sink is not None)
        self._wait = wait
        self._events: list[tuple[Order, ErrorEvent]] = []
        self._newest_value: dict[tuple[int, int], int] = {}
        self.counts = [0] * branches
        """By branch."""

    @property
    def fails(self) -> bool:
        """Whether the first failure ends the pipeline."""
        return self._policy.kind == "fail"

    def result_of(self, call: Callable[[], _Result]) -> _Result:
        """What `call` gives, at the last attempt the latest."""
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - users' code
            return self.again(call, error)

    def again(self, call: Callable[[], _Result], error: Exception) -> _Result:
        """What `call`, which has failed with `error`, gives at a later attempt; or its last exception."""
        delay = self._policy.initial_delay
        for _ in range(self._policy.max_attempts - 1):
            if self._wait is not None:
                self._wait(delay / 1e6)
            delay = min(delay * 2, self._policy.max_delay)
            try:
                return call()
            except Exception as latest:  # noqa: BLE001 - users' code
                error = latest
        raise error

    def settle(self, event: ErrorEvent, order: Order) -> None:
        """Raises the error, or counts it and keeps the event for the sink.

        A value that several windows take, each in an accumulator of its own, counts once.
        """
        if self.fails:
            raise event.error
        position, branch, is_pane, metric = order
        if not is_pane:
            if self._newest_value.get((branch, metric)) == position:
                return
            self._newest_value[branch, metric] = position
        self.counts[order[1]] += 1
        if self._keeps_events:
            self._events.append((order, event))

    @property
    def hands_on(self) -> bool:
        """Whether whole records are needed: what fails goes to a sink."""
        return self._keeps_events

    def hand_on(self, event: ErrorEvent, position: int) -> None:
        """For the sink: a record that could not be used, which is counted where it was found."""
        self._events.append(((position + 1, 0, 0, 0), event))

    def name_sources(self, source_of: Callable[[int], Any]) -> None:
        """Of the events that have none yet, the records in their source, by position; None: leave it."""
        for at, (order, event) in enumerate(self._events):
            if event.source is None and event.position is not None:
                source = source_of(event.position)
                if source is not None:
                    self._events[at] = (order, replace(event, source=source))

    def take(self) -> list[ErrorEvent]:
        """The events since the last call, in the order of the input; of one record, branch by branch."""
        events, self._events = sorted(self._events, key=lambda each: each[0]), []
        return [event for _, event in events]

    def get_state(self) -> tuple[list[int], list[tuple[Order, ErrorEvent]]]:
        """The counts, and the events that were not taken."""
        return self.counts, self._events

    def set_state(self, counts: Sequence[int], events: Sequence[tuple[Order, ErrorEvent]]) -> None:
        """Goes on from what `get_state()` gave."""
        self.counts, self._events = list(counts), list(events)


@dataclass(frozen=True)
class Place:
    """Where in a pipeline users' code is at work."""

    failures: Failures
    branch: str
    branch_index: int
    time_field: str
    key_names: Sequence[str]
    windows_of: Callable[[int], Sequence[Window]]
    """The windows of a record at a time, where the core does not say them."""
    metric: int = 0
    """Which of the branch's metrics it is."""

    def key(self, values: Sequence[Any]) -> GroupingKey:
        return GroupingKey(zip(self.key_names, values, strict=True))


@dataclass(frozen=True)
class Failure:
    """A call that failed: whose, with what, and on what."""

    error: BaseException | None
    """None of one from before a snapshot."""
    text: str
    aggregator: str
    method: str
    value: Any = None

    @classmethod
    def of(cls, error: BaseException, aggregator: str, method: str, value: Any = None) -> Failure:
        return cls(error, f"{type(error).__name__}: {error}", aggregator, method, value)

    def raised(self) -> AggregationError:
        """Outside of a pipeline, where nothing more is known."""
        return self._because(f"{self.aggregator}.{self.method}: {self.text}{self._value()}")

    def settle_value(self, place: Place, said: Sequence[Any]) -> None:
        """Of the value of one record: (key, time, its windows or None, position)."""
        self.settle_values(place, [said])

    def settle_values(self, place: Place, said: Sequence[Sequence[Any]]) -> None:
        """Of the values of several records of one key."""
        spans = {window for _, time, windows, _ in said for window in self._windows(place, time, windows)}
        key, _, _, position = said[0]
        self._settle(place, key, sorted(spans), position, (position + 1, place.branch_index, 0, place.metric))

    def settle_pane(self, place: Place, said: Sequence[Any]) -> None:
        """Of a pane: (key, start, end, how many records had been taken when it fired)."""
        key, start, end, fired_at = said
        self._settle(place, key, [Window(start, end)], None, (fired_at, place.branch_index, 1, place.metric))

    @staticmethod
    def _windows(place: Place, time: int, windows: Sequence[tuple[int, int]] | None) -> Sequence[Window]:
        return place.windows_of(time) if windows is None else [Window(*span) for span in windows]

    def _settle(
        self,
        place: Place,
        key_values: Sequence[Any],
        windows: Sequence[Window],
        position: int | None,
        order: Order,
    ) -> None:
        key = place.key(key_values)
        spans = ", ".join(map(_window_text, windows))
        error = self._because(
            f"{self.aggregator}.{self.method}: {self.text}{self._value()}; key {dict(key)!r}, "
            + (f"windows {spans}" if len(windows) > 1 else f"window {spans}" if spans else "in no window")
        )
        event = ErrorEvent(
            error, self.aggregator, self.method, key, tuple(windows), self.value, position, place.branch
        )
        place.failures.settle(event, order)

    def _value(self) -> str:
        return "" if self.value is None else f"; value {self.value!r}"

    def _because(self, text: str) -> AggregationError:
        error = AggregationError(text)
        error.__cause__ = self.error
        return error


def _window_text(window: Window) -> str:
    return "without bounds" if window.is_unbounded else f"[{window.start_text}, {window.end_text})"
