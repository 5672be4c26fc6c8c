"""polars at each job, lazily, on columns of its own; one thread, if it is not imported before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmopt_stream.metrics import NINE

from .contender import Contender, answer_of
from .reference import Percentiles

if TYPE_CHECKING:
    from .events import Events

__all__ = ["sessions", "sliding", "tumbling", "tumbling_ndjson"]


def _polars() -> Any:
    os.environ["POLARS_MAX_THREADS"] = "1"  # read by the import
    import polars

    return polars


def tumbling(events: Events) -> Contender:
    """Windows of 60 s."""
    pl = _polars()
    return _of_columns(
        events,
        lambda frame: (
            frame.with_columns(w=pl.col("timestamp").dt.truncate("1m")).group_by("w", "key").agg(_nine())
        ),
    )


def sliding(events: Events) -> Contender:
    """5 min every 10 s, with the windows that begin before the first record."""
    return _of_columns(
        events,
        lambda frame: (
            frame.sort("timestamp")
            .group_by_dynamic(
                "timestamp", every="10s", period="5m", offset="-290s", closed="left", group_by="key"
            )
            .agg(_nine())
            .rename({"timestamp": "w"})
        ),
    )


def sessions(events: Events) -> Contender:
    """Records of a key at most 30 s apart, numbered after sorting."""
    pl = _polars()
    key, time = pl.col("key"), pl.col("timestamp")
    begins = (key != key.shift()) | (time - time.shift() > pl.duration(seconds=30))
    return _of_columns(
        events,
        lambda frame: (
            frame.sort("key", "timestamp")
            .with_columns(session=begins.fill_null(value=True).cum_sum())
            .group_by("session")
            .agg(time.min().alias("w"), key.first(), *_nine())
        ),
    )


def tumbling_ndjson(path: Path, records: int) -> Contender:
    """Windows of 60 s of FeedbackEvents."""
    pl = _polars()

    def run() -> Any:
        time = pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
        data = pl.col("data").struct
        return (
            pl.scan_ndjson(path)
            .select(w=time.dt.truncate("1m"), key=data.field("model"), value=data.field("latency_ms"))
            .group_by("w", "key")
            .agg(_nine())
            .collect()
        )

    return _contender(run, records)


def _nine() -> list[Any]:
    pl = _polars()
    value = pl.col("value")
    return [
        pl.len().alias("count"),
        value.sum().alias("sum"),
        value.mean().alias("average"),
        value.min().alias("min"),
        value.max().alias("max"),
        value.std(ddof=0).alias("stddev"),
        # "equiprobable" is the nearest rank.
        *(value.quantile(percent / 100, "equiprobable").alias(f"p{percent}") for percent in (50, 95, 99)),
    ]


def _of_columns(events: Events, query: Callable[[Any], Any]) -> Contender:
    frame = _polars().from_arrow(events.columns())
    return _contender(lambda: query(frame.lazy()).collect(), len(events))


def _contender(run: Callable[[], Any], records: int) -> Contender:
    return Contender(
        run=run,
        answer=lambda results: answer_of(results, ["w", "key", *NINE]),
        percentiles=Percentiles.NEAREST_RANK,
        records=records,
    )
