"""However a stream is cut, and wherever a snapshot is taken and restored, operators give the same."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any

import llmopt_stream as ls
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from llmopt_stream.state import StateBackend
from llmopt_stream.testing import PipelineHarness

STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us").key_by("key")
MEAN = ["count", "sum", "p50"]


def records_of(seed: int, n: int = 120) -> list[dict[str, Any]]:
    """Out of order by up to 20 µs, some late by much more; with keys, values and ids of every kind, or without."""
    rng = random.Random(seed)
    records = []
    for at in range(n):
        late = 200 if rng.random() < 0.05 else 0
        record = {
            "ts": at * 4 - rng.randrange(20) - late,
            "key": rng.choice(["a", "b", "", "é", None, True, 1, 1.0, 2.5]),
            "value": rng.choice([1, 2.5, -3, None, float("nan"), float("inf"), 7, 11]),
            "id": rng.randrange(n // 3),
            "tags": [rng.randrange(3) for _ in range(rng.randrange(3))],
        }
        for field in ("key", "value", "id"):
            if rng.random() < 0.05:
                del record[field]
        records.append(record)
    return records


def micros(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def double(record: dict[str, Any]) -> dict[str, Any]:
    value = record.get("value")
    return {**record, "value": None if value is None else value * 2}


def numeric(record: dict[str, Any]) -> dict[str, Any]:
    value = record.get("value")
    return {**record, "value": None if value is None else float(value)}


def per_tag(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**record, "tag": tag, "n": place} for place, tag in enumerate(record["tags"])]


def add_one(table: Any) -> Any:
    if "id" not in table.column_names:
        return table
    return table.append_column("next", pc.add(table["id"], 1))


class Alert:
    """Emits the second value above 5 of a key, then is quiet until a timer; and says so when it goes off."""

    def process(self, record: dict[str, Any], context: Any) -> Any:
        value = record.get("value")
        if value is None or not value > 5 or context.state.get("quiet"):
            return None
        seen = context.state.get("seen", 0) + 1
        context.state.put("seen", seen, ttl="60us")
        if seen < 2:
            return None
        context.state.put("quiet", True)
        context.set_timer(micros(context.timestamp) + 30)
        return {"alert": record["ts"], "value": value}

    def on_timer(self, time: datetime, context: Any) -> Any:
        context.state.delete("quiet")
        return [{"over": micros(time), "value": 0.0, "seen": sorted(context.state.all())}]


def step(record: dict[str, Any], context: Any) -> dict[str, Any]:
    before = context.state.get("last")
    context.state.put("last", record["ts"])
    return {
        **record,
        "before": before,
        "watermark": None if context.watermark is None else int(context.watermark),
    }


class Beside(Alert):
    """Emits the same, and every record without a value to one side output, what timers say to another."""

    def process(self, record: dict[str, Any], context: Any) -> Any:
        if record.get("value") is None:
            context.emit({"value": 0, "at": record["ts"]}, to="nothing")
        return super().process(record, context)

    def on_timer(self, time: datetime, context: Any) -> Any:
        for each in super().on_timer(time, context):
            context.emit(each, to="over")


def fails_at_seven(record: dict[str, Any]) -> dict[str, Any]:
    if record.get("value") == 7:
        raise LookupError("seven")
    return record


TABLE = [{"number": number, "name": f"n{number % 4}", "weight": number / 2} for number in range(0, 60, 2)]
WINDOWED = STREAM.with_tumbling_window("20us", allowed_lateness="15us").aggregate("value", MEAN)
OTHER = ls.create_pipeline("other").with_event_time("ts", unit="us").filter(ls.col("value") > 0)

PIPELINES: dict[str, ls.StreamPipelineBuilder] = {
    "records": STREAM.filter(ls.col("value") > 0),
    "map": STREAM.map(double),
    "flat_map": STREAM.flat_map(per_tag),
    "filter by a callable, then in the core": STREAM.filter(lambda r: r["ts"] % 3).filter(ls.col("id") < 20),
    "map_batches": STREAM.map_batches(add_one),
    "select": STREAM.select("ts", "key", half=ls.col("value") / 2, large=ls.col("value") > 4),
    "select behind map": STREAM.map(double).select("key", "id", half=ls.col("value") / 2),
    "deduplicate": STREAM.deduplicate(by="id", ttl="100us"),
    "deduplicate, about": STREAM.deduplicate(by="id", ttl="100us", false_positive_rate=0.01),
    "deduplicate behind map": STREAM.map(double).deduplicate(by="id", ttl="50us"),
    "deduplicate before windows": STREAM.filter(ls.col("value") > 0)
    .deduplicate(by="id", ttl="100us")
    .with_sliding_window("30us", "10us", allowed_lateness="15us")
    .aggregate("value", MEAN),
    "map before windows": STREAM.map(double).with_session_window("6us").aggregate("value", MEAN),
    "records of each key": STREAM.running_count(),
    "sessions": STREAM.track_sessions("12us"),
    "sessions in windows": STREAM.track_sessions("12us")
    .key_by()
    .with_tumbling_window("50us")
    .aggregate("page_views", MEAN),
    "process": STREAM.process(step),
    "process with state that expires": STREAM.process(step, ttl="40us"),
    "process with timers": STREAM.process(Alert),
    "process with timers, in windows": STREAM.process(Alert).with_tumbling_window("40us").aggregate("value", MEAN),
    "two stages": WINDOWED.key_by().with_tumbling_window("60us").aggregate("sum", MEAN),
    "three stages": WINDOWED.key_by()
    .with_tumbling_window("60us", allowed_lateness="10us")
    .aggregate("sum", ["count", "max"])
    .with_count_window(2, flush=True)
    .aggregate("max", ["sum"]),
    "results that are chosen": WINDOWED.filter(ls.col("count") > 1),
    "results that are changed": WINDOWED.map(lambda pane: {"sum": pane["sum"], "at": pane["pane_timing"]}),
    "sessions over early panes": STREAM.with_tumbling_window("20us")
    .with_trigger(ls.AfterWatermark(early=ls.CountTrigger(2)))
    .aggregate("value", ["count"])
    .map(lambda pane: {"timing": pane["pane_timing"], "count": pane["count"]})
    .key_by("timing")
    .with_session_window("30us")
    .aggregate("count", ["count", "sum"]),
    "discarded panes": WINDOWED.with_accumulation("discarding").process(
        lambda pane, context: {"n": pane["count"], "watermark": int(context.watermark)}
    ),
    "gaps by a callable": STREAM.map(double)
    .with_session_window(lambda r: (len(r["tags"]) + 1) * 4e-6)
    .aggregate("value", ["count"]),
    "applied": STREAM.map(double)
    .with_tumbling_window("20us")
    .apply(lambda records: repr([r["value"] for r in records]), ["value"], name="values"),
    "branches": STREAM.map(double)
    .branch("all").filter(lambda r: r["ts"] % 2).with_tumbling_window("20us").aggregate("value", MEAN)
    .branch("tagged").flat_map(per_tag).key_by("tag").with_tumbling_window("50us").aggregate("n", ["count"])
    .branch("raw").deduplicate(by="id", ttl="50us"),
    "side outputs": STREAM.process(Beside, side_outputs=["nothing", "over"])
    .branch("alerts")
    .branch("nothing", emitted_to="nothing").key_by().with_tumbling_window("20us").aggregate("value", ["count"])
    .branch("over", emitted_to="over").map(double).key_by("over").running_count(),
    "enrich": STREAM.enrich(TABLE, on={"id": "number"}),
    "enrich, inner, before windows": STREAM.enrich(TABLE, on={"id": "number"}, how="inner")
    .key_by("name").with_tumbling_window("20us").aggregate("weight", MEAN),
    "enrich, refreshed": STREAM.enrich(ls.RefreshingTable(lambda: {"a": {"n": 1}, True: {"n": 2}}, every="1s"), on="key"),
    "enrich, missing rows are errors": STREAM.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.skip()))
    .enrich(TABLE, on={"id": "number"}, missing="error"),
    "top_n": WINDOWED.top_n(2, by="sum"),
    "top_n per field, of windows that fire again": STREAM.key_by("key", "id")
    .with_sliding_window("40us", "20us", allowed_lateness="30us").aggregate("value", ["count", "max"])
    .top_n(1, by="max", per="key", ascending=True),
    "top_n in windows": STREAM.with_tumbling_window("20us").aggregate("value", ["max"]).top_n(3, by="max")
    .key_by("rank").with_tumbling_window("60us").aggregate("max", MEAN),
    "trending": STREAM.trending(half_life="20us", window="40us", top=3, drop_below=0.5),
    "trending of more than it counts, in windows": STREAM.key_by("id")
    .trending(half_life="20us", window="20us", top=2, capacity=3)
    .key_by("rank").with_tumbling_window("80us").aggregate("score", ["count", "max"]),
    "filter of polars": STREAM.map(numeric).filter(pl.col("value") > 2),
    "filter of pyarrow": STREAM.map(numeric).filter(pc.field("value") > 2, fields=["value"]).running_count(),
    "failures": STREAM.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.skip()))
    .map(fails_at_seven)
    .with_tumbling_window("20us")
    .aggregate("value", MEAN),
}  # fmt: skip
WITH_GENERATOR = ls.BoundedOutOfOrdernessWatermark("20us")

Step = tuple[str, Any]


def steps_of(records: list[Any], *, marks: bool, seed: int) -> list[Step]:
    """Records one by one, with watermarks in between where they are explicit, and the end."""
    rng = random.Random(seed)
    steps: list[Step] = []
    for record in records:
        steps.append(("push", record))
        if marks and rng.random() < 0.15:
            steps.append(("mark", record["ts"] - rng.randrange(5, 25)))
    return [*steps, ("end", None)]


def take(harness: PipelineHarness, batch: list[Any], *, whole: str) -> None:
    if whole == "one by one":
        for record in batch:
            harness.push(record)
    else:
        harness.push(batch)


def observed(harness: PipelineHarness) -> list[Any]:
    """Everything that has come out, exactly: the types of numbers too."""
    return [
        *map(repr, harness.drain()),
        *map(repr, harness.drain_late()),
        *(f"{event.error}; {event.position}" for event in harness.drain_errors()),
    ]


COUNTERS = (
    "records_in", "aggregated", "late", "malformed", "filtered", "outside_windows", "unfired", "panes", "errors",
    "malformed_by_kind", "live_keys",
)  # fmt: skip


def counters(harness: PipelineHarness) -> dict[str, Any]:
    metrics = harness.metrics
    return {name: metrics[name] for name in COUNTERS} | {
        name: metrics.get(name)
        for name in ("delivered", "branches", "stages", "behind_windows", "skipped_values")
    }


def driven(
    builder: ls.StreamPipelineBuilder,
    steps: list[Step],
    cuts: str,
    *,
    seed: int = 0,
    parallelism: int = 1,
    backend: StateBackend | None = None,
) -> tuple[list[Any], list[dict[str, Any]]]:
    """What comes out, branch by branch in the end, and the counters at each watermark."""
    rng = random.Random(seed)
    harness = PipelineHarness(builder, parallelism=parallelism, state_backend=backend)
    batch: list[Any] = []
    counted = []

    def flush() -> None:
        if batch:
            take(harness, list(batch), whole=cuts)
            batch.clear()

    for kind, value in steps:
        if kind == "push":
            batch.append(value)
            if cuts == "one by one" or (cuts != "whole" and rng.random() < 0.2):
                flush()
        else:
            flush()
            if kind == "mark":
                harness.advance_watermark(value)
            else:
                harness.end_of_input()
            counted.append(counters(harness))
        if cuts == "restored" and rng.random() < 0.2:
            flush()
            harness = PipelineHarness.restore(builder, harness.snapshot(), parallelism=parallelism)
    return observed(harness), counted


@pytest.mark.parametrize("watermarks", ["explicit", "generated"])
@pytest.mark.parametrize("name", PIPELINES)
def test_cuts_and_snapshots_change_nothing(name: str, watermarks: str) -> None:
    builder = PIPELINES[name]
    if watermarks == "generated":
        builder = builder.with_watermark_generator(WITH_GENERATOR)
    some = 0
    for seed in range(2):
        steps = steps_of(records_of(seed), marks=watermarks == "explicit", seed=seed)
        expected = driven(builder, steps, "one by one")
        some += len(expected[0])
        for cuts in ("random", "whole", "restored"):
            assert driven(builder, steps, cuts, seed=seed) == expected, (seed, cuts)
        assert driven(builder, steps, "random", seed=seed, backend=ls.MemoryStateBackend()) == expected, seed
        if "count" not in name:
            assert driven(builder, steps, "random", seed=seed, parallelism=2) == expected, seed
    assert some > 10


@pytest.mark.parametrize("name", PIPELINES)
def test_nothing_is_remembered_after_the_end(name: str) -> None:
    harness = PipelineHarness(PIPELINES[name].with_watermark_generator(WITH_GENERATOR))
    harness.push(records_of(5))
    harness.end_of_input()
    harness.drain()
    assert (harness.metrics["live_keys"], harness.metrics["live_slices"]) == (0, 0)


@pytest.mark.parametrize("parallelism", [1, 2, 4])
@pytest.mark.parametrize(
    "builder",
    [
        STREAM.filter(ls.col("value") > 0).deduplicate(by="id", ttl="100us"),
        STREAM.deduplicate(by="id", ttl="100us").filter(ls.col("key").is_not_null()),
        STREAM.filter(ls.col("value") < 7).filter(lambda r: r["ts"] % 3),
    ],
    ids=["filter and deduplicate", "deduplicate and filter", "two filters, one of them Python's"],
)
def test_every_record_is_counted_once(builder: ls.StreamPipelineBuilder, parallelism: int) -> None:
    builder = builder.with_watermark_generator(WITH_GENERATOR).with_sliding_window("10us", "15us")
    harness = PipelineHarness(builder.aggregate("value", ["count"]), parallelism=parallelism)
    records = [*records_of(1, 400), {"ts": None, "value": 3, "key": "a"}, {"value": 3}]
    harness.push(records)
    harness.end_of_input()
    metrics = harness.metrics
    kinds = Counter({name: metrics[name] for name in COUNTERS[1:6]})
    assert kinds.total() == metrics["records_in"] == len(records)
    assert metrics["malformed"] == 2
    assert all(kinds[name] for name in ("aggregated", "late", "filtered", "outside_windows"))


@pytest.mark.parametrize(
    "name", ["map", "map_batches", "select", "process with timers", "two stages", "branches"]
)
def test_arrow_batches_are_records(name: str) -> None:
    """Rows have each column: null, where a record has none."""
    builder = PIPELINES[name].with_watermark_generator(WITH_GENERATOR)
    records = [
        {"ts": r["ts"], "key": str(r.get("key")), "value": float(r.get("value") or 0), "id": r.get("id"), "tags": r["tags"]}
        for r in records_of(7)
    ]  # fmt: skip
    by_rows, by_batch = PipelineHarness(builder), PipelineHarness(builder)
    by_rows.push(records)
    table = pa.Table.from_pylist(records)
    by_batch.push_batch(table.slice(0, 31))
    by_batch.push_batch(table.slice(31))
    for harness in (by_rows, by_batch):
        harness.end_of_input()
    assert observed(by_batch) == observed(by_rows)


LEFT = STREAM.map(double)
OF_SEVERAL: dict[str, tuple[ls.StreamPipelineBuilder, list[str]]] = {
    "union": (
        STREAM.union(
            LEFT.union(OTHER).key_by("key").with_tumbling_window("20us").aggregate("value", MEAN)
        ).running_count(),
        ["0", "1.0", "1.1"],
    ),
    **{
        f"interval join, {how}": (LEFT.join(OTHER, on="key", lower="-8us", upper="15us", how=how), ["left", "right"])
        for how in ("inner", "left", "right", "full")
    },
    **{
        f"window join, {how}": (
            LEFT.join(OTHER, on={"id": "value"}, window=ls.sliding("40us", "20us"), how=how),
            ["left", "right"],
        )
        for how in ("inner", "full")
    },
    "pairs in windows": (
        LEFT.join(OTHER, on="key", within="10us", select=lambda a, b: {"key": a["key"], "product": a["ts"] * b["ts"]})
        .key_by("key").with_tumbling_window("30us").aggregate("product", MEAN),
        ["left", "right"],
    ),
    "join of joins": (
        LEFT.join(OTHER, on="key", within="10us", select=lambda a, b: {"key": a["key"], "id": b.get("id")})
        .join(STREAM, on="id", within="20us", how="left"),
        ["left.left", "left.right", "right"],
    ),
    "enrich with versions": (LEFT.enrich(OTHER.select("ts", "key", "value"), on="key", prefix="latest_"), ["left", "right"]),
    "enrich with versions, inner, in windows": (
        STREAM.enrich(OTHER.select("key", of="id"), on="key", how="inner").key_by("of")
        .with_tumbling_window("40us").aggregate("value", MEAN),
        ["left", "right"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("watermarks", ["explicit", "generated"])
@pytest.mark.parametrize("name", OF_SEVERAL)
def test_streams_of_several_inputs_are_cut_and_restored_as_one_stream_is(name: str, watermarks: str) -> None:
    builder, inputs = OF_SEVERAL[name]
    if watermarks == "generated":
        builder = _generating(builder)

    def seen(
        most: int,
        *,
        seed: int,
        restores: bool = False,
        parallelism: int = 1,
        backend: StateBackend | None = None,
    ) -> tuple[list[Any], Any]:
        rng = random.Random(seed)
        turns = [(rng.choice(inputs), record) for record in records_of(seed, 160)]
        harness = PipelineHarness(builder, parallelism=parallelism, state_backend=backend)
        for number, (input_name, group) in enumerate(groupby(turns, key=lambda turn: turn[0])):
            records = [record for _, record in group]
            for first in range(0, len(records), most):
                harness.push(records[first : first + most], input=input_name)
            if watermarks == "explicit" and number % 3 == 0:
                harness.advance_watermark(records[-1]["ts"] - 20)
            if restores:
                harness = PipelineHarness.restore(builder, harness.snapshot(), parallelism=parallelism)
        harness.end_of_input()
        return observed(harness), counters(harness)

    expected = seen(1, seed=1)
    assert len(expected[0]) > 10
    assert seen(100, seed=1) == expected
    assert seen(100, seed=1, parallelism=2) == expected
    assert seen(2, seed=1, restores=True) == expected
    assert seen(5, seed=1, backend=ls.MemoryStateBackend()) == expected


def _generating(builder: ls.StreamPipelineBuilder) -> ls.StreamPipelineBuilder:
    """With a watermark generator for each of the inputs."""

    def of(plan: Any) -> Any:
        if plan.inputs is None:
            return replace(plan, watermark=WITH_GENERATOR)
        return replace(plan, inputs=replace(plan.inputs, plans=tuple(map(of, plan.inputs.plans))))

    return builder._but(inputs=of(builder.plan).inputs)


def test_nothing_of_several_inputs_is_remembered_after_the_end() -> None:
    for builder, inputs in OF_SEVERAL.values():
        harness = PipelineHarness(builder)
        for name in inputs:
            harness.push(records_of(len(name)), input=name)
        harness.end_of_input()
        harness.drain()
        assert (harness.metrics["live_keys"], harness.metrics["live_slices"]) == (0, 0)
