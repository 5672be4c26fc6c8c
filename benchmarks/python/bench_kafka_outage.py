"""Memory of a run from Kafka to Kafka through an outage of the broker.

    python benchmarks/python/bench_kafka_outage.py [--seconds 60] [--events 1000000]

The run has its state in RocksDB and a backlog to read, so that records that were fetched and results that cannot be
delivered pile up when the broker is killed. Its resident memory is read each second. When the broker is back, the run
goes on by itself, and every record has to be in one result.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import confluent_kafka
import llmopt_stream as ls

sys.path.append(str(Path(__file__).parents[2] / "tests" / "python" / "integration"))
from kafka_cluster import KafkaCluster
from traffic import events

PARTITIONS = 4


def run(bootstrap: str, topic: str, results: str, folder: str, count: str) -> None:
    output = ls.KafkaProducerConfig(bootstrap_servers=bootstrap, result_topic=results)
    backend = ls.RocksDBStateBackend(f"{folder}/state", f"{folder}/checkpoints")
    pipeline = (
        ls.create_pipeline("outage")
        .with_kafka_source(ls.KafkaConfig(bootstrap_servers=bootstrap, group_id=topic, topics=[topic]))
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1s")
        .aggregate("data.latency_ms", ["count", "sum", "p99"])
        .with_sink(ls.KafkaAggregationSink(output))
        .with_state_backend(backend)
        .with_checkpoints(interval="1s")
        .build()
    )
    summary = pipeline.run(max_events=int(count))
    print(json.dumps({"in": summary.records_in, "late": summary.late, "panes": summary.panes}))


def _resident(process: int) -> float:
    """MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        run(*sys.argv[2:])
        return
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--events", type=int, default=1_000_000)
    said = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="outage-") as folder:
        kafka = KafkaCluster(Path(folder) / "kafka")
        try:
            _measure(kafka, Path(folder), said.seconds, said.events)
        finally:
            kafka.kill()


def _has_committed(kafka: KafkaCluster, topic: str) -> bool:
    try:
        return any(kafka.committed(topic, topic, PARTITIONS))
    except confluent_kafka.KafkaException:  # the group is so new that nobody coordinates it
        return False


def _measure(kafka: KafkaCluster, folder: Path, seconds: float, count: int) -> None:
    topic, results = kafka.topic(PARTITIONS), kafka.topic(4)
    sent = events(count, partitions=PARTITIONS)
    last = 50_000
    kafka.send(topic, sent[:-last])
    environment = {**os.environ, "PYTHONPATH": str(Path(ls.__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, __file__, "--run", kafka.bootstrap, topic, results, str(folder), str(count)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    while not _has_committed(kafka, topic):
        assert process.poll() is None, "the run has ended"
        time.sleep(0.05)
    before = _resident(process.pid)
    kafka.kill()
    samples = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        assert process.poll() is None, "the run has ended"
        samples.append(_resident(process.pid))
        time.sleep(1)
    kafka.start()
    restarted = time.monotonic()
    kafka.send(topic, sent[-last:])
    after = []
    while process.poll() is None:
        after.append(_resident(process.pid))
        time.sleep(0.25)
    assert process.stdout is not None
    summary = json.loads(process.stdout.read())
    found: dict[Any, int] = {}
    repeats = 0
    for each in kafka.read(results):
        result = json.loads(each.value or b"")
        place = (result["window"]["start"], result["key"]["data.model"], result["pane"]["index"])
        repeats += place in found
        found[place] = result["results"]["count"]
    assert (summary["in"], summary["late"]) == (count, 0), summary
    assert sum(found.values()) == count, "records are missing or counted twice"
    quarter = max(1, len(samples) // 4)
    quarters = [max(samples[at : at + quarter]) for at in range(0, quarter * 4, quarter)]
    print(
        f"{count:,} events, {len(found):,} results ({repeats} of them came twice), none lost; outage of {seconds:g} s; "
        f"done {time.monotonic() - restarted:.0f} s after the restart"
    )
    print(
        f"resident MiB: before {before:.0f}; in the quarters of the outage at most "
        f"{', '.join(f'{each:.0f}' for each in quarters)}; at its end {samples[-1]:.0f}; "
        f"afterwards at most {max(after):.0f}"
    )


if __name__ == "__main__":
    main()
