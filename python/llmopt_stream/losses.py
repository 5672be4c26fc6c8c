"""What a run lost, in words, with the likely cause: a misspelt path."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .intake import Intake
from .run_summary import skipped_by_field

if TYPE_CHECKING:
    from .executor import Executor
    from .plan import Plan
    from .results import ResultTable

__all__ = ["FruitlessWatch", "losses"]

_LOG = logging.getLogger("llmopt_stream")
_ENOUGH = 1_000
"""Records after which a run that had nothing from any of them says so."""


def losses(table: ResultTable, plan: Plan, data: Any) -> Iterator[str]:
    """One sentence for malformed records, and for each field that had no value in any record.

    `data` is what the records came from; that a field is in no record is known of lists only.
    """
    summary = table.summary
    if summary is None:
        return
    records = data if isinstance(data, list) else []
    if summary.malformed:
        yield _malformed(summary.malformed, summary.records_in, summary.malformed_by_kind, plan, records)
    if summary.unfired:
        yield (
            f"{summary.unfired:,} records filled no window; CountWindowAssigner(…, flush=True) fires what is left"
        )
    derived = [name for branch in plan.branches for name in branch.derived()]
    yield from _without_values(summary.skipped_values, summary.aggregated, derived, records)
    for name in plan.key:
        if len(table) and all(result.key[name] is None for result in table):
            yield f"the key {name!r} was null in every result" + _absent(name, records)


class FruitlessWatch:
    """Logs a warning, once in a run, where the records so far gave nothing: all were malformed, or a field had no
    value in any. A run without an end shows it no other way. Of several stages, values are not watched.
    """

    def __init__(self, plan: Plan, intake: Executor) -> None:
        """After a restore: what was counted before does not matter."""
        self._plan = plan
        self._before = intake.counts()
        self._branches_before = _branch_counts(intake)
        self._watches = True

    def check(self, intake: Executor, counts: Mapping[str, Any], *, ended: bool) -> None:
        """After a step, with what was counted so far."""
        records, aggregated, malformed = (
            counts[name] - self._before[name] for name in ("records_in", "aggregated", "malformed")
        )
        if self._watches and (ended or aggregated + malformed >= _ENOUGH):
            self._watches = False
            for text in self._texts(intake, counts, records, malformed):
                _LOG.warning("pipeline %r: %s", self._plan.name, text)

    def _texts(
        self, intake: Executor, counts: Mapping[str, Any], records: int, malformed: int
    ) -> Iterator[str]:
        if 0 < malformed == records:
            yield _malformed(malformed, records, _since(counts, self._before), self._plan, [])
        for branch, before, after in zip(
            self._plan.branches, self._branches_before, _branch_counts(intake), strict=False
        ):
            skipped = {name: count - before[1].get(name, 0) for name, count in after[1].items()}
            yield from _without_values(skipped, after[0] - before[0], branch.derived(), [])


def _since(counts: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, int]:
    kinds = counts["malformed_by_kind"]
    since = {kind: count - before["malformed_by_kind"].get(kind, 0) for kind, count in kinds.items()}
    return {kind: count for kind, count in since.items() if count}


def _branch_counts(intake: Executor) -> list[tuple[int, dict[str, int]]]:
    """Of each branch how many records it has aggregated, and of its fields how many values it has skipped."""
    if not isinstance(intake, Intake):
        return []
    return [
        (aggregated, skipped_by_field([(branch, by_metric)]))
        for (branch, by_metric), aggregated in zip(
            intake.skipped_by_branch(), intake.aggregated_by_branch(), strict=True
        )
    ]


def _without_values(
    skipped: Mapping[str, int], aggregated: int, derived: Iterable[str], records: list[Any]
) -> Iterator[str]:
    for name, count in skipped.items():
        if 0 < count >= aggregated:
            yield (
                f"all {count:,} values of {name!r} were skipped: null, not finite or no numbers"
                + ("" if name in derived else _absent(name, records))
            )


def _malformed(malformed: int, of: int, kinds: Mapping[str, int], plan: Plan, records: list[Any]) -> str:
    said = ", ".join(f"{count:,} {name}" for name, count in kinds.items())
    text = f"{malformed:,} of {of:,} records were malformed ({said})"
    has_no_time = malformed == of and kinds.keys() <= {"time_missing", "time_invalid"}
    return text + (_absent(plan.time_field, records) if has_no_time else "")


def _absent(path: str, records: list[Any]) -> str:
    if records and not any(_has(record, path.split(".")) for record in records):
        return f"; no record has a field {path!r}: is the path right?"
    return f"; is the path {path!r} right?"


def _has(record: Any, names: list[str]) -> bool:
    """Whether something is there under the path, whichever of its dots are part of names."""
    if not names:
        return True
    for count in range(1, len(names) + 1):
        name = ".".join(names[:count])
        if isinstance(record, Mapping):
            if name in record and _has(record[name], names[count:]):
                return True
        elif hasattr(record, name) and _has(getattr(record, name), names[count:]):
            return True
    return False
