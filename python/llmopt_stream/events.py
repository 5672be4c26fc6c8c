"""What flows through a pipeline, as Python sees it: events, their time and their key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError
from .units import Time, time_micros, to_datetime

__all__ = [
    "EventMetadata",
    "EventTimestamp",
    "FeedbackData",
    "FeedbackEvent",
    "FeedbackMetadata",
    "GroupingKey",
    "ProcessorEvent",
]


class GroupingKey(Mapping[str, Any]):
    """The fields that records are grouped by, in the order in which they were named. NaN equals itself, true is not 1.

    >>> key = GroupingKey.from_fields([("model", "claude-3-opus"), ("region", "us-west-2")])
    >>> str(key), key.values(), key["region"]
    ('model=claude-3-opus::region=us-west-2', ('claude-3-opus', 'us-west-2'), 'us-west-2')
    >>> key == {"model": "claude-3-opus", "region": "us-west-2"}
    True
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
        self._fields: dict[str, Any] = dict(pairs)
        if len(self._fields) < len(pairs):
            raise ConfigurationError(f"GroupingKey: fields: {pairs!r} name a field twice")

    @classmethod
    def from_fields(cls, fields: Iterable[tuple[str, Any]]) -> GroupingKey:
        """A key of (name, value) pairs."""
        return cls(fields)

    def __getitem__(self, name: str) -> Any:
        return self._fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def values(self) -> tuple[Any, ...]:  # type: ignore[override]
        return tuple(self._fields.values())

    def items(self) -> tuple[tuple[str, Any], ...]:  # type: ignore[override]
        return tuple(self._fields.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and _with_equal_nans(self) == _with_equal_nans(other)

    def __hash__(self) -> int:
        return hash(frozenset(_with_equal_nans(self).items()))

    def __str__(self) -> str:
        return "::".join(f"{name}={'' if value is None else value}" for name, value in self._fields.items())

    def __repr__(self) -> str:
        return f"GroupingKey({self._fields!r})"


_NAN = object()


def _with_equal_nans(key: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _comparable(value) for name, value in key.items()}


def _comparable(value: Any) -> Any:
    """As windows tell keys apart: true is not 1."""
    if isinstance(value, bool):
        return (bool, value)
    return value if value == value else _NAN  # noqa: PLR0124


@dataclass(frozen=True, slots=True, order=True)
class EventTimestamp:
    """When an event happened; `int()` gives microseconds since the epoch.

    >>> int(EventTimestamp.event("1970-01-01T00:00:01Z"))
    1000000
    """

    micros: int

    @classmethod
    def event(cls, time: Time) -> EventTimestamp:
        """The time that the event itself carries."""
        return cls(time_micros(time, "EventTimestamp"))

    @classmethod
    def now(cls) -> EventTimestamp:
        """The wall clock's time."""
        return cls.event(datetime.now(UTC))

    @property
    def timestamp(self) -> datetime:
        return to_datetime(self.micros)

    def __int__(self) -> int:
        return self.micros


@dataclass(frozen=True, slots=True)
class EventMetadata:
    """Where a record came from."""

    partition: int | None = None
    offset: int | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProcessorEvent:
    """A record with what the processor knows about it."""

    data: Any
    timestamp: datetime | EventTimestamp
    processing_time: datetime | None = None
    key: GroupingKey | None = None
    metadata: EventMetadata = field(default_factory=EventMetadata)

    def to_dict(self) -> dict[str, Any]:
        """The shape that it has as JSON."""
        from .watermarks import plain_json

        time = self.timestamp if isinstance(self.timestamp, datetime) else self.timestamp.timestamp
        return {
            "timestamp": time.isoformat().replace("+00:00", "Z"),
            "key": plain_json(self.key),
            "data": plain_json(self.data),
        }

    def to_json(self) -> str:
        """One line of JSON; numbers that it has none for (NaN, ±Inf) are null."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False)


class _WithExtra:
    """Fields of `extra` are attributes too, and so under field paths such as "data.ttft_ms"."""

    __slots__ = ()

    if not TYPE_CHECKING:  # a misspelt field stays an error of type checkers

        def __getattr__(self, name):
            # Where there is no `extra` yet, a copy is being made.
            if name != "extra" and name in self.extra:
                return self.extra[name]
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@dataclass(slots=True)
class FeedbackData(_WithExtra):
    """What a request to a model cost and how it went. Times in milliseconds, cost in US dollars."""

    model: str | None = None
    latency_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    quality: float | None = None
    error: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class FeedbackMetadata(_WithExtra):
    """Who asked, and where."""

    tenant: str | None = None
    region: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class FeedbackEvent(_WithExtra):
    """One feedback event of an LLM application. Fields that it does not name are kept in `extra`, and are
    attributes and field paths all the same.

    >>> event = FeedbackEvent.from_dict({"id": "e1", "timestamp": "2026-01-01T00:00:00Z",
    ...                                  "data": {"model": "gpt-4o", "latency_ms": 812.5, "ttft_ms": 90.0}})
    >>> event.data.latency_ms, event.data.extra, event.data.ttft_ms
    (812.5, {'ttft_ms': 90.0}, 90.0)
    >>> event.to_dict()["data"]["ttft_ms"]
    90.0
    """

    id: str | None = None
    timestamp: datetime | str | None = None
    source: str | None = None
    event_type: str | None = None
    data: FeedbackData = field(default_factory=FeedbackData)
    metadata: FeedbackMetadata = field(default_factory=FeedbackMetadata)
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> FeedbackEvent:
        """Reads the shape that FeedbackEvents have as JSON."""
        parts = dict(record)
        data = FeedbackData(**_known_and_extra(FeedbackData, parts.pop("data", None) or {}))
        metadata = FeedbackMetadata(**_known_and_extra(FeedbackMetadata, parts.pop("metadata", None) or {}))
        return cls(data=data, metadata=metadata, **_known_and_extra(cls, parts))

    def to_dict(self) -> dict[str, Any]:
        """The shape that FeedbackEvents have as JSON."""
        record = asdict(self)
        for part in (record, record["data"], record["metadata"]):
            part.update(part.pop("extra"))
        return record


def _known_and_extra(kind: type, record: Mapping[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(kind)} - {"extra"}
    known = {name: value for name, value in record.items() if name in names}
    return {**known, "extra": {name: value for name, value in record.items() if name not in names}}
