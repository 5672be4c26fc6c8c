"""The table of settings: Kafka."""

from __future__ import annotations

from llmopt_stream.kafka.schema_registry import check_registry_url

from .containers import ListOf, Nullable, Properties
from .kinds import Checked, Choice, Flag, SecretText, Text, Whole
from .sections import REQUIRED, Section, Setting

__all__ = ["CONSUMER", "KAFKA", "PRODUCER"]

_SERVERS = Setting(
    "bootstrap_servers",
    Text(),
    "localhost:9092",
    "The brokers to begin with, `host:port`, with commas between them.",
)
_SECURITY = (
    Setting(
        "security_protocol",
        Nullable(Choice(("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"))),
        None,
        "How connections are secured; null: as the settings below need it, with TLS for SASL.",
    ),
    Setting(
        "sasl_mechanism",
        Nullable(Choice(("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"))),
        None,
        "How we say who we are; null: not at all.",
    ),
    Setting("sasl_username", Nullable(Text()), None, "As whom."),
    Setting("sasl_password", Nullable(SecretText()), None, "With which password; say it by reference."),
    Setting(
        "sasl_token_file", Nullable(Text()), None, "Of OAUTHBEARER: the file of the token, read anew in time."
    ),
    Setting(
        "ssl_ca_location",
        Nullable(Text()),
        None,
        "The certificates that are trusted; null: those of the system.",
    ),
    Setting("ssl_certificate_location", Nullable(Text()), None, "Of mutual TLS: our certificate."),
    Setting("ssl_key_location", Nullable(Text()), None, "And its key."),
    Setting("ssl_key_password", Nullable(SecretText()), None, "And the key's password; say it by reference."),
    Setting("insecure", Flag(), False, "Do not check who the brokers are. For tests only."),
    Setting("startup_timeout_ms", Whole(1), 30000, "How long brokers may be away when a run begins."),
)
_PROPERTIES = Setting(
    "properties",
    Properties(Text(may_be_empty=True), "librdkafka's properties"),
    {},
    "Further properties of librdkafka, such as `client.rack`; those that hold secrets are never shown.",
)

_SCHEMA_REGISTRY = Section(
    "schema_registry",
    "Where the schemas of records are.",
    (
        Setting(
            "url",
            Checked(check_registry_url, "the URL of a registry"),
            REQUIRED,
            "One or several, with commas between them; without username and password.",
        ),
        Setting("username", Nullable(Text()), None, "As whom."),
        Setting("password", Nullable(SecretText()), None, "With which password; say it by reference."),
        Setting("ssl_ca_location", Nullable(Text()), None, "The certificates that are trusted."),
        Setting("ssl_certificate_location", Nullable(Text()), None, "Of mutual TLS: our certificate."),
        Setting("ssl_key_location", Nullable(Text()), None, "And its key."),
        Setting(
            "ssl_key_password", Nullable(SecretText()), None, "And the key's password; say it by reference."
        ),
        Setting("timeout_ms", Whole(1), 10000, "How long an answer may take."),
    ),
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
            Choice(("earliest", "latest", "none")),
            "earliest",
            "Where to begin where no position is committed, or the broker has that record no more; none: an error.",
        ),
        Setting(
            "session_timeout_ms",
            Whole(1),
            30000,
            "After how long without a sign of life a member is taken for dead.",
        ),
        Setting("max_poll_records", Whole(1), 500, "How many records are taken at a time."),
        Setting(
            "start_from",
            Text(),
            "committed",
            "Where to start: `committed`, `earliest`, `latest`, or a time. A checkpoint says better.",
        ),
        Setting(
            "until",
            Nullable(Choice(("end",))),
            None,
            "end: what is there when the run begins, and then the input ends; null: without an end.",
        ),
        Setting(
            "group_instance_id",
            Nullable(Text()),
            None,
            "One of its own for each process: one that restarts in time gets its partitions back; null: none.",
        ),
        Setting(
            "grouping",
            Nullable(Choice(("single", "keyed"))),
            None,
            "How processes share the group. single: one reads all partitions, or fails; keyed: a record's key is its "
            "group key, which is checked; null: not checked.",
        ),
        Setting(
            "split_keys",
            Choice(("warn", "fail")),
            "warn",
            "With `grouping: keyed`, what to do about records of one key in two partitions.",
        ),
        Setting(
            "format",
            Choice(("json", "cloudevents", "avro", "json_schema", "protobuf")),
            "json",
            "What records are; `cloudevents` also with attributes in headers; the others as a Schema Registry's "
            "serializers write them.",
        ),
        Setting(
            "schema_registry",
            Nullable(_SCHEMA_REGISTRY),
            None,
            "Of `avro` and `json_schema`: where the schemas are; null: nowhere.",
        ),
        Setting(
            "protobuf_descriptors",
            Nullable(Text()),
            None,
            "Of `protobuf`: a file that `protoc --include_imports --descriptor_set_out` wrote.",
        ),
        Setting("protobuf_message", Nullable(Text()), None, "And the full name of the message."),
        *_SECURITY,
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
        *_SECURITY,
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
