"""config/processor-test.yaml as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster, Sent
from traffic import events

pytestmark = pytest.mark.kafka
pytest.importorskip("yaml")

FILE = Path(__file__).parents[3] / "config" / "processor-test.yaml"
PACKAGE = Path(ls.__file__).parent.parent
TOPIC, RESULTS, GROUP = "feedback-events", "aggregated-metrics", "llm-optimizer-processor-test"


class Processor:
    """`llmopt-stream run --config FILE` in a process of its own."""

    def __init__(self, kafka: KafkaCluster, folder: Path, *options: str) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(PACKAGE),
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "LLM_OPTIMIZER_FILES": str(folder),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llmopt_stream", "run", "--config", str(FILE), *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> None:
        out, err = self.process.communicate(timeout=90)
        assert self.process.returncode == 0, err
        assert "records" in err, (out, err)


def _results(kafka: KafkaCluster) -> list[Any]:
    return [json.loads(each.value or b"") for each in kafka.read(RESULTS)]


def _by_place(results: list[Any]) -> dict[str, Any]:
    return {json.dumps([each["key"], each["window"], each["pane"]["index"]]): each for each in results}


def _with_region(sent: list[Sent]) -> list[Sent]:
    regions = ("us-west-2", "eu-west-1")
    records = []
    for number, each in enumerate(sent):
        said = {**json.loads(each.value or b""), "metadata": {"region": regions[number % 2]}}
        records.append(Sent(json.dumps(said).encode(), each.partition))
    return records


def test_a_configured_processor_drains_on_sigterm_and_the_next_one_goes_on(
    kafka: KafkaCluster, tmp_path: Path
) -> None:
    kafka.topic(3, name=TOPIC)
    kafka.topic(1, name=RESULTS)
    sent = _with_region(events(4_000, partitions=3))
    kafka.send(TOPIC, sent[:2_000])
    first = Processor(kafka, tmp_path)
    deadline = time.monotonic() + 60
    while not _results(kafka):
        assert first.process.poll() is None, first.process.communicate()
        assert time.monotonic() < deadline, "no result"
        time.sleep(0.2)
    first.process.send_signal(signal.SIGTERM)
    first.wait()
    early = _results(kafka)
    committed = kafka.committed(GROUP, TOPIC, 3)
    assert sum(offset or 0 for offset in committed) == 2_000
    # Windows that were open did not fire: the next run completes them.
    assert sum(each["results"]["count"] for each in early) < 2_000
    kafka.send(TOPIC, sent[2_000:])
    Processor(kafka, tmp_path, "--set", "kafka.consumer.until=end").wait()
    found = _results(kafka)
    # In good order nothing comes twice.
    assert len(_by_place(found)) == len(found)
    assert sum(each["results"]["count"] for each in found) == 4_000
    assert kafka.committed(GROUP, TOPIC, 3) == [1334, 1333, 1333]

    sink = ls.CollectSink()
    source = ls.KafkaConfig(
        bootstrap_servers=kafka.bootstrap, topics=[TOPIC], start_from="earliest", until="end"
    )
    (
        ls.create_pipeline("latency-by-model", event_type=ls.FeedbackEvent)
        .with_kafka_source(source)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s", idle_timeout="10s"))
        .key_by("data.model", "metadata.region")
        .with_tumbling_window("1m", allowed_lateness="1m")
        .aggregate("data.latency_ms", list(found[0]["results"]))
        .with_sink(sink)
        .build()
        .run()
    )
    assert _by_place(found) == _by_place([json.loads(each.to_json()) for each in sink.results])
