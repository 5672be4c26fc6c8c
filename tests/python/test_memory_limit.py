"""State beyond a memory limit goes to the state backend and comes back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream import _core
from llmopt_stream import run_options as options_module
from llmopt_stream.executor import executor_of
from llmopt_stream.plan import DEFAULT_WATERMARK

KEYS = 60


def _events(seed: int, records: int) -> list[dict[str, Any]]:
    """Mostly in order, some far behind, so that slices are needed again long after they were left."""
    choose = random.Random(seed)
    return [
        {
            "timestamp": 1_767_225_600_000_000
            + (at - (choose.randrange(at + 1) if at % 9 == 0 else 0)) * 100_000,
            "key": f"key-{choose.randrange(KEYS)}",
            "value": choose.randrange(1000),
        }
        for at in range(records)
    ]


def _tumbling(builder: Any) -> Any:
    return builder.with_tumbling_window("10s", allowed_lateness="1h")


def _sliding(builder: Any) -> Any:
    return builder.with_sliding_window("30s", "10s", allowed_lateness="1h")


def _many_slices(builder: Any) -> Any:
    return builder.with_sliding_window("60s", "2s", allowed_lateness="1h")


def _builder(window: Any, parallelism: int) -> Any:
    keyed = ls.create_pipeline().key_by("key").with_options(parallelism=parallelism)
    keyed = keyed.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
    return window(keyed).aggregate("value", ["count", "sum", "p95"])


def _panes(executor: Any) -> list[Any]:
    return [[pane.to_dict() for pane in table] for table in executor.drain()]


def _executor(builder: Any, backend: Any, most_bytes: int) -> Any:
    plan = builder.checked().plan
    executor = executor_of(
        plan, watermark_of=lambda each: each.watermark or DEFAULT_WATERMARK, collect_late=False
    )
    if backend is not None:
        executor.core.use_spill(backend.core, most_bytes, "core/")
    return executor


def _batches(events: list[Any], seed: int) -> Iterator[list[Any]]:
    choose = random.Random(seed)
    at = 0
    while at < len(events):
        size = choose.randrange(1, 400)
        yield events[at : at + size]
        at += size


@pytest.mark.parametrize("window", [_tumbling, _sliding, _many_slices])
@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_memory_limit_changes_no_output(window: Any, parallelism: int) -> None:
    builder = _builder(window, parallelism)
    for seed in (1, 2):
        events = _events(seed, 6_000)
        unlimited = _executor(builder, None, 0)
        backend = ls.MemoryStateBackend()
        limited = _executor(builder, backend, 40_000)
        for batch in _batches(events, seed):
            unlimited.push(batch)
            limited.push(batch)
            assert _panes(limited) == _panes(unlimited)
        slices, written, read = limited.core.spilled
        assert slices > 5
        assert written > 100_000
        assert read > 10_000
        assert limited.core.live[2] < unlimited.core.live[2] / 3
        for executor in (limited, unlimited):
            executor.end_of_input()
        assert _panes(limited) == _panes(unlimited)
        assert limited.counts() == unlimited.counts()
        assert limited.core.spilled[0] == 0


@pytest.mark.parametrize("window", [_tumbling, _many_slices])
def test_checkpoints_and_snapshots_hold_what_was_spilled(window: Any) -> None:
    builder = _builder(window, 1)
    events = _events(3, 5_000)
    unlimited = _executor(builder, None, 0)
    backend = ls.MemoryStateBackend()
    limited = _executor(builder, backend, 40_000)
    writer = _core.CheckpointWriter(backend.core)
    choose = random.Random(5)
    checkpoint = 0
    for batch in _batches(events, 4):
        unlimited.push(batch)
        limited.push(batch)
        assert _panes(limited) == _panes(unlimited)
        if choose.random() < 0.3:
            checkpoint += 1
            state = limited.begin_store(writer)
            while not limited.store(1 << 12, writer):
                pass
            writer.checkpoint(checkpoint, b"", 2)
            writer.wait()
            assert [outcome[1] for outcome in writer.take_outcomes()] == [None]
            copy = _executor(builder, None, 0)
            copy.restore_state(limited.snapshot())
            assert copy.core.live[:2] == unlimited.core.live[:2]
            backend.restore(checkpoint)
            limited = _executor(builder, backend, 40_000)
            limited.restore_stored(backend.core, state)
    assert checkpoint > 3
    for executor in (limited, unlimited):
        executor.end_of_input()
    assert _panes(limited) == _panes(unlimited)
    limited.begin_store(writer)
    assert limited.store(1, writer)
    writer.wait()
    assert [name for name, _ in backend.scan("core/")] == ["core/state"]


def test_a_limit_needs_a_backend_and_is_a_size(tmp_path: Path) -> None:
    builder = _builder(_tumbling, 1).with_source(ls.IterableSource(_events(1, 10)))
    with pytest.raises(ls.ConfigurationError, match="memory_limit: needs a state backend"):
        builder.with_options(memory_limit="1GB").build()
    with pytest.raises(ls.ConfigurationError, match="'12 parsecs': expected a number of bytes"):
        builder.with_options(memory_limit="12 parsecs")
    with pytest.raises(ls.ConfigurationError, match="less than 128 MB"):
        builder.with_options(memory_limit=1000)
    with ls.RocksDBStateBackend(tmp_path / "state", tmp_path / "checkpoints") as backend:
        summary = builder.with_state_backend(backend).with_options(memory_limit="128 MB").build().run()
    assert summary.aggregated == 10


@pytest.mark.parametrize("parallelism", [1, 2])
def test_records_of_more_keys_than_may_live_are_shed_and_counted(parallelism: int) -> None:
    events = [
        {"timestamp": 1_767_225_600_000_000 + at * 1_000_000, "key": f"key-{at % 7}", "value": 1}
        for at in range(100)
    ]
    builder = ls.create_pipeline().key_by("key").with_tumbling_window("10s").aggregate("value", ["count"])
    builder = builder.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
    limited = builder.with_limits(keys=5, horizon="10s", policy="shed").with_options(parallelism=parallelism)
    sink = ls.CollectSink()
    summary = limited.with_source(ls.IterableSource(events)).with_sink(sink).build().run()
    # Keys 0 to 4 come again before they expire, so that 5 and 6 never find room.
    assert summary.shed == sum(at % 7 >= 5 for at in range(100))
    assert summary.records_in == summary.aggregated + summary.shed
    assert {result.key["key"] for result in sink.results} == {f"key-{number}" for number in range(5)}
    with pytest.raises(ls.StateError, match="more than 5 keys are live"):
        builder.with_limits(keys=5, horizon="10s").with_source(ls.IterableSource(events)).build().run()


def test_a_key_makes_room_when_the_watermark_is_beyond_its_horizon() -> None:
    def event(second: int, key: str) -> dict[str, Any]:
        return {"timestamp": 1_767_225_600_000_000 + second * 1_000_000, "key": key, "value": 1}

    builder = ls.create_pipeline().key_by("key").with_tumbling_window("10s").aggregate("value", ["count"])
    builder = builder.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
    builder = builder.with_limits(keys=1, horizon="10s", policy="shed")
    # Under the watermark of the records before, c comes at 9, and d at 10, when a lives until 20.
    events = [event(0, "a"), event(9, "b"), event(9, "c"), event(10, "a"), event(20, "d"), event(21, "e")]
    session = builder.open()
    seen = [session.metrics["shed"] for each in events if session.push(each) is not None]
    assert seen == [0, 1, 2, 2, 3, 3]


def test_state_that_cannot_leave_memory_and_exceeds_the_limit_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options_module, "LEAST_MEMORY", 0)
    builder = ls.create_pipeline().key_by("key").with_session_window("1h").aggregate("value", ["p95"])
    builder = builder.with_source(ls.IterableSource(_events(1, 3_000))).with_state_backend(
        ls.MemoryStateBackend()
    )
    assert builder.with_options(memory_limit="1MB").build().run().aggregated == 3_000
    with pytest.raises(ls.StateError, match=r"memory_limit: the state takes .* more than 2,000"):
        builder.with_options(memory_limit=2_000).build().run()
