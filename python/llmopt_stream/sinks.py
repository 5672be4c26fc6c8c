"""Sinks: where results go."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from typing import Any, TextIO

from .results import AggregationResult, ResultTable

__all__ = ["CallbackSink", "CollectSink", "ConsoleSink", "Sink"]


class Sink:
    """Where results go. A sink of your own subclasses it with `send(result)`, called for each result,
    or `send_batch(table)`, called for all results of a batch; either may be `async def`.
    """

    def open(self) -> None:
        """Called once before the first result."""

    def send(self, result: AggregationResult) -> Any:
        """Takes one result."""
        raise NotImplementedError(f"{type(self).__name__} needs send(result) or send_batch(table)")

    def send_batch(self, table: ResultTable) -> Any:
        """Takes the results of a batch, in firing order."""
        for result in table:
            finish(self.send(result))

    def close(self) -> None:
        """Called once after the last result, also when the run failed."""

    def __str__(self) -> str:
        return type(self).__name__


def finish(outcome: Any) -> None:
    """Waits for the outcome of an `async def`."""
    if inspect.isawaitable(outcome):

        async def wait() -> None:
            await outcome

        asyncio.run(wait())


class CollectSink(Sink):
    """Keeps all results: `table` for DataFrames, `results` one by one."""

    def __init__(self) -> None:
        self.table: ResultTable | None = None

    def open(self) -> None:
        self.table = None

    def send_batch(self, table: ResultTable) -> None:
        if self.table is None:
            self.table = table
        else:
            self.table.extend(table)

    @property
    def results(self) -> list[AggregationResult]:
        return [] if self.table is None else list(self.table)


class CallbackSink(Sink):
    """Calls a function, or awaits a coroutine function, with each result."""

    def __init__(self, fn: Callable[[AggregationResult], Any]) -> None:
        self._fn = fn

    def send(self, result: AggregationResult) -> Any:
        return self._fn(result)

    def __str__(self) -> str:
        return f"CallbackSink({getattr(self._fn, '__name__', type(self._fn).__name__)})"


class ConsoleSink(Sink):
    """Prints one line of JSON per result."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send_batch(self, table: ResultTable) -> None:
        stream = self._stream or sys.stdout
        stream.write("".join(f"{result.to_json()}\n" for result in table))
        stream.flush()
