"""Runs that were stopped or failed, and run again, give what an undisturbed one gives; results may repeat."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from interrupted_runs import Fate, Lines, interrupted, undisturbed, without_repeats
from test_incremental_checkpoints import BOUNDED, PIPELINES, STREAM, records_of
from test_operator_laws import OF_SEVERAL, WITH_GENERATOR, _generating
from test_operator_laws import PIPELINES as OPERATORS
from test_operator_laws import records_of as records_of_every_kind


def fates(seed: int, *, runs: int = 4, most: int = 12) -> list[Fate]:
    rng = random.Random(seed)
    return [Fate(rng.randint(1, most), rng.choice(["crash", "stop"])) for _ in range(runs)]


def check(
    builder: ls.StreamPipelineBuilder,
    source_of: Callable[[], ls.Source],
    backend: Any,
    *,
    seeds: range = range(3),
    **options: Any,
) -> None:
    expected, counts = undisturbed(builder.with_options(buffer_size=10), source_of)
    assert sum(map(len, expected.values())) > 5
    restored = 0
    for seed in seeds:
        found, counted, times = interrupted(builder, source_of, fates(seed), backend(seed), **options)
        for name, lines in expected.items():
            assert sorted(without_repeats(found[name])) == sorted(without_repeats(lines)), (seed, name)
        assert counted == counts, seed
        restored += times
    assert restored > 0


def memory(_: int) -> Any:
    return ls.MemoryStateBackend()


OTHER_WATERMARKS = {
    "every 10 us": ls.PeriodicWatermarkGenerator("10us", ls.BoundedOutOfOrdernessWatermark("20us")),
    "idle": ls.BoundedOutOfOrdernessWatermark("20us", idle_timeout="1h"),
}


class TwentyBehind(ls.WatermarkGenerator):
    def __init__(self) -> None:
        self.greatest = 0

    def on_event(self, timestamp: Any) -> None:
        self.greatest = max(self.greatest, int(timestamp))

    def current_watermark(self) -> int:
        return self.greatest - 20


@pytest.mark.parametrize("name", PIPELINES)
def test_windows_go_on(name: str) -> None:
    records = records_of(1)
    check(PIPELINES[name], lambda: ls.IterableSource(records), memory)


@pytest.mark.parametrize("name", [*PIPELINES])
def test_windows_go_on_in_rocksdb(name: str, quick_path: Path) -> None:
    records = records_of(2)
    check(
        PIPELINES[name],
        lambda: ls.IterableSource(records),
        lambda seed: quick_path / str(seed),
        seeds=range(2),
    )


@pytest.mark.parametrize("generator", [*OTHER_WATERMARKS.values(), TwentyBehind()], ids=str)
def test_watermarks_go_on(generator: ls.WatermarkGenerator) -> None:
    records = records_of(1)
    builder = (
        STREAM.with_watermark_generator(generator).with_tumbling_window("40us").aggregate("value", ["sum"])
    )
    check(builder, lambda: ls.IterableSource(records), memory)


@pytest.mark.parametrize("name", [each for each in OPERATORS if each != "gaps by a callable"])
def test_operators_go_on(name: str) -> None:
    records = records_of_every_kind(1, 300)
    check(
        OPERATORS[name].with_watermark_generator(WITH_GENERATOR), lambda: ls.IterableSource(records), memory
    )


@pytest.mark.parametrize("name", ["process with timers", "branches", "two stages", "trending", "deduplicate"])
def test_operators_go_on_in_rocksdb(name: str, quick_path: Path) -> None:
    records = records_of_every_kind(2, 300)
    check(
        OPERATORS[name].with_watermark_generator(WITH_GENERATOR),
        lambda: ls.IterableSource(records),
        lambda seed: quick_path / str(seed),
        seeds=range(2),
    )


@pytest.mark.parametrize("name", OF_SEVERAL)
def test_streams_of_several_inputs_go_on(name: str) -> None:
    turn = iter(range(10**6))

    def source_of() -> ls.Source:
        return ls.IterableSource(records_of_every_kind(next(turn) % len(inputs), 200))

    builder, inputs = OF_SEVERAL[name]
    check(_generating(builder), source_of, memory, records=60, seeds=range(2))


def test_other_parallelism_goes_on() -> None:
    records = records_of(1)
    for name in ("tumbling", "session", "count", "early and late", "an aggregator in Python"):
        check(
            PIPELINES[name],
            lambda: ls.IterableSource(records),
            memory,
            parallelism=lambda number: 1 + number % 3,
        )


class Evens(ls.Aggregator):
    """Fails at 7."""

    def create_accumulator(self) -> float:
        return 0.0

    def add(self, acc: float, value: float) -> float:
        if value == 7:
            raise LookupError("seven")
        return acc + value

    def merge(self, a: float, b: float) -> float:
        return a + b

    def get_result(self, acc: float) -> float:
        return acc

    def to_bytes(self, acc: float) -> bytes:
        return repr(acc).encode()

    def from_bytes(self, data: bytes) -> float:
        return float(data)

    def name(self) -> str:
        return "evens"


def test_late_records_and_errors_reach_their_sinks() -> None:
    records = records_of(4)

    def run(runs: list[Fate], backend: Any) -> tuple[Any, ...]:
        late, errors = Lines("late"), Lines("errors")
        builder = (
            STREAM.with_watermark_generator(BOUNDED)
            .with_tumbling_window("40us")
            .aggregate("value", [Evens()])
            .with_late_event_handler(ls.LateEventHandler("5us").with_side_output(late))
            .with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(errors))
        )
        if not runs:
            found, counts = undisturbed(
                builder.with_options(buffer_size=10), lambda: ls.IterableSource(records)
            )
        else:
            found, counts, _ = interrupted(builder, lambda: ls.IterableSource(records), runs, backend)
        return *(sorted(set(each)) for each in (found[""], late.lines, errors.lines)), counts

    expected = run([], None)
    assert all(len(each) > 5 for each in expected[:3])
    for seed in range(4):
        assert run(fates(seed), ls.MemoryStateBackend()) == expected
