"""A source that is read again from a position goes on with the record after those that were taken."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from interrupted_runs import Fate, FatefulSource, interrupted, undisturbed, without_repeats
from llmopt_stream.state import StateBackend

ROWS = [{"ts": at, "key": "abc"[at % 3], "value": float(at)} for at in range(100)]
BUILDER = (
    ls.create_pipeline("positions")
    .with_event_time("ts", unit="us")
    .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
    .key_by("key")
    .with_tumbling_window("5us")
    .aggregate("value", ["count", "sum"])
)


def ndjson(rows: list[dict[str, Any]]) -> bytes:
    """With blank lines, one that is too long, one that is no JSON, and ends of lines of Windows."""
    lines = [json.dumps(row).encode() for row in rows]
    lines.insert(3, b"")
    lines.insert(20, b'{"ts": 1, "key": "' + b"x" * (1 << 21) + b'"}')
    lines.insert(22, b"{not json")
    lines.insert(23, b"  \t ")
    lines[15] += b"\r"
    return b"\n".join(lines)


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    table = pa.Table.from_pylist(rows)
    name = path.name
    if ".ndjson" in name:
        with (
            pa.CompressedOutputStream(path, {".gz": "gzip", ".zst": "zstd"}[path.suffix])
            if (path.suffix in (".gz", ".zst"))
            else path.open("wb") as file
        ):
            file.write(ndjson(rows))
    elif ".csv" in name:
        pyarrow.csv.write_csv(table, path.with_suffix("") if name.endswith(".gz") else path)
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
            path.with_suffix("").unlink()
    elif name.endswith(".parquet"):
        pyarrow.parquet.write_table(table, path, row_group_size=17)
    elif name.endswith(".arrow"):
        with pyarrow.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=13)
    else:
        with pyarrow.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=13)
    return path


class Batches(ls.Source):
    """A source of one's own, with positions."""

    rows_per_batch = 7

    def __init__(self) -> None:
        self._at = self._start = 0

    def batches(self) -> Iterator[Any]:
        self._at, self._start = self._start, 0
        while self._at < len(ROWS):
            batch = ROWS[self._at : self._at + self.rows_per_batch]
            self._at += len(batch)
            yield batch

    def position(self) -> Any:
        return self._at

    def seek(self, position: Any) -> None:
        self._start = position


class LongBatches(Batches):
    """Each batch is taken in parts."""

    rows_per_batch = 100


FILES = ["e.ndjson", "e.ndjson.gz", "e.ndjson.zst", "e.csv", "e.csv.gz", "e.parquet", "e.arrow", "e.arrows"]
IN_MEMORY: dict[str, Callable[[], ls.Source]] = {
    "pandas": lambda: ls.ArrowSource(pandas.DataFrame(ROWS)),
    "polars": lambda: ls.ArrowSource(polars.DataFrame(ROWS)),
    "pyarrow": lambda: ls.ArrowSource(pa.Table.from_pylist(ROWS)),
    "arrow batches": lambda: ls.ArrowSource(pa.Table.from_pylist(ROWS).to_batches(max_chunksize=9)),
    "an iterator of frames": lambda: ls.ArrowSource(
        polars.DataFrame(ROWS[first : first + 11]) for first in range(0, 100, 11)
    ),
    "a list": lambda: ls.IterableSource(ROWS),
    "an iterator": lambda: ls.IterableSource(iter(ROWS)),
    "generated": lambda: ls.GeneratorSource(
        seed=3, events=300, events_per_second=50, late_share=0.1, malformed_share=0.1
    ),
}


def check(builder: ls.StreamPipelineBuilder, source_of: Callable[[], ls.Source], **options: Any) -> None:
    """Whichever batch a run ends after, and however it does, the next one goes on there."""
    expected, counts = undisturbed(builder.with_options(buffer_size=10), source_of)
    assert len(expected[""]) > 10
    went_on = 0
    for last in range(1, 14):
        for way in ("crash", "stop"):
            found, counted, restored = interrupted(
                builder, source_of, [Fate(last, way), Fate(2, "crash")], ls.MemoryStateBackend(), **options
            )
            assert without_repeats(found[""]) == expected[""], (last, way)
            assert counted == counts, (last, way)
            went_on += restored
    assert went_on > 10


@pytest.mark.parametrize("name", FILES)
def test_a_file_goes_on(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name)
    check(BUILDER, lambda: ls.FileSource(path))


@pytest.mark.parametrize("name", ["*.ndjson", "*.parquet", "*"])
def test_the_files_of_a_pattern_go_on(name: str, tmp_path: Path) -> None:
    for number, kind in enumerate([".ndjson", ".parquet", ".ndjson", ".parquet"]):
        write(tmp_path / f"{number}{kind}", ROWS[25 * number : 25 * number + 25])
    (tmp_path / "2.ndjson").write_bytes(b"")
    check(BUILDER, lambda: ls.FileSource(tmp_path / name), records=10)


@pytest.mark.parametrize("name", [each for each in IN_MEMORY if each != "generated"])
def test_data_in_memory_goes_on(name: str) -> None:
    check(BUILDER, IN_MEMORY[name])


def test_a_source_of_your_own_goes_on() -> None:
    check(BUILDER, Batches)
    check(BUILDER, LongBatches)


def test_generated_events_go_on() -> None:
    builder = ls.create_pipeline().key_by("data.model").with_tumbling_window("1s")
    check(builder.aggregate("data.latency_ms"), IN_MEMORY["generated"])


@pytest.mark.parametrize("name", ["e.ndjson", "e.parquet"])
def test_whole_records_go_on(name: str, tmp_path: Path) -> None:
    """Operators in Python read another way than the core."""
    path = write(tmp_path / name)
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="us")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
        .key_by("key")
        .map(lambda record: {**record, "value": record["value"] * 2})
        .with_tumbling_window("5us")
        .aggregate("value", ["count", "sum"])
    )
    check(builder, lambda: ls.FileSource(path))


def stopped_after(source: ls.Source, backend: StateBackend, *, batches: int, records: int) -> list[float]:
    """A run that is stopped after so many batches of at most so many records; the sums of its panes."""
    fate = Fate(batches, "stop")
    fateful, sink = FatefulSource(source), ls.CollectSink()
    fateful.fate = fate
    fate.pipeline = (
        BUILDER.with_source(fateful)
        .with_sink(sink)
        .with_options(buffer_size=records)
        .with_state_backend(backend)
        .build()
    )
    fate.pipeline.run()
    assert fate.pipeline.stopped
    return [each.results["sum"] for each in sink.results]


def to_the_end(source: ls.Source, backend: StateBackend) -> tuple[list[float], int]:
    sink = ls.CollectSink()
    summary = BUILDER.with_source(source).with_sink(sink).with_state_backend(backend).build().run()
    return [each.results["sum"] for each in sink.results], summary.records_in


@pytest.mark.parametrize("batches", [1, 2, 3, 4, 5])
def test_files_that_came_later_are_read(batches: int, tmp_path: Path) -> None:
    pattern = tmp_path / "*.parquet"
    write(tmp_path / "1.parquet", ROWS[:10])
    write(tmp_path / "2.parquet", ROWS[10:20])
    backend = ls.MemoryStateBackend()
    before = stopped_after(ls.FileSource(pattern), backend, batches=batches, records=5)
    write(tmp_path / "3.parquet", ROWS[20:30])
    after, records = to_the_end(ls.FileSource(pattern), backend)
    assert records == 30
    assert sum(before + after) == sum(range(30))


@pytest.mark.parametrize(("batches", "file"), [(1, 0), (3, 1)])
def test_a_file_that_has_another_name_is_refused(batches: int, file: int, tmp_path: Path) -> None:
    pattern = tmp_path / "*.parquet"
    names = ["1.parquet", "2.parquet"]
    write(tmp_path / names[0], ROWS[:10])
    write(tmp_path / names[1], ROWS[10:20])
    backend = ls.MemoryStateBackend()
    stopped_after(ls.FileSource(pattern), backend, batches=batches, records=5)
    renamed = tmp_path / f"{file + 1}b.parquet"
    (tmp_path / names[file]).rename(renamed)
    with pytest.raises(ls.PipelineError, match=rf"file {file} is '{renamed}', and was '.*{names[file]}'"):
        to_the_end(ls.FileSource(pattern), backend)
    if file == 1:
        renamed.unlink()
        with pytest.raises(ls.PipelineError, match=r"2.parquet', which was read, is not there any more"):
            to_the_end(ls.FileSource(pattern), backend)


def test_a_file_that_came_before_those_that_were_read_is_refused(tmp_path: Path) -> None:
    pattern = tmp_path / "*.parquet"
    for batches in (1, 3, 5):
        backend = ls.MemoryStateBackend()
        (tmp_path / "0.parquet").unlink(missing_ok=True)
        for name in ("1.parquet", "2.parquet"):
            write(tmp_path / name, ROWS[:10])
        stopped_after(ls.FileSource(pattern), backend, batches=batches, records=5)
        write(tmp_path / "0.parquet", ROWS[:10])
        with pytest.raises(
            ls.PipelineError, match=r"file \d is '.*', and was '.*' when the checkpoint was taken"
        ):
            to_the_end(ls.FileSource(pattern), backend)


def test_a_position_that_is_not_of_jsons_types_is_refused() -> None:
    class Odd(Batches):
        def position(self) -> Any:
            return {1, 2}

    with pytest.raises(
        ls.CheckpointError, match=r"position\(\) of a source or sink .*JSON.*sources \[\{'batch': \{1, 2\}"
    ):
        stopped_after(Odd(), ls.MemoryStateBackend(), batches=3, records=5)


def test_standard_input_and_sources_without_positions_are_refused() -> None:
    class Once(ls.Source):
        def batches(self) -> Iterator[Any]:
            yield ROWS

    for source in (Once(), ls.FileSource("-")):
        pipeline = BUILDER.with_source(source).with_state_backend(ls.MemoryStateBackend()).build()
        with pytest.raises(
            ls.ConfigurationError, match=r"with_state_backend: a source of 'positions' cannot be read"
        ):
            pipeline.run()
