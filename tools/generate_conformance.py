"""Write the conformance suite's cases that the naive reference answers, from seeded streams.

`--check` writes nothing, and fails where a file is not what would be written.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

from llmopt_stream.conformance import answer, builder_of
from llmopt_stream.testing import NaiveWindows

FOLDER = Path(__file__).parents[1] / "python" / "llmopt_stream" / "conformance"

EVENT_TIME = {"type": "event_time"}
COUNT = {"type": "count", "count": 2}
CLOCK = {"type": "processing_time", "delay": 6}
TRIGGERS: dict[str, dict[str, Any]] = {
    "event time": EVENT_TIME,
    "count": COUNT,
    "processing time": CLOCK,
    "hybrid": {"type": "hybrid", "count": 3, "delay": 20},
    "early by count": {"type": "after_watermark", "early": COUNT, "late": None},
    "early by the clock, late by count": {"type": "after_watermark", "early": CLOCK, "late": COUNT},
    "late by the clock": {"type": "after_watermark", "early": None, "late": CLOCK},
    "any of count, clock and event time": {"type": "any_of", "triggers": [COUNT, CLOCK, EVENT_TIME]},
    "all of count and clock": {"type": "all_of", "triggers": [COUNT, CLOCK]},
    "all of count and event time": {"type": "all_of", "triggers": [COUNT, EVENT_TIME]},
    "any of event time and both count and clock": {
        "type": "any_of",
        "triggers": [EVENT_TIME, {"type": "all_of", "triggers": [COUNT, CLOCK]}],
    },
}
EVENT_WINDOWS: dict[str, list[dict[str, Any]]] = {
    "tumbling": [
        {"type": "tumbling", "size": 10, "offset": 0, "allowed_lateness": 0},
        {"type": "tumbling", "size": 10, "offset": -3, "allowed_lateness": 15},
        {"type": "tumbling", "size": 7, "offset": 2, "allowed_lateness": 7},
    ],
    "sliding": [
        {"type": "sliding", "size": 10, "slide": 5, "offset": 0, "allowed_lateness": 0},
        {"type": "sliding", "size": 11, "slide": 4, "offset": 1, "allowed_lateness": 9},
        {"type": "sliding", "size": 4, "slide": 9, "offset": -2, "allowed_lateness": 12},
    ],
    "cumulative": [
        {"type": "cumulative", "size": 12, "step": 4, "offset": 0, "allowed_lateness": 0},
        {"type": "cumulative", "size": 15, "step": 5, "offset": 4, "allowed_lateness": 10},
    ],
    "session": [
        {"type": "session", "gap": 5, "allowed_lateness": 0},
        {"type": "session", "gap": 5, "allowed_lateness": 12},
        {"type": "session", "gap": 8, "allowed_lateness": 60},
    ],
    "session-gaps": [
        {"type": "session", "gap_field": "gap", "allowed_lateness": 0},
        {"type": "session", "gap_field": "gap", "allowed_lateness": 15},
    ],
    "global": [{"type": "global"}],
}
CLOCK_WINDOWS: list[dict[str, Any]] = [
    {"type": "tumbling", "size": 10, "offset": 0, "time": "processing"},
    {"type": "sliding", "size": 10, "slide": 4, "offset": 1, "time": "processing"},
    {"type": "sliding", "size": 3, "slide": 8, "offset": 0, "time": "processing"},
    {"type": "cumulative", "size": 12, "step": 4, "offset": 0, "time": "processing"},
    {"type": "session", "gap": 5, "time": "processing"},
    {"type": "session", "gap_field": "gap", "time": "processing"},
]
COUNT_WINDOWS: list[dict[str, Any]] = [
    {"type": "count", "size": size, "slide": slide, "flush": flush}
    for size, slide in [(1, 1), (3, 3), (4, 2), (5, 2), (3, 1), (2, 3), (2, 5)]
    for flush in (False, True)
]
STATISTICS = ["count", "sum", "p50"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 on a difference")
    check = parser.parse_args().check
    different = []
    for group, cases in suites().items():
        path = FOLDER / f"{group}.oracle.json"
        text = text_of(group, cases)
        if not check:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            different.append(path.name)
    for name in different:
        print(f"{name} is not what this script writes", file=sys.stderr)
    return int(bool(different))


def suites() -> dict[str, list[dict[str, Any]]]:
    """The generated cases of each group."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for group, windows in EVENT_WINDOWS.items():
        groups[group] = [
            case(group, window, name, trigger, accumulation)
            for at, (name, trigger) in enumerate(TRIGGERS.items())
            for turn, window in enumerate(windows)
            for accumulation in modes(name, at + turn)
        ]
    groups["processing-time"] = [
        case("processing-time", window, name, TRIGGERS[name], accumulation)
        for window in CLOCK_WINDOWS
        for at, name in enumerate(["event time", "count", "early by count"])
        for accumulation in modes(name, at)
    ]
    groups["count"] = [
        case("count", window, "event time", EVENT_TIME, "accumulating") for window in COUNT_WINDOWS
    ]
    return groups


def modes(trigger: str, turn: int) -> list[str]:
    """Both for the default trigger; for the others one by turns."""
    both = ["accumulating", "discarding"]
    return both if trigger == "event time" else [both[turn % 2]]


def case(
    group: str, window: dict[str, Any], trigger_name: str, trigger: dict[str, Any], accumulation: str
) -> dict[str, Any]:
    settings = ", ".join(f"{name} {value}" for name, value in window.items() if name != "type")
    name = ", ".join(filter(None, [window["type"], settings, trigger_name, accumulation]))
    rng = random.Random(name)
    by_clock = window.get("time") == "processing"
    pipeline = {
        "window": window,
        "trigger": trigger,
        "accumulation": accumulation,
        "max_out_of_orderness": None if by_clock else rng.choice([None, 0, 4, 10]),
        "statistics": STATISTICS,
    }
    steps = stream(rng, pipeline, by_clock=by_clock)
    return {
        "name": name,
        "source": "oracle",
        "pipeline": pipeline,
        "steps": steps,
        "expected": answer(NaiveWindows.of(builder_of(pipeline)), steps),
    }


def stream(rng: random.Random, pipeline: dict[str, Any], *, by_clock: bool) -> list[dict[str, Any]]:
    """Records around a moving time that begins before 1970, some late, some at ends of windows; steps of the
    watermark where records do not move it; steps of the clock.
    """
    time, clock = rng.choice([-30, -12, 0, 100]), 0
    steps: list[dict[str, Any]] = []
    for _ in range(rng.randint(10, 15)):
        time += rng.choice([0, 0, 1, 2, 3, 5, 9])
        record: dict[str, Any] = {
            "ts": time - rng.choice([0, 0, 0, 1, 4, 10, 25]),
            "key": rng.choice(["a", "a", "a", "b"]),
            "value": rng.choice([*range(-9, 10), None]),
        }
        if "gap_field" in pipeline["window"]:
            record["gap"] = rng.choice([1e-6, 3e-6, 5e-6, 5e-6, 8e-6, 1.2e-5, None])
        if rng.random() < 0.03:
            record["ts"] = None
        steps.append({"push": record})
        if rng.random() < (0.6 if by_clock else 0.3):
            clock += rng.choice([1, 2, 4, 5, 6, 11])
            steps.append({"clock": clock})
        if pipeline["max_out_of_orderness"] is None and rng.random() < 0.35:
            steps.append({"watermark": time - rng.choice([-6, -1, 0, 3, 10])})
    steps.append({"end_of_input": True})
    return steps


def text_of(group: str, cases: list[dict[str, Any]]) -> str:
    """One line for each step, pane and late record."""
    return "\n".join(
        [
            "{",
            f'  "group": {one_line(group)},',
            '  "cases": [',
            ",\n".join(map(case_text, cases)),
            "  ]",
            "}",
            "",
        ]
    )


def case_text(case: dict[str, Any]) -> str:
    expected = case["expected"]
    return "\n".join(
        [
            "    {",
            *(f'      "{name}": {one_line(case[name])},' for name in ("name", "source", "pipeline")),
            f'      "steps": {lines(case["steps"], "      ")},',
            '      "expected": {',
            f'        "panes": {lines(expected["panes"], "        ")},',
            f'        "late": {lines(expected["late"], "        ")},',
            f'        "counters": {one_line(expected["counters"])}',
            "      }",
            "    }",
        ]
    )


def lines(values: list[Any], indent: str) -> str:
    if not values:
        return "[]"
    return "[\n" + ",\n".join(f"{indent}  {one_line(value)}" for value in values) + f"\n{indent}]"


def one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
