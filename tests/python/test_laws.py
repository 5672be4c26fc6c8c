"""The laws that every pipeline keeps, as properties of the real core.

(1) For one ordered input the output, its order included, does not depend on batch cuts, parallelism, or
snapshot and restore in between. (2) Disorder within the bound changes no final pane. And both equal a
naive reference that keeps every record and computes with exact fractions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import llmopt_stream as ls
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llmopt_stream.testing import (
    Metric,
    NaiveLateRecord,
    NaivePane,
    NaiveWindows,
    PipelineHarness,
    Session,
    Sliding,
    Tumbling,
    WindowKind,
    batch_splits,
    disorder_within,
    event_streams,
    key_order,
    window_specs,
)

KINDS = ("tumbling", "sliding", "session")
"""Of "tumbling", "sliding", "session": the windows that the core has."""
PARALLELISM = (1, 2, 4)

STATISTICS = ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]
EXACT_STATISTICS = ["count", "min", "max", "p50", "p95", "p99"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXACT_PERCENTILES = 64
"""Up to so many values a pane's percentiles are exact."""

for_every_kind = pytest.mark.parametrize("kind", KINDS)
at_every_parallelism = pytest.mark.parametrize("parallelism", PARALLELISM)


def law(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# A case: a pipeline, and what is done to it step by step


@dataclass(frozen=True)
class Advance:
    """A step that moves the watermark by hand; every other step is a record."""

    watermark: int


@dataclass(frozen=True)
class Case:
    window: WindowKind
    allowed_lateness: int
    bound: int | None
    """Of the watermark generator; None: the watermark moves by hand."""
    steps: Sequence[dict[str, Any] | Advance]

    def builder(self) -> ls.StreamPipelineBuilder:
        builder = ls.create_pipeline("laws").with_event_time("ts", unit="us").key_by("key")
        if self.bound is not None:
            bound = timedelta(microseconds=self.bound)
            builder = builder.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(bound))
        return windowed(builder, self.window, self.allowed_lateness).aggregate("value", STATISTICS)

    def harness(self, parallelism: int = 1) -> PipelineHarness:
        return PipelineHarness(self.builder(), parallelism=parallelism)

    def reference(self) -> NaiveWindows:
        return NaiveWindows(
            self.window,
            metrics=[Metric("value", STATISTICS)],
            allowed_lateness=self.allowed_lateness,
            max_out_of_orderness=self.bound,
        )


def windowed(
    builder: ls.StreamPipelineBuilder, window: WindowKind, allowed_lateness: int
) -> ls.StreamPipelineBuilder:
    lateness = timedelta(microseconds=allowed_lateness)
    match window:
        case Tumbling(size, offset):
            return builder.with_tumbling_window(
                timedelta(microseconds=size), offset=timedelta(microseconds=offset), allowed_lateness=lateness
            )
        case Sliding(size, slide, offset):
            return builder.with_sliding_window(
                timedelta(microseconds=size),
                timedelta(microseconds=slide),
                offset=timedelta(microseconds=offset),
                allowed_lateness=lateness,
            )
        case Session(gap):
            return builder.with_session_window(timedelta(microseconds=gap), allowed_lateness=lateness)


@st.composite
def cases(draw: st.DrawFn, kind: str, *, values: str = "any", max_size: int = 30) -> Case:
    window = draw(window_specs(kinds=[kind]))
    grid = (
        window.gap
        if isinstance(window, Session)
        else window.slide
        if isinstance(window, Sliding)
        else window.size
    )
    lateness = draw(st.sampled_from([0, 1, grid, 3 * grid, 10 * grid]) | st.integers(0, 100))
    bound = draw(st.none() | st.sampled_from([0, grid]) | st.integers(0, 40))
    keys = draw(st.sampled_from([st.just("a"), "text", "mixed"]))
    span = draw(st.sampled_from([3 * grid, 120]))
    disorder = draw(st.sampled_from([0, grid, 100]))
    steps: list[dict[str, Any] | Advance] = list(
        draw(
            event_streams(
                keys=keys,
                values=values,
                disorder=disorder,
                late=True,
                grid=grid,
                span=span,
                max_size=max_size,
            )
        )
    )
    if bound is None or draw(st.booleans()):
        watermarks = st.builds(lambda step, off: step * grid + off, st.integers(-4, 6), st.integers(-1, 1))
        for at, watermark in draw(st.lists(st.tuples(st.integers(0, len(steps)), watermarks), max_size=5)):
            steps.insert(at, Advance(watermark))
    return Case(window, lateness, bound, steps)


def take(driven: PipelineHarness | NaiveWindows, step: dict[str, Any] | Advance) -> None:
    if isinstance(step, Advance):
        driven.advance_watermark(step.watermark)
    else:
        driven.push(step)


def take_in_batches(
    harness: PipelineHarness, steps: Sequence[dict[str, Any] | Advance], cuts: Iterable[slice]
) -> None:
    """Steps that move the watermark by hand cut batches too."""
    for cut in cuts:
        batch: list[dict[str, Any]] = []
        for step in steps[cut]:
            if isinstance(step, Advance):
                harness.push(batch)
                harness.advance_watermark(step.watermark)
                batch = []
            else:
                batch.append(step)
        harness.push(batch)


@dataclass
class Output:
    panes: list[ls.AggregationResult]
    late: list[ls.LateEvent]
    counters: dict[str, int]

    def text(self) -> list[str]:
        """Everything, doubles to the bit: equal texts are equal outputs."""
        return [
            *(
                repr((micros(pane.window), pane.key.items(), pane.results, shown(pane.pane)))
                for pane in self.panes
            ),
            *(repr((late_parts(late), late.key.items())) for late in self.late),
            repr(self.counters),
        ]


def output(harness: PipelineHarness) -> Output:
    harness.end_of_input()
    counters = {name: harness.metrics[name] for name in NaiveWindows(Tumbling(1)).counters}
    return Output(harness.drain(), harness.drain_late(), counters)


def one_by_one(case: Case, parallelism: int = 1) -> Output:
    harness = case.harness(parallelism)
    for step in case.steps:
        take(harness, step)
    return output(harness)


def micros(window: ls.Window) -> tuple[int, int]:
    microsecond = timedelta(microseconds=1)
    return (window.start - EPOCH) // microsecond, (window.end - EPOCH) // microsecond


def shown(pane: ls.Pane) -> tuple[str, int, bool, list[tuple[int, int]]]:
    return pane.timing, pane.index, pane.is_last, [micros(window) for window in pane.replaces]


def late_parts(late: ls.LateEvent) -> tuple[Any, ...]:
    return (
        event_text(late.event),
        key_order(late.key.values()),
        [micros(window) for window in late.windows],
        int(late.watermark),
        late.lateness // timedelta(microseconds=1),
        late.position,
    )


def naive_late_parts(late: NaiveLateRecord) -> tuple[Any, ...]:
    windows = list(late.windows)
    return event_text(late.event), key_order(late.key), windows, late.watermark, late.lateness, late.position


def event_text(event: Mapping[str, Any]) -> str:
    """As text a NaN equals itself."""
    return repr(sorted(event.items()))


# Law 1


@for_every_kind
@at_every_parallelism
@given(data=st.data())
@law(100)
def test_batch_cuts_change_nothing(kind: str, parallelism: int, data: st.DataObject) -> None:
    case = data.draw(cases(kind))
    harness = case.harness(parallelism)
    take_in_batches(harness, case.steps, data.draw(batch_splits(len(case.steps))))
    assert output(harness).text() == one_by_one(case).text()


@for_every_kind
@at_every_parallelism
@given(data=st.data())
@law(60)
def test_snapshot_and_restore_between_any_two_steps_change_nothing(
    kind: str, parallelism: int, data: st.DataObject
) -> None:
    case = data.draw(cases(kind))
    stops = data.draw(st.sets(st.integers(0, len(case.steps)), max_size=4))
    harness = case.harness(parallelism)
    for at, step in enumerate([*case.steps, None]):
        if at in stops:
            harness = PipelineHarness.restore(case.builder(), harness.snapshot(), parallelism=parallelism)
        if step is not None:
            take(harness, step)
    assert output(harness).text() == one_by_one(case).text()


@for_every_kind
@given(data=st.data())
@law(30)
def test_drains_in_between_change_nothing(kind: str, data: st.DataObject) -> None:
    case = data.draw(cases(kind))
    harness = case.harness()
    panes, late = [], []
    for step in case.steps:
        take(harness, step)
        panes += harness.drain()
        late += harness.drain_late()
    rest = output(harness)
    assert Output(panes + rest.panes, late + rest.late, rest.counters).text() == one_by_one(case).text()


@for_every_kind
@given(data=st.data())
@law(40)
def test_arrow_batches_equal_dicts(kind: str, data: st.DataObject) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    schema = pyarrow.schema(
        [("ts", pyarrow.int64()), ("key", pyarrow.string()), ("value", pyarrow.float64())]
    )
    floats = st.none() | st.floats(-1e6, 1e6, width=32, allow_subnormal=False) | st.just(math.nan)
    keys = st.sampled_from(["a", "b", "é", "", None])
    window = data.draw(window_specs(kinds=[kind]))
    records = data.draw(event_streams(keys=keys, values=floats, disorder=20, late=True))
    case = Case(window, data.draw(st.integers(0, 60)), 20, records)
    harness = case.harness()
    for cut in data.draw(batch_splits(len(records))):
        harness.push_batch(pyarrow.Table.from_pylist(records[cut], schema=schema))
    assert output(harness).text() == one_by_one(case).text()


# Law 2


def final_panes(panes: Iterable[ls.AggregationResult]) -> dict[Any, dict[str, Any]]:
    """The last pane of each key and window, without those that a later one replaces."""
    final = {}
    for pane in panes:
        key = key_order(pane.key.values())
        for replaced in pane.pane.replaces:
            final.pop((micros(replaced), key), None)
        final[micros(pane.window), key] = pane.results
    return final


@for_every_kind
@at_every_parallelism
@given(data=st.data())
@law(100)
def test_disorder_within_the_bound_changes_no_final_pane(
    kind: str, parallelism: int, data: st.DataObject
) -> None:
    window = data.draw(window_specs(kinds=[kind]))
    bound = data.draw(st.integers(0, 60))
    in_order = sorted(data.draw(event_streams(keys="mixed")), key=lambda record: record["ts"])
    disordered = data.draw(disorder_within(bound))(in_order)
    # A watermark on the end of a session has expired it, yet a record at that very time is not late and would
    # have joined it. One microsecond more in the bound keeps the two apart.
    slack = 1 if kind == "session" else 0
    lateness = data.draw(st.integers(0, 30))
    outputs = [
        one_by_one(Case(window, lateness, bound + slack, records), parallelism)
        for records in (in_order, disordered)
    ]
    values_of = window_values(window, in_order)
    expected, actual = (final_panes(output.panes) for output in outputs)
    assert actual.keys() == expected.keys()
    for pane, results in expected.items():
        exact = {name: repr(results[name]) for name in EXACT_STATISTICS}
        assert {name: repr(actual[pane][name]) for name in EXACT_STATISTICS} == exact, pane
        assert_moments_close(actual[pane], results, values_of(pane))
    for each in outputs:
        assert not each.late
        assert {pane.pane.timing for pane in each.panes} <= {"on_time"}


def window_values(window: WindowKind, records: Sequence[dict[str, Any]]) -> Callable[[Any], list[Any]]:
    """The values that a pane of `final_panes` is made of."""

    def of(pane: Any) -> list[Any]:
        (start, end), key = pane
        return [
            record["value"]
            for record in records
            if start <= record["ts"] < end
            and key_order([record.get("key")]) == key
            and Metric(statistics=["count"]).results([record])["count"]
        ]

    return of


@given(data=st.data())
@law(40)
def test_percentiles_of_many_values_depend_on_the_values_alone(data: st.DataObject) -> None:
    values = data.draw(many_values())
    orders = [sorted(values), values, sorted(values, reverse=True)]
    outputs = [one_by_one(Case(Tumbling(10), 0, None, stream_of(order))) for order in orders]
    expected, *others = ([output.panes[0].results[name] for name in EXACT_STATISTICS] for output in outputs)
    assert others == [expected, expected]


# The reference


@for_every_kind
@at_every_parallelism
@given(data=st.data())
@law(150)
def test_equals_the_naive_reference(kind: str, parallelism: int, data: st.DataObject) -> None:
    case = data.draw(cases(kind))
    assert_equals_reference(one_by_one(case, parallelism), case)


@for_every_kind
@given(data=st.data())
@law(60)
def test_integer_sums_are_exact(kind: str, data: st.DataObject) -> None:
    case = data.draw(cases(kind, values="integers"))
    reference = case.reference()
    for step in case.steps:
        take(reference, step)
    reference.end_of_input()
    expected = [pane.results["sum"] for pane in reference.drain()]
    assert [pane.results["sum"] for pane in one_by_one(case).panes] == expected


@given(data=st.data())
@law(60)
def test_many_values_in_a_pane_equal_the_naive_reference(data: st.DataObject) -> None:
    values = data.draw(many_values())
    case = Case(Tumbling(10), 5, None, [*stream_of(values), Advance(12), {"ts": 3, "key": "a", "value": 2.5}])
    harness = case.harness()
    take_in_batches(harness, case.steps, data.draw(batch_splits(len(case.steps))))
    assert_equals_reference(output(harness), case)


@for_every_kind
@given(data=st.data())
@law(30)
def test_panes_of_one_window_come_in_key_order(kind: str, data: st.DataObject) -> None:
    window = data.draw(window_specs(kinds=[kind]))
    time = data.draw(st.integers(-50, 50).filter(window.windows_of))
    numbers = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False, width=32)
    keys = data.draw(
        st.lists(st.none() | st.booleans() | st.integers(-50, 50) | numbers | st.text(max_size=3))
    )
    case = Case(window, 0, None, [{"ts": time, "key": key, "value": 1} for key in keys])
    first_end = window.windows_of(time)[0][1]
    panes = [pane for pane in one_by_one(case).panes if micros(pane.window)[1] == first_end]
    assert [key_order(pane.key.values()) for pane in panes] == sorted({key_order([key]) for key in keys})


@st.composite
def many_values(draw: st.DrawFn) -> list[float]:
    """More values than have exact percentiles, or just not yet; the same seed gives the same values."""
    count = draw(st.sampled_from([63, 64, 65, 66]) | st.integers(65, 400))
    shape = draw(st.sampled_from(["lognormal", "normal", "integers", "few", "negative"]))
    rng = random.Random(draw(st.integers(0, 2**32)))
    one = {
        "lognormal": lambda: rng.lognormvariate(4, 1.5),
        "normal": lambda: max(-100.0, min(100.0, round(rng.gauss(0, 20), 3))),
        "integers": lambda: rng.randint(-1000, 1000),
        "few": lambda: rng.choice([0, 1, 1, 7.5]),
        "negative": lambda: -rng.lognormvariate(0, 1),
    }[shape]
    return [one() for _ in range(count)]


def stream_of(values: Iterable[float]) -> list[dict[str, Any] | Advance]:
    return [{"ts": at % 10, "key": "a", "value": value} for at, value in enumerate(values)]


def assert_equals_reference(actual: Output, case: Case) -> None:
    reference = case.reference()
    # Of each pane the records are kept too: tolerances are relative to the sum of their magnitudes.
    values_of = pane_values(case)
    for step in case.steps:
        take(reference, step)
    reference.end_of_input()
    expected = reference.drain()
    assert [described(pane) for pane in actual.panes] == [naively_described(pane) for pane in expected]
    for pane, naive, values in zip(actual.panes, expected, values_of, strict=True):
        assert list(pane.results) == STATISTICS
        assert_results_close(pane.results, naive.results, values)
    assert [late_parts(late) for late in actual.late] == [
        naive_late_parts(late) for late in reference.drain_late()
    ]
    assert actual.counters == reference.counters


def described(pane: ls.AggregationResult) -> tuple[Any, ...]:
    return micros(pane.window), key_order(pane.key.values()), *shown(pane.pane)


def naively_described(pane: NaivePane) -> tuple[Any, ...]:
    return pane.window, key_order(pane.key), pane.timing, pane.index, pane.is_last, list(pane.replaces)


class _Values(Metric):
    """A metric that gives the numbers themselves."""

    def results(self, records: Iterable[Any], *_: Any) -> dict[str, Any]:
        return {"values": [record["value"] for record in records if Metric.results(self, [record])["count"]]}


def pane_values(case: Case) -> list[list[Any]]:
    """The numbers in each pane, in the order of the panes."""
    keeper = NaiveWindows(
        case.window,
        metrics=[_Values(statistics=["count"])],
        allowed_lateness=case.allowed_lateness,
        max_out_of_orderness=case.bound,
    )
    for step in case.steps:
        take(keeper, step)
    keeper.end_of_input()
    return [pane.results["values"] for pane in keeper.drain()]


def assert_results_close(actual: dict[str, Any], expected: dict[str, Any], values: list[Any]) -> None:
    for name in ("count", "min", "max"):
        assert actual[name] == expected[name], name
    for name in ("p50", "p95", "p99"):
        if len(values) <= EXACT_PERCENTILES:
            assert actual[name] == expected[name], name
        else:
            assert abs(actual[name] - expected[name]) <= 0.01 * abs(expected[name]), name
    assert_moments_close(actual, expected, values)


def assert_moments_close(actual: dict[str, Any], expected: dict[str, Any], values: list[Any]) -> None:
    if not values:
        assert [actual[name] for name in ("sum", "average", "stddev")] == [0, None, None]
        return
    magnitude = float(sum(abs(Fraction(value)) for value in values))
    assert abs(actual["sum"] - expected["sum"]) <= 1e-12 * magnitude
    assert abs(actual["average"] - expected["average"]) <= 1e-12 * magnitude / len(values)
    # Where the values hardly differ, their own rounding is all there is to deviate.
    floor = 1e-12 * float(max(abs(value) for value in values))
    assert abs(actual["stddev"] - expected["stddev"]) <= 1e-9 * expected["stddev"] + floor


@pytest.mark.parametrize("kind", KINDS)
def test_parallelism_changes_nothing_even_with_threads(kind: str) -> None:
    """Batches beyond a few hundred records are worked on by threads; every shard takes part."""
    random_ = random.Random(5)
    records = [
        {
            "ts": 20 * number + random_.randint(-150, 150) - (3_000 if number % 50 == 0 else 0),
            "key": f"k{random_.randrange(40)}",
            "value": random_.random(),
        }
        for number in range(20_000)
    ]
    window = {"tumbling": Tumbling(1_000), "sliding": Sliding(1_000, 300), "session": Session(60)}[kind]
    outputs = []
    for parallelism in (1, 2, 4):
        case = Case(window, 200, 100, [])
        harness = case.harness(parallelism)
        harness.push(records[:9_000])
        # A snapshot may be restored with another parallelism.
        harness = PipelineHarness.restore(case.builder(), harness.snapshot(), parallelism=5 - parallelism)
        harness.push(records[9_000:])
        harness.end_of_input()
        outputs.append(
            ([repr(pane) for pane in harness.drain()], [late.position for late in harness.drain_late()])
        )
        by_shard = harness.metrics["records_by_shard"]
        assert len(by_shard) == 5 - parallelism
        assert all(count > 1_000 for count in by_shard)
        assert (
            harness.metrics["live_keys"]
            == harness.metrics["live_slices"]
            == harness.metrics["state_bytes"]
            == 0
        )
    assert outputs[0] == outputs[1] == outputs[2]
    assert outputs[0][0]
    assert outputs[0][1]
