"""Filters by expressions of polars and pyarrow, per batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice, product
from typing import Any, ClassVar

from llmopt_stream._optional import needs
from llmopt_stream.columns import field_path
from llmopt_stream.errors import ConfigurationError

from .fields import field_of
from .flow import Flow, FlowWriter
from .operator import Context, Operator, Work

__all__ = ["batch_filter"]

Column = tuple[str, Sequence[Any]]
"""What its values are, and these."""
Evaluate = Callable[[Sequence[str], Sequence[Column]], list[bool]]
"""Which rows of columns of these names are kept; an exception where the expression does not fit their types."""

_MOST_TRIALS = 1000


def batch_filter(condition: Any, fields: tuple[str, ...]) -> Operator:
    """The operator for an expression of another library."""
    evaluate: Evaluate
    if type(condition).__module__.startswith("polars"):
        polars = needs("polars", "polars")
        names = _names_of_polars(condition, polars, fields)
        evaluate = partial(_evaluate_polars, polars, _types_of_polars(polars), condition)
    else:
        pyarrow = needs("pyarrow", "arrow")
        names = _names_of_pyarrow(condition, fields)
        evaluate = partial(_evaluate_pyarrow, pyarrow, _types_of_pyarrow(pyarrow), condition)
    _check_row_wise(condition, names, evaluate)
    return BatchFilter(str(condition), names, evaluate)


@dataclass(frozen=True)
class BatchFilter(Operator):
    """Records for which an expression is true; null is not true.

    What becomes of a record does not depend on the others in its batch: records are evaluated together whose
    fields have the same types, which these have whatever else there is.
    """

    text: str
    fields: tuple[str, ...]
    evaluate: Evaluate = field(repr=False)
    where: ClassVar[str] = "Python per batch"

    @property
    def name(self) -> str:
        return "filter"

    def describe(self) -> str:
        return f"{self.text} of {', '.join(self.fields)}"

    def work(self, context: Context) -> Work:
        return _BatchFiltering(self, context)


class _BatchFiltering(Work):
    _operator: BatchFilter

    def __init__(self, operator: BatchFilter, context: Context) -> None:
        super().__init__(operator, context)
        self._types_of_nulls: dict[tuple[str, ...], tuple[str, ...]] = {}

    def run(self, flow: Flow) -> Flow:
        self.watermark = max(self.watermark, flow.after)
        out = FlowWriter(flow.before)
        kept = self._kept_of(flow.records)
        for index, (record, time, key, watermark) in enumerate(flow):
            self._records += 1
            is_kept = kept.get(index)
            if is_kept is None:
                made = self.attempt(
                    lambda record=record: self._is_kept(record),  # type: ignore[misc]
                    method=self._operator.text,
                    record=record,
                    key=key,
                )
                if made is not None:
                    is_kept = made[0]
            if is_kept:
                out.add(record, time, key)
            elif is_kept is not None:
                self.left_out += 1
            out.mark(watermark)
        return out.flow

    def _kept_of(self, records: Sequence[Any]) -> dict[int, bool]:
        """Of records by their places. Those are missing that are for themselves: of other than plain types, or
        in a group that fails, which need not fail of each.
        """
        groups: dict[tuple[str, ...], list[tuple[int, list[Any]]]] = {}
        for index, record in enumerate(records):
            try:
                row = [field_of(record, name) for name in self._operator.fields]
            except Exception:  # noqa: BLE001, S112 - users' code; it fails again where it is told of
                continue
            kinds = tuple(map(_kind_of, row))
            if _OTHER not in kinds:
                groups.setdefault(kinds, []).append((index, row))
        kept: dict[int, bool] = {}
        for kinds, rows in groups.items():
            try:
                kept_of_group = self._evaluate(kinds, [row for _, row in rows])
            except Exception:  # noqa: BLE001, S112 - as above
                continue
            kept.update(zip((index for index, _ in rows), kept_of_group, strict=True))
        return kept

    def _is_kept(self, record: Any) -> bool:
        row = [field_of(record, name) for name in self._operator.fields]
        return self._evaluate(tuple(map(_kind_of, row)), [row])[0]

    def _evaluate(self, kinds: tuple[str, ...], rows: Sequence[Sequence[Any]]) -> list[bool]:
        operator = self._operator
        kinds = self._with_types_of_nulls(kinds)
        columns = list(zip(kinds, zip(*rows, strict=True), strict=True))
        return operator.evaluate(operator.fields, columns)

    def _with_types_of_nulls(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Nulls as of the first type that the expression takes: text functions do not take null by itself."""
        nulls = kinds.count(_NULL)
        if not nulls:
            return kinds
        if kinds not in self._types_of_nulls:
            self._types_of_nulls[kinds] = next(
                (said for said in _trials(kinds, nulls) if self._takes(said)), kinds
            )
        return self._types_of_nulls[kinds]

    def _takes(self, kinds: tuple[str, ...]) -> bool:
        if _OTHER in kinds:
            return True
        try:
            self._operator.evaluate(self._operator.fields, [(kind, ()) for kind in kinds])
        except Exception:  # noqa: BLE001 - of another library's
            return False
        return True


def _trials(kinds: tuple[str, ...], nulls: int) -> Iterator[tuple[str, ...]]:
    of_nulls = (
        _NULL,
        "integer",
        "number",
        "text",
        "truth",
        "time",
        "UTC time",
        "date",
        "duration",
        "bytes",
        "list",
    )
    for types in islice(product(of_nulls, repeat=nulls), _MOST_TRIALS):
        said = iter(types)
        yield tuple(next(said) if kind == _NULL else kind for kind in kinds)


# What values are

_NULL, _OTHER = "null", "other"
_KINDS: dict[type, str] = {
    type(None): _NULL,
    bool: "truth",
    float: "number",
    str: "text",
    date: "date",
    timedelta: "duration",
    bytes: "bytes",
}


def _kind_of(value: Any) -> str:
    kind = type(value)
    if kind is int:
        return "integer" if -(2**63) <= value < 2**63 else _OTHER
    if kind is datetime:
        return "time" if value.tzinfo is None else "UTC time" if value.tzinfo is UTC else _OTHER
    return _KINDS.get(kind, _OTHER)


# polars


def _names_of_polars(condition: Any, polars: Any, fields: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(condition, polars.Expr):
        raise ConfigurationError(
            f"filter: condition: {condition!r} is no expression, such as pl.col('ms') > 0"
        )
    if fields:
        raise ConfigurationError(
            f"filter: fields: {list(fields)!r}: an expression of polars says by itself which columns it reads"
        )
    names = tuple(dict.fromkeys(condition.meta.root_names()))
    if not names or condition.meta.has_multiple_outputs():
        raise ConfigurationError(
            f"filter: condition: {condition!s} does not name the fields that it reads; expected columns by their "
            "paths, such as pl.col('data.latency_ms') > 0"
        )
    return names


def _types_of_polars(polars: Any) -> dict[str, Any]:
    return {
        _NULL: polars.Null,
        "truth": polars.Boolean,
        "integer": polars.Int64,
        "number": polars.Float64,
        "text": polars.String,
        "time": polars.Datetime("us"),
        "UTC time": polars.Datetime("us", "UTC"),
        "date": polars.Date,
        "duration": polars.Duration("us"),
        "bytes": polars.Binary,
        "list": polars.List(polars.Int64),
    }


def _evaluate_polars(
    polars: Any, types: dict[str, Any], condition: Any, names: Sequence[str], columns: Sequence[Column]
) -> list[bool]:
    series = [
        polars.Series(name, values, dtype=types.get(kind), strict=kind != _OTHER)
        for name, (kind, values) in zip(names, columns, strict=True)
    ]
    made = polars.DataFrame(series).select(condition).to_series()
    if made.dtype not in (polars.Boolean, polars.Null):
        raise TypeError(f"it gives {made.dtype}, not true or false")
    if len(made) != len(columns[0][1]):
        raise _NotRowWiseError(f"it gives {len(made)} values for {len(columns[0][1])} records")
    return [kept is True for kept in made.to_list()]


# pyarrow


def _names_of_pyarrow(condition: Any, fields: tuple[str, ...]) -> tuple[str, ...]:
    expression = needs("pyarrow.compute", "arrow").Expression
    if not isinstance(condition, expression):
        raise ConfigurationError(
            f"filter: condition: {condition!r} is no expression, such as pc.field('ms') > 0"
        )
    if not fields:
        raise ConfigurationError(
            f"filter: fields: an expression of pyarrow does not say which fields it reads; name them: "
            f".filter({condition!s}, fields=['data.latency_ms'])"
        )
    return tuple(dict.fromkeys(field_path(name, "filter: fields") for name in fields))


def _types_of_pyarrow(pyarrow: Any) -> dict[str, Any]:
    return {
        _NULL: pyarrow.null(),
        "truth": pyarrow.bool_(),
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "text": pyarrow.string(),
        "time": pyarrow.timestamp("us"),
        "UTC time": pyarrow.timestamp("us", "UTC"),
        "date": pyarrow.date32(),
        "duration": pyarrow.duration("us"),
        "bytes": pyarrow.binary(),
        "list": pyarrow.list_(pyarrow.int64()),
    }


_ROW = "\0row"


def _evaluate_pyarrow(
    pyarrow: Any, types: dict[str, Any], condition: Any, names: Sequence[str], columns: Sequence[Column]
) -> list[bool]:
    arrays = [pyarrow.array(values, type=types.get(kind), from_pandas=False) for kind, values in columns]
    rows = len(columns[0][1])
    table = pyarrow.table([*arrays, pyarrow.array(range(rows), pyarrow.int64())], [*names, _ROW])
    kept = [False] * rows
    for row in table.filter(condition)[_ROW].to_pylist():
        kept[row] = True
    return kept


# Whether each row is by itself


class _NotRowWiseError(ValueError):
    """There is not one value for each row."""


_ORDERS = ([0, 1, 2, 3, 4, 5, 6, 7], [5, 2, 7, 0, 3, 6, 1, 4])
_SAMPLES: list[tuple[str, list[Any]]] = [
    ("integer", [-1000, 1, 1, 2, 1, 5, 40, 3000]),
    ("number", [-1000.5, 0.25, 0.25, 2.5, 0.25, 5.0, 40.5, 3000.0]),
    ("text", ["", "a", "a", "b", "a", "ab", "ba", "z"]),
    ("truth", [True, False, False, True, False, False, True, True]),
    (
        "UTC time",
        [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=each) for each in (-9, 0, 0, 1, 0, 5, 30, 900)],
    ),
    ("time", [datetime(2026, 1, 1) + timedelta(hours=each) for each in (-9, 0, 0, 1, 0, 5, 30, 900)]),  # noqa: DTZ001
]


def _check_row_wise(condition: Any, names: Sequence[str], evaluate: Evaluate) -> None:
    """A sample of the first types that the expression takes gives in parts what it gives as a whole. An
    expression that takes none of them is taken as it is.
    """
    repeat = len(names)
    for samples in islice(product(_SAMPLES, repeat=repeat), _MOST_TRIALS):
        columns = [
            (kind, [values[(index + 3 * at) % len(values)] for index in range(len(values))])
            for at, (kind, values) in enumerate(samples)
        ]
        try:
            same = all(_is_row_wise(names, columns, evaluate, order) for order in _ORDERS)
        except _NotRowWiseError:
            same = False
        except Exception:  # noqa: BLE001, S112 - of another library's: the types do not fit
            continue
        if not same:
            raise ConfigurationError(
                f"filter: condition: {condition!s} is not row-wise: whether a record is kept depends on the other "
                "records of its batch; expected what can be said of each by itself"
            )
        return


def _is_row_wise(
    names: Sequence[str], columns: Sequence[Column], evaluate: Evaluate, order: Sequence[int]
) -> bool:
    def part(places: Sequence[int]) -> list[bool]:
        return evaluate(names, [(kind, [values[at] for at in places]) for kind, values in columns])

    whole = part(order)
    half = len(order) // 2
    halves = part(order[:half]) + part(order[half:])
    single = [kept for at in order for kept in part([at])]
    return whole == halves == single
