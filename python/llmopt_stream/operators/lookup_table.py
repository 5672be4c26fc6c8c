"""Tables that records are looked up in: one row for each key."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmopt_stream._optional import needs
from llmopt_stream.columns import field_path
from llmopt_stream.errors import ConfigurationError, PipelineError
from llmopt_stream.file_formats import FileFormat, TableFile, format_of
from llmopt_stream.intake import arrow_rows
from llmopt_stream.units import Duration, duration_micros, duration_text

from .fields import as_mapping

__all__ = ["LookupTable", "Matching", "RefreshingTable", "lookup_key", "matching_of"]

_EXPECTED = "a dict {key: fields}, a list of dicts, anything with __arrow_c_stream__, a path, a RefreshingTable or a builder"


class RefreshingTable:
    """A table that is loaded anew every now and then: `load()` gives whatever else `enrich` takes as a table.

    It is called when the first record comes, and again once the clock has advanced by `every`. If it fails, what was
    loaded before stays, and the error policy says whether the pipeline goes on. Snapshots hold the table.

    >>> from llmopt_stream import create_pipeline
    >>> prices = RefreshingTable(lambda: {"gpt-4o": {"price": 5.0}}, every="5m")
    >>> builder = create_pipeline().with_event_time("t", unit="s").enrich(prices, on="model")
    >>> [event.data["price"] for event in builder.open().push([{"t": 1, "model": "gpt-4o"}])]
    [5.0]
    """

    def __init__(self, load: Callable[[], Any], *, every: Duration) -> None:
        if not callable(load):
            raise ConfigurationError(f"RefreshingTable: load: {load!r} is not callable")
        self.load = load
        self.every = duration_micros(every, "RefreshingTable: every", least=1)

    def __repr__(self) -> str:
        name = getattr(self.load, "__name__", type(self.load).__name__)
        return f"RefreshingTable({name}, every={duration_text(self.every)!r})"


@dataclass(frozen=True)
class Matching:
    """Which paths of records are compared with which columns."""

    paths: tuple[str, ...]
    columns: tuple[str, ...]

    def __str__(self) -> str:
        pairs = zip(self.paths, self.columns, strict=True)
        return ", ".join(path if path == column else f"{path}={column}" for path, column in pairs)


def matching_of(on: Any) -> Matching:
    """As `enrich` is told."""
    if isinstance(on, Mapping):
        pairs = list(on.items())
    elif isinstance(on, str):
        pairs = [(on, on)]
    elif isinstance(on, Sequence):
        pairs = [(path, path) for path in on]
    else:
        pairs = []
    if not pairs:
        raise ConfigurationError(
            f"enrich: on: {on!r} is neither a field path, a list of them nor {{field path: column of the table}}"
        )
    for path, column in pairs:
        field_path(path, "enrich: on")
        field_path(column, "enrich: on")
    paths, columns = zip(*pairs, strict=True)
    if len(set(paths)) < len(paths) or len(set(columns)) < len(columns):
        raise ConfigurationError(f"enrich: on: {on!r} names a field twice")
    return Matching(paths, columns)


def lookup_key(values: Iterable[Any]) -> tuple[Any, ...] | None:
    """What equal keys have in common: 1 equals 1.0, but True is not 1. None where a value equals nothing: null, NaN,
    or what cannot be hashed.

    >>> lookup_key([1, "a"]) == lookup_key([1.0, "a"]), lookup_key([True]) == lookup_key([1])
    (True, False)
    >>> [lookup_key([value]) for value in (None, float("nan"), [])]
    [None, None, None]
    """
    key = []
    try:
        for value in values:
            if value is None or not value == value:  # noqa: PLR0124, SIM201 - NaN
                return None
            is_truth = isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", "") == "b"
            key.append((is_truth, value))
        hash(tuple(key))
    except (TypeError, ValueError, ArithmeticError):  # pandas.NA, arrays, signalling NaN
        return None
    return tuple(key)


@dataclass(frozen=True)
class LookupTable:
    """Its columns but those of the key, and the rows by their keys."""

    columns: tuple[str, ...] = ()
    rows: Mapping[tuple[Any, ...], Mapping[str, Any]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, table: Any, matching: Matching) -> LookupTable:
        """From whatever `enrich` takes; ConfigurationError for what is no table with these columns."""
        keyed = _keyed_rows(table, matching) if isinstance(table, Mapping) else _listed_rows(table, matching)
        rows: dict[tuple[Any, ...], Mapping[str, Any]] = {}
        columns: dict[str, None] = {}
        for values, row in keyed:
            named = {name: value for name, value in row.items() if name not in matching.columns}
            columns.update(dict.fromkeys(named))
            key = lookup_key(values)
            if key is None:
                continue
            if key in rows:
                said = dict(zip(matching.columns, values, strict=True))
                raise ConfigurationError(
                    f"enrich: table: there are several rows of the key {said!r}; a lookup table has one of each"
                )
            rows[key] = named
        return cls(tuple(columns), rows)

    def to_state(self) -> list[Any]:
        """Of types that `exact_json` takes."""
        return [
            list(self.columns),
            [[[value for _, value in key], dict(row)] for key, row in self.rows.items()],
        ]

    @classmethod
    def of_state(cls, state: list[Any]) -> LookupTable:
        columns, rows = state
        return cls(tuple(columns), {lookup_key(values) or (): row for values, row in rows})


_Row = tuple[Sequence[Any], Mapping[str, Any]]
"""The values of the key, and all fields."""


def _keyed_rows(table: Mapping[Any, Any], matching: Matching) -> Iterator[_Row]:
    several = len(matching.columns) > 1
    for key, fields in table.items():
        values = key if several else (key,)
        if several and (not isinstance(key, tuple) or len(key) != len(matching.columns)):
            raise ConfigurationError(
                f"enrich: table: the key {key!r} is no tuple of {', '.join(matching.columns)}"
            )
        yield values, _fields_of(fields)


def _listed_rows(table: Any, matching: Matching) -> Iterator[_Row]:
    rows = [_fields_of(row) for row in _rows_of(table)]
    columns = {name for row in rows for name in row}
    for column in matching.columns:
        if rows and column not in columns:
            raise ConfigurationError(
                f"enrich: table: there is no column {column!r} among {', '.join(sorted(map(str, columns)))}; if it is "
                f"called otherwise, on={{field path: column}} says so"
            )
    for row in rows:
        yield [row.get(column) for column in matching.columns], row


def _fields_of(row: Any) -> Mapping[str, Any]:
    try:
        return as_mapping(row)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"enrich: table: {row!r} is no row; expected a dict of fields") from error


def _rows_of(table: Any) -> Iterable[Any]:
    if isinstance(table, str | os.PathLike):
        return _rows_of_file(os.fspath(table))
    if hasattr(table, "__arrow_c_stream__"):
        reader = needs("pyarrow", "arrow").RecordBatchReader.from_stream(table)
        return [row for batch in reader for row in arrow_rows(batch)]
    if not isinstance(table, Iterable):
        raise ConfigurationError(f"enrich: table: {table!r} is no table; expected {_EXPECTED}")
    return table


def _rows_of_file(path: str) -> list[Any]:
    try:
        format = format_of(path, None)
        if format is FileFormat.NDJSON:
            return list(_rows_of_ndjson(path))
        return [row for batch in TableFile(path, format, None).batches() for row in arrow_rows(batch)]
    except (OSError, PipelineError, ConfigurationError) as error:
        raise ConfigurationError(f"enrich: table: {path!r}: {error}") from error


def _rows_of_ndjson(path: str) -> Iterator[Any]:
    if path.endswith(".zst"):
        opened = needs("pyarrow", "arrow").input_stream(path, compression="zstd")
    else:
        opened = gzip.open(path) if path.endswith(".gz") else Path(path).open("rb")  # noqa: SIM115
    with opened as file:
        for number, line in enumerate(file.read().splitlines(), start=1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ConfigurationError(f"line {number} is no JSON: {error}") from error
