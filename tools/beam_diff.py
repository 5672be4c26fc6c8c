"""Compare panes with Apache Beam's, on seeded streams.

Both get the same script: records of a few keys, watermarks, the end of the input. Compared are, for each key
and window, the sequence of its panes: count, sum, minimum, maximum, timing and index. docs/beam.md says what
is left out because the definitions differ; none of it is decided by a case's result.

A case that differs is shown with what can be removed from it removed, in the form of the conformance suite.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmopt_stream.conformance import answer, builder_of
from llmopt_stream.testing import PipelineHarness

Case = dict[str, Any]
Step = dict[str, Any]
Session = tuple[int, int, int]
"""Its start and end, and the earliest end of the windows that its records had alone."""
Sequences = dict[tuple[str, int, int], list[tuple[Any, ...]]]

STATISTICS = ("count", "sum", "min", "max")
# Window edges, gaps, and times of records in sessions are multiples of it, so that boundaries meet often.
GRID = 10


class CommonGround:
    """What both define alike, for one pipeline, step by step. docs/beam.md has the reasons."""

    def __init__(self, pipeline: Mapping[str, Any]) -> None:
        self.window = pipeline["window"]
        self.trigger = pipeline["trigger"]
        self.watermark = -(2**63)
        self.sessions: dict[str, list[Session]] = defaultdict(list)

    def admits(self, step: Step) -> bool:
        """Whether the step stays on it; if so, it is taken."""
        match step:
            case {"push": record}:
                if self.window["type"] == "session":
                    return self._admits_to_session(record)
                return self.window["type"] != "sliding" or self._is_in_a_window(record["ts"])
            case {"watermark": watermark}:
                # Every end is on the grid.
                if (watermark - self.window["allowed_lateness"]) % GRID == 0 or watermark <= self.watermark:
                    return False
                self.watermark = watermark
        return True

    def _is_in_a_window(self, time: int) -> bool:
        return bool((time - self.window["offset"]) % self.window["slide"] < self.window["size"])

    def _admits_to_session(self, record: Mapping[str, Any]) -> bool:
        lateness = self.window["allowed_lateness"]
        start, end = record["ts"], record["ts"] + self.window["gap"]
        if self.watermark >= end + lateness:
            return False
        sessions = self.sessions[record["key"]]
        merged = [each for each in sessions if each[0] <= end and start <= each[1]]
        for each in merged:
            if each[0] == end or start == each[1] or self.watermark >= each[1] + lateness:
                return False
        own_end = end
        start = min([start, *(each[0] for each in merged)])
        end = max([end, *(each[1] for each in merged)])
        first_end = min([own_end, *(each[2] for each in merged)])
        if end <= self.watermark:
            # A late pane; what holds Beam's output watermark must not make it an early one.
            if any(each[1] > self.watermark and each[2] <= end for each in self._all_sessions()):
                return False
        elif any(each[1] <= self.watermark for each in merged) and self.trigger["type"] != "event_time":
            return False
        self.sessions[record["key"]] = [each for each in sessions if each not in merged] + [
            (start, end, first_end)
        ]
        return True

    def _all_sessions(self) -> Iterator[Session]:
        return itertools.chain.from_iterable(self.sessions.values())


def random_case(seed: int) -> Case:
    pick = random.Random(seed)
    window = random_window(pick)
    pipeline = {
        "window": {**window, "allowed_lateness": pick.choice([0, 5, 10, 15, 35])},
        "trigger": random_trigger(pick),
        "accumulation": pick.choice(["accumulating", "discarding"]),
        "max_out_of_orderness": None,
        "statistics": [*STATISTICS],
    }
    common = CommonGround(pipeline)
    proposed = random_steps(pick, common, pick.randint(5, 60))
    return {"pipeline": pipeline, "steps": [*filter(common.admits, proposed), {"end_of_input": True}]}


def random_window(pick: random.Random) -> dict[str, Any]:
    size, slide = GRID * pick.randint(1, 6), GRID * pick.randint(1, 4)
    return pick.choice(
        [
            {"type": "tumbling", "size": size, "offset": GRID * pick.randrange(size // GRID)},
            {"type": "sliding", "size": size, "slide": slide, "offset": GRID * pick.randrange(slide // GRID)},
            {"type": "session", "gap": GRID * pick.randint(2, 4)},
        ]
    )


def random_trigger(pick: random.Random) -> dict[str, Any]:
    return pick.choice(
        [
            {"type": "event_time"},
            {
                "type": "after_watermark",
                "early": pick.choice([None, count(pick.randint(1, 4))]),
                "late": pick.choice([None, count(1)]),
            },
            {"type": "any_of", "triggers": [count(pick.randint(1, 4)), {"type": "event_time"}]},
        ]
    )


def count(records: int) -> dict[str, Any]:
    return {"type": "count", "count": records}


def random_steps(pick: random.Random, common: CommonGround, steps: int) -> Iterator[Step]:
    for _ in range(steps):
        now = max(common.watermark, -3 * GRID)
        if pick.random() < 0.25:
            yield {"watermark": now + pick.choice([5, 10, 15, 20, 80])}
            continue
        time = now + pick.randint(-5 * GRID, 6 * GRID)
        if common.window["type"] == "session":
            time -= time % GRID
        yield {"push": {"ts": time, "key": pick.choice("abc"), "value": pick.randint(-(10**6), 10**6)}}


def ours(case: Case) -> Sequences:
    panes = answer(PipelineHarness(builder_of(case["pipeline"])), case["steps"])["panes"]
    sequences: Sequences = defaultdict(list)
    for pane in panes:
        results = pane["results"]
        sequences[pane["key"], *pane["window"]].append(
            (*(results[name] for name in STATISTICS), pane["timing"], index_of(case, pane["index"]))
        )
    return sequences


def theirs(case: Case, panes: list[dict[str, Any]]) -> Sequences:
    sequences: Sequences = defaultdict(list)
    without_values: Counter[tuple[str, int, int]] = Counter()
    for pane in panes:
        at = (pane["key"], *pane["window"])
        values = pane["values"]
        if not values:
            without_values[at] += 1
            continue
        index = index_of(case, pane["index"] - without_values[at])
        sequences[at].append((len(values), sum(values), min(values), max(values), pane["timing"], index))
    return sequences


def index_of(case: Case, index: int) -> int | None:
    return None if case["pipeline"]["window"]["type"] == "session" else index


class Beam:
    """Beam in a process of its own."""

    def __init__(self, python: str) -> None:
        self.process = subprocess.Popen(
            [python, Path(__file__).with_name("beam_panes.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )

    def panes(self, case: Case) -> list[dict[str, Any]]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"Beam ended with exit code {self.process.wait()} at {json.dumps(case)}")
        panes: list[dict[str, Any]] = json.loads(line)
        return panes


def differences(case: Case, beam: Beam) -> list[str]:
    own, other = ours(case), theirs(case, beam.panes(case))
    return [
        f"key {at[0]}, window [{at[1]}, {at[2]}): here {own.get(at, [])}, Beam {other.get(at, [])}"
        for at in sorted({*own, *other})
        if own.get(at) != other.get(at)
    ]


def smallest(case: Case, beam: Beam) -> Case:
    """The case without every step that it differs without."""
    at = 0
    while at < len(case["steps"]) - 1:
        smaller = {**case, "steps": case["steps"][:at] + case["steps"][at + 1 :]}
        common = CommonGround(case["pipeline"])
        if all(map(common.admits, smaller["steps"])) and differences(smaller, beam):
            case, at = smaller, 0
        else:
            at += 1
    return case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beam_python", help="a Python that has apache-beam")
    parser.add_argument("--seed", type=int, default=1, help="of the first case; the next ones count on")
    parser.add_argument("--cases", type=int, default=200)
    options = parser.parse_args()
    beam = Beam(options.beam_python)
    tally: Counter[str] = Counter()
    for seed in range(options.seed, options.seed + options.cases):
        case = random_case(seed)
        pipeline = case["pipeline"]
        if differences(case, beam):
            case = smallest(case, beam)
            print(f"seed {seed} differs:", json.dumps(case), *differences(case, beam), sep="\n  ")
            return 1
        tally[f"{pipeline['window']['type']}, {pipeline['trigger']['type']}, {pipeline['accumulation']}"] += 1
        for panes in ours(case).values():
            tally.update(f"panes {timing}" for *_, timing, _ in panes)
    for what, times in sorted(tally.items()):
        print(f"{what:<48}{times:>8}")
    print(f"{options.cases} cases from seed {options.seed} on agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
