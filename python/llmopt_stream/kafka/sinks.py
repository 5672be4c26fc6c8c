"""Kafka topics as sinks: of results, and of records that did not make it into one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from llmopt_stream import _core
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.results import ResultTable
from llmopt_stream.secrets import Redaction
from llmopt_stream.sinks import Batch, Sink
from llmopt_stream.watermarks import plain_json

from .config import KafkaProducerConfig
from .logs import pass_on_log
from .source import KafkaSource

if TYPE_CHECKING:
    from llmopt_stream.kafka_record import KafkaRecord
    from llmopt_stream.plan import Plan

__all__ = ["DeadLetterSink", "KafkaAggregationSink"]

Header = tuple[str, bytes | None]


class _KafkaSink(Sink):
    """Sends what it is given; the next call fails if anything was not delivered."""

    def __init__(self) -> None:
        self._config: KafkaProducerConfig | None = None
        """As it was said."""
        self._of_pipeline: KafkaProducerConfig | None = None
        """Where nothing was said."""
        self._redaction = Redaction()
        self._pipeline = ""
        self._producer: _core.KafkaProducer | None = None
        self._counts: dict[str, int] = {}

    def check_settings(self) -> None:
        if self._config is not None:
            self._config.check_files()

    def check_plan(self, plan: Plan) -> None:
        config = self._config_in(plan)
        for source in _kafka_sources(plan):
            # A bounded read ends where the topic did before anything was sent.
            if source.config.until is None and source.reads(config.bootstrap_servers, self._topic_of(config)):
                raise ConfigurationError(
                    f"{self}: {source} reads that topic too: the pipeline would take what it has sent itself"
                )

    def prepare(self, plan: Plan) -> None:
        self._pipeline = plan.name

    def _config_in(self, plan: Plan) -> KafkaProducerConfig:
        if self._config is not None:
            return self._config
        raise ConfigurationError(f"{self}: config: it says where the brokers are")

    def open(self) -> None:
        config = self._config or self._of_pipeline
        if config is None:
            raise ConfigurationError(f"{self}: config: it is in no pipeline that says where the brokers are")
        self._producer = _core.KafkaProducer(**config.producer(self._redaction), stopping=self.stopping)
        with self._redaction.of_errors():
            try:
                self._producer.open(self._topic_of(config), config.startup_timeout_ms)
            finally:
                pass_on_log(self._producer, self._redaction)

    def _topic_of(self, config: KafkaProducerConfig) -> str:
        return config.result_topic

    def _send(self, topic: str, key: bytes | None, value: bytes | None, headers: Iterable[Header]) -> None:
        producer = self._opened()
        with self._redaction.of_errors():
            producer.send(topic, key, value, list(headers))

    def _opened(self) -> _core.KafkaProducer:
        if self._producer is None:
            raise ConfigurationError(f"{self} is not open")
        return self._producer

    def flush(self) -> None:
        """Waits until the brokers have everything that was sent."""
        if self._producer is not None:
            with self._redaction.of_errors():
                try:
                    self._producer.flush()
                finally:
                    pass_on_log(self._producer, self._redaction)

    def metrics(self) -> dict[str, Any]:
        if self._producer is not None:
            self._counts = self._producer.counts()
        return {"kafka": dict(self._counts)}

    def close(self) -> None:
        try:
            self.flush()
        finally:
            self.abort()

    def abort(self) -> None:
        """Gives up what was not delivered."""
        if self._producer is not None:
            self.metrics()
            self._producer.close()
            pass_on_log(self._producer, self._redaction)
            self._producer = None


class KafkaAggregationSink(_KafkaSink):
    """Results as JSON, one record each, under the key of their group: that of JSON too, none without a key.

    Headers: `pane` ("early", "on_time" or "late"), `revision` (the pane's index: of several records of one key and
    window the greatest counts), `pipeline` and, where there are several, `branch`.
    """

    def __init__(self, config: KafkaProducerConfig | None = None) -> None:
        super().__init__()
        config = KafkaProducerConfig() if config is None else config
        if not isinstance(config, KafkaProducerConfig):
            raise ConfigurationError(f"KafkaAggregationSink: {config!r} is not a KafkaProducerConfig")
        self._config = config
        self._topic = config.result_topic
        self._redaction = config.redaction()

    def send_batch(self, table: Batch) -> None:
        if isinstance(table, ResultTable):
            producer = self._opened()
            with self._redaction.of_errors():
                producer.send_panes(self._topic, table.panes, self._headers(table.branch))
            pass_on_log(producer, self._redaction)
            return
        for each in table:
            self.send(each)

    def send(self, result: Any) -> None:
        """A result, or any record that a pipeline delivers."""
        key = getattr(result, "key", None)
        pane = getattr(result, "pane", None)
        headers: list[Header] = []
        if pane is not None:
            headers = [("pane", pane.timing.encode()), ("revision", str(pane.index).encode())]
        self._send(
            self._topic,
            _utf8(json.dumps(plain_json(key), separators=(",", ":"), ensure_ascii=False)) if key else None,
            _utf8(result.to_json()),
            [*headers, *self._headers(getattr(result, "branch", ""))],
        )

    def _headers(self, branch: str) -> list[Header]:
        headers: list[Header] = [("pipeline", self._pipeline.encode())]
        return [*headers, ("branch", branch.encode())] if branch else headers

    def __str__(self) -> str:
        return f"KafkaAggregationSink({self._topic})"


class DeadLetterSink(_KafkaSink):
    """Late records, malformed ones, and those that users' code failed at, each as it came: its key, headers and
    bytes untouched. Further headers say why and from where: `dead_letter.reason`, `.pipeline`, and of a Kafka
    record `.topic`, `.partition`, `.offset` and `.timestamp_ms`. What did not come from Kafka is sent as JSON.

    The brokers are those of `config`, or else the pipeline's: of its KafkaAggregationSink, or of its source.
    """

    def __init__(self, topic: str, config: KafkaProducerConfig | None = None) -> None:
        super().__init__()
        # Checks the name as that of any other topic.
        KafkaProducerConfig(result_topic=topic)
        self._topic = topic
        self._config = config
        if config is not None:
            self._redaction = config.redaction()

    def prepare(self, plan: Plan) -> None:
        super().prepare(plan)
        self._of_pipeline = self._config_in(plan)
        # Reasons may quote what the source was told.
        redaction = self._of_pipeline.redaction()
        for source in _kafka_sources(plan):
            redaction.include(source.redaction)
        self._redaction = redaction

    def _config_in(self, plan: Plan) -> KafkaProducerConfig:
        sinks = [each for each in plan.sinks() if isinstance(each, KafkaAggregationSink)]
        config = self._config or next((each._config for each in sinks), None)
        if config is not None:
            return config
        for source in _kafka_sources(plan):
            return source.config.producer_like()
        raise ConfigurationError(
            f"{self}: config: the pipeline has neither a Kafka source nor a KafkaAggregationSink that says "
            "where the brokers are; expected DeadLetterSink(topic, KafkaProducerConfig(...))"
        )

    def open(self) -> None:
        super().open()
        self._opened().shorten_large("dead_letter.")

    def _topic_of(self, config: KafkaProducerConfig) -> str:
        return self._topic

    def metrics(self) -> dict[str, Any]:
        counts = super().metrics()["kafka"]
        return {"kafka": {**counts, "dead_letters": counts.get("sent", 0)}}

    def send(self, event: Any) -> None:
        source: KafkaRecord | None = getattr(event, "source", None)
        reason = self._redaction(getattr(event, "reason", type(event).__name__))
        headers: list[Header] = [
            ("dead_letter.reason", _utf8(reason)),
            ("dead_letter.pipeline", self._pipeline.encode()),
        ]
        position = getattr(event, "position", None)
        if position is not None:
            headers.append(("dead_letter.position", str(position).encode()))
        if source is None:
            self._send(self._topic, None, _utf8(event.to_json()), headers)
            return
        headers += [
            ("dead_letter.topic", source.topic.encode()),
            ("dead_letter.partition", str(source.partition).encode()),
            ("dead_letter.offset", str(source.offset).encode()),
        ]
        if source.timestamp_ms is not None:
            headers.append(("dead_letter.timestamp_ms", str(source.timestamp_ms).encode()))
        self._send(self._topic, source.key, source.value, [*source.headers, *headers])

    def __str__(self) -> str:
        return f"DeadLetterSink({self._topic})"


def _kafka_sources(plan: Plan) -> list[KafkaSource]:
    return [each.source for each in plan.source_plans() if isinstance(each.source, KafkaSource)]


def _utf8(text: str) -> bytes:
    """Lone surrogates, which are in texts of users, as JSON escapes them."""
    return text.encode(errors="backslashreplace")
