"""The table of settings: everything under `processor`. Classes, checks, the JSON Schema and the reference page are
made of it.
"""

from __future__ import annotations

from .aggregation_settings import AGGREGATION
from .containers import ListOf, Nullable
from .kafka_settings import CONSUMER, KAFKA
from .kinds import Choice, Number, Text, Whole
from .operator_settings import KEY_BY, ON, OPERATOR
from .running_settings import ERROR_HANDLING, LATE_EVENTS, METRICS, SINK, STATE
from .sections import REQUIRED, Later, Section, Setting, Tagged
from .stream_settings import EVENT, WATERMARK, source_settings
from .window_settings import STAGE_WINDOWS, WINDOWS

__all__ = ["BRANCH", "PROCESSOR", "STAGE", "STREAM"]

_SECONDS = Number(above=0, least=None)


def _records(windows: Section) -> tuple[Setting, ...]:
    """What happens to the records of a stream, of a branch, or of a stage."""
    return (
        KEY_BY,
        Setting(
            "operators", ListOf(OPERATOR), [], "What happens to records before the window, in this order."
        ),
        Setting("windows", windows, {}, windows.doc),
        Setting("aggregation", AGGREGATION, {}, AGGREGATION.doc),
    )


_THEN = Setting(
    "then",
    ListOf(Later(lambda: STAGE)),
    [],
    "Further stages: each takes the results of the windows before it as records.",
)
_SINKS = Setting("sinks", ListOf(SINK), [], "Where results go.")
_LATE = Setting("late_events", LATE_EVENTS, {}, LATE_EVENTS.doc)

STAGE: Section = Section("stage", "A stage behind a window.", (*_records(STAGE_WINDOWS), _LATE, _SINKS))

BRANCH = Section(
    "branch",
    "A branch of the stream, with windows and sinks of its own. What it does not say of `windows`, `aggregation`, "
    "`late_events` and `sinks` is as the processor says.",
    (
        Setting("name", Text(), REQUIRED, "What it is called."),
        Setting(
            "late_of",
            Nullable(Text()),
            None,
            "Of which branch before it takes the late records; null: it takes the stream.",
        ),
        *_records(WINDOWS),
        _LATE,
        _SINKS._replace(default=[{"type": "kafka"}]),
        _THEN,
    ),
)

_STREAM_SETTINGS = (
    Setting("name", Text(), "pipeline", "What it is called."),
    Setting("event", EVENT, {}, EVENT.doc),
    Setting("watermark", WATERMARK, {}, WATERMARK.doc),
    Setting(
        "future_skew_secs",
        Nullable(Number()),
        None,
        "How far ahead of the clock a record's time may lie; null: any far.",
    ),
    Setting(
        "past_skew_secs", Nullable(Number()), None, "How far behind the clock it may lie; null: any far."
    ),
)
_PARALLELISM = Setting(
    "parallelism", Whole(1, 256), 4, "How many threads share the keys; it changes no result."
)
_INPUTS = Setting(
    "inputs", Nullable(Later(lambda: INPUTS)), None, "The streams that it is made of, in place of `source`."
)

_STREAM_KAFKA = Setting(
    "kafka",
    Nullable(CONSUMER),
    None,
    "What is read from Kafka; null: what `kafka.consumer` of the processor says.",
)

STREAM = Section(
    "stream",
    "One of several streams.",
    (
        *_STREAM_SETTINGS,
        _PARALLELISM._replace(default=1),
        Setting(
            "source",
            (_STREAM_SOURCE := source_settings("stream_source", None, _STREAM_KAFKA)),
            {},
            _STREAM_SOURCE.doc,
        ),
        _INPUTS,
        *_records(STAGE_WINDOWS),
        _THEN,
    ),
)

_STREAMS = Setting("streams", ListOf(STREAM, least=2), REQUIRED, "The streams, the left one first.")
_ON = Setting(
    "on",
    ON,
    REQUIRED,
    "Which fields are equal: a path, several, or paths of the left stream with those of the right one.",
)
_JOIN_HOW = Setting(
    "how",
    Choice(("inner", "left", "right", "full")),
    "inner",
    "Of which sides what matches nothing comes out, too.",
)
_ENRICH = {setting.name: setting for setting in OPERATOR.section("enrich").settings}  # type: ignore[union-attr]

INPUTS: Tagged = Tagged(
    "streams",
    (
        Section("union_inputs", "The records of all of them.", (_STREAMS,), "union"),
        Section(
            "join_inputs",
            "Pairs of records that are near each other in event time.",
            (
                _STREAMS,
                _ON,
                Setting("within_secs", Nullable(Number()), None, "How near, both ways."),
                Setting(
                    "lower_secs",
                    Nullable(Number(least=None)),
                    None,
                    "Or from which difference on, right minus left.",
                ),
                Setting("upper_secs", Nullable(Number(least=None)), None, "And up to which one."),
                _JOIN_HOW,
            ),
            "join",
        ),
        Section(
            "window_join_inputs",
            "Pairs of records in the same window of event time.",
            (_STREAMS, _ON, Setting("windows", WINDOWS, {}, "Which windows."), _JOIN_HOW),
            "window_join",
        ),
        Section(
            "enrich_inputs",
            "The records of the left stream with the latest of the right one, as of their own event time.",
            (_STREAMS, _ON, _ENRICH["how"], _ENRICH["prefix"], _ENRICH["missing"]),
            "enrich",
        ),
    ),
)

_SOURCE = source_settings("source", "kafka")

PROCESSOR = Section(
    "processor",
    "The whole pipeline.",
    (
        _STREAM_SETTINGS[0],
        _PARALLELISM,
        Setting(
            "buffer_size",
            Nullable(Whole(1)),
            10000,
            "How many records a run takes at most before it hands out what they completed; null: a batch of the "
            "source.",
        ),
        Setting(
            "memory_limit_bytes",
            Nullable(Whole(2**27)),
            None,
            "How much memory the state may take, at least 128 MiB; null: any.",
        ),
        Setting(
            "checkpoint_interval_secs",
            Nullable(_SECONDS),
            60,
            "How often a checkpoint is taken, with state in RocksDB; null: not by time.",
        ),
        Setting(
            "checkpoint_interval_records",
            Nullable(Whole(1)),
            None,
            "After how many records one is taken besides; null: by the clock only.",
        ),
        Setting("checkpoints_kept", Whole(1), 3, "How many checkpoints are kept."),
        Setting(
            "delivery",
            Choice(("at_least_once", "exactly_once", "at_most_once")),
            "at_least_once",
            "What happens to results where the process ends abruptly.",
        ),
        Setting(
            "transactional_id",
            Nullable(Text()),
            None,
            "Of exactly_once: the producer's name, the same after a restart; null: made of the pipeline's.",
        ),
        Setting(
            "commit_interval_ms", _SECONDS, 100, "Of exactly_once: how often a transaction is committed."
        ),
        *_STREAM_SETTINGS[1:],
        Setting("source", _SOURCE, {}, _SOURCE.doc),
        _INPUTS,
        *_records(WINDOWS),
        _LATE,
        Setting("state", STATE, {}, STATE.doc),
        Setting("error_handling", ERROR_HANDLING, {}, ERROR_HANDLING.doc),
        Setting("kafka", KAFKA, {}, KAFKA.doc),
        _SINKS._replace(default=[{"type": "kafka"}]),
        _THEN,
        Setting(
            "branches",
            ListOf(BRANCH),
            [],
            "Several windows over the same records, each with sinks of its own, in one pass; in place of `windows`.",
        ),
        Setting("metrics", METRICS, {}, METRICS.doc),
    ),
)
