"""Deduplication by the value of a field, in event time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from llmopt_stream.units import duration_text

from .operator import CoreStep, Operator

__all__ = ["Deduplicate"]


@dataclass(frozen=True)
class Deduplicate(Operator):
    """Of records with the same value, less than `ttl` microseconds apart, the earliest by arrival."""

    by: str
    ttl: int
    false_positive_rate: float | None = None
    where: ClassVar[str] = "C++"

    @property
    def name(self) -> str:
        return "deduplicate"

    def describe(self) -> str:
        of = f"by {self.by!r} within {duration_text(self.ttl)}"
        rate = self.false_positive_rate
        return of if rate is None else f"{of}, taking at most {rate:g} of new ones for repeated"

    def core_step(self) -> CoreStep:
        return CoreStep(
            (),
            (self.by,),
            lambda values, labels: ("deduplicate", labels(self.by), self.ttl, self.false_positive_rate),
        )
