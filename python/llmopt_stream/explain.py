"""Why a record is taken by its windows, or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .events import GroupingKey
from .units import duration_text, to_datetime
from .watermarks import Watermark
from .windows import Window

__all__ = ["RecordExplanation", "WindowVerdict"]


@dataclass(frozen=True, slots=True)
class WindowVerdict:
    """What would become of a record in one window."""

    window: Window
    """A session as it would be with the record."""
    taken: bool
    reason: str
    branch: str = ""


@dataclass(frozen=True, slots=True)
class RecordExplanation:
    """What would become of a record if it came now; `print` it.

    >>> from llmopt_stream import create_pipeline
    >>> session = create_pipeline().with_event_time("t", unit="s").with_sliding_window("10s", "5s").open()
    >>> table = session.advance_watermark("1970-01-01T00:00:12Z")
    >>> print(session.explain_record({"t": 7, "value": 1}))
    taken: at 1970-01-01T00:00:07Z, under the watermark 1970-01-01T00:00:12Z
      dropped by [1970-01-01T00:00:00Z, 1970-01-01T00:00:10Z): the watermark is past its end by 2s, the allowed lateness is 0s
      taken by [1970-01-01T00:00:05Z, 1970-01-01T00:00:15Z): the watermark has not reached its end
    """

    record: Any
    verdict: str
    """"taken" by at least one window, "late" for all, "outside_windows" or "malformed"."""
    malformed: str = ""
    """Why it is malformed, if it is: the kind that counters name."""
    time: datetime | None = None
    key: GroupingKey | None = None
    watermark: Watermark | None = None
    windows: Sequence[WindowVerdict] = ()

    @classmethod
    def of(
        cls,
        record: Any,
        said: Any,
        key_names: Sequence[str],
        branches: Sequence[str],
        lateness: Sequence[int],
    ) -> RecordExplanation:
        """From what the core says; `lateness` in microseconds, for each branch."""
        if isinstance(said, str):
            return cls(record, "malformed", malformed=said)
        time, watermark, key, by_branch = said
        verdicts = tuple(
            WindowVerdict(
                Window(start, end), fate != "expired", _reason(fate, end, watermark, allowed), branch
            )
            for branch, allowed, windows in zip(branches, lateness, by_branch, strict=True)
            for start, end, fate in windows
        )
        if any(each.taken for each in verdicts):
            verdict = "taken"
        elif watermark is not None and time + max(lateness) < watermark:
            verdict = "late"
        else:
            verdict = "outside_windows"
        return cls(
            record,
            verdict,
            time=to_datetime(time),
            key=GroupingKey(zip(key_names, key, strict=True)),
            watermark=None if watermark is None else Watermark(watermark),
            windows=verdicts,
        )

    def __str__(self) -> str:
        if self.time is None:
            return f"malformed: {self.malformed}"
        under = (
            "no watermark yet"
            if self.watermark is None
            else f"the watermark {_text(self.watermark.timestamp)}"
        )
        lines = [f"{self.verdict}: at {_text(self.time)}, under {under}"]
        for each in self.windows:
            start, end = each.window.start_text, each.window.end_text
            span = "its window" if start is None else f"[{start}, {end})"
            of = f"branch {each.branch!r}: " if each.branch else ""
            lines.append(f"  {of}{'taken' if each.taken else 'dropped'} by {span}: {each.reason}")
        if not self.windows:
            lines.append("  it lies in no window")
        return "\n".join(lines)


def _reason(fate: str, end: int, watermark: int | None, allowed: int) -> str:
    past = 0 if watermark is None else watermark - end
    if fate == "expired" and watermark == 2**63 - 1:
        return "the input has ended"
    if fate == "expired":
        return f"the watermark is past its end by {duration_text(past)}, the allowed lateness is {duration_text(allowed)}"
    if fate == "fires at once":
        return f"late by {duration_text(past)}, within the allowed lateness of {duration_text(allowed)}; it fires again at once"
    if watermark is not None and past >= 0:
        return "within the allowed lateness; its trigger says when it fires again"
    return "the watermark has not reached its end"


def _text(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")
