"""What windows have accumulated, in a state backend."""

from __future__ import annotations

import json
import struct
from typing import Any

from ._core import Accumulator
from .aggregates import AggregationState
from .errors import ConfigurationError, ProcessorError, StateError
from .exact_json import decode, encode
from .state import StateBackend
from .windows import Window

__all__ = ["WindowStateManager"]

_VERSION = 1
_HEADER = struct.Struct("<BI")
_SIGN = 1 << 63


def name_prefix(kind: str, name: str, owner: str) -> bytes:
    """What the keys of one name begin with, and those of no other name."""
    if "\0" in name:
        raise ConfigurationError(f"{owner}: name: {name!r}: expected text without NUL")
    return f"{kind}/{name}\0".encode("utf-8", "surrogateescape")


class WindowStateManager:
    """The accumulators of windows, kept in a backend under a name.

    An accumulator is an `AggregationState`, one of a built-in aggregator, or a value of JSON's types, tuples, sets,
    bytes, times, Decimal, and dataclasses of these. What `get_accumulator` gives is a copy: put it back once it
    has changed.

    >>> from llmopt_stream import MemoryStateBackend
    >>> manager = WindowStateManager(MemoryStateBackend(), "my-aggregation")
    >>> window = Window("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z")
    >>> accumulator = manager.get_accumulator(window) or AggregationState(window)
    >>> accumulator.add_value(42.0)
    >>> manager.put_accumulator(window, accumulator)
    >>> manager.get_accumulator(window).sum
    42.0
    >>> manager.delete_window(window)
    >>> manager.get_accumulator(window) is None
    True
    """

    def __init__(self, backend: StateBackend, name: str) -> None:
        self._backend = backend
        self._prefix = name_prefix("windows", name, "WindowStateManager")

    def get_accumulator(self, window: Window) -> Any:
        """The window's accumulator; None where it has none."""
        value = self._backend.get(self._key(window))
        if value is None:
            return None
        try:
            return _decode(value, window)
        except StateError:
            raise
        except (ProcessorError, ValueError, TypeError, LookupError, struct.error) as error:
            raise StateError(f"WindowStateManager: {window!r}: its state cannot be read: {error}") from error

    def put_accumulator(self, window: Window, accumulator: Any) -> None:
        """Keeps the window's accumulator as it is now."""
        self._backend.put(self._key(window), _encode(accumulator))

    def delete_window(self, window: Window) -> None:
        """Forgets the window's accumulator; nothing happens where there is none."""
        self._backend.delete(self._key(window))

    def _key(self, window: Window) -> bytes:
        start, end = window.micros
        return self._prefix + struct.pack(">QQ", start + _SIGN, end + _SIGN)


def _encode(accumulator: Any) -> bytes:
    """Version, length of the description, description, and the bytes of the core's accumulator if it is one."""
    content = b""
    if isinstance(accumulator, AggregationState):
        description: list[Any] = ["state", accumulator.window.micros, accumulator.key.items()]
        content = accumulator.accumulator.encode()
    elif isinstance(accumulator, Accumulator):
        description = ["accumulator", accumulator.settings]
        content = accumulator.encode()
    else:
        description = ["value", accumulator]
    text = json.dumps(encode(description, "put_accumulator: accumulator")).encode()
    return _HEADER.pack(_VERSION, len(text)) + text + content


def _decode(value: bytes, window: Window) -> Any:
    version, length = _HEADER.unpack_from(value)
    if version != _VERSION:
        raise StateError(
            f"WindowStateManager: {window!r}: its state has format version {version}, which this "
            "release does not read"
        )
    body = _HEADER.size + length
    kind, *rest = decode(json.loads(value[_HEADER.size : body]))
    content = value[body:]
    if kind == "state":
        (start, end), key = rest
        state = AggregationState(Window(start, end), key)
        state.accumulator.decode(content)
        return state
    if kind == "accumulator":
        accumulator = Accumulator(*rest[0])
        accumulator.decode(content)
        return accumulator
    (plain,) = rest
    return plain
