"""How records get into the core: from sources, push sessions and the harness alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from . import _core
from ._optional import needs
from .branches import GAP_FIELD
from .error_policy import ErrorEvent
from .errors import ConfigurationError, PipelineError, SerializationError, WindowAssignmentError
from .events import GroupingKey
from .exact_json import decode, encode
from .explain import RecordExplanation
from .failures import Failures
from .kafka_record import KafkaRecord
from .lateness import LatenessReport
from .operators.flow import START, Flow, FlowWriter
from .operators.per_record import Select
from .results import ResultTable
from .units import to_timedelta
from .watermarks import CoreWatermark, LateEvent, PartitionedGenerators, Watermark, WatermarkGenerator
from .windows import Window

if TYPE_CHECKING:
    from .branches import Branch
    from .plan import Plan
    from .sources import Source

__all__ = ["UNLIMITED", "Intake", "Step", "WithGap", "arrow_rows", "late_event"]

UNLIMITED = 2**31
"""More records than any batch has."""

_LIST_BATCH = 4096
_PIECES = "core/"
"""What the names of a checkpoint's pieces begin with."""

_KAFKA_WAIT_MS = 100
"""How long a step waits for the first record, and so stop() for the step."""


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
        hand_on: Callable[[Flow], None] | None = None,
        select: Select | None = None,
    ) -> None:
        """With `hand_on`, records go there as Python's, those fields of them that `select` says."""
        in_core = None if watermark is None else CoreWatermark.of(watermark)
        self._generators = (
            PartitionedGenerators(watermark) if watermark is not None and in_core is None else None
        )
        self._plan = plan
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
            projections=None if hand_on is None else [] if select is None else select.expressions(),
            spills_to=_PIECES,
        )
        self._hand_on = hand_on
        self._select = select
        self._handed = START
        self._source: Source | None = None
        self.late: list[LateEvent] = []

    @property
    def collects_late(self) -> bool:
        """Whether whole records are needed, not only the plan's fields."""
        return self._collect_late or self._hand_on is not None

    @property
    def records_in(self) -> int:
        return int(self.core.counts()["records_in"])

    @property
    def watermark(self) -> Watermark | None:
        """The stream's watermark; None before there is one."""
        micros = self.core.watermark
        return None if micros is None else Watermark(micros)

    def metrics(self) -> dict[str, Any]:
        """The counters so far: records_in = aggregated + late + malformed + filtered + outside_windows.

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
        left_out = self.core.left_out()
        counts["shed"] = 0 if self._plan.key_limit is None else left_out[0]
        counts["filtered"] = sum(left_out) - counts["shed"]
        if self._plan.memory_limit is not None:
            counts["spilled"] = dict(
                zip(("slices", "bytes_written", "bytes_read"), self.core.spilled, strict=True)
            )
        counts["errors"] = sum(self.failures.counts)
        counts["skipped_values"] = [count for branch in each for count in branch["skipped_values"]]
        return counts

    def skipped_by_branch(self) -> list[tuple[Branch, list[int]]]:
        """The branches with what each of their metrics has skipped."""
        return [
            (branch, self.core.branch_counts(index)["skipped_values"])
            for index, branch in enumerate(self._plan.branches)
        ]

    def aggregated_by_branch(self) -> list[int]:
        """How many records each branch has taken."""
        return [self.core.branch_counts(index)["aggregated"] for index in range(len(self._branches))]

    @property
    def lateness(self) -> LatenessReport | dict[str, LatenessReport]:
        """How late records were so far; with branches, for each by name."""
        reports = {name: LatenessReport.of(self.core, index) for index, name in enumerate(self._branches)}
        return reports[""] if list(reports) == [""] else reports

    def explain_record(self, record: Any) -> RecordExplanation:
        """What would become of a record if it came now. Changes nothing."""
        wrapped = record if self._gap_of is None else WithGap(record, self._gap_of)
        return RecordExplanation.of(
            record, self.core.explain_record(wrapped), self._key_names, self._branches, self._lateness
        )

    def drain(self) -> list[ResultTable]:
        """The results since the last call, branch by branch."""
        return [ResultTable(self.core.drain(index), branch=name) for index, name in enumerate(self._branches)]

    def drain_stages(self) -> Iterator[tuple[Branch, ResultTable | None, list[LateEvent]]]:
        """What has come out of stages that others follow: there are none."""
        return iter(())

    def take_late(self) -> list[LateEvent]:
        """The late records since the last call, in the order of the input."""
        late, self.late = sorted(self.late, key=lambda event: event.position), []
        return late

    def advance_watermark(self, watermark: int) -> None:
        """No record with an earlier time, in microseconds, is expected any more. Going back is ignored."""
        self.core.advance_watermark(watermark)
        self._hand_on_watermark()

    def advance_processing_time(self, now: int) -> None:
        """Sets the clock, in microseconds. Going back is ignored."""
        self.core.advance_processing_time(now)
        self._hand_on_watermark()

    def end_of_input(self) -> None:
        """Nothing more comes."""
        self.core.end_of_input()
        self._hand_on_watermark()

    @property
    def watermark_micros(self) -> int:
        """The watermark; the least integer before there is one."""
        micros = self.core.watermark
        return START if micros is None else int(micros)

    def snapshot(self) -> bytes:
        """Everything but what Python keeps: late records, errors, generators."""
        return bytes(self.core.snapshot())

    def restore_state(self, state: bytes) -> None:
        """Goes on from a snapshot, in a new one of the same plan."""
        self.core.restore(state)

    def fingerprint(self) -> Any:
        """What decides which checkpoints fit."""
        return json.loads(self.core.fingerprint)

    def begin_store(self, writer: _core.CheckpointWriter) -> Any:
        """Starts a checkpoint of the state as it is; returns what Python keeps, as types of JSON."""
        self.core.begin_store(_PIECES, writer)
        return [
            list(self.failures.counts),
            [
                [partition, encode(each, f"{generator}.get_state() of partition {partition}")]
                for generator, partition, each in self.generator_states()
            ],
        ]

    def store(self, budget: int, writer: _core.CheckpointWriter) -> bool:
        """Hands about so many bytes more to the writer; whether that was all."""
        return self.core.store(budget, writer)

    def forget_stored(self) -> None:
        """A checkpoint has failed: the next one has everything."""
        self.core.forget_stored()

    def restore_stored(self, backend: _core.StateBackend, state: Any) -> None:
        """Goes on from what a backend has, and from what begin_store() returned."""
        self.core.restore_stored(_PIECES, backend)
        counts, generators = state
        self.failures.set_state(counts, [])
        self.restore(late=[], generators={partition: decode(each) for partition, each in generators})

    def use_source(self, source: Source) -> None:
        """Where records come from."""
        self._source = source

    def use_sources(self) -> None:
        """The same, as the plan says."""
        self.use_source(self._plan.source_of_run())

    @property
    def source(self) -> Source:
        if self._source is None:
            raise PipelineError("there is no source")
        return self._source

    def positions(self) -> list[Any]:
        """Where each source goes on; see Source.position()."""
        return [self.source.position()]

    def seek(self, positions: list[Any]) -> None:
        """Lets sources start there."""
        self.source.seek(positions[0])

    def checkpointed(self, positions: list[Any]) -> None:
        """A checkpoint with these positions is durable."""
        self.source.checkpointed(positions[0])

    def taken(self, positions: list[Any]) -> None:
        """Results of the records before these positions are about to be delivered, at most once."""
        self.source.taken(positions[0])

    def open_sources(self) -> Step:
        """Starts the source."""
        return self.source.open(self)

    def close_sources(self) -> None:
        """After the run."""
        self.source.close()

    def progress(self) -> float | None:
        """How much of the input has been read, from 0 to 1; None where nobody knows."""
        return None if self._source is None else self._source.progress()

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
        before = self.records_in if self.collects_late else 0
        self.core.push_records(
            records if self._gap_of is None else [WithGap(record, self._gap_of) for record in records],
            partition,
        )
        self._hand_out(before, lambda position, _: records[position - before])

    def push(self, data: Any, partition: int = 0, *, input: str | None = None) -> None:  # noqa: A002
        """Takes all of a batch: a record, a list of them, or anything with `__arrow_c_stream__`."""
        if input is not None:
            raise ConfigurationError(f"push: input: {input!r}, but the pipeline has one input only")
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
        reader.set_keep_records(self.collects_late)

        def step(max_records: int = UNLIMITED) -> bool:
            before = self.records_in if self.collects_late else 0
            more = self.core.read_ndjson(reader, max_records)
            if more:
                self._hand_out(before, lambda _, index: json.loads(reader.record(index)))
            return more

        return step

    def kafka(self, consumer: _core.KafkaConsumer, batch_records: int) -> Step:
        """Takes the records of Kafka topics."""
        if self._gap_of is not None:
            raise ConfigurationError(
                "with_session_window: gap: a callable needs whole records, which this source does not give; "
                "use col(path), or IterableSource"
            )
        keeps = self.collects_late or self.failures.hands_on
        consumer.set_keep_records(keeps)

        def step(max_records: int = UNLIMITED) -> bool:
            before = self.records_in if keeps else 0
            more = self.core.read_kafka(consumer, max_records, batch_records, keeps, _KAFKA_WAIT_MS)
            if keeps and more:
                self._hand_out_kafka(consumer, before)
            return more

        return step

    def _hand_out_kafka(self, consumer: _core.KafkaConsumer, before: int) -> None:
        """Of the last batch, before which so many records came."""

        def source_of(position: int) -> KafkaRecord | None:
            said = consumer.record(position - before) if position >= before else None
            if said is None:
                return None
            topic, partition, offset, timestamp_ms, key, headers, value = said
            return KafkaRecord(topic, partition, offset, timestamp_ms, key, tuple(headers), value)

        known = len(self.late)
        self._hand_out(before, lambda _, index: json.loads(consumer.text(index)))
        self.late[known:] = [replace(event, source=source_of(event.position)) for event in self.late[known:]]
        if self.failures.hands_on:
            for index, kind in self.core.kafka_malformed():
                record = source_of(before + index)
                error = SerializationError(f"record {record and record.place}: {kind}")
                self.failures.hand_on(
                    ErrorEvent(
                        error, "KafkaSource", "decode", GroupingKey(), (), None, before + index, source=record
                    ),
                    before + index,
                )
            self.failures.name_sources(source_of)

    def _arrow(self, data: Any, partition: int) -> Step:
        if self._gap_of is not None or self._hand_on is not None:
            pyarrow = needs("pyarrow", "arrow")
            batches = pyarrow.RecordBatchReader.from_stream(data)
            return self.steps((arrow_rows(batch) for batch in batches), partition)
        row = _rows_of(data)
        if self._collect_late and row is None:
            pyarrow = needs("pyarrow", "arrow")
            return self.steps(iter(pyarrow.RecordBatchReader.from_stream(data)), partition)
        reader = self.core.open_arrow(data)
        before = self.records_in if self._collect_late else 0

        def step(max_records: int = UNLIMITED) -> bool:
            more = self.core.read_arrow(reader, partition, max_records)
            if row is not None:
                self._hand_out(before, lambda position, _: row(position - before))
            return more

        return step

    def _hand_out(self, before: int, record_at: Callable[[int, int], Any]) -> None:
        """Late records, and those that go on. `record_at(position, place in its batch)` gives the record;
        `before` is how many came before the batch.
        """
        if self._hand_on is not None:
            out = FlowWriter(self._handed)
            for index, time, watermark_before, watermark_after, computed in self.core.handed_on():
                record = record_at(before + index, index)
                out.mark(watermark_before)
                out.add(record if self._select is None else self._select.select(record, computed), time)
                out.mark(watermark_after)
            out.mark(self.watermark_micros)
            self._handed = out.flow.after
            self._hand_on(out.flow)
        if not self._collect_late:
            return
        for branch, name in enumerate(self._branches):
            for said in self.core.take_late(branch):
                self.late.append(late_event(said, record_at(said[0], said[1]), self._key_names, name))

    def _hand_on_watermark(self) -> None:
        watermark = self.watermark_micros
        if self._hand_on is not None and watermark > self._handed:
            self._handed = watermark
            self._hand_on(Flow(before=watermark))


def late_event(said: tuple[Any, ...], record: Any, key_names: Sequence[str], branch: str) -> LateEvent:
    """A late record, with what the core says of it."""
    position, _, time, watermark, key, windows = said
    return LateEvent(
        event=record,
        key=GroupingKey(zip(key_names, key, strict=True)),
        windows=tuple(Window(*window) for window in windows),
        watermark=Watermark(watermark),
        lateness=to_timedelta(watermark - time),
        position=position,
        branch=branch,
    )


class WithGap:
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
    return arrow_rows(table)[0]


def arrow_rows(table: Any) -> list[Any]:
    """The rows of an Arrow table or batch as dicts."""
    try:
        return list(table.to_pylist())
    except ValueError:  # nanoseconds, which only pandas has a type for
        pyarrow = needs("pyarrow", "arrow")
        fields = [
            field.with_type(pyarrow.timestamp("us", field.type.tz))
            if pyarrow.types.is_timestamp(field.type)
            else field
            for field in table.schema
        ]
        return list(table.cast(pyarrow.schema(fields), safe=False).to_pylist())


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
