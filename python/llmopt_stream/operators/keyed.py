"""Operators that follow the records of each key."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

from llmopt_stream.events import GroupingKey
from llmopt_stream.units import duration_text

from .flow import END, FlowWriter
from .operator import Context, Operator, Work

__all__ = ["RunningCount", "TrackSessions"]


@dataclass(frozen=True)
class RunningCount(Operator):
    """After each record how many its key has had."""

    key: tuple[str, ...]

    @property
    def name(self) -> str:
        return "running_count"

    def describe(self) -> str:
        return f"by {', '.join(self.key) or 'nothing'}"

    def work(self, context: Context) -> Work:
        return _Counting(self, context)


class _Counting(Work):
    _operator: RunningCount

    def __init__(self, operator: RunningCount, context: Context) -> None:
        super().__init__(operator, context)
        self._counts: dict[GroupingKey, int] = {}

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        key = self.key_of(record, self._operator.key)
        if key is not None:
            self._counts[key] = count = self._counts.get(key, 0) + 1
            out.add({**key, "count": count}, time, key)

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        if watermark == END:
            self._counts = {}

    def live(self) -> int:
        return len(self._counts)

    def get_state(self) -> Any:
        return [[list(key.items()), count] for key, count in self._counts.items()]

    def set_state(self, state: Any) -> None:
        self._counts = {GroupingKey(fields): count for fields, count in state}


@dataclass(frozen=True)
class TrackSessions(Operator):
    """When a session of a key is over: how long it was, and of how many records."""

    key: tuple[str, ...]
    timeout: int

    @property
    def name(self) -> str:
        return "track_sessions"

    def describe(self) -> str:
        return f"of {', '.join(self.key)}, over after {duration_text(self.timeout)}"

    def work(self, context: Context) -> Work:
        return _Tracking(self, context)


class _Tracking(Work):
    """A session ends when the watermark is past its last record by the timeout: later records can only start
    another one. Records out of order may make two sessions one, until then.
    """

    _operator: TrackSessions

    def __init__(self, operator: TrackSessions, context: Context) -> None:
        super().__init__(operator, context)
        self.delay = operator.timeout
        # Of each key its open sessions, the earliest first: first and last time, and records.
        self._sessions: dict[GroupingKey, list[tuple[int, int, int]]] = {}
        # When to look at a key; a session that has grown is looked at in vain.
        self._due: list[tuple[int, int, GroupingKey]] = []
        self._number = 0
        self.late_records = 0

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        key = self.key_of(record, self._operator.key)
        if key is None:
            return
        timeout = self._operator.timeout
        first, last, views = time, time, 1
        apart = []
        for start, end, count in self._sessions.get(key, ()):
            if start <= last + timeout and first <= end + timeout:
                first, last, views = min(first, start), max(last, end), views + count
            else:
                apart.append((start, end, count))
        if views == 1 and self._is_over(last):
            self.late_records += 1
            return
        self._sessions[key] = sorted([*apart, (first, last, views)])
        self._remind(last, key)

    def _remind(self, last: int, key: GroupingKey) -> None:
        self._number += 1
        heapq.heappush(self._due, (last + self._operator.timeout, self._number, key))

    def _is_over(self, last: int) -> bool:
        return self.watermark == END or last + self._operator.timeout <= self.watermark

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        due: dict[GroupingKey, None] = {}
        while self._due and (watermark == END or self._due[0][0] <= watermark):
            due[heapq.heappop(self._due)[2]] = None
        over = [
            (last, key, first, views)
            for key in due
            for first, last, views in self._sessions.get(key, ())
            if self._is_over(last)
        ]
        for last, key, first, views in sorted(over, key=lambda each: (each[0], str(each[1]), repr(each[1]))):
            out.add(
                {
                    "type": "session_end",
                    "user_id": next(iter(key.values())) if len(key) == 1 else key.values(),
                    "duration": (last - first) / 1e6,
                    "page_views": views,
                },
                last,
                key,
            )
            left = [each for each in self._sessions[key] if each != (first, last, views)]
            if left:
                self._sessions[key] = left
            else:
                del self._sessions[key]

    def counts(self) -> dict[str, int]:
        return {"late": self.late_records}

    def live(self) -> int:
        return sum(map(len, self._sessions.values()))

    def get_state(self) -> Any:
        return [
            self.late_records,
            [
                [list(key.items()), [list(each) for each in sessions]]
                for key, sessions in self._sessions.items()
            ],
        ]

    def set_state(self, state: Any) -> None:
        self.late_records, sessions = state
        for fields, of_key in sessions:
            key = GroupingKey(fields)
            self._sessions[key] = [(first, last, views) for first, last, views in of_key]
            for _, last, _ in of_key:
                self._remind(last, key)
