"""Kafka topics as a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmopt_stream import _core
from llmopt_stream.errors import CheckpointError, ConfigurationError
from llmopt_stream.intake import UNLIMITED, Step
from llmopt_stream.sources import Source

from .config import KafkaConfig
from .logs import pass_on_log
from .payloads import PayloadDecoder, payload_decoder

if TYPE_CHECKING:
    from llmopt_stream.intake import Intake

__all__ = ["KafkaSource"]


class KafkaSource(Source):
    """The records of Kafka topics in the order in which they arrive from the partitions.

    Each partition has a watermark of its own, from when it is assigned: the stream's is the least of them. One
    that has been read to its end is idle after the watermark generator's `idle_timeout`; without one it holds the
    stream back until its next record. A record without an event time of its own has the Kafka record's.

    What was read is committed when a checkpoint is durable, or by the clock with `enable_auto_commit`.
    """

    def __init__(self, config: KafkaConfig) -> None:
        if not isinstance(config, KafkaConfig):
            raise ConfigurationError(f"KafkaSource: {config!r} is not a KafkaConfig")
        self.config = config
        self.redaction = config.redaction()
        self._start: Any = None
        self._consumer: _core.KafkaConsumer | None = None
        self._payloads: PayloadDecoder | None = None
        self._counts: dict[str, Any] = {}

    def check_settings(self) -> None:
        self.config.check_files()

    def reads(self, bootstrap_servers: str, topic: str) -> bool:
        """Whether the topic of these brokers is one of its own, as far as their addresses tell."""
        return bool(_servers(bootstrap_servers) & _servers(self.config.bootstrap_servers)) and (
            _core.topics_match(list(self.config.topics), topic)
        )

    def open(self, intake: Intake) -> Step:
        self.close()
        self._payloads = payload_decoder(self.config)
        consumer = _core.KafkaConsumer(**self.config.consumer(self.redaction), payloads=self._payloads)
        if self._start is not None:
            consumer.seek(*self._start)
            self._start = None
        self._consumer = consumer
        take = intake.kafka(consumer, self.config.max_poll_records)
        with self.redaction.of_errors():
            try:
                consumer.open()
            finally:
                pass_on_log(consumer, self.redaction)

        def step(max_records: int = UNLIMITED) -> bool:
            with self.redaction.of_errors():
                try:
                    return take(max_records)
                finally:
                    pass_on_log(consumer, self.redaction)

        return step

    def position(self) -> Any:
        """The topics in the order in which they were first seen, and of each partition where its next record is."""
        if self._consumer is None:
            return None
        return {
            "topics": self._consumer.topics(),
            "offsets": [list(offset) for offset in self._consumer.positions()],
        }

    def seek(self, position: Any) -> None:
        self._start = None if position is None else _checked(position)

    def checkpointed(self, position: Any) -> None:
        if self._consumer is not None and not self.config.enable_auto_commit and position is not None:
            self._consumer.commit(_checked(position)[1])

    def taken(self, position: Any) -> None:
        if self._consumer is not None:
            with self.redaction.of_errors():
                self._consumer.commit_and_wait()

    def metrics(self) -> dict[str, Any]:
        if self._consumer is not None:
            self._counts = self._consumer.counts()
        return {"kafka": dict(self._counts)}

    def close(self) -> None:
        if self._consumer is not None:
            lag = self._consumer.counts()["lag"]
            self._consumer.close()
            pass_on_log(self._consumer, self.redaction)
            self._counts = {**self._consumer.counts(), "lag": lag}
            self._consumer = None
        if self._payloads is not None:
            self._payloads.close()
            self._payloads = None

    def __str__(self) -> str:
        return f"KafkaSource({', '.join(self.config.topics)} at {self.config.bootstrap_servers})"


def _servers(text: str) -> set[str]:
    return {server.strip() for server in text.split(",")}


def _checked(position: Any) -> tuple[list[str], list[tuple[str, int, int]]]:
    try:
        topics = [str(topic) for topic in position["topics"]]
        offsets = [
            (str(topic), int(partition), int(offset)) for topic, partition, offset in position["offsets"]
        ]
    except (KeyError, TypeError, ValueError):
        raise CheckpointError("the checkpoint has no position of a Kafka source") from None
    return topics, offsets
