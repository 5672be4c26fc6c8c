"""What tests of a pipeline need: a harness without source or sink, a naive reference, hypothesis
strategies, and the laws that every pipeline keeps.

Strategies and laws need hypothesis, which is imported when the first of them is.
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
from .steps import AdvanceProcessingTime, AdvanceWatermark, Push, Step, take, take_in_batches

if TYPE_CHECKING:
    from .laws import assert_equals_reference, assert_laws
    from .strategies import (
        batch_splits,
        disorder_within,
        event_streams,
        input_steps,
        interleavings,
        triggers,
        window_assigners,
        window_specs,
    )

__all__ = [
    "AdvanceProcessingTime",
    "AdvanceWatermark",
    "Count",
    "Cumulative",
    "Custom",
    "Global",
    "Metric",
    "NaiveLateRecord",
    "NaivePane",
    "NaiveWindows",
    "PipelineHarness",
    "Push",
    "Session",
    "Sliding",
    "Step",
    "Tumbling",
    "WindowKind",
    "assert_equals_reference",
    "assert_laws",
    "batch_splits",
    "disorder_within",
    "event_streams",
    "input_steps",
    "interleavings",
    "key_order",
    "take",
    "take_in_batches",
    "triggers",
    "window_assigners",
    "window_specs",
]

_STRATEGIES = frozenset(
    {
        "batch_splits",
        "disorder_within",
        "event_streams",
        "input_steps",
        "interleavings",
        "triggers",
        "window_assigners",
        "window_specs",
    }
)


def __getattr__(name: str) -> Any:
    if name in ("assert_equals_reference", "assert_laws"):
        from . import laws

        return getattr(laws, name)
    if name in _STRATEGIES:
        from . import strategies

        return getattr(strategies, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
