"""How records get into the core: from sources, push sessions and the harness alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from . import _core
from ._optional import needs
from .branches import GAP_FIELD
from .errors import ConfigurationError, WindowAssignmentError
from .events import GroupingKey
from .explain import RecordExplanation
from .failures import Failures
from .lateness import LatenessReport
from .results import ResultTable
from .units import Time, core_time, to_timedelta
from .watermarks import CoreWatermark, LateEvent, PartitionedGenerators, Watermark, WatermarkGenerator
from .windows import Window

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["UNLIMITED", "Intake", "Step"]

UNLIMITED = 2**31
"""More records than any batch has."""

_LIST_BATCH = 4096


class Step(Protocol):
    """Lets the core take the next batch, of at most so many records; False at the end.

    A batch may be empty, where a pipe has nothing yet.
    """

    def __call__(self, max_records: int = UNLIMITED) -> bool: ...


class Intake:
    """The core of a plan with what Python adds to it: the content of late records, and watermark
    generators written in Python. `watermark=None`: watermarks are explicit.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        watermark: WatermarkGenerator | None,
        collect_late: bool,
        failures: Failures | None = None,
    ) -> None:
        in_core = None if watermark is None else CoreWatermark.of(watermark)
        self._generators = (
            PartitionedGenerators(watermark) if watermark is not None and in_core is None else None
        )
        self._collect_late = collect_late
        self._key_names = plan.key
        self._branches = plan.branch_names()
        self._gap_of = plan.gap_of
        self._lateness = [branch.allowed_lateness() for branch in plan.branches]
        self.fields = plan.fields()
        self.failures = failures or Failures(plan.error_handler, branches=len(plan.branches))
        self.core = plan.core(
            collect_late=collect_late,
            watermark=in_core,
            watermarks_of=self._generators,
            failures=self.failures,
        )
        self.late: list[LateEvent] = []

    @property
    def collects_late(self) -> bool:
        """Whether whole records are needed, not only the plan's fields."""
        return self._collect_late

    @property
    def records_in(self) -> int:
        return int(self.core.counts()["records_in"])

    @property
    def watermark(self) -> Watermark | None:
        """The stream's watermark; None before there is one."""
        micros = self.core.watermark
        return None if micros is None else Watermark(micros)

    def metrics(self) -> dict[str, Any]:
        """The counters so far: records_in = aggregated + late + malformed + outside_windows.

        With branches, each has its own under its name, and the four that are theirs are the sums.
        """
        keys, slices, state_bytes = self.core.live
        metrics = {
            **self.counts(),
            "records_by_shard": self.core.records_by_shard(),
            "live_keys": keys,
            "live_slices": slices,
            "state_bytes": state_bytes,
        }
        if self._branches != [""]:
            metrics["branches"] = {
                name: {**self.core.branch_counts(index), "errors": self.failures.counts[index]}
                for index, name in enumerate(self._branches)
            }
        return metrics

    def counts(self) -> dict[str, Any]:
        """Where records went; what branches count is summed up."""
        counts = self.core.counts()
        each = [self.core.branch_counts(index) for index in range(len(self._branches))]
        for name in ("aggregated", "late", "outside_windows", "unfired", "panes"):
            counts[name] = sum(branch[name] for branch in each)
        counts["errors"] = sum(self.failures.counts)
        counts["skipped_values"] = [count for branch in each for count in branch["skipped_values"]]
        return counts

    @property
    def lateness(self) -> LatenessReport | dict[str, LatenessReport]:
        """How late records were so far; with branches, for each by name."""
        reports = {name: LatenessReport.of(self.core, index) for index, name in enumerate(self._branches)}
        return reports[""] if list(reports) == [""] else reports

    def explain_record(self, record: Any) -> RecordExplanation:
        """What would become of a record if it came now. Changes nothing."""
        wrapped = record if self._gap_of is None else _WithGap(record, self._gap_of)
        return RecordExplanation.of(
            record, self.core.explain_record(wrapped), self._key_names, self._branches, self._lateness
        )

    def drain(self) -> list[ResultTable]:
        """The results since the last call, branch by branch."""
        return [ResultTable(self.core.drain(index), branch=name) for index, name in enumerate(self._branches)]

    def take_late(self) -> list[LateEvent]:
        """The late records since the last call, in the order of the input."""
        late, self.late = sorted(self.late, key=lambda event: event.position), []
        return late

    def advance_processing_time(self, time: Time) -> None:
        """Sets the manual clock, which starts at 0. Going back is ignored."""
        self.core.advance_processing_time(core_time(time, "advance_processing_time"))

    def generator_states(self) -> list[tuple[str, int, Any]]:
        """The state of each generator written in Python: its type's name, its partition, what it keeps."""
        return [] if self._generators is None else self._generators.get_states()

    def restore(self, *, late: list[LateEvent], generators: Mapping[int, Any]) -> None:
        """Goes on from what a snapshot has beside the core's."""
        self.late = late
        if self._generators is not None:
            self._generators.set_states(generators)

    def push_records(self, records: list[Any], partition: int = 0) -> None:
        """Takes a list of records."""
        if not records:
            return  # which would settle the types of values
        before = self.records_in if self._collect_late else 0
        self.core.push_records(
            records if self._gap_of is None else [_WithGap(record, self._gap_of) for record in records],
            partition,
        )
        self._keep_late(lambda position, _: records[position - before])

    def push(self, data: Any, partition: int = 0) -> None:
        """Takes all of a batch: a record, a list of them, or anything with `__arrow_c_stream__`."""
        if type(partition) is not int or not 0 <= partition < 2**32:
            raise ConfigurationError(
                f"push: partition: {partition!r} must be an integer of at least 0 and below 2**32"
            )
        step = self.step_of(
            data if hasattr(data, "__arrow_c_stream__") or isinstance(data, list) else [data], partition
        )
        while step():
            pass

    def steps(self, batches: Iterator[Any], partition: int = 0) -> Step:
        """Takes lists of records and Arrow data as an iterator yields them."""
        current: Step | None = None

        def step(max_records: int = UNLIMITED) -> bool:
            nonlocal current
            while current is None or not current(max_records):
                batch = next(batches, None)
                if batch is None:
                    current = None
                    return False
                current = self.step_of(batch, partition)
            return True

        return step

    def step_of(self, batch: Any, partition: int = 0) -> Step:
        """Takes one batch in parts."""
        if hasattr(batch, "__arrow_c_stream__"):
            return self._arrow(batch, partition)
        records = batch if isinstance(batch, list) else list(batch)
        at = 0

        def step(max_records: int = UNLIMITED) -> bool:
            nonlocal at
            if at == len(records):
                return False
            part = records[at : at + min(max_records, _LIST_BATCH)]
            at += len(part)
            self.push_records(part, partition)
            return True

        return step

    def ndjson(self, reader: _core.NdjsonReader) -> Step:
        """Takes the records of newline-delimited JSON."""
        if self._gap_of is not None:
            raise ConfigurationError(
                "with_session_window: gap: a callable needs whole records, which this source does not give; "
                "use col(path), or IterableSource"
            )
        reader.set_keep_records(self._collect_late)

        def step(max_records: int = UNLIMITED) -> bool:
            more = self.core.read_ndjson(reader, max_records)
            self._keep_late(lambda _, index: json.loads(reader.record(index)))
            return more

        return step

    def _arrow(self, data: Any, partition: int) -> Step:
        if self._gap_of is not None:
            pyarrow = needs("pyarrow", "arrow")
            batches = pyarrow.RecordBatchReader.from_stream(data)
            return self.steps((batch.to_pylist() for batch in batches), partition)
        row = _rows_of(data)
        if self._collect_late and row is None:
            pyarrow = needs("pyarrow", "arrow")
            return self.steps(iter(pyarrow.RecordBatchReader.from_stream(data)), partition)
        reader = self.core.open_arrow(data)
        before = self.records_in if self._collect_late else 0

        def step(max_records: int = UNLIMITED) -> bool:
            more = self.core.read_arrow(reader, partition, max_records)
            if row is not None:
                self._keep_late(lambda position, _: row(position - before))
            return more

        return step

    def _keep_late(self, record_at: Callable[[int, int], Any]) -> None:
        """`record_at(position, place in its batch)` gives the record."""
        if not self._collect_late:
            return
        for branch, name in enumerate(self._branches):
            for position, index, time, watermark, key, windows in self.core.take_late(branch):
                self.late.append(
                    LateEvent(
                        event=record_at(position, index),
                        key=GroupingKey(zip(self._key_names, key, strict=True)),
                        windows=tuple(Window(*window) for window in windows),
                        watermark=Watermark(watermark),
                        lateness=to_timedelta(watermark - time),
                        position=position,
                        branch=name,
                    )
                )


class _WithGap:
    """A record, and under a name of its own what a callable says its session gap is."""

    def __init__(self, record: Any, gap_of: Callable[[Any], Any]) -> None:
        self._record = record
        try:
            gap = gap_of(record)
        except Exception as error:
            raise WindowAssignmentError(
                f"session gap of {record!r}: {type(error).__name__}: {error}"
            ) from error
        self._gap = gap.total_seconds() if isinstance(gap, timedelta) else gap

    def __getitem__(self, name: str) -> Any:
        if name == GAP_FIELD:
            return self._gap
        record = self._record
        return record[name] if isinstance(record, Mapping) else getattr(record, name)


def _arrow_row(table: Any) -> Any:
    try:
        return table.to_pylist()[0]
    except ValueError:  # nanoseconds, which only pandas has a type for
        pyarrow = needs("pyarrow", "arrow")
        fields = [
            field.with_type(pyarrow.timestamp("us", field.type.tz))
            if pyarrow.types.is_timestamp(field.type)
            else field
            for field in table.schema
        ]
        return table.cast(pyarrow.schema(fields), safe=False).to_pylist()[0]


def _rows_of(table: Any) -> Callable[[int], Any] | None:
    """The rows of a DataFrame or Arrow table as dicts; None for a stream, which is gone once read."""
    if hasattr(table, "to_pylist") and hasattr(table, "slice"):  # pyarrow
        return lambda index: _arrow_row(table.slice(index, 1))
    if hasattr(table, "iloc"):  # pandas
        # A frame of one row; a row by itself would have one type for all columns.
        return lambda index: table.iloc[index : index + 1].to_dict("records")[0]
    if hasattr(table, "row") and hasattr(table, "height"):  # polars
        return lambda index: table.row(index, named=True)
    return None
