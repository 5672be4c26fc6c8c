"""What executes a plan: one core where it can do everything, otherwise a graph of stages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from .graph import StreamGraph
from .intake import Intake

if TYPE_CHECKING:
    from .failures import Failures
    from .plan import Plan
    from .watermarks import WatermarkGenerator

__all__ = ["Executor", "executor_of"]

Executor: TypeAlias = Intake | StreamGraph


def executor_of(
    plan: Plan,
    *,
    watermark_of: Callable[[Plan], WatermarkGenerator | None],
    collect_late: bool,
    failures: Failures | None = None,
) -> Executor:
    """The plan at work. `watermark_of` gives the generator of a stream; None: its watermarks are explicit."""
    if plan.is_plain:
        return Intake(plan, watermark=watermark_of(plan), collect_late=collect_late, failures=failures)
    return StreamGraph(plan, watermark_of=watermark_of, collect_late=collect_late, failures=failures)
