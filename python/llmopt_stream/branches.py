"""A branch of a stream: which windows, when they fire, what is computed of them, and where it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .apply import AppliedFunction
from .columns import Column, Expression
from .errors import ConfigurationError, ProcessorError, WindowAssignmentError
from .failures import Place
from .late import LateEventHandler
from .metrics import NINE, CoreMetric, Metric, metric_of
from .operators.operator import Operator
from .programs import FieldsOf, fields_of, number_program, truth_program
from .series import DEFAULT_FORGET_AFTER, Series
from .sinks import Sink
from .triggers import EventTimeTrigger, WindowTrigger, asks_user, core_trigger, kept_after_end
from .units import duration_text
from .windows import Window, WindowAssigner, WindowSpec, WindowType

__all__ = ["DEFAULT_TRIGGER", "GAP_FIELD", "Branch"]

DEFAULT_TRIGGER = EventTimeTrigger()

GAP_FIELD = "session gap"
"""Under this name records come with what a gap callable said of them."""


@dataclass(frozen=True)
class Branch:
    """What happens to the records of a stream from the window on. One that was not named has the name ""."""

    name: str = ""
    late_events: LateEventHandler | None = None
    late_of: str | None = None
    """The branch whose late records are those of this one; None where they are those of the stream."""
    emitted_to: str | None = None
    """The side output of `process` steps before whose records are those of this one."""
    upstream: Branch | None = None
    """The stage whose panes are the records of this one; None where they are those of the stream."""
    operators: tuple[Operator, ...] = ()
    """What happens to records before the window, behind the operators of the whole stream."""
    key: tuple[str, ...] | None = None
    """What they are grouped by, where it is not what those of the whole stream are."""
    window: WindowAssigner | None = None
    replaced: Branch | None = field(default=None, compare=False, repr=False)
    """The stage as it was before its window was said anew: what the window is of, if it gets aggregates."""
    trigger: WindowTrigger = DEFAULT_TRIGGER
    accumulation: str = "accumulating"
    metrics: tuple[Metric | AppliedFunction, ...] = ()
    series: tuple[Series, ...] = ()
    forget_after: int = DEFAULT_FORGET_AFTER
    sinks: tuple[Sink, ...] = ()

    @property
    def side_output(self) -> Sink | None:
        """Where late records go."""
        return None if self.late_events is None else self.late_events.side_output

    @property
    def spec(self) -> WindowSpec:
        """The window's settings."""
        if self.window is None:
            raise ConfigurationError(f"branch {self.name!r} has no window")
        return self.window.spec

    def all_metrics(self) -> tuple[Metric | AppliedFunction, ...]:
        """The metrics asked for, or of a window the nine statistics of the field `value`."""
        return self.metrics or (() if self.window is None else (metric_of("value", NINE),))

    @property
    def is_plain(self) -> bool:
        """Whether it is a window over the records of the stream as they are."""
        of_stream = self.upstream is None and self.late_of is None and self.emitted_to is None
        return self.window is not None and of_stream and not self.operators and self.key is None

    @property
    def stages(self) -> tuple[Branch, ...]:
        """The stages that make it up, the first one first."""
        return (*(() if self.upstream is None else self.upstream.stages), self)

    def core_metrics(self) -> list[CoreMetric]:
        """What the core computes for all metrics, in order."""
        return [core for metric in self.all_metrics() for core in metric.core_metrics()]

    def gap_field(self) -> str | None:
        """Where each record's session gap is, if it has one of its own."""
        gap = None if self.window is None else self.window.spec.gap
        if isinstance(gap, Column):
            return gap.path
        return GAP_FIELD if callable(gap) else None

    def value_fields(self) -> list[str]:
        """Every field that numbers are read from."""
        gap_field = self.gap_field()
        derived = self.derived()
        names = [name for metric in self.core_metrics() for name in metric.fields if name not in derived]
        read = [name for fields in self._fields_of_expressions() for name in fields.numbers]
        return list(dict.fromkeys([*names, *read, *([gap_field] if gap_field else [])]))

    def label_fields(self) -> list[str]:
        """Every field that is read as it is."""
        names = [name for metric in self.core_metrics() for name in metric.labels]
        read = [name for fields in self._fields_of_expressions() for name in fields.labels]
        return list(dict.fromkeys([*names, *read]))

    def derived(self) -> dict[str, Expression]:
        """The expressions that metrics are of or read, by their texts."""
        of_metrics = {
            metric.field: metric.expression for metric in self.all_metrics() if metric.expression is not None
        }
        return of_metrics | {
            text: each for metric in self.core_metrics() for text, each in metric.derived.items()
        }

    def conditions(self) -> dict[str, Expression]:
        """Which records metrics are of, by their texts."""
        return {repr(metric.where): metric.where for metric in self.all_metrics() if metric.where is not None}

    def _fields_of_expressions(self) -> list[FieldsOf]:
        return [
            *(fields_of(each, as_truth=False) for each in self.derived().values()),
            *(fields_of(each, as_truth=True) for each in self.conditions().values()),
        ]

    def result_names(self) -> list[str]:
        """In the order in which they were asked for."""
        of_metrics = [name for metric in self.all_metrics() for name in metric.result_names()]
        return [*of_metrics, *(name for series in self.series for name in series.result_names())]

    @property
    def uses_clock(self) -> bool:
        """Whether windows, the trigger or an operator depend on the clock."""
        if any(each.uses_clock for each in self.operators):
            return True
        if self.upstream is not None and self.upstream.uses_clock:
            return True
        by_clock = self.window is not None and self.window.spec.time == "processing"
        return by_clock or "processing_time" in repr(core_trigger(self.trigger))

    def allowed_lateness(self) -> int:
        """As the window says, or the handler of late events."""
        if self.window is None:
            return 0
        spec = self.spec
        of_handler = None if self.late_events is None else self.late_events.allowed_lateness
        if spec.time == "processing" or spec.type in (WindowType.COUNT, WindowType.GLOBAL):
            if of_handler:
                raise ConfigurationError(
                    f"allowed_lateness: LateEventHandler says {duration_text(of_handler)!r}, but no record is "
                    f"late for {spec.type.value} windows{' by the clock' if spec.time == 'processing' else ''}"
                )
            return 0
        of_window = spec.allowed_lateness
        if of_window is not None and of_handler is not None and of_window != of_handler:
            raise ConfigurationError(
                f"allowed_lateness: the window says {duration_text(of_window)!r}, LateEventHandler "
                f"{duration_text(of_handler)!r}; say it once, or the same"
            )
        return of_window if of_window is not None else of_handler or 0

    def windows_of(self, time: int) -> list[Window]:
        """The windows of a record at this time by itself, as errors name them."""
        return [] if self.window is None else self.window.assign(time)

    def core_settings(
        self, fields: list[str], labels: list[str], *, collect_late: bool, place: Place
    ) -> dict[str, Any]:
        """As the core takes them; `fields` are the schema's values, `labels` its labels."""
        spec = self.spec
        gap_field = self.gap_field()
        metrics = self.core_metrics()
        derived, conditions = self.derived(), self.conditions()
        read = [*fields, *derived]
        computed = [name for metric in metrics for name in metric.results]
        columns = [*computed, *(name for series in self.series for name in series.result_names())]
        if spec.type is WindowType.COUNT and self.trigger != DEFAULT_TRIGGER:
            raise ConfigurationError(
                "with_trigger: count windows fire when they are full; for other rules use with_global_window()"
            )
        return {
            "kind": spec.type.value,
            "size": spec.size,
            "slide": spec.slide,
            "offset": spec.offset,
            "gap": spec.gap if isinstance(spec.gap, int) else 0,
            "gap_column": None if gap_field is None else fields.index(gap_field),
            "flush": spec.flush,
            "by_clock": spec.time == "processing",
            "allowed_lateness": self.allowed_lateness(),
            "trigger": core_trigger(self.trigger),
            "kept_after_end": kept_after_end(self.trigger),
            "discarding": self.accumulation == "discarding",
            "collect_late": collect_late,
            "assigner": _Assigned(self.window) if spec.type is WindowType.CUSTOM and self.window else None,
            "derived": [number_program(each, fields.index, labels.index) for each in derived.values()],
            "selections": [truth_program(each, fields.index, labels.index) for each in conditions.values()],
            "metrics": [
                _at(replace(place, metric=index), metric.core_settings(read, labels, list(conditions)))
                for index, metric in enumerate(metrics)
            ],
            "series": [self._series_settings(series, computed) for series in self.series],
            "forget_after": self.forget_after,
            "result_order": [columns.index(name) for name in self.result_names()],
        }

    def _series_settings(self, series: Series, computed: list[str]) -> dict[str, Any]:
        if series.of not in computed:
            raise ConfigurationError(
                f"across_windows: {series}: {series.of!r} is no result; expected one of {', '.join(computed)}"
            )
        if self.spec.type is WindowType.GLOBAL:
            raise ConfigurationError(f"across_windows: {series}: there is only one window, the global one")
        if self.accumulation == "discarding":
            raise ConfigurationError(
                f"across_windows: {series}: needs panes that hold everything; leave with_accumulation('discarding') out"
            )
        return {**series.core_settings(), "result": computed.index(series.of)}

    def fingerprint(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What of the settings says whether snapshots fit."""
        plain = {name: value for name, value in settings.items() if name != "collect_late"}
        assigner = None if settings["assigner"] is None else type(self.window).__qualname__
        metrics = [
            {**metric, "calls": metric["calls"].fingerprint()} if "calls" in metric else metric
            for metric in settings["metrics"]
        ]
        said = {"trigger": repr(self.trigger), "assigner": assigner, "name": self.name, "metrics": metrics}
        return {**plain, **said}

    def describe(self, types: Mapping[str, str], threads: str) -> list[tuple[str, str, str]]:
        """Its stages: what, with which settings, and where it runs."""
        in_python = any(core.kind in ("user", "apply") for core in self.core_metrics())
        where_windows = "C++" if in_python or asks_user(self.trigger) else threads
        where_trigger = "C++"
        if self.window is not None and self.window.spec.type is WindowType.CUSTOM:
            where_windows = "Python per record"
        if asks_user(self.trigger):
            where_trigger = "Python per record and watermark"
        stages: list[tuple[str, str, str]] = []
        if self.window is not None:
            spec = replace(self.spec, allowed_lateness=self.allowed_lateness())
            window = f"{spec}, {self.accumulation}"
            stages = [("window", window, where_windows), ("trigger", str(self.trigger), where_trigger)]
        for metric in self.all_metrics():
            stages += _describe_metric(metric, types)
        stages += [
            ("across windows", f"{series}: {', '.join(series.result_names())}", "C++")
            for series in self.series
        ]
        if self.side_output is not None:
            stages.append(("late", str(self.side_output), _where_to(self.side_output)))
        stages += [("sink", str(sink), _where_to(sink)) for sink in self.sinks]
        return stages if self.sinks else [*stages, ("sink", "none yet", "-")]


def _at(place: Place, settings: dict[str, Any]) -> dict[str, Any]:
    """Users' code learns where it is at work."""
    return {**settings, "calls": settings["calls"].at(place)} if "calls" in settings else settings


def _describe_metric(
    metric: Metric | AppliedFunction, types: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """A stage for what runs in C++, and one for each thing that does not."""
    if isinstance(metric, AppliedFunction):
        fields = ", ".join(metric.fields) or "event times only"
        where = "" if metric.where is None else f" where {metric.where!r}"
        return [("apply", f"{metric.function_name} of {fields}{where}: {metric.name}", "Python per pane")]
    where = "" if metric.where is None else f" where {metric.where!r}"
    nulls = ", nulls are errors" if metric.refuses_nulls else ""
    cores = metric.core_metrics()
    as_number = any(metric.field in core.fields for core in cores)
    kind = types.get(metric.field, "float64") if as_number else "as it is"
    field = f"{metric.field} ({kind}){where}{nulls}"
    users = {core.results[0]: core.settings["calls"] for core in cores if core.kind == "user"}
    names = ", ".join(name for name in metric.result_names() if name not in users)
    return [
        *([("aggregate", f"{field}: {names}", "C++")] if names else []),
        *(
            ("aggregate", f"{field}: {name} ({calls.class_name})", calls.where)
            for name, calls in users.items()
        ),
    ]


def _where_to(sink: Sink) -> str:
    return "Python per result" if type(sink).send_batch is Sink.send_batch else "Python per batch"


class _Assigned:
    """What the core calls for the windows of a user's assigner."""

    def __init__(self, assigner: WindowAssigner) -> None:
        self._assign: Callable[[int], list[Window]] = assigner.assign
        self._name = type(assigner).__name__

    def __call__(self, times: list[int]) -> list[list[tuple[int, int]]]:
        return [self._of(time) for time in times]

    def _of(self, time: int) -> list[tuple[int, int]]:
        try:
            windows = list(self._assign(time))
        except ProcessorError:
            raise
        except Exception as error:
            raise WindowAssignmentError(
                f"{self._name}.assign({time}): {type(error).__name__}: {error}"
            ) from error
        for window in windows:
            if not isinstance(window, Window):
                raise WindowAssignmentError(f"{self._name}.assign({time}): {window!r} is not a Window")
        return sorted({window.micros for window in windows}, key=lambda span: (span[1], span[0]))
