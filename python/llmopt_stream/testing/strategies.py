"""Streams, windows and batch cuts for property tests with hypothesis.

>>> from hypothesis import given
>>> @given(event_streams(disorder=5), window_specs())
... def test_my_pipeline(records, window): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmopt_stream.columns import col
from llmopt_stream.triggers import (
    AfterWatermark,
    CountTrigger,
    EventTimeTrigger,
    HybridTrigger,
    ProcessingTimeTrigger,
    WindowTrigger,
    all_of,
    any_of,
)
from llmopt_stream.units import MICROSECOND
from llmopt_stream.windows import (
    CountWindowAssigner,
    CumulativeWindowAssigner,
    GlobalWindowAssigner,
    SessionWindowAssigner,
    SlidingWindowAssigner,
    TumblingWindowAssigner,
    WindowAssigner,
)

from .reference import Count, Cumulative, Global, Session, Sliding, Tumbling, WindowKind
from .steps import AdvanceProcessingTime, AdvanceWatermark, Push, Step

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "the strategies of llmopt_stream.testing need hypothesis: pip install hypothesis"
    ) from error

__all__ = [
    "batch_splits",
    "disorder_within",
    "event_streams",
    "input_steps",
    "interleavings",
    "triggers",
    "window_assigners",
    "window_specs",
]

KINDS = ("tumbling", "sliding", "cumulative", "session", "count", "global")

_KEYS = st.sampled_from(["a", "b", "c"])
_MIXED_KEYS = st.sampled_from(["a", "B", "ab", "", "é", "1", None, False, True, 0, 1, 1.0, -2.5, 10])
_INTEGERS = st.integers(-(2**40), 2**40) | st.integers(-3, 3)
_NUMBERS = (
    _INTEGERS | st.floats(-1e6, 1e6, width=32, allow_subnormal=False) | st.sampled_from([0.1, 0.2, 0.3])
)
_NO_NUMBERS = st.sampled_from([None, float("nan"), float("inf"), float("-inf"), "7", True, [1.0], {"x": 1}])
_VALUES = {"integers": _INTEGERS, "numbers": _NUMBERS, "any": _NUMBERS | _NUMBERS | _NO_NUMBERS}


@st.composite
def event_streams(
    draw: st.DrawFn,
    *,
    keys: str | st.SearchStrategy[Any] = "text",
    values: str | st.SearchStrategy[Any] = "any",
    disorder: int = 0,
    late: bool = False,
    grid: int = 10,
    span: int = 120,
    min_size: int = 0,
    max_size: int = 30,
    time_field: str = "ts",
    key_field: str = "key",
    value_field: str = "value",
    gap_field: str | None = None,
) -> list[dict[str, Any]]:
    """Records in the order in which they arrive, some of them twice, some at the same time.

    Times are within ±`span` µs and often on, just before or just after a multiple of `grid`: give the
    window's size or slide. No record comes more than `disorder` µs after a later one unless `late` lets some.
    Keys are "text", "mixed" (null, bools, numbers and text, some records without the field) or a strategy.
    Values are "integers", "numbers", "any" (with nulls, NaN, infinities and wrong types, some records
    without the field) or a strategy. With `gap_field` each record says a session gap of its own there, in
    seconds, of about `grid` µs; some say none.
    """
    on_grid = st.builds(
        lambda step, off: step * grid + off, st.integers(-(span // grid), span // grid), st.integers(-1, 1)
    )
    times = on_grid | st.integers(-span, span)
    key_values = {"text": _KEYS, "mixed": _MIXED_KEYS}[keys] if isinstance(keys, str) else keys
    field_values = _VALUES[values] if isinstance(values, str) else values
    delays = st.integers(0, disorder)
    if late:
        delays |= st.sampled_from([0, 0, 0, grid, 3 * grid, 2 * span]).map(lambda more: disorder + more)
    missing = st.sampled_from([False] * 9 + [True])

    # Lists are drawn short; half of the streams shall be long enough for several firings of a window.
    least = draw(st.sampled_from([min_size, max(min_size, max_size // 2)]))
    arriving: list[tuple[int, dict[str, Any]]] = []
    for time, key, value, copies in draw(
        st.lists(
            st.tuples(times, key_values, field_values, st.sampled_from([1, 1, 1, 1, 2])),
            min_size=least,
            max_size=max_size,
        )
    ):
        record = {time_field: time, key_field: key, value_field: value}
        if keys == "mixed" and draw(missing):
            del record[key_field]
        if values == "any" and draw(missing):
            del record[value_field]
        if gap_field is not None:
            gaps = st.sampled_from([grid, grid, 1, 2 * grid, 3 * grid, None])
            record[gap_field] = None if (gap := draw(gaps)) is None else gap / 1e6
        arriving += [(time + draw(delays), dict(record)) for _ in range(copies)]
    # Whoever is overtaken arrives at most its own delay after the time of the one that overtakes.
    return [record for _, record in sorted(arriving, key=lambda each: each[0])]


@st.composite
def window_specs(draw: st.DrawFn, *, kinds: Sequence[str] = KINDS, largest: int = 40) -> WindowKind:
    """A window of one of the `kinds`; sizes, slides and gaps up to `largest` µs, slides also beyond sizes.
    Count windows have up to 8 records.
    """
    kind = draw(st.sampled_from(kinds))
    size = draw(st.integers(1, largest))
    if kind == "tumbling":
        return Tumbling(size, draw(st.integers(1 - size, size - 1)))
    if kind == "session":
        return Session(size)
    if kind == "sliding":
        slide = draw(st.integers(max(1, size // 12), min(largest, 2 * size)))
        return Sliding(size, slide, draw(st.integers(1 - slide, slide - 1)))
    if kind == "cumulative":
        step = draw(st.integers(1, max(1, largest // 4)))
        size = step * draw(st.integers(1, 4))
        return Cumulative(size, step, draw(st.integers(1 - size, size - 1)))
    if kind == "count":
        return Count(draw(st.integers(1, 8)), draw(st.integers(1, 8)), draw(st.booleans()))
    if kind == "global":
        return Global()
    raise ValueError(f"kinds: {kind!r} is not a kind of window; expected one of {', '.join(KINDS)}")


@st.composite
def window_assigners(
    draw: st.DrawFn,
    *,
    kinds: Sequence[str] = KINDS,
    largest: int = 40,
    times: Sequence[str] = ("event", "processing"),
    gap_field: str | None = None,
) -> WindowAssigner:
    """What `with_window` takes: the windows of `window_specs`, by event time or by the clock, with allowed
    lateness. With `gap_field` the gap of sessions is that field's.
    """
    kind = draw(window_specs(kinds=kinds, largest=largest))
    match kind:
        case Count(size, slide, flush):
            return CountWindowAssigner(size, slide, flush=flush)
        case Global():
            return GlobalWindowAssigner()
    time = draw(st.sampled_from(times))
    lateness = None
    if time == "event":
        lateness = MICROSECOND * draw(st.sampled_from([0, 1, 10, 60, 400]) | st.integers(0, 100))
    match kind:
        case Tumbling(size, offset):
            return TumblingWindowAssigner(
                size * MICROSECOND, offset=offset * MICROSECOND, allowed_lateness=lateness, time=time
            )
        case Sliding(size, slide, offset):
            return SlidingWindowAssigner(
                size * MICROSECOND,
                slide * MICROSECOND,
                offset=offset * MICROSECOND,
                allowed_lateness=lateness,
                time=time,
            )
        case Cumulative(size, step, offset):
            return CumulativeWindowAssigner(
                size * MICROSECOND,
                step * MICROSECOND,
                offset=offset * MICROSECOND,
                allowed_lateness=lateness,
                time=time,
            )
        case Session(int(gap)):
            said = gap * MICROSECOND if gap_field is None else col(gap_field)
            return SessionWindowAssigner(said, allowed_lateness=lateness, time=time)
    raise AssertionError(kind)


def triggers(*, longest: int = 30) -> st.SearchStrategy[WindowTrigger]:
    """Every built-in trigger, alone and within others; delays of up to `longest` µs, counts of up to 4."""
    counts = st.integers(1, 4)
    delays = st.integers(1, longest).map(lambda delay: delay * MICROSECOND)
    leaves: st.SearchStrategy[WindowTrigger] = st.one_of(
        st.just(EventTimeTrigger()),
        counts.map(CountTrigger),
        delays.map(ProcessingTimeTrigger),
        st.builds(HybridTrigger, counts, delays),
    )

    def containing(parts: st.SearchStrategy[WindowTrigger]) -> st.SearchStrategy[WindowTrigger]:
        several = st.lists(parts, min_size=1, max_size=3)
        return st.one_of(
            st.builds(AfterWatermark, st.none() | parts, st.none() | parts),
            several.map(lambda drawn: any_of(*drawn)),
            several.map(lambda drawn: all_of(*drawn)),
        )

    return st.recursive(leaves, containing, max_leaves=4)


@st.composite
def interleavings(draw: st.DrawFn, partitions: Sequence[Sequence[Mapping[str, Any]]]) -> list[Step]:
    """The records of several partitions as they may arrive: each partition's in its order."""
    turns = [number for number, records in enumerate(partitions) for _ in records]
    remaining = [iter(records) for records in partitions]
    return [Push(next(remaining[number]), number) for number in draw(st.permutations(turns))]


@st.composite
def input_steps(
    draw: st.DrawFn,
    records: Sequence[Mapping[str, Any]],
    *,
    grid: int = 10,
    origin: int = 0,
    partitions: int = 1,
    watermarks: bool = False,
    clock: bool = False,
    longest: int = 30,
) -> list[Step]:
    """The records, each of one of so many partitions, with steps of the watermark and of the clock in between.

    Watermarks are on, just before or just after a multiple of `grid` near `origin`; the clock starts at 0 and
    moves by up to `longest` µs, or by about `grid`.
    """
    numbers = st.integers(0, partitions - 1)
    steps: list[Step] = [Push(record, draw(numbers)) for record in records]
    places = st.integers(0, len(steps))
    if watermarks:
        times = st.builds(
            lambda step, off: origin + step * grid + off, st.integers(-4, 8), st.integers(-1, 1)
        )
        for at, watermark in draw(st.lists(st.tuples(places, times), max_size=5)):
            steps.insert(at, AdvanceWatermark(watermark))
    if clock:
        moves = st.integers(1, longest) | st.sampled_from([1, grid, max(1, grid - 1), grid + 1])
        time = 0
        drawn = sorted(draw(st.lists(st.tuples(places, moves), max_size=8)), key=lambda each: each[0])
        ticks = []
        for at, move in drawn:
            time += move
            ticks.append((at, AdvanceProcessingTime(time)))
        # From the back, so that the places in front stay where they are.
        for at, tick in reversed(ticks):
            steps.insert(at, tick)
    return steps


@st.composite
def batch_splits(draw: st.DrawFn, n: int) -> list[slice]:
    """Cuts of `n` records into batches, in order; some may be empty.

    >>> [list("abcde")[cut] for cut in [slice(0, 3), slice(3, 3), slice(3, 5)]]
    [['a', 'b', 'c'], [], ['d', 'e']]
    """
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=6)))
    return [slice(start, stop) for start, stop in zip([0, *cuts], [*cuts, n], strict=True)]


@dataclass(frozen=True, slots=True)
class _Disorder:
    delays: Sequence[int]
    time_of: Callable[[Mapping[str, Any]], int]

    def __call__(self, records: Iterable[Mapping[str, Any]]) -> list[Any]:
        ordered = sorted(records, key=self.time_of)
        arrivals = [
            self.time_of(record) + self.delays[at % len(self.delays)] for at, record in enumerate(ordered)
        ]
        return [ordered[at] for at in sorted(range(len(ordered)), key=arrivals.__getitem__)]


def disorder_within(
    bound: int, *, time_field: str = "ts", time_of: Callable[[Mapping[str, Any]], int] | None = None
) -> st.SearchStrategy[Callable[[Iterable[Mapping[str, Any]]], list[Any]]]:
    """Functions that reorder records so that none comes more than `bound` µs after a later one.

    The simplest of them sorts by time, an integer in `time_field` unless `time_of` says a record's.
    Records of the same time may change places.
    """
    delays = st.lists(st.integers(0, bound), min_size=1, max_size=12)
    reads = time_of or (lambda record: int(record[time_field]))
    return delays.map(lambda drawn: _Disorder(tuple(drawn), reads))
