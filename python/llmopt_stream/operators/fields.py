"""Fields of records of any type: mappings by item, everything else by attribute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["MISSING", "as_mapping", "field_of"]

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
