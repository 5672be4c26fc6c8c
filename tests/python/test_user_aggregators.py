"""Aggregators of a user's own, written in Python."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import llmopt_stream as ls
import numpy
import pyarrow
import pytest
from llmopt_stream.testing import PipelineHarness, assert_laws

SECOND = 1_000_000


@dataclass
class CustomAccumulator:
    sum_of_squares: float = 0.0
    count: int = 0


class VarianceAggregator(ls.Aggregator):
    """The specification's custom aggregator."""

    def create_accumulator(self):
        return CustomAccumulator()

    def add(self, acc, value):
        acc.sum_of_squares += value * value
        acc.count += 1

    def merge(self, acc1, acc2):
        return CustomAccumulator(
            sum_of_squares=acc1.sum_of_squares + acc2.sum_of_squares, count=acc1.count + acc2.count
        )

    def get_result(self, acc):
        return acc

    def name(self):
        return "variance"


class SavedVariance(VarianceAggregator):
    def to_bytes(self, acc):
        return json.dumps([acc.sum_of_squares, acc.count]).encode()

    def from_bytes(self, encoded):
        return CustomAccumulator(*json.loads(encoded))


class BatchVariance(SavedVariance):
    def add_batch(self, acc, values):
        for value in values.tolist():
            self.add(acc, value)


class Digits(ls.Aggregator):
    """The distinct values, kept in a set within a dict, by a merge that changes and shares what it is given."""

    def create_accumulator(self):
        return {}

    def add(self, acc, value):
        acc.setdefault(int(value) % 2, set()).add(value)

    def merge(self, a, b):
        for parity, values in b.items():
            if parity in a:
                a[parity].update(values)
            else:
                a[parity] = values
        b.clear()
        return a

    def get_result(self, acc):
        return len(set().union(*acc.values()))

    def name(self):
        return "digits"

    def to_bytes(self, acc):
        return json.dumps([[parity, sorted(values)] for parity, values in acc.items()]).encode()

    def from_bytes(self, encoded):
        return {parity: set(values) for parity, values in json.loads(encoded)}


class DeepCopiedDigits(Digits):
    to_bytes = None
    from_bytes = None


class Greatest(ls.Aggregator):
    """A new accumulator at each value; None is one of them."""

    def create_accumulator(self):
        return None

    def add(self, acc, value):
        return value if acc is None else max(acc, value)

    def merge(self, a, b):
        return b if a is None or (b is not None and b > a) else a

    def get_result(self, acc):
        return acc

    def name(self):
        return "greatest"

    def to_bytes(self, acc):
        return json.dumps(acc).encode()

    def from_bytes(self, encoded):
        return json.loads(encoded)


class Returning(Greatest):
    """Gives what it is told as the result."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def get_result(self, acc):
        return self.result


BUILDER = ls.create_pipeline().with_event_time("ts", unit="s").key_by("key")
TENS = BUILDER.with_tumbling_window("10s")


def record(second, value, key="a"):
    return {"ts": second, "key": key, "value": value}


def driven(builder, *records, **options):
    harness = PipelineHarness(builder, **options)
    for each in records:
        harness.push(each)
    harness.end_of_input()
    return harness


def results(builder, *records, **options):
    return [pane.results for pane in driven(builder, *records, **options).drain()]


def test_the_specifications_aggregator_runs_as_written():
    builder = TENS.aggregate("value", [VarianceAggregator(), "count"])
    assert results(builder, record(1, 3.0), record(2, 4), record(3, None), record(11, 5.0)) == [
        {"variance": {"sum_of_squares": 25.0, "count": 2}, "count": 2},
        {"variance": {"sum_of_squares": 25.0, "count": 1}, "count": 1},
    ]


def test_alone_it_is_what_it_is_in_python():
    aggregator = VarianceAggregator()
    a, b = aggregator.create_accumulator(), aggregator.create_accumulator()
    aggregator.add(a, 3.0)
    aggregator.add(b, 4.0)
    assert aggregator.get_result(aggregator.merge(a, b)) == CustomAccumulator(25.0, 2)
    assert aggregator.name() == "variance"


def test_a_composite_has_it_beside_others_alone_and_in_a_pipeline():
    composite = ls.CompositeAggregator(["sum", VarianceAggregator(), "p50"])
    halves = [composite.create_accumulator() for _ in range(2)]
    for value in (3.0, float("nan"), None):
        composite.add(halves[0], value)
    composite.add(halves[1], 4.0)
    merged = composite.merge(*halves)
    expected = {"sum": 7.0, "variance": {"sum_of_squares": 25.0, "count": 2}, "p50": 3.0}
    assert composite.get_result(merged) == expected
    assert composite.get_result(halves[0])["variance"] == {"sum_of_squares": 9.0, "count": 1}
    assert results(TENS.aggregate("value", composite), record(1, 3), record(2, 4)) == [expected]


def test_an_accumulator_of_a_composite_is_saved_where_the_aggregator_can_be():
    composite = ls.CompositeAggregator(["count", SavedVariance()])
    accumulator = composite.create_accumulator()
    composite.add(accumulator, 3.0)
    restored = composite.create_accumulator()
    restored.decode(accumulator.encode())
    composite.add(restored, 4.0)
    assert composite.get_result(restored) == {"count": 2, "variance": {"sum_of_squares": 25.0, "count": 2}}
    unsaved = ls.CompositeAggregator([VarianceAggregator()])
    accumulator = unsaved.create_accumulator()
    unsaved.add(accumulator, 3.0)
    with pytest.raises(
        ls.CheckpointError, match=r"VarianceAggregator cannot be saved: give it to_bytes.*from_bytes"
    ):
        accumulator.encode()


def test_an_exception_in_a_composite_alone_names_class_and_method():
    composite = ls.CompositeAggregator([Returning([1])])
    accumulator = composite.create_accumulator()
    assert composite.get_result(accumulator) == {"greatest": None}
    composite.add(accumulator, 1.0)
    with pytest.raises(
        ls.AggregationError, match=r"^Returning\.get_result: .*the result is of type list; expected"
    ) as raised:
        composite.get_result(accumulator)
    assert isinstance(raised.value.__cause__, TypeError)


def test_prefix_and_order_of_results():
    builder = TENS.aggregate("value", [VarianceAggregator(), "count", Greatest()], prefix="x_")
    assert list(results(builder, record(1, 1))[0]) == ["x_variance", "x_count", "x_greatest"]
    with pytest.raises(ls.ConfigurationError, match="two columns of the result would be called 'variance'"):
        TENS.aggregate("value", [VarianceAggregator(), SavedVariance()]).checked()


def test_values_are_floats_and_integers_where_the_column_is():
    class Types(Greatest):
        def add(self, acc, value):
            return f"{acc or ''}{type(value).__name__} "

    builder = TENS.aggregate("value", [Types()])
    assert results(builder, record(1, 3), record(2, 2.5)) == [{"greatest": "float float "}]
    assert results(builder.with_schema({"value": int}), record(1, 2**60 + 1)) == [{"greatest": "int "}]
    exact = TENS.aggregate("value", [Greatest()]).with_schema({"value": int})
    assert results(exact, record(1, 2**60 + 1), record(2, 5)) == [{"greatest": 2**60 + 1}]


@pytest.mark.parametrize(("schema", "dtype"), [({}, "float64"), ({"value": int}, "int64")])
def test_add_batch_gets_arrays_of_one_keys_values_in_order_without_nulls(schema, dtype):
    class Batches(Greatest):
        def add_batch(self, acc, values):
            assert isinstance(values, numpy.ndarray)
            values += 0  # it is the aggregator's own
            return f"{acc or ''}{values.dtype}{values.tolist()}"

    harness = PipelineHarness(TENS.aggregate("value", [Batches(), "count"]).with_schema(schema))
    harness.push([record(1, 3), record(1, 4, "b"), record(2, None), record(3, 1), record(2, 2, "b")])
    harness.push([record(4, 7)])
    harness.end_of_input()
    one = "1" if dtype == "int64" else "1.0"
    three, four, two, seven = (one.replace("1", digit) for digit in "3427")
    assert [(pane.key["key"], pane.results) for pane in harness.drain()] == [
        ("a", {"greatest": f"{dtype}[{three}, {one}]{dtype}[{seven}]", "count": 3}),
        ("b", {"greatest": f"{dtype}[{four}, {two}]", "count": 2}),
    ]
    assert harness.metrics["skipped_values"] == [1, 1]


def test_a_pane_without_a_value_has_no_result():
    builder = TENS.aggregate("value", [VarianceAggregator(), Greatest()])
    harness = driven(builder, record(1, None), record(2, float("nan")), record(2, "text"))
    assert [pane.results for pane in harness.drain()] == [{"variance": None, "greatest": None}]
    assert harness.metrics["skipped_values"] == [3, 3]


@dataclass
class Pair:
    low: float
    high: Any = None


Named = namedtuple("Named", "low high")  # noqa: PYI024


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, None),
        (2.5, 2.5),
        (7, 7),
        (True, True),
        ("text é", "text é"),
        (numpy.float32(0.5), 0.5),
        (numpy.int64(7), 7),
        (numpy.bool_(True), True),
        ({"low": 1, "high": None}, {"low": 1, "high": None}),
        (Pair(1.5, "x"), {"low": 1.5, "high": "x"}),
        (Named(1, numpy.float64(2)), {"low": 1, "high": 2.0}),
        ({}, {}),
    ],
    ids=repr,
)
def test_results_of_all_kinds(result, expected):
    [pane] = results(TENS.aggregate("value", [Returning(result)]), record(1, 1))
    assert pane == {"greatest": expected}
    assert type(pane["greatest"]) is type(expected)


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ([1], "the result is of type list; expected None, a number, a truth value, text, or a flat dict, dataclass or named"),
        ({1}, "the result is of type set; expected"),
        (1j, "the result is of type complex; expected"),
        (2**63, "the result is 9223372036854775808, which does not fit into 64 bits"),
        ((1, 2), "the result is of type tuple; expected"),
        ({"a": {"b": 1}}, "the field 'a' of the result is of type dict; expected None, a number, a truth value, text; key"),
        (Pair([1]), "the field 'low' of the result is of type list; expected"),
        ({1: 2}, "the result has a field 1; names of fields are text"),
        ("\ud800", "UnicodeEncodeError"),
        (Pair, "the result is of type type; expected"),
        (numpy.array([1.0]), "the result is of type ndarray; expected"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_result_of_a_wrong_kind_is_an_error_that_says_so(result, complaint):
    with pytest.raises(ls.AggregationError) as raised:
        driven(TENS.aggregate("value", [Returning(result)]), record(1, 1))
    assert str(raised.value).startswith("Returning.get_result: ")
    assert complaint in str(raised.value)


def test_results_with_fields_are_struct_columns_and_json():
    sink = ls.CollectSink()
    with TENS.aggregate("value", [VarianceAggregator(), Greatest()]).with_sink(sink).open() as session:
        session.push([record(1, 3), record(11, None)])
        table = session.flush()
    arrow = table.to_arrow()
    assert arrow.schema.field("variance").type == pyarrow.struct(
        [("sum_of_squares", pyarrow.float64()), ("count", pyarrow.int64())]
    )
    assert arrow.column("variance").to_pylist() == [
        {"sum_of_squares": 9.0, "count": 1},
        None,
    ]
    assert arrow.column("greatest").to_pylist() == [3.0, None]
    assert json.loads(table[0].to_json())["results"] == {
        "variance": {"sum_of_squares": 9.0, "count": 1},
        "greatest": 3.0,
    }


def test_json_has_no_number_that_is_not_finite_in_fields_either():
    [pane] = driven(TENS.aggregate("value", [Returning({"x": float("inf")})]), record(1, 1)).drain()
    assert json.loads(pane.to_json(), parse_constant=pytest.fail)["results"] == {"greatest": {"x": None}}


def test_a_series_follows_results_that_are_numbers():
    class Odd(Greatest):
        def get_result(self, acc):
            return {"even": acc} if acc % 2 == 0 else acc

    builder = TENS.aggregate("value", [Odd(), "max"]).across_windows(
        ls.MovingAverage("greatest", alpha=0.5), ls.MovingAverage("max", alpha=0.5)
    )
    harness = driven(builder, record(1, 1), record(11, 2), record(21, 3))
    assert [(pane.results["greatest_ema"], pane.results["max_ema"]) for pane in harness.drain()] == [
        (1.0, 1.0),
        (None, 1.5),
        (2.0, 2.25),
    ]
    assert_laws(builder, max_examples=15)


def test_panes_of_a_step_that_failed_have_their_series():
    class Fails(Greatest):
        def get_result(self, acc):
            return 1 / (acc - 3)

    builder = TENS.aggregate("value", [Fails(), "max"]).across_windows(ls.MovingAverage("max", alpha=0.5))
    harness = PipelineHarness(builder)
    harness.push([record(1, 1), record(11, 2), record(21, 3)])
    with pytest.raises(ls.AggregationError, match="division by zero"):
        harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [
        {"greatest": -0.5, "max": 1.0, "max_ema": 1.0},
        {"greatest": -1.0, "max": 2.0, "max_ema": 1.5},
    ]


def test_of_chosen_records_and_of_expressions():
    builder = TENS.aggregate(
        ls.col("value") * 2, [VarianceAggregator(), "count"], where=ls.col("key") == "a", prefix="a_"
    ).aggregate("value", [Greatest()], nulls=7)
    records = [record(1, 1), record(2, 2), record(3, None), record(4, 5, "b")]
    assert results(builder, *records) == [
        {"a_variance": {"sum_of_squares": 20.0, "count": 2}, "a_count": 2, "greatest": 7.0},
        {"a_variance": None, "a_count": 0, "greatest": 5.0},
    ]
    strict = TENS.aggregate("value", [Greatest()], nulls="error")
    with pytest.raises(ls.AggregationError, match="has no usable value"):
        driven(strict, *records)
    failing = TENS.aggregate("value", [Returning([])], where=ls.col("value") > 1)
    with pytest.raises(ls.AggregationError, match=r"Returning\.get_result: .* key \{'key': 'a'\}, window \["):
        driven(failing, *records)


# Merging


WINDOWS = [
    ls.SlidingWindowAssigner("10s", "5s"),
    ls.SlidingWindowAssigner("60s", "5s"),
    ls.CumulativeWindowAssigner("60s", "5s"),
    ls.SessionWindowAssigner("5s"),
    ls.CountWindowAssigner(4, 1),
]


@pytest.mark.parametrize("aggregator", [Digits(), DeepCopiedDigits()], ids=["bytes", "deepcopy"])
@pytest.mark.parametrize("window", WINDOWS, ids=repr)
def test_merging_leaves_the_accumulators_of_slices_alone(window, aggregator):
    builder = BUILDER.with_window(
        window.with_allowed_lateness("1h") if window.spec.type.value != "count" else window
    )
    records = [record(second * 3 % 50, second % 7) for second in range(40)]
    steps = [*records, 20 * SECOND, *records[:10], 40 * SECOND, *records[10:20], 90 * SECOND, *records]
    outputs = []
    for asked in ([aggregator], ["count"]):
        harness = PipelineHarness(builder.aggregate("value", asked))
        for step in steps:
            harness.advance_watermark(step) if isinstance(step, int) else harness.push(step)
        harness.end_of_input()
        outputs.append(harness.drain())
    digits, counts = outputs
    assert [pane.window for pane in digits] == [pane.window for pane in counts]
    if window.spec.type.value != "count":
        reached = {}
        for step in steps:
            if not isinstance(step, int):
                reached.setdefault(step["ts"], set()).add(step["value"])
        for pane in {pane.window: pane for pane in digits}.values():
            start, end = (micros // SECOND for micros in pane.window.micros)
            inside = set().union(*(values for second, values in reached.items() if start <= second < end))
            assert pane.results == {"digits": len(inside)}
    else:
        values = [step["value"] for step in steps if not isinstance(step, int)]
        assert [pane.results["digits"] for pane in digits] == [
            len(set(values[max(at - 3, 0) : at + 1])) for at in range(len(values))
        ]


def test_a_merge_that_returns_its_second_argument_shares_nothing_with_the_slice():
    class Latest(ls.Aggregator):
        def create_accumulator(self):
            return []

        def add(self, acc, value):
            acc.append(value)

        def merge(self, a, b):
            return b

        def get_result(self, acc):
            acc.append(0)  # against the rules, and yet no other window is to see it
            return len(acc)

        def name(self):
            return "latest"

    builder = BUILDER.with_sliding_window("15s", "5s").aggregate("value", [Latest()])
    records = [record(second, 1) for second in (1, 6, 11)]
    assert [result["latest"] for result in results(builder, *records)] == [2, 2, 2, 2, 2]


LAWS = [
    BUILDER.with_tumbling_window("10s", allowed_lateness="5s"),
    BUILDER.with_sliding_window("20s", "5s", allowed_lateness="10s"),
    BUILDER.with_sliding_window("60s", "5s", allowed_lateness="10s").with_accumulation("discarding"),
    BUILDER.with_session_window("10s", allowed_lateness="10s"),
    BUILDER.with_count_window(4, 3, flush=True),
    BUILDER.with_tumbling_window("10s", allowed_lateness="5s").with_trigger(
        ls.AfterWatermark(early=ls.CountTrigger(2), late=ls.CountTrigger(2))
    ),
    BUILDER.with_sliding_window("20s", "10s", allowed_lateness="5s")
    .with_trigger(ls.any_of(ls.CountTrigger(3), ls.EventTimeTrigger()))
    .with_accumulation("discarding"),
    BUILDER.with_tumbling_window("10s", time="processing"),
]  # fmt: skip


@pytest.mark.parametrize(
    "watermark", [None, ls.BoundedOutOfOrdernessWatermark("5s")], ids=["explicit", "bounded"]
)
@pytest.mark.parametrize("builder", LAWS, ids=lambda builder: str(builder.plan.branches[0].spec))
def test_laws(builder, watermark):
    if watermark is not None:
        builder = builder.with_watermark_generator(watermark)
    asked = [SavedVariance(), "count", Digits(), Greatest()]
    assert_laws(
        builder.aggregate("value", asked).aggregate("value", [BatchVariance()], prefix="b_"), max_examples=15
    )


def test_add_batch_changes_no_result():
    builder = BUILDER.with_sliding_window("20s", "5s")
    records = [record(second * 7 % 60, second * 0.1, "ab"[second % 2]) for second in range(200)]
    harnesses = [
        PipelineHarness(builder.aggregate("value", [each])) for each in (SavedVariance(), BatchVariance())
    ]
    for harness in harnesses:
        harness.push(records)
        harness.end_of_input()
    assert [repr(pane) for pane in harnesses[0].drain()] == [repr(pane) for pane in harnesses[1].drain()]


# Snapshots


def test_without_to_bytes_a_snapshot_is_refused_once_there_is_an_accumulator():
    builder = TENS.aggregate("value", [VarianceAggregator()])
    harness = PipelineHarness(builder)
    harness.push(record(1, None))
    PipelineHarness.restore(builder, harness.snapshot())
    harness.push(record(1, 3))
    with pytest.raises(ls.CheckpointError) as raised:
        harness.snapshot()
    assert str(raised.value) == (
        "snapshot: VarianceAggregator cannot be saved: give it to_bytes(accumulator) and from_bytes(bytes). "
        "Accumulators are not pickled"
    )
    harness.end_of_input()  # it goes on
    assert len(harness.drain()) == 1
    PipelineHarness.restore(builder, harness.snapshot())


def test_one_of_to_bytes_and_from_bytes_alone_is_refused():
    class Half(VarianceAggregator):
        def to_bytes(self, acc):
            return b""

    with pytest.raises(ls.ConfigurationError, match=r"Half has one of to_bytes.* and from_bytes"):
        TENS.aggregate("value", [Half()]).checked()


def test_a_method_that_is_missing_is_named():
    class Mergeless(ls.Aggregator):
        def create_accumulator(self):
            return 0

        def add(self, acc, value):
            return acc + 1

        def get_result(self, acc):
            return acc

        def name(self):
            return "n"

    with pytest.raises(ls.ConfigurationError, match=r"aggregate: Mergeless must define merge\(\)"):
        TENS.aggregate("value", [Mergeless()]).checked()


def test_what_changes_a_built_in_aggregator_is_refused_in_a_pipeline():
    class Twice(ls.SumAggregator):
        def add(self, accumulator, value, *, time=None):
            super().add(accumulator, 2 * value)

    alone = Twice()
    accumulator = alone.create_accumulator()
    alone.add(accumulator, 3.0)
    assert accumulator.sum == 6.0
    for asked in (alone, ls.CountAggregator()), (ls.CompositeAggregator(["count"]), alone):
        with pytest.raises(
            ls.ConfigurationError, match=r"Twice\.add\(\) would not be called: SumAggregator runs in"
        ):
            TENS.aggregate("value", asked)


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_name_is_text(name):
    class Nameless(Greatest):
        def name(self):
            return name

    with pytest.raises(ls.ConfigurationError, match=r"Nameless\.name\(\) gave"):
        TENS.aggregate("value", [Nameless()]).checked()


def test_a_snapshot_of_another_aggregator_is_refused():
    harness = PipelineHarness(TENS.aggregate("value", [SavedVariance()]))
    with pytest.raises(ls.CheckpointError, match="another plan"):
        PipelineHarness.restore(TENS.aggregate("value", [BatchVariance()]), harness.snapshot())


@pytest.mark.parametrize(
    ("method", "kind"), [("to_bytes", ls.AggregationError), ("from_bytes", ls.CheckpointError)]
)
def test_an_exception_in_to_bytes_or_from_bytes_names_them(method, kind):
    class Broken(SavedVariance):
        broken = ""

        def to_bytes(self, acc):
            if self.broken == "to_bytes":
                raise LookupError("no such thing")
            return super().to_bytes(acc)

        def from_bytes(self, encoded):
            if self.broken == "from_bytes":
                raise LookupError("no such thing")
            return super().from_bytes(encoded)

    builder = TENS.aggregate("value", [Broken()])
    harness = PipelineHarness(builder)
    harness.push(record(1, 3))
    blob = harness.snapshot()
    Broken.broken = method
    with pytest.raises(kind, match=rf"Broken\.{method}: LookupError: no such thing") as raised:
        PipelineHarness.restore(builder, blob) if method == "from_bytes" else harness.snapshot()
    assert isinstance(raised.value.__cause__, LookupError)


def test_types_that_settle_late_leave_accumulators_as_they_are():
    """A column of nulls becomes one of integers: state moves within the process, without to_bytes."""
    builder = TENS.aggregate("value", [DeepCopiedDigits(), VarianceAggregator()]).aggregate("other", ["max"])
    harness = PipelineHarness(builder, parallelism=2)

    def batch(seconds, values, others):
        return pyarrow.table(
            {
                "ts": pyarrow.array(seconds, pyarrow.int64()),
                "key": ["a"] * len(seconds),
                "value": pyarrow.array(values, pyarrow.int64()),
                "other": pyarrow.array(others, pyarrow.int64() if any(others) else pyarrow.null()),
            }
        )

    harness.push_batch(batch([1, 2], [3, 4], [None, None]))
    harness.push_batch(batch([3], [4], [2**60 + 1]))
    assert harness.explain_record(record(5, 1)).verdict == "taken"  # nor does looking need to_bytes
    harness.push_batch(batch([3], [5], [1]))
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [
        {"digits": 3, "variance": {"sum_of_squares": 66, "count": 4}, "max": 2**60 + 1}
    ]


def test_state_can_move_between_numbers_of_threads():
    builder = TENS.aggregate("value", [SavedVariance(), "count"])
    records = [record(second % 30, second, f"key {second % 5}") for second in range(60)]
    expected = results(builder, *records)
    harness = PipelineHarness(builder, parallelism=4)
    harness.push(records[:30])
    harness = PipelineHarness.restore(builder, harness.snapshot(), parallelism=2)
    harness.push(records[30:])
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == expected


def test_a_run_with_threads_and_files(tmp_path):
    path = tmp_path / "events.ndjson"
    path.write_text(
        "".join(f'{{"ts": {at % 40}, "key": "k{at % 3}", "value": {at}}}\n' for at in range(5_000))
    )
    sink = ls.CollectSink()
    pipeline = (
        TENS.aggregate("value", [VarianceAggregator(), "count"])
        .with_options(parallelism=3)
        .with_source(ls.FileSource(str(path)))
        .with_sink(sink)
        .build()
    )
    assert pipeline.run().errors == 0
    assert sum(result.results["variance"]["count"] for result in sink.results) == 5_000
    assert sum(result.results["variance"]["sum_of_squares"] for result in sink.results) == sum(
        at * at for at in range(5_000)
    )


def test_explain_says_where_it_runs(capsys):
    builder = TENS.aggregate("value", ["count", Digits(), BatchVariance(), "p50"], prefix="x_")
    lines = [" ".join(line.split()) for line in builder.with_options(parallelism=2).explain().splitlines()]
    assert "window tumbling 10s, allowed lateness 0s, accumulating C++" in lines
    assert lines[-4:] == [
        "aggregate value (float64): x_count, x_p50 C++",
        "aggregate value (float64): x_digits (Digits) Python per record",
        "aggregate value (float64): x_variance (BatchVariance) Python per batch",
        "sink none yet -",
    ]


def test_accumulators_are_let_go_of():
    alive = []

    class Counted:
        def __init__(self):
            alive.append(self)

        def __del__(self):
            alive_count[0] -= 1

    alive_count = [0]

    class Holder(ls.Aggregator):
        def create_accumulator(self):
            alive_count[0] += 1
            made = Counted()
            alive.clear()
            return made

        def add(self, acc, value):
            pass

        def merge(self, a, b):
            return a

        def get_result(self, acc):
            return alive_count[0]

        def name(self):
            return "held"

        def to_bytes(self, acc):
            return b""

        def from_bytes(self, encoded):
            return self.create_accumulator()

    harness = PipelineHarness(BUILDER.with_sliding_window("10s", "5s").aggregate("value", [Holder()]))
    harness.push([record(second, 1, key) for second in range(40) for key in "ab"])
    harness.advance_watermark(30 * SECOND)
    assert alive_count[0] == 6
    del harness
    assert alive_count[0] == 0
