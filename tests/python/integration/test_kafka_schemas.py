"""Records whose schemas are in a real Schema Registry, written by Confluent's serializers."""

from __future__ import annotations

import json
from typing import Any

import confluent_kafka.schema_registry as client
import llmopt_stream as ls
import pytest
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from kafka_cluster import KafkaCluster, Sent
from schema_registry import SchemaRegistry
from traffic import events, expected_panes, panes_of

pytestmark = pytest.mark.kafka

AVRO = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "timestamp", "type": "string"},
        {
            "name": "data",
            "type": {
                "type": "record",
                "name": "Data",
                "fields": [{"name": "model", "type": "string"}, {"name": "latency_ms", "type": "long"}],
            },
        },
    ],
}
NEWER_AVRO = {**AVRO, "fields": [{"name": "id", "type": "long"}, *AVRO["fields"]]}  # type: ignore[misc]
JSON_SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "Event",
    "type": "object",
    "required": ["timestamp", "data"],
    "properties": {"data": {"type": "object", "properties": {"latency_ms": {"type": "number"}}}},
}


def serialized(
    registry: SchemaRegistry,
    topic: str,
    kind: type[AvroSerializer | JSONSerializer],
    schema: Any,
    records: list[Any],
) -> list[bytes]:
    with client.SchemaRegistryClient({"url": registry.url}) as connected:
        strategy = {"subject.name.strategy": client.topic_subject_name_strategy}
        if kind is AvroSerializer:
            serializer: Any = AvroSerializer(connected, json.dumps(schema), conf=strategy)
        else:
            serializer = JSONSerializer(json.dumps(schema), connected, conf=strategy)
        context = SerializationContext(topic, MessageField.VALUE)
        return [serializer(record, context) for record in records]


def records_of(sent: list[Sent]) -> list[Any]:
    return [json.loads(each.value or b"") for each in sent]


def pipeline_of(
    kafka: KafkaCluster, registry: SchemaRegistry, topic: str, format: str, **parts: Any
) -> tuple[ls.StreamPipeline, ls.CollectSink]:
    collected = ls.CollectSink()
    builder = (
        ls.create_pipeline("schemas")
        .with_kafka_source(
            ls.KafkaConfig(
                bootstrap_servers=kafka.bootstrap,
                group_id=topic,
                topics=[topic],
                until="end",
                format=format,
                schema_registry=ls.SchemaRegistryConfig(url=registry.url),
            )
        )
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", ["count", "sum", "min", "max", "p50"])
        .with_sink(collected)
    )
    for name, part in parts.items():
        builder = getattr(builder, name)(part)
    return builder.build(), collected


def test_avro_of_two_versions_gives_exact_results(kafka: KafkaCluster, registry: SchemaRegistry) -> None:
    topic = kafka.topic(2)
    sent = events(2_000, partitions=2)
    older = serialized(registry, topic, AvroSerializer, AVRO, records_of(sent))
    newer = serialized(registry, f"{topic}-newer", AvroSerializer, NEWER_AVRO, records_of(sent))
    values = [(newer if at % 3 == 0 else older)[at] for at in range(len(sent))]
    assert len({value[:5] for value in values}) == 2
    kafka.send(topic, [Sent(value, each.partition) for value, each in zip(values, sent, strict=True)])
    pipeline, collected = pipeline_of(kafka, registry, topic, "avro")
    summary = pipeline.run()
    assert (summary.records_in, summary.malformed, summary.late) == (2_000, 0, 0)
    assert panes_of(collected.results) == expected_panes(sent)


def test_json_schema_gives_exact_results(kafka: KafkaCluster, registry: SchemaRegistry) -> None:
    topic = kafka.topic(2)
    sent = events(500, partitions=2)
    values = serialized(registry, topic, JSONSerializer, JSON_SCHEMA, records_of(sent))
    kafka.send(topic, [Sent(value, each.partition) for value, each in zip(values, sent, strict=True)])
    pipeline, collected = pipeline_of(kafka, registry, topic, "json_schema")
    assert pipeline.run().malformed == 0
    assert panes_of(collected.results) == expected_panes(sent)


def test_what_cannot_be_decoded_goes_to_its_topic_untouched(
    kafka: KafkaCluster, registry: SchemaRegistry
) -> None:
    topic, dead = kafka.topic(), kafka.topic()
    sent = events(100, partitions=1)
    values = serialized(registry, topic, AvroSerializer, AVRO, records_of(sent))
    broken = [b"\x00\x7f\xff\xff\xffxyz", b'{"timestamp": 1}', values[0][:-1], None]
    kafka.send(topic, [Sent(each) for each in (*values[:50], *broken, *values[50:])])
    pipeline, collected = pipeline_of(
        kafka,
        registry,
        topic,
        "avro",
        with_error_handler=ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(
            ls.DeadLetterSink(
                dead, ls.KafkaProducerConfig(bootstrap_servers=kafka.bootstrap, result_topic=dead)
            )
        ),
    )
    summary = pipeline.run()
    assert (summary.records_in, summary.malformed) == (104, 4)
    assert summary.malformed_by_kind == {"undecodable": 3, "tombstone": 1}
    assert panes_of(collected.results) == expected_panes(sent)
    assert [each.value for each in kafka.read(dead)] == broken


def test_late_records_are_handed_on_as_they_were_decoded(
    kafka: KafkaCluster, registry: SchemaRegistry
) -> None:
    topic = kafka.topic()
    sent = events(700, partitions=1)
    values = serialized(registry, topic, AvroSerializer, AVRO, records_of([*sent, sent[0]]))
    kafka.send(topic, values)
    late = ls.CollectSink()
    pipeline, _ = pipeline_of(
        kafka, registry, topic, "avro", with_late_event_handler=ls.LateEventHandler().with_side_output(late)
    )
    assert pipeline.run().late == 1
    [event] = late.results
    record = json.loads(sent[0].value or b"")
    assert event.event == {"timestamp": record["timestamp"], "data": record["data"]}
    assert event.source.value == values[0]


def test_a_registry_that_is_gone_fails_the_run_and_commits_nothing(
    kafka: KafkaCluster, registry: SchemaRegistry
) -> None:
    topic = kafka.topic()
    kafka.send(topic, [b"\0\0\0\0\x01xyz"])
    gone = SchemaRegistry.__new__(SchemaRegistry)
    gone.url = "http://127.0.0.1:9"
    pipeline, _ = pipeline_of(kafka, gone, topic, "avro")
    with pytest.raises(ls.KafkaError, match=r"Schema Registry http://127\.0\.0\.1:9: schema 1: "):
        pipeline.run()
    assert pipeline.metrics["kafka"]["lag"] == {f"{topic}-0": 1}
