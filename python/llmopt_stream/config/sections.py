"""Sections of settings: one row of the table for each setting, and the classes that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, make_dataclass
from typing import Any, ClassVar, NamedTuple

from .containers import structured
from .nodes import Node, node_of, suggestion
from .reading import REFERENCE, WRONG, Definitions, Kind, Origin, Reader

__all__ = [
    "REQUIRED",
    "Later",
    "Section",
    "Setting",
    "SettingValues",
    "Tagged",
    "is_default",
    "path_of",
    "place_of",
]

REQUIRED: Any = object()
"""The default of a setting that has to be said."""


class Setting(NamedTuple):
    """A row of the table. The unit is the end of the name."""

    name: str
    kind: Kind
    default: Any
    doc: str

    @property
    def unit(self) -> str:
        """What a number counts.

        >>> from .kinds import Number
        >>> Setting("size_secs", Number(), 300, "").unit
        'seconds'
        """
        units = {"secs": "seconds", "ms": "milliseconds", "bytes": "bytes"}
        return units.get(self.name.rpartition("_")[2], "")


class SettingValues:
    """The values of a section: an immutable dataclass with an attribute for each setting. They show references and
    secrets as such.
    """

    _section: ClassVar[Section]
    _path: str
    _origin: Origin

    def to_dict(self) -> dict[str, Any]:
        """As YAML has it."""
        return {
            setting.name: setting.kind.dump(
                getattr(self, setting.name), path_of(self, setting.name), self._origin
            )
            for setting in self._section.settings
        }

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"{type(self).__name__}({shown})"


def path_of(values: SettingValues, name: str = "") -> str:
    """The path of a section, or of a setting in it."""
    return f"{values._path}.{name}" if name else values._path


def is_default(values: SettingValues, name: str) -> bool:
    """Whether a setting has its default, said or not: a configuration that says every setting is the same one."""
    setting = values._section.setting(name)
    return setting is not None and bool(getattr(values, name) == setting.default)


def place_of(values: SettingValues, name: str = "") -> str:
    """Where it was said, or the section that it is in; "" where nothing of it was."""
    path = path_of(values, name)
    while path and path not in values._origin.places:
        path = path.rpartition(".")[0]
    return values._origin.places.get(path, "")


@dataclass(frozen=True)
class Section(Kind):
    """Settings under one key."""

    name: str
    doc: str
    settings: tuple[Setting, ...]
    tag: str = ""
    """The `type` that chooses it, of those that have one."""
    _made: list[type] = field(default_factory=list, init=False, compare=False, repr=False)

    @property
    def values(self) -> type:
        """The class of its values, made when it is first needed."""
        if not self._made:
            fields = [(setting.name, Any) for setting in self.settings]
            own = [("_path", str, field(compare=False)), ("_origin", Origin, field(compare=False))]
            made = make_dataclass(
                "".join(part.title() for part in self.name.split("_")) + "Settings",
                [*fields, *own],
                bases=(SettingValues,),
                frozen=True,
                kw_only=True,
                repr=False,
                namespace={"_section": self},
            )
            self._made.append(made)
        return self._made[0]

    def names(self) -> list[str]:
        return [setting.name for setting in self.settings]

    def setting(self, name: str) -> Setting | None:
        return next((setting for setting in self.settings if setting.name == name), None)

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        found = Node({}, node.place) if node.is_null else structured(node, path, reader, opens="{")
        if found is None or not isinstance(found.value, dict):
            return reader.wrong(node, path, f"{reader.shown(node, path)}, expected {self.describe()}")
        said = {name: each for name, each in found.value.items() if not (self.tag and name == "type")}
        for name, each in said.items():
            if self.setting(name) is None:
                reader.problems.add(
                    each.key_place or each.place,
                    f"{path}.{name}",
                    f"there is no such setting; {suggestion(name, self.names())}",
                )
        values = {
            setting.name: self._value(setting, said.get(setting.name), found, path, reader)
            for setting in self.settings
        }
        return self.values(**values, _path=path, _origin=reader.origin)

    def _value(self, setting: Setting, node: Node | None, parent: Node, path: str, reader: Reader) -> Any:
        below = f"{path}.{setting.name}"
        if node is None:
            if setting.default is REQUIRED:
                reader.problems.add(parent.place, below, f"it is missing; expected {setting.kind.describe()}")
                return WRONG
            return self._default(setting, below, reader)
        reader.note(below, node.place if isinstance(node.value, str) else node.key_place or node.place)
        return setting.kind.read(node, below, reader)

    @staticmethod
    def _default(setting: Setting, path: str, reader: Reader) -> Any:
        if isinstance(setting.default, list | dict):
            return setting.kind.read(node_of(setting.default, "default"), path, reader.of_defaults())
        return setting.default

    def describe(self) -> str:
        few = ", ".join(self.names()[:4]) + (", …" if len(self.settings) > 4 else "")
        return f"a mapping of settings ({few})" if few else "a mapping"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [self.definition(definitions), REFERENCE]}

    def definition(self, definitions: Definitions) -> dict[str, Any]:
        """The section itself, said nowhere else."""
        key = self.name
        if key not in definitions:
            definitions[key] = {}  # it may contain itself
            properties: dict[str, Any] = (
                {"type": {"anyOf": [{"const": self.tag}, REFERENCE]}} if self.tag else {}
            )
            for setting in self.settings:
                default = {} if setting.default is REQUIRED else {"default": setting.default}
                description = setting.doc + (f" In {setting.unit}." if setting.unit else "")
                properties[setting.name] = {
                    **setting.kind.schema(definitions),
                    "description": description,
                    **default,
                }
            required = [each.name for each in self.settings if each.default is REQUIRED]
            definitions[key] = {
                "type": ["object", "null"] if not required and not self.tag else "object",
                "description": self.doc,
                "additionalProperties": False,
                "properties": properties,
                **(
                    {"required": [*(["type"] if self.tag else []), *required]} if required or self.tag else {}
                ),
            }
        return {"$ref": f"#/$defs/{key}"}

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        said = {"type": self.tag} if self.tag else {}
        return {**said, **value.to_dict()}

    def sections(self) -> Sequence[Any]:
        return (self,)


@dataclass(frozen=True)
class Tagged(Kind):
    """One of several sections, which `type` chooses."""

    what: str
    choices: tuple[Section, ...]

    def section(self, tag: str) -> Section | None:
        return next((each for each in self.choices if each.tag == tag), None)

    def tags(self) -> list[str]:
        return [each.tag for each in self.choices]

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        found = structured(node, path, reader, opens="{")
        if found is None or not isinstance(found.value, dict):
            return reader.wrong(node, path, f"{reader.shown(node, path)}, expected {self.describe()}")
        tag = found.value.get("type")
        if tag is None:
            return reader.wrong(
                node, f"{path}.type", f"it is missing; expected one of {', '.join(self.tags())}"
            )
        said = reader.text(tag, f"{path}.type")
        section = None if said is None else self.section(said[0])
        if section is None:
            shown = reader.shown(tag, f"{path}.type")
            return reader.wrong(
                tag,
                f"{path}.type",
                f"{shown} is not known; {suggestion('' if said is None else said[0], self.tags())}",
            )
        return section.read(found, path, reader)

    def describe(self) -> str:
        return f"{self.what} ({{type: {' | '.join(self.tags())}, …}})"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [*(each.definition(definitions) for each in self.choices), REFERENCE]}

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        return value._section.dump(value, path, origin)

    def sections(self) -> Sequence[Any]:
        return self.choices


@dataclass(frozen=True)
class Later(Kind):
    """A kind that is said further down, or contains itself."""

    of: Callable[[], Kind] = field(repr=False)

    def read(self, node: Node, path: str, reader: Reader) -> Any:
        return self.of().read(node, path, reader)

    def describe(self) -> str:
        return self.of().describe()

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return self.of().schema(definitions)

    def dump(self, value: Any, path: str, origin: Origin) -> Any:
        return self.of().dump(value, path, origin)

    def sections(self) -> Sequence[Any]:
        return self.of().sections()
