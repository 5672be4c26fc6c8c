"""What was measured, as a row of the table."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

__all__ = ["Goal", "Row", "Settings", "Verdict", "Work"]

_RELATIONS = {"≥": operator.ge, "≤": operator.le, "<": operator.lt}


@dataclass(frozen=True, slots=True)
class Goal:
    """What must be reached, such as Goal("duckdb", "≥", 4, "×")."""

    of: str
    relation: str
    limit: float
    unit: str = ""

    def judge(self, measured: float | None) -> Verdict:
        """None: there was nothing to measure it against."""
        reached = None if measured is None else bool(_RELATIONS[self.relation](measured, self.limit))
        return Verdict(self, measured, reached)

    def __str__(self) -> str:
        return f"{self.of} {self.relation} {self.limit:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what became of it."""

    goal: Goal
    measured: float | None
    reached: bool | None

    @property
    def mark(self) -> str:
        """What stands behind the goal in the table."""
        if self.reached is None:
            return "not measured"
        return "reached" if self.reached else "**missed**"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    records: int
    ours: str
    verdicts: list[Verdict]
    aim: str
    peers: dict[str, str] = field(default_factory=dict)
    """What each peer needs and its ratio to ours, or why there is nothing."""
    details: list[str] = field(default_factory=list)
    """The same at more length, a line each."""
    figures: dict[str, Any] = field(default_factory=dict)
    """The numbers by themselves."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the rows are measured."""

    rounds: int
    folder: Path
    """For files of the input."""
    records: int | None = None
    """How many each row takes; its own number if None."""


class Work(Protocol):
    """What one row measures."""

    @property
    def name(self) -> str:
        """By which it is chosen."""

    @property
    def title(self) -> str:
        """What stands in the table."""

    def measure(self, settings: Settings) -> Row:
        """Checks the answers, then measures."""
