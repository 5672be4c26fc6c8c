"""Values with their expiry in a state backend, as a mapping."""

from __future__ import annotations

import json
from collections.abc import Iterator, MutableMapping
from typing import Any

from llmopt_stream.errors import StateError
from llmopt_stream.exact_json import decode, encode
from llmopt_stream.state import StateBackend
from llmopt_stream.window_state import name_prefix

__all__ = ["StoredValues"]

_VERSION = 1


class StoredValues(MutableMapping[str, tuple[Any, int | None]]):
    """Each value and its expiry under the name of the store, and the event time that the store has come to."""

    def __init__(self, backend: StateBackend, name: str) -> None:
        self._backend = backend
        self._prefix = name_prefix("values", name, "StateStore")
        self._time = name_prefix("time", name, "StateStore")

    @property
    def time(self) -> int:
        """Where the store has come to; 0 for a new one."""
        encoded = self._backend.get(self._time)
        return 0 if encoded is None else int(_decode(encoded))

    @time.setter
    def time(self, micros: int) -> None:
        self._backend.put(self._time, _encode(micros, "time"))

    def __getitem__(self, name: str) -> tuple[Any, int | None]:
        encoded = self._backend.get(self._key(name))
        if encoded is None:
            raise KeyError(name)
        value, expires = _decode(encoded)
        return value, expires

    def __setitem__(self, name: str, value: tuple[Any, int | None]) -> None:
        self._backend.put(self._key(name), _encode(list(value), f"StateStore value {name!r}"))

    def __delitem__(self, name: str) -> None:
        if self._backend.get(self._key(name)) is None:
            raise KeyError(name)
        self._backend.delete(self._key(name))

    def __iter__(self) -> Iterator[str]:
        for key, _ in self._backend.scan(self._prefix):
            yield key[len(self._prefix) :].decode("utf-8", "surrogateescape")

    def __len__(self) -> int:
        return sum(1 for _ in self._backend.scan(self._prefix))

    def _key(self, name: str) -> bytes:
        return self._prefix + name.encode("utf-8", "surrogateescape")


def _encode(value: Any, at: str) -> bytes:
    return json.dumps([_VERSION, encode(value, at)]).encode()


def _decode(encoded: bytes) -> Any:
    version, value = json.loads(encoded)
    if version != _VERSION:
        raise StateError(
            f"StateStore: a value has format version {version}, which this release does not read"
        )
    return decode(value)
