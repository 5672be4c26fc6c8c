"""The table of settings: what happens to records before, between and behind windows."""

from __future__ import annotations

from .aggregation_settings import CONDITION, EXPRESSION
from .containers import ListOf, MapOf, Nullable, OneOf
from .kinds import Choice, Flag, Number, Text, Whole
from .sections import REQUIRED, Section, Setting, Tagged
from .window_settings import FIELD_PATH

__all__ = ["KEY_BY", "ON", "OPERATOR"]

_SECONDS = Number(above=0, least=None)

KEY_BY = Setting(
    "key_by",
    Nullable(ListOf(FIELD_PATH)),
    None,
    "Which fields records are grouped by; null: as before.",
)
_HOW = Setting("how", Choice(("left", "inner")), "left", "Whether records without a row go on.")
_PREFIX = Setting("prefix", Text(may_be_empty=True), "", "What the names of the added fields begin with.")
_MISSING = Setting("missing", Choice(("null", "error")), "null", "What the fields are where there is no row.")
ON = OneOf(
    of_text=FIELD_PATH,
    of_list=ListOf(FIELD_PATH, least=1),
    of_map=MapOf(FIELD_PATH, "field paths"),
)

_SELECTED = Section(
    "selected_field",
    "A field under another name, or an expression.",
    (
        Setting("name", Text(), REQUIRED, "What it is called."),
        Setting("field", Nullable(FIELD_PATH), None, "Which field it is."),
        Setting("expression", Nullable(EXPRESSION), None, "Or which expression."),
    ),
)

OPERATOR = Tagged(
    "an operator",
    (
        Section(
            "filter",
            "The records for which a condition is true.",
            (Setting("where", CONDITION, REQUIRED, "The condition."),),
            "filter",
        ),
        Section(
            "select",
            "Records of these fields only.",
            (
                Setting(
                    "fields",
                    ListOf(OneOf(of_text=FIELD_PATH, of_map=_SELECTED), least=1),
                    REQUIRED,
                    "Paths, and fields and expressions under names of their own.",
                ),
            ),
            "select",
        ),
        Section(
            "deduplicate",
            "Of records with the same value the first.",
            (
                Setting("by", FIELD_PATH, REQUIRED, "Of which field."),
                Setting("ttl_secs", _SECONDS, REQUIRED, "For how long a value is remembered, in event time."),
                Setting(
                    "false_positive_rate",
                    Nullable(Number(above=0, below=1, least=None)),
                    None,
                    "Which share of new values may be taken for repeated, for a tenth of the memory; null: none.",
                ),
            ),
            "deduplicate",
        ),
        Section(
            "enrich",
            "Records with the fields of a table's row of the same key.",
            (
                Setting("table", Text(), REQUIRED, "The file of the table: NDJSON, CSV, Parquet or Arrow."),
                Setting(
                    "on",
                    ON,
                    REQUIRED,
                    "By which fields: a path, several, or paths with the columns that they equal.",
                ),
                _HOW,
                _PREFIX,
                _MISSING,
            ),
            "enrich",
        ),
        Section("running_count", "After each record how many its key has had.", (KEY_BY,), "running_count"),
        Section(
            "track_sessions",
            "A record at the end of each session of a key.",
            (
                Setting("timeout_secs", _SECONDS, 1800, "Records this far apart at most are of one session."),
                KEY_BY,
            ),
            "track_sessions",
        ),
        Section(
            "trending",
            "Now and then the keys that there were most records of lately.",
            (
                Setting("half_life_secs", _SECONDS, 60, "After how long a record counts for half."),
                Setting("top", Whole(1), 10, "How many keys."),
                Setting("window_secs", _SECONDS, 300, "How often."),
                Setting(
                    "drop_below", Number(above=0, least=None), 0.1, "Below which score a key is forgotten."
                ),
                Setting(
                    "capacity",
                    Nullable(Whole(1)),
                    None,
                    "How many keys are counted; null: 10 top, at least 1,000.",
                ),
                KEY_BY,
            ),
            "trending",
        ),
        Section(
            "top_n",
            "Directly behind a window: the greatest results of each window.",
            (
                Setting("n", Whole(1), REQUIRED, "How many."),
                Setting("by", Text(), REQUIRED, "By which result."),
                Setting("per", ListOf(FIELD_PATH), [], "Of each value of these fields of the key."),
                Setting("ascending", Flag(), False, "The least instead."),
            ),
            "top_n",
        ),
    ),
)
