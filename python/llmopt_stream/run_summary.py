"""Where the records of a run went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .executor import Executor
    from .lateness import LatenessReport
    from .plan import Plan

__all__ = ["RunSummary"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Where every record went: records_in = aggregated + late + malformed + filtered + outside_windows + shed.

    With several branches, aggregated, late and outside_windows are sums over them.
    """

    records_in: int
    aggregated: int
    """Taken by at least one window."""
    late: int
    """Too late for every window."""
    malformed: int
    filtered: int
    """Left out by filters, deduplication and other operators."""
    outside_windows: int
    """In a gap between windows."""
    unfired: int
    """Once per window: taken, but shown by no pane before the window expired (count and clock triggers)."""
    shed: int
    panes: int
    """Results handed to the sinks."""
    duration: timedelta
    malformed_by_kind: Mapping[str, int] = field(default_factory=dict)
    skipped_values: Mapping[str, int] = field(default_factory=dict)
    """By field: values of aggregated records that were null, not finite or no numbers."""
    errors: int = 0
    """Calls of users' aggregators and functions that failed, and were left out as the error policy says."""
    lateness: LatenessReport | Mapping[str, LatenessReport] | None = None
    """How late records were, and what a bound and a lateness would lose; with branches, by name."""

    @classmethod
    def of(cls, plan: Plan, intake: Executor, duration: timedelta) -> RunSummary:
        """From the core's counters."""
        counts = intake.counts()
        skipped: dict[str, int] = {}
        fields = [
            metric.field
            for branch in plan.branches
            for metric in branch.all_metrics()
            for _ in metric.core_metrics()
        ]
        for name, count in zip(
            fields, counts["skipped_values"] if plan.is_plain else (), strict=plan.is_plain
        ):
            if count:
                skipped[name] = max(count, skipped.get(name, 0))
        return cls(
            records_in=counts["records_in"],
            aggregated=counts["aggregated"],
            late=counts["late"],
            malformed=counts["malformed"],
            filtered=counts["filtered"],
            outside_windows=counts["outside_windows"],
            unfired=counts["unfired"],
            shed=0,
            panes=counts["panes"],
            duration=duration,
            malformed_by_kind=counts["malformed_by_kind"],
            skipped_values=skipped,
            errors=counts["errors"],
            lateness=intake.lateness,
        )

    @property
    def throughput(self) -> float:
        """Records per second of wall time."""
        seconds = self.duration.total_seconds()
        return self.records_in / seconds if seconds > 0 else 0.0

    def __str__(self) -> str:
        parts = [
            f"{self.records_in:,} records in {self.duration.total_seconds():.2f} s ({self.throughput:,.0f}/s)"
        ]
        parts += [
            f"{count:,} {name.replace('_', ' ')}"
            for name in (
                "aggregated",
                "late",
                "malformed",
                "filtered",
                "outside_windows",
                "unfired",
                "shed",
                "panes",
                "errors",
            )
            if (count := getattr(self, name)) or name in ("aggregated", "panes")
        ]
        parts += [f"{count:,} values of {name!r} skipped" for name, count in self.skipped_values.items()]
        return ", ".join(parts)
