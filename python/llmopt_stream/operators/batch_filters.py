"""Filters by expressions of polars and pyarrow, per batch."""

from __future__ import annotations

from typing import Any

from llmopt_stream.errors import ConfigurationError

from .operator import Operator

__all__ = ["batch_filter"]


def batch_filter(condition: Any, fields: tuple[str, ...]) -> Operator:
    """The operator for an expression of another library."""
    raise ConfigurationError(f"filter: {condition!r} with {fields!r} is not supported yet")
