"""What comes out of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .values import Interval, Record

__all__ = ["NaiveLateRecord", "NaivePane"]


@dataclass(frozen=True, slots=True)
class NaivePane:
    """What one firing of one key in one window says: an AggregationResult with integer times.

    The window of count windows and of the global window is all of time, (-2**63, 2**63 - 1).
    """

    window: Interval
    key: tuple[Any, ...]
    results: dict[str, Any]
    timing: str = "on_time"
    index: int = 0
    is_last: bool = True
    replaces: Sequence[Interval] = ()
    records: Sequence[Record] = field(default=(), compare=False, repr=False)
    """Those that the results are of."""


@dataclass(frozen=True, slots=True)
class NaiveLateRecord:
    """A record that no window took because it came too late: a LateEvent with integer times."""

    event: Record
    key: tuple[Any, ...]
    windows: Sequence[Interval]
    watermark: int
    lateness: int
    position: int
