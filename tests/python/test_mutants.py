"""The faults that `make mutants` plants can still be planted."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from mutants import load_mutants  # noqa: E402


def test_every_fault_has_its_place_exactly_once() -> None:
    mutants = load_mutants()
    assert len({mutant.name for mutant in mutants}) == len(mutants) >= 15
    assert [why for mutant in mutants for why in mutant.not_planted()] == []
