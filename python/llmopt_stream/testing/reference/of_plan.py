"""The reference's settings for a pipeline's plan."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from itertools import groupby
from typing import Any

from llmopt_stream.aggregator import Aggregator
from llmopt_stream.apply import AppliedFunction
from llmopt_stream.branches import Branch
from llmopt_stream.columns import Column
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.metrics import Metric as PlannedMetric
from llmopt_stream.metrics import Statistic
from llmopt_stream.plan import Plan
from llmopt_stream.sketches import (
    CollectAggregator,
    DistinctAggregator,
    HeavyHittersAggregator,
    HistogramAggregator,
)
from llmopt_stream.watermarks import CoreWatermark
from llmopt_stream.windows import WindowAssigner, WindowType

from .aggregators import AggregatorMetric, AppliedMetric
from .chosen_metric import ChosenMetric
from .kinds import Count, Cumulative, Custom, Global, Session, Sliding, Tumbling, WindowKind
from .metrics import Metric
from .series import NaiveSeries
from .values import Interval, micros_in_unit

__all__ = ["settings_of"]


def settings_of(plan: Plan, branch_name: str) -> dict[str, Any]:
    """What NaiveWindows is to be made with."""
    branch = _branch(plan, branch_name)
    if branch.window is None:
        raise ConfigurationError(f"NaiveWindows.of: pipeline {plan.name!r} has no window")
    generator = plan.watermark
    core_watermark = None if generator is None else CoreWatermark.of(generator)
    timeouts = core_watermark and (core_watermark.idle_timeout or core_watermark.flush_timeout)
    if timeouts or plan.future_skew is not None or plan.past_skew is not None:
        raise ConfigurationError(
            f"NaiveWindows.of: pipeline {plan.name!r}: the reference has no timeouts and skews"
        )
    return {
        "window": _kind(branch.window),
        "key_fields": plan.key,
        "metrics": [made for metric in branch.all_metrics() for made in _metrics(metric, plan)],
        "series": [
            NaiveSeries(each, branch.forget_after, branch.spec.type is WindowType.COUNT)
            for each in branch.series
        ],
        "trigger": branch.trigger,
        "allowed_lateness": branch.allowed_lateness(),
        "accumulation": branch.accumulation,
        "time": branch.spec.time,
        "generator": None if generator is None else partial(copy.deepcopy, generator),
        "time_field": plan.time_field,
        "time_of": partial(micros_in_unit, unit=plan.time_unit),
    }


def _branch(plan: Plan, name: str) -> Branch:
    if not name and len(plan.branches) == 1:
        return plan.branches[0]
    for branch in plan.branches:
        if branch.name == name:
            return branch
    raise ConfigurationError(
        f"NaiveWindows.of: branch: {name!r} is none of pipeline {plan.name!r}; expected one of "
        + ", ".join(map(repr, plan.branch_names()))
    )


def _metrics(
    metric: PlannedMetric | AppliedFunction, plan: Plan
) -> Iterator[Metric | AggregatorMetric | AppliedMetric | ChosenMetric]:
    if isinstance(metric, AppliedFunction):
        applied = AppliedMetric(metric, plan.time_field)
        yield applied if metric.where is None else ChosenMetric(applied, metric.name, where=metric.where)
    elif metric.expression is None and metric.where is None and not metric.refuses_nulls:
        yield from _of_field(metric, plan)
    else:
        for each in _of_field(metric, plan):
            yield ChosenMetric(
                each, metric.field, metric.expression, metric.where, refuses_nulls=metric.refuses_nulls
            )


_ALONE: dict[str, Aggregator] = {
    "distinct": DistinctAggregator(),
    "heavy_hitters": HeavyHittersAggregator(),
    "histogram": HistogramAggregator(),
    "collect": CollectAggregator(),
}
"""What statistics of these names are."""


def _of_field(metric: PlannedMetric, plan: Plan) -> Iterator[Metric | AggregatorMetric]:
    """In the order in which results were asked for: statistics that follow one another together."""
    asked = [_ALONE.get(each.kind, each) if isinstance(each, Statistic) else each for each in metric.asked]
    for by_name, together in groupby(asked, key=lambda each: isinstance(each, Statistic)):
        if by_name:
            names = [each.result_name.removeprefix(metric.prefix) for each in together]  # type: ignore[union-attr]
            yield Metric(metric.field, names, metric.prefix)
        else:
            may_fail = plan.error_handler is not None and plan.error_handler.policy.kind != "fail"
            for each in together:
                yield AggregatorMetric(each, metric.field, metric.prefix, may_fail)  # type: ignore[arg-type]


def _kind(assigner: WindowAssigner) -> WindowKind:
    spec = assigner.spec
    match spec.type:
        case WindowType.TUMBLING:
            return Tumbling(spec.size, spec.offset)
        case WindowType.SLIDING:
            return Sliding(spec.size, spec.slide, spec.offset)
        case WindowType.CUMULATIVE:
            return Cumulative(spec.size, spec.slide, spec.offset)
        case WindowType.SESSION:
            return Session(spec.gap.path if isinstance(spec.gap, Column) else spec.gap)
        case WindowType.COUNT:
            return Count(spec.size, spec.slide, spec.flush)
        case WindowType.GLOBAL:
            return Global()
        case WindowType.CUSTOM:
            return Custom(partial(_intervals, assigner))


def _intervals(assigner: WindowAssigner, time: int) -> list[Interval]:
    return [window.micros for window in sorted(assigner.assign(time))]
