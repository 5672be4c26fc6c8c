"""Python values as JSON from which exactly they come back, type by type. Whatever cannot is refused by name.

None, truth values, text, finite floats and integers of 64 bits stand for themselves; everything else is an
array that begins with its tag. JSON objects do not occur, so no dict of a user's can look like a tag.
Decoding runs no code of the classes that the text names, and imports nothing but numpy and pandas.
"""

from __future__ import annotations

import base64
import dataclasses
import math
import struct
import sys
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from ._optional import needs
from .errors import CheckpointError
from .units import MICROSECOND

__all__ = ["decode", "encode"]

_DEEPEST = 100
_PLAIN: dict[type, Callable[[Any], Any]] = {
    Decimal: str,
    UUID: str,
    date: date.isoformat,
    timedelta: lambda value: value // MICROSECOND,
    bytes: lambda value: base64.b64encode(value).decode(),
    bytearray: lambda value: base64.b64encode(value).decode(),
}
_OF_PLAIN: dict[str, Callable[[Any], Any]] = {
    "Decimal": Decimal,
    "UUID": UUID,
    "date": date.fromisoformat,
    "timedelta": lambda micros: micros * MICROSECOND,
    "bytes": lambda text: base64.b64decode(text, validate=True),
    "bytearray": lambda text: bytearray(base64.b64decode(text, validate=True)),
}
_SEQUENCES = (list, tuple, set, frozenset)
_OF_SEQUENCE: dict[str, Callable[[Any], Any]] = {each.__name__: each for each in _SEQUENCES}
_NUMPY_KINDS = "biufcmM"


def encode(value: Any, at: str) -> Any:
    """What `json.dumps` takes; `at` says in an error where the value was found.

    >>> encode({1: ("a", 2.5)}, "record 0")
    ['dict', [1, ['tuple', 'a', 2.5]]]
    >>> encode({"score": [1j]}, "record 0")
    Traceback (most recent call last):
    llmopt_stream.errors.CheckpointError: snapshot: record 0['score'][0]: a builtins.complex cannot be \
restored exactly
    """
    return _encode(value, at, 0)


def decode(encoded: Any) -> Any:
    """The value that was encoded.

    >>> decode(["dict", [1, ["tuple", "a", 2.5]]])
    {1: ('a', 2.5)}
    """
    if not isinstance(encoded, list):
        if isinstance(encoded, dict):
            raise ValueError("a JSON object stands for no value")
        return encoded
    tag, *rest = encoded
    if tag in _OF_SEQUENCE:
        return _OF_SEQUENCE[tag](decode(each) for each in rest)
    if tag == "dict":
        return {decode(name): decode(each) for name, each in rest}
    if tag == "deque":
        return deque((decode(each) for each in rest[1:]), rest[0])
    if tag in _OF_PLAIN:
        (plain,) = rest
        return _OF_PLAIN[tag](plain)
    if tag in _DECODERS:
        return _DECODERS[tag](*rest)
    raise ValueError(f"{tag!r} is no tag")


def _encode(value: Any, at: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        return value if _is_unicode(value) else ["str", value.encode("utf-8", "surrogatepass").hex()]
    if kind is int:
        return value if -(2**63) <= value < 2**63 else ["int", hex(value)]
    if kind is float:
        return value if math.isfinite(value) else ["float", struct.pack("<d", value).hex()]
    if depth == _DEEPEST:
        raise CheckpointError(f"snapshot: {at}: nested more than {_DEEPEST} deep, or within itself")
    if kind is dict:
        return [
            "dict",
            *(
                [_encode(name, f"{at} key {name!r}", depth + 1), _encode(each, f"{at}[{name!r}]", depth + 1)]
                for name, each in value.items()
            ),
        ]
    if kind in _SEQUENCES:
        return [
            kind.__name__,
            *(_encode(each, f"{at}[{index}]", depth + 1) for index, each in enumerate(value)),
        ]
    if kind is deque:
        items = (_encode(each, f"{at}[{index}]", depth + 1) for index, each in enumerate(value))
        return ["deque", value.maxlen, *items]
    if kind in _PLAIN:
        return [kind.__name__, _PLAIN[kind](value)]
    if kind is datetime or kind is time:
        return [kind.__name__, value.replace(tzinfo=None).isoformat(), _zone(value.tzinfo, at), value.fold]
    if dataclasses.is_dataclass(kind):
        return _dataclass(value, at, depth)
    return _of_numpy_or_pandas(value, at)


def _is_unicode(text: str) -> bool:
    """Whether JSON keeps it: two lone surrogates would become one character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(value: Any, at: str, why: str = "") -> CheckpointError:
    kind = type(value)
    return CheckpointError(
        f"snapshot: {at}: a {kind.__module__}.{kind.__qualname__} cannot be restored exactly{why}"
    )


def _zone(zone: Any, at: str) -> Any:
    if zone is None or zone is UTC:
        return None if zone is None else "UTC"
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return ["timezone", offset // MICROSECOND, *name]
    # Zones that came from a file have no name, or one that stands for another zone.
    if type(zone) is ZoneInfo and zone.key and ZoneInfo(zone.key) is zone:
        return ["ZoneInfo", zone.key]
    raise _refused(zone, at)


def _zone_of(encoded: Any) -> Any:
    if encoded is None or encoded == "UTC":
        return UTC if encoded else None
    kind, what, *name = encoded
    if kind == "ZoneInfo":
        return ZoneInfo(what)
    return timezone(what * MICROSECOND, *name)


def _dataclass(value: Any, at: str, depth: int) -> Any:
    kind = type(value)
    names = [each.name for each in dataclasses.fields(value)]
    if _class_of(kind.__module__, kind.__qualname__) is not kind:
        raise _refused(value, at, ": its class cannot be found by its name")
    if _rebuilt(kind) is None:
        raise _refused(value, at, ": its class is more than a dataclass")
    unset = [name for name in names if not hasattr(value, name)]
    if unset or not set(getattr(value, "__dict__", ())) <= set(names):
        raise _refused(value, at, ": it has more attributes than fields, or less")
    fields = ([name, _encode(getattr(value, name), f"{at}.{name}", depth + 1)] for name in names)
    return ["dataclass", kind.__module__, kind.__qualname__, *fields]


def _dataclass_of(module: str, name: str, *fields: Any) -> Any:
    kind = _class_of(module, name)
    if kind is None or not dataclasses.is_dataclass(kind):
        raise ValueError(f"the dataclass {module}.{name} is not there; import its module first")
    if {each for each, _ in fields} != {each.name for each in dataclasses.fields(kind)}:
        raise ValueError(f"the fields of the dataclass {module}.{name} are others now")
    value = _rebuilt(kind)
    if value is None:
        raise ValueError(f"{module}.{name} is more than a dataclass")
    for each, encoded in fields:
        object.__setattr__(value, each, decode(encoded))
    return value


def _class_of(module: str, name: str) -> type | None:
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if isinstance(found, type) or hasattr(found, "__dict__") else None
    return found if isinstance(found, type) else None


def _rebuilt(kind: type) -> Any:
    """An instance without values; None where that takes more than memory."""
    try:
        return object.__new__(kind)
    except TypeError:  # of a subclass of dict, say
        return None


def _of_numpy_or_pandas(value: Any, at: str) -> Any:
    numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
    if numpy is not None and type(value) is numpy.str_:
        return ["numpy.str_", str(value)]
    if numpy is not None and isinstance(value, numpy.generic) and value.dtype.kind in _NUMPY_KINDS:
        return ["numpy", value.dtype.str, value.tobytes().hex()]
    if pandas is not None:
        if value is pandas.NaT or value is pandas.NA:
            return [f"pandas.{value!s}".replace("<NA>", "NA")]
        if type(value) is pandas.Timestamp:
            ticks = int(value.asm8.astype("int64"))
            return ["pandas.Timestamp", ticks, value.unit, _zone(value.tzinfo, at), value.fold]
        if type(value) is pandas.Timedelta:
            return ["pandas.Timedelta", int(value.asm8.astype("int64")), value.unit]
    raise _refused(value, at)


def _numpy_of(dtype: str, bits: str) -> Any:
    numpy = needs("numpy", "pandas")
    kind = numpy.dtype(dtype)
    (value,) = numpy.frombuffer(bytes.fromhex(bits), kind)
    if kind.kind not in _NUMPY_KINDS:
        raise ValueError(f"{dtype!r} is no type of numbers")
    return value


def _numpy_text(text: str) -> Any:
    numpy = needs("numpy", "pandas")
    return numpy.str_(text)


def _timestamp(ticks: int, unit: str, zone: Any, fold: int) -> Any:
    numpy, pandas = needs("numpy", "pandas"), needs("pandas", "pandas")
    value = pandas.Timestamp(numpy.datetime64(ticks, unit))
    if zone is None:
        return value.replace(fold=fold)
    return value.tz_localize("UTC").tz_convert(_zone_of(zone))


def _timedelta(ticks: int, unit: str) -> Any:
    numpy, pandas = needs("numpy", "pandas"), needs("pandas", "pandas")
    return pandas.Timedelta(numpy.timedelta64(ticks, unit))


def _missing(name: str) -> Any:
    return getattr(needs("pandas", "pandas"), name)


_DECODERS: dict[str, Callable[..., Any]] = {
    "int": lambda text: int(text, 16),
    "str": lambda bits: bytes.fromhex(bits).decode("utf-8", "surrogatepass"),
    "float": lambda bits: struct.unpack("<d", bytes.fromhex(bits))[0],
    "datetime": lambda text, zone, fold: datetime.fromisoformat(text).replace(
        tzinfo=_zone_of(zone), fold=fold
    ),
    "time": lambda text, zone, fold: time.fromisoformat(text).replace(tzinfo=_zone_of(zone), fold=fold),
    "dataclass": _dataclass_of,
    "numpy": _numpy_of,
    "numpy.str_": _numpy_text,
    "pandas.NaT": lambda: _missing("NaT"),
    "pandas.NA": lambda: _missing("NA"),
    "pandas.Timestamp": _timestamp,
    "pandas.Timedelta": _timedelta,
}
