from __future__ import annotations

import gzip
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2026, 1, 1, tzinfo=UTC)
RECORDS = [
    {"timestamp": START + timedelta(seconds=second), "model": "ab"[second % 2], "tokens": second, "note": "x"}
    for second in range(120)
]
TABLE = pyarrow.Table.from_pylist(RECORDS)
NDJSON = "".join(
    f"{json.dumps({**record, 'timestamp': record['timestamp'].isoformat()})}\n" for record in RECORDS
)
EXPECTED = [("a", 30, 870), ("b", 30, 900), ("a", 30, 2670), ("b", 30, 2700)]


def zstd(content: bytes) -> bytes:
    return bytes(pyarrow.compress(content, "zstd", asbytes=True))


def csv_bytes() -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.csv.write_csv(TABLE, sink)
    return sink.getvalue().to_pybytes()


def write_arrow(path: Path, new: Callable[..., Any]) -> None:
    with new(str(path), TABLE.schema) as writer:
        writer.write_table(TABLE, max_chunksize=50)


WRITE: dict[str, Callable[[Path], object]] = {
    "a.ndjson": lambda path: path.write_text(NDJSON),
    "a.jsonl": lambda path: path.write_text(NDJSON),
    "a.ndjson.gz": lambda path: path.write_bytes(gzip.compress(NDJSON.encode())),
    "a.ndjson.zst": lambda path: path.write_bytes(zstd(NDJSON.encode())),
    "a.csv": lambda path: path.write_bytes(csv_bytes()),
    "a.csv.gz": lambda path: path.write_bytes(gzip.compress(csv_bytes())),
    "a.csv.zst": lambda path: path.write_bytes(zstd(csv_bytes())),
    "a.parquet": lambda path: pyarrow.parquet.write_table(TABLE, path, row_group_size=50),
    "a.feather": lambda path: pyarrow.feather.write_feather(TABLE, str(path), chunksize=50),
    "a.arrow": lambda path: write_arrow(path, pyarrow.ipc.new_file),
    "a.arrows": lambda path: write_arrow(path, pyarrow.ipc.new_stream),
}


def run(source: ls.Source) -> list[tuple[str, int, float]]:
    sink = ls.CollectSink()
    pipeline = (
        ls.create_pipeline()
        .with_source(source)
        .key_by("model")
        .with_tumbling_window("1m")
        .aggregate("tokens", ["count", "sum"])
        .with_sink(sink)
        .build()
    )
    assert pipeline.run().malformed == 0
    return [(result.key["model"], result.results["count"], result.results["sum"]) for result in sink.results]


@pytest.mark.parametrize("name", WRITE)
def test_files_of_every_format_give_the_same_results(name: str, tmp_path: Path) -> None:
    WRITE[name](tmp_path / name)
    source = ls.FileSource(tmp_path / name)
    assert run(source) == EXPECTED
    assert source.progress() == 1.0
    assert run(source) == EXPECTED


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.arrow", "a.ndjson.gz"])
def test_late_records_of_files_are_whole_records(name: str, tmp_path: Path) -> None:
    WRITE[name](tmp_path / name)
    late = ls.CollectSink()
    summary = (
        ls.create_pipeline()
        .with_source(ls.FileSource(tmp_path / "a.*"))
        .with_watermark_generator(EndOfTime())
        .key_by("model")
        .with_tumbling_window("1m")
        .aggregate("tokens", ["sum"])
        .with_late_event_handler(ls.LateEventHandler().with_side_output(late))
        .build()
        .run()
    )
    assert (summary.aggregated, summary.late) == (1, 119)
    assert [event.position for event in late.results] == list(range(1, 120))
    assert (late.results[76].event["tokens"], late.results[76].event["note"]) == (77, "x")


class EndOfTime(ls.WatermarkGenerator):
    """Everything after the first record is late."""

    def on_event(self, timestamp: Any) -> None:
        pass

    def current_watermark(self) -> int:
        return 2**62


def test_files_of_a_pattern_are_one_stream_in_the_order_of_their_names(tmp_path: Path) -> None:
    lines = NDJSON.splitlines(keepends=True)
    (tmp_path / "events-2.ndjson").write_text("".join(lines[40:]))
    (tmp_path / "events-1.ndjson.gz").write_bytes(gzip.compress("".join(lines[:40]).encode()))
    assert run(ls.FileSource(tmp_path / "events-*")) == EXPECTED
    assert run(ls.FileSource(tmp_path / "events-?.ndjson*")) == EXPECTED


def test_format_overrides_the_extension(tmp_path: Path) -> None:
    (tmp_path / "events.log").write_text(NDJSON)
    assert run(ls.FileSource(tmp_path / "events.log", format="ndjson")) == EXPECTED
    (tmp_path / "events.txt.gz").write_bytes(gzip.compress(csv_bytes()))
    assert run(ls.FileSource(tmp_path / "events.txt.gz", format="csv")) == EXPECTED


def test_wrong_files_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(
        ls.ConfigurationError, match=r"the extension '.txt' of path 'a.txt' is not known; expected"
    ):
        ls.FileSource("a.txt")
    with pytest.raises(ls.ConfigurationError, match="format 'xml' is not known; expected format='ndjson'"):
        ls.FileSource("a.csv", format="xml")
    with pytest.raises(ls.ConfigurationError, match="format 'parquet' can be neither compressed"):
        ls.FileSource("a.parquet.gz")
    with pytest.raises(ls.ConfigurationError, match="format 'arrow' can be neither"):
        ls.FileSource("-", format="arrow")
    for name in ("no.ndjson", "no.ndjson.gz", "no.csv", "no.parquet"):
        with pytest.raises(ls.ConfigurationError, match=f"{name}': No such file or directory"):
            run(ls.FileSource(tmp_path / name))
    with pytest.raises(ls.ConfigurationError, match="no file matches"):
        run(ls.FileSource(tmp_path / "*.csv"))


def test_damaged_files_name_path_and_reason(tmp_path: Path) -> None:
    for name in ("a.ndjson.gz", "a.ndjson.zst", "a.parquet", "a.csv.gz", "a.arrow"):
        path = tmp_path / name
        WRITE[name](path)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(ls.PipelineError, match=f"path '{path}': "):
            run(ls.FileSource(path))


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(TABLE.drop_columns(["tokens"]), tmp_path / "a.parquet")
    with pytest.raises(ls.ConfigurationError, match="tokens"):
        run(ls.FileSource(tmp_path / "a.parquet"))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_bytes(csv_bytes())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        ImportError, match=r"pyarrow is needed for this: pip install 'llmopt-stream\[arrow\]'"
    ):
        run(ls.FileSource(tmp_path / "a.csv"))


def test_only_the_columns_of_the_plan_are_read_from_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = TABLE.append_column("data", pyarrow.array([{"cost": 1.0}] * 120)).append_column(
        "date", TABLE["note"]
    )
    pyarrow.parquet.write_table(nested, tmp_path / "a.parquet")
    read: list[list[str]] = []
    whole = pyarrow.parquet.ParquetFile.iter_batches
    monkeypatch.setattr(
        pyarrow.parquet.ParquetFile,
        "iter_batches",
        lambda self, columns: read.append(columns) or whole(self, columns=columns),
    )
    table = ls.aggregate(
        tmp_path / "a.parquet", key="model", value="data.cost", window=ls.tumbling("1h"), aggregations=["sum"]
    )
    assert [result.results["sum"] for result in table] == [60.0, 60.0]
    assert read == [["timestamp", "model", "data"]]


def test_generated_events_are_those_of_the_command_line(tmp_path: Path) -> None:
    source = ls.GeneratorSource(seed=7, events=20_000)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "llmopt_stream",
            "generate",
            "--seed",
            "7",
            "--events",
            "20_000",
            "-o",
            "e.ndjson",
        ],
        check=True,
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )

    def builder(each: ls.Source) -> ls.StreamPipelineBuilder:
        keyed = ls.create_pipeline().with_source(each).key_by("data.model")
        return keyed.with_tumbling_window("1m").aggregate("data.latency_ms")

    results = []
    for each in (source, ls.FileSource(tmp_path / "e.ndjson"), source):
        sink = ls.CollectSink()
        summary = builder(each).with_sink(sink).build().run()
        assert summary.records_in == 20_000
        assert summary.malformed == sum(source.counts["malformed"].values()) > 0
        results.append(sink.results)
    assert results[0] == results[1] == results[2]
    assert source.progress() == 1.0


def test_wrong_generator_settings_are_refused() -> None:
    with pytest.raises(ls.ConfigurationError, match="late_share"):
        ls.GeneratorSource(late_share=2)
    with pytest.raises(ls.ConfigurationError, match="GeneratorSource: events: -1 must be an integer"):
        ls.GeneratorSource(events=-1)
    with pytest.raises(ls.ConfigurationError, match="GeneratorSource: max_disorder"):
        ls.GeneratorSource(max_disorder="soon")


def test_iterable_source_refuses_what_cannot_be_iterated() -> None:
    with pytest.raises(ls.ConfigurationError, match="IterableSource: int is not iterable"):
        ls.IterableSource(3)  # type: ignore[arg-type]
