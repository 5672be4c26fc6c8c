"""Settings that are numbers, checked as they are given."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any

from .errors import ConfigurationError

__all__ = ["ascending_numbers", "percents", "whole_number"]


def whole_number(value: Any, setting: str, *, least: int, most: int) -> int:
    """An integer of any type within bounds.

    >>> whole_number(12, "precision", least=4, most=18)
    12
    """
    if hasattr(value, "__index__") and not isinstance(value, bool):
        number = operator.index(value)
        if least <= number <= most:
            return number
    raise ConfigurationError(f"{setting}: {value!r}: expected a whole number in [{least}, {most}]")


def _finite(value: Any) -> float:
    """NaN where there is no such number."""
    if isinstance(value, bool | str | bytes):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _numbers(values: Any, setting: str, expected: str) -> list[float]:
    if isinstance(values, Iterable) and not isinstance(values, str | bytes):
        listed = list(values)
        numbers = [_finite(value) for value in listed]
        if numbers and not any(map(math.isnan, numbers)):
            return numbers
        values = listed
    raise ConfigurationError(f"{setting}: {values!r}: expected {expected}")


def percents(values: Any, setting: str) -> tuple[float, ...]:
    """Percentages, each once.

    >>> percents([50, 99.9], "percentiles")
    (50.0, 99.9)
    """
    expected = "different numbers in [0, 100]"
    numbers = _numbers(values, setting, expected)
    if all(0 <= number <= 100 for number in numbers) and len(set(numbers)) == len(numbers):
        return tuple(numbers)
    raise ConfigurationError(f"{setting}: {numbers!r}: expected {expected}")


def ascending_numbers(values: Any, setting: str, *, most: int) -> tuple[float, ...]:
    """Finite numbers, each greater than the one before.

    >>> ascending_numbers([0, 0.5, 10], "buckets", most=100)
    (0.0, 0.5, 10.0)
    """
    expected = f"1 to {most} finite numbers that ascend"
    numbers = _numbers(values, setting, expected)
    if len(numbers) <= most and all(map(operator.lt, numbers, numbers[1:])):
        return tuple(numbers)
    raise ConfigurationError(f"{setting}: {numbers!r}: expected {expected}")
