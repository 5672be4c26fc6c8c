"""When checkpoints are taken and kept, what a run goes on from, and what happens when they fail."""

from __future__ import annotations

import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from interrupted_runs import CrashError, Fate, FatefulSource
from llmopt_stream import _core
from llmopt_stream import checkpoints as module
from llmopt_stream.state import StateBackend

ROWS = [{"ts": at, "key": "abc"[at % 3], "value": float(at)} for at in range(200)]
STREAM = (
    ls.create_pipeline("clicks")
    .with_event_time("ts", unit="us")
    .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
    .key_by("key")
)
BUILDER = STREAM.with_tumbling_window("10us").aggregate("value", ["count", "sum"])
SUMS = [
    (start, key, float(sum(at for at in range(start, start + 10) if "abc"[at % 3] == key)))
    for start in range(0, 200, 10)
    for key in "abc"
]


def rocksdb(folder: Path) -> ls.RocksDBStateBackend:
    return ls.RocksDBStateBackend(folder / "state", folder / "checkpoints")


@pytest.fixture(params=["memory", "rocksdb"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateBackend]:
    with ls.MemoryStateBackend() if request.param == "memory" else rocksdb(tmp_path) as opened:
        yield opened


class WaitingWriter(_core.CheckpointWriter):
    """Nothing is written beside the run, so that everything has its place in order."""

    def checkpoint(self, *said: Any) -> None:
        super().checkpoint(*said)
        self.wait()


@pytest.fixture
def in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "CheckpointWriter", WaitingWriter)


class Run:
    """A run of at most ten records per batch; `at` is what happens after which batch."""

    def __init__(
        self,
        backend: StateBackend,
        *,
        builder: ls.StreamPipelineBuilder = BUILDER,
        rows: Any = ROWS,
        checkpoints: dict[str, Any] | None = None,
        at: dict[int, Callable[[], object]] | None = None,
        max_events: int | None = None,
    ) -> None:
        self.steps: list[Any] = []
        """Ids of the checkpoints there were before each batch."""
        source = FatefulSource(ls.IterableSource(rows))
        source.fate = self  # type: ignore[assignment]
        self._at = at or {}
        self._backend = backend
        self.batches = 0
        self.sink = ls.CollectSink()
        settings: dict[str, Any] = {"interval": None} | (checkpoints or {})
        self.pipeline = (
            builder.with_source(source)
            .with_sink(self.sink)
            .with_options(buffer_size=10)
            .with_state_backend(backend)
            .with_checkpoints(**settings)
            .build()
        )
        self.failure: BaseException | None = None
        try:
            self.summary = self.pipeline.run(max_events=max_events)
        except CrashError as failure:
            self.failure = failure
        self.metrics = self.pipeline.metrics.get("checkpoints", {})

    def of_batch(self) -> None:
        self.steps.append(list(map(int, self._backend.checkpoints())))
        self.batches += 1
        if (event := self._at.get(self.batches)) is not None:
            event()

    def stop(self) -> None:
        self.pipeline.stop()

    def checkpoint(self) -> None:
        self.pipeline.checkpoint()

    @property
    def sums(self) -> list[Any]:
        return [
            (int(each.window.start.timestamp() * 1e6), each.key["key"], each.results["sum"])
            for each in self.sink.results
        ]


pytestmark = pytest.mark.usefixtures("in_order")


def crash() -> None:
    raise CrashError


def stopped(backend: StateBackend, batch: int, **options: Any) -> Run:
    """A run that is stopped after a batch."""
    return run_with(backend, lambda run: {batch: run.stop}, **options)


def run_with(
    backend: StateBackend, at: Callable[[Run], dict[int, Callable[[], object]]], **options: Any
) -> Run:
    """A run to which something happens that needs it."""
    run = Run.__new__(Run)
    run.__init__(backend, at=at(run), **options)  # type: ignore[misc]
    return run


# When they are taken


def test_after_so_many_records(backend: StateBackend) -> None:
    run = Run(backend, checkpoints={"records": 50})
    assert run.sums == SUMS
    # Begun after 50 records, encoded at the next batch.
    assert [max(each, default=0) for each in run.steps] == [0] * 6 + [1] * 5 + [2] * 5 + [3] * 5
    # The last one was begun before the input ended.
    assert (run.metrics["completed"], run.metrics["failed"], run.metrics["damaged"]) == (4, 0, 0)
    assert run.metrics["last_id"] == 4


def test_after_so_much_time(backend: StateBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def passes(seconds: float) -> Callable[[], None]:
        def step() -> None:
            now[0] += seconds

        return step

    run = Run(
        backend, checkpoints={"interval": "10s"}, at={3: passes(9.999), 5: passes(0.001), 12: passes(10)}
    )
    assert run.metrics["completed"] == 2
    assert run.sums == SUMS


def test_on_demand(backend: StateBackend) -> None:
    made = run_with(backend, lambda run: {4: run.checkpoint, 7: crash})
    assert (made.metrics["completed"], backend.checkpoints()) == (1, [1])
    again = Run(backend)
    assert again.metrics["restored_from"] == 1
    assert made.sums[:9] + again.sums == SUMS


def test_asked_for_while_one_is_written_the_next_one_follows(backend: StateBackend) -> None:
    made = run_with(backend, lambda run: dict.fromkeys(range(1, 15), run.checkpoint) | {15: crash})
    assert made.metrics["failed"] == 0
    assert 1 <= made.metrics["completed"] <= 14
    again = Run(backend)
    assert again.metrics["restored_from"] == max(made.metrics["last_id"], 1)
    assert again.sums[-1] == SUMS[-1]


def test_what_is_restored_is_shown(backend: StateBackend, capsys: pytest.CaptureFixture[str]) -> None:
    Run(backend, checkpoints={"records": 10}, at={5: crash})
    capsys.readouterr()
    source = ls.IterableSource(ROWS)
    builder = BUILDER.with_source(source).with_sink(ls.CollectSink()).with_state_backend(backend)
    builder.build().run(progress=True)
    shown = capsys.readouterr().err
    assert re.search(r"restoring checkpoint \d+, [\d.]+ MB", shown), shown
    assert re.search(r"[\d,]+ records .* restored from \d+ in \d+\.\d s", shown), shown


def test_on_demand_without_a_backend_is_refused() -> None:
    pipeline = BUILDER.with_source(ls.IterableSource(ROWS)).with_sink(ls.CollectSink()).build()
    pipeline.checkpoint()
    with pytest.raises(ls.ConfigurationError, match=r"checkpoint: the pipeline has no state backend"):
        pipeline.run()


def test_the_newest_are_kept(backend: StateBackend) -> None:
    for keep in (1, 2, 4):
        run = Run(backend, checkpoints={"records": 10, "keep": keep}, at={19: crash})
        kept = backend.checkpoints()
        assert len(kept) == keep
        assert kept == list(range(kept[0], kept[0] + keep))
        assert run.metrics["failed"] == 0
        for checkpoint in kept:
            backend.discard(checkpoint)


def test_settings_are_checked() -> None:
    for wrong in ({"interval": "0s"}, {"records": 0}, {"keep": 0}, {"records": 1.5}):
        with pytest.raises(ls.ConfigurationError, match=f"with_checkpoints: {next(iter(wrong))}"):
            BUILDER.with_checkpoints(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ls.ConfigurationError, match="with_state_backend: 'rocksdb' is not a StateBackend"):
        BUILDER.with_state_backend("rocksdb")  # type: ignore[arg-type]


# What a run goes on from


def test_a_run_that_has_ended_leaves_nothing_and_the_next_starts_anew(backend: StateBackend) -> None:
    for _ in range(3):
        run = Run(backend, checkpoints={"records": 20})
        assert run.sums == SUMS
        assert run.metrics["completed"] > 2
        assert run.metrics["failed"] == 0
        assert run.metrics["restored_from"] is None
        assert backend.checkpoints() == []


def test_the_same_pipeline_runs_again_from_its_start(backend: StateBackend) -> None:
    run = Run(backend, checkpoints={"records": 20})
    assert run.pipeline.run().records_in == 200
    assert run.pipeline.metrics["checkpoints"]["failed"] == 0


def test_a_stopped_run_keeps_one_and_the_next_goes_on(backend: StateBackend) -> None:
    first = stopped(backend, 5)
    assert first.summary.records_in == 50
    assert len(backend.checkpoints()) == 1
    second = stopped(backend, 1)
    assert (second.summary.records_in, second.metrics["restored_from"]) == (60, 1)
    third = Run(backend)
    assert (third.summary.records_in, third.summary.panes) == (200, 60)
    assert first.sums + second.sums + third.sums == SUMS


def test_a_run_that_is_stopped_before_its_first_batch_keeps_what_it_went_on_from(
    backend: StateBackend,
) -> None:
    first = stopped(backend, 5)
    source = ls.IterableSource(ROWS)
    pipeline = BUILDER.with_source(source).with_sink(ls.CollectSink()).with_state_backend(backend).build()
    pipeline.stop()
    assert pipeline.run().records_in == 50
    assert first.sums + Run(backend).sums == SUMS


def test_max_events_counts_anew(backend: StateBackend) -> None:
    stopped(backend, 5)
    run = Run(backend, max_events=30)
    assert run.summary.records_in == 80
    assert backend.checkpoints() == []


def test_max_events_of_several_inputs_counts_anew(backend: StateBackend) -> None:
    def run(at: int | None, most: int | None) -> ls.RunSummary:
        fate = Fate(at or 0, "stop")
        sides = []
        for _ in range(2):
            source = FatefulSource(ls.IterableSource(ROWS))
            source.fate = fate
            sides.append(STREAM.with_source(source))
        fate.pipeline = (
            sides[0].union(sides[1]).with_sink(ls.CollectSink()).with_options(buffer_size=10)
            .with_state_backend(backend).build()
        )  # fmt: skip
        return fate.pipeline.run(max_events=most)

    assert run(5, None).records_in == 50
    assert run(None, 30).records_in == 80


CHILD = """
import sys
import llmopt_stream as ls
class Endless(ls.Source):
    at = 0
    def batches(self):
        while True:
            self.at += 1
            if self.at == 20:
                print("ready", flush=True)
            yield [{"ts": self.at, "key": "a", "value": 1.0}]
    def position(self):
        return self.at
    def seek(self, position):
        self.at = position
with ls.RocksDBStateBackend(sys.argv[1] + "/state", sys.argv[1] + "/checkpoints") as backend:
    pipeline = (
        ls.create_pipeline("clicks").with_event_time("ts", unit="us").key_by("key").with_tumbling_window("10us")
        .aggregate("value", ["count", "sum"]).with_source(Endless()).with_sink(ls.CollectSink())
        .with_state_backend(backend).build()
    )
    if sys.argv[2:]:
        summary = pipeline.run(max_events=1)
    else:
        summary = pipeline.run()
    print(summary.records_in, pipeline.metrics["checkpoints"]["restored_from"])
"""


def test_a_signal_keeps_one(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD, tmp_path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGTERM)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    taken = int(out.split()[-2])
    again = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path, "once"], capture_output=True, text=True, check=True
    )
    assert again.stdout.split()[-2:] == [str(taken + 1), "1"]


def test_two_processes_cannot_have_one_directory(tmp_path: Path) -> None:
    with rocksdb(tmp_path):
        second = subprocess.run(
            [sys.executable, "-c", CHILD, tmp_path], capture_output=True, text=True, check=False
        )
    assert second.returncode == 1
    assert "StateError" in second.stderr
    assert "it is in use by process" in second.stderr


# What does not fit


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (STREAM.with_tumbling_window("20us").aggregate("value", ["count", "sum"]), r"was 10, is 20"),
        (STREAM.with_tumbling_window("10us").aggregate("value", ["count", "max"]), r"was 'sum', is 'max'"),
        (
            STREAM.key_by("other").with_tumbling_window("10us").aggregate("value", ["sum"]),
            r"was 'key', is 'other'",
        ),
        (BUILDER.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("1s")), r"was 0, is 1000000"),
        (STREAM.map(dict).with_tumbling_window("10us").aggregate("value", ["sum"]), r"was .*, is .*"),
    ],
    ids=["window", "aggregation", "key", "watermark", "operators"],
)
def test_another_plan_is_refused_with_the_difference(
    other: ls.StreamPipelineBuilder, difference: str
) -> None:
    backend = ls.MemoryStateBackend()
    stopped(backend, 5)
    with pytest.raises(
        ls.CheckpointError, match=r"checkpoint 1 of 'clicks' belongs to another plan:\n"
    ) as refused:
        Run(backend, builder=other)
    lines = str(refused.value).splitlines()
    assert any(re.search(difference, line) for line in lines), lines
    assert all(len(line) < 300 for line in lines)
    assert lines[-1] == "to start without it, give the pipeline other directories or remove it"
    assert len(backend.checkpoints()) == 1, "nothing is lost"


def test_other_sources_of_the_same_records_and_other_names_fit() -> None:
    backend = ls.MemoryStateBackend()
    first = stopped(backend, 5)
    sink = ls.CollectSink()
    renamed = ls.create_pipeline("renamed").with_event_time("ts", unit="us").key_by("key")
    renamed = renamed.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0)).with_tumbling_window(
        "10us"
    )
    pipeline = (
        renamed.aggregate("value", ["count", "sum"])
        .with_source(ls.IterableSource(iter(ROWS)))
        .with_sink(sink)
    )
    assert pipeline.with_state_backend(backend).build().run().panes == 60
    assert len(first.sink.results) + len(sink.results) == 60


def damage_manifest(checkpoint: Path) -> None:
    file = checkpoint / "CHECKPOINT"
    file.write_bytes(file.read_bytes()[:-1])


def damage_data(checkpoint: Path) -> None:
    """Of a copy: checkpoints share what they have in common."""
    file = max(checkpoint.glob("*.sst"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)


def folders(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "checkpoints").glob("checkpoint-*"))


@pytest.mark.parametrize("damage", [damage_manifest, damage_data, shutil.rmtree])
def test_the_one_before_a_damaged_one_is_used(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with rocksdb(tmp_path) as backend:
        first = Run(backend, checkpoints={"records": 20}, at={17: crash})
    newest = folders(tmp_path)[-1]
    damage(newest)
    with caplog.at_level(logging.WARNING, "llmopt_stream"), rocksdb(tmp_path) as backend:
        second = Run(backend, checkpoints={"records": 20}, at={3: crash})
        was_there = damage is not shutil.rmtree
        assert second.metrics["damaged"] == int(was_there)
        number = int(newest.name.split("-")[1])
        assert second.metrics["restored_from"] == number - 1
        messages = [record.message for record in caplog.records]
        assert len(messages) == int(was_there)
        assert all(
            each.startswith(f"pipeline 'clicks': checkpoint {number} is damaged, the one before is used: ")
            for each in messages
        )
    with rocksdb(tmp_path) as backend:
        third = Run(backend, checkpoints={"records": 10, "keep": 2})
        assert sorted(set(first.sums + second.sums + third.sums)) == sorted(SUMS)
        assert third.summary.records_in == 200
        assert backend.checkpoints() == []


def test_when_all_are_damaged_nothing_starts(tmp_path: Path) -> None:
    with rocksdb(tmp_path) as backend:
        Run(backend, checkpoints={"records": 20}, at={17: crash})
        count = len(backend.checkpoints())
        assert count == 3
    for folder in folders(tmp_path):
        damage_manifest(folder)
    with (
        rocksdb(tmp_path) as backend,
        pytest.raises(
            ls.CheckpointError, match=r"pipeline 'clicks': none of the 3 checkpoints is whole; to start"
        ),
    ):
        Run(backend)
    assert len(folders(tmp_path)) == count


def test_damaged_ones_go_when_there_are_enough_newer_ones(tmp_path: Path) -> None:
    with rocksdb(tmp_path) as backend:
        Run(backend, checkpoints={"records": 20, "keep": 2}, at={9: crash})
    damage_manifest(folders(tmp_path)[-1])
    with rocksdb(tmp_path) as backend:
        Run(backend, checkpoints={"records": 20, "keep": 2}, at={12: crash})
        assert [each.damage for each in backend.checkpoints()] == [None, None]


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (b"{}", None),
        (b"no json", None),
        (b'{"format": 1}', None),
        (b'{"format": 99}', "format version 99 is not one this release reads"),
    ],
)
def test_a_manifest_that_cannot_be_read(manifest: bytes, says: str | None) -> None:
    backend = ls.MemoryStateBackend()
    stopped(backend, 5)
    backend.checkpoint(backend.next_checkpoint_id(), manifest)
    if says is None:
        run = Run(backend)
        assert (run.metrics["damaged"], run.metrics["restored_from"], run.summary.records_in) == (1, 1, 200)
    else:
        with pytest.raises(ls.CheckpointError, match=says):
            Run(backend)


# What fails


def test_one_that_fails_is_counted_and_the_next_has_everything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "checkpoints"
    builder = STREAM.with_sliding_window("100us", "10us").aggregate("value", ["count", "sum"])

    def block() -> None:
        folder.rename(tmp_path / "elsewhere")

    def unblock() -> None:
        (tmp_path / "elsewhere").rename(folder)

    class Blind(Run):
        def of_batch(self) -> None:
            self._backend = ls.MemoryStateBackend()  # the directory is not there to be listed
            super().of_batch()

    with rocksdb(tmp_path) as backend, caplog.at_level(logging.ERROR, "llmopt_stream"):
        made = Blind(
            backend, builder=builder, checkpoints={"records": 30}, at={6: block, 11: unblock, 19: crash}
        )
    assert made.metrics["failed"] > 0
    assert made.metrics["completed"] > 1
    assert all("failed: " in record.message for record in caplog.records)
    with rocksdb(tmp_path) as backend:
        number = made.metrics["last_id"]
        again = Run(backend, builder=builder)
        assert again.metrics["restored_from"] == number
        assert again.summary.records_in == 200
    whole = Run(ls.MemoryStateBackend(), builder=builder)
    assert sorted(set(made.sums + again.sums)) == sorted(set(whole.sums))


class Unencodable(ls.Aggregator):
    def create_accumulator(self) -> float:
        return 0.0

    def add(self, acc: float, value: float) -> float:
        return acc + value

    def merge(self, a: float, b: float) -> float:
        return a + b

    def get_result(self, acc: float) -> float:
        return acc

    def name(self) -> str:
        return "own"


class Odd(ls.WatermarkGenerator):
    def __init__(self) -> None:
        self.kept = len

    def on_event(self, timestamp: Any) -> None:
        pass

    def current_watermark(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("builder", "says"),
    [
        (
            STREAM.with_tumbling_window("1s").aggregate("value", [Unencodable()]),
            "Unencodable cannot be saved: give it",
        ),
        (BUILDER.with_watermark_generator(Odd()), r"Odd.get_state\(\) of partition 0\['kept'\]"),
        (
            STREAM.process(lambda record, context: context.state.put("f", len)),
            r"builtin_function_or_method cannot be",
        ),
    ],
    ids=["aggregator", "watermark generator", "process"],
)
def test_state_that_cannot_be_encoded_is_a_named_error(builder: ls.StreamPipelineBuilder, says: str) -> None:
    with pytest.raises((ls.CheckpointError, ls.PipelineError), match=says):
        Run(ls.MemoryStateBackend(), builder=builder, checkpoints={"records": 20})


class Failing(ls.Sink):
    """Fails in one of its methods, at the n-th call."""

    def __init__(self, method: str, at: int) -> None:
        self._method, self._at = method, at
        self.called: list[str] = []

    def _call(self, method: str) -> None:
        self.called.append(method)
        if method == self._method and self.called.count(method) == self._at:
            raise CrashError(method)

    def open(self) -> None:
        self._call("open")

    def send_batch(self, table: Any) -> None:
        self._call("send")

    def flush(self) -> None:
        self._call("flush")

    def position(self) -> Any:
        self._call("position")

    def close(self) -> None:
        self._call("close")


@pytest.mark.parametrize("method", ["open", "send", "flush", "position", "close"])
def test_a_sink_that_fails_ends_the_run_and_the_next_loses_nothing(
    method: str, backend: StateBackend
) -> None:
    failing = Failing(method, 1 if method in ("open", "close") else 3)
    first = Run(backend, builder=BUILDER.with_sink(failing), checkpoints={"records": 20})
    assert str(first.failure) == method
    second = Run(backend, builder=BUILDER.with_sink(Failing("", 0)), checkpoints={"records": 20})
    assert set(first.sums + second.sums) == set(SUMS)
    assert second.summary.records_in == 200


def test_the_last_one_fails_loudly(tmp_path: Path) -> None:
    def remove_and_stop(run: Run) -> Callable[[], None]:
        def step() -> None:
            shutil.rmtree(tmp_path / "checkpoints")
            run._backend = ls.MemoryStateBackend()
            run.stop()

        return step

    with (
        rocksdb(tmp_path) as backend,
        pytest.raises(ls.CheckpointError, match=r"pipeline 'clicks': the last checkpoint failed: "),
    ):
        run_with(backend, lambda run: {5: remove_and_stop(run)})


# What they hold


class Logged(ls.Sink):
    """What happens to sinks and sources, in order."""

    def __init__(self, log: list[Any]) -> None:
        self._log = log

    def send_batch(self, table: Any) -> None:
        self._log.append(("send", len(table)))

    def flush(self) -> None:
        self._log.append("flush")

    def position(self) -> Any:
        self._log.append("position")


class LoggedSource(FatefulSource):
    log: list[Any]

    def checkpointed(self, position: Any) -> None:
        self.log.append(("checkpointed", position))

    def close(self) -> None:
        self.log.append("closed")


def test_sinks_are_flushed_before_positions_count_and_sources_hear_of_durable_ones() -> None:
    log: list[Any] = []
    source = LoggedSource(ls.IterableSource(ROWS))
    source.log = log
    builder = BUILDER.with_source(source).with_sink(Logged(log)).with_options(buffer_size=50)
    backend = ls.MemoryStateBackend()
    builder.with_state_backend(backend).with_checkpoints(None, records=100).build().run()
    heard = [each for each in log if each[0] == "checkpointed"]
    assert heard[-1] == ("checkpointed", 200)
    assert [position for _, position in heard] == sorted(position for _, position in heard)
    assert log.index("flush") < log.index("position") < log.index(heard[0])
    assert log[-1] == "closed"


def test_the_manifest_says_what_a_person_asks(backend: StateBackend) -> None:
    stopped(backend, 5)
    (checkpoint,) = backend.checkpoints()
    manifest = json.loads(checkpoint.manifest)
    assert (manifest["pipeline"], manifest["format"], manifest["positions"]) == ("clicks", 1, [50])
    assert manifest["watermark"] == 49
    assert manifest["counts"]["records_in"] == 50


@pytest.mark.parametrize(
    "builder",
    [
        BUILDER,
        STREAM.with_session_window("5us").aggregate("value", ["sum"]),
        STREAM.with_sliding_window("20us", "10us").aggregate("value", ["sum"]),
        STREAM.map(dict)
        .deduplicate(by="ttl", ttl="10us")
        .with_tumbling_window("10us")
        .aggregate("value", ["sum"]),
    ],
    ids=["tumbling", "session", "sliding", "stages"],
)
def test_over_many_checkpoints_nothing_grows(builder: ls.StreamPipelineBuilder, quick_path: Path) -> None:
    rows = [{"ts": at, "key": f"key{at % 50}", "value": 1.0, "ttl": at % 7} for at in range(10_000)]
    sizes: list[int] = []
    pieces: list[int] = []

    with rocksdb(quick_path) as backend:

        def look() -> None:
            # RocksDB's log of its own files, which it begins anew at a size of its own, is not among them.
            files = [file for file in quick_path.rglob("*") if file.is_file() and "MANIFEST" not in file.name]
            sizes.append(sum(file.stat().st_size for file in files))
            pieces.append(len(list(backend.scan())))

        run = Run(
            backend,
            builder=builder,
            rows=rows,
            checkpoints={"records": 10, "keep": 2},
            at=dict.fromkeys((200, 600, 1000, 1400, 1800), look),
        )
        assert run.metrics["completed"] > 300
        assert run.metrics["failed"] == 0
    assert max(pieces) < 30
    assert max(sizes[1:]) < 2 * sizes[0], sizes


def test_stopping_while_one_is_taken_is_no_deadlock(backend: StateBackend) -> None:
    def both(run: Run) -> Callable[[], None]:
        def step() -> None:
            run.pipeline.checkpoint()
            thread = threading.Thread(target=run.stop)
            thread.start()
            thread.join()

        return step

    made = run_with(backend, lambda run: {4: both(run)}, checkpoints={"records": 10})
    assert len(backend.checkpoints()) >= 1
    again = Run(backend)
    assert set(made.sums + again.sums) == set(SUMS)


def test_the_first_checkpoint_clears_what_else_was_in_the_backend(backend: StateBackend) -> None:
    backend.put("left over", b"1")
    stopped(backend, 5)
    assert backend.get("left over") is None
