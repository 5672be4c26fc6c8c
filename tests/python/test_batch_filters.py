"""Filters by expressions of polars and pyarrow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow.compute as pc
import pytest
from llmopt_stream import (
    CollectSink,
    ConfigurationError,
    ErrorHandler,
    ErrorPolicy,
    PipelineError,
    StreamPipelineBuilder,
    create_pipeline,
)
from llmopt_stream.testing import PipelineHarness

x = pl.col("x")


def stream() -> StreamPipelineBuilder:
    return create_pipeline().with_event_time("t", unit="s")


def kept(builder: StreamPipelineBuilder, values: list[Any], name: str = "x") -> list[Any]:
    """The values that go on, of one batch; the same as one by one, with a snapshot between each two."""
    records = [{"t": at, name: value} for at, value in enumerate(values)]
    harness = PipelineHarness(builder)
    harness.push(records)
    whole = [event.data[name] for event in harness.drain()]
    single = []
    other = PipelineHarness(builder)
    for record in records:
        other = PipelineHarness.restore(builder, other.snapshot())
        other.push(record)
        single += [event.data[name] for event in other.drain()]
    assert repr(whole) == repr(single)
    assert other.metrics["filtered"] == harness.metrics["filtered"]
    return whole


def test_polars_keeps_records_for_which_it_is_true_and_null_is_not() -> None:
    assert kept(stream().filter(x > 1), [1, 2, None, 2.5, 0.5]) == [2, 2.5]


def test_polars_reads_dotted_paths() -> None:
    builder = stream().filter((pl.col("data.ms") > 10) & pl.col("data.model").str.contains("gpt"))
    session = builder.open()
    records = [
        {"t": 1, "data": {"ms": 20, "model": "gpt-4o"}},
        {"t": 2, "data": {"ms": 20}},
        {"t": 3, "data.ms": 30, "data.model": "gpt-4"},
        {"t": 4},
        {"t": 5, "data": {"ms": 5, "model": "gpt-4o"}},
    ]
    assert [event.data["t"] for event in session.push(records)] == [1, 3]
    assert session.metrics["filtered"] == 3


def test_pyarrow_keeps_records_for_which_it_is_true_and_null_is_not() -> None:
    builder = stream().filter(pc.field("data.x") > 1, fields=["data.x"])
    assert kept(builder, [1, 2, None, 2.5, 0.5], "data.x") == [2, 2.5]


@pytest.mark.parametrize(
    "builder",
    [
        stream().filter(x.str.contains("a")),
        stream().filter(pc.match_substring(pc.field("x"), "a"), fields=["x"]),
    ],
)
def test_null_fits_functions_of_text(builder: StreamPipelineBuilder) -> None:
    assert kept(builder, [None, "a", "b", "ca"]) == ["a", "ca"]


def test_null_is_not_known_to_be_false() -> None:
    assert kept(stream().filter(~x), [None, True, False]) == [False]
    assert kept(stream().filter(x.is_null()), [None, 1, "a"]) == [None]
    assert kept(stream().filter(x.fill_null(0) < 1), [None, 0, 2]) == [None, 0]


def test_mixed_types_are_compared_as_what_they_are_by_themselves() -> None:
    builder = stream().filter(x.cast(pl.String) == "1")
    assert kept(builder, [1, 1.0, "1", 2**80, True, [1]][:3]) == [1, "1"]


def test_values_of_any_type_are_evaluated_record_by_record() -> None:
    builder = stream().filter(x.list.len() > 1)
    assert kept(builder, [[1, 2], [1], ["a", 3], None]) == [[1, 2], ["a", 3]]


def test_times_are_compared() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    builder = stream().filter(x.dt.hour() >= 12)
    assert kept(builder, [noon, noon.replace(hour=3), None]) == [noon]


def test_what_does_not_fit_its_type_fails_the_pipeline() -> None:
    session = stream().filter(x.str.contains("a")).open()
    with pytest.raises(
        PipelineError,
        match=r"^filter\(col\(.x.\)\.str\.contains.*\): InvalidOperationError: .*; record {'t': 2, 'x': 5}",
    ):
        session.push([{"t": 1, "x": "a"}, {"t": 2, "x": 5}])


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_what_does_not_fit_its_type_is_skipped_and_counted(cut: int) -> None:
    handler = ErrorHandler(ErrorPolicy.skip())
    harness = PipelineHarness(stream().filter(x.str.contains("a")).with_error_handler(handler))
    records = [{"t": at, "x": value} for at, value in enumerate(["a", 5, "b", None])]
    for first in range(0, 4, cut):
        harness.push(records[first : first + cut])
    assert [event.data["x"] for event in harness.drain()] == ["a"]
    assert (harness.metrics["errors"], harness.metrics["filtered"]) == (1, 2)
    assert [(event.value, event.position) for event in harness.drain_errors()] == [({"t": 1, "x": 5}, 1)]


def test_what_does_not_fit_its_type_goes_to_the_dead_letters() -> None:
    dead = CollectSink()
    handler = ErrorHandler(ErrorPolicy.dead_letter()).with_sink(dead)
    builder = stream().filter(pc.field("x") > 1, fields=["x"]).with_error_handler(handler)
    with builder.open() as session:
        assert [event.data["x"] for event in session.push([{"t": 1, "x": "a"}, {"t": 2, "x": 2}])] == [2]
    assert [event.value for event in dead.results] == [{"t": 1, "x": "a"}]


@pytest.mark.parametrize(
    "condition",
    [
        x > x.mean(),
        x == x.max(),
        x.max() > 3,
        x.shift(1) > 0,
        x.cum_sum() > 10,
        x.is_duplicated(),
        x.is_first_distinct(),
        x.rank() > 3,
        x.filter(x > 2) > 3,
        x.str.len_chars() > x.str.len_chars().mean(),
    ],
    ids=str,
)
def test_an_expression_of_whole_columns_is_refused(condition: pl.Expr) -> None:
    with pytest.raises(
        ConfigurationError, match="is not row-wise: whether a record is kept depends on the other"
    ):
        stream().filter(condition)


@pytest.mark.parametrize("condition", [pl.all() > 1, pl.lit(value=True), pl.col("^a.*$") > 1])
def test_an_expression_that_does_not_name_its_fields_is_refused(condition: pl.Expr) -> None:
    with pytest.raises(ConfigurationError, match="does not name the fields that it reads"):
        stream().filter(condition)


def test_an_expression_of_pyarrow_needs_its_fields() -> None:
    with pytest.raises(
        ConfigurationError, match=r"name them: \.filter\(\(x > 1\), fields=\['data.latency_ms'\]\)"
    ):
        stream().filter(pc.field("x") > 1)


def test_fields_of_polars_are_known_already() -> None:
    with pytest.raises(ConfigurationError, match=r"fields: \['x'\]: an expression of polars says by itself"):
        stream().filter(x > 1, fields=["x"])


def test_a_column_is_no_expression() -> None:
    with pytest.raises(ConfigurationError, match="is no expression"):
        stream().filter(pl.Series([True]))


def test_explain_says_where_it_runs() -> None:
    lines = stream().filter(pc.field("x") > 1, fields=["x"]).plan.explain().splitlines()
    [line] = [line.split() for line in lines if line.startswith("  filter")]
    assert line == ["filter", "(x", ">", "1)", "of", "x", "Python", "per", "batch"]


def test_windows_follow_with_the_watermarks_between_records() -> None:
    builder = stream().filter(x > 1).key_by("k").with_tumbling_window("10s").aggregate("x", ["count", "sum"])
    harness = PipelineHarness(builder)
    harness.push([{"t": 1, "k": "a", "x": 5}, {"t": 2, "k": "a", "x": 0}, {"t": 3, "k": "b", "x": 2}])
    harness.advance_watermark(10_000_000)
    harness.push([{"t": 4, "k": "a", "x": 9}])
    assert [(each.key["k"], each.results) for each in harness.drain()] == [
        ("a", {"count": 1, "sum": 5.0}),
        ("b", {"count": 1, "sum": 2.0}),
    ]
    assert harness.metrics["late"] == 1
