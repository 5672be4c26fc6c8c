"""The table of settings: what records are, where they come from, and how event time advances."""

from __future__ import annotations

from llmopt_stream.units import time_micros

from .containers import ListOf, MapOf, Nullable
from .kinds import Checked, Choice, Number, Text, Whole
from .sections import Section, Setting

__all__ = ["EVENT", "EVENT_TYPES", "WATERMARK", "source_settings"]

EVENT_TYPES = {"feedback_event": "FeedbackEvent", "cloud_event": "CloudEvent", "gen_ai_event": "GenAiEvent"}
"""The event types that have a name here."""

_SECONDS = Number(above=0, least=None)

EVENT = Section(
    "event",
    "What the records are.",
    (
        Setting(
            "type",
            Nullable(Choice(tuple(EVENT_TYPES))),
            None,
            "A known type, which says what numbers its fields are; null: any JSON object.",
        ),
        Setting(
            "time_field",
            Nullable(Text()),
            None,
            "Where the event time is; null: where the type has it, or `timestamp`.",
        ),
        Setting(
            "time_unit",
            Nullable(Choice(("s", "ms", "us", "ns"))),
            None,
            "The unit of a number there; null: microseconds.",
        ),
        Setting(
            "schema",
            MapOf(Choice(("int", "float")), "field paths"),
            {},
            "What numbers fields are, besides: `int` keeps integers exact.",
        ),
    ),
)

_GENERATOR = Section(
    "generator",
    "Synthetic feedback events.",
    (
        Setting("seed", Whole(0, 2**64 - 1), 42, "The same seed gives the same events."),
        Setting("events", Whole(0, 2**64 - 1), 1_000_000, "How many."),
        Setting(
            "start",
            Checked(time_micros, "a time such as '2026-01-01T00:00:00Z'"),
            "2026-01-01T00:00:00Z",
            "The time of the first.",
        ),
        Setting(
            "events_per_second",
            Nullable(Number(above=0, least=None)),
            None,
            "Of event time, in the mean; null: a million in half an hour.",
        ),
        Setting(
            "models",
            Nullable(ListOf(Text(), least=1)),
            None,
            "The names of models; null: some that are known.",
        ),
        Setting(
            "regions",
            Nullable(ListOf(Text(), least=1)),
            None,
            "The names of regions; null: some that are known.",
        ),
        Setting("tenants", Nullable(Whole(1)), None, "How many tenants; null: 20."),
        Setting(
            "max_disorder_secs", Number(), 5, "An event that is not late comes less than this after its time."
        ),
        Setting("late_share", Number(most=1), 0.002, "Which share of events comes later still."),
        Setting("malformed_share", Number(most=1), 0.001, "Which share of records is malformed."),
    ),
)
_FILE = Section(
    "file",
    "Files.",
    (
        Setting(
            "path",
            Nullable(Text()),
            None,
            "A path, a pattern such as `logs/*.ndjson`, or `-` for standard input.",
        ),
        Setting(
            "format",
            Nullable(Choice(("ndjson", "csv", "parquet", "arrow"))),
            None,
            "The format; null: by extension.",
        ),
    ),
)


def source_settings(name: str, default: str | None, *more: Setting) -> Section:
    """The section of a source, which is of the `default` type unless said otherwise."""
    return Section(
        name,
        "Where records come from.",
        (
            Setting(
                "type",
                Nullable(Choice(("kafka", "file", "generator"))),
                default,
                "From `kafka.consumer`, from files, or made up. null: from nowhere.",
            ),
            Setting("file", _FILE, {}, _FILE.doc),
            Setting("generator", _GENERATOR, {}, _GENERATOR.doc),
            *more,
        ),
    )


WATERMARK = Section(
    "watermark",
    "How event time advances.",
    (
        Setting(
            "strategy",
            Nullable(Choice(("bounded_out_of_orderness",))),
            "bounded_out_of_orderness",
            "How: the greatest time so far minus a bound. null: as where a builder says nothing, 30 seconds out "
            "of order.",
        ),
        Setting("max_out_of_orderness_secs", Number(), 30, "How long after later events one may come."),
        Setting("emit_interval_secs", Nullable(_SECONDS), 10, "In which steps; null: at every record."),
        Setting(
            "emit_clock",
            Choice(("event", "processing")),
            "event",
            "Whether the steps are of event time or of the clock.",
        ),
        Setting(
            "idle_timeout_secs",
            Nullable(_SECONDS),
            None,
            "After how long without records a partition does not hold the others back; null: never.",
        ),
        Setting(
            "flush_timeout_secs",
            Nullable(_SECONDS),
            None,
            "After how long without any record event time moves on as the clock does; null: never.",
        ),
    ),
)
