"""Records that are gone, come again, or are somebody else's: each is counted, and none is lost for it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster, Sent
from members import Member, wait_until
from traffic import START, event

pytestmark = pytest.mark.kafka


def numbered(numbers: range, partition: int = 0, **more: Any) -> list[Sent]:
    return [Sent(event(START, "m", 1, id=number, **more), partition) for number in numbers]


@pytest.mark.parametrize("after", [300, 1_500], ids=["shorter", "as long as before and longer"])
def test_a_topic_that_is_deleted_and_made_again_is_read_from_its_start(
    kafka: KafkaCluster, after: int
) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbered(range(1_000)))
    refresh = {"topic.metadata.refresh.interval.ms": 200, "metadata.max.age.ms": 600}
    member = Member(kafka, topic, properties=refresh)
    wait_until(lambda: len(member.ids) == 1_000)
    kafka.delete_topic(topic)
    kafka.topic(name=topic)
    kafka.send(topic, numbered(range(10_000, 10_300)))
    wait_until(lambda: sum(each >= 10_000 for each in member.ids) == 300)
    kafka.send(topic, numbered(range(10_300, 10_000 + after)))
    wait_until(lambda: sum(each >= 10_000 for each in member.ids) == after)
    member.stop()
    assert member.ids == [*range(1_000), *range(10_000, 10_000 + after)]
    assert member.metrics["repeats_dropped"] == 0


class Retained(ls.CollectSink):
    """Retention overtakes the run after its first results."""

    def __init__(self, kafka: KafkaCluster, topic: str, before: int) -> None:
        super().__init__()
        self._take = lambda: kafka.delete_records(topic, 0, before)

    def send_batch(self, table: Any) -> None:
        super().send_batch(table)
        if self._take is not None:
            self._take()
            self._take = None


@pytest.mark.parametrize("reset", ["earliest", "latest", "none"])
def test_what_retention_takes_from_a_run_is_counted_or_refused(kafka: KafkaCluster, reset: str) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbered(range(1_000), padding="x" * 20_000))
    sink = Retained(kafka, topic, 900)
    little = {"queued.min.messages": 1, "queued.max.messages.kbytes": 100, "fetch.message.max.bytes": 100_000}
    source = ls.KafkaConfig(
        bootstrap_servers=kafka.bootstrap,
        group_id=topic,
        topics=[topic],
        start_from="earliest",
        until="end",
        auto_offset_reset=reset,
        max_poll_records=10,
        properties=little,
    )
    pipeline = ls.create_pipeline().with_kafka_source(source).map(dict).with_sink(sink).build()
    if reset == "none":
        with pytest.raises(ls.KafkaError, match=r"offset \d+ is gone, there are offsets 900 to 1000"):
            pipeline.run()
        return
    pipeline.run()
    ids = [each.data["id"] for each in sink.results]
    assert ids == sorted(set(ids))
    before = [each for each in ids if each < 900]
    assert 0 < len(before) < 900
    assert pipeline.metrics["kafka"]["lost_offsets"] == 900 - len(before)
    assert ids[len(before) :] == (list(range(900, 1_000)) if reset == "earliest" else [])


def test_a_partition_that_another_member_has_read_goes_on_where_that_one_was(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, [*numbered(range(100)), *numbered(range(10_000, 10_100), 1)])
    first = Member(kafka, topic, state=tmp_path / "a")
    wait_until(lambda: len(first.ids) == 200)
    first.stop()
    assert kafka.committed(topic, topic, 2) == [100, 100]
    other = Member(kafka, topic, state=tmp_path / "b")
    wait_until(lambda: other.rebalances >= 1)
    first = Member(kafka, topic, state=tmp_path / "a")  # with positions of both partitions
    wait_until(lambda: first.rebalances >= 1 and other.rebalances >= 2)
    kafka.send(topic, [*numbered(range(100, 1_100)), *numbered(range(10_100, 11_100), 1)])
    wait_until(lambda: len(first.ids) + len(other.ids) == 2_000)
    other.stop()
    wait_until(lambda: first.rebalances >= 2)
    kafka.send(topic, [*numbered(range(1_100, 1_200)), *numbered(range(11_100, 11_200), 1)])
    wait_until(lambda: len(first.ids) + len(other.ids) >= 2_200)
    first.stop()
    assert sorted(first.ids + other.ids) == [*range(100, 1_200), *range(10_100, 11_200)]
    # What it has from the other one it still has after a restart.
    assert kafka.committed(topic, topic, 2) == [1_200, 1_200]


def test_who_starts_at_the_end_does_not_skip_what_comes_between_two_runs(kafka: KafkaCluster) -> None:
    topic = kafka.topic()
    kafka.send(topic, numbered(range(10)))
    first = Member(kafka, topic, auto_offset_reset="latest")
    wait_until(lambda: kafka.committed(topic, topic, 1) == [10])
    first.stop()
    kafka.send(topic, numbered(range(10, 60)))
    second = Member(kafka, topic, auto_offset_reset="latest")
    wait_until(lambda: len(second.ids) == 50)
    second.stop()
    assert second.ids == list(range(10, 60))


@pytest.mark.timeout(240)
def test_a_run_that_is_to_stop_does_not_wait_for_brokers_that_are_away(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    del kafka
    own = KafkaCluster(tmp_path / "kafka")
    try:
        topic, results = own.topic(), own.topic()
        own.send(topic, numbered(range(10)))
        config = ls.KafkaConfig(
            bootstrap_servers=own.bootstrap, group_id=topic, topics=[topic], session_timeout_ms=6_000
        )
        away = threading.Event()

        class KillingBroker(ls.CollectSink):
            def send_batch(self, table: Any) -> None:
                super().send_batch(table)
                if not away.is_set():
                    own.kill()
                    away.set()

        backend = ls.RocksDBStateBackend(tmp_path / "state", tmp_path / "checkpoints")
        pipeline = (
            ls.create_pipeline()
            .with_kafka_source(config)
            .key_by("data.model")
            .with_count_window(10)
            .aggregate("data.latency_ms", ["count"])
            .with_sink(KillingBroker())
            .with_sink(ls.KafkaAggregationSink(_to(own, results)))
            .with_state_backend(backend)
            .build()
        )
        failures: list[BaseException] = []

        def run() -> None:
            try:
                pipeline.run()
            except ls.KafkaError as failure:
                failures.append(failure)

        thread = threading.Thread(target=run)
        thread.start()
        assert away.wait(60)
        began = time.monotonic()
        pipeline.stop()
        thread.join(60)
        assert not thread.is_alive()
        assert time.monotonic() - began < 45
        assert "what was sent is not delivered, and the run is to stop" in str(failures[0])
        assert backend.checkpoints() == []
        # Nothing of it is lost: the next run delivers it.
        own.start()
        pipeline.run(max_events=10)
        assert [each.key for each in own.read(results)] == [b'{"data.model":"m"}']
    finally:
        own.kill()


def _to(kafka: KafkaCluster, topic: str) -> ls.KafkaProducerConfig:
    return ls.KafkaProducerConfig(bootstrap_servers=kafka.bootstrap, result_topic=topic)
