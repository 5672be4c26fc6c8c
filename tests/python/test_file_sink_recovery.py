"""After crashes and recovery a file has every result exactly once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pyarrow.parquet
import pytest
from interrupted_runs import CrashError, Fate, FatefulSource, opened
from llmopt_stream.state import StateBackend

ROWS = [{"ts": at, "key": "abc"[at % 3], "value": float(at)} for at in range(200)]
BUILDER = (
    ls.create_pipeline("files")
    .with_event_time("ts", unit="us")
    .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
    .key_by("key")
    .with_tumbling_window("5us")
    .aggregate("value", ["count", "sum"])
)
SINKS: dict[str, Callable[[Path], ls.Sink]] = {"ndjson": ls.NdjsonSink, "parquet": ls.ParquetSink}
of_both = pytest.mark.parametrize("kind", SINKS)


def read(path: Path) -> list[Any]:
    if path.suffix == ".ndjson":
        return path.read_text().splitlines()
    return pyarrow.parquet.read_table(path).to_pylist()


def run(
    sinks: list[ls.Sink],
    backend: StateBackend | None,
    fate: Fate,
    *,
    builder: ls.StreamPipelineBuilder = BUILDER,
    rows: Any = ROWS,
) -> dict[str, Any]:
    source = FatefulSource(ls.IterableSource(rows))
    source.fate = fate
    for sink in sinks:
        builder = builder.with_sink(sink)
    builder = builder.with_source(source).with_options(buffer_size=10)
    if backend is not None:
        builder = builder.with_state_backend(backend).with_checkpoints(None, records=30)
    fate.pipeline = builder.build()
    with contextlib.suppress(CrashError):
        fate.pipeline.run()
    return fate.pipeline.metrics


@pytest.fixture(params=SINKS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"out.{request.param}"


def sink_of(path: Path) -> ls.Sink:
    return SINKS[path.suffix[1:]](path)


def expected(path: Path) -> list[Any]:
    whole = path.with_name(f"whole{path.suffix}")
    run([sink_of(whole)], None, Fate())
    found = read(whole)
    whole.unlink()
    return found


@pytest.mark.parametrize(
    "ways", [["crash"], ["stop"], ["crash", "crash"], ["stop", "stop"], ["stop", "crash", "stop"]]
)
def test_every_result_is_in_the_file_once(ways: list[str], path: Path) -> None:
    results = expected(path)
    for batches in (1, 5, 6, 9, 15):  # after 4 a checkpoint was begun that nobody can go on from
        backend = ls.MemoryStateBackend()
        for number, way in enumerate(ways):
            run([sink_of(path)], backend, Fate(batches + number, way))
        run([sink_of(path)], backend, Fate())
        assert read(path) == results
        assert list(path.parent.iterdir()) == [path], "nothing is left behind"
        path.unlink()


class Stops(ls.Sink):
    """Fails where the others have closed."""

    def send(self, result: Any) -> None:
        pass

    def close(self) -> None:
        raise CrashError


@pytest.mark.parametrize("way", ["end", "stop"])
def test_a_crash_behind_the_end_of_the_file_loses_nothing(way: str, path: Path) -> None:
    results = expected(path)
    for batches in (6, 12, 16):
        backend = ls.MemoryStateBackend()
        run([sink_of(path)], backend, Fate(batches, "crash"))
        # Sinks close in reverse order: the file is in its place before the run fails.
        run([Stops(), sink_of(path)], backend, Fate(3, "stop") if way == "stop" else Fate())
        assert path.exists()
        run([sink_of(path)], backend, Fate())
        assert read(path) == results
        assert list(path.parent.iterdir()) == [path]
        path.unlink()


def test_the_checkpoint_before_a_damaged_one_finds_its_rows_in_the_finished_file(path: Path) -> None:
    results = expected(path)
    folder = path.parent / "backend"
    with opened(folder) as backend:
        run([sink_of(path)], backend, Fate(13, "stop"))
        assert len(backend.checkpoints()) > 1
    newest = max((folder / "checkpoints").glob("checkpoint-*"))
    (newest / "CHECKPOINT").write_bytes((newest / "CHECKPOINT").read_bytes()[:-1])
    with opened(folder) as backend:
        metrics = run([sink_of(path)], backend, Fate())
    assert metrics["checkpoints"]["damaged"] == 1
    assert read(path) == results


def test_a_file_that_is_not_there_any_more_is_refused(path: Path) -> None:
    backend = ls.MemoryStateBackend()
    run([sink_of(path)], backend, Fate(9, "stop"))
    path.rename(path.with_name("elsewhere"))
    for content in (None, "too short", "x" * 10_000):
        if content is not None:
            path.write_text(content)
        with pytest.raises(
            ls.CheckpointError, match=r"of results of before the checkpoint are not there whole"
        ):
            run([sink_of(path)], backend, Fate())
    path.with_name("elsewhere").rename(path)
    results = expected(path)
    run([sink_of(path)], backend, Fate())
    assert read(path) == results


def test_another_run_s_file_in_its_place_is_refused(path: Path) -> None:
    backend = ls.MemoryStateBackend()
    run([sink_of(path)], backend, Fate(9, "stop"))
    run([sink_of(path)], None, Fate(), rows=[{**row, "value": 1.0} for row in ROWS])
    with pytest.raises(ls.CheckpointError, match=r"of results of before the checkpoint are not there whole"):
        run([sink_of(path)], backend, Fate())


def test_a_sink_that_has_gone_is_refused_and_one_that_came_begins(tmp_path: Path) -> None:
    backend = ls.MemoryStateBackend()
    old, new = tmp_path / "old.ndjson", tmp_path / "new.ndjson"
    run([ls.NdjsonSink(old)], backend, Fate(9, "stop"))
    with pytest.raises(
        ls.CheckpointError, match=r"results in NdjsonSink\('.*old.ndjson'\), which the pipeline has no"
    ):
        run([ls.NdjsonSink(new)], backend, Fate())
    run([ls.NdjsonSink(new), ls.CollectSink(), ls.NdjsonSink(old)], backend, Fate())
    whole = tmp_path / "whole.ndjson"
    run([ls.NdjsonSink(whole)], None, Fate())
    lines = read(whole)
    assert read(old) == lines
    assert 0 < len(read(new)) < len(lines)
    assert read(new) == lines[-len(read(new)) :]


@of_both
def test_what_came_after_the_checkpoint_is_gone_from_files_that_nobody_goes_on_with(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / f"out.{kind}"
    backend = ls.MemoryStateBackend()
    run([SINKS[kind](path)], backend, Fate(15, "crash"))
    left = list(tmp_path.iterdir())
    assert left
    assert all(each.name.startswith(".out") for each in left)
    assert not path.exists()


def test_columns_may_need_another_type_in_a_later_part(tmp_path: Path) -> None:
    rows = [{"ts": at, "key": None if at < 100 else "a", "value": 1.0} for at in range(200)]
    path = tmp_path / "out.parquet"
    backend = ls.MemoryStateBackend()
    run([ls.ParquetSink(path)], backend, Fate(), rows=rows)
    assert [row["key"] for row in read(path)] == [None] * 20 + ["a"] * 20
    mixed = [{"ts": at, "key": at if at < 100 else "a", "value": 1.0} for at in range(200)]
    with pytest.raises(ls.PipelineError, match="a column changed its type"):
        run([ls.ParquetSink(path)], ls.MemoryStateBackend(), Fate(), rows=mixed)


def test_late_records_go_to_files_once(tmp_path: Path) -> None:
    rows = [
        *ROWS[:100],
        {"ts": 3, "key": "a", "value": 1.0},
        *ROWS[100:],
        {"ts": 4, "key": "b", "value": 1.0},
    ]
    for kind, make in SINKS.items():
        late = tmp_path / f"late.{kind}"
        for batches in (10, 11, 14):
            backend = ls.MemoryStateBackend()
            for fate in (Fate(batches), Fate()):
                handler = ls.LateEventHandler("0s").with_side_output(make(late))
                run([], backend, fate, builder=BUILDER.with_late_event_handler(handler), rows=rows)
            positions = [
                row["position"] if kind == "parquet" else json.loads(row)["position"] for row in read(late)
            ]
            assert positions == [100, 201]
