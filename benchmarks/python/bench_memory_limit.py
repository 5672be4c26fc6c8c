"""State of many times a memory limit: that the answer is the same, and how much memory it takes.

    python benchmarks/python/bench_memory_limit.py [--times 10]

Windows stay open for late records, each key of each with all of its values; every tenth record is late for a window
chosen at random. The run with the limit is in a process of its own, as is the one without; resident memory is that
above the one of a run with hardly any state.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import numpy as np
import pyarrow as pa

START = 1_767_225_600_000_000
LIMIT = 128_000_000
KEYS = 400
VALUES = 200
ROWS = VALUES * KEYS


def batches(windows: int) -> Iterator[Any]:
    """200 values of each key in each window of a second."""
    random = np.random.default_rng(2)
    names = pa.array([f"key-{number:04}" for number in range(KEYS)])
    for window in range(windows):
        late = random.random(ROWS) < (0.1 if window % 10 == 0 else 0)
        at = np.where(late, random.integers(0, window + 1), window)
        yield pa.table(
            {
                "timestamp": pa.array(START + at * 1_000_000, pa.timestamp("us", "UTC")),
                "key": pa.DictionaryArray.from_arrays(
                    pa.array(np.tile(np.arange(KEYS), VALUES), pa.int32()), names
                ),
                "value": random.integers(0, 1_000_000, ROWS),
            }
        )


class _Digest(ls.Sink):
    """The results, as a number."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()

    def send_batch(self, table: Any) -> None:
        for batch in table.to_arrow().to_batches():
            for column in batch.columns:
                self.hash.update(json.dumps(column.to_pylist(), default=str).encode())


def run(windows: int, limited: bool, folder: Path) -> dict[str, Any]:
    """One run in this process."""
    sink = _Digest()
    keyed = ls.create_pipeline("memory").with_source(ls.ArrowSource(batches(windows))).key_by("key")
    keyed = keyed.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s"))
    builder = keyed.with_tumbling_window("1s", allowed_lateness="30d").aggregate(
        "value", [ls.PercentileAggregator([95], method="exact"), "count"]
    )
    builder = builder.with_sink(sink)
    started, cpu = time.monotonic(), time.process_time()
    with ls.RocksDBStateBackend(folder / "state", folder / "checkpoints") as backend:
        if limited:
            builder = (
                builder.with_state_backend(backend).with_options(memory_limit=LIMIT).with_checkpoints("10s")
            )
        pipeline = builder.build()
        pipeline.run()
    return {
        "digest": sink.hash.hexdigest(),
        "rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "wall": time.monotonic() - started,
        "cpu": time.process_time() - cpu,
        "spilled": pipeline.metrics.get("spilled"),
    }


def child(windows: int, limited: bool) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        out = subprocess.run(
            [sys.executable, __file__, "--run", str(windows), str(int(limited)), folder],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    outcome: dict[str, Any] = json.loads(out.splitlines()[-1])
    return outcome


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        windows, limited, folder = sys.argv[2:]
        print(json.dumps(run(int(windows), limited == "1", Path(folder))))
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=float, default=10)
    said = parser.parse_args()
    small = child(2, True)
    one = child(202, False)
    per_window = (one["rss"] - child(2, False)["rss"]) / 200
    windows = int(said.times * LIMIT / per_window)
    with_limit, without = child(windows, True), child(windows, False)
    above = with_limit["rss"] - small["rss"]
    print(
        f"{windows:,} windows of {KEYS} keys; without a limit {(without['rss'] - small['rss']) / 1e6:,.0f} MB"
    )
    print(
        f"limit {LIMIT / 1e6:.0f} MB: {above / 1e6:.0f} MB, {above / LIMIT:.2f} of it; {with_limit['spilled']}"
    )
    print(f"wall {with_limit['wall']:.1f} s, without {without['wall']:.1f} s")
    print("same results:", with_limit["digest"] == without["digest"])


if __name__ == "__main__":
    main()
