"""What can be done to a pipeline, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from .harness import PipelineHarness
from .reference import NaiveWindows

__all__ = ["AdvanceProcessingTime", "AdvanceWatermark", "Push", "Step", "take", "take_in_batches"]


@dataclass(frozen=True, slots=True)
class Push:
    """A record of a partition."""

    record: Mapping[str, Any]
    partition: int = 0


@dataclass(frozen=True, slots=True)
class AdvanceWatermark:
    """The watermark moves by hand, to this time in microseconds."""

    watermark: int


@dataclass(frozen=True, slots=True)
class AdvanceProcessingTime:
    """The clock moves by hand, to this time in microseconds."""

    time: int


Step: TypeAlias = Push | AdvanceWatermark | AdvanceProcessingTime


def take(driven: PipelineHarness | NaiveWindows, step: Step) -> None:
    """Does one step."""
    match step:
        case Push(record, partition):
            driven.push(record, partition=partition)
        case AdvanceWatermark(watermark):
            driven.advance_watermark(watermark)
        case AdvanceProcessingTime(time):
            driven.advance_processing_time(time)


def take_in_batches(harness: PipelineHarness, steps: Iterable[Step]) -> None:
    """Does the steps, with as many records in a batch as follow each other in one partition."""
    batch: list[Mapping[str, Any]] = []
    of_partition = 0
    for step in steps:
        if batch and not (isinstance(step, Push) and step.partition == of_partition):
            harness.push(batch, partition=of_partition)
            batch = []
        if isinstance(step, Push):
            of_partition = step.partition
            batch.append(step.record)
        else:
            take(harness, step)
    if batch:
        harness.push(batch, partition=of_partition)
