"""DuckDB at each job: one thread, columns in a table of its own, results as an Arrow table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmopt_stream.metrics import NINE

from .contender import Contender, answer_of
from .reference import Percentiles

if TYPE_CHECKING:
    from .events import Events

__all__ = ["sessions", "sliding", "tumbling", "tumbling_ndjson"]

_NINE = """count(v) as "count", sum(v) as "sum", avg(v) as "average", min(v) as "min", max(v) as "max",
    stddev_pop(v) as "stddev", quantile_disc(v, 0.5) as "p50", quantile_disc(v, 0.95) as "p95",
    quantile_disc(v, 0.99) as "p99" """


def tumbling(events: Events) -> Contender:
    """Windows of 60 s."""
    return _of_columns(
        events, f"select time_bucket(interval '60 seconds', t) as w, k, {_NINE} from events group by all"
    )


def sliding(events: Events) -> Contender:
    """5 min every 10 s: each record in the 30 windows that contain it."""
    return _of_columns(
        events,
        f"""select w, k, {_NINE} from (
            select time_bucket(interval '10 seconds', t) - interval 10 second * n as w, k, v
            from events, range(30) slides(n)) group by all""",
    )


def sessions(events: Events) -> Contender:
    """Records of a key at most 30 s apart, numbered by window functions."""
    return _of_columns(
        events,
        f"""select min(t) as w, k, {_NINE} from (
            select t, k, v, sum(begins) over (partition by k order by t rows unbounded preceding) as session from (
                select t, k, v, (t - lag(t) over (partition by k order by t) <= interval 30 second)
                    is distinct from true as begins from events)) group by session, k""",
    )


def tumbling_ndjson(path: Path, records: int) -> Contender:
    """Windows of 60 s of FeedbackEvents; only the three fields are read."""
    return _contender(
        _connection(),
        f"""select time_bucket(interval '60 seconds', "timestamp"::timestamp) as w, k, {_NINE} from (
            select "timestamp", data.model as k, data.latency_ms as v from read_json('{path}',
            format='newline_delimited',
            columns={{"timestamp": 'VARCHAR', data: 'STRUCT(model VARCHAR, latency_ms DOUBLE)'}})) group by all""",
        records,
    )


def _connection() -> Any:
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads = 1")
    connection.execute("set timezone = 'UTC'")
    return connection


def _of_columns(events: Events, query: str) -> Contender:
    connection = _connection()
    connection.register("arrow_events", events.columns())
    connection.execute(
        "create table events as select timestamp::timestamp as t, key as k, value as v from arrow_events"
    )
    connection.unregister("arrow_events")
    return _contender(connection, query, len(events))


def _contender(connection: Any, query: str, records: int) -> Contender:
    return Contender(
        run=lambda: connection.sql(query).to_arrow_table(),
        answer=lambda results: answer_of(results, ["w", "k", *NINE]),
        percentiles=Percentiles.NEAREST_RANK,
        records=records,
    )
