"""Fields of records of any type: mappings by item, everything else by attribute."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmopt_stream.events import GroupingKey

__all__ = ["MISSING", "as_mapping", "field_of", "key_of", "key_order"]

MISSING = object()


def field_of(record: Any, path: str) -> Any:
    """The value under a dotted path, whichever of its dots are part of names; None where there is none.

    >>> [field_of(record, "a.b") for record in ({"a": {"b": 1}}, {"a.b": 2}, {"a": 3})]
    [1, 2, None]
    """
    value = _find(record, path)
    return None if value is MISSING else value


def _find(record: Any, path: str) -> Any:
    value = _item(record, path)
    if value is not MISSING or "." not in path:
        return value
    dot = path.find(".")
    while dot >= 0:
        inner = _item(record, path[:dot])
        if inner is not MISSING and inner is not None:
            value = _find(inner, path[dot + 1 :])
            if value is not MISSING:
                return value
        dot = path.find(".", dot + 1)
    return MISSING


def _item(record: Any, name: str) -> Any:
    if isinstance(record, Mapping):
        return record.get(name, MISSING)
    return getattr(record, name, MISSING)


def key_of(record: Any, paths: Sequence[str]) -> GroupingKey:
    """The key under these paths; null where there is none. Numbers are their value, as keys of windows are.

    >>> key_of({"model": "a", "size": 2.0}, ["model", "size", "region"])
    GroupingKey({'model': 'a', 'size': 2, 'region': None})
    """
    return GroupingKey([(path, _key_value(field_of(record, path))) for path in paths])


def _key_value(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 2**63 else value


def key_order(values: Iterable[Any]) -> tuple[tuple[int, Any], ...]:
    """Sorts the values of keys: null < false < true < numbers < text. A TypeError for what is no key.

    >>> sorted([("b",), (2,), (True,), (None,), (1.5,)], key=key_order)
    [(None,), (True,), (1.5,), (2,), ('b',)]
    """
    return tuple(map(_value_order, values))


def _value_order(value: Any) -> tuple[int, Any]:
    if value is None or value != value:  # noqa: PLR0124 (NaN)
        return (0, 0)
    if isinstance(value, bool):
        return (2, 0) if value else (1, 0)
    if isinstance(value, int | float):
        return (3, value)
    if isinstance(value, str):
        return (4, value)
    raise TypeError(f"{value!r} is no key; expected None, a bool, a number or text")


def as_mapping(record: Any) -> dict[str, Any]:
    """The fields of a record as a new dict."""
    if isinstance(record, Mapping):
        return dict(record)
    for method in ("to_dict", "model_dump"):
        if hasattr(record, method):
            return dict(getattr(record, method)())
    names = getattr(record, "__struct_fields__", None) or getattr(record, "__dataclass_fields__", None)
    if names is None:
        return dict(vars(record))
    return {name: getattr(record, name) for name in names}
