"""The page of all settings, made of their table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .reading import Kind
from .sections import REQUIRED, Section, Setting
from .settings import PROCESSOR

__all__ = ["MARKER", "page_with_reference", "reference"]

MARKER = "<!-- What follows is made of the table of settings: tools/generate_configuration.py -->"


def page_with_reference(page: str) -> str:
    """The page with what follows the marker made anew."""
    return f"{page.partition(MARKER)[0]}{MARKER}\n\n{reference()}"


def reference() -> str:
    """A table for each section, in Markdown."""
    return "\n".join(line for section in _sections(PROCESSOR) for line in _described(section))


def _sections(root: Section) -> Iterator[Section]:
    """Every section once, those that belong together one after the other."""
    seen: dict[str, Section] = {}

    def visit(section: Section) -> None:
        if section.name in seen:
            return
        seen[section.name] = section
        for setting in section.settings:
            for below in setting.kind.sections():
                visit(below)

    visit(root)
    yield from seen.values()


def _title(section: Section) -> str:
    name = section.name.replace("_", " ")
    return f"{name} (`type: {section.tag}`)" if section.tag else name


def _anchor(section: Section) -> str:
    return _title(section).lower().replace(" ", "-").translate(str.maketrans("", "", "(`:)"))


def _described(section: Section) -> list[str]:
    lines = [f"### {_title(section)}", "", section.doc, ""]
    if not section.settings:
        return [*lines, "It has no settings.", ""]
    rows = [
        f"| `{setting.name}` | {_kind(setting.kind)} | {_default(setting)} | {_doc(setting)} |"
        for setting in section.settings
    ]
    return [*lines, "| setting | value | default | meaning |", "| --- | --- | --- | --- |", *rows, ""]


def _kind(kind: Kind) -> str:
    sections = kind.sections()
    if not sections:
        return _escaped(kind.describe())
    links = ", ".join(f"[{each.tag or each.name.replace('_', ' ')}](#{_anchor(each)})" for each in sections)
    if len(sections) == 1 and not sections[0].tag:
        return f"a list of {links}" if kind.describe().startswith("a list") else links
    what = "a list of entries" if kind.describe().startswith("a list") else "an entry"
    return f"{what} of type {links}"


def _default(setting: Setting) -> str:
    default: Any = setting.default
    if default is REQUIRED:
        return "required"
    return "" if default == {} and setting.kind.sections() else f"`{_escaped(json.dumps(default))}`"


def _doc(setting: Setting) -> str:
    unit = f" In {setting.unit}." if setting.unit else ""
    return _escaped(setting.doc + unit)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
