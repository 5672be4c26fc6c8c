"""HTML for notebooks. Everything shown is escaped: keys are other people's input."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import Any


def _text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ").removesuffix("+00:00")
    return str(value)


def table_html(names: Sequence[str], rows: Sequence[Sequence[Any]], total: int) -> str:
    """A table of the first rows; `total` says how many there are."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(_text(value))}</td>" for value in row) + "</tr>" for row in rows
    )
    more = f"<p>{len(rows)} of {total} rows</p>" if total > len(rows) else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def text_html(text: str) -> str:
    """Preformatted text."""
    return f"<pre>{escape(text)}</pre>"
