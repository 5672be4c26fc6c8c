"""Drives a pipeline step by step, without source, sinks, clock or threads."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.error_policy import ErrorEvent
from llmopt_stream.errors import AggregationError, CheckpointError, ConfigurationError, PipelineError
from llmopt_stream.events import GroupingKey
from llmopt_stream.exact_json import decode, encode
from llmopt_stream.executor import Executor, executor_of
from llmopt_stream.explain import RecordExplanation
from llmopt_stream.failures import Failures, Order
from llmopt_stream.lateness import LatenessReport
from llmopt_stream.state import StateBackend
from llmopt_stream.units import MICROSECOND, Time, core_time, to_timedelta
from llmopt_stream.watermarks import LateEvent, Watermark
from llmopt_stream.windows import Window

from .stored_state import StoredState

__all__ = ["PipelineHarness"]


class PipelineHarness:
    """The pipeline that a builder describes, driven by hand: the same core as `run()`.

    The builder needs no source and no sink. With a watermark generator, records move the watermark;
    without one it moves only by `advance_watermark`. It runs on `parallelism` threads, whatever the
    builder's options say: one, unless told otherwise.

    With a state backend, all state goes through it: after each step what has changed is stored there in a
    checkpoint, and the next step goes on from what the backend has. A harness begins anew, whatever is in it.

    >>> from llmopt_stream import create_pipeline
    >>> builder = (create_pipeline().with_event_time("ts", unit="ms").key_by("key")
    ...            .with_tumbling_window("10s").aggregate("value", ["count", "sum"]))
    >>> h = PipelineHarness(builder)
    >>> h.push({"key": "a", "ts": 1_000, "value": 3})
    >>> h.advance_watermark(10_000_000)
    >>> [pane.results for pane in h.drain()]
    [{'count': 1, 'sum': 3.0}]
    """

    def __init__(
        self,
        builder: StreamPipelineBuilder,
        parallelism: int = 1,
        state_backend: StateBackend | None = None,
    ) -> None:
        if not isinstance(state_backend, StateBackend | None):
            raise ConfigurationError(
                f"PipelineHarness: state_backend: {state_backend!r} must be a MemoryStateBackend, a "
                "RocksDBStateBackend or None"
            )
        self._plan = builder.with_options(parallelism=parallelism).checked().plan
        self._intake = self._executor()
        self._stored = None if state_backend is None else StoredState(state_backend)

    def _executor(self) -> Executor:
        plan = self._plan
        failures = Failures(plan.error_handler, branches=len(plan.branches), keeps_events=True)
        return executor_of(
            plan, watermark_of=lambda each: each.watermark, collect_late=True, failures=failures
        )

    def _step_done(self) -> None:
        """Lets all state go through the backend, if there is one."""
        if self._stored is not None:
            pending = self._pending()
            self._intake = self._stored.replaced(self._intake, self._executor)
            self._restore_pending(pending)

    def push(self, record: Any, *, partition: int = 0, input: str | None = None) -> None:  # noqa: A002
        """Takes one record (dict, dataclass, …), a list of them, or a DataFrame or Arrow batch, of one partition; of
        pipelines with several inputs, of one input: "left" or "right" of a join, "0", "1", … of a union.
        """
        self._intake.push(record, partition, input=input)
        self._step_done()

    def push_batch(self, batch: Any, *, partition: int = 0, input: str | None = None) -> None:  # noqa: A002
        """Takes the rows of anything with `__arrow_c_stream__`."""
        self._intake.push(batch, partition, input=input)
        self._step_done()

    def advance_watermark(self, watermark: Time) -> None:
        """No record with an earlier time is expected any more. Going back is ignored."""
        self._intake.advance_watermark(core_time(watermark, "advance_watermark"))
        self._step_done()

    def advance_processing_time(self, time: Time) -> None:
        """Sets the manual clock, which starts at 0. Going back is ignored."""
        self._intake.advance_processing_time(core_time(time, "advance_processing_time"))
        self._step_done()

    def end_of_input(self) -> None:
        """Nothing more comes: every window completes."""
        self._intake.end_of_input()
        self._step_done()

    def drain(self) -> list[Any]:
        """The panes since the last drain, AggregationResults in firing order, branch by branch; of pipelines that
        deliver records, ProcessorEvents.
        """
        return [result for table in self._intake.drain() for result in table]

    def discard(self) -> int:
        """Drops the panes since the last drain and says how many there were."""
        return sum(map(len, self._intake.drain()))

    def drain_late(self) -> list[LateEvent]:
        """The records since the last drain that came too late for every window of theirs."""
        return self._intake.take_late()

    def drain_errors(self) -> list[ErrorEvent]:
        """What failed since the last drain in users' aggregators and functions, and was left out."""
        return self._intake.failures.take()

    @property
    def watermark(self) -> Watermark | None:
        """The stream's watermark; None before there is one."""
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

    def snapshot(self) -> bytes:
        """Everything between two steps, results and late records not yet drained included.

        Raises CheckpointError, with type and place, where a late record or the state of a WatermarkGenerator
        holds what cannot be restored exactly. JSON's types, tuples, sets, bytes, times, Decimal, numbers of
        NumPy, times of pandas, and dataclasses of these can.
        """
        header = self._pending()
        body = len(header).to_bytes(8, "little") + header + self._intake.snapshot()
        return body + _checksum(body)

    def _pending(self) -> bytes:
        """Late records and errors that were not drained, and what generators written in Python keep."""
        errors, events = self._intake.failures.get_state()
        parts = {
            "late": [_encode_late(event) for event in self._intake.late],
            "watermark_generators": [
                [partition, encode(state, f"{generator}.get_state() of partition {partition}")]
                for generator, partition, state in self._intake.generator_states()
            ],
            "errors": [errors, [_encode_error(*each) for each in events]],
        }
        return json.dumps(parts, allow_nan=False).encode()

    def _restore_pending(self, header: bytes) -> None:
        try:
            parts = json.loads(header)
            late = [_decode_late(event) for event in parts["late"]]
            generators = {int(partition): decode(state) for partition, state in parts["watermark_generators"]}
            counts, events = parts["errors"]
            errors = [_decode_error(each) for each in events]
        except (ValueError, LookupError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
            raise CheckpointError(f"snapshot refused: its header is damaged ({error})") from error
        self._intake.restore(late=late, generators=generators)
        self._intake.failures.set_state(counts, errors)

    @classmethod
    def restore(
        cls, builder: StreamPipelineBuilder, snapshot: bytes | bytearray | memoryview, **options: Any
    ) -> PipelineHarness:
        """A harness that goes on where the snapshot was taken.

        Raises CheckpointError for what is not the bytes of a whole, unaltered snapshot of this plan.
        """
        harness = cls(builder, **options)
        if not isinstance(snapshot, bytes | bytearray | memoryview):
            raise CheckpointError(
                f"snapshot refused: {type(snapshot).__name__} is not bytes, bytearray or memoryview"
            )
        snapshot = bytes(snapshot)
        body, checksum = snapshot[:-_CHECKSUM_BYTES], snapshot[-_CHECKSUM_BYTES:]
        if checksum != _checksum(body):
            raise CheckpointError("snapshot refused: its checksum is wrong; it was cut short or altered")
        end = 8 + int.from_bytes(body[:8], "little")
        harness._intake.restore_state(body[end:])
        harness._restore_pending(body[8:end])
        harness._step_done()
        return harness


_CHECKSUM_BYTES = 8


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def _encode_late(event: LateEvent) -> list[Any]:
    record = f"late record {event.position}"
    return [
        encode(event.event, record),
        encode(event.key.items(), f"{record}: key"),
        [list(window.micros) for window in event.windows],
        int(event.watermark),
        event.lateness // MICROSECOND,
        event.position,
        event.branch,
    ]


def _decode_late(encoded: list[Any]) -> LateEvent:
    event, key, windows, watermark, lateness, position, branch = encoded
    return LateEvent(
        event=decode(event),
        key=GroupingKey(decode(key)),
        windows=tuple(Window(*window) for window in windows),
        watermark=Watermark(watermark),
        lateness=to_timedelta(lateness),
        position=position,
        branch=branch,
    )


def _encode_error(order: Order, event: ErrorEvent) -> list[Any]:
    failed = f"{event.aggregator}.{event.method} that failed"
    return [
        list(order),
        [isinstance(event.error, PipelineError), str(event.error)],
        event.aggregator,
        event.method,
        encode(event.key.items(), f"{failed}: key"),
        [list(window.micros) for window in event.windows],
        encode(event.value, f"{failed}: value"),
        event.position,
        event.branch,
    ]


def _decode_error(encoded: list[Any]) -> tuple[Order, ErrorEvent]:
    order, (of_operator, error), aggregator, method, key, windows, value, position, branch = encoded
    event = ErrorEvent(
        PipelineError(error) if of_operator else AggregationError(error),
        aggregator,
        method,
        GroupingKey(decode(key)),
        tuple(Window(*window) for window in windows),
        decode(value),
        position,
        branch,
    )
    return tuple(order), event
