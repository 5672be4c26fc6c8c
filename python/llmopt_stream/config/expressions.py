"""Expressions over fields as text, written as in Python: `col('data.cost_usd') / col('data.tokens') > 0.001`.

The text is parsed, never run: only what `ls.col` has is known.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from llmopt_stream.columns import Expression, col, condition_of
from llmopt_stream.errors import ConfigurationError

__all__ = ["condition_from", "expression_from"]

_LONGEST = 10_000

_INFIXES: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.BitAnd: lambda a, b: a & b,
    ast.BitOr: lambda a, b: a | b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
}
_METHODS = {"is_null": 0, "is_not_null": 0, "is_in": 1, "between": 2, "fill_null": 1}
"""How many arguments each has."""


def expression_from(text: str) -> Expression:
    """The expression that a text says; a ConfigurationError tells what it cannot be.

    >>> expression_from("col('cost_usd') * 1000 / col('tokens')")
    (col('cost_usd') * 1000) / col('tokens')
    """
    if len(text) > _LONGEST:
        raise ConfigurationError(f"it is longer than {_LONGEST} characters")
    try:
        parsed = ast.parse(text.strip(), mode="eval").body
        value = _Reading(text).value(parsed)
    except SyntaxError as error:
        raise ConfigurationError(
            f"{text!r} is no expression: {error.msg} at character {error.offset}"
        ) from error
    except (RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{text[:60]!r} is no expression: {error}") from error
    if not isinstance(value, Expression):
        raise ConfigurationError(f"{text!r} is of no field; expected e.g. \"col('data.latency_ms') / 1000\"")
    return value


def condition_from(text: str) -> Expression:
    """The condition that a text says.

    >>> condition_from("(col('status') == 'ok') & col('ms').between(1, 10)")
    (col('status') == 'ok') & col('ms').between(1, 10)
    """
    return condition_of(expression_from(text), text)


class _Reading:
    def __init__(self, text: str) -> None:
        self._text = text

    def value(self, node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)) if (
                value is not True
            ):
                return -value
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._expression(operand)
            case ast.UnaryOp(op=ast.Invert(), operand=operand):
                return ~self._expression(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _INFIXES:
                return self._infix(node, left, op, right)
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _INFIXES:
                return self._infix(node, left, op, right)
            case ast.Compare(ops=[_, _, *_]):
                raise self._refused(node, "write a < x < b as x.between(a, b) or (a < x) & (x < b)")
            case ast.BoolOp() | ast.UnaryOp(op=ast.Not()):
                raise self._refused(
                    node, "combine conditions by & and |, negate them by ~, each in parentheses"
                )
            case ast.Call(func=ast.Name(id="col"), args=[ast.Constant(value=str() as path)], keywords=[]):
                return col(path)
            case ast.Call(func=ast.Name(id="abs"), args=[of], keywords=[]):
                return abs(self._expression(of))
            case ast.Call(func=ast.Attribute(value=of, attr=name), args=arguments, keywords=[]) if (
                _METHODS.get(name) == len(arguments)
            ):
                return self._method(of, name, arguments)
            case _:
                methods = ", ".join(f".{each}()" for each in _METHODS)
                raise self._refused(
                    node,
                    f"expected col('path'), numbers, texts, + - * /, comparisons, & | ~, abs() and {methods}",
                )

    def _infix(self, node: ast.AST, left: ast.AST, op: ast.AST, right: ast.AST) -> Any:
        operands = self.value(left), self.value(right)
        if not any(isinstance(each, Expression) for each in operands):
            raise self._refused(node, "one of the sides must have a field")
        return _INFIXES[type(op)](*operands)

    def _method(self, of: ast.AST, name: str, arguments: list[ast.expr]) -> Any:
        receiver = self._expression(of)
        if name == "is_in":
            if not isinstance(arguments[0], ast.List | ast.Tuple):
                raise self._refused(arguments[0], "expected a list")
            return receiver.is_in([self.value(each) for each in arguments[0].elts])
        return getattr(receiver, name)(*(self.value(each) for each in arguments))

    def _expression(self, node: ast.AST) -> Expression:
        value = self.value(node)
        if not isinstance(value, Expression):
            raise self._refused(node, "it must have a field")
        return value

    def _refused(self, node: ast.AST, expected: str) -> ConfigurationError:
        said = ast.get_source_segment(self._text.strip(), node) or self._text
        return ConfigurationError(f"{said!r} is not understood; {expected}")
