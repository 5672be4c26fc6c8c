"""Seeded events for Kafka topics, and what 1-minute windows by model make of them."""

from __future__ import annotations

import json
import math
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from kafka_cluster import Sent

START = datetime(2026, 1, 1, tzinfo=UTC)
MODELS = tuple(f"model-{number}" for number in range(20))

Pane = tuple[str, str, int, float, float, float, float | None]
"""Window start, model, count, sum, min, max and, of as many as it is exact of, the median of the latencies."""

MOST_EXACT = 64


def event(at: datetime, model: str, latency: int, **more: Any) -> bytes:
    text = at.isoformat().replace("+00:00", "Z")
    return json.dumps(
        {"timestamp": text, "data": {"model": model, "latency_ms": latency}, **more}, separators=(",", ":")
    ).encode()


def events(count: int, *, partitions: int, seed: int = 7, skewed: bool = False) -> list[Sent]:
    """One each 100 ms, up to 5 s out of order within its partition. Skewed: most in the first, none in the last."""
    random_ = random.Random(seed)
    sent = []
    for number in range(count):
        at = START + timedelta(milliseconds=100 * number - random_.randrange(5_000))
        partition = number % partitions
        if skewed:
            partition = 0 if random_.random() < 0.8 else random_.randrange(partitions - 1)
        sent.append(
            Sent(event(at, random_.choice(MODELS), random_.randrange(1, 5_000), id=number), partition)
        )
    return sent


def expected_panes(sent: list[Sent]) -> list[Pane]:
    """In no particular order of arrival: sorted."""
    values: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record in sent:
        said = json.loads(record.value or b"")
        start = said["timestamp"][:17] + "00Z"
        values[start, said["data"]["model"]].append(said["data"]["latency_ms"])
    return sorted(
        (
            start,
            model,
            len(each),
            float(sum(each)),
            float(min(each)),
            float(max(each)),
            _median(each) if len(each) <= MOST_EXACT else None,
        )
        for (start, model), each in values.items()
    )


def _median(values: list[int]) -> float:
    return float(sorted(values)[math.ceil(len(values) / 2) - 1])


def panes_of(results: list[Any]) -> list[Pane]:
    """The last of each window and key, as expected_panes() gives them."""
    latest = {}
    for each in results:
        said = each if isinstance(each, dict) else json.loads(each.to_json())
        latest[said["window"]["start"], said["key"]["data.model"]] = said["results"]
    return sorted(
        (
            start,
            model,
            *(results[name] for name in ("count", "sum", "min", "max")),
            results["p50"] if results["count"] <= MOST_EXACT else None,
        )
        for (start, model), results in latest.items()
    )
