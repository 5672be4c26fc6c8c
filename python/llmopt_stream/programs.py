"""Expressions as the core takes them: steps in postfix order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from .columns import Column, Expression, Kind, Literal, Operation

__all__ = ["FieldsOf", "Program", "fields_of", "number_program", "truth_program"]

Program: TypeAlias = list[tuple[Any, ...]]
"""Each step an operation and its arguments."""

_Place: TypeAlias = Callable[[str], int]
"""Where a field is among those that are read."""

_ARITHMETIC = {
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "/": "divide",
    "negative": "negate",
    "abs": "absolute",
}
_SWAPPED = {"==": "==", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""The comparison that says the same of the operands in the other order."""


@dataclass(frozen=True)
class FieldsOf:
    """What an expression reads."""

    numbers: tuple[str, ...]
    labels: tuple[str, ...]
    """Fields that are read as they are: texts, bools, and what may be null."""


def number_program(expression: Expression, values: _Place, labels: _Place) -> Program:
    """A number for each record; of a condition 1 or 0."""
    return _Writer(values, labels).number(expression)


def truth_program(expression: Expression, values: _Place, labels: _Place) -> Program:
    """Whether it is true of each record."""
    return _Writer(values, labels).truth(expression)


def fields_of(expression: Expression, *, as_truth: bool) -> FieldsOf:
    """What it reads as a number, or as a truth."""
    numbers: dict[str, int] = {}
    labels: dict[str, int] = {}
    write = truth_program if as_truth else number_program
    write(expression, lambda path: numbers.setdefault(path, 0), lambda path: labels.setdefault(path, 0))
    return FieldsOf(tuple(numbers), tuple(labels))


class _Writer:
    def __init__(self, values: _Place, labels: _Place) -> None:
        self._values = values
        self._labels = labels

    def number(self, expression: Expression) -> Program:
        match expression:
            case Column(path):
                return [("column", self._values(path))]
            case Literal(value) if expression.kind is Kind.NUMBER:
                return [("constant", value)]
            case Operation("fill_null", (of, Literal(value))) if expression.kind is Kind.NUMBER:
                return [*self.number(of), ("fill_number", value)]
            case Operation(name, operands) if name in _ARITHMETIC:
                return [*(step for each in operands for step in self.number(each)), (_ARITHMETIC[name],)]
            case _:
                return [*self.truth(expression), ("number_of_truth",)]

    def truth(self, expression: Expression) -> Program:
        match expression:
            case Column(path):
                return [("label_is_true", self._labels(path))]
            case Literal(value):
                return [("known", value)]
            case Operation("&", (a, b)):
                return [*self.truth(a), *self.truth(b), ("and",)]
            case Operation("|", (a, b)):
                return [*self.truth(a), *self.truth(b), ("or",)]
            case Operation("~", (of,)):
                return [*self.truth(of), ("not",)]
            case Operation("is_null", (of,)):
                return self._is_null(of)
            case Operation("is_not_null", (of,)):
                return [*self._is_null(of), ("not",)]
            case Operation("fill_null", (of, Literal(value))):
                return [*self.truth(of), ("fill_truth", value)]
            case Operation("is_in", (of, *values)):
                return self._is_in(of, [each.value for each in values if isinstance(each, Literal)])
            case Operation("between", (of, low, high)):
                return [*self._compare(">=", of, low), *self._compare("<=", of, high), ("and",)]
            case Operation("!=", (a, b)):
                return [*self._compare("==", a, b), ("not",)]
            case Operation(sign, (a, b)):
                return self._compare(sign, a, b)
        raise TypeError(f"{expression!r} is no condition")

    def _is_null(self, of: Expression) -> Program:
        if isinstance(of, Column):
            return [("label_is_null", self._labels(of.path))]
        if of.kind is Kind.NUMBER:
            return [*self.number(of), ("number_is_null",)]
        return [*self.truth(of), ("truth_is_null",)]

    def _is_in(self, of: Expression, values: list[Any]) -> Program:
        by_label = not values or any(isinstance(value, str | bool) for value in values)
        if by_label and isinstance(of, Column):
            return [("label_is_in", self._labels(of.path), values)]
        return [*self.number(of), ("number_is_in", values)]

    def _compare(self, sign: str, a: Expression, b: Expression) -> Program:
        match a, b:
            case (Literal(), Column()) if a.kind is Kind.TEXT:
                return self._compare(_SWAPPED[sign], b, a)
            case (Column(path), Literal(value)) if b.kind is Kind.TEXT:
                return [("label_compares", self._labels(path), sign, value)]
            case _ if Kind.TRUTH in (a.kind, b.kind):
                return [*self.truth(a), *self.truth(b), ("truths_equal",)]
            case (Column(first), Column(second)) if sign == "==":
                return [("labels_equal", self._labels(first), self._labels(second))]
            case _:
                return [*self.number(a), *self.number(b), ("compare", sign)]
