"""Settings of Kafka sources and sinks."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
import os
import re
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from llmopt_stream import _core
from llmopt_stream.errors import ConfigurationError, ProcessorWarning
from llmopt_stream.secrets import Redaction, Secret, is_secret_name
from llmopt_stream.units import Time, time_micros

from .files import check_files
from .schema_registry import SchemaRegistryConfig

__all__ = ["KafkaConfig", "KafkaProducerConfig"]

TokenSource: TypeAlias = Callable[[], "str | tuple[str, float]"] | str | os.PathLike[str]

_REGISTRY_FORMATS = ("avro", "json_schema")
"""The formats that need the registry: Protobuf is decoded with descriptors of the reader's own."""
_LOOPBACK_NAMES = ("localhost", "ip6-localhost")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_MOST_RETRIES = 2**31 - 1
_POLL_INTERVAL_MS = "300000"
"""librdkafka's max.poll.interval.ms, unless told otherwise."""
_TOKEN_SECONDS = 3600
"""How long a token without a time of its own is taken to hold."""


@dataclass(frozen=True, kw_only=True, repr=False)
class _Connection:
    """How to reach the brokers, and who we are to them."""

    bootstrap_servers: str = "localhost:9092"
    security_protocol: str | None = None
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL; None: what the other settings need, with TLS for SASL."""
    sasl_mechanism: str | None = None
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER."""
    sasl_username: str | None = None
    sasl_password: str | None = None
    sasl_token: TokenSource | None = field(default=None, repr=False)
    """Of OAUTHBEARER: a function that returns the token, or the token and when it expires (seconds since the
    epoch); or a file that has it. Asked anew before the last one expires."""
    ssl_ca_location: str | None = None
    ssl_certificate_location: str | None = None
    """Of mutual TLS, with its key."""
    ssl_key_location: str | None = None
    ssl_key_password: str | None = None
    insecure: bool = False
    """Do not check who the brokers are. For tests only."""
    startup_timeout_ms: int = 30_000
    """How long brokers may be away when a run begins; later on they may be away for longer."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Further properties of librdkafka, by its names. Those that run code, and those that delivery depends on,
    are refused."""

    _of_producer = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not _is_text(self.bootstrap_servers):
            raise ConfigurationError(
                f"{name}: bootstrap_servers: {self.bootstrap_servers!r} is no list as in 'host:9092,other:9092'"
            )
        for secret in ("sasl_password", "ssl_key_password"):
            value = getattr(self, secret)
            object.__setattr__(self, secret, None if value is None else Secret(value))
        texts = {key: _property_text(name, key, value) for key, value in dict(self.properties).items()}
        object.__setattr__(self, "properties", texts)
        _core.check_kafka_properties(self._of_producer, list(texts.items()))
        _at_least(name, "startup_timeout_ms", self.startup_timeout_ms, 1)
        self._check_security(name)

    def _check_security(self, name: str) -> None:
        _one_of(
            name,
            "security_protocol",
            self.security_protocol,
            (None, "PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
        )
        _one_of(
            name,
            "sasl_mechanism",
            self.sasl_mechanism,
            (None, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"),
        )
        protocol = self._protocol()
        if self.sasl_mechanism is not None and not protocol.startswith("SASL_"):
            raise ConfigurationError(
                f"{name}: security_protocol: {protocol!r} has no sasl_mechanism; expected 'SASL_SSL'"
            )
        if protocol.startswith("SASL_"):
            if self.sasl_mechanism is None:
                raise ConfigurationError(
                    f"{name}: sasl_mechanism: missing; {protocol} needs e.g. 'SCRAM-SHA-512'"
                )
            if self.sasl_mechanism == "PLAIN" or self.sasl_mechanism.startswith("SCRAM-"):
                for setting in ("sasl_username", "sasl_password"):
                    if getattr(self, setting) is None:
                        raise ConfigurationError(
                            f"{name}: {setting}: missing; sasl_mechanism={self.sasl_mechanism!r} needs it"
                        )
            if (self.sasl_mechanism == "OAUTHBEARER") != (self.sasl_token is not None):
                raise ConfigurationError(
                    f"{name}: sasl_token: a function or a file, with sasl_mechanism='OAUTHBEARER' and only there"
                )
        if protocol == "SASL_PLAINTEXT" and not self._is_loopback():
            warnings.warn(
                f"{name}: SASL_PLAINTEXT sends credentials to {self.bootstrap_servers} unencrypted; use SASL_SSL",
                ProcessorWarning,
                stacklevel=4,
            )
        if self.insecure:
            warnings.warn(
                f"{name}: insecure=True: whoever answers at {self.bootstrap_servers} is trusted",
                ProcessorWarning,
                stacklevel=4,
            )

    def _protocol(self) -> str:
        if self.security_protocol is not None:
            return self.security_protocol
        if self.sasl_mechanism is not None:
            return "SASL_SSL"
        return "SSL" if self.ssl_ca_location or self.ssl_certificate_location else "PLAINTEXT"

    def _is_loopback(self) -> bool:
        hosts = [
            server.strip().rpartition(":")[0].strip("[]") for server in self.bootstrap_servers.split(",")
        ]
        return all(host in _LOOPBACK_NAMES or _is_loopback_address(host) for host in hosts)

    def __repr__(self) -> str:
        """What was said, secrets hidden; what is as by default is left out but for the specification's settings."""
        always = {
            "bootstrap_servers",
            "group_id",
            "topics",
            "result_topic",
            "compression_type",
            "acks",
            "retries",
        }
        parts = []
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in always or (each.repr and value not in (each.default, {})):
                parts.append(f"{each.name}={value!r}")
            elif each.name == "sasl_token" and value is not None:
                parts.append("sasl_token='***'")
        return f"{type(self).__name__}({', '.join(parts)})"

    def redaction(self) -> Redaction:
        """Of the secrets that are among the settings."""
        secrets = [value for value in self.properties.values() if isinstance(value, Secret)]
        return Redaction(
            [*secrets, *(each for each in (self.sasl_password, self.ssl_key_password) if each is not None)]
        )

    def check_files(self) -> None:
        """A ConfigurationError names a file that is not there. Settings may be made on another machine, so this is
        asked of pipelines.
        """
        # librdkafka looks for itself where it is told to "probe".
        authority = None if self.ssl_ca_location == "probe" else self.ssl_ca_location
        check_files(
            type(self).__name__,
            {
                "ssl_ca_location": authority,
                "ssl_certificate_location": self.ssl_certificate_location,
                "ssl_key_location": self.ssl_key_location,
                "sasl_token": None if callable(self.sasl_token) else self.sasl_token,
            },
        )

    def connection(self) -> dict[str, str]:
        """By librdkafka's names."""
        said = {
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": "llmopt-stream",
            "security.protocol": self._protocol().lower(),
            "sasl.mechanism": self.sasl_mechanism,
            "sasl.username": self.sasl_username,
            "sasl.password": self.sasl_password,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": self.ssl_key_password,
        }
        if self.insecure:
            said |= {
                "enable.ssl.certificate.verification": "false",
                "ssl.endpoint.identification.algorithm": "none",
            }
        return {name: value for name, value in said.items() if value is not None}

    def client(self, settings: Mapping[str, str], redaction: Redaction) -> dict[str, Any]:
        """What every client of the core is made with."""
        return {
            "settings": list((self.connection() | dict(settings)).items()),
            "properties": list(self.properties.items()),
            "brokers": self.bootstrap_servers,
            "token": None if self.sasl_token is None else _tokens(self.sasl_token, redaction),
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class KafkaConfig(_Connection):
    """What a Kafka source reads, and where it starts.

    >>> KafkaConfig(topics=["feedback-events"], group_id="my-processor").max_poll_records
    500
    """

    group_id: str = "llm-optimizer-processor"
    topics: Sequence[str] = ("feedback-events", "performance-metrics")
    """Names, and patterns that begin with "^"."""
    enable_auto_commit: bool = False
    """Commit what was processed by the clock, whether or not results are safe, instead of with checkpoints."""
    auto_offset_reset: str = "earliest"
    """"earliest", "latest" or "none" (an error): where no offset is committed, or the broker has that record no
    more."""
    session_timeout_ms: int = 30_000
    max_poll_records: int = 500
    """How many records the core takes at a time."""
    start_from: str | Time = "committed"
    """"committed", "earliest", "latest" or a time: the first record that is not earlier. A checkpoint that the
    pipeline goes on from says better."""
    until: str | None = None
    """"end": what is there when the run begins, and then the input ends. Such a run reads all partitions, outside
    of the group's rebalancing."""
    group_instance_id: str | None = None
    """One of its own for each process: one that restarts within session_timeout_ms gets its partitions back."""
    grouping: str | None = None
    """How processes share the group. "single": one reads all partitions, and fails where it does not get them all, or
    has to give some up. "keyed": the group key of a record decides its partition, as where it is the record's key;
    records without a key, and those whose key was first seen in another partition, count as `split_keys`. None: not
    checked."""
    split_keys: str = "warn"
    """With grouping="keyed": "warn" once, or "fail" at the first."""
    format: str = "json"
    """"json"; "cloudevents": also in binary mode, with the attributes in headers; "avro", "json_schema" or "protobuf":
    as the serializers of a Schema Registry write them, decoded in Python."""
    schema_registry: SchemaRegistryConfig | None = None
    """Of "avro" and "json_schema": where the schemas are that records name."""
    protobuf_descriptors: str | None = None
    """Of "protobuf": a file that `protoc --include_imports --descriptor_set_out` wrote."""
    protobuf_message: str | None = None
    """And the full name of the message."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.topics, str) or not self.topics:
            raise ConfigurationError(
                f"KafkaConfig: topics: {self.topics!r} is no list of topics, as in ['feedback-events']"
            )
        object.__setattr__(self, "topics", tuple(self.topics))
        for topic in self.topics:
            if not _is_text(topic) or not (topic.startswith("^") or _TOPIC.fullmatch(topic)):
                raise ConfigurationError(
                    f"KafkaConfig: topics: {topic!r} is neither a topic's name nor a pattern that begins with '^'"
                )
        if not _is_text(self.group_id):
            raise ConfigurationError(f"KafkaConfig: group_id: {self.group_id!r} is no name")
        _one_of("KafkaConfig", "auto_offset_reset", self.auto_offset_reset, ("earliest", "latest", "none"))
        _one_of("KafkaConfig", "until", self.until, (None, "end"))
        _one_of("KafkaConfig", "grouping", self.grouping, (None, "single", "keyed"))
        _one_of("KafkaConfig", "split_keys", self.split_keys, ("warn", "fail"))
        self._check_format()
        _at_least("KafkaConfig", "session_timeout_ms", self.session_timeout_ms, 1)
        self._check_poll_interval()
        _at_least("KafkaConfig", "max_poll_records", self.max_poll_records, 1)
        self.start()

    def _check_poll_interval(self) -> None:
        try:
            interval = int(self.properties.get("max.poll.interval.ms", _POLL_INTERVAL_MS), 0)
        except ValueError:  # in a form that only librdkafka reads
            return
        if self.session_timeout_ms > interval:
            raise ConfigurationError(
                f"KafkaConfig: session_timeout_ms: {self.session_timeout_ms} is more than the property "
                f"max.poll.interval.ms, {interval}"
            )

    def check_files(self) -> None:
        super().check_files()
        check_files("KafkaConfig", {"protobuf_descriptors": self.protobuf_descriptors})
        if self.schema_registry is not None:
            self.schema_registry.check_files()

    def _check_format(self) -> None:
        _one_of("KafkaConfig", "format", self.format, ("json", "cloudevents", "protobuf", *_REGISTRY_FORMATS))
        needed = {
            "schema_registry": self.format in _REGISTRY_FORMATS,
            "protobuf_descriptors": self.format == "protobuf",
            "protobuf_message": self.format == "protobuf",
        }
        for setting, is_needed in needed.items():
            if (getattr(self, setting) is not None) != is_needed:
                what = "missing with" if is_needed else "it has no use with"
                raise ConfigurationError(f"KafkaConfig: {setting}: {what} format={self.format!r}")
        if self.schema_registry is not None and not isinstance(self.schema_registry, SchemaRegistryConfig):
            raise ConfigurationError(
                f"KafkaConfig: schema_registry: a {type(self.schema_registry).__name__} is no SchemaRegistryConfig"
            )

    def redaction(self) -> Redaction:
        redaction = super().redaction()
        for secret in [] if self.schema_registry is None else self.schema_registry.secrets():
            redaction.add(secret)
        return redaction

    def start(self) -> str | int:
        """A word, or milliseconds since the epoch."""
        if self.start_from in ("committed", "earliest", "latest"):
            return str(self.start_from)
        try:
            micros = time_micros(self.start_from, "KafkaConfig: start_from")
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}; or 'committed', 'earliest', 'latest'") from None
        if micros < 0:
            raise ConfigurationError(
                f"KafkaConfig: start_from: {self.start_from!r} is before 1970, and so 'earliest'"
            )
        return -(-micros // 1000)

    def producer_like(self) -> KafkaProducerConfig:
        """To the same brokers, as the same user, in the same way."""
        common: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(_Connection)}
        common["properties"] = {
            name: value for name, value in self.properties.items() if _is_of_producer(name, value)
        }
        with warnings.catch_warnings():
            # What there is to warn of was said of this one.
            warnings.simplefilter("ignore", ProcessorWarning)
            return KafkaProducerConfig(**common)

    def _core_grouping(self) -> str:
        if self.grouping == "keyed" and self.split_keys == "fail":
            return "keyed_or_fail"
        return self.grouping or ""

    def consumer(self, redaction: Redaction) -> dict[str, Any]:
        """What a consumer of the core is made with."""
        settings = {
            "group.id": self.group_id,
            "enable.auto.commit": "true" if self.enable_auto_commit else "false",
            "enable.auto.offset.store": "false",
            # The core looks for itself, so that it knows what is lost.
            "auto.offset.reset": "error",
            "session.timeout.ms": str(self.session_timeout_ms),
            "heartbeat.interval.ms": str(min(3000, max(1, self.session_timeout_ms // 3))),
            "enable.partition.eof": "true",
            "isolation.level": "read_committed",
            "allow.auto.create.topics": "false",
            # While other partitions' queues are full, a fetch asks for the empty ones alone, and waits this long.
            "fetch.wait.max.ms": "10",
            "fetch.message.max.bytes": str(4 << 20),
        }
        # A bounded read is no member of the group, and a member by that name would fence its commits.
        if self.group_instance_id is not None and self.until is None:
            settings["group.instance.id"] = self.group_instance_id
        return {
            **self.client(settings, redaction),
            "topics": list(self.topics),
            "start": self.start(),
            "reset": self.auto_offset_reset,
            "until_end": self.until == "end",
            "cloud_events": self.format == "cloudevents",
            "auto_commit": self.enable_auto_commit,
            "grouping": self._core_grouping(),
            "patience_ms": self.startup_timeout_ms,
            "max_poll_interval_ms": int(self.properties.get("max.poll.interval.ms", 300_000)),
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class KafkaProducerConfig(_Connection):
    """Where a Kafka sink writes, and how.

    >>> KafkaProducerConfig(result_topic="aggregated-metrics")
    KafkaProducerConfig(bootstrap_servers='localhost:9092', result_topic='aggregated-metrics', compression_type='lz4',
    acks='all', retries=3)
    """

    result_topic: str = "aggregated-metrics"
    compression_type: str = "lz4"
    acks: str = "all"
    """"all", or how many brokers have to have a record: fewer may lose it."""
    retries: int = 3
    """With acks other than "all", how often a broker may refuse a record for a reason that may pass. With "all", it may
    do so for half an hour (message.timeout.ms); 0 is never. A broker that is away does not count."""

    _of_producer = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_text(self.result_topic) or not _TOPIC.fullmatch(self.result_topic):
            raise ConfigurationError(
                f"KafkaProducerConfig: result_topic: {self.result_topic!r} is no topic's name"
            )
        object.__setattr__(self, "acks", str(self.acks))
        _one_of(
            "KafkaProducerConfig",
            "compression_type",
            self.compression_type,
            ("none", "gzip", "snappy", "lz4", "zstd"),
        )
        _one_of("KafkaProducerConfig", "acks", self.acks, ("all", "-1", "0", "1"))
        _at_least("KafkaProducerConfig", "retries", self.retries, 0)

    def producer(self, redaction: Redaction) -> dict[str, Any]:
        """What a producer of the core is made with."""
        idempotent = self.acks in ("all", "-1") and self.retries > 0
        return self.client(
            {
                "compression.type": self.compression_type,
                "acks": self.acks,
                # Within message.timeout.ms: a broker of several that restarts refuses for longer than some retries.
                "retries": str(_MOST_RETRIES if idempotent else self.retries),
                "enable.idempotence": "true" if idempotent else "false",
                "linger.ms": "20",
                # Half an hour without brokers, with so much memory; then the sink fails.
                "message.timeout.ms": "1800000",
                "queue.buffering.max.messages": "100000",
                "queue.buffering.max.kbytes": "65536",
                # Brokers say themselves what is too large for a topic.
                "message.max.bytes": str(64 << 20),
            },
            redaction,
        )


def _is_of_producer(name: str, value: str) -> bool:
    try:
        _core.check_kafka_properties(True, [(name, value)])
    except ConfigurationError:
        return False
    return True


def _property_text(config: str, name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | str):
        text = value if isinstance(value, str) else str(value)
        return Secret(text) if is_secret_name(name) else text
    raise ConfigurationError(
        f"{config}: properties: {name!r}: a {type(value).__name__} is no text, number or bool"
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _one_of(config: str, setting: str, value: Any, allowed: Sequence[Any]) -> None:
    if value not in allowed:
        words = ", ".join(repr(each) for each in allowed)
        raise ConfigurationError(f"{config}: {setting}: {value!r} is not one of {words}")


def _at_least(config: str, setting: str, value: Any, least: int) -> None:
    if type(value) is not int or value < least:
        raise ConfigurationError(f"{config}: {setting}: {value!r} is not a whole number of at least {least}")


def _is_loopback_address(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tokens(source: TokenSource, redaction: Redaction) -> Callable[[], tuple[str, str, int]]:
    """(token, principal, when it expires in milliseconds) of the next token."""

    def token() -> tuple[str, str, int]:
        said = source() if callable(source) else Path(source).read_text(encoding="utf-8").strip()
        value, expires_at = (said, None) if isinstance(said, str) else said
        redaction.add(value)
        claims = _claims(value)
        if expires_at is None:
            expires_at = claims.get("exp", time.time() + _TOKEN_SECONDS)
        return value, str(claims.get("sub", "")), int(expires_at * 1000)

    return token


def _claims(token: str) -> dict[str, Any]:
    """What a JSON Web Token says of itself; the brokers check it."""
    parts = token.split(".")
    if len(parts) < 2:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}
