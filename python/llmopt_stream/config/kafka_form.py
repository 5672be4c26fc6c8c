"""Kafka sources and sinks as configurations have them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
from llmopt_stream.errors import ConfigurationError

from .kafka_settings import CONSUMER, PRODUCER
from .sections import Section

if TYPE_CHECKING:
    from llmopt_stream.plan import Plan

__all__ = ["kafka_consumer", "kafka_producer", "kafka_sink", "no_form", "with_common_producer"]


def no_form(what: str) -> ConfigurationError:
    """Of what is Python only."""
    return ConfigurationError(f"to_config: {what} has no form in a configuration")


def kafka_consumer(source: Any) -> dict[str, Any]:
    """What is said of a Kafka source; nothing of another one."""
    if not _is(source, "KafkaSource"):
        return {}
    return _said(source.config, CONSUMER)


def kafka_sink(sink: Any) -> dict[str, Any]:
    """What is said of a Kafka sink; nothing of another one."""
    if _is(sink, "KafkaAggregationSink"):
        return {"type": "kafka", "producer": _said(sink._config, PRODUCER)}
    if _is(sink, "DeadLetterSink"):
        said = {} if sink._config is None else {"producer": _said(sink._config, PRODUCER)}
        return {"type": "dead_letter", "topic": sink._topic, **said}
    return {}


def kafka_producer(plan: Plan) -> dict[str, Any]:
    """What sinks without settings of their own write by: as the first sink of results does, or else to where the source
    reads from. Nothing where there is no Kafka.
    """
    stages = [stage for branch in plan.branches for stage in branch.stages]
    sinks: list[Any] = [sink for stage in stages for sink in stage.sinks if _is(sink, "KafkaAggregationSink")]
    if sinks:
        return _said(sinks[0]._config, PRODUCER)
    sources: list[Any] = [each.source for each in plan.source_plans() if _is(each.source, "KafkaSource")]
    if not sources:
        return {}
    return _said(sources[0].config.producer_like(), PRODUCER)


def with_common_producer(tree: Any, producer: dict[str, Any]) -> Any:
    """The tree with sinks that say only what is not as `producer` says."""
    if isinstance(tree, list):
        return [with_common_producer(each, producer) for each in tree]
    if not isinstance(tree, dict):
        return tree
    if tree.get("type") in ("kafka", "dead_letter") and "producer" in tree:
        own = tree["producer"]
        differing = {name for name, value in own.items() if producer.get(name) != value}
        if tree["type"] == "kafka" and differing <= {"result_topic"}:
            return {"type": "kafka", "result_topic": own["result_topic"] if differing else None}
        if tree["type"] == "dead_letter" and not differing - {"result_topic"}:
            return {"type": "dead_letter", "topic": tree["topic"]}
    return {name: with_common_producer(each, producer) for name, each in tree.items()}


def _is(connector: Any, name: str) -> bool:
    return type(connector) is getattr(ls, name, None)


def _said(config: Any, section: Section) -> dict[str, Any]:
    said = {name: getattr(config, name) for name in section.names() if name != "sasl_token_file"}
    token = config.sasl_token
    if callable(token):
        raise no_form(f"{type(config).__name__}: sasl_token: a callable")
    for name, value in said.items():
        if isinstance(value, tuple):
            said[name] = list(value)
    if (registry := said.get("schema_registry")) is not None:
        said["schema_registry"] = asdict(registry)
    return {**said, "sasl_token_file": None if token is None else str(token)}
