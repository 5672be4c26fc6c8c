from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
import pyarrow.parquet
import pytest

if TYPE_CHECKING:
    from pathlib import Path

RECORDS = [{"t": second, "k": "ab"[second % 2], "v": float(second)} for second in range(30)]


def run(sink: ls.Sink, records: Any = RECORDS, *, late: ls.Sink | None = None) -> ls.RunSummary:
    builder = (
        ls.create_pipeline()
        .with_event_time("t", unit="s")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
        .key_by("k")
        .with_tumbling_window("10s")
        .aggregate("v", ["count", "sum"])
        .with_source(ls.IterableSource(records))
        .with_sink(sink)
    )
    if late is not None:
        builder = builder.with_late_event_handler(ls.LateEventHandler().with_side_output(late))
    return builder.build().run()


def test_ndjson_has_the_lines_of_the_results(tmp_path: Path) -> None:
    collect = ls.CollectSink()
    run(collect)
    run(ls.NdjsonSink(tmp_path / "out.ndjson"))
    lines = (tmp_path / "out.ndjson").read_text().splitlines()
    assert lines == [result.to_json() for result in collect.results]
    assert json.loads(lines[0])["results"] == {"count": 5, "sum": 20.0}
    assert len(lines) == 6


def test_parquet_has_the_columns_of_the_results(tmp_path: Path) -> None:
    collect = ls.CollectSink()
    run(collect)
    run(ls.ParquetSink(tmp_path / "out.parquet"))
    assert collect.table is not None
    written = pyarrow.parquet.ParquetFile(tmp_path / "out.parquet")
    assert written.read().equals(collect.table.to_arrow())
    assert written.num_row_groups == 1


def test_row_groups_are_bounded_and_keys_keep_their_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ls.ParquetSink, "_ROWS", 1)
    path = tmp_path / "out.parquet"

    def batches(keys: list[Any]) -> Any:
        class Own(ls.Source):
            def batches(self) -> Any:
                for at, key in enumerate(keys):
                    yield [{"t": at * 10, "k": key, "v": 1.0}]

        return Own()

    def written(*keys: Any) -> list[Any]:
        builder = (
            ls.create_pipeline()
            .with_event_time("t", unit="s")
            .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
            .key_by("k")
            .with_tumbling_window("10s")
            .aggregate("v", ["count"])
        )
        builder.with_source(batches(list(keys))).with_sink(ls.ParquetSink(path)).build().run()
        return list(pyarrow.parquet.read_table(path)["k"].to_pylist())

    assert written("a", None, 5, "b") == ["a", None, "5", "b"]
    with pytest.raises(ls.PipelineError, match="a column changed its type"):
        written(5, "text", 6)


@pytest.mark.parametrize("kind", [ls.NdjsonSink, ls.ParquetSink])
def test_the_file_appears_as_a_whole_or_not_at_all(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("old")
    seen: list[str] = []

    def look(_: Any) -> None:
        seen.append(path.read_text())
        if len(seen) == 6:
            raise OSError("stop here")

    sink, looking = kind(path), ls.CallbackSink(look)
    builder = ls.create_pipeline().with_event_time("t", unit="s").key_by("k").with_tumbling_window("10s")
    pipeline = (
        builder.aggregate("v")
        .with_source(ls.IterableSource(RECORDS))
        .with_sink(sink)
        .with_sink(looking)
        .build()
    )
    with pytest.raises(OSError, match="stop here"):
        pipeline.run()
    assert seen == ["old"] * 6
    assert path.read_text() == "old"
    run(sink)
    assert path.read_bytes() != b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_without_results_the_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "out.ndjson").write_text("old")
    run(ls.NdjsonSink(tmp_path / "out.ndjson"), [])
    assert (tmp_path / "out.ndjson").read_text() == ""
    run(ls.ParquetSink(tmp_path / "out.parquet"), [])
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").num_columns == 0


def test_late_events_go_to_files_too(tmp_path: Path) -> None:
    records = [*RECORDS, {"t": 5, "k": "b", "v": 1.0}]
    run(ls.CollectSink(), records, late=ls.NdjsonSink(tmp_path / "late.ndjson"))
    line = json.loads((tmp_path / "late.ndjson").read_text())
    assert (line["event"], line["position"], line["lateness"]) == (records[-1], 30, 24.0)
    run(ls.CollectSink(), records, late=ls.ParquetSink(tmp_path / "late.parquet"))
    row = pyarrow.parquet.read_table(tmp_path / "late.parquet").to_pylist()
    assert [(json.loads(each["event"]), each["key"], each["lateness"], each["position"]) for each in row] == [
        (records[-1], '{"k": "b"}', timedelta(seconds=24), 30)
    ]


def test_one_parquet_file_cannot_hold_results_and_late_events(tmp_path: Path) -> None:
    sink = ls.ParquetSink(tmp_path / "both.parquet")
    with pytest.raises(ls.PipelineError, match="one table cannot hold results and events"):
        run(sink, [*RECORDS, {"t": 5, "k": "b", "v": 1.0}], late=sink)
    assert list(tmp_path.iterdir()) == []


def test_wrong_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ls.ConfigurationError, match=r"NdjsonSink: path .* is a directory"):
        ls.NdjsonSink(tmp_path)
    with pytest.raises(ls.ConfigurationError, match=r"ParquetSink: path .*: No such file or directory"):
        run(ls.ParquetSink(tmp_path / "no" / "out.parquet"))
