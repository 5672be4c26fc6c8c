"""Which items there are most of lately."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.events import GroupingKey
from llmopt_stream.units import duration_text, to_datetime

from .decayed_counts import DecayedCounts
from .flow import END, START, FlowWriter
from .keys import key_order
from .operator import Context, Operator, Work

__all__ = ["Trending"]

_FIELDS = ("rank", "score", "error", "window_end")
_PRECISION = 64
"""How many bits the least score that counts has."""
_ROUNDING = 2.0**-40
"""A score is as far from the exact one at most, relatively."""


@dataclass(frozen=True)
class Trending(Operator):
    """At the end of each window the `top` keys by score; of scores of at least `drop_below`."""

    key: tuple[str, ...]
    half_life: int
    top: int
    window: int
    drop_below: float
    capacity: int

    def __post_init__(self) -> None:
        if not self.key:
            raise ConfigurationError("trending: what? say it by .key_by(field) before")
        for path in self.key:
            if path in _FIELDS:
                raise ConfigurationError(
                    f"trending: key_by: {path!r} is the name of a field that rankings have"
                )
        if type(self.top) is not int or self.top < 1:
            raise ConfigurationError(f"trending: top: {self.top!r} is not a number of items of at least 1")
        is_number = type(self.drop_below) in (int, float)
        if not is_number or not 0 < self.drop_below < math.inf:
            raise ConfigurationError(
                f"trending: drop_below: {self.drop_below!r} is not a score greater than 0"
            )
        if type(self.capacity) is not int or self.capacity < self.top:
            raise ConfigurationError(
                f"trending: capacity: {self.capacity!r} is not a number of counters of at least {self.top}"
            )

    @property
    def name(self) -> str:
        return "trending"

    def describe(self) -> str:
        return (
            f"{', '.join(self.key)}: top {self.top} every {duration_text(self.window)}, half-life "
            f"{duration_text(self.half_life)}, scores from {self.drop_below:g}, {self.capacity} counters"
        )

    def work(self, context: Context) -> Work:
        return _TrendingWork(self, context)

    def counts_until(self, end: int) -> DecayedCounts:
        """For records before this time."""
        bits = _PRECISION + max(0, math.ceil(-math.log2(self.drop_below)))
        return DecayedCounts(self.half_life, self.capacity, bits, end // self.half_life)


class _TrendingWork(Work):
    """Records wait with those of their window, so that none counts before its time."""

    _operator: Trending

    def __init__(self, operator: Trending, context: Context) -> None:
        super().__init__(operator, context)
        self._counts = operator.counts_until(START)
        """Of the windows that are complete."""
        self._waiting: dict[int, DecayedCounts] = {}
        """Of the others, by their ends."""
        self._complete = START
        """The end of the last window that is complete."""
        self._late = 0

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        of = self.key_of(record, self._operator.key)
        if of is None:
            return
        order = key_order(of.values())
        if time < self._complete or self._is_at_end():
            self._late += 1
            if not self._is_at_end():
                self._counts.move_to(self._complete // self._operator.half_life)
                self._counts.add(of, order, time)
            return
        window = self._operator.window
        end = (time // window + 1) * window
        if end not in self._waiting:
            self._waiting[end] = self._operator.counts_until(end)
        self._waiting[end].add(of, order, time)

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        window = self._operator.window
        # The input's end completes the windows that have records, and no more.
        last = max(self._waiting, default=START) if watermark == END else watermark // window * window
        while last > self._complete:
            # Without items there is nothing to rank before the next window with records.
            follows = bool(len(self._counts))
            end = self._complete + window if follows else min(self._waiting, default=END)
            if end > last:
                break
            self._complete = end
            self._finish(end, out)
        self._complete = max(self._complete, last)
        if watermark == END:
            self._counts = self._operator.counts_until(self._complete)

    def _finish(self, end: int, out: FlowWriter) -> None:
        """Puts out the ranking at the end of a window."""
        operator = self._operator
        # Whichever steps the watermark takes, those who follow see it just before the window's end.
        out.mark(end - 1)
        self._counts.move_to(end // operator.half_life)
        waiting = self._waiting.pop(end, None)
        if waiting is not None:
            self._counts.merge(waiting)
        self._counts.forget_below(operator.drop_below * (1 - _ROUNDING), end)
        for rank, (key, score, error) in enumerate(self._counts.greatest(operator.top, end), 1):
            ranked = {**key, "rank": rank, "score": score, "window_end": to_datetime(end)}
            out.add(ranked | ({"error": error} if error else {}), end - 1, key)

    def counts(self) -> Mapping[str, int]:
        return {"late": self._late}

    def live(self) -> int:
        return len(self._counts) + sum(map(len, self._waiting.values()))

    def get_state(self) -> Any:
        waiting = [[end, counts.get_state()] for end, counts in self._waiting.items()]
        return [self._complete, self._late, self._counts.get_state(), waiting]

    def set_state(self, state: Any) -> None:
        self._complete, self._late, counts, waiting = state
        self._counts.set_state(counts)
        for end, each in waiting:
            self._waiting[end] = self._operator.counts_until(end)
            self._waiting[end].set_state(each)
