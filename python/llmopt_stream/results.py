"""What comes out of a pipeline: one AggregationResult per pane, or all of them as a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from . import _core
from ._optional import needs
from .errors import ConfigurationError
from .events import GroupingKey
from .windows import Window

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from .run_summary import RunSummary

__all__ = ["AggregationResult", "Pane", "ResultTable"]


@dataclass(frozen=True, slots=True)
class Pane:
    """Which firing of its window a result is."""

    timing: str
    """"early", "on_time" or "late", relative to the watermark."""
    index: int
    """0 for the first pane of a key in a window, then 1, 2, …: the revision that sinks use."""
    is_last: bool
    """No later pane of this key and window can follow."""
    replaces: Sequence[Window]
    """The windows whose results this one supersedes (sessions that merged)."""


@dataclass(frozen=True, slots=True)
class AggregationResult:
    """The statistics of one key in one window at one firing."""

    window: Window
    key: GroupingKey
    results: dict[str, Any]
    pane: Pane = field(default_factory=lambda: Pane("on_time", 0, True, ()))
    branch: str = ""
    """The branch that it is of, where the stream has several."""

    def to_dict(self) -> dict[str, Any]:
        """The shape that results have as JSON."""
        return {
            "window": _window_json(self.window),
            "key": dict(self.key),
            "results": self.results,
            "pane": {
                "timing": self.pane.timing,
                "index": self.pane.index,
                "is_last": self.pane.is_last,
                "replaces": [_window_json(window) for window in self.pane.replaces],
            },
        }

    def to_record(self) -> dict[str, Any]:
        """A flat dict, under the column names of a table: what the next stage of a pipeline sees of it."""
        return {
            "window_start": self.window.start,
            "window_end": self.window.end,
            **self.key,
            **self.results,
            "pane_timing": self.pane.timing,
            "pane_index": self.pane.index,
        }

    def to_state(self) -> list[Any]:
        """What a snapshot needs."""
        pane = self.pane
        replaces = [list(window.micros) for window in pane.replaces]
        fired = [pane.timing, pane.index, pane.is_last, replaces]
        return [list(self.window.micros), list(self.key.items()), self.results, fired, self.branch]

    @classmethod
    def of_state(cls, state: Sequence[Any]) -> AggregationResult:
        """From what to_state() gave."""
        window, key, results, (timing, index, is_last, replaces), branch = state
        pane = Pane(timing, index, is_last, tuple(Window(*each) for each in replaces))
        return cls(Window(*window), GroupingKey(key), results, pane, branch)

    def to_json(self) -> str:
        """One line of JSON; keys and results that JSON has no number for (NaN, ±Inf) are null."""
        finite = {"key": _finite(self.key), "results": _finite(self.results)}
        return json.dumps({**self.to_dict(), **finite}, separators=(",", ":"), ensure_ascii=False)


def _finite(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _finite_value(value) for name, value in fields.items()}


def _finite_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _finite(value)
    if isinstance(value, list):
        return [_finite_value(item) for item in value]
    return None if isinstance(value, float) and not abs(value) < float("inf") else value


def _window_json(window: Window) -> dict[str, str | None]:
    return {"start": window.start_text, "end": window.end_text}


class ResultTable:
    """The results of a run, in firing order: `window_start`, `window_end`, each key, each result,
    `pane_timing`, `pane_index`. Any library that reads Arrow streams takes it without copies,
    say `polars.DataFrame(table)`, `pyarrow.table(table)` or `duckdb.sql("from table")`.
    """

    def __init__(self, panes: _core.Panes, *, branch: str = "", summary: RunSummary | None = None) -> None:
        self._panes = panes
        self.branch = branch
        """The branch that it is of, where the stream has several."""
        self.summary = summary
        """Where the records went, malformed and late ones too; None where the table is a part of a run."""

    @property
    def panes(self) -> _core.Panes:
        """As the core has them."""
        return self._panes

    def __len__(self) -> int:
        return len(self._panes)

    @overload
    def __getitem__(self, index: int) -> AggregationResult: ...
    @overload
    def __getitem__(self, index: slice) -> list[AggregationResult]: ...
    def __getitem__(self, index: int | slice) -> AggregationResult | list[AggregationResult]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"result {index} of a table of {len(self)}")
        start, end, key, results, timing, pane_index, is_last, replaces = self._panes.row(index % len(self))
        pane = Pane(timing, pane_index, is_last, tuple(Window(*interval) for interval in replaces))
        return AggregationResult(
            Window(start, end),
            GroupingKey(zip(self._panes.key_names, key, strict=True)),
            results,
            pane,
            self.branch,
        )

    def __iter__(self) -> Iterator[AggregationResult]:
        return (self[index] for index in range(len(self)))

    def copy(self) -> ResultTable:
        """Another table with the same results, which can grow by itself."""
        return ResultTable(self._panes.copy(), branch=self.branch, summary=self.summary)

    def extend(self, later: ResultTable) -> None:
        """Adds the results of a later drain of the same pipeline."""
        self._panes.append(later._panes)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._panes.__arrow_c_stream__(requested_schema)

    @property
    def column_names(self) -> list[str]:
        return [
            "window_start",
            "window_end",
            *self._panes.key_names,
            *self._panes.result_names,
            "pane_timing",
            "pane_index",
        ]

    def to_arrow(self) -> pyarrow.Table:
        """A pyarrow Table (extra `[arrow]`)."""
        return needs("pyarrow", "arrow").table(self)

    def to_polars(self) -> polars.DataFrame:
        """A polars DataFrame (extra `[polars]`)."""
        frame: polars.DataFrame = needs("polars", "polars").DataFrame(self)
        return frame

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas DataFrame (extra `[pandas]`)."""
        needs("pandas", "pandas")
        frame: pandas.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_dicts(self) -> list[dict[str, Any]]:
        """One flat dict per result, under the column names."""
        return [result.to_record() for result in self]

    def plot(self, column: str | None = None) -> Any:
        """One line per key over the windows' ends, as matplotlib Axes (extra `[notebook]`).

        `column` is the last result column unless said otherwise. Windows without an end, those by count and
        the global one, follow one another by the index of their panes.
        """
        pyplot = needs("matplotlib.pyplot", "notebook")
        names = self._panes.result_names
        chosen = names[-1] if column is None else column
        if chosen not in names:
            raise ConfigurationError(f"plot: column {chosen!r} is not a result; there are {', '.join(names)}")
        lines: dict[GroupingKey, tuple[list[Any], list[Any]]] = {}
        for result in self:
            times, values = lines.setdefault(result.key, ([], []))
            times.append(result.pane.index if result.window.end is None else result.window.end)
            values.append(result.results[chosen])
        _, axes = pyplot.subplots()
        for key, (times, values) in lines.items():
            axes.plot(times, values, marker=".", label=", ".join(str(value) for value in key.values()))
        by_index = any(result.window.is_unbounded for result in self[:1])
        axes.set_xlabel("pane index" if by_index else "window end")
        axes.set_ylabel(chosen)
        if self._panes.key_names:
            axes.legend(title=", ".join(self._panes.key_names))
        if not by_index:
            axes.figure.autofmt_xdate()
        return axes

    def __repr__(self) -> str:
        return f"ResultTable({len(self)} results: {', '.join(self.column_names)})"

    def _repr_html_(self) -> str:
        from ._html import table_html

        shown = 20
        rows = [list(result.to_record().values()) for result in self[:shown]]
        return table_html(self.column_names, rows, len(self))
