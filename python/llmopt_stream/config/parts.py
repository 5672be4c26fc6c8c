"""What builders are given, made of sections."""

from __future__ import annotations

from typing import Any

import llmopt_stream as ls
from llmopt_stream.errors import ConfigurationError

from .aggregators import aggregator_of
from .sections import is_default

__all__ = [
    "aggregations_of",
    "assigner_of",
    "generator_source_of",
    "policy_of",
    "series_of",
    "trigger_of",
    "watermark_of",
]


def watermark_of(said: Any) -> ls.WatermarkGenerator:
    """The watermark generator of a section."""
    base = ls.BoundedOutOfOrdernessWatermark(
        said.max_out_of_orderness_secs,
        idle_timeout=said.idle_timeout_secs,
        flush_timeout=said.flush_timeout_secs,
    )
    if said.emit_interval_secs is None:
        return base
    return ls.PeriodicWatermarkGenerator(said.emit_interval_secs, base, clock=said.emit_clock)


def generator_source_of(said: Any) -> ls.GeneratorSource:
    """The source of synthetic events."""
    return ls.GeneratorSource(
        seed=said.seed,
        events=said.events,
        start=said.start,
        events_per_second=said.events_per_second,
        models=said.models,
        regions=said.regions,
        tenants=said.tenants,
        max_disorder=said.max_disorder_secs,
        late_share=said.late_share,
        malformed_share=said.malformed_share,
    )


def _lateness(said: Any) -> float | None:
    if said.time == "processing" and is_default(said, "allowed_lateness_secs"):
        return None
    lateness: float | None = said.allowed_lateness_secs
    return lateness


def assigner_of(windows: Any, *, has_lateness: bool = True) -> ls.WindowAssigner:
    """The windows of the default type."""
    kind = windows.default_type
    said = getattr(windows, kind)
    if kind == "count":
        return ls.CountWindowAssigner(said.size_records, said.slide_records, flush=said.flush)
    lateness = _lateness(said) if has_lateness else None
    common: dict[str, Any] = {"allowed_lateness": lateness, "time": said.time}
    if kind == "session":
        if said.gap_field is not None and not is_default(said, "gap_secs"):
            raise ConfigurationError("gap_secs and gap_field: expected one of them")
        gap = said.gap_secs if said.gap_field is None else ls.col(said.gap_field)
        return ls.SessionWindowAssigner(gap, **common)
    common["offset"] = said.offset_secs
    if kind == "tumbling":
        return ls.TumblingWindowAssigner(said.size_secs, **common)
    if kind == "sliding":
        return ls.SlidingWindowAssigner(said.size_secs, said.slide_secs, **common)
    return ls.CumulativeWindowAssigner(said.size_secs, said.step_secs, **common)


def trigger_of(said: Any) -> ls.WindowTrigger:
    """The trigger of a section."""
    tag = said._section.tag
    if tag == "event_time":
        return ls.EventTimeTrigger()
    if tag == "count":
        return ls.CountTrigger(said.count)
    if tag == "processing_time":
        return ls.ProcessingTimeTrigger(said.delay_secs)
    if tag == "hybrid":
        return ls.HybridTrigger(said.count_threshold, said.time_threshold_secs)
    if tag == "after_watermark":
        parts = [None if part is None else trigger_of(part) for part in (said.early, said.late)]
        return ls.AfterWatermark(*parts)
    parts_of = ls.any_of if tag == "any_of" else ls.all_of
    return parts_of(*map(trigger_of, said.triggers))


def aggregations_of(metric: Any) -> list[str | ls.Aggregator]:
    """What a metric computes, with `percentile` spelt out."""
    found: list[str | ls.Aggregator] = []
    for each in metric.enabled:
        if each == "percentile":
            found += [f"p{percent:.9f}".rstrip("0").rstrip(".") for percent in metric.percentiles]
        else:
            found.append(each if isinstance(each, str) else aggregator_of(each))
    if not found:
        raise ConfigurationError("nothing is computed: 'percentile' is all, and there are no percentiles")
    return found


def series_of(said: Any) -> Any:
    """What successive windows say together."""
    if said._section.tag == "moving_average":
        return ls.MovingAverage(said.of, alpha=said.alpha, name=said.name)
    return ls.ZScore(
        said.of, alpha=said.alpha, threshold=said.threshold, warm_up=said.warm_up, name=said.name
    )


def policy_of(said: Any) -> ls.ErrorPolicy:
    """The error policy."""
    if said.policy != "retry":
        policy: ls.ErrorPolicy = getattr(ls.ErrorPolicy, said.policy)()
        return policy
    return ls.ErrorPolicy.retry(
        max_attempts=said.max_retries,
        initial_delay=said.initial_retry_delay_ms / 1000,
        max_delay=said.max_retry_delay_ms / 1000,
    )
