"""What checkpoints cost: time, pause, restore, and throughput beside a run without them.

    python benchmarks/python/bench_checkpoints.py [--keys 100000] [--values 64] [--rounds 3]

State: so many keys with so many values each in one window, nine statistics. Times are wall times in seconds;
throughput is a ratio to the same run without checkpoints, in turn with it.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import numpy as np
import pyarrow as pa

START = 1_767_225_600_000_000
ROWS = 100_000


def batches(keys: int, values: int, repeats: int = 1) -> Iterator[Any]:
    """Every key gets a value in each round, within one window of an hour."""
    random = np.random.default_rng(1)
    names = pa.array([f"key-{number:07}" for number in range(keys)])
    for _ in range(values * repeats):
        codes = random.permutation(keys)
        for first in range(0, keys, ROWS):
            chosen = pa.array(codes[first : first + ROWS], pa.int32())
            size = len(chosen)
            yield pa.table(
                {
                    "timestamp": pa.array(np.full(size, START), pa.timestamp("us", "UTC")),
                    "key": pa.DictionaryArray.from_arrays(chosen, names),
                    "value": random.lognormal(5, 1, size),
                }
            )


def builder(data: Any) -> Any:
    pipeline = ls.create_pipeline("bench").with_source(ls.ArrowSource(data)).key_by("key")
    return pipeline.with_tumbling_window("1h").aggregate("value").with_options(buffer_size=16_384)


class _Asking(ls.Source):
    """Batches; asks for a checkpoint behind the last one, and goes on until it is complete."""

    def __init__(self, data: Iterator[Any], extra: Iterator[Any]) -> None:
        self._data, self._extra = data, extra
        self.pipeline: Any = None
        self.asked_at = self.done_at = 0.0

    def batches(self) -> Iterator[Any]:
        yield from self._data
        self.pipeline.checkpoint()
        self.asked_at = time.monotonic()
        for batch in self._extra:
            yield batch
            if self.pipeline.metrics["checkpoints"]["completed"]:
                break
        while not self.pipeline.metrics["checkpoints"]["completed"]:
            yield []
        self.done_at = time.monotonic()
        self.pipeline.stop()
        yield []

    def position(self) -> Any:
        return 0

    def seek(self, position: Any) -> None:
        del position


def one_checkpoint(folder: Path, keys: int, values: int) -> dict[str, float]:
    """A checkpoint of all state while records go on; then its restore."""
    with ls.RocksDBStateBackend(folder / "state", folder / "checkpoints") as backend:
        source = _Asking(batches(keys, values), batches(keys, 1, 100))
        plan = builder([]).with_source(source).with_state_backend(backend).with_checkpoints(None)
        source.pipeline = plan.build()
        source.pipeline.run()
        metrics = source.pipeline.metrics["checkpoints"]
    pause, took, size = metrics["longest_pause"], source.done_at - source.asked_at, metrics["last_bytes"]
    with ls.RocksDBStateBackend(folder / "state", folder / "checkpoints") as backend:
        again = builder([pa.table({"timestamp": [], "key": [], "value": []})])
        restoring = again.with_source(_Ending()).with_state_backend(backend).build()
        restoring.run()
        restore = restoring.metrics["checkpoints"]["restore_duration"]
    return {"MB": size / 1e6, "checkpoint": took, "pause": pause, "restore": restore}


class _Ending(ls.Source):
    def batches(self) -> Iterator[Any]:
        yield from ()

    def position(self) -> Any:
        return 0

    def seek(self, position: Any) -> None:
        del position


def throughput(folder: Path, keys: int, values: int, *, checkpoints: bool) -> float:
    """CPU seconds of this process, and wall seconds, of a run with a checkpoint every second."""
    data = list(batches(keys, values))
    plan = builder(data)
    if not checkpoints:
        return _timed(plan.build())
    with ls.RocksDBStateBackend(folder / "state", folder / "checkpoints") as backend:
        return _timed(plan.with_state_backend(backend).with_checkpoints("1s").build())


def _timed(pipeline: Any) -> float:
    started = time.monotonic()
    pipeline.run()
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--values", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    said = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    seen: list[dict[str, float]] = []
    ratios = []
    for _ in range(said.rounds):
        with tempfile.TemporaryDirectory() as folder:
            seen.append(one_checkpoint(Path(folder), said.keys, said.values))
            print({name: round(value, 4) for name, value in seen[-1].items()}, flush=True)
    for _ in range(said.rounds):
        with tempfile.TemporaryDirectory() as folder:
            without = throughput(Path(folder), said.keys, 2 * said.values, checkpoints=False)
            with_them = throughput(Path(folder), said.keys, 2 * said.values, checkpoints=True)
            ratios.append(without / with_them)
            print(f"without {without:.2f} s, with {with_them:.2f} s", flush=True)
    medians = {name: statistics.median(each[name] for each in seen) for name in seen[0]}
    print("medians:", {name: round(value, 4) for name, value in medians.items()})
    print(f"throughput with a checkpoint every second: {statistics.median(ratios):.2f} of without")


if __name__ == "__main__":
    main()
