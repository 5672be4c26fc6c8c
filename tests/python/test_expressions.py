"""Expressions over fields: what they read like, what they refuse, and what they give."""

from __future__ import annotations

import json
import operator
import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import llmopt_stream as ls
import numpy
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmopt_stream.programs import fields_of
from llmopt_stream.testing import PipelineHarness, Push, assert_equals_reference

col = ls.col
BUILDER = ls.create_pipeline().with_event_time("ts", unit="ms").with_tumbling_window("10s").key_by("k")


# What they read like and refuse


@pytest.mark.parametrize(
    "text",
    [
        "col('a') + 1",
        "1 - (col('a') * 2.5)",
        "-abs(col('a') - col('b'))",
        "-(col('a') + 1)",
        "-col('a') * col('b')",
        "(-col('a')).fill_null(0)",
        "(col('a') / col('b')).fill_null(0)",
        "((col('a') > 1) & (col('b') == 'x')) | ~col('c')",
        "~(col('a') != True)",
        "col('a').is_null()",
        "(col('a') + 1).is_not_null()",
        "col('a').is_in(['x', 'y'])",
        "col('a').is_in([])",
        "(col('a') * 2).between(0, col('b'))",
        "col('a').fill_null(False)",
    ],
)
def test_reads_like_the_code_that_makes_it(text):
    assert repr(eval(text, {"col": col})) == text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: col("a") + "x", "col('a') + 'x': 'x' is text, expected a number"),
        (lambda: "x" * col("a"), "'x' * col('a'): 'x' is text, expected a number"),
        (lambda: -(col("a") == 1), "-(col('a') == 1): col('a') == 1 is true or false, expected a number"),
        (lambda: col("a") & 1, "col('a') & 1: 1 is a number, expected true or false"),
        (lambda: ~(col("a") + 1), "~(col('a') + 1): col('a') + 1 is a number, expected true or false"),
        (lambda: abs(col("a")) > "x", "abs(col('a')) > 'x' compares a number with text"),
        (lambda: (col("a") > 1) == 1, "(col('a') > 1) == 1 compares a number with true or false"),
        (lambda: col("a") < True, "col('a') < True: true and false have no order"),
        (lambda: col("a").between(1, "x"), "col('a').between(1, 'x') compares a number with text"),
        (lambda: col("a").is_in([1, "x"]), "col('a').is_in([1, 'x']) compares a number with text"),
        (lambda: col("a").is_in("xyz"), "col('a').is_in('xyz'): expected a list"),
        (lambda: col("a").is_in([col("b")]), "col('a').is_in([col('b')]): expected a field or a number, and"),
        (lambda: (col("a") > 1).is_in([True]), "(col('a') > 1).is_in([True]): expected a field or a number"),
        (lambda: col("a").fill_null("x"), "col('a').fill_null('x'): null is filled with a number or a bool"),
        (lambda: (col("a") > 1).fill_null(0), "is true or false, expected a number"),
        (lambda: col("a") == None, "None is no number, text, bool or expression"),  # noqa: E711
        (lambda: col("a") == [1], "[1] is no number, text, bool or expression"),
        (lambda: col("a") > float("inf"), "col('a') > inf: inf is not finite"),
        (lambda: col("a") > 10**400, "is not finite"),
        (lambda: col("a..b"), "col: 'a..b' is not a field path"),
        (
            lambda: BUILDER.aggregate("v", where=col("a") + 1),
            "aggregate: where: col('a') + 1 is not a condition",
        ),
        (lambda: BUILDER.aggregate("v", where=True), "aggregate: where: True is not a condition"),
        (
            lambda: BUILDER.aggregate("v", nulls="fail"),
            "nulls: 'fail' is not known; expected 'skip', 'error' or",
        ),
        (lambda: BUILDER.aggregate("v", nulls=True), "nulls: True is not known"),
        (lambda: BUILDER.aggregate(3), "aggregate: 3 is not a field path"),
    ],
)
def test_refuses_with_its_own_text(make, message):
    with pytest.raises(ls.ConfigurationError) as error:
        make()
    assert message in str(error.value)


def test_has_no_truth_value_without_a_record():
    for use in (bool, lambda condition: condition and True, lambda condition: not condition):
        with pytest.raises(TypeError, match="combine conditions by & and"):
            use(col("a") > 1)
    with pytest.raises(TypeError, match=r"x\.between\(a, b\)"):
        1 < col("a") < 5  # noqa: B015


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (numpy.int64(3), "3"),
        (numpy.float64(0.5), "0.5"),
        (numpy.float32(0.5), "0.5"),
        (numpy.bool_(True), "True"),
        (Fraction(1, 2), "0.5"),
        (Decimal("0.5"), "0.5"),
        (2**63 - 1, "9223372036854775807"),
        (2**63, "9.223372036854776e+18"),
    ],
)
def test_takes_numbers_of_other_types(number, text):
    assert repr(col("a") == number) == f"col('a') == {text}"


def test_numbers_of_numpy_may_stand_on_the_left():
    assert repr(numpy.float64(3) * col("a")) == "3.0 * col('a')"
    assert repr(numpy.int64(3) > col("a")) == "col('a') < 3"


def test_columns_are_still_session_gaps_that_compare_and_hash():
    specs = [ls.SessionWindowAssigner(col(path)).spec for path in ("a", "a", "b")] + [ls.session("1s").spec]
    assert specs[0] == specs[1]
    assert hash(specs[0]) == hash(specs[1])
    assert specs[0] != specs[2]
    assert specs[0] != specs[3]
    assert len({col("a").path, col("a").path}) == 1
    assert hash(col("a")) == hash(col("a"))


@pytest.mark.parametrize(
    ("expression", "as_truth", "numbers", "labels"),
    [
        (col("a") + 1, False, ["a"], []),
        (col("a") > col("b"), True, ["a", "b"], []),
        (col("a") == col("b"), True, [], ["a", "b"]),
        (col("a") == "x", True, [], ["a"]),
        (col("a") == True, True, [], ["a"]),  # noqa: E712
        (col("a"), True, [], ["a"]),
        (col("a").is_null(), True, [], ["a"]),
        ((col("a") + 1).is_null(), True, ["a"], []),
        (col("a").is_in([1, 2]), True, ["a"], []),
        (col("a").is_in(["x"]), True, [], ["a"]),
        ((col("a") > 1) & (col("a") != "x") & ~col("b"), True, ["a"], ["a", "b"]),
        (col("a").between("x", "y"), True, [], ["a"]),
        (col("a").fill_null(0), False, ["a"], []),
    ],
    ids=repr,
)
def test_knows_what_it_reads(expression, as_truth, numbers, labels):
    fields = fields_of(expression, as_truth=as_truth)
    assert (sorted(fields.numbers), sorted(fields.labels)) == (numbers, labels)


# What they give


def of_dicts(expression, records, *, parallelism=1):
    """What an expression gives for each record."""
    builder = BUILDER.aggregate(expression, ["max"])
    harness = PipelineHarness(builder, parallelism=parallelism)
    harness.push([{"k": at, "ts": 1, **record} for at, record in enumerate(records)])
    harness.end_of_input()
    return [pane.results["max"] for pane in harness.drain()]


def of_table(expression, table):
    harness = PipelineHarness(BUILDER.aggregate(expression, ["max"]))
    count = table.num_rows
    harness.push_batch(table.append_column("k", [list(range(count))]).append_column("ts", [[1] * count]))
    harness.end_of_input()
    return [pane.results["max"] for pane in harness.drain()]


def of_json(expression, records, *, parallelism=1):
    sink = ls.CollectSink()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.ndjson"
        path.write_text(
            "".join(json.dumps({"k": at, "ts": 1, **record}) + "\n" for at, record in enumerate(records))
        )
        builder = BUILDER.aggregate(expression, ["max"]).with_source(ls.FileSource(path)).with_sink(sink)
        builder.with_options(parallelism=parallelism).build().run()
    return [result.results["max"] for result in sink.results]


def test_null_follows_from_null():
    records = [{"a": 6, "b": 3}, {"a": 6, "b": 0}, {"a": 6}, {"a": "6", "b": 3}, {"a": True, "b": 3}]
    for give in (of_dicts, of_json):
        assert give(col("a") / col("b"), records) == [2, None, None, None, None]
        assert give((col("a") + col("b")).fill_null(-1), records) == [9, 6, -1, -1, -1]
        assert give(col("a") > col("b"), records) == [1, 1, None, None, None]
        assert give((col("a") > col("b")).is_null(), records) == [0, 0, 1, 1, 1]
        assert give((col("a") > 7) & (col("b") > 1), records) == [0, 0, 0, None, None]
        assert give((col("a") > 1) | (col("b") > 1), records) == [1, 1, 1, 1, 1]
        assert give(~(col("a") > 7), records) == [1, 1, 1, None, None]


def test_what_is_not_finite_is_null():
    records = [{"a": float("nan")}, {"a": float("inf")}, {"a": 1e308}, {"a": 10**400}]
    assert of_dicts(col("a").is_null(), records) == [1, 1, 0, 1]
    assert of_dicts(col("a") * 10 > 0, records) == [None] * 4
    assert of_dicts((col("a") * 10).is_null(), records) == [1] * 4
    table = pyarrow.table({"a": [float("nan"), float("inf"), 1e308, None]})
    assert of_table(col("a").is_null(), table) == [1, 1, 0, 1]
    assert of_table(col("a") * 10 > 0, table) == [None] * 4


def test_fields_of_any_type_are_compared_with_their_kind():
    records = [
        {"a": "x"},
        {"a": "y"},
        {"a": True},
        {"a": 1},
        {"a": None},
        {},
        {"a": ["x"]},
        {"a": {"b": "x"}},
    ]
    for give in (of_dicts, of_json):
        assert give(col("a") == "x", records) == [1, 0, *[None] * 6]
        assert give(col("a") != "x", records) == [0, 1, *[None] * 6]
        assert give(col("a") > "x", records) == [0, 1, *[None] * 6]
        assert give(col("a") == True, records) == [None, None, 1, *[None] * 5]  # noqa: E712
        assert give(col("a").is_in(["y", "z"]), records) == [0, 1, *[None] * 6]
        assert give(col("a").is_in([1, 2.5]), records) == [None, None, None, 1, *[None] * 4]
        assert give(col("a").is_in([]), records) == [0, 0, 0, 0, *[None] * 4]
        assert give(col("a").is_null(), records) == [0, 0, 0, 0, 1, 1, 1, 1]
        assert give(col("a").fill_null(False), records) == [0, 0, 1, 0, 0, 0, 0, 0]


def test_integers_of_arrow_are_compared_exactly():
    big = 2**53 + 1  # no float
    table = pyarrow.table({"a": [big, big - 1, None], "b": [big, big, big]})
    assert of_table(col("a") == big, table) == [1, 0, None]
    assert of_table(col("a") < col("b"), table) == [0, 1, None]
    assert of_table(col("a") == col("b"), table) == [1, 0, None]
    assert of_table(col("a").is_in([big, 1.5]), table) == [1, 0, None]
    assert of_table(col("a") > float(big - 1), table) == [1, 0, None]


def test_two_fields_are_equal_as_they_are_and_ordered_as_floats():
    records = [{"a": 2**53 + 1, "b": float(2**53)}]
    assert of_dicts(col("a") == col("b"), records) == [0]
    assert of_dicts(col("a") != col("b"), records) == [1]
    assert of_dicts((col("a") <= col("b")) & (col("a") >= col("b")), records) == [1]
    assert of_dicts(col("a") + 0 == col("b"), records) == [1]


def test_columns_of_arrow_may_be_of_any_type_where_a_label_is_read():
    decimal = pyarrow.array([Decimal("1.50"), None], pyarrow.decimal128(10, 2))
    time = pyarrow.array([0, None], pyarrow.timestamp("us", "UTC"))
    table = pyarrow.table(
        {
            "text": ["x", None],
            "encoded": pyarrow.array(["x", None]).dictionary_encode(),
            "bool": [True, None],
            "decimal": decimal,
            "time": time,
            "list": [[1], None],
        }
    )
    for name in ("text", "encoded", "bool", "decimal", "time"):
        assert of_table(col(name).is_null(), table) == [0, 1], name
    assert of_table(col("list").is_null(), table) == [1, 1]
    assert of_table(col("encoded") == col("text"), table) == [1, None]
    assert of_table(~col("bool"), table) == [0, None]
    with pytest.raises(ls.ConfigurationError, match=r"field 'test': no such column.*did you mean 'text'"):
        of_table(col("test") == "x", table)


class Attributes:
    """A record that is no mapping."""

    def __init__(self, **values):
        self.__dict__.update(values)


SPELLINGS = [
    {"attributes": {"gen_ai.request.model": "m"}},
    {"attributes": {"gen_ai": {"request": {"model": "m"}}}},
    {"attributes": {"gen_ai.request": {"model": "m"}}},
    {"attributes.gen_ai": {"request.model": "m"}},
    {"attributes.gen_ai.request.model": "m"},
]


def test_any_dot_of_a_path_may_be_part_of_a_name():
    expression = col("attributes.gen_ai.request.model") == "m"
    for give in (of_dicts, of_json):
        assert give(expression, SPELLINGS) == [1] * 5
    for record in SPELLINGS:
        assert of_table(expression, pyarrow.Table.from_pylist([record])) == [1], record
    record = Attributes(k=0, ts=1, attributes=Attributes(gen_ai={"request.model": "m"}))
    harness = PipelineHarness(BUILDER.aggregate(expression, ["sum"]))
    harness.push(record)
    harness.end_of_input()
    assert [pane.results["sum"] for pane in harness.drain()] == [1]


def test_two_spellings_of_one_path_make_a_record_malformed():
    twice = [
        {"attributes": {"gen_ai.request.model": "m", "gen_ai": {"request": {"model": "m"}}}},
        {"attributes": {"gen_ai.request": {"model": "m"}}, "attributes.gen_ai.request.model": None},
    ]
    harmless = [{"attributes": {"gen_ai": {"request": {"other": "m"}}, "gen_ai.request": {"model": "m"}}}]
    expression = col("attributes.gen_ai.request.model") == "m"
    for give in (of_dicts, of_json):
        assert give(expression, twice) == []
        assert give(expression, harmless) == [1]


def test_one_path_may_be_key_value_and_label():
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="ms")
        .key_by("v")
        .with_tumbling_window("10s")
        .aggregate("v", ["sum"], where=col("v").is_not_null() & (col("v") != "x"), prefix="text_")
        .aggregate(col("v") + 1, ["sum"], where=col("v").is_not_null())
    )
    harness = PipelineHarness(builder)
    harness.push([{"ts": 1, "v": value} for value in (1, 2, "x")])
    harness.push_batch(pyarrow.table({"ts": [2], "v": [2]}))
    harness.end_of_input()
    panes = [(pane.key["v"], pane.results["sum"], pane.results["text_sum"]) for pane in harness.drain()]
    assert panes == [(1, 2, 0), (2, 6, 0), ("x", 0, 0)]
    assert harness.metrics["malformed"] == 0


# Random expressions against the reference

NUMBERS = st.integers(-3, 3) | st.sampled_from([0.5, -1.5, 1e308, 7, 2**40])
TEXTS = st.sampled_from(["", "x", "y", "ä", "x\0", "xy"])
COMPARE = st.sampled_from([operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge])
NUMBER_FIELDS = st.sampled_from([col("n"), col("m.x")])
TEXT_FIELDS = st.sampled_from([col("t"), col("u")])
ANY_FIELDS = st.sampled_from([col("n"), col("m.x"), col("t"), col("u"), col("b")])


def combined(operators, operands, others):
    """An operator of an expression and something else, in either order."""
    either = st.sampled_from([lambda op, a, b: op(a, b), lambda op, a, b: op(b, a)])
    return st.builds(lambda use, op, a, b: use(op, a, b), either, operators, operands, others)


def numbers_of(inner):
    arithmetic = st.sampled_from([operator.add, operator.sub, operator.mul, operator.truediv])
    return (
        combined(arithmetic, inner, inner | NUMBERS)
        | inner.map(operator.neg)
        | inner.map(abs)
        | st.builds(lambda each, number: each.fill_null(number), inner, NUMBERS)
    )


numbers = st.recursive(NUMBER_FIELDS, numbers_of, max_leaves=5)
atoms = (
    combined(COMPARE, numbers, numbers | NUMBERS)
    | combined(COMPARE, TEXT_FIELDS, TEXTS)
    | st.builds(
        lambda op, a, b: op(a, b), st.sampled_from([operator.eq, operator.ne]), ANY_FIELDS, ANY_FIELDS
    )
    | st.builds(lambda a, b: a == b, st.just(col("b")), st.booleans())
    | st.builds(lambda each, values: each.is_in(values), numbers, st.lists(NUMBERS, max_size=3))
    | st.builds(lambda each, values: each.is_in(values), TEXT_FIELDS, st.lists(TEXTS, max_size=3))
    | st.builds(lambda each, low, high: each.between(low, high), numbers, NUMBERS, numbers | NUMBERS)
    | st.builds(lambda each, low, high: each.between(low, high), TEXT_FIELDS, TEXTS, TEXTS)
    | (ANY_FIELDS | numbers).map(lambda each: each.is_null())
    | (ANY_FIELDS | numbers).map(lambda each: each.is_not_null())
    | st.just(col("b"))
)


def conditions_of(inner):
    return (
        combined(st.sampled_from([operator.and_, operator.or_]), inner, inner | st.booleans())
        | inner.map(operator.invert)
        | inner.map(lambda each: each.is_null())
        | st.builds(lambda each, value: each.fill_null(value), inner, st.booleans())
        | st.builds(operator.eq, atoms.filter(lambda each: not isinstance(each, ls.Column)), inner)
    )


conditions = st.recursive(atoms, conditions_of, max_leaves=5)

USUAL = {"n": NUMBERS | st.floats(-9, 9), "m.x": NUMBERS, "t": TEXTS, "u": TEXTS, "b": st.booleans()}
ANYTHING = st.sampled_from(["x", "", True, False, 1, 0, 1.0, -0.0, [1], {"x": 1}, 2**70])


@st.composite
def records(draw, *, typed):
    """Of fields that are missing, null or, unless typed, of any type; nested or flat."""
    made = []
    for _ in range(draw(st.integers(1, 12))):
        record = {"k": draw(st.sampled_from(["a", "b"])), "ts": draw(st.integers(0, 30_000))}
        for name, usual in USUAL.items():
            values = usual | st.none() if typed else usual | st.none() | ANYTHING
            if typed or draw(st.integers(0, 9)):
                value = draw(values)
                if name == "m.x" and (typed or draw(st.booleans())):
                    record["m"] = {"x": value}
                else:
                    record[name] = value
        made.append(record)
    return made


def builder_of(data):
    number, where = data.draw(numbers), data.draw(conditions | st.none())
    other = data.draw(conditions)
    nulls = data.draw(st.sampled_from(["skip", "skip", 0, -2.5]))
    return (
        BUILDER.aggregate(number, ["count", "sum", "min", "max"], where=where, nulls=nulls, prefix="number_")
        .aggregate(other, ["count", "sum"], prefix="condition_")
        .aggregate("n", ["count", "min"], where=other, prefix="field_")
    )


def lines(panes):
    return [(pane.window, pane.key, pane.results) for pane in panes]


def of_harness(builder, push, parallelism):
    harness = PipelineHarness(builder, parallelism=parallelism)
    push(harness)
    harness.end_of_input()
    return lines(harness.drain()), harness.metrics["skipped_values"]


@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_records_give_what_the_reference_says(data):
    builder, made = builder_of(data), data.draw(records(typed=False))
    assert_equals_reference(builder, [Push(record) for record in made])
    one_by_one = of_harness(builder, lambda harness: [harness.push(record) for record in made], 1)
    for parallelism in (1, 2, 4):
        assert of_harness(builder, lambda harness: harness.push(made), parallelism) == one_by_one


def push_all(tables):
    return lambda harness: [harness.push_batch(table) for table in tables]


@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_tables_give_what_records_give(data):
    builder, made = builder_of(data), data.draw(records(typed=True))
    whole = data.draw(st.booleans())
    types = [
        *(("k", pyarrow.string()), ("ts", pyarrow.int64())),
        ("n", pyarrow.float64()),
        ("m", pyarrow.struct([("x", pyarrow.float64())])),
        (
            "t",
            data.draw(
                st.sampled_from([pyarrow.string(), pyarrow.dictionary(pyarrow.int8(), pyarrow.string())])
            ),
        ),
        *(("u", pyarrow.large_string()), ("b", pyarrow.bool_())),
    ]
    table = pyarrow.table(
        {
            name: pyarrow.array([record[name] for record in made], type).cast(type)
            if not pyarrow.types.is_dictionary(type)
            else pyarrow.array([record[name] for record in made], pyarrow.string()).dictionary_encode()
            for name, type in types
        }
    )
    expected = of_harness(builder, lambda harness: harness.push(made), 1)
    cuts = [table] if whole else [table.slice(at, 5) for at in range(0, len(made), 5)]
    for parallelism in (1, 2, 4):
        assert of_harness(builder, push_all(cuts), parallelism) == expected


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_json_gives_what_records_give(data):
    builder, made = builder_of(data), data.draw(records(typed=False))
    expected, _ = of_harness(builder, lambda harness: harness.push(made), 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.ndjson"
        path.write_text("".join(json.dumps(record) + "\n" for record in made))
        for parallelism in (1, 2, 4):
            sink = ls.CollectSink()
            run = (
                builder.with_source(ls.FileSource(path)).with_sink(sink).with_options(parallelism=parallelism)
            )
            run.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("1h")).build().run()
            assert lines(sink.results) == expected


def test_threads_give_what_one_gives():
    made = [
        {
            "k": f"key {at % 97}",
            "ts": at,
            "n": at * 37 % 101 if at % 7 else None,
            "t": "xyz"[at % 3],
        }
        for at in range(20_000)
    ]
    builder = BUILDER.aggregate(
        col("n") * 2 - 1, ["count", "sum", "p50"], where=(col("t") == "x") | (col("n") < 9)
    )
    expected = of_harness(builder, lambda harness: harness.push(made), 1)
    table = pyarrow.Table.from_pylist(made)
    for parallelism in (2, 4):
        assert of_harness(builder, lambda harness: harness.push(made), parallelism) == expected
        assert of_harness(builder, lambda harness: harness.push_batch(table), parallelism) == expected


# Metrics of chosen records


def test_records_that_are_not_selected_do_not_exist_for_a_metric():
    builder = BUILDER.aggregate("v", ["count", "sum"], where=col("t") == "x").aggregate(
        "v", ["count"], prefix="all_"
    )
    harness = PipelineHarness(builder)
    harness.push([{"k": "a", "ts": 1, "t": "y", "v": 3}, {"k": "a", "ts": 2, "t": "y", "v": None}])
    harness.push(
        [{"k": "b", "ts": 1, "t": "x", "v": 3}, {"k": "b", "ts": 2, "t": "x", "v": None}, {"k": "b", "ts": 2}]
    )
    harness.end_of_input()
    assert [tuple(pane.results.values()) for pane in harness.drain()] == [(0, 0, 1), (1, 3, 1)]
    assert harness.metrics["skipped_values"] == [1, 3]
    assert harness.metrics["aggregated"] == 5


def test_where_and_expressions_go_through_every_kind_of_window_and_late_records():
    builder = (
        ls.create_pipeline()
        .with_event_time("ts", unit="ms")
        .key_by("k")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("1s"))
    )
    steps = [
        Push({"k": "ab"[at % 2], "ts": at * 700 % 9_000, "t": "xy"[at % 3 == 0], "v": at % 5 or None})
        for at in range(60)
    ]
    for windowed in (
        builder.with_tumbling_window("2s", allowed_lateness="3s"),
        builder.with_tumbling_window("2s", allowed_lateness="3s").with_accumulation("discarding"),
        builder.with_sliding_window("3s", "1s", allowed_lateness="1s"),
        builder.with_session_window("1s", allowed_lateness="5s"),
        builder.with_count_window(5, 2),
        builder.with_global_window(),
    ):
        assert_equals_reference(
            windowed.aggregate("v", ["count", "sum"], where=col("t") == "x").aggregate(
                col("v") * 2, ["sum"], nulls=1, prefix="double_"
            ),
            steps,
        )


def test_a_ratio_may_be_per_expression():
    builder = BUILDER.aggregate("v", ls.RatioAggregator(col("a") + col("b"), scale=10)).aggregate(
        col("v") * 2, ls.RatioAggregator(col("b")), prefix="plain_", where=col("t") == "x"
    )
    harness = PipelineHarness(builder)
    harness.push(
        [
            {"k": "k", "ts": 1, "t": "x", "v": 3, "a": 1, "b": 2},
            {"k": "k", "ts": 2, "t": "y", "v": 5, "a": 4, "b": 3},
            {"k": "k", "ts": 3, "t": "x", "v": 7, "b": 2},
        ]
    )
    harness.end_of_input()
    assert harness.drain()[0].results == {"ratio": 8.0, "plain_ratio": 5.0}
    assert builder.plan.fields() == ["ts", "k", "v", "b", "a", "t"]
    refusing = BUILDER.aggregate("v", ls.RatioAggregator(col("a") / col("b")), nulls="error")
    with pytest.raises(ls.AggregationError, match=r"field 'col\('a'\) / col\('b'\)"):
        PipelineHarness(refusing).push({"k": "a", "ts": 1, "v": 1, "a": 1, "b": 0})


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_ratio_per_expression_is_that_of_the_reference(data):
    per = data.draw(
        st.sampled_from([col("n") + col("m"), col("n") * 2, col("n") > 0, abs(col("n")) / col("m")])
    )
    builder = BUILDER.aggregate("n", ls.RatioAggregator(per)).aggregate(
        col("m") - 1, ls.RatioAggregator(per), prefix="of_expression_", where=col("m").is_not_null()
    )
    numbers = st.none() | st.integers(-9, 9)
    steps = [
        Push({"k": "a", "ts": at, "n": data.draw(numbers), "m": data.draw(numbers)})
        for at in range(data.draw(st.integers(0, 12)))
    ]
    assert_equals_reference(builder, steps)


def test_null_may_be_an_error_that_says_where():
    builder = BUILDER.aggregate("v", ["sum"], nulls="error", where=col("t") == "x")
    record = {"k": "a", "ts": 1_500, "t": "x", "v": None}
    harness = PipelineHarness(builder)
    harness.push([{**record, "t": "y"}, {**record, "v": 1}])
    with pytest.raises(ls.AggregationError) as error:
        harness.push(record)
    assert str(error.value) == (
        "field 'v': the record of 1970-01-01T00:00:01.500000+00:00 has no usable value, which nulls='error' refuses; "
        "key ('a')"
    )
    with pytest.raises(ls.PipelineError, match="cannot go on"):
        harness.push(record)
    ratio = BUILDER.aggregate("v", ls.RatioAggregator("w"), nulls="error")
    with pytest.raises(ls.AggregationError, match="field 'w': "):
        PipelineHarness(ratio).push({"k": "a", "ts": 1, "v": 1})


def test_a_number_in_place_of_null():
    builder = BUILDER.aggregate("v", ["count", "sum", "min"], nulls=-1)
    harness = PipelineHarness(builder)
    harness.push([{"k": "a", "ts": 1, "v": value} for value in (5, None, "x", float("nan"))])
    harness.end_of_input()
    assert harness.drain()[0].results == {"count": 4, "sum": 2, "min": -1}
    assert harness.metrics["skipped_values"] == [0]


def test_a_column_of_nulls_that_are_filled_may_still_become_one_of_integers():
    builder = BUILDER.aggregate("v", ["sum"], nulls=1).aggregate("v", ["sum"], prefix="plain_")
    harness = PipelineHarness(builder)
    harness.push_batch(pyarrow.table({"k": ["a"], "ts": [1], "v": pyarrow.nulls(1)}))
    harness.push_batch(pyarrow.table({"k": ["a"], "ts": [1], "v": pyarrow.array([2**53 + 1])}))
    harness.end_of_input()
    assert harness.drain()[0].results == {"sum": float(2**53), "plain_sum": 2**53 + 1}


def test_expressions_and_conditions_are_part_of_a_plan():
    builder = BUILDER.aggregate(col("a") + col("b"), ["sum"], where=(col("t") == "x") & (col("c") > 1))
    plan = builder.plan
    assert plan.value_fields() == ["a", "b", "c"]
    assert plan.label_fields() == ["t"]
    assert plan.fields() == ["ts", "k", "a", "b", "c", "t"]
    assert (
        "aggregate  col('a') + col('b') (float64) where (col('t') == 'x') & (col('c') > 1): sum"
        in plan.explain()
    )
    with pytest.raises(
        ls.ConfigurationError, match=r"give the metric of \"col\('v'\) \* 2\" another prefix="
    ):
        builder.aggregate(col("v") * 2, ["sum"]).checked()


def test_a_snapshot_is_of_its_expressions():
    plain = BUILDER.aggregate(col("v") * 2, ["sum"], where=col("t") == "x")
    record = {"k": "a", "ts": 1, "t": "x", "v": 3}
    harness = PipelineHarness(plain)
    harness.push(record)
    restored = PipelineHarness.restore(plain, harness.snapshot())
    restored.push(record)
    restored.end_of_input()
    assert restored.drain()[0].results == {"sum": 12}
    for other in (
        BUILDER.aggregate(col("v") * 3, ["sum"], where=col("t") == "x"),
        BUILDER.aggregate(col("v") * 2, ["sum"], where=col("t") == "y"),
        BUILDER.aggregate(col("v") * 2, ["sum"], where=col("u") == "x"),
        BUILDER.aggregate(col("v") * 2, ["sum"]),
        BUILDER.aggregate(col("v") * 2, ["sum"], where=col("t") == "x", nulls="error"),
    ):
        with pytest.raises(ls.CheckpointError):
            PipelineHarness.restore(other, harness.snapshot())


def test_the_notebook_entry_takes_both():
    made = [
        {"timestamp": "2026-01-01T00:00:01Z", "cost": 0.5, "tokens": tokens, "ok": tokens != 4}
        for tokens in (2, 4, 1)
    ]
    table = ls.aggregate(
        made,
        value=col("cost") / col("tokens"),
        where=col("ok"),
        window=ls.tumbling("1m"),
        aggregations=["count", "max"],
    )
    assert table[0].results == {"count": 2, "max": 0.5}
    with pytest.warns(
        ls.ProcessorWarning,
        match=r"all 3 values of \"col\('coast'\) \* 2\" were skipped: null, not finite or no numbers$",
    ):
        ls.aggregate(made, value=col("coast") * 2, window=ls.tumbling("1m"))
