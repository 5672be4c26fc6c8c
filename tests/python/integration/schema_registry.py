"""A real Schema Registry for tests: Apicurio's, by the interface of Confluent's."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

VERSION = "2.6.13.Final"
"""The last that runs with Java 17."""
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "apicurio-registry"
START_SECONDS = 120


def _jars() -> Path:
    """The directory of the program, filled once."""
    home = CACHE / VERSION
    if not home.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            subprocess.run(
                [
                    "mvn",
                    "-q",
                    "-B",
                    f"{PLUGIN}:copy",
                    f"-Dartifact={artifact}",
                    f"-DoutputDirectory={scratch}",
                ],
                check=True,
                timeout=600,
                cwd=scratch,
            )
            unpacked = Path(scratch, "unpacked")
            with tarfile.open(next(Path(scratch).glob("*.tar.gz"))) as archive:
                archive.extractall(unpacked, filter="data")
            try:
                unpacked.rename(home)
            except OSError:  # another process was faster
                assert home.exists()
    return home


class SchemaRegistry:
    """In memory, on loopback."""

    def __init__(self, log: Path) -> None:
        home = _jars()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        java = shutil.which("java")
        assert java is not None
        with log.open("w") as out:
            self._process = subprocess.Popen(
                [
                    java,
                    "-Xmx256m",
                    "-XX:+UseSerialGC",
                    "-XX:TieredStopAtLevel=1",
                    "-jar",
                    str(next(home.glob("*-runner.jar"))),
                ],
                stdout=out,
                stderr=out,
                cwd=log.parent,
                env={**os.environ, "QUARKUS_HTTP_HOST": "127.0.0.1", "QUARKUS_HTTP_PORT": str(port)},
            )
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
