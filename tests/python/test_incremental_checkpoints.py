"""Checkpoints of what has changed, encoded while records go on, hold the state as it was at the barrier."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream import _core
from llmopt_stream.executor import Executor, executor_of
from llmopt_stream.failures import Failures
from llmopt_stream.state import StateBackend
from llmopt_stream.testing import PipelineHarness

BOUNDED = ls.BoundedOutOfOrdernessWatermark("20us")
STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us").key_by("key")
NINE = ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]


class Listed(ls.Aggregator):
    """An accumulator that is neither small nor of fixed size."""

    def create_accumulator(self) -> list[float]:
        return []

    def add(self, acc: list[float], value: float) -> list[float]:
        return [*acc, value]

    def merge(self, a: list[float], b: list[float]) -> list[float]:
        return sorted([*a, *b])

    def get_result(self, acc: list[float]) -> float:
        return sum(acc) + len(acc) / 1000

    def to_bytes(self, acc: list[float]) -> bytes:
        return json.dumps(acc).encode()

    def from_bytes(self, data: bytes) -> list[float]:
        return json.loads(data)

    def name(self) -> str:
        return "listed"


def windows() -> dict[str, Any]:
    late = {"allowed_lateness": "15us"}
    return {
        "tumbling": STREAM.with_tumbling_window("40us", **late),
        "sliding": STREAM.with_sliding_window("60us", "20us", **late),
        "cumulative": STREAM.with_cumulative_window("60us", "20us", **late),
        "session": STREAM.with_session_window("12us", **late),
        "count": STREAM.with_count_window(5, 3, flush=True),
        "global": STREAM.with_global_window().with_trigger(ls.AfterWatermark(early=ls.CountTrigger(4))),
        "early and late": STREAM.with_tumbling_window("40us", allowed_lateness="30us").with_trigger(
            ls.AfterWatermark(early=ls.CountTrigger(3), late=ls.CountTrigger(2))
        ),
        "discarding": STREAM.with_tumbling_window("40us", **late)
        .with_trigger(ls.AfterWatermark(early=ls.CountTrigger(3)))
        .with_accumulation("discarding"),
    }


def pipelines() -> dict[str, ls.StreamPipelineBuilder]:
    made = {name: window.aggregate("value", NINE) for name, window in windows().items()}
    made["sketches"] = (
        windows()["sliding"]
        .aggregate("value", [ls.PercentileAggregator(method="kll"), ls.HistogramAggregator([0, 5])])
        .aggregate("id", [ls.DistinctAggregator(), ls.HeavyHittersAggregator()], prefix="id_")
    )
    made["an aggregator in Python"] = windows()["tumbling"].aggregate("value", [Listed()])
    made["branches"] = (
        STREAM.branch("tumbling")
        .with_tumbling_window("40us")
        .aggregate("value", NINE)
        .branch("session")
        .with_session_window("12us")
        .aggregate("value", ["sum"])
    )
    return {name: each.with_watermark_generator(BOUNDED) for name, each in made.items()}


PIPELINES = pipelines()


def records_of(seed: int, n: int = 400, *, keys: int = 30) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "ts": at - rng.randrange(20) - (100 if rng.random() < 0.05 else 0),
            "key": f"key-{rng.randrange(keys)}",
            "value": rng.choice([1.0, 2.5, -3.0, None, 7.0, 0.1]),
            "id": rng.randrange(50),
        }
        for at in range(n)
    ]


@pytest.fixture(params=["memory", "rocksdb"])
def backend(request: pytest.FixtureRequest, quick_path: Path) -> Iterator[StateBackend]:
    with (
        ls.MemoryStateBackend()
        if request.param == "memory"
        else ls.RocksDBStateBackend(quick_path / "state", quick_path / "checkpoints")
    ) as opened:
        yield opened


def observed(harness: PipelineHarness) -> list[Any]:
    counters = {
        name: count
        for name, count in harness.metrics.items()
        if name not in ("records_by_shard", "state_bytes")
    }
    return [*map(repr, harness.drain()), *map(repr, harness.drain_late()), counters]


@pytest.mark.parametrize("name", PIPELINES)
def test_the_state_backend_changes_no_output(name: str, backend: StateBackend) -> None:
    for parallelism in (1, 2):
        plain = PipelineHarness(PIPELINES[name], parallelism=parallelism)
        stored = PipelineHarness(PIPELINES[name], parallelism=parallelism, state_backend=backend)
        records = records_of(1, 200)
        for harness in (plain, stored):
            for first in range(0, len(records), 7):
                harness.push(records[first : first + 7])
            harness.end_of_input()
        expected = observed(plain)
        assert len(expected) > 20
        assert observed(stored) == expected
    assert len(backend.checkpoints()) == 2
    assert len(list(backend.scan())) == 1, "of windows that have ended nothing is kept but the head"


class Run:
    """An executor that is checkpointed while it goes on."""

    def __init__(self, builder: ls.StreamPipelineBuilder, parallelism: int, backend: StateBackend) -> None:
        self._plan = builder.with_options(parallelism=parallelism).checked().plan
        self._backend = backend
        self._writer = _core.CheckpointWriter(backend.core)
        self._writer.start_over()
        self._number = max(backend.checkpoints(), default=0)
        self.executor = self.new()

    def new(self) -> Executor:
        failures = Failures(None, branches=len(self._plan.branches))
        return executor_of(
            self._plan, watermark_of=lambda each: each.watermark, collect_late=False, failures=failures
        )

    def begin(self) -> Any:
        self._number += 1
        return self.executor.begin_store(self._writer)

    def go_on(self, budget: int) -> bool:
        return self.executor.store(budget, self._writer)

    def restored(self, state: Any) -> Executor:
        self._writer.checkpoint(self._number, b"", 1)
        self._writer.wait()
        assert [failure for _, failure, *_ in self._writer.take_outcomes()] == [None]
        restored = self.new()
        restored.restore_stored(self._backend.core, state)
        return restored


def rest_of(executor: Executor, records: list[Any]) -> list[Any]:
    executor.push(records)
    executor.end_of_input()
    return [*(repr(result) for table in executor.drain() for result in table), executor.counts()]


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("name", PIPELINES)
def test_records_that_come_while_a_checkpoint_is_encoded_are_not_in_it(name: str, parallelism: int) -> None:
    backend = ls.MemoryStateBackend()
    for seed in range(3):
        rng = random.Random(seed)
        records = records_of(seed)
        run = Run(PIPELINES[name], parallelism, backend)
        checked = 0
        state: Any = None
        barrier = 0
        for at in range(0, len(records), 5):
            run.executor.push(records[at : at + 5])
            run.executor.drain()
            if state is None:
                if rng.random() < 0.3:
                    state, barrier = run.begin(), at + 5
            elif run.go_on(rng.choice([1, 50, 500])):
                reference = run.new()
                reference.push(records[:barrier])
                reference.drain()
                restored = run.restored(state)
                assert rest_of(restored, records[barrier:]) == rest_of(reference, records[barrier:])
                state = None
                checked += 1
        assert checked >= 3


@pytest.mark.parametrize("name", ["tumbling", "session", "count", "branches"])
def test_after_a_failure_the_next_checkpoint_has_everything(name: str) -> None:
    backend = ls.MemoryStateBackend()
    records = records_of(3)
    run = Run(PIPELINES[name], 1, backend)
    run.executor.push(records[:100])
    run.begin()
    run.go_on(100)
    run.executor.push(records[100:110])
    run.executor.drain()
    run.executor.forget_stored()
    run._writer.start_over()
    state = run.begin()
    assert run.go_on(2**62)
    reference = run.new()
    reference.push(records[:110])
    reference.drain()
    assert rest_of(run.restored(state), records[110:]) == rest_of(reference, records[110:])


def fails_at_seven(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("value") == 7:
        raise LookupError("seven")
    return record


@pytest.mark.parametrize(
    "builder",
    [
        PIPELINES["tumbling"],
        STREAM.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.skip()))
        .map(fails_at_seven)
        .with_tumbling_window("40us")
        .aggregate("value", ["sum"]),
    ],
    ids=["one core", "several stages"],
)
def test_a_harness_keeps_in_its_backend_what_was_not_drained(
    builder: ls.StreamPipelineBuilder, backend: StateBackend
) -> None:
    plain, stored = PipelineHarness(builder), PipelineHarness(builder, state_backend=backend)
    for harness in (plain, stored):
        for record in records_of(5, 60):
            harness.push(record)
        harness.advance_watermark(80)
        harness.push({"ts": 1, "key": "late", "value": 1.0})
        harness.advance_processing_time(5)
    assert [str(each.error) for each in stored.drain_errors()] == [
        str(each.error) for each in plain.drain_errors()
    ]
    assert observed(stored) == observed(plain)
    assert plain.drain_late() == stored.drain_late() == []


def test_a_harness_begins_anew_whatever_its_backend_has() -> None:
    backend = ls.MemoryStateBackend()
    PipelineHarness(PIPELINES["tumbling"], state_backend=backend).push(records_of(1))
    harness = PipelineHarness(PIPELINES["tumbling"], state_backend=backend)
    harness.end_of_input()
    assert harness.drain() == []
    assert harness.metrics["records_in"] == 0


def test_a_harness_takes_backends_only() -> None:
    with pytest.raises(ls.ConfigurationError, match="state_backend: 'rocksdb' must be a MemoryStateBackend"):
        PipelineHarness(PIPELINES["tumbling"], state_backend="rocksdb")  # type: ignore[arg-type]


def test_a_harness_whose_checkpoint_fails_says_so(tmp_path: Path) -> None:
    with ls.RocksDBStateBackend(tmp_path / "state", tmp_path / "checkpoints") as backend:
        harness = PipelineHarness(PIPELINES["tumbling"], state_backend=backend)
        shutil.rmtree(tmp_path / "checkpoints")
        with pytest.raises(ls.CheckpointError, match="checkpoint 1 failed: "):
            harness.push(records_of(1, 5))
