"""Pipelines of several stages: cores and operators written in Python, records flowing between them."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import _core
from .branches import Branch
from .errors import CheckpointError, ConfigurationError, PipelineError
from .exact_json import decode, encode
from .failures import Failures
from .intake import UNLIMITED, Intake, Step
from .lateness import LatenessReport
from .operators.flow import START
from .operators.operator import Context, Operator
from .operators.per_record import Select
from .operators.process import ProcessWork
from .results import ResultTable
from .stage_counts import by_stage, lost_behind_windows, malformed_by_kind, of_branch, of_records
from .stages import CoreStage, Outlet, Output, ProcessStage, PythonStage, SeveralStage, Stage, WindowStage
from .watermarks import CoreWatermark, LateEvent, WatermarkGenerator

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["StreamGraph"]

_STATE = "graph/state"
"""The name of a checkpoint's only piece."""


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
        self._stages: list[Stage] = []
        self._finals: list[WindowStage | Output] = []
        self._shared: list[Stage] = []
        """Those before the branches."""
        self._stages_of: list[list[Stage]] = []
        """By branch."""
        self._windows: list[WindowStage] = []
        self._failure: str | None = None
        self._now = 0
        self._build(plan, "")
        self._late_restored = [0] * len(self._stages)

    # Building

    def _build(self, plan: Plan, prefix: str) -> None:
        outlet = self._stream(plan, prefix)
        self._shared = list(self._stages)
        for index, branch in enumerate(plan.branches):
            first = len(self._stages)
            self._finals.append(self._branch(plan, branch, outlet, self._context(branch, index)))
            self._stages_of.append(self._stages[first:])
            for stage in self._stages_of[-1]:
                stage.branch_name = branch.name

    def _context(self, branch: Branch, index: int) -> Callable[[], Context]:
        def context() -> Context:
            return Context(self.failures, branch.name, index, len(self._stages))

        return context

    def _stream(self, plan: Plan, prefix: str) -> Outlet:
        """The records of a plan before its branches."""
        operators = list(plan.operators)
        context = self._context(plan.branches[0], 0)
        if plan.inputs is None:
            in_core, select, operators = _leading(operators)
            # Records are handed on batch by batch, in the order of the input.
            front = replace(plan, key=(), operators=tuple(in_core), branches=(), parallelism=1)
            name = prefix or "0"
            outlet = Outlet()
            self.heads[name] = Intake(
                front,
                watermark=self._watermark_of(plan),
                collect_late=False,
                failures=self.failures,
                hand_on=outlet.hand_on,
                select=select,
            )
            self._plans_of_heads[name] = plan
        else:
            inputs = plan.inputs
            stage = SeveralStage(inputs.work_of_several(context()))
            for side, (name, each) in enumerate(zip(inputs.input_names(), inputs.plans, strict=True)):
                of_side = self._stream(each, f"{prefix}.{name}" if prefix else name)
                self._last_of(each, of_side).lead_to(stage, partial(stage.take_of, side))
            self._stages.append(stage)
            outlet = stage.outlet
        return self._operators(plan, operators, outlet, context)

    def _last_of(self, plan: Plan, outlet: Outlet) -> Outlet:
        """What comes out of the only branch of a plan."""
        if len(plan.branches) > 1:
            raise ConfigurationError(f"pipeline {plan.name!r} has several branches; join or union one stream")
        branch = plan.branches[0]
        context = self._context(branch, 0)
        key = plan.key
        for stage in branch.stages:
            outlet = self._operators(plan, list(stage.operators), outlet, context)
            if stage.window is not None:
                key = key if stage.key is None else stage.key
                windows = self._window_stage(plan, stage, key, keeps_panes=False)
                outlet.lead_to(windows)
                outlet = windows.outlet
        return outlet

    def _operators(
        self,
        plan: Plan,
        operators: list[Operator],
        outlet: Outlet,
        context: Callable[[], Context],
    ) -> Outlet:
        while operators:
            in_core, select, operators = _leading(operators)
            stage: Stage
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
                stage = CoreStage(of_core, select)
            else:
                work = operators.pop(0).work(context())
                stage = ProcessStage(work) if isinstance(work, ProcessWork) else PythonStage(work)
            outlet.lead_to(stage)
            self._stages.append(stage)
            outlet = stage.outlet
        return outlet

    def _side_output(self, name: str) -> Outlet:
        """What the `process` step before that has this side output emits to it."""
        step = next(stage for stage in self._stages if isinstance(stage, ProcessStage) and name in stage.side)
        step.side[name].of_results = step.is_behind_windows
        return step.side[name]

    def _window_stage(
        self, plan: Plan, branch: Branch, key: tuple[str, ...], *, keeps_panes: bool
    ) -> WindowStage:
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
        stage = WindowStage(
            of_stage,
            alone,
            collect_late=self._collect_late,
            streams_late=any(each.stages[0].late_of == branch.name for each in plan.branches),
            failures=self.failures,
            keeps_panes=keeps_panes,
            bound=self._bound(plan),
        )
        self._stages.append(stage)
        self._windows.append(stage)
        return stage

    def _branch(
        self,
        plan: Plan,
        branch: Branch,
        outlet: Outlet,
        context: Callable[[], Context],
    ) -> WindowStage | Output:
        key = plan.key
        last: WindowStage | None = None
        if (late_of := branch.stages[0].late_of) is not None:
            windows = self._window_of(late_of)
            outlet = windows.outlet_of_late
            outlet.of_results = windows.is_behind_windows
        if (emitted_to := branch.stages[0].emitted_to) is not None:
            outlet = self._side_output(emitted_to)
        for stage in branch.stages:
            key = key if stage.key is None else stage.key
            outlet = self._operators(plan, list(stage.operators), outlet, context)
            last = None
            if stage.window is not None:
                last = self._window_stage(
                    plan, stage, key, keeps_panes=bool(stage.sinks) and stage is not branch
                )
                outlet.lead_to(last)
                outlet = last.outlet
        if last is not None:
            return last
        output = Output(key)
        outlet.lead_to(output)
        self._stages.append(output)
        return output

    def _bound(self, plan: Plan) -> int:
        """How far the watermark of a plan is behind the greatest time, in microseconds: of several inputs, of the one
        that is least behind; 0 where nobody knows.
        """
        if plan.inputs is not None:
            return min(map(self._bound, plan.inputs.plans))
        generator = self._watermark_of(plan)
        in_core = None if generator is None else CoreWatermark.of(generator)
        return 0 if in_core is None else in_core.max_out_of_orderness

    def _window_of(self, name: str) -> WindowStage:
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
        return {
            "inputs": {name: json.loads(head.core.fingerprint) for name, head in self.heads.items()},
            "stages": [
                json.loads(stage.core.fingerprint) if isinstance(stage, CoreStage | WindowStage) else {}
                for stage in self._stages
            ],
            "operators": _fingerprint(self._plan),
        }

    def begin_store(self, writer: _core.CheckpointWriter) -> Any:
        """Hands all state to the writer, at once; returns what else there is, as types of JSON."""
        writer.put(_STATE, self.snapshot())
        return [list(self.failures.counts)]

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
            self.heads[name].use_source(plan.source_of_run())

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

    def taken(self, positions: list[Any]) -> None:
        """Results of the records before these positions are about to be delivered, at most once."""
        for head, position in zip(self.heads.values(), positions, strict=True):
            head.source.taken(position)

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
    def lateness(self) -> LatenessReport | dict[str, LatenessReport]:
        """How late records came to the first windows; where there are none, to the pipeline."""
        reports = {
            name: self._lateness_of(stages)
            for name, stages in zip(self._plan.branch_names(), self._stages_of, strict=True)
        }
        return reports[""] if self._is_one_branch else reports

    def _lateness_of(self, stages: list[Stage]) -> LatenessReport:
        windows = [stage for stage in stages if isinstance(stage, WindowStage)]
        if windows:
            return LatenessReport.of(windows[0].core, 0)
        return LatenessReport.of_streams([head.core for head in self.heads.values()])

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
            if isinstance(final, WindowStage):
                drained.append(final.take_table())
            else:
                drained.append(final.events)
                final.events = []
        return drained

    def drain_stages(self) -> Iterator[tuple[Branch, ResultTable | None, list[LateEvent]]]:
        """What has come out of stages that others follow, and what came too late for them."""
        for stage in self._windows:
            if stage.outlet.next:
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
        """Where the records of the sources went, down to the first windows on their way. With branches, each of which
        has them all, the sums; `panes` are those of the last windows.
        """
        counts: Counter[str] = Counter(dict.fromkeys(("records_in", *of_branch(())), 0))
        for head in self.heads.values():
            of_head = head.counts()
            counts.update({name: of_head[name] for name in ("records_in", "malformed", "filtered")})
        counts.update(of_records(self._shared))
        for stages in self._stages_of:
            counts.update(of_branch(stages))
        return {
            **counts,
            "behind_windows": lost_behind_windows(self._stages),
            "malformed_by_kind": malformed_by_kind(self.heads.values(), self._stages),
            "errors": sum(self.failures.counts),
            "skipped_values": [count for stage in self._windows for count in stage.skipped_values()],
        }

    def skipped_by_branch(self) -> list[tuple[Branch, list[int]]]:
        """The windows with what each of their metrics has skipped."""
        return [(stage.branch, stage.skipped_values()) for stage in self._windows]

    @property
    def _is_one_branch(self) -> bool:
        return self._plan.branch_names() == [""]

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
            "stages": by_stage(self.heads, self._stages),
        }

    def _branch_metrics(self) -> dict[str, Any]:
        """What each branch counts, if there are several."""
        if self._is_one_branch:
            return {}
        by_branch = {
            name: {**of_branch(stages), "errors": errors}
            for name, stages, errors in zip(
                self._plan.branch_names(), self._stages_of, self.failures.counts, strict=True
            )
        }
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
                [
                    type(stage).__name__,
                    stage.records_in,
                    stage.records_out,
                    encode(stage.snapshot(), f"stage {index}"),
                ]
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
        for stage, (kind, taken, handed_on, each) in zip(self._stages, parts["stages"], strict=True):
            if kind != type(stage).__name__:
                raise CheckpointError("snapshot refused: it is of another plan")
            stage.records_in, stage.records_out = taken, handed_on
            stage.restore(decode(each))


def _fingerprint(plan: Plan) -> list[Any]:
    """What of a plan, beside what its cores do, says whether snapshots fit."""
    return [
        [] if plan.inputs is None else [plan.inputs.fingerprint(), *map(_fingerprint, plan.inputs.plans)],
        list(plan.key),
        [operator.fingerprint() for operator in plan.operators],
        [
            [
                stage.name,
                stage.late_of,
                stage.emitted_to,
                [operator.fingerprint() for operator in stage.operators],
                list(stage.key or ()),
            ]
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
