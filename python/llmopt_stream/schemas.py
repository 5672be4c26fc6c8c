"""The types of value fields, as an event type or `with_schema` declares them."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Any

from .errors import ConfigurationError

__all__ = ["declared_types", "types_of_event"]

_NAMES = {"int": "int64", "int64": "int64", "float": "float64", "float64": "float64", "double": "float64"}


def declared_types(fields: Mapping[str, Any]) -> dict[str, str]:
    """The core's type of each declared field: int and "int64", float and "float64".

    >>> declared_types({"tokens": int, "cost": "float64"})
    {'tokens': 'int64', 'cost': 'float64'}
    """
    declared = {}
    for path, kind in fields.items():
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        if name not in _NAMES:
            raise ConfigurationError(
                f"with_schema: {path!r}: {kind!r} is not a value type; expected int or float"
            )
        declared[path] = _NAMES[name]
    return declared


def types_of_event(event_type: Any) -> dict[str, str]:
    """The numeric fields of a dataclass, pydantic model, msgspec struct or TypedDict, by dotted path."""
    declared: dict[str, str] = {}
    _collect(event_type, "", declared, ())
    return declared


def _collect(event_type: Any, prefix: str, declared: dict[str, str], outer: tuple[Any, ...]) -> None:
    if not isinstance(event_type, type) or event_type in outer:
        return
    try:
        hints = typing.get_type_hints(event_type)
    except (NameError, TypeError):  # annotations that name things only a type checker sees
        return
    for name, hint in hints.items():
        kind = _without_none(hint)
        if kind in (int, float):
            declared[prefix + name] = _NAMES[kind.__name__]
        elif isinstance(kind, type) and getattr(kind, "__annotations__", None):
            _collect(kind, f"{prefix}{name}.", declared, (*outer, event_type))


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        rest = [each for each in typing.get_args(hint) if each is not type(None)]
        return rest[0] if len(rest) == 1 else None
    return hint
