"""Streams, windows and batch cuts for property tests with hypothesis.

>>> from hypothesis import given
>>> @given(event_streams(disorder=5), window_specs())
... def test_my_pipeline(records, window): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .reference import Session, Sliding, Tumbling, WindowKind

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "the strategies of llmopt_stream.testing need hypothesis: pip install hypothesis"
    ) from error

__all__ = ["batch_splits", "disorder_within", "event_streams", "window_specs"]

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
) -> list[dict[str, Any]]:
    """Records in the order in which they arrive, some of them twice, some at the same time.

    Times are within ±`span` µs and often on, just before or just after a multiple of `grid`: give the
    window's size or slide. No record comes more than `disorder` µs after a later one unless `late` lets some.
    Keys are "text", "mixed" (null, bools, numbers and text, some records without the field) or a strategy.
    Values are "integers", "numbers", "any" (with nulls, NaN, infinities and wrong types, some records
    without the field) or a strategy.
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
        arriving += [(time + draw(delays), dict(record)) for _ in range(copies)]
    # Whoever is overtaken arrives at most its own delay after the time of the one that overtakes.
    return [record for _, record in sorted(arriving, key=lambda each: each[0])]


@st.composite
def window_specs(
    draw: st.DrawFn, *, kinds: Sequence[str] = ("tumbling", "sliding", "session"), largest: int = 40
) -> WindowKind:
    """A window of one of the `kinds`; sizes, slides and gaps up to `largest` µs, slides also beyond sizes."""
    kind = draw(st.sampled_from(kinds))
    size = draw(st.integers(1, largest))
    if kind == "tumbling":
        return Tumbling(size, draw(st.integers(1 - size, size - 1)))
    if kind == "session":
        return Session(size)
    if kind == "sliding":
        slide = draw(st.integers(max(1, size // 12), min(largest, 2 * size)))
        return Sliding(size, slide, draw(st.integers(1 - slide, slide - 1)))
    raise ValueError(f"kinds: {kind!r} is not a kind of window; expected tumbling, sliding or session")


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
    time_field: str

    def __call__(self, records: Iterable[Mapping[str, Any]]) -> list[Any]:
        ordered = sorted(records, key=lambda record: int(record[self.time_field]))
        arrivals = [
            record[self.time_field] + self.delays[at % len(self.delays)] for at, record in enumerate(ordered)
        ]
        return [ordered[at] for at in sorted(range(len(ordered)), key=arrivals.__getitem__)]


def disorder_within(
    bound: int, *, time_field: str = "ts"
) -> st.SearchStrategy[Callable[[Iterable[Mapping[str, Any]]], list[Any]]]:
    """Functions that reorder records so that none comes more than `bound` µs after a later one.

    The simplest of them sorts by time. Records of the same time may change places.
    """
    delays = st.lists(st.integers(0, bound), min_size=1, max_size=12)
    return delays.map(lambda drawn: _Disorder(tuple(drawn), time_field))
