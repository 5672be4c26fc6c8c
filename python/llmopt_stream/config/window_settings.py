"""The table of settings: windows and when they fire."""

from __future__ import annotations

from llmopt_stream.columns import field_path

from .containers import ListOf, Nullable
from .kinds import Checked, Choice, Flag, Number, Whole
from .sections import REQUIRED, Later, Section, Setting, Tagged

__all__ = ["FIELD_PATH", "STAGE_WINDOWS", "WINDOWS"]

FIELD_PATH = Checked(lambda text: field_path(text, "field"), "a field path such as 'data.latency_ms'")

_SECONDS = Number(above=0, least=None)
_TIME = Setting(
    "time",
    Choice(("event", "processing")),
    "event",
    "Whether records are put into windows by their event time, or by the clock at which they arrive.",
)
_OFFSET = Setting(
    "offset_secs",
    Number(least=None),
    0,
    "Windows start at this offset from the epoch's multiples; negative for time zones east of UTC.",
)
_LATENESS = Setting(
    "allowed_lateness_secs",
    Nullable(Number()),
    60,
    "How long after its completion a window takes late records and fires again. With `time: processing` nothing is late, "
    "and the default does not count.",
)

_TRIGGER: Tagged = Tagged(
    "a trigger",
    (
        Section(
            "event_time_trigger", "When the window is complete, and at every late record.", (), "event_time"
        ),
        Section(
            "count_trigger",
            "At every so many records; completion fires nothing.",
            (Setting("count", Whole(1), REQUIRED, "How many records of a key since the last firing."),),
            "count",
        ),
        Section(
            "processing_time_trigger",
            "Some time after the first record since the last firing; completion fires nothing.",
            (Setting("delay_secs", _SECONDS, REQUIRED, "How long after, on the clock."),),
            "processing_time",
        ),
        Section(
            "hybrid_trigger",
            "At every so many records, when the window is complete, and at every late record.",
            (
                Setting(
                    "count_threshold", Whole(1), REQUIRED, "How many records of a key since the last firing."
                ),
                Setting(
                    "time_threshold_secs",
                    Number(),
                    3600,
                    "How long after its end a window's state is kept at least.",
                ),
            ),
            "hybrid",
        ),
        Section(
            "after_watermark_trigger",
            "When the window is complete; before and after that as two other triggers say.",
            (
                Setting(
                    "early", Nullable(Later(lambda: _TRIGGER)), None, "When it fires before it is complete."
                ),
                Setting(
                    "late",
                    Nullable(Later(lambda: _TRIGGER)),
                    None,
                    "When it fires again; null: at every late record.",
                ),
            ),
            "after_watermark",
        ),
        Section(
            "any_of_trigger",
            "As soon as one of several triggers would fire.",
            (Setting("triggers", ListOf(Later(lambda: _TRIGGER), least=1), REQUIRED, "The triggers."),),
            "any_of",
        ),
        Section(
            "all_of_trigger",
            "As soon as all of several triggers would fire.",
            (Setting("triggers", ListOf(Later(lambda: _TRIGGER), least=1), REQUIRED, "The triggers."),),
            "all_of",
        ),
    ),
)

_TUMBLING = Section(
    "tumbling",
    "Fixed, gap-free windows: every record falls in exactly one.",
    (Setting("size_secs", _SECONDS, 300, "How long a window is."), _OFFSET, _LATENESS, _TIME),
)
_SLIDING = Section(
    "sliding",
    "Windows of one size that overlap.",
    (
        Setting("size_secs", _SECONDS, 600, "How long a window is."),
        Setting("slide_secs", _SECONDS, 60, "How long after one window the next one starts."),
        _OFFSET,
        _LATENESS,
        _TIME,
    ),
)
_SESSION = Section(
    "session",
    "A key's records that are at most a gap apart.",
    (
        Setting("gap_secs", _SECONDS, 300, "Records this far apart at most share a session."),
        Setting(
            "gap_field",
            Nullable(FIELD_PATH),
            None,
            "Where each record says its own gap, in seconds, instead.",
        ),
        _LATENESS,
        _TIME,
    ),
)
_CUMULATIVE = Section(
    "cumulative",
    "Windows that share a start and grow: the day so far, every hour.",
    (
        Setting("size_secs", _SECONDS, 86400, "How long the longest window is."),
        Setting("step_secs", _SECONDS, 3600, "By how much windows grow; the size is a multiple of it."),
        _OFFSET,
        _LATENESS,
        _TIME,
    ),
)
_COUNT = Section(
    "count",
    "Windows of so many records of a key.",
    (
        Setting("size_records", Whole(1, 2**61 - 1), 100, "How many records a window has."),
        Setting(
            "slide_records",
            Nullable(Whole(1, 2**61 - 1)),
            None,
            "After how many records the next one starts; null: its size.",
        ),
        Setting(
            "flush", Flag(), False, "Whether the end of the input fires the records that fill no window."
        ),
    ),
)
_TYPES = ("tumbling", "sliding", "session", "cumulative", "count", "global")


def _windows(name: str, default: str | None, doc: str) -> Section:
    return Section(
        name,
        doc,
        (
            Setting(
                "default_type",
                Nullable(Choice(_TYPES)),
                default,
                "Which windows there are; the sections of the other types do not count. null: none, so that records "
                "themselves come out.",
            ),
            Setting("tumbling", _TUMBLING, {}, _TUMBLING.doc),
            Setting("sliding", _SLIDING, {}, _SLIDING.doc),
            Setting("session", _SESSION, {}, _SESSION.doc),
            Setting("cumulative", _CUMULATIVE, {}, _CUMULATIVE.doc),
            Setting("count", _COUNT, {}, _COUNT.doc),
            Setting("trigger", _TRIGGER, {"type": "event_time"}, "When windows fire."),
            Setting(
                "accumulation",
                Choice(("accumulating", "discarding")),
                "accumulating",
                "Whether a window's later panes hold everything so far, or only what is new.",
            ),
        ),
    )


WINDOWS = _windows("windows", "tumbling", "Which windows records are in, and when these fire.")
STAGE_WINDOWS = _windows("stage_windows", None, "Which windows the records of a stage are in, if any.")
