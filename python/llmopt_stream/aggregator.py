"""What every aggregator is, and what one of a user's own has to define."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError

if TYPE_CHECKING:
    from .metrics import CoreMetric

__all__ = ["Aggregator"]


class Aggregator:
    """Five methods that say how values become a result: `create_accumulator`, `add`, `merge`,
    `get_result` and `name`. Merging the accumulators of two groups of values must give what
    adding all values to one gives.

    A subclass of your own works wherever a built-in one does; it is called in Python, for each value. Three
    more methods are optional: `add_batch(accumulator, values)` takes consecutive values of one key at once, as
    a NumPy array (float64, or int64 where the column is), instead of `add`; `to_bytes(accumulator)` and
    `from_bytes(bytes)` save and restore an accumulator exactly, for snapshots, which need them, and faster copies.
    Without them accumulators are copied by `copy.deepcopy`. Nothing is pickled.

    What an exception leads to, the pipeline's ErrorHandler says. An `add` that is skipped or tried again may have
    changed the accumulator halfway: change it last. So may `add_batch`, whose values are then added one by
    one unless the pipeline is to fail.

    >>> class Product(Aggregator):
    ...     def create_accumulator(self): return 1.0
    ...     def add(self, accumulator, value): return accumulator * value
    ...     def merge(self, a, b): return a * b
    ...     def get_result(self, accumulator): return accumulator
    ...     def name(self): return "product"
    >>> from llmopt_stream import create_pipeline
    >>> with create_pipeline().with_count_window(3).aggregate("x", [Product(), "count"]).open() as session:
    ...     session.push([{"timestamp": "2026-01-01T00:00:00Z", "x": x} for x in (2, 3, 4)])[0].results
    {'product': 24.0, 'count': 3}
    """

    def create_accumulator(self) -> Any:
        """An accumulator without values."""
        raise NotImplementedError

    def add(self, accumulator: Any, value: Any) -> Any:
        """Takes one value: changes the accumulator and returns None, or returns the one to go on with."""
        raise NotImplementedError

    def merge(self, a: Any, b: Any) -> Any:
        """An accumulator of the values of both: a new one, or either of them. Both may be changed: pipelines
        merge copies.
        """
        raise NotImplementedError

    def get_result(self, accumulator: Any) -> Any:
        """What the accumulator's values amount to: None, a number, a truth value, text, or a flat dict, dataclass
        or named tuple of these. Must not change the accumulator. A pipeline asks only where there was a value;
        otherwise the result is null.
        """
        raise NotImplementedError

    def name(self) -> str:
        """The result's name."""
        raise NotImplementedError

    def core_metrics(self, field: str, prefix: str = "") -> list[CoreMetric]:
        """What the core computes of a field for it."""
        from .metrics import CoreMetric
        from .user_aggregator import AggregatorCalls

        calls = AggregatorCalls(self)
        return [CoreMetric("user", (field,), (prefix + self.result_names()[0],), settings={"calls": calls})]

    def refuse_changes(self) -> None:
        """A ConfigurationError if it changes methods of a built-in one, which the core would not call."""
        changed: list[str] = []
        for cls in type(self).__mro__:
            if cls.__module__.startswith("llmopt_stream."):
                if changed and cls is not Aggregator:
                    raise ConfigurationError(
                        f"aggregate: {type(self).__name__}.{changed[0]}() would not be called: {cls.__name__} runs in "
                        "C++; subclass Aggregator instead"
                    )
                return
            changed += [
                name for name in ("create_accumulator", "add", "merge", "get_result") if name in vars(cls)
            ]

    def result_names(self) -> list[str]:
        """What a pipeline calls its results."""
        name = self.name()
        if not name or type(name) is not str:
            raise ConfigurationError(
                f"aggregate: {type(self).__name__}.name() gave {name!r}; expected text that is not empty"
            )
        return [name]
