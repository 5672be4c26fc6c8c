"""Expressions, evaluated record by record as they are defined; None is null."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from llmopt_stream.columns import Column, Expression, Kind, Literal, Operation

from .values import Record, field_of, is_number

__all__ = ["number_of", "truth_of"]

_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def number_of(expression: Expression, record: Record) -> Any:
    """The number that an expression gives for a record.

    >>> from llmopt_stream import col
    >>> [number_of(1 - col("a") / col("b"), record) for record in ({"a": 1, "b": 2}, {"a": 1, "b": 0}, {"a": 1})]
    [0.5, None, None]
    """
    match expression:
        case Column(path):
            value = field_of(record, path)
            return _finite(value) if is_number(value) else None
        case Literal(value) if expression.kind is Kind.NUMBER:
            return value
        case Operation("negative", (of,)):
            return _applied(operator.neg, [number_of(of, record)])
        case Operation("abs", (of,)):
            return _applied(abs, [number_of(of, record)])
        case Operation("fill_null", (of, Literal(filler))) if expression.kind is Kind.NUMBER:
            value = number_of(of, record)
            return float(filler if value is None else value)
        case Operation(name, (a, b)) if name in _ARITHMETIC:
            return _applied(_ARITHMETIC[name], [number_of(a, record), number_of(b, record)])
        case _:
            truth = truth_of(expression, record)
            return None if truth is None else float(truth)


def truth_of(expression: Expression, record: Record) -> bool | None:
    """Whether an expression is true of a record.

    >>> from llmopt_stream import col
    >>> [truth_of((col("a") == "x") | (col("b") > 1), record) for record in ({"a": "x"}, {"a": "y"}, {"a": 1, "b": 2})]
    [True, None, True]
    """
    match expression:
        case Column(path):
            value = field_of(record, path)
            return value if isinstance(value, bool) else None
        case Literal(value):
            return bool(value)
        case Operation("~", (of,)):
            truth = truth_of(of, record)
            return None if truth is None else not truth
        case Operation("&", (a, b)):
            return _kleene(False, truth_of(a, record), truth_of(b, record))
        case Operation("|", (a, b)):
            return _kleene(True, truth_of(a, record), truth_of(b, record))
        case Operation("is_null", (of,)):
            return _is_null(of, record)
        case Operation("is_not_null", (of,)):
            return not _is_null(of, record)
        case Operation("fill_null", (of, Literal(filler))):
            truth = truth_of(of, record)
            return bool(filler) if truth is None else truth
        case Operation("between", (of, low, high)):
            return _kleene(False, _compared(">=", of, low, record), _compared("<=", of, high, record))
        case Operation("is_in", (of, *values)):
            if not values:
                return None if _is_null(of, record) else False
            said = [_compared("==", of, value, record) for value in values]
            return None if None in said else any(said)
        case Operation(sign, (a, b)):
            return _compared(sign, a, b, record)
    raise TypeError(f"{expression!r} is no condition")


def _finite(number: Any) -> Any:
    """Integers of 64 bits as they are, the rest as floats; None beyond these."""
    if isinstance(number, int) and -(2**63) <= number < 2**63:
        return number
    try:
        return float(number) if math.isfinite(number) else None
    except OverflowError:
        return None


def _applied(operation: Callable[..., float], operands: Sequence[Any]) -> float | None:
    if None in operands:
        return None
    try:
        result = operation(*map(float, operands))
    except (OverflowError, ZeroDivisionError):
        return None
    return result if math.isfinite(result) else None


def _kleene(decisive: bool, *operands: bool | None) -> bool | None:
    if decisive in operands:
        return decisive
    return None if None in operands else not decisive


def _scalar(expression: Expression, record: Record) -> Any:
    """What a field holds, if it is a text, a bool or a finite number."""
    match expression:
        case Column(path):
            value = field_of(record, path)
            return value if isinstance(value, str | bool) or is_number(value) else None
        case _ if expression.kind is Kind.NUMBER:
            return number_of(expression, record)
        case Literal(value):
            return value
        case _:
            return truth_of(expression, record)


def _kind_of(scalar: Any) -> Kind:
    return Kind.TEXT if isinstance(scalar, str) else Kind.TRUTH if isinstance(scalar, bool) else Kind.NUMBER


def _is_null(of: Expression, record: Record) -> bool:
    return _scalar(of, record) is None


def _compared(sign: str, a: Expression, b: Expression, record: Record) -> bool | None:
    values = _scalar(a, record), _scalar(b, record)
    if None in values or len(set(map(_kind_of, values))) > 1:
        return None
    kinds = {each.kind for each in (a, b)} - {Kind.FIELD} or {_kind_of(values[0])}
    if kinds != {_kind_of(values[0])} or (
        sign not in ("==", "!=")
        and isinstance(a, Column)
        and isinstance(b, Column)
        and kinds != {Kind.NUMBER}
    ):
        return None
    return _COMPARISONS[sign](*values)
