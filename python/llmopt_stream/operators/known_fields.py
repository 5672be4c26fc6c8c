"""Which fields records have for certain, as far as a plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .enrich import Enrich
from .lookup_table import LookupTable
from .per_record import Select

if TYPE_CHECKING:
    from llmopt_stream.plan import Plan

__all__ = ["known_fields"]


def known_fields(plan: Plan) -> set[str]:
    """Those of the records behind everything that was said so far; of functions' records nothing is known."""
    known = {plan.time_field} if plan.inputs is None and "." not in plan.time_field else set()
    operators = list(plan.operators)
    first = plan.branches[-1].stages[0]
    if first.late_of is not None or first.emitted_to is not None:
        known, operators = set(), []
    key = plan.key
    for stage in plan.branches[-1].stages:
        operators += stage.operators
        if stage.window is not None:
            key = key if stage.key is None else stage.key
            operators = []
            known = {"window_start", "window_end", "pane_timing", "pane_index", *key, *stage.result_names()}
    for operator in operators:
        if isinstance(operator, Select):
            known = {name for name, _ in operator.fields}
        elif isinstance(operator, Enrich):
            known |= {path for path in operator.enriching.matching.paths if "." not in path}
            if isinstance(operator.table, LookupTable):
                known |= {operator.enriching.prefix + column for column in operator.table.columns}
        elif operator.name not in ("filter", "deduplicate"):
            known = set()
    return known
