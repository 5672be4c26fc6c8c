"""The kinds of values that settings have: how each is read, checked, shown, and said in JSON Schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.secrets import HIDDEN, Secret

from .nodes import Form, Node, suggestion
from .reading import REFERENCE, WRONG, Definitions, Origin, Reader, Scalar

__all__ = ["Checked", "Choice", "Flag", "Number", "SecretText", "Text", "Whole"]

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*)", re.ASCII)


@dataclass(frozen=True)
class Whole(Scalar):
    """A whole number within bounds."""

    least: int = 0
    most: int = 2**63 - 1
    _what = "a whole number"

    def convert(self, text: str, form: Form) -> Any:
        if form == "quoted" or not _WHOLE.fullmatch(text):
            return WRONG
        value = int(text)
        return value if self.least <= value <= self.most else WRONG

    def not_this(self) -> str:
        return "such a number"

    def describe(self) -> str:
        if self.most == 2**63 - 1:
            return f"a whole number of at least {self.least}"
        return f"a whole number from {self.least} to {self.most}"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        bounds: dict[str, Any] = {"type": "integer", "minimum": self.least}
        if self.most != 2**63 - 1:
            bounds["maximum"] = self.most
        return {"anyOf": [bounds, REFERENCE]}


@dataclass(frozen=True)
class Number(Scalar):
    """A finite number within bounds."""

    least: float | None = 0
    above: float | None = None
    below: float | None = None
    most: float | None = None
    _what = "such a number"

    def convert(self, text: str, form: Form) -> Any:
        if form == "quoted":
            return WRONG
        if _WHOLE.fullmatch(text):
            value: float = int(text)
        else:
            try:
                value = float(text)
            except ValueError:
                return WRONG
            if re.match(r"[-+]?0[0-9]", text):
                return WRONG
        inside = (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
            and (self.most is None or value <= self.most)
        )
        return value if inside else WRONG

    def describe(self) -> str:
        bounds = [
            f"{word} {bound:g}"
            for word, bound in (
                ("of at least", self.least),
                ("greater than", self.above),
                ("less than", self.below),
                ("of at most", self.most),
            )
            if bound is not None
        ]
        return " ".join(["a number", " and ".join(bounds)]).strip()

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        names = (
            ("minimum", self.least),
            ("exclusiveMinimum", self.above),
            ("exclusiveMaximum", self.below),
            ("maximum", self.most),
        )
        bounds = {name: bound for name, bound in names if bound is not None}
        return {"anyOf": [{"type": "number", **bounds}, REFERENCE]}


@dataclass(frozen=True)
class Flag(Scalar):
    """True or false."""

    _what = "true or false"

    def convert(self, text: str, form: Form) -> Any:
        if form == "quoted":
            return WRONG
        return {"true": True, "false": False}.get(text.lower(), WRONG)

    def describe(self) -> str:
        return "true or false"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [{"type": "boolean"}, REFERENCE]}


@dataclass(frozen=True)
class Text(Scalar):
    """Text as it is written, also where YAML would make something else of it."""

    what: str = "text"
    may_be_empty: bool = False
    _what = "text"

    def convert(self, text: str, form: Form) -> Any:
        if form == "plain" and text in ("", "~", "null", "Null", "NULL"):
            return WRONG
        return text if text or self.may_be_empty else WRONG

    def describe(self) -> str:
        return self.what if self.may_be_empty else f"{self.what} that is not empty"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        # Numbers are taken as they are written.
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True)
class SecretText(Text):
    """Text that is never shown."""

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        reader.origin.shown.setdefault(path, HIDDEN)
        value = super().read(node, path, reader)
        if value is WRONG:
            return WRONG
        reader.origin.hide(value)
        return Secret(value)

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        return origin.shown.get(path, HIDDEN)


@dataclass(frozen=True)
class Choice(Scalar):
    """One of several words."""

    words: tuple[str, ...]

    def convert(self, text: str, form: Form) -> Any:
        return text if text in self.words else WRONG

    def not_this(self) -> str:
        return "known"

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        said = reader.text(node, path)
        if said is not None and said[0] not in self.words and not node.is_null:
            shown = reader.shown(node, path)
            return reader.wrong(node, path, f"{shown} is not known; {suggestion(said[0], self.words)}")
        return super().read(node, path, reader)

    def describe(self) -> str:
        return (
            " or ".join(map(repr, self.words))
            if len(self.words) < 3
            else f"one of {', '.join(map(repr, self.words))}"
        )

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        # YAML's own reading of 0 and 1 is a number.
        words: list[Any] = [*self.words, *(int(word) for word in self.words if word.lstrip("-").isdigit())]
        return {"anyOf": [{"enum": words}, REFERENCE]}


@dataclass(frozen=True)
class Checked(Scalar):
    """Text that a function of the package reads; it raises a ConfigurationError or ValueError if it cannot."""

    check: Callable[[str], Any]
    what: str

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        value = Text(self.what).read(node, path, reader)
        if value is WRONG:
            return WRONG
        try:
            self.check(value)
        except (ConfigurationError, ValueError) as error:
            return reader.wrong(node, path, reader.without_references(str(error), value, path))
        return value

    def describe(self) -> str:
        return self.what

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return Text().schema(definitions)
