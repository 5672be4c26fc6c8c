"""What the core calls of an aggregator that a user wrote, and what becomes of its exceptions."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ._optional import needs
from .aggregator import Aggregator
from .errors import CheckpointError, ConfigurationError
from .failures import Failure, Place

__all__ = ["AggregatorCalls", "plain_result"]

_Outcome = TypeVar("_Outcome")
_METHODS = ("create_accumulator", "add", "merge", "get_result", "name")


@dataclasses.dataclass(frozen=True)
class _FailedMerge:
    """Stands for an accumulator that could not be merged; the panes that it is in have no result."""

    failure: Failure

    def to_bytes(self) -> bytes:
        return json.dumps([self.failure.text, self.failure.aggregator, self.failure.method]).encode()

    @classmethod
    def from_bytes(cls, encoded: bytes) -> _FailedMerge:
        text, aggregator, method = json.loads(encoded)
        return cls(Failure(None, text, aggregator, method))


class AggregatorCalls:
    """The core calls the user's methods themselves; where one raises, the `…_failed` method here."""

    FailedMerge = _FailedMerge

    def __init__(self, aggregator: Aggregator, place: Place | None = None) -> None:
        self._aggregator = aggregator
        self._place = place
        self.class_name = type(aggregator).__name__
        for method in _METHODS:
            if getattr(type(aggregator), method) is getattr(Aggregator, method):
                raise ConfigurationError(f"aggregate: {self.class_name} must define {method}()")
        self.create_accumulator = aggregator.create_accumulator
        self.add = aggregator.add
        self.merge = aggregator.merge
        self.get_result = aggregator.get_result
        self.add_batch: Callable[[Any, Any], Any] | None = getattr(aggregator, "add_batch", None)
        if self.add_batch is not None:
            needs("numpy", "pandas")
        self._to_bytes: Callable[[Any], bytes] | None = getattr(aggregator, "to_bytes", None)
        self._from_bytes: Callable[[bytes], Any] | None = getattr(aggregator, "from_bytes", None)
        if (self._to_bytes is None) != (self._from_bytes is None):
            raise ConfigurationError(
                f"aggregate: {self.class_name} has one of to_bytes(accumulator) and from_bytes(bytes) only; "
                "define both, or neither"
            )

    def at(self, place: Place) -> AggregatorCalls:
        """The same, at work in a pipeline."""
        return AggregatorCalls(self._aggregator, place)

    def fingerprint(self) -> str:
        """What says whether snapshots fit."""
        return type(self._aggregator).__qualname__

    def __repr__(self) -> str:
        """What says whether accumulators can be merged: no address of an object, which differs from run to run."""
        return f"{type(self).__name__}({self.fingerprint()})"

    @property
    def where(self) -> str:
        """Where adding runs."""
        return "Python per record" if self.add_batch is None else "Python per batch"

    @staticmethod
    def plain(result: Any) -> Any:
        return plain_result(result)

    def copy(self, accumulator: Any) -> Any:
        """An accumulator that shares nothing with the given one that can change."""
        if self._to_bytes is not None and self._from_bytes is not None:
            return self._from_bytes(self._to_bytes(accumulator))
        try:
            return copy.deepcopy(accumulator)
        except Exception as error:
            raise TypeError(
                f"an accumulator is copied before it is merged, which copy.deepcopy cannot: {type(error).__name__}: "
                f"{error}; give it to_bytes(accumulator) and from_bytes(bytes)"
            ) from error

    # Snapshots

    def to_bytes(self, accumulator: Any) -> bytes:
        if self._to_bytes is None:
            raise CheckpointError(
                f"snapshot: {self.class_name} cannot be saved: give it to_bytes(accumulator) and from_bytes(bytes). "
                "Accumulators are not pickled"
            )
        try:
            encoded = self._to_bytes(accumulator)
            if not isinstance(encoded, bytes):
                raise TypeError(f"it returned {type(encoded).__name__}, not bytes")
        except Exception as error:
            raise Failure.of(error, self.class_name, "to_bytes").raised() from error
        return encoded

    def from_bytes(self, encoded: bytes) -> Any:
        if self._from_bytes is None:
            raise CheckpointError(f"snapshot refused: {self.class_name} has no from_bytes(bytes)")
        try:
            return self._from_bytes(encoded)
        except Exception as error:
            raise CheckpointError(
                f"snapshot refused: {self.class_name}.from_bytes: {type(error).__name__}: {error}"
            ) from error

    # Where a call failed

    def add_failed(
        self, error: Exception, kept: tuple[Any, ...], value: Any, said: Sequence[Any] | None
    ) -> tuple[Any] | None:
        """(accumulator,) if the value was added in the end, None if it is left out. `kept` is () where there was
        no accumulator and making one failed.
        """
        method = "add" if kept else "create_accumulator"

        def attempt() -> tuple[Any]:
            nonlocal kept, method
            if not kept:
                method = "create_accumulator"
                kept = (self.create_accumulator(),)
            method = "add"
            returned = self.add(kept[0], value)
            return (kept[0] if returned is None else returned,)

        try:
            return self._again(attempt, error)
        except Exception as last:
            failure = Failure.of(last, self.class_name, method, value)
            if self._place is None or said is None:
                raise failure.raised() from last
            failure.settle_value(self._place, said)
        return None

    def add_batch_failed(
        self, error: Exception, kept: tuple[Any, ...], values: list[Any], said: list[Any]
    ) -> None:
        """Raises where the pipeline is to fail; otherwise the core adds the values one by one. `kept` as for
        `add_failed`.
        """
        failure = Failure.of(error, self.class_name, "add_batch" if kept else "create_accumulator", values)
        if self._place is None:
            raise failure.raised() from error
        if self._place.failures.fails:
            failure.settle_values(self._place, said)

    def merge_failed(self, error: Exception, own: tuple[Any, ...], other: Any) -> Any:
        """The merged accumulator in the end, or a FailedMerge: which panes it is in, these will know."""

        def attempt() -> Any:
            copied = self.copy(other)
            merged = self.merge(own[0], copied) if own else copied
            return own[0] if merged is None else merged

        try:
            return self._again(attempt, error)
        except Exception as last:  # noqa: BLE001 - users' code
            return _FailedMerge(Failure.of(last, self.class_name, "merge"))

    def merge_had_failed(self, failed: _FailedMerge, said: Sequence[Any]) -> None:
        """When a pane is to have a result that a FailedMerge stands for."""
        if self._place is None:
            raise failed.failure.raised()
        failed.failure.settle_pane(self._place, said)

    def result_failed(self, error: Exception, accumulator: Any, said: Sequence[Any]) -> Any:
        """The result in the end, or None."""
        try:
            return self._again(lambda: plain_result(self.get_result(accumulator)), error)
        except Exception as last:
            failure = Failure.of(last, self.class_name, "get_result")
            if self._place is None:
                raise failure.raised() from last
            failure.settle_pane(self._place, said)
        return None

    def _again(self, attempt: Callable[[], _Outcome], error: Exception) -> _Outcome:
        if self._place is None:
            raise error
        return self._place.failures.again(attempt, error)


def plain_result(result: Any) -> Any:
    """A result as None, a number, a truth value, text or a dict of these.

    >>> plain_result({"median": 2.0, "values": 3})
    {'median': 2.0, 'values': 3}
    >>> plain_result([1, 2])
    Traceback (most recent call last):
    TypeError: the result is of type list; expected None, a number, a truth value, text, or a flat dict, dataclass \
or named tuple of these
    """
    fields = _fields_of(result)
    if fields is None:
        return _plain_scalar(result, "the result")
    for name in fields:
        if not isinstance(name, str):
            raise TypeError(f"the result has a field {name!r}; names of fields are text")
    return {name: _plain_scalar(value, f"the field {name!r} of the result") for name, value in fields.items()}


def _fields_of(result: Any) -> Mapping[Any, Any] | None:
    if isinstance(result, Mapping):
        return result
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return dict(zip(result._fields, result, strict=True))
    return None


def _plain_scalar(value: Any, what: str) -> Any:
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise OverflowError(f"{what} is {value}, which does not fit into 64 bits; make it a float")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    nested = ", or a flat dict, dataclass or named tuple of these" if what == "the result" else ""
    raise TypeError(
        f"{what} is of type {type(value).__name__}; expected None, a number, a truth value, text{nested}"
    )
