"""Builders and runs: what they compute, what they count, what they refuse."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest

MINUTE = ls.tumbling("1m")


def event(second: float, value: Any = 1.0, model: Any = "opus") -> dict[str, Any]:
    time = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    return {"timestamp": time.isoformat(), "data": {"model": model, "latency_ms": value}}


def latency(source: ls.Source, *sinks: ls.Sink) -> ls.StreamPipeline:
    builder = (
        ls.create_pipeline("latency")
        .with_source(source)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms")
    )
    for sink in sinks:
        builder = builder.with_sink(sink)
    return builder.build()


def write_lines(path: Path, lines: list[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def adds_up(summary: ls.RunSummary) -> bool:
    parts = summary.aggregated + summary.late + summary.malformed + summary.filtered + summary.outside_windows
    return summary.records_in == parts + summary.shed


# What a run computes


def test_each_minute_and_model_has_one_result() -> None:
    sink = ls.CollectSink()
    records = [event(1, 10), event(2, 20), event(59.999999, 30), event(60, 5), event(3, 7, "haiku")]
    summary = latency(ls.IterableSource(records), sink).run()
    assert [(str(result.key), result.results["count"], result.results["sum"]) for result in sink.results] == [
        ("data.model=haiku", 1, 7.0),
        ("data.model=opus", 3, 60.0),
        ("data.model=opus", 1, 5.0),
    ]
    assert sink.results[1].to_dict() == {
        "window": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z"},
        "key": {"data.model": "opus"},
        "results": {
            "count": 3,
            "sum": 60.0,
            "average": 20.0,
            "min": 10.0,
            "max": 30.0,
            "stddev": 8.16496580927726,
            "p50": 20.0,
            "p95": 30.0,
            "p99": 30.0,
        },
        "pane": {"timing": "on_time", "index": 0, "is_last": True, "replaces": []},
    }
    assert summary.records_in == summary.aggregated == 5
    assert summary.panes == 3


def test_file_arrow_and_records_give_the_same(tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    records = [event(second, second * 1.5, model) for second in range(0, 300, 7) for model in ("a", "b")]
    path = write_lines(tmp_path / "events.ndjson", [json.dumps(record).encode() for record in records])
    frame = polars.DataFrame(
        {
            "timestamp": [datetime.fromisoformat(record["timestamp"]) for record in records],
            "data": [record["data"] for record in records],
        }
    )
    expected = [result.to_dict() for result in _run(ls.IterableSource(records))]
    assert len(expected) == 10
    for source in (ls.FileSource(path), ls.ArrowSource(frame), ls.ArrowSource([frame[:5], frame[5:]])):
        assert [result.to_dict() for result in _run(source)] == expected


def _run(source: ls.Source) -> list[ls.AggregationResult]:
    sink = ls.CollectSink()
    latency(source, sink).run()
    return sink.results


def test_files_of_a_pattern_are_one_stream_in_the_order_of_their_names(tmp_path: Path) -> None:
    write_lines(tmp_path / "b.jsonl", [json.dumps(event(2, 20)).encode()])
    write_lines(tmp_path / "a.jsonl", [json.dumps(event(1, 10)).encode()])
    results = _run(ls.FileSource(tmp_path / "*.jsonl"))
    assert [result.results["sum"] for result in results] == [30.0]


def test_a_source_of_ones_own_yields_batches_of_any_kind() -> None:
    polars = pytest.importorskip("polars")

    class Mixed(ls.Source):
        def batches(self) -> Any:
            yield [event(1, 1.0)]
            yield polars.DataFrame([event(2, 2.0)])
            yield (each for each in [event(3, 4.0)])

    assert [result.results["sum"] for result in _run(Mixed())] == [7.0]


def test_objects_are_read_by_attribute() -> None:
    @dataclass
    class Data:
        model: str
        latency_ms: float

    @dataclass
    class Event:
        timestamp: datetime
        data: Data

    records = [
        Event(datetime(2026, 1, 1, tzinfo=UTC), Data("opus", 4.0)),
        ls.FeedbackEvent.from_dict(event(5, 2.0)),
    ]
    assert [result.results["sum"] for result in _run(ls.IterableSource(records))] == [6.0]


def test_integers_are_exact_where_the_event_type_says_int() -> None:
    records = [
        {"timestamp": "2026-01-01T00:00:00Z", "data": {"prompt_tokens": tokens}}
        for tokens in (2**60, 2**60, 1)
    ]
    builder = (
        ls.create_pipeline(event_type=ls.FeedbackEvent)
        .with_tumbling_window("1m")
        .aggregate("data.prompt_tokens", ["sum", "min", "max", "average"])
    )
    sink = ls.CollectSink()
    builder.with_source(ls.IterableSource(records)).with_sink(sink).build().run()
    assert sink.results[0].results["sum"] == 2**61 + 1
    assert sink.results[0].results["min"] == 1
    declared = ls.create_pipeline().with_schema({"data.prompt_tokens": int}).with_tumbling_window("1m")
    declared = declared.aggregate("data.prompt_tokens", ["sum"])
    declared.with_source(ls.IterableSource(records)).with_sink(sink).build().run()
    assert sink.results[0].results == {"sum": 2**61 + 1}


def test_an_integer_sum_beyond_64_bits_is_an_error_that_names_the_result() -> None:
    records = [{"timestamp": "2026-01-01T00:00:00Z", "value": 2**62}] * 2
    builder = (
        ls.create_pipeline()
        .with_schema({"value": int})
        .with_tumbling_window("1m")
        .aggregate("value", ["sum"])
    )
    with pytest.raises(ls.AggregationError, match="sum"):
        builder.with_source(ls.IterableSource(records)).build().run()


def test_several_metrics_of_one_stream() -> None:
    records = [event(1, 10.0) | {"cost": 0.5}, event(2, 20.0) | {"cost": 0.25}]
    sink = ls.CollectSink()
    (
        ls.create_pipeline()
        .with_source(ls.IterableSource(records))
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", ["count", "p99.90"])
        .aggregate("cost", "sum", prefix="cost_")
        .with_sink(sink)
        .build()
        .run()
    )
    assert sink.results[0].results == {"count": 2, "p99.9": 20.0, "cost_sum": 0.75}
    assert sink.results[0].key == {}


def test_sinks_of_every_kind_get_every_result(capsys: pytest.CaptureFixture[str]) -> None:
    called: list[int] = []
    awaited: list[int] = []

    async def later(result: ls.AggregationResult) -> None:
        awaited.append(result.results["count"])

    collect = ls.CollectSink()
    sinks = [
        collect,
        ls.ConsoleSink(),
        ls.CallbackSink(lambda result: called.append(result.results["count"])),
        ls.CallbackSink(later),
    ]
    latency(ls.IterableSource([event(1), event(61), event(62)]), *sinks).run()
    assert called == awaited == [1, 2]
    assert [json.loads(line)["results"]["count"] for line in capsys.readouterr().out.splitlines()] == [1, 2]
    assert len(collect.table or []) == 2


def test_sinks_are_closed_when_a_run_fails() -> None:
    class Broken(ls.Sink):
        closed = False

        def send(self, result: ls.AggregationResult) -> None:
            raise RuntimeError("no")

        def close(self) -> None:
            self.closed = True

    sink = Broken()
    with pytest.raises(RuntimeError):
        latency(ls.IterableSource([event(1)]), sink).run()
    assert sink.closed


def test_a_pipeline_can_run_again() -> None:
    sink = ls.CollectSink()
    pipeline = latency(ls.IterableSource([event(1)]), sink)
    assert pipeline.run().records_in == pipeline.run().records_in == 1
    assert len(sink.results) == 1


def test_stop_ends_a_run_without_completing_windows() -> None:
    class Endless(ls.Source):
        def batches(self) -> Any:
            for second in range(10_000):
                yield [event(second)]
                if second == 100:
                    pipeline.stop()

    sink = ls.CollectSink()
    pipeline = latency(Endless(), sink)
    summary = pipeline.run()
    assert summary.records_in == 102
    assert [result.results["count"] for result in sink.results] == [60]


def test_results_are_a_table_for_dataframe_libraries() -> None:
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pandas")
    table = ls.aggregate(
        [event(1, 2.0), event(2, None, None)], key="data.model", value="data.latency_ms", window=MINUTE
    )
    frame = polars.DataFrame(table)
    assert frame.columns == table.column_names
    assert frame["data.model"].to_list() == [None, "opus"]
    assert frame["count"].to_list() == [0, 1]
    assert frame["average"].to_list() == [None, 2.0]
    assert frame.schema["window_start"] == polars.Datetime("us", "UTC")
    assert pyarrow.table(table).num_rows == len(table.to_pandas()) == 2
    assert table.to_dicts()[1]["p99"] == 2.0
    assert "opus" in table._repr_html_()


def test_html_escapes_keys() -> None:
    table = ls.aggregate(
        [event(1, 1.0, "<script>")], key="data.model", value="data.latency_ms", window=MINUTE
    )
    assert "<script>" not in table._repr_html_()
    assert "&lt;script&gt;" in table._repr_html_()


def test_explain_says_what_runs_where(capsys: pytest.CaptureFixture[str]) -> None:
    text = latency(ls.IterableSource([]), ls.ConsoleSink()).explain()
    assert capsys.readouterr().out == text + "\n"
    assert "data.latency_ms (float64): count, sum, average, min, max, stddev, p50, p95, p99" in text
    assert "tumbling 1m, allowed lateness 0s, accumulating" in text
    assert "C++" in text


# Every record is accounted for

MALFORMED = {
    b'{"timestamp":"2026-01-01T00:00:00Z","data":{"model":"a"': "syntax",
    b'{"timestamp":"2026-01-01T00:00:00Z","data":{"latency_ms":NaN}}': "syntax",
    b'{"timestamp":"2026-01-01T00:00:00Z"} trailing': "syntax",
    b"[1, 2]": "not_an_object",
    b'"text"': "not_an_object",
    b"null": "not_an_object",
    b'{"timestamp":"2026-01-01T00:00:00Z","x":' + b"[" * 40 + b"]" * 40 + b"}": "too_deep",
    b'{"timestamp":"2026-01-01T00:00:00Z","x":"\xff"}': "bad_utf8",
    b'{"timestamp":"2026-01-01T00:00:00Z","x":"' + b"y" * (16 << 20) + b'"}': "too_large",
    b'{"data":{"latency_ms":1}}': "time_missing",
    b'{"timestamp":null}': "time_missing",
    b'{"timestamp":"yesterday"}': "time_invalid",
    b'{"timestamp":"2026-02-30T00:00:00Z"}': "time_invalid",
    b'{"timestamp":9223372036854775807}': "time_invalid",
    b'{"timestamp":1e300}': "time_invalid",
    b'{"timestamp":true}': "time_invalid",
    b'{"timestamp":"2026-01-01T00:00:00Z","timestamp":"2026-01-01T00:00:01Z"}': "duplicate_field",
    b'{"timestamp":"2026-01-01T00:00:00Z","data":{"model":{}}}': "key_not_scalar",
}
SKIPPED = [b"1e999", b'"12"', b"null", b"true", b"{}", b"[]"]


@pytest.mark.parametrize("line", MALFORMED, ids=lambda line: repr(line[:40]))
def test_malformed_record_is_counted_by_kind(line: bytes, tmp_path: Path) -> None:
    good = json.dumps(event(1)).encode()
    path = write_lines(tmp_path / "events.ndjson", [good, line, good])
    summary = latency(ls.FileSource(path)).run()
    assert summary.malformed_by_kind == {MALFORMED[line]: 1}
    assert (summary.records_in, summary.aggregated) == (3, 2)
    assert adds_up(summary)


@pytest.mark.parametrize("value", SKIPPED)
def test_unusable_value_is_skipped_and_counted_its_record_is_not_lost(value: bytes, tmp_path: Path) -> None:
    line = b'{"timestamp":"2026-01-01T00:00:00Z","data":{"model":"a","latency_ms":' + value + b"}}"
    sink = ls.CollectSink()
    summary = latency(ls.FileSource(write_lines(tmp_path / "events.ndjson", [line])), sink).run()
    assert summary.skipped_values == {"data.latency_ms": 1}
    assert summary.aggregated == 1
    assert sink.results[0].results["count"] == 0
    assert sink.results[0].results["sum"] == 0.0
    assert sink.results[0].results["p99"] is None


@pytest.mark.parametrize(
    "record", [None, 5, "text", [1], {"data": {}}, {"timestamp": object()}, {"timestamp": []}]
)
def test_malformed_python_record_is_counted(record: Any) -> None:
    summary = latency(ls.IterableSource([event(1), record])).run()
    assert (summary.malformed, summary.aggregated) == (1, 1)


def test_hostile_attributes_do_not_end_a_run() -> None:
    class Hostile:
        timestamp = "2026-01-01T00:00:00Z"

        @property
        def data(self) -> Any:
            raise RuntimeError("no")

    summary = latency(ls.IterableSource([Hostile()])).run()
    assert (summary.aggregated, summary.skipped_values) == (1, {"data.latency_ms": 1})


def test_late_records_are_counted() -> None:
    summary = latency(ls.IterableSource([event(1), event(66), event(2), event(120)])).run()
    assert (summary.aggregated, summary.late) == (3, 1)
    assert adds_up(summary)


def test_unknown_field_of_records_is_counted_for_every_record() -> None:
    summary = latency(ls.IterableSource([{"timestamp": "2026-01-01T00:00:00Z", "latency": 1}] * 3)).run()
    assert summary.skipped_values == {"data.latency_ms": 3}
    assert "3 values of 'data.latency_ms' skipped" in str(summary)


def test_empty_file_is_an_empty_stream(tmp_path: Path) -> None:
    (tmp_path / "empty.ndjson").touch()
    summary = latency(ls.FileSource(tmp_path / "empty.ndjson")).run()
    assert (summary.records_in, summary.panes) == (0, 0)
    assert len(ls.aggregate(tmp_path / "empty.ndjson", window=MINUTE)) == 0


# Wrong settings are named


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: ls.FileSource("events.xyz"), ["FileSource", "events.xyz", "ndjson"]),
        (
            lambda: latency(ls.FileSource("/nowhere/events.ndjson")).run(),
            ["FileSource", "/nowhere/events.ndjson"],
        ),
        (lambda: latency(ls.FileSource("/nowhere/*.ndjson")).run(), ["FileSource", "no file matches"]),
        (lambda: ls.create_pipeline().with_tumbling_window("5 parsecs"), ["size", "5 parsecs", '"30s"']),
        (lambda: ls.create_pipeline().with_tumbling_window(0), ["size", "0"]),
        (lambda: ls.create_pipeline().with_tumbling_window("-1s"), ["size", "-1s"]),
        (lambda: ls.create_pipeline().with_tumbling_window("1m", offset="1m"), ["offset", "1m"]),
        (
            lambda: ls.create_pipeline().with_tumbling_window("1m", allowed_lateness="-1s"),
            ["allowed_lateness"],
        ),
        (lambda: ls.create_pipeline().with_tumbling_window(float("nan")), ["size", "nan"]),
        (lambda: ls.create_pipeline().with_tumbling_window(True), ["size", "True"]),
        (lambda: ls.create_pipeline().with_session_window("0s"), ["gap", "0s"]),
        (lambda: ls.BoundedOutOfOrdernessWatermark("soon"), ["max_out_of_orderness", "soon"]),
        (lambda: ls.create_pipeline().aggregate("v", ["median"]), ["median", "p95"]),
        (lambda: ls.create_pipeline().aggregate("v", ["p101"]), ["p101"]),
        (lambda: ls.create_pipeline().aggregate("v", []), ["aggregations"]),
        (lambda: ls.create_pipeline().aggregate("a..b"), ["a..b"]),
        (lambda: ls.create_pipeline().key_by("k", "k"), ["key_by", "k", "twice"]),
        (lambda: ls.create_pipeline().with_event_time("t", unit="m"), ["unit", "'m'", "ms"]),
        (lambda: ls.create_pipeline().with_schema({"v": str}), ["with_schema", "v"]),
        (lambda: ls.create_pipeline().with_accumulation("both"), ["both", "discarding"]),
        (lambda: ls.create_pipeline("mine").build(), ["mine", "no source"]),
        (lambda: ls.create_pipeline("mine").aggregate().open(), ["mine", "no window"]),
        (lambda: ls.create_pipeline("mine").with_tumbling_window("1m").build(), ["mine", "no source"]),
        (lambda: ls.create_pipeline().with_source("events.ndjson"), ["with_source", "FileSource"]),  # type: ignore[arg-type]
        (lambda: ls.create_pipeline().with_sink(print), ["with_sink", "CallbackSink"]),  # type: ignore[arg-type]
        (lambda: ls.aggregate(5, window=MINUTE), ["data", "int"]),
        (
            lambda: ls.create_pipeline().with_tumbling_window("1m").aggregate("a").aggregate("b").checked(),
            ["count", "prefix"],
        ),
        (
            lambda: (
                ls.create_pipeline()
                .key_by("p50")
                .with_tumbling_window("1m")
                .aggregate("a", ["p50"])
                .checked()
            ),
            ["p50"],
        ),
    ],
)
def test_wrong_setting_is_named(build: Any, words: list[str]) -> None:
    with pytest.raises(ls.ConfigurationError) as raised:
        build()
    for word in words:
        assert word in str(raised.value)


def test_integer_times_that_look_like_seconds_raise_a_hint() -> None:
    with pytest.raises(ls.ConfigurationError, match='unit="s"'):
        ls.aggregate([{"timestamp": 1_767_225_600, "value": 1}], window=MINUTE)
    table = ls.aggregate([{"timestamp": 1_767_225_600, "value": 1}], unit="s", window=MINUTE)
    assert table[0].window.start == datetime(2026, 1, 1, tzinfo=UTC)


def test_unknown_column_of_a_dataframe_is_named() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"timestamp": [datetime(2026, 1, 1, tzinfo=UTC)], "latency_ms": [1.0]})
    with pytest.raises(ls.ConfigurationError, match=r"latncy_ms.*latency_ms"):
        ls.aggregate(frame, value="latncy_ms", window=MINUTE)
    with pytest.raises(ls.ConfigurationError, match=r"timestamp.*a value is"):
        ls.aggregate(frame, value="timestamp", window=MINUTE)


def test_floats_after_integers_ask_for_a_declared_type() -> None:
    polars = pytest.importorskip("polars")
    time = datetime(2026, 1, 1, tzinfo=UTC)
    frames = [polars.DataFrame({"timestamp": [time], "value": [value]}) for value in (1, 1.5)]
    with pytest.raises(ls.ConfigurationError, match="with_schema"):
        ls.aggregate(ls.ArrowSource(frames), window=MINUTE)
    assert ls.aggregate(ls.ArrowSource(frames[::-1]), window=MINUTE)[0].results["sum"] == 2.5


@pytest.mark.parametrize("name", ["window_start", "window_end", "pane_timing", "pane_index"])
def test_a_key_with_the_name_of_a_column_of_every_result_is_refused(name: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=f"key_by: '{name}' is the name of a column"):
        ls.create_pipeline().key_by(name).with_window(MINUTE).checked()


def test_a_key_with_the_name_of_a_result_is_refused() -> None:
    with pytest.raises(ls.ConfigurationError, match="two columns of the result would be called 'count'"):
        ls.create_pipeline().key_by("count").with_window(MINUTE).aggregate("v", "count").checked()


@pytest.mark.parametrize("key", [float("nan"), float("inf"), float("-inf")])
def test_keys_that_json_has_no_number_for_are_null_in_json(key: float) -> None:
    records = [{"timestamp": "2026-01-01T00:00:00Z", "k": key, "value": 1.0}]
    table = ls.aggregate(records, key="k", window=MINUTE, aggregations="count")
    parsed = json.loads(table[0].to_json(), parse_constant=pytest.fail)
    assert (parsed["key"], parsed["results"]) == ({"k": None}, {"count": 1})
    late = ls.LateEvent(records[0], table[0].key, (), ls.Watermark(0), timedelta(0), 0)
    assert json.loads(late.to_json(), parse_constant=pytest.fail)["key"] == {"k": None}


@pytest.mark.parametrize("index", [-99, -2, 1, 99])
def test_an_index_outside_of_the_table_is_an_index_error(index: int) -> None:
    table = ls.aggregate([{"timestamp": "2026-01-01T00:00:00Z", "value": 1.0}], window=MINUTE)
    assert table[0] == table[-1]
    with pytest.raises(IndexError):
        table[index]


@pytest.mark.parametrize("event_type", [5, "FeedbackEvent", {"v": int}])
def test_an_event_type_that_is_no_type_is_refused(event_type: Any) -> None:
    with pytest.raises(ls.ConfigurationError, match=r"create_pipeline: event_type: .* is not a type"):
        ls.create_pipeline(event_type=event_type)
    assert ls.create_pipeline(event_type=dict[str, Any]).plan.event_type == dict[str, Any]


@pytest.mark.parametrize("name", ["p٣", "p９５", "p9.٣"])
def test_percentiles_are_written_with_ascii_digits(name: str) -> None:
    with pytest.raises(ls.ConfigurationError, match="is not a statistic"):
        ls.create_pipeline().aggregate("v", [name])
