"""Tumbling windows: 60 s, 50 string keys, nine statistics, against DuckDB and polars.

    python benchmarks/python/bench_tumbling.py [--rows 2000000] [--rounds 5]

Every engine's answer is checked against NumPy before anything is timed: same windows and keys,
counts equal, the rest within 1e-9 (our percentiles of more than 64 values: within 1 %, as stated).
Then all engines run in turn in this one process, round by round; what counts is CPU time (user and
system, all threads), and as the result the ratio to ours within each round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import llmopt_stream as ls
import numpy as np
import polars as pl

MINUTE = 60_000_000
START = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
KEYS = [f"model-{number:02d}-turbo" for number in range(50)]
NINE = ["count", "sum", "average", "min", "max", "stddev", "p50", "p95", "p99"]


def make_events(rows: int, seed: int = 20260101) -> pl.DataFrame:
    """One hour of events: 50 keys, Zipf-distributed; lognormal latencies; up to 5 s out of order."""
    rng = np.random.default_rng(seed)
    event_time = START + np.sort(rng.integers(0, 3_600_000_000, rows))
    arrival = event_time + np.minimum(rng.lognormal(13, 1.2, rows), 4_990_000).astype(np.int64)
    order = np.argsort(arrival, kind="stable")
    weights = 1 / np.arange(1, len(KEYS) + 1) ** 1.1
    key = rng.choice(len(KEYS), rows, p=weights / weights.sum())
    latency = np.round(rng.lognormal(6.2, 0.7, rows), 3)
    return pl.DataFrame(
        {
            "timestamp": pl.Series(event_time[order]).cast(pl.Datetime("us", "UTC")),
            "model": pl.Series(np.array(KEYS)[key[order]]),
            "latency_ms": latency[order],
        }
    )


def write_ndjson(events: pl.DataFrame, path: str) -> None:
    """The same events as FeedbackEvents of about 310 bytes."""
    rng = np.random.default_rng(1)
    texts = events["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ").to_list()
    tokens = rng.integers(10, 2000, (len(events), 2)).tolist()
    with Path(path).open("w") as file:
        for number, (text, model, latency) in enumerate(
            zip(texts, events["model"].to_list(), events["latency_ms"].to_list(), strict=True)
        ):
            prompt, completion = tokens[number]
            file.write(
                f'{{"id":"evt-{number:09d}","timestamp":"{text}","source":"gateway","event_type":"completion",'
                f'"data":{{"model":"{model}","latency_ms":{latency!r},"prompt_tokens":{prompt},'
                f'"completion_tokens":{completion},"cost_usd":{prompt * 1e-5 + completion * 3e-5:.6f},'
                f'"quality":0.{number % 97:02d},"error":null}},'
                f'"metadata":{{"tenant":"tenant-{number % 20:03d}","region":"us-west-2"}}}}\n'
            )


def ours_columns(events: pl.DataFrame) -> Any:
    return ls.aggregate(events, key="model", value="latency_ms", window=ls.tumbling("1m"), watermark="5s")


def ours_ndjson(path: str) -> Any:
    return ls.aggregate(
        path, key="data.model", value="data.latency_ms", window=ls.tumbling("1m"), watermark="5s"
    )


NINE_POLARS = [
    pl.len().alias("count"),
    pl.col("v").sum().alias("sum"),
    pl.col("v").mean().alias("average"),
    pl.col("v").min().alias("min"),
    pl.col("v").max().alias("max"),
    pl.col("v").std(ddof=0).alias("stddev"),
    *(
        pl.col("v").quantile(q, "equiprobable").alias(name)
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ),
]


def polars_columns(events: pl.DataFrame) -> pl.DataFrame:
    return (
        events.lazy()
        .select(w=pl.col("timestamp").dt.truncate("1m"), k="model", v="latency_ms")
        .group_by("w", "k")
        .agg(NINE_POLARS)
        .collect()
    )


def polars_ndjson(path: str) -> pl.DataFrame:
    return (
        pl.scan_ndjson(path)
        .select(
            w=pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us").dt.truncate("1m"),
            k=pl.col("data").struct.field("model"),
            v=pl.col("data").struct.field("latency_ms"),
        )
        .group_by("w", "k")
        .agg(NINE_POLARS)
        .collect()
    )


NINE_DUCKDB = """count(v), sum(v), avg(v), min(v), max(v), stddev_pop(v),
    quantile_disc(v, 0.5), quantile_disc(v, 0.95), quantile_disc(v, 0.99)"""


def duckdb_columns(connection: duckdb.DuckDBPyConnection) -> Any:
    return connection.execute(
        f"select time_bucket(interval '60 seconds', t) w, k, {NINE_DUCKDB} from events group by all"
    ).to_arrow_table()


def duckdb_ndjson(connection: duckdb.DuckDBPyConnection, path: str) -> Any:
    return connection.execute(
        f"""select time_bucket(interval '60 seconds', "timestamp"::timestamp) w, k, {NINE_DUCKDB} from (
            select "timestamp", data.model k, data.latency_ms v from read_json('{path}', format='newline_delimited',
            columns={{"timestamp": 'VARCHAR', data: 'STRUCT(model VARCHAR, latency_ms DOUBLE)'}})) group by all"""
    ).to_arrow_table()


def reference(events: pl.DataFrame) -> dict[tuple[int, str], list[float]]:
    """The nine statistics by NumPy."""
    minute = events["timestamp"].dt.timestamp("us").to_numpy() // MINUTE * MINUTE
    model = events["model"].to_numpy()
    value = events["latency_ms"].to_numpy()
    order = np.lexsort((value, model, minute))
    minute, model, value = minute[order], model[order], value[order]
    edges = np.flatnonzero((minute[1:] != minute[:-1]) | (model[1:] != model[:-1])) + 1
    answer = {}
    for first, last in zip([0, *edges], [*edges, len(value)], strict=True):
        v = value[first:last]
        ranks = [v[int(np.ceil(p * len(v) / 100)) - 1] for p in (50, 95, 99)]
        answer[int(minute[first]), str(model[first])] = [
            len(v),
            v.sum(),
            v.mean(),
            v[0],
            v[-1],
            v.std(),
            *ranks,
        ]
    return answer


def check(
    name: str,
    rows: list[tuple[Any, ...]],
    expected: dict[tuple[int, str], list[float]],
    rank_tolerance: float,
) -> None:
    """Stops the benchmark if an answer is not the reference's."""
    if len(rows) != len(expected):
        sys.exit(f"{name}: {len(rows)} results, expected {len(expected)}")
    for start, key, *values in rows:
        micros = int(np.datetime64(start.replace(tzinfo=None), "us").astype(np.int64))
        for which, (value, wanted) in enumerate(zip(values, expected[micros, key], strict=True)):
            tolerance = 0 if which == 0 else rank_tolerance if which >= 6 else 1e-9
            if abs(value - wanted) > tolerance * abs(wanted):
                sys.exit(f"{name}: {NINE[which]} of {key} at {start}: {value}, expected {wanted}")


def rows_of(table: Any) -> list[tuple[Any, ...]]:
    return list(
        pl.DataFrame(table).select(pl.nth(0), pl.nth(1), *(pl.nth(i) for i in range(2, 11))).iter_rows()
    )


def our_rows(table: Any, key: str) -> list[tuple[Any, ...]]:
    return list(pl.DataFrame(table).select("window_start", key, *NINE).iter_rows())


def cpu_seconds(job: Callable[[], Any]) -> float:
    before = time.process_time()
    job()
    return time.process_time() - before


def compare(title: str, jobs: dict[str, Callable[[], Any]], rows: int, rounds: int) -> None:
    """Times the jobs in turn and prints what each costs, absolutely and against the first."""
    for job in jobs.values():
        job()
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            times[name].append(cpu_seconds(job))
    own = times[next(iter(jobs))]
    print(f"\n{title}")
    print(
        f"{'engine':<16}{'ns/row min':>12}{'ns/row median':>15}{'CPU against ours, per round: min / median / max':>52}"
    )
    for name, measured in times.items():
        ratios = sorted(theirs / ours for theirs, ours in zip(measured, own, strict=True))
        spread = f"{ratios[0]:.2f} / {statistics.median(ratios):.2f} / {ratios[-1]:.2f}"
        print(
            f"{name:<16}{min(measured) / rows * 1e9:>12.1f}{statistics.median(measured) / rows * 1e9:>15.1f}{spread:>52}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()

    events = make_events(options.rows)
    expected = reference(events)
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(
        "create table events as select timestamp::timestamp t, model k, latency_ms v from events"
    )
    print(
        f"{options.rows:,} rows, {len(expected):,} results, {os.cpu_count()} processors, "
        f"polars {pl.__version__}, duckdb {duckdb.__version__}, load {os.getloadavg()[0]:.1f}"
    )

    check("ours", our_rows(ours_columns(events), "model"), expected, 0.01)
    check("duckdb", rows_of(duckdb_columns(connection)), expected, 1e-9)
    check("polars", rows_of(polars_columns(events)), expected, 1e-9)
    print("answers agree with NumPy")
    compare(
        "Arrow columns",
        {
            "llmopt_stream": lambda: ours_columns(events),
            "duckdb": lambda: duckdb_columns(connection),
            "polars": lambda: polars_columns(events),
        },
        options.rows,
        options.rounds,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "events.ndjson")
        write_ndjson(events, path)
        print(f"\n{Path(path).stat().st_size / options.rows:.0f} bytes per record")
        check("ours", our_rows(ours_ndjson(path), "data.model"), expected, 0.01)
        check("duckdb", rows_of(duckdb_ndjson(connection, path)), expected, 1e-9)
        compare(
            "NDJSON",
            {
                "llmopt_stream": lambda: ours_ndjson(path),
                "duckdb": lambda: duckdb_ndjson(connection, path),
                "polars": lambda: polars_ndjson(path),
            },
            options.rows,
            options.rounds,
        )


if __name__ == "__main__":
    main()
