"""Reading and groups with another librdkafka than the system's: the newest one, which confluent-kafka brings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import confluent_kafka
import pytest

pytestmark = pytest.mark.kafka

HERE = Path(__file__).parent
TESTS = ("test_kafka_source.py", "test_kafka_groups.py")
LOADED = "from llmopt_stream import _core; print(_core.librdkafka_version())"


@pytest.mark.timeout(600)
@pytest.mark.skipif("LLMOPT_STREAM_LIBRDKAFKA" in os.environ, reason="it is used already")
def test_what_holds_of_one_librdkafka_holds_of_the_newest(tmp_path: Path) -> None:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    [library] = folder.glob("librdkafka*.so.1")
    (tmp_path / "librdkafka.so.1").symlink_to(library)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path), "LLMOPT_STREAM_LIBRDKAFKA": "newest"}
    version = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True
    )
    assert version.stdout.strip() == confluent_kafka.libversion()[0]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(HERE / name for name in TESTS),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-10_000:]
