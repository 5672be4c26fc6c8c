"""What every aggregator is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .metrics import CoreMetric

__all__ = ["Aggregator"]


class Aggregator:
    """Five methods that say how values become a result: `create_accumulator`, `add`, `merge`,
    `get_result` and `name`. Merging the accumulators of two groups of values must give what
    adding all values to one gives.
    """

    def create_accumulator(self) -> Any:
        """An accumulator without values."""
        raise NotImplementedError

    def add(self, accumulator: Any, value: Any) -> None:
        """Takes one value."""
        raise NotImplementedError

    def merge(self, a: Any, b: Any) -> Any:
        """An accumulator of the values of both."""
        raise NotImplementedError

    def get_result(self, accumulator: Any) -> Any:
        """What the accumulator's values amount to."""
        raise NotImplementedError

    def name(self) -> str:
        """The result's name."""
        raise NotImplementedError

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        """What the core computes of a field for it."""
        raise NotImplementedError

    def result_names(self) -> list[str]:
        """What a pipeline calls its results."""
        return [self.name()]
