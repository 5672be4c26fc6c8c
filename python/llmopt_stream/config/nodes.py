"""What a configuration says, before it is checked: values as written, each with the place where it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias

from llmopt_stream.errors import ConfigurationError

__all__ = ["Form", "Node", "Problems", "node_of", "overlaid", "suggestion"]

Form: TypeAlias = Literal["plain", "quoted", "said", ""]
"""Text as YAML has it, plain or in quotes; text from the environment or a reference, whose type is what is asked
for; or no text.
"""


@dataclass(frozen=True, slots=True)
class Node:
    """Text, a list of nodes, or nodes by their keys."""

    value: str | list[Node] | dict[str, Node]
    place: str
    """File, line and column; or which variable or option it is of."""
    form: Form = ""
    key_place: str = ""
    """Where its key stands, in a mapping."""
    literal: bool = False
    """Whether `${…}` in it is text like any other."""

    @property
    def is_null(self) -> bool:
        if self.form == "plain":
            return self.value in ("", "~", "null", "Null", "NULL")
        return self.form == "said" and self.value == "null"


class Problems:
    """What is wrong, collected so that everything is reported at once."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, place: str, path: str, message: str) -> None:
        line = ": ".join(part for part in (place, path, message) if part)
        if line not in self.lines:
            self.lines.append(line)

    def raise_any(self) -> None:
        """A ConfigurationError of all of them, if there are any."""
        if len(self.lines) == 1:
            raise ConfigurationError(self.lines[0])
        if self.lines:
            raise ConfigurationError("\n  ".join([f"{len(self.lines)} settings are wrong:", *self.lines]))


def suggestion(name: str, known: Sequence[str]) -> str:
    """What was probably meant, or what there is."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of {', '.join(known)}" if known else "nothing can be said here"


def node_of(value: Any, place: str) -> Node:
    """A tree of Python's values as nodes."""
    if isinstance(value, Mapping):
        return Node({str(key): node_of(each, place) for key, each in value.items()}, place)
    if isinstance(value, list | tuple):
        return Node([node_of(each, place) for each in value], place)
    if value is None:
        return Node("null", place, "plain")
    if isinstance(value, bool):
        return Node("true" if value else "false", place, "plain")
    if isinstance(value, str):
        return Node("".join(value), place, "quoted", literal=True)
    return Node(repr(value), place, "plain")


def overlaid(base: Node | None, over: Node | None) -> Node | None:
    """What `over` says, and for the rest `base`. Lists, and mappings of another type, are replaced as a whole."""
    if base is None or over is None:
        return over or base
    if not isinstance(base.value, dict) or not isinstance(over.value, dict) or "type" in over.value:
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = overlaid(merged.get(key), node) or node
    return replace(over, value=merged)
