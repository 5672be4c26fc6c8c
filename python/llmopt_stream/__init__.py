"""Windowed aggregates over streams of LLM feedback events.

>>> import llmopt_stream as ls
>>> table = ls.aggregate(
...     [{"timestamp": "2026-01-01T00:00:10Z", "model": "gpt-4o", "latency_ms": ms} for ms in (10.0, 20.0, 30.0)],
...     key="model", value="latency_ms", window=ls.tumbling("1m"),
... )
>>> table[0].results["average"]
20.0
"""

from . import recipes
from .aggregates import (
    Accumulator,
    AggregationState,
    AverageAggregator,
    CompositeAggregator,
    CountAggregator,
    MaxAggregator,
    MinAggregator,
    PercentileAggregator,
    StdDevAggregator,
    SumAggregator,
)
from .aggregator import Aggregator
from .builder import StreamPipelineBuilder, create_pipeline
from .columns import Column, Expression, col
from .config import Config, load_config
from .error_policy import ErrorEvent, ErrorHandler, ErrorPolicy
from .errors import (
    AggregationError,
    CheckpointError,
    ConfigurationError,
    KafkaError,
    PipelineError,
    ProcessorError,
    ProcessorWarning,
    SerializationError,
    StateError,
    WatermarkError,
    WindowAssignmentError,
)
from .event_formats import CloudEvent, GenAiEvent
from .events import (
    EventMetadata,
    EventTimestamp,
    FeedbackData,
    FeedbackEvent,
    FeedbackMetadata,
    GroupingKey,
    ProcessorEvent,
)
from .explain import RecordExplanation, WindowVerdict
from .file_sinks import NdjsonSink, ParquetSink
from .joint_aggregates import (
    CorrelationAggregator,
    CovarianceAggregator,
    LinearTrendAggregator,
    RatioAggregator,
    WeightedAverageAggregator,
)
from .kafka import (
    DeadLetterSink,
    KafkaAggregationSink,
    KafkaConfig,
    KafkaProducerConfig,
    KafkaRecord,
    KafkaSource,
    SchemaRegistryConfig,
)
from .late import LateEventHandler
from .lateness import LatenessReport
from .notebook import aggregate
from .operators.lookup_table import RefreshingTable
from .operators.process import KeyContext
from .operators.state_store import StateStore
from .pipeline import StreamPipeline
from .push_session import PushSession
from .reprocess import reprocess
from .results import AggregationResult, Pane, ResultTable
from .run_summary import RunSummary
from .schemas import EventTime
from .series import MovingAverage, ZScore
from .sinks import CallbackSink, CollectSink, ConsoleSink, Sink
from .sketches import (
    CollectAggregator,
    DistinctAggregator,
    HeavyHittersAggregator,
    HistogramAggregator,
)
from .sources import ArrowSource, FileSource, GeneratorSource, IterableSource, Source
from .state import MemoryStateBackend, RocksDBStateBackend
from .triggers import (
    AfterWatermark,
    CountTrigger,
    EventTimeTrigger,
    HybridTrigger,
    ProcessingTimeTrigger,
    WindowTrigger,
    all_of,
    any_of,
)
from .units import align_timestamp
from .watermarks import (
    BoundedOutOfOrdernessWatermark,
    LateEvent,
    PeriodicWatermarkGenerator,
    Watermark,
    WatermarkGenerator,
)
from .window_state import WindowStateManager
from .windows import (
    CountWindowAssigner,
    CumulativeWindowAssigner,
    GlobalWindowAssigner,
    SessionWindowAssigner,
    SlidingWindowAssigner,
    TumblingWindowAssigner,
    Window,
    WindowAssigner,
    WindowSpec,
    WindowType,
    session,
    sliding,
    tumbling,
)

__all__ = [
    "Accumulator",
    "AfterWatermark",
    "AggregationError",
    "AggregationResult",
    "AggregationState",
    "Aggregator",
    "ArrowSource",
    "AverageAggregator",
    "BoundedOutOfOrdernessWatermark",
    "CallbackSink",
    "CheckpointError",
    "CloudEvent",
    "CollectAggregator",
    "CollectSink",
    "Column",
    "CompositeAggregator",
    "Config",
    "ConfigurationError",
    "ConsoleSink",
    "CorrelationAggregator",
    "CountAggregator",
    "CountTrigger",
    "CountWindowAssigner",
    "CovarianceAggregator",
    "CumulativeWindowAssigner",
    "DeadLetterSink",
    "DistinctAggregator",
    "ErrorEvent",
    "ErrorHandler",
    "ErrorPolicy",
    "EventMetadata",
    "EventTime",
    "EventTimeTrigger",
    "EventTimestamp",
    "Expression",
    "FeedbackData",
    "FeedbackEvent",
    "FeedbackMetadata",
    "FileSource",
    "GenAiEvent",
    "GeneratorSource",
    "GlobalWindowAssigner",
    "GroupingKey",
    "HeavyHittersAggregator",
    "HistogramAggregator",
    "HybridTrigger",
    "IterableSource",
    "KafkaAggregationSink",
    "KafkaConfig",
    "KafkaError",
    "KafkaProducerConfig",
    "KafkaRecord",
    "KafkaSource",
    "KeyContext",
    "LateEvent",
    "LateEventHandler",
    "LatenessReport",
    "LinearTrendAggregator",
    "MaxAggregator",
    "MemoryStateBackend",
    "MinAggregator",
    "MovingAverage",
    "NdjsonSink",
    "Pane",
    "ParquetSink",
    "PercentileAggregator",
    "PeriodicWatermarkGenerator",
    "PipelineError",
    "ProcessingTimeTrigger",
    "ProcessorError",
    "ProcessorEvent",
    "ProcessorWarning",
    "PushSession",
    "RatioAggregator",
    "RecordExplanation",
    "RefreshingTable",
    "ResultTable",
    "RocksDBStateBackend",
    "RunSummary",
    "SchemaRegistryConfig",
    "SerializationError",
    "SessionWindowAssigner",
    "Sink",
    "SlidingWindowAssigner",
    "Source",
    "StateError",
    "StateStore",
    "StdDevAggregator",
    "StreamPipeline",
    "StreamPipelineBuilder",
    "SumAggregator",
    "TumblingWindowAssigner",
    "Watermark",
    "WatermarkError",
    "WatermarkGenerator",
    "WeightedAverageAggregator",
    "Window",
    "WindowAssigner",
    "WindowAssignmentError",
    "WindowSpec",
    "WindowStateManager",
    "WindowTrigger",
    "WindowType",
    "WindowVerdict",
    "ZScore",
    "aggregate",
    "align_timestamp",
    "all_of",
    "any_of",
    "col",
    "create_pipeline",
    "load_config",
    "recipes",
    "reprocess",
    "session",
    "sliding",
    "tumbling",
]
