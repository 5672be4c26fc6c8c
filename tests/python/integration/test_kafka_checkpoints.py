from __future__ import annotations

import importlib
import json
import random
import threading
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster
from traffic import events, expected_panes, panes_of

pytestmark = pytest.mark.kafka

TOOLS = Path(__file__).parents[3] / "tools"
FEW = ["count", "sum", "min", "max", "p50"]


def pipeline_of(
    bootstrap: str,
    topic: str,
    results: str,
    state: ls.RocksDBStateBackend,
    *,
    until: str | None = None,
) -> ls.StreamPipeline:
    return (
        ls.create_pipeline("latency")
        .with_kafka_source(
            ls.KafkaConfig(
                bootstrap_servers=bootstrap, group_id=topic, topics=[topic], until=until, session_timeout_ms=6_000,
                max_poll_records=20,
            )
        )
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", FEW)
        .with_state_backend(state)
        .with_checkpoints(interval="50ms")
        .with_sink(
            ls.KafkaAggregationSink(ls.KafkaProducerConfig(bootstrap_servers=bootstrap, result_topic=results))
        )
        .build()
    )  # fmt: skip


def state_in(directory: Path) -> ls.RocksDBStateBackend:
    return ls.RocksDBStateBackend(str(directory / "state"), str(directory / "checkpoints"))


def _check(kafka: KafkaCluster, topic: str, results: str, sent: list[Any]) -> None:
    found = [json.loads(each.value or b"") for each in kafka.read(results)]
    assert panes_of(found) == expected_panes(sent)
    # What came twice, after the last checkpoint, is the same each time.
    panes: dict[Any, Any] = {}
    for each in found:
        place = (each["window"]["start"], each["key"]["data.model"], each["pane"]["index"])
        assert panes.setdefault(place, each) == each
    counted = sum(each["results"]["count"] for each in panes.values())
    assert counted == len(sent)


def test_a_run_that_was_stopped_goes_on_where_it_was_and_commits_what_is_safe(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    topic, results = kafka.topic(3), kafka.topic()
    sent = events(3_000, partitions=3)
    random_ = random.Random(5)
    at, committed = 0, 0
    state = state_in(tmp_path)
    while at < len(sent):
        more = random_.randrange(400, 1_200)
        kafka.send(topic, sent[at : at + more])
        at += more
        pipeline = pipeline_of(kafka.bootstrap, topic, results, state)
        stopping = threading.Timer(random_.random() * 2, pipeline.stop)
        stopping.start()
        pipeline.run()
        stopping.join()
        now = sum(offset or 0 for offset in kafka.committed(topic, topic, 3))
        assert committed <= now <= at
        committed = now
    pipeline_of(kafka.bootstrap, topic, results, state, until="end").run()
    _check(kafka, topic, results, sent)
    assert kafka.committed(topic, topic, 3) == [1_000, 1_000, 1_000]


def test_a_process_that_is_killed_at_any_moment_loses_nothing(
    kafka: KafkaCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A short `make chaos-kafka`; the broker is others' too, and is left alone.
    monkeypatch.syspath_prepend(TOOLS)
    chaos_kafka = importlib.import_module("chaos_kafka")
    monkeypatch.setattr(chaos_kafka, "BROKER_FAULT_SHARE", 0)
    report = chaos_kafka.chaos(kafka, kills=5, seed=9)
    assert report.ok, str(report)
    assert (report.kills, report.series) == (5, 1)
    assert report.results > 500
