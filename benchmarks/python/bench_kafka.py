"""Kafka in, nine statistics in 60 s windows by model, Kafka out: CPU of this process, and events/s.

    python benchmarks/python/bench_kafka.py BOOTSTRAP [--events 2000000] [--rounds 3] [--floor FILE] [--peers PYTHON]

An even topic of 4 partitions and a skewed one (60 %, 20 %, 20 %, nothing), events of about 310 bytes. The answer is
checked before anything is timed: every count, sum, minimum and maximum against a plain loop over the events.
With --floor, the built benchmarks/cpp/kafka_read.cpp, that reads the even topic in turn with ours and does nothing with it.
With --peers, the interpreter of an environment that has bytewax and quixstreams, they and ours read a further topic of
fewer events, whose records have the model as their key, in turn; windows that they complete are checked as well.
CPU is user and system time of this process, librdkafka's threads included; the broker's is not.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import confluent_kafka
import llmopt_stream as ls
from confluent_kafka.admin import AdminClient, NewTopic

START = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = [f"model-{number:02}" for number in range(50)]
WEIGHTS = [1 / (rank + 1) for rank in range(len(MODELS))]
SHARES = {"even": (0.25, 0.25, 0.25, 0.25), "skewed": (0.6, 0.2, 0.2, 0.0)}

Event = tuple[str, str, float, bytes]
"""Minute, model, latency, payload."""


def events(count: int) -> Iterator[Event]:
    """555 a second of event time, up to 5 s out of order."""
    random_ = random.Random(20260101)
    for number in range(count):
        at = START + timedelta(seconds=number / 555 - random_.random() * 4.9)
        text = at.isoformat(timespec="microseconds").replace("+00:00", "Z")
        model = random_.choices(MODELS, WEIGHTS)[0]
        latency = round(random_.lognormvariate(6, 0.8), 3)
        payload = {
            "id": f"{random_.getrandbits(128):032x}",
            "timestamp": text,
            "source": "gateway-eu-1",
            "event_type": "completion",
            "data": {
                "model": model,
                "latency_ms": latency,
                "prompt_tokens": random_.randrange(20, 4000),
                "completion_tokens": random_.randrange(1, 1500),
                "cost_usd": round(random_.random() / 50, 6),
                "quality": round(random_.random(), 3),
            },
            "metadata": {"tenant": f"tenant-{random_.randrange(20):02}", "region": "eu-west-1"},
        }
        yield text[:16], model, latency, json.dumps(payload, separators=(",", ":")).encode()


def fill(bootstrap: str, count: int) -> dict[str, str]:
    """The topics by name; checks nothing, sends each event to both."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    existing = admin.list_topics(timeout=30).topics
    topics = {name: f"bench-{name}-{count}" for name in SHARES}
    missing = {name: topic for name, topic in topics.items() if topic not in existing}
    if not missing:
        return topics
    for created in admin.create_topics([NewTopic(topic, 4, 1) for topic in missing.values()]).values():
        created.result(30)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "compression.type": "lz4", "linger.ms": 20, "acks": "all"}
    )
    random_ = random.Random(1)
    for _, _, _, payload in events(count):
        for name, topic in missing.items():
            partition = random_.choices(range(4), SHARES[name])[0]
            while True:
                try:
                    producer.produce(topic, payload, partition=partition)
                    break
                except BufferError:
                    producer.poll(0.1)
        producer.poll(0)
    assert producer.flush(120) == 0
    return topics


def fill_keyed(bootstrap: str, count: int) -> str:
    """A topic whose records have the model as their key, in the partition that belongs to it."""
    topic = f"bench-keyed-{count}"
    admin = AdminClient({"bootstrap.servers": bootstrap})
    if topic in admin.list_topics(timeout=30).topics:
        return topic
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(30)
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": bootstrap, "compression.type": "lz4", "queue.buffering.max.messages": 2_000_000}
    )
    for _, model, _, payload in events(count):
        producer.produce(topic, payload, key=model, partition=MODELS.index(model) % 4)
        producer.poll(0)
    assert producer.flush(120) == 0
    return topic


def peer(
    python: str, name: str, bootstrap: str, topic: str, count: int
) -> tuple[dict[tuple[str, str], tuple[float, ...]], float, float]:
    """Counts by window, CPU seconds and seconds."""
    command = [python, str(Path(__file__).with_name("kafka_peers.py")), name, bootstrap, topic, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return {(row[0], row[1]): tuple(row[2:6]) for row in said["rows"]}, said["cpu"], said["seconds"]


def beside_peers(python: str, bootstrap: str, count: int, rounds: int) -> None:
    topic = fill_keyed(bootstrap, count)
    expected = reference(count)
    completed = sorted({minute for minute, _ in expected})[:-2]
    measured = defaultdict(list)
    for _ in range(rounds):
        collected, cpu, seconds = run(bootstrap, topic)
        check(collected, expected)
        measured["llmopt_stream"].append((cpu, seconds))
        for name in ("bytewax", "quixstreams"):
            found, cpu, seconds = peer(python, name, bootstrap, topic, count)
            # Quix Streams leaves windows open that no later record of their partition completes.
            assert {key for key in expected if key[0] in completed} <= found.keys(), name
            for key, (total, *_) in found.items():
                assert total == expected[key][0], (name, key, total, expected[key])
            measured[name].append((cpu, seconds))
    print(f"{count:,} keyed events     CPU-s per 1 M events: least, all   events/s: most")
    for name, each in measured.items():
        cpus = [cpu / count * 1e6 for cpu, _ in each]
        rate = max(count / seconds for _, seconds in each)
        print(f"{name:<20} {min(cpus):.2f}  {', '.join(f'{cpu:.2f}' for cpu in cpus)}   {rate:,.0f}")


def floor(program: str, bootstrap: str, topic: str, count: int) -> tuple[float, float]:
    """CPU seconds and seconds of reading alone."""
    partitions = str(len(SHARES["even"]))
    done = subprocess.run(
        [program, bootstrap, topic, partitions, str(count)], capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    return said["cpu"], said["seconds"]


def reference(count: int) -> dict[tuple[str, str], tuple[int, float, float, float]]:
    values = defaultdict(list)
    for minute, model, latency, _ in events(count):
        values[minute, model].append(latency)
    return {key: (len(each), sum(each), min(each), max(each)) for key, each in values.items()}


def run(bootstrap: str, topic: str) -> tuple[ls.CollectSink, float, float]:
    """The results, CPU seconds and seconds from the first record."""
    collected = ls.CollectSink()
    output = ls.KafkaProducerConfig(bootstrap_servers=bootstrap, result_topic="bench-results")
    pipeline = (
        ls.create_pipeline("bench", event_type=ls.FeedbackEvent)
        .with_kafka_source(
            ls.KafkaConfig(
                bootstrap_servers=bootstrap,
                topics=[topic],
                group_id="bench",
                start_from="earliest",
                until="end",
            )
        )
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("60s")
        .aggregate(
            "data.latency_ms", ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]
        )
        .with_sink(ls.KafkaAggregationSink(output))
        .with_sink(collected)
        .build()
    )
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.perf_counter()
    summary = pipeline.run()
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert (summary.late, summary.malformed) == (0, 0), summary
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return collected, cpu, seconds


def check(results: ls.CollectSink, expected: dict[tuple[str, str], tuple[int, float, float, float]]) -> None:
    found = {}
    for result in results.results:
        said = result.results
        minute = (result.window.start_text or "")[:16]
        found[minute, result.key["data.model"]] = (said["count"], said["sum"], said["min"], said["max"])
    assert found.keys() == expected.keys()
    for key, (count, total, least, greatest) in expected.items():
        assert (found[key][0], *found[key][2:]) == (count, least, greatest), key
        assert abs(found[key][1] - total) <= 1e-9 * total, key


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("bootstrap")
    arguments.add_argument("--events", type=int, default=2_000_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--floor", help="the built benchmarks/cpp/kafka_read.cpp")
    arguments.add_argument("--peers", help="the Python that has bytewax and quixstreams")
    arguments.add_argument("--peer-events", type=int, default=200_000)
    said = arguments.parse_args()
    topics = fill(said.bootstrap, said.events)
    AdminClient({"bootstrap.servers": said.bootstrap}).create_topics([NewTopic("bench-results", 4, 1)])
    expected = reference(said.events)
    measured = defaultdict(list)
    for _ in range(said.rounds):
        for name, topic in topics.items():
            results, cpu, seconds = run(said.bootstrap, topic)
            check(results, expected)
            measured[name].append((cpu / said.events * 1e6, said.events / seconds))
        if said.floor:
            cpu, seconds = floor(said.floor, said.bootstrap, topics["even"], said.events)
            measured["floor"].append((cpu / said.events * 1e6, said.events / seconds))
    print("topic   CPU-s per 1 M events: least, all   events/s: most, all")
    for name, each in measured.items():
        cpus, rates = zip(*each, strict=True)
        print(
            f"{name:<7} {min(cpus):.2f}  {', '.join(f'{cpu:.2f}' for cpu in cpus)}   "
            f"{max(rates):,.0f}  {', '.join(f'{rate:,.0f}' for rate in rates)}"
        )
    if said.peers:
        beside_peers(said.peers, said.bootstrap, said.peer_events, said.rounds)


if __name__ == "__main__":
    main()
