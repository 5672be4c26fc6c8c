"""Sources: where records come from. Each gives a pipeline one batch at a time."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import _core
from .errors import ConfigurationError, PipelineError
from .file_formats import FileFormat, TableFile, format_of, rows_since, size_of, without_rows
from .intake import UNLIMITED, Step
from .units import Duration, Time, duration_micros, time_micros

if TYPE_CHECKING:
    from .intake import Intake

__all__ = ["ArrowSource", "FileSource", "GeneratorSource", "IterableSource", "Source"]


class Source:
    """Where records come from.

    A source of your own subclasses it and yields batches: lists of records (dicts, dataclasses,
    pydantic models, msgspec structs), or anything with `__arrow_c_stream__`. While it waits for a batch
    a run cannot end, so one that waits long should yield an empty list now and then.

    >>> class Countdown(Source):
    ...     def batches(self):
    ...         yield [{"timestamp": "2026-01-01T00:00:00Z", "value": n} for n in (3, 2, 1)]
    """

    def batches(self) -> Iterator[Any]:
        """The batches, in order."""
        raise NotImplementedError

    def check_settings(self) -> None:
        """Called when a pipeline is built: a ConfigurationError says what this machine has not, such as a file."""

    def open(self, intake: Intake) -> Step:
        """Starts from the beginning, or where seek() says. Only sources of this package need another way in than
        batches().
        """
        return intake.steps(iter(self.batches()))

    def progress(self) -> float | None:
        """How much of the input has been read, from 0 to 1; None where nobody knows."""
        return None

    def position(self) -> Any:
        """Where a run that goes on from here starts, after the records taken so far: something of JSON's types,
        for seek(). None where nothing can be read again.
        """
        return None

    def seek(self, position: Any) -> None:
        """The next open() starts at a position."""
        raise ConfigurationError(f"{self}: cannot go on at a position: {position!r}")

    def checkpointed(self, position: Any) -> None:
        """A checkpoint that starts at this position is durable: nothing before it is read again."""

    def taken(self, position: Any) -> None:
        """Of delivery at most once, before anything of the records before this position is delivered: when it
        returns, none of them is read again.
        """
        self.checkpointed(position)

    def metrics(self) -> dict[str, Any]:
        """What it counts itself, under a name of its own; of the current or last run."""
        return {}

    def close(self) -> None:
        """Called once after a run."""

    def __str__(self) -> str:
        return type(self).__name__


class BatchesOfSource(Source):
    """A source of a user's in one run, and where in its batches that is: a batch may be taken in parts.

    Until the first batch was taken whole, that is where the run started: None for the beginning. Only from then
    on is what the source's position() says of this run.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._start: Any = None
        self._skips = 0
        self._taken: Callable[[], int] = lambda: 0

    def open(self, intake: Intake) -> Step:
        self._taken = rows_since(intake, self._skips)
        return intake.steps(without_rows(self._batches(intake), self._skips))

    def _batches(self, intake: Intake) -> Iterator[Any]:
        for batch in self._source.batches():
            yield batch
            # It is taken whole; the source stands behind it until the next is asked for.
            self._start = self._source.position()
            self._taken = rows_since(intake, 0)

    def position(self) -> Any:
        """Where the batch in hand starts, and how many records of it were taken."""
        if type(self._source).position is Source.position:
            return None
        return {"batch": self._start, "records": self._taken()}

    def seek(self, position: Any) -> None:
        self._start, self._skips = position["batch"], position["records"]
        if self._start is not None:
            self._source.seek(self._start)

    def checkpointed(self, position: Any) -> None:
        if position is not None and position["batch"] is not None:
            self._source.checkpointed(position["batch"])

    def taken(self, position: Any) -> None:
        if position is not None and position["batch"] is not None:
            self._source.taken(position["batch"])

    def progress(self) -> float | None:
        return self._source.progress()

    def close(self) -> None:
        self._source.close()

    def __str__(self) -> str:
        return str(self._source)


def in_a_run(source: Source) -> Source:
    """The source with positions within its batches, if it gives nothing but batches; otherwise itself."""
    return BatchesOfSource(source) if type(source).open is Source.open else source


class FileSource(Source):
    """A file, several by a pattern, or standard input ("-", newline-delimited JSON or CSV).

    The format is told by the extension (.ndjson, .jsonl or .json; .csv; .parquet; .arrow, .feather or .ipc)
    unless `format` says it; NDJSON and CSV may be compressed (.gz, .zst). CSV, Parquet and Arrow are read
    by pyarrow (extra `[arrow]`), with the column types that it infers or finds. Files of a pattern are read
    in the order of their names, as one stream. A file that is missing or cannot be read is a
    ConfigurationError before anything runs; an empty NDJSON file is an empty stream.
    """

    def __init__(self, path: str | os.PathLike[str], *, format: str | None = None) -> None:
        self._path = os.fspath(path)
        # The files of a pattern such as "events/*" may have extensions although it has none.
        self._format = (
            None if format is None and glob.has_magic(self._path) else format_of(self._path, format)
        )
        self._files: list[_NdjsonFile | TableFile] = []
        self._start: tuple[int, int] = (0, 0)
        self._at: int = 0

    def _paths(self) -> list[str]:
        if self._path == "-" or Path(self._path).exists() or not glob.has_magic(self._path):
            return [self._path]
        paths = sorted(glob.glob(self._path, recursive=True))  # noqa: PTH207 (patterns may be absolute)
        if not paths:
            raise ConfigurationError(f"FileSource: path {self._path!r}: no file matches")
        return paths

    def open(self, intake: Intake) -> Step:
        fields = None if intake.collects_late else intake.fields
        self._files = [
            _NdjsonFile(path) if format is FileFormat.NDJSON else TableFile(path, format, fields)
            for path in self._paths()
            for format in [self._format or format_of(path, None)]
        ]
        self._at, within = self._start
        self._start = (0, 0)
        current: Step | None = None

        def step(max_records: int = UNLIMITED) -> bool:
            nonlocal current, within
            while self._at < len(self._files):
                if current is None:
                    current, within = self._files[self._at].steps(intake, within), 0
                if current(max_records):
                    return True
                current = None
                self._at += 1
            return False

        return step

    def position(self) -> Any:
        """The file that is being read, and how far: in bytes after decompression, or in rows."""
        if self._path == "-":
            return None
        # At the end, that of the last file: others may come after it.
        index = min(self._at, len(self._files) - 1)
        file = self._files[index]
        return {"file": index, "path": file.path, "at": file.at}

    def seek(self, position: Any) -> None:
        """Files that have been read must be there as they were; further ones may have come."""
        paths = self._paths()
        index, path = position["file"], position["path"]
        if index < len(paths) and path != paths[index]:
            raise PipelineError(
                f"{self}: file {index} is {paths[index]!r}, and was {path!r} when the checkpoint was taken"
            )
        if index >= len(paths):
            raise PipelineError(f"{self}: {path!r}, which was read, is not there any more")
        self._start = (index, position["at"])

    def progress(self) -> float | None:
        total = sum(file.total_bytes for file in self._files)
        return min(1.0, sum(file.bytes_read for file in self._files) / total) if total else None

    def __str__(self) -> str:
        format = "by extension" if self._format is None else repr(self._format.value)
        return f"FileSource({self._path!r}, format={format})"


class _NdjsonFile:
    """One file, which is opened when its turn comes: a pattern may match more than can be open at once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.total_bytes = size_of(path)
        self.bytes_read = 0
        self.at = 0

    def steps(self, intake: Intake, start: int) -> Step:
        """From byte `start`, after decompression, on."""
        reader = _core.NdjsonReader(self.path)
        reader.seek(start)
        self.at = start
        take = intake.ndjson(reader)

        def step(max_records: int = UNLIMITED) -> bool:
            more = take(max_records)
            self.bytes_read = reader.bytes_read
            self.at = reader.offset
            return more

        return step


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
        self._start = 0
        self._rows: Callable[[], int] = lambda: 0

    def batches(self) -> Iterator[Any]:
        if hasattr(self._data, "__arrow_c_stream__"):
            yield self._data
        else:
            yield from self._data

    def open(self, intake: Intake) -> Step:
        start, self._start = self._start, 0
        self._rows = rows_since(intake, start)
        return intake.steps(without_rows(self.batches(), start))

    def position(self) -> Any:
        """How many rows were taken."""
        return self._rows()

    def seek(self, position: Any) -> None:
        """The same rows have to come again."""
        self._start = position

    def __str__(self) -> str:
        return f"ArrowSource({type(self._data).__name__})"


class IterableSource(Source):
    """Records from any iterable: dicts, dataclasses, pydantic models, msgspec structs.

    An iterator can be run once, a list as often as you like. Of one that is slow, results do not wait
    until a batch is full; no more is taken from it than `max_events` of a run.
    """

    _BATCH = 1024
    _PATIENCE_SECONDS = 0.05

    def __init__(self, records: Iterable[Any]) -> None:
        self._records = records
        self._taken = 0
        self._start = 0
        _check_not_columns(records, "IterableSource: records")
        if not isinstance(records, Iterable):
            raise ConfigurationError(
                f"IterableSource: {type(records).__name__} is not iterable; expected e.g. a list of dicts"
            )

    def open(self, intake: Intake) -> Step:
        self._taken, self._start = self._start, 0
        records = islice(self._records, self._taken, None)

        def step(max_records: int = self._BATCH) -> bool:
            batch = self._next_batch(records, min(max_records, self._BATCH))
            self._taken += len(batch)
            if batch:
                intake.push_records(batch)
            return bool(batch)

        return step

    def _next_batch(self, records: Iterator[Any], most: int) -> list[Any]:
        if hasattr(self._records, "__len__"):
            return list(islice(records, most))
        batch: list[Any] = []
        until = time.monotonic() + self._PATIENCE_SECONDS
        for record in islice(records, most):
            batch.append(record)
            if time.monotonic() >= until:
                break
        return batch

    def position(self) -> Any:
        """How many records were taken."""
        return self._taken

    def seek(self, position: Any) -> None:
        """The iterable has to yield the same records again, from the first one on."""
        self._start = position

    def progress(self) -> float | None:
        total = len(self._records) if isinstance(self._records, Sized) else 0
        return self._taken / total if total else None

    def __str__(self) -> str:
        return f"IterableSource({type(self._records).__name__})"


class GeneratorSource(Source):
    """Synthetic FeedbackEvents in the order of their arrival: slightly out of order, some late, some malformed.

    The same settings always give the same events; they go through the JSON decoder like those of a file.

    >>> from llmopt_stream import create_pipeline
    >>> pipeline = (create_pipeline().with_source(GeneratorSource(seed=7, events=1_000))
    ...             .with_tumbling_window("1m").aggregate("data.latency_ms", ["p95"]).build())
    >>> pipeline.run().records_in
    1000
    """

    def __init__(
        self,
        *,
        seed: int = 42,
        events: int = 1_000_000,
        start: Time = "2026-01-01T00:00:00Z",
        events_per_second: float | None = None,
        models: Sequence[str] | None = None,
        regions: Sequence[str] | None = None,
        tenants: int | None = None,
        max_disorder: Duration = "5s",
        late_share: float = 0.002,
        malformed_share: float = 0.001,
    ) -> None:
        for name, number in (("seed", seed), ("events", events)):
            if type(number) is not int or not 0 <= number < 2**64:
                raise ConfigurationError(
                    f"GeneratorSource: {name}: {number!r} must be an integer from 0 to 2^64 - 1"
                )
        self._events = events
        self._settings: dict[str, Any] = {
            "seed": seed,
            "events": events,
            "start": time_micros(start, "GeneratorSource: start"),
            "max_disorder": duration_micros(max_disorder, "GeneratorSource: max_disorder"),
            "late_share": late_share,
            "malformed_share": malformed_share,
        }
        optional = {
            "events_per_second": events_per_second,
            "models": None if models is None else list(models),
            "regions": None if regions is None else list(regions),
            "tenants": tenants,
        }
        self._settings |= {name: value for name, value in optional.items() if value is not None}
        self._generator = self._new_generator()  # checks the settings
        self._reader: _core.NdjsonReader | None = None
        self._start = 0

    def _new_generator(self) -> _core.FeedbackGenerator:
        try:
            return _core.FeedbackGenerator(**self._settings)
        except TypeError as error:
            raise ConfigurationError(f"GeneratorSource: {error}") from error

    def open(self, intake: Intake) -> Step:
        self._generator = self._new_generator()
        self._reader = _core.NdjsonReader.of(self._generator.next_chunk)
        start, self._start = self._start, 0
        self._reader.seek(start)
        return intake.ndjson(self._reader)

    def position(self) -> Any:
        """The offset of the next event in the text of all of them."""
        return 0 if self._reader is None else self._reader.offset

    def seek(self, position: Any) -> None:
        """Generates what comes before it once more."""
        self._start = position

    @property
    def counts(self) -> dict[str, Any]:
        """What has been generated so far: records, late, malformed by kind, bytes."""
        return self._generator.counts()

    def progress(self) -> float | None:
        return self.counts["records"] / self._events if self._events else None

    def __str__(self) -> str:
        return f"GeneratorSource(seed={self._settings['seed']}, events={self._events:_})"


def _check_not_columns(data: Any, setting: str) -> None:
    if isinstance(data, Mapping):
        raise ConfigurationError(
            f"{setting}: a {type(data).__name__} is not a list of records; expected e.g. [{{...}}], or for columns "
            "pandas.DataFrame(data), polars.DataFrame(data) or pyarrow.table(data)"
        )


def source_of(data: Any) -> Source:
    """The source for whatever a notebook has at hand."""
    if isinstance(data, Source):
        return data
    if isinstance(data, str | os.PathLike):
        return FileSource(data)
    if hasattr(data, "__arrow_c_stream__"):
        return ArrowSource(data)
    _check_not_columns(data, "data")
    if isinstance(data, Iterable):
        return IterableSource(data)
    raise ConfigurationError(
        f"data: {type(data).__name__} is not a source; expected a path, a list of records or anything with __arrow_c_stream__"
    )
