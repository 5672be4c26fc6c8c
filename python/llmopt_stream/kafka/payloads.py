"""Payloads whose schemas are in a Schema Registry: Avro, Protobuf and JSON Schema, as Confluent's serializers frame
them (https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/, "Wire format").
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from llmopt_stream._optional import needs
from llmopt_stream.errors import KafkaError, SerializationError

from .avro import avro_reader
from .json_form import json_form
from .json_schema import json_checker
from .protobuf import ProtobufMessage
from .schema_registry import EXTRA, NotInRegistryError, RegistrySchemas, one_line

if TYPE_CHECKING:
    from .config import KafkaConfig

__all__ = ["PayloadDecoder", "payload_decoder"]

_LOG = logging.getLogger("llmopt_stream.kafka")
_MAGIC = 0
_HEADER_BYTES = 5
"""The magic byte and the number of the schema, big-endian."""
_MISSING_SECONDS = 30.0
"""A registry may be behind the one that a schema was registered with."""
_MOST_TOLD = 1000
"""Numbers of schemas may be any where payloads are not framed at all."""

Decode: TypeAlias = Callable[[bytes], bytes]
"""Of a payload without its frame; raises where it is not of the schema."""


class PayloadDecoder:
    """JSON of framed payloads, many at a time; None of those that are not of the schema they name.

    A schema is asked for once; one that the registry does not have, again after a while. Why payloads are refused is
    logged, once for each schema. A registry that does not answer is a KafkaError; nothing else that a schema or a
    payload leads to is an error.
    """

    def __init__(
        self,
        decoder_of: Callable[[int], Decode],
        schemas: RegistrySchemas | None = None,
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
            except NotInRegistryError:
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
            raise NotInRegistryError(
                f"the Schema Registry had no schema {schema}, or not all that it refers to"
            )


def payload_decoder(config: KafkaConfig, *, clock: Callable[[], float] = monotonic) -> PayloadDecoder | None:
    """What makes JSON of payloads as a source reads them; None where they are JSON."""
    if config.format == "protobuf":
        message = ProtobufMessage(str(config.protobuf_descriptors), str(config.protobuf_message))

        def decode(payload: bytes) -> bytes:
            return json_form(message.decode(payload))

        return PayloadDecoder(lambda _: decode)
    if config.schema_registry is None:
        return None
    schemas = RegistrySchemas(config.schema_registry)
    decoder_of = _avro_decoder if config.format == "avro" else _json_decoder
    return PayloadDecoder(decoder_of(schemas), schemas, clock=clock)


def _avro_decoder(schemas: RegistrySchemas) -> Callable[[int], Decode]:
    needs("fastavro", EXTRA)

    def decoder_of(number: int) -> Decode:
        schema = schemas.by_id(number)
        referred = [each.schema_str for _, each in schemas.referred(schema)]
        read = avro_reader(schema.schema_str, referred)
        return lambda payload: json_form(read(payload))

    return decoder_of


def _json_decoder(schemas: RegistrySchemas) -> Callable[[int], Decode]:
    needs("jsonschema", EXTRA)
    needs("referencing", EXTRA)

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
    text = one_line(str(error))
    return text if isinstance(error, SerializationError) else f"{type(error).__name__}: {text}"
