"""What came out of a pipeline, and whether it is what should have come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from llmopt_stream.error_policy import ErrorEvent
from llmopt_stream.results import AggregationResult
from llmopt_stream.watermarks import LateEvent

from .harness import PipelineHarness
from .reference import NaiveLateRecord, NaivePane, NaiveWindows, key_order

__all__ = ["COUNTERS", "Output", "difference_of_texts", "difference_to_reference"]

COUNTERS = tuple(NaiveWindows.counter_names)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Output:
    """Everything that a pipeline delivered until its end."""

    panes: Sequence[AggregationResult]
    late: Sequence[LateEvent]
    counters: dict[str, int]
    errors: Sequence[ErrorEvent] = ()

    @classmethod
    def at_end(cls, harness: PipelineHarness) -> Output:
        """Ends the input and takes what there is."""
        harness.end_of_input()
        metrics = harness.metrics
        counters = {name: metrics[name] for name in COUNTERS}
        return cls(harness.drain(), harness.drain_late(), counters, harness.drain_errors())

    def lines(self) -> list[str]:
        """All of it as text, doubles to the bit: equal lines are equal outputs. Late records come branch by
        branch, as panes do: each branch is an output of its own.
        """
        late_by_branch = sorted(self.late, key=lambda late: late.branch)
        return [
            *(
                f"pane {_place(pane)} key {pane.key.values()!r} results {pane.results!r}"
                for pane in self.panes
            ),
            *(f"late {late.branch!r} {_late(late)} key {late.key.values()!r}" for late in late_by_branch),
            *(f"error {each.to_json()}" for each in self.errors),
            f"counters {self.counters}",
        ]


def _place(pane: AggregationResult) -> tuple[Any, ...]:
    firing = pane.pane
    replaces = [window.micros for window in firing.replaces]
    return pane.branch, pane.window.micros, firing.timing, firing.index, firing.is_last, replaces


def _late(late: LateEvent) -> tuple[Any, ...]:
    windows = [window.micros for window in late.windows]
    return late.position, windows, int(late.watermark), late.lateness // _MICROSECOND


def difference_of_texts(expected: Sequence[str], actual: Sequence[str]) -> str | None:
    """The first line that differs, and None if none does."""
    for at in range(max(len(expected), len(actual))):
        want = expected[at] if at < len(expected) else "nothing"
        got = actual[at] if at < len(actual) else "nothing"
        if want != got:
            return f"expected {want}\ngot      {got}"
    return None


def difference_to_reference(output: Output, branch: str, reference: NaiveWindows) -> str | None:
    """Where the output of a branch is not what the reference, driven to its end, says."""
    expected, actual = reference.drain(), [pane for pane in output.panes if pane.branch == branch]
    for at in range(max(len(expected), len(actual))):
        want = expected[at] if at < len(expected) else None
        got = actual[at] if at < len(actual) else None
        if (
            want is None
            or got is None
            or _naive_place(branch, want) != (*_place(got), _order(got.key.values()))
        ):
            return f"pane {at}: expected {want}\ngot {got}"
        for metric in (*reference.metrics, *reference.series):
            found = metric.difference(want.results, got.results, want.records)
            if found:
                return f"pane {at}: {found}; expected {want}\ngot {got}"
        if list(want.results) != list(got.results):
            return f"pane {at}: expected the results {list(want.results)}, got {list(got.results)}"
    late = [(*_late(each), _order(each.key.values())) for each in output.late if each.branch == branch]
    naive_late = [_naive_late(each) for each in reference.drain_late()]
    for at in range(max(len(naive_late), len(late))):
        if naive_late[at : at + 1] != late[at : at + 1]:
            return f"late record {at}: expected {naive_late[at : at + 1]}\ngot {late[at : at + 1]}"
    return None


def _naive_place(branch: str, pane: NaivePane) -> tuple[Any, ...]:
    replaces = list(pane.replaces)
    return branch, pane.window, pane.timing, pane.index, pane.is_last, replaces, _order(pane.key)


def _naive_late(late: NaiveLateRecord) -> tuple[Any, ...]:
    return late.position, list(late.windows), late.watermark, late.lateness, _order(late.key)


def _order(key: Sequence[Any]) -> tuple[tuple[int, Any], ...]:
    return key_order(key)
