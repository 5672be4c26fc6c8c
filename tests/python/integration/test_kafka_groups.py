from __future__ import annotations

import logging
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster, Sent
from members import Member, wait_until
from traffic import START, event, events

pytestmark = pytest.mark.kafka


def test_a_single_process_reads_all_partitions(kafka: KafkaCluster) -> None:
    topic = kafka.topic(3)
    kafka.send(topic, events(90, partitions=3))
    member = Member(kafka, topic, grouping="single")
    wait_until(lambda: len(member.sink.results) == 90)
    member.stop()
    assert member.failure is None


def test_a_single_process_refuses_to_run_beside_another(kafka: KafkaCluster) -> None:
    topic = kafka.topic(3)
    other = Member(kafka, topic)
    wait_until(lambda: other.rebalances == 1)
    single = Member(kafka, topic, grouping="single")
    single.join()
    other.stop()
    assert 'is another member\'s of the group; grouping="single" needs all partitions' in str(single.failure)
    assert topic in str(single.failure)
    assert isinstance(single.failure, ls.KafkaError)
    assert not single.failure.retriable


def test_a_single_process_stops_when_another_one_joins(kafka: KafkaCluster) -> None:
    topic = kafka.topic(3)
    single = Member(kafka, topic, grouping="single")
    wait_until(lambda: single.rebalances == 1)
    other = Member(kafka, topic)
    single.join()
    # Nothing is read in part: what comes now is all the other's.
    kafka.send(topic, events(90, partitions=3))
    wait_until(lambda: len(other.sink.results) == 90)
    other.stop()
    assert 'grouping="single" needs all partitions' in str(single.failure)
    assert single.sink.results == []


def _keyed(count: int) -> list[Sent]:
    return [Sent(event(START, f"m{n % 10}", 1, id=n), n % 2, key=f"m{n % 10}".encode()) for n in range(count)]


def _read(kafka: KafkaCluster, topic: str, **settings: Any) -> dict[str, Any]:
    config = ls.KafkaConfig(
        bootstrap_servers=kafka.bootstrap,
        group_id=topic,
        topics=[topic],
        start_from="earliest",
        until="end",
        **settings,
    )
    pipeline = ls.create_pipeline().with_kafka_source(config).map(dict).with_sink(ls.CollectSink()).build()
    pipeline.run()
    counts: dict[str, Any] = pipeline.metrics["kafka"]
    return counts


def test_records_whose_key_is_in_two_partitions_are_counted(
    kafka: KafkaCluster, caplog: pytest.LogCaptureFixture
) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, _keyed(100))
    assert _read(kafka, topic, grouping="keyed")["split_keys"] == 0
    assert caplog.records == []
    # m1 is at home in partition 1, and nothing is without a key.
    kafka.send(topic, [Sent(event(START, "m1", 1), 0, key=b"m1"), Sent(event(START, "m1", 1), 1)])
    with caplog.at_level(logging.WARNING, logger="llmopt_stream.kafka"):
        counts = _read(kafka, topic, grouping="keyed")
    # Which of m1's partitions is read first is not certain: the other one's records count.
    assert counts["split_keys"] in (1 + 1, 10 + 1)
    assert counts["records"] == 102
    assert len([each for each in caplog.records if "grouping" in each.message]) == 1
    assert _read(kafka, topic)["split_keys"] == 0


def test_the_first_record_of_a_split_key_may_fail_the_run(kafka: KafkaCluster) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, [*_keyed(10), Sent(event(START, "m1", 1), 1)])
    with pytest.raises(ls.KafkaError, match=r"\[1\] at offset 5: a record without a key, so that members"):
        _read(kafka, topic, grouping="keyed", split_keys="fail")
