"""Apache Kafka at both ends of a pipeline, through librdkafka."""

from llmopt_stream.kafka_record import KafkaRecord

from .config import KafkaConfig, KafkaProducerConfig
from .schema_registry import SchemaRegistryConfig
from .sinks import DeadLetterSink, KafkaAggregationSink
from .source import KafkaSource

__all__ = [
    "DeadLetterSink",
    "KafkaAggregationSink",
    "KafkaConfig",
    "KafkaProducerConfig",
    "KafkaRecord",
    "KafkaSource",
    "SchemaRegistryConfig",
]
