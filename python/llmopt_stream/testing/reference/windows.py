"""Windowed aggregation, one record at a time, as simply as it can be written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from llmopt_stream.errors import ConfigurationError
from llmopt_stream.triggers import EventTimeTrigger, WindowTrigger
from llmopt_stream.watermarks import BoundedOutOfOrdernessWatermark, WatermarkGenerator, watermark_micros

from .aggregators import AggregatorMetric, AppliedMetric
from .chosen_metric import ChosenMetric
from .counted import CountedKey
from .kinds import Count, Session, WindowKind
from .metrics import Metric
from .panes import NaiveLateRecord, NaivePane
from .series import NaiveSeries
from .triggers import TriggerView, is_ready, may_purge, retention
from .values import EARLIEST, END_OF_TIME, Interval, Record, field_of, key_order, saturated, whole_micros

if TYPE_CHECKING:
    from llmopt_stream.builder import StreamPipelineBuilder

__all__ = ["NaiveWindows"]

_DEFAULT_TRIGGER = EventTimeTrigger()


@dataclass(slots=True, eq=False)
class _OpenWindow:
    window: Interval
    key: tuple[Any, ...]
    records: list[Record] = field(default_factory=list)
    """Those of the next pane."""
    waiting: int = 0
    """Records since the last firing."""
    first_clock: int | None = None
    """The clock at the first of them."""
    complete: bool = False
    """Whether it has fired at or after its end."""
    next_index: int = 0
    standing: list[Interval] = field(default_factory=list)
    """The intervals of earlier panes that the next pane supersedes (its own among them)."""


class NaiveWindows:
    """Drives like a PipelineHarness and says what its pipeline has to deliver.

    Without `max_out_of_orderness` and `generator` only `advance_watermark` and `end_of_input` move the
    watermark. `generator` makes a watermark generator for each partition. `time_of` reads a record's time, in
    microseconds; a record whose time or gap is unusable is malformed. `time="processing"` puts records into
    windows by the clock, which completes windows in the watermark's place.

    Where the semantics leave room, this is what the reference does:

    - The first pane of a window whose first record came after `end` is "late" with index 0.
    - A session's pane index continues after its parts: one more than the greatest index among their panes,
      0 if none has fired. A fired session that grew beyond the watermark fires "on_time" again.
    - `replaces` names the intervals of earlier panes that nothing has replaced yet, in order, without the
      pane's own. With accumulation "discarding" panes add up, so none is replaced.
    - A session expires like any window: a record exactly one gap later does not join it any more.
    - A step that does not move the watermark, or the clock, is none.
    - In windows of one end and key the one that starts first fires first.
    - Panes of count windows have no interval that tells them apart, so their index counts the key's panes.
    - Composite triggers keep a window's state as long as one of their parts does; the end of the input
      ends it whatever they say, so that a pane is the last one then. By the clock alone, a user's trigger
      within a composite one counts as one that does not fire.
    - By the clock too the end of the input completes every window, and later records are late.

    >>> from llmopt_stream.testing import Tumbling
    >>> windows = NaiveWindows(Tumbling(10), metrics=[Metric("value", ["count", "sum"])], allowed_lateness=5)
    >>> windows.push([{"ts": 1, "key": "a", "value": 2}, {"ts": 9, "key": "a", "value": 3}])
    >>> windows.advance_watermark(12)
    >>> windows.push({"ts": 4, "key": "a", "value": 5})
    >>> for pane in windows.drain():
    ...     print(pane.window, pane.results, pane.timing, pane.index, pane.is_last)
    (0, 10) {'count': 2, 'sum': 5} on_time 0 False
    (0, 10) {'count': 3, 'sum': 10} late 1 False
    >>> windows.advance_watermark(15)
    >>> windows.push({"ts": 4, "key": "a", "value": 5})
    >>> windows.drain(), windows.drain_late()[0].windows
    ([], [(0, 10)])
    """

    counter_names = ("records_in", "aggregated", "late", "malformed", "outside_windows", "unfired")

    def __init__(
        self,
        window: WindowKind,
        *,
        key_fields: Sequence[str] = ("key",),
        metrics: Sequence[Metric | AggregatorMetric | AppliedMetric | ChosenMetric] = (Metric(),),
        series: Sequence[NaiveSeries] = (),
        trigger: WindowTrigger = _DEFAULT_TRIGGER,
        allowed_lateness: int = 0,
        accumulation: str = "accumulating",
        time: str = "event",
        max_out_of_orderness: int | None = None,
        generator: Callable[[], WatermarkGenerator] | None = None,
        time_field: str = "ts",
        time_of: Callable[[Any], int | None] = whole_micros,
    ) -> None:
        if isinstance(window, Count) and trigger != _DEFAULT_TRIGGER:
            raise ConfigurationError(f"NaiveWindows: trigger: {trigger!r}: count windows fire when full")
        if max_out_of_orderness is not None:
            bound = timedelta(microseconds=max_out_of_orderness)
            generator = partial(BoundedOutOfOrdernessWatermark, bound)
        self._kind = window
        self._key_fields = tuple(key_fields)
        self.metrics = tuple(metrics)
        self.series = tuple(series)
        self._trigger = trigger
        self._by_clock = {"event": False, "processing": True}[time]
        self._allowed_lateness = allowed_lateness
        self._kept_for = max(allowed_lateness, retention(trigger))
        self._accumulating = {"accumulating": True, "discarding": False}[accumulation]
        self._generator = generator
        self._time_field = time_field
        self._time_of = time_of

        self.watermark = EARLIEST
        self.clock = 0
        self._ended = False
        self._partitions: dict[int, tuple[WatermarkGenerator, int]] = {}
        self._open: list[_OpenWindow] = []
        self._counted: dict[Any, CountedKey] = {}
        self._fired: list[NaivePane] = []
        """In this step."""
        self._panes: list[NaivePane] = []
        self._late: list[NaiveLateRecord] = []
        self.records_in = self.aggregated = self.late = self.malformed = 0
        self.outside_windows = self.unfired = 0

    @classmethod
    def of(cls, builder: StreamPipelineBuilder, branch: str = "") -> NaiveWindows:
        """The reference for the pipeline that a builder describes, as a PipelineHarness would drive it; of one
        that has several branches, for the one of that name.

        >>> from llmopt_stream import create_pipeline
        >>> windows = NaiveWindows.of(create_pipeline().with_event_time("ts", unit="ms").with_tumbling_window(1))
        >>> windows.push({"ts": 7, "value": 3})
        >>> windows.end_of_input()
        >>> [(pane.window, pane.results["sum"]) for pane in windows.drain()]
        [((0, 1000000), 3)]
        """
        from .of_plan import settings_of

        return cls(**settings_of(builder.plan, branch))

    def push(self, records: Record | Iterable[Record], *, partition: int = 0) -> None:
        """Takes one record, or several in their order, of one partition."""
        for record in [records] if isinstance(records, Mapping) else records:
            self._push_one(record, partition)
            self._end_step()

    def advance_watermark(self, watermark: int) -> None:
        """No record with a time before `watermark` is expected any more; going back is ignored."""
        self._advance_watermark(watermark)
        self._end_step()

    def advance_processing_time(self, time: int) -> None:
        """Sets the clock, which starts at 0; going back is ignored."""
        if time <= self.clock:
            return
        before, self.clock = self._now, time
        if self._by_clock:
            self._advance(before)
        else:
            self._fire([each for each in self._open if self._is_ready(each, asks_users=False)], before)
        self._end_step()

    def end_of_input(self) -> None:
        """Completes every window."""
        before, self.watermark, self._ended = self._now, END_OF_TIME, True
        self._advance(before)
        self._forget()
        for counted in self._counted.values():
            records, waited = counted.rest()
            if waited and counted.kind.flush:
                self._fire_counted(counted, records)
            else:
                self.unfired += waited
        self._end_step()

    def drain(self) -> list[NaivePane]:
        """The panes since the last drain, in the order in which they come out."""
        panes, self._panes = self._panes, []
        return panes

    def drain_late(self) -> list[NaiveLateRecord]:
        """The records of the late output since the last drain."""
        late, self._late = self._late, []
        return late

    @property
    def counters(self) -> dict[str, int]:
        """What became of the records: those before `unfired` add up to `records_in`."""
        return {name: getattr(self, name) for name in self.counter_names}

    @property
    def _now(self) -> int:
        """What completes windows: the watermark or the clock."""
        if self._ended:
            return END_OF_TIME
        return self.clock if self._by_clock else self.watermark

    def _push_one(self, record: Record, partition: int) -> None:
        position = self.records_in
        self.records_in += 1
        event_time = self._time_of(field_of(record, self._time_field))
        if event_time is None:
            self.malformed += 1
            return
        time = self.clock if self._by_clock else event_time
        key = tuple(field_of(record, name) for name in self._key_fields)
        # Judged and added under the watermark of the records before it; only then it moves the watermark.
        if isinstance(self._kind, Count):
            self._count(self._kind, key, record)
        else:
            if isinstance(self._kind, Session):
                windows = self._kind.windows_of(time, record)
                if not windows:
                    self.malformed += 1
                    return
            else:
                windows = self._kind.windows_of(time)
            taken = [each for window in windows if (each := self._add(window, key, record)) is not None]
            if taken:
                self.aggregated += 1
            elif saturated(time + self._allowed_lateness) < self._now:
                self.late += 1
                lateness = self._now - time
                self._late.append(NaiveLateRecord(record, key, windows, self._now, lateness, position))
            else:
                self.outside_windows += 1
            self._fire([each for each in taken if self._is_ready(each)], self._now)
        if self._generator is not None:
            self._advance_partition(partition, event_time)

    def _advance_partition(self, partition: int, time: int) -> None:
        assert self._generator is not None
        generator, before = self._partitions.get(partition) or (self._generator(), EARLIEST)
        generator.on_event(time)
        watermark = watermark_micros(generator)
        after = before if watermark is None else max(before, watermark)
        self._partitions[partition] = generator, after
        self._advance_watermark(min(after for _, after in self._partitions.values()))

    def _advance_watermark(self, watermark: int) -> None:
        before = self._now
        self.watermark = max(self.watermark, watermark)
        self._advance(before)

    def _advance(self, before: int) -> None:
        """Fires what is due now that time has moved on from `before`; then what has expired goes."""
        if not before < self._now:
            return
        due = [each for each in self._open if each.waiting > 0 or before < each.window[1] <= self._now]
        self._fire([each for each in due if self._is_ready(each)], before)
        self._forget()

    def _forget(self) -> None:
        gone = [each for each in self._open if self._may_go(each.window)]
        self.unfired += sum(each.waiting for each in gone)
        self._open = [each for each in self._open if each not in gone]

    def _count(self, kind: Count, key: tuple[Any, ...], record: Record) -> None:
        counted = self._counted.setdefault(key_order(key), CountedKey(kind, key))
        taken, filled = counted.take(record)
        self.aggregated += int(taken)
        self.outside_windows += int(not taken)
        if filled is not None:
            self._fire_counted(counted, filled)

    def _add(self, window: Interval, key: tuple[Any, ...], record: Record) -> _OpenWindow | None:
        """The open window that the record is in now; None if that has expired."""
        alive = [
            each
            for each in self._open
            if key_order(each.key) == key_order(key) and not self._is_expired(each.window)
        ]
        if isinstance(self._kind, Session):
            parts = [each for each in alive if each.window[0] <= window[1] and window[0] <= each.window[1]]
            spans = [window, *(part.window for part in parts)]
            window = (min(start for start, _ in spans), max(end for _, end in spans))
        else:
            parts = [each for each in alive if each.window == window]
        if self._is_expired(window):
            return None
        first_clocks = [part.first_clock for part in parts if part.first_clock is not None]
        merged = _OpenWindow(
            window,
            parts[0].key if parts else key,
            [kept for part in parts for kept in part.records] + [record],
            sum(part.waiting for part in parts) + 1,
            min(first_clocks, default=self.clock),
            window[1] <= self._now and any(part.complete for part in parts),
            max((part.next_index for part in parts), default=0),
            [interval for part in parts for interval in part.standing],
        )
        self._open = [each for each in self._open if each not in parts] + [merged]
        return merged

    def _is_ready(self, each: _OpenWindow, *, asks_users: bool = True) -> bool:
        view = TriggerView(
            each.window, self._now, self.clock, each.waiting, each.first_clock, each.complete, asks_users
        )
        return is_ready(self._trigger, view)

    def _fire(self, windows: list[_OpenWindow], before: int) -> None:
        """Fires windows after a record, or after a step of time from `before` on."""
        for each in sorted(windows, key=lambda each: (each.window[1], key_order(each.key), each.window[0])):
            end = each.window[1]
            timing = "early" if self._now < end else "on_time" if before < end else "late"
            if each.records:
                replaces = sorted(interval for interval in each.standing if interval != each.window)
                is_last = self._is_last(each.window)
                self._put(each.window, each.key, each.records, timing, each.next_index, is_last, replaces)
                each.next_index += 1
                each.standing = [each.window] if self._accumulating else []
            if not self._accumulating:
                each.records = []
            each.waiting, each.first_clock = 0, None
            each.complete = end <= self._now

    def _fire_counted(self, counted: CountedKey, records: list[Record]) -> None:
        self._put((EARLIEST, END_OF_TIME), counted.key, records, "on_time", counted.panes, True, [])
        counted.panes += 1

    def _put(
        self,
        window: Interval,
        key: tuple[Any, ...],
        records: list[Record],
        timing: str,
        index: int,
        is_last: bool,
        replaces: list[Interval],
    ) -> None:
        times = [self._time_of(field_of(record, self._time_field)) or 0 for record in records]
        results = {
            name: value
            for metric in self.metrics
            for name, value in metric.results(records, times, window).items()
        }
        pane = NaivePane(window, key, results, timing, index, is_last, replaces, tuple(records))
        self._fired.append(pane)

    def _end_step(self) -> None:
        """One record with the advance that it causes, or one advance: its panes come in one order."""
        for pane in sorted(self._fired, key=lambda pane: (pane.window[1], key_order(pane.key))):
            said = {name: value for each in self.series for name, value in each.results(pane).items()}
            self._panes.append(dataclasses.replace(pane, results={**pane.results, **said}))
        self._fired = []

    def _is_expired(self, window: Interval) -> bool:
        """Whether it takes no records any more."""
        return self._now >= saturated(window[1] + self._allowed_lateness)

    def _may_go(self, window: Interval) -> bool:
        """Whether its state is needed no longer."""
        return self._ended or (
            self._now >= saturated(window[1] + self._kept_for) and may_purge(self._trigger, window, self._now)
        )

    def _is_last(self, window: Interval) -> bool:
        return self._is_expired(window) and (self._ended or may_purge(self._trigger, window, self._now))
