"""Functions of all records of a key and window."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import llmopt_stream as ls
import pyarrow
import pytest
from llmopt_stream.testing import PipelineHarness, assert_laws

BUILDER = ls.create_pipeline().with_event_time("at.ts", unit="s").key_by("key")
TENS = BUILDER.with_tumbling_window("10s")


def record(second, value, key="a", other=None):
    return {"at": {"ts": second}, "key": key, "data": {"value": value}, "other": other}


def at(second):
    return datetime.fromtimestamp(second, UTC)


def driven(builder, *records, **options):
    harness = PipelineHarness(builder, **options)
    for each in records:
        harness.push(each)
    harness.end_of_input()
    return harness


def seen_by(builder, *records, fields=("data.value",), **options):
    seen = []
    driven(builder.apply(seen.append, list(fields), **options), *records)
    return seen


def test_records_come_in_order_of_event_time_and_of_equal_times_as_they_came():
    records = [
        record(5, 1.5),
        record(2, 2),
        record(5, True),
        record(2, None),
        record(1, "text"),
        record(3, [1]),
    ]
    assert seen_by(TENS, *records) == [
        [
            {"at.ts": at(1), "data.value": "text"},
            {"at.ts": at(2), "data.value": 2},
            {"at.ts": at(2), "data.value": None},
            {"at.ts": at(3), "data.value": None},
            {"at.ts": at(5), "data.value": 1.5},
            {"at.ts": at(5), "data.value": True},
        ]
    ]


def test_slices_that_are_merged_in_any_order_keep_it():
    builder = BUILDER.with_sliding_window("60s", "1s", time="processing").apply(
        lambda records: ",".join(f"{record['data.value']:g}" for record in records), ["data.value"]
    )
    harness = PipelineHarness(builder)
    for clock in range(60):
        harness.advance_processing_time(clock * 1_000_000)
        harness.push(record(clock % 2, clock))
    harness.advance_processing_time(60_000_000)
    evens, odds = (",".join(map(str, range(first, 60, 2))) for first in (0, 1))
    assert harness.drain()[-1].results == {"apply": f"{evens},{odds}"}


def test_fields_are_optional_and_may_be_several():
    assert seen_by(TENS, record(1, 1, other=2), fields=()) == [[{"at.ts": at(1)}]]
    [[both]] = seen_by(TENS, record(1, 1, other="x"), fields=("data.value", "other", "key", "none.such"))
    assert both == {"at.ts": at(1), "data.value": 1, "other": "x", "key": "a", "none.such": None}
    assert seen_by(TENS, record(1, 1, other=2**60 + 1), fields=["other"]) == [
        [{"other": 2**60 + 1, "at.ts": at(1)}]
    ]


def test_only_records_for_which_a_condition_is_true():
    rows = seen_by(TENS, *[record(second, second) for second in range(5)], where=ls.col("data.value") > 2)
    assert [[row["data.value"] for row in each] for each in rows] == [[3, 4]]
    [pane] = driven(TENS.apply(len, where=ls.col("data.value") > 2), record(1, 1)).drain()
    assert pane.results == {"apply": None}
    with pytest.raises(ls.ConfigurationError, match="apply: where: "):
        TENS.apply(len, where=ls.col("data.value") + 1)


def test_ndjson_and_arrow_give_the_same(tmp_path):
    rows = [record(1, 1.5), record(1, 2), record(3, None)]
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for source in (
        ls.FileSource(str(path)),
        ls.ArrowSource(pyarrow.Table.from_pylist(rows)),
        ls.IterableSource(rows),
    ):
        seen = []
        builder = TENS.apply(seen.append, ["data.value", "key", "at.ts"]).with_source(source)
        builder.with_sink(ls.CollectSink()).build().run()
        assert seen == [
            [
                {"at.ts": at(1), "data.value": 1.5, "key": "a"},
                {"at.ts": at(1), "data.value": 2, "key": "a"},
                {"at.ts": at(3), "data.value": None, "key": "a"},
            ]
        ]


def test_the_event_time_may_be_named_too():
    assert seen_by(TENS, record(1, 1), fields=("at.ts", "data.value")) == [
        [{"at.ts": at(1), "data.value": 1.0}]
    ]


def test_by_the_clock_records_keep_their_own_times():
    seen = []
    builder = BUILDER.with_tumbling_window("10s", time="processing").apply(seen.append, ["data.value"])
    harness = PipelineHarness(builder)
    harness.advance_processing_time(5_000_000)
    harness.push([record(500, 1), record(400, 2)])
    harness.advance_processing_time(10_000_000)
    assert [[row["at.ts"] for row in rows] for rows in seen] == [[at(400), at(500)]]


def test_key_and_window_are_given_to_a_function_that_takes_them():
    def by_keyword(records, *, window, key):
        return f"{key['key']} {window.end.second} {len(records)}"

    def by_position(records, key):
        return str(key)

    def anything(records, **given):
        return ",".join(given)

    builder = (
        TENS.apply(by_keyword, name="x").apply(by_position, name="y").apply(anything, name="z").apply(len)
    )
    [pane] = driven(builder, record(1, 1), record(2, 2)).drain()
    assert pane.results == {"x": "a 10 2", "y": "key=a", "z": "key,window", "apply": 2}


def test_beside_aggregates_and_with_several_fields_as_result():
    def spread(records):
        values = [row["data.value"] for row in records]
        return {"low": min(values), "high": max(values)}

    builder = TENS.aggregate("data.value", ["count"]).apply(spread, ["data.value"], name="spread")
    harness = driven(builder, record(1, 1), record(2, 5), record(3, 3, "b"))
    assert [pane.results for pane in harness.drain()] == [
        {"count": 2, "spread": {"low": 1.0, "high": 5.0}},
        {"count": 1, "spread": {"low": 3.0, "high": 3.0}},
    ]


def test_more_records_than_the_limit_are_an_error():
    builder = TENS.apply(len, name="n", limit=3)
    records = [record(second, 1) for second in range(4)]
    assert driven(builder, *records[:3]).drain()[0].results == {"n": 3}
    with pytest.raises(ls.AggregationError) as raised:
        driven(builder, *records)
    assert str(raised.value) == (
        "len.apply: 4 records are more than limit=3; raise the limit, or use an Aggregator, which does not keep them; "
        "key {'key': 'a'}, window [1970-01-01T00:00:00Z, 1970-01-01T00:00:10Z)"
    )
    handler = ls.ErrorHandler(ls.ErrorPolicy.dead_letter())
    harness = driven(builder.with_error_handler(handler), *records, record(11, 1))
    assert [pane.results["n"] for pane in harness.drain()] == [None, 1]
    [event] = harness.drain_errors()
    assert (event.aggregator, event.method, event.value) == ("len", "apply", None)


def test_the_limit_is_of_a_window_and_its_memory_is_bounded():
    builder = BUILDER.with_sliding_window("10s", "5s").apply(len, limit=1_000)
    harness = PipelineHarness(builder.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.skip())))
    harness.push([record(second, 1) for second in (1, 6) for _ in range(600)])
    most = harness.metrics["state_bytes"]
    harness.push([record(second, 1) for second in (1, 6) for _ in range(10_000)])
    assert harness.metrics["state_bytes"] < most
    harness.push([record(11, 1)])
    harness.end_of_input()
    assert [pane.results["apply"] for pane in harness.drain()] == [None, None, None, 1]
    assert len(seen_by(TENS, *[record(1, 1)] * 10_000)[0]) == 10_000
    with pytest.raises(ls.AggregationError, match="10,001 records are more than limit=10,000"):
        seen_by(TENS, *[record(1, 1)] * 10_001)


def test_exceptions_follow_the_error_policy():
    def fails(records):
        return 1 / (len(records) - 1)

    builder = TENS.apply(fails)
    records = [record(1, 1), record(2, 1), record(3, 1, "b")]
    with pytest.raises(
        ls.AggregationError, match=r"fails\.apply: ZeroDivisionError.*key {'key': 'b'}, window"
    ) as raised:
        driven(builder, *records)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    harness = driven(builder.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.retry())), *records)
    assert [pane.results["apply"] for pane in harness.drain()] == [1.0, None]
    assert harness.metrics["errors"] == 1
    with pytest.raises(ls.AggregationError, match="the result is of type list; expected"):
        driven(TENS.apply(list), *records)


def span(records):
    """The first and the last value, and the time between them."""
    [field] = records[0].keys() - {"at.ts"}
    values = [row[field] for row in records]
    times = [row["at.ts"] for row in records]
    assert times == sorted(times)
    return {"first": values[0], "last": values[-1], "seconds": (times[-1] - times[0]).total_seconds()}


@pytest.mark.parametrize(
    "builder",
    [
        BUILDER.with_tumbling_window("10s", allowed_lateness="5s"),
        BUILDER.with_sliding_window("20s", "5s"),
        BUILDER.with_sliding_window("60s", "5s", allowed_lateness="10s").with_accumulation("discarding"),
        BUILDER.with_session_window("10s", allowed_lateness="10s"),
        BUILDER.with_count_window(4, 3, flush=True),
        BUILDER.with_tumbling_window("10s").with_trigger(ls.AfterWatermark(early=ls.CountTrigger(2))),
    ],
    ids=lambda builder: str(builder.plan.branches[0].spec),
)
def test_laws(builder):
    """Snapshots need nothing of the function."""
    builder = builder.apply(span, ["data.value"]).apply(
        span, ["other"], name="chosen", where=ls.col("other") == "a"
    )
    assert_laws(builder.aggregate("data.value", ["count"]), max_examples=20)


def test_types_that_settle_late():
    seen = []
    harness = PipelineHarness(TENS.apply(seen.append, ["data.value", "other"]))
    for values, others in (([1, 2], [None, None]), ([3, 4], [2**60 + 1, None])):
        rows = [record(value, value, other=other) for value, other in zip(values, others, strict=True)]
        harness.push_batch(pyarrow.Table.from_pylist(rows))
    harness.end_of_input()
    assert [row["other"] for row in seen[0]] == [None, None, 2**60 + 1, None]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((None,), "fn: None is not callable"),
        ((len, "data.value"), "fields: 'data.value' is one text"),
        ((len, ["a..b"]), "fields: 'a..b' is not a field path"),
    ],
)
def test_settings_are_checked(arguments, complaint):
    with pytest.raises(ls.ConfigurationError, match=complaint):
        TENS.apply(*arguments)


@pytest.mark.parametrize("options", [{"name": ""}, {"limit": 0}, {"limit": 1.5}, {"limit": True}])
def test_options_are_checked(options):
    with pytest.raises(ls.ConfigurationError, match=f"apply: {next(iter(options))}: "):
        TENS.apply(len, **options)


def test_names_must_differ():
    with pytest.raises(ls.ConfigurationError, match="two columns of the result would be called 'apply'"):
        TENS.apply(len).apply(max).checked()


def test_explain_says_where_it_runs(capsys):
    lines = [
        " ".join(line.split()) for line in TENS.apply(span, ["data.value"], name="s").explain().splitlines()
    ]
    assert "apply span of data.value: s Python per pane" in lines
