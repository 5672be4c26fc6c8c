"""Sinks: where results go, and late records."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from .results import AggregationResult, ResultTable
from .watermarks import LateEvent

if TYPE_CHECKING:
    from .error_policy import ErrorEvent
    from .plan import Plan

__all__ = ["Batch", "CallbackSink", "CollectSink", "ConsoleSink", "Sink"]

Batch: TypeAlias = "ResultTable | Sequence[LateEvent] | Sequence[ErrorEvent]"
"""What a sink takes at a time; events of one kind only."""


class Sink:
    """Where results go. A sink of your own subclasses it with `send(result)`, called for each result,
    or `send_batch(table)`, called for all results of a batch; these, `open` and `close` may be `async def`.

    Results are AggregationResults, a batch of them a ResultTable. As the side output of a LateEventHandler
    a sink takes LateEvents in the same way, a batch of them as a list; as that of an ErrorHandler, ErrorEvents.
    """

    stopping: Callable[[], bool] = staticmethod(lambda: False)
    """Whether the run is to stop: what waits for long then had better give up. Set by the run."""

    def check_settings(self) -> None:
        """Called when a pipeline is built: a ConfigurationError says what this machine has not, such as a file."""

    def check_plan(self, plan: Plan) -> None:
        """Called when a pipeline is built: a ConfigurationError says how this does not fit into it."""

    def prepare(self, plan: Plan) -> None:
        """Called before open() with the plan of the pipeline that it is in."""

    def open(self) -> Any:
        """Called once before the first result."""

    def send(self, result: Any) -> Any:
        """Takes one result."""
        raise NotImplementedError(f"{type(self).__name__} needs send(result) or send_batch(table)")

    def send_batch(self, table: Batch) -> Any:
        """Takes the results of a batch, in firing order."""
        results = iter(table)
        for result in results:
            outcome = self.send(result)
            if inspect.isawaitable(outcome):
                return self._send_rest(outcome, results)
        return None

    async def _send_rest(self, outcome: Awaitable[Any], results: Iterator[Any]) -> None:
        await outcome
        for result in results:
            outcome = self.send(result)
            if inspect.isawaitable(outcome):
                await outcome

    def flush(self) -> Any:
        """Called before a checkpoint: when it returns, everything sent so far outlives a crash."""

    def position(self) -> Any:
        """After flush() or close(): what resume() needs to go on there, of JSON's types; None if it needs nothing."""
        return None

    def resume(self, position: Any) -> Any:
        """Called instead of open() where a run goes on from a checkpoint. What was sent after that comes again."""
        del position
        return self.open()

    def close(self) -> Any:
        """Called once after the last result."""

    def abort(self) -> Any:
        """Called instead of close() when the run failed; the same unless overridden."""
        return self.close()

    def metrics(self) -> dict[str, Any]:
        """What it counts itself, under a name of its own; of the current or last run."""
        return {}

    def __str__(self) -> str:
        return type(self).__name__


class CollectSink(Sink):
    """Keeps all results: `table` for DataFrames, `results` one by one, late events and errors included."""

    def __init__(self) -> None:
        self.table: ResultTable | None = None
        self._events: list[Any] = []

    def open(self) -> None:
        self.table = None
        self._events = []

    def send_batch(self, table: Batch) -> None:
        if not isinstance(table, ResultTable):
            self._events.extend(table)
        elif self.table is None:
            self.table = table.copy()  # other sinks have the same one
        else:
            self.table.extend(table)

    @property
    def results(self) -> list[Any]:
        return [*([] if self.table is None else self.table), *self._events]


class CallbackSink(Sink):
    """Calls a function, or awaits a coroutine function, with each result."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self._fn = fn

    def send(self, result: AggregationResult | LateEvent | ErrorEvent) -> Any:
        return self._fn(result)

    def __str__(self) -> str:
        return f"CallbackSink({getattr(self._fn, '__name__', type(self._fn).__name__)})"


class ConsoleSink(Sink):
    """Prints one line of JSON per result."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def send_batch(self, table: Batch) -> None:
        stream = self._stream or sys.stdout
        stream.write("".join(f"{result.to_json()}\n" for result in table))
        stream.flush()
