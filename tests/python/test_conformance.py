"""The conformance suite and its command; the oracle against the cases that were written by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import llmopt_stream.conformance as suite
import pytest
from llmopt_stream.cli import main
from llmopt_stream.conformance import Case, answer, builder_of, differences, load_cases
from llmopt_stream.testing import NaiveWindows

ROOT = Path(__file__).parents[2]
CASES = load_cases()
BY_HAND = [case for case in CASES if case.source == "definition"]
COUNTERS = {
    "records_in": 1,
    "aggregated": 1,
    "late": 0,
    "malformed": 0,
    "outside_windows": 0,
    "unfired": 0,
}
PANE = {
    "step": 1,
    "window": [0, 10],
    "key": "a",
    "results": {"count": 1},
    "timing": "on_time",
    "index": 0,
    "is_last": True,
    "replaces": [],
}
PIPELINE = {
    "window": {"type": "tumbling", "size": 10},
    "trigger": {"type": "event_time"},
    "accumulation": "accumulating",
    "max_out_of_orderness": None,
    "statistics": ["count"],
}
STEPS = [{"push": {"ts": 1, "key": "a", "value": 3}}, {"end_of_input": True}]


def text(case: Case) -> str:
    return f"{case.group}: {case.name}"


@pytest.mark.parametrize("case", BY_HAND, ids=text)
def test_oracle_gives_what_was_worked_out_by_hand(case: Case) -> None:
    given = answer(NaiveWindows.of(builder_of(case.pipeline)), case.steps)
    assert differences(case.expected, given) == []


def test_counters_of_every_case_add_up() -> None:
    for case in CASES:
        counters = dict(case.expected["counters"])
        counters.pop("unfired")
        pushed = sum("push" in step for step in case.steps)
        assert counters.pop("records_in") == sum(counters.values()) == pushed, text(case)


def test_suite_is_large_enough_and_names_no_case_twice() -> None:
    assert len(BY_HAND) >= 60
    assert len(CASES) >= 200
    assert len({text(case) for case in CASES}) == len(CASES)
    assert {case.source for case in CASES} == {"definition", "oracle"}


def test_cases_of_the_oracle_are_what_the_tool_writes() -> None:
    tool = ROOT / "tools" / "generate_conformance.py"
    done = subprocess.run(
        [sys.executable, tool, "--check"],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "python")},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_this_package_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["conformance"])
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"panes": []}, [f"panes[0]: expected {json.dumps(PANE)}, got nothing"]),
        ({"counters": COUNTERS | {"late": 1}}, ["counters: late: expected 0, got 1"]),
        ({"panes": [PANE | {"results": {"count": 1.0}}]}, []),
        (
            {"panes": [PANE | {"key": True}]},
            [f"panes[0]: expected {json.dumps(PANE)}, got {json.dumps(PANE | {'key': True})}"],
        ),
        ({"late": [{"position": 0}]}, ['late[0]: expected nothing, got {"position": 0}']),
    ],
)
def test_differences_name_what_differs(changes: dict[str, object], found: list[str]) -> None:
    expected = {"panes": [PANE], "late": [], "counters": COUNTERS}
    assert differences(expected, expected | changes) == found


def small_suite(folder: Path, monkeypatch: pytest.MonkeyPatch, *panes: list[dict[str, object]]) -> None:
    """One case for each list of panes; the counter that depends on triggers is left out."""
    counters = {name: count for name, count in COUNTERS.items() if name != "unfired"}
    cases = [
        {
            "name": f"case {at}",
            "source": "definition",
            "pipeline": PIPELINE,
            "steps": STEPS,
            "expected": {"panes": each, "late": [], "counters": counters},
        }
        for at, each in enumerate(panes)
    ]
    (folder / "small.json").write_text(json.dumps({"group": "small", "cases": cases}))
    monkeypatch.setattr(suite, "load_cases", lambda: load_cases(folder))


def test_command_shows_the_groups_and_every_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_suite(tmp_path, monkeypatch, [PANE], [PANE, PANE])
    assert main(["conformance"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [line.split() for line in shown[:3]] == [
        ["group", "definition", "oracle", "failed"],
        ["small", "1/2", "0/0", "1"],
        ["total", "1/2", "0/0", "1"],
    ]
    assert shown[4:] == [
        "small: case 1 (definition)",
        f"  panes[1]: expected {json.dumps(PANE)}, got nothing",
    ]


def test_command_filters_and_prints_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small_suite(tmp_path, monkeypatch, [PANE], [])
    assert main(["conformance", "--filter", "SMALL: case 0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "passed": 1,
        "failed": 0,
        "cases": [
            {"group": "small", "name": "case 0", "source": "definition", "passed": True, "differences": []}
        ],
    }
    assert main(["conformance", "--filter", "hopping"]) == 2
    assert "--filter: no case has 'hopping'" in capsys.readouterr().err


def test_a_pipeline_that_is_refused_fails_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PIPELINE, "accumulation", "retracting")
    small_suite(tmp_path, monkeypatch, [PANE])
    assert main(["conformance"]) == 1
    assert "ConfigurationError: with_accumulation: 'retracting' is not known" in capsys.readouterr().out
