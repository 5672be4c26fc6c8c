"""The conformance suite: cases in JSON that say what pipelines have to deliver, and their runner.

The format of the cases is described in docs/conformance.md; any engine can run them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from llmopt_stream.builder import StreamPipelineBuilder, create_pipeline
from llmopt_stream.columns import col
from llmopt_stream.errors import ConfigurationError, ProcessorError
from llmopt_stream.results import AggregationResult
from llmopt_stream.testing import NaivePane, NaiveWindows, PipelineHarness
from llmopt_stream.triggers import (
    AfterWatermark,
    CountTrigger,
    EventTimeTrigger,
    HybridTrigger,
    ProcessingTimeTrigger,
    WindowTrigger,
    all_of,
    any_of,
)
from llmopt_stream.units import EPOCH
from llmopt_stream.watermarks import BoundedOutOfOrdernessWatermark
from llmopt_stream.windows import (
    CountWindowAssigner,
    CumulativeWindowAssigner,
    GlobalWindowAssigner,
    SessionWindowAssigner,
    SlidingWindowAssigner,
    TumblingWindowAssigner,
    Window,
    WindowAssigner,
)

__all__ = ["Case", "Outcome", "answer", "builder_of", "conformance", "differences", "load_cases", "run_suite"]

_SUITE = Path(__file__).parent
_MICROSECOND = timedelta(microseconds=1)
_ALL_OF_TIME = [-(2**63), 2**63 - 1]
_COUNTERS = ("records_in", "aggregated", "late", "malformed", "outside_windows", "unfired")


@dataclass(frozen=True, slots=True)
class Case:
    """A pipeline, steps, and what they have to give."""

    group: str
    name: str
    source: str
    """"definition": written by hand from the definitions; "oracle": computed by the naive reference."""
    pipeline: Mapping[str, Any]
    steps: list[dict[str, Any]]
    expected: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a case gave."""

    case: Case
    differences: list[str]

    @property
    def passed(self) -> bool:
        return not self.differences


def conformance(*, only: str | None = None, as_json: bool = False) -> int:
    """Runs the suite, or the cases whose "group: name" contains `only`, and prints what came of it.

    1 if a case failed, else 0.
    """
    cases = [
        case for case in load_cases() if (only or "").casefold() in f"{case.group}: {case.name}".casefold()
    ]
    if not cases:
        raise ConfigurationError(f"--filter: no case has {only!r} in its group or name")
    outcomes = run_suite(cases)
    print(json.dumps(_as_json(outcomes), indent=2) if as_json else _as_table(outcomes))
    return int(not all(outcome.passed for outcome in outcomes))


def load_cases(folder: Path = _SUITE) -> list[Case]:
    """Every case of the suite, group by group."""
    cases = []
    for path in sorted(folder.glob("*.json")):
        suite = json.loads(path.read_text(encoding="utf-8"))
        cases += [Case(group=suite["group"], **case) for case in suite["cases"]]
    return cases


def run_suite(cases: Iterable[Case]) -> list[Outcome]:
    """Runs each case in this package."""
    outcomes = []
    for case in cases:
        try:
            actual = answer(PipelineHarness(builder_of(case.pipeline)), case.steps)
        except ProcessorError as error:
            outcomes.append(Outcome(case, [f"{type(error).__name__}: {error}"]))
        else:
            outcomes.append(Outcome(case, differences(case.expected, actual)))
    return outcomes


def builder_of(pipeline: Mapping[str, Any]) -> StreamPipelineBuilder:
    """The pipeline that a case describes."""
    builder = (
        create_pipeline("conformance")
        .with_event_time("ts", unit="us")
        .key_by("key")
        .with_window(_window(pipeline["window"]))
        .with_trigger(_trigger(pipeline["trigger"]))
        .with_accumulation(pipeline["accumulation"])
        .aggregate("value", pipeline["statistics"])
    )
    bound = pipeline["max_out_of_orderness"]
    if bound is None:
        return builder
    return builder.with_watermark_generator(BoundedOutOfOrdernessWatermark(_micros(bound)))


def _window(window: Mapping[str, Any]) -> WindowAssigner:
    settings = dict(window)
    kind = settings.pop("type")
    if kind == "count":
        return CountWindowAssigner(**settings)
    if kind == "global":
        return GlobalWindowAssigner(**settings)
    if kind == "session" and "gap_field" in settings:
        settings["gap"] = col(settings.pop("gap_field"))
    for name in ("size", "slide", "step", "offset", "gap", "allowed_lateness"):
        if isinstance(settings.get(name), int):
            settings[name] = _micros(settings[name])
    assigners = {
        "tumbling": TumblingWindowAssigner,
        "sliding": SlidingWindowAssigner,
        "cumulative": CumulativeWindowAssigner,
        "session": SessionWindowAssigner,
    }
    assigner: WindowAssigner = assigners[kind](**settings)
    return assigner


def _trigger(trigger: Mapping[str, Any]) -> WindowTrigger:
    match trigger["type"]:
        case "event_time":
            return EventTimeTrigger()
        case "count":
            return CountTrigger(trigger["count"])
        case "processing_time":
            return ProcessingTimeTrigger(_micros(trigger["delay"]))
        case "hybrid":
            return HybridTrigger(trigger["count"], _micros(trigger["delay"]))
        case "after_watermark":
            early, late = trigger["early"], trigger["late"]
            return AfterWatermark(
                None if early is None else _trigger(early), None if late is None else _trigger(late)
            )
        case "any_of":
            return any_of(*map(_trigger, trigger["triggers"]))
        case "all_of":
            return all_of(*map(_trigger, trigger["triggers"]))
    raise ValueError(f"{trigger!r} is not a trigger")


def _micros(count: int) -> timedelta:
    return count * _MICROSECOND


def answer(driven: PipelineHarness | NaiveWindows, steps: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the steps give, in the shape of a case's `expected`."""
    panes: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []
    for at, step in enumerate(steps):
        match step:
            case {"push": record}:
                driven.push(record, partition=step.get("partition", 0))
            case {"watermark": watermark}:
                driven.advance_watermark(watermark)
            case {"clock": clock}:
                driven.advance_processing_time(clock)
            case {"end_of_input": True}:
                driven.end_of_input()
            case _:
                raise ValueError(f"{step!r} is not a step")
        panes += [{"step": at, **_pane(pane)} for pane in driven.drain()]
        late += [
            {
                "position": each.position,
                "windows": [_interval(window) for window in each.windows],
                "watermark": int(each.watermark),
                "lateness": each.lateness
                if isinstance(each.lateness, int)
                else each.lateness // _MICROSECOND,
            }
            for each in driven.drain_late()
        ]
    counters = driven.counters if isinstance(driven, NaiveWindows) else driven.metrics
    return {"panes": panes, "late": late, "counters": {name: counters.get(name) for name in _COUNTERS}}


def _pane(pane: AggregationResult | NaivePane) -> dict[str, Any]:
    (key,) = pane.key if isinstance(pane, NaivePane) else pane.key.values()
    firing = pane if isinstance(pane, NaivePane) else pane.pane
    return {
        "window": _interval(pane.window),
        "key": key,
        "results": pane.results,
        "timing": firing.timing,
        "index": firing.index,
        "is_last": firing.is_last,
        "replaces": [_interval(window) for window in firing.replaces],
    }


def _interval(window: Window | tuple[int, int]) -> list[int] | None:
    if isinstance(window, Window):
        return (
            None if window.start is None or window.end is None else [_time(window.start), _time(window.end)]
        )
    return None if list(window) == _ALL_OF_TIME else list(window)


def _time(time: datetime) -> int:
    return (time - EPOCH) // _MICROSECOND


def differences(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> list[str]:
    """One line for each pane, late record or counter that differs."""
    found = []
    for part in ("panes", "late"):
        wanted, given = expected[part], actual[part]
        for at in range(max(len(wanted), len(given))):
            want = wanted[at] if at < len(wanted) else None
            got = given[at] if at < len(given) else None
            if not _same(want, got):
                found.append(f"{part}[{at}]: expected {_text(want)}, got {_text(got)}")
    for name, count in expected["counters"].items():
        if actual["counters"].get(name) != count:
            found.append(f"counters: {name}: expected {count}, got {actual['counters'].get(name)}")
    return found


def _same(want: Any, got: Any) -> bool:
    """Equal as JSON values: 1 is 1.0, but neither is true."""
    if isinstance(want, dict) and isinstance(got, dict):
        return want.keys() == got.keys() and all(_same(value, got[name]) for name, value in want.items())
    if isinstance(want, list) and isinstance(got, list):
        return len(want) == len(got) and all(map(_same, want, got))
    return isinstance(want, bool) == isinstance(got, bool) and bool(want == got)


def _text(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _as_table(outcomes: list[Outcome]) -> str:
    rows = [("group", "definition", "oracle", "failed")]
    for group in dict.fromkeys(outcome.case.group for outcome in outcomes):
        of_group = [outcome for outcome in outcomes if outcome.case.group == group]
        rows.append((group, *_counts(of_group)))
    rows.append(("total", *_counts(outcomes)))
    failures = [
        f"\n{outcome.case.group}: {outcome.case.name} ({outcome.case.source})\n  "
        + "\n  ".join(outcome.differences)
        for outcome in outcomes
        if not outcome.passed
    ]
    table = [f"{row[0]:<18}{row[1]:>12}{row[2]:>12}{row[3]:>8}" for row in rows]
    return "\n".join([*table, *failures])


def _counts(outcomes: list[Outcome]) -> tuple[str, str, str]:
    passed = [outcome.case.source for outcome in outcomes if outcome.passed]
    of_source = [
        f"{passed.count(source)}/{sum(outcome.case.source == source for outcome in outcomes)}"
        for source in ("definition", "oracle")
    ]
    return of_source[0], of_source[1], str(len(outcomes) - len(passed))


def _as_json(outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "passed": sum(outcome.passed for outcome in outcomes),
        "failed": sum(not outcome.passed for outcome in outcomes),
        "cases": [
            {
                "group": outcome.case.group,
                "name": outcome.case.name,
                "source": outcome.case.source,
                "passed": outcome.passed,
                "differences": outcome.differences,
            }
            for outcome in outcomes
        ],
    }
