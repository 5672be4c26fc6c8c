"""What the environment and options say over the file: `PROCESSOR_STATE__BACKEND=memory`, `--set state.backend=memory`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from llmopt_stream.errors import ConfigurationError

from .containers import ListOf, MapOf, Nullable, OneOf
from .documents import parsed
from .nodes import Node, Problems, suggestion
from .reading import Kind
from .sections import Later, Section, Tagged

__all__ = ["PREFIX", "from_environment", "from_options"]

PREFIX = "PROCESSOR_"

_FOREIGN = re.compile(
    r"PROCESSOR_(SERVICE_(HOST|PORT).*|PORT(_\d+_.*)?|ARCHITECTURE|ARCHITEW6432|IDENTIFIER|LEVEL|REVISION)"
)
"""Kubernetes sets the first ones for a service called `processor`, Windows the others."""


def from_environment(root: Node, section: Section, environ: Mapping[str, str], problems: Problems) -> Node:
    """The file's node with what variables say; their values are taken as they are."""
    for name in sorted(environ):
        if name.startswith(PREFIX) and not _FOREIGN.fullmatch(name):
            parts = name.removeprefix(PREFIX).lower().split("__")
            node = Node(environ[name], f"environment variable {name}", "said", literal=True)
            root = _Insertion(problems, node).into(root, section, parts, "processor") or root
    return root


def from_options(root: Node, section: Section, options: Iterable[str], problems: Problems) -> Node:
    """With what `a.b=value` says, one after the other."""
    for option in options:
        path, equals, value = option.partition("=")
        parts = path.strip().removeprefix("processor.").split(".")
        place = f"--set {path.strip()}"
        if not equals or not all(parts):
            problems.add(f"--set {option}", "", "expected a.b=value, such as state.backend=memory")
            continue
        node = Node(value.strip(), place, "said")
        root = _Insertion(problems, node).into(root, section, parts, "processor") or root
    return root


class _Insertion:
    """Puts a node at a path."""

    def __init__(self, problems: Problems, node: Node) -> None:
        self._problems = problems
        self._node = node

    def into(self, node: Node | None, kind: Kind, parts: list[str], path: str) -> Node | None:
        """`node` with it below, or as it was where there is no such setting, or `node` is wrong itself."""
        if not parts:
            return self._node if node is None else replace(self._node, key_place=node.key_place)
        kind, node = _inner(kind), _opened(node)
        if isinstance(kind, ListOf):
            return self._into_list(node, kind, parts, path)
        if not isinstance(kind, MapOf | Section | Tagged):
            below = ".".join([path, *parts])
            self._problems.add(self._node.place, path, f"it has no settings below it, so there is no {below}")
            return node
        if node is None or node.is_null:
            node = Node({}, self._node.place, key_place=self._node.place)
        return self._into_entries(node, kind, parts, path) if isinstance(node.value, dict) else node

    def _into_entries(self, node: Node, kind: MapOf | Section | Tagged, parts: list[str], path: str) -> Node:
        entries = dict(node.value) if isinstance(node.value, dict) else {}
        if isinstance(kind, MapOf):
            # Names of the user's own may have dots.
            return replace(
                node, value={**entries, ".".join(parts): replace(self._node, key_place=self._node.place)}
            )
        name = parts[0]
        found, known = _below(kind, name, entries)
        if found is None:
            message = f"there is no such setting; {suggestion(name, known)}"
            self._problems.add(self._node.place, f"{path}.{name}", message)
            return node
        made = self.into(entries.get(name), found, parts[1:], f"{path}.{name}")
        if made is None:
            return node
        return replace(
            node, value={**entries, name: replace(made, key_place=made.key_place or self._node.place)}
        )

    def _into_list(self, node: Node | None, kind: ListOf, parts: list[str], path: str) -> Node | None:
        if node is None or node.is_null:
            node = Node([], self._node.place, key_place=self._node.place)
        if not isinstance(node.value, list):
            return node
        entries = node.value
        index = int(parts[0]) if parts[0].isascii() and parts[0].isdigit() else -1
        if not 0 <= index <= len(entries):
            message = f"the list has {len(entries)} entries, expected one of their numbers, from 0"
            self._problems.add(self._node.place, f"{path}.{parts[0]}", message)
            return node
        here = entries[index] if index < len(entries) else None
        made = self.into(here, kind.kind, parts[1:], f"{path}.{parts[0]}")
        return node if made is None else replace(node, value=[*entries[:index], made, *entries[index + 1 :]])


def _opened(node: Node | None) -> Node | None:
    """What an earlier variable or option says as JSON or YAML."""
    if node is None or node.form != "said" or not isinstance(node.value, str):
        return node
    if not node.value.lstrip().startswith(("{", "[")):
        return node
    try:
        return parsed(node.value, "", place=node.place)
    except ConfigurationError:  # which is reported when it is read
        return node


def _inner(kind: Kind) -> Kind:
    while isinstance(kind, Nullable | Later):
        kind = kind.kind if isinstance(kind, Nullable) else kind.of()
    if isinstance(kind, OneOf) and kind.of_map is not None:
        return _inner(kind.of_map)
    return kind


def _below(kind: Section | Tagged, name: str, entries: Mapping[str, Node]) -> tuple[Kind | None, list[str]]:
    """What is below a section under a name, and which names there are."""
    if isinstance(kind, Tagged):
        tag = entries.get("type")
        chosen = kind.section(tag.value) if tag is not None and isinstance(tag.value, str) else None
        if name == "type":
            return kind, ["type"]
        # Without a type yet, whichever of them has such a setting.
        sections = [chosen] if chosen is not None else list(kind.choices)
        known = [each for section in sections for each in section.names()]
        found = next((setting.kind for section in sections if (setting := section.setting(name))), None)
        return found, ["type", *dict.fromkeys(known)]
    setting = kind.setting(name)
    if setting is None and kind.tag and name == "type":
        return kind, ["type"]
    return None if setting is None else setting.kind, kind.names()
