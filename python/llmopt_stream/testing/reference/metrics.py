"""Statistics by their definitions, in exact fractions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import pstdev
from typing import Any

from .values import Record, field_of, is_number

__all__ = ["Metric"]


@dataclass(frozen=True, slots=True)
class Metric:
    """Statistics of one field; the results are named `prefix` + statistic."""

    field: str = "value"
    statistics: Sequence[str] = ("count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99")
    prefix: str = ""

    def numbers(self, records: Iterable[Record]) -> list[Any]:
        """The finite numbers in the field; anything else is skipped."""
        return [value for record in records if is_number(value := field_of(record, self.field))]

    def results(self, records: Iterable[Record]) -> dict[str, Any]:
        """The statistics of the numbers in the field.

        >>> Metric(statistics=["count", "p50"]).results([{"value": 3}, {"value": None}, {"value": 1}])
        {'count': 2, 'p50': 1}
        """
        numbers = self.numbers(records)
        return {self.prefix + name: _statistic(name, numbers) for name in self.statistics}


def _statistic(name: str, numbers: list[Any]) -> Any:
    if name.startswith("p") and name[1:2].isdigit():
        return _nearest_rank(Fraction(name[1:]), sorted(numbers)) if numbers else None
    return _STATISTICS[name](numbers)


def _nearest_rank(percent: Fraction, ordered: list[Any]) -> Any:
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


def _or_none(statistic: Callable[[list[Any]], Any], least: int = 1) -> Callable[[list[Any]], Any]:
    return lambda numbers: statistic(numbers) if len(numbers) >= least else None


_STATISTICS: dict[str, Callable[[list[Any]], Any]] = {
    "count": len,
    "sum": _exact_sum,
    "average": _or_none(lambda numbers: _as_float(sum(map(Fraction, numbers), Fraction(0)) / len(numbers))),
    "min": _or_none(min),
    "max": _or_none(max),
    "stddev": _or_none(_stddev),
    "stddev_sample": _or_none(
        lambda numbers: _stddev(numbers) * math.sqrt(len(numbers) / (len(numbers) - 1)), 2
    ),
}
