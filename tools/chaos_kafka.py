"""Kills runs from Kafka to Kafka at random and at named steps, restarts the broker, and looks what came of it.

    python tools/chaos_kafka.py [--kills 100] [--seed 1]

Events lie in 4 partitions, out of order; a run aggregates them with its state in RocksDB, takes many checkpoints and
sends its results to another topic. It is killed (SIGKILL) and started again while more events come, and now and then
the broker is killed or restarted under it. In the end the results, without repeats of (key, window, pane index), must
be those of a run that nobody disturbed, and repeats must be equal.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import selectors
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llmopt_stream as ls
from chaos import KILL_POINTS

sys.path.append(str(Path(__file__).parents[1] / "tests" / "python" / "integration"))
from kafka_cluster import KafkaCluster, Sent
from traffic import events

NINE = ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]
PARTITIONS = 4
EVENTS_PER_KILL = 1_500
KILLS_PER_SERIES = 12
LONGEST_RUN_S = 2.5
"""Before a run is killed that has not come to its kill point."""
BROKER_FAULT_SHARE = 0.12

# The last checkpoints are given up when the input has ended, so these come last.
AT_THE_END = tuple(point for point in KILL_POINTS if point.startswith(("run:ended", "discard")))
WHILE_RUNNING = tuple(point for point in KILL_POINTS if point not in AT_THE_END)


def builder(source: ls.KafkaConfig) -> Any:
    return (
        ls.create_pipeline("chaos")
        .with_kafka_source(source)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("10s")
        .aggregate("data.latency_ms", NINE)
    )


def source_of(bootstrap: str, topic: str, **settings: Any) -> ls.KafkaConfig:
    return ls.KafkaConfig(bootstrap_servers=bootstrap, group_id=topic, topics=[topic], **settings)


def run(bootstrap: str, topic: str, results: str, folder: str, until: str | None) -> None:
    """One run, from where the last one got to."""
    source = source_of(
        bootstrap,
        topic,
        until=until,
        grouping="single",
        session_timeout_ms=6_000,
        group_instance_id="only",
        max_poll_records=20,
    )
    output = ls.KafkaProducerConfig(bootstrap_servers=bootstrap, result_topic=results)
    with ls.RocksDBStateBackend(Path(folder) / "state", Path(folder) / "checkpoints") as backend:
        pipeline = (
            builder(source)
            .with_sink(ls.KafkaAggregationSink(output))
            .with_state_backend(backend)
            .with_checkpoints(None, records=100, keep=2)
            .build()
        )
        print("running", flush=True)
        pipeline.run()
    print(json.dumps(pipeline.metrics["checkpoints"]), flush=True)


@dataclass
class Report:
    """What series of kills came to."""

    kills: int = 0
    at_kill_points: int = 0
    broker_faults: int = 0
    series: int = 0
    events: int = 0
    results: int = 0
    lost: int = 0
    wrong: int = 0
    repeats: int = 0
    unequal_repeats: int = 0
    restores: list[float] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.lost == self.wrong == self.unequal_repeats == 0

    def __str__(self) -> str:
        restores = (
            f"median {statistics.median(self.restores):.3f} s, longest {max(self.restores):.3f} s"
            if self.restores
            else "none"
        )
        return (
            f"{self.kills} kills ({self.at_kill_points} at named steps) and {self.broker_faults} restarts of the broker in "
            f"{self.series} series of {self.events:,} events: of {self.results:,} results {self.lost} lost, "
            f"{self.wrong} wrong or counted twice; {self.repeats} repeated and equal, {self.unequal_repeats} repeated "
            f"and not equal; restores at the ends: {restores}"
        )


class Series:
    """A topic that is read to its end although runs are killed."""

    def __init__(self, kafka: KafkaCluster, choose: random.Random, report: Report) -> None:
        self._kafka = kafka
        self._choose = choose
        self._report = report
        self._topic, self._results = kafka.topic(PARTITIONS), kafka.topic(2)
        self._sent: list[Sent] = []

    def run(self, kill_points: list[str | None]) -> None:
        """A kill for each, at that step or, of None, at any moment; and then to the end."""
        coming = iter(
            events(
                EVENTS_PER_KILL * (len(kill_points) + 1),
                partitions=PARTITIONS,
                seed=self._choose.randrange(1 << 30),
                skewed=self._choose.random() < 0.3,
            )
        )
        with tempfile.TemporaryDirectory(prefix="chaos-kafka-") as folder:
            for point in [each for each in kill_points if each not in AT_THE_END]:
                self._send(coming, EVENTS_PER_KILL)
                passing = (
                    1
                    if point is None or point.startswith(("restore", "run:restored"))
                    else self._choose.randint(1, 4)
                )
                self._attempt(folder, None, None if point is None else f"{point}:{passing}")
            self._send(coming, None)
            for point in [each for each in kill_points if each in AT_THE_END]:
                self._attempt(folder, "end", f"{point}:1")
            while not self._attempt(folder, "end", None):
                pass
        self._check()

    def _send(self, coming: Iterator[Sent], count: int | None) -> None:
        more = [each for _, each in zip(range(count or sys.maxsize), coming, strict=False)]
        self._kafka.send(self._topic, more)
        self._sent += more

    def _attempt(self, folder: str, until: str | None, kill_point: str | None) -> bool:
        """Whether it came to its end."""
        environment = {**os.environ, "PYTHONPATH": str(Path(ls.__file__).parent.parent)}
        environment.pop("LLMOPT_STREAM_KILL_POINT", None)
        if kill_point is not None:
            environment["LLMOPT_STREAM_KILL_POINT"] = kill_point
        arguments = ["--run", self._kafka.bootstrap, self._topic, self._results, folder, until or ""]
        process = subprocess.Popen(
            [sys.executable, __file__, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        fault = None
        if until is None:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                selector.select(60)
            if self._choose.random() < BROKER_FAULT_SHARE:
                fault = threading.Thread(target=self._restart_broker, args=(self._choose.random() < 0.5,))
                fault.start()
            seconds = LONGEST_RUN_S if kill_point is not None else self._choose.uniform(0.05, LONGEST_RUN_S)
        else:
            seconds = 120.0
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            if until is not None:
                raise AssertionError(f"a run did not come to its end:\n{err}") from None
            kill_point = None
        if fault is not None:
            fault.join()
        if process.returncode == -signal.SIGKILL:
            self._report.kills += 1
            self._report.at_kill_points += kill_point is not None
            return False
        if process.returncode != 0 or until is None:
            raise AssertionError(f"a run ended by itself, with {process.returncode}:\n{err}")
        restored = json.loads(out.splitlines()[-1])["restore_duration"]
        if restored is not None:
            self._report.restores.append(restored)
        return True

    def _restart_broker(self, in_order: bool) -> None:
        self._report.broker_faults += 1
        if in_order:
            self._kafka.stop()
        else:
            self._kafka.kill()
        self._kafka.start()

    def _check(self) -> None:
        self._report.series += 1
        self._report.events += len(self._sent)
        found: dict[str, bytes] = {}
        for each in self._kafka.read(self._results):
            value = each.value or b""
            name = _name(json.loads(value))
            if name in found:
                self._report.repeats += found[name] == value
                self._report.unequal_repeats += found[name] != value
            found[name] = value
        expected = undisturbed(self._kafka.bootstrap, self._topic, len(self._sent))
        self._report.results += len(expected)
        self._report.lost += sum(name not in found for name in expected)
        self._report.wrong += sum(
            name not in expected or json.loads(value) != expected[name] for name, value in found.items()
        )


def _name(result: Any) -> str:
    return json.dumps([result["key"], result["window"], result["pane"]["index"]])


def undisturbed(bootstrap: str, topic: str, count: int) -> dict[str, Any]:
    """The results of a run without kills, by what names them. Each record is in one of them."""
    sink = ls.CollectSink()
    source = source_of(bootstrap, topic, until="end", start_from="earliest")
    summary = builder(source).with_sink(sink).build().run()
    assert (summary.records_in, summary.aggregated, summary.late) == (count, count, 0), summary
    results = [json.loads(each.to_json()) for each in sink.results]
    assert sum(each["results"]["count"] for each in results) == count
    return {_name(each): each for each in results}


def chaos(kafka: KafkaCluster, *, kills: int, seed: int) -> Report:
    """Every other kill is at a named step, each step in turn; the others come at any moment."""
    report = Report()
    choose = random.Random(seed)
    points: list[str] = []
    while report.kills < kills:
        wanted: list[str | None] = []
        for number in range(min(KILLS_PER_SERIES, kills - report.kills)):
            if number % 2 == 0:
                wanted.append(None)
                continue
            if not points:
                points = [*WHILE_RUNNING, *AT_THE_END]
                choose.shuffle(points)
            wanted.append(points.pop())
        Series(kafka, choose, report).run(wanted)
    return report


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        bootstrap, topic, results, folder, until = sys.argv[2:]
        run(bootstrap, topic, results, folder, until or None)
        return 0
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100, help="at least so many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kafka-") as folder:
        kafka = KafkaCluster(Path(folder))
        with contextlib.ExitStack() as stack:
            stack.callback(kafka.kill)
            report = chaos(kafka, kills=said.kills, seed=said.seed)
    print(report)
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
