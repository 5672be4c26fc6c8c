"""Kills runs at random and at every named step, and looks whether anything was lost or counted twice.

    python tools/chaos.py [--kills 300] [--seed 1] [--only CASE] [--events 60000] [--no-steps]

A run reads generated events, takes many checkpoints and appends its results to a file. It is killed (SIGKILL),
started again, and so on until it ends by itself; in between the newest checkpoint is damaged now and then, if there
is one before it. Then its results, without repeats of (branch, key, window, pane index), must be those of a run that
nobody disturbed, repeats must be equal, and the counters must be the same. Files of NdjsonSink and ParquetSink must
have every result once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmopt_stream as ls
from llmopt_stream import _core

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
    "close:before-mark",
)


class AppendSink(ls.Sink):
    """Appends lines to a file that outlives runs; a line that a kill cut short is not valid JSON.

    It kills the run when it is flushed for the `last`-th time.
    """

    def __init__(self, path: Path, last: int | None) -> None:
        self._path = path
        self._file = -1
        self._last = last
        self._flushed = 0

    def open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def send_batch(self, table: Any) -> None:
        os.write(self._file, ("\n" + "".join(f"{result.to_json()}\n" for result in table)).encode())

    def flush(self) -> None:
        os.fsync(self._file)
        self._flushed += 1
        if self._flushed == self._last:
            os.kill(os.getpid(), signal.SIGKILL)

    def close(self) -> None:
        os.close(self._file)


def _keyed() -> Any:
    return ls.create_pipeline("chaos").key_by("data.model", "metadata.tenant")


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


class WaitingWriter(_core.CheckpointWriter):
    """Before a checkpoint begins, the one before is there, however slow the disk is."""

    def checkpoint(self, *said: Any) -> None:
        super().checkpoint(*said)
        self.wait()


@dataclass(frozen=True)
class Attempt:
    """One run of a case, in a process of its own."""

    case: str
    folder: Path
    events: int
    records: int
    """Between two checkpoints; 0: without any."""
    last_flush: int | None = None
    """The sink kills the run when it is flushed so many times."""

    def run(self) -> dict[str, Any]:
        """From where the last one got to; what it counted."""
        source = ls.GeneratorSource(seed=11, events=self.events, late_share=0.02, events_per_second=500)
        builder = (
            CASES[self.case]()
            .with_source(source)
            .with_options(buffer_size=max(1, self.events // 60))
            .with_sink(AppendSink(self.folder / "results", self.last_flush))
            .with_sink(ls.NdjsonSink(self.folder / "results.ndjson"))
        )
        if self.case == "tumbling":
            builder = builder.with_sink(ls.ParquetSink(self.folder / "results.parquet"))
        if self.records == 0:
            return _outcome(builder.build())
        if self.last_flush is not None:
            _core.CheckpointWriter = WaitingWriter  # type: ignore[misc]
        with ls.RocksDBStateBackend(self.folder / "state", self.folder / "checkpoints") as backend:
            checkpointed = builder.with_state_backend(backend).with_checkpoints(
                None, records=self.records, keep=2
            )
            return _outcome(checkpointed.build())


def _outcome(pipeline: ls.StreamPipeline) -> dict[str, Any]:
    summary = pipeline.run()
    metrics = pipeline.metrics.get("checkpoints", {})
    return {
        "counts": {
            name: getattr(summary, name)
            for name in ("records_in", "aggregated", "late", "malformed", "panes")
        },
        "restore": metrics.get("restore_duration"),
        "damaged": metrics.get("damaged"),
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
        name = _name(
            result["key"].values(),
            result["window"]["start"],
            result["window"]["end"],
            result["pane"]["index"],
        )
        if name in found:
            repeats += 1
            if found[name] != line:
                raise AssertionError(f"a result came again, but was another:\n{found[name]}\n{line}")
        found[name] = line
    return found, repeats


def _name(key: Iterable[Any], *said: Any) -> str:
    return json.dumps([*key, *said])


def check_files(case: str, folder: Path, expected: dict[str, str]) -> None:
    """Every result is in the files once, and nothing is left beside them."""
    lines = (folder / "results.ndjson").read_text().splitlines()
    if sorted(lines) != sorted(expected.values()):
        raise AssertionError(f"{case}: results.ndjson has {len(lines)} lines, expected {len(expected)}")
    if case == "tumbling":
        import pyarrow.parquet  # takes long, and most processes do not need it

        rows = pyarrow.parquet.read_table(folder / "results.parquet").to_pylist()
        names = [
            _name(
                (row["data.model"], row["metadata.tenant"]),
                *(row[side].strftime("%Y-%m-%dT%H:%M:%SZ") for side in ("window_start", "window_end")),
                row["pane_index"],
            )
            for row in rows
        ]
        if sorted(names) != sorted(expected):
            raise AssertionError(f"{case}: results.parquet has {len(names)} rows, expected {len(expected)}")


@dataclass
class Report:
    """What a series of kills came to."""

    kills: int = 0
    runs: int = 0
    lost: int = 0
    wrong: int = 0
    repeats: int = 0
    damages: int = 0
    """Checkpoints that were damaged on purpose."""
    damaged: int = 0
    """Checkpoints that a recovery passed over; some damage is discarded before one comes to it."""
    restores: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        times = sorted(self.restores)
        shown = "none"
        if times:
            shown = f"{len(times)}, median {statistics.median(times):.3f} s, longest {times[-1]:.3f} s"
        return (
            f"{self.kills} kills survived in {self.runs} series; results lost {self.lost}, wrong or counted twice "
            f"{self.wrong}, repeated and equal {self.repeats}; {self.damages} checkpoints damaged, {self.damaged} of "
            f"them passed over; restores: {shown}"
        )


def in_a_process(attempt: Attempt, kill_point: str | None = None, seconds: float | None = None) -> str | None:
    """What a run says, as JSON; None if it was killed: at a step, or after so many seconds."""
    if kill_point is None:
        process = _forked(attempt)
    else:
        # Which step kills is read from the environment when the core is loaded.
        command = [
            sys.executable,
            __file__,
            "--run",
            json.dumps({**vars(attempt), "folder": str(attempt.folder)}),
        ]
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(ls.__file__).parent.parent),
            "LLMOPT_STREAM_KILL_POINT": kill_point,
        }
        process = subprocess.Popen(command, env=environment).pid
    status = _waited(process, seconds)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status != 0:
        raise AssertionError(f"{attempt.case}: a run failed with status {status}; it says why above")
    return (attempt.folder / "outcome").read_text()


def _forked(attempt: Attempt) -> int:
    """A process that need not load anything. This one has no threads, and no backend was ever opened in it."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            run_and_say(attempt)
            status = 0
        except BaseException:  # noqa: BLE001 - the process ends, whatever it was
            traceback.print_exc()
        finally:
            os._exit(status)
    return process


def run_and_say(attempt: Attempt) -> None:
    (attempt.folder / "outcome").write_text(json.dumps(attempt.run()))


def _waited(process: int, seconds: float | None) -> int:
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        done, status = os.waitpid(process, 0 if until is None else os.WNOHANG)
        if done == process:
            return status
        if until is not None and time.monotonic() >= until:
            os.kill(process, signal.SIGKILL)
            until = None
        else:
            time.sleep(0.002)


@dataclass(frozen=True)
class Kill:
    """How a run ends before its time."""

    point: str | None = None
    seconds: float | None = None
    last_flush: int | None = None


class Series:
    """A case whose run is killed until it is let to its end."""

    def __init__(self, case: str, events: int, report: Report, choose: random.Random) -> None:
        self._case = case
        self._events = events
        self.report = report
        self._choose = choose
        self._expected = self._undisturbed()
        self._damaged: set[Path] = set()

    def _undisturbed(self) -> tuple[dict[str, str], Any, float]:
        """Results, counters and seconds of a run without checkpoints."""
        with _folder() as folder:
            started = time.monotonic()
            said = in_a_process(Attempt(self._case, folder, self._events, 0))
            assert said is not None
            return results(folder)[0], json.loads(said)["counts"], time.monotonic() - started

    @property
    def seconds(self) -> float:
        """That an undisturbed run takes, about."""
        return self._expected[2]

    def run(self, kills: Iterable[Kill], records: int, *, damages: bool = False) -> None:
        """Kills run after run; then one comes to its end."""
        with _folder() as folder:
            for kill in kills:
                said = self._attempt(folder, records, kill)
                if said is not None:
                    break
                if damages and self._choose.random() < 0.3:
                    self._damage(folder)
            else:
                said = self._attempt(folder, records, Kill())
            assert said is not None
            self._check(folder, json.loads(said))

    def _attempt(self, folder: Path, records: int, kill: Kill) -> str | None:
        attempt = Attempt(self._case, folder, self._events, records, kill.last_flush)
        said = in_a_process(attempt, kill.point, kill.seconds)
        if said is None:
            self.report.kills += 1
            return None
        outcome = json.loads(said)
        if outcome["restore"] is not None:
            self.report.restores.append(outcome["restore"])
        self.report.damaged += outcome["damaged"]
        if outcome["damaged"] and not any(folder in each.parents for each in self._damaged):
            raise AssertionError(f"{self._case}: a kill left a damaged checkpoint under its final name")
        return said

    def _damage(self, folder: Path) -> None:
        """Flips a bit of a file of the newest checkpoint, or cuts it, if one is left that is whole."""
        whole = [
            each
            for each in sorted((folder / "checkpoints").glob("checkpoint-*"))
            if each not in self._damaged
        ]
        if len(whole) < 2:
            return
        file = self._choose.choice(sorted(whole[-1].iterdir()))
        content = bytearray(file.read_bytes())
        if not content:
            return
        if self._choose.random() < 0.5:
            content[self._choose.randrange(len(content))] ^= 1 << self._choose.randrange(8)
        else:
            del content[self._choose.randrange(len(content)) :]
        file.unlink()  # checkpoints share files, and only this one is to be damaged
        file.write_bytes(content)
        self._damaged.add(whole[-1])
        self.report.damages += 1

    def _check(self, folder: Path, outcome: dict[str, Any]) -> None:
        found, repeats = results(folder)
        expected, counts, _ = self._expected
        self.report.runs += 1
        self.report.repeats += repeats
        self.report.lost += sum(name not in found for name in expected)
        self.report.wrong += sum(expected.get(name) != line for name, line in found.items())
        if outcome["counts"] != counts:
            raise AssertionError(f"{self._case}: counters {outcome['counts']}, expected {counts}")
        check_files(self._case, folder, expected)


@contextmanager
def _folder() -> Iterator[Path]:
    """In memory if there is such a directory, which a kill does not tell from a disk."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(
        prefix="chaos-", dir=memory if os.access(memory, os.W_OK) else None, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def at_kill_points(series: Series, choose: random.Random, events: int) -> None:
    """A series for each named step, which the first run or, of a recovery, the second is killed at."""
    for point in KILL_POINTS:
        # What kills while a run restores needs a checkpoint: a second one begins when the first is there.
        first = [Kill(last_flush=2)] if point.startswith(("restore", "run:restored")) else []
        passing = (
            choose.randint(1, 3) if point.startswith(("checkpoint", "run:barrier", "run:encoded")) else 1
        )
        for each in dict.fromkeys((passing, 1)):
            before = series.report.kills
            series.run([*first, Kill(point=f"{point}:{each}")], events // 9)
            if series.report.kills - before > len(first):
                break
        else:
            raise AssertionError(f"no run came to the step {point}")


def at_random(each: Mapping[str, Series], choose: random.Random, kills: int, events: int) -> None:
    """Series of random cases, until there were so many kills."""
    report = next(iter(each.values())).report
    until = report.kills + kills
    while report.kills < until:
        series = each[choose.choice(sorted(each))]
        moments = [Kill(seconds=choose.uniform(0.02, series.seconds)) for _ in range(choose.randint(2, 8))]
        series.run(moments, events // choose.choice([6, 20, 60]), damages=True)


def chaos(cases: Sequence[str], kills: int, seed: int, events: int, *, steps: bool) -> Report:
    """Every kill point in every case, then kills at random until there were so many."""
    report = Report()
    choose = random.Random(seed)
    each = {case: Series(case, events, report, choose) for case in cases}
    for series in each.values() if steps else ():
        at_kill_points(series, choose, events)
    at_random(each, choose, max(0, kills - report.kills), events)
    return report


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        said = json.loads(sys.argv[2])
        run_and_say(Attempt(**{**said, "folder": Path(said["folder"])}))
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=300, help="at least so many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=CASES, action="append", help="one case; may be repeated")
    parser.add_argument("--events", type=int, default=60_000, help="of a run (default %(default)s)")
    parser.add_argument("--no-steps", action="store_true", help="at random only")
    said = parser.parse_args()
    report = chaos(said.only or list(CASES), said.kills, said.seed, said.events, steps=not said.no_steps)
    print(report)
    return 0 if report.lost == report.wrong == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
