"""The peers of bench_kafka.py, one in a process: Kafka in, nine statistics in 60 s windows by model.

    python benchmarks/python/kafka_peers.py bytewax|quixstreams BOOTSTRAP TOPIC EVENTS

Prints the CPU seconds, the seconds, and [minute, model, count, sum, min, max, p50] of each window. Records have the
model as their key, which Quix Streams' windows are by. Neither writes to Kafka, and Quix Streams has no changelog topics:
both do less than is asked of ours.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

warnings.simplefilter("ignore")
PARTITIONS = 4


def _nine(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    count, total = len(ordered), sum(ordered)
    average = total / count
    deviation = (sum((value - average) ** 2 for value in ordered) / count) ** 0.5

    def rank(percent: int) -> float:
        return ordered[-(-count * percent // 100) - 1]

    return {
        "count": count,
        "sum": total,
        "average": average,
        "min": ordered[0],
        "max": ordered[-1],
        "stddev": deviation,
        "p50": rank(50),
        "p95": rank(95),
        "p99": rank(99),
    }


def _row(minute: str, model: str, values: list[float]) -> list[Any]:
    said = _nine(values)
    return [minute, model, *(said[name] for name in ("count", "sum", "min", "max", "p50"))]


def bytewax(bootstrap: str, topic: str, events: int) -> list[list[Any]]:
    import bytewax.operators as op
    import bytewax.operators.windowing as win
    from bytewax.connectors.kafka import OFFSET_BEGINNING, KafkaSource
    from bytewax.dataflow import Dataflow
    from bytewax.testing import TestingSink, run_main

    start = datetime(2026, 1, 1, tzinfo=UTC)
    found: list[Any] = []

    def parse(message: Any) -> tuple[str, tuple[datetime, float]]:
        said = json.loads(message.value)
        at = datetime.fromisoformat(said["timestamp"])
        return said["data"]["model"], (at, said["data"]["latency_ms"])

    def add(values: list[float], event: tuple[datetime, float]) -> list[float]:
        values.append(event[1])
        return values

    flow = Dataflow("bench")
    source = KafkaSource([bootstrap], [topic], starting_offset=OFFSET_BEGINNING, tail=False, batch_size=1000)
    parsed = op.map("parse", op.input("in", flow, source), parse)
    # Partitions are read one after the other for a while: nothing may be late.
    clock = win.EventClock(lambda event: event[0], wait_for_system_duration=timedelta(days=1))
    windower = win.TumblingWindower(align_to=start, length=timedelta(minutes=1))
    windows = win.fold_window("window", parsed, clock, windower, list, add, lambda a, b: a + b, ordered=False)
    op.output("out", windows.down, TestingSink(found))
    run_main(flow)
    minutes = [start + timedelta(minutes=number) for number in range(-1, 24 * 60)]
    return [
        _row(minutes[window + 1].strftime("%Y-%m-%dT%H:%M"), model, values)
        for model, (window, values) in found
    ]


def quixstreams(bootstrap: str, topic: str, events: int) -> list[list[Any]]:
    import tempfile

    from quixstreams import Application
    from quixstreams.dataframe.windows import Collect

    found: list[list[Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        app = Application(
            broker_address=bootstrap,
            consumer_group=f"quix-{time.time_ns()}",
            auto_offset_reset="earliest",
            use_changelog_topics=False,
            state_dir=folder,
            loglevel="ERROR",
            consumer_poll_timeout=0.1,
        )

        def at(value: Any, headers: Any, timestamp: float, timestamp_type: Any) -> int:
            return int(datetime.fromisoformat(value["timestamp"]).timestamp() * 1000)

        frame = app.dataframe(app.topic(topic, value_deserializer="json", timestamp_extractor=at))
        frame = frame.apply(lambda value: value["data"]["latency_ms"])
        window = frame.tumbling_window(60_000, grace_ms=5_000).agg(values=Collect())

        def take(value: Any, key: Any, timestamp: int, headers: Any) -> None:
            minute = datetime.fromtimestamp(value["start"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M")
            found.append(_row(minute, key.decode() if isinstance(key, bytes) else key, value["values"]))

        window.final(closing_strategy="partition").update(take, metadata=True)
        app.run(count=events, timeout=30)
    return found


def main() -> None:
    name, bootstrap, topic, events = sys.argv[1:]
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    rows = {"bytewax": bytewax, "quixstreams": quixstreams}[name](bootstrap, topic, int(events))
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu": cpu, "seconds": seconds, "rows": rows}))


if __name__ == "__main__":
    main()
