"""Count windows: a key's records by their positions, whatever time it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .kinds import Count
from .values import Record

__all__ = ["CountedKey"]


@dataclass(slots=True)
class CountedKey:
    """All records of one key, in the order in which they came."""

    kind: Count
    key: tuple[Any, ...]
    records: list[Record] = field(default_factory=list)
    settled: int = 0
    """The records before this position have had the firing that they waited for."""
    panes: int = 0

    def take(self, record: Record) -> tuple[bool, list[Record] | None]:
        """Whether some window takes the record, and the records of the window that it fills, if any."""
        windows = self.kind.windows_of(len(self.records))
        self.records.append(record)
        filled = [window for window in windows if window[1] == len(self.records)]
        if not filled:
            return bool(windows), None
        self.settled = len(self.records)
        return True, self.records[max(filled[0][0], 0) :]

    def rest(self) -> tuple[list[Record], int]:
        """At the end of the input: what the next window has, and how many of these still waited."""
        start = max((len(self.records) // self.kind.slide + 1) * self.kind.slide - self.kind.size, 0)
        waited = max(len(self.records) - max(start, self.settled), 0)
        self.settled = len(self.records)
        return self.records[start:], waited
