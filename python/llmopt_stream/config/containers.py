"""Kinds of values that are made of others: lists, mappings, and what may be null or of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.secrets import is_secret_name

from .documents import parsed
from .kinds import SecretText
from .nodes import Node
from .reading import REFERENCE, WRONG, Definitions, Kind, Origin, Reader
from .references import has_reference

__all__ = ["ListOf", "MapOf", "Nullable", "OneOf", "Properties", "structured"]


@dataclass(frozen=True)
class Nullable(Kind):
    """What may be null, too."""

    kind: Kind

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        if (
            not node.literal
            and node.form != "quoted"
            and isinstance(node.value, str)
            and has_reference(node.value)
        ):
            said = reader.text(node, path)
            if said == ("null", "said"):
                return None
        return None if node.is_null else self.kind.read(node, path, reader)

    def describe(self) -> str:
        return f"{self.kind.describe()}, or null"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [self.kind.schema(definitions), {"type": "null"}]}

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        return None if value is None else self.kind.dump(value, path, origin)

    def sections(self) -> Sequence[Any]:
        return self.kind.sections()


def structured(node: Node, path: str, reader: Reader, *, opens: str) -> Node | None:
    """A list or mapping that the environment says as YAML; the node itself if it is no text."""
    if not isinstance(node.value, str):
        return node
    said = reader.text(node, path)
    if said is None or said[1] != "said" or not said[0].lstrip().startswith(tuple(opens)):
        return None
    try:
        found = parsed(said[0], "", place=node.place)
    except ConfigurationError as error:
        reader.wrong(replace(node, place=""), path, str(error))
        return None
    return found


@dataclass(frozen=True)
class ListOf(Kind):
    """A list; from the environment, JSON or texts with commas between them."""

    kind: Kind
    least: int = 0

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        found = structured(node, path, reader, opens="[")
        if reader.is_wrong(path):
            return WRONG
        if found is None and (said := reader.text(node, path)) is not None and said[1] == "said":
            texts = [each.strip() for each in said[0].split(",")] if said[0].strip() else []
            found = Node([Node(each, node.place, "said", literal=True) for each in texts], node.place)
        if found is None or not isinstance(found.value, list):
            shown = "nothing is said" if node.is_null else reader.shown(node, path)
            return reader.wrong(node, path, f"{shown}, expected {self.describe()}")
        if len(found.value) < self.least:
            return reader.wrong(
                node, path, f"the list has {len(found.value)} entries, expected at least {self.least}"
            )
        for index, each in enumerate(found.value):
            reader.note(f"{path}.{index}", each.place)
        return [self.kind.read(each, f"{path}.{index}", reader) for index, each in enumerate(found.value)]

    def describe(self) -> str:
        return f"a list, each entry {self.kind.describe()}"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        least = {"minItems": self.least} if self.least else {}
        return {"anyOf": [{"type": "array", "items": self.kind.schema(definitions), **least}, REFERENCE]}

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        if path in origin.shown:
            return origin.shown[path]
        return [self.kind.dump(each, f"{path}.{index}", origin) for index, each in enumerate(value)]

    def sections(self) -> Sequence[Any]:
        return self.kind.sections()


@dataclass(frozen=True)
class MapOf(Kind):
    """Values by names of the user's own."""

    kind: Kind
    names: str = "names"

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        found = structured(node, path, reader, opens="{")
        if found is None or not isinstance(found.value, dict):
            shown = "nothing is said" if node.is_null else reader.shown(node, path)
            return reader.wrong(node, path, f"{shown}, expected {self.describe()}")
        for name, each in found.value.items():
            reader.note(f"{path}.{name}", each.key_place or each.place)
        return {
            name: self._of(name).read(each, f"{path}.{name}", reader) for name, each in found.value.items()
        }

    def _of(self, name: str) -> Kind:
        return self.kind

    def describe(self) -> str:
        return f"a mapping of {self.names} to {self.kind.describe()}"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        mapping = {"type": "object", "additionalProperties": self.kind.schema(definitions)}
        return {"anyOf": [mapping, REFERENCE]}

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        if path in origin.shown:
            return origin.shown[path]
        return {name: self._of(name).dump(each, f"{path}.{name}", origin) for name, each in value.items()}


@dataclass(frozen=True)
class Properties(MapOf):
    """Properties by their names; those that hold secrets are never shown."""

    def _of(self, name: str) -> Kind:
        return SecretText() if is_secret_name(name) else self.kind


@dataclass(frozen=True)
class OneOf(Kind):
    """The first kind that fits what is written: text, a list or a mapping."""

    of_text: Kind | None = None
    of_list: Kind | None = None
    of_map: Kind | None = None

    def _kinds(self) -> list[Kind]:
        return [kind for kind in (self.of_text, self.of_list, self.of_map) if kind is not None]

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        found: Node | None = node
        if isinstance(node.value, str) and (self.of_list or self.of_map):
            found = structured(node, path, reader, opens="[{") or node
        value = None if found is None else found.value
        kind = (
            self.of_list
            if isinstance(value, list)
            else self.of_map
            if isinstance(value, dict)
            else self.of_text
        )
        if kind is None or found is None:
            return reader.wrong(node, path, f"{reader.shown(node, path)}, expected {self.describe()}")
        return kind.read(found, path, reader)

    def describe(self) -> str:
        return ", or ".join(kind.describe() for kind in self._kinds())

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [kind.schema(definitions) for kind in self._kinds()]}

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        kind = self.of_list if isinstance(value, list) else self.of_text
        if not isinstance(value, list | str | int | float):
            kind = self.of_map
        return value if kind is None else kind.dump(value, path, origin)

    def sections(self) -> Sequence[Any]:
        return [section for kind in self._kinds() for section in kind.sections()]
