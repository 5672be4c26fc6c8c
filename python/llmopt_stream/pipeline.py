"""Pipelines that can run."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any

from ._html import text_html
from .delivery import Delivery
from .errors import ConfigurationError, PipelineError
from .intake import UNLIMITED, Intake
from .plan import DEFAULT_WATERMARK, Plan
from .progress import progress_display
from .push_session import PushSession
from .units import Duration, duration_micros

__all__ = ["RunSummary", "StreamPipeline"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Where every record went: records_in = aggregated + late + malformed + filtered + outside_windows + shed."""

    records_in: int
    aggregated: int
    """Taken by at least one window."""
    late: int
    """Too late for every window."""
    malformed: int
    filtered: int
    outside_windows: int
    """In a gap between windows."""
    unfired: int
    """Once per window: taken, but shown by no pane before the window expired (count and clock triggers)."""
    shed: int
    panes: int
    """Results handed to the sinks."""
    duration: timedelta
    malformed_by_kind: Mapping[str, int] = field(default_factory=dict)
    skipped_values: Mapping[str, int] = field(default_factory=dict)
    """By field: values of aggregated records that were null, not finite or no numbers."""

    @property
    def throughput(self) -> float:
        """Records per second of wall time."""
        seconds = self.duration.total_seconds()
        return self.records_in / seconds if seconds > 0 else 0.0

    def __str__(self) -> str:
        parts = [
            f"{self.records_in:,} records in {self.duration.total_seconds():.2f} s ({self.throughput:,.0f}/s)"
        ]
        parts += [
            f"{count:,} {name.replace('_', ' ')}"
            for name in (
                "aggregated",
                "late",
                "malformed",
                "filtered",
                "outside_windows",
                "unfired",
                "shed",
                "panes",
            )
            if (count := getattr(self, name)) or name in ("aggregated", "panes")
        ]
        parts += [f"{count:,} values of {name!r} skipped" for name, count in self.skipped_values.items()]
        return ", ".join(parts)


class StreamPipeline:
    """A pipeline that can run. The same one may run again, from the start of its source."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._running = threading.Lock()
        self._counts: dict[str, Any] = {}

    @property
    def plan(self) -> Plan:
        return self._plan

    @property
    def metrics(self) -> dict[str, Any]:
        """The counters of the current or last run."""
        return dict(self._counts)

    @property
    def stopped(self) -> bool:
        """Whether the last run ended by `stop()` or a signal, and so before its input did."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ends a run after the batch in hand; its results still reach the sinks. Windows that are
        not complete do not fire. May be called from any thread.
        """
        self._stop.set()

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
        run ends after the batch in hand, and windows that are not complete do not fire. A second SIGINT, a
        second or more later, raises KeyboardInterrupt. Elsewhere than on the main thread signals are left
        alone. `progress` shows on standard error how far the run is.
        """
        limits = _Limits.of(max_events, timeout)
        self._begin()
        try:
            with _StopOnSignals(self._stop):
                return self._run(limits, progress=progress)
        finally:
            self._running.release()

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
        work.add_done_callback(lambda _: self._running.release())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait([work])
            raise

    def _begin(self) -> None:
        if not self._running.acquire(blocking=False):
            raise PipelineError(f"pipeline {self._plan.name!r} is already running")
        self._stop.clear()

    def _run(
        self, limits: _Limits, *, progress: bool, loop: asyncio.AbstractEventLoop | None = None
    ) -> RunSummary:
        plan = self._plan
        source = plan.needed_source()
        intake = Intake(plan, watermark=plan.watermark or DEFAULT_WATERMARK, collect_late=plan.collects_late)
        started = time.monotonic()
        step = source.open(intake)
        with (
            Delivery(plan, loop=loop) as delivery,
            progress_display(source.progress, shown=progress) as display,
        ):
            uses_clock = plan.uses_clock
            self._counts = intake.counts()
            while not self._stop.is_set():
                left = limits.left(self._counts["records_in"], time.monotonic() - started)
                if uses_clock:
                    intake.core.advance_processing_time(time.time_ns() // 1_000)
                more = left > 0 and step(left)
                # A stop counts even where the input ended while it came.
                if not more and not self._stop.is_set():
                    intake.core.end_of_input()
                delivery.emit(intake)
                self._counts = intake.counts()
                display.update(self._counts["records_in"])
                if not more:
                    break
        return self._summary(intake.counts(), timedelta(seconds=time.monotonic() - started))

    def _summary(self, counts: dict[str, Any], duration: timedelta) -> RunSummary:
        self._counts = counts
        skipped: dict[str, int] = {}
        metrics = [metric for branch in self._plan.branches for metric in branch.all_metrics()]
        for metric, count in zip(metrics, counts["skipped_values"], strict=True):
            if count:
                skipped[metric.field] = max(count, skipped.get(metric.field, 0))
        return RunSummary(
            records_in=counts["records_in"],
            aggregated=counts["aggregated"],
            late=counts["late"],
            malformed=counts["malformed"],
            filtered=0,
            outside_windows=counts["outside_windows"],
            unfired=counts["unfired"],
            shed=0,
            panes=counts["panes"],
            duration=duration,
            malformed_by_kind=counts["malformed_by_kind"],
            skipped_values=skipped,
        )

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
