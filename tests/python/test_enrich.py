"""Records with the fields of a table, or of another stream, by their key."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from llmopt_stream import (
    CollectSink,
    ConfigurationError,
    ErrorHandler,
    ErrorPolicy,
    LateEventHandler,
    PipelineError,
    RefreshingTable,
    StreamPipelineBuilder,
    col,
    create_pipeline,
)
from llmopt_stream.testing import PipelineHarness

PRICES = [{"model": "a", "price": 1, "tier": "low"}, {"model": "b", "price": 2}]
RECORDS = [{"t": 1, "model": "a"}, {"t": 2, "model": "c"}, {"t": 3, "model": "b"}]


def stream() -> StreamPipelineBuilder:
    return create_pipeline().with_event_time("t", unit="s")


def data(builder: StreamPipelineBuilder, records: list[dict[str, Any]]) -> list[Any]:
    return [event.data for event in builder.open().push(records)]


# Tables


ENRICHED = [
    {"t": 1, "model": "a", "price": 1, "tier": "low"},
    {"t": 2, "model": "c", "price": None, "tier": None},
    {"t": 3, "model": "b", "price": 2, "tier": None},
]


@pytest.mark.parametrize(
    "table",
    [
        PRICES,
        {"a": {"price": 1, "tier": "low"}, "b": {"price": 2}},
        pa.Table.from_pylist(PRICES),
        pl.DataFrame(PRICES),
        pd.DataFrame(PRICES),
        RefreshingTable(lambda: pa.Table.from_pylist(PRICES), every="5m"),
    ],
    ids=lambda table: type(table).__name__,
)
def test_records_get_the_fields_of_the_row_of_their_key(table: Any) -> None:
    assert data(stream().enrich(table, on="model"), RECORDS) == ENRICHED


def _write_csv(path: Path) -> None:
    path.write_text("model,price,tier\na,1,low\nb,2,\n")


def _write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(PRICES), path)


def _write_ndjson(path: Path) -> None:
    path.write_text("\n".join(map(json.dumps, PRICES)) + "\n\n")


def _write_gzipped(path: Path) -> None:
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, PRICES)).encode()))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("prices.csv", _write_csv),
        ("prices.parquet", _write_parquet),
        ("prices.ndjson", _write_ndjson),
        ("prices.jsonl.gz", _write_gzipped),
    ],
)
def test_a_table_is_read_from_a_file(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    made = data(stream().enrich(tmp_path / name, on="model"), RECORDS)
    assert [(each["price"], each["tier"] or None) for each in made] == [(1, "low"), (None, None), (2, None)]


@pytest.mark.parametrize("name", ["missing.csv", "missing.ndjson", "table.xls"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"enrich: table: .*{name}"):
        stream().enrich(str(tmp_path / name), on="model")


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "table.ndjson").write_text('{"model": "a"}\n{"model"\n')
    with pytest.raises(ConfigurationError, match="line 2 is no JSON"):
        stream().enrich(tmp_path / "table.ndjson", on="model")


def test_paths_are_matched_with_columns_of_other_names() -> None:
    table = [{"name": "a", "region": "eu", "price": 1}, {"name": "a", "region": "us", "price": 2}]
    builder = stream().enrich(table, on={"data.model": "name", "region": "region"})
    records = [
        {"t": 1, "data": {"model": "a"}, "region": "us"},
        {"t": 2, "data.model": "a", "region": "eu"},
        {"t": 3, "region": "eu"},
    ]
    assert [each["price"] for each in data(builder, records)] == [2, 1, None]


def test_a_dict_has_tuples_as_keys_of_several_fields() -> None:
    builder = stream().enrich({("a", 1): {"p": 5}}, on=["model", "tier"])
    assert [each["p"] for each in data(builder, [{"t": 1, "model": "a", "tier": 1.0}])] == [5]
    with pytest.raises(ConfigurationError, match="the key 'a' is no tuple of model, tier"):
        stream().enrich({"a": {"p": 5}}, on=["model", "tier"])


def test_inner_leaves_out_records_without_a_row() -> None:
    session = stream().enrich(PRICES, on="model", how="inner").open()
    assert [event.data["t"] for event in session.push(RECORDS)] == [1, 3]
    assert session.metrics["filtered"] == 1


@pytest.mark.parametrize("key", [None, math.nan, [1], {}, pd.NA, pd.NaT, True], ids=repr)
def test_a_key_that_equals_nothing_matches_nothing(key: Any) -> None:
    table = [{"k": 1, "v": "one"}, {"k": None, "v": "null"}, {"k": math.nan, "v": "nan"}]
    assert data(stream().enrich(table, on="k"), [{"t": 1, "k": key}])[0]["v"] is None


def test_numbers_are_equal_by_value() -> None:
    table = [{"k": 1, "v": "one"}, {"k": True, "v": "true"}]
    records = [{"t": 1, "k": key} for key in (1, 1.0, True, "1")]
    assert [each["v"] for each in data(stream().enrich(table, on="k"), records)] == [
        "one",
        "one",
        "true",
        None,
    ]


def test_the_record_is_copied_and_its_own_fields_stay() -> None:
    record = {"t": 1, "model": "a", "price": 9}
    [made] = data(stream().enrich(PRICES, on="model"), [record])
    assert made == {"t": 1, "model": "a", "price": 9, "tier": "low"}
    assert record == {"t": 1, "model": "a", "price": 9}
    [made] = data(stream().enrich(PRICES, on="model", prefix="list_"), [record])
    assert made == {"t": 1, "model": "a", "price": 9, "list_price": 1, "list_tier": "low"}


@pytest.mark.parametrize(
    ("builder", "on"),
    [
        (stream().select("t", "model", price=col("cost") * 2), "model"),
        (stream().enrich({"x": {"price": 1}}, on="model"), "model"),
        (stream().with_event_time("price"), "model"),
        (stream(), {"price": "model"}),
        (
            stream()
            .key_by("model")
            .with_tumbling_window("1m")
            .aggregate("ms", ["count"], prefix="")
            .aggregate("price", ["max"], prefix="price_"),
            "model",
        ),
    ],
)
def test_a_column_that_records_are_known_to_have_is_refused(builder: StreamPipelineBuilder, on: Any) -> None:
    table = [{"model": "a", "price": 1, "price_max": 3}]
    with pytest.raises(ConfigurationError, match=r"column 'price(_max)?' is a field of the records already"):
        builder.enrich(table, on=on)
    builder.enrich(table, on=on, prefix="new_")


def test_results_of_windows_are_enriched() -> None:
    builder = (
        stream()
        .key_by("model")
        .with_tumbling_window("10s")
        .aggregate("ms", ["count"])
        .enrich(PRICES, on="model")
    )
    harness = PipelineHarness(builder)
    harness.push([{"t": 1, "model": "b", "ms": 3}])
    harness.end_of_input()
    [event] = harness.drain()
    assert (event.data["count"], event.data["price"], event.key) == (1, 2, {"model": "b"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": [*PRICES, {"model": "a"}]}, "several rows of the key {'model': 'a'}"),
        ({"table": [{"k": 1}, {"k": 1.0}], "on": "k"}, "several rows of the key {'k': 1.0}"),
        ({"on": "name"}, "no column 'name' among model, price, tier"),
        ({"on": []}, r"on: \[\] is neither"),
        ({"on": 5}, "on: 5 is neither"),
        ({"on": ["model", "model"]}, "names a field twice"),
        ({"on": "a..b"}, "'a..b' is not a field path"),
        ({"how": "outer"}, "how: 'outer' is not 'left' or 'inner'"),
        ({"missing": "skip"}, "missing: 'skip' is not 'null' or 'error'"),
        ({"prefix": 1}, "prefix: 1 is no text"),
        ({"table": 5}, "5 is no table"),
        ({"table": [5]}, "5 is no row"),
        ({"table": {"a": 5}}, "5 is no row"),
    ],
)
def test_what_is_no_lookup_is_refused(arguments: dict[str, Any], message: str) -> None:
    said = {"table": PRICES, "on": "model", **arguments}
    with pytest.raises(ConfigurationError, match=message):
        stream().enrich(**said)


def test_a_missing_key_is_an_error_that_names_it() -> None:
    session = stream().enrich(PRICES, on="model", missing="error").open()
    with pytest.raises(PipelineError, match=r"there is no row of the key {'model': 'c'}; record {'t': 2"):
        session.push(RECORDS)


def test_a_missing_key_is_skipped_or_goes_to_the_dead_letters() -> None:
    builder = stream().enrich(PRICES, on="model", missing="error")
    skipping = builder.with_error_handler(ErrorHandler(ErrorPolicy.skip())).open()
    assert [event.data["t"] for event in skipping.push(RECORDS)] == [1, 3]
    assert (skipping.metrics["errors"], skipping.metrics["filtered"]) == (1, 0)
    dead = CollectSink()
    handler = ErrorHandler(ErrorPolicy.dead_letter()).with_sink(dead)
    with builder.with_error_handler(handler).open() as session:
        assert [event.data["t"] for event in session.push(RECORDS)] == [1, 3]
    assert [(event.value, event.position) for event in dead.results] == [({"t": 2, "model": "c"}, 1)]


# Tables that are loaded anew


class Loads:
    """Gives one table after the other; exceptions are raised."""

    def __init__(self, *tables: Any) -> None:
        self._tables = list(tables)

    def __call__(self) -> Any:
        table = self._tables.pop(0)
        if isinstance(table, Exception):
            raise table
        return table


def refreshing(*tables: Any, policy: ErrorPolicy | None = None) -> StreamPipelineBuilder:
    builder = stream().enrich(RefreshingTable(Loads(*tables), every="5m"), on="model")
    return builder if policy is None else builder.with_error_handler(ErrorHandler(policy))


def price_at(harness: PipelineHarness, clock: int) -> Any:
    harness.advance_processing_time(clock * 1_000_000)
    harness.push({"t": 1, "model": "a"})
    [event] = harness.drain()
    return event.data.get("price", "unknown")


def test_a_table_is_loaded_anew_when_the_clock_says() -> None:
    harness = PipelineHarness(refreshing({"a": {"price": 1}}, {"a": {"price": 2}}, {"b": {"price": 3}}))
    assert [price_at(harness, clock) for clock in (10, 309, 310, 609, 610)] == [1, 1, 2, 2, None]


def test_a_load_that_fails_keeps_the_table_that_there_is() -> None:
    tables = [
        {"a": {"price": 1}},
        OSError("no network"),
        [{"model": "a"}, {"model": "a"}],
        {"a": {"price": 4}},
    ]
    harness = PipelineHarness(refreshing(*tables, policy=ErrorPolicy.skip()))
    assert [price_at(harness, clock) for clock in (0, 300, 600, 900)] == [1, 1, 1, 4]
    assert harness.metrics["errors"] == 2
    assert [event.method for event in harness.drain_errors()] == ["load", "load"]


def test_a_first_load_that_fails_leaves_an_empty_table() -> None:
    harness = PipelineHarness(refreshing(OSError("no"), {"a": {"price": 1}}, policy=ErrorPolicy.skip()))
    assert [price_at(harness, clock) for clock in (0, 299, 300)] == ["unknown", "unknown", 1]


def test_a_load_that_fails_fails_the_pipeline_where_nothing_else_is_said() -> None:
    harness = PipelineHarness(refreshing(OSError("no network")))
    with pytest.raises(PipelineError, match=r"^enrich\(load\): OSError: no network"):
        harness.push({"t": 1, "model": "a"})


def test_a_load_is_tried_again() -> None:
    policy = ErrorPolicy.retry(max_attempts=2)
    harness = PipelineHarness(refreshing(OSError("no"), {"a": {"price": 1}}, policy=policy))
    assert price_at(harness, 0) == 1


def test_a_snapshot_holds_the_table() -> None:
    loads = Loads({"a": {"price": 1}}, {"a": {"price": 2}})
    builder = stream().enrich(RefreshingTable(loads, every="5m"), on="model")
    harness = PipelineHarness(builder)
    assert price_at(harness, 10) == 1
    harness = PipelineHarness.restore(builder, harness.snapshot())
    assert [price_at(harness, clock) for clock in (309, 310)] == [1, 2]


def test_refreshing_table_is_checked() -> None:
    with pytest.raises(ConfigurationError, match="load: 5 is not callable"):
        RefreshingTable(5, every="5m")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="every"):
        RefreshingTable(dict, every=0)


def test_explain_says_where_a_lookup_runs() -> None:
    [line] = [
        each for each in stream().enrich(PRICES, on="model").plan.explain().splitlines() if "enrich" in each
    ]
    assert line == "  enrich     from list of 2 rows on model, left   Python per record"


# Versions


class Versioned:
    """A stream that is enriched by another one; with `restoring`, it goes on from a snapshot at every step."""

    def __init__(self, *, restoring: bool = False, policy: ErrorPolicy | None = None, **said: Any) -> None:
        self.builder = stream().enrich(stream(), **{"on": "k", **said})
        if policy is not None:
            self.builder = self.builder.with_error_handler(ErrorHandler(policy))
        self.harness = PipelineHarness(self.builder)
        self._restoring = restoring

    def _step(self) -> None:
        if self._restoring:
            self.harness = PipelineHarness.restore(self.builder, self.harness.snapshot())

    def left(self, t: float, **fields: Any) -> None:
        self.harness.push({"t": t, **fields}, input="left")
        self._step()

    def right(self, t: float, **fields: Any) -> None:
        self.harness.push({"t": t, **fields}, input="right")
        self._step()

    def until(self, watermark: float) -> list[Any]:
        self.harness.advance_watermark(int(watermark * 1_000_000))
        self._step()
        return self._taken()

    def end(self) -> list[Any]:
        self.harness.end_of_input()
        return self._taken()

    def _taken(self) -> list[Any]:
        return [event.data for event in self.harness.drain()]


@pytest.mark.parametrize("restoring", [False, True])
def test_a_record_gets_the_version_as_of_its_time(restoring: bool) -> None:
    versioned = Versioned(restoring=restoring)
    versioned.right(10, k="a", rate=1)
    versioned.right(20, k="a", rate=2)
    for t in (9, 10, 19, 20):
        versioned.left(t, k="a")
    versioned.right(15, k="a", rate=1.5)
    assert versioned.until(9) == []
    assert versioned.until(10) == [{"t": 9, "k": "a"}]
    assert versioned.until(20) == [{"t": 10, "k": "a", "rate": 1}, {"t": 19, "k": "a", "rate": 1.5}]
    versioned.right(20, k="a", rate=2.5)
    assert versioned.until(20.000001) == [{"t": 20, "k": "a", "rate": 2.5}]
    versioned.left(30, k="a")
    assert versioned.end() == [{"t": 30, "k": "a", "rate": 2.5}]
    assert versioned.harness.metrics["live_keys"] == 0


def test_records_go_on_in_the_order_of_time_then_of_arrival() -> None:
    versioned = Versioned()
    for n, t in enumerate((3, 1, 2, 1, 4)):
        versioned.left(t, k="a", n=n)
    assert [each["n"] for each in versioned.until(4)] == [1, 3, 2, 0]
    assert [each["n"] for each in versioned.end()] == [4]


def test_without_a_version_its_fields_are_null() -> None:
    versioned = Versioned()
    versioned.right(1, k="b", rate=1)
    versioned.right(9, k="b", later=1)
    versioned.left(2, k="a")
    versioned.left(0, k="b")
    assert versioned.end() == [{"t": 0, "k": "b"}, {"t": 2, "k": "a", "rate": None}]


def test_inner_leaves_out_records_without_a_version() -> None:
    versioned = Versioned(how="inner", on={"k": "name"}, prefix="fx_")
    versioned.right(1, name="a", rate=1)
    for key in ("a", "b", None, math.nan, [1]):
        versioned.left(2, k=key)
    versioned.right(1, name=None, rate=2)
    assert versioned.end() == [{"t": 2, "k": "a", "fx_t": 1, "fx_rate": 1}]
    assert versioned.harness.metrics["filtered"] == 5


def test_late_records_and_versions_are_counted_and_handed_out() -> None:
    versioned = Versioned()
    versioned.until(10)
    versioned.left(9, k="a")
    versioned.right(9.5, k="a", rate=1)
    versioned.left(10, k="a")
    late = versioned.harness.drain_late()
    assert [
        (each.event["t"], each.position, each.key["k"], each.lateness.total_seconds()) for each in late
    ] == [
        (9, 0, "a", 1.0),
        (9.5, 1, "a", 0.5),
    ]
    assert versioned.end() == [{"t": 10, "k": "a"}]
    assert versioned.harness.metrics["late"] == 2


def test_late_records_go_to_the_side_output() -> None:
    late = CollectSink()
    handler = LateEventHandler().with_side_output(late)
    with stream().enrich(stream(), on="k").with_late_event_handler(handler).open() as session:
        session.advance_watermark(10_000_000)
        session.push({"t": 9, "k": "a"}, input="left")
    assert [each.event for each in late.results] == [{"t": 9, "k": "a"}]


def test_superseded_versions_are_freed() -> None:
    versioned = Versioned()
    for t in range(1, 6):
        versioned.right(t, k="a", rate=t)
    versioned.right(2, k="b", rate=2)
    live = []
    for watermark in (0.5, 1, 2.5, 4, 100):
        versioned.until(watermark)
        live.append(versioned.harness.metrics["live_keys"])
    assert live == [6, 6, 5, 3, 2]
    versioned.left(100, k="a")
    assert versioned.end() == [{"t": 100, "k": "a", "rate": 5}]
    assert versioned.harness.metrics["live_keys"] == 0


def test_a_missing_version_is_an_error_at_the_place_of_its_record() -> None:
    versioned = Versioned(missing="error", policy=ErrorPolicy.skip(), restoring=True)
    versioned.left(2, k="a")
    versioned.right(1, k="b", rate=1)
    versioned.left(1, k="b")
    assert versioned.end() == [{"t": 1, "k": "b", "rate": 1}]
    [error] = versioned.harness.drain_errors()
    assert (error.position, error.value) == (0, {"t": 2, "k": "a"})
    assert "there is no row of the key {'k': 'a'}" in str(error.error)


def test_batches_change_nothing() -> None:
    versions = [{"t": t, "k": "ab"[t % 2], "rate": t} for t in (1, 2, 5, 4, 3, 8, 9)]
    records = [{"t": t, "k": "abc"[t % 3]} for t in (2, 4, 4, 3, 9, 6)]
    outputs = []
    for cut in (1, 2, 3, 7):
        harness = PipelineHarness(stream().enrich(stream(), on="k"))
        for name, pushed in (("right", versions), ("left", records)):
            for first in range(0, len(pushed), cut):
                harness.push(pushed[first : first + cut], input=name)
                harness = PipelineHarness.restore(stream().enrich(stream(), on="k"), harness.snapshot())
        harness.end_of_input()
        outputs.append([event.data for event in harness.drain()])
    assert outputs == [outputs[0]] * 4
    assert outputs[0] == [
        {"t": 2, "k": "c", "rate": None},
        {"t": 3, "k": "a", "rate": 2},
        {"t": 4, "k": "b", "rate": 3},
        {"t": 4, "k": "b", "rate": 3},
        {"t": 6, "k": "a", "rate": 4},
        {"t": 9, "k": "a", "rate": 8},
    ]


def test_what_is_released_is_on_time_for_windows_behind_it() -> None:
    builder = stream().enrich(stream(), on="k").with_tumbling_window("10s").aggregate("rate", ["sum"])
    harness = PipelineHarness(builder)
    harness.push({"t": 1, "k": "a", "rate": 5}, input="right")
    harness.push([{"t": 9, "k": "a"}, {"t": 2, "k": "a"}, {"t": 10, "k": "a"}], input="left")
    harness.advance_watermark(10_000_000)
    assert [pane.results for pane in harness.drain()] == [{"sum": 10.0}]
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [{"sum": 5.0}]
    assert harness.metrics["late"] == 0


def test_explain_shows_both_streams() -> None:
    text = stream().enrich(stream(), on="k").plan.explain()
    [line] = [each for each in text.splitlines() if each.startswith("  enrich")]
    assert line.endswith("'left' with versions of 'right' on k, left  Python per record")
    assert "input 'left'" in text
    assert "input 'right'" in text


def test_records_with_versions_keep_the_key_of_their_stream() -> None:
    """As those with the fields of a table do."""
    harness = PipelineHarness(stream().key_by("k").enrich(stream(), on="k").running_count())
    harness.push([{"t": 1, "k": "a"}, {"t": 2, "k": "b"}, {"t": 3, "k": "a"}], input="left")
    harness.end_of_input()
    assert [event.data for event in harness.drain()] == [
        {"k": "a", "count": 1},
        {"k": "b", "count": 1},
        {"k": "a", "count": 2},
    ]
