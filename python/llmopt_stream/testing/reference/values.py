"""Times, fields and keys as the reference reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, TypeAlias

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.units import time_micros

__all__ = [
    "EARLIEST",
    "END_OF_TIME",
    "Interval",
    "Record",
    "field_of",
    "is_number",
    "key_order",
    "micros_in_unit",
    "saturated",
    "whole_micros",
]

Record: TypeAlias = Mapping[str, Any]
Interval: TypeAlias = tuple[int, int]
"""[start, end) in microseconds."""

EARLIEST = -(2**63)
END_OF_TIME = 2**63 - 1

_UNITS = {None: Fraction(1), "us": Fraction(1), "ms": Fraction(1_000), "s": Fraction(1_000_000)}
_UNITS["ns"] = Fraction(1, 1_000)


def saturated(time: int) -> int:
    """The nearest time that is an int64."""
    return max(EARLIEST, min(END_OF_TIME, time))


def whole_micros(time: Any) -> int | None:
    """A time that is given as integer microseconds; None if it is not."""
    is_time = isinstance(time, int) and not isinstance(time, bool) and time == saturated(time)
    return time if is_time else None


def micros_in_unit(time: Any, unit: str | None) -> int | None:
    """A time as pipelines take it: a number of `unit`, a datetime or text; None if it is none.

    >>> micros_in_unit(1.5, "ms"), micros_in_unit(-1, "ns"), micros_in_unit("1970-01-01T00:00:01Z", None)
    (1500, -1, 1000000)
    """
    if isinstance(time, bool):
        return None
    if isinstance(time, int):
        return whole_micros(math.floor(time * _UNITS[unit]))
    if isinstance(time, float):
        return whole_micros(round(Fraction(time) * _UNITS[unit])) if math.isfinite(time) else None
    try:
        return time_micros(time)
    except ConfigurationError:
        return None


def field_of(record: Record, path: str) -> Any:
    """The value under a dotted path, whichever of its dots are part of names; None where there is none.

    >>> [field_of(record, "a.b.c") for record in ({"a": {"b": {"c": 1}}}, {"a.b": {"c": 2}}, {"a.b.c": 3}, {"a": 4})]
    [1, 2, 3, None]
    """
    if path in record:
        return record[path]
    for dot in (at for at, letter in enumerate(path) if letter == "."):
        inner = record.get(path[:dot])
        if isinstance(inner, Mapping) and (value := field_of(inner, path[dot + 1 :])) is not None:
            return value
    return None


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return not isinstance(value, bool) and (
        isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    )


def key_order(key: Iterable[Any]) -> tuple[tuple[int, Any], ...]:
    """Sorts keys, and tells whether two are the same: null < false < true < numbers < text, 1 is 1.0.

    >>> sorted([("b",), (2,), (True,), (None,), (1.5,), ("B",), (False,)], key=key_order)
    [(None,), (False,), (True,), (1.5,), (2,), ('B',), ('b',)]
    """
    return tuple(map(_value_order, key))


def _value_order(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (2, 0) if value else (1, 0)
    if is_number(value):
        return (3, value)
    if isinstance(value, str):
        return (4, value)
    raise TypeError(f"{value!r} is not a key; expected None, a bool, a finite number or text")
