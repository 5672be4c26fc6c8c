"""How far a run is: a bar with rich where it is installed, else one line that is rewritten."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["PlainProgress", "progress_display"]

_REFRESH_SECONDS = 0.1


class NoProgress:
    """Shows nothing."""

    def update(self, records: int) -> None:
        """Hears how many records have been taken."""

    def close(self) -> None:
        """Hears that the run is over."""


class PlainProgress(NoProgress):
    r"""One line that `\r` rewrites; the remaining time is known where the source knows its size.

    >>> import io
    >>> now, text = iter([0.0, 2.0, 2.0]), io.StringIO()
    >>> display = PlainProgress(lambda: 0.25, text, now=lambda: next(now))
    >>> display.update(1_000)
    >>> text.getvalue()
    '\r 25 %  1,000 records  500/s  0:00:06 left\x1b[K'
    """

    def __init__(
        self,
        share: Callable[[], float | None],
        stream: TextIO,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._stream = stream
        self._now = now
        self._started = now()
        self._shown_at = self._started - _REFRESH_SECONDS

    def update(self, records: int) -> None:
        if self._now() - self._shown_at < _REFRESH_SECONDS:
            return
        self._shown_at = self._now()
        self._stream.write(f"\r{self._text(records, self._shown_at - self._started)}\x1b[K")
        self._stream.flush()

    def _text(self, records: int, seconds: float) -> str:
        share = self._share()
        rate = f"{records:,} records  {records / seconds if seconds > 0 else 0:,.0f}/s"
        if share is None:
            return rate
        left = f"  {_clock(seconds * (1 - share) / share)} left" if share > 0 else ""
        return f"{share:4.0%}".replace("%", " %") + f"  {rate}{left}"

    def close(self) -> None:
        self._stream.write("\r\x1b[K")
        self._stream.flush()


class _RichProgress(NoProgress):
    def __init__(self, share: Callable[[], float | None], stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._share = share
        self._started = time.monotonic()
        self._shown_at = 0.0
        self._progress: Any = Progress(
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._progress.add_task("run", total=None, rate="")
        self._progress.start()

    def update(self, records: int) -> None:
        now = time.monotonic()
        if now - self._shown_at < _REFRESH_SECONDS:
            return
        self._shown_at = now
        share = self._share()
        rate = f"{records:,} records  {records / max(now - self._started, 1e-9):,.0f}/s"
        total = None if share is None else 1.0
        self._progress.update(self._task, total=total, completed=share or 0.0, rate=rate)

    def close(self) -> None:
        self._progress.stop()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@contextmanager
def progress_display(share: Callable[[], float | None], *, shown: bool) -> Iterator[NoProgress]:
    """The display that suits standard error; `share` says how much of the input was read."""
    display = NoProgress()
    if shown and sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        display = _RichProgress(share, sys.stderr)
    elif shown:
        display = PlainProgress(share, sys.stderr)
    try:
        yield display
    finally:
        display.close()
