"""The table of settings: sinks, state, errors and metrics."""

from __future__ import annotations

from .containers import Nullable
from .kafka_settings import PRODUCER
from .kinds import Choice, Flag, Number, Text, Whole
from .sections import REQUIRED, Section, Setting, Tagged

__all__ = ["ERROR_HANDLING", "LATE_EVENTS", "METRICS", "SINK", "STATE"]

_SECONDS = Number(above=0, least=None)

_PRODUCER = Setting(
    "producer", Nullable(PRODUCER), None, "How, where it is not as `kafka.producer` of the processor says."
)

SINK = Tagged(
    "a sink",
    (
        Section(
            "kafka_sink",
            "To the topic of `kafka.producer`.",
            (
                Setting(
                    "result_topic",
                    Nullable(Text()),
                    None,
                    "To another topic; null: to that of `kafka.producer`.",
                ),
                _PRODUCER,
            ),
            "kafka",
        ),
        Section(
            "dead_letter_sink",
            "To a topic for what went wrong, through `kafka.producer`.",
            (Setting("topic", Text(), REQUIRED, "Which topic."), _PRODUCER),
            "dead_letter",
        ),
        Section("console_sink", "One line of JSON each to standard output.", (), "console"),
        Section(
            "ndjson_sink",
            "One line of JSON each to a file, which is replaced in the end.",
            (Setting("path", Text(), REQUIRED, "Which file."),),
            "ndjson",
        ),
        Section(
            "parquet_sink",
            "A table to a file, which is replaced in the end.",
            (Setting("path", Text(), REQUIRED, "Which file."),),
            "parquet",
        ),
    ),
)

STATE = Section(
    "state",
    "Where state is kept.",
    (
        Setting(
            "backend",
            Choice(("memory", "rocksdb")),
            "rocksdb",
            "In memory, or in RocksDB with checkpoints that survive the process.",
        ),
        Setting("path", Text(), "/var/lib/optimizer/state", "The folder of RocksDB."),
        Setting("checkpoint_path", Text(), "/var/lib/optimizer/checkpoints", "The folder of checkpoints."),
        Setting(
            "memtable_bytes",
            Whole(1 << 16, 1 << 40),
            16 << 20,
            "RocksDB takes twice so much memory for writing.",
        ),
        Setting("cache_bytes", Whole(0, 1 << 40), 8 << 20, "And so much for reading."),
    ),
)

ERROR_HANDLING = Section(
    "error_handling",
    "What becomes of exceptions in users' code and of records that cannot be taken.",
    (
        Setting(
            "policy",
            Nullable(Choice(("retry", "skip", "dead_letter", "fail"))),
            "retry",
            "What; null: nothing is said, so the first one ends the pipeline.",
        ),
        Setting("max_retries", Whole(1), 3, "How many attempts there are in all."),
        Setting(
            "initial_retry_delay_ms", Number(), 100, "How long before the second one; it doubles each time."
        ),
        Setting("max_retry_delay_ms", Number(), 5000, "How long at most."),
        Setting(
            "dead_letter_topic",
            Nullable(Text()),
            "processor-dead-letter",
            "The topic for what still fails, of policies retry and dead_letter. The default counts only where "
            "source or a sink is Kafka. null: none.",
        ),
        Setting("dead_letter_sink", Nullable(SINK), None, "Another sink in its place."),
    ),
)

METRICS = Section(
    "metrics",
    "What is measured of the pipeline itself.",
    (
        Setting("enabled", Flag(), True, "Whether metrics are exported; no exporter uses it yet."),
        Setting("export_interval_secs", _SECONDS, 60, "How often; no exporter uses it yet."),
    ),
)

LATE_EVENTS = Section(
    "late_events",
    "What becomes of records that no window takes any more.",
    (Setting("side_output", Nullable(SINK), None, "Where they go; null: they are counted only."),),
)
