"""Records with the fields that another stream had for their key at their time."""

from __future__ import annotations

import heapq
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from llmopt_stream.events import GroupingKey
from llmopt_stream.units import to_timedelta
from llmopt_stream.watermarks import LateEvent, Watermark

from .enrich import Enriching
from .fields import as_mapping, field_of
from .flow import END, FlowWriter
from .inputs import Inputs
from .lookup_table import lookup_key
from .operator import Context
from .panes import PaneRecord
from .several import SeveralWork

__all__ = ["EnrichVersions"]

_LEFT = 0

_Version = tuple[int, int, dict[str, Any]]
"""Its time, its place in the input, and its fields but those of the key."""


@dataclass(frozen=True)
class EnrichVersions(Inputs):
    """The records of the left stream with the latest version of their key, as of their time."""

    enriching: Enriching
    names: ClassVar[Sequence[str]] = ("left", "right")

    @property
    def name(self) -> str:
        return "enrich"

    def describe(self) -> str:
        return f"'left' with versions of 'right' {self.enriching}"

    def work_of_several(self, context: Context) -> SeveralWork:
        return _VersionsWork(self, context)


class _VersionsWork(SeveralWork):
    """A record of the left is handed on when the watermark has passed its time: no version of that time or an
    earlier one can come any more. Of versions, those are kept that later records can be given: of each key
    the last one up to the watermark, and those after it.
    """

    _operator: EnrichVersions

    def __init__(self, operator: EnrichVersions, context: Context) -> None:
        super().__init__(operator, context)
        self._waiting: list[tuple[int, int, dict[str, Any], GroupingKey | None]] = []
        """A heap: time, place in the input, record and key."""
        self._versions: dict[tuple[Any, ...], list[_Version]] = {}
        """By key, in the order of time, then of arrival."""
        self._due: list[tuple[int, int, tuple[Any, ...]]] = []
        """A heap of when which key's versions may be superseded."""
        self._columns: dict[str, int] = {}
        """The fields of versions, with the earliest time of one that has it."""
        self._late_records = 0

    def on_input(self, side: int, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        if time < self.watermark:
            self._is_late(side, record, time)
            return
        copied = self.attempt(lambda: as_mapping(record), method="record", record=record, key=key)
        if copied is None:
            return
        if side == _LEFT:
            heapq.heappush(self._waiting, (time, self._records, copied[0], key))
        elif (of := lookup_key(field_of(record, column) for column in self._columns_of_key())) is not None:
            fields = {name: value for name, value in copied[0].items() if name not in self._columns_of_key()}
            self._add(of, (time, self._records, fields))
        else:
            self.left_out += 1

    def _columns_of_key(self) -> tuple[str, ...]:
        return self._operator.enriching.matching.columns

    def _is_late(self, side: int, record: Any, time: int) -> None:
        self._late_records += 1
        matching = self._operator.enriching.matching
        paths = matching.paths if side == _LEFT else matching.columns
        self.late.append(
            LateEvent(
                event=dict(record) if isinstance(record, PaneRecord) else record,
                key=GroupingKey([(path, field_of(record, path)) for path in paths]),
                windows=(),
                watermark=Watermark(self.watermark),
                lateness=to_timedelta(self.watermark - time),
                position=self._records - 1,
                branch=self._context.branch,
            )
        )

    def _add(self, key: tuple[Any, ...], version: _Version) -> None:
        time, place, fields = version
        insort(self._versions.setdefault(key, []), version, key=_place_of)
        heapq.heappush(self._due, (time, place, key))
        for name in fields:
            self._columns[name] = min(time, self._columns.get(name, time))

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        while self._waiting and (self._waiting[0][0] < watermark or watermark == END):
            time, place, record, key = heapq.heappop(self._waiting)
            made = self.attempt(
                lambda record=record, time=time: self._enriched(record, time),  # type: ignore[misc]
                method="lookup",
                record=record,
                key=key,
                position=place - 1,
            )
            if made is None:
                continue
            if made[0] is None:
                self.left_out += 1
            else:
                out.add(made[0], time, key)
        self._forget(watermark)

    def _enriched(self, record: Mapping[str, Any], time: int) -> dict[str, Any] | None:
        enriching = self._operator.enriching
        key = enriching.key_of(record)
        versions = [] if key is None else self._versions.get(key, [])
        at = bisect_right(versions, time, key=_time_of)
        columns = [name for name, since in self._columns.items() if since <= time]
        return enriching.enriched(record, versions[at - 1][2] if at else None, columns)

    def _forget(self, watermark: int) -> None:
        if watermark == END:
            self._versions.clear()
            self._due.clear()
            return
        while self._due and self._due[0][0] <= watermark:
            key = heapq.heappop(self._due)[2]
            versions = self._versions[key]
            superseded = bisect_right(versions, watermark, key=_time_of) - 1
            del versions[: max(0, superseded)]

    def counts(self) -> Mapping[str, int]:
        return {"late": self._late_records}

    def live(self) -> int:
        return len(self._waiting) + sum(map(len, self._versions.values()))

    def get_state(self) -> Any:
        return [
            self._late_records,
            [[name, since] for name, since in self._columns.items()],
            [
                [time, place, record, None if key is None else list(key.items())]
                for time, place, record, key in sorted(self._waiting, key=_place_of)
            ],
            [
                [[value for _, value in key], [list(version) for version in versions]]
                for key, versions in self._versions.items()
            ],
        ]

    def set_state(self, state: Any) -> None:
        self._late_records, columns, waiting, versions = state
        self._columns = dict(columns)
        self._waiting = [
            (time, place, record, None if key is None else GroupingKey(key))
            for time, place, record, key in waiting
        ]
        for values, of_key in versions:
            key = lookup_key(values) or ()
            self._versions[key] = [(time, place, fields) for time, place, fields in of_key]
            self._due += [(time, place, key) for time, place, _ in of_key]
        heapq.heapify(self._due)


def _place_of(each: tuple[Any, ...]) -> tuple[int, int]:
    return each[0], each[1]


def _time_of(version: _Version) -> int:
    return version[0]
