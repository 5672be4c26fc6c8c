from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import llmopt_stream as ls
import numpy
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmopt_stream.exact_json import decode, encode


@dataclass
class Point:
    x: Any
    tags: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        assert self.x != "refused by __init__"


@dataclass(frozen=True, slots=True)
class Frozen:
    point: Point


@dataclass
class Remembers(Point):
    def __post_init__(self) -> None:
        self.seen = 1


@dataclass
class Sized(dict):  # type: ignore[type-arg]
    x: int = 0


class Color(Enum):
    RED = "red"


def again(value: Any) -> Any:
    return decode(json.loads(json.dumps(encode(value, "value"), allow_nan=False)))


POINT = Point(1)
POINT.x = "refused by __init__"
BERLIN = ZoneInfo("Europe/Berlin")

EXACT = [
    None,
    True,
    1,
    -0.0,
    1.0,
    float("-inf"),
    2**63,
    -(2**100),
    "text",
    "\ud83d\ude00",
    [],
    (),
    [[1], (1,)],
    {1: "int", "1": "text", (1, 2): "tuple", None: {}},
    {"$time": "2026-01-01", "$date": False},
    {"$bytes": "!"},
    ["dict", ["a", 1]],
    {1, "a"},
    frozenset({(1,)}),
    deque([1, 2], maxlen=3),
    b"\x00\xff",
    bytearray(b"x"),
    Decimal("1.500"),
    Decimal("NaN"),
    UUID(int=7),
    date(1, 1, 1),
    datetime(9999, 12, 31, 23, 59, 59, 999_999),  # noqa: DTZ001
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2026, 1, 1, tzinfo=timezone(timedelta(minutes=-90, microseconds=1), "name")),
    time(12, 30, 0, 5),
    timedelta.min,
    Point({1: Decimal(2)}, {"a"}),
    POINT,
    Frozen(Point(2)),
    ls.FeedbackEvent.from_dict({"id": "e", "data": {"latency_ms": 1.5, "ttft_ms": 2}}),
    numpy.int16(-3),
    numpy.float32(0.1),
    numpy.float64(0.1),
    numpy.bool_(True),
    numpy.str_("text"),
    numpy.datetime64("2026-01-01T00:00:00.123456789"),
    numpy.datetime64("NaT"),
    numpy.timedelta64(5, "25s"),
    numpy.dtype(">i4").type(5),
    pandas.NaT,
    pandas.NA,
    pandas.Timestamp("2026-01-01T00:00:00.123456789"),
    pandas.Timestamp("2026-10-25T02:30:00.123456789").tz_localize("Europe/Berlin", ambiguous=False),
    pandas.Timestamp(5, unit="s", tz="UTC"),
    pandas.Timedelta(5, "ns"),
]


@pytest.mark.parametrize("value", EXACT, ids=repr)
def test_values_come_back_exactly(value: Any) -> None:
    restored = again(value)
    assert type(restored) is type(value)
    assert repr(restored) == repr(value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.datetimes(),
    lambda each: (
        st.lists(each)
        | st.lists(each).map(tuple)
        | st.dictionaries(st.integers() | st.text() | st.tuples(st.text()), each)
    ),
)


@given(VALUES)
def test_any_nesting_comes_back_exactly(value: Any) -> None:
    assert repr(again(value)) == repr(value)


@given(VALUES, VALUES)
def test_different_values_have_different_codes(a: Any, b: Any) -> None:
    assert (repr(a) == repr(b)) == (
        encode(a, "a") == encode(b, "b") and repr(encode(a, "")) == repr(encode(b, ""))
    )


def local() -> Any:
    @dataclass
    class Local:
        x: int = 1

    return Local()


def within_itself() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1j, r"value: a builtins\.complex cannot be restored exactly"),
        ({"a": [0, {"b": object()}]}, r"value\['a'\]\[1\]\['b'\]: a builtins\.object cannot"),
        ({Color.RED: 1}, r"value key <Color\.RED: 'red'>: a .*\.Color cannot"),
        (Frozen(Point(1j)), r"value\.point\.x: a builtins\.complex cannot"),
        (local(), r"\.Local cannot be restored exactly: its class cannot be found by its name"),
        (Remembers(1), r"\.Remembers cannot be restored exactly: it has more attributes than fields"),
        (Sized(), r"\.Sized cannot be restored exactly: its class is more than a dataclass"),
        (numpy.array([1]), r"value: a numpy\.ndarray cannot"),
        (numpy.void(b"x"), r"value: a numpy\.void cannot"),
        (within_itself(), "nested more than 100 deep, or within itself"),
    ],
)
def test_what_cannot_come_back_is_refused_with_type_and_place(value: Any, message: str) -> None:
    with pytest.raises(ls.CheckpointError, match=message):
        encode(value, "value")


@pytest.mark.parametrize(
    "encoded",
    [
        {},
        [],
        ["unknown", 1],
        ["Decimal"],
        ["dataclass", "os", "system", ["x", 1]],
        ["dataclass", "no_such_module", "X"],
        ["dataclass", Point.__module__, "Point", ["x", 1]],
        ["numpy", "|O", "0000000000000000"],
        ["set", ["list"]],
    ],
    ids=repr,
)
def test_what_was_never_encoded_is_refused(encoded: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode(encoded)
