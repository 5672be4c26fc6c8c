"""Files that pyarrow reads: CSV, Parquet and Arrow, as batches with progress."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ._optional import needs
from .errors import ConfigurationError, PipelineError

if TYPE_CHECKING:
    from .intake import Intake, Step

__all__ = ["FileFormat", "TableFile", "format_of", "rows_since", "size_of", "without_rows"]


class FileFormat(Enum):
    """What FileSource reads."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"
    ARROW = "arrow"


_EXTENSIONS = {
    ".ndjson": FileFormat.NDJSON,
    ".jsonl": FileFormat.NDJSON,
    ".json": FileFormat.NDJSON,
    ".csv": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
    ".arrow": FileFormat.ARROW,
    ".arrows": FileFormat.ARROW,
    ".feather": FileFormat.ARROW,
    ".ipc": FileFormat.ARROW,
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_EXPECTED = (
    "expected format='ndjson' (.ndjson, .jsonl, .json), 'csv' (.csv), 'parquet' (.parquet) or "
    "'arrow' (.arrow, .feather, .ipc); ndjson and csv also with .gz or .zst"
)


def size_of(path: str) -> int:
    """The file's size, 0 where it is unknown; ConfigurationError if the file cannot be opened."""
    if path == "-":
        return 0
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, "")
        if not stat.S_ISREG(status.st_mode):
            return 0  # opening a pipe twice would lose what is in it
        Path(path).open("rb").close()
        return status.st_size
    except OSError as error:
        raise ConfigurationError(f"FileSource: path {path!r}: {os.strerror(error.errno or 0)}") from error


def format_of(path: str, given: str | None) -> FileFormat:
    """The format that is given, or that the extension tells.

    >>> format_of("logs/events.ndjson.gz", None)
    <FileFormat.NDJSON: 'ndjson'>
    """
    compressed = path.endswith(tuple(_COMPRESSIONS))
    name = str(PurePath(path).with_suffix("")) if compressed else path
    suffix = PurePath(name).suffix
    if given is not None:
        if given not in {each.value for each in FileFormat}:
            raise ConfigurationError(f"FileSource: format {given!r} is not known; {_EXPECTED}")
        found: FileFormat | None = FileFormat(given)
    else:
        found = FileFormat.NDJSON if path == "-" else _EXTENSIONS.get(suffix)
    if found is None:
        raise ConfigurationError(
            f"FileSource: the extension {suffix!r} of path {path!r} is not known; {_EXPECTED}"
        )
    if found in {FileFormat.PARQUET, FileFormat.ARROW} and (compressed or path == "-"):
        raise ConfigurationError(
            f"FileSource: path {path!r}: a file of format {found.value!r} can be neither compressed as a whole "
            "nor read from standard input"
        )
    return found


class TableFile:
    """One file, opened; `fields` are what is needed of it, None for everything."""

    def __init__(self, path: str, format: FileFormat, fields: Sequence[str] | None) -> None:
        self._pyarrow = needs("pyarrow", "arrow")
        self.path = path
        self._format = format
        self._fields = fields
        self._rows: Callable[[], int] = lambda: 0
        self.bytes_read = 0
        self.total_bytes = size_of(path)

    @property
    def at(self) -> int:
        """How many rows were taken."""
        return self._rows()

    def steps(self, intake: Intake, start: int) -> Step:
        """Takes the file's records from row `start` on."""
        self._rows = rows_since(intake, start)
        return intake.steps(without_rows(self.batches(), start))

    def batches(self) -> Iterator[Any]:
        """The file's record batches, in order."""
        read = {FileFormat.CSV: self._csv, FileFormat.PARQUET: self._parquet, FileFormat.ARROW: self._arrow}
        try:
            yield from read[self._format]()
        except (self._pyarrow.ArrowException, OSError) as error:
            raise PipelineError(f"FileSource: path {self.path!r}: {error}") from error
        self.bytes_read = self.total_bytes

    def _csv(self) -> Iterator[Any]:
        csv = needs("pyarrow.csv", "arrow")
        file = sys.stdin.buffer if self.path == "-" else Path(self.path).open("rb")  # noqa: SIM115
        try:
            compression = _COMPRESSIONS.get(PurePath(self.path).suffix)
            stream = self._pyarrow.PythonFile(file, mode="r")
            if compression is not None:
                stream = self._pyarrow.CompressedInputStream(stream, compression)
            for batch in csv.open_csv(stream):
                if self.path != "-":
                    self.bytes_read = file.tell()
                yield batch
        finally:
            if self.path != "-":
                file.close()

    def _parquet(self) -> Iterator[Any]:
        with needs("pyarrow.parquet", "arrow").ParquetFile(self.path) as file:
            rows = 0
            for batch in file.iter_batches(columns=self._columns(file.schema_arrow.names)):
                rows += batch.num_rows
                self.bytes_read = self.total_bytes * rows // max(1, file.metadata.num_rows)
                yield batch

    def _columns(self, names: Sequence[str]) -> list[str] | None:
        """The columns that fields lie in: of that name, or structs above them. Fields that are not
        there are left to the core, which names them.
        """
        if self._fields is None:
            return None
        return [name for name in names if any(f"{field}.".startswith(f"{name}.") for field in self._fields)]

    def _arrow(self) -> Iterator[Any]:
        ipc = needs("pyarrow.ipc", "arrow")
        with self._pyarrow.memory_map(self.path) as mapped:
            if self.total_bytes >= 6 and mapped.read_at(6, 0) == b"ARROW1":
                file = ipc.open_file(mapped)
                for index in range(file.num_record_batches):
                    self.bytes_read = self.total_bytes * (index + 1) // file.num_record_batches
                    yield file.get_batch(index)
            else:
                for batch in ipc.open_stream(mapped):
                    self.bytes_read = mapped.tell()
                    yield batch


def rows_since(intake: Intake, start: int) -> Callable[[], int]:
    """Says how many rows of a source were taken, if it is at row `start` now."""
    before = intake.records_in
    return lambda: start + intake.records_in - before


def without_rows(batches: Iterator[Any], rows: int) -> Iterator[Any]:
    """Tables, lists of records or Arrow streams, without their first rows.

    >>> list(without_rows(iter([[{"n": 1}], [{"n": 2}, {"n": 3}]]), 2))
    [[{'n': 3}]]
    """
    if rows == 0:
        yield from batches
        return
    for batch in batches:
        if rows == 0:
            yield batch
        elif isinstance(batch, list):
            if len(batch) > rows:
                yield batch[rows:]
            rows -= min(rows, len(batch))
        else:
            for part in needs("pyarrow", "arrow").RecordBatchReader.from_stream(batch):
                if part.num_rows > rows:
                    yield part.slice(rows)
                rows -= min(rows, part.num_rows)
