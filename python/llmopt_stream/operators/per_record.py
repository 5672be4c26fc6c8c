"""Operators without state: each record by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llmopt_stream._optional import needs
from llmopt_stream.columns import Expression, Kind
from llmopt_stream.events import GroupingKey
from llmopt_stream.programs import fields_of, truth_program

from .fields import as_mapping, field_of
from .flow import Flow, FlowWriter
from .operator import Context, CoreStep, Operator, Work, name_of
from .panes import PaneRecord, plain

__all__ = ["Filter", "FlatMap", "Map", "MapBatches", "Select", "Where", "a_record"]


@dataclass(frozen=True)
class Map(Operator):
    """Another record for each."""

    fn: Callable[[Any], Any]

    @property
    def name(self) -> str:
        return "map"

    def describe(self) -> str:
        return name_of(self.fn)

    def work(self, context: Context) -> Work:
        return _Mapping(self, context)


class _Mapping(Work):
    _operator: Map

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        fn = self._operator.fn
        made = self.attempt(lambda: a_record(fn(plain(record))), method=name_of(fn), record=record, key=key)
        if made is not None:
            out.add(made[0], time)


def a_record(made: Any) -> Any:
    """What a user's function made, if it is a record."""
    if isinstance(made, PaneRecord):
        return dict(made)  # what was changed of it is no result any more
    if made is None or isinstance(made, str | bytes | int | float | list | tuple):
        raise TypeError(f"it returned {made!r}, which is no record (a dict, dataclass, …)")
    return made


@dataclass(frozen=True)
class Filter(Operator):
    """Records for which a callable is true."""

    fn: Callable[[Any], Any]

    @property
    def name(self) -> str:
        return "filter"

    def describe(self) -> str:
        return name_of(self.fn)

    def work(self, context: Context) -> Work:
        return _Filtering(self, context)


class _Filtering(Work):
    _operator: Filter

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        fn = self._operator.fn
        kept = self.attempt(lambda: bool(fn(record)), method=name_of(fn), record=record, key=key)
        if kept is None:
            return
        if kept[0]:
            out.add(record, time, key)
        else:
            self.left_out += 1


@dataclass(frozen=True)
class FlatMap(Operator):
    """Any number of records for each."""

    fn: Callable[[Any], Iterable[Any] | None]

    @property
    def name(self) -> str:
        return "flat_map"

    def describe(self) -> str:
        return name_of(self.fn)

    def work(self, context: Context) -> Work:
        return _FlatMapping(self, context)


class _FlatMapping(Work):
    _operator: FlatMap

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        fn = self._operator.fn

        def call() -> list[Any]:
            made = fn(plain(record))
            if isinstance(made, Mapping | str | bytes):
                raise TypeError(f"it returned {made!r}, which is no list of records")
            return [a_record(each) for each in made or ()]

        made = self.attempt(call, method=name_of(fn), record=record, key=key)
        for each in made[0] if made else ():
            out.add(each, time)


@dataclass(frozen=True)
class Where(Operator):
    """Records for which an expression is true."""

    condition: Expression
    where: ClassVar[str] = "C++"

    @property
    def name(self) -> str:
        return "filter"

    def describe(self) -> str:
        return repr(self.condition)

    def core_step(self) -> CoreStep:
        read = fields_of(self.condition, as_truth=True)
        return CoreStep(
            read.numbers,
            read.labels,
            lambda values, labels: ("filter", truth_program(self.condition, values, labels)),
        )


@dataclass(frozen=True)
class Select(Operator):
    """Records of these fields only: of each a path or an expression, by its name."""

    fields: tuple[tuple[str, str | Expression], ...]
    where: ClassVar[str] = "expressions in C++, fields in Python per record"

    @property
    def name(self) -> str:
        return "select"

    def describe(self) -> str:
        return ", ".join(
            name if isinstance(of, str) and name == of else f"{name}={of!r}" for name, of in self.fields
        )

    def expressions(self) -> list[Expression]:
        """What is computed, in order."""
        return [of for _, of in self.fields if isinstance(of, Expression)]

    def select(self, record: Any, computed: Sequence[float | None]) -> dict[str, Any]:
        """The record's fields, with what was computed of it."""
        numbers = iter(computed)
        selected = {}
        for name, of in self.fields:
            if isinstance(of, str):
                selected[name] = field_of(record, of)
                continue
            number = next(numbers)
            selected[name] = bool(number) if number is not None and of.kind is Kind.TRUTH else number
        return selected


@dataclass(frozen=True)
class MapBatches(Operator):
    """A function of Arrow tables that gives a table of as many rows, each of which depends on its own row only."""

    fn: Callable[[Any], Any]
    where: ClassVar[str] = "Python per batch"

    @property
    def name(self) -> str:
        return "map_batches"

    def describe(self) -> str:
        return name_of(self.fn)

    def work(self, context: Context) -> Work:
        return _MappingBatches(self, context)


def _shape(value: Any) -> Any:
    """What says the Arrow type of a value; of a mapping also the order of its fields."""
    if isinstance(value, Mapping):
        return tuple((name, _shape(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return list, frozenset(map(_shape, value))
    return type(value)


class _MappingBatches(Work):
    _operator: MapBatches

    def __init__(self, operator: MapBatches, context: Context) -> None:
        super().__init__(operator, context)
        self._pyarrow = needs("pyarrow", "arrow")

    def run(self, flow: Flow) -> Flow:
        self.watermark = max(self.watermark, flow.after)
        if not flow.records:
            return flow
        try:
            made = self._made_of(flow.records)
        except Exception:  # noqa: BLE001 - what fails of a batch need not fail of each of its records
            return self._one_by_one(flow)
        self._records += len(made)
        return Flow(made, flow.times, [None] * len(made), flow.watermarks, flow.before)

    def _made_of(self, records: list[Any]) -> list[Any]:
        """Records of the same fields and types are a table, so that each row's types are its own."""
        rows = [as_mapping(record) for record in records]
        places: dict[Any, list[int]] = {}
        for place, row in enumerate(rows):
            places.setdefault(_shape(row), []).append(place)
        made: list[Any] = [None] * len(rows)
        for of_shape in places.values():
            for place, each in zip(of_shape, self._made_of_rows([rows[at] for at in of_shape]), strict=True):
                made[place] = each
        return made

    def _made_of_rows(self, rows: list[dict[str, Any]]) -> list[Any]:
        table = self._pyarrow.Table.from_pylist(rows)
        made = self._pyarrow.table(self._operator.fn(table))
        if made.num_rows != table.num_rows:
            raise ValueError(
                f"it returned {made.num_rows} rows for {table.num_rows}; one is needed for each, "
                "filter and flat_map give fewer or more"
            )
        return list(made.to_pylist())

    def _one_by_one(self, flow: Flow) -> Flow:
        out = FlowWriter(flow.before)
        for record, time, key, watermark in flow:
            self._records += 1
            made = self.attempt(
                lambda record=record: self._made_of([record])[0],  # type: ignore[misc]
                method=name_of(self._operator.fn),
                record=record,
                key=key,
            )
            if made is not None:
                out.add(made[0], time)
            out.mark(watermark)
        return out.flow
