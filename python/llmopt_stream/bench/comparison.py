"""Rows that compare engines: every answer is checked, then all run in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .contender import Contender
from .events import Events
from .measure import Cost, in_turn
from .reference import Reference
from .row import Goal, Row, Settings

__all__ = ["OURS", "Comparison", "Entry"]

OURS = "llmopt_stream"


@dataclass(frozen=True, slots=True)
class Entry:
    """Makes a contender of the events and, where it reads a file, of their file."""

    make: Callable[[Events, Settings], Contender]
    most_records: int | None = None
    """Of a slow engine: it takes the first so many."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A job, and those who do it: ours first."""

    name: str
    title: str
    records: int
    events: Callable[[int], Events]
    reference: Callable[[Events], Reference]
    entries: Mapping[str, Entry]
    goals: tuple[Goal, ...]
    aim: str

    def measure(self, settings: Settings) -> Row:
        events = self.events(settings.records or self.records)
        references: dict[int, Reference] = {}
        contenders: dict[str, Contender] = {}
        missing: dict[str, str] = {}
        for engine, entry in self.entries.items():
            given = _first(events, entry.most_records)
            try:
                contender = entry.make(given, settings)
            except ImportError as error:
                missing[engine] = f"{error.name} is missing"
                continue
            if len(given) not in references:
                references[len(given)] = self.reference(given)
            # The first run, which is not measured, warms up too.
            answer = contender.answer(contender.run())
            references[len(given)].check(f"{self.name}: {engine}", answer, contender.percentiles)
            contenders[engine] = contender
        seconds = in_turn({engine: each.run for engine, each in contenders.items()}, settings.rounds)
        costs = {
            engine: Cost([second / contenders[engine].records * 1e9 for second in seconds[engine]])
            for engine in contenders
        }
        return self._row(len(events), contenders, costs, missing)

    def _row(
        self,
        records: int,
        contenders: Mapping[str, Contender],
        costs: Mapping[str, Cost],
        missing: dict[str, str],
    ) -> Row:
        own = costs.get(OURS)
        ratios = {engine: cost.ratio(own) for engine, cost in costs.items() if own and engine != OURS}
        peers = {
            engine: f"{costs[engine].least:,.0f} ns, {_times(ratio)}" for engine, ratio in ratios.items()
        }
        return Row(
            name=self.name,
            title=self.title,
            records=records,
            ours=missing.get(OURS, "") if own is None else f"{own.least:,.0f} ns",
            verdicts=[goal.judge(ratios.get(goal.of)) for goal in self.goals],
            aim=self.aim,
            peers=peers | {engine: why for engine, why in missing.items() if engine != OURS},
            details=[_detail(engine, contenders[engine], cost, own) for engine, cost in costs.items()]
            + [f"{engine:<14}{why}" for engine, why in missing.items()],
            figures={engine: _figures(contenders[engine], cost, own) for engine, cost in costs.items()},
        )


def _first(events: Events, most: int | None) -> Events:
    if most is None or most >= len(events):
        return events
    return Events(events.times[:most], events.keys[:most], events.thousandths[:most])


def _times(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio < 20 else f"{ratio:.0f}×"


def _detail(engine: str, contender: Contender, cost: Cost, own: Cost | None) -> str:
    text = f"{engine:<14}{cost.least:>10,.1f} ns"
    if own is not None and engine != OURS:
        ratios = cost.against(own)
        text += f"  {_times(cost.ratio(own))} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"{text}  {contender.records:,} records, percentiles {contender.percentiles.value}"


def _figures(contender: Contender, cost: Cost, own: Cost | None) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "records": contender.records,
        "percentiles": contender.percentiles.value,
        "cpu_ns_per_record": cost.least,
        "rounds": cost.rounds,
    }
    if own is not None:
        figures["ratio"] = cost.ratio(own)
    return figures
