"""The plan of a pipeline: a plain value that the builder makes and the core takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _core
from .branches import GAP_FIELD, Branch
from .error_policy import ErrorHandler
from .errors import ConfigurationError
from .failures import Failures, Place
from .schemas import types_of_event
from .sources import Source
from .units import duration_text
from .watermarks import (
    BoundedOutOfOrdernessWatermark,
    CoreWatermark,
    PartitionedGenerators,
    WatermarkGenerator,
)

__all__ = ["DEFAULT_WATERMARK", "Plan"]

DEFAULT_WATERMARK = BoundedOutOfOrdernessWatermark("30s")


@dataclass(frozen=True)
class Plan:
    """Everything that was said about a pipeline; checked piece by piece as it is said."""

    name: str = "pipeline"
    event_type: Any = None
    source: Source | None = None
    time_field: str = "timestamp"
    time_unit: str | None = None
    schema: Mapping[str, str] = field(default_factory=dict)
    watermark: WatermarkGenerator | None = None
    key: tuple[str, ...] = ()
    branches: tuple[Branch, ...] = (Branch(),)
    error_handler: ErrorHandler | None = None
    parallelism: int = 1
    buffer_size: int | None = None
    future_skew: int | None = None
    past_skew: int | None = None

    def branch_names(self) -> list[str]:
        return [branch.name for branch in self.branches]

    def value_fields(self) -> list[str]:
        """Every field that numbers are read from."""
        return list(dict.fromkeys(name for branch in self.branches for name in branch.value_fields()))

    def label_fields(self) -> list[str]:
        """Every field that is read as it is."""
        return list(dict.fromkeys(name for branch in self.branches for name in branch.label_fields()))

    def fields(self) -> list[str]:
        """Every field that is read."""
        return list(dict.fromkeys([self.time_field, *self.key, *self.value_fields(), *self.label_fields()]))

    @property
    def collects_late(self) -> bool:
        """Whether late records are handed out anywhere."""
        return any(branch.side_output is not None for branch in self.branches)

    @property
    def uses_clock(self) -> bool:
        """Whether anything depends on the clock."""
        watermark = None if self.watermark is None else CoreWatermark.of(self.watermark)
        timeouts = watermark is not None and (watermark.idle_timeout or watermark.flush_timeout)
        skews = self.future_skew is not None or self.past_skew is not None
        return bool(timeouts) or skews or any(branch.uses_clock for branch in self.branches)

    @property
    def gap_of(self) -> Callable[[Any], Any] | None:
        """What says each record's session gap, if it is a callable."""
        gaps = [branch.spec.gap for branch in self.branches if branch.gap_field() == GAP_FIELD]
        if len(gaps) > 1:
            raise ConfigurationError("with_session_window: gap: one branch at most can have a callable")
        return gaps[0] if gaps and callable(gaps[0]) else None

    def core(
        self,
        *,
        collect_late: bool,
        watermark: CoreWatermark | None,
        watermarks_of: PartitionedGenerators | None = None,
        failures: Failures | None = None,
    ) -> _core.Pipeline:
        """The plan at work. Without `watermark` and `watermarks_of`, watermarks are explicit; what users' code
        fails at goes to `failures`.
        """
        for branch in self.branches:
            if branch.window is None:
                of = (
                    f"branch {branch.name!r} of pipeline {self.name!r}"
                    if branch.name
                    else f"pipeline {self.name!r}"
                )
                raise ConfigurationError(
                    f"{of} has no window: add .with_tumbling_window(size), e.g. with_tumbling_window('1m')"
                )
        fields = self.value_fields()
        declared = {**types_of_event(self.event_type), **self.schema}
        gaps = {branch.gap_field() for branch in self.branches}
        branches = [
            branch.core_settings(
                fields,
                self.label_fields(),
                collect_late=collect_late or branch.side_output is not None,
                place=Place(
                    failures or Failures(), branch.name, index, self.time_field, self.key, branch.windows_of
                ),
            )
            for index, branch in enumerate(self.branches)
        ]
        settings: dict[str, Any] = {
            "time_path": self.time_field,
            "time_unit": self.time_unit or "",
            "key_paths": list(self.key),
            "values": [
                (path, declared.get(path, "float64"), path in declared or path in gaps) for path in fields
            ],
            "labels": self.label_fields(),
            "watermark": (None, 0, None, None) if watermark is None else watermark.as_tuple(),
            "skew": (self.future_skew, self.past_skew),
        }
        fingerprint = {
            **settings,
            "branches": [
                branch.fingerprint(said) for branch, said in zip(self.branches, branches, strict=True)
            ],
            "watermarks_of": None if watermarks_of is None else watermarks_of.name,
        }
        return _core.Pipeline(
            fingerprint=json.dumps(fingerprint),
            branches=branches,
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
        declared = {**types_of_event(self.event_type), **self.schema}
        event_time = f"{self.time_field!r}" + (f" in {self.time_unit}" if self.time_unit else "")
        watermark = self.watermark or DEFAULT_WATERMARK
        fields = [name for name in self.fields() if name != GAP_FIELD]
        stages = [
            ("source", str(self.source) if self.source else "none yet", _where(self.source)),
            ("decode", f"fields {', '.join(fields)}", "C++"),
            ("event time", event_time, "C++"),
            (
                "watermark",
                _watermark_text(watermark) + ("" if self.watermark else " (default)"),
                "C++" if CoreWatermark.of(watermark) else "Python per record",
            ),
            ("key", ", ".join(self.key) or "none: all records form one group", "C++"),
        ]
        for branch in self.branches:
            if branch.name:
                stages.append((f"branch {branch.name!r}", "", ""))
            stages += branch.describe(declared, _threads(self.parallelism))
        if self.error_handler is not None:
            stages.append(("errors", repr(self.error_handler), "Python per error"))
        first = max(len(stage) for stage, what, _ in stages if what)
        width = max(len(what) for _, what, _ in stages)
        lines = [f"{stage:<{first}} {what:<{width}}  {where}".rstrip() for stage, what, where in stages]
        return "\n".join([f"pipeline {self.name!r}", *(f"  {line}" for line in lines)])


def _where(source: Source | None) -> str:
    if source is None:
        return "-"
    return "C++" if type(source).open is not Source.open else "C++ decodes, Python yields batches"


def _threads(parallelism: int) -> str:
    return "C++" if parallelism == 1 else f"C++, {parallelism} threads"


def _watermark_text(generator: WatermarkGenerator) -> str:
    settings = CoreWatermark.of(generator)
    if settings is None:
        return str(generator)
    text = f"greatest event time − {duration_text(settings.max_out_of_orderness)}"
    return text + (f", in steps of {duration_text(settings.interval)}" if settings.interval else "")
