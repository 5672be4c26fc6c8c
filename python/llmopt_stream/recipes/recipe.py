"""What all recipes do with their settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.columns import Column, Expression, col
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.event_formats import CloudEvent, GenAiEvent
from llmopt_stream.events import FeedbackEvent
from llmopt_stream.windows import WindowAssigner

from .fields import CLOUD_EVENTS, FEEDBACK, GEN_AI, NUMBERS, ROLES, Fields

__all__ = ["Per", "Recipe"]

T = TypeVar("T")

Per: TypeAlias = str | Column | Sequence[str | Column] | None
"""Roles such as "model", or `ls.col(path)`."""

_FIELDS_OF: dict[Any, Fields] = {
    None: FEEDBACK,
    FeedbackEvent: FEEDBACK,
    CloudEvent: CLOUD_EVENTS,
    GenAiEvent: GEN_AI,
}
_MILLISECONDS = {"s": 1000, "ms": 1, "us": 0.001, "ns": 0.000001}


class Recipe:
    """A builder, and where its events have what a recipe asks for; `name` is for messages."""

    def __init__(self, name: str, builder: StreamPipelineBuilder, fields: Fields | None) -> None:
        self._name = name
        self._builder = _checked(builder, StreamPipelineBuilder, f"{name}: builder", "ls.create_pipeline(…)")
        if fields is None:
            event_type = builder.plan.event_type
            if event_type not in _FIELDS_OF:
                raise ConfigurationError(
                    f"{name}: fields: not known for event type {event_type!r}; expected recipes.Fields(…)"
                )
            fields = _FIELDS_OF[event_type]
        self.fields = _checked(fields, Fields, f"{name}: fields", "recipes.Fields(…)")

    def grouped(self, per: Per, window: WindowAssigner | None) -> StreamPipelineBuilder:
        """The builder with this key and window; where they are None, with its own."""
        builder = self._builder
        if per is not None:
            asked = [per] if isinstance(per, str | Column) else list(per)
            paths = tuple(self._key_path(each) for each in asked)
            if paths != builder.plan.key:
                builder = builder.key_by(*paths)
        return builder if window is None else builder.with_window(window)

    def _key_path(self, per: object) -> str:
        if isinstance(per, Column):
            return per.path
        groups = [role for role in ROLES if role not in NUMBERS]
        if per not in groups:
            raise ConfigurationError(
                f"{self._name}: per: {per!r} is no role; expected {', '.join(groups)} or ls.col(path)"
            )
        return str(self._of(str(per)))

    def number(self, role: str) -> str | Expression:
        """What `aggregate` takes for a role."""
        value: str | Expression = self._of(role)
        return value

    def column(self, role: str) -> Expression:
        """The same, to compute with."""
        value = self.number(role)
        return col(value) if isinstance(value, str) else value

    def milliseconds(self, role: str) -> str | Expression:
        """A role that is a duration."""
        scale = self.milliseconds_per_unit
        return self.number(role) if scale == 1 else self.column(role) * scale

    @property
    def milliseconds_per_unit(self) -> float:
        """In durations."""
        return _MILLISECONDS[self.fields.latency_unit]

    def _of(self, role: str) -> Any:
        value = getattr(self.fields, role)
        if value is None:
            raise ConfigurationError(
                f"{self._name}: fields: {role} is None; expected dataclasses.replace(fields, {role}='a.path')"
            )
        return value


def _checked(value: T, kind: type[T], where: str, expected: str) -> T:
    if not isinstance(value, kind):
        raise ConfigurationError(f"{where}: {value!r} is not a {kind.__name__}; expected {expected}")
    return value
