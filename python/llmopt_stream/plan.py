"""The plan of a pipeline: a plain value that the builder makes and the core takes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _core
from .aggregates import NINE, Statistic, parse_statistic
from .errors import ConfigurationError
from .late import LateEventHandler
from .schemas import types_of_event
from .sinks import Sink
from .sources import Source
from .triggers import EventTimeTrigger, WindowTrigger
from .units import duration_text
from .watermarks import (
    BoundedOutOfOrdernessWatermark,
    CoreWatermark,
    PartitionedGenerators,
    WatermarkGenerator,
)
from .windows import (
    WindowAssigner,
    WindowType,
)

__all__ = ["DEFAULT_WATERMARK", "Metric", "Plan"]

DEFAULT_TRIGGER = EventTimeTrigger()
DEFAULT_WATERMARK = BoundedOutOfOrdernessWatermark("30s")


@dataclass(frozen=True)
class Metric:
    """Several statistics of one field."""

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
    trigger: WindowTrigger = DEFAULT_TRIGGER
    accumulation: str = "accumulating"
    metrics: tuple[Metric, ...] = ()
    parallelism: int = 1

    def all_metrics(self) -> tuple[Metric, ...]:
        """The metrics asked for, or the nine statistics of the field `value`."""
        return self.metrics or (Metric("value", tuple(parse_statistic(name) for name in NINE)),)

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
        aligned = (WindowType.TUMBLING, WindowType.SLIDING, WindowType.CUMULATIVE)
        if (
            spec.type not in (*aligned, WindowType.SESSION)
            or spec.time != "event"
            or not isinstance(spec.gap, int)
            or self.trigger != DEFAULT_TRIGGER
        ):
            raise ConfigurationError(f"the window {spec} with {self.trigger} is not supported")
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
            "kind": "sliding" if spec.type is WindowType.TUMBLING else spec.type.value,
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

    def needed_source(self) -> Source:
        """The source; a ConfigurationError if there is none yet."""
        if self.source is None:
            raise ConfigurationError(
                f"pipeline {self.name!r} has no source: add .with_source(FileSource(path)), ArrowSource or IterableSource"
            )
        return self.source

    def explain(self) -> str:
        """The plan in words: what is read, computed and written, and where each stage runs."""
        spec = None if self.window is None else self.window.spec
        declared = {**types_of_event(self.event_type), **self.schema}
        event_time = f"{self.time_field!r}" + (f" in {self.time_unit}" if self.time_unit else "")
        watermark = self.watermark or DEFAULT_WATERMARK
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
