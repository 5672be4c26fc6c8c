"""Where the records of a pipeline of several stages went: stage by stage, and in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .intake import Intake
from .stages import Output, Stage, WindowStage

__all__ = ["by_stage", "lost_behind_windows", "malformed_by_kind", "of_branch", "of_records"]

_LOSSES = ("late", "malformed", "filtered", "outside_windows")
"""What becomes of records that do not go on."""
_OF_WINDOWS = ("aggregated", "unfired")


def of_records(stages: Iterable[Stage]) -> dict[str, int]:
    """What became of the records of the sources, down to the first windows on their way."""
    return _summed([stage for stage in stages if not stage.is_behind_windows], (*_OF_WINDOWS, *_LOSSES))


def of_branch(stages: Sequence[Stage]) -> dict[str, int]:
    """The same, with the `panes` of its last windows, and how many records it has `delivered`, if it does."""
    windows = [stage for stage in stages if isinstance(stage, WindowStage)]
    delivered = [stage.records_in for stage in stages if isinstance(stage, Output)]
    return {
        **of_records(stages),
        "panes": windows[-1].counts()["panes"] if windows else 0,
        **({"delivered": sum(delivered)} if delivered else {}),
    }


def lost_behind_windows(stages: Iterable[Stage]) -> dict[str, int]:
    """Results that did not go on."""
    lost = _summed([stage for stage in stages if stage.is_behind_windows], _LOSSES)
    return {name: count for name, count in lost.items() if count}


def _summed(stages: Iterable[Stage], names: Sequence[str]) -> dict[str, int]:
    said = [stage.counts() for stage in stages]
    return {name: sum(each.get(name, 0) for each in said) for name in names}


def malformed_by_kind(heads: Iterable[Intake], stages: Iterable[Stage]) -> dict[str, int]:
    """Of the records that `malformed` counts, those that are no results."""
    by_kind: dict[str, int] = {}
    said: list[Mapping[str, int]] = [head.counts()["malformed_by_kind"] for head in heads]
    said += [stage.malformed_by_kind() for stage in stages if not stage.is_behind_windows]
    for each in said:
        for kind, count in each.items():
            by_kind[kind] = by_kind.get(kind, 0) + count
    return by_kind


def by_stage(heads: Mapping[str, Intake], stages: Iterable[Stage]) -> list[dict[str, Any]]:
    """In the order in which records come through: what each took, what became of it, and what it handed on."""
    counted = [
        _of_head("source" if len(heads) == 1 else f"input {name!r}", head) for name, head in heads.items()
    ]
    return counted + [_of_stage(stage) for stage in stages if not isinstance(stage, Output)]


def _of_head(name: str, head: Intake) -> dict[str, Any]:
    counts = head.counts()
    taken, malformed, filtered = (counts[each] for each in ("records_in", "malformed", "filtered"))
    return {
        "stage": name,
        "records_in": taken,
        "malformed": malformed,
        "filtered": filtered,
        "records_out": taken - malformed - filtered,
    }


def _of_stage(stage: Stage) -> dict[str, Any]:
    of_branch = {"branch": stage.branch_name} if stage.branch_name else {}
    handed_on = {} if isinstance(stage, WindowStage) else {"records_out": stage.records_out}
    return {"stage": stage.name, **of_branch, "records_in": stage.records_in, **stage.counts(), **handed_on}
