"""YAML files as nodes: no tags, no aliases, no duplicate keys, nothing large or deep."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

from llmopt_stream.errors import ConfigurationError

from .nodes import Node

__all__ = ["MOST_BYTES", "MOST_DEPTH", "document", "parsed", "yaml_library"]

MOST_BYTES = 256 * 1024
MOST_DEPTH = 32

_PREFIX = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _PREFIX + kind
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value")
)


def yaml_library() -> Any:
    """PyYAML; a ConfigurationError names the extra where it is not installed."""
    try:
        import yaml
    except ImportError as error:
        raise ConfigurationError(
            "configuration files need PyYAML: pip install 'llmopt-stream[config]'"
        ) from error
    return yaml


def document(path: str | os.PathLike[str]) -> Node:
    """The one document of a file."""
    name = os.fspath(path)
    try:
        with Path(name).open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.strerror}") from error
    if len(raw) > MOST_BYTES:
        raise ConfigurationError(
            f"{name}: it is larger than {MOST_BYTES // 1024} KiB, the most for a configuration"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{name}:{line}: it is not UTF-8") from error
    node = parsed(text, name)
    if node is None:
        raise ConfigurationError(f"{name}: it says nothing; expected settings under 'processor:'")
    return node


def parsed(text: str, name: str, *, place: str = "") -> Node | None:
    """A YAML text as nodes, at `place` if it is no file; None if it is empty."""
    yaml = yaml_library()
    try:
        root = _loader(yaml)(text).get_single_node()
    except yaml.YAMLError as error:
        raise ConfigurationError(_described(error, text, name, place)) from error
    return None if root is None else _Reading(yaml, name, place).node(root)


def _described(error: Any, text: str, name: str, place: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a character that YAML forbids
        at = getattr(error, "position", 0)
        line = text[:at].count("\n") + 1
        return f"{place or f'{name}:{line}'}: it is not YAML: {error.reason}"
    problem = error.problem or error.context
    if "'\\t'" in problem:
        problem = "a tab stands where YAML indents; use spaces"
    return f"{place or f'{name}:{mark.line + 1}:{mark.column + 1}'}: it is not YAML: {problem}"


@cache
def _loader(yaml: Any) -> Any:
    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        """Refuses aliases and depth while it composes, before they cost anything."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                event = self.peek_event()
                raise yaml.composer.ComposerError(
                    None,
                    None,
                    f"the alias *{event.anchor}: aliases are not allowed; write it out",
                    event.start_mark,
                )
            self.depth += 1
            if self.depth > MOST_DEPTH:
                mark = self.peek_event().start_mark
                raise yaml.composer.ComposerError(None, None, f"it is deeper than {MOST_DEPTH} levels", mark)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    return Loader


class _Reading:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, yaml: Any, name: str, place: str) -> None:
        self._yaml = yaml
        self._name = name
        self._place = place

    def _at(self, mark: Any) -> str:
        return self._place or f"{self._name}:{mark.line + 1}:{mark.column + 1}"

    def node(self, node: Any, key_place: str = "") -> Node:
        place = self._at(node.start_mark)
        if node.tag not in _TAGS:
            raise ConfigurationError(f"{place}: the tag {node.tag!r} is not allowed; leave it out")
        if isinstance(node, self._yaml.MappingNode):
            return Node(self._mapping(node), place, key_place=key_place)
        if isinstance(node, self._yaml.SequenceNode):
            return Node([self.node(each) for each in node.value], place, key_place=key_place)
        return Node(node.value, place, "plain" if node.style is None else "quoted", key_place)

    def _mapping(self, node: Any) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key, value in node.value:
            place = self._at(key.start_mark)
            if not isinstance(key, self._yaml.ScalarNode):
                raise ConfigurationError(f"{place}: a key is text, not a list or mapping")
            if key.value in entries:
                before = entries[key.value].key_place
                raise ConfigurationError(f"{place}: {key.value!r} is said twice, before at {before}")
            entries[key.value] = self.node(value, place)
        return entries
