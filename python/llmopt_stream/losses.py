"""What a run lost, in words, with the likely cause: a misspelt path."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .run_summary import RunSummary

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
    if 0 < summary.malformed < summary.records_in:
        yield _malformed(summary)
    if summary.unfired:
        yield (
            f"{summary.unfired:,} records filled no window; CountWindowAssigner(…, flush=True) fires what is left"
        )
    yield from _fruitless(summary, plan, records)
    for name in plan.key:
        if len(table) and all(result.key[name] is None for result in table):
            yield f"the key {name!r} was null in every result" + _absent(name, records)


class FruitlessWatch:
    """Logs a warning, once in a run, where the records so far gave nothing: all were malformed, or a field had no
    value in any. A run without an end shows it no other way.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._watches = True

    def check(self, intake: Executor, counts: Mapping[str, Any], *, ended: bool) -> None:
        """After a step, with what was counted so far."""
        if self._watches and (ended or counts["aggregated"] + counts["malformed"] >= _ENOUGH):
            self._watches = False
            summary = RunSummary.of(intake, timedelta())
            for text in _fruitless(summary, self._plan, []):
                _LOG.warning("pipeline %r: %s", self._plan.name, text)


def _fruitless(summary: RunSummary, plan: Plan, records: list[Any]) -> Iterator[str]:
    if summary.malformed and summary.malformed == summary.records_in:
        has_no_time = any(kind.startswith("time_") for kind in summary.malformed_by_kind)
        yield _malformed(summary) + (_absent(plan.time_field, records) if has_no_time else "")
    derived = [name for branch in plan.branches for name in branch.derived()]
    for name, count in summary.skipped_values.items():
        if count >= summary.aggregated:
            yield (
                f"all {count:,} values of {name!r} were skipped: null, not finite or no numbers"
                + ("" if name in derived else _absent(name, records))
            )


def _malformed(summary: RunSummary) -> str:
    kinds = ", ".join(f"{count:,} {name}" for name, count in summary.malformed_by_kind.items())
    return f"{summary.malformed:,} of {summary.records_in:,} records were malformed ({kinds})"


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
