"""The rows of the table: what is measured, and what must be reached."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from llmopt_stream.windows import WindowAssigner
from llmopt_stream.windows import session as session_window
from llmopt_stream.windows import sliding as sliding_window
from llmopt_stream.windows import tumbling as tumbling_window

from . import ours, reference
from .comparison import OURS, Comparison, Entry
from .contender import Contender
from .events import SECOND, Events, model_events, tenant_events, user_events
from .memory import Memory
from .row import Goal, Settings, Work
from .with_bytewax import MOST_RECORDS
from .workers import Workers

__all__ = ["PEERS", "WORKS"]

PEERS = ("duckdb", "polars", "pandas", "bytewax")


@lru_cache(1)
def _minutes(events: Events) -> reference.Reference:
    return reference.tumbling(events, 60 * SECOND)


def _file(events: Events, settings: Settings) -> Path:
    """The events as NDJSON, written once."""
    path = settings.folder / f"events-{len(events)}.ndjson"
    if not path.exists():
        events.write_ndjson(path)
    return path


def _ours(window: WindowAssigner) -> Entry:
    return Entry(lambda events, _: ours.columns(events, window))


def _peer(engine: str, job: str) -> Entry:
    """A function of the module of an engine; both are imported when they are needed."""
    return Entry(lambda events, _: _job(engine, job)(events))


def _peer_file(engine: str, job: str, most_records: int | None = None) -> Entry:
    return Entry(
        lambda events, settings: _job(engine, job)(_file(events, settings), len(events)), most_records
    )


def _job(engine: str, job: str) -> Callable[..., Contender]:
    function: Callable[..., Contender] = getattr(importlib.import_module(f".with_{engine}", __package__), job)
    return function


_MINUTE = tumbling_window("1m")

WORKS: tuple[Work, ...] = (
    Comparison(
        name="tumbling-columns",
        title="tumbling 60 s, 50 string keys, nine statistics, Arrow columns",
        records=2_000_000,
        events=model_events,
        reference=_minutes,
        entries={
            OURS: _ours(_MINUTE),
            "duckdb": _peer("duckdb", "tumbling"),
            "polars": _peer("polars", "tumbling"),
            "pandas": _peer("pandas", "tumbling"),
        },
        goals=(Goal("duckdb", "≥", 4, "×"), Goal("polars", "≥", 4, "×")),
        aim="6×",
    ),
    Comparison(
        name="tumbling-ndjson",
        title="the same, NDJSON of about 310 bytes",
        records=2_000_000,
        events=model_events,
        reference=_minutes,
        entries={
            OURS: Entry(lambda events, settings: ours.ndjson(_file(events, settings), len(events), _MINUTE)),
            "duckdb": _peer_file("duckdb", "tumbling_ndjson"),
            "polars": _peer_file("polars", "tumbling_ndjson"),
            "bytewax": _peer_file("bytewax", "tumbling_ndjson", MOST_RECORDS),
        },
        goals=(Goal("duckdb", "≥", 3, "×"), Goal("polars", "≥", 8, "×"), Goal("bytewax", "≥", 30, "×")),
        aim="duckdb 4×",
    ),
    Comparison(
        name="sliding-columns",
        title="sliding 5 min / 10 s, 50 string keys, nine statistics, Arrow columns",
        records=1_000_000,
        events=model_events,
        reference=lambda events: reference.sliding(events, 300 * SECOND, 10 * SECOND),
        entries={
            OURS: _ours(sliding_window("5m", "10s")),
            "duckdb": _peer("duckdb", "sliding"),
            "polars": _peer("polars", "sliding"),
        },
        goals=(Goal("duckdb", "≥", 25, "×"),),
        aim="50×",
    ),
    Comparison(
        name="session-columns",
        title="sessions of 30 s, 1,000 string keys, nine statistics, Arrow columns",
        records=1_000_000,
        events=user_events,
        reference=lambda events: reference.sessions(events, 30 * SECOND),
        entries={
            OURS: _ours(session_window("30s")),
            "duckdb": _peer("duckdb", "sessions"),
            "polars": _peer("polars", "sessions"),
        },
        goals=(Goal("polars", "≥", 3, "×"),),
        aim="5×",
    ),
    Comparison(
        name="many-keys",
        title="tumbling 60 s, 100,000 string keys, nine statistics, Arrow columns",
        records=1_000_000,
        events=tenant_events,
        reference=_minutes,
        entries={
            OURS: _ours(_MINUTE),
            "duckdb": _peer("duckdb", "tumbling"),
            "polars": _peer("polars", "tumbling"),
        },
        goals=(Goal("duckdb", "≥", 2, "×"),),
        aim="3×",
    ),
    Memory(
        name="memory-30",
        title="memory of 100,000 open windows, nine statistics of 30 lognormal values each",
        values=30,
        goal=Goal("over the empty process", "<", 100, " MB"),
        aim="60 MB",
    ),
    Memory(
        name="memory-1000",
        title="the same with 1,000 values each",
        values=1_000,
        goal=Goal("over the empty process", "<", 200, " MB"),
        aim="150 MB",
    ),
    Workers(
        name="two-workers",
        title="two workers, NDJSON: CPU time of the busiest thread / of all, against one worker",
        records=2_000_000,
        events=model_events,
        reference=_minutes,
        file=_file,
        busiest=Goal("busiest", "≤", 0.6),
        total=Goal("all", "≤", 1.2),
    ),
)
