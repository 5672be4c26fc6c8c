"""A builder as a configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
from llmopt_stream.branches import DEFAULT_TRIGGER, Branch
from llmopt_stream.columns import Column
from llmopt_stream.file_sinks import NdjsonSink, ParquetSink
from llmopt_stream.metrics import Metric
from llmopt_stream.operators.deduplicate import Deduplicate
from llmopt_stream.operators.enrich import Enrich, Enriching
from llmopt_stream.operators.enrich_versions import EnrichVersions
from llmopt_stream.operators.inputs import Union
from llmopt_stream.operators.join import IntervalJoin, WindowJoin
from llmopt_stream.operators.keyed import RunningCount, TrackSessions
from llmopt_stream.operators.per_record import Select, Where
from llmopt_stream.operators.ranking import TopN
from llmopt_stream.operators.trending import Trending
from llmopt_stream.schemas import types_of_event
from llmopt_stream.triggers import AllOfTrigger, AnyOfTrigger
from llmopt_stream.units import to_datetime
from llmopt_stream.watermarks import CoreWatermark

from .aggregators import said_of
from .kafka_form import kafka_consumer, kafka_producer, kafka_sink, no_form, with_common_producer
from .stream_settings import EVENT_TYPES

if TYPE_CHECKING:
    from llmopt_stream.plan import Plan

__all__ = ["tree_of"]


def tree_of(plan: Plan) -> dict[str, Any]:
    """What a configuration says that gives this plan; a ConfigurationError names what has no form there."""
    consumer = {} if plan.inputs is not None else kafka_consumer(plan.source)
    producer = kafka_producer(plan)
    kafka = {name: each for name, each in (("consumer", consumer), ("producer", producer)) if each}
    said = {
        **_stream(plan),
        **({"kafka": kafka} if kafka else {}),
        "buffer_size": plan.buffer_size,
        "error_handling": _error_handling(plan.error_handler),
        **_running(plan),
    }
    if plan.branches[0].name:
        said |= {**_records(plan.key, plan.operators), "branches": _branches(plan)}
    else:
        said |= _only_branch(plan)
    return {"processor": with_common_producer(said, producer)}


def _secs(micros: int | None) -> float | int | None:
    return None if micros is None else _scaled(micros, 1_000_000)


def _scaled(micros: int, unit: int) -> float | int:
    return micros // unit if micros % unit == 0 else micros / unit


def _stream(plan: Plan) -> dict[str, Any]:
    """Everything of a stream but what happens to its records."""
    said = {
        "name": plan.name,
        "parallelism": plan.parallelism,
        "event": _event(plan),
        "future_skew_secs": _secs(plan.future_skew),
        "past_skew_secs": _secs(plan.past_skew),
    }
    if plan.inputs is not None:
        return {**said, "inputs": _inputs(plan.inputs)}
    return {**said, "watermark": _watermark(plan.watermark), "source": _source(plan.source)}


def _event(plan: Plan) -> dict[str, Any]:
    known = {name: getattr(ls, of) for name, of in EVENT_TYPES.items()}
    kind = next((name for name, of in known.items() if of is plan.event_type), None)
    # Of another type only what it declares counts.
    declared = {**({} if kind else types_of_event(plan.event_type)), **plan.schema}
    return {
        "type": kind,
        "time_field": plan.time_field,
        "time_unit": plan.time_unit,
        "schema": {path: of.removesuffix("64") for path, of in declared.items()},
    }


def _watermark(generator: Any) -> dict[str, Any]:
    if generator is None:
        return {"strategy": None}
    base, interval, clock = generator, None, "event"
    if type(generator) is ls.PeriodicWatermarkGenerator:
        base, interval, clock = generator.base, generator._interval, generator.clock
    settings = CoreWatermark.of(base)
    if settings is None or settings.interval:
        raise no_form(f"with_watermark_generator: {type(generator).__name__} of {base!r}")
    return {
        "max_out_of_orderness_secs": _secs(settings.max_out_of_orderness),
        "emit_interval_secs": _secs(interval),
        "emit_clock": clock,
        "idle_timeout_secs": _secs(settings.idle_timeout),
        "flush_timeout_secs": _secs(settings.flush_timeout),
    }


def _source(source: Any) -> dict[str, Any]:
    if source is None:
        return {"type": None}
    if type(source) is ls.FileSource:
        format = None if source._format is None else source._format.value
        return {"type": "file", "file": {"path": source._path, "format": format}}
    if type(source) is ls.GeneratorSource:
        said = dict(source._settings)
        said["start"] = to_datetime(said["start"]).isoformat().replace("+00:00", "Z")
        said["max_disorder_secs"] = _secs(said.pop("max_disorder"))
        return {"type": "generator", "generator": said}
    if kafka_consumer(source):
        return {"type": "kafka"}
    raise no_form(f"with_source: {type(source).__name__}")


def _inputs(inputs: Any) -> dict[str, Any]:
    streams = [{**_stream(plan), **_only_branch(plan)} for plan in inputs.plans]
    for stream, plan in zip(streams, inputs.plans, strict=True):
        del stream["sinks"]  # streams that are joined have none
        if plan.inputs is None and (consumer := kafka_consumer(plan.source)):
            stream["source"]["kafka"] = consumer
    if type(inputs) is Union:
        return {"type": "union", "streams": streams}
    if type(inputs) is EnrichVersions:
        return {"type": "enrich", "streams": streams, **_enriching(inputs.enriching)}
    if inputs.select is not None:
        raise no_form("join: select: a callable")
    said = {"streams": streams, "on": dict(inputs.on), "how": inputs.how}
    if type(inputs) is WindowJoin:
        return {"type": "window_join", **said, "windows": _window(inputs.window, None)}
    assert type(inputs) is IntervalJoin  # noqa: S101 - there are no other inputs
    return {"type": "join", **said, "lower_secs": _secs(inputs.lower), "upper_secs": _secs(inputs.upper)}


def _enriching(enriching: Enriching) -> dict[str, Any]:
    matching = enriching.matching
    return {
        "on": dict(zip(matching.paths, matching.columns, strict=True)),
        "how": enriching.how,
        "prefix": enriching.prefix,
        "missing": enriching.missing,
    }


# What happens to records


def _only_branch(plan: Plan) -> dict[str, Any]:
    first, *others = plan.branches[0].stages
    said = {**_records(plan.key, (*plan.operators, *first.operators)), **_windowed(first)}
    return {**said, "then": [_stage(stage, plan.branches[0].stages, plan.key) for stage in others]}


def _branches(plan: Plan) -> list[dict[str, Any]]:
    said = []
    for branch in plan.branches:
        first, *others = branch.stages
        said.append(
            {
                "name": branch.name,
                "late_of": first.late_of,
                **_records(first.key, first.operators, inherited=plan.key),
                **_windowed(first),
                "then": [_stage(stage, branch.stages, plan.key) for stage in others],
            }
        )
    return said


def _stage(stage: Branch, stages: Sequence[Branch], key: tuple[str, ...]) -> dict[str, Any]:
    for before in stages[: stages.index(stage)]:
        key = key if before.key is None else before.key
    return {**_records(stage.key, stage.operators, inherited=key), **_windowed(stage)}


def _records(
    key: tuple[str, ...] | None, operators: Sequence[Any], *, inherited: tuple[str, ...] = ()
) -> dict[str, Any]:
    in_force = inherited if key is None else key
    return {
        "key_by": None if key is None else list(key),
        "operators": [_operator(operator, in_force) for operator in operators],
    }


def _windowed(stage: Branch) -> dict[str, Any]:
    said: dict[str, Any] = {
        "windows": {"default_type": None},
        "sinks": [_sink(sink, "with_sink") for sink in stage.sinks],
    }
    if stage.side_output is not None:
        said["late_events"] = {"side_output": _sink(stage.side_output, "with_late_event_handler")}
    if stage.window is None:
        return said
    metrics = stage.all_metrics()
    for metric in metrics:
        if not isinstance(metric, Metric):
            raise no_form(f"apply: {metric.name}: a callable")
    first, *others = (_metric(metric) for metric in metrics if isinstance(metric, Metric))
    windows = _window(stage.window, stage.allowed_lateness())
    if stage.trigger != DEFAULT_TRIGGER:
        windows["trigger"] = _trigger(stage.trigger)
    aggregation = {
        **first,
        "additional": others,
        "across_windows": [_series(series) for series in stage.series],
        "forget_after_secs": _secs(stage.forget_after),
    }
    return {**said, "windows": {**windows, "accumulation": stage.accumulation}, "aggregation": aggregation}


def _window(assigner: Any, lateness: int | None) -> dict[str, Any]:
    spec = assigner.spec
    kind = spec.type.value
    if type(assigner) not in _ASSIGNERS or (callable(spec.gap) and not isinstance(spec.gap, Column)):
        raise no_form(f"with_window: {assigner!r}")
    if kind == "global":
        return {"default_type": kind}
    if kind == "count":
        return {
            "default_type": kind,
            kind: {"size_records": spec.size, "slide_records": spec.slide, "flush": spec.flush},
        }
    said: dict[str, Any] = {"time": spec.time}
    # By the clock nothing is late, so nothing is said.
    said["allowed_lateness_secs"] = None if spec.time == "processing" else _secs(lateness)
    if kind == "session":
        gap = {"gap_field": spec.gap.path} if isinstance(spec.gap, Column) else {"gap_secs": _secs(spec.gap)}
        return {"default_type": kind, kind: {**said, **gap}}
    said |= {"size_secs": _secs(spec.size), "offset_secs": _secs(spec.offset)}
    if kind == "sliding":
        said["slide_secs"] = _secs(spec.slide)
    if kind == "cumulative":
        said["step_secs"] = _secs(spec.slide)
    return {"default_type": kind, kind: said}


_ASSIGNERS = (
    ls.TumblingWindowAssigner,
    ls.SlidingWindowAssigner,
    ls.SessionWindowAssigner,
    ls.CumulativeWindowAssigner,
    ls.CountWindowAssigner,
    ls.GlobalWindowAssigner,
)


def _trigger(trigger: Any) -> dict[str, Any]:
    kind = type(trigger)
    if kind is ls.EventTimeTrigger:
        return {"type": "event_time"}
    if kind is ls.CountTrigger:
        return {"type": "count", "count": trigger.count}
    if kind is ls.ProcessingTimeTrigger:
        return {"type": "processing_time", "delay_secs": _secs(trigger.delay)}
    if kind is ls.HybridTrigger:
        return {
            "type": "hybrid",
            "count_threshold": trigger.count_threshold,
            "time_threshold_secs": _secs(trigger.time_threshold),
        }
    if kind is ls.AfterWatermark:
        early, late = (None if part is None else _trigger(part) for part in (trigger.early, trigger.late))
        return {"type": "after_watermark", "early": early, "late": late}
    for combined, tag in ((AnyOfTrigger, "any_of"), (AllOfTrigger, "all_of")):
        if kind is combined:
            return {"type": tag, "triggers": [_trigger(part) for part in trigger.triggers]}
    raise no_form(f"with_trigger: {kind.__name__}")


def _metric(metric: Metric) -> dict[str, Any]:
    said = {"field": metric.field} if metric.expression is None else {"expression": repr(metric.expression)}
    return {
        **said,
        "enabled": [
            said_of(each) if isinstance(each, ls.Aggregator) else _statistic(each, metric.prefix)
            for each in metric.asked
        ],
        "prefix": metric.prefix,
        "where": None if metric.where is None else repr(metric.where),
        "nulls": "error" if metric.refuses_nulls else "skip",
    }


def _statistic(statistic: Any, prefix: str) -> str:
    name: str = statistic.result_name
    return name.removeprefix(prefix)


def _series(series: Any) -> dict[str, Any]:
    said = {"of": series.of, "alpha": series.alpha, "name": series.name}
    if type(series) is ls.MovingAverage:
        return {"type": "moving_average", **said}
    if type(series) is ls.ZScore:
        return {"type": "z_score", **said, "threshold": series.threshold, "warm_up": series.warm_up}
    raise no_form(f"across_windows: {type(series).__name__}")


def _operator(operator: Any, key: tuple[str, ...]) -> dict[str, Any]:
    found = _OPERATORS.get(type(operator))
    if found is None:
        raise no_form(f"{operator.name}: {operator.describe()}")
    tag, settings = found
    said = {"type": tag, **settings(operator)}
    if tag in ("running_count", "track_sessions", "trending") and operator.key != key:
        said["key_by"] = list(operator.key)
    return said


def _enrich(operator: Enrich) -> dict[str, Any]:
    if operator.path is None:
        raise no_form(f"enrich: a table that is no file, {operator.said}")
    return {"table": operator.path, **_enriching(operator.enriching)}


def _select(operator: Select) -> dict[str, Any]:
    fields: list[Any] = []
    for name, of in operator.fields:
        if not isinstance(of, str):
            fields.append({"name": name, "expression": repr(of)})
        else:
            fields.append(name if name == of else {"name": name, "field": of})
    return {"fields": fields}


_OPERATORS: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Where: ("filter", lambda operator: {"where": repr(operator.condition)}),
    Select: ("select", _select),
    Deduplicate: (
        "deduplicate",
        lambda operator: {
            "by": operator.by,
            "ttl_secs": _secs(operator.ttl),
            "false_positive_rate": operator.false_positive_rate,
        },
    ),
    Enrich: ("enrich", _enrich),
    RunningCount: ("running_count", lambda operator: {}),
    TrackSessions: ("track_sessions", lambda operator: {"timeout_secs": _secs(operator.timeout)}),
    Trending: (
        "trending",
        lambda operator: {
            "half_life_secs": _secs(operator.half_life),
            "top": operator.top,
            "window_secs": _secs(operator.window),
            "drop_below": operator.drop_below,
            "capacity": operator.capacity,
        },
    ),
    TopN: (
        "top_n",
        lambda operator: {
            "n": operator.n,
            "by": operator.by,
            "per": list(operator.per),
            "ascending": operator.ascending,
        },
    ),
}


# Sinks, errors and running


def _sink(sink: Any, of: str) -> dict[str, Any]:
    if type(sink) is ls.ConsoleSink and sink._stream is None:
        return {"type": "console"}
    if type(sink) in (NdjsonSink, ParquetSink):
        return {"type": "ndjson" if type(sink) is NdjsonSink else "parquet", "path": str(sink._path)}
    if said := kafka_sink(sink):
        return said
    raise no_form(f"{of}: {sink}")


def _error_handling(handler: ls.ErrorHandler | None) -> dict[str, Any]:
    if handler is None:
        return {"policy": None}
    policy = handler.policy
    said: dict[str, Any] = {"policy": policy.kind, "dead_letter_topic": None}
    if policy.kind == "retry":
        said |= {
            "max_retries": policy.max_attempts,
            "initial_retry_delay_ms": _scaled(policy.initial_delay, 1000),
            "max_retry_delay_ms": _scaled(policy.max_delay, 1000),
        }
    if handler.sink is not None:
        said["dead_letter_sink"] = _sink(handler.sink, "with_error_handler")
    return said


def _running(plan: Plan) -> dict[str, Any]:
    """State, checkpoints and delivery."""
    said: dict[str, Any] = {}
    if plan.checkpoints is not None:
        said["checkpoint_interval_secs"] = _secs(plan.checkpoints.interval)
        said["checkpoint_interval_records"] = plan.checkpoints.records
        said["checkpoints_kept"] = plan.checkpoints.keep
    if plan.delivery != "at_least_once":
        said["delivery"] = plan.delivery
    backend = plan.state_backend
    if backend is None or type(backend) is ls.MemoryStateBackend:
        return {**said, "state": {"backend": "memory"}}
    if type(backend) is not ls.RocksDBStateBackend:
        raise no_form(f"with_state_backend: {backend!r}")
    state = {
        "backend": "rocksdb",
        "path": backend.path,
        "checkpoint_path": backend.checkpoint_path,
        "memtable_bytes": backend.memtable_bytes,
        "cache_bytes": backend.cache_bytes,
    }
    return {**said, "state": state}
