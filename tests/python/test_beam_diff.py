"""The scripts of `make beam-diff` stay where Beam and this package mean the same."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "beam_diff.py"))
EVENT_TIME = {"type": "event_time"}
EARLY = {"type": "after_watermark", "early": {"type": "count", "count": 2}, "late": None}
SESSION = {"type": "session", "gap": 20, "allowed_lateness": 5}


def push(time: int, key: str = "a") -> dict[str, Any]:
    return {"push": {"ts": time, "key": key, "value": 1}}


@pytest.mark.parametrize(
    ("window", "trigger", "steps", "admitted"),
    [
        ({"type": "tumbling", "allowed_lateness": 5}, EVENT_TIME, [{"watermark": 14}], True),
        # At a window's expiry.
        ({"type": "tumbling", "allowed_lateness": 5}, EVENT_TIME, [{"watermark": 15}], False),
        ({"type": "tumbling", "allowed_lateness": 0}, EVENT_TIME, [{"watermark": 10}], False),
        # Exactly one gap apart.
        (SESSION, EVENT_TIME, [push(0), push(20)], False),
        (SESSION, EVENT_TIME, [push(0), push(19)], True),
        (SESSION, EVENT_TIME, [push(0), push(20, "b")], True),
        # Too late by itself, though its session lives.
        (SESSION, EVENT_TIME, [push(10), {"watermark": 26}, push(0)], False),
        (SESSION, EVENT_TIME, [push(10), {"watermark": 24}, push(0)], True),
        # A session that has expired.
        (SESSION, EVENT_TIME, [push(0), {"watermark": 26}, push(10)], False),
        # A fired session that grows beyond the watermark.
        (SESSION, EVENT_TIME, [push(0), {"watermark": 22}, push(10)], True),
        (SESSION, EARLY, [push(0), {"watermark": 22}, push(10)], False),
        # Late, while a merged session of another key holds Beam's output watermark.
        (SESSION, EVENT_TIME, [push(0, "b"), push(15, "b"), {"watermark": 22}, push(1)], False),
        (SESSION, EVENT_TIME, [push(15, "b"), {"watermark": 22}, push(1)], True),
    ],
)
def test_step_is_admitted_where_both_define_it_alike(
    window: dict[str, Any], trigger: dict[str, Any], steps: list[dict[str, Any]], admitted: bool
) -> None:
    common = TOOL["CommonGround"]({"window": window, "trigger": trigger})
    assert all(map(common.admits, steps[:-1]))
    assert common.admits(steps[-1]) == admitted


def test_every_script_is_admitted_and_follows_from_its_seed() -> None:
    for seed in range(100):
        case = TOOL["random_case"](seed)
        assert all(map(TOOL["CommonGround"](case["pipeline"]).admits, case["steps"]))
        assert TOOL["random_case"](seed) == case


def test_panes_without_values_are_left_out_and_not_counted() -> None:
    case = {"pipeline": {"window": {"type": "tumbling"}}}
    of_window = {"key": "a", "window": [0, 10]}
    panes = [
        {**of_window, "values": [4, 3], "timing": "early", "index": 0},
        {**of_window, "values": [], "timing": "on_time", "index": 1},
        {**of_window, "values": [5], "timing": "late", "index": 2},
    ]
    assert TOOL["theirs"](case, panes) == {
        ("a", 0, 10): [(2, 7, 3, 4, "early", 0), (1, 5, 5, 5, "late", 1)],
    }
