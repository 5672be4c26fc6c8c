"""The plan of a pipeline: a plain value that the builder makes and the core takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from . import _core
from .branches import GAP_FIELD, Branch
from .checkpoints import CheckpointSettings
from .columns import Expression
from .error_policy import ErrorHandler
from .errors import ConfigurationError
from .failures import Failures, Place
from .limits import KeyLimit
from .operators.inputs import Inputs
from .operators.operator import CoreStep, Operator
from .operators.process import Process
from .programs import fields_of, number_program
from .schemas import types_of_event
from .sinks import Sink
from .sources import Source, in_a_run
from .state import StateBackend
from .units import duration_text
from .watermarks import (
    BoundedOutOfOrdernessWatermark,
    CoreWatermark,
    PartitionedGenerators,
    WatermarkGenerator,
)

__all__ = ["DEFAULT_WATERMARK", "Plan"]

DEFAULT_WATERMARK = BoundedOutOfOrdernessWatermark("30s")


@dataclass(frozen=True)
class Plan:
    """Everything that was said about a pipeline; checked piece by piece as it is said."""

    name: str = "pipeline"
    event_type: Any = None
    source: Source | None = None
    inputs: Inputs | None = None
    """The streams that it is made of, where it is not of a source."""
    time_field: str = "timestamp"
    time_unit: str | None = None
    schema: Mapping[str, str] = field(default_factory=dict)
    watermark: WatermarkGenerator | None = None
    key: tuple[str, ...] = ()
    operators: tuple[Operator, ...] = ()
    """What happens to the records of all branches."""
    branches: tuple[Branch, ...] = (Branch(),)
    error_handler: ErrorHandler | None = None
    parallelism: int = 1
    buffer_size: int | None = None
    future_skew: int | None = None
    past_skew: int | None = None
    state_backend: StateBackend | None = None
    checkpoints: CheckpointSettings | None = None
    delivery: str = "at_least_once"
    memory_limit: int | None = None
    key_limit: KeyLimit | None = None

    def branch_names(self) -> list[str]:
        return [branch.name for branch in self.branches]

    def value_fields(self) -> list[str]:
        """Every field that numbers are read from."""
        of_steps = [name for step in self.core_steps() for name in step.numbers]
        of_branches = [name for branch in self.branches for name in branch.value_fields()]
        return list(dict.fromkeys([*of_steps, *of_branches]))

    def label_fields(self) -> list[str]:
        """Every field that is read as it is."""
        of_steps = [name for step in self.core_steps() for name in step.labels]
        of_branches = [name for branch in self.branches for name in branch.label_fields()]
        return list(dict.fromkeys([*of_steps, *of_branches]))

    def core_steps(self) -> list[CoreStep]:
        """What the core does to the records of all branches."""
        steps = [operator.core_step() for operator in self.operators]
        return [step for step in steps if step is not None]

    @property
    def is_plain(self) -> bool:
        """Whether the core does everything, from the records of the source to the panes."""
        return (
            self.inputs is None
            and all(operator.core_step() is not None for operator in self.operators)
            and all(branch.is_plain for branch in self.branches)
        )

    def fields(self) -> list[str]:
        """Every field that is read."""
        return list(dict.fromkeys([self.time_field, *self.key, *self.value_fields(), *self.label_fields()]))

    def side_outputs(self) -> list[str]:
        """Those of all `process` steps."""
        of_inputs = () if self.inputs is None else self.inputs.plans
        names = [name for plan in of_inputs for name in plan.side_outputs()]
        stages = [stage for branch in self.branches for stage in branch.stages]
        steps = [*self.operators, *(each for stage in stages for each in stage.operators)]
        return names + [name for each in steps if isinstance(each, Process) for name in each.side_outputs]

    @property
    def collects_late(self) -> bool:
        """Whether late records are handed out anywhere."""
        return any(stage.side_output is not None for branch in self.branches for stage in branch.stages)

    @property
    def uses_clock(self) -> bool:
        """Whether anything depends on the clock."""
        watermark = None if self.watermark is None else CoreWatermark.of(self.watermark)
        timeouts = watermark is not None and (watermark.idle_timeout or watermark.flush_timeout)
        skews = self.future_skew is not None or self.past_skew is not None
        of_inputs = self.inputs is not None and any(plan.uses_clock for plan in self.inputs.plans)
        of_operators = any(operator.uses_clock for operator in self.operators)
        of_branches = any(branch.uses_clock for branch in self.branches)
        return bool(timeouts) or skews or of_inputs or of_operators or of_branches

    @property
    def gap_of(self) -> Callable[[Any], Any] | None:
        """What says each record's session gap, if it is a callable."""
        gaps = [branch.spec.gap for branch in self.branches if branch.gap_field() == GAP_FIELD]
        if len(gaps) > 1:
            raise ConfigurationError("with_session_window: gap: one branch at most can have a callable")
        return gaps[0] if gaps and callable(gaps[0]) else None

    def core(
        self,
        *,
        collect_late: bool,
        watermark: CoreWatermark | None,
        watermarks_of: PartitionedGenerators | None = None,
        failures: Failures | None = None,
        projections: Sequence[Expression] | None = None,
        spills_to: str | None = None,
    ) -> _core.Pipeline:
        """The plan at work.

        Without `watermark` and `watermarks_of`, watermarks are explicit; what users' code fails at goes to `failures`.
        With `projections` it hands records on, and what these give of them. Where memory is limited, what it spills
        has names that begin with `spills_to`.
        """
        read = [fields_of(each, as_truth=False) for each in projections or ()]
        fields = list(
            dict.fromkeys([*self.value_fields(), *(name for each in read for name in each.numbers)])
        )
        labels = list(dict.fromkeys([*self.label_fields(), *(name for each in read for name in each.labels)]))
        declared = {**types_of_event(self.event_type), **self.schema}
        gaps = {branch.gap_field() for branch in self.branches}
        branches = [
            branch.core_settings(
                fields,
                labels,
                collect_late=collect_late or branch.side_output is not None,
                place=Place(
                    failures or Failures(), branch.name, index, self.time_field, self.key, branch.windows_of
                ),
            )
            for index, branch in enumerate(self.branches)
        ]
        settings: dict[str, Any] = {
            "time_path": self.time_field,
            "time_unit": self.time_unit or "",
            "key_paths": list(self.key),
            "values": [
                (path, declared.get(path, "float64"), path in declared or path in gaps) for path in fields
            ],
            "labels": labels,
            "steps": [
                *([] if self.key_limit is None else [self.key_limit.settings()]),
                *(step.settings(fields.index, labels.index) for step in self.core_steps()),
            ],
            "projections": None
            if projections is None
            else [number_program(each, fields.index, labels.index) for each in projections],
            "watermark": (None, 0, None, None) if watermark is None else watermark.as_tuple(),
            "skew": (self.future_skew, self.past_skew),
        }
        fingerprint = {
            **settings,
            "branches": [
                branch.fingerprint(said) for branch, said in zip(self.branches, branches, strict=True)
            ],
            "watermarks_of": None if watermarks_of is None else watermarks_of.name,
        }
        core = _core.Pipeline(
            fingerprint=json.dumps(fingerprint),
            branches=branches,
            watermarks_of=watermarks_of,
            parallelism=self.parallelism,
            **settings,
        )
        if self.memory_limit is not None and self.state_backend is not None and spills_to is not None:
            # The rest is for what is around it: the backend's memory, batches, checkpoints on their way.
            core.use_spill(self.state_backend.core, self.memory_limit // 3, spills_to)
        return core

    def sinks(self) -> Iterator[Sink]:
        """Every sink: of results, of late records, of errors."""
        for branch in self.branches:
            for stage in branch.stages:
                yield from stage.sinks
                if stage.side_output is not None:
                    yield stage.side_output
        if self.error_handler is not None and self.error_handler.sink is not None:
            yield self.error_handler.sink

    def connector_metrics(self) -> dict[str, Any]:
        """What sources and sinks count themselves; numbers of the same name are added up."""
        merged: dict[str, dict[str, Any]] = {}
        sources = [plan.source for plan in self.source_plans() if plan.source is not None]
        connectors: list[Source | Sink] = [*sources, *self.sinks()]
        for connector in {id(each): each for each in connectors}.values():
            for name, counts in connector.metrics().items():
                own = merged.setdefault(name, {})
                for each, value in counts.items():
                    own[each] = own[each] + value if each in own and not isinstance(value, dict) else value
        return merged

    def source_plans(self) -> list[Plan]:
        """The plans that read a source of their own: this one, or its inputs'."""
        if self.inputs is None:
            return [self]
        return [each for plan in self.inputs.plans for each in plan.source_plans()]

    def needed_source(self) -> Source:
        """The source; a ConfigurationError if there is none yet."""
        if self.source is None:
            raise ConfigurationError(
                f"pipeline {self.name!r} has no source: add .with_source(FileSource(path)), ArrowSource or IterableSource"
            )
        return self.source

    def source_of_run(self) -> Source:
        """The source as a run takes from it."""
        return in_a_run(self.needed_source())

    def explain(self) -> str:
        """The plan in words: what is read, computed and written, and where each stage runs."""
        stages = [*self._describe_input(), *self._describe_branches()]
        if self.error_handler is not None:
            stages.append(("errors", repr(self.error_handler), "Python per error"))
        first = max(len(stage) for stage, what, _ in stages if what)
        width = max(len(what) for _, what, _ in stages)
        lines = [f"{stage:<{first}} {what:<{width}}  {where}".rstrip() for stage, what, where in stages]
        return "\n".join([f"pipeline {self.name!r}", *(f"  {line}" for line in lines)])

    def _describe_input(self) -> list[_Stage]:
        """Down to the key."""
        stages = []
        if self.inputs is None:
            stages += self._describe_source()
        else:
            for name, plan in zip(self.inputs.input_names(), self.inputs.plans, strict=True):
                stages.append((f"input {name!r}", "", ""))
                branch = plan.branches[0]
                stages += [(f"  {stage}", what, where) for stage, what, where in plan._describe_input()]
                if branch != Branch():
                    described = plan._describe_branches()
                    stages += [
                        (f"  {stage}", what, where) for stage, what, where in described if stage != "sink"
                    ]
            stages.append((self.inputs.name, self.inputs.describe(), self.inputs.where))
        stages += [(each.name, each.describe(), each.where) for each in self.operators]
        if self.key or any(stage.window for branch in self.branches for stage in branch.stages):
            stages.append(("key", ", ".join(self.key) or "none: all records form one group", "C++"))
        return stages

    def _describe_source(self) -> list[_Stage]:
        event_time = f"{self.time_field!r}" + (f" in {self.time_unit}" if self.time_unit else "")
        watermark = self.watermark or DEFAULT_WATERMARK
        fields = ", ".join(name for name in self.fields() if name != GAP_FIELD)
        plain = self.is_plain
        return [
            ("source", str(self.source) if self.source else "none yet", _where(self.source)),
            (
                "decode",
                f"fields {fields}"
                if plain
                else "whole records" + (" that are chosen" if self.core_steps() else ""),
                "C++" if plain else "C++ and Python per record",
            ),
            ("event time", event_time, "C++"),
            (
                "watermark",
                _watermark_text(watermark) + ("" if self.watermark else " (default)"),
                "C++" if CoreWatermark.of(watermark) else "Python per record",
            ),
        ]

    def _describe_branches(self) -> list[_Stage]:
        declared = {**types_of_event(self.event_type), **self.schema}
        threads = _threads(self.parallelism if self.is_plain else 1)
        stages: list[_Stage] = []
        for branch in self.branches:
            if branch.name:
                stages.append((f"branch {branch.name!r}{_other_records(branch.stages[0])}", "", ""))
            for stage in branch.stages:
                if stage.upstream is not None:
                    stages.append(("then, of results", "", ""))
                stages += [(each.name, each.describe(), each.where) for each in stage.operators]
                if stage.key is not None:
                    stages.append(("key", ", ".join(stage.key) or "none: all records form one group", "C++"))
                described = stage.describe(declared, threads)
                is_last = stage is branch
                stages += [each for each in described if is_last or each != ("sink", "none yet", "-")]
        return stages


_Stage: TypeAlias = tuple[str, str, str]
"""What it is, with which settings, and where it runs."""


def _other_records(branch: Branch) -> str:
    """Which records a branch is of, where they are not those of the stream."""
    if branch.late_of is not None:
        return f", of the late records of {branch.late_of!r}"
    return "" if branch.emitted_to is None else f", of what process emits to {branch.emitted_to!r}"


def _where(source: Source | None) -> str:
    if source is None:
        return "-"
    return "C++" if type(source).open is not Source.open else "C++ decodes, Python yields batches"


def _threads(parallelism: int) -> str:
    return "C++" if parallelism == 1 else f"C++, {parallelism} threads"


def _watermark_text(generator: WatermarkGenerator) -> str:
    settings = CoreWatermark.of(generator)
    if settings is None:
        return str(generator)
    text = f"greatest event time − {duration_text(settings.max_out_of_orderness)}"
    return text + (f", in steps of {duration_text(settings.interval)}" if settings.interval else "")
