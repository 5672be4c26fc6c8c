from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import llmopt_stream as ls
import pytest
from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.testing import PipelineHarness

if TYPE_CHECKING:
    from collections.abc import Callable

START = ls.create_pipeline("p").with_event_time("t", unit="s")
KEYED = START.key_by("k")
WINDOWED = KEYED.with_tumbling_window("1m").aggregate("v", ["count", "p50"])


class Call(TypedDict):
    ended: Annotated[int, ls.EventTime(unit="ms")]
    tokens: int


def table_of(path: str) -> str:
    Path(path).write_text('{"k": "a", "price": 1.5}\n', encoding="utf-8")
    return path


def streams() -> tuple[Any, Any]:
    left = (
        ls.create_pipeline("orders").with_event_time("ts", unit="ms").with_source(ls.FileSource("l.ndjson"))
    )
    right = (
        ls.create_pipeline("payments").with_event_time("paid", unit="us").with_source(ls.FileSource("r.csv"))
    )
    return left, right


col = ls.col
BUILDERS: dict[str, Callable[[], ls.StreamPipelineBuilder]] = {
    "nothing": ls.create_pipeline,
    "name": lambda: ls.create_pipeline("a name: with signs"),
    "event type": lambda: ls.create_pipeline(event_type=ls.FeedbackEvent).with_tumbling_window("1m"),
    "cloud event": lambda: ls.create_pipeline(event_type=ls.CloudEvent).with_tumbling_window("1m"),
    "gen ai event": lambda: ls.create_pipeline(event_type=ls.GenAiEvent).with_tumbling_window("1m"),
    "own event type": lambda: ls.create_pipeline(event_type=Call).with_tumbling_window("1m").aggregate("tokens", ["sum"]),
    "schema": lambda: START.with_schema({"v": int, "a.b": "float64"}).with_tumbling_window("1m").aggregate("v", ["sum"]),
    "file": lambda: START.with_source(ls.FileSource("events.ndjson.gz")),
    "file format": lambda: START.with_source(ls.FileSource("events/*", format="parquet")),
    "generator": lambda: START.with_source(ls.GeneratorSource()),
    "generator settings": lambda: START.with_source(
        ls.GeneratorSource(
            seed=7, events=10, start="2026-02-03T04:05:06.5Z", events_per_second=12.5, models=["a", "b"],
            regions=["eu"], tenants=3, max_disorder="1500ms", late_share=0.1, malformed_share=0.25,
        )
    ),
    "watermark": lambda: WINDOWED.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("1500ms")),
    "watermark timeouts": lambda: WINDOWED.with_watermark_generator(
        ls.BoundedOutOfOrdernessWatermark(0, idle_timeout="5s", flush_timeout="100us")
    ),
    "periodic": lambda: WINDOWED.with_watermark_generator(
        ls.PeriodicWatermarkGenerator("7s", ls.BoundedOutOfOrdernessWatermark("5s"))
    ),
    "periodic by the clock": lambda: WINDOWED.with_watermark_generator(
        ls.PeriodicWatermarkGenerator("7s", ls.BoundedOutOfOrdernessWatermark("5s"), clock="processing")
    ),
    "options": lambda: WINDOWED.with_options(parallelism=3, buffer_size=77, future_skew="5m", past_skew="1d"),
    "no key": lambda: START.with_tumbling_window("1m"),
    "two keys": lambda: START.key_by("a.b", "c").with_tumbling_window("1m"),
    "tumbling": lambda: KEYED.with_tumbling_window("90s", offset="-30s", allowed_lateness="10s"),
    "tumbling by the clock": lambda: KEYED.with_tumbling_window("90s", time="processing"),
    "microseconds": lambda: KEYED.with_tumbling_window(timedelta(microseconds=1_000_001)),
    "sliding": lambda: KEYED.with_sliding_window("10m", "7s", offset="1s", allowed_lateness="1m"),
    "session": lambda: KEYED.with_session_window("30s", allowed_lateness="5s"),
    "session of a field": lambda: KEYED.with_session_window(col("gap")),
    "session by the clock": lambda: KEYED.with_session_window("30s", time="processing"),
    "cumulative": lambda: KEYED.with_cumulative_window("1d", "1h", offset="-8h", allowed_lateness="1s"),
    "count": lambda: KEYED.with_count_window(10),
    "count with a slide": lambda: KEYED.with_count_window(10, 3, flush=True),
    "global": lambda: KEYED.with_global_window().with_trigger(ls.CountTrigger(5)),
    "lateness of the handler": lambda: KEYED.with_tumbling_window("1m").with_late_event_handler(ls.LateEventHandler("30s")),
    "side output": lambda: KEYED.with_tumbling_window("1m").with_late_event_handler(
        ls.LateEventHandler("30s").with_side_output(ls.NdjsonSink("late.ndjson"))
    ),
    "count trigger": lambda: WINDOWED.with_trigger(ls.CountTrigger(5)),
    "processing time trigger": lambda: WINDOWED.with_trigger(ls.ProcessingTimeTrigger("1500ms")),
    "hybrid trigger": lambda: WINDOWED.with_trigger(ls.HybridTrigger(5, "2h")),
    "after watermark": lambda: WINDOWED.with_trigger(ls.AfterWatermark(early=ls.CountTrigger(5))),
    "after watermark, late": lambda: WINDOWED.with_trigger(
        ls.AfterWatermark(late=ls.any_of(ls.CountTrigger(5), ls.ProcessingTimeTrigger("1s")))
    ),
    "all of": lambda: WINDOWED.with_trigger(ls.all_of(ls.CountTrigger(5), ls.EventTimeTrigger())),
    "discarding": lambda: WINDOWED.with_accumulation("discarding"),
    "statistics": lambda: KEYED.with_tumbling_window("1m").aggregate(
        "v",
        ["avg", "range", "variance", "variance_sample", "std_dev", "stddev_sample", "skewness", "kurtosis", "p99.90",
         "first", "last", "rate", "sum_rate", "percentile_error", "distinct", "heavy_hitters", "histogram", "collect"],
        prefix="v_",
    ),
    "metrics": lambda: WINDOWED.aggregate("w", ["sum"], prefix="w_").aggregate("x", ["max"], prefix="x_", nulls="error"),
    "expressions": lambda: KEYED.with_tumbling_window("1m").aggregate(
        abs(-col("a") / (col("b") - 1.5)).fill_null(-2) * 3, ["sum"], where=(col("s") == "it's") & ~col("n").is_null()
    ),
    "nulls": lambda: KEYED.with_tumbling_window("1m").aggregate("v", ["sum"], nulls=-0.5),
    "conditions": lambda: KEYED.with_tumbling_window("1m").aggregate(
        col("m").is_in(["a", "b"]) | (col("v").between(-1, 2.5)) | (col("t") != True),  # noqa: E712
        ["sum"], prefix="c_", where=1 - col("v") >= col("w"),
    ),
    "aggregators": lambda: KEYED.with_tumbling_window("1m").aggregate(
        "v",
        [
            ls.PercentileAggregator([50, 99.9], "kll", k=100), ls.DistinctAggregator(10), ls.HistogramAggregator([0, 1.5]),
            ls.HeavyHittersAggregator(3, 30), ls.CollectAggregator(5), ls.CovarianceAggregator("w", sample=True),
            ls.CorrelationAggregator("w"), ls.WeightedAverageAggregator("w"), ls.LinearTrendAggregator(),
        ],
    ),
    "more aggregators": lambda: KEYED.with_tumbling_window("1m").aggregate(
        "v",
        [
            ls.PercentileAggregator(), ls.HistogramAggregator(bins=9), ls.CovarianceAggregator("w"),
            ls.RatioAggregator("w", scale=1000),
            ls.LinearTrendAggregator(["a", "b"]), ls.CompositeAggregator(["min", ls.MaxAggregator()]), ls.CountAggregator(),
        ],
    ),
    "ratio of an expression": lambda: KEYED.with_tumbling_window("1m").aggregate("v", [ls.RatioAggregator(col("a") + 1)]),
    "series": lambda: WINDOWED.across_windows(
        ls.MovingAverage("p50", alpha=0.2), ls.ZScore("count", threshold=4, warm_up=2, name="z"), forget_after="2h"
    ),
    "console": lambda: WINDOWED.with_sink(ls.ConsoleSink()).with_sink(ls.ConsoleSink()),
    "files": lambda: WINDOWED.with_sink(ls.NdjsonSink("a.ndjson")).with_sink(ls.ParquetSink("b.parquet")),
    "fail": lambda: WINDOWED.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.fail())),
    "skip": lambda: WINDOWED.with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.skip())),
    "retry": lambda: WINDOWED.with_error_handler(
        ls.ErrorHandler(ls.ErrorPolicy.retry(max_attempts=5, initial_delay="1500us", max_delay="7s"))
    ),
    "dead letter": lambda: WINDOWED.with_error_handler(
        ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(ls.NdjsonSink("dead.ndjson"))
    ),
    "filter": lambda: START.filter(col("v") > 0).with_tumbling_window("1m"),
    "select": lambda: START.select("t", "a.b", c="a.c", d=col("a") * 2, e=col("a") > 1),
    "deduplicate": lambda: START.deduplicate("id", "10m").deduplicate("v", "1s", false_positive_rate=0.01),
    "enrich": lambda: START.enrich(table_of("prices.ndjson"), on={"k": "k"}, prefix="p_", how="inner", missing="null"),
    "enrich or fail": lambda: START.enrich(table_of("prices.ndjson"), on="k", missing="error"),
    "running count": KEYED.running_count,
    "keys of operators": lambda: KEYED.running_count().key_by("m").track_sessions("10m").key_by("n").with_tumbling_window("1m"),
    "trending": lambda: KEYED.trending(half_life="30s", top=3, window="1m", drop_below=0.5, capacity=50).filter(col("rank") < 3),
    "top n": lambda: START.key_by("k", "m").with_tumbling_window("1m").aggregate("v", ["sum"]).top_n(
        2, by="sum", per=["m"], ascending=True
    ),
    "windows of results": lambda: WINDOWED.with_sink(ls.ConsoleSink()).filter(col("count") > 1).key_by("k")
    .with_sliding_window("1h", "5m").with_accumulation("discarding").aggregate("p50", ["max"]).with_sink(ls.NdjsonSink("x")),
    "a window of results at once": lambda: WINDOWED.with_trigger(ls.CountTrigger(2)).with_accumulation("discarding")
    .with_tumbling_window("1h").with_accumulation("discarding").aggregate("count", ["sum"]),
    "key of results": lambda: WINDOWED.key_by().running_count().key_by("count").with_count_window(2).aggregate("count", ["sum"]),
    "branches": lambda: KEYED.filter(col("v") > 0)
    .branch("minutes").with_tumbling_window("1m").aggregate("v", ["p99"]).with_sink(ls.ConsoleSink())
    .branch("sessions").key_by("m").filter(col("v") > 1).with_session_window("5s").with_trigger(ls.CountTrigger(2))
    .with_late_event_handler(ls.LateEventHandler().with_side_output(ls.ConsoleSink()))
    .branch("late", late_of="minutes").key_by().with_count_window(5),
    "branches of stages": lambda: KEYED.branch("a").with_tumbling_window("1m").aggregate("v", ["sum"]).top_n(1, by="sum")
    .branch("b").with_global_window(),
    "union": lambda: streams()[0].union(*streams()).key_by("k").with_tumbling_window("1m"),
    "join": lambda: streams()[0].join(streams()[1], on={"k": "id", "m": "m"}, lower="-5ms", upper="1h", how="full"),
    "join within": lambda: streams()[0].with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("1s")).join(
        streams()[1].filter(col("v") > 0), on="k", within="5m", how="left"
    ).with_options(parallelism=2).with_sink(ls.ConsoleSink()),
    "window join": lambda: streams()[0].join(streams()[1], on="k", window=ls.tumbling("5m", offset="1m")),
    "enrich by a stream": lambda: streams()[0].enrich(streams()[1], on={"k": "id"}, prefix="p_", missing="error"),
    "join of results": lambda: streams()[0].key_by("k").with_tumbling_window("1m").aggregate("v", ["sum"]).join(
        streams()[1].key_by("k").with_tumbling_window("1m").aggregate("v", ["max"]), on="k", within=0
    ).key_by("k").running_count(),
    "union of a join": lambda: streams()[0].join(streams()[1], on="k", within="5m").union(streams()[1]),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_builder_and_its_configuration_give_the_same_plan(name: str) -> None:
    builder = BUILDERS[name]()
    config = builder.to_config()
    again = config.pipeline()
    assert again.plan.explain() == builder.plan.explain()
    assert again.to_config() == config
    # Also where every setting is said.
    assert ls.Config(config.to_dict()).pipeline().plan.explain() == builder.plan.explain()
    # A snapshot is refused by another plan.
    PipelineHarness.restore(again, PipelineHarness(builder).snapshot())
    PipelineHarness.restore(builder, PipelineHarness(again).snapshot())


@pytest.mark.parametrize("name", BUILDERS)
def test_a_configuration_of_a_builder_can_be_written_and_read(name: str, tmp_path: Path) -> None:
    config = BUILDERS[name]().to_config()
    path = tmp_path / "written.yaml"
    path.write_text(config.to_yaml())
    assert ls.load_config(path, environ={}) == config
    assert ls.Config(config.to_dict()) == config


def test_snapshots_of_another_plan_are_refused() -> None:
    other = WINDOWED.to_config().to_dict()
    other["processor"]["windows"]["tumbling"]["size_secs"] = 61
    with pytest.raises(ls.CheckpointError):
        PipelineHarness.restore(ls.Config(other).pipeline(), PipelineHarness(WINDOWED).snapshot())


class _Own(ls.Aggregator):
    def create_accumulator(self) -> list[float]:
        return []

    def add(self, accumulator: list[float], value: float) -> None:
        accumulator.append(value)

    def merge(self, a: list[float], b: list[float]) -> list[float]:
        return a + b

    def get_result(self, accumulator: list[float]) -> float:
        return sum(accumulator)

    def name(self) -> str:
        return "own"


class _OwnTrigger(ls.WindowTrigger):
    pass


class _OwnWindows(ls.WindowAssigner):
    def assign(self, timestamp: Any) -> list[ls.Window]:
        return [ls.Window(0, 1)]


class _OwnWatermark(ls.WatermarkGenerator):
    pass


LATE = ls.LateEventHandler().with_side_output(ls.CollectSink())
DEAD = ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(ls.CollectSink())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: START.map(lambda record: record), "map: "),
        (lambda: START.filter(lambda record: True), "filter: "),
        (lambda: START.flat_map(lambda record: [record]), "flat_map: "),
        (lambda: START.map_batches(lambda table: table), "map_batches: "),
        (lambda: KEYED.process(lambda record, context: None), "process: "),
        (lambda: START.enrich({"a": {"b": 1}}, on="k"), "enrich: a table that is no file, dict of 1 rows"),
        (
            lambda: START.enrich(ls.RefreshingTable(dict, every="1m"), on="k"),
            "no file, RefreshingTable(dict, every='1m')",
        ),
        (lambda: WINDOWED.apply(len), "apply: apply: a callable"),
        (lambda: KEYED.with_tumbling_window("1m").aggregate("v", [_Own()]), "the aggregator _Own"),
        (
            lambda: KEYED.with_session_window(lambda record: 5),
            "with_window: SessionWindowAssigner(session, gap ",
        ),
        (lambda: KEYED.with_window(_OwnWindows()), "with_window: _OwnWindows(custom, allowed lateness 0s)"),
        (lambda: WINDOWED.with_trigger(_OwnTrigger()), "with_trigger: _OwnTrigger"),
        (lambda: WINDOWED.with_trigger(ls.any_of(_OwnTrigger())), "with_trigger: _OwnTrigger"),
        (lambda: START.with_watermark_generator(_OwnWatermark()), "with_watermark_generator: _OwnWatermark"),
        (lambda: START.with_source(ls.IterableSource([])), "with_source: IterableSource"),
        (lambda: WINDOWED.with_sink(ls.CollectSink()), "with_sink: CollectSink"),
        (lambda: WINDOWED.with_sink(ls.CallbackSink(print)), "with_sink: CallbackSink(print)"),
        (
            lambda: WINDOWED.with_late_event_handler(
                ls.LateEventHandler().with_side_output(ls.CollectSink())
            ),
            "with_late_event_handler: CollectSink",
        ),
        (
            lambda: WINDOWED.with_error_handler(
                ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(ls.CollectSink())
            ),
            "with_error_handler: CollectSink",
        ),
        (
            lambda: streams()[0].join(streams()[1], on="k", within=1, select=lambda left, right: left),
            "join: select: a callable",
        ),
    ],
)
def test_what_is_python_only_is_named(make: Callable[[], ls.StreamPipelineBuilder], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=re.escape(message)) as raised:
        make().to_config()
    assert "has no form in a configuration" in str(raised.value)


# What a configuration gives


def of(**said: Any) -> ls.StreamPipelineBuilder:
    local = {"state": {"backend": "memory"}, "source": {"type": None}, "sinks": []}
    return ls.Config({"processor": {**local, **said}}).pipeline()


def test_what_is_not_said_is_as_the_specification_has_it() -> None:
    expected = (
        ls.create_pipeline()
        .with_watermark_generator(
            ls.PeriodicWatermarkGenerator("10s", ls.BoundedOutOfOrdernessWatermark("30s"))
        )
        .with_tumbling_window("5m", allowed_lateness="60s")
        .aggregate("value", ["count", "sum", "average", "min", "max", "p50", "p95", "p99", "stddev"])
        .with_options(parallelism=4, buffer_size=10_000)
        .with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.retry()))
    )
    assert of().plan.explain() == expected.plan.explain()
    assert of().to_config() == expected.to_config()


def test_percentile_stands_for_the_percentiles_where_it_is() -> None:
    builder = of(aggregation={"enabled": ["p1", "percentile", "count"], "percentiles": [50, 99.9, 100]})
    assert builder.plan.branches[0].result_names() == ["p1", "p50", "p99.9", "p100", "count"]
    assert of(aggregation={"enabled": ["count", "average"]}).plan.branches[0].result_names() == [
        "count",
        "average",
    ]


def test_windows_by_the_clock_need_not_say_that_nothing_is_late() -> None:
    spec = of(windows={"tumbling": {"time": "processing"}}).plan.branches[0].spec
    assert (spec.time, spec.allowed_lateness) == ("processing", None)


def test_a_dead_letter_topic_is_used_where_it_is_said_or_where_there_is_kafka() -> None:
    handler = of().plan.error_handler
    assert handler is not None
    assert handler.sink is None
    if not hasattr(ls, "DeadLetterSink"):
        with pytest.raises(ls.ConfigurationError, match="DeadLetterSink is missing"):
            of(error_handling={"dead_letter_topic": "t"})


def test_a_dead_letter_sink_takes_the_place_of_the_topic() -> None:
    handler = of(
        error_handling={"policy": "dead_letter", "dead_letter_sink": {"type": "console"}}
    ).plan.error_handler
    assert repr(handler) == "ErrorHandler(ErrorPolicy.dead_letter(), sink=ConsoleSink)"


def test_without_a_policy_there_is_no_handler() -> None:
    assert of(error_handling={"policy": None}).plan.error_handler is None


def test_branches_have_from_the_processor_what_they_do_not_say() -> None:
    builder = of(
        windows={"tumbling": {"size_secs": 60}, "trigger": {"type": "count", "count": 3}},
        aggregation={"field": "ms", "enabled": ["p99"]},
        sinks=[{"type": "console"}],
        branches=[
            {"name": "a"},
            {"name": "b", "windows": {"tumbling": {"offset_secs": 5}, "trigger": {"type": "event_time"}}},
            {
                "name": "c",
                "windows": {"default_type": "session"},
                "aggregation": {"prefix": "x_"},
                "sinks": [],
            },
        ],
    )
    a, b, c = builder.plan.branches
    assert (str(a.spec), str(b.spec), str(c.spec)) == (
        "tumbling 1m, allowed lateness 1m",
        "tumbling 1m, offset 5s, allowed lateness 1m",
        "session, gap 5m, allowed lateness 1m",
    )
    assert [str(branch.trigger) for branch in (a, b, c)] == [
        "CountTrigger(count=3)",
        "EventTimeTrigger()",
        "CountTrigger(count=3)",
    ]
    assert [branch.result_names() for branch in (a, b, c)] == [["p99"], ["p99"], ["x_p99"]]
    assert [len(branch.sinks) for branch in (a, b, c)] == [1, 1, 0]


def test_a_configured_pipeline_gives_the_results_of_the_built_one() -> None:
    builder = KEYED.with_tumbling_window("10s", allowed_lateness="5s").aggregate(
        "v", ["count", "average", "p50"]
    )
    records = [{"t": t, "k": "ab"[t % 2], "v": t * 1.5} for t in (1, 5, 12, 3, 25, 11, 40)]
    outputs = []
    for each in (builder, builder.to_config().pipeline()):
        harness = PipelineHarness(each)
        for record in records:
            harness.push(record)
            harness.advance_watermark((record["t"] - 10) * 1_000_000)
        harness.end_of_input()
        outputs.append([pane.to_json() for pane in harness.drain()])
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) == 5


def test_state_in_rocksdb_and_its_checkpoints_have_a_form_in_a_configuration() -> None:
    with ls.RocksDBStateBackend("state", "checkpoints", memtable_bytes=1 << 20, cache_bytes=0) as backend:
        config = (
            WINDOWED.with_state_backend(backend).with_checkpoints("1500ms", records=7, keep=2).to_config()
        )
    said = config.processor
    assert (said.state.backend, said.state.path, said.state.checkpoint_path) == (
        "rocksdb",
        "state",
        "checkpoints",
    )
    assert (said.state.memtable_bytes, said.state.cache_bytes) == (1 << 20, 0)
    assert said.checkpoint_interval_secs == 1.5
    assert (said.checkpoint_interval_records, said.checkpoints_kept) == (7, 2)
    plan = config.pipeline().plan
    assert plan.state_backend is not None
    with plan.state_backend as backend:
        assert repr(backend) == "RocksDBStateBackend('state', 'checkpoints')"
        assert config.pipeline(with_state=False).plan.checkpoints == plan.checkpoints
        assert StreamPipelineBuilder(plan).to_config() == config


def test_a_plan_without_its_state_opens_no_folder() -> None:
    said = {"source": {"type": "generator"}, "sinks": []}
    config = ls.Config({"processor": {**said, "state": {"path": "state", "checkpoint_path": "checkpoints"}}})
    assert config.pipeline(with_state=False).plan.state_backend is None
    assert not Path("state").exists()
    assert not Path("checkpoints").exists()


def test_state_in_memory_needs_no_source_that_can_be_read_again() -> None:
    assert of(source={"type": "file", "file": {"path": "-"}}).plan.state_backend is None
    with_backend = WINDOWED.with_state_backend(ls.MemoryStateBackend())
    assert with_backend.to_config().processor.state.backend == "memory"


def test_a_state_backend_of_ones_own_is_python_only() -> None:
    class Own(ls.MemoryStateBackend):
        pass

    with pytest.raises(ls.ConfigurationError, match=r"with_state_backend: .* has no form in a configuration"):
        WINDOWED.with_state_backend(Own()).to_config()


def test_a_folder_that_cannot_be_made_is_an_error_of_the_path() -> None:
    Path("file").write_text("")
    with pytest.raises(ls.ProcessorError, match=r"/file: make the directory: Not a directory"):
        of(state={"backend": "rocksdb", "path": "file/state", "checkpoint_path": "c"})


def test_parts_that_an_installation_has_not_are_named() -> None:
    missing = {
        "KafkaConfig": {"source": {"type": "kafka"}},
        "KafkaAggregationSink": {"error_handling": {"policy": "skip"}, "sinks": [{"type": "kafka"}]},
        "DeadLetterSink": {
            "error_handling": {"policy": "skip"},
            "late_events": {"side_output": {"type": "dead_letter", "topic": "t"}},
        },
    }
    for name, said in missing.items():
        if not hasattr(ls, name):
            with pytest.raises(ls.ConfigurationError, match=f"{name} is missing in this installation"):
                of(**said)


def test_delivery_at_most_once_has_a_form_in_a_configuration() -> None:
    config = WINDOWED.with_delivery("at_most_once").to_config()
    assert config.processor.delivery == "at_most_once"
    assert config.pipeline().plan.delivery == "at_most_once"
    assert WINDOWED.to_config().pipeline().plan.delivery == "at_least_once"


def test_delivery_exactly_once_is_named_where_it_is_missing() -> None:
    said = WINDOWED.to_config().to_dict()
    said["processor"]["delivery"] = "exactly_once"
    with pytest.raises(ls.ConfigurationError, match="delivery: exactly_once"):
        ls.Config(said).pipeline()


def test_explain_tells_the_lateness_that_a_handler_says() -> None:
    builder = KEYED.with_tumbling_window("1m").with_late_event_handler(ls.LateEventHandler("30s"))
    assert "tumbling 1m, allowed lateness 30s, accumulating" in builder.plan.explain()


# Kafka


needs_kafka = pytest.mark.skipif(not hasattr(ls, "KafkaConfig"), reason="this installation has no Kafka")


@needs_kafka
def test_settings_of_kafka_are_those_of_its_classes() -> None:
    for section, of in (("consumer", ls.KafkaConfig), ("producer", ls.KafkaProducerConfig)):
        said = getattr(ls.Config().processor.kafka, section).to_dict()
        default = of()
        # A token of a function has no form here; that of a file has.
        assert set(said) - {"sasl_token_file"} == set(default.__dataclass_fields__) - {"sasl_token"}
        for name, value in said.items():
            if name != "sasl_token_file":
                known = getattr(default, name)
                assert (list(known) if isinstance(known, tuple) else known) == value, name


@needs_kafka
@pytest.mark.parametrize("name", ["defaults", "settings", "topics", "sources", "schemas", "protobuf"])
def test_kafka_at_both_ends_has_a_form_in_a_configuration(name: str) -> None:
    secure: dict[str, Any] = {
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "u",
        "sasl_password": "hunter2",
    }
    brokers = {"bootstrap_servers": "kafka:9093", **secure}
    sink, dead = ls.KafkaAggregationSink, ls.DeadLetterSink
    builders = {
        "defaults": lambda: WINDOWED.with_kafka_source(ls.KafkaConfig()).with_sink(sink(ls.KafkaProducerConfig())),
        "settings": lambda: WINDOWED.with_kafka_source(
            ls.KafkaConfig(
                **brokers, topics=["a", "^b.*"], group_id="g", auto_offset_reset="latest", until="end",
                start_from="earliest", group_instance_id="i", max_poll_records=7, properties={"client.rack": "r"},
            )
        ).with_sink(sink(ls.KafkaProducerConfig(**brokers, result_topic="r", retries=5, properties={"linger.ms": 3})))
        .with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(dead("d")))
        .with_late_event_handler(ls.LateEventHandler("1s").with_side_output(dead("l"))),
        "topics": lambda: WINDOWED.with_sink(sink(ls.KafkaProducerConfig(result_topic="x")))
        .with_sink(sink(ls.KafkaProducerConfig(result_topic="y")))
        .with_sink(sink(ls.KafkaProducerConfig(bootstrap_servers="other:9092")))
        .with_sink(dead("z", ls.KafkaProducerConfig(bootstrap_servers="other:9092"))),
        "schemas": lambda: WINDOWED.with_kafka_source(
            ls.KafkaConfig(
                format="avro",
                schema_registry=ls.SchemaRegistryConfig(
                    url="https://r:8081", username="u", password="hunter2", ssl_ca_location="ca.pem", timeout_ms=5
                ),
            )
        ),
        "protobuf": lambda: WINDOWED.with_kafka_source(
            ls.KafkaConfig(format="protobuf", protobuf_descriptors="e.desc", protobuf_message="llm.Event")
        ),
        "sources": lambda: START.with_kafka_source(ls.KafkaConfig(topics=["l"])).join(
            START.with_kafka_source(ls.KafkaConfig(topics=["r"], group_id="h")), on="k", within="5s"
        ),
    }  # fmt: skip
    builder = builders[name]()
    config = builder.to_config()
    again = config.pipeline()
    assert again.plan.explain() == builder.plan.explain()
    assert again.to_config() == config
    assert "hunter2" not in repr(config) + config.to_yaml()
    left, right = ([each.source for each in plan.source_plans()] for plan in (builder.plan, again.plan))
    assert [getattr(each, "config", None) for each in left] == [
        getattr(each, "config", None) for each in right
    ]


@needs_kafka
def test_dead_letters_go_where_the_source_reads_in_a_configuration_too() -> None:
    source = ls.KafkaConfig(
        bootstrap_servers="kafka:9093", properties={"client.rack": "r", "fetch.min.bytes": 5}
    )
    builder = WINDOWED.with_kafka_source(source).with_late_event_handler(
        ls.LateEventHandler("1s").with_side_output(ls.DeadLetterSink("l"))
    )
    *_, sink = builder.to_config().pipeline().plan.sinks()
    assert isinstance(sink, ls.DeadLetterSink)
    assert sink._config == ls.KafkaProducerConfig(
        bootstrap_servers="kafka:9093", properties={"client.rack": "r"}
    )


@needs_kafka
def test_the_specification_reads_and_writes_kafka() -> None:
    builder = ls.Config({"processor": {"state": {"backend": "memory"}}}).pipeline()
    assert builder.plan.source is not None
    assert builder.plan.source.config == ls.KafkaConfig()
    assert [str(sink) for sink in builder.plan.branches[0].sinks] == [
        "KafkaAggregationSink(aggregated-metrics)"
    ]
    assert builder.plan.error_handler is not None
    assert str(builder.plan.error_handler.sink) == "DeadLetterSink(processor-dead-letter)"
