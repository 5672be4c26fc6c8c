"""What flows between the stages of a pipeline where records are Python's: records with their times, and the
watermarks between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from llmopt_stream.events import GroupingKey

__all__ = ["END", "START", "Flow", "FlowWriter"]

START = -(2**63)
"""The watermark before there is one."""
END = 2**63 - 1
"""The watermark at the end of the input."""


@dataclass(slots=True)
class Flow:
    """A piece of a stream. Cutting a stream into other pieces changes nothing that comes of it."""

    records: list[Any] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    """Event times in microseconds."""
    keys: list[GroupingKey | None] = field(default_factory=list)
    """Of records that an operator with a key has made."""
    watermarks: list[int] = field(default_factory=list)
    """After each record, before the next."""
    before: int = START
    """The watermark before the first record."""

    @property
    def after(self) -> int:
        """The watermark at the end."""
        return self.watermarks[-1] if self.watermarks else self.before

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[tuple[Any, int, GroupingKey | None, int]]:
        return zip(self.records, self.times, self.keys, self.watermarks, strict=True)


class FlowWriter:
    """Writes a flow from records and watermarks in their order. Watermarks are held back by `delay`, so that
    records which come that much after their time are not late.
    """

    def __init__(self, start: int, delay: int = 0) -> None:
        self._delay = delay
        self.flow = Flow(before=self._held_back(start))

    def add(self, record: Any, time: int, key: GroupingKey | None = None) -> None:
        flow = self.flow
        flow.watermarks.append(flow.after)
        flow.records.append(record)
        flow.times.append(time)
        flow.keys.append(key)

    def mark(self, watermark: int) -> None:
        """The watermark from here on; going back is ignored."""
        watermark = self._held_back(watermark)
        flow = self.flow
        if not flow.watermarks:
            flow.before = max(flow.before, watermark)
        elif watermark > flow.watermarks[-1]:
            flow.watermarks[-1] = watermark

    def _held_back(self, watermark: int) -> int:
        return watermark if watermark in (START, END) else max(START, watermark - self._delay)
