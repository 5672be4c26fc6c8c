"""Kills runs at random and at every named step, and looks whether anything was lost or counted twice.

    python tools/chaos.py [--kills 300] [--seed 1] [--only CASE]

A run reads generated events, takes many checkpoints and appends its results to a file. It is killed (SIGKILL),
started again, and so on until it ends by itself. Then its results, without repeats of (branch, key, window, pane
index), must be those of a run that nobody disturbed, repeats must be equal, and the counters must be the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmopt_stream as ls

EVENTS = 60_000
NINE = ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]
KILL_POINTS = (
    "run:barrier",
    "run:encoded",
    "run:durable",
    "run:restored",
    "run:ended",
    "checkpoint:before-flush",
    "checkpoint:before-files",
    "checkpoint:before-checksums",
    "checkpoint:before-manifest",
    "checkpoint:before-sync",
    "checkpoint:before-folder-sync",
    "checkpoint:before-rename",
    "checkpoint:before-name-sync",
    "checkpoint:published",
    "discard:before-rename",
    "discard:before-name-sync",
    "discard:before-file",
    "discard:before-folder",
    "restore:before-check",
    "restore:before-drop",
    "restore:before-rename",
    "restore:before-files",
    "restore:before-file",
    "restore:before-open",
    "restore:done",
)


class AppendSink(ls.Sink):
    """Appends lines to a file that outlives runs; a line that a kill cut short is not valid JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    def open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def send_batch(self, table: Any) -> None:
        os.write(self._file, ("\n" + "".join(f"{result.to_json()}\n" for result in table)).encode())

    def flush(self) -> None:
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)


def _source() -> ls.GeneratorSource:
    return ls.GeneratorSource(seed=11, events=EVENTS, late_share=0.02, events_per_second=500)


def _keyed() -> Any:
    return ls.create_pipeline("chaos").with_source(_source()).key_by("data.model", "metadata.tenant")


def _tumbling() -> Any:
    return _keyed().with_tumbling_window("10s", allowed_lateness="20s").aggregate("data.latency_ms", NINE)


def _sliding() -> Any:
    return _keyed().with_sliding_window("20s", "2s").aggregate("data.latency_ms", ["count", "sum", "p95"])


def _sessions() -> Any:
    window = _keyed().with_session_window("100ms", allowed_lateness="5s")
    return window.aggregate("data.latency_ms", ["count", "sum", "max"])


def _counted() -> Any:
    return _keyed().with_count_window(70, 30, flush=True).aggregate("data.cost_usd", ["count", "sum"])


def _triggered() -> Any:
    window = _keyed().with_tumbling_window("10s", allowed_lateness="20s")
    return window.with_trigger(ls.AfterWatermark(early=ls.CountTrigger(10))).aggregate(
        "data.latency_ms", ["count", "sum"]
    )


def _two_shards() -> Any:
    return _tumbling().with_options(parallelism=2)


def _stages() -> Any:
    per_tenant = (
        _keyed()
        .deduplicate(by="id", ttl="10m")
        .with_tumbling_window("5s")
        .aggregate("data.cost_usd", ["sum"])
    )
    return per_tenant.key_by("data.model").with_tumbling_window("30s").aggregate("sum", ["count", "sum"])


CASES: dict[str, Callable[[], Any]] = {
    "tumbling": _tumbling,
    "sliding": _sliding,
    "sessions": _sessions,
    "counted": _counted,
    "triggered": _triggered,
    "two_shards": _two_shards,
    "stages": _stages,
}


def run_case(case: str, folder: Path, records: int) -> dict[str, Any]:
    """One run, from where the last one got to; what it counted."""
    builder = CASES[case]().with_options(buffer_size=1000).with_sink(AppendSink(folder / "results"))
    with ls.RocksDBStateBackend(folder / "state", folder / "checkpoints") as backend:
        pipeline = builder.with_state_backend(backend).with_checkpoints(None, records=records, keep=2).build()
        summary = pipeline.run()
    metrics = pipeline.metrics["checkpoints"]
    return {
        "counts": {
            name: getattr(summary, name)
            for name in ("records_in", "aggregated", "late", "malformed", "panes")
        },
        "restore": metrics["restore_duration"],
        "damaged": metrics["damaged"],
    }


def results(folder: Path) -> tuple[dict[str, str], int]:
    """The results by what names them, and how many repeats there were. Repeats that differ are an error."""
    found: dict[str, str] = {}
    repeats = 0
    for line in (folder / "results").read_text().splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        name = json.dumps([result["key"], result["window"], result["pane"]["index"]])
        if name in found:
            repeats += 1
            if found[name] != line:
                raise AssertionError(f"a result came again, but was another:\n{found[name]}\n{line}")
        found[name] = line
    return found, repeats


@dataclass
class Report:
    """What a series of kills came to."""

    kills: int = 0
    runs: int = 0
    lost: int = 0
    wrong: int = 0
    repeats: int = 0
    restores: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        times = sorted(self.restores)
        shown = "none"
        if times:
            shown = f"{len(times)}, median {statistics.median(times):.3f} s, longest {times[-1]:.3f} s"
        return (
            f"{self.kills} kills survived in {self.runs} series; results lost {self.lost}, wrong or counted twice "
            f"{self.wrong}, repeated and equal {self.repeats}; restores: {shown}"
        )


def _child(case: str, folder: Path, records: int, kill_point: str | None) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(ls.__file__).parent.parent)}
    environment.pop("LLMOPT_STREAM_KILL_POINT", None)
    if kill_point is not None:
        environment["LLMOPT_STREAM_KILL_POINT"] = kill_point
    return subprocess.Popen(
        [sys.executable, __file__, "--run", case, str(folder), str(records)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Series:
    """A case whose run is killed until it is let to its end."""

    def __init__(self, case: str, expected: dict[str, Any], report: Report) -> None:
        self._case = case
        self._expected = expected
        self._report = report

    def run(self, kills: Iterator[tuple[str | None, float | None]], records: int) -> None:
        """`kills` gives a kill point, or after how many seconds to kill."""
        folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        try:
            outcome = None
            for kill_point, seconds in kills:
                outcome = self._attempt(folder, records, kill_point, seconds)
                if outcome is not None:
                    break
            while outcome is None:
                outcome = self._attempt(folder, records, None, None)
            self._check(folder, outcome)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _attempt(
        self, folder: Path, records: int, kill_point: str | None, seconds: float | None
    ) -> dict[str, Any] | None:
        process = _child(self._case, folder, records, kill_point)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        if process.returncode == -signal.SIGKILL:
            self._report.kills += 1
            return None
        if process.returncode != 0:
            raise AssertionError(f"{self._case}: a run failed:\n{err}")
        outcome: dict[str, Any] = json.loads(out.splitlines()[-1])
        if outcome["restore"] is not None:
            self._report.restores.append(outcome["restore"])
        if outcome["damaged"]:
            raise AssertionError(
                f"{self._case}: a kill left a damaged checkpoint under its final name:\n{err}"
            )
        return outcome

    def _check(self, folder: Path, outcome: dict[str, Any]) -> None:
        found, repeats = results(folder)
        self._report.runs += 1
        self._report.repeats += repeats
        expected = self._expected["results"]
        self._report.lost += sum(name not in found for name in expected)
        self._report.wrong += sum(expected.get(name) != line for name, line in found.items())
        if outcome["counts"] != self._expected["counts"]:
            raise AssertionError(
                f"{self._case}: counters {outcome['counts']}, expected {self._expected['counts']}"
            )


def undisturbed(case: str) -> dict[str, Any]:
    """What a run gives that nobody kills."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name:
        folder = Path(name)
        outcome = run_case(case, folder, EVENTS)
        return {"results": results(folder)[0], "counts": outcome["counts"]}


def chaos(cases: list[str], kills: int, seed: int, kill_points: list[str]) -> Report:
    """Every kill point in every case, then kills at random until there were so many."""
    report = Report()
    choose = random.Random(seed)
    expected = {case: undisturbed(case) for case in cases}
    for case in cases:
        for point in kill_points:
            passing = (
                choose.randint(1, 3) if point.startswith(("checkpoint", "run:barrier", "run:encoded")) else 1
            )
            # What kills while a run restores needs a checkpoint to restore.
            first = [("run:durable:2", None)] if point.startswith(("restore", "run:restored")) else []
            Series(case, expected[case], report).run(iter([*first, (f"{point}:{passing}", None)]), 7_000)
    while report.kills < kills:
        case = choose.choice(cases)
        started = time.monotonic()
        length = 2.0
        attempts = choose.randint(2, 8)
        moments = ((None, choose.uniform(0.2, length)) for _ in range(attempts))
        Series(case, expected[case], report).run(moments, choose.choice([1_000, 3_000, 10_000]))
        del started
    return report


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        case, folder, records = sys.argv[2:]
        print(json.dumps(run_case(case, Path(folder), int(records))))
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300, help="at least so many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=CASES, action="append", help="one case; may be repeated")
    said = parser.parse_args()
    report = chaos(said.only or list(CASES), said.kills, said.seed, list(KILL_POINTS))
    print(report)
    return 0 if report.lost == report.wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
