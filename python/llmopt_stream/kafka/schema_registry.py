"""Payloads whose schemas are in a Schema Registry: Avro, Protobuf and JSON Schema, as Confluent's serializers frame
them (https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/, "Wire format").
"""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit
from uuid import UUID

from llmopt_stream._optional import needs
from llmopt_stream.errors import ConfigurationError, KafkaError, SerializationError
from llmopt_stream.secrets import Secret

from .avro import avro_reader
from .files import check_files
from .json_schema import json_checker
from .protobuf import ProtobufMessage

if TYPE_CHECKING:
    from .config import KafkaConfig

__all__ = [
    "REGISTRY_FORMATS",
    "PayloadDecoder",
    "SchemaRegistryConfig",
    "check_registry_url",
    "payload_decoder",
]

REGISTRY_FORMATS = ("avro", "json_schema")
"""The formats that need the registry: Protobuf is decoded with descriptors of the reader's own."""

_LOG = logging.getLogger("llmopt_stream.kafka")
_EXTRA = "schema-registry"
_MAGIC = 0
_HEADER_BYTES = 5
"""The magic byte and the number of the schema, big-endian."""
_RETRIES = 6
_FIRST_RETRY_MS = 250
_LONGEST_RETRY_MS = 5_000
_NOT_FOUND = (40401, 40402, 40403)
"""A registry's codes of what it does not have: subject, version, schema. 404 alone says that no registry is there."""
_MISSING_SECONDS = 30.0
"""A registry may be behind the one that a schema was registered with."""
_BUSY = (408, 429)
_SERVER_ERRORS = 500
_MOST_SHOWN = 200
_MOST_TOLD = 1000
"""Numbers of schemas may be any where payloads are not framed at all."""

Decode: TypeAlias = Callable[[bytes], bytes]
"""Of a payload without its frame; raises where it is not of the schema."""


def check_registry_url(text: str) -> None:
    """A ConfigurationError where it is no URL, nor several; it does not quote them: they may have a password."""
    # A password may have characters that end a host.
    if "@" in str(text):
        raise ConfigurationError("say username and password by themselves")
    if not all(map(_is_url, str(text).split(","))):
        raise ConfigurationError("expected e.g. 'http://localhost:8081'")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text.strip())
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


@dataclass(frozen=True, kw_only=True)
class SchemaRegistryConfig:
    """Where schemas are.

    >>> SchemaRegistryConfig(url="http://localhost:8081").timeout_ms
    10000
    """

    url: str
    """One or several, with commas between them."""
    username: str | None = None
    password: str | None = None
    ssl_ca_location: str | None = None
    ssl_certificate_location: str | None = None
    """Of mutual TLS, with its key."""
    ssl_key_location: str | None = None
    ssl_key_password: str | None = None
    timeout_ms: int = 10_000
    """How long an answer may take. A registry that is away is asked seven times, with pauses of at most 13 s together;
    then the run fails."""

    def __post_init__(self) -> None:
        try:
            check_registry_url(self.url)
        except ConfigurationError as error:
            raise ConfigurationError(f"SchemaRegistryConfig: url: {error}") from None
        if (self.username is None) != (self.password is None):
            raise ConfigurationError("SchemaRegistryConfig: username and password belong together")
        if type(self.timeout_ms) is not int or self.timeout_ms < 1:
            raise ConfigurationError(f"SchemaRegistryConfig: timeout_ms: {self.timeout_ms!r} is not positive")
        for secret in ("password", "ssl_key_password"):
            value = getattr(self, secret)
            object.__setattr__(self, secret, None if value is None else Secret(value))

    def secrets(self) -> list[Secret]:
        """Those among the settings."""
        return [Secret(each) for each in (self.password, self.ssl_key_password) if each is not None]

    def check_files(self) -> None:
        """A ConfigurationError names a file that is not there."""
        check_files(
            "SchemaRegistryConfig",
            {
                "ssl_ca_location": self.ssl_ca_location,
                "ssl_certificate_location": self.ssl_certificate_location,
                "ssl_key_location": self.ssl_key_location,
            },
        )

    def client(self) -> Any:
        """A client of confluent-kafka's."""
        registry = needs("confluent_kafka.schema_registry", _EXTRA)
        said = {
            "url": self.url,
            "ssl.ca.location": self.ssl_ca_location,
            "ssl.certificate.location": self.ssl_certificate_location,
            "ssl.key.location": self.ssl_key_location,
            "ssl.key.password": _revealed(self.ssl_key_password),
            "basic.auth.user.info": None
            if self.username is None
            else f"{self.username}:{_revealed(self.password)}",
            "timeout": self.timeout_ms / 1000,
            "max.retries": _RETRIES,
            "retries.wait.ms": _FIRST_RETRY_MS,
            "retries.max.wait.ms": _LONGEST_RETRY_MS,
        }
        return registry.SchemaRegistryClient(
            {name: value for name, value in said.items() if value is not None}
        )


class _NotInRegistryError(SerializationError):
    """The registry has no such schema, or none yet."""


class PayloadDecoder:
    """JSON of framed payloads, many at a time; None of those that are not of the schema they name.

    A schema is asked for once; one that the registry does not have, again after a while. Why payloads are refused is
    logged, once for each schema. A registry that does not answer is a KafkaError; nothing else that a schema or a
    payload leads to is an error.
    """

    def __init__(
        self,
        decoder_of: Callable[[int], Decode],
        schemas: _Schemas | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._decoder_of = decoder_of
        self._schemas = schemas
        self._clock = clock
        self._decoders: dict[int, Decode] = {}
        self._missing: dict[int, float] = {}
        """When these are asked for again, the soonest first."""
        self._told: set[int | None] = set()

    def __call__(self, payloads: list[bytes]) -> list[bytes | None]:
        return [self._json_of(payload) for payload in payloads]

    def close(self) -> None:
        """Lets go of the registry."""
        if self._schemas is not None:
            self._schemas.close()

    def _json_of(self, payload: bytes) -> bytes | None:
        schema = None
        try:
            if len(payload) <= _HEADER_BYTES or payload[0] != _MAGIC:
                raise SerializationError("it is not framed as a Schema Registry's serializers do")
            schema = int.from_bytes(payload[1:_HEADER_BYTES])
            return self._decoder(schema)(payload[_HEADER_BYTES:])
        except KafkaError:
            raise
        except Exception as error:  # noqa: BLE001 - decoders raise whatever the bytes lead to
            self._tell(schema, error)
            return None

    def _tell(self, schema: int | None, error: Exception) -> None:
        if schema in self._told or len(self._told) >= _MOST_TOLD:
            return
        self._told.add(schema)
        where = "a payload" if schema is None else f"a payload of schema {schema}"
        _LOG.warning("%s cannot be decoded: %s", where, _described(error))

    def _decoder(self, schema: int) -> Decode:
        decoder = self._decoders.get(schema)
        if decoder is None:
            self._check_missing(schema)
            try:
                decoder = self._decoder_of(schema)
            except _NotInRegistryError:
                self._missing[schema] = self._clock() + _MISSING_SECONDS
                raise
            except KafkaError:
                raise
            except Exception as error:  # noqa: BLE001 - so do schemas
                decoder = _refusing(f"its schema cannot be used: {_described(error)}")
            # Without a registry any number may come, and costs nothing.
            if self._schemas is not None:
                self._decoders[schema] = decoder
        return decoder

    def _check_missing(self, schema: int) -> None:
        now = self._clock()
        while self._missing and self._missing[soonest := next(iter(self._missing))] <= now:
            del self._missing[soonest]
        if schema in self._missing:
            raise _NotInRegistryError(
                f"the Schema Registry had no schema {schema}, or not all that it refers to"
            )


def payload_decoder(config: KafkaConfig, *, clock: Callable[[], float] = monotonic) -> PayloadDecoder | None:
    """What makes JSON of payloads as a source reads them; None where they are JSON."""
    if config.format == "protobuf":
        message = ProtobufMessage(str(config.protobuf_descriptors), str(config.protobuf_message))

        def decode(payload: bytes) -> bytes:
            return _json_text(message.decode(payload))

        return PayloadDecoder(lambda _: decode)
    if config.schema_registry is None:
        return None
    schemas = _Schemas(config.schema_registry)
    decoder_of = _avro_decoder if config.format == "avro" else _json_decoder
    return PayloadDecoder(decoder_of(schemas), schemas, clock=clock)


class _Schemas:
    """Schemas of a registry, with those that they refer to."""

    def __init__(self, config: SchemaRegistryConfig) -> None:
        self._url = config.url
        self._client = config.client()
        self._error = needs("confluent_kafka.schema_registry.error", _EXTRA).SchemaRegistryError

    def close(self) -> None:
        self._client.__exit__()

    def by_id(self, number: int) -> Any:
        return self._asked(f"schema {number}", lambda: self._client.get_schema(number))

    def referred(self, schema: Any) -> list[tuple[str, Any]]:
        """(name, schema) of what it refers to, each after those that it refers to itself."""
        found: dict[str, Any] = {}
        self._collect(schema, found)
        return list(found.items())

    def _collect(self, schema: Any, found: dict[str, Any]) -> None:
        for reference in schema.references or ():
            if reference.name in found:
                continue
            referred = self._version(reference.subject, reference.version)
            self._collect(referred, found)
            found[reference.name] = referred

    def _version(self, subject: str, version: int) -> Any:
        return self._asked(
            f"version {version} of subject {subject!r}",
            lambda: self._client.get_version(subject, version).schema,
        )

    def _asked(self, what: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self._error as error:
            if error.error_code in _NOT_FOUND:
                raise _NotInRegistryError(f"the Schema Registry has no {what}") from None
            status = error.http_status_code
            raise self._failure(what, error, retriable=status in _BUSY or status >= _SERVER_ERRORS) from None
        except Exception as error:  # noqa: BLE001 - whatever its HTTP client raises
            raise self._failure(what, error, retriable=True) from None

    def _failure(self, what: str, error: Exception, *, retriable: bool) -> KafkaError:
        why = _one_line(str(error)) or type(error).__name__
        failure = KafkaError(f"Schema Registry {self._url}: {what}: {why}")
        failure.retriable = retriable
        return failure


def _avro_decoder(schemas: _Schemas) -> Callable[[int], Decode]:
    needs("fastavro", _EXTRA)

    def decoder_of(number: int) -> Decode:
        schema = schemas.by_id(number)
        referred = [each.schema_str for _, each in schemas.referred(schema)]
        read = avro_reader(schema.schema_str, referred)
        return lambda payload: _json_text(read(payload))

    return decoder_of


def _json_decoder(schemas: _Schemas) -> Callable[[int], Decode]:
    needs("jsonschema", _EXTRA)
    needs("referencing", _EXTRA)

    def decoder_of(number: int) -> Decode:
        schema = schemas.by_id(number)
        check = json_checker(
            schema.schema_str, {name: each.schema_str for name, each in schemas.referred(schema)}
        )

        def decode(payload: bytes) -> bytes:
            check(payload)
            return payload

        return decode

    return decoder_of


def _refusing(why: str) -> Decode:
    def decode(payload: bytes) -> bytes:
        raise SerializationError(why)

    return decode


def _described(error: Exception) -> str:
    text = _one_line(str(error))
    return text if isinstance(error, SerializationError) else f"{type(error).__name__}: {text}"


def _one_line(text: str) -> str:
    """A text that may have all of a payload in it, as a log takes it."""
    start = "".join(each if each.isprintable() else " " for each in text[: _MOST_SHOWN + 1])
    return (
        " ".join(start.split())
        if len(start) <= _MOST_SHOWN
        else f"{' '.join(start.split())[: _MOST_SHOWN - 1]}…"
    )


def _json_text(value: Any) -> bytes:
    try:
        text = json.dumps(value, default=_plain, allow_nan=False)
    except ValueError:
        text = json.dumps(_without_nan(value), default=_plain, allow_nan=False)
    return text.encode()


def _plain(value: Any) -> Any:
    """What JSON has instead: times in ISO 8601, numbers as float64, bytes in base64."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _without_nan(float(value))
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, UUID):
        return str(value)
    raise SerializationError(f"a {type(value).__name__} has no form in JSON")


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nan(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _revealed(secret: str | None) -> str | None:
    return secret.reveal() if isinstance(secret, Secret) else secret
