"""Values that a user's operator remembers."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.units import Duration, duration_micros

from .flow import END, START
from .stored_values import StoredValues

if TYPE_CHECKING:
    from llmopt_stream.state import StateBackend

__all__ = ["StateStore"]


class StateStore:
    """Named values, those of one key in a `process` step; also usable alone.

    A value that was put with a `ttl`, or in a store that has one, is gone once event time, the watermark, has
    moved on by that much; alone, `advance(time)` says how far it is. Snapshots take values of JSON's types,
    tuples, sets, bytes, times, Decimal, numbers of NumPy, times of pandas, and dataclasses of these.

    With a `backend` the values are kept there, under the store's `name`: `put` again what you have changed. The
    checkpoints are the backend's.

    >>> store = StateStore(ttl="10m")
    >>> store.put("seen", 3)
    >>> store.get("seen"), store.get("missing"), store.get("missing", 0)
    (3, None, 0)
    >>> store.advance(600_000_000)
    >>> store.get("seen")

    >>> from llmopt_stream import MemoryStateBackend
    >>> backend = MemoryStateBackend()
    >>> StateStore(backend=backend, name="sessions").put("user-1", ("/home", 3))
    >>> StateStore(backend=backend, name="sessions").get("user-1")
    ('/home', 3)
    """

    __slots__ = ("_now", "_ttl", "_values")

    def __init__(
        self, *, ttl: Duration | None = None, backend: StateBackend | None = None, name: str = ""
    ) -> None:
        self._ttl = None if ttl is None else duration_micros(ttl, "StateStore: ttl")
        if self._ttl is not None and self._ttl <= 0:
            raise ConfigurationError(f"StateStore: ttl: {ttl!r} is not a positive duration")
        self._values: MutableMapping[str, tuple[Any, int | None]] = {}
        self._now = 0
        if backend is not None:
            self._values = StoredValues(backend, name)
            self._now = self._values.time

    @classmethod
    def of_stream(cls, ttl: int | None, watermark: int) -> StateStore:
        """For a key of a stream with this watermark; `ttl` in microseconds."""
        store = cls()
        store._ttl, store._now = ttl, watermark
        return store

    def get(self, name: str, default: Any = None) -> Any:
        """The value, or the default where there is none."""
        value, expires = self._values.get(name, (default, None))
        return default if expires is not None and expires <= self._now else value

    def put(self, name: str, value: Any, *, ttl: Duration | None = None) -> None:
        """Remembers a value, for `ttl` if one is given here or for the store."""
        lives = self._ttl if ttl is None else duration_micros(ttl, "StateStore.put: ttl")
        self._values[name] = (value, None if lives is None else min(self._now + lives, END))

    def delete(self, name: str) -> None:
        """Forgets a value; nothing happens where there is none."""
        self._values.pop(name, None)

    def all(self) -> dict[str, Any]:
        """All values by name."""
        return {name: self.get(name) for name in self._values if self._is_alive(name)}

    def advance(self, time: int) -> None:
        """Event time, in microseconds; what has expired by then is forgotten. Going back is ignored.

        What was put before a stream had a watermark ages from the first one on.
        """
        if time > self._now:
            if self._now == START:
                self._values = {
                    name: (value, None if expires is None else min(time + expires - START, END))
                    for name, (value, expires) in self._values.items()
                }
            self._now = time
            if isinstance(self._values, StoredValues):
                self._values.time = time
            for name in [name for name in self._values if not self._is_alive(name)]:
                del self._values[name]

    def _is_alive(self, name: str) -> bool:
        expires = self._values[name][1]
        return expires is None or expires > self._now

    def next_expiry(self) -> int | None:
        """When the first of the values expires."""
        return min((expires for _, expires in self._values.values() if expires is not None), default=None)

    def get_state(self) -> list[Any]:
        """What a snapshot needs."""
        return [[name, value, expires] for name, (value, expires) in self._values.items()]

    def set_state(self, state: list[Any], now: int) -> None:
        """Goes on from what get_state() gave, where event time is `now`."""
        self._values = {name: (value, expires) for name, value, expires in state}
        self._now = now

    def __len__(self) -> int:
        return len(self.all())

    def __iter__(self) -> Iterator[str]:
        return iter(self.all())
