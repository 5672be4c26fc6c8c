"""Where the records of a run went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .branches import Branch
    from .executor import Executor
    from .lateness import LatenessReport

__all__ = ["RunSummary", "skipped_by_field"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Where every record went: records_in = aggregated + late + malformed + filtered + outside_windows + shed.

    Of several stages, these are about the records of the sources, down to the first windows on their way. Without
    windows records_in = delivered + late + malformed + filtered + errors, where operators give one record for
    each; those that make fewer or more, as flat_map, process and joins, do not add up. With several branches, what
    each counts is summed up.
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
    """Results of the last windows."""
    duration: timedelta
    malformed_by_kind: Mapping[str, int] = field(default_factory=dict)
    skipped_values: Mapping[str, int] = field(default_factory=dict)
    """By field: values of aggregated records that were null, not finite or no numbers."""
    errors: int = 0
    """Calls of users' aggregators and functions that failed, and were left out as the error policy says."""
    lateness: LatenessReport | Mapping[str, LatenessReport] | None = None
    """How late records were, and what a bound and a lateness would lose; with branches, by name."""
    delivered: int | None = None
    """Records handed to the sinks; None where every branch ends with windows, whose results are `panes`."""
    behind_windows: Mapping[str, int] = field(default_factory=dict)
    """Of results that further stages took: how many were late, malformed, filtered or outside_windows there."""

    @classmethod
    def of(cls, intake: Executor, duration: timedelta) -> RunSummary:
        """From the core's counters."""
        counts = intake.counts()
        return cls(
            records_in=counts["records_in"],
            aggregated=counts["aggregated"],
            late=counts["late"],
            malformed=counts["malformed"],
            filtered=counts["filtered"],
            outside_windows=counts["outside_windows"],
            unfired=counts["unfired"],
            shed=counts.get("shed", 0),
            panes=counts["panes"],
            duration=duration,
            malformed_by_kind=counts["malformed_by_kind"],
            skipped_values=skipped_by_field(intake.skipped_by_branch()),
            errors=counts["errors"],
            lateness=intake.lateness,
            delivered=counts.get("delivered"),
            behind_windows=counts.get("behind_windows", {}),
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
            f"{count:,} {_words(name)}"
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
            if (count := getattr(self, name)) or (name in ("aggregated", "panes") and self.delivered is None)
        ]
        parts += [f"{count:,} {_words(name)} behind windows" for name, count in self.behind_windows.items()]
        parts += [] if self.delivered is None else [f"{self.delivered:,} delivered"]
        parts += [f"{count:,} values of {name!r} skipped" for name, count in self.skipped_values.items()]
        return ", ".join(parts)


def skipped_by_field(by_branch: Iterable[tuple[Branch, list[int]]]) -> dict[str, int]:
    """What metrics have skipped, by their fields."""
    skipped: dict[str, int] = {}
    for branch, by_metric in by_branch:
        fields = [metric.field for metric in branch.all_metrics() for _ in metric.core_metrics()]
        for name, count in zip(fields, by_metric, strict=True):
            if count:
                skipped[name] = max(count, skipped.get(name, 0))
    return skipped


def _words(name: str) -> str:
    return name.replace("_", " ")
