"""A short seeded version of `make chaos`: runs that are killed lose nothing and count nothing twice."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from loaded_module import TOOLS, loaded

ROOT = Path(__file__).parents[2]


chaos = loaded(TOOLS / "chaos.py")


def said_by(*options: str) -> str:
    """In a process of its own: it forks, which this one, with threads of its own, had better not."""
    ended = subprocess.run(
        [sys.executable, ROOT / "tools" / "chaos.py", *options], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"results lost 0, wrong or counted twice 0,", ended.stdout)
    return ended.stdout


@pytest.mark.timeout(400)
def test_a_kill_at_every_step_changes_nothing() -> None:
    said = said_by("--only", "sessions", "--kills", "0", "--events", "9000")
    assert int(said.split()[0]) >= len(chaos.KILL_POINTS)
    assert "0 checkpoints damaged, 0 of them passed over" in said


@pytest.mark.timeout(400)
def test_kills_at_random_and_damaged_checkpoints_change_nothing() -> None:
    said = said_by("--no-steps", "--kills", "12", "--events", "20000")
    assert int(said.split()[0]) >= 12


def test_every_step_that_has_a_name_kills() -> None:
    sources = [*(ROOT / "cpp" / "state").glob("*.cpp"), *(ROOT / "python" / "llmopt_stream").glob("*.py")]
    names = {
        name
        for source in sources
        for name in re.findall(r'kill_point\("([^"]+)"\)', source.read_text(encoding="utf-8"))
    }
    assert set(chaos.KILL_POINTS) == names


def test_a_lost_and_a_wrong_result_are_noticed(tmp_path: Path) -> None:
    report, choose = chaos.Report(), random.Random(1)

    class Series(chaos.Series):  # type: ignore[name-defined,misc]
        def _undisturbed(self) -> Any:
            said = chaos.Attempt("counted", tmp_path, 2_000, 0).run()
            return chaos.results(tmp_path)[0], said["counts"], 1.0

    series = Series("counted", 2_000, report, choose)
    expected, counts, _ = series._expected
    lost, changed = sorted(expected)[:2]
    other = {
        name: line.replace("count", "number") if name == changed else line for name, line in expected.items()
    }
    (tmp_path / "results").write_text("".join(f"{line}\n" for name, line in other.items() if name != lost))
    (tmp_path / "results.ndjson").write_text("".join(f"{line}\n" for line in expected.values()))
    series._check(tmp_path, {"counts": counts})
    assert (report.lost, report.wrong) == (1, 1)
    with pytest.raises(AssertionError, match="counted: counters"):
        series._check(tmp_path, {"counts": {**counts, "late": -1}})
    with (tmp_path / "results.ndjson").open("a") as file:
        file.write("again\n")
    with pytest.raises(AssertionError, match=r"results.ndjson has \d+ lines"):
        series._check(tmp_path, {"counts": counts})
