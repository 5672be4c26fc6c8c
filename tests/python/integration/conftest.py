from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

# Where the broker is part of what is checked, its absence is a failure and no reason to skip.
NEEDED = os.environ.get("LLMOPT_STREAM_KAFKA") == "required"


def _need_java() -> None:
    if not NEEDED and (shutil.which("java") is None or shutil.which("mvn") is None):
        pytest.skip("no Java or no Maven: `tools/install_deps.sh kafka` installs both")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """One node on loopback, started when the first test asks for it."""
    _need_java()
    pytest.importorskip("confluent_kafka")
    from kafka_cluster import KafkaCluster

    cluster = KafkaCluster(tmp_path_factory.mktemp("kafka"))
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A Schema Registry on loopback."""
    _need_java()
    from schema_registry import SchemaRegistry

    started = SchemaRegistry(tmp_path_factory.mktemp("registry") / "log")
    yield started
    started.stop()
