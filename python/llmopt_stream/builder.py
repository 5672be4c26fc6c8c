"""The builder of pipelines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from ._html import text_html
from .aggregator import Aggregator
from .apply import AppliedFunction
from .branches import DEFAULT_TRIGGER, Branch
from .columns import Column, Expression, condition_of, field_path
from .error_policy import ErrorHandler
from .errors import ConfigurationError
from .executor import executor_of
from .kafka import KafkaConfig, KafkaSource
from .late import LateEventHandler
from .metrics import NINE, Metric, metric_of
from .pipeline import StreamPipeline
from .plan import Plan
from .push_session import PushSession
from .run_options import RunOptions
from .schemas import declared_types, event_time_of
from .series import Series
from .sinks import Sink
from .sources import Source
from .stream_operators import StreamOperators
from .triggers import WindowTrigger
from .units import Duration, checked_unit, duration_micros
from .watermarks import (
    WatermarkGenerator,
)
from .windows import (
    CountWindowAssigner,
    CumulativeWindowAssigner,
    GlobalWindowAssigner,
    SessionWindowAssigner,
    SlidingWindowAssigner,
    TumblingWindowAssigner,
    WindowAssigner,
)

if TYPE_CHECKING:
    from .config import Config

__all__ = ["StreamPipelineBuilder", "create_pipeline"]

_TABLE_COLUMNS = ("window_start", "window_end", "pane_timing", "pane_index")


class StreamPipelineBuilder(StreamOperators, RunOptions):
    """Says what a pipeline does, step by step. Each call returns a new builder, so that one can be
    the start of several. `build()` checks that nothing is missing.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @property
    def plan(self) -> Plan:
        return self._plan

    def _but(self, **changes: Any) -> Self:
        return type(self)(dataclasses.replace(self._plan, **changes))

    def _but_branch(self, **changes: Any) -> StreamPipelineBuilder:
        return self._but_last_branch(dataclasses.replace(self._branch, **changes))

    def with_source(self, source: Source) -> StreamPipelineBuilder:
        """Where records come from."""
        if not isinstance(source, Source):
            raise ConfigurationError(
                f"with_source: {source!r} is not a Source; expected FileSource, ArrowSource, IterableSource or one of yours"
            )
        self._check_has_source("with_source")
        return self._but(source=source)

    def with_kafka_source(self, config: KafkaConfig) -> StreamPipelineBuilder:
        """Records from Kafka topics."""
        return self.with_source(KafkaSource(config))

    def with_event_time(self, field: str, *, unit: str | None = None) -> StreamPipelineBuilder:
        """Which field says when a record happened. `unit` is that of a number: "s", "ms", "us" or "ns";
        without one, numbers are microseconds, and such as would lie before 1990 are refused.
        """
        self._check_has_source("with_event_time")
        unit = checked_unit(unit, "with_event_time: unit")
        return self._but(time_field=field_path(field, "with_event_time"), time_unit=unit)

    def with_schema(self, fields: Mapping[str, Any]) -> StreamPipelineBuilder:
        """Declares types of value fields: `{"data.tokens": int}` keeps integers exact."""
        return self._but(schema={**self._plan.schema, **declared_types(fields)})

    def with_watermark_generator(self, generator: WatermarkGenerator) -> StreamPipelineBuilder:
        """How event time advances; without one, records may be 30 seconds out of order.

        BoundedOutOfOrdernessWatermark, alone or in a PeriodicWatermarkGenerator, runs in C++; a subclass of
        WatermarkGenerator is called for every record.
        """
        if not isinstance(generator, WatermarkGenerator):
            raise ConfigurationError(
                f"with_watermark_generator: {generator!r} is not a WatermarkGenerator; expected "
                "BoundedOutOfOrdernessWatermark(duration), PeriodicWatermarkGenerator or a subclass of WatermarkGenerator"
            )
        self._check_has_source("with_watermark_generator")
        return self._but(watermark=generator)

    def _check_has_source(self, of: str) -> None:
        if self._plan.inputs is not None:
            raise ConfigurationError(
                f"{of}: behind a {self._plan.inputs.name} records come from its inputs; say it of each of them"
            )

    def with_late_event_handler(self, handler: LateEventHandler) -> StreamPipelineBuilder:
        """How long windows take late records, and where later ones go."""
        if not isinstance(handler, LateEventHandler):
            raise ConfigurationError(
                f"with_late_event_handler: {handler!r} is not a LateEventHandler; expected e.g. "
                "LateEventHandler('60s').with_side_output(CollectSink())"
            )
        return self._but_branch(late_events=handler)

    def key_by(self, *fields: str) -> StreamPipelineBuilder:
        """Which fields records are grouped by. A record without one of them has null there. Behind a window and
        what it aggregates, its results are grouped anew, for what follows.
        """
        paths = tuple(field_path(field, "key_by") for field in fields)
        for path in paths:
            if paths.count(path) > 1:
                raise ConfigurationError(f"key_by: {path!r} is named twice")
        branch = self._branch
        if branch.window is not None and branch.metrics:
            return self._but_last_branch(Branch(branch.name, upstream=branch, key=paths))
        if branch.name or branch.upstream is not None:
            return self._but_branch(key=paths)
        return self._but(key=paths)

    def with_tumbling_window(
        self,
        size: Duration,
        *,
        offset: Duration = 0,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> StreamPipelineBuilder:
        """Fixed, gap-free windows: every record falls in exactly one.

        A late record still updates its window until `allowed_lateness` has passed; the window then
        fires again at once. With `time="processing"` the clock at which a record arrives says which window
        it is in, and completes windows; no record is late then.

        >>> builder = create_pipeline().with_tumbling_window("1m", allowed_lateness="10s")
        """
        return self.with_window(
            TumblingWindowAssigner(size, offset=offset, allowed_lateness=allowed_lateness, time=time)
        )

    def with_sliding_window(
        self,
        size: Duration,
        slide: Duration,
        *,
        offset: Duration = 0,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> StreamPipelineBuilder:
        """Windows of one size that start every `slide`: a record falls in all that overlap there."""
        return self.with_window(
            SlidingWindowAssigner(size, slide, offset=offset, allowed_lateness=allowed_lateness, time=time)
        )

    def with_cumulative_window(
        self,
        size: Duration,
        step: Duration,
        *,
        offset: Duration = 0,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> StreamPipelineBuilder:
        """Windows that share a start and grow by `step` up to `size`: the day so far, every hour."""
        return self.with_window(
            CumulativeWindowAssigner(size, step, offset=offset, allowed_lateness=allowed_lateness, time=time)
        )

    def with_session_window(
        self,
        gap: Duration | Column | Callable[[Any], Any],
        *,
        allowed_lateness: Duration | None = None,
        time: str = "event",
    ) -> StreamPipelineBuilder:
        """A key's records that are at most `gap` apart share a window, which ends one gap after the last.

        `gap` is a duration, or `col(path)` or a callable that says it for each record, in seconds. A record
        that comes one gap after the last one exactly still joins, unless the watermark has reached the
        session's end already.
        """
        return self.with_window(SessionWindowAssigner(gap, allowed_lateness=allowed_lateness, time=time))

    def with_count_window(
        self, size: int, slide: int | None = None, *, flush: bool = False
    ) -> StreamPipelineBuilder:
        """Windows of `size` records of a key, one every `slide` records; `flush` fires the rest at the end."""
        return self.with_window(CountWindowAssigner(size, slide, flush=flush))

    def with_global_window(self) -> StreamPipelineBuilder:
        """One window for all records of a key, complete at the end of the input."""
        return self.with_window(GlobalWindowAssigner())

    def with_window(self, assigner: WindowAssigner) -> StreamPipelineBuilder:
        """The windows that an assigner describes, a built-in one or a subclass of WindowAssigner. Behind another window
        and its `aggregate`, it takes the place of that; with an `aggregate` of its own behind it, it is a window
        of the results.
        """
        if not isinstance(assigner, WindowAssigner):
            raise ConfigurationError(
                f"with_window: {assigner!r} is not a WindowAssigner; expected e.g. TumblingWindowAssigner('1m') or an "
                "object of a subclass of WindowAssigner"
            )
        branch = self._branch
        if branch.window is not None and branch.metrics:
            # It takes the place of the other one, unless an aggregate of its own follows.
            replaced = branch.replaced or branch
            return self._but_branch(window=assigner, replaced=replaced)
        return self._but_branch(window=assigner)

    def _with_metric(self, metric: Metric | AppliedFunction) -> StreamPipelineBuilder:
        branch, before = self._branch, self._branch.replaced
        if before is None:
            return self._but_branch(metrics=(*branch.metrics, metric))
        stage = Branch(branch.name, upstream=before, window=branch.window, metrics=(metric,))
        if branch.trigger is not before.trigger:
            stage = dataclasses.replace(stage, trigger=branch.trigger)
        if branch.accumulation != before.accumulation:
            stage = dataclasses.replace(stage, accumulation=branch.accumulation)
        if branch.late_events is not before.late_events:
            stage = dataclasses.replace(stage, late_events=branch.late_events)
        return self._but_last_branch(stage)

    def with_trigger(self, trigger: WindowTrigger) -> StreamPipelineBuilder:
        """When windows fire; by default EventTimeTrigger: when complete, and at every late record.

        >>> from llmopt_stream import AfterWatermark, CountTrigger
        >>> builder = create_pipeline().with_tumbling_window("1h").with_trigger(AfterWatermark(early=CountTrigger(100)))
        """
        if not isinstance(trigger, WindowTrigger):
            raise ConfigurationError(
                f"with_trigger: {trigger!r} is not a trigger; expected e.g. CountTrigger(100), or an object of a "
                "subclass of WindowTrigger"
            )
        return self._but_branch(trigger=trigger)

    def with_accumulation(self, mode: str) -> StreamPipelineBuilder:
        """Whether a window's later panes hold everything so far ("accumulating", the default) or only
        what is new ("discarding").
        """
        if mode not in ("accumulating", "discarding"):
            raise ConfigurationError(
                f"with_accumulation: {mode!r} is not known; expected 'accumulating' or 'discarding'"
            )
        return self._but_branch(accumulation=mode)

    def aggregate(
        self,
        field: str | Expression = "value",
        aggregations: Sequence[str | Aggregator] | str | Aggregator = NINE,
        *,
        prefix: str = "",
        where: Expression | None = None,
        nulls: str | float = "skip",
    ) -> StreamPipelineBuilder:
        """Statistics of a field or expression: count, sum, average, min, max, range, variance, stddev (variance_sample,
        stddev_sample), skewness, kurtosis, any percentile such as "p95" or "p99.9", first and last by event
        time, rate (values per second of the window), sum_rate; and aggregators. Repeat it for further fields,
        with a prefix for their results' names.

        Of records for which the condition `where` is not true nothing is taken or counted; their windows have
        panes all the same. Of a condition as `field`, true counts as 1 and false as 0.

        Values that are null, not finite or no numbers are skipped and counted; `count` counts the values taken.
        With `nulls="error"` they are an AggregationError, with a number that is taken in their place (and
        results are floats).

        >>> from llmopt_stream import col
        >>> builder = (
        ...     create_pipeline()
        ...     .with_tumbling_window("1m")
        ...     .aggregate(col("cost_usd") / col("tokens") * 1000, ["p50"], prefix="cost_per_1k_")
        ...     .aggregate("latency_ms", ["count"], prefix="slow_", where=col("latency_ms") > 1000)
        ... )
        """
        names = [aggregations] if isinstance(aggregations, str | Aggregator) else list(aggregations)
        if not names:
            raise ConfigurationError(
                "aggregate: aggregations: nothing is asked for; expected at least one, e.g. ['count']"
            )
        if where is not None:
            where = condition_of(where, "aggregate: where")
        value = field if isinstance(field, Expression) else field_path(field, "aggregate")
        metric = metric_of(value, names, prefix, where=where, nulls=nulls)
        return self._with_metric(metric)

    def apply(
        self,
        fn: Callable[..., Any],
        fields: Sequence[str] = (),
        *,
        name: str = "apply",
        limit: int | None = None,
        where: Expression | None = None,
    ) -> StreamPipelineBuilder:
        """A function of all records of a key and window: `fn(records)` is called when the window fires.

        `records` are dicts with the event time, a datetime, and the fields, scalars, under their paths (None where
        there is none), in order of event time; of equal times, as they came. A whole number is an int, however it
        was written. With `where`, they are those for which it is true; where there are none, the result is null. A
        `fn` that takes `key` or `window` gets these by keyword. What it returns is the result, as of an Aggregator.
        Records are kept until then: more than `limit` of a key and window, 10,000 unless said otherwise, are an error.

        >>> def longest_pause(records):
        ...     times = [record["t"] for record in records]
        ...     return max((b - a).total_seconds() for a, b in zip(times, times[1:]))
        >>> builder = create_pipeline().with_event_time("t", unit="s").with_tumbling_window("1m")
        >>> with builder.apply(longest_pause, name="longest_pause").open() as session:
        ...     table = session.push([{"t": 1}, {"t": 9}, {"t": 4}])
        ...     session.flush()[0].results
        {'longest_pause': 5.0}
        """
        applied = AppliedFunction.of(fn, fields, name, limit, where)
        return self._with_metric(applied)

    def with_error_handler(self, handler: ErrorHandler) -> StreamPipelineBuilder:
        """What becomes of exceptions in users' aggregators and functions; without one, the pipeline fails.

        >>> from llmopt_stream import CollectSink, ErrorHandler, ErrorPolicy
        >>> handler = ErrorHandler(ErrorPolicy.dead_letter()).with_sink(CollectSink())
        >>> builder = create_pipeline().with_error_handler(handler)
        """
        if not isinstance(handler, ErrorHandler):
            raise ConfigurationError(
                f"with_error_handler: {handler!r} is not an ErrorHandler; expected e.g. "
                "ErrorHandler(ErrorPolicy.retry())"
            )
        return self._but(error_handler=handler)

    def across_windows(self, *series: Series, forget_after: Duration | None = None) -> StreamPipelineBuilder:
        """What a key's successive windows say together: MovingAverage and ZScore of results.

        They see each window as it is when it fires. One that fires again takes its own place; panes that are
        out already are not repeated. A key that has no window for `forget_after` (1 day unless said otherwise)
        starts anew.

        >>> from llmopt_stream import MovingAverage, ZScore
        >>> builder = (
        ...     create_pipeline().key_by("model").with_tumbling_window("1m").aggregate("ms", ["p95"])
        ...     .across_windows(MovingAverage("p95", alpha=0.2), ZScore("p95", threshold=4))
        ... )
        """
        for each in series:
            if not isinstance(each, Series):
                raise ConfigurationError(
                    f"across_windows: {each!r} is not one of MovingAverage(result) and ZScore(result)"
                )
        changes: dict[str, Any] = {"series": (*self._branch.series, *series)}
        if forget_after is not None:
            changes["forget_after"] = duration_micros(forget_after, "across_windows: forget_after")
        return self._but_branch(**changes)

    def branch(
        self, name: str, *, late_of: str | None = None, emitted_to: str | None = None
    ) -> StreamPipelineBuilder:
        """Starts another branch of the stream, with operators, key, windows, trigger, aggregates, late records and sinks
        of its own; what is said of them from here on is said of it. Source, event time, watermark and what was said
        before the first are the same for all, and the input is read once. Branches of one key that only have windows
        run in C++ all through.

        With `late_of`, the name of a branch before, its records are those that came too late for that one's window.
        With `emitted_to`, they are those that the `process` step before it with a side output of this name emits
        to that.

        >>> from llmopt_stream import CollectSink
        >>> minutes, hours = CollectSink(), CollectSink()
        >>> builder = (
        ...     create_pipeline().key_by("model")
        ...     .branch("minutes").with_tumbling_window("1m").aggregate("ms", ["p99"]).with_sink(minutes)
        ...     .branch("hours").with_tumbling_window("1h").aggregate("ms", ["count"]).with_sink(hours)
        ... )
        """
        if type(name) is not str or not name:
            raise ConfigurationError(f"branch: name: {name!r} must be text that is not empty")
        before = [] if self._plan.branches == (Branch(),) else list(self._plan.branches)
        if before and not before[0].name:
            raise ConfigurationError(
                f"branch: {name!r} comes after a window, trigger, aggregate or sink that is in no branch; "
                "start the first branch before them"
            )
        if name in self._plan.branch_names():
            raise ConfigurationError(f"branch: name: there is a branch {name!r} already")
        if late_of is not None and late_of not in [branch.name for branch in before]:
            raise ConfigurationError(f"branch: late_of: {late_of!r} is none of the branches before it")
        if emitted_to is not None and emitted_to not in self._plan.side_outputs():
            known = ", ".join(map(repr, self._plan.side_outputs())) or "none"
            raise ConfigurationError(
                f"branch: emitted_to: {emitted_to!r} is no side output of a process step before it, but {known}"
            )
        if emitted_to is not None and late_of is not None:
            raise ConfigurationError(
                "branch: emitted_to: its records are the late ones of another branch already; leave late_of out"
            )
        return self._but(branches=(*before, Branch(name, late_of=late_of, emitted_to=emitted_to)))

    def with_sink(self, sink: Sink) -> StreamPipelineBuilder:
        """Where results go; any number of sinks."""
        if not isinstance(sink, Sink):
            raise ConfigurationError(
                f"with_sink: {sink!r} is not a Sink; expected ConsoleSink, CollectSink, CallbackSink or a subclass of Sink"
            )
        return self._but_branch(sinks=(*self._branch.sinks, sink))

    def checked(self) -> StreamPipelineBuilder:
        """Itself, if everything but source and sinks is there and fits together."""
        plan = self._plan
        for branch in plan.branches:
            for stage in branch.stages:
                self._check_stage(stage)
        key = plan.key
        for branch in plan.branches:
            key = plan.key
            for stage in branch.stages:
                key = key if stage.key is None else stage.key
                if stage.window is not None:
                    self._check_names(stage, key)
        self._check_side_outputs()
        # Checks what only the core knows.
        executor_of(plan, watermark_of=lambda _: None, collect_late=False)
        return self

    def _check_side_outputs(self) -> None:
        names = self._plan.side_outputs()
        taken = [branch.stages[0].emitted_to for branch in self._plan.branches]
        for name in names:
            if names.count(name) > 1:
                raise ConfigurationError(f"process: side_outputs: two steps have one called {name!r}")
            if name not in taken:
                raise ConfigurationError(
                    f"process: side_outputs: nothing takes {name!r}; say .branch(name, emitted_to={name!r})"
                )

    def _check_stage(self, stage: Branch) -> None:
        if stage.window is not None:
            return
        if stage.upstream is not None and not stage.operators:
            raise ConfigurationError(
                f"key_by: {', '.join(stage.key or ()) or 'nothing'}: it comes behind a window and what it aggregates, "
                "where the next window or operator is yet to follow; say it before the window"
            )
        said = [
            name
            for name, is_said in (
                ("aggregate", stage.metrics),
                ("with_trigger", stage.trigger is not DEFAULT_TRIGGER),
                ("with_accumulation", stage.accumulation != "accumulating"),
                ("across_windows", stage.series),
            )
            if is_said
        ]
        if said:
            of = (
                f"branch {stage.name!r} of pipeline {self._plan.name!r}"
                if stage.name
                else f"pipeline {self._plan.name!r}"
            )
            raise ConfigurationError(
                f"{of} has no window for {said[0]}: add .with_tumbling_window(size), e.g. with_tumbling_window('1m')"
            )

    def _check_names(self, branch: Branch, key: Sequence[str]) -> None:
        for path in key:
            if path in _TABLE_COLUMNS:
                raise ConfigurationError(
                    f"key_by: {path!r} is the name of a column that every result has; rename the field"
                )
        taken = [*_TABLE_COLUMNS, *key]
        for metric in branch.all_metrics():
            for name in metric.result_names():
                if name in taken:
                    raise ConfigurationError(
                        f"aggregate: two columns of the result would be called {name!r}; "
                        f"give the metric of {metric.field!r} another prefix="
                    )
                taken.append(name)
        for series in branch.series:
            for name in series.result_names():
                if name in taken:
                    raise ConfigurationError(
                        f"across_windows: {series}: two columns of the result would be called {name!r}; "
                        "give it another name="
                    )
                taken.append(name)

    def build(self) -> StreamPipeline:
        """The pipeline, ready to run."""
        self.checked()
        for plan in self._plan.source_plans():
            plan.needed_source()
        self._check_dead_letters()
        self._check_state()
        self.check_connectors()
        return StreamPipeline(self._plan)

    def check_connectors(self) -> None:
        """A ConfigurationError says what a source or sink needs and this machine has not, such as a file, or how
        they do not fit together.
        """
        for plan in self._plan.source_plans():
            if plan.source is not None:
                plan.source.check_settings()
        for sink in self._plan.sinks():
            sink.check_settings()
            sink.check_plan(self._plan)

    def _check_dead_letters(self) -> None:
        handler = self._plan.error_handler
        if handler is not None and handler.policy.kind == "dead_letter" and handler.sink is None:
            raise ConfigurationError(
                "with_error_handler: ErrorPolicy.dead_letter() needs a sink: add .with_sink(sink) to the handler"
            )

    def _check_state(self) -> None:
        plan = self._plan
        if plan.delivery == "at_most_once" and plan.state_backend is not None:
            raise ConfigurationError(
                "with_delivery: 'at_most_once' goes on behind what was lost, and a state backend before it; leave one out"
            )
        if plan.state_backend is None:
            for setting, said in (
                ("with_options: memory_limit", plan.memory_limit),
                ("with_checkpoints", plan.checkpoints),
            ):
                if said is not None:
                    raise ConfigurationError(f"{setting}: needs a state backend: add .with_state_backend(…)")

    def open(self) -> PushSession:
        """A push session: records are handed in by calls, so no source is needed."""
        self._check_dead_letters()
        return PushSession(self.checked()._plan)

    def to_config(self) -> Config:
        """The configuration that gives the same pipeline; a ConfigurationError names what has no form there, such as
        callables.

        >>> config = create_pipeline().key_by("model").with_tumbling_window("1m").to_config()
        >>> config.processor.windows.tumbling.size_secs
        60
        """
        from .config import Config
        from .config.from_builder import tree_of

        return Config(tree_of(self._plan))

    def explain(self) -> str:
        """Prints the plan and where each stage runs, and returns the text."""
        text = self._plan.explain()
        print(text)
        return text

    def __repr__(self) -> str:
        return f"<StreamPipelineBuilder {self._plan.name!r}>"

    def _repr_html_(self) -> str:
        return text_html(self._plan.explain())


def create_pipeline(name: str = "pipeline", *, event_type: Any = None) -> StreamPipelineBuilder:
    """Starts a pipeline.

    `event_type` (a dataclass, pydantic model, msgspec struct or TypedDict, such as FeedbackEvent, CloudEvent or
    GenAiEvent) says which fields are integers, and by EventTime which is the event time; records themselves may
    be dicts all the same.

    >>> from llmopt_stream import CollectSink, IterableSource
    >>> sink = CollectSink()
    >>> pipeline = (
    ...     create_pipeline("latency")
    ...     .with_source(IterableSource([{"timestamp": "2026-01-01T00:00:01Z", "model": "gpt-4o", "ms": 12.5}]))
    ...     .key_by("model")
    ...     .with_tumbling_window("1m")
    ...     .aggregate("ms", ["count", "p99"])
    ...     .with_sink(sink)
    ...     .build()
    ... )
    >>> pipeline.run().records_in
    1
    >>> sink.results[0].key, sink.results[0].results
    (GroupingKey({'model': 'gpt-4o'}), {'count': 1, 'p99': 12.5})
    """
    if event_type is not None and not isinstance(event_type, type) and not hasattr(event_type, "__origin__"):
        raise ConfigurationError(
            f"create_pipeline: event_type: {event_type!r} is not a type; expected e.g. FeedbackEvent, a dataclass or dict"
        )
    plan = Plan(name=str(name), event_type=event_type)
    if (event_time := event_time_of(event_type)) is not None:
        plan = dataclasses.replace(plan, time_field=event_time[0], time_unit=event_time[1])
    return StreamPipelineBuilder(plan)
