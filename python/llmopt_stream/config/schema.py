"""The JSON Schema of configuration files."""

from __future__ import annotations

from typing import Any

from .reading import Definitions
from .settings import PROCESSOR

__all__ = ["json_schema"]


def json_schema() -> dict[str, Any]:
    """Draft 2020-12, for editors and other tools.

    >>> json_schema()["$defs"]["tumbling"]["properties"]["size_secs"]["default"]
    300
    """
    definitions: Definitions = {}
    processor = PROCESSOR.definition(definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llmopt-stream configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": {"processor": processor},
        "$defs": dict(sorted(definitions.items())),
    }
