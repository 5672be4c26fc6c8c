"""What a pipeline may hold, and what happens beyond that."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from .errors import ConfigurationError, StateError

if TYPE_CHECKING:
    from .executor import Executor

__all__ = ["LEAST_MEMORY", "KeyLimit", "MemoryWatch", "Size", "size_bytes"]

Size: TypeAlias = int | str
"""A number of bytes, or text such as "512MB" (10^6) or "2GiB" (2^30)."""

_UNITS = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KIB": 2**10,
    "MIB": 2**20,
    "GIB": 2**30,
    "TIB": 2**40,
}

LEAST_MEMORY = 128 * 10**6
"""The least memory limit: below it, what is around the state would not fit."""


def size_bytes(value: Any, setting: str) -> int:
    """The number of bytes that a size means.

    >>> size_bytes("1.5 GiB", "memory_limit")
    1610612736
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", value)):
        unit = _UNITS.get(found[2].upper())
        if unit is not None:
            return round(float(found[1]) * unit)
    raise ConfigurationError(
        f"{setting}: {value!r}: expected a number of bytes, or text such as '512MB' or '2GiB'"
    )


@dataclass(frozen=True, slots=True)
class KeyLimit:
    """How many keys may be live at once, and whether a record of one more is shed or an error."""

    keys: int
    horizon: int
    """For how long after its latest record a key is live, in microseconds of event time."""
    policy: str

    def settings(self) -> tuple[Any, ...]:
        """As the core takes it."""
        return ("key_limit", self.keys, self.horizon, self.policy == "error")


class MemoryWatch:
    """Ends a run whose state exceeds its memory limit, because it is none that can leave memory."""

    _SECONDS = 0.1
    """Between two looks: they are not free."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._next = 0.0

    def check(self, executor: Executor) -> None:
        """Raises StateError."""
        if self._limit is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._SECONDS
        state = executor.metrics()["state_bytes"]
        if state > self._limit:
            raise StateError(
                f"with_options: memory_limit: the state takes {state:,} bytes, more than {self._limit:,}, and is not of "
                "tumbling, sliding or cumulative windows, whose slices can leave memory: raise the limit, shorten "
                "windows or lateness, or bound the keys by with_limits()"
            )
