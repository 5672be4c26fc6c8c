"""The greatest results of a window."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.events import GroupingKey
from llmopt_stream.results import AggregationResult, Pane
from llmopt_stream.triggers import EventTimeTrigger, asks_user, kept_after_end
from llmopt_stream.windows import WindowType

from .fields import field_of
from .flow import FlowWriter
from .keys import key_order
from .operator import Context, Operator, Work
from .panes import PaneRecord

if TYPE_CHECKING:
    from llmopt_stream.branches import Branch

__all__ = ["TopN"]

_RANK = "rank"
_OF_ONE_KEY = (WindowType.SESSION, WindowType.COUNT, WindowType.GLOBAL)

_Order: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class TopN(Operator):
    """Of the results of one window the `n` with the greatest `by`, of each group of the key fields `per`."""

    n: int
    by: str
    per: tuple[str, ...]
    ascending: bool
    """The least instead of the greatest."""
    lateness: int
    """How far the watermark is held back behind the windows."""
    kept: int
    """How long after their end the windows can fire again; never less."""
    fires_once: bool
    """Whether a key has one pane in a window."""

    @classmethod
    def of(
        cls,
        stage: Branch,
        key: Sequence[str],
        n: int,
        *,
        by: str,
        per: Sequence[str],
        ascending: bool,
        is_filtered: bool,
    ) -> TopN:
        """Of what the windows of `stage` give; a ConfigurationError where they have no ranking."""
        if type(n) is not int or n < 1:
            raise ConfigurationError(f"top_n: n: {n!r} is not a number of results of at least 1")
        names = stage.result_names()
        # A user's aggregator may give several numbers, as a dict under its name.
        if by not in names and not any(str(by).startswith(f"{name}.") for name in names):
            raise ConfigurationError(f"top_n: by: {by!r} is no result; expected one of {', '.join(names)}")
        paths = (per,) if isinstance(per, str) else tuple(per)
        for path in paths:
            if path not in key:
                raise ConfigurationError(
                    f"top_n: per: {path!r} is no field of the key; expected one of {', '.join(key) or 'none'}"
                )
        if _RANK in (*names, *key):
            raise ConfigurationError(f"top_n: there is a field {_RANK!r} already; rename it")
        _check_windows(stage)
        lateness = stage.allowed_lateness()
        kept = max(lateness, kept_after_end(stage.trigger))
        fires_once = kept == 0 and isinstance(stage.trigger, EventTimeTrigger)
        if is_filtered and not fires_once:
            raise ConfigurationError(
                "top_n: a filter comes before it, and windows that fire again, so that a result may have passed that "
                "does not any more; say the filter behind top_n, or where= in aggregate"
            )
        return cls(n, by, paths, ascending, lateness, kept, fires_once)

    @property
    def name(self) -> str:
        return "top_n"

    def describe(self) -> str:
        per = f" per {', '.join(self.per)}" if self.per else ""
        return f"{self.n} by {self.by}, {'least' if self.ascending else 'greatest'} first{per}"

    def work(self, context: Context) -> Work:
        return _RankingWork(self, context)

    def order_of(self, result: AggregationResult) -> _Order | None:
        """What sorts results: the value, then the key; None for what has no rank."""
        value = field_of(result.results, self.by)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 (NaN)
            return None
        return (value if self.ascending else -value, key_order(result.key.values()))


def _check_windows(stage: Branch) -> None:
    spec = stage.spec
    if spec.type in _OF_ONE_KEY:
        raise ConfigurationError(
            f"top_n: {spec.type.value} windows are of one key; results are ranked in windows that keys share, e.g. "
            "with_tumbling_window('1m')"
        )
    if stage.accumulation == "discarding":
        raise ConfigurationError(
            "top_n: needs panes that hold everything; leave with_accumulation('discarding') out"
        )
    if asks_user(stage.trigger):
        raise ConfigurationError(
            f"top_n: with_trigger: of {stage.trigger} it is not known when a window fires for the last time"
        )


@dataclass
class _Group:
    """The results of a window whose fields `per` are equal."""

    orders: list[_Order] = field(default_factory=list)
    """Of those with a rank, sorted."""
    results: dict[_Order, AggregationResult] = field(default_factory=dict)
    """By their orders."""
    by_key: dict[_Order, _Order] = field(default_factory=dict)
    rankings: int = 0
    """How many have come out."""

    def put(self, key: _Order, order: _Order | None, result: AggregationResult) -> None:
        """The result of a key, in place of an earlier one."""
        earlier = self.by_key.pop(key, None)
        if earlier is not None:
            del self.orders[bisect_left(self.orders, earlier)]
            del self.results[earlier]
        if order is not None:
            insort(self.orders, order)
            self.results[order] = result
            self.by_key[key] = order

    def keep(self, n: int) -> None:
        """Forgets those behind the first n."""
        for order in self.orders[n:]:
            del self.results[order]
            del self.by_key[order[1]]
        del self.orders[n:]

    def top(self, n: int) -> list[AggregationResult]:
        return [self.results[order] for order in self.orders[:n]]


@dataclass
class _Window:
    groups: dict[_Order, _Group] = field(default_factory=dict)
    is_last: bool = False
    """Whether the last pane that came said that none can follow."""


class _RankingWork(Work):
    """Results of a window are collected until the watermark is at its end, and kept as long as it can fire again.

    On-time panes of a window come under a watermark just before its end, all that come afterwards under a later one.
    """

    _operator: TopN

    def __init__(self, operator: TopN, context: Context) -> None:
        super().__init__(operator, context)
        self.delay = operator.kept - operator.lateness
        self._windows: dict[tuple[int, int], _Window] = {}
        """By end and start."""
        self._collecting: list[tuple[int, int]] = []
        self._ranked: list[tuple[int, int]] = []

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        operator = self._operator
        result: AggregationResult = record.result
        start, end = result.window.micros
        window = self._window(start, end)
        window.is_last = result.pane.is_last
        group = window.groups.setdefault(key_order(result.key[path] for path in operator.per), _Group())
        is_complete = self._is_complete(end)
        before = _said(group.top(operator.n)) if is_complete else None
        group.put(key_order(result.key.values()), operator.order_of(result), result)
        if operator.fires_once:
            group.keep(operator.n)
        if is_complete and before != _said(group.top(operator.n)):
            self._put_out(group, self._pane("late", window, group), end, out)

    def _window(self, start: int, end: int) -> _Window:
        span = (end, start)
        window = self._windows.get(span)
        if window is None:
            window = self._windows[span] = _Window()
            heapq.heappush(self._ranked if self._is_complete(end) else self._collecting, span)
        return window

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        while self._collecting and self._is_complete(self._collecting[0][0]):
            span = heapq.heappop(self._collecting)
            heapq.heappush(self._ranked, span)
            # Whichever steps the watermark takes, those who follow see it just before the window's end.
            out.mark(span[0] - self._operator.lateness - 1)
            window = self._windows[span]
            for _, group in sorted(window.groups.items(), key=lambda each: each[0]):
                self._put_out(group, self._pane("on_time", window, group), span[0], out)
        while self._ranked and self._is_over(self._ranked[0][0]):
            del self._windows[heapq.heappop(self._ranked)]

    def _is_complete(self, end: int) -> bool:
        return self._is_at_end() or self.watermark >= end - self._operator.lateness

    def _is_over(self, end: int) -> bool:
        return self._is_at_end() or self.watermark >= end + self.delay

    def _pane(self, timing: str, window: _Window, group: _Group) -> Pane:
        is_last = self._operator.kept == 0 or window.is_last
        return Pane(timing, group.rankings, is_last, ())

    def _put_out(self, group: _Group, pane: Pane, end: int, out: FlowWriter) -> None:
        top = group.top(self._operator.n)
        if top:
            group.rankings += 1
        for rank, result in enumerate(top, 1):
            ranked = replace(result, results={**result.results, _RANK: rank}, pane=pane)
            out.add(PaneRecord(ranked), end - 1, result.key)

    def live(self) -> int:
        return sum(len(group.orders) for window in self._windows.values() for group in window.groups.values())

    def get_state(self) -> Any:
        return [
            [
                start,
                end,
                window.is_last,
                [
                    [order, group.rankings, [each.to_state() for each in group.results.values()]]
                    for order, group in window.groups.items()
                ],
            ]
            for (end, start), window in self._windows.items()
        ]

    def set_state(self, state: Any) -> None:
        for start, end, is_last, groups in state:
            window = self._window(start, end)
            window.is_last = is_last
            for of, rankings, results in groups:
                window.groups[of] = group = _Group(rankings=rankings)
                for each in results:
                    result = AggregationResult.of_state(each)
                    group.put(key_order(result.key.values()), self._operator.order_of(result), result)


def _said(top: Sequence[AggregationResult]) -> list[tuple[_Order, str]]:
    """What a ranking says; NaN is the same as NaN, as it is after a snapshot."""
    return [(key_order(result.key.values()), repr(result.results)) for result in top]
