"""Pipelines that can run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
import time
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

from ._html import text_html
from .checkpoints import Checkpoints, NoCheckpoints, checkpoints_of
from .delivery import Delivery
from .errors import ConfigurationError, PipelineError
from .executor import Executor, executor_of
from .failures import Failures
from .intake import UNLIMITED
from .limits import MemoryWatch
from .losses import FruitlessWatch
from .plan import DEFAULT_WATERMARK, Plan
from .progress import progress_display, status_of
from .push_session import PushSession
from .run_summary import RunSummary
from .units import Duration, duration_micros

__all__ = ["StreamPipeline"]


class StreamPipeline:
    """A pipeline that can run. The same one may run again, from the start of its source."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._wants_checkpoint = threading.Event()
        self._stopped = False
        self._running = threading.Lock()
        self._counts: dict[str, Any] = {}

    @property
    def plan(self) -> Plan:
        return self._plan

    @property
    def metrics(self) -> dict[str, Any]:
        """The counters of the current or last run."""
        return {**self._counts, **self._plan.connector_metrics()}

    @property
    def stopped(self) -> bool:
        """Whether the last run ended by `stop()` or a signal, and so before its input did."""
        return self._stopped

    def stop(self) -> None:
        """Ends a run after the batch in hand; its results still reach the sinks. Windows that are
        not complete do not fire. May be called from any thread. Where nothing runs, the next run ends at once.
        """
        self._stop.set()

    def checkpoint(self) -> None:
        """Asks the current run for a checkpoint, after the batch in hand. May be called from any thread."""
        self._wants_checkpoint.set()

    def open(self) -> PushSession:
        """A push session: the same plan and sinks, with records handed in by calls instead of a source."""
        return PushSession(self._plan)

    def explain(self) -> str:
        """Prints the plan and where each stage runs, and returns the text."""
        text = self._plan.explain()
        print(text)
        return text

    def run(
        self,
        *,
        max_events: int | None = None,
        timeout: Duration | None = None,
        progress: bool = False,
    ) -> RunSummary:
        """Runs until the source ends, then completes every window.

        After `max_events` records exactly (malformed ones included), or after `timeout`, the input counts as
        ended: every window completes. On `stop()`, and on SIGINT or SIGTERM where this is the main thread, the
        run ends after the batch in hand, and windows that are not complete do not fire; with a state backend a
        checkpoint keeps them for the next run. A second SIGINT, a
        second or more later, raises KeyboardInterrupt. Elsewhere than on the main thread signals are left
        alone. `progress` shows on standard error how far the run is.
        """
        limits = _Limits.of(max_events, timeout)
        self._begin()
        try:
            with _StopOnSignals(self._stop):
                return self._run(limits, progress=progress)
        finally:
            self._end()

    async def run_async(
        self, *, max_events: int | None = None, timeout: Duration | None = None, progress: bool = False
    ) -> RunSummary:
        """Like run(), in a thread of its own, while the event loop goes on.

        Sinks with `async def` methods run on the caller's loop, others in the run's thread. Cancelling it
        stops the run in good order; signals are left alone.
        """
        limits = _Limits.of(max_events, timeout)
        self._begin()
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(asyncio.to_thread(self._run, limits, progress=progress, loop=loop))
        work.add_done_callback(lambda _: self._end())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait([work])
            raise

    def _begin(self) -> None:
        if not self._running.acquire(blocking=False):
            raise PipelineError(f"pipeline {self._plan.name!r} is already running")

    def _end(self) -> None:
        self._stopped = self._stop.is_set()
        self._stop.clear()
        self._running.release()

    def _run(
        self, limits: _Limits, *, progress: bool, loop: asyncio.AbstractEventLoop | None = None
    ) -> RunSummary:
        plan = self._plan
        intake = executor_of(
            plan,
            watermark_of=lambda each: each.watermark or DEFAULT_WATERMARK,
            collect_late=plan.collects_late,
            failures=Failures(plan.error_handler, branches=len(plan.branches), wait=self._stop.wait),
        )
        started = time.monotonic()
        intake.use_sources()
        with (
            progress_display(intake.progress, lambda: status_of(self.metrics), shown=progress) as display,
            contextlib.ExitStack() as closing,
            checkpoints_of(plan, intake) as checkpoints,
        ):
            closing.callback(self._note, intake, checkpoints)
            closing.callback(intake.close_sources)
            checkpoints.restore(display.say)
            step = intake.open_sources()
            checkpoints.check_sources()
            delivery = Delivery(
                plan, loop=loop, positions=checkpoints.sink_positions, stopping=self._stop.is_set
            )
            with delivery:
                uses_clock = plan.uses_clock
                self._note(intake, checkpoints)
                ended = False
                memory = MemoryWatch(plan.memory_limit)
                fruitless = FruitlessWatch(plan, intake)
                while not (ended or self._stop.is_set()):
                    taken = self._counts["records_in"] - checkpoints.records_before
                    left = limits.left(taken, time.monotonic() - started)
                    left = left if plan.buffer_size is None else min(left, plan.buffer_size)
                    if uses_clock:
                        intake.advance_processing_time(time.time_ns() // 1_000)
                    # A stop counts even where the input ended while it came.
                    ended = not (left > 0 and step(left)) and not self._stop.is_set()
                    checkpoints.before_delivery()
                    if ended:
                        intake.end_of_input()
                    delivery.emit(intake)
                    memory.check(intake)
                    if not ended:
                        checkpoints.after_step(delivery, requested=self._checkpoint_requested())
                    self._note(intake, checkpoints)
                    fruitless.check(intake, self._counts, ended=ended)
                    display.update(self._counts["records_in"])
            checkpoints.finish(delivery, ended=ended)
        return RunSummary.of(intake, timedelta(seconds=time.monotonic() - started))

    def _note(self, intake: Executor, checkpoints: Checkpoints | NoCheckpoints) -> None:
        self._counts = intake.counts()
        if (of_checkpoints := checkpoints.metrics()) is not None:
            self._counts["checkpoints"] = of_checkpoints

    def _checkpoint_requested(self) -> bool:
        requested = self._wants_checkpoint.is_set()
        if requested:
            self._wants_checkpoint.clear()
        return requested

    def __repr__(self) -> str:
        return f"<StreamPipeline {self._plan.name!r}>"

    def _repr_html_(self) -> str:
        return text_html(self._plan.explain())


@dataclass(frozen=True, slots=True)
class _Limits:
    """After how much a run counts its input as ended."""

    records: int
    seconds: float

    @classmethod
    def of(cls, max_events: int | None, timeout: Duration | None) -> _Limits:
        if max_events is not None and (type(max_events) is not int or max_events < 0):
            raise ConfigurationError(
                f"run: max_events: {max_events!r} must be an integer of at least 0, or None"
            )
        return cls(
            sys.maxsize if max_events is None else max_events,
            float("inf") if timeout is None else duration_micros(timeout, "run: timeout") / 1e6,
        )

    def left(self, records: int, seconds: float) -> int:
        """How many records a step may still take."""
        return 0 if seconds >= self.seconds else min(self.records - records, UNLIMITED)


class _StopOnSignals:
    """Lets SIGINT and SIGTERM end a run in good order; elsewhere than on the main thread, and where
    the program has handlers of its own for SIGTERM, signals are left alone.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._previous: dict[int, Any] = {}
        self._first_at: float | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            # Whoever insists is stuck: in a sink, say. Signals in a burst are one.
            if (
                number == signal.SIGINT
                and self._first_at is not None
                and time.monotonic() - self._first_at >= 1
            ):
                raise KeyboardInterrupt
            self._first_at = self._first_at or time.monotonic()
            self._stop.set()

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, on_signal)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, on_signal)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
