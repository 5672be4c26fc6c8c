"""Protobuf messages as records, by descriptors: what `protoc --include_imports --descriptor_set_out` writes."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from llmopt_stream._optional import needs
from llmopt_stream.errors import ConfigurationError, SerializationError

__all__ = ["ProtobufMessage"]

_EXTRA = "schema-registry"
_WELL_KNOWN = "google.protobuf."
_ANY = "google.protobuf.Any"


class ProtobufMessage:
    """One type of message."""

    def __init__(self, descriptors: str, name: str) -> None:
        """ConfigurationError where the file has no such type."""
        pool = needs("google.protobuf.descriptor_pool", _EXTRA).DescriptorPool()
        files = needs("google.protobuf.descriptor_pb2", _EXTRA).FileDescriptorSet()
        self._json_format = needs("google.protobuf.json_format", _EXTRA)
        decode_error = needs("google.protobuf.message", _EXTRA).DecodeError
        try:
            files.ParseFromString(Path(descriptors).read_bytes())
            for file in files.file:
                pool.Add(file)
            descriptor = pool.FindMessageTypeByName(name)
        except (OSError, KeyError, TypeError, decode_error) as error:
            raise ConfigurationError(f"protobuf_message {name!r} of {descriptors!r}: {error}") from None
        self._name = name
        self._indexes = _indexes_of(descriptor)
        self._pool = pool
        self._class_of = needs("google.protobuf.message_factory", _EXTRA).GetMessageClass
        self._type = self._class_of(descriptor)

    def decode(self, payload: bytes) -> dict[str, Any]:
        """Of a payload that begins with which message of its file it is; raises where it is not one."""
        indexes, size = _indexes(payload)
        if indexes != self._indexes:
            raise SerializationError(f"it is message {indexes} of its file; {self._name} is {self._indexes}")
        return self._fields(self._type.FromString(payload[size:]))

    def _fields(self, message: Any) -> dict[str, Any]:
        """By the names of the file; a field that nobody has set is left out if one can tell."""
        fields = {}
        for field in message.DESCRIPTOR.fields:
            if field.has_presence and not message.HasField(field.name):
                continue
            fields[field.name] = self._value(field, getattr(message, field.name))
        return fields

    def _value(self, field: Any, value: Any) -> Any:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            of_value = field.message_type.fields_by_name["value"]
            return {str(key): self._single(of_value, value[key]) for key in value}
        if field.is_repeated:
            return [self._single(field, each) for each in value]
        return self._single(field, value)

    def _single(self, field: Any, value: Any) -> Any:
        if field.message_type is not None:
            if not field.message_type.full_name.startswith(_WELL_KNOWN):
                return self._fields(value)
            if (
                field.message_type.full_name.endswith("Value")
                and "value" in field.message_type.fields_by_name
            ):
                return value.value  # the JSON of a wrapped int64 is a text
            return self._well_known(value)
        if field.enum_type is not None:
            known = field.enum_type.values_by_number.get(value)
            return value if known is None else known.name
        return value if field.type != field.TYPE_BYTES else base64.b64encode(value).decode()

    def _well_known(self, value: Any) -> Any:
        if value.DESCRIPTOR.full_name == _ANY:
            return self._any(value)
        return self._json_format.MessageToDict(value)

    def _any(self, value: Any) -> dict[str, Any]:
        """A message of any type that the file has; a KeyError where it has not that one."""
        if not value.type_url:
            return {}
        descriptor = self._pool.FindMessageTypeByName(value.type_url.rpartition("/")[2])
        message = self._class_of(descriptor).FromString(value.value)
        if descriptor.full_name.startswith(_WELL_KNOWN):
            return {"@type": value.type_url, "value": self._well_known(message)}
        return {"@type": value.type_url, **self._fields(message)}


def _indexes_of(descriptor: Any) -> list[int]:
    """Where a type is in its file: which of its messages, and which of those within it."""
    indexes = []
    while descriptor.containing_type is not None:
        outer = descriptor.containing_type
        indexes.append([each.full_name for each in outer.nested_types].index(descriptor.full_name))
        descriptor = outer
    names = [each.full_name for each in descriptor.file.message_types_by_name.values()]
    return [names.index(descriptor.full_name), *reversed(indexes)]


def _indexes(payload: bytes) -> tuple[list[int], int]:
    """The indexes at the beginning of a payload, and in how many bytes they are. None at all is the first message."""
    count, at = _varint(payload, 0)
    if count == 0:
        return [0], at
    if not 0 < count <= len(payload):
        raise SerializationError(f"{count} indexes of messages")
    indexes = []
    for _ in range(count):
        index, at = _varint(payload, at)
        indexes.append(index)
    return indexes, at


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    """A number in zigzag, and where the next one is."""
    number = shift = 0
    while at < len(payload) and shift < 70:
        number |= (payload[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if payload[at - 1] < 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise SerializationError("its indexes of messages are cut off")
