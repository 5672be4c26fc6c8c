"""The table of settings: Kafka."""

from __future__ import annotations

from .containers import ListOf, Properties
from .kinds import Choice, Flag, Text, Whole
from .sections import Section, Setting

__all__ = ["KAFKA"]

_SERVERS = Setting(
    "bootstrap_servers",
    Text(),
    "localhost:9092",
    "The brokers to begin with, `host:port`, with commas between them.",
)
_PROPERTIES = Setting(
    "properties",
    Properties(Text(may_be_empty=True), "librdkafka's properties"),
    {},
    "Further properties of librdkafka, such as `security.protocol`; those that hold secrets are never shown.",
)

CONSUMER = Section(
    "consumer",
    "What is read, with `source.type: kafka`.",
    (
        _SERVERS,
        Setting(
            "group_id",
            Text(),
            "llm-optimizer-processor",
            "The consumer group, whose members share the partitions.",
        ),
        Setting(
            "topics", ListOf(Text(), least=1), ["feedback-events", "performance-metrics"], "Which topics."
        ),
        Setting(
            "enable_auto_commit",
            Flag(),
            False,
            "Whether librdkafka commits positions by the clock. Without, they are committed with checkpoints.",
        ),
        Setting(
            "auto_offset_reset",
            Choice(("earliest", "latest", "error")),
            "earliest",
            "Where to begin where there is neither a checkpoint nor a committed position.",
        ),
        Setting(
            "session_timeout_ms",
            Whole(1),
            30000,
            "After how long without a sign of life a member is taken for dead.",
        ),
        Setting("max_poll_records", Whole(1), 500, "How many records are taken at a time."),
        _PROPERTIES,
    ),
)
PRODUCER = Section(
    "producer",
    "How results are written, by sinks of `type: kafka`.",
    (
        _SERVERS,
        Setting("result_topic", Text(), "aggregated-metrics", "Which topic."),
        Setting(
            "compression_type",
            Choice(("none", "gzip", "snappy", "lz4", "zstd")),
            "lz4",
            "How batches are compressed.",
        ),
        Setting("acks", Choice(("all", "-1", "0", "1")), "all", "How many replicas must have a result."),
        Setting("retries", Whole(), 3, "How often a batch is sent again."),
        _PROPERTIES,
    ),
)

KAFKA = Section(
    "kafka",
    "The brokers, what is read and what is written.",
    (
        Setting("consumer", CONSUMER, {}, CONSUMER.doc),
        Setting("producer", PRODUCER, {}, PRODUCER.doc),
    ),
)
