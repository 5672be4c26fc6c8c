"""What successive windows say together, computed anew from all windows of a key for each pane."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from llmopt_stream.series import MovingAverage, Series

from .aggregators import is_close
from .panes import NaivePane
from .values import Interval, Record, is_number, key_order

__all__ = ["NaiveSeries"]


@dataclass(slots=True)
class _Windows:
    values: list[tuple[Interval, float | None]] = field(default_factory=list)
    newest_end: int | None = None


@dataclass(slots=True)
class NaiveSeries:
    """One series; windows by count are in the order in which they came."""

    series: Series
    forget_after: int
    by_count: bool = False
    _keys: dict[Any, _Windows] = field(default_factory=dict)

    def results(self, pane: NaivePane) -> dict[str, Any]:
        """What a pane says in view of those before it."""
        result = pane.results[self.series.of]
        value = result if is_number(result) else None
        windows = self._keys.setdefault(key_order(pane.key), _Windows())
        start, end = pane.window
        if self.by_count:
            windows.values.append((pane.window, value))
            before = windows.values[:-1]
        else:
            if windows.newest_end is not None and end > windows.newest_end + self.forget_after:
                windows.values = []
            windows.newest_end = max(end, end if windows.newest_end is None else windows.newest_end)
            gone = {pane.window, *pane.replaces}
            others = [each for each in windows.values if each[0] not in gone]
            windows.values = [*others, (pane.window, value)]
            earlier = [each for each in others if (each[0][1], each[0][0]) < (end, start)]
            before = sorted(earlier, key=lambda each: (each[0][1], each[0][0]))
        return dict(zip(self.series.result_names(), self._said(before, value), strict=True))

    def _said(self, before: list[tuple[Interval, float | None]], value: float | None) -> list[Any]:
        count, mean, variance = 0, 0.0, 0.0
        known = [each for _, each in before if each is not None]
        if isinstance(self.series, MovingAverage):
            known += [] if value is None else [value]
        alpha = self.series.alpha
        for each in known:
            before_it = each if count == 0 else mean
            deviation = each - before_it
            average = alpha * each + (1 - alpha) * before_it
            mean = min(max(average, min(each, before_it)), max(each, before_it))
            variance = (1 - alpha) * (variance + alpha * deviation * deviation)
            count += 1
        if isinstance(self.series, MovingAverage):
            return [None if value is None else mean]
        settings = self.series.core_settings()
        if value is None or count < settings["warm_up"]:
            return [None, None]
        if value == mean:
            return [0.0, False]
        if variance == 0:
            return [None, True]
        score = (value - mean) / math.sqrt(variance)
        return [score, abs(score) >= settings["threshold"]]

    def difference(
        self, expected: dict[str, Any], actual: dict[str, Any], records: Iterable[Record]
    ) -> str | None:
        """What differs by more than 1e-9."""
        for name in self.series.result_names():
            if not is_close(expected[name], actual.get(name)):
                return f"{name}: expected {expected[name]!r}, got {actual.get(name)!r}"
        return None
