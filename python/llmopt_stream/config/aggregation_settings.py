"""The table of settings: what is computed of the records of a window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.metrics import NINE, parse_statistic

from .containers import ListOf, Nullable, OneOf
from .expressions import condition_from, expression_from
from .kinds import Checked, Choice, Flag, Number, Text, Whole
from .nodes import Form
from .reading import Definitions, Scalar
from .sections import REQUIRED, Later, Section, Setting, Tagged
from .window_settings import FIELD_PATH

__all__ = ["AGGREGATION", "CONDITION", "EXPRESSION", "STATISTIC_NAMES"]

EXPRESSION = Checked(expression_from, "an expression such as \"col('data.cost_usd') / col('data.tokens')\"")
CONDITION = Checked(condition_from, "a condition such as \"col('data.status') == 'ok'\"")

STATISTIC_NAMES = ("count", "sum", "average", "min", "max", "percentile", "stddev")
"""What is computed unless said otherwise."""

_PERCENT = Number(least=0, most=100)


def _parse(text: str) -> None:
    try:
        parse_statistic(text)
    except ConfigurationError as error:
        raise ConfigurationError(str(error).removeprefix("aggregate: ")) from error


def _parse_or_all(text: str) -> None:
    if text != "percentile":
        _parse(text)


@dataclass(frozen=True)
class _Statistic(Checked):
    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"type": "string", "examples": [*NINE, "percentile", "p99.9"]}


class _Nulls(Scalar):
    def convert(self, text: str, form: Form) -> Any:
        return text if text in ("skip", "error") else Number(least=None).convert(text, form)

    def not_this(self) -> str:
        return "known"

    def describe(self) -> str:
        return "'skip', 'error' or a number"

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["skip", "error"]}, Number(least=None).schema(definitions)]}


_OTHER = Setting("other", FIELD_PATH, REQUIRED, "The other field.")
_AGGREGATOR = Tagged(
    "an aggregator",
    (
        Section(
            "composite_aggregator",
            "Several statistics, as an aggregator.",
            (Setting("enabled", ListOf(Later(lambda: _PART), least=1), REQUIRED, "Which ones."),),
            "composite",
        ),
        Section(
            "percentile_aggregator",
            "Percentiles by a method of choice.",
            (
                Setting("percentiles", ListOf(_PERCENT, least=1), [50, 95, 99], "Which ones."),
                Setting("method", Choice(("default", "exact", "kll")), "default", "How they are computed."),
                Setting("k", Whole(8, 65535), 200, "How many values `kll` keeps exactly."),
            ),
            "percentile",
        ),
        Section(
            "distinct_aggregator",
            "How many different values there are.",
            (Setting("precision", Whole(4, 18), 12, "The base-2 logarithm of the bytes that it takes."),),
            "distinct",
        ),
        Section(
            "heavy_hitters_aggregator",
            "The most frequent values.",
            (
                Setting("k", Whole(1, 50_000), 10, "How many."),
                Setting("capacity", Nullable(Whole(1, 1_000_000)), None, "How many are counted; null: 20 k."),
            ),
            "heavy_hitters",
        ),
        Section(
            "histogram_aggregator",
            "How many values lie in each bucket.",
            (
                Setting(
                    "buckets",
                    Nullable(ListOf(Number(least=None), least=1)),
                    None,
                    "The edges; null: log buckets.",
                ),
                Setting(
                    "bins",
                    Nullable(Whole(2, 768)),
                    None,
                    "How many log buckets there are at most; null: 768.",
                ),
            ),
            "histogram",
        ),
        Section(
            "collect_aggregator",
            "The first values by event time.",
            (Setting("limit", Whole(1, 1_000_000), 100, "How many."),),
            "collect",
        ),
        Section(
            "ratio_aggregator",
            "The sum of the field by the sum of another one.",
            (
                Setting("per", Nullable(FIELD_PATH), None, "The other field."),
                Setting("per_expression", Nullable(EXPRESSION), None, "An expression in its place."),
                Setting("scale", Number(least=None), 1, "What the ratio is multiplied by."),
            ),
            "ratio",
        ),
        Section(
            "weighted_average_aggregator",
            "The average of the field, weighted by another one.",
            (Setting("weight", FIELD_PATH, REQUIRED, "The field of the weights."),),
            "weighted_average",
        ),
        Section(
            "covariance_aggregator",
            "The covariance of the field and another one.",
            (_OTHER, Setting("sample", Flag(), False, "Of a sample rather than of the population.")),
            "covariance",
        ),
        Section(
            "correlation_aggregator",
            "Pearson's correlation of the field and another one.",
            (_OTHER,),
            "correlation",
        ),
        Section(
            "linear_trend_aggregator",
            "Least squares of the field over event time, or over other fields.",
            (
                Setting(
                    "on", Nullable(ListOf(FIELD_PATH, least=1)), None, "The other fields; null: event time."
                ),
            ),
            "linear_trend",
        ),
    ),
)

_PART: OneOf = OneOf(
    of_text=_Statistic(_parse, "the name of a statistic such as 'count' or 'p99.9'"), of_map=_AGGREGATOR
)
_ENABLED = OneOf(
    of_text=_Statistic(_parse_or_all, "the name of a statistic such as 'count', 'percentile' or 'p99.9'"),
    of_map=_AGGREGATOR,
)

_METRIC = (
    Setting("field", FIELD_PATH, "value", "Of which field."),
    Setting("expression", Nullable(EXPRESSION), None, "Of which expression over fields, instead."),
    Setting(
        "enabled",
        ListOf(_ENABLED, least=1),
        list(STATISTIC_NAMES),
        "What is computed, by name or with settings. `percentile` stands for all `percentiles`.",
    ),
    Setting("percentiles", ListOf(_PERCENT), [50, 95, 99], "Which percentiles `percentile` stands for."),
    Setting("prefix", Text(may_be_empty=True), "", "What the results' names begin with."),
    Setting("where", Nullable(CONDITION), None, "Of which records; null: of all."),
    Setting(
        "nulls",
        _Nulls(),
        "skip",
        "What becomes of values that are none: they are skipped, an error, or counted as this number.",
    ),
)


_SERIES = Tagged(
    "a series",
    (
        Section(
            "moving_average",
            "The exponentially weighted moving average of a result.",
            (
                Setting("of", Text(), REQUIRED, "Which result."),
                Setting(
                    "alpha", Number(above=0, most=1, least=None), 0.3, "The weight of the newest window."
                ),
                Setting(
                    "name", Nullable(Text()), None, "What it is called; null: the result's name and `_ema`."
                ),
            ),
            "moving_average",
        ),
        Section(
            "z_score",
            "How far a result lies from those of the windows before.",
            (
                Setting("of", Text(), REQUIRED, "Which result."),
                Setting(
                    "alpha", Number(above=0, most=1, least=None), 0.3, "The weight of the newest window."
                ),
                Setting(
                    "threshold",
                    Number(above=0, least=None),
                    3.0,
                    "From how many deviations on it is an anomaly.",
                ),
                Setting("warm_up", Whole(1), 5, "How many windows come before the first score."),
                Setting(
                    "name",
                    Nullable(Text()),
                    None,
                    "What its results' names begin with; null: the result's name.",
                ),
            ),
            "z_score",
        ),
    ),
)

_FURTHER = Section("further_metric", "What else is computed.", _METRIC)

AGGREGATION = Section(
    "aggregation",
    "What is computed of the records of a key and window.",
    (
        *_METRIC,
        Setting(
            "additional",
            ListOf(_FURTHER),
            [],
            "Further fields, each with settings as above; give them a `prefix`.",
        ),
        Setting("across_windows", ListOf(_SERIES), [], "What a key's successive windows say together."),
        Setting(
            "forget_after_secs", Number(), 86400, "A key without a window for so long starts anew there."
        ),
    ),
)
