"""What aggregators give, by their definitions, in exact fractions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from llmopt_stream.aggregates import BuiltInAggregator, PercentileAggregator
from llmopt_stream.aggregator import Aggregator
from llmopt_stream.apply import AppliedFunction
from llmopt_stream.joint_aggregates import (
    CorrelationAggregator,
    CovarianceAggregator,
    LinearTrendAggregator,
    RatioAggregator,
    WeightedAverageAggregator,
)
from llmopt_stream.sketches import (
    CollectAggregator,
    DistinctAggregator,
    HeavyHittersAggregator,
    HistogramAggregator,
)
from llmopt_stream.user_aggregator import plain_result

from .expressions import number_of
from .metrics import EXACT_PERCENTILES, nearest_rank
from .values import EARLIEST, Interval, Record, field_of, is_number

__all__ = ["UNCHECKED", "AggregatorMetric", "AppliedMetric"]

UNCHECKED = object()
"""The result of an aggregator that has no definition here."""

_Rows = Sequence[tuple[Fraction, ...]]


@dataclass(frozen=True, slots=True)
class AggregatorMetric:
    """An aggregator of one field; the results are named `prefix` + what it calls them."""

    aggregator: Aggregator
    field: str
    prefix: str = ""
    may_fail: bool = False
    """Whether a user's aggregator may fail, and the pipeline goes on: then nothing is said of its results."""

    def results(
        self, records: Sequence[Record], times: Sequence[int] = (), window: Interval | None = None
    ) -> dict[str, Any]:
        """By name; UNCHECKED where nothing is said."""
        names = [self.prefix + name for name in self.aggregator.result_names()]
        define = _DEFINITIONS.get(type(self.aggregator))
        if define is None and (self.may_fail or isinstance(self.aggregator, BuiltInAggregator)):
            return dict.fromkeys(names, UNCHECKED)
        define = define or _of_user
        values = define(self.aggregator, self.field, records, times, window)
        return dict(zip(names, values, strict=True))

    def difference(
        self, expected: dict[str, Any], actual: dict[str, Any], records: Iterable[Record]
    ) -> str | None:
        """What differs by more than 1e-9, or at all where no numbers are compared."""
        for name in self.aggregator.result_names():
            want, got = expected[self.prefix + name], actual.get(self.prefix + name)
            if want is not UNCHECKED and not is_close(want, got):
                return f"{self.prefix + name}: expected {want!r}, got {got!r}"
        return None


def is_close(want: Any, got: Any) -> bool:
    """Whether numbers are within 1e-9, and all else is equal."""
    numbers = isinstance(want, int | float) and isinstance(got, int | float)
    if numbers and isinstance(want, float) | isinstance(got, float):
        return math.isclose(want, got, rel_tol=1e-9, abs_tol=1e-12) or (math.isnan(want) and math.isnan(got))
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(is_close(want[name], got[name]) for name in want)
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(is_close, want, got))
    return bool(want == got)


def _rows(aggregator: Any, field: str, records: Sequence[Record]) -> _Rows:
    """The values of the records that have all of them."""

    def value_of(record: Record, name: str) -> Any:
        expression = aggregator._derived.get(name)
        return field_of(record, name) if expression is None else number_of(expression, record)

    rows = [
        [field_of(record, field), *(value_of(record, name) for name in aggregator._others)]
        for record in records
    ]
    return [tuple(map(Fraction, row)) for row in rows if all(map(is_number, row))]


def _of_user(aggregator: Aggregator, field: str, records: Any, *_: Any) -> list[Any]:
    """What all values added to one accumulator give."""
    try:
        values = [value for record in records if is_number(value := field_of(record, field))]
        if not values:
            return [None]
        accumulator = aggregator.create_accumulator()
        for value in values:
            returned = aggregator.add(accumulator, value)
            accumulator = accumulator if returned is None else returned
        return [plain_result(aggregator.get_result(accumulator))]
    except Exception:  # noqa: BLE001 - the error policy says what becomes of it
        return [UNCHECKED]


@dataclass(frozen=True, slots=True)
class AppliedMetric:
    """A function of all records of a pane."""

    applied: AppliedFunction
    time_field: str

    def results(
        self, records: Sequence[Record], times: Sequence[int] = (), window: Interval | None = None
    ) -> dict[str, Any]:
        """By name; UNCHECKED where the function asks for more than the records, or fails."""
        applied = self.applied
        if not records:
            return {applied.name: None}
        if applied.takes or len(records) > applied.limit:
            return {applied.name: UNCHECKED}
        rows = sorted(zip(times, records, strict=True), key=lambda row: row[0])
        columns = [
            [
                value if isinstance(value := field_of(record, name), bool | str) or is_number(value) else None
                for _, record in rows
            ]
            for name in applied.fields
        ]
        try:
            result = applied.fn(applied.records_of(self.time_field, [time for time, _ in rows], columns))
            return {applied.name: plain_result(result)}
        except Exception:  # noqa: BLE001 - the error policy says what becomes of it
            return {applied.name: UNCHECKED}

    def difference(
        self, expected: dict[str, Any], actual: dict[str, Any], records: Iterable[Record]
    ) -> str | None:
        """What differs by more than 1e-9, or at all where no numbers are compared."""
        name = self.applied.name
        if expected[name] is UNCHECKED or is_close(expected[name], actual.get(name)):
            return None
        return f"{name}: expected {expected[name]!r}, got {actual.get(name)!r}"


def _total(numbers: Iterable[Fraction]) -> Fraction:
    return sum(numbers, Fraction(0))


def _ratio(aggregator: Any, field: str, records: Any, *_: Any) -> list[float | None]:
    rows = _rows(aggregator, field, records)
    per = _total(row[1] for row in rows)
    return [float(Fraction(aggregator._scale) * _total(row[0] for row in rows) / per) if per else None]


def _weighted_average(aggregator: Any, field: str, records: Any, *_: Any) -> list[float | None]:
    rows = _rows(aggregator, field, records)
    weights = _total(row[1] for row in rows)
    return [float(_total(row[0] * row[1] for row in rows) / weights) if weights else None]


def _comoment(rows: _Rows, a: int, b: int) -> Fraction:
    means = [_total(row[at] for row in rows) / len(rows) for at in (a, b)]
    return _total((row[a] - means[0]) * (row[b] - means[1]) for row in rows)


def _covariance(aggregator: Any, field: str, records: Any, *_: Any) -> list[float | None]:
    rows = _rows(aggregator, field, records)
    divisor = len(rows) - (aggregator._kind == "covariance_sample")
    return [float(_comoment(rows, 0, 1) / divisor) if rows and divisor else None]


def _correlation(aggregator: Any, field: str, records: Any, *_: Any) -> list[float | None]:
    rows = _rows(aggregator, field, records)
    spread = _comoment(rows, 0, 0) * _comoment(rows, 1, 1) if rows else Fraction(0)
    return [float(_comoment(rows, 0, 1)) / math.sqrt(spread) if spread else None]


def _trend(
    aggregator: Any, field: str, records: Sequence[Record], times: Sequence[int], window: Interval | None
) -> list[float | None]:
    """By the normal equations."""
    if aggregator._by_time:
        start = None if window is None or window[0] == EARLIEST else window[0]
        rows = [
            (Fraction(value), Fraction(time - (start or 0), 1_000_000))
            for time, record in zip(times, records, strict=True)
            if is_number(value := field_of(record, field))
        ]
    else:
        start = 0
        rows = _rows(aggregator, field, records)  # type: ignore[assignment]
    regressors = 1 if aggregator._by_time else len(aggregator._others)
    nothing: list[float | None] = [None] * (regressors + 2)
    if len(rows) <= regressors:
        return nothing
    matrix = [
        [_comoment(rows, i, j) for j in range(1, regressors + 1)] + [_comoment(rows, i, 0)]
        for i in range(1, regressors + 1)
    ]
    slopes = _solved(matrix)
    if slopes is None:
        return nothing
    means = [_total(row[at] for row in rows) / len(rows) for at in range(regressors + 1)]
    intercept = means[0] - _total(slope * mean for slope, mean in zip(slopes, means[1:], strict=True))
    explained = _total(slope * _comoment(rows, at + 1, 0) for at, slope in enumerate(slopes))
    spread = _comoment(rows, 0, 0)
    return [
        *map(float, slopes),
        None if start is None else float(intercept),
        float(explained / spread) if spread else None,
    ]


def _solved(matrix: list[list[Fraction]]) -> list[Fraction] | None:
    """Gauss-Jordan elimination of an augmented matrix; None if it is singular."""
    size = len(matrix)
    for column in range(size):
        pivot = next((row for row in range(column, size) if matrix[row][column]), None)
        if pivot is None:
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        matrix[column] = [value / matrix[column][column] for value in matrix[column]]
        for row in range(size):
            if row != column:
                factor = matrix[row][column]
                matrix[row] = [a - factor * b for a, b in zip(matrix[row], matrix[column], strict=True)]
    return [row[-1] for row in matrix]


def _numbers(field: str, records: Sequence[Record]) -> list[Any]:
    return [value for record in records if is_number(value := field_of(record, field))]


def _scalar(value: Any) -> tuple[int, Any] | None:
    """What values are equal and ordered by: bools, numbers, texts. None for what is no value."""
    if isinstance(value, bool):
        return 0, value
    if is_number(value):
        return 1, int(value) if value == math.floor(value) else value
    return (2, value) if isinstance(value, str) else None


def _scalars(field: str, records: Sequence[Record]) -> list[tuple[int, Any]]:
    return [value for record in records if (value := _scalar(field_of(record, field))) is not None]


def _percentiles(aggregator: Any, field: str, records: Sequence[Record], *_: Any) -> list[Any]:
    ordered = sorted(_numbers(field, records))
    exact_values = {"default": EXACT_PERCENTILES, "kll": aggregator._k, "exact": len(ordered)}
    if not ordered or len(ordered) > exact_values[aggregator._method]:
        return [UNCHECKED if ordered else None for _ in aggregator._percentiles]
    return [float(nearest_rank(percent, ordered)) for percent in aggregator._percentiles]


def _distinct(aggregator: Any, field: str, records: Sequence[Record], *_: Any) -> list[Any]:
    different = len(set(_scalars(field, records)))
    return [different if different <= min(max(2**aggregator._precision // 8, 64), 1024) else UNCHECKED]


def _heavy_hitters(aggregator: Any, field: str, records: Sequence[Record], *_: Any) -> list[Any]:
    counts = Counter(_scalars(field, records))
    if len(counts) > 2 * aggregator._capacity:
        return [UNCHECKED]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[: aggregator._k]
    return [[{"value": value[1], "count": count, "error": 0} for value, count in ordered]]


def _histogram(aggregator: Any, field: str, records: Sequence[Record], *_: Any) -> list[Any]:
    if aggregator._edges is None:
        return [UNCHECKED]
    bounds = [-math.inf, *aggregator._edges, math.inf]
    numbers = _numbers(field, records)
    return [
        [
            {
                "lower": None if math.isinf(lower) else lower,
                "upper": None if math.isinf(upper) else upper,
                "count": sum(lower <= number < upper for number in numbers),
            }
            for lower, upper in pairwise(bounds)
        ]
    ]


def _collect(
    aggregator: Any, field: str, records: Sequence[Record], times: Sequence[int], *_: Any
) -> list[Any]:
    timed = sorted(
        (time, value)
        for time, record in zip(times, records, strict=True)
        if (value := _scalar(field_of(record, field))) is not None
    )
    return [[value for _, (_, value) in timed[: aggregator._limit]]]


_DEFINITIONS: dict[type[Any], Callable[..., list[Any]]] = {
    RatioAggregator: _ratio,
    WeightedAverageAggregator: _weighted_average,
    CovarianceAggregator: _covariance,
    CorrelationAggregator: _correlation,
    LinearTrendAggregator: _trend,
    PercentileAggregator: _percentiles,
    DistinctAggregator: _distinct,
    HeavyHittersAggregator: _heavy_hitters,
    HistogramAggregator: _histogram,
    CollectAggregator: _collect,
}
