"""Rows that weigh open windows: in a process of their own, memory before the first record and after the last."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from .reference import AnswerError
from .row import Goal, Row, Settings

__all__ = ["Memory"]

_WINDOWS = 100_000


@dataclass(frozen=True, slots=True)
class Memory:
    """100,000 windows with so many lognormal values in each."""

    name: str
    title: str
    values: int
    goal: Goal
    aim: str

    def measure(self, settings: Settings) -> Row:
        windows = _WINDOWS
        if settings.records is not None:
            windows = max(1, min(_WINDOWS, settings.records // self.values))
        records = windows * self.values
        if find_spec("pyarrow") is None:
            missing = "pyarrow is missing"
            goals = [self.goal.judge(None)]
            return Row(self.name, self.title, records, missing, goals, self.aim, details=[missing])
        sizes = ["--windows", str(windows), "--values", str(self.values)]
        command = [sys.executable, "-m", "llmopt_stream.bench.open_windows", *sizes]
        finished = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        if finished.returncode != 0:
            raise AnswerError(f"{self.name}: {' '.join(command)} failed")
        weights = json.loads(finished.stdout)
        megabytes = (weights["open_bytes"] - weights["empty_bytes"]) / 1e6
        state = weights["state_bytes"] / 1e6
        return Row(
            name=self.name,
            title=self.title,
            records=records,
            ours=f"{megabytes:.0f} MB",
            verdicts=[self.goal.judge(megabytes)],
            aim=self.aim,
            details=[
                f"{windows:,} windows: {megabytes:.1f} MB over the empty process",
                f"state_bytes {state:.1f} MB, {weights['state_bytes'] / windows:,.0f} a window",
            ],
            figures=weights | {"megabytes": megabytes},
        )
