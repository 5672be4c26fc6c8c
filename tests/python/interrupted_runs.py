"""Runs that are stopped or fail again and again, each going on from what the one before left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import llmopt_stream as ls
from llmopt_stream.intake import UNLIMITED
from llmopt_stream.plan import Plan
from llmopt_stream.sources import in_a_run
from llmopt_stream.state import StateBackend


class CrashError(Exception):
    """What a run dies of."""


@dataclass
class Fate:
    """After how many batches a run ends before its time, and how."""

    batches: int = 0
    way: str = "crash"
    """"crash": the batch fails; "stop": the run is stopped after it."""
    pipeline: Any = None
    taken: int = field(default=0, init=False)

    def of_batch(self) -> None:
        self.taken += 1
        if self.batches == self.taken:
            if self.way == "crash":
                raise CrashError
            self.pipeline.stop()


class FatefulSource(ls.Source):
    """A source as it is, until its fate comes."""

    def __init__(self, source: ls.Source) -> None:
        self.inner = in_a_run(source)
        self.fate = Fate()

    def open(self, intake: Any) -> Any:
        step = self.inner.open(intake)

        def of_fate(max_records: int = UNLIMITED) -> bool:
            more = step(max_records)
            self.fate.of_batch()
            return more

        return of_fate

    def position(self) -> Any:
        return self.inner.position()

    def seek(self, position: Any) -> None:
        self.inner.seek(position)

    def checkpointed(self, position: Any) -> None:
        self.inner.checkpointed(position)

    def close(self) -> None:
        self.inner.close()


class Lines(ls.Sink):
    """Every result as text, over all runs; repeats are kept apart."""

    def __init__(self, name: str = "") -> None:
        self._name = name
        self.lines: list[str] = []

    def send(self, result: Any) -> None:
        self.lines.append(result.to_json())

    def __str__(self) -> str:
        return f"Lines({self._name})"


def with_source_of(
    builder: ls.StreamPipelineBuilder, source_of: Callable[[], ls.Source], fate: Fate | None = None
) -> ls.StreamPipelineBuilder:
    """With a source of its own for every input."""

    def of(plan: Plan) -> Plan:
        if plan.inputs is not None:
            return replace(plan, inputs=replace(plan.inputs, plans=tuple(map(of, plan.inputs.plans))))
        source = source_of()
        if fate is None:
            return replace(plan, source=source)
        fateful = FatefulSource(source)
        fateful.fate = fate
        return replace(plan, source=fateful)

    plan = of(builder.plan)
    return builder._but(source=plan.source, inputs=plan.inputs)


def with_sinks(builder: ls.StreamPipelineBuilder, sinks: dict[str, Lines]) -> ls.StreamPipelineBuilder:
    """A sink for the results of each branch."""
    branches = []
    for branch in builder.plan.branches:
        sink = sinks.setdefault(branch.name, Lines(branch.name))
        branches.append(replace(branch, sinks=(*branch.sinks, sink)))
    return builder._but(branches=tuple(branches))


@contextmanager
def opened(folder: Path | None, *, crashed: bool = False) -> Iterator[StateBackend]:
    """RocksDB below a folder, as it is after a crash or not."""
    assert folder is not None
    if crashed:
        (folder / "state" / "CLOSED").unlink(missing_ok=True)
    with ls.RocksDBStateBackend(folder / "state", folder / "checkpoints") as backend:
        yield backend


def counts_of(pipeline: ls.StreamPipeline) -> dict[str, Any]:
    return {name: count for name, count in pipeline.metrics.items() if name != "checkpoints"}


def undisturbed(
    builder: ls.StreamPipelineBuilder, source_of: Callable[[], ls.Source]
) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """The results and counters of one run, without a state backend."""
    sinks: dict[str, Lines] = {}
    pipeline = with_sinks(with_source_of(builder, source_of), sinks).build()
    pipeline.run()
    return {name: sink.lines for name, sink in sinks.items()}, counts_of(pipeline)


def interrupted(
    builder: ls.StreamPipelineBuilder,
    source_of: Callable[[], ls.Source],
    fates: list[Fate],
    backend: StateBackend | Path,
    *,
    records: int = 30,
    buffer_size: int = 10,
    parallelism: Callable[[int], int] = lambda _: 1,
) -> tuple[dict[str, list[str]], dict[str, Any], int]:
    """The results and counters after runs with these fates and one without; and how many had gone on from a
    checkpoint.
    """
    sinks: dict[str, Lines] = {}
    restored = 0
    for number, fate in enumerate([*fates, Fate()]):
        crashed = number > 0 and fates[number - 1].way == "crash"
        with (
            _given(backend) if isinstance(backend, StateBackend) else opened(backend, crashed=crashed) as kept
        ):
            pipeline = (
                with_sinks(with_source_of(builder, source_of, fate), sinks)
                .with_options(buffer_size=buffer_size, parallelism=parallelism(number))
                .with_state_backend(kept)
                .with_checkpoints(None, records=records, keep=2)
                .build()
            )
            fate.pipeline = pipeline
            try:
                pipeline.run()
                has_ended = not pipeline.stopped
            except CrashError:
                has_ended = False
            restored += pipeline.metrics["checkpoints"]["restored_from"] is not None
            if has_ended:
                assert kept.checkpoints() == []
                break
    return {name: sink.lines for name, sink in sinks.items()}, counts_of(pipeline), restored


@contextmanager
def _given(backend: StateBackend) -> Iterator[StateBackend]:
    yield backend


def without_repeats(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(lines))
