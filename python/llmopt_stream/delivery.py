"""The sinks of a run at work: opened together, fed after each step, closed together."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .results import ResultTable

if TYPE_CHECKING:
    from .intake import Intake
    from .sinks import Sink

__all__ = ["Delivery"]


class Delivery:
    """Hands results to sinks, and late events to the side output.

    What an `async def` of a sink returns is awaited before the next batch, all on one event loop: `loop`,
    which runs in another thread, or else one that starts when it is first needed.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        side_output: Sink | None,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._sinks = sinks
        self._side_output = side_output
        self._opened: list[Sink] = []
        self._outcomes = _Outcomes(loop)

    def __enter__(self) -> Self:
        try:
            for sink in [*self._sinks, *([] if self._side_output is None else [self._side_output])]:
                if all(sink is not other for other in self._opened):
                    self._outcomes.wait_for(sink.open())
                    self._opened.append(sink)
        except BaseException:
            self._close(failed=True)
            raise
        return self

    def emit(self, intake: Intake) -> ResultTable:
        """What is new in the core, handed out."""
        table = ResultTable(intake.core.drain())
        late = intake.take_late() if self._side_output is not None else []
        if len(table):
            for sink in self._sinks:
                self._outcomes.wait_for(sink.send_batch(table))
        if late and self._side_output is not None:
            self._outcomes.wait_for(self._side_output.send_batch(late))
        return table

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
