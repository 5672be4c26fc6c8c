"""The sinks of a run at work: opened together, fed after each step, closed together."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .errors import CheckpointError
from .sinks import Sink

if TYPE_CHECKING:
    from .executor import Executor
    from .plan import Plan

__all__ = ["Delivery"]


class Delivery:
    """Hands results to sinks, late events to the side output, and errors to the sink of the error handler.

    What an `async def` of a sink returns is awaited before the next batch, all on one event loop: `loop`,
    which runs in another thread, or else one that starts when it is first needed.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        positions: Sequence[Any] | None = None,
        stopping: Callable[[], bool] | None = None,
    ) -> None:
        """With `positions`, sinks go on from there: each from the first that is of one that reads the same as it."""
        self._plan = plan
        self._stopping = stopping
        self._branches = plan.branches
        self._errors = None if plan.error_handler is None else plan.error_handler.sink
        self._opened: list[Sink] = []
        self._all: list[Sink] = []
        for sink in plan.sinks():
            if all(sink is not other for other in self._all):
                self._all.append(sink)
        self._positions = list(positions or ())
        self._outcomes = _Outcomes(loop)

    def __enter__(self) -> Self:
        try:
            for sink in self._all:
                sink.stopping = self._stopping or Sink.stopping
                sink.prepare(self._plan)
                self._outcomes.wait_for(self._start(sink))
                self._opened.append(sink)
            self._refuse_what_no_sink_has_taken()
        except BaseException:
            self._close(failed=True)
            raise
        return self

    def _start(self, sink: Sink) -> Any:
        for entry in self._positions:
            if entry[0] == str(sink):
                self._positions.remove(entry)
                return sink.resume(entry[1])
        return sink.open()

    def _refuse_what_no_sink_has_taken(self) -> None:
        missing = [name for name, position in self._positions if position is not None]
        if missing:
            raise CheckpointError(
                f"the checkpoint belongs to results in {', '.join(missing)}, which the pipeline has no sink for"
            )

    def flush(self) -> None:
        """When it returns, everything handed out so far outlives a crash."""
        for sink in self._opened:
            self._outcomes.wait_for(sink.flush())

    def positions(self) -> list[Any]:
        """After flush() or the end: where the sinks can go on."""
        return [[str(sink), sink.position()] for sink in self._all]

    def emit(self, intake: Executor) -> list[Any]:
        """What is new, handed out; by branch."""
        for stage, panes, late in intake.drain_stages():
            if panes is not None:
                for sink in stage.sinks:
                    self._outcomes.wait_for(sink.send_batch(panes))
            if stage.side_output is not None and late:
                self._outcomes.wait_for(stage.side_output.send_batch(late))
        tables = intake.drain()
        late = intake.take_late()
        for branch, table in zip(self._branches, tables, strict=True):
            if len(table):
                for sink in branch.sinks:
                    self._outcomes.wait_for(sink.send_batch(table))
            if branch.side_output is not None and (
                of_branch := [event for event in late if event.branch == branch.name]
            ):
                self._outcomes.wait_for(branch.side_output.send_batch(of_branch))
        if self._errors is not None and (errors := intake.failures.take()):
            self._outcomes.wait_for(self._errors.send_batch(errors))
        return tables

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(failed=kind is not None)

    def _close(self, *, failed: bool) -> None:
        """Every sink, in reverse order, whatever the others do; the first failure comes out."""
        failures: list[BaseException] = []
        while self._opened:
            sink = self._opened.pop()
            try:
                self._outcomes.wait_for(sink.abort() if failed or failures else sink.close())
            except Exception as failure:  # noqa: BLE001 - the other sinks still have to close
                failures.append(failure)
        self._outcomes.close()
        if failures and not failed:
            raise failures[0]


class _Outcomes:
    """Waits for what an `async def` returned."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._thread: threading.Thread | None = None

    def wait_for(self, outcome: Any) -> None:
        if not inspect.isawaitable(outcome):
            return

        async def finish() -> None:
            await outcome

        if self._loop is None:
            # A loop of its own thread: the caller's, in a notebook, may be running already.
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="async sinks", daemon=True)
            self._thread.start()
        asyncio.run_coroutine_threadsafe(finish(), self._loop).result()

    def close(self) -> None:
        if self._thread is None or self._loop is None:
            return
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_asyncgens(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop, self._thread = None, None
