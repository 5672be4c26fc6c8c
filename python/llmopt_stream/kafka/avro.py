"""Avro schemas, of which no payload can cost more than its bytes do, and payloads as records."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from llmopt_stream._optional import needs
from llmopt_stream.errors import SerializationError

__all__ = ["avro_reader"]

_EXTRA = "schema-registry"
_MOST_LEVELS = 100
"""Of values within values. fastavro reads them by recursion in C, which ends the process where it is too deep."""
_MOST_JSON_LEVELS = 4 * _MOST_LEVELS
"""Of a schema: a record's type, its fields, one of these, a union."""
_MOST_FREE_PER_BYTE = 16
"""Of the values that take no bytes, such as nulls: how many an item of an array or map has for each of its bytes."""
_MOST_FREE = 1000
"""And how many there are in a record besides: types within types double them without a byte."""
_DECIMAL = "llmopt-stream-decimal"
"""A logical type of our own in place of `decimal`, which fastavro reads whatever its length."""
_MOST_DECIMAL_BYTES = 512
"""Beyond float64 by far; of longer ones the time to convert them grows with the square."""


def avro_reader(schema: str, referred: Sequence[str]) -> Callable[[bytes], Any]:
    """What makes records of payloads: of a schema, and those that it refers to, each after those it refers to itself.

    Raises whatever a schema or payload leads to; a SerializationError where a payload of the schema could cost more
    than its bytes do.
    """
    fastavro = needs("fastavro", _EXTRA)
    readers = needs("fastavro.read", _EXTRA).LOGICAL_READERS
    readers[f"bytes-{_DECIMAL}"] = readers[f"fixed-{_DECIMAL}"] = _decimal
    named: dict[str, Any] = {}
    for each in referred:
        fastavro.parse_schema(_contents(each), named_schemas=named)
    parsed = fastavro.parse_schema(_contents(schema), named_schemas=named)
    if _Costs(named).of(parsed).free > _MOST_FREE:
        raise SerializationError(f"more than {_MOST_FREE} values take no bytes")

    def read(payload: bytes) -> Any:
        stream = io.BytesIO(payload)
        record = fastavro.schemaless_reader(stream, parsed, None)
        if stream.tell() != len(payload):
            raise SerializationError(f"{len(payload) - stream.tell()} bytes are left over")
        return record

    return read


def _contents(schema: str) -> Any:
    contents = json.loads(schema, object_hook=_with_own_decimal)
    level, levels = [contents], 0
    while level:
        levels += 1
        if levels > _MOST_JSON_LEVELS:
            raise SerializationError(f"it has more than {_MOST_JSON_LEVELS} levels")
        level = [below for each in level for below in _entries(each)]
    return contents


def _entries(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _with_own_decimal(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "logicalType": _DECIMAL} if schema.get("logicalType") == "decimal" else schema


def _decimal(unscaled: bytes, schema: Mapping[str, Any], *_: Any) -> Decimal:
    if len(unscaled) > _MOST_DECIMAL_BYTES:
        raise SerializationError(f"a decimal of {len(unscaled)} bytes")
    sign, digits, _exponent = Decimal(int.from_bytes(unscaled, signed=True)).as_tuple()
    return Decimal((sign, digits, -int(schema.get("scale", 0))))


class _Cost(NamedTuple):
    """Of a value: the fewest bytes that it takes, how many values in it may take none, and how deep it is."""

    size: int
    free: int
    levels: int


class _Costs:
    """Of the types of a schema. A SerializationError names what is without bounds."""

    def __init__(self, named: Mapping[str, Any]) -> None:
        self._named = named
        self._known: dict[str, _Cost] = {}
        self._open: set[str] = set()

    def of(self, schema: Any) -> _Cost:
        cost = self._cost(schema)
        if cost.levels > _MOST_LEVELS:
            raise SerializationError(f"its records have more than {_MOST_LEVELS} levels")
        return cost

    def _cost(self, schema: Any) -> _Cost:
        if isinstance(schema, list):
            costs = [self.of(each) for each in schema]
            return _Cost(1, max(each.free for each in costs), max(each.levels for each in costs))
        if isinstance(schema, str):
            return self._of_name(schema) if schema in self._named else _scalar(0 if schema == "null" else 1)
        kind = schema["type"]
        if kind in ("array", "map"):
            return self._of_items(schema["items" if kind == "array" else "values"], kind)
        if kind in ("record", "error"):
            return self._of_record(schema)
        if kind == "fixed":
            return _scalar(schema["size"])
        return _scalar(0 if kind == "null" else 1)

    def _of_name(self, name: str) -> _Cost:
        if name in self._open:
            raise SerializationError(f"the type {name!r} contains itself, and such schemas are refused")
        if name not in self._known:
            self._known[name] = self.of(self._named[name])
        return self._known[name]

    def _of_record(self, schema: Mapping[str, Any]) -> _Cost:
        self._open.add(schema["name"])
        costs = [self.of(field["type"]) for field in schema["fields"]]
        self._open.remove(schema["name"])
        size = sum(each.size for each in costs)
        free = sum(each.free for each in costs) or int(size == 0)
        return _Cost(size, free, 1 + max((each.levels for each in costs), default=0))

    def _of_items(self, items: Any, kind: str) -> _Cost:
        cost = self.of(items)
        # Each entry of a map has the length of its key, too.
        size = cost.size + (kind == "map")
        if cost.free > _MOST_FREE_PER_BYTE * size:
            raise SerializationError(
                f"the items of a type {kind!r} take no bytes, and such schemas are refused"
            )
        return _Cost(1, 0, 1 + cost.levels)


def _scalar(size: int) -> _Cost:
    return _Cost(max(size, 0), int(size <= 0), 1)
