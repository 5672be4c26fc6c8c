"""Drives a pipeline step by step, without source, sinks, clock or threads."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import date, datetime
from typing import Any

from llmopt_stream.builder import StreamPipelineBuilder
from llmopt_stream.errors import CheckpointError, ConfigurationError
from llmopt_stream.events import GroupingKey
from llmopt_stream.intake import Intake
from llmopt_stream.results import AggregationResult
from llmopt_stream.units import Time, time_micros, to_timedelta
from llmopt_stream.watermarks import LateEvent, Watermark
from llmopt_stream.windows import Window

__all__ = ["PipelineHarness"]


class PipelineHarness:
    """The pipeline that a builder describes, driven by hand: the same core as `run()`.

    The builder needs no source and no sink. With a watermark generator, records move the watermark;
    without one it moves only by `advance_watermark`.

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
        self, builder: StreamPipelineBuilder, parallelism: int = 1, state_backend: Any = None
    ) -> None:
        if state_backend is not None:
            raise ConfigurationError(
                "PipelineHarness: state_backend: only None, for state in memory, is supported"
            )
        plan = builder.with_options(parallelism=parallelism).checked().plan
        self._intake = Intake(plan, watermark=plan.watermark, collect_late=True)
        self._core = self._intake.core

    def push(self, record: Any, *, partition: int = 0) -> None:
        """Takes one record (dict, dataclass, …), or a list of them, of one partition."""
        self._intake.push_records(record if isinstance(record, list) else [record], partition)

    def push_batch(self, batch: Any, *, partition: int = 0) -> None:
        """Takes the rows of anything with `__arrow_c_stream__`."""
        self._intake.push(batch, partition)

    def advance_watermark(self, watermark: Time) -> None:
        """No record with an earlier time is expected any more. Going back is ignored."""
        self._core.advance_watermark(time_micros(watermark, "advance_watermark"))

    def advance_processing_time(self, time: Time) -> None:
        """Sets the manual clock, which starts at 0. Going back is ignored."""
        self._core.advance_processing_time(time_micros(time, "advance_processing_time"))

    def end_of_input(self) -> None:
        """Nothing more comes: every window completes."""
        self._core.end_of_input()

    def drain(self) -> list[AggregationResult]:
        """The panes since the last drain, in firing order."""
        return [result for table in self._intake.drain() for result in table]

    def discard(self) -> int:
        """Drops the panes since the last drain and says how many there were."""
        return sum(map(len, self._intake.drain()))

    def drain_late(self) -> list[LateEvent]:
        """The records since the last drain that came too late for every window of theirs."""
        return self._intake.take_late()

    @property
    def watermark(self) -> Watermark | None:
        """The stream's watermark; None before there is one."""
        return self._intake.watermark

    @property
    def metrics(self) -> dict[str, Any]:
        """The counters so far: records_in = aggregated + late + malformed + outside_windows."""
        return self._intake.metrics()

    def snapshot(self) -> bytes:
        """Everything between two steps, results not yet drained included."""
        parts = {
            "late": [_encode_late(event) for event in self._intake.late],
            "watermark_generators": self._intake.generator_state(),
        }
        header = json.dumps(parts, default=_tagged).encode()
        body = len(header).to_bytes(8, "little") + header + self._core.snapshot()
        return body + _checksum(body)

    @classmethod
    def restore(cls, builder: StreamPipelineBuilder, snapshot: bytes, **options: Any) -> PipelineHarness:
        """A harness that goes on where the snapshot was taken.

        Raises CheckpointError for bytes that are not a whole, unaltered snapshot of this plan.
        """
        harness = cls(builder, **options)
        body, checksum = snapshot[:-_CHECKSUM_BYTES], snapshot[-_CHECKSUM_BYTES:]
        if checksum != _checksum(body):
            raise CheckpointError("snapshot refused: its checksum is wrong; it was cut short or altered")
        end = 8 + int.from_bytes(body[:8], "little")
        harness._core.restore(body[end:])
        try:
            header = json.loads(body[8:end])
            harness._intake.late = [_decode_late(event) for event in header["late"]]
            generators = json.loads(json.dumps(header["watermark_generators"]), object_hook=_untagged)
            harness._intake.restore_generators(generators)
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"snapshot refused: its header is damaged ({error})") from error
        return harness


_CHECKSUM_BYTES = 8


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()


def _tagged(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return {"$time": value.isoformat(), "$date": not isinstance(value, datetime)}
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(f"a snapshot cannot hold a {type(value).__name__}")


def _untagged(value: dict[str, Any]) -> Any:
    if "$time" in value:
        return (
            date.fromisoformat(value["$time"]) if value["$date"] else datetime.fromisoformat(value["$time"])
        )
    return base64.b64decode(value["$bytes"]) if "$bytes" in value else value


def _encode_late(event: LateEvent) -> dict[str, Any]:
    return {
        "event": json.dumps(event.event, default=_tagged),
        "key": list(event.key.items()),
        "windows": [[time_micros(window.start), time_micros(window.end)] for window in event.windows],
        "watermark": int(event.watermark),
        "lateness": event.lateness.total_seconds(),
        "position": event.position,
    }


def _decode_late(encoded: dict[str, Any]) -> LateEvent:
    return LateEvent(
        event=json.loads(encoded["event"], object_hook=_untagged),
        key=GroupingKey((name, value) for name, value in encoded["key"]),
        windows=tuple(Window(*window) for window in encoded["windows"]),
        watermark=Watermark(encoded["watermark"]),
        lateness=to_timedelta(round(encoded["lateness"] * 1e6)),
        position=encoded["position"],
    )
