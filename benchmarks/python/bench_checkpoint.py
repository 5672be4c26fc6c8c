"""Checkpoint and restore of a RocksDB backend on this machine's disk: `bench_checkpoint.py [FOLDER]`.

Values are float64 numbers with three digits, as latencies are. The first checkpoint writes all of them, the second
one after a tenth was put again. What a restore gives is compared before any time is printed.
"""

from __future__ import annotations

import random
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import llmopt_stream as ls

ROUNDS = 5
SIZES = [(58, 1_600), (200, 1_600), (200, 100_000)]


def value_of(rng: random.Random, size: int) -> bytes:
    return b"".join(struct.pack("<d", rng.randrange(1_000_000) / 1_000) for _ in range(size // 8))


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(folder: Path, megabytes: int, count: int) -> dict[str, float]:
    rng = random.Random(megabytes)
    pool = [value_of(rng, megabytes * 1_000_000 // count) for _ in range(min(count, 400))]
    first = {f"slice{number:06}": pool[number % len(pool)] for number in range(count)}
    tenth = dict.fromkeys(list(first)[::10], pool[-1])
    with ls.RocksDBStateBackend(folder / "state", folder / "checkpoints") as backend:
        times = {
            "put all": timed(lambda: backend.apply(first)),
            "checkpoint": timed(lambda: backend.checkpoint(1)),
            "put a tenth": timed(lambda: backend.apply(tenth)),
            "checkpoint again": timed(lambda: backend.checkpoint(2)),
            "restore": timed(lambda: backend.restore(2)),
            "restore unverified": timed(lambda: backend.restore(2, verify=False)),
            "read all": timed(lambda: sum(1 for _ in backend.scan())),
            "MB on disk": backend.checkpoints()[0].bytes / 1e6,
        }
        if dict(backend.scan()) != first | tenth:
            raise AssertionError("what came back is not what was put")
    return times


def main() -> None:
    for megabytes, count in SIZES:
        rounds = []
        for _ in range(ROUNDS):
            with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
                rounds.append(measure(Path(folder), megabytes, count))
        print(f"{megabytes} MB in {count:,} values, median and worst of {ROUNDS}:")
        for name in rounds[0]:
            values = [each[name] for each in rounds]
            scale, unit = (1, "") if name.startswith("MB") else (1e3, " ms")
            print(
                f"  {name:<20}{statistics.median(values) * scale:8.0f}{unit} {max(values) * scale:8.0f}{unit}"
            )


if __name__ == "__main__":
    main()
