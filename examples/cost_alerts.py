"""Alerts on what calls of models cost: at most one per tenant and cool-down.

    python examples/cost_alerts.py --calls 20000 --seed 7

Calls that were delivered twice count once, and failed calls do not count. Of each tenant and minute the cost and
the share of slow calls are computed; a minute that breaks an objective raises an alert, and the tenant is quiet
for ten minutes then.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import llmopt_stream as ls

START = datetime(2026, 1, 1, tzinfo=UTC)
TENANTS = ["acme", "globex", "initech"]
COST_PER_MINUTE = 0.9
"""The objectives: US dollars, and the share of calls that may take longer than SLOW_MS."""
SLOW_SHARE = 0.2
SLOW_MS = 2000
COOL_DOWN = timedelta(minutes=10)


def calls(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Two calls a second; every tenant is expensive for some minutes of an hour, and some calls come twice."""
    rng = random.Random(seed)
    for number in range(count):
        tenant = rng.randrange(len(TENANTS))
        minute = number // 120 % 60
        expensive = 20 * tenant <= minute < 20 * tenant + 15
        call = {
            "id": f"call-{number}",
            "timestamp": (START + timedelta(seconds=number / 2)).isoformat(),
            "tenant": TENANTS[tenant],
            "latency_ms": round(rng.lognormvariate(6.8, 0.6), 1),
            "cost_usd": round(rng.random() * (0.08 if expensive else 0.03), 6),
            "error": "timeout" if rng.random() < 0.02 else None,
        }
        yield call
        if rng.random() < 0.05:
            yield call


class Alerts:
    """One alert for a tenant that breaks an objective, then none until the cool-down is over."""

    def process(self, minute: dict[str, Any], context: ls.KeyContext) -> dict[str, Any] | None:
        broken = [
            name
            for name, limit in (("cost_sum", COST_PER_MINUTE), ("slow_average", SLOW_SHARE))
            if minute[name] > limit
        ]
        if not broken or context.state.get("quiet"):
            return None
        context.state.put("quiet", True)
        context.set_timer(context.timestamp + COOL_DOWN)
        return {"tenant": minute["tenant"], "minute": minute["window_start"], "broken": broken}

    def on_timer(self, time: datetime, context: ls.KeyContext) -> None:
        context.state.delete("quiet")


def alerts() -> ls.StreamPipelineBuilder:
    """From calls to alerts."""
    return (
        ls.create_pipeline("cost-alerts")
        .with_event_time("timestamp")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .deduplicate(by="id", ttl="10m")
        .filter(ls.col("error").is_null())
        .key_by("tenant")
        .with_tumbling_window("1m")
        .aggregate("cost_usd", ["sum"], prefix="cost_")
        .aggregate(ls.col("latency_ms") > SLOW_MS, ["average"], prefix="slow_")
        .process(Alerts)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    sink = ls.CollectSink()
    source = ls.IterableSource(calls(args.calls, args.seed))
    print(alerts().with_source(source).with_sink(sink).build().run())
    for event in sink.results:
        alert = event.data
        print(f"{alert['minute']:%H:%M}  {alert['tenant']:<8} {', '.join(alert['broken'])}")


if __name__ == "__main__":
    main()
