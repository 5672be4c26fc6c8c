"""Pipelines of several stages: cores and operators written in Python, records flowing between them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import _core
from .branches import Branch
from .errors import CheckpointError, ConfigurationError, PipelineError
from .events import GroupingKey, ProcessorEvent
from .exact_json import decode, encode
from .failures import Failures
from .intake import UNLIMITED, Intake, Step, WithGap, late_event
from .operators.flow import END, START, Flow, FlowWriter
from .operators.keys import NoKeyError, key_of
from .operators.operator import Context, Operator, Work
from .operators.panes import PaneRecord, plain
from .operators.per_record import Select
from .operators.several import SeveralWork
from .results import AggregationResult, ResultTable
from .units import to_datetime
from .watermarks import LateEvent, WatermarkGenerator

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["StreamGraph"]

_STATE = "graph/state"
"""The name of a checkpoint's only piece."""

_CHUNK = 4096
"""As many records as the core takes at a time."""


class _Stage:
    """Takes pieces of a stream and hands what it makes of them to the next stages."""

    def __init__(self) -> None:
        self.next: list[Callable[[Flow], None]] = []
        self.late: list[LateEvent] = []

    def take(self, flow: Flow) -> None:
        raise NotImplementedError

    def hand_on(self, flow: Flow) -> None:
        for take in self.next:
            take(flow)

    def advance_processing_time(self, now: int) -> None:
        """The clock has advanced."""

    def counts(self) -> dict[str, int]:
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


class _CoreStage(_Stage):
    """Operators of the core over records that are Python's."""

    def __init__(self, plan: Plan, select: Select | None) -> None:
        super().__init__()
        self._select = select
        self.core = plan.core(
            collect_late=False, watermark=None, projections=[] if select is None else select.expressions()
        )

    def take(self, flow: Flow) -> None:
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


class _PythonStage(_Stage):
    """An operator written in Python."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work = work

    def take(self, flow: Flow) -> None:
        self.hand_on(self.work.run(flow))

    def advance_processing_time(self, now: int) -> None:
        self.hand_on(self.work.advance_clock(now))

    def counts(self) -> dict[str, int]:
        malformed = sum(self.work.malformed.values())
        return {"filtered": self.work.left_out, "malformed": malformed, **self.work.counts()}

    def malformed_by_kind(self) -> Mapping[str, int]:
        return self.work.malformed

    def live(self) -> tuple[int, int, int]:
        return (self.work.live(), 0, 0)

    def snapshot(self) -> Any:
        return self.work.snapshot()

    def restore(self, state: Any) -> None:
        self.work.restore(state)


class _SeveralStage(_PythonStage):
    """One with several inputs."""

    def __init__(self, work: SeveralWork) -> None:
        super().__init__(work)
        self._several = work

    def take_of(self, side: int, flow: Flow) -> None:
        """A piece of one of them."""
        self.hand_on(self._several.run_input(side, flow))
        self.late += self._several.late
        self._several.late = []


class _WindowStage(_Stage):
    """Windows over records that are Python's."""

    def __init__(
        self,
        of_stage: Plan,
        branch: Branch,
        *,
        collect_late: bool,
        streams_late: bool,
        failures: Failures,
        keeps_panes: bool,
    ) -> None:
        super().__init__()
        self.branch = branch
        # Late records cost nothing where nobody asks for them.
        self.core = of_stage.core(
            collect_late=collect_late or streams_late, watermark=None, failures=failures
        )
        self.table: ResultTable | None = None
        """What has come out and was not taken, where it goes elsewhere than to the next stage."""
        self._keeps_late = collect_late or branch.side_output is not None
        self.next_of_late: list[Callable[[Flow], None]] = []
        """Who takes the late records as a stream."""
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

    def take(self, flow: Flow) -> None:
        out = FlowWriter(self._reached, self._lateness)
        late = FlowWriter(self._watermark)
        self._advance(flow.before, out)
        late.mark(flow.before)
        for first in range(0, len(flow), _CHUNK):
            self._push(flow, first, out, late)
        self._advance(flow.after, out)
        late.mark(flow.after)
        self.hand_on(out.flow)
        for take in self.next_of_late:
            take(late.flow)

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
        if self._keeps_late or self.next_of_late:
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
        if not self.next and not self._keeps_panes:
            return  # they are taken where the pipeline ends
        panes = self.core.drain(0)
        if not len(panes):
            return
        table = ResultTable(panes, branch=self.branch.name)
        if self.next:
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

    def live(self) -> tuple[int, int, int]:
        return self.core.live

    def snapshot(self) -> Any:
        return [self.core.snapshot(), self._newest, self._watermark, self._clock]

    def restore(self, state: Any) -> None:
        core, self._newest, self._watermark, self._clock = state
        self.core.restore(core)


class _Output(_Stage):
    """The records that a branch delivers."""

    def __init__(self, key: Sequence[str]) -> None:
        super().__init__()
        self._key = key
        self.events: list[Any] = []
        self.delivered = 0

    def take(self, flow: Flow) -> None:
        self.delivered += len(flow)
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

    def counts(self) -> dict[str, int]:
        return {"delivered": self.delivered}

    def snapshot(self) -> Any:
        return [self.delivered, [_event_state(each) for each in self.events]]

    def restore(self, state: Any) -> None:
        self.delivered, events = state
        self.events = [_event_of(each) for each in events]


def _event_state(event: ProcessorEvent | AggregationResult) -> Any:
    if isinstance(event, AggregationResult):
        return ["result", *event.to_state()]
    return ["event", event.data, event.timestamp, None if event.key is None else event.key.items()]


def _event_of(state: Any) -> ProcessorEvent | AggregationResult:
    if state[0] == "result":
        return AggregationResult.of_state(state[1:])
    _, data, timestamp, key = state
    return ProcessorEvent(data, timestamp, key=None if key is None else GroupingKey(key))


class StreamGraph:
    """A plan of several stages at work; driven as an Intake is, which it has one of for each source."""

    def __init__(
        self,
        plan: Plan,
        *,
        watermark_of: Callable[[Plan], WatermarkGenerator | None],
        collect_late: bool,
        failures: Failures | None = None,
    ) -> None:
        self.failures = failures or Failures(plan.error_handler, branches=len(plan.branches))
        self._plan = plan
        self._watermark_of = watermark_of
        self._collect_late = collect_late
        self.heads: dict[str, Intake] = {}
        self._plans_of_heads: dict[str, Plan] = {}
        self._stages: list[_Stage] = []
        self._finals: list[_WindowStage | _Output] = []
        self._stages_of: list[list[_Stage]] = []
        """By branch."""
        self._windows: list[_WindowStage] = []
        self._failure: str | None = None
        self._now = 0
        self._build(plan, "")
        self._late_restored = [0] * len(self._stages)

    # Building

    def _build(self, plan: Plan, prefix: str) -> None:
        connect = self._stream(plan, prefix)
        for index, branch in enumerate(plan.branches):
            first = len(self._stages)
            self._finals.append(
                self._branch(plan, branch, index, connect, self._context(plan, branch, index))
            )
            self._stages_of.append(self._stages[first:])

    def _context(self, plan: Plan, branch: Branch, index: int) -> Callable[[], Context]:
        del plan

        def context() -> Context:
            return Context(self.failures, branch.name, index, len(self._stages))

        return context

    def _stream(self, plan: Plan, prefix: str) -> Callable[[Callable[[Flow], None]], None]:
        """The records of a plan before its branches: what connects a stage to them."""
        operators = list(plan.operators)
        context = self._context(plan, plan.branches[0], 0)
        if plan.inputs is None:
            in_core, select, operators = _leading(operators)
            # Records are handed on batch by batch, in the order of the input.
            front = replace(plan, key=(), operators=tuple(in_core), branches=(), parallelism=1)
            next_stages: list[Callable[[Flow], None]] = []

            def hand_on(flow: Flow) -> None:
                for take in next_stages:
                    take(flow)

            name = prefix or "0"
            self.heads[name] = Intake(
                front,
                watermark=self._watermark_of(plan),
                collect_late=False,
                failures=self.failures,
                hand_on=hand_on,
                select=select,
            )
            self._plans_of_heads[name] = plan
            connect: Callable[[Callable[[Flow], None]], None] = next_stages.append
        else:
            inputs = plan.inputs
            stage = _SeveralStage(inputs.work_of_several(context()))
            for side, (name, each) in enumerate(zip(inputs.input_names(), inputs.plans, strict=True)):
                of_side = self._stream(each, f"{prefix}.{name}" if prefix else name)
                last = self._last_of(each, of_side)
                last(partial(stage.take_of, side))
            self._stages.append(stage)
            connect = stage.next.append
        return self._operators(plan, operators, connect, context)

    def _last_of(
        self, plan: Plan, connect: Callable[[Callable[[Flow], None]], None]
    ) -> Callable[[Callable[[Flow], None]], None]:
        """What connects a stage to the only branch of a plan."""
        if len(plan.branches) > 1:
            raise ConfigurationError(f"pipeline {plan.name!r} has several branches; join or union one stream")
        branch = plan.branches[0]
        context = self._context(plan, branch, 0)
        key = plan.key
        for stage in branch.stages:
            connect = self._operators(plan, list(stage.operators), connect, context)
            if stage.window is not None:
                key = key if stage.key is None else stage.key
                windows = self._window_stage(plan, stage, key, keeps_panes=False)
                connect(windows.take)
                connect = windows.next.append
        return connect

    def _operators(
        self,
        plan: Plan,
        operators: list[Operator],
        connect: Callable[[Callable[[Flow], None]], None],
        context: Callable[[], Context],
    ) -> Callable[[Callable[[Flow], None]], None]:
        while operators:
            in_core, select, operators = _leading(operators)
            stage: _Stage
            if in_core or select:
                of_core = replace(
                    plan,
                    key=(),
                    operators=tuple(in_core),
                    branches=(),
                    watermark=None,
                    inputs=None,
                    parallelism=1,
                    future_skew=None,
                    past_skew=None,
                )
                stage = _CoreStage(of_core, select)
            else:
                stage = _PythonStage(operators.pop(0).work(context()))
            connect(stage.take)
            self._stages.append(stage)
            connect = stage.next.append
        return connect

    def _window_stage(
        self, plan: Plan, branch: Branch, key: tuple[str, ...], *, keeps_panes: bool
    ) -> _WindowStage:
        alone = replace(branch, upstream=None, operators=(), key=None)
        of_stage = replace(
            plan,
            key=key,
            operators=(),
            branches=(alone,),
            watermark=None,
            inputs=None,
            parallelism=1,
            future_skew=None,  # which is about the records of the source
            past_skew=None,
        )
        stage = _WindowStage(
            of_stage,
            alone,
            collect_late=self._collect_late,
            streams_late=any(each.stages[0].late_of == branch.name for each in plan.branches),
            failures=self.failures,
            keeps_panes=keeps_panes,
        )
        self._stages.append(stage)
        self._windows.append(stage)
        return stage

    def _branch(
        self,
        plan: Plan,
        branch: Branch,
        index: int,
        connect: Callable[[Callable[[Flow], None]], None],
        context: Callable[[], Context],
    ) -> _WindowStage | _Output:
        del index
        key = plan.key
        last: _WindowStage | None = None
        if (late_of := branch.stages[0].late_of) is not None:
            connect = self._window_of(late_of).next_of_late.append
        for stage in branch.stages:
            key = key if stage.key is None else stage.key
            connect = self._operators(plan, list(stage.operators), connect, context)
            last = None
            if stage.window is not None:
                last = self._window_stage(
                    plan, stage, key, keeps_panes=bool(stage.sinks) and stage is not branch
                )
                connect(last.take)
                connect = last.next.append
        if last is not None:
            return last
        output = _Output(key)
        connect(output.take)
        self._stages.append(output)
        return output

    def _window_of(self, name: str) -> _WindowStage:
        """The last window of a branch."""
        windows = [stage for stage in self._windows if stage.branch.name == name]
        if not windows:
            raise ConfigurationError(
                f"branch: late_of: branch {name!r} has no window that records could miss"
            )
        return windows[-1]

    # Driving, as an Intake

    def head(self, name: str | None) -> Intake:
        """The input of this name, or the only one."""
        if name is None:
            if len(self.heads) > 1:
                raise ConfigurationError(
                    f"push: input: say to which of {', '.join(map(repr, self.heads))} the records belong"
                )
            return next(iter(self.heads.values()))
        if str(name) not in self.heads:
            raise ConfigurationError(f"push: input: {name!r} is none of {', '.join(map(repr, self.heads))}")
        return self.heads[str(name)]

    def push(self, data: Any, partition: int = 0, *, input: str | None = None) -> None:  # noqa: A002
        head = self.head(input)
        with self._whole_steps():
            head.push(data, partition)

    @contextmanager
    def _whole_steps(self) -> Iterator[None]:
        """A step that fails may have changed some of the stages only: every further one is refused."""
        self._refuse_if_failed()
        try:
            yield
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            raise

    def _refuse_if_failed(self) -> None:
        if self._failure is not None:
            raise PipelineError(f"the pipeline cannot go on after an error: {self._failure}")

    def advance_watermark(self, watermark: int) -> None:
        with self._whole_steps():
            for head in self.heads.values():
                head.advance_watermark(watermark)

    def advance_processing_time(self, now: int) -> None:
        if now <= self._now:
            return
        self._now = now
        with self._whole_steps():
            for head in self.heads.values():
                head.advance_processing_time(now)
            for stage in self._stages:
                stage.advance_processing_time(now)

    def end_of_input(self) -> None:
        with self._whole_steps():
            for head in self.heads.values():
                head.end_of_input()

    def fingerprint(self) -> Any:
        """What decides which checkpoints fit."""
        return _fingerprint(self._plan)

    def begin_store(self, id: int, writer: _core.CheckpointWriter) -> Any:
        """Hands all state to the writer, at once; returns what else there is, as types of JSON."""
        del id
        writer.put(_STATE, self.snapshot())
        return [self.failures.counts]

    def store(self, budget: int, writer: _core.CheckpointWriter) -> bool:
        """Everything was handed over by begin_store()."""
        del budget, writer
        return True

    def forget_stored(self) -> None:
        """Every checkpoint has everything."""

    def restore_stored(self, backend: _core.StateBackend, state: Any) -> None:
        """Goes on from what a backend has, and from what begin_store() returned."""
        snapshot = backend.get(_STATE.encode())
        if snapshot is None:
            raise CheckpointError("checkpoint is damaged: its state is not there")
        self.restore_state(snapshot)
        self.failures.set_state(state[0], [])

    def use_sources(self) -> None:
        """Where records come from, as the plans say."""
        for name, plan in self._plans_of_heads.items():
            self.heads[name].use_source(plan.needed_source())

    def positions(self) -> list[Any]:
        """Where each source goes on; see Source.position()."""
        return [head.source.position() for head in self.heads.values()]

    def seek(self, positions: list[Any]) -> None:
        """Lets sources start there."""
        for head, position in zip(self.heads.values(), positions, strict=True):
            head.source.seek(position)

    def checkpointed(self, positions: list[Any]) -> None:
        """A checkpoint with these positions is durable."""
        for head, position in zip(self.heads.values(), positions, strict=True):
            head.source.checkpointed(position)

    def close_sources(self) -> None:
        """After the run."""
        for head in self.heads.values():
            head.source.close()

    def open_sources(self) -> Step:
        """Takes from the input whose watermark is furthest back, so that little has to be remembered."""
        steps = {name: head.open_sources() for name, head in self.heads.items()}

        def step(max_records: int = UNLIMITED) -> bool:
            while steps:
                name = min(steps, key=lambda each: self.heads[each].watermark_micros)
                if steps[name](max_records):
                    return True
                del steps[name]
                self.heads[name].end_of_input()
            return False

        return step

    def progress(self) -> float | None:
        """How much of the inputs has been read, from 0 to 1."""
        parts = [plan.needed_source().progress() for plan in self._plans_of_heads.values()]
        known = [part for part in parts if part is not None]
        return sum(known) / len(parts) if len(known) == len(parts) else None

    @property
    def records_in(self) -> int:
        return sum(head.records_in for head in self.heads.values())

    @property
    def watermark(self) -> Any:
        return min(
            (head.watermark for head in self.heads.values()),
            key=lambda each: START if each is None else int(each),
        )

    @property
    def lateness(self) -> Any:
        return next(iter(self.heads.values())).lateness

    def explain_record(self, record: Any) -> Any:
        raise ConfigurationError(
            "explain_record: of pipelines whose windows see the records of the source as they are"
        )

    def drain(self) -> list[Any]:
        """What has come out since the last call, branch by branch; what drain_stages() was not asked for is gone."""
        for stage in self._windows:
            stage.table = None
        drained: list[Any] = []
        for final in self._finals:
            if isinstance(final, _WindowStage):
                drained.append(final.take_table())
            else:
                drained.append(final.events)
                final.events = []
        return drained

    def drain_stages(self) -> Iterator[tuple[Branch, ResultTable | None, list[LateEvent]]]:
        """What has come out of stages that others follow, and what came too late for them."""
        for stage in self._windows:
            if stage.next:
                late, stage.late = stage.late, []
                yield stage.branch, None if stage.table is None else stage.take_table(), late

    @property
    def late(self) -> list[LateEvent]:
        """The late records that were not taken, stage by stage."""
        return [event for stage in self._stages for event in stage.late]

    def take_late(self) -> list[LateEvent]:
        """The late records since the last call, stage by stage in the order of its input."""
        late = self.late
        for stage in self._stages:
            stage.late = []
        return late

    def restore(self, *, late: list[LateEvent], generators: object) -> None:
        """Goes on from what a snapshot has beside the stages."""
        del generators  # those of the inputs are restored with them
        events = iter(late)
        for stage, count in zip(self._stages, self._late_restored, strict=True):
            stage.late = list(islice(events, count))

    def generator_states(self) -> list[tuple[str, int, Any]]:
        return []

    def counts(self) -> dict[str, Any]:
        heads = [head.counts() for head in self.heads.values()]
        counts: dict[str, Any] = {
            "records_in": 0, "malformed": 0, "filtered": 0, "aggregated": 0, "late": 0, "outside_windows": 0,
            "unfired": 0, "panes": 0, "delivered": 0,
        }  # fmt: skip
        by_kind: dict[str, int] = {}
        for head in heads:
            for name in ("records_in", "malformed", "filtered"):
                counts[name] += head[name]
            for kind, count in head["malformed_by_kind"].items():
                by_kind[kind] = by_kind.get(kind, 0) + count
        for stage in self._stages:
            for name, count in stage.counts().items():
                counts[name] = counts.get(name, 0) + count
            for kind, count in stage.malformed_by_kind().items():
                by_kind[kind] = by_kind.get(kind, 0) + count
        return {
            **counts,
            "malformed_by_kind": by_kind,
            "errors": sum(self.failures.counts),
            "skipped_values": [],
        }

    def metrics(self) -> dict[str, Any]:
        live = [stage.live() for stage in self._stages]
        live += [head.core.live for head in self.heads.values()]
        keys, slices, state_bytes = (sum(each) for each in zip(*live, strict=True))
        return {
            **self.counts(),
            "records_by_shard": [],
            "live_keys": keys,
            "live_slices": slices,
            "state_bytes": state_bytes,
            **self._branch_metrics(),
        }

    def _branch_metrics(self) -> dict[str, Any]:
        """What each branch counts, if there are several."""
        names = self._plan.branch_names()
        if names == [""]:
            return {}
        by_branch = {}
        for name, stages, errors in zip(names, self._stages_of, self.failures.counts, strict=True):
            counts = dict.fromkeys(("aggregated", "late", "outside_windows", "unfired", "panes"), 0)
            for stage in stages:
                for counter, count in stage.counts().items():
                    counts[counter] = counts.get(counter, 0) + count
            by_branch[name] = {**counts, "errors": errors}
        return {"branches": by_branch}

    # Snapshots

    def snapshot(self) -> bytes:
        """Everything but late records and errors that were not taken."""
        self._refuse_if_failed()
        state = {
            "plan": _fingerprint(self._plan),
            "now": self._now,
            "late": [len(stage.late) for stage in self._stages],
            "heads": {
                name: base64.b64encode(head.core.snapshot()).decode() for name, head in self.heads.items()
            },
            "generators": {
                name: [
                    [partition, encode(each, f"{generator}.get_state() of partition {partition}")]
                    for generator, partition, each in head.generator_states()
                ]
                for name, head in self.heads.items()
            },
            "stages": [
                [type(stage).__name__, encode(stage.snapshot(), f"stage {index}")]
                for index, stage in enumerate(self._stages)
            ],
        }
        return json.dumps(state, allow_nan=False).encode()

    def restore_state(self, state: bytes) -> None:
        """Into a new graph of the same plan."""
        try:
            parts = json.loads(state)
        except ValueError as error:
            raise CheckpointError("snapshot refused: it is of another plan") from error
        if parts.get("plan") != _fingerprint(self._plan) or len(parts["stages"]) != len(self._stages):
            raise CheckpointError("snapshot refused: it is of another plan")
        self._now, self._late_restored = parts["now"], parts["late"]
        for name, head in self.heads.items():
            head.core.restore(base64.b64decode(parts["heads"][name]))
            head.restore(
                late=[],
                generators={partition: decode(each) for partition, each in parts["generators"][name]},
            )
        for stage, (kind, each) in zip(self._stages, parts["stages"], strict=True):
            if kind != type(stage).__name__:
                raise CheckpointError("snapshot refused: it is of another plan")
            stage.restore(decode(each))


def _fingerprint(plan: Plan) -> list[Any]:
    """What of a plan, beside what its cores do, says whether snapshots fit."""
    return [
        [] if plan.inputs is None else [plan.inputs.fingerprint(), *map(_fingerprint, plan.inputs.plans)],
        list(plan.key),
        [operator.fingerprint() for operator in plan.operators],
        [
            [stage.name, [operator.fingerprint() for operator in stage.operators], list(stage.key or ())]
            for branch in plan.branches
            for stage in branch.stages
        ],
    ]


def _leading(operators: list[Operator]) -> tuple[list[Operator], Select | None, list[Operator]]:
    """The operators that the core can do at once, with what is selected behind them, and the rest."""
    at = 0
    while at < len(operators) and operators[at].core_step() is not None:
        at += 1
    select = operators[at] if at < len(operators) else None
    if isinstance(select, Select):
        return operators[:at], select, operators[at + 1 :]
    return operators[:at], None, operators[at:]
