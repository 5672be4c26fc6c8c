"""State backends: where state lives, and its checkpoints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Self, overload

from . import _core
from .checks import whole_number
from .units import Time, core_time, to_datetime

__all__ = ["Checkpoint", "MemoryStateBackend", "RocksDBStateBackend", "StateBackend"]

_PAGE = 1 << 20


class Checkpoint(int):
    """A checkpoint's id, and what is known of it."""

    created: datetime | None
    """None where it cannot be read."""
    bytes: int
    """The size of its files; backends share those that two checkpoints have in common."""
    manifest: Any
    """The bytes that came with it."""
    damage: str | None
    """What is wrong with it, as far as that shows without reading all of it."""

    @classmethod
    def _of_core(cls, row: tuple[int, int, int, Any, str]) -> Checkpoint:
        number, created, size, manifest, damage = row
        checkpoint = cls(number)
        checkpoint.created = to_datetime(created) if created else None
        checkpoint.bytes = size
        checkpoint.manifest = manifest
        checkpoint.damage = damage or None
        return checkpoint

    @property
    def id(self) -> int:
        return int(self)

    def __repr__(self) -> str:
        return f"Checkpoint({int(self)}{'' if self.damage is None else ', damaged'})"


def _key(key: str | bytes, what: str) -> bytes:
    if isinstance(key, str):
        return key.encode("utf-8", "surrogateescape")
    if isinstance(key, bytes):
        return key
    raise TypeError(f"{what}: expected str or bytes, got {type(key).__name__}")


def _value(value: Any, what: str) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"{what}: expected bytes, got {type(value).__name__}")


def _id(number: int) -> int:
    return whole_number(number, "checkpoint id", least=0, most=2**64 - 1)


class StateBackend:
    """Values by key, ordered by the bytes of the key, with checkpoints to go back to.

    A key is bytes, or text that stands for its UTF-8 bytes; a value is bytes. `scan` gives keys in the type of its
    prefix, as `os.listdir` does; bytes that are not UTF-8 come as surrogate escapes. All methods may be called from
    any thread. What fails raises `StateError`, or `CheckpointError` where a checkpoint cannot be made or restored.
    """

    def __init__(self, core: _core.StateBackend) -> None:
        self._core = core
        self._last_id = 0

    @property
    def core(self) -> _core.StateBackend:
        """What the core writes to."""
        return self._core

    def get(self, key: str | bytes, default: Any = None) -> Any:
        """The value, or the default where there is none."""
        value = self._core.get(_key(key, "get: key"))
        return default if value is None else value

    def put(self, key: str | bytes, value: bytes, *, expires: Time | None = None) -> None:
        """Sets a value; with `expires`, an event time, it is gone once `set_expired_before` has come to that time."""
        self.apply({key: value}, expires=expires)

    def delete(self, key: str | bytes) -> None:
        """Forgets a value; nothing happens where there is none."""
        self.apply({key: None})

    def apply(self, changes: Mapping[Any, bytes | None], *, expires: Time | None = None) -> None:
        """Sets and, where a value is None, deletes: all of it or, if that fails, nothing."""
        until = None if expires is None else core_time(expires, "put: expires")
        core_changes = _core.StateChanges()
        for key, value in changes.items():
            if value is None:
                core_changes.delete(_key(key, "delete: key"))
            else:
                core_changes.put(_key(key, "put: key"), _value(value, "put: value"), until)
        self._core.apply(core_changes)

    @overload
    def scan(self, prefix: str = "") -> Iterator[tuple[str, bytes]]: ...
    @overload
    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]: ...
    def scan(self, prefix: str | bytes = "") -> Iterator[tuple[Any, bytes]]:
        """(key, value) of each key with this prefix, ascending. Changes made meanwhile may or may not show."""
        of_text = isinstance(prefix, str)
        first = _key(prefix, "scan: prefix")
        start = first
        while page := self._core.scan_page(first, start, _PAGE):
            for key, value in page:
                yield (key.decode("utf-8", "surrogateescape") if of_text else key), value
            start = page[-1][0] + b"\0"

    def clear(self) -> None:
        """Forgets all keys; checkpoints stay."""
        self._core.clear()

    def set_expired_before(self, time: Time) -> None:
        """Values that expire at this event time or before are gone. Going back is ignored."""
        self._core.set_expired_before(core_time(time, "set_expired_before: time"))

    def compact(self) -> None:
        """Frees the space of what was overwritten, deleted or has expired, which otherwise happens by and by."""
        self._core.compact()

    def checkpoint(self, checkpoint_id: int, manifest: bytes = b"") -> None:
        """Keeps all keys as they are now, under an id greater than every one before, with bytes of your own."""
        self._core.checkpoint(_id(checkpoint_id), _value(manifest, "checkpoint: manifest"))
        self._last_id = max(self._last_id, checkpoint_id)

    def next_checkpoint_id(self) -> int:
        """An id greater than those of all checkpoints, discarded ones too, and than those it gave before."""
        self._last_id = max([self._last_id, *self.checkpoints()]) + 1
        return int(self._last_id)

    def restore(self, checkpoint_id: int, *, verify: bool = True) -> Any:
        """Replaces all keys by those of a checkpoint; its manifest.

        A damaged checkpoint is refused, and nothing is replaced; with `verify=False` only its manifest and the sizes
        of its files are looked at first.
        """
        return self._core.restore(_id(checkpoint_id), verify)

    def checkpoints(self) -> list[Checkpoint]:
        """Ascending, damaged ones too. Each is its id, an int, and tells `created`, `bytes`, `manifest`, `damage`."""
        return [Checkpoint._of_core(row) for row in self._core.checkpoints()]

    def verify(self, checkpoint_id: int) -> list[str]:
        """Reads every byte of a checkpoint; a line for each file that is damaged."""
        return self._core.verify(_id(checkpoint_id))

    def discard(self, checkpoint_id: int) -> None:
        """Deletes a checkpoint."""
        self._core.discard(_id(checkpoint_id))

    @property
    def bytes_written(self) -> int:
        """Of keys and values, since the backend was opened."""
        return self._core.bytes_written

    @property
    def bytes_read(self) -> int:
        """Of keys and values, since the backend was opened."""
        return self._core.bytes_read

    def close(self) -> None:
        """Ends the use of it; calling it again does nothing."""
        self._core.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class MemoryStateBackend(StateBackend):
    """State and checkpoints in memory, gone with the process: for development and tests.

    >>> backend = MemoryStateBackend()
    >>> backend.put("model/opus", b"1")
    >>> backend.checkpoint(1)
    >>> backend.put("model/opus", b"2")
    >>> backend.restore(1)
    b''
    >>> list(backend.scan("model/")), backend.checkpoints()
    ([('model/opus', b'1')], [Checkpoint(1)])
    """

    def __init__(self) -> None:
        super().__init__(_core.MemoryStateBackend())

    def __repr__(self) -> str:
        return "MemoryStateBackend()"


class RocksDBStateBackend(StateBackend):
    """State in RocksDB at `path`, checkpoints below `checkpoint_path`, both made where they are missing.

    A checkpoint is whole or not there, whatever happens to process or machine while it is made; one takes only the
    space of what has changed since the one before if both paths are on one file system. `close` keeps the state; after
    a crash the next backend begins with the newest checkpoint. The directories serve one backend at a time, and hold
    nothing but what it puts there. RocksDB takes at most twice `memtable_bytes`, and `cache_bytes`, of memory.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with RocksDBStateBackend(f"{folder}/state", f"{folder}/checkpoints") as backend:
    ...         backend.put("model/opus", b"1")
    ...         backend.checkpoint(1, b"offset 42")
    ...         backend.put("model/opus", b"2")
    ...         manifest = backend.restore(1)
    ...         manifest, backend.get("model/opus")
    (b'offset 42', b'1')
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        checkpoint_path: str | os.PathLike[str],
        *,
        memtable_bytes: int = 16 << 20,
        cache_bytes: int = 8 << 20,
    ) -> None:
        self._path = os.fspath(path)
        self._checkpoint_path = os.fspath(checkpoint_path)
        most = 1 << 40
        self.memtable_bytes = whole_number(
            memtable_bytes, "RocksDBStateBackend: memtable_bytes", least=1 << 16, most=most
        )
        self.cache_bytes = whole_number(cache_bytes, "RocksDBStateBackend: cache_bytes", least=0, most=most)
        super().__init__(
            _core.RocksDBStateBackend(
                self._path, self._checkpoint_path, self.memtable_bytes, self.cache_bytes
            )
        )

    @property
    def path(self) -> str:
        return self._path

    @property
    def checkpoint_path(self) -> str:
        return self._checkpoint_path

    def __repr__(self) -> str:
        return f"RocksDBStateBackend({self._path!r}, {self._checkpoint_path!r})"
