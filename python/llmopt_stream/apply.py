"""Functions of all records of a key and window."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from .columns import Expression, condition_of, field_path
from .errors import ConfigurationError, PipelineError
from .failures import Failure, Place
from .metrics import CoreMetric
from .units import to_datetime
from .user_aggregator import plain_result
from .windows import Window

__all__ = ["DEFAULT_LIMIT", "AppliedFunction", "FunctionCalls"]

DEFAULT_LIMIT = 10_000
"""So many records of a key and window are given to a function, unless said otherwise."""


@dataclass(frozen=True, eq=False)
class AppliedFunction:
    """A function and what it reads; takes the place of a Metric in a branch."""

    fn: Callable[..., Any]
    fields: tuple[str, ...]
    name: str
    limit: int = DEFAULT_LIMIT
    where: Expression | None = None
    """Of which records it is given those for which this is true."""
    expression: None = None
    refuses_nulls: bool = False

    @classmethod
    def of(
        cls, fn: Any, fields: Sequence[str], name: str, limit: int | None, where: Expression | None
    ) -> AppliedFunction:
        """From what a user said."""
        if not callable(fn):
            raise ConfigurationError(f"apply: fn: {fn!r} is not callable; expected e.g. def fn(records): …")
        if isinstance(fields, str):
            raise ConfigurationError(f"apply: fields: {fields!r} is one text; expected a list of paths")
        paths = [field_path(field, "apply: fields") for field in fields]
        if not name or not isinstance(name, str):
            raise ConfigurationError(f"apply: name: {name!r} must be text that is not empty")
        most = DEFAULT_LIMIT if limit is None else limit
        if type(most) is not int or not 1 <= most < 2**32:
            raise ConfigurationError(f"apply: limit: {limit!r} is not a number of records of at least 1")
        chosen = None if where is None else condition_of(where, "apply: where")
        return cls(fn, tuple(dict.fromkeys(paths)), name, most, chosen)

    @property
    def field(self) -> str:
        """What it reads, in words."""
        return ", ".join(self.fields)

    @property
    def function_name(self) -> str:
        return str(getattr(self.fn, "__qualname__", type(self.fn).__name__))

    def core_metrics(self) -> list[CoreMetric]:
        """What the core computes for it."""
        return [
            CoreMetric(
                "apply",
                (),
                (self.name,),
                labels=self.fields,
                settings={"calls": FunctionCalls(self), "limit": self.limit},
                where=self.where,
            )
        ]

    def result_names(self) -> list[str]:
        return [self.name]

    def records_of(
        self, time_field: str, times: Sequence[int], columns: Sequence[Sequence[Any]]
    ) -> list[dict[str, Any]]:
        """What the function is given, of the event times and the scalars of each field."""
        rows = zip(*columns, strict=True) if columns else ((),) * len(times)
        return [
            {**dict(zip(self.fields, row, strict=True)), time_field: to_datetime(time)}
            for time, row in zip(times, rows, strict=True)
        ]

    @cached_property
    def takes(self) -> frozenset[str]:
        """Which of `key` and `window` the function takes beside the records."""
        try:
            parameters = list(inspect.signature(self.fn).parameters.values())
        except (TypeError, ValueError):
            return frozenset()  # of some built-in functions nothing is known
        by_name = {each.name for each in parameters[1:] if each.kind is each.POSITIONAL_OR_KEYWORD}
        by_name |= {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters)
        return frozenset(name for name in ("key", "window") if takes_all or name in by_name)


class FunctionCalls:
    """What the core calls when a pane is to have the result of a function."""

    def __init__(self, applied: AppliedFunction, place: Place | None = None) -> None:
        self._applied = applied
        self._place = place

    def at(self, place: Place) -> FunctionCalls:
        """The same, at work in a pipeline."""
        return FunctionCalls(self._applied, place)

    def fingerprint(self) -> list[Any]:
        """What says whether snapshots fit."""
        return [self._applied.function_name, list(self._applied.fields)]

    @staticmethod
    def plain(result: Any) -> Any:
        return plain_result(result)

    def call(self, said: Sequence[Any], times: list[int], columns: list[list[Any]]) -> Any:
        """The result for a pane, or None where it failed and the pipeline goes on."""
        applied, place = self._applied, self._in_pipeline()
        if not times:
            return None
        key, start, end, _ = said
        available = {"key": place.key(key), "window": Window(start, end)}
        arguments = {name: value for name, value in available.items() if name in applied.takes}

        def attempt() -> Any:
            records = applied.records_of(place.time_field, times, columns)
            return plain_result(applied.fn(records, **arguments))

        try:
            return place.failures.result_of(attempt)
        except Exception as error:  # noqa: BLE001 - users' code
            Failure.of(error, applied.function_name, "apply").settle_pane(place, said)
        return None

    def too_many(self, said: Sequence[Any], count: int) -> None:
        """Instead of the call, where there are more records than the limit."""
        applied = self._applied
        failure = Failure(
            None,
            f"{count:,} records are more than limit={applied.limit:,}; raise the limit, or use an Aggregator, which "
            "does not keep them",
            applied.function_name,
            "apply",
        )
        failure.settle_pane(self._in_pipeline(), said)

    def _in_pipeline(self) -> Place:
        if self._place is None:
            raise PipelineError(f"apply: {self._applied.function_name} is in no pipeline")
        return self._place
