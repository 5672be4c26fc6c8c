"""Runs in threads of their own, as members of a group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llmopt_stream as ls
from kafka_cluster import KafkaCluster


class Member:
    """A run that hands every record on; with `state`, it has checkpoints there."""

    def __init__(
        self, kafka: KafkaCluster, topic: str, *, state: Path | None = None, **settings: Any
    ) -> None:
        self.sink = ls.CollectSink()
        settings = {"group_id": topic, "topics": [topic], "session_timeout_ms": 6_000, **settings}
        config = ls.KafkaConfig(bootstrap_servers=kafka.bootstrap, **settings)
        builder = ls.create_pipeline().with_kafka_source(config).map(dict).with_sink(self.sink)
        self._backend: ls.RocksDBStateBackend | None = None
        if state is not None:
            self._backend = ls.RocksDBStateBackend(state / "state", state / "checkpoints")
            builder = builder.with_state_backend(self._backend).with_checkpoints(interval="100ms")
        self.pipeline = builder.build()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.pipeline.run(timeout="60s")
        except ls.KafkaError as failure:
            self.failure = failure

    @property
    def ids(self) -> list[int]:
        """Of the records so far."""
        return [each.data["id"] for each in list(self.sink.results)]

    @property
    def metrics(self) -> Any:
        return self.pipeline.metrics["kafka"]

    @property
    def rebalances(self) -> int:
        return int(self.metrics.get("rebalances", 0))

    def stop(self) -> None:
        self.pipeline.stop()
        self.join()

    def join(self) -> None:
        self._thread.join(60)
        assert not self._thread.is_alive()
        if self._backend is not None:
            self._backend.close()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
