"""How a kind of values is read: from nodes, with references resolved, and with everything wrong reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from llmopt_stream.secrets import HIDDEN

from .nodes import Form, Node, Problems
from .references import has_reference, resolved

__all__ = ["REFERENCE", "WRONG", "Definitions", "Kind", "Origin", "Reader", "Scalar"]

Definitions: TypeAlias = dict[str, dict[str, Any]]
"""The `$defs` of a JSON Schema."""

REFERENCE: dict[str, Any] = {"type": "string", "pattern": r"\$\{"}
"""In a JSON Schema, what stands for any value: a reference, which is not resolved there."""

WRONG: Any = object()
"""In place of a value that was reported."""

_LEAST_HIDDEN = 4
_CREDENTIALS = re.compile(r"\w+:.*(?=@)", re.DOTALL)
"""Of URLs: who has one may have written it in the wrong place."""


@dataclass
class Origin:
    """Where the values of a configuration come from."""

    places: dict[str, str] = field(default_factory=dict)
    """By path, of everything that was said."""
    shown: dict[str, str] = field(default_factory=dict)
    """By path, what values show that were said by reference."""
    secrets: set[str] = field(default_factory=set)
    """What must never be shown."""

    def hide(self, *texts: str) -> None:
        """Never shows these. Short ones would turn up in any message, and hide nothing."""
        self.secrets.update(text for text in texts if len(text) >= _LEAST_HIDDEN)

    def redacted(self, text: str) -> str:
        """The text without the secrets in it."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(repr(secret)[1:-1], HIDDEN).replace(secret, HIDDEN)
        return text


class Reader:
    """Reads nodes, notes where values come from, and collects what is wrong."""

    def __init__(self, environ: Mapping[str, str], *, origin: Origin | None = None) -> None:
        self.problems = Problems()
        self.origin = origin or Origin()
        self._notes = origin is None
        self._environ = environ
        self._wrong: set[str] = set()

    def of_defaults(self) -> Reader:
        """One for values that nobody said."""
        return Reader({}, origin=self.origin)

    def note(self, path: str, place: str) -> None:
        """Where a value was said."""
        if self._notes:
            self.origin.places[path] = place

    def wrong(self, node: Node, path: str, message: str) -> Any:
        """Reports what is first found wrong with a value; the rest follows from that."""
        if path not in self._wrong:
            self._wrong.add(path)
            self.problems.add(node.place, path, message)
        return WRONG

    def is_wrong(self, path: str) -> bool:
        """Whether the value was reported."""
        return path in self._wrong

    def text(self, node: Node, path: str) -> tuple[str, Form] | None:
        """A scalar's text, with references resolved; None where it is no scalar, or a reference is wrong."""
        if not isinstance(node.value, str):
            return None
        if node.literal or not has_reference(node.value):
            return node.value, node.form
        self.origin.shown[path] = node.value
        try:
            found = resolved(node.value, self._environ)
        except ValueError as error:
            self.wrong(node, path, str(error))
            return None
        self.origin.hide(*found.found)
        return found.text, "said"

    def without_references(self, message: str, value: str, path: str) -> str:
        """A message about a value, with what was written in its place."""
        written = self.origin.shown.get(path)
        return (
            message
            if written is None
            else message.replace(repr(value), repr(written)).replace(value, written)
        )

    def shown(self, node: Node, path: str) -> str:
        """A scalar as messages show it."""
        if not isinstance(node.value, str):
            return _what(node)
        return repr(_CREDENTIALS.sub(HIDDEN, self.origin.shown.get(path, node.value)))


def _what(node: Node) -> str:
    return "a list" if isinstance(node.value, list) else "a mapping"


class Kind:
    """What values a setting has."""

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        """The value, or WRONG once that is reported."""
        raise NotImplementedError

    def describe(self) -> str:
        """In words, after "expected"."""
        raise NotImplementedError

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        raise NotImplementedError

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        """The value as YAML has it, where references and secrets stay what they are."""
        return origin.shown.get(path, value)

    def sections(self) -> Sequence[Any]:
        """The sections in it, for documentation."""
        return ()


class Scalar(Kind):
    """What is written as one text."""

    _what: str

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        said = reader.text(node, path)
        if said is None:
            return reader.wrong(node, path, f"{reader.shown(node, path)}, expected {self.describe()}")
        value = self.convert(*said)
        if value is WRONG:
            what = (
                "nothing is said" if node.is_null else f"{reader.shown(node, path)} is not {self.not_this()}"
            )
            return reader.wrong(node, path, f"{what}; expected {self.describe()}")
        return value

    def not_this(self) -> str:
        return self._what

    def convert(self, text: str, form: Form) -> Any:
        raise NotImplementedError
