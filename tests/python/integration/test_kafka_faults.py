from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster, Sent
from traffic import START, event, events, expected_panes, panes_of

pytestmark = pytest.mark.kafka

FEW = ["count", "sum", "min", "max", "p50"]
CYCLES = int(os.environ.get("LLMOPT_STREAM_KAFKA_CYCLES", "25"))


@pytest.fixture
def own_kafka(kafka: KafkaCluster, tmp_path: Path) -> Iterator[KafkaCluster]:
    """One that may be broken."""
    del kafka  # which skips where there can be none
    cluster = KafkaCluster(tmp_path / "kafka")
    yield cluster
    cluster.kill()


@pytest.fixture
def three_nodes(kafka: KafkaCluster, tmp_path: Path) -> Iterator[KafkaCluster]:
    del kafka
    cluster = KafkaCluster(tmp_path / "kafka", nodes=3)
    yield cluster
    cluster.kill()


class Watching(ls.CollectSink):
    """Calls something once, with the first result."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self._then: Callable[[], None] | None = then
        self.thread: threading.Thread | None = None

    def send_batch(self, table: Any) -> None:
        super().send_batch(table)
        if self._then is not None:
            self.thread = threading.Thread(target=self._then)
            self._then = None
            self.thread.start()


def run_through(
    kafka: KafkaCluster, fault: Callable[[], None], *, delivery: str = "at_least_once"
) -> tuple[Any, list[Any], dict[str, Any]]:
    """Half of the events, then the fault, then the other half; what was sent, what came out, and the metrics."""
    topic, results = kafka.topic(3), kafka.topic(2)
    sent = events(3_000, partitions=3)
    kafka.send(topic, sent[:1_500])

    def go_on() -> None:
        fault()
        kafka.send(topic, sent[1_500:])

    watching = Watching(go_on)
    pipeline = (
        ls.create_pipeline("faults")
        .with_kafka_source(ls.KafkaConfig(bootstrap_servers=kafka.bootstrap, group_id=topic, topics=[topic]))
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", FEW)
        .with_delivery(delivery)
        .with_sink(watching)
        .with_sink(
            ls.KafkaAggregationSink(
                ls.KafkaProducerConfig(bootstrap_servers=kafka.bootstrap, result_topic=results)
            )
        )
        .build()
    )
    summary = pipeline.run(max_events=3_000, timeout="100s")
    assert watching.thread is not None
    watching.thread.join()
    assert (summary.records_in, summary.late) == (3_000, 0)
    return sent, [json.loads(each.value or b"") for each in kafka.read(results)], pipeline.metrics


@pytest.mark.parametrize("delivery", ["at_least_once", "at_most_once"])
def test_a_broker_that_is_killed_and_comes_back_costs_nothing(own_kafka: KafkaCluster, delivery: str) -> None:
    def fault() -> None:
        own_kafka.kill()
        own_kafka.start()

    sent, results, metrics = run_through(own_kafka, fault, delivery=delivery)
    assert panes_of(results) == expected_panes(sent)
    assert len(results) == len(expected_panes(sent)), "a result is there twice"
    assert metrics["kafka"]["delivery_failures"] == 0


def test_a_node_of_three_that_is_killed_costs_nothing(three_nodes: KafkaCluster) -> None:
    sent, results, metrics = run_through(three_nodes, lambda: three_nodes.kill("--node", "2"))
    assert panes_of(results) == expected_panes(sent)
    assert len(results) == len(expected_panes(sent)), "a result is there twice"
    assert metrics["kafka"]["delivery_failures"] == 0


def test_starting_and_stopping_at_any_moment_neither_hangs_nor_loses_nor_repeats(kafka: KafkaCluster) -> None:
    topic = kafka.topic(3)
    kafka.send(topic, events(600, partitions=3))
    random_ = random.Random(11)
    source = ls.KafkaSource(
        ls.KafkaConfig(
            bootstrap_servers=kafka.bootstrap,
            group_id=topic,
            topics=[topic],
            session_timeout_ms=6_000,
            max_poll_records=7,
        )
    )
    positions: list[Any] = []

    class Noting(ls.Source):
        def open(self, intake: Any) -> Any:
            return source.open(intake)

        def close(self) -> None:
            positions.append(source.position())
            source.checkpointed(positions[-1])
            source.close()

    ids: list[int] = []
    for cycle in range(CYCLES):
        sink = ls.CollectSink()
        if positions and positions[-1]["offsets"]:
            source.seek(positions[-1])
        pipeline = ls.create_pipeline().with_source(Noting()).map(dict).with_sink(sink).build()
        stopping = threading.Timer(random_.random() * 0.1, pipeline.stop)
        stopping.start()
        began = time.monotonic()
        pipeline.run(max_events=random_.randrange(1, 40))
        assert time.monotonic() - began < 20, f"cycle {cycle} hung"
        stopping.join()
        ids += [each.data["id"] for each in sink.results]
        if not positions[-1]["offsets"]:
            positions.pop()
    sink = ls.CollectSink()
    if positions:
        source.seek(positions[-1])
    ls.create_pipeline().with_source(Noting()).map(dict).with_sink(sink).build().run(
        max_events=600 - len(ids), timeout="60s"
    )
    ids += [each.data["id"] for each in sink.results]
    assert sorted(ids) == list(range(600))


def test_a_sink_that_takes_longer_than_the_group_waits_keeps_its_partitions(kafka: KafkaCluster) -> None:
    topic = kafka.topic(2)
    sent = [Sent(event(START + timedelta(seconds=n // 2), "m", 1, id=n), n % 2) for n in range(400)]
    kafka.send(topic, sent)

    class Slow(ls.CollectSink):
        slept = False

        def send_batch(self, table: Any) -> None:
            super().send_batch(table)
            if not self.slept:
                time.sleep(9)
            self.slept = True

    sink = Slow()
    pipeline = (
        ls.create_pipeline()
        .with_kafka_source(
            ls.KafkaConfig(
                bootstrap_servers=kafka.bootstrap,
                group_id=topic,
                topics=[topic],
                session_timeout_ms=6_000,
                max_poll_records=50,
                properties={"max.poll.interval.ms": 6_000, "queued.min.messages": 10},
            )
        )
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", ["count"])
        .with_sink(sink)
        .build()
    )
    pipeline.run(max_events=400, timeout="60s")
    assert [result.results["count"] for result in sink.results] == [120, 120, 120, 40]
    counts = pipeline.metrics["kafka"]
    assert (counts["rebalances"], counts["records"]) == (1, 400)


def test_partitions_that_are_lost_while_they_are_paused_are_read_on(own_kafka: KafkaCluster) -> None:
    topic = own_kafka.topic(2)
    own_kafka.send(topic, events(400, partitions=2))

    class Slow(ls.CollectSink):
        """At work until the session has expired, with nobody there to join again."""

        starting: threading.Thread | None = None

        def send_batch(self, table: Any) -> None:
            super().send_batch(table)
            if self.starting is None:
                own_kafka.kill()
                time.sleep(14)
                self.starting = threading.Thread(target=own_kafka.start)
                self.starting.start()

    sink = Slow()
    pipeline = (
        ls.create_pipeline()
        .with_kafka_source(
            ls.KafkaConfig(
                bootstrap_servers=own_kafka.bootstrap,
                group_id=topic,
                topics=[topic],
                session_timeout_ms=6_000,
                max_poll_records=10,
                properties={"max.poll.interval.ms": 6_000},
            )
        )
        .map(dict)
        .with_sink(sink)
        .build()
    )
    summary = pipeline.run(max_events=400, timeout="60s")
    assert sink.starting is not None
    sink.starting.join()
    assert pipeline.metrics["kafka"]["rebalances"] >= 2
    assert summary.records_in == 400
    assert sorted(each.data["id"] for each in sink.results) == list(range(400))


def test_processing_goes_on_when_a_partition_is_added(kafka: KafkaCluster) -> None:
    from confluent_kafka.admin import AdminClient, NewPartitions

    topic = kafka.topic(1)
    kafka.send(topic, events(100, partitions=1))
    sink = ls.CollectSink()
    pipeline = (
        ls.create_pipeline()
        .with_kafka_source(
            ls.KafkaConfig(
                bootstrap_servers=kafka.bootstrap,
                group_id=topic,
                topics=[topic],
                properties={"metadata.max.age.ms": 1000, "topic.metadata.refresh.interval.ms": 500},
            )
        )
        .map(dict)
        .with_sink(sink)
        .build()
    )
    running = threading.Thread(target=lambda: pipeline.run(max_events=150, timeout="60s"))
    running.start()
    deadline = time.monotonic() + 30
    while len(sink.results) < 100:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result(30)
    kafka.send(topic, [Sent(event(START, "m", 1, id=1_000 + n), 1) for n in range(50)])
    running.join(60)
    assert sorted(each.data["id"] for each in sink.results) == [*range(100), *range(1_000, 1_050)]
