"""The keys of records, as windows in the core have them, and their order."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from llmopt_stream.events import GroupingKey
from llmopt_stream.units import to_datetime

from .fields import field_of

__all__ = ["NoKeyError", "key_of", "key_order"]

_BEYOND_INT64 = 2.0**63
_NOT_SCALAR = "key_not_scalar"
_BAD_TEXT = "bad_utf8"


class NoKeyError(ValueError):
    """A value that no record can be grouped by."""

    def __init__(self, kind: str, value: Any) -> None:
        super().__init__(f"{value!r} is no key; expected None, a bool, a number, text or a time")
        self.kind = kind
        """As `malformed_by_kind` names it."""


def key_of(record: Any, paths: Sequence[str]) -> GroupingKey:
    """The key under these paths; null where there is none. A NoKeyError for what is neither a bool, a number, text
    nor a time. Numbers are their value, times text.

    >>> key_of({"model": "a", "size": 2.0}, ["model", "size", "region"])
    GroupingKey({'model': 'a', 'size': 2, 'region': None})
    """
    return GroupingKey([(path, _key_value(field_of(record, path))) for path in paths])


def _key_value(value: Any) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return _text(value)
    if kind is int:
        return _integer(value)
    if kind is float:
        return _number(value)
    return _other_value(value)


def _text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise NoKeyError(_BAD_TEXT, value) from None
    return value


def _integer(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise NoKeyError(_NOT_SCALAR, value)  # rounded it would be one with its neighbours
    return value


def _number(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < _BEYOND_INT64 else value


def _other_value(value: Any) -> Any:
    """Of enumerations, of NumPy and pandas, Decimal, Fraction and times."""
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, date):
        return _time_text(value)
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "b":
        return bool(value)
    if kind == "M":
        micros = int(value.astype("datetime64[us]").astype("int64"))
        return None if micros == -(2**63) else to_datetime(micros).isoformat()
    if isinstance(value, bytes):
        raise NoKeyError(_NOT_SCALAR, value)
    try:
        if not isinstance(value, float) and hasattr(value, "__index__"):
            return _integer(operator.index(value))
        if hasattr(value, "__float__"):
            return _number(float(value))
    except NoKeyError:
        raise
    except (TypeError, ValueError, ArithmeticError):
        pass
    raise NoKeyError(_NOT_SCALAR, value)


def _time_text(value: date) -> str | None:
    if value != value:  # noqa: PLR0124 - pandas' NaT
        return None
    if not isinstance(value, datetime):
        return date.isoformat(value)
    fields = (value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond)
    time = datetime(*fields)  # noqa: DTZ001
    offset = value.utcoffset() or timedelta(0)
    try:
        return f"{(time - offset).isoformat()}+00:00"
    except OverflowError:  # in UTC it is in a year that datetimes do not have
        day = "0000-12-31" if time.year == 1 else "10000-01-01"
        return f"{day}T{(time.replace(year=2000) - offset).time().isoformat()}+00:00"


def key_order(values: Iterable[Any]) -> tuple[tuple[int, Any], ...]:
    """Sorts the values of keys: null < false < true < numbers < NaN < text.

    >>> sorted([("b",), (2,), (True,), (None,), (1.5,)], key=key_order)
    [(None,), (True,), (1.5,), (2,), ('b',)]
    """
    return tuple(map(_value_order, values))


def _value_order(value: Any) -> tuple[int, Any]:
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (2, 0) if value else (1, 0)
    if isinstance(value, str):
        return (5, value)
    return (3, value) if value == value else (4, 0)  # noqa: PLR0124 (NaN)
