"""A pipeline that is fed by calls."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from .delivery import Delivery
from .errors import PipelineError
from .executor import executor_of
from .explain import RecordExplanation
from .lateness import LatenessReport
from .units import Time, core_time
from .watermarks import Watermark

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["PushSession"]

Results: TypeAlias = Any
"""A ResultTable, or of pipelines that deliver records a list of ProcessorEvents; with branches one for each, by name."""


class PushSession:
    """Takes records by calls, and returns the results that they complete: the same core as `run()`.

    Results go to the pipeline's sinks too. With a watermark generator, records move the watermark; without
    one it moves by `advance_watermark` alone. `flush()` ends the input: every window completes. Leaving the
    `with` block closes the sinks; windows that are not complete then do not fire.

    >>> from llmopt_stream import create_pipeline
    >>> builder = create_pipeline().with_tumbling_window("1m").aggregate("value", ["count", "sum"])
    >>> with builder.open() as session:
    ...     session.push({"timestamp": "2026-01-01T00:00:01Z", "value": 3})
    ...     session.advance_watermark("2026-01-01T00:01:00Z")[0].results
    ResultTable(0 results: window_start, window_end, count, sum, pane_timing, pane_index)
    {'count': 1, 'sum': 3.0}
    """

    def __init__(self, plan: Plan) -> None:
        self._intake = executor_of(
            plan, watermark_of=lambda each: each.watermark, collect_late=plan.collects_late
        )
        self._delivery = Delivery(plan)
        self._delivery.__enter__()
        self._name = plan.name
        self._branches = plan.branch_names()
        self._ended = ""

    def push(self, data: Any, *, partition: int = 0, input: str | None = None) -> Results:  # noqa: A002
        """Takes a record (dict, dataclass, …), a list of them, or a DataFrame or Arrow batch. Of pipelines with
        several inputs, `input` says which: "left" or "right" of a join, "0", "1", … of a union.
        """
        self._check_open()
        self._intake.push(data, partition, input=input)
        return self._emit()

    def advance_watermark(self, time: Time) -> Results:
        """No record with an earlier time is expected any more. Going back is ignored."""
        self._check_open()
        self._intake.advance_watermark(core_time(time, "advance_watermark"))
        return self._emit()

    def advance_processing_time(self, time: Time) -> Results:
        """Sets the manual clock, which starts at 0. Going back is ignored."""
        self._check_open()
        self._intake.advance_processing_time(core_time(time, "advance_processing_time"))
        return self._emit()

    def flush(self) -> Results:
        """Ends the input: every window completes. Nothing can be pushed after it."""
        self._check_open()
        self._ended = "its input was ended by flush()"
        self._intake.end_of_input()
        return self._emit()

    def _emit(self) -> Results:
        results = self._delivery.emit(self._intake)
        return dict(zip(self._branches, results, strict=True)) if len(results) > 1 else results[0]

    @property
    def watermark(self) -> Watermark | None:
        """None before there is one."""
        return self._intake.watermark

    @property
    def lateness(self) -> LatenessReport | dict[str, LatenessReport]:
        """How late records were so far, and what a bound and a lateness would lose; with branches, by name."""
        return self._intake.lateness

    def explain_record(self, record: Any) -> RecordExplanation:
        """What would become of a record (dict, dataclass, …) if it came now, and why. Changes nothing."""
        return self._intake.explain_record(record)

    @property
    def metrics(self) -> dict[str, Any]:
        """The counters so far: records_in = aggregated + late + malformed + filtered + outside_windows. Pipelines of
        several stages have each by itself under "stages".
        """
        return self._intake.metrics()

    def close(self) -> None:
        """Closes the sinks."""
        self.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = "it is closed"
        self._delivery.__exit__(kind, error, trace)

    def _check_open(self) -> None:
        if self._ended:
            raise PipelineError(f"the push session of {self._name!r} takes no more: {self._ended}")

    def __repr__(self) -> str:
        return f"<PushSession of {self._name!r}>"
