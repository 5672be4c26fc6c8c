"""Records as they lie in Kafka."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KafkaRecord"]


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """A record as it came from Kafka, byte by byte."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    """The record's own time, by its producer or by the broker."""
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    """None of a tombstone."""

    @property
    def place(self) -> str:
        """As messages name it."""
        return f"{self.topic}[{self.partition}] at offset {self.offset}"
