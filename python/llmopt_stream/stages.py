"""The stages of a pipeline: each takes pieces of a stream and hands what it makes of them to the next ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _core
from .branches import Branch
from .events import GroupingKey, ProcessorEvent
from .failures import Failures
from .intake import WithGap, late_event
from .operators.flow import END, START, Flow, FlowWriter
from .operators.keys import NoKeyError, key_of
from .operators.operator import Work
from .operators.panes import PaneRecord, plain
from .operators.per_record import Select
from .operators.process import ProcessWork, SideRecord
from .operators.several import SeveralWork
from .results import AggregationResult, ResultTable
from .units import to_datetime
from .watermarks import CoreWatermark, LateEvent

if TYPE_CHECKING:
    from .plan import Plan

__all__ = [
    "CoreStage",
    "Outlet",
    "Output",
    "ProcessStage",
    "PythonStage",
    "SeveralStage",
    "Stage",
    "WindowStage",
]

_CHUNK = 4096
"""As many records as the core takes at a time."""


class Outlet:
    """Where a stream goes from a stage."""

    def __init__(self, *, of_results: bool = False) -> None:
        self.next: list[Callable[[Flow], None]] = []
        self.of_results = of_results
        """Whether its records have come through windows."""

    def lead_to(self, stage: Stage, take: Callable[[Flow], None] | None = None) -> None:
        self.next.append(take or stage.take)
        stage.is_behind_windows = stage.is_behind_windows or self.of_results
        stage.outlet.of_results = stage.outlet.of_results or self.of_results

    def hand_on(self, flow: Flow) -> None:
        for take in self.next:
            take(flow)


class Stage:
    """Takes pieces of a stream and hands what it makes of them to the next stages."""

    name = ""
    """As counters call it."""

    def __init__(self) -> None:
        self.outlet = Outlet()
        self.branch_name = ""
        self.is_behind_windows = False
        """Whether what it takes are results, or was made of them."""
        self.late: list[LateEvent] = []
        self.records_in = 0
        self.records_out = 0

    def take(self, flow: Flow) -> None:
        """A piece of its input."""
        self.records_in += len(flow)
        self.work_on(flow)

    def work_on(self, flow: Flow) -> None:
        raise NotImplementedError

    def hand_on(self, flow: Flow) -> None:
        self.records_out += len(flow)
        self.outlet.hand_on(flow)

    def advance_processing_time(self, now: int) -> None:
        """The clock has advanced."""

    def counts(self) -> dict[str, int]:
        """What became of its records."""
        return {}

    def malformed_by_kind(self) -> Mapping[str, int]:
        return {}

    def live(self) -> tuple[int, int, int]:
        """Keys, slices and bytes that are alive."""
        return (0, 0, 0)

    def snapshot(self) -> Any:
        """Of types that `exact_json` takes."""
        return None

    def restore(self, state: Any) -> None:
        """Goes on from what snapshot() gave."""


class CoreStage(Stage):
    """Operators of the core over records that are Python's."""

    def __init__(self, plan: Plan, select: Select | None) -> None:
        super().__init__()
        self._select = select
        self.core = plan.core(
            collect_late=False, watermark=None, projections=[] if select is None else select.expressions()
        )
        self.name = ", ".join(
            [*(each.name for each in plan.operators), *(() if select is None else ["select"])]
        )

    def work_on(self, flow: Flow) -> None:
        self.core.advance_watermark(flow.before)
        out = FlowWriter(flow.before)
        for first in range(0, len(flow), _CHUNK):
            records = flow.records[first : first + _CHUNK]
            self.core.push_given(
                records, flow.times[first : first + _CHUNK], flow.watermarks[first : first + _CHUNK]
            )
            for index, time, before, after, computed in self.core.handed_on():
                out.mark(before)
                out.add(_selected(self._select, records[index], computed), time, flow.keys[first + index])
                out.mark(after)
        out.mark(flow.after)
        self.hand_on(out.flow)

    def counts(self) -> dict[str, int]:
        counts = self.core.counts()
        return {"filtered": sum(self.core.left_out()), "malformed": counts["malformed"]}

    def malformed_by_kind(self) -> Mapping[str, int]:
        return _malformed_by_kind(self.core)

    def live(self) -> tuple[int, int, int]:
        return self.core.live

    def snapshot(self) -> Any:
        return self.core.snapshot()

    def restore(self, state: Any) -> None:
        self.core.restore(state)


def _malformed_by_kind(core: _core.Pipeline) -> Mapping[str, int]:
    by_kind: Mapping[str, int] = core.counts()["malformed_by_kind"]
    return by_kind


def _selected(select: Select | None, record: Any, computed: Sequence[float | None]) -> Any:
    return record if select is None else select.select(record, computed)


class PythonStage(Stage):
    """An operator written in Python."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work
        self.name = work.name

    def work_on(self, flow: Flow) -> None:
        self.hand_on(self.work.run(flow))

    def advance_processing_time(self, now: int) -> None:
        self.hand_on(self.work.advance_clock(now))

    def counts(self) -> dict[str, int]:
        work = self.work
        malformed = sum(work.malformed.values())
        return {"filtered": work.left_out, "malformed": malformed, "errors": work.errors, **work.counts()}

    def malformed_by_kind(self) -> Mapping[str, int]:
        return self.work.malformed

    def live(self) -> tuple[int, int, int]:
        return (self.work.live(), 0, 0)

    def snapshot(self) -> Any:
        return self.work.snapshot()

    def restore(self, state: Any) -> None:
        self.work.restore(state)


class ProcessStage(PythonStage):
    """Users' code that may emit to side outputs."""

    def __init__(self, work: ProcessWork) -> None:
        super().__init__(work)
        self.side: dict[str, Outlet] = {name: Outlet() for name in work.side_outputs}
        """What is emitted to these names, as streams."""

    def hand_on(self, flow: Flow) -> None:
        if not self.side:
            super().hand_on(flow)
            return
        out = FlowWriter(flow.before)
        side = {name: FlowWriter(flow.before) for name in self.side}
        for record, time, key, watermark in flow:
            if isinstance(record, SideRecord):
                side[record.to].add(record.record, time, key)
            else:
                out.add(record, time, key)
            for writer in (out, *side.values()):
                writer.mark(watermark)
        super().hand_on(out.flow)
        for name, outlet in self.side.items():
            outlet.hand_on(side[name].flow)


class SeveralStage(PythonStage):
    """One with several inputs."""

    def __init__(self, work: SeveralWork) -> None:
        super().__init__(work)
        self._several = work

    def take_of(self, side: int, flow: Flow) -> None:
        """A piece of one of them."""
        self.records_in += len(flow)
        self.hand_on(self._several.run_input(side, flow))
        self.late += self._several.late
        self._several.late = []


class WindowStage(Stage):
    """Windows over records that are Python's."""

    name = "window"

    def __init__(
        self,
        of_stage: Plan,
        branch: Branch,
        *,
        collect_late: bool,
        streams_late: bool,
        failures: Failures,
        keeps_panes: bool,
        bound: int,
    ) -> None:
        """`bound` is how far the watermark is behind the greatest time, which tells how late records come."""
        super().__init__()
        self.branch = branch
        # Late records cost nothing where nobody asks for them.
        self.core = of_stage.core(
            collect_late=collect_late or streams_late, watermark=CoreWatermark(bound), failures=failures
        )
        self.table: ResultTable | None = None
        """What has come out and was not taken, where it goes elsewhere than to the next stage."""
        self._keeps_late = collect_late or branch.side_output is not None
        self.outlet.of_results = True
        self.outlet_of_late = Outlet()
        """Where the late records go as a stream."""
        self._key_names = of_stage.key
        self._keeps_panes = keeps_panes
        self._by_clock = branch.spec.time == "processing"
        self._gap_of = of_stage.gap_of
        self._clock = START
        self._lateness = branch.allowed_lateness()
        self._newest = START
        self._watermark = START

    @property
    def _reached(self) -> int:
        """How far its results have come: in event time, or by the clock where that says the windows."""
        return self._clock if self._by_clock and self._watermark != END else self._watermark

    def work_on(self, flow: Flow) -> None:
        out = FlowWriter(self._reached, self._lateness)
        late = FlowWriter(self._watermark)
        self._advance(flow.before, out)
        late.mark(flow.before)
        for first in range(0, len(flow), _CHUNK):
            self._push(flow, first, out, late)
        self._advance(flow.after, out)
        late.mark(flow.after)
        self.hand_on(out.flow)
        self.outlet_of_late.hand_on(late.flow)

    def _push(self, flow: Flow, first: int, out: FlowWriter, late: FlowWriter) -> None:
        records = flow.records[first : first + _CHUNK]
        watermarks = flow.watermarks[first : first + _CHUNK]
        before = self._taken()
        gap_of = self._gap_of
        self.core.push_given(
            records if gap_of is None else [WithGap(record, gap_of) for record in records],
            flow.times[first : first + _CHUNK],
            watermarks,
        )
        if watermarks[-1] == END:
            self.core.advance_watermark(END)  # which ends count windows too
        self._newest = max(self._newest, *flow.times[first : first + _CHUNK])
        started = self._watermark if first == 0 else flow.watermarks[first - 1]
        if self._keeps_late or self.outlet_of_late.next:
            for said in self.core.take_late(0):
                event = late_event(said, plain(records[said[1]]), self._key_names, self.branch.name)
                if self._keeps_late:
                    self.late.append(event)
                late.mark(watermarks[said[1] - 1] if said[1] else started)
                late.add(event.event, said[2], event.key)

        def place(fired_at: int) -> tuple[int, int]:
            """The time of the record that made a pane fire, and the watermark before it."""
            at = fired_at - before - 1
            under = watermarks[at - 1] if at else started
            return flow.times[first + at], self._clock if self._by_clock else under

        self._hand_panes(out, place)
        self._watermark = max(self._watermark, watermarks[-1])
        self._mark(out)

    def _advance(self, watermark: int, out: FlowWriter) -> None:
        if watermark <= self._watermark:
            return
        held = self._reached
        self.core.advance_watermark(watermark)
        self._hand_panes(out, lambda _: (self._newest, held))
        self._watermark = watermark
        self._mark(out)

    def advance_processing_time(self, now: int) -> None:
        out = FlowWriter(self._reached, self._lateness)
        self.core.advance_processing_time(now)
        self._hand_panes(out, lambda _: (self._newest, self._reached))
        self._clock = now
        self._mark(out)
        self.hand_on(out.flow)

    def _mark(self, out: FlowWriter) -> None:
        out.mark(self._reached)

    def _hand_panes(self, out: FlowWriter, place: Callable[[int], tuple[int, int]]) -> None:
        if not self.outlet.next and not self._keeps_panes:
            return  # they are taken where the pipeline ends
        panes = self.core.drain(0)
        if not len(panes):
            return
        table = ResultTable(panes, branch=self.branch.name)
        if self.outlet.next:
            for result, fired_at in zip(table, panes.fired_at, strict=True):
                end = result.window.micros[1]
                unbounded = result.window.is_unbounded
                if unbounded or result.pane.timing != "on_time":
                    time, watermark = place(fired_at)
                    out.mark(watermark)
                else:
                    time = end - 1
                    out.mark(min(time, END))
                out.add(PaneRecord(result), time if unbounded else end - 1, result.key)
        if self._keeps_panes:
            if self.table is None:
                self.table = table
            else:
                self.table.extend(table)

    def _taken(self) -> int:
        return int(self.core.counts()["records_in"])

    def take_table(self) -> ResultTable:
        if self.table is None:
            return ResultTable(self.core.drain(0), branch=self.branch.name)
        table, self.table = self.table, None
        return table

    def counts(self) -> dict[str, int]:
        own = self.core.branch_counts(0)
        return {
            "malformed": self.core.counts()["malformed"],
            "filtered": sum(self.core.left_out()),
            **{name: own[name] for name in ("aggregated", "late", "outside_windows", "unfired", "panes")},
        }

    def malformed_by_kind(self) -> Mapping[str, int]:
        return _malformed_by_kind(self.core)

    def skipped_values(self) -> list[int]:
        """By metric."""
        skipped: list[int] = self.core.branch_counts(0)["skipped_values"]
        return skipped

    def live(self) -> tuple[int, int, int]:
        return self.core.live

    def snapshot(self) -> Any:
        return [self.core.snapshot(), self._newest, self._watermark, self._clock]

    def restore(self, state: Any) -> None:
        core, self._newest, self._watermark, self._clock = state
        self.core.restore(core)


class Output(Stage):
    """The records that a branch delivers."""

    def __init__(self, key: Sequence[str]) -> None:
        super().__init__()
        self._key = key
        self.events: list[Any] = []

    def work_on(self, flow: Flow) -> None:
        for record, time, key, _ in flow:
            if isinstance(record, PaneRecord):
                self.events.append(record.result)
            else:
                self.events.append(
                    ProcessorEvent(
                        record,
                        to_datetime(time),
                        key=self._key_of(record) if key is None and self._key else key,
                    )
                )

    def _key_of(self, record: Any) -> GroupingKey | None:
        """Nothing is grouped here: a record without a key has none."""
        try:
            return key_of(record, self._key)
        except NoKeyError:
            return None

    def snapshot(self) -> Any:
        return [_event_state(each) for each in self.events]

    def restore(self, state: Any) -> None:
        self.events = [_event_of(each) for each in state]


def _event_state(event: ProcessorEvent | AggregationResult) -> Any:
    if isinstance(event, AggregationResult):
        return ["result", *event.to_state()]
    return ["event", event.data, event.timestamp, None if event.key is None else event.key.items()]


def _event_of(state: Any) -> ProcessorEvent | AggregationResult:
    if state[0] == "result":
        return AggregationResult.of_state(state[1:])
    _, data, timestamp, key = state
    return ProcessorEvent(data, timestamp, key=None if key is None else GroupingKey(key))
