"""The builder, and the pipelines that it builds."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn

from . import _core
from ._html import text_html
from .aggregates import NINE, Statistic, parse_statistic
from .delivery import Delivery
from .errors import ConfigurationError, PipelineError
from .intake import UNLIMITED, Intake
from .late import LateEventHandler
from .progress import progress_display
from .push_session import PushSession
from .schemas import declared_types, types_of_event
from .sinks import Sink
from .sources import Source
from .units import Duration, duration_micros, duration_text
from .watermarks import (
    BoundedOutOfOrdernessWatermark,
    CoreWatermark,
    PartitionedGenerators,
    WatermarkGenerator,
)
from .windows import (
    SessionWindowAssigner,
    SlidingWindowAssigner,
    TumblingWindowAssigner,
    WindowAssigner,
    WindowType,
)

__all__ = ["RunSummary", "StreamPipeline", "StreamPipelineBuilder", "create_pipeline"]

_DEFAULT_WATERMARK = BoundedOutOfOrdernessWatermark("30s")
_UNITS = ("s", "ms", "us", "ns")
_TABLE_COLUMNS = ("window_start", "window_end", "pane_timing", "pane_index")


@dataclass(frozen=True)
class _Metric:
    field: str
    statistics: tuple[Statistic, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that was said about a pipeline; checked piece by piece as it is said."""

    name: str = "pipeline"
    event_type: Any = None
    source: Source | None = None
    sinks: tuple[Sink, ...] = ()
    time_field: str = "timestamp"
    time_unit: str | None = None
    schema: Mapping[str, str] = field(default_factory=dict)
    watermark: WatermarkGenerator | None = None
    late_events: LateEventHandler | None = None
    key: tuple[str, ...] = ()
    window: WindowAssigner | None = None
    accumulation: str = "accumulating"
    metrics: tuple[_Metric, ...] = ()
    parallelism: int = 1

    def all_metrics(self) -> tuple[_Metric, ...]:
        """The metrics asked for, or the nine statistics of the field `value`."""
        return self.metrics or (_Metric("value", tuple(parse_statistic(name) for name in NINE)),)

    @property
    def side_output(self) -> Sink | None:
        """Where late records go."""
        return None if self.late_events is None else self.late_events.side_output

    def fields(self) -> list[str]:
        """Every field that is read."""
        return list(
            dict.fromkeys([self.time_field, *self.key, *(metric.field for metric in self.all_metrics())])
        )

    def allowed_lateness(self) -> int:
        """As the window says, or the handler of late events."""
        of_window = None if self.window is None else self.window.spec.allowed_lateness
        of_handler = None if self.late_events is None else self.late_events.allowed_lateness
        if of_window is not None and of_handler is not None and of_window != of_handler:
            raise ConfigurationError(
                f"allowed_lateness: the window says {duration_text(of_window)!r}, LateEventHandler "
                f"{duration_text(of_handler)!r}; say it once, or the same"
            )
        return of_window if of_window is not None else of_handler or 0

    def core(
        self,
        *,
        collect_late: bool,
        watermark: CoreWatermark | None,
        watermarks_of: PartitionedGenerators | None = None,
    ) -> _core.Pipeline:
        """The plan at work. Without `watermark` and `watermarks_of`, watermarks are explicit."""
        if self.window is None:
            raise ConfigurationError(
                f"pipeline {self.name!r} has no window: add .with_tumbling_window(size), e.g. with_tumbling_window('1m')"
            )
        spec = self.window.spec
        fields = list(dict.fromkeys(metric.field for metric in self.all_metrics()))
        declared = {**types_of_event(self.event_type), **self.schema}
        settings: dict[str, Any] = {
            "time_path": self.time_field,
            "time_unit": self.time_unit or "",
            "key_paths": list(self.key),
            "values": [(path, declared.get(path, "float64"), path in declared) for path in fields],
            "metrics": [
                (fields.index(metric.field), list(metric.statistics)) for metric in self.all_metrics()
            ],
            "session": spec.type is WindowType.SESSION,
            "size": spec.size,
            "slide": spec.slide,
            "offset": spec.offset,
            "gap": spec.gap,
            "allowed_lateness": self.allowed_lateness(),
            "discarding": self.accumulation == "discarding",
            "max_out_of_orderness": None if watermark is None else watermark.max_out_of_orderness,
            "watermark_interval": 0 if watermark is None else watermark.interval,
        }
        fingerprint = {**settings, "watermarks_of": None if watermarks_of is None else watermarks_of.name}
        return _core.Pipeline(
            fingerprint=json.dumps(fingerprint),
            collect_late=collect_late,
            watermarks_of=watermarks_of,
            parallelism=self.parallelism,
            **settings,
        )

    def explain(self) -> str:
        """The plan in words: what is read, computed and written, and where each stage runs."""
        spec = None if self.window is None else self.window.spec
        declared = {**types_of_event(self.event_type), **self.schema}
        event_time = f"{self.time_field!r}" + (f" in {self.time_unit}" if self.time_unit else "")
        watermark = self.watermark or _DEFAULT_WATERMARK
        stages = [
            ("source", str(self.source) if self.source else "none yet", _where(self.source)),
            ("decode", f"fields {', '.join(self.fields())}", "C++"),
            ("event time", event_time, "C++"),
            (
                "watermark",
                _watermark_text(watermark) + ("" if self.watermark else " (default)"),
                "C++" if CoreWatermark.of(watermark) else "Python per record",
            ),
            ("key", ", ".join(self.key) or "none: all records form one group", "C++"),
            ("window", f"{spec}, {self.accumulation}" if spec else "none yet", _threads(self.parallelism)),
        ]
        for metric in self.all_metrics():
            names = ", ".join(statistic.result_name for statistic in metric.statistics)
            stages.append(
                ("aggregate", f"{metric.field} ({declared.get(metric.field, 'float64')}): {names}", "C++")
            )
        if self.late_events is not None and self.side_output is not None:
            stages.append(("late", str(self.side_output), _where_to(self.side_output)))
        stages += [("sink", str(sink), _where_to(sink)) for sink in self.sinks]
        if not self.sinks:
            stages.append(("sink", "none yet", "-"))
        width = max(len(what) for _, what, _ in stages)
        lines = [f"{stage:<11}{what:<{width}}  {where}" for stage, what, where in stages]
        return "\n".join([f"pipeline {self.name!r}", *(f"  {line}" for line in lines)])


def _where(source: Source | None) -> str:
    if source is None:
        return "-"
    return "C++" if type(source).open is not Source.open else "C++ decodes, Python yields batches"


def _threads(parallelism: int) -> str:
    return "C++" if parallelism == 1 else f"C++, {parallelism} threads"


def _where_to(sink: Sink) -> str:
    return "Python per result" if type(sink).send_batch is Sink.send_batch else "Python per batch"


def _watermark_text(generator: WatermarkGenerator) -> str:
    settings = CoreWatermark.of(generator)
    if settings is None:
        return str(generator)
    text = f"greatest event time − {duration_text(settings.max_out_of_orderness)}"
    return text + (f", in steps of {duration_text(settings.interval)}" if settings.interval else "")


class StreamPipelineBuilder:
    """Says what a pipeline does, step by step. Each call returns a new builder, so that one can be
    the start of several. `build()` checks that nothing is missing.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    @property
    def plan(self) -> Plan:
        return self._plan

    def _but(self, **changes: Any) -> StreamPipelineBuilder:
        return StreamPipelineBuilder(dataclasses.replace(self._plan, **changes))

    def with_source(self, source: Source) -> StreamPipelineBuilder:
        """Where records come from."""
        if not isinstance(source, Source):
            raise ConfigurationError(
                f"with_source: {source!r} is not a Source; expected FileSource, ArrowSource, IterableSource or one of yours"
            )
        return self._but(source=source)

    def with_event_time(self, field: str, *, unit: str | None = None) -> StreamPipelineBuilder:
        """Which field says when a record happened. `unit` is that of a number: "s", "ms", "us" or "ns";
        without one, numbers are microseconds, and such as would lie before 1990 are refused.
        """
        if unit is not None and unit not in _UNITS:
            raise ConfigurationError(
                f"with_event_time: unit: {unit!r} is not known; expected one of {', '.join(_UNITS)}"
            )
        return self._but(time_field=_path(field, "with_event_time"), time_unit=unit)

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
        return self._but(watermark=generator)

    def with_late_event_handler(self, handler: LateEventHandler) -> StreamPipelineBuilder:
        """How long windows take late records, and where later ones go."""
        if not isinstance(handler, LateEventHandler):
            raise ConfigurationError(
                f"with_late_event_handler: {handler!r} is not a LateEventHandler; expected e.g. "
                "LateEventHandler('60s').with_side_output(CollectSink())"
            )
        return self._but(late_events=handler)

    def key_by(self, *fields: str) -> StreamPipelineBuilder:
        """Which fields records are grouped by. A record without one of them has null there."""
        paths = tuple(_path(field, "key_by") for field in fields)
        for path in paths:
            if paths.count(path) > 1:
                raise ConfigurationError(f"key_by: {path!r} is named twice")
        return self._but(key=paths)

    def with_tumbling_window(
        self, size: Duration, *, offset: Duration = 0, allowed_lateness: Duration | None = None
    ) -> StreamPipelineBuilder:
        """Fixed, gap-free windows: every record falls in exactly one.

        A late record still updates its window until `allowed_lateness` has passed; the window then
        fires again at once.

        >>> builder = create_pipeline().with_tumbling_window("1m", allowed_lateness="10s")
        """
        return self.with_window(
            TumblingWindowAssigner(size, offset=offset, allowed_lateness=allowed_lateness)
        )

    def with_sliding_window(
        self,
        size: Duration,
        slide: Duration,
        *,
        offset: Duration = 0,
        allowed_lateness: Duration | None = None,
    ) -> StreamPipelineBuilder:
        """Windows of one size that start every `slide`: a record falls in all that overlap there."""
        return self.with_window(
            SlidingWindowAssigner(size, slide, offset=offset, allowed_lateness=allowed_lateness)
        )

    def with_session_window(
        self, gap: Duration, *, allowed_lateness: Duration | None = None
    ) -> StreamPipelineBuilder:
        """A key's records that are at most `gap` apart share a window, which ends one gap after the last.

        A record that comes one gap after the last one exactly still joins, unless the watermark has reached
        the session's end already.
        """
        return self.with_window(SessionWindowAssigner(gap, allowed_lateness=allowed_lateness))

    def with_window(self, assigner: WindowAssigner) -> StreamPipelineBuilder:
        """The windows that an assigner describes."""
        if not isinstance(assigner, SlidingWindowAssigner | SessionWindowAssigner):
            raise ConfigurationError(
                f"with_window: {assigner!r} is not supported; expected TumblingWindowAssigner, SlidingWindowAssigner or "
                "SessionWindowAssigner"
            )
        return self._but(window=assigner)

    def with_accumulation(self, mode: str) -> StreamPipelineBuilder:
        """Whether a window's later panes hold everything so far ("accumulating", the default) or only
        what is new ("discarding").
        """
        if mode not in ("accumulating", "discarding"):
            raise ConfigurationError(
                f"with_accumulation: {mode!r} is not known; expected 'accumulating' or 'discarding'"
            )
        return self._but(accumulation=mode)

    def aggregate(
        self, field: str = "value", aggregations: Sequence[str] | str = NINE, *, prefix: str = ""
    ) -> StreamPipelineBuilder:
        """Statistics of a field: count, sum, average, min, max, stddev, stddev_sample and any percentile
        such as "p95" or "p99.9". Repeat it for further fields, with a prefix for their results' names.

        Values that are null, not finite or no numbers are skipped and counted; `count` counts the values taken.
        """
        names = [aggregations] if isinstance(aggregations, str) else list(aggregations)
        if not names:
            raise ConfigurationError(
                "aggregate: aggregations: nothing is asked for; expected at least one, e.g. ['count']"
            )
        metric = _Metric(
            _path(field, "aggregate"), tuple(parse_statistic(name, prefix=prefix) for name in names)
        )
        return self._but(metrics=(*self._plan.metrics, metric))

    def with_options(self, *, parallelism: int = 1) -> StreamPipelineBuilder:
        """How a pipeline runs: `parallelism` threads share the keys. It changes no output."""
        if type(parallelism) is not int or not 1 <= parallelism <= 256:
            raise ConfigurationError(
                f"with_options: parallelism: {parallelism!r} is not a number from 1 to 256"
            )
        return self._but(parallelism=parallelism)

    def with_sink(self, sink: Sink) -> StreamPipelineBuilder:
        """Where results go; any number of sinks."""
        if not isinstance(sink, Sink):
            raise ConfigurationError(
                f"with_sink: {sink!r} is not a Sink; expected ConsoleSink, CollectSink, CallbackSink or a subclass of Sink"
            )
        return self._but(sinks=(*self._plan.sinks, sink))

    def checked(self) -> StreamPipelineBuilder:
        """Itself, if everything but source and sinks is there and fits together."""
        plan = self._plan
        plan.core(collect_late=False, watermark=None)  # checks what only the core knows
        taken = [*_TABLE_COLUMNS, *plan.key]
        for metric in plan.all_metrics():
            for statistic in metric.statistics:
                if statistic.result_name in taken:
                    raise ConfigurationError(
                        f"aggregate: two columns of the result would be called {statistic.result_name!r}; "
                        f"give the metric of {metric.field!r} another prefix="
                    )
                taken.append(statistic.result_name)
        return self

    def build(self) -> StreamPipeline:
        """The pipeline, ready to run."""
        self.checked()
        if self._plan.source is None:
            _no_source(self._plan)
        return StreamPipeline(self._plan)

    def open(self) -> PushSession:
        """A push session: records are handed in by calls, so no source is needed."""
        return PushSession(self.checked()._plan)

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

    `event_type` (a dataclass, pydantic model, msgspec struct or TypedDict, such as FeedbackEvent)
    says which fields are integers; records themselves may be dicts all the same.

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
    return StreamPipelineBuilder(Plan(name=str(name), event_type=event_type))


def _no_source(plan: Plan) -> NoReturn:
    raise ConfigurationError(
        f"pipeline {plan.name!r} has no source: add .with_source(FileSource(path)), ArrowSource or IterableSource"
    )


def _path(field: Any, setting: str) -> str:
    if not isinstance(field, str) or not all(field.split(".")):
        raise ConfigurationError(
            f"{setting}: {field!r} is not a field path; expected text such as 'data.latency_ms'"
        )
    return field


@dataclass(frozen=True, slots=True)
class RunSummary:
    """Where every record went: records_in = aggregated + late + malformed + filtered + outside_windows + shed."""

    records_in: int
    aggregated: int
    """Taken by at least one window."""
    late: int
    """Too late for every window."""
    malformed: int
    filtered: int
    outside_windows: int
    """In a gap between windows."""
    unfired: int
    shed: int
    panes: int
    """Results handed to the sinks."""
    duration: timedelta
    malformed_by_kind: Mapping[str, int] = field(default_factory=dict)
    skipped_values: Mapping[str, int] = field(default_factory=dict)
    """By field: values of aggregated records that were null, not finite or no numbers."""

    @property
    def throughput(self) -> float:
        """Records per second of wall time."""
        seconds = self.duration.total_seconds()
        return self.records_in / seconds if seconds > 0 else 0.0

    def __str__(self) -> str:
        parts = [
            f"{self.records_in:,} records in {self.duration.total_seconds():.2f} s ({self.throughput:,.0f}/s)"
        ]
        parts += [
            f"{count:,} {name.replace('_', ' ')}"
            for name in ("aggregated", "late", "malformed", "filtered", "outside_windows", "shed", "panes")
            if (count := getattr(self, name)) or name in ("aggregated", "panes")
        ]
        parts += [f"{count:,} values of {name!r} skipped" for name, count in self.skipped_values.items()]
        return ", ".join(parts)


class StreamPipeline:
    """A pipeline that can run. The same one may run again, from the start of its source."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._running = threading.Lock()
        self._counts: dict[str, Any] = {}

    @property
    def plan(self) -> Plan:
        return self._plan

    @property
    def metrics(self) -> dict[str, Any]:
        """The counters of the current or last run."""
        return dict(self._counts)

    @property
    def stopped(self) -> bool:
        """Whether the last run ended by `stop()` or a signal, and so before its input did."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ends a run after the batch in hand; its results still reach the sinks. Windows that are
        not complete do not fire. May be called from any thread.
        """
        self._stop.set()

    def open(self) -> PushSession:
        """A push session: the same plan and sinks, with records handed in by calls instead of a source."""
        return PushSession(self._plan)

    def explain(self) -> str:
        """Prints the plan and where each stage runs, and returns the text."""
        text = self._plan.explain()
        print(text)
        return text

    def run(
        self,
        *,
        max_events: int | None = None,
        timeout: Duration | None = None,
        progress: bool = False,
    ) -> RunSummary:
        """Runs until the source ends, then completes every window.

        After `max_events` records exactly (malformed ones included), or after `timeout`, the input counts as
        ended: every window completes. On `stop()`, and on SIGINT or SIGTERM where this is the main thread, the
        run ends after the batch in hand, and windows that are not complete do not fire. A second SIGINT, a
        second or more later, raises KeyboardInterrupt. Elsewhere than on the main thread signals are left
        alone. `progress` shows on standard error how far the run is.
        """
        limits = _Limits.of(max_events, timeout)
        self._begin()
        try:
            with _StopOnSignals(self._stop):
                return self._run(limits, progress=progress)
        finally:
            self._running.release()

    async def run_async(
        self, *, max_events: int | None = None, timeout: Duration | None = None, progress: bool = False
    ) -> RunSummary:
        """Like run(), in a thread of its own, while the event loop goes on.

        Sinks with `async def` methods run on the caller's loop, others in the run's thread. Cancelling it
        stops the run in good order; signals are left alone.
        """
        limits = _Limits.of(max_events, timeout)
        self._begin()
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(asyncio.to_thread(self._run, limits, progress=progress, loop=loop))
        work.add_done_callback(lambda _: self._running.release())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.stop()
            await asyncio.wait([work])
            raise

    def _begin(self) -> None:
        if not self._running.acquire(blocking=False):
            raise PipelineError(f"pipeline {self._plan.name!r} is already running")
        self._stop.clear()

    def _run(
        self, limits: _Limits, *, progress: bool, loop: asyncio.AbstractEventLoop | None = None
    ) -> RunSummary:
        plan = self._plan
        source = plan.source or _no_source(plan)
        intake = Intake(
            plan, watermark=plan.watermark or _DEFAULT_WATERMARK, collect_late=plan.side_output is not None
        )
        started = time.monotonic()
        step = source.open(intake)
        with (
            Delivery(plan.sinks, plan.side_output, loop=loop) as delivery,
            progress_display(source.progress, shown=progress) as display,
        ):
            self._counts = intake.core.counts()
            while not self._stop.is_set():
                left = limits.left(self._counts["records_in"], time.monotonic() - started)
                more = left > 0 and step(left)
                if not more:
                    intake.core.end_of_input()
                delivery.emit(intake)
                self._counts = intake.core.counts()
                display.update(self._counts["records_in"])
                if not more:
                    break
        return self._summary(intake.core, timedelta(seconds=time.monotonic() - started))

    def _summary(self, core: _core.Pipeline, duration: timedelta) -> RunSummary:
        counts = core.counts()
        self._counts = counts
        skipped: dict[str, int] = {}
        for metric, count in zip(self._plan.all_metrics(), counts["skipped_values"], strict=True):
            if count:
                skipped[metric.field] = max(count, skipped.get(metric.field, 0))
        return RunSummary(
            records_in=counts["records_in"],
            aggregated=counts["aggregated"],
            late=counts["late"],
            malformed=counts["malformed"],
            filtered=0,
            outside_windows=counts["outside_windows"],
            unfired=0,
            shed=0,
            panes=counts["panes"],
            duration=duration,
            malformed_by_kind=counts["malformed_by_kind"],
            skipped_values=skipped,
        )

    def __repr__(self) -> str:
        return f"<StreamPipeline {self._plan.name!r}>"

    def _repr_html_(self) -> str:
        return text_html(self._plan.explain())


@dataclass(frozen=True, slots=True)
class _Limits:
    """After how much a run counts its input as ended."""

    records: int
    seconds: float

    @classmethod
    def of(cls, max_events: int | None, timeout: Duration | None) -> _Limits:
        if max_events is not None and (type(max_events) is not int or max_events < 0):
            raise ConfigurationError(
                f"run: max_events: {max_events!r} must be an integer of at least 0, or None"
            )
        return cls(
            sys.maxsize if max_events is None else max_events,
            float("inf") if timeout is None else duration_micros(timeout, "run: timeout") / 1e6,
        )

    def left(self, records: int, seconds: float) -> int:
        """How many records a step may still take."""
        return 0 if seconds >= self.seconds else min(self.records - records, UNLIMITED)


class _StopOnSignals:
    """Lets SIGINT and SIGTERM end a run in good order; elsewhere than on the main thread, and where
    the program has handlers of its own for SIGTERM, signals are left alone.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._previous: dict[int, Any] = {}
        self._first_at: float | None = None

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            # Whoever insists is stuck: in a sink, say. Signals in a burst are one.
            if (
                number == signal.SIGINT
                and self._first_at is not None
                and time.monotonic() - self._first_at >= 1
            ):
                raise KeyboardInterrupt
            self._first_at = self._first_at or time.monotonic()
            self._stop.set()

        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, on_signal)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._previous[signal.SIGTERM] = signal.signal(signal.SIGTERM, on_signal)

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
