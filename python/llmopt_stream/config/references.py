"""`${NAME}`, `${NAME:-default}` and `${file:PATH}` in values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["Resolved", "has_reference", "resolved"]

_MOST_BYTES = 64 * 1024
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def has_reference(text: str) -> bool:
    """Whether it refers to something."""
    return "${" in text


class Resolved(NamedTuple):
    """A text with the values of its references."""

    text: str
    found: tuple[str, ...]
    """What files and variables gave, which messages do not show."""


def resolved(text: str, environ: Mapping[str, str]) -> Resolved:
    """The text with references replaced by what they refer to; a ValueError says what is wrong with one. `$${` is
    the text `${`.

    >>> resolved("${HOST:-localhost}:9092", {}).text
    'localhost:9092'
    """
    found: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        if match[1] is None:
            raise ValueError(f"{text!r}: a reference is ${{NAME}}, ${{NAME:-default}} or ${{file:PATH}}")
        if match[1].startswith("file:"):
            found.append(_of_file(match[1].removeprefix("file:")))
            return found[-1]
        name, has_default, default = match[1].partition(":-")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{match[0]!r}: {name!r} is not the name of a variable")
        said = environ.get(name)
        if has_default and not said:
            return default
        if said is None:
            raise ValueError(
                f"{match[0]!r}: there is no environment variable {name}; ${{{name}:-default}} has a default"
            )
        found.append(said)
        return said

    return Resolved(_REFERENCE.sub(value, text), tuple(found))


def _of_file(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the file {path!r}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"the file {path!r}: it is no path") from error
    if len(raw) > _MOST_BYTES:
        raise ValueError(f"the file {path!r}: it is larger than {_MOST_BYTES // 1024} KiB")
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ValueError(f"the file {path!r}: it is not UTF-8") from error
