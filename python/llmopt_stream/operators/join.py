"""Joins of two streams: by nearness in event time, and by common windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llmopt_stream import _core
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.events import GroupingKey
from llmopt_stream.units import duration_text, to_timedelta
from llmopt_stream.watermarks import LateEvent, Watermark
from llmopt_stream.windows import WindowAssigner, WindowType

from .flow import END, Flow, FlowWriter
from .inputs import Inputs
from .keys import NoKeyError, key_of, key_order
from .operator import Context, name_of
from .panes import plain
from .several import SeveralWork

__all__ = ["HOW", "IntervalJoin", "WindowJoin", "window_of"]

HOW = ("inner", "left", "right", "full")

_OTHERWISE_MALFORMED = "key_not_scalar"
"""Where the core refuses a key, and Python does not say why."""


@dataclass(frozen=True)
class _Join(Inputs):
    """Records of two streams with equal keys."""

    on: tuple[tuple[str, str], ...]
    """The fields that are equal: of the left stream, and of the right one."""
    select: Callable[[Any, Any], Any] | None
    names: ClassVar[Sequence[str]] = ("left", "right")

    @property
    def name(self) -> str:
        return "join"

    def paths(self, side: int) -> list[str]:
        return [names[side] for names in self.on]

    def key(self, side: int, record: Any) -> GroupingKey:
        """Of a record of one side, under the names of the left one; a NoKeyError where it has none."""
        values = key_of(record, self.paths(side)).values()
        return GroupingKey(zip(self.paths(0), values, strict=True))

    def _on(self) -> str:
        return ", ".join(left if left == right else f"{left} = {right}" for left, right in self.on)

    def _selected(self) -> str:
        return "" if self.select is None else f", {name_of(self.select)} of each pair in Python"


@dataclass(frozen=True)
class IntervalJoin(_Join):
    """A left record at l and a right one at r match if l + lower <= r <= l + upper, in microseconds."""

    lower: int
    upper: int
    how: str
    where: ClassVar[str] = "C++, records in Python"

    def describe(self) -> str:
        bounds = f"{duration_text(self.lower)} to {duration_text(self.upper)}"
        return f"{self.how} on {self._on()}, right {bounds} after left{self._selected()}"

    def work_of_several(self, context: Context) -> SeveralWork:
        return _IntervalJoinWork(self, context)


class _JoinWork(SeveralWork):
    _operator: _Join

    def __init__(self, operator: _Join, context: Context) -> None:
        super().__init__(operator, context)
        self.late_records = 0

    def counts(self) -> Mapping[str, int]:
        return {"late": self.late_records}

    def _key_of_side(self, side: int, record: Any) -> GroupingKey | None:
        try:
            return self._operator.key(side, record)
        except NoKeyError as error:
            self.is_malformed(error.kind)
            return None

    def _emit(self, left: Any, right: Any, time: int, out: FlowWriter) -> None:
        key = self._operator.key(1, right) if left is None else self._operator.key(0, left)
        select = self._operator.select
        if select is None:
            out.add({"left": left, "right": right}, time, key)
            return
        made = self.attempt(
            lambda: select(left, right),
            method=name_of(select),
            record={"left": left, "right": right},
            key=key,
        )
        if made is not None and made[0] is not None:
            out.add(made[0], time, key)

    def _late(self, side: int, record: Any, time: int, watermark: int) -> None:
        self.late_records += 1
        self.late.append(
            LateEvent(
                record,
                self._operator.key(side, record),
                (),
                Watermark(watermark),
                to_timedelta(watermark - time),
                self._records - 1,
                self._context.branch,
            )
        )


class _IntervalJoinWork(_JoinWork):
    """The core has the keys, times and numbers of records; here they are kept by these numbers."""

    _operator: IntervalJoin

    def __init__(self, operator: IntervalJoin, context: Context) -> None:
        super().__init__(operator, context)
        outer = (operator.how in ("left", "full"), operator.how in ("right", "full"))
        self._core = _core.RecordJoin(
            operator.paths(0), operator.paths(1), operator.lower, operator.upper, *outer
        )
        # What is handed out alone comes when it can match no more.
        reach = (max(operator.upper, 0), max(-operator.lower, 0))
        self.delay = max((after for after, is_outer in zip(reach, outer, strict=True) if is_outer), default=0)
        self._kept: tuple[dict[int, tuple[Any, int]], dict[int, tuple[Any, int]]] = ({}, {})
        self._number = 0

    def run_input(self, side: int, flow: Flow) -> Flow:
        out = FlowWriter(self.watermark, self.delay)
        self._advance_input(side, flow.before, out)
        if len(flow):
            self._take(side, flow, out)
        return out.flow

    def _take(self, side: int, flow: Flow, out: FlowWriter) -> None:
        other = self._watermarks[1 - side]
        after = [max(self.watermark, min(each, other)) for each in flow.watermarks]
        before = [self.watermark, *after[:-1]]
        ids = list(range(self._number, self._number + len(flow)))
        self._number += len(flow)
        kept = self._kept[side]
        records = [plain(record) for record in flow.records]
        for number, record, time in zip(ids, records, flow.times, strict=True):
            kept[number] = (record, time)
        rows, late, malformed, forgotten = self._core.push(side, records, ids, flow.times, before)
        taken = self._records
        for left, right, time, fired_at in rows:
            # Under the watermark before the record that made it come out, or that moved the watermark.
            out.mark(before[max(fired_at - 1, 0)])
            self._records = taken + fired_at
            self._emit_row(left, right, time, out)
        for of_side, number, watermark in late:
            self._records = taken + number - ids[0] + 1
            record, time = self._kept[of_side].pop(number)
            self._late(of_side, record, time, watermark)
        for place in malformed:
            if self._key_of_side(side, records[place]) is not None:
                self.is_malformed(_OTHERWISE_MALFORMED)
            del kept[ids[place]]
        self._forget(forgotten)
        self._records = taken + len(flow)
        out.mark(before[-1])
        self.watermark = before[-1]
        self._advance_input(side, flow.watermarks[-1], out)

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        rows, _, _, forgotten = self._core.advance(watermark)
        for left, right, time, _ in rows:
            self._emit_row(left, right, time, out)
        self._forget(forgotten)

    def _emit_row(self, left: int | None, right: int | None, time: int, out: FlowWriter) -> None:
        records = [
            None if number is None else self._kept[side][number][0]
            for side, number in enumerate((left, right))
        ]
        self._emit(records[0], records[1], time, out)

    def _forget(self, forgotten: Sequence[Sequence[int]]) -> None:
        for side, numbers in enumerate(forgotten):
            for number in numbers:
                del self._kept[side][number]

    def live(self) -> int:
        return self._core.live_rows()

    def get_state(self) -> Any:
        kept = [[[number, *each] for number, each in of_side.items()] for of_side in self._kept]
        return [self.late_records, self._number, kept, self._core.snapshot()]

    def set_state(self, state: Any) -> None:
        self.late_records, self._number, kept, core = state
        for of_side, rows in zip(self._kept, kept, strict=True):
            of_side.update({number: (record, time) for number, record, time in rows})
        self._core.restore(core)


@dataclass(frozen=True)
class WindowJoin(_Join):
    """Every pair of records of a key in a common window, when it is complete."""

    window: WindowAssigner
    how: str

    def describe(self) -> str:
        return f"{self.how} on {self._on()} in {self.window.spec}{self._selected()}"

    def work_of_several(self, context: Context) -> SeveralWork:
        return _WindowJoinWork(self, context)


class _WindowJoinWork(_JoinWork):
    """Keeps the records of each window and key until the watermark is at the window's end."""

    _operator: WindowJoin

    def __init__(self, operator: WindowJoin, context: Context) -> None:
        super().__init__(operator, context)
        if operator.window.spec.type not in (
            WindowType.TUMBLING,
            WindowType.SLIDING,
            WindowType.CUMULATIVE,
            WindowType.CUSTOM,
        ):
            raise ConfigurationError(
                f"join: window: {operator.window!r} has no windows that two streams have in common; expected "
                "tumbling, sliding or cumulative ones"
            )
        # Of each window's end and start, by key: the records of both sides.
        self._open: dict[tuple[int, int], dict[GroupingKey, tuple[list[Any], list[Any]]]] = {}

    def on_input(self, side: int, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        record = plain(record)
        key = self._key_of_side(side, record)
        if key is None:
            return
        windows = [window.micros for window in self._operator.window.assign(time)]
        open_windows = [span for span in windows if span[1] > self.watermark and self.watermark != END]
        if windows and not open_windows:
            self._late(side, record, time, self.watermark)
        for start, end in open_windows:
            of_key = self._open.setdefault((end, start), {}).setdefault(key, ([], []))
            of_key[side].append(record)

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        due = sorted(span for span in self._open if span[0] <= watermark)
        for end, start in due:
            of_window = self._open.pop((end, start))
            out.mark(end - 1)
            for key in sorted(of_window, key=lambda each: key_order(each.values())):
                for left, right in self._pairs(key, *of_window[key]):
                    self._emit(left, right, end - 1, out)

    def _pairs(self, key: GroupingKey, left: list[Any], right: list[Any]) -> list[tuple[Any, Any]]:
        has_null = None in key.values()
        pairs = [] if has_null else [(a, b) for a in left for b in right]
        how = self._operator.how
        if pairs:
            return pairs
        if how in ("left", "full"):
            pairs += [(a, None) for a in left]
        if how in ("right", "full"):
            pairs += [(None, b) for b in right]
        return pairs

    def live(self) -> int:
        return sum(len(a) + len(b) for of_window in self._open.values() for a, b in of_window.values())

    def get_state(self) -> Any:
        return [
            self.late_records,
            [
                [end, start, [[list(key.items()), left, right] for key, (left, right) in of_window.items()]]
                for (end, start), of_window in self._open.items()
            ],
        ]

    def set_state(self, state: Any) -> None:
        self.late_records, windows = state
        for end, start, keys in windows:
            self._open[end, start] = {GroupingKey(key): (left, right) for key, left, right in keys}


def window_of(window: Any) -> WindowAssigner:
    """An assigner, checked."""
    if not isinstance(window, WindowAssigner):
        raise ConfigurationError(
            f"join: window: {window!r} is not a WindowAssigner; expected e.g. ls.tumbling('5m')"
        )
    return window
