"""End-to-end latency from Kafka to Kafka: from the record that completes a window to its result.

    python benchmarks/python/bench_kafka_latency.py BOOTSTRAP [--rate 10000] [--seconds 30]

A producer of its own process sends events to 4 partitions, each with the time at which it is sent; windows of 100 ms by
model are complete when every partition has an event beyond their end. Measured is the time from sending the last of
those to (1) the result being handed to a sink and (2) its record being read from the result topic by another process.
The counts of all windows have to add up to what was sent.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import confluent_kafka
import llmopt_stream as ls
from confluent_kafka.admin import AdminClient, NewTopic

PARTITIONS = 4
MODELS = 50
WINDOW_US = 100_000
WARM_UP_WINDOWS = 50


def produce(bootstrap: str, topic: str, rate: int, seconds: float) -> None:
    """Prints, by window end, when the last partition got beyond it."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "linger.ms": 1, "compression.type": "lz4"}
    )
    ends = [0] * PARTITIONS
    completed: dict[int, int] = {}
    began = time.time()
    total = int(rate * seconds)
    number = 0
    while number < total:
        due = min(total, int((time.time() - began) * rate) + 1)
        while number < due:
            at = time.time_ns() // 1000
            text = datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="microseconds")
            event = {
                "timestamp": text,
                "data": {
                    "model": f"model-{number % MODELS:02}",
                    "latency_ms": number % 997,
                    "cost_usd": 0.01,
                },
                "padding": "x" * 180,
            }
            partition = number // 7 % PARTITIONS
            producer.produce(topic, json.dumps(event, separators=(",", ":")).encode(), partition=partition)
            end = at // WINDOW_US * WINDOW_US
            if end > ends[partition]:
                before = min(ends)
                ends[partition] = end
                if min(ends) > before:
                    completed[min(ends)] = at
            number += 1
        producer.poll(0)
        time.sleep(0.0005)
    assert producer.flush(30) == 0
    print(json.dumps({"sent": number, "completed": completed}))


def consume(bootstrap: str, topic: str, until: float) -> None:
    """Prints, by window end, when its first and its last result were read."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "latency", "fetch.wait.max.ms": 5}
    )
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    print("reading", flush=True)
    seen: dict[int, int] = {}
    while time.time() < until:
        message = consumer.poll(0.05)
        if message is not None and message.error() is None:
            end = datetime.fromisoformat(json.loads(message.value())["window"]["end"])
            seen[round(end.timestamp() * 1e6)] = time.time_ns() // 1000
    consumer.close()
    print(json.dumps(seen))


class Timing(ls.Sink):
    """When the last result of each window was handed over, and the sum of the counts."""

    def __init__(self) -> None:
        self.at: dict[int, int] = {}
        self.counted = 0

    def send_batch(self, table: Any) -> None:
        now = time.time_ns() // 1000
        for each in table:
            self.at[round(each.window.end.timestamp() * 1e6)] = now
            self.counted += each.results["count"]


def _percentiles(completed: dict[int, int], seen: dict[int, int]) -> str:
    ends = sorted(completed.keys() & seen.keys())[WARM_UP_WINDOWS:]
    latencies = sorted((seen[end] - completed[end]) / 1000 for end in ends)
    at = [latencies[min(len(latencies) - 1, int(len(latencies) * share))] for share in (0.5, 0.9, 0.99)]
    return f"p50 {at[0]:.1f} ms, p90 {at[1]:.1f} ms, p99 {at[2]:.1f} ms, most {latencies[-1]:.1f} ms, of {len(ends)} windows"


def main() -> None:
    if sys.argv[1] == "--produce":
        produce(sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5]))
        return
    if sys.argv[1] == "--consume":
        consume(sys.argv[2], sys.argv[3], float(sys.argv[4]))
        return
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("bootstrap")
    arguments.add_argument("--rate", type=int, default=10_000)
    arguments.add_argument("--seconds", type=float, default=30.0)
    said = arguments.parse_args()
    name = uuid.uuid4().hex[:8]
    topic, results = f"latency-{name}", f"latency-results-{name}"
    topics = [NewTopic(topic, PARTITIONS, 1), NewTopic(results, 1, 1)]
    admin = AdminClient({"bootstrap.servers": said.bootstrap})
    for created in admin.create_topics(topics).values():
        created.result(30)
    until = str(time.time() + said.seconds + 15)
    command = [sys.executable, __file__]
    reader = subprocess.Popen(
        [*command, "--consume", said.bootstrap, results, until], stdout=subprocess.PIPE, text=True
    )
    assert reader.stdout is not None
    reader.stdout.readline()
    writer = subprocess.Popen(
        [*command, "--produce", said.bootstrap, topic, str(said.rate), str(said.seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    timing = Timing()
    output = ls.KafkaProducerConfig(bootstrap_servers=said.bootstrap, result_topic=results)
    source = ls.KafkaConfig(bootstrap_servers=said.bootstrap, topics=[topic], group_id=topic)
    pipeline = (
        ls.create_pipeline("latency")
        .with_kafka_source(source)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
        .key_by("data.model")
        .with_tumbling_window("100ms")
        .aggregate(
            "data.latency_ms", ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]
        )
        .with_sink(ls.KafkaAggregationSink(output))
        .with_sink(timing)
        .build()
    )
    cpu = time.process_time()
    summary = pipeline.run(max_events=int(said.rate * said.seconds), timeout=said.seconds + 30)
    cpu = time.process_time() - cpu
    sent = json.loads(writer.communicate()[0])
    read = json.loads(reader.communicate()[0])
    assert summary.records_in == sent["sent"], (summary, sent["sent"])
    assert timing.counted + summary.late == sent["sent"]
    completed = {int(end): at for end, at in sent["completed"].items()}
    print(
        f"{said.rate:,} events/s for {said.seconds:g} s, {summary.panes:,} results, CPU {cpu / said.seconds:.0%}"
    )
    print(f"to the sink:            {_percentiles(completed, timing.at)}")
    print(f"to the result's reader: {_percentiles(completed, {int(end): at for end, at in read.items()})}")


if __name__ == "__main__":
    main()
