"""Users' code with state and timers, for each key."""

from __future__ import annotations

import heapq
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.events import GroupingKey
from llmopt_stream.units import Time, duration_micros, duration_text, time_micros, to_datetime
from llmopt_stream.watermarks import Watermark

from .flow import END, START, FlowWriter
from .operator import Context, Operator, Work, name_of
from .panes import plain
from .per_record import a_record
from .state_store import StateStore

__all__ = ["KeyContext", "Process", "ProcessWork", "SideRecord"]

_EVENT, _CLOCK = "event", "processing"


@dataclass(frozen=True)
class Process(Operator):
    """A function `fn(record, context)`, or a class with `process(record, context)` and `on_timer(time, context)`."""

    fn: Any
    key: tuple[str, ...]
    ttl: int | None = None
    side_outputs: tuple[str, ...] = ()
    """Where records go that are emitted beside the stream."""

    @property
    def name(self) -> str:
        return "process"

    def describe(self) -> str:
        lives = "" if self.ttl is None else f", state kept for {duration_text(self.ttl)}"
        beside = f", beside it {', '.join(self.side_outputs)}" if self.side_outputs else ""
        return f"{name_of(self.fn)} by {', '.join(self.key) or 'nothing'}{lives}{beside}"

    @property
    def uses_clock(self) -> bool:
        # Whether it sets timers by the clock is known when it does.
        return hasattr(self.fn, "on_timer")

    def work(self, context: Context) -> Work:
        return ProcessWork(self, context)


@dataclass(frozen=True, slots=True)
class SideRecord:
    """A record that was emitted to a side output."""

    to: str
    record: Any


class KeyContext:
    """What a `process` step knows and can do, for the key of the record or timer at hand."""

    __slots__ = ("_out", "_time", "_work", "key", "state")

    def __init__(
        self, work: ProcessWork, key: GroupingKey, state: StateStore, time: int, out: FlowWriter
    ) -> None:
        self._work = work
        self._out = out
        self._time = time
        self.key = key
        """The key's fields."""
        self.state = state
        """Values remembered for the key."""

    @property
    def timestamp(self) -> datetime:
        """The event time of the record, or the time of the timer."""
        return to_datetime(self._time)

    @property
    def watermark(self) -> Watermark | None:
        """The watermark before the record; None before there is one."""
        return None if self._work.watermark == START else Watermark(self._work.watermark)

    def emit(self, record: Any, *, timestamp: Time | None = None, to: str | None = None) -> None:
        """Hands a record on, with the time of the record or timer at hand unless another one is given. With `to`, it
        goes to the side output of this name, which is the stream of a `branch(name, emitted_to=)`, instead.
        """
        time = self._time if timestamp is None else time_micros(timestamp, "emit: timestamp")
        made = a_record(record)
        if to is not None:
            self._work.check_side_output(to)
            made = SideRecord(to, made)
        self._out.add(made, time, self.key)

    def set_timer(self, time: Time) -> None:
        """Calls `on_timer` once the watermark has reached this event time; setting it twice is setting it once.

        At the end of the input every timer is called that was set before it, and none that is set then.
        """
        self._work.set_timer(_EVENT, time_micros(time, "set_timer: time"), self.key)

    def delete_timer(self, time: Time) -> None:
        """Takes back a timer; nothing happens where there is none."""
        self._work.delete_timer(_EVENT, time_micros(time, "delete_timer: time"), self.key)

    def set_processing_timer(self, time: Time) -> None:
        """Calls `on_timer` once the clock has reached this time."""
        self._work.set_timer(_CLOCK, time_micros(time, "set_processing_timer: time"), self.key)

    def delete_processing_timer(self, time: Time) -> None:
        """Takes back such a timer."""
        self._work.delete_timer(_CLOCK, time_micros(time, "delete_processing_timer: time"), self.key)


class _Timers:
    """Which keys are to be called when: in the order of time, then of setting."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, GroupingKey]] = []
        self._set: dict[tuple[int, GroupingKey], int] = {}
        self._number = 0

    def set(self, time: int, key: GroupingKey) -> None:
        if (time, key) not in self._set:
            self._number += 1
            self._set[time, key] = self._number
            heapq.heappush(self._heap, (time, self._number, key))

    def delete(self, time: int, key: GroupingKey) -> None:
        self._set.pop((time, key), None)

    @property
    def newest(self) -> int:
        """The number of the one that was set last."""
        return self._number

    def take(self, until: int, newest: int | None = None) -> tuple[int, GroupingKey] | None:
        """The first one that is due; with `newest`, of those up to it."""
        while self._heap and self._heap[0][0] <= until:
            time, number, key = heapq.heappop(self._heap)
            if self._set.get((time, key)) == number and (newest is None or number <= newest):
                del self._set[time, key]
                return time, key
        return None

    def __len__(self) -> int:
        return len(self._set)

    def get_state(self) -> list[Any]:
        ordered = sorted(self._set.items(), key=lambda each: (each[0][0], each[1]))
        return [[time, list(key.items())] for (time, key), _ in ordered]

    def set_state(self, state: list[Any]) -> None:
        for time, key in state:
            self.set(time, GroupingKey(key))


class ProcessWork(Work):
    """One object of a user's class, or one function, for all keys; state and timers for each."""

    _operator: Process

    def __init__(self, operator: Process, context: Context) -> None:
        super().__init__(operator, context)
        made: Any = operator.fn() if inspect.isclass(operator.fn) else operator.fn
        self._process: Callable[[Any, KeyContext], Any] = getattr(made, "process", made)
        self._on_timer: Callable[[datetime, KeyContext], Any] | None = getattr(made, "on_timer", None)
        self._name = name_of(operator.fn)
        self._states: dict[GroupingKey, StateStore] = {}
        self._timers = {_EVENT: _Timers(), _CLOCK: _Timers()}
        self._expiries = _Timers()
        self._now = 0

    @property
    def side_outputs(self) -> Sequence[str]:
        return self._operator.side_outputs

    def check_side_output(self, name: str) -> None:
        """A ConfigurationError where nothing would take what is emitted to it."""
        known = self.side_outputs
        if name not in known:
            raise ConfigurationError(
                f"emit: to: {name!r} is none of side_outputs: {', '.join(map(repr, known)) or 'none were said'}"
            )

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        record = plain(record)
        key = self.key_of(record, self._operator.key)
        if key is None:
            return
        now = min(self.watermark, END - 1)
        self._call(lambda context: self._process(record, context), key, time, now, out, record)

    def _call(
        self,
        call: Callable[[KeyContext], Any],
        key: GroupingKey,
        time: int,
        now: int,
        out: FlowWriter,
        record: Any = None,
        method: str = "",
    ) -> None:
        """`now` is how far event time is for the key's state."""
        state = self._states.get(key) or StateStore.of_stream(self._operator.ttl, now)
        state.advance(now)
        context_out = FlowWriter(START)
        context = KeyContext(self, key, state, time, context_out)

        def run() -> None:
            context_out.flow.records.clear()
            context_out.flow.times.clear()
            returned = call(context)
            if returned is not None:
                made = (
                    returned
                    if isinstance(returned, list | tuple) or inspect.isgenerator(returned)
                    else [returned]
                )
                for each in made:
                    context.emit(each)

        done = self.attempt(run, method=method or self._name, record=record, key=key)
        if done is not None:
            for each, at in zip(context_out.flow.records, context_out.flow.times, strict=True):
                out.add(each, at, key)
        self._keep(key, state)

    def _keep(self, key: GroupingKey, state: StateStore) -> None:
        if not state.get_state():
            self._states.pop(key, None)
            return
        self._states[key] = state
        if (expires := state.next_expiry()) is not None:
            self._expiries.set(expires, key)

    def set_timer(self, kind: str, time: int, key: GroupingKey) -> None:
        if self._on_timer is None:
            raise ConfigurationError(f"set_timer: {self._name} has no on_timer(time, context)")
        self._timers[kind].set(time, key)

    def delete_timer(self, kind: str, time: int, key: GroupingKey) -> None:
        self._timers[kind].delete(time, key)

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        self._fire(_EVENT, watermark, out)
        if watermark == END:
            self._forget()
        while (due := self._expiries.take(watermark)) is not None:
            key = due[1]
            if (state := self._states.get(key)) is not None:
                state.advance(watermark)
                self._keep(key, state)

    def _forget(self) -> None:
        self._states = {}
        self._expiries = _Timers()
        self._timers = {_EVENT: _Timers(), _CLOCK: _Timers()}

    def on_processing_time(self, now: int, out: FlowWriter) -> None:
        self._now = now
        self._fire(_CLOCK, now, out)

    def _fire(self, kind: str, until: int, out: FlowWriter) -> None:
        timers = self._timers[kind]
        # At the end each timer has its turn; one that sets the next would never stop.
        newest = timers.newest if until == END else None
        while (due := timers.take(until, newest)) is not None:
            time, key = due
            self._call(
                partial(self._call_on_timer, time),
                key,
                time,
                time if kind == _EVENT else min(self.watermark, END - 1),
                out,
                method=f"{self._name}.on_timer",
            )

    def _call_on_timer(self, time: int, context: KeyContext) -> Any:
        return None if self._on_timer is None else self._on_timer(to_datetime(time), context)

    def live(self) -> int:
        return len(self._states) + sum(map(len, self._timers.values()))

    def get_state(self) -> Any:
        return [
            self._now,
            [[list(key.items()), state.get_state()] for key, state in self._states.items()],
            {kind: timers.get_state() for kind, timers in self._timers.items()},
        ]

    def set_state(self, state: Any) -> None:
        self._now, states, timers = state
        for fields, values in states:
            store = StateStore.of_stream(self._operator.ttl, self.watermark)
            store.set_state(values, self.watermark)
            self._keep(GroupingKey(fields), store)
        for kind, each in timers.items():
            self._timers[kind].set_state(each)


def side_outputs_of(names: Any) -> tuple[str, ...]:
    """As `process` is told."""
    listed = (names,) if isinstance(names, str) else tuple(names)
    if len(set(listed)) < len(listed) or any(type(name) is not str or not name for name in listed):
        raise ConfigurationError(f"process: side_outputs: {names!r} are no different names")
    return listed


def ttl_of(ttl: Any) -> int | None:
    """In microseconds."""
    if ttl is None:
        return None
    micros = duration_micros(ttl, "process: ttl")
    if micros <= 0:
        raise ConfigurationError(f"process: ttl: {ttl!r} is not a positive duration")
    return micros
