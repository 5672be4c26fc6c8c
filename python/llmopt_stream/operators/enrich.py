"""Records with the fields of a table's row of the same key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.events import GroupingKey

from .fields import as_mapping, field_of
from .flow import END, FlowWriter
from .lookup_table import LookupTable, Matching, RefreshingTable, lookup_key
from .operator import Context, Operator, Work

__all__ = ["Enrich", "Enriching"]


@dataclass(frozen=True)
class Enriching:
    """Which fields records are given, and what becomes of those that there is nothing for."""

    matching: Matching
    how: str
    prefix: str
    missing: str

    def __post_init__(self) -> None:
        for name, said, known in (
            ("how", self.how, ("left", "inner")),
            ("missing", self.missing, ("null", "error")),
        ):
            if said not in known:
                raise ConfigurationError(f"enrich: {name}: {said!r} is not {' or '.join(map(repr, known))}")
        if not isinstance(self.prefix, str):
            raise ConfigurationError(f"enrich: prefix: {self.prefix!r} is no text")

    def __str__(self) -> str:
        parts = [f"on {self.matching}", self.how]
        parts += [f"prefix {self.prefix!r}"] if self.prefix else []
        parts += ["missing keys are errors"] if self.missing == "error" else []
        return ", ".join(parts)

    def key_of(self, record: Any) -> tuple[Any, ...] | None:
        """The record's key as tables have it."""
        return lookup_key(field_of(record, path) for path in self.matching.paths)

    def enriched(self, record: Any, row: Any, columns: Iterable[str]) -> dict[str, Any] | None:
        """The record with the row's fields; None if it does not go on. The record's own fields stay as they are."""
        if row is None and self.missing == "error":
            key = {path: field_of(record, path) for path in self.matching.paths}
            raise LookupError(f"there is no row of the key {key!r}")
        if row is None and self.how == "inner":
            return None
        made = as_mapping(record)
        for name in columns:
            made.setdefault(self.prefix + name, None if row is None else row.get(name))
        return made


@dataclass(frozen=True)
class Enrich(Operator):
    """Records with the fields of a table that is looked up."""

    table: LookupTable | RefreshingTable = field(repr=False)
    said: str
    """What the table is, in words."""
    enriching: Enriching
    path: str | None = None
    """The file that the table is of, if it is."""

    @property
    def name(self) -> str:
        return "enrich"

    def describe(self) -> str:
        return f"from {self.said} {self.enriching}"

    @property
    def uses_clock(self) -> bool:
        return isinstance(self.table, RefreshingTable)

    def work(self, context: Context) -> Work:
        return _LookingUp(self, context)


class _LookingUp(Work):
    _operator: Enrich

    def __init__(self, operator: Enrich, context: Context) -> None:
        super().__init__(operator, context)
        table = operator.table
        self._refreshing = table if isinstance(table, RefreshingTable) else None
        self._table = table if isinstance(table, LookupTable) else LookupTable()
        self._now = 0
        self._due: int | None = None
        """When to load the table; None before it is needed."""

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        if self._refreshing is not None and self._due is None:
            self._load(self._refreshing)
        made = self.attempt(lambda: self._enriched(record), method="lookup", record=record, key=key)
        if made is None:
            return
        if made[0] is None:
            self.left_out += 1
        else:
            out.add(made[0], time, key)

    def _enriched(self, record: Any) -> dict[str, Any] | None:
        enriching, table = self._operator.enriching, self._table
        key = enriching.key_of(record)
        return enriching.enriched(record, None if key is None else table.rows.get(key), table.columns)

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        if watermark == END and self._refreshing is not None:
            self._table, self._due = LookupTable(), None

    def on_processing_time(self, now: int, out: FlowWriter) -> None:
        self._now = now
        if self._refreshing is not None and self._due is not None and now >= self._due:
            self._load(self._refreshing)

    def _load(self, refreshing: RefreshingTable) -> None:
        self._due = self._now + refreshing.every
        matching = self._operator.enriching.matching
        loaded = self.attempt(lambda: LookupTable.of(refreshing.load(), matching), method="load")
        if loaded is not None:
            self._table = loaded[0]

    def live(self) -> int:
        return 0 if self._refreshing is None else len(self._table.rows)

    def get_state(self) -> Any:
        if self._refreshing is None:
            return None
        return [self._now, self._due, self._table.to_state()]

    def set_state(self, state: Any) -> None:
        if state is not None:
            self._now, self._due, table = state
            self._table = LookupTable.of_state(table)
