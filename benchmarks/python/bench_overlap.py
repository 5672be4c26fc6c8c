"""Sliding windows that overlap 30, 360 and 3,600 times: what a record and a fired pane cost.

    python benchmarks/python/bench_overlap.py [--rows 2000000] [--rounds 7]

One hour of events, 50 keys, nine statistics, Arrow columns, through `ls.aggregate`. Counts, sums and
extremes of all panes and percentiles of a sample are compared with NumPy before anything is timed. Then
all windows run in turn in one process; CPU time (user and system, all threads), and as the result the
ratios within each round, of which the median counts. "Beyond tumbling" takes off what the same rows cost
with tumbling windows of a minute: reading, folding and the slices, leaving what overlap costs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import Any

import llmopt_stream as ls
import numpy as np
import polars as pl
from llmopt_stream.bench.events import model_events
from llmopt_stream.bench.measure import in_turn

SECOND = 1_000_000
FEW, MANY_RECORD, MANY_PANE = "5 min / 10 s", "1 h / 10 s", "1 h / 1 s"
WINDOWS = {FEW: (300, 10), MANY_RECORD: (3600, 10), MANY_PANE: (3600, 1)}
TUMBLING = "tumbling 1 min"


def ours(events: pl.DataFrame, size: int, slide: int) -> Any:
    window = ls.tumbling(size) if size == slide else ls.sliding(size, slide)
    return ls.aggregate(events, key="key", value="value", window=window, watermark="5s")


def check(name: str, table: Any, events: pl.DataFrame, size: int) -> int:
    """The number of panes; stops the benchmark if one of them is wrong."""
    panes = pl.DataFrame(table).with_columns(start=pl.col("window_start").dt.timestamp("us"))
    total = 0
    random = np.random.default_rng(1)
    for key in events["key"].unique():
        own = panes.filter(pl.col("key") == key)
        total += len(own)
        of_key = events.filter(pl.col("key") == key).sort("timestamp")
        times = of_key["timestamp"].dt.timestamp("us").to_numpy()
        values = of_key["value"].to_numpy()
        sums = np.concatenate([[0], np.cumsum(values)])
        starts = own["start"].to_numpy()
        first, end = np.searchsorted(times, starts), np.searchsorted(times, starts + size * SECOND)
        if not (own["count"].to_numpy() == end - first).all() or (end == first).any():
            sys.exit(f"{name}: counts of {key} differ")
        if not np.allclose(own["sum"].to_numpy(), sums[end] - sums[first], rtol=1e-9, atol=1e-3):
            sys.exit(f"{name}: sums of {key} differ")
        for at in random.integers(0, len(own), 20):
            window = np.sort(values[first[at] : end[at]])
            row = own.row(int(at), named=True)
            if (row["min"], row["max"]) != (window[0], window[-1]):
                sys.exit(f"{name}: extremes of {key} differ")
            for p in (50, 95, 99):
                exact = window[int(np.ceil(p * len(window) / 100)) - 1]
                if abs(row[f"p{p}"] - exact) > 0.01 * exact:
                    sys.exit(f"{name}: p{p} of {key}: {row[f'p{p}']}, expected {exact}")
    if total != len(panes):
        sys.exit(f"{name}: {len(panes)} panes, {total} of known keys")
    return total


def spread(ratios: list[float]) -> str:
    return f"{min(ratios):.2f} / {statistics.median(ratios):.2f} / {max(ratios):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()

    events = pl.DataFrame(model_events(options.rows).columns())
    panes = {name: check(name, ours(events, *window), events, window[0]) for name, window in WINDOWS.items()}
    print(f"{options.rows:,} rows, {os.cpu_count()} processors; answers agree with NumPy")

    jobs = {TUMBLING: (60, 60), **WINDOWS}
    panes[TUMBLING] = len(pl.DataFrame(ours(events, 60, 60)))
    times = in_turn(
        {
            name: lambda size=size, slide=slide: ours(events, size, slide)
            for name, (size, slide) in jobs.items()
        },
        options.rounds,
    )

    print(f"\n{'window':<16}{'panes':>10}{'ns/row min':>12}{'median':>9}{'µs/pane min':>13}{'median':>9}")
    for name, measured in times.items():
        least, middle = min(measured), statistics.median(measured)
        print(
            f"{name:<16}{panes[name]:>10,}{least / options.rows * 1e9:>12.1f}{middle / options.rows * 1e9:>9.1f}"
            f"{least / panes[name] * 1e6:>13.2f}{middle / panes[name] * 1e6:>9.2f}"
        )

    rounds = list(zip(*times.values(), strict=True))
    per_pane = panes[FEW] / panes[MANY_PANE]
    print("\nCPU time against 5 min / 10 s, per round: min / median / max")
    print(f"{'1 h / 1 s per pane':<40}{spread([pane / few * per_pane for _, few, _, pane in rounds])}")
    print(
        f"{'1 h / 1 s per pane, beyond tumbling':<40}"
        f"{spread([(pane - base) / (few - base) * per_pane for base, few, _, pane in rounds])}"
    )
    print(f"{'1 h / 10 s per record':<40}{spread([record / few for _, few, record, _ in rounds])}")


if __name__ == "__main__":
    main()
