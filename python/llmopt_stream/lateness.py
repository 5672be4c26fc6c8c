"""What a bound on disorder and a lateness would lose: measured, to choose them by."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from ._html import table_html
from ._optional import needs
from .units import Duration, duration_micros, duration_text

if TYPE_CHECKING:
    import pyarrow

    from . import _core

__all__ = ["LatenessReport"]

_SHARES = (0.5, 0.9, 0.99, 0.999, 1.0)


class _Delays:
    """Buckets of delays, smallest first, and how many records are in each or a later one."""

    def __init__(self, buckets: Sequence[tuple[int, int, int]]) -> None:
        self.edges = [smallest for smallest, _, _ in buckets]
        self.ends = [smallest + width for smallest, width, _ in buckets]
        counts = [count for _, _, count in buckets]
        self.total = sum(counts)
        self._before = [0, *accumulate(counts)]

    def at_least(self, delay: int) -> int:
        """How many delays are `delay` or longer; of the bucket that it is in, all."""
        return self.total - self._before[bisect_left(self.ends, delay + 1)]

    def wait_for(self, missed: int) -> int:
        """The least, to the bucket, that at most `missed` delays reach."""
        at = bisect_left(self._before, self.total - missed)
        return 0 if at == 0 else self.ends[at - 1]


@dataclass(frozen=True)
class LatenessReport:
    """How late the records of a run came, and which bound and lateness would lose what share of them.

    A record is late where its last window has ended before it comes. The watermark is the greatest time minus
    the bound, and a window takes records until the watermark is `allowed_lateness` past its end: so a record
    is lost if and only if it comes at least bound + lateness after its last window's end, on the scale of
    event time. Both wait; the bound delays every result, lateness corrects results afterwards. Delays from
    64 us on are rounded up by at most 1/32. With several partitions, delays are behind the slowest. Of
    sessions it is the most that would be lost: a late record may still join one that others keep open.

    >>> from llmopt_stream import BoundedOutOfOrdernessWatermark, create_pipeline
    >>> builder = create_pipeline().with_event_time("t", unit="s").with_tumbling_window("10s")
    >>> session = builder.with_watermark_generator(BoundedOutOfOrdernessWatermark("1h")).open()
    >>> table = session.push([{"t": second, "value": 1} for second in (1, 12, 5, 40, 8, 41)])
    >>> session.lateness.lost(), session.lateness.lost(bound="5s"), session.lateness.lost(bound="5s", allowed_lateness="30s")
    (2, 1, 0)
    """

    records: int
    """Records with a usable time, the late ones too."""
    disordered: int
    """Records that came after one with a later time."""
    greatest_delay: int
    """The longest that a record came behind the greatest time before it, in microseconds."""
    _delays: _Delays
    _after_end: _Delays

    @classmethod
    def of(cls, core: _core.Pipeline, branch: int = 0) -> LatenessReport:
        """As the core has measured it so far."""
        counts = core.counts()
        delays = _Delays(core.delays())
        return cls(
            records=counts["records_in"] - counts["malformed"],
            disordered=delays.total,
            greatest_delay=delays.ends[-1] - 1 if delays.total else 0,
            _delays=delays,
            _after_end=_Delays(core.delays_after_end(branch)),
        )

    @classmethod
    def of_streams(cls, cores: Sequence[_core.Pipeline]) -> LatenessReport:
        """Of several that records come in by, where no windows can miss any."""
        counts = [core.counts() for core in cores]
        summed: dict[tuple[int, int], int] = {}
        for smallest, width, count in (bucket for core in cores for bucket in core.delays()):
            summed[smallest, width] = summed.get((smallest, width), 0) + count
        delays = _Delays([(*edges, count) for edges, count in sorted(summed.items())])
        return cls(
            records=sum(each["records_in"] - each["malformed"] for each in counts),
            disordered=delays.total,
            greatest_delay=delays.ends[-1] - 1 if delays.total else 0,
            _delays=delays,
            _after_end=_Delays([]),
        )

    def lost(self, *, bound: Duration = 0, allowed_lateness: Duration = 0) -> int:
        """How many of the records every window would have refused."""
        return self._after_end.at_least(_wait(bound, allowed_lateness))

    def share_lost(self, *, bound: Duration = 0, allowed_lateness: Duration = 0) -> float:
        """The same as a share of all records."""
        return (
            self.lost(bound=bound, allowed_lateness=allowed_lateness) / self.records if self.records else 0.0
        )

    def wait_for(self, share: float) -> int:
        """The bound plus lateness, in microseconds, that keeps at least this share of the records."""
        return self._after_end.wait_for(int((1 - share) * self.records + 1e-9))

    def to_dicts(self) -> list[dict[str, Any]]:
        """One row per choice: `wait` (bound + lateness, in microseconds), `lost`, `share_lost`."""
        waits = sorted({0, *(self.wait_for(share) for share in _SHARES)})
        return [
            {
                "wait": wait,
                "lost": self._after_end.at_least(wait),
                "share_lost": self._after_end.at_least(wait) / self.records if self.records else 0.0,
            }
            for wait in waits
        ]

    def to_arrow(self) -> pyarrow.Table:
        """The rows of `to_dicts()` as a pyarrow Table (extra `[arrow]`)."""
        return needs("pyarrow", "arrow").Table.from_pylist(self.to_dicts())

    def __str__(self) -> str:
        lines = [
            f"{self.records:,} records, {self.disordered:,} out of order, by up to {duration_text(self.greatest_delay)}",
            "bound + lateness        lost   share",
        ]
        lines += [
            f"{duration_text(row['wait']):>16}{row['lost']:>12,}  {row['share_lost']:.4%}"
            for row in self.to_dicts()
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            [duration_text(row["wait"]), row["lost"], f"{row['share_lost']:.4%}"] for row in self.to_dicts()
        ]
        return table_html(["bound + lateness", "lost", "share"], rows, len(rows))


def _wait(bound: Duration, allowed_lateness: Duration) -> int:
    return duration_micros(bound, "bound") + duration_micros(allowed_lateness, "allowed_lateness")
