"""What can go wrong, as one tree.

ProcessorError
├── ConfigurationError     a setting is wrong or missing (also a ValueError)
├── WindowAssignmentError  a record cannot be assigned to windows
├── AggregationError       a result cannot be computed: an integer sum overflows, a user's aggregator raised
├── WatermarkError         a watermark generator failed
├── StateError             keyed state cannot be read or written
├── CheckpointError        a snapshot or checkpoint is damaged, of another plan, or cannot be made
├── KafkaError             the broker or its client failed
├── SerializationError     data cannot be decoded or encoded
└── PipelineError          a running pipeline cannot go on

Bad records are none of these: they are counted, and handed on where a sink asks for them. Where nobody looks at
the counters, in notebooks, a ProcessorWarning tells of them.
"""

__all__ = [
    "AggregationError",
    "CheckpointError",
    "ConfigurationError",
    "KafkaError",
    "PipelineError",
    "ProcessorError",
    "ProcessorWarning",
    "SerializationError",
    "StateError",
    "WatermarkError",
    "WindowAssignmentError",
]


class ProcessorError(Exception):
    """The base of every error that llmopt_stream raises on purpose."""


class ProcessorWarning(UserWarning):
    """Results are right for the data as it is, but the data is hardly what was meant."""


class ConfigurationError(ProcessorError, ValueError):
    """A setting is wrong or missing; the message names setting, value and expectation."""


class WindowAssignmentError(ProcessorError):
    """A record cannot be assigned to windows."""


class AggregationError(ProcessorError):
    """A result cannot be computed."""


class WatermarkError(ProcessorError):
    """A watermark generator failed."""


class StateError(ProcessorError):
    """Keyed state cannot be read or written."""


class CheckpointError(ProcessorError):
    """A snapshot or checkpoint is damaged, unreadable, of another plan, or cannot be made."""


class KafkaError(ProcessorError):
    """The broker or its client failed; the message names operation, brokers and topic, and librdkafka's reason."""

    code: str = ""
    """librdkafka's name of the reason, such as _TRANSPORT or UNKNOWN_TOPIC_OR_PART."""
    retriable: bool = False
    """Whether the cause may pass by itself."""


class SerializationError(ProcessorError):
    """Data cannot be decoded or encoded."""


class PipelineError(ProcessorError):
    """A running pipeline cannot go on."""
