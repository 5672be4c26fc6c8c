"""Sources: where records come from. Each gives a pipeline one batch at a time."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sized
from itertools import islice
from pathlib import Path
from typing import Any

from . import _core
from .errors import ConfigurationError

__all__ = ["ArrowSource", "FileSource", "IterableSource", "Source"]

_FORMATS = {".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson"}

Step = Callable[[], bool]
"""Lets the pipeline take the next batch; False at the end."""


class Source:
    """Where records come from.

    A source of your own subclasses it and yields batches: lists of records (dicts, dataclasses,
    pydantic models, msgspec structs), or anything with `__arrow_c_stream__`.

    >>> class Countdown(Source):
    ...     def batches(self):
    ...         yield [{"timestamp": "2026-01-01T00:00:00Z", "value": n} for n in (3, 2, 1)]
    """

    def batches(self) -> Iterator[Any]:
        """The batches, in order."""
        raise NotImplementedError

    def open(self, pipeline: _core.Pipeline) -> Step:
        """Starts from the beginning. Only the sources of this module need another way in than batches()."""
        batches = iter(self.batches())
        reader: _core.ArrowReader | None = None

        def step() -> bool:
            nonlocal reader
            if reader is not None:
                if pipeline.read_arrow(reader):
                    return True
                reader = None
            batch = next(batches, None)
            if batch is None:
                return False
            if hasattr(batch, "__arrow_c_stream__"):
                reader = pipeline.open_arrow(batch)
            else:
                pipeline.push_records(batch if isinstance(batch, list) else list(batch))
            return True

        return step

    def progress(self) -> float | None:
        """How much of the input has been read, from 0 to 1; None where nobody knows."""
        return None

    def __str__(self) -> str:
        return type(self).__name__


class FileSource(Source):
    """Newline-delimited JSON from a file, from several by a pattern, or from standard input ("-").

    Files of a pattern are read in the order of their names, as one stream. A file that is missing
    or cannot be read is a ConfigurationError before anything runs; an empty one is an empty stream.
    """

    def __init__(self, path: str | os.PathLike[str], *, format: str | None = None) -> None:
        self._path = os.fspath(path)
        suffix = Path(self._path).suffix
        self._format = format or ("ndjson" if self._path == "-" else _FORMATS.get(suffix))
        if self._format != "ndjson":
            given = f"format {format!r}" if format else f"the extension {suffix!r} of path {self._path!r}"
            raise ConfigurationError(
                f"FileSource: {given} is not known; expected format='ndjson' (.ndjson, .jsonl, .json)"
            )
        self._readers: list[_core.NdjsonReader] = []
        self._total = 0

    def _paths(self) -> list[str]:
        if self._path == "-" or Path(self._path).exists() or not glob.has_magic(self._path):
            return [self._path]
        paths = sorted(glob.glob(self._path))  # noqa: PTH207 (patterns may be absolute)
        if not paths:
            raise ConfigurationError(f"FileSource: path {self._path!r}: no file matches")
        return paths

    def open(self, pipeline: _core.Pipeline) -> Step:
        self._readers = [_core.NdjsonReader(path) for path in self._paths()]
        self._total = sum(reader.total_bytes for reader in self._readers)
        waiting = iter(self._readers)
        reader = next(waiting, None)

        def step() -> bool:
            nonlocal reader
            while reader is not None:
                if pipeline.read_ndjson(reader):
                    return True
                reader = next(waiting, None)
            return False

        return step

    def progress(self) -> float | None:
        if self._total == 0:
            return None
        return min(1.0, sum(reader.bytes_read for reader in self._readers) / self._total)

    def __str__(self) -> str:
        return f"FileSource({self._path!r}, format={self._format!r})"


class ArrowSource(Source):
    """A DataFrame, an Arrow table or stream, a query result: anything with `__arrow_c_stream__`, or
    an iterable of such batches. Columns are read in place.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        if not hasattr(data, "__arrow_c_stream__") and not isinstance(data, Iterable):
            raise ConfigurationError(
                f"ArrowSource: {type(data).__name__} has no __arrow_c_stream__ and is no iterable of things that have"
            )

    def batches(self) -> Iterator[Any]:
        if hasattr(self._data, "__arrow_c_stream__"):
            yield self._data
        else:
            yield from self._data

    def __str__(self) -> str:
        return f"ArrowSource({type(self._data).__name__})"


class IterableSource(Source):
    """Records from any iterable: dicts, dataclasses, pydantic models, msgspec structs.

    An iterator can be run once, a list as often as you like.
    """

    _BATCH = 1024

    def __init__(self, records: Iterable[Any]) -> None:
        self._records = records
        self._taken = 0

    def batches(self) -> Iterator[list[Any]]:
        self._taken = 0
        records = iter(self._records)
        while batch := list(islice(records, self._BATCH)):
            self._taken += len(batch)
            yield batch

    def progress(self) -> float | None:
        total = len(self._records) if isinstance(self._records, Sized) else 0
        return self._taken / total if total else None

    def __str__(self) -> str:
        return f"IterableSource({type(self._records).__name__})"


def source_of(data: Any) -> Source:
    """The source for whatever a notebook has at hand."""
    if isinstance(data, Source):
        return data
    if isinstance(data, str | os.PathLike):
        return FileSource(data)
    if hasattr(data, "__arrow_c_stream__"):
        return ArrowSource(data)
    if isinstance(data, Iterable):
        return IterableSource(data)
    raise ConfigurationError(
        f"data: {type(data).__name__} is not a source; expected a path, a list of records or anything with __arrow_c_stream__"
    )
