"""Expressions over fields of records: what is computed of them, and which records count."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from typing import Any, NoReturn

from .errors import ConfigurationError

__all__ = ["Column", "Expression", "Kind", "Literal", "Operation", "col", "condition_of", "field_path"]


class Kind(Enum):
    """What an expression gives for a record. A field alone gives whatever is asked of it."""

    FIELD = "a field"
    NUMBER = "a number"
    TEXT = "text"
    TRUTH = "true or false"


class Expression:
    """Something that is computed of each record, in C++: made of `col(path)`, numbers, texts and bools.

    Numbers: `+`, `-`, `*`, `/`, `-x`, `abs(x)`; results are floats. Truths: `==`, `!=`, `<`, `<=`, `>`,
    `>=`, `is_in`, `between`, `is_null`, `is_not_null`, combined by `&`, `|` and `~` (in parentheses: these bind
    more strongly than comparisons). `==` and `!=` of two fields compare the values as they are, integers exactly;
    other comparisons compare floats, but for columns of integers.

    Null follows from null, as in polars: an operation on null gives null, also a comparison; `&` and `|` are
    Kleene's; a division by zero is null, and so are NaN, infinities, and values of another type than is asked
    for. A condition selects the records for which it is true.

    >>> (col("cost_usd") * 1000 / col("tokens")).fill_null(0)
    ((col('cost_usd') * 1000) / col('tokens')).fill_null(0)
    >>> (col("status") == "ok") & col("latency_ms").is_not_null()
    (col('status') == 'ok') & col('latency_ms').is_not_null()
    """

    __array_ufunc__ = None  # so that NumPy's numbers leave operations to this class

    @property
    def kind(self) -> Kind:
        raise NotImplementedError

    def __add__(self, other: Any) -> Expression:
        return Operation("+", self, other)

    def __radd__(self, other: Any) -> Expression:
        return Operation("+", other, self)

    def __sub__(self, other: Any) -> Expression:
        return Operation("-", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return Operation("-", other, self)

    def __mul__(self, other: Any) -> Expression:
        return Operation("*", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return Operation("*", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return Operation("/", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return Operation("/", other, self)

    def __neg__(self) -> Expression:
        return Operation("negative", self)

    def __abs__(self) -> Expression:
        return Operation("abs", self)

    def __eq__(self, other: object) -> Expression:  # type: ignore[override]
        return Operation("==", self, other)

    def __ne__(self, other: object) -> Expression:  # type: ignore[override]
        return Operation("!=", self, other)

    def __lt__(self, other: Any) -> Expression:
        return Operation("<", self, other)

    def __le__(self, other: Any) -> Expression:
        return Operation("<=", self, other)

    def __gt__(self, other: Any) -> Expression:
        return Operation(">", self, other)

    def __ge__(self, other: Any) -> Expression:
        return Operation(">=", self, other)

    def __and__(self, other: Any) -> Expression:
        return Operation("&", self, other)

    def __rand__(self, other: Any) -> Expression:
        return Operation("&", other, self)

    def __or__(self, other: Any) -> Expression:
        return Operation("|", self, other)

    def __ror__(self, other: Any) -> Expression:
        return Operation("|", other, self)

    def __invert__(self) -> Expression:
        return Operation("~", self)

    def is_null(self) -> Expression:
        """Whether there is no value: of a field, whether it is missing, null, not finite or no scalar."""
        return Operation("is_null", self)

    def is_not_null(self) -> Expression:
        """Whether there is a value."""
        return Operation("is_not_null", self)

    def is_in(self, values: Iterable[Any]) -> Expression:
        """Whether it is one of these numbers, texts or bools.

        >>> col("model").is_in(["opus", "haiku"])
        col('model').is_in(['opus', 'haiku'])
        """
        if isinstance(values, str | bytes) or not isinstance(values, Iterable):
            raise ConfigurationError(
                f"{self!r}.is_in({values!r}): expected a list of numbers, texts or bools"
            )
        return Operation("is_in", self, *values)

    def between(self, low: Any, high: Any) -> Expression:
        """Whether it is at least `low` and at most `high`."""
        return Operation("between", self, low, high)

    def fill_null(self, value: Any) -> Expression:
        """The number, or for conditions the bool, where there is null."""
        return Operation("fill_null", self, value)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __bool__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is true or false only of a record; combine conditions by & and |, negate them by ~, each in "
            "parentheses, and write a < x < b as x.between(a, b) or (a < x) & (x < b)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class Column(Expression):
    """A field of each record, by its dotted path."""

    path: str

    @property
    def kind(self) -> Kind:
        return Kind.FIELD

    def __repr__(self) -> str:
        return f"col({self.path!r})"


@dataclass(frozen=True, eq=False, repr=False)
class Literal(Expression):
    """A number, a text or a bool."""

    value: int | float | str | bool

    @property
    def kind(self) -> Kind:
        if isinstance(self.value, bool):
            return Kind.TRUTH
        return Kind.TEXT if isinstance(self.value, str) else Kind.NUMBER

    def __repr__(self) -> str:
        return repr(self.value)


_ARITHMETIC = ("+", "-", "*", "/", "negative", "abs")
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_LOGIC = ("&", "|", "~")
_PREFIXES = {"negative": "-", "~": "~"}
_INFIXES = ("+", "-", "*", "/", *_COMPARISONS, "&", "|")


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Operation(Expression):
    """What an operator or a method of expressions makes of its operands."""

    name: str
    operands: tuple[Expression, ...]

    def __init__(self, name: str, *operands: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "operands", tuple(operands))  # for messages
        object.__setattr__(self, "operands", tuple(self._operand(each) for each in operands))
        self._check()

    @property
    def kind(self) -> Kind:
        if self.name == "fill_null":
            return self.operands[1].kind
        return Kind.NUMBER if self.name in _ARITHMETIC else Kind.TRUTH

    def _operand(self, value: Any) -> Expression:
        if isinstance(value, Expression):
            return value
        if isinstance(value, bool | str):
            return Literal(value if isinstance(value, bool) else str(value))
        if type(value).__name__ in ("bool", "bool_") and hasattr(value, "item"):  # NumPy's
            return Literal(bool(value))
        if isinstance(value, Integral) and -(2**63) <= int(value) < 2**63:
            return Literal(int(value))
        if isinstance(value, Real | Decimal):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return Literal(number)
            raise ConfigurationError(f"{self!r}: {value!r} is not finite, and what is not finite is null")
        hint = "; for null there are is_null() and is_not_null()" if value is None else ""
        raise ConfigurationError(
            f"{self!r}: {value!r} is no number, text, bool or expression such as col('data.latency_ms'){hint}"
        )

    def _check(self) -> None:
        first, *others = self.operands
        kinds = {each.kind for each in self.operands} - {Kind.FIELD}
        if self.name in _ARITHMETIC:
            self._require(Kind.NUMBER, *self.operands)
        elif self.name in _LOGIC:
            self._require(Kind.TRUTH, *self.operands)
        elif self.name in (*_COMPARISONS, "between", "is_in"):
            if len(kinds) > 1:
                what = " with ".join(sorted(kind.value for kind in kinds))
                raise ConfigurationError(f"{self!r} compares {what}")
            if kinds == {Kind.TRUTH} and self.name not in ("==", "!=", "is_in"):
                raise ConfigurationError(f"{self!r}: true and false have no order; expected numbers or texts")
            if self.name == "is_in" and (
                first.kind is Kind.TRUTH or not all(isinstance(each, Literal) for each in others)
            ):
                raise ConfigurationError(
                    f"{self!r}: expected a field or a number, and a list of numbers, texts or bools"
                )
        elif self.name == "fill_null":
            if not isinstance(others[0], Literal) or others[0].kind is Kind.TEXT:
                raise ConfigurationError(f"{self!r}: null is filled with a number or a bool")
            self._require(others[0].kind, first)

    def _require(self, kind: Kind, *operands: Expression) -> None:
        for each in operands:
            if each.kind not in (kind, Kind.FIELD):
                raise ConfigurationError(f"{self!r}: {each!r} is {each.kind.value}, expected {kind.value}")

    def __repr__(self) -> str:
        first, *others = self.operands
        if self.name == "abs":
            return f"abs({first!r})"
        if self.name in _PREFIXES:
            return f"{_PREFIXES[self.name]}{_operand_text(first)}"
        if self.name in _INFIXES:
            return f"{_operand_text(first)} {self.name} {_operand_text(others[0])}"
        arguments = ", ".join(map(repr, others))
        of = _operand_text(first, is_receiver=True)
        return f"{of}.{self.name}({f'[{arguments}]' if self.name == 'is_in' else arguments})"


def _operand_text(operand: Any, *, is_receiver: bool = False) -> str:
    """In parentheses where it needs them."""
    names = (*_INFIXES, *_PREFIXES) if is_receiver else _INFIXES
    return f"({operand!r})" if isinstance(operand, Operation) and operand.name in names else repr(operand)


def col(path: str) -> Column:
    """The field at a dotted path, to compute with.

    >>> col("data.cost_usd") / col("data.tokens") > 0.001
    (col('data.cost_usd') / col('data.tokens')) > 0.001
    """
    return Column(field_path(path, "col"))


def field_path(field: object, setting: str) -> str:
    """The path itself if it is one; a ConfigurationError that names the setting if not."""
    if not isinstance(field, str) or not all(field.split(".")):
        raise ConfigurationError(
            f"{setting}: {field!r} is not a field path; expected text such as 'data.latency_ms'"
        )
    return field


def condition_of(said: object, setting: str) -> Expression:
    """The expression itself if it is one that can be true or false; a ConfigurationError that names the setting if
    not.
    """
    if isinstance(said, Expression) and said.kind in (Kind.TRUTH, Kind.FIELD):
        return said
    raise ConfigurationError(
        f"{setting}: {said!r} is not a condition; expected one such as ls.col('data.status') == 'ok'"
    )
