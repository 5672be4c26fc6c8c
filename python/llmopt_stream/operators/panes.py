"""Panes as the records of the next stage."""

from __future__ import annotations

from typing import Any

from llmopt_stream.results import AggregationResult

__all__ = ["PaneRecord", "plain"]


class PaneRecord(dict[str, Any]):
    """A result as a flat record, under the column names of a table; with the result itself, as long as it is
    not changed.
    """

    __slots__ = ("result",)

    def __init__(self, result: AggregationResult) -> None:
        super().__init__(result.to_record())
        self.result = result


def plain(record: Any) -> Any:
    """A record as users' code and state have it: results as dicts."""
    return dict(record) if isinstance(record, PaneRecord) else record
