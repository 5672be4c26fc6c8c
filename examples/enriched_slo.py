"""Latency against each tenant's own objective: calls delivered twice count once, and a table says what was promised.

    python examples/enriched_slo.py --calls 20000 --seed 7

The calls are generated; about one in ten is delivered again, up to half a minute later.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import llmopt_stream as ls

START = datetime(2026, 1, 1, tzinfo=UTC)
AGAIN_WITHIN = timedelta(seconds=30)
CONTRACTS = [
    {"tenant": "acme", "tier": "gold", "objective_ms": 400.0},
    {"tenant": "globex", "tier": "gold", "objective_ms": 500.0},
    {"tenant": "initech", "tier": "basic", "objective_ms": 900.0},
]


def calls(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Calls in the order of their arrival, some of them twice, some of tenants without a contract."""
    rng = random.Random(seed)
    arriving = []
    for number in range(count):
        time = START + timedelta(milliseconds=100 * number)
        call = {
            "id": f"call-{number}",
            "timestamp": time.isoformat(),
            "tenant": rng.choice(["acme", "globex", "initech", "unknown"]),
            "ms": round(rng.lognormvariate(6, 0.5), 1),
        }
        arriving.append((time, number, call))
        if rng.random() < 0.1:
            arriving.append((time + rng.random() * AGAIN_WITHIN, number, call))
    for _, _, call in sorted(arriving, key=lambda each: each[:2]):
        yield call


def objectives(sink: ls.Sink) -> ls.StreamPipelineBuilder:
    """For each tier and minute how many calls there were, and the share that met its tenant's objective."""
    return (
        ls.create_pipeline("objectives")
        .with_event_time("timestamp")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(AGAIN_WITHIN))
        .deduplicate(by="id", ttl="5m")
        .enrich(CONTRACTS, on="tenant", how="inner")
        .key_by("tier")
        .with_tumbling_window("1m")
        .aggregate("ms", ["count", "p95"])
        .aggregate(ls.col("ms") <= ls.col("objective_ms"), ["average"], prefix="met_")
        .with_sink(sink)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    sink = ls.CollectSink()
    print(objectives(sink).with_source(ls.IterableSource(calls(args.calls, args.seed))).build().run())
    print("\nthe worst minutes")
    for pane in sorted(sink.results, key=lambda pane: pane.results["met_average"])[:8]:
        results = pane.results
        print(
            f"  {pane.window.start:%H:%M}  {pane.key['tier']:<6} {results['count']:>4} calls, "
            f"p95 {results['p95']:>7.1f} ms, {results['met_average']:.1%} met"
        )


if __name__ == "__main__":
    main()
