"""What an event type or `with_schema` declares: the types of value fields, and which field is the event time."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from .errors import ConfigurationError
from .units import checked_unit

__all__ = ["EventTime", "declared_types", "event_time_of", "types_of_event"]

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


@dataclass(frozen=True)
class EventTime:
    """Marks the field of an event type that says when an event happened. `unit` is that of a number: "s",
    "ms", "us" or "ns".

    >>> from typing import TypedDict
    >>> class Call(TypedDict):
    ...     ended: Annotated[int, EventTime(unit="ms")]
    ...     tokens: int
    >>> event_time_of(Call), types_of_event(Call)
    (('ended', 'ms'), {'ended': 'int64', 'tokens': 'int64'})
    """

    unit: str | None = None

    def __post_init__(self) -> None:
        checked_unit(self.unit, "EventTime: unit")


def types_of_event(event_type: Any) -> dict[str, str]:
    """The numeric fields of a dataclass, pydantic model, msgspec struct or TypedDict, by dotted path."""
    return {
        field.path: _NAMES[field.kind.__name__]
        for field in _fields_of(event_type)
        if field.kind in (int, float)
    }


def event_time_of(event_type: Any) -> tuple[str, str | None] | None:
    """The path of the field that is marked as EventTime, and the unit; None if there is none."""
    marked = [
        (field.path, mark.unit)
        for field in _fields_of(event_type)
        for mark in field.marks
        if isinstance(mark, EventTime)
    ]
    if len(marked) > 1:
        raise ConfigurationError(
            f"create_pipeline: event_type: {event_type.__name__} marks "
            f"{' and '.join(repr(path) for path, _ in marked)} as EventTime; expected one field"
        )
    return marked[0] if marked else None


class _Field(NamedTuple):
    path: str
    kind: Any
    marks: tuple[Any, ...]


def _fields_of(event_type: Any, prefix: str = "", outer: tuple[Any, ...] = ()) -> Iterator[_Field]:
    """Those of nested types too."""
    if not isinstance(event_type, type) or event_type in outer:
        return
    try:
        hints = typing.get_type_hints(event_type, include_extras=True)
    except (NameError, TypeError):  # annotations that name things only a type checker sees
        return
    for name, hint in hints.items():
        kind, marks = _unwrapped(hint)
        yield _Field(prefix + name, kind, marks)
        if isinstance(kind, type) and getattr(kind, "__annotations__", None):
            yield from _fields_of(kind, f"{prefix}{name}.", (*outer, event_type))


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type itself, without None where that is the only other one, and what it is annotated with."""
    origin = typing.get_origin(hint)
    if origin is Annotated:
        kind, marks = _unwrapped(hint.__origin__)
        return kind, (*marks, *hint.__metadata__)
    if origin in (typing.Required, typing.NotRequired):
        return _unwrapped(typing.get_args(hint)[0])
    if origin in (typing.Union, types.UnionType):
        rest = [each for each in typing.get_args(hint) if each is not type(None)]
        return _unwrapped(rest[0]) if len(rest) == 1 else (None, ())
    return hint, ()
