from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster
from traffic import START, event, events, expected_panes, panes_of

pytestmark = pytest.mark.kafka

FEW = ["count", "sum", "min", "max", "p50"]
BATCH = 20


def builder_of(bootstrap: str, topic: str, mode: str) -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline("latency")
        .with_kafka_source(
            ls.KafkaConfig(
                bootstrap_servers=bootstrap, group_id=topic, topics=[topic], session_timeout_ms=6_000,
                group_instance_id="only", max_poll_records=BATCH,
            )
        )
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .with_delivery(mode)
    )  # fmt: skip


def windows(builder: ls.StreamPipelineBuilder, results: str, bootstrap: str) -> ls.StreamPipelineBuilder:
    output = ls.KafkaProducerConfig(bootstrap_servers=bootstrap, result_topic=results)
    return (
        builder.key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", FEW)
        .with_sink(ls.KafkaAggregationSink(output))
    )


class KilledWithin(ls.Sink):
    """The process dies within the delivery of a batch, half of which is with the sink."""

    def __init__(self, path: Path, batch: int) -> None:
        self._path = path
        self._left = batch

    def send_batch(self, table: Any) -> None:
        self._left -= 1
        records = list(table)
        with self._path.open("a") as file:
            for number, each in enumerate(records):
                if self._left == 0 and number == len(records) // 2:
                    file.flush()
                    signal.raise_signal(signal.SIGKILL)
                file.write(f"{each.data['id']}\n")


def _child(what: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, __file__, what, *arguments], check=False, timeout=60, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_at_most_once_a_crash_loses_records_and_repeats_none(kafka: KafkaCluster, tmp_path: Path) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, events(400, partitions=2))
    delivered = tmp_path / "ids"
    for batch in (1, 2, 4):
        _child("records", kafka.bootstrap, topic, "at_most_once", str(delivered), str(batch))
        # What was being delivered is committed already.
        committed = sum(offset or 0 for offset in kafka.committed(topic, topic, 2))
        lost = committed - len(delivered.read_text().split())
        assert lost > 0
    last = ls.CollectSink()
    rest = 400 - sum(offset or 0 for offset in kafka.committed(topic, topic, 2))
    builder_of(kafka.bootstrap, topic, "at_most_once").map(dict).with_sink(last).build().run(max_events=rest)
    ids = Counter([*map(int, delivered.read_text().split()), *(each.data["id"] for each in last.results)])
    assert set(ids.values()) == {1}, "a record came twice"
    assert len(ids) == 400 - lost
    assert kafka.committed(topic, topic, 2) == [200, 200]


def test_at_least_once_without_a_state_backend_a_crash_repeats_records_and_loses_none(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, events(400, partitions=2))
    delivered = tmp_path / "ids"
    _child("records", kafka.bootstrap, topic, "at_least_once", str(delivered), "3")
    assert kafka.committed(topic, topic, 2) == [None, None]
    last = ls.CollectSink()
    builder_of(kafka.bootstrap, topic, "at_least_once").map(dict).with_sink(last).build().run(max_events=400)
    assert sorted(each.data["id"] for each in last.results) == list(range(400))
    # The input ended: everything is delivered.
    assert kafka.committed(topic, topic, 2) == [200, 200]


def test_at_least_once_windows_that_a_crash_interrupts_are_computed_anew(kafka: KafkaCluster) -> None:
    topic, results = kafka.topic(2), kafka.topic()
    sent = events(4_000, partitions=2)
    kafka.send(topic, sent)
    _child("windows", kafka.bootstrap, topic, "at_least_once", results)
    first = [json.loads(each.value or b"") for each in kafka.read(results)]
    assert first, "the run was killed before it had a result"
    again = windows(builder_of(kafka.bootstrap, topic, "at_least_once"), results, kafka.bootstrap)
    again.build().run(max_events=4_000)
    found = [json.loads(each.value or b"") for each in kafka.read(results)]
    assert panes_of(found) == expected_panes(sent)
    places = Counter(
        (each["window"]["start"], each["key"]["data.model"], each["pane"]["index"]) for each in found
    )
    assert sum(count - 1 for count in places.values()) == len(first), "each of the first run's came again"
    assert len(places) == len({json.dumps(each, sort_keys=True) for each in found}), "and was the same"


def test_at_most_once_windows_that_a_crash_interrupts_lack_its_records(kafka: KafkaCluster) -> None:
    topic, results = kafka.topic(1), kafka.topic()
    kafka.send(topic, [event(START, "m", 1, id=n) for n in range(2 * BATCH)])
    _child("windows", kafka.bootstrap, topic, "at_most_once", results)
    committed = kafka.committed(topic, topic, 1)[0] or 0
    assert committed >= BATCH
    kafka.send(topic, [event(START, "m", 1, id=n) for n in range(7)])
    again = windows(builder_of(kafka.bootstrap, topic, "at_most_once"), results, kafka.bootstrap)
    again.build().run(max_events=2 * BATCH + 7 - committed)
    counts = [json.loads(each.value or b"")["results"]["count"] for each in kafka.read(results)]
    assert counts == [2 * BATCH + 7 - committed]


def test_at_most_once_takes_no_state_backend(tmp_path: Path) -> None:
    backend = ls.RocksDBStateBackend(tmp_path / "state", tmp_path / "checkpoints")
    builder = windows(builder_of("localhost:1", "t", "at_most_once"), "r", "localhost:1")
    with pytest.raises(ls.ConfigurationError, match=r"'at_most_once'.*leave one out"):
        builder.with_state_backend(backend).build()


class KilledLater(ls.KafkaSource):
    """The process dies when so many records were taken and their results handed out."""

    def __init__(self, config: ls.KafkaConfig, records: int) -> None:
        super().__init__(config)
        self._most = records

    def open(self, intake: Any) -> Any:
        take = super().open(intake)

        def step(*most: int) -> bool:
            if self.metrics()["kafka"].get("records", 0) >= self._most:
                for sink in self.sinks:
                    sink.flush()
                signal.raise_signal(signal.SIGKILL)
            return bool(take(*most))

        return step

    sinks: tuple[ls.Sink, ...] = ()


def _records(bootstrap: str, topic: str, mode: str, path: str, batch: str) -> None:
    builder_of(bootstrap, topic, mode).map(dict).with_sink(KilledWithin(Path(path), int(batch))).build().run()


def _windows(bootstrap: str, topic: str, mode: str, results: str) -> None:
    config = ls.KafkaConfig(
        bootstrap_servers=bootstrap, group_id=topic, topics=[topic], session_timeout_ms=6_000,
        group_instance_id="only", max_poll_records=BATCH,
    )  # fmt: skip
    source = KilledLater(config, 3_000 if mode == "at_least_once" else BATCH)
    builder = windows(builder_of(bootstrap, topic, mode).with_source(source), results, bootstrap)
    source.sinks = tuple(builder.plan.sinks())
    builder.build().run()


if __name__ == "__main__":
    {"records": _records, "windows": _windows}[sys.argv[1]](*sys.argv[2:])
