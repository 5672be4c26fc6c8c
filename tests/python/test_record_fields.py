"""What times, values and keys of Python and JSON records mean."""

import uuid
from datetime import UTC, date, datetime, timedelta, timezone

import llmopt_stream as ls
import numpy
import pandas
import pyarrow
import pytest
from llmopt_stream.testing import PipelineHarness

BUILDER = (
    ls.create_pipeline()
    .with_event_time("ts", unit="ms")
    .key_by("key")
    .with_tumbling_window("1s")
    .aggregate("value", ["count", "sum"])
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def outcome(*batches):
    """(start, key, count) of each pane, and what was malformed."""
    harness = PipelineHarness(BUILDER)
    for batch in batches:
        harness.push(batch)
    harness.end_of_input()
    panes = [(pane.window.start, pane.key["key"], pane.results["count"]) for pane in harness.drain()]
    return panes, harness.metrics["malformed_by_kind"]


def of_json(tmp_path, *keys):
    path = tmp_path / "records.ndjson"
    path.write_text("".join(f'{{"key": {key}, "ts": 0, "value": 1}}\n' for key in keys))
    sink = ls.CollectSink()
    pipeline = BUILDER.with_source(ls.FileSource(path)).with_sink(sink).build()
    summary = pipeline.run()
    return [result.key["key"] for result in sink.results], summary.malformed


@pytest.mark.parametrize(
    "time",
    [
        ls.EventTimestamp.event(START),
        numpy.datetime64("2026-01-01"),
        numpy.datetime64("2026", "Y"),
        numpy.datetime64("2026-01-01T00", "h"),
        numpy.datetime64("2026-01-01T00:00:00", "s"),
        numpy.datetime64("2026-01-01T00:00:00.999", "ms"),
        numpy.datetime64("2026-01-01T00:00:00.123456789", "ns"),
        pandas.Timestamp("2026-01-01", tz="UTC"),
        pandas.Timestamp("2026-01-01T01:00:00+01:00"),
        date(2026, 1, 1),
    ],
    ids=repr,
)
def test_objects_that_are_times(time):
    assert outcome({"key": 1, "ts": time, "value": 1}) == ([(START, 1, 1)], {})


@pytest.mark.parametrize("time", [pandas.NaT, numpy.datetime64("NaT"), numpy.datetime64("NaT", "ns"), True])
def test_what_is_no_time_is_malformed(time):
    assert outcome({"key": 1, "ts": time, "value": 1}) == ([], {"time_invalid": 1})


@pytest.mark.parametrize("key", [-(2**63), 2**63 - 1, 2**63, 2**64 - 1])
def test_integer_keys_of_64_bits_are_exact(key, tmp_path):
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert outcome({"key": key, "ts": 0, "value": 1}) == ([(epoch, key, 1)], {})
    assert of_json(tmp_path, key) == ([key], 0)


@pytest.mark.parametrize("key", [-(2**63) - 1, 2**64, 10**400])
def test_integer_keys_beyond_64_bits_are_malformed(key, tmp_path):
    assert outcome({"key": key, "ts": 0, "value": 1}) == ([], {"key_not_scalar": 1})
    assert of_json(tmp_path, key, 1) == ([1], 1)


def test_json_numbers_beyond_a_float_are_no_keys(tmp_path):
    assert of_json(tmp_path, "1e400", "-1e400", "1e300") == ([1e300], 2)


def test_numpy_truth_values_are_truth_values():
    records = [
        {"key": numpy.True_, "ts": 0, "value": 1},
        {"key": True, "ts": 0, "value": numpy.True_},
        {"key": numpy.False_, "ts": 0, "value": 1},
    ]
    panes, malformed = outcome(records)
    assert [(key, count) for _, key, count in panes] == [(False, 1), (True, 1)]
    assert [type(key) for _, key, _ in panes] == [bool, bool]
    assert malformed == {}


@pytest.mark.parametrize(
    ("keys", "type", "text"),
    [
        ([START], pyarrow.timestamp("us", "UTC"), "2026-01-01T00:00:00+00:00"),
        ([START.replace(tzinfo=None)], pyarrow.timestamp("ms"), "2026-01-01T00:00:00+00:00"),
        (
            [START + timedelta(microseconds=5)],
            pyarrow.timestamp("us", "UTC"),
            "2026-01-01T00:00:00.000005+00:00",
        ),
        (
            [datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))],
            pyarrow.timestamp("ns", "Europe/Berlin"),
            "2026-01-01T00:00:00+00:00",
        ),
        (
            [datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)],
            pyarrow.timestamp("us", "UTC"),
            "1969-12-31T23:59:59.000001+00:00",
        ),
        ([date(2024, 2, 29)], pyarrow.date32(), "2024-02-29"),
        ([date(1, 1, 1)], pyarrow.date32(), "0001-01-01"),
        ([date(9999, 12, 31)], pyarrow.date64(), "9999-12-31"),
    ],
    ids=str,
)
def test_times_as_keys_are_the_same_text_from_records_and_columns(keys, type, text):
    table = pyarrow.table({"key": pyarrow.array(keys, type), "ts": [0], "value": [1]})
    record = {"key": keys[0], "ts": 0, "value": 1}
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert outcome(record, table) == ([(epoch, text, 2)], {})
    encoded = table.set_column(0, "key", table["key"].dictionary_encode())
    assert outcome(encoded) == ([(epoch, text, 1)], {})


def test_times_of_numpy_and_pandas_as_keys():
    keys = [numpy.datetime64("2026-01-01T00:00:00", "s"), pandas.Timestamp(START), START]
    panes, _ = outcome([{"key": key, "ts": 0, "value": 1} for key in keys])
    assert [(key, count) for _, key, count in panes] == [("2026-01-01T00:00:00+00:00", 3)]
    panes, _ = outcome(
        [{"key": key, "ts": 0, "value": 1} for key in (pandas.NaT, numpy.datetime64("NaT"), None)]
    )
    assert [(key, count) for _, key, count in panes] == [(None, 3)]


def test_objects_are_no_keys():
    assert outcome({"key": uuid.UUID(int=5), "ts": 0, "value": 1}) == ([], {"key_not_scalar": 1})
