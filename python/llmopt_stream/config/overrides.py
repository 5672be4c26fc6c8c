"""What the environment and options say over the file: `PROCESSOR_STATE__BACKEND=memory`, `--set state.backend=memory`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from .containers import ListOf, MapOf, Nullable, OneOf
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
            root = _Insertion(problems, node, name).into(root, section, parts, "processor")
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
        root = _Insertion(problems, Node(value.strip(), place, "said"), place).into(
            root, section, parts, "processor"
        )
    return root


class _Insertion:
    """Puts a node at a path."""

    def __init__(self, problems: Problems, node: Node, name: str) -> None:
        self._problems = problems
        self._node = node
        self._name = name

    def into(self, node: Node | None, kind: Kind, parts: list[str], path: str) -> Node:
        """`node` with it below."""
        if not parts:
            return self._node if node is None else replace(self._node, key_place=node.key_place)
        kind = _inner(kind)
        at = self._node.place
        below = f"{path}.{parts[0]}"
        if isinstance(kind, MapOf):
            entries = dict(node.value) if node is not None and isinstance(node.value, dict) else {}
            entries[".".join(parts)] = replace(self._node, key_place=at)
            return Node(entries, at if node is None else node.place)
        if isinstance(kind, ListOf):
            return self._into_list(node, kind, parts, path)
        if isinstance(kind, Section | Tagged):
            entries = dict(node.value) if node is not None and isinstance(node.value, dict) else {}
            found, known = _below(kind, parts[0], entries)
            if found is None:
                self._problems.add(at, below, f"there is no such setting; {suggestion(parts[0], known)}")
                return node or Node({}, at)
            entries[parts[0]] = self.into(entries.get(parts[0]), found, parts[1:], below)
            if not entries[parts[0]].key_place:
                entries[parts[0]] = replace(entries[parts[0]], key_place=at)
            return Node(
                entries, at if node is None else node.place, key_place="" if node is None else node.key_place
            )
        self._problems.add(at, path, f"it has no settings below it, so there is no {below}")
        return node or Node({}, at)

    def _into_list(self, node: Node | None, kind: ListOf, parts: list[str], path: str) -> Node:
        entries = list(node.value) if node is not None and isinstance(node.value, list) else []
        at = self._node.place
        index = int(parts[0]) if parts[0].isascii() and parts[0].isdigit() else -1
        if not 0 <= index <= len(entries):
            self._problems.add(
                at,
                f"{path}.{parts[0]}",
                f"the list has {len(entries)} entries, expected one of their numbers, from 0",
            )
            return node or Node([], at)
        here = entries[index] if index < len(entries) else None
        made = self.into(here, kind.kind, parts[1:], f"{path}.{parts[0]}")
        return Node([*entries[:index], made, *entries[index + 1 :]], at if node is None else node.place)


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
