"""What things cost: CPU time of the process and of its threads, and memory."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Cost", "cpu_seconds", "in_turn", "resident_bytes", "thread_seconds"]


def cpu_seconds(job: Callable[[], Any]) -> float:
    """User and system time of all threads; to give back the result is not counted."""
    gc.collect()
    before = time.process_time()
    result = job()
    seconds = time.process_time() - before
    del result
    return seconds


def in_turn(jobs: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each job in each round. A round runs every job, so that what else the machine does meets
    them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            seconds[name].append(cpu_seconds(job))
    return seconds


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time per record in each round, in nanoseconds."""

    rounds: list[float]

    @property
    def least(self) -> float:
        return min(self.rounds)

    def against(self, ours: Cost) -> list[float]:
        """The ratios to ours, round by round."""
        return [theirs / own for theirs, own in zip(self.rounds, ours.rounds, strict=True)]

    def ratio(self, ours: Cost) -> float:
        """Their median."""
        return statistics.median(self.against(ours))


def thread_seconds() -> dict[int, float]:
    """The CPU time so far of each thread that lives, by its id."""
    return {int(task.name): _task_seconds(task) for task in Path("/proc/self/task").iterdir()}


def _task_seconds(task: Path) -> float:
    nanoseconds = task / "schedstat"
    if nanoseconds.exists():
        return int(nanoseconds.read_text().split()[0]) / 1e9
    # Behind the name, which may contain anything: user and system time are the 12th and 13th.
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes() -> int:
    """Memory of this process that is resident (VmRSS)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS")
