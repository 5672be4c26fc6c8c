"""Durations and times as users write them, and as the core counts them: int64 microseconds."""

from __future__ import annotations

import math
import re
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from . import _core
from .errors import ConfigurationError

__all__ = [
    "Duration",
    "Time",
    "align_timestamp",
    "checked_unit",
    "duration_micros",
    "time_micros",
    "to_datetime",
    "to_timedelta",
]

Duration = timedelta | float | int | str
"""A timedelta, of NumPy, pandas or Arrow too, a number of seconds, or text such as "500ms", "30s", "5m", "1h", "1d"."""
Time = datetime | int | str
"""A datetime (naive means UTC), of NumPy, pandas or Arrow too, ISO-8601 text, or integer microseconds since the epoch."""

_MICROS = {
    "us": 1,
    "µs": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_TEXT = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|h|d)\s*", re.ASCII)
_TICKS = {
    "W": Fraction(604_800_000_000),
    "D": Fraction(86_400_000_000),
    **{unit: Fraction(_MICROS[unit]) for unit in ("h", "m", "s", "ms", "us")},
    **{unit: Fraction(1, 1_000**power) for power, unit in enumerate(("ns", "ps", "fs", "as"), start=1)},
}
"""The microseconds in each unit of NumPy and Arrow."""
_UNITS = {"s": 1_000_000, "ms": 1_000, "us": 1}
_EXPECTED = 'a timedelta, a number of seconds or text such as "500ms", "30s", "5m", "1h", "1d"'
_LONGEST = 2**61
"""About 73,000 years: sums of a few durations stay within int64."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_FIRST_MICROS = (_FIRST - EPOCH) // MICROSECOND
_LAST_MICROS = (_LAST - EPOCH) // MICROSECOND


def duration_micros(value: Any, setting: str, *, least: int | None = 0) -> int:
    """A duration in whole microseconds; `least` is the smallest that the setting allows.

    >>> duration_micros("1.5s", "gap"), duration_micros(0.25, "gap"), duration_micros(timedelta(hours=1), "gap")
    (1500000, 250000, 3600000000)
    >>> duration_micros("5 parsecs", "gap")
    Traceback (most recent call last):
    llmopt_stream.errors.ConfigurationError: gap: '5 parsecs' is not a duration; expected a timedelta, \
a number of seconds or text such as "500ms", "30s", "5m", "1h", "1d"
    """
    micros: int | None = None
    try:
        if (ticks := _ticks(value)) is not None:
            micros = round(ticks.micros) if ticks.is_duration and ticks.micros is not None else None
        elif isinstance(value, timedelta):
            micros = value // MICROSECOND
        elif isinstance(value, str):
            if matched := _TEXT.fullmatch(value):
                micros = round(Decimal(matched[1]) * _MICROS[matched[2]])
        elif not isinstance(value, bool | complex) and hasattr(value, "__float__"):
            micros = round(Decimal(repr(float(value))) * 1_000_000)
    except (ArithmeticError, TypeError, ValueError):
        micros = None
    if micros is None:
        raise ConfigurationError(f"{setting}: {value!r} is not a duration; expected {_EXPECTED}")
    if least is not None and micros < least:
        bound = "not be negative" if least == 0 else f"be at least {to_timedelta(least).total_seconds():g} s"
        raise ConfigurationError(f"{setting}: {value!r} must {bound}")
    if abs(micros) > _LONGEST:
        raise ConfigurationError(f"{setting}: {value!r} is longer than 73,000 years")
    return micros


def time_micros(value: Any, setting: str = "time", *, unit: str | None = None) -> int:
    """A time in microseconds since the epoch; `unit` is that of a number ("s", "ms", "us" or "ns").

    >>> time_micros("1970-01-01T00:00:01.5Z"), time_micros(datetime(1970, 1, 2)), time_micros(3, unit="ms")
    (1500000, 86400000000, 3000)
    """
    if type(value) is int and unit is None:
        return value
    if (ticks := _ticks(value)) is not None:
        if not ticks.is_duration and ticks.micros is not None:
            return math.floor(ticks.micros)
    elif isinstance(value, datetime):
        aware = value if value.utcoffset() is not None else value.replace(tzinfo=UTC)
        return (aware - EPOCH) // MICROSECOND
    elif isinstance(value, date):
        return (datetime(value.year, value.month, value.day, tzinfo=UTC) - EPOCH) // MICROSECOND
    elif isinstance(value, str):
        parsed = _core.parse_iso8601(value)
        if parsed is not None:
            return parsed
    elif hasattr(value, "__index__") and not isinstance(value, bool):
        with suppress(TypeError):  # arrays have __index__ too
            number = int(value.__index__())
            return number // 1_000 if unit == "ns" else number * _UNITS[unit or "us"]
    elif hasattr(value, "__int__") and hasattr(value, "timestamp"):  # Watermark, EventTimestamp
        return int(value)
    raise ConfigurationError(
        f"{setting}: {value!r} is not a time; expected a datetime, ISO-8601 text or integer microseconds"
    )


def checked_unit(unit: Any, setting: str) -> str | None:
    """The unit of numbers that are times, if it is one; None stays None."""
    units = ("s", "ms", "us", "ns")
    if unit is not None and unit not in units:
        raise ConfigurationError(f"{setting}: {unit!r} is not known; expected one of {', '.join(units)}")
    return unit  # type: ignore[no-any-return]


def core_time(value: Any, setting: str) -> int:
    """A time as `time_micros` reads it, which the core can hold."""
    micros = time_micros(value, setting)
    if not -(2**63) <= micros < 2**63:
        raise ConfigurationError(f"{setting}: {value!r} does not fit into 64 bits of microseconds")
    return micros


class _Ticks(NamedTuple):
    is_duration: bool
    micros: Fraction | None
    """None where it is not a time, or counts what has no fixed length."""


def _ticks(value: Any) -> _Ticks | None:
    """A time or duration of NumPy, pandas or Arrow; None for anything else."""
    if type(value).__name__ in {"TimestampScalar", "DurationScalar"}:  # pyarrow
        micros = None if value.value is None else value.value * _TICKS[value.type.unit]
        return _Ticks(type(value).__name__ == "DurationScalar", micros)
    value = getattr(value, "asm8", value)  # pandas
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind not in ("M", "m") or getattr(value, "ndim", None):
        return None
    numpy = sys.modules["numpy"]
    if kind == "M" and numpy.datetime_data(value.dtype)[0] in ("Y", "M"):
        value = value.astype("datetime64[D]")
    unit, count = numpy.datetime_data(value.dtype)
    number = int(value.astype("int64"))
    is_time = number != -(2**63) and unit in _TICKS  # the smallest integer is NumPy's not-a-time
    return _Ticks(kind == "m", number * count * _TICKS[unit] if is_time else None)


def align_timestamp(timestamp: Time, unit: Duration, *, up: bool = False) -> datetime:
    """The latest multiple of `unit` since the epoch that is not after a time; with `up`, the earliest that
    is not before it.

    >>> align_timestamp("2026-01-01T00:07:30Z", "5m").isoformat()
    '2026-01-01T00:05:00+00:00'
    >>> align_timestamp(-1, "1s", up=True) == EPOCH
    True
    """
    time = time_micros(timestamp, "align_timestamp: timestamp")
    every = duration_micros(unit, "align_timestamp: unit", least=1)
    return to_datetime(-(-time // every) * every if up else time // every * every)


def to_datetime(micros: int) -> datetime:
    """A tz-aware UTC datetime, held at the ends of datetime's range.

    >>> to_datetime(1_500_000).isoformat()
    '1970-01-01T00:00:01.500000+00:00'
    >>> to_datetime(2**63 - 1).year
    9999
    """
    if micros <= _FIRST_MICROS:
        return _FIRST
    if micros >= _LAST_MICROS:
        return _LAST
    return EPOCH + timedelta(microseconds=micros)


def to_timedelta(micros: int) -> timedelta:
    """A timedelta, held at the ends of its range."""
    limit = timedelta.max // MICROSECOND
    return timedelta(microseconds=max(-limit, min(limit, micros)))


def duration_text(micros: int) -> str:
    """The shortest text that `duration_micros` reads back.

    >>> duration_text(60_000_000), duration_text(1_500), duration_text(0)
    ('1m', '1500us', '0s')
    """
    if micros == 0:
        return "0s"
    for unit in ("d", "h", "m", "s", "ms", "us"):
        if micros % _MICROS[unit] == 0:
            return f"{micros // _MICROS[unit]}{unit}"
    raise AssertionError("every whole number of microseconds is divisible by one")
