"""JSON of values that Avro, Protobuf and JSON Schema have and JSON has not."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from llmopt_stream.errors import SerializationError

__all__ = ["json_form"]


def json_form(value: Any) -> bytes:
    """Times in ISO 8601, numbers as float64, bytes in base64; null for what is no finite number."""
    try:
        text = json.dumps(value, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_without_nan(value), default=_plain, allow_nan=False)
    return text.encode()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _without_nan(float(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, UUID):
        return str(value)
    raise SerializationError(f"a {type(value).__name__} has no form in JSON")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
