"""The planted faults can be planted; `make mutants` plants them."""

from __future__ import annotations

from pathlib import Path

import pytest
from loaded_module import TOOLS, loaded

ROOT = Path(__file__).parents[2]


mutants = loaded(TOOLS / "mutants.py")


@pytest.mark.parametrize("mutant", mutants.load_mutants(), ids=lambda mutant: mutant.name)
def test_text_that_a_fault_replaces_is_there_exactly_once(mutant: object) -> None:
    assert mutant.not_planted() == []  # type: ignore[attr-defined]


def test_faults_have_names_of_their_own() -> None:
    names = [mutant.name for mutant in mutants.load_mutants()]
    assert len(names) == len(set(names)) >= 15


def test_text_that_is_gone_or_there_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.cpp").write_text("a = b;\nb = b;\n")
    edits = tuple(mutants.Edit("one.cpp", old, "") for old in ("a = b;", "a = c;", "= b;"))
    assert mutants.Mutant("lost", "", edits).not_planted(tmp_path) == [
        "lost: one.cpp has 0 times, not once: 'a = c;'",
        "lost: one.cpp has 2 times, not once: '= b;'",
    ]
