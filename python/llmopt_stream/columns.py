"""References to fields of records."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ConfigurationError

__all__ = ["Column", "col", "field_path"]


@dataclass(frozen=True)
class Column:
    """A field of each record, by its dotted path."""

    path: str

    def __repr__(self) -> str:
        return f"col({self.path!r})"


def col(path: str) -> Column:
    """The field at a dotted path.

    >>> col("data.idle_seconds")
    col('data.idle_seconds')
    """
    return Column(field_path(path, "col"))


def field_path(field: object, setting: str) -> str:
    """The path itself if it is one; a ConfigurationError that names the setting if not."""
    if not isinstance(field, str) or not all(field.split(".")):
        raise ConfigurationError(
            f"{setting}: {field!r} is not a field path; expected text such as 'data.latency_ms'"
        )
    return field
