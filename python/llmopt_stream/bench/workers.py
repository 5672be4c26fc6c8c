"""The row of two workers: how the work of one divides between their threads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llmopt_stream.builder import create_pipeline
from llmopt_stream.intake import Intake
from llmopt_stream.results import ResultTable
from llmopt_stream.sources import FileSource
from llmopt_stream.watermarks import BoundedOutOfOrdernessWatermark

from . import ours
from .events import Events
from .measure import thread_seconds
from .reference import Percentiles, Reference
from .row import Goal, Row, Settings

__all__ = ["Workers"]


@dataclass(frozen=True, slots=True)
class Workers:
    """Tumbling windows of NDJSON by one worker and by two: CPU time of the busiest thread, and of all."""

    name: str
    title: str
    records: int
    events: Callable[[int], Events]
    reference: Callable[[Events], Reference]
    file: Callable[[Events, Settings], Path]
    busiest: Goal
    total: Goal

    def measure(self, settings: Settings) -> Row:
        events = self.events(settings.records or self.records)
        path = self.file(events, settings)
        reference = self.reference(events)
        for workers in (1, 2):
            answer = ours.answer(_run(path, workers).results, "data.model")
            reference.check(f"{self.name}: {workers} workers", answer, Percentiles.WITHIN_ONE_PERCENT)
        busiest, total = [], []
        for _ in range(settings.rounds):
            one, two = _run(path, 1), _run(path, 2)
            busiest.append(two.busiest / one.total)
            total.append(two.total / one.total)
        of_busiest, of_total = statistics.median(busiest), statistics.median(total)
        return Row(
            name=self.name,
            title=self.title,
            records=len(events),
            ours=f"{of_busiest:.2f} / {of_total:.2f}",
            verdicts=[self.busiest.judge(of_busiest), self.total.judge(of_total)],
            aim="",
            details=[
                f"busiest thread of two against one worker: {of_busiest:.2f} ({min(busiest):.2f} to {max(busiest):.2f})",
                f"all threads of two against one worker:    {of_total:.2f} ({min(total):.2f} to {max(total):.2f})",
            ],
            figures={"busiest": busiest, "total": total},
        )


@dataclass(frozen=True, slots=True)
class _Run:
    busiest: float
    total: float
    results: ResultTable


def _run(path: Path, workers: int) -> _Run:
    plan = (
        create_pipeline("workers")
        .with_watermark_generator(BoundedOutOfOrdernessWatermark(ours.MAX_DISORDER))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms")
        .with_options(parallelism=workers)
        .checked()
        .plan
    )
    before, threads_before = time.process_time(), thread_seconds()
    intake = Intake(plan, watermark=plan.watermark, collect_late=False)
    step = FileSource(path).open(intake)
    while step():
        pass
    intake.core.end_of_input()
    [results] = intake.drain()
    # While the pipeline lives, its threads do.
    total = time.process_time() - before
    busiest = max(seconds - threads_before.get(thread, 0.0) for thread, seconds in thread_seconds().items())
    return _Run(busiest, total, results)
