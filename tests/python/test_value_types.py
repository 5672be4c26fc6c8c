"""What type a value column has: the first input that says so settles it."""

import pyarrow
import pytest
from llmopt_stream import ConfigurationError, create_pipeline
from llmopt_stream.testing import PipelineHarness

BIG = 2**53 + 1  # as floats, BIG and BIG - 1 are the same

BUILDER = (
    create_pipeline()
    .with_event_time("ts", unit="ms")
    .key_by("key")
    .with_tumbling_window("10s")
    .aggregate("value", ["count", "sum", "max"])
)


def table(values, type=None):
    return pyarrow.table(
        {
            "key": ["a"] * len(values),
            "ts": list(range(1, len(values) + 1)),
            "value": pyarrow.array(values, type),
        }
    )


def ints(*values):
    return table(values, pyarrow.int64())


def record(value):
    return {"key": "a", "ts": 5, "value": value}


def results(harness):
    harness.end_of_input()
    return [tuple(pane.results.values()) for pane in harness.drain()]


def exactly(expected):
    """Equal, and of the same types."""
    return [[(type(value), value) for value in row] for row in expected]


@pytest.mark.parametrize(
    "before",
    [
        lambda harness: harness.drain(),
        lambda harness: harness.drain_late(),
        lambda harness: harness.snapshot(),
        lambda harness: harness.advance_watermark(0),
        lambda harness: harness.advance_processing_time(1),
        lambda harness: harness.metrics,
        lambda harness: harness.push([]),
        lambda harness: harness.push_batch(table([None, None], pyarrow.null())),
    ],
    ids=["drain", "drain_late", "snapshot", "watermark", "clock", "metrics", "no records", "nulls"],
)
@pytest.mark.parametrize("parallelism", [1, 3])
def test_types_stay_open_until_input_has_one(before, parallelism):
    harness = PipelineHarness(BUILDER, parallelism=parallelism)
    before(harness)
    harness.push_batch(ints(BIG, 2))
    assert exactly(results(harness)) == exactly([(2, BIG + 2, BIG)])


def test_a_column_of_nulls_stays_open_across_panes_and_a_snapshot():
    harness = PipelineHarness(BUILDER)
    harness.push_batch(table([None, None], pyarrow.null()))
    harness.advance_watermark(10_000_000)
    harness = PipelineHarness.restore(BUILDER, harness.snapshot())
    harness.push_batch(ints(BIG).set_column(1, "ts", [[12_000]]))
    assert exactly(results(harness)) == exactly([(0, 0, None), (1, BIG, BIG)])
    assert harness.metrics["skipped_values"] == [2]


def test_each_column_settles_by_itself():
    builder = BUILDER.aggregate("other", ["sum"], prefix="other_")
    harness = PipelineHarness(builder)
    harness.push_batch(ints(BIG).append_column("other", pyarrow.nulls(1)))
    harness.push_batch(table([None], pyarrow.null()).append_column("other", pyarrow.array([BIG])))
    assert exactly(results(harness)) == exactly([(1, BIG, BIG, BIG)])


def test_a_column_of_nulls_then_records_is_float():
    harness = PipelineHarness(BUILDER)
    harness.push_batch(table([None], pyarrow.null()))
    harness.push([record(1), record(2.5)])
    assert exactly(results(harness)) == exactly([(2, 3.5, 2.5)])


def test_integers_of_records_stay_exact_after_an_integer_column():
    harness = PipelineHarness(BUILDER)
    harness.push_batch(ints(BIG, 1))
    harness.push([record(BIG), record(2.0), record(None), record(float("nan")), record("3")])
    assert exactly(results(harness)) == exactly([(4, 2 * BIG + 3, BIG)])


def test_whole_floats_of_a_column_fit_integers():
    harness = PipelineHarness(BUILDER)
    harness.push_batch(ints(BIG))
    harness.push_batch(table([2.0, None, float("nan")], pyarrow.float64()))
    assert exactly(results(harness)) == exactly([(2, BIG + 2, BIG)])


def test_a_column_of_nulls_fits_integers():
    harness = PipelineHarness(BUILDER)
    harness.push_batch(ints(BIG))
    harness.push_batch(table([None], pyarrow.null()))
    assert exactly(results(harness)) == exactly([(1, BIG, BIG)])


@pytest.mark.parametrize("late", [record(2.5), record(2**63), table([2.5]), [record(1), record(1e300)]])
def test_a_float_after_an_integer_column_is_refused_and_nothing_is_taken(late):
    harness = PipelineHarness(BUILDER)
    harness.push_batch(ints(1))
    with pytest.raises(ConfigurationError, match=r"field 'value': .*with_schema\(\{'value': float\}\)"):
        harness.push(late)
    harness.push(record(2))
    assert exactly(results(harness)) == exactly([(2, 3, 2)])


def test_a_float_of_a_malformed_record_is_not_refused():
    harness = PipelineHarness(BUILDER)
    harness.push_batch(ints(1))
    harness.push([{**record(2.5), "key": [1]}, record(2)])
    assert exactly(results(harness)) == exactly([(2, 3, 2)])


@pytest.mark.parametrize(
    ("declared", "expected"), [(float, [(3, 4.5, 2.5)]), (int, [(2, 2, 1)])], ids=["float", "int"]
)
def test_a_declared_type_holds_whatever_comes_first(declared, expected):
    steps = [ints(1), [record(2.5), record(1)]]
    for order in (steps, steps[::-1]):
        harness = PipelineHarness(BUILDER.with_schema({"value": declared}))
        for step in order:
            harness.push(step)
        assert exactly(results(harness)) == exactly(expected)


def test_cuts_of_the_input_do_not_matter():
    rows = [record(value) for value in (BIG, 1.0, 5, None)]
    expected = exactly([(4, 2 * BIG - 1 + 7, BIG)])
    for cut in range(5):
        harness = PipelineHarness(BUILDER)
        harness.push_batch(ints(BIG))
        harness.push(rows[:cut])
        harness.push(rows[cut:])
        assert exactly(results(harness)) == expected
