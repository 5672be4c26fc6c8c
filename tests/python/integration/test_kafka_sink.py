from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import confluent_kafka
import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster, Read, Sent
from traffic import START, event, events, expected_panes, panes_of

pytestmark = pytest.mark.kafka

FEW = ["count", "sum", "min", "max", "p50"]


def to(kafka: KafkaCluster, topic: str, **settings: Any) -> ls.KafkaProducerConfig:
    return ls.KafkaProducerConfig(bootstrap_servers=kafka.bootstrap, result_topic=topic, **settings)


def reading(kafka: KafkaCluster, topic: str) -> ls.KafkaConfig:
    return ls.KafkaConfig(bootstrap_servers=kafka.bootstrap, group_id=topic, topics=[topic], until="end")


def windows(source: ls.KafkaConfig) -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline("latency")
        .with_kafka_source(source)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", FEW)
    )


def test_results_lie_in_the_topic_as_json_under_their_key(kafka: KafkaCluster) -> None:
    topic, results = kafka.topic(2), kafka.topic(3)
    sent = events(2_000, partitions=2)
    kafka.send(topic, sent)
    same = ls.CollectSink()
    pipeline = (
        windows(reading(kafka, topic))
        .with_sink(ls.KafkaAggregationSink(to(kafka, results)))
        .with_sink(same)
        .build()
    )
    pipeline.run()
    found = kafka.read(results)
    assert panes_of([json.loads(each.value or b"") for each in found]) == expected_panes(sent)
    # The core writes what Python writes, to the byte.
    assert sorted(each.value or b"" for each in found) == sorted(
        result.to_json().encode() for result in same.results
    )
    partitions: dict[bytes | None, set[int]] = {}
    for each in found:
        assert json.loads(each.key or b"") == json.loads(each.value or b"")["key"]
        partitions.setdefault(each.key, set()).add(each.partition)
        assert each.headers == (("pane", b"on_time"), ("revision", b"0"), ("pipeline", b"latency"))
    assert all(len(of_key) == 1 for of_key in partitions.values())
    counts = pipeline.metrics["kafka"]
    assert (counts["sent"], counts["delivered"], counts["delivery_failures"]) == (len(found),) * 2 + (0,)


def test_late_panes_say_their_revision_and_results_without_a_key_have_none(kafka: KafkaCluster) -> None:
    results = kafka.topic()
    builder = (
        ls.create_pipeline("all")
        .with_source(
            ls.IterableSource(
                [
                    {"timestamp": START + timedelta(seconds=at), "v": value}
                    for at, value in ((1, 0.1), (70, 1e16), (2, 5e-324), (3, 1e-5))
                ]
            )
        )
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
        .with_tumbling_window("1m", allowed_lateness="5m")
        .aggregate("v", ["sum", "stddev_sample"])
        .with_sink(ls.KafkaAggregationSink(to(kafka, results)))
    )
    same = ls.CollectSink()
    builder.with_sink(same).build().run()
    found = kafka.read(results)
    assert [each.value for each in found] == [result.to_json().encode() for result in same.results]
    assert {each.key for each in found} == {None}
    assert [(dict(each.headers)["pane"], dict(each.headers)["revision"]) for each in found] == [
        (b"on_time", b"0"),
        (b"late", b"1"),
        (b"late", b"2"),
        (b"on_time", b"0"),
    ]


def test_every_kind_of_key_and_result_is_written_as_python_writes_it(kafka: KafkaCluster) -> None:
    results = kafka.topic()
    keys = ['q"\\\n\x01é€😀\x7f', None, True, 7, -(2**63), 2.5, 1e300, "x" * 300]
    records = [
        {"timestamp": START, "k": key, "v": value}
        for key in keys
        for value in (3.0, -0.0, 1e-7, 123456789.25)
    ]
    same = ls.CollectSink()
    (
        ls.create_pipeline()
        .with_source(ls.IterableSource(records))
        .key_by("k")
        .with_session_window("30s")
        .aggregate("v", ["count", "sum", "average", "min", "max", "stddev", "p50"])
        .aggregate("v", [ls.HeavyHittersAggregator(k=2)], prefix="top_")
        .with_sink(ls.KafkaAggregationSink(to(kafka, results)))
        .with_sink(same)
        .build()
        .run()
    )
    assert [each.value for each in kafka.read(results)] == [r.to_json().encode() for r in same.results]


def _letters(found: list[Read]) -> list[tuple[bytes | None, bytes | None, dict[str, bytes | None]]]:
    return [(each.key, each.value, dict(each.headers)) for each in found]


def test_late_and_malformed_records_arrive_as_they_came(kafka: KafkaCluster) -> None:
    topic, late, broken = kafka.topic(2), kafka.topic(), kafka.topic()
    old = event(START, "m", 9, text="\u00e9")
    at = int(START.timestamp() * 1000)
    kafka.send(
        topic,
        [
            Sent(event(START + timedelta(hours=1), "m", 1), timestamp_ms=at),
            Sent(event(START + timedelta(hours=1), "m", 1), 1, timestamp_ms=at),
        ],
    )
    kafka.send(
        topic,
        [
            Sent(old, 1, b"\x00key", (("trace", b"\xff\x00"), ("none", None)), at + 5),
            Sent(b"{not json", 1, b"k", (("trace", b"1"),), at + 6),
            Sent(None, 1, b"gone", (), at + 7),
        ],
    )
    pipeline = (
        windows(reading(kafka, topic))
        .with_late_event_handler(ls.LateEventHandler("0s").with_side_output(ls.DeadLetterSink(late)))
        .with_error_handler(
            ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(ls.DeadLetterSink(broken))
        )
        .with_sink(ls.CollectSink())
        .build()
    )
    summary = pipeline.run()
    assert (summary.late, summary.malformed) == (1, 2)
    [(key, value, headers)] = _letters(kafka.read(late))
    assert (key, value) == (b"\x00key", old)
    reason = headers.pop("dead_letter.reason")
    assert reason == b"late by 3595 s, under the watermark 2026-01-01T00:59:55+00:00"
    place = {
        "dead_letter.pipeline": b"latency",
        "dead_letter.topic": topic.encode(),
        "dead_letter.partition": b"1",
    }
    assert headers.pop("dead_letter.position") in (b"2", b"3")
    assert headers == {
        "trace": b"\xff\x00",
        "none": None,
        **place,
        "dead_letter.offset": b"1",
        "dead_letter.timestamp_ms": str(at + 5).encode(),
    }
    first, second = _letters(kafka.read(broken))
    assert (first[0], first[1]) == (b"k", b"{not json")
    assert first[2]["dead_letter.reason"] == f"record {topic}[1] at offset 2: syntax".encode()
    assert first[2]["trace"] == b"1"
    assert (second[0], second[1]) == (b"gone", None)
    assert second[2]["dead_letter.reason"] == f"record {topic}[1] at offset 3: tombstone".encode()


def test_what_users_code_fails_at_arrives_as_it_came(kafka: KafkaCluster) -> None:
    topic, failed = kafka.topic(), kafka.topic()

    class Picky(ls.Aggregator):
        def create_accumulator(self) -> list[float]:
            return []

        def add(self, acc: list[float], value: float) -> None:
            if value == 13:
                raise ValueError("unlucky")
            acc.append(value)

        def merge(self, a: list[float], b: list[float]) -> list[float]:
            return a + b

        def get_result(self, acc: list[float]) -> float:
            return sum(acc)

        def name(self) -> str:
            return "picky"

    sent = [event(START, "m", value) for value in (1, 13, 2)]
    kafka.send(topic, sent)
    (
        ls.create_pipeline()
        .with_kafka_source(reading(kafka, topic))
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", [Picky()])
        .with_error_handler(
            ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(ls.DeadLetterSink(failed))
        )
        .with_sink(ls.CollectSink())
        .build()
        .run()
    )
    [(_, value, headers)] = _letters(kafka.read(failed))
    assert value == sent[1]
    assert b"ValueError: unlucky" in (headers["dead_letter.reason"] or b"")
    assert headers["dead_letter.offset"] == b"1"


def test_a_record_that_the_broker_refuses_fails_the_run(kafka: KafkaCluster) -> None:
    topic, results = kafka.topic(), kafka.topic(1, **{"max.message.bytes": "100"})
    kafka.send(topic, events(100, partitions=1))
    pipeline = windows(reading(kafka, topic)).with_sink(ls.KafkaAggregationSink(to(kafka, results))).build()
    with pytest.raises(ls.KafkaError, match=f"deliver to topic '{results}' partition 0") as caught:
        pipeline.run()
    assert kafka.bootstrap in str(caught.value)
    assert (caught.value.code, caught.value.retriable) == ("MSG_SIZE_TOO_LARGE", False)
    assert pipeline.metrics["kafka"]["delivery_failures"] >= 1
    assert kafka.read(results) == []


def test_flush_returns_once_the_brokers_have_everything(kafka: KafkaCluster) -> None:
    results = kafka.topic()
    config = to(kafka, results, properties={"linger.ms": 60_000})
    sink = ls.KafkaAggregationSink(config)
    sink.open()
    one = ls.aggregate([{"timestamp": START, "v": 1.0}], value="v", window=ls.tumbling("1m"))
    sink.send_batch(one)
    sink.flush()
    assert len(kafka.read(results)) == 1
    sink.abort()


def test_records_of_a_pipeline_without_windows_arrive_too(kafka: KafkaCluster) -> None:
    topic, copies = kafka.topic(), kafka.topic()
    kafka.send(topic, events(50, partitions=1))
    (
        ls.create_pipeline("copy")
        .with_kafka_source(reading(kafka, topic))
        .map(lambda record: {"id": record["id"]})
        .with_sink(ls.KafkaAggregationSink(to(kafka, copies)))
        .build()
        .run()
    )
    assert [json.loads(each.value or b"")["data"]["id"] for each in kafka.read(copies)] == list(range(50))


def letters_of(kafka: KafkaCluster, dead: str) -> ls.ErrorHandler:
    return ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(ls.DeadLetterSink(dead, to(kafka, dead)))


def test_a_letter_that_brokers_find_too_large_comes_without_its_bytes(kafka: KafkaCluster) -> None:
    topic, dead = kafka.topic(**{"max.message.bytes": "3000000"}), kafka.topic()
    # What compression makes small enough is not too large.
    random_ = random.Random(1)
    broken = [b"{" + random_.randbytes(size) for size in (10, 1_020_000, 2_000_000, 20)]
    kafka.send(topic, [Sent(each, key=b"k", headers=(("h", b"1"),)) for each in broken])
    pipeline = (
        windows(reading(kafka, topic))
        .with_error_handler(letters_of(kafka, dead))
        .with_sink(ls.CollectSink())
        .build()
    )
    assert pipeline.run().malformed == 4
    found = {dict(each.headers)["dead_letter.offset"]: each for each in kafka.read(dead)}
    assert [found[offset].value for offset in (b"0", b"1", b"3")] == [broken[0], broken[1], broken[3]]
    shortened = found[b"2"]
    assert (shortened.value, shortened.key, dict(shortened.headers).get("h")) == (None, None, None)
    assert dict(shortened.headers)["dead_letter.value_bytes"] == b"2000001"
    assert dict(shortened.headers)["dead_letter.topic"] == topic.encode()
    counts = pipeline.metrics["kafka"]
    assert (counts["dead_letters"], counts["shortened"], counts["delivery_failures"]) == (4, 1, 0)


def test_names_of_headers_may_be_any_bytes(kafka: KafkaCluster) -> None:
    topic, dead = kafka.topic(), kafka.topic()
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(
        topic, value=b"broken", headers=[("\udcff\udcfe".encode(errors="surrogateescape"), b"1")]
    )
    assert producer.flush(30) == 0
    windows(reading(kafka, topic)).with_error_handler(letters_of(kafka, dead)).with_sink(
        ls.CollectSink()
    ).build().run()
    consumer = confluent_kafka.Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "raw"})
    consumer.assign([confluent_kafka.TopicPartition(dead, 0, 0)])
    message = consumer.poll(30)
    assert message is not None
    consumer.close()
    assert message.value() == b"broken"


def test_a_topic_of_results_that_nobody_makes_is_named_at_the_start(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    strict = KafkaCluster(tmp_path / "kafka", "--set", "auto.create.topics.enable=false")
    try:
        topic = strict.topic()
        strict.send(topic, events(10, partitions=1))
        for sink in (ls.KafkaAggregationSink(to(strict, "nowhere")), ls.DeadLetterSink("nowhere")):
            builder = windows(reading(strict, topic))
            if isinstance(sink, ls.DeadLetterSink):
                handler = ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(sink)
                builder = builder.with_error_handler(handler).with_sink(ls.CollectSink())
            else:
                builder = builder.with_sink(sink)
            with pytest.raises(ls.KafkaError, match="topic 'nowhere' does not exist"):
                builder.build().run()
    finally:
        strict.kill()
    # Where brokers make topics, one that is new is no error.
    topic, new = kafka.topic(), f"made-for-{tmp_path.name.replace('_', '-')[:40]}"
    kafka.send(topic, events(10, partitions=1))
    windows(reading(kafka, topic)).with_sink(ls.KafkaAggregationSink(to(kafka, new))).build().run()
    assert kafka.read(new)
