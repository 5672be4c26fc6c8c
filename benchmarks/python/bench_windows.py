"""Sliding windows (5 min every 10 s) against DuckDB, sessions (30 s gap, 1,000 keys) against polars.

    python benchmarks/python/bench_windows.py [--rows 1000000] [--rounds 3]

Answers are checked first: same windows and keys, counts equal, sums within 1e-9. Then the engines run in
turn in one process; what counts is CPU time, and as the result the ratio to ours within each round.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import duckdb
import llmopt_stream as ls
import numpy as np
import polars as pl
from bench_tumbling import NINE_DUCKDB, NINE_POLARS, START, compare, make_events


def ours(events: pl.DataFrame, key: str, window: ls.WindowAssigner) -> Any:
    return ls.aggregate(events, key=key, value="latency_ms", window=window, watermark="5s")


def duckdb_sliding(connection: duckdb.DuckDBPyConnection) -> Any:
    """Each record joined with the 30 windows that contain it."""
    return connection.sql(
        f"""select w, k, {NINE_DUCKDB} from (
            select time_bucket(interval '10 seconds', t) - interval 10 second * n w, k, v
            from events, range(30) slides(n)) group by all"""
    ).to_arrow_table()


def polars_sessions(events: pl.DataFrame) -> pl.DataFrame:
    return (
        events.lazy()
        .select(t="timestamp", k="user", v="latency_ms")
        .sort("k", "t")
        .with_columns(
            new=(pl.col("k") != pl.col("k").shift())
            | (pl.col("t") - pl.col("t").shift() > pl.duration(seconds=30))
        )
        .with_columns(session=pl.col("new").fill_null(value=True).cum_sum())
        .group_by("session")
        .agg(pl.col("t").min().alias("start"), pl.col("k").first(), *NINE_POLARS)
        .select("start", "k", pl.exclude("start", "k", "session"))
        .collect()
    )


def check(name: str, table: Any, theirs: pl.DataFrame, key: str) -> None:
    """Stops the benchmark unless both have the same windows with the same counts and sums."""
    own = pl.DataFrame(table).select(
        pl.col("window_start").dt.timestamp("us").alias("s"), pl.col(key).alias("k"), "count", "sum"
    )
    other = theirs.select(
        pl.nth(0).dt.timestamp("us").alias("s"),
        pl.nth(1).alias("k"),
        pl.nth(2).alias("n"),
        pl.nth(3).alias("x"),
    )
    joined = own.join(other, on=["s", "k"], how="inner")
    if not len(own) == len(other) == len(joined):
        sys.exit(f"{name}: {len(own)} results, expected {len(other)}; {len(joined)} in common")
    if not (joined["count"] == joined["n"]).all():
        sys.exit(f"{name}: counts differ")
    if not ((joined["sum"] - joined["x"]).abs() <= 1e-9 * joined["x"].abs()).all():
        sys.exit(f"{name}: sums differ")
    print(f"{name}: {len(own):,} results agree")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    events = make_events(options.rows)
    users = np.random.default_rng(3).integers(0, 1_000, options.rows)
    # A tenth of the users is active at a time, so that sessions end.
    minute = (events["timestamp"].dt.timestamp("us").to_numpy() - START) // 60_000_000
    events = events.with_columns(user=pl.Series(users // 10 + (minute * 37 % 10) * 100).cast(pl.String))
    connection = duckdb.connect()
    connection.execute(
        "create table events as select timestamp::timestamp t, model k, latency_ms v from events"
    )

    sliding, session = ls.sliding("5m", "10s"), ls.session("30s")
    check("sliding", ours(events, "model", sliding), pl.DataFrame(duckdb_sliding(connection)), "model")
    check("sessions", ours(events, "user", session), polars_sessions(events), "user")
    compare(
        "sliding 5 min / 10 s, 50 keys, columns",
        {
            "llmopt_stream": lambda: ours(events, "model", sliding),
            "duckdb": lambda: duckdb_sliding(connection),
        },
        options.rows,
        options.rounds,
    )
    compare(
        "sessions 30 s, 1,000 keys, columns",
        {"llmopt_stream": lambda: ours(events, "user", session), "polars": lambda: polars_sessions(events)},
        options.rows,
        options.rounds,
    )


if __name__ == "__main__":
    main()
