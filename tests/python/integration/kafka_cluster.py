"""A real Kafka for tests, and another client than ours to fill topics and to look into them."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic

TOOL = Path(__file__).parents[3] / "tools" / "kafka-local"


@dataclass(frozen=True)
class Sent:
    """A record to send."""

    value: bytes | None
    partition: int = 0
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_ms: int = 0


@dataclass(frozen=True)
class Read:
    """A record that was read."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


class KafkaCluster:
    """One or three nodes in a directory."""

    _names = itertools.count()

    def __init__(self, directory: Path, *options: str, nodes: int = 1) -> None:
        self._directory = directory
        self.nodes = nodes
        self.bootstrap = self._tool("start", "--brokers", str(nodes), *options)
        self._admin = AdminClient({"bootstrap.servers": self.bootstrap})

    def _tool(self, command: str, *options: str) -> str:
        done = subprocess.run(
            [sys.executable, TOOL, command, "--dir", self._directory, *options],
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start(self, *options: str) -> None:
        """What is down comes up again, with its data."""
        self._tool("start", *options)

    def stop(self, *options: str) -> None:
        self._tool("stop", *options)

    def kill(self, *options: str) -> None:
        """Without warning."""
        self._tool("kill", *options)

    def topic(self, partitions: int = 1, *, name: str | None = None, **config: str) -> str:
        """A new one, empty."""
        name = name or f"topic-{next(self._names)}"
        created = self._admin.create_topics([NewTopic(name, partitions, self.nodes, config=config)])
        created[name].result(30)
        return name

    def delete_topic(self, topic: str) -> None:
        """When it returns, the topic is gone."""
        self._admin.delete_topics([topic])[topic].result(30)
        deadline = time.monotonic() + 30
        while topic in self._admin.list_topics(timeout=30).topics:
            assert time.monotonic() < deadline, f"{topic} is still there"
            time.sleep(0.05)

    def delete_records(self, topic: str, partition: int, before: int) -> None:
        """As retention does."""
        at = confluent_kafka.TopicPartition(topic, partition, before)
        next(iter(self._admin.delete_records([at]).values())).result(30)

    def send(self, topic: str, records: Iterable[Sent | bytes]) -> None:
        producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "linger.ms": 5,
                "enable.idempotence": True,  # else batches may change places
                "message.max.bytes": 3_000_000,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        failures: list[Any] = []
        for each in records:
            record = each if isinstance(each, Sent) else Sent(each)
            producer.produce(
                topic,
                value=record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
                timestamp=record.timestamp_ms,
                on_delivery=lambda error, _: failures.append(error) if error else None,
            )
            producer.poll(0)
        assert producer.flush(60) == 0
        assert failures == []

    def read(self, topic: str) -> list[Read]:
        """Everything, partition by partition."""
        consumer = confluent_kafka.Consumer(
            {"bootstrap.servers": self.bootstrap, "group.id": "look", "enable.auto.commit": False}
        )
        found: list[Read] = []
        partitions = consumer.list_topics(topic, 30).topics[topic].partitions
        for partition in partitions:
            _, end = consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, partition), 30)
            consumer.assign([confluent_kafka.TopicPartition(topic, partition, 0)])
            while (
                at := consumer.position([confluent_kafka.TopicPartition(topic, partition)])[0].offset
            ) < end:
                if at < 0 and end == 0:
                    break
                message = consumer.poll(30)
                assert message is not None, "a record is missing"
                assert message.error() is None, message.error()
                found.append(
                    Read(
                        partition,
                        message.offset(),
                        message.key(),
                        message.value(),
                        tuple(message.headers() or ()),
                    )
                )
        consumer.close()
        return found

    def committed(self, group: str, topic: str, partitions: int) -> list[int | None]:
        """By partition."""
        consumer = confluent_kafka.Consumer({"bootstrap.servers": self.bootstrap, "group.id": group})
        places = [confluent_kafka.TopicPartition(topic, each) for each in range(partitions)]
        offsets = [each.offset if each.offset >= 0 else None for each in consumer.committed(places, 30)]
        consumer.close()
        return offsets
