"""A configuration as a builder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from inspect import signature
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
from llmopt_stream.branches import Branch
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.secrets import Secret

from .expressions import condition_from, expression_from
from .parts import (
    aggregations_of,
    assigner_of,
    generator_source_of,
    policy_of,
    series_of,
    trigger_of,
    watermark_of,
)
from .sections import SettingValues, is_default, path_of, place_of
from .stream_settings import EVENT_TYPES

if TYPE_CHECKING:
    from llmopt_stream.builder import StreamPipelineBuilder
    from llmopt_stream.plan import Plan

    from . import Config

__all__ = ["MissingPartError", "builder_of"]


_OF_SETTING = re.compile(r"Kafka property '(?P<property>[^']+)': |\w+: (?P<setting>\w+): ")


class MissingPartError(ConfigurationError):
    """A setting is right, but this installation has not what it needs."""


def builder_of(config: Config, *, with_state: bool) -> StreamPipelineBuilder:
    """The builder of what the configuration describes."""
    try:
        return _Assembly(config.processor, with_state=with_state).builder()
    except MissingPartError as error:
        raise MissingPartError(config.origin.redacted(str(error))) from None
    except ConfigurationError as error:
        raise ConfigurationError(config.origin.redacted(str(error))) from None


def _part(name: str, of: Any, needed_by: str) -> Any:
    """What the package has under a name, if it does."""
    found = getattr(of, name, None)
    if found is None:
        raise MissingPartError(
            f"{name} is missing in this installation of llmopt_stream; {needed_by!r} needs it"
        )
    return found


@contextmanager
def _at(values: SettingValues, *names: str) -> Iterator[None]:
    """Errors name the setting, and where it was said."""
    try:
        yield
    except ConfigurationError as error:
        if getattr(error, "has_place", False):
            raise
        names = names or _named_by(str(error), values)
        name = names[0] if names else ""
        place = next((place for each in names if (place := place_of(values, each))), "") or place_of(values)
        text = ": ".join(part for part in (place, path_of(values, name), str(error)) if part)
        placed = type(error)(text)
        placed.has_place = True  # type: ignore[attr-defined]
        raise placed from error


def _named_by(message: str, values: SettingValues) -> tuple[str, ...]:
    """The setting, of these values, that an error of the class made of them names."""
    found = _OF_SETTING.match(message)
    if found is None:
        return ()
    if found["property"]:
        return (f"properties.{found['property']}",)
    names = (found["setting"], f"{found['setting']}_file")
    return tuple(name for name in names if values._section.setting(name))


class _Assembly:
    def __init__(self, processor: Any, *, with_state: bool) -> None:
        self._processor = processor
        self._with_state = with_state

    def builder(self) -> StreamPipelineBuilder:
        said = self._processor
        builder = self._stream(said)
        with _at(said, "parallelism"):
            builder = builder.with_options(buffer_size=said.buffer_size)
        builder = self._running(builder)
        if (handler := self._error_handler()) is not None:
            builder = builder.with_error_handler(handler)
        if not said.branches:
            return self._stages(builder, said)
        if said.then:
            with _at(said, "then"):
                raise ConfigurationError("with branches there are no other stages; say them in the branches")
        builder = self._records(builder, said)
        for branch in said.branches:
            with _at(branch, "name"):
                builder = builder.branch(branch.name, late_of=branch.late_of)
            builder = self._stages(builder, branch)
        return builder

    # Streams

    def _stream(self, said: Any) -> StreamPipelineBuilder:
        """Everything of a stream but what happens to its records."""
        builder = self._of_inputs(said) if said.inputs is not None else self._of_source(said)
        with _at(said, "parallelism"):
            builder = builder.with_options(parallelism=said.parallelism)
        for name in ("future_skew", "past_skew"):
            with _at(said, f"{name}_secs"):
                builder = builder.with_options(**{name: getattr(said, f"{name}_secs")})
        return builder

    def _of_source(self, said: Any) -> StreamPipelineBuilder:
        builder = self._with_event(
            ls.create_pipeline(said.name, event_type=_event_type(said.event)), said.event
        )
        watermark = said.watermark
        with _at(watermark, "max_out_of_orderness_secs"):
            if watermark.strategy is not None:
                builder = builder.with_watermark_generator(watermark_of(watermark))
        return self._with_source(builder, said.source)

    @staticmethod
    def _with_event(builder: StreamPipelineBuilder, event: Any) -> StreamPipelineBuilder:
        with _at(event, "time_field"):
            if event.time_field is not None or event.time_unit is not None:
                builder = builder.with_event_time(
                    event.time_field or builder.plan.time_field, unit=event.time_unit
                )
        with _at(event, "schema"):
            return builder.with_schema(event.schema) if event.schema else builder

    def _with_source(self, builder: StreamPipelineBuilder, source: Any) -> StreamPipelineBuilder:
        if source.type == "kafka":
            with _at(source, "type"):
                return self._with_kafka_source(builder, getattr(source, "kafka", None))
        if source.type == "file":
            with _at(source.file, "path"):
                if source.file.path is None:
                    raise ConfigurationError("it is missing; 'source.type: file' needs it")
                return builder.with_source(ls.FileSource(source.file.path, format=source.file.format))
        if source.type == "generator":
            with _at(source.generator):
                return builder.with_source(generator_source_of(source.generator))
        return builder

    def _with_kafka_source(self, builder: StreamPipelineBuilder, said: Any) -> StreamPipelineBuilder:
        config = _part("KafkaConfig", ls, "source.type: kafka")
        method = _part("with_kafka_source", builder, "source.type: kafka")
        consumer = self._processor.kafka.consumer if said is None else said
        with _at(consumer):
            arguments = _arguments(consumer)
            if consumer.schema_registry is not None:
                with _at(consumer.schema_registry):
                    registry = ls.SchemaRegistryConfig(**_arguments(consumer.schema_registry))
                arguments["schema_registry"] = registry
            made: StreamPipelineBuilder = method(config(**arguments))
        return made

    def _of_inputs(self, said: Any) -> StreamPipelineBuilder:
        inputs = said.inputs
        if not is_default(said.source, "type") and said.source.type is not None:
            with _at(said.source, "type"):
                raise ConfigurationError("with inputs there is no source; leave it out")
        streams = [self._stages(self._stream(each), each) for each in inputs.streams]
        with _at(said, "inputs"):
            joined = _joined(inputs, streams)
        event = self._with_event(
            ls.create_pipeline(said.name, event_type=_event_type(said.event)), said.event
        )
        return type(joined)(_of_joined(joined.plan, event.plan))

    # What happens to records

    def _stages(self, builder: StreamPipelineBuilder, said: Any) -> StreamPipelineBuilder:
        builder = self._stage(builder, said)
        for stage in said.then:
            upstream = builder.plan.branches[-1]
            with _at(stage):
                if upstream.window is None and upstream.upstream is None:
                    raise ConfigurationError(
                        "a further stage takes the results of windows, and there are none before it"
                    )
            if stage.key_by is None and not stage.operators:  # which would begin it
                builder = builder._but_last_branch(Branch(upstream.name, upstream=upstream))
            builder = self._stage(builder, stage)
        return builder

    def _stage(self, builder: StreamPipelineBuilder, said: Any) -> StreamPipelineBuilder:
        builder = self._records(builder, said)
        if said.windows.default_type is not None:
            builder = self._aggregated(self._windowed(builder, said.windows), said.aggregation)
        if (late := getattr(said, "late_events", None)) is not None and late.side_output is not None:
            with _at(late, "side_output"):
                handler = ls.LateEventHandler().with_side_output(self._sink(late.side_output))
                builder = builder.with_late_event_handler(handler)
        for index, sink in enumerate(getattr(said, "sinks", ())):
            with _at(said, f"sinks.{index}", "sinks"):
                builder = builder.with_sink(self._sink(sink))
        return builder

    def _records(self, builder: StreamPipelineBuilder, said: Any) -> StreamPipelineBuilder:
        """The key and operators."""
        for index, operator in enumerate(said.operators):
            with _at(said, f"operators.{index}"):
                if hasattr(operator, "key_by"):
                    builder = _keyed(builder, said.key_by if operator.key_by is None else operator.key_by)
                builder = _with_operator(builder, operator)
        with _at(said, "key_by"):
            return _keyed(builder, said.key_by)

    @staticmethod
    def _windowed(builder: StreamPipelineBuilder, windows: Any) -> StreamPipelineBuilder:
        if windows.default_type == "global":
            builder = builder.with_global_window()
        else:
            with _at(getattr(windows, windows.default_type)):
                builder = builder.with_window(assigner_of(windows))
        with _at(windows, "trigger"):
            if windows.trigger._section.tag != "event_time":
                builder = builder.with_trigger(trigger_of(windows.trigger))
        return builder.with_accumulation(windows.accumulation)

    @staticmethod
    def _aggregated(builder: StreamPipelineBuilder, said: Any) -> StreamPipelineBuilder:
        for metric in (said, *said.additional):
            with _at(metric, "enabled"):
                field = metric.field if metric.expression is None else expression_from(metric.expression)
                if metric.expression is not None and not is_default(metric, "field"):
                    raise ConfigurationError("field and expression: expected one of them")
                builder = builder.aggregate(
                    field,
                    aggregations_of(metric),
                    prefix=metric.prefix,
                    where=None if metric.where is None else condition_from(metric.where),
                    nulls=metric.nulls,
                )
        if said.across_windows:
            with _at(said, "across_windows"):
                series = [series_of(each) for each in said.across_windows]
                builder = builder.across_windows(*series, forget_after=said.forget_after_secs)
        return builder

    # Sinks, errors and running

    def _sink(self, said: Any) -> Any:
        tag = said._section.tag
        if tag == "console":
            return ls.ConsoleSink()
        if tag in ("ndjson", "parquet"):
            return (ls.NdjsonSink if tag == "ndjson" else ls.ParquetSink)(said.path)
        producer = said.producer or self._processor.kafka.producer
        if tag == "dead_letter":
            return self._dead_letter_sink(said.topic, producer)
        changes = {} if said.result_topic is None else {"result_topic": said.result_topic}
        sink = _part("KafkaAggregationSink", ls, "type: kafka")
        return sink(self._producer_config(producer, **changes))

    def _dead_letter_sink(self, topic: str, producer: Any) -> Any:
        sink = _part("DeadLetterSink", ls, "type: dead_letter")
        return sink(topic, self._producer_config(producer))

    @staticmethod
    def _producer_config(producer: Any, **changes: str) -> Any:
        config = _part("KafkaProducerConfig", ls, "type: kafka")
        with _at(producer):
            return config(**{**_arguments(producer), **changes})

    def _uses_kafka(self) -> bool:
        """Whether a source or sink is Kafka."""
        said = self._processor
        stages = [said, *said.then]
        if said.branches:
            stages = [stage for branch in said.branches for stage in (branch, *branch.then)]
        sinks = [sink for stage in stages for sink in stage.sinks]
        return _reads_kafka(said) or any(sink._section.tag == "kafka" for sink in sinks)

    def _error_handler(self) -> ls.ErrorHandler | None:
        said = self._processor.error_handling
        if said.policy is None:
            return None
        with _at(said, "max_retry_delay_ms" if said.policy == "retry" else "policy"):
            handler = ls.ErrorHandler(policy_of(said))
        if said.policy not in ("retry", "dead_letter"):
            return handler
        if said.dead_letter_sink is not None:
            with _at(said, "dead_letter_sink"):
                if not is_default(said, "dead_letter_topic") and said.dead_letter_topic is not None:
                    raise ConfigurationError("dead_letter_topic and dead_letter_sink: expected one of them")
                return handler.with_sink(self._sink(said.dead_letter_sink))
        if said.dead_letter_topic is not None and (
            not is_default(said, "dead_letter_topic") or self._uses_kafka()
        ):
            with _at(said, "dead_letter_topic"):
                sink = self._dead_letter_sink(said.dead_letter_topic, self._processor.kafka.producer)
                return handler.with_sink(sink)
        return handler

    def _with_rocksdb(self, builder: StreamPipelineBuilder) -> StreamPipelineBuilder:
        said = self._processor
        with _at(said, "checkpoint_interval_secs"):
            builder = builder.with_checkpoints(
                said.checkpoint_interval_secs,
                records=said.checkpoint_interval_records,
                keep=said.checkpoints_kept,
            )
        if not self._with_state:
            return builder
        state = said.state
        with _at(state, "path"):
            backend = ls.RocksDBStateBackend(
                state.path,
                state.checkpoint_path,
                memtable_bytes=state.memtable_bytes,
                cache_bytes=state.cache_bytes,
            )
            return builder.with_state_backend(backend)

    def _running(self, builder: StreamPipelineBuilder) -> StreamPipelineBuilder:
        """State, checkpoints, delivery and memory; without a word of them, state is in memory."""
        said = self._processor
        if said.state.backend == "rocksdb":
            builder = self._with_rocksdb(builder)
        any_builder: Any = builder
        if said.delivery != "at_least_once":
            with _at(said, "delivery"):
                if said.delivery == "at_most_once" and said.state.backend != "memory":
                    raise ConfigurationError(
                        f"'at_most_once' takes no state.backend {said.state.backend!r}, which goes on before what was "
                        "lost; expected 'memory'"
                    )
                transactions = (
                    {
                        "transactional_id": said.transactional_id,
                        "commit_interval": said.commit_interval_ms / 1000,
                    }
                    if said.delivery == "exactly_once"
                    else {}
                )
                if not transactions.keys() <= signature(any_builder.with_delivery).parameters.keys():
                    _part("with_delivery(transactional_id=)", any_builder, f"delivery: {said.delivery}")
                any_builder = any_builder.with_delivery(said.delivery, **transactions)
        if said.memory_limit_bytes is not None:
            with _at(said, "memory_limit_bytes"):
                if "memory_limit" not in signature(any_builder.with_options).parameters:
                    _part("with_options(memory_limit=)", any_builder, "memory_limit_bytes")
                any_builder = any_builder.with_options(memory_limit=said.memory_limit_bytes)
        made: StreamPipelineBuilder = any_builder
        return made


def _reads_kafka(said: Any) -> bool:
    if said.inputs is not None:
        return any(_reads_kafka(stream) for stream in said.inputs.streams)
    return bool(said.source.type == "kafka")


def _arguments(values: Any) -> dict[str, Any]:
    """The settings of a section as arguments of the class that has them under the same names: those that are not as by
    default.
    """
    arguments = {
        setting.name: value
        for setting in values._section.settings
        if (value := getattr(values, setting.name)) != setting.default
    }
    if "sasl_token_file" in arguments:
        arguments["sasl_token"] = arguments.pop("sasl_token_file")
    # Who takes them hides them as well.
    return {name: _revealed(value) for name, value in arguments.items()}


def _revealed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _revealed(each) for name, each in value.items()}
    return value.reveal() if isinstance(value, Secret) else value


def _event_type(event: Any) -> Any:
    return None if event.type is None else getattr(ls, EVENT_TYPES[event.type])


def _joined(inputs: Any, streams: list[StreamPipelineBuilder]) -> StreamPipelineBuilder:
    left, *others = streams
    tag = inputs._section.tag
    if tag == "union":
        return left.union(*others)
    if len(others) != 1:
        raise ConfigurationError(
            f"streams: a {tag.replace('_', ' ')} is of two streams, not of {len(streams)}"
        )
    if tag == "enrich":
        return left.enrich(
            others[0], on=inputs.on, how=inputs.how, prefix=inputs.prefix, missing=inputs.missing
        )
    if tag == "window_join":
        if inputs.windows.default_type in (None, "global"):
            raise ConfigurationError("windows.default_type: a window join is in windows of event time")
        return left.join(
            others[0], inputs.on, window=assigner_of(inputs.windows, has_lateness=False), how=inputs.how
        )
    return left.join(
        others[0],
        inputs.on,
        within=inputs.within_secs,
        lower=inputs.lower_secs,
        upper=inputs.upper_secs,
        how=inputs.how,
    )


def _of_joined(joined: Plan, said: Plan) -> Plan:
    """The joined streams, with what was said of the whole."""
    return replace(
        joined,
        name=said.name,
        event_type=said.event_type,
        time_field=said.time_field,
        time_unit=said.time_unit,
        schema=said.schema,
        parallelism=said.parallelism,
        future_skew=said.future_skew,
        past_skew=said.past_skew,
    )


def _keyed(builder: StreamPipelineBuilder, key: list[str] | None) -> StreamPipelineBuilder:
    if key is None:
        return builder
    branch = builder.plan.branches[-1]
    if branch.window is not None:
        return builder.key_by(*key)
    in_force = branch.key if branch.name or branch.upstream is not None else builder.plan.key
    return builder if in_force is not None and list(in_force) == key else builder.key_by(*key)


def _with_operator(builder: StreamPipelineBuilder, said: Any) -> StreamPipelineBuilder:
    tag = said._section.tag
    if tag == "filter":
        return builder.filter(condition_from(said.where))
    if tag == "select":
        return builder.select(**dict(map(_selected, _without_repeats(said.fields))))
    if tag == "deduplicate":
        return builder.deduplicate(said.by, said.ttl_secs, false_positive_rate=said.false_positive_rate)
    if tag == "enrich":
        return builder.enrich(said.table, on=said.on, how=said.how, prefix=said.prefix, missing=said.missing)
    if tag == "running_count":
        return builder.running_count()
    if tag == "track_sessions":
        return builder.track_sessions(said.timeout_secs)
    if tag == "top_n":
        return builder.top_n(said.n, by=said.by, per=said.per, ascending=said.ascending)
    return builder.trending(
        half_life=said.half_life_secs,
        top=said.top,
        window=said.window_secs,
        drop_below=said.drop_below,
        capacity=said.capacity,
    )


def _selected(field: Any) -> tuple[str, Any]:
    if isinstance(field, str):
        return field, field
    if (field.field is None) == (field.expression is None):
        raise ConfigurationError(f"fields: {field.name!r} needs either 'field' or 'expression'")
    return field.name, field.field or expression_from(field.expression)


def _without_repeats(fields: list[Any]) -> list[Any]:
    names = [field if isinstance(field, str) else field.name for field in fields]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"fields: {name!r} is there twice")
    return fields
