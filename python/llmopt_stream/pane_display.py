"""Panes as they complete: a live table on a terminal, one aligned line per pane elsewhere."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .sinks import Sink

if TYPE_CHECKING:
    from collections.abc import Callable

    from .results import AggregationResult

__all__ = ["LiveDisplay", "PaneLayout", "PlainDisplay", "ValueColumn", "pane_display"]

_REFRESH_SECONDS = 0.1


class ValueColumn(NamedTuple):
    """How one result is shown: `format` as in `format()`."""

    title: str
    result: str
    format: str


@dataclass(frozen=True)
class PaneLayout:
    """The columns of a display: the window's start, the fields of the key, the results."""

    keys: tuple[str, ...]
    values: tuple[ValueColumn, ...]
    key_width: int = 14

    @property
    def titles(self) -> tuple[str, ...]:
        """The titles of the results."""
        return tuple(column.title for column in self.values)

    def key_cells(self, result: AggregationResult) -> tuple[str, ...]:
        """The fields of the key as text."""
        return tuple("-" if value is None else str(value) for value in result.key.values())

    def value_cells(self, result: AggregationResult) -> tuple[str, ...]:
        """The results as text."""
        cells = []
        for column in self.values:
            value = result.results[column.result]
            cells.append("-" if value is None else format(value, column.format))
        return tuple(cells)


def pane_display(layout: PaneLayout, progress: Callable[[], float | None]) -> Sink:
    """The display that suits standard output; `progress` is the source's."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return PlainDisplay(layout)
    try:
        screen: _Screen = _RichScreen()
    except ImportError:
        screen = _AnsiScreen()
    return LiveDisplay(layout, progress, screen)


class PlainDisplay(Sink):
    """One line per pane under a header; columns are aligned and never empty, so that awk can read them."""

    def __init__(self, layout: PaneLayout) -> None:
        self._layout = layout
        self._begun = False

    def send(self, result: AggregationResult) -> None:
        """Prints the pane."""
        layout = self._layout
        if not self._begun:
            self._begun = True
            self._print("window_start", layout.keys, layout.titles)
        start = _text(result.window.start, "%Y-%m-%dT%H:%M:%SZ")
        self._print(start, layout.key_cells(result), layout.value_cells(result))

    def _print(self, start: str, keys: tuple[str, ...], values: tuple[str, ...]) -> None:
        key_text = "".join(f"  {key:<{self._layout.key_width}}" for key in keys)
        print(f"{start:<20}{key_text}" + "".join(f"  {value:>12}" for value in values))


def _text(start: datetime | None, layout: str) -> str:
    """Of a window without a start, as by count, a dash."""
    return "-" if start is None else f"{start:{layout}}"


class Frame(NamedTuple):
    """What a screen draws; the first `text_columns` columns are text, the others numbers."""

    caption: str
    fraction: float | None
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    text_columns: int


class _Screen(Protocol):
    def open(self) -> None: ...
    def draw(self, frame: Frame) -> None: ...
    def close(self) -> None: ...


class LiveDisplay(Sink):
    """A table of the last complete window of each key, drawn anew at most ten times a second.

    Closing draws the last state and gives the cursor back.
    """

    def __init__(self, layout: PaneLayout, progress: Callable[[], float | None], screen: _Screen) -> None:
        self._layout = layout
        self._progress = progress
        self._screen = screen
        self._panes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._latest: AggregationResult | None = None
        self._next_draw = 0.0

    def open(self) -> None:
        """Takes the terminal."""
        self._screen.open()

    def send(self, result: AggregationResult) -> None:
        """Takes the pane into the table."""
        keys = self._layout.key_cells(result)
        self._panes[keys] = (*keys, _text(result.window.start, "%H:%M"), *self._layout.value_cells(result))
        self._latest = result
        if time.monotonic() >= self._next_draw:
            self._draw()
            self._next_draw = time.monotonic() + _REFRESH_SECONDS

    def close(self) -> None:
        """Gives the terminal back."""
        try:
            self._draw()
        finally:
            self._screen.close()

    def _draw(self) -> None:
        if self._latest is None:
            return
        end = self._latest.window.end
        caption = "" if end is None else f"complete until {end:%Y-%m-%d %H:%M} UTC"
        header = (*self._layout.keys, "window", *self._layout.titles)
        rows = [self._panes[keys] for keys in sorted(self._panes)]
        self._screen.draw(Frame(caption, self._progress(), header, rows, len(self._layout.keys) + 1))


class _AnsiScreen:
    """Redraws its lines in place; what does not fit the terminal is left out and said so."""

    def __init__(self) -> None:
        self._height = 0

    def open(self) -> None:
        sys.stdout.write("\x1b[?25l")

    def draw(self, frame: Frame) -> None:
        columns, lines = shutil.get_terminal_size()
        text = ansi_lines(frame, columns, lines)
        up = f"\x1b[{self._height}F" if self._height else ""
        body = "".join(f"\x1b[2K{line}\n" for line in text)
        sys.stdout.write(f"{up}{body}\x1b[J")
        sys.stdout.flush()
        self._height = len(text)

    def close(self) -> None:
        sys.stdout.write("\x1b[?25h")
        sys.stdout.flush()


def ansi_lines(frame: Frame, columns: int, lines: int) -> list[str]:
    r"""The frame as at most `lines` - 1 lines of at most `columns` - 1 characters each; the header is bold.

    >>> frame = Frame("complete", 0.5, ("model", "ms"), [("opus", "9.5"), ("haiku", "1.0")], 1)
    >>> caption, header, *rows = ansi_lines(frame, 80, 24)
    >>> caption
    'complete  ##########----------  50 %'
    >>> rows
    ['opus   9.5', 'haiku  1.0']
    """
    room = max(lines - 4, 1)
    shown = frame.rows if len(frame.rows) <= room else frame.rows[: room - 1]
    widths = [max(len(row[i]) for row in (frame.header, *shown)) for i in range(len(frame.header))]

    def aligned(cells: tuple[str, ...]) -> str:
        padded = (
            cell.ljust(width) if i < frame.text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(padded)[: columns - 1]

    caption = frame.caption
    if frame.fraction is not None:
        filled = round(frame.fraction * 20)
        caption += f"  {'#' * filled}{'-' * (20 - filled)}  {frame.fraction:.0%}".replace("%", " %")
    text = [caption[: columns - 1], f"\x1b[1m{aligned(frame.header)}\x1b[0m", *map(aligned, shown)]
    if len(shown) < len(frame.rows):
        text.append(f"... and {len(frame.rows) - len(shown)} more rows"[: columns - 1])
    return text


class _RichScreen:
    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="ellipsis")

    def open(self) -> None:
        self._live.start()

    def draw(self, frame: Frame) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        for i, title in enumerate(frame.header):
            table.add_column(title, justify="left" if i < frame.text_columns else "right", no_wrap=True)
        for row in frame.rows:
            table.add_row(*map(Text, row))
        # The bar comes first: a table too high for the terminal is cut at its end.
        top = Table.grid(padding=(0, 2, 0, 0))
        top.add_row(frame.caption, ProgressBar(total=1.0, completed=frame.fraction or 0.0, width=24))
        self._live.update(Group(top, table), refresh=True)

    def close(self) -> None:
        self._live.stop()
