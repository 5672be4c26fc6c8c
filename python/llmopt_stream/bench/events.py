"""What is measured on: seeded events, the same on every machine, as Arrow columns and as NDJSON."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

__all__ = ["SECOND", "START", "Events", "model_events", "tenant_events", "user_events"]

SECOND = 1_000_000
START = 1_767_225_600 * SECOND
"""2026-01-01T00:00:00Z in microseconds."""
_HOUR = 3_600 * SECOND
_SEED = 20260101


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Records in the order in which they arrive, up to 5 s out of order."""

    times: array[int]
    """Microseconds since the epoch."""
    keys: list[str]
    thousandths: array[int]
    """The values times 1,000: integers, so that references can be exact."""

    def __len__(self) -> int:
        return len(self.keys)

    def values(self) -> array[float]:
        """The values: doubles with three decimals."""
        return array("d", (value / 1_000 for value in self.thousandths))

    def columns(self) -> Any:
        """A pyarrow Table of `timestamp`, `key` and `value`."""
        import pyarrow as pa

        rows = len(self)
        times = pa.Array.from_buffers(pa.timestamp("us", "UTC"), rows, [None, pa.py_buffer(self.times)])
        values = pa.Array.from_buffers(pa.float64(), rows, [None, pa.py_buffer(self.values())])
        return pa.table({"timestamp": times, "key": pa.array(self.keys, pa.string()), "value": values})

    def write_ndjson(self, path: Path) -> None:
        """The events as FeedbackEvents of about 310 bytes: the key is the model, the value its latency."""
        random = Random(_SEED + 1)
        seconds = _SecondTexts()
        with path.open("w", encoding="ascii") as file:
            for number, (time, key, value) in enumerate(
                zip(self.times, self.keys, self.thousandths, strict=True)
            ):
                second, micros = divmod(time, SECOND)
                prompt, completion = int(random.random() * 2_000), int(random.random() * 2_000)
                file.write(
                    f'{{"id":"evt-{number:09d}","timestamp":"{seconds[second]}.{micros:06d}Z","source":"gateway",'
                    f'"event_type":"completion","data":{{"model":"{key}","latency_ms":{value / 1_000!r},'
                    f'"prompt_tokens":{prompt},"completion_tokens":{completion},'
                    f'"cost_usd":{prompt * 1e-5 + completion * 3e-5:.6f},"quality":0.{number % 97:02d},"error":null}},'
                    f'"metadata":{{"tenant":"tenant-{number % 20:03d}","region":"us-west-2"}}}}\n'
                )


class _SecondTexts(dict[int, str]):
    def __missing__(self, second: int) -> str:
        text = self[second] = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return text


@lru_cache(2)
def model_events(rows: int) -> Events:
    """One hour, 50 keys of Zipf's distribution."""
    random = Random(_SEED)
    names = [f"model-{number:02d}-turbo" for number in range(50)]
    weights = [1 / rank**1.1 for rank in range(1, len(names) + 1)]
    return Events(
        _arriving(random, rows, _HOUR), random.choices(names, weights, k=rows), _latencies(random, rows)
    )


def user_events(rows: int) -> Events:
    """One hour, 1,000 keys, of which each minute a hundred are active: sessions of 30 s begin and end."""
    random = Random(_SEED)
    names = [f"user-{number:03d}" for number in range(1_000)]
    times = _arriving(random, rows, _HOUR)
    keys = [
        names[(time - START) // (60 * SECOND) * 37 % 10 * 100 + int(random.random() * 100)] for time in times
    ]
    return Events(times, keys, _latencies(random, rows))


def tenant_events(rows: int) -> Events:
    """Five minutes, 100,000 keys, all equally frequent."""
    random = Random(_SEED)
    names = [f"tenant-{number:05d}" for number in range(100_000)]
    return Events(
        _arriving(random, rows, 300 * SECOND), random.choices(names, k=rows), _latencies(random, rows)
    )


def _arriving(random: Random, rows: int, span: int) -> array[int]:
    """Event times, evenly distributed over the span; each arrives up to 4.99 s later, half of them 0.44 s."""
    times = sorted(START + int(random.random() * span) for _ in range(rows))
    arrivals = [time + min(math.exp(random.gauss(13, 1.2)), 4_990_000) for time in times]
    order = sorted(range(rows), key=arrivals.__getitem__)
    return array("q", map(times.__getitem__, order))


def _latencies(random: Random, rows: int) -> array[int]:
    """Lognormal, with a median of 492 ms."""
    return array("q", islice(iter(lambda: round(1_000 * math.exp(random.gauss(6.2, 0.7))), -1), rows))
