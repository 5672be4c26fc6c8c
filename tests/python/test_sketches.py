"""Different values, frequent values, histograms, samples and percentiles by other means: small cases, published
bounds, an independent implementation, and the laws.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import datasketches
import llmopt_stream as ls
import pyarrow as pa
import pytest
from llmopt_stream.testing import PipelineHarness, assert_laws

LABELS = ["distinct", "heavy_hitters", "collect"]
SMALL = [
    ls.DistinctAggregator(precision=4),
    ls.HeavyHittersAggregator(k=3, capacity=5),
    ls.CollectAggregator(limit=7),
]
MIXED = ["b", 1, "a", 1.0, None, True, "b", 2.5, "b", [1], float("nan"), 1]
"""One and 1.0 are the same, null, a list and NaN are no values."""


def builder_of(
    *asked: Any, field: str = "x", window: Any = None, key: tuple[str, ...] = (), **options: Any
) -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline()
        .with_event_time("ts", unit="s")
        .key_by(*key)
        .with_window(window or ls.tumbling("1h"))
        .aggregate(field, list(asked), **options)
    )


def results_of(values: Sequence[Any], *asked: Any, **options: Any) -> dict[str, Any]:
    """The only pane of values that come second by second."""
    harness = PipelineHarness(builder_of(*asked, **options))
    for second, value in enumerate(values):
        harness.push({"ts": second, "x": value})
    harness.end_of_input()
    [pane] = harness.drain()
    return dict(pane.results)


def alone(aggregator: Any, values: Sequence[Any], **options: Any) -> Any:
    accumulator = aggregator.create_accumulator()
    for value in values:
        aggregator.add(accumulator, value, **options)
    return accumulator


# The laws


@pytest.mark.parametrize(
    "window",
    [ls.tumbling("1m").with_allowed_lateness("30s"), ls.sliding("1m", "25s"), ls.session("20s")],
    ids=["tumbling", "sliding", "session"],
)
@pytest.mark.parametrize(
    "metrics",
    [
        [
            ("data.status", ["distinct", ls.CollectAggregator(limit=2)]),
            ("data.ms", ["distinct", "collect", "count"]),
        ],
        [
            ("data.status", ["heavy_hitters", "distinct"]),
            ("data.ms", [ls.PercentileAggregator((1, 50), "kll")]),
        ],
        [
            ("data.ms", ["histogram", ls.PercentileAggregator((0, 99.9), "exact"), "percentile_error"]),
            ("data.tokens", [ls.HistogramAggregator([-5, 0, 1.5])]),
            ("data.tokens", ["max", ls.PercentileAggregator((25, 75))]),
        ],
    ],
    ids=["labels", "by order", "numbers"],
)
def test_the_laws_hold(window: ls.WindowAssigner, metrics: list[tuple[str, list[Any]]]) -> None:
    builder = (
        ls.create_pipeline()
        .key_by("data.model")
        .with_window(window)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("30s"))
        .with_schema({"data.tokens": int})
    )
    at = 0
    for field, asked in metrics:
        for each in asked:
            builder = builder.aggregate(field, [each], prefix=f"{at}_")
            at += 1
    assert_laws(builder, max_examples=20)


def many_records(size: int) -> list[dict[str, Any]]:
    draw = random.Random(5)
    return [
        {
            "ts": int(at * 600 / size),
            "key": draw.choice("abc"),
            "status": f"user-{int(draw.paretovariate(0.7))}",
            "ms": draw.lognormvariate(5, 2) * draw.choice((1, 1, 1, -1, 0)),
        }
        for at in range(size)
    ]


@pytest.mark.parametrize("parallelism", [1, 2, 4])
@pytest.mark.parametrize(
    "window",
    [ls.tumbling("5m"), ls.sliding("5m", "10s"), ls.session("30s")],
    ids=["tumbling", "sliding", "session"],
)
def test_cuts_shards_and_restored_snapshots_change_nothing_beyond_what_is_exact(
    window: ls.WindowAssigner, parallelism: int
) -> None:
    builder = (
        builder_of(*SMALL, field="status", window=window, key=("key",))
        .aggregate("ms", [ls.PercentileAggregator((1, 50, 99), "kll", k=8), "histogram"], prefix="kll_")
        .aggregate("ms", [ls.PercentileAggregator(method="exact"), ls.HistogramAggregator(bins=9)])
    )
    records = many_records(6_000)

    def panes(cuts: Sequence[int], parallelism: int, restored: bool) -> list[Any]:
        harness = PipelineHarness(builder, parallelism=parallelism)
        found = []
        for first, last in zip([0, *cuts], [*cuts, len(records)], strict=True):
            harness.push_batch(pa.Table.from_pylist(records[first:last]))
            harness.advance_watermark(records[last - 1]["ts"] * 1_000_000)
            if restored:
                found += harness.drain()
                harness = PipelineHarness.restore(builder, harness.snapshot())
        harness.end_of_input()
        return [(pane.window, pane.key, pane.results) for pane in [*found, *harness.drain()]]

    expected = panes([3_000], 1, restored=False)
    assert expected
    assert panes([3_000], parallelism, restored=True) == expected
    [counted] = [results for _, key, results in panes([], parallelism, restored=False)[:1]]
    assert counted == expected[0][2]


# Any scalar, however it comes


def check_mixed(results: dict[str, Any]) -> None:
    assert results == {
        "distinct": 5,
        "heavy_hitters": [
            {"value": 1, "count": 3, "error": 0},
            {"value": "b", "count": 3, "error": 0},
            {"value": True, "count": 1, "error": 0},
            {"value": 2.5, "count": 1, "error": 0},
            {"value": "a", "count": 1, "error": 0},
        ],
        "collect": ["b", 1, "a", 1, True, "b", 2.5, "b", 1],
    }
    assert [type(item["value"]) for item in results["heavy_hitters"]] == [int, str, bool, float, str]


def test_labels_of_python_records() -> None:
    check_mixed(results_of(MIXED, *LABELS))


def test_labels_of_ndjson(tmp_path: Path) -> None:
    path = tmp_path / "records.ndjson"
    records = [
        {"ts": second, "x": None if isinstance(value, float) and math.isnan(value) else value}
        for second, value in enumerate(MIXED)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    sink = ls.CollectSink()
    builder_of(*LABELS).with_source(ls.FileSource(path)).with_sink(sink).build().run()
    [pane] = sink.results
    check_mixed(dict(pane.results))


def test_labels_of_arrow_columns_of_every_kind() -> None:
    for values in (["b", "a", None, "b"], [3, 1, None, 3], [0.5, -0.5, None, 0.5], [True, False, None, True]):
        for column in (pa.array(values), pa.array(values).dictionary_encode()):
            harness = PipelineHarness(builder_of(*LABELS))
            harness.push_batch(pa.table({"ts": range(4), "x": column}))
            harness.end_of_input()
            [pane] = harness.drain()
            assert pane.results["distinct"] == 2
            assert pane.results["heavy_hitters"] == [
                {"value": values[0], "count": 2, "error": 0},
                {"value": values[1], "count": 1, "error": 0},
            ]
            assert pane.results["collect"] == [values[0], values[1], values[0]]


def test_labels_alone() -> None:
    composite = ls.CompositeAggregator([*LABELS, "count"])
    accumulator = composite.create_accumulator()
    for second, value in enumerate(MIXED):
        composite.add(accumulator, value, time=second * 1_000_000)
    results = composite.get_result(accumulator)
    assert results.pop("count") == 4  # numbers
    check_mixed(results)


def test_integers_beyond_64_bits_signed_keep_their_digits() -> None:
    great = 2**64 - 1
    found = results_of([great, great - 1, great], *LABELS)
    assert found["distinct"] == 2
    assert found["heavy_hitters"][0] == {"value": great, "count": 2, "error": 0}
    assert found["collect"] == [great, great - 1, great]
    table = ls.aggregate(
        [{"timestamp": 1_767_225_600_000_000, "value": great}],
        aggregations=["collect"],
        window=ls.tumbling("1m"),
    )
    assert table.to_arrow()["collect"].to_pylist() == [[str(great)]]
    assert alone(ls.DistinctAggregator(), [great, 2**64, float(2**64)]).results() == {"distinct": 2}


def test_a_pane_without_values_has_empty_lists_and_counts_what_it_skipped() -> None:
    builder = builder_of(*LABELS, "histogram", ls.PercentileAggregator((50,), "kll"), "percentile_error")
    with builder.open() as session:
        session.push([{"ts": 1, "x": None}, {"ts": 2}])
        [pane] = session.flush()
        assert dict(pane.results) == {
            "distinct": 0, "heavy_hitters": [], "collect": [], "histogram": [], "p50": None, "percentile_error": None,
        }  # fmt: skip
        assert set(session.metrics["skipped_values"]) == {2}


def test_a_field_is_read_as_it_is_and_not_computed() -> None:
    for field, options in ((ls.col("x") + 1, {}), ("x", {"nulls": 0})):
        with pytest.raises(ls.ConfigurationError, match="distinct reads a field as it is"):
            builder_of(ls.DistinctAggregator(), field=field, **options)


def test_where_and_nulls_hold_for_labels_too() -> None:
    assert results_of(["a", "b", "a"], *LABELS, where=ls.col("x") != "b")["collect"] == ["a", "a"]
    with pytest.raises(ls.AggregationError, match="field 'x': the record of 1970-01-01T00:00:01"):
        results_of(["a", None], "distinct", nulls="error")


# Tables


def test_lists_are_lists_of_structs_in_arrow() -> None:
    builder = builder_of(*LABELS, field="model").aggregate("ms", [ls.HistogramAggregator([1.5])])
    with builder.open() as session:
        session.push(
            [{"ts": at, "model": model, "ms": at} for at, model in enumerate(("opus", "haiku", "opus"))]
        )
        table = session.flush().to_arrow()
    hitter = pa.struct([("value", pa.string()), ("count", pa.int64()), ("error", pa.int64())])
    bucket = pa.struct([("lower", pa.float64()), ("upper", pa.float64()), ("count", pa.int64())])
    assert table.schema.field("distinct").type == pa.int64()
    assert table.schema.field("heavy_hitters").type == pa.list_(hitter)
    assert table.schema.field("collect").type == pa.list_(pa.string())
    assert table.schema.field("histogram").type == pa.list_(bucket)
    assert table["heavy_hitters"].to_pylist()[0][0] == {"value": "opus", "count": 2, "error": 0}


# Different values


@pytest.mark.parametrize("size", [1, 10, 64, 65, 512])
def test_few_different_values_are_counted_exactly(size: int) -> None:
    values = [f"user-{at % size}" for at in range(2 * size)]
    aggregator = ls.DistinctAggregator()
    assert aggregator.get_result(alone(aggregator, values)) == size


def distinct_of(values: Sequence[Any], precision: int) -> int:
    harness = PipelineHarness(builder_of(ls.DistinctAggregator(precision)))
    harness.push_batch(pa.table({"ts": [0] * len(values), "x": values}))
    harness.end_of_input()
    return int(harness.drain()[0].results["distinct"])


@pytest.mark.parametrize("precision", [8, 12])
def test_the_error_of_different_values_is_the_published_one_and_another_implementation_agrees(
    precision: int,
) -> None:
    published = 1.04 / math.sqrt(2**precision)
    squares = 0.0
    for trial in range(30):
        size = (1_000, 5_000, 20_000)[trial % 3]
        values = [f"{trial}/{at}" for at in range(size)]
        other = datasketches.hll_sketch(precision, datasketches.tgt_hll_type.HLL_8)
        for value in values:
            other.update(value)
        error = distinct_of(values, precision) / size - 1
        assert abs(error - (other.get_estimate() / size - 1)) < 3 * math.sqrt(2) * published
        squares += error**2 / 30
    # Of 30 trials the root mean square lies within 1.3 of the true one in 98 of 100 cases.
    assert math.sqrt(squares) < 1.3 * published


def test_a_million_different_values() -> None:
    assert distinct_of(range(1_000_000), 12) == pytest.approx(1e6, rel=3 * 1.04 / 64)


# Frequent values


def test_frequent_values_keep_their_bounds_and_another_implementation_agrees() -> None:
    draw = random.Random(11)
    values = [f"v{int(draw.paretovariate(0.6))}" for _ in range(40_000)]
    counts = Counter(values)
    for order in (values, sorted(values), sorted(values, reverse=True)):
        capacity = 48
        aggregator = ls.HeavyHittersAggregator(k=48, capacity=capacity)
        found = aggregator.get_result(alone(aggregator, order))
        other = datasketches.frequent_strings_sketch(6)  # 0.75 * 2^6 = 48 counters
        for value in order:
            other.update(value)
        assert [item["count"] for item in found] == sorted((item["count"] for item in found), reverse=True)
        for item in found:
            assert item["count"] - item["error"] <= counts[item["value"]] <= item["count"]
            assert item["error"] <= len(values) / capacity
        certain = {value for value, count in counts.items() if count > len(values) / capacity}
        assert certain
        assert certain <= {item["value"] for item in found}
        kind = datasketches.frequent_items_error_type.NO_FALSE_NEGATIVES
        assert certain <= {item[0] for item in other.get_frequent_items(kind, len(values) // capacity)}


def test_frequent_values_of_merged_accumulators_keep_their_bounds() -> None:
    draw = random.Random(12)
    aggregator = ls.HeavyHittersAggregator(k=10, capacity=20)
    values = [int(draw.paretovariate(0.8)) for _ in range(20_000)]
    parts = [alone(aggregator, values[at::8]) for at in range(8)]
    while len(parts) > 1:
        draw.shuffle(parts)
        parts.append(aggregator.merge(parts.pop(), parts.pop()))
    counts = Counter(values)
    for item in aggregator.get_result(parts[0]):
        assert item["count"] - item["error"] <= counts[item["value"]] <= item["count"]
        assert item["error"] <= len(values) / 20


def test_up_to_twice_the_capacity_counts_are_exact_in_any_order() -> None:
    values = [value for value in range(40) for _ in range(value + 1)]
    aggregator = ls.HeavyHittersAggregator(k=3, capacity=20)
    for seed in range(5):
        random.Random(seed).shuffle(values)
        assert aggregator.get_result(alone(aggregator, values)) == [
            {"value": value, "count": value + 1, "error": 0} for value in (39, 38, 37)
        ]


# Percentiles

DISTRIBUTIONS: dict[str, Callable[[random.Random, int], float]] = {
    "lognormal": lambda draw, _: draw.lognormvariate(5, 1),
    "pareto": lambda draw, _: draw.paretovariate(1.2),
    "constant": lambda *_: 7.0,
    "sorted": lambda _, at: float(at),
    "reversed": lambda _, at: -float(at),
    "bimodal": lambda draw, at: draw.gauss(10 if at % 2 else 1000, 1),
    "negative": lambda draw, _: -draw.expovariate(1),
    "zeros": lambda draw, at: draw.gauss(0, 1) if at % 3 == 0 else 0.0,
}
PERCENTILES = (0, 1, 25, 50, 75, 95, 99, 99.9, 100)


def nearest_rank(percent: float, ordered: Sequence[float]) -> int:
    return max(math.ceil(round(percent * 10**9) * len(ordered) / 10**11), 1)


def numbers_of(distribution: str, size: int, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [DISTRIBUTIONS[distribution](draw, at) for at in range(size)]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_exact_percentiles_are_those_of_the_sorted_values_however_merged(distribution: str) -> None:
    aggregator = ls.PercentileAggregator(PERCENTILES, "exact")
    for size in (1, 10, 64, 65, 1_000):
        values = numbers_of(distribution, size)
        accumulator = alone(aggregator, values[::2])
        accumulator.merge(alone(aggregator, values[1::2]))
        ordered = sorted(values)
        for percent in PERCENTILES:
            assert accumulator.percentile(percent) == ordered[nearest_rank(percent, ordered) - 1]
        assert (accumulator.count, accumulator.p50()) == (size, accumulator.percentile(50))


def rank_error(ordered: Sequence[float], percent: float, answer: float) -> float:
    ranks = [at for at, value in enumerate(ordered, 1) if value == answer]
    assert ranks, "the answer did not occur"
    asked = nearest_rank(percent, ordered)
    return max(ranks[0] - asked, asked - ranks[-1], 0) / len(ordered)


def test_percentiles_by_rank_are_within_the_published_error_and_another_implementation_agrees() -> None:
    ours, theirs = [], []
    published = datasketches.kll_doubles_sketch.get_normalized_rank_error(200, False)
    assert published == pytest.approx(0.0133, abs=1e-3)
    for distribution in DISTRIBUTIONS:
        for seed in (1, 2, 3):
            values = numbers_of(distribution, 8_000, seed)
            # Its coins cannot be seeded: one sketch of each would be too few to compare with.
            others = [datasketches.kll_doubles_sketch(200) for _ in range(8)]
            for other, value in product(others, values):
                other.update(value)
            accumulator = alone(ls.PercentileAggregator(method="kll"), values)
            ordered = sorted(values)
            assert (accumulator.percentile(0), accumulator.percentile(100)) == (ordered[0], ordered[-1])
            for percent in (5, 25, 50, 75, 95):
                ours.append(rank_error(ordered, percent, accumulator.percentile(percent)))
                theirs += [
                    rank_error(ordered, percent, other.get_quantile(percent / 100)) for other in others
                ]
    assert sum(error > 0.0165 for error in ours) <= len(ours) / 100
    # Squares: errors have a mean of about 0.
    assert fmean(error**2 for error in ours) < 1.5 * fmean(error**2 for error in theirs)


def test_up_to_k_values_percentiles_by_rank_are_exact() -> None:
    values = numbers_of("lognormal", 200)
    accumulator = alone(ls.PercentileAggregator(method="kll"), values)
    assert [accumulator.percentile(percent) for percent in PERCENTILES] == [
        sorted(values)[nearest_rank(percent, values) - 1] for percent in PERCENTILES
    ]


def test_percentiles_by_default_are_what_they_were() -> None:
    aggregator = ls.PercentileAggregator()
    assert aggregator.result_names() == ["p50", "p95", "p99"]
    accumulator = alone(aggregator, numbers_of("lognormal", 5_000))
    by_name = alone(ls.CompositeAggregator(["count", "p50", "p95", "p99"]), numbers_of("lognormal", 5_000))
    assert accumulator.results() == by_name.results()
    assert 0.009 < accumulator.percentile_error < 0.01


def test_percentiles_have_as_many_digits_as_they_need() -> None:
    for method in ("default", "exact", "kll"):
        aggregator = ls.PercentileAggregator((50, 99.9, 0.1), method)
        assert list(results_of([1, 2, 3], aggregator)) == ["p50", "p99.9", "p0.1"]


def test_the_same_percentile_twice_needs_a_prefix() -> None:
    with pytest.raises(ls.ConfigurationError, match="p50"):
        builder_of("p50", ls.PercentileAggregator((50,), "exact")).build()
    exact = ls.PercentileAggregator((50,), "exact")
    harness = PipelineHarness(builder_of("p50").aggregate("x", [exact], prefix="exact_"))
    harness.push({"ts": 0, "x": 7})
    harness.end_of_input()
    assert dict(harness.drain()[0].results) == {"p50": 7.0, "exact_p50": 7.0}


def test_a_pane_that_collapsed_its_histogram_reports_the_error_of_its_percentiles() -> None:
    few = results_of([1.5] * 64, "p50", "percentile_error")
    narrow = results_of([float(at) for at in range(1, 200)], "p50", "percentile_error")
    wide = results_of([2.0 ** (at / 2) for at in range(80)], "p50", "percentile_error")
    assert few["percentile_error"] == 0.0
    assert 0.009 < narrow["percentile_error"] < 0.01
    assert wide["percentile_error"] == pytest.approx(2 * narrow["percentile_error"], rel=1e-3)
    assert wide["p50"] == pytest.approx(2.0**19.5, rel=wide["percentile_error"])
    assert wide["p50"] != pytest.approx(2.0**19.5, rel=1e-12)


# Histograms


def test_log_buckets_have_the_values_between_their_bounds() -> None:
    values = [*numbers_of("lognormal", 400), *numbers_of("negative", 300), *[0.0] * 5]
    for bins in (2, 10, 768):
        buckets = results_of(values, ls.HistogramAggregator(bins=bins))["histogram"]
        assert sum(bucket["count"] for bucket in buckets) == len(values)
        assert sum(bucket["upper"] > 0 for bucket in buckets) <= bins
        for bucket in buckets:
            lower, upper = bucket["lower"], bucket["upper"]
            counted = sum(
                value == 0 if lower == upper else lower <= value < upper if lower >= 0 and value > 0 else
                lower < value <= upper if upper <= 0 and value < 0 else False
                for value in values
            )  # fmt: skip
            assert counted == bucket["count"]
    assert results_of([1.0] * 3, "histogram")["histogram"][0]["count"] == 3


def test_integers_are_compared_with_edges_exactly() -> None:
    edge = 2**53 + 4
    harness = PipelineHarness(builder_of(ls.HistogramAggregator([edge])).with_schema({"x": int}))
    harness.push([{"ts": 0, "x": edge - 1}, {"ts": 1, "x": edge}])
    harness.end_of_input()
    assert [bucket["count"] for bucket in harness.drain()[0].results["histogram"]] == [1, 1]


# Alone


EVERY: list[tuple[Any, list[Any]]] = [
    (ls.DistinctAggregator(4), [f"v{at % 90}" for at in range(300)]),
    (ls.HeavyHittersAggregator(2, 4), [at * at % 23 for at in range(300)]),
    (ls.HistogramAggregator(), numbers_of("lognormal", 300)),
    (ls.HistogramAggregator([1, 100]), numbers_of("lognormal", 300)),
    (ls.CollectAggregator(5), ["x", 1, True, 2.5] * 75),
    (ls.PercentileAggregator(method="exact"), numbers_of("pareto", 300)),
    (ls.PercentileAggregator(method="kll", k=8), numbers_of("pareto", 300)),
]


@pytest.mark.parametrize(("aggregator", "values"), EVERY, ids=lambda each: getattr(each, "_name", ""))
def test_an_accumulator_can_be_encoded_copied_and_merged(aggregator: Any, values: list[Any]) -> None:
    accumulator = alone(aggregator, values, time=0)
    restored = aggregator.create_accumulator()
    restored.decode(accumulator.encode())
    for each in (accumulator, restored, accumulator.copy()):
        assert each.encode() == accumulator.encode()
        assert each.results() == accumulator.results()
    for value in values:
        aggregator.add(accumulator, value, time=1)
        aggregator.add(restored, value, time=1)
    assert restored.encode() == accumulator.encode()

    merged = aggregator.merge(accumulator, restored)
    accumulator.merge(accumulator)
    assert accumulator.results() == merged.results()

    with pytest.raises(ls.CheckpointError):
        aggregator.create_accumulator().decode(restored.encode()[:-1])


def test_accumulators_of_other_settings_are_not_merged() -> None:
    for a, b in (
        (ls.DistinctAggregator(4), ls.DistinctAggregator(12)),
        (ls.HeavyHittersAggregator(2, 10), ls.HeavyHittersAggregator(2, 20)),
        (ls.HistogramAggregator([1]), ls.HistogramAggregator([2])),
        (ls.PercentileAggregator(method="kll"), ls.PercentileAggregator(method="kll", k=8)),
    ):
        with pytest.raises(ls.AggregationError, match="different aggregators"):
            a.merge(a.create_accumulator(), b.create_accumulator())


def test_statistics_are_read_from_where_they_lie() -> None:
    composite = ls.CompositeAggregator(["first", "count", "max"])
    accumulator = composite.create_accumulator()
    composite.add(accumulator, 7.0, time=1)
    assert (accumulator.count, accumulator.max) == (1, 7.0)


def test_a_record_has_a_value_for_each_field() -> None:
    accumulator = ls.DistinctAggregator().create_accumulator()
    for numbers, labels in (([], []), ([1.0], ["a"]), ([], ["a", "b"])):
        with pytest.raises(ls.AggregationError, match="a value for each field"):
            accumulator.add_record(numbers, labels)


def test_collect_needs_the_time_of_each_value() -> None:
    aggregator = ls.CollectAggregator()
    with pytest.raises(ls.AggregationError, match="event time"):
        aggregator.add(aggregator.create_accumulator(), "a")


# Settings


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ls.DistinctAggregator(3), "precision: 3: expected a whole number in [4, 18]"),
        (lambda: ls.DistinctAggregator(True), "precision: True: expected a whole number in [4, 18]"),
        (lambda: ls.HeavyHittersAggregator(0), "k: 0: expected a whole number in [1, 50000]"),
        (lambda: ls.HeavyHittersAggregator(5, 4), "capacity: 4: expected a whole number in [5, 1000000]"),
        (lambda: ls.HistogramAggregator([1, 1]), "buckets: [1.0, 1.0]: expected 1 to 10000 finite numbers that"),
        (lambda: ls.HistogramAggregator([]), "buckets: []: expected 1 to 10000 finite numbers that ascend"),
        (lambda: ls.HistogramAggregator("12"), "buckets: '12': expected 1 to 10000 finite numbers that ascend"),
        (lambda: ls.HistogramAggregator([1], 5), "buckets and bins: expected one of them"),
        (lambda: ls.HistogramAggregator(bins=1), "bins: 1: expected a whole number in [2, 768]"),
        (lambda: ls.CollectAggregator(0), "limit: 0: expected a whole number in [1, 1000000]"),
        (lambda: ls.PercentileAggregator((50, 101)), "percentiles: [50.0, 101.0]: expected different numbers in"),
        (lambda: ls.PercentileAggregator((50, 50)), "percentiles: [50.0, 50.0]: expected different numbers in"),
        (lambda: ls.PercentileAggregator(()), "percentiles: []: expected different numbers in [0, 100]"),
        (lambda: ls.PercentileAggregator(method="tdigest"), "method: 'tdigest': expected 'default', 'exact'"),  # type: ignore[arg-type]
        (lambda: ls.PercentileAggregator(method="kll", k=7), "k: 7: expected a whole number in [8, 65535]"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_with_what_is_expected(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ls.ConfigurationError) as refused:
        make()
    assert message in str(refused.value)


def test_names_stand_for_aggregators_with_their_default_settings() -> None:
    names = [*LABELS, "histogram"]
    aggregators = [
        ls.DistinctAggregator(),
        ls.HeavyHittersAggregator(),
        ls.CollectAggregator(),
        ls.HistogramAggregator(),
    ]
    values = [float(at % 30) for at in range(200)]
    assert results_of(values, *names) == results_of(values, *aggregators)
    assert [aggregator.name() for aggregator in aggregators] == names
