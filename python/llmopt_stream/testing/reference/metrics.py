"""Statistics by their definitions, in exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import pstdev
from typing import Any

from .values import EARLIEST, END_OF_TIME, Interval, Record, field_of, is_number

__all__ = ["EXACT_PERCENTILES", "Metric", "nearest_rank"]

EXACT_PERCENTILES = 64
"""Up to so many values a pane's percentiles are exact."""


@dataclass(frozen=True, slots=True)
class Metric:
    """Statistics of one field; the results are named `prefix` + statistic."""

    field: str = "value"
    statistics: Sequence[str] = ("count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99")
    prefix: str = ""

    def numbers(self, records: Iterable[Record]) -> list[Any]:
        """The finite numbers in the field; anything else is skipped."""
        return [value for record in records if is_number(value := field_of(record, self.field))]

    def results(
        self, records: Sequence[Record], times: Sequence[int] = (), window: Interval | None = None
    ) -> dict[str, Any]:
        """The statistics of the numbers in the field. First and last need the event times, rates the window.

        >>> Metric(statistics=["count", "p50"]).results([{"value": 3}, {"value": None}, {"value": 1}])
        {'count': 2, 'p50': 1}
        """
        numbers = self.numbers(records)
        timed = [
            (time, value)
            for time, record in zip(times, records, strict=False)
            if is_number(value := field_of(record, self.field))
        ]
        return {self.prefix + name: _statistic(name, numbers, timed, window) for name in self.statistics}

    def difference(
        self, expected: dict[str, Any], actual: dict[str, Any], records: Iterable[Record]
    ) -> str | None:
        """What differs: moments within 1e-12 of the values' magnitudes (deviations 1e-9), percentiles of many values
        within 1 %, the rest not at all.
        """
        values = self.numbers(records)
        for name in self.statistics:
            want, got = expected[self.prefix + name], actual.get(self.prefix + name)
            tolerance = 0.0 if want is None or got is None else _tolerance(name, want, values)
            if want != got and (want is None or got is None or not abs(got - want) <= tolerance):
                return f"{self.prefix + name}: expected {want!r}, got {got!r}"
        return None


def _statistic(name: str, numbers: list[Any], timed: list[tuple[int, Any]], window: Interval | None) -> Any:
    if name.startswith("p") and name[1:2].isdigit():
        return nearest_rank(Fraction(name[1:]), sorted(numbers)) if numbers else None
    if name == "first":
        return min(timed)[1] if timed else None
    if name == "last":
        return max(timed)[1] if timed else None
    if name in ("rate", "sum_rate"):
        if window is None or EARLIEST in window or END_OF_TIME in window:
            return None
        seconds = Fraction(window[1] - window[0], 1_000_000)
        return _as_float(
            (len(numbers) if name == "rate" else sum(map(Fraction, numbers), Fraction(0))) / seconds
        )
    return _STATISTICS[name](numbers)


def _tolerance(name: str, want: Any, values: Sequence[Any]) -> float:
    magnitude = float(sum(map(abs, values)))
    largest = float(max(map(abs, values), default=0))
    if name in ("count", "min", "max", "range", "first", "last"):
        return 0.0
    if name in ("sum", "average", "sum_rate"):
        return float(1e-12 * (magnitude if name == "sum" else magnitude / max(len(values), 1) + abs(want)))
    if name in ("stddev", "stddev_sample"):
        return float(1e-9 * want + 1e-12 * largest)
    if name in ("variance", "variance_sample"):
        return float(1e-9 * want + 1e-12 * largest * largest)
    if name in ("skewness", "kurtosis", "rate"):
        return float(1e-9 * (abs(want) + 1))
    if name == "percentile_error":
        return 0.0 if len(values) <= EXACT_PERCENTILES else 1.0
    return 0.0 if len(values) <= EXACT_PERCENTILES else float(0.01 * abs(want))


def nearest_rank(percent: Any, ordered: list[Any]) -> Any:
    """The value of rank ceil(percent / 100 × n)."""
    percent = Fraction(percent).limit_denominator(10**9)
    return ordered[max(math.ceil(percent * len(ordered) / 100), 1) - 1]


def _exact_sum(numbers: list[Any]) -> Any:
    if all(isinstance(number, int) for number in numbers):
        return sum(numbers)
    return _as_float(sum(map(Fraction, numbers), Fraction(0)))


def _as_float(number: Fraction) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _stddev(numbers: list[Any]) -> float:
    return float(pstdev(map(Fraction, numbers)))


def _central_moment(power: int, numbers: list[Any]) -> Fraction:
    exact = list(map(Fraction, numbers))
    mean = sum(exact, Fraction(0)) / len(exact)
    return sum(((number - mean) ** power for number in exact), Fraction(0)) / len(exact)


def _variance(numbers: list[Any], divisor: int) -> float:
    return _as_float(_central_moment(2, numbers) * len(numbers) / divisor)


def _skewness(numbers: list[Any]) -> float | None:
    variance = _central_moment(2, numbers)
    return float(_central_moment(3, numbers) / variance) / math.sqrt(variance) if variance else None


def _kurtosis(numbers: list[Any]) -> float | None:
    variance = _central_moment(2, numbers)
    return float(_central_moment(4, numbers) / variance**2 - 3) if variance else None


def _or_none(statistic: Callable[[list[Any]], Any], least: int = 1) -> Callable[[list[Any]], Any]:
    return lambda numbers: statistic(numbers) if len(numbers) >= least else None


_STATISTICS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": _exact_sum,
    "average": _or_none(lambda numbers: _as_float(sum(map(Fraction, numbers), Fraction(0)) / len(numbers))),
    "min": _or_none(min),
    "max": _or_none(max),
    "percentile_error": _or_none(lambda numbers: 0.0 if len(numbers) <= EXACT_PERCENTILES else 0.01),
    "range": _or_none(lambda numbers: max(numbers) - min(numbers)),
    "variance": _or_none(lambda numbers: _variance(numbers, len(numbers))),
    "variance_sample": _or_none(lambda numbers: _variance(numbers, len(numbers) - 1), 2),
    "skewness": _or_none(_skewness),
    "kurtosis": _or_none(_kurtosis),
    "stddev": _or_none(_stddev),
    "stddev_sample": _or_none(
        lambda numbers: _stddev(numbers) * math.sqrt(len(numbers) / (len(numbers) - 1)), 2
    ),
}
