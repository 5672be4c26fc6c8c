"""How far a run is: a bar with rich where it is installed, else one line that is rewritten."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

__all__ = ["PlainProgress", "progress_display", "status_of"]

_REFRESH_SECONDS = 0.1


class NoProgress:
    """Shows nothing."""

    def update(self, records: int) -> None:
        """Hears how many records have been taken."""

    def say(self, text: str) -> None:
        """Shows what the run is at before it takes records."""

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
        status: Callable[[], str] = str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._share = share
        self._stream = stream
        self._status = status
        self._now = now
        self._started = now()
        self._shown_at = self._started - _REFRESH_SECONDS

    def update(self, records: int) -> None:
        if self._now() - self._shown_at < _REFRESH_SECONDS:
            return
        self._shown_at = self._now()
        self.say(f"{self._text(records, self._shown_at - self._started)}  {self._status()}".rstrip())

    def say(self, text: str) -> None:
        self._stream.write(f"\r{text}\x1b[K")
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
    def __init__(self, share: Callable[[], float | None], stream: TextIO, status: Callable[[], str]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._share = share
        self._status = status
        self._started = time.monotonic()
        self._shown_at = 0.0
        self._progress: Any = Progress(
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}"),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._progress.add_task("run", total=None, rate="", status="")
        self._progress.start()

    def update(self, records: int) -> None:
        now = time.monotonic()
        if now - self._shown_at < _REFRESH_SECONDS:
            return
        self._shown_at = now
        share = self._share()
        rate = f"{records:,} records  {records / max(now - self._started, 1e-9):,.0f}/s"
        total = None if share is None else 1.0
        self._progress.update(
            self._task, total=total, completed=share or 0.0, rate=rate, status=self._status()
        )

    def say(self, text: str) -> None:
        self._progress.update(self._task, status=text)

    def close(self) -> None:
        self._progress.stop()


def status_of(metrics: Mapping[str, Any]) -> str:
    """What a run's metrics say of its connectors and checkpoints, in short.

    >>> status_of({"kafka": {"lag": {"t-0": 5, "t-1": 7_000}, "rebalances": 1, "commits": 2, "dead_letters": 3}})
    'lag 7,005  rebalances 1  commits 2  dead letters 3'
    >>> status_of({"checkpoints": {"last_id": 4, "restored_from": 2, "restore_duration": 0.123}})
    'restored from 2 in 0.1 s  checkpoint 4'
    """
    kafka, checkpoints = metrics.get("kafka", {}), metrics.get("checkpoints", {})
    parts = []
    if "lag" in kafka:
        parts.append(f"lag {sum(kafka['lag'].values()):,}")
    names = ("rebalances", "commits", "dead_letters")
    parts += [f"{name.replace('_', ' ')} {kafka[name]:,}" for name in names if name in kafka]
    if checkpoints.get("restored_from") is not None:
        seconds = checkpoints["restore_duration"]
        parts.append(f"restored from {checkpoints['restored_from']} in {seconds:.1f} s")
    if checkpoints.get("last_id"):
        parts.append(f"checkpoint {checkpoints['last_id']}")
    return "  ".join(parts)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"


@contextmanager
def progress_display(
    share: Callable[[], float | None], status: Callable[[], str], *, shown: bool
) -> Iterator[NoProgress]:
    """The display that suits standard error; `share` says how much of the input was read, `status` what else to show."""
    display = NoProgress()
    if shown and sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        display = _RichProgress(share, sys.stderr, status)
    elif shown:
        display = PlainProgress(share, sys.stderr, status=status)
    try:
        yield display
    finally:
        display.close()
