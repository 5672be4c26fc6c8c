"""What a run lost, in words, with the likely cause: a misspelt path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plan import Plan
    from .results import ResultTable

__all__ = ["losses"]


def losses(table: ResultTable, plan: Plan, data: Any) -> Iterator[str]:
    """One sentence for malformed records, and for each field that had no value in any record.

    `data` is what the records came from; that a field is in no record is known of lists only.
    """
    summary = table.summary
    if summary is None:
        return
    records = data if isinstance(data, list) else []
    derived = [name for branch in plan.branches for name in branch.derived()]
    if summary.malformed:
        kinds = ", ".join(f"{count:,} {name}" for name, count in summary.malformed_by_kind.items())
        text = f"{summary.malformed:,} of {summary.records_in:,} records were malformed ({kinds})"
        all_of_them = summary.malformed == summary.records_in
        yield text + (_absent(plan.time_field, records) if all_of_them else "")
    if summary.unfired:
        yield (
            f"{summary.unfired:,} records filled no window; CountWindowAssigner(…, flush=True) fires what is left"
        )
    for name, count in summary.skipped_values.items():
        if count >= summary.aggregated:
            yield (
                f"all {count:,} values of {name!r} were skipped: null, not finite or no numbers"
                + ("" if name in derived else _absent(name, records))
            )
    for name in plan.key:
        if len(table) and all(result.key[name] is None for result in table):
            yield f"the key {name!r} was null in every result" + _absent(name, records)


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
