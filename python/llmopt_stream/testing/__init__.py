"""What tests of a pipeline need: a harness without source or sink, a naive reference, hypothesis strategies.

The strategies need hypothesis, which is imported when the first of them is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .harness import PipelineHarness
from .reference import (
    Count,
    Cumulative,
    Custom,
    Global,
    Metric,
    NaiveLateRecord,
    NaivePane,
    NaiveWindows,
    Session,
    Sliding,
    Tumbling,
    WindowKind,
    key_order,
)

if TYPE_CHECKING:
    from .strategies import batch_splits, disorder_within, event_streams, window_specs

__all__ = [
    "Count",
    "Cumulative",
    "Custom",
    "Global",
    "Metric",
    "NaiveLateRecord",
    "NaivePane",
    "NaiveWindows",
    "PipelineHarness",
    "Session",
    "Sliding",
    "Tumbling",
    "WindowKind",
    "batch_splits",
    "disorder_within",
    "event_streams",
    "key_order",
    "window_specs",
]

_STRATEGIES = frozenset({"batch_splits", "disorder_within", "event_streams", "window_specs"})


def __getattr__(name: str) -> Any:
    if name in _STRATEGIES:
        from . import strategies

        return getattr(strategies, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
