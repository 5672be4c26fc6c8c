"""How much of each of many items there was lately, in bounded space."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Any, TypeAlias

from llmopt_stream.events import GroupingKey

from .keys import key_order

__all__ = ["DecayedCounts"]

_Order: TypeAlias = tuple[tuple[int, Any], ...]
_Item: TypeAlias = tuple[GroupingKey, int, int]
"""Its key, its count, and how much of the count may be too much."""


class DecayedCounts:
    """Of each item the weights of its records, each of which halves every `half_life`.

    Weights are those of forward decay (Cormode, Shkapenyuk, Srivastava and Xu, "Forward Decay: A Practical Time Decay
    Model for Streaming Systems", ICDE 2009): they grow with the time of the record and are divided by one number,
    that of the time at hand, when they are read. They are integers, relative to a landmark that is a whole number of
    half-lives, so that moving it is a shift: sums depend neither on the order of records nor on when it moves.

    Items are counted as in Space-Saving (Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k
    Elements in Data Streams", ICDT 2005), where `capacity` + 1 counters at least share what a forgotten item may
    have had: counts are too great by at most all weights / `capacity`, never too small. Twice as many counters are kept
    before the least are forgotten at once; tables add up (Agarwal et al., "Mergeable Summaries", PODS 2012).
    """

    def __init__(self, half_life: int, capacity: int, bits: int, landmark: int) -> None:
        self._half_life = half_life
        self._capacity = capacity
        self._bits = bits
        """How many of a weight are behind the binary point."""
        self._landmark = landmark
        """In half-lives since the epoch."""
        self._items: dict[_Order, _Item] = {}
        self._missing = 0
        """As much at most had each item that is not there."""

    def __len__(self) -> int:
        return len(self._items)

    def add(self, key: GroupingKey, order: _Order, time: int) -> None:
        """A record of an item, not later than the half-life that follows the landmark."""
        half_lives, rest = divmod(time, self._half_life)
        significand = int(math.exp2(rest / self._half_life) * 2**53)
        weight = significand << (self._bits - 53) >> (self._landmark - half_lives)
        if weight:
            self._add(key, order, weight, 0)
            self._forget_least()

    def merge(self, other: DecayedCounts) -> None:
        """Adds counts relative to the same landmark."""
        if other._missing:
            for order, (key, count, error) in self._items.items():
                if order not in other._items:
                    self._items[order] = (key, count + other._missing, error + other._missing)
        for order, (key, count, error) in other._items.items():
            self._add(key, order, count, error)
        self._missing += other._missing
        self._forget_least()

    def _add(self, key: GroupingKey, order: _Order, weight: int, error: int) -> None:
        key, count, earlier = self._items.get(order, (key, self._missing, self._missing))
        self._items[order] = (key, count + weight, earlier + error)

    def _forget_least(self) -> None:
        if len(self._items) <= 2 * self._capacity:
            return
        *kept, least = heapq.nsmallest(self._capacity + 1, self._items.items(), key=_greatest_first)
        self._items = dict(kept)
        self._missing = least[1][1]

    def move_to(self, landmark: int) -> None:
        """A later landmark."""
        shift = landmark - self._landmark
        self._landmark = landmark
        if shift:
            self._missing >>= shift
            self._items = {
                order: (key, count >> shift, error >> shift)
                for order, (key, count, error) in self._items.items()
            }

    def forget_below(self, score: float, time: int) -> None:
        """What has less than this score at a time within the half-life that follows the landmark."""
        scale = self._scale_at(time)
        if self._score(self._missing, scale) < score:
            self._missing = 0
        self._items = {
            order: item for order, item in self._items.items() if self._score(item[1], scale) >= score
        }

    def greatest(self, n: int, time: int) -> Iterator[tuple[GroupingKey, float, float]]:
        """The keys of the n greatest, with scores and by how much these may be too great; ties by key."""
        scale = self._scale_at(time)
        first = heapq.nsmallest(n, self._items.items(), key=_greatest_first)
        for _, (key, count, error) in first:
            yield key, self._score(count, scale), self._score(error, scale)

    def _scale_at(self, time: int) -> float:
        """What a weight of 1 at the landmark has come to."""
        return math.exp2((self._landmark * self._half_life - time) / self._half_life)

    def _score(self, count: int, scale: float) -> float:
        return count / (1 << self._bits) * scale

    def get_state(self) -> list[Any]:
        items = [[list(key.items()), count, error] for key, count, error in self._items.values()]
        return [self._landmark, self._missing, items]

    def set_state(self, state: list[Any]) -> None:
        self._landmark, self._missing, items = state
        for fields, count, error in items:
            key = GroupingKey(fields)
            self._items[key_order(key.values())] = (key, count, error)


def _greatest_first(item: tuple[_Order, _Item]) -> tuple[int, _Order]:
    order, (_, count, _) = item
    return (-count, order)
