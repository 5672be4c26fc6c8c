"""Sinks that write a file, which appears as a whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import uuid
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from ._optional import needs
from .error_policy import ErrorEvent
from .errors import CheckpointError, ConfigurationError, PipelineError
from .events import ProcessorEvent
from .operators.fields import as_mapping
from .results import ResultTable
from .sinks import Batch, Sink
from .watermarks import LateEvent

__all__ = ["NdjsonSink", "ParquetSink"]

_BLOCK = 1 << 20


class FileSink(Sink):
    """Writes under a temporary name beside the file, and renames it in the end.

    A reader sees the old file or the whole new one. A run that fails leaves the old one. Where a run goes on from
    a checkpoint, so does the file: results that came after the checkpoint are not in it twice.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        if self._path.is_dir():
            raise ConfigurationError(
                f"{type(self).__name__}: path {str(path)!r} is a directory; expected a file"
            )
        self._temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")
        self._file: BinaryIO | None = None
        self._is_resumable = False

    def open(self) -> None:
        """Begins a new file."""
        self._is_resumable = False
        self._begin()

    def _begin(self, mode: str = "wb") -> None:
        try:
            self._file = cast("BinaryIO", self._temporary.open(mode))
        except OSError as error:
            raise ConfigurationError(
                f"{type(self).__name__}: path {str(self._path)!r}: {error.strerror}"
            ) from error

    def close(self) -> None:
        """Puts the file in its place."""
        if self._file is None:
            return
        try:
            self.finish(self._file)
            self._to_disk(self._file)
            self._file.close()
            self._temporary.replace(self._path)
            self._file = None
        finally:
            self.abort()

    @staticmethod
    def _to_disk(file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())

    def abort(self) -> None:
        """Leaves what was there before; of what a checkpoint refers to, the temporary file as well."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self._is_resumable:
                self._temporary.unlink(missing_ok=True)

    def finish(self, file: BinaryIO) -> None:
        """Writes what is still to be written."""

    @property
    def file(self) -> BinaryIO:
        """The file that is being written."""
        if self._file is None:
            raise PipelineError(f"{type(self).__name__}: path {str(self._path)!r} is not open")
        return self._file

    def __str__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"


class NdjsonSink(FileSink):
    """Writes one line of JSON per result, late event or error to a file, which it replaces."""

    def open(self) -> None:
        """Begins a new file."""
        super().open()
        self._bytes, self._checksum = 0, 0

    def send_batch(self, table: Batch) -> None:
        """Writes the results of a batch."""
        lines = "".join(f"{result.to_json()}\n" for result in table).encode()
        self.file.write(lines)
        self._bytes += len(lines)
        self._checksum = zlib.crc32(lines, self._checksum)

    def flush(self) -> None:
        """Brings all lines to the disk."""
        self._to_disk(self.file)
        self._is_resumable = True

    def position(self) -> Any:
        """Which file, how long it is, and what is in it."""
        return {"file": self._temporary.name, "bytes": self._bytes, "crc32": self._checksum}

    def resume(self, position: Any) -> None:
        """Goes on with the file as it was, without the lines that came later."""
        size, checksum = position["bytes"], position["crc32"]
        # The run may have put the file in its place after the checkpoint.
        for path in (self._path.with_name(position["file"]), self._path):
            if _checksum_of(path, size) == checksum:
                break
        else:
            raise CheckpointError(
                f"{self}: the {size} bytes of results of before the checkpoint are not there whole"
            )
        if path == self._path:
            shutil.copyfile(path, self._temporary)
        else:
            self._temporary = path
        self._begin("r+b")
        self._is_resumable = True
        self._bytes, self._checksum = size, checksum
        self.file.truncate(size)
        self.file.seek(size)


def _checksum_of(path: Path, size: int) -> int | None:
    """Of so many bytes at the beginning of a file; None where there are fewer."""
    checksum = 0
    try:
        with path.open("rb") as file:
            while size > 0 and (block := file.read(min(size, _BLOCK))):
                checksum = zlib.crc32(block, checksum)
                size -= len(block)
    except FileNotFoundError:
        return None
    return None if size else checksum


_ID = b"llmopt_stream.sink"
"""In the metadata of a Parquet file: which sink's rows they are."""


def _first_rows(source: Any, rows: int) -> Iterator[Any]:
    """Of a Parquet file, row group by row group."""
    for group in range(source.num_row_groups):
        if rows == 0:
            return
        table = source.read_row_group(group)
        yield table.slice(0, rows)
        rows -= min(rows, table.num_rows)


class ParquetSink(FileSink):
    """Writes results as a table, with the columns of ResultTable, to a file, which it replaces (extra `[arrow]`).

    Records have the columns `timestamp`, `key` (as JSON) and `data`, a struct of their fields.
    Late events have the columns `event` and `key` (as JSON), `watermark`, `lateness` and `position`; errors those
    of an ErrorEvent, with `key`, `windows` and `value` as JSON. Without any result the file has no columns.
    """

    _ROWS = 65_536

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._pyarrow = needs("pyarrow", "arrow")
        self._pending: ResultTable | list[Any] | None = None
        self._writer: Any = None
        self._parts: list[Path] = []
        self._obsolete_parts: list[Path] = []
        self._id = ""
        self._rows = 0

    def open(self) -> None:
        """Begins a new file."""
        self._forget(uuid.uuid4().hex)
        super().open()

    def _forget(self, own_id: str) -> None:
        """Everything but the id, which temporary files carry in their names, and the file itself within."""
        self._id = own_id
        self._temporary = self._path.with_name(f".{self._path.name}.{own_id}.tmp")
        self._pending, self._writer, self._parts, self._rows = None, None, [], 0

    def flush(self) -> None:
        """Brings what there is to the disk, as a part of the file to be."""
        self._write()
        self._is_resumable = True
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        self._to_disk(self.file)
        self.file.close()
        part = self._part(len(self._parts))
        self._temporary.replace(part)
        self._parts.append(part)
        self._begin()

    def _part(self, number: int) -> Path:
        return self._path.with_name(f".{self._path.name}.{self._id}.{number}.tmp")

    def position(self) -> Any:
        """Which file, the number of its parts so far, and of their rows."""
        return {"id": self._id, "parts": len(self._parts), "rows": self._rows}

    def resume(self, position: Any) -> None:
        """Goes on behind the rows that there were."""
        rows = position["rows"]
        self._forget(position["id"])
        if rows:
            parts = [self._part(number) for number in range(position["parts"])]
            if not parts or not all(part.exists() for part in parts):
                # The run has put the file in its place after the checkpoint.
                parts = [self._first_part(rows)]
            self._parts, self._rows = parts, rows
        # What came after the checkpoint comes again.
        for path in self._path.parent.glob(f".{glob.escape(self._path.name)}.{self._id}.*"):
            if path not in self._parts:
                path.unlink()
        self._begin()
        self._is_resumable = True

    def _first_part(self, rows: int) -> Path:
        """The first rows of the file that is in its place, as a part."""
        parquet = needs("pyarrow.parquet", "arrow")
        part = self._part(0)
        try:
            with parquet.ParquetFile(self._path) as source:
                schema = source.schema_arrow
                if (schema.metadata or {}).get(_ID) == self._id.encode() and source.metadata.num_rows >= rows:
                    with parquet.ParquetWriter(self._temporary, schema) as writer:
                        for table in _first_rows(source, rows):
                            writer.write_table(table)
                    with self._temporary.open("r+b") as file:
                        self._to_disk(file)
                    self._temporary.replace(part)
                    return part
        except (FileNotFoundError, self._pyarrow.ArrowException):
            pass  # it is not the file
        raise CheckpointError(
            f"{self}: the {rows} rows of results of before the checkpoint are not there whole"
        )

    def send_batch(self, table: Batch) -> None:
        """Keeps the results of a batch until there are enough for a row group."""
        if isinstance(table, ResultTable):
            if self._pending is None:
                self._pending = table.copy()
            elif isinstance(self._pending, ResultTable):
                self._pending.extend(table)
            else:
                raise self._mixed()
        elif self._pending is None:
            self._pending = list(table)
        elif isinstance(self._pending, list):
            self._pending.extend(table)
        else:
            raise self._mixed()
        if len(self._pending) >= self._ROWS:
            self._write()

    def _join_parts(self, file: BinaryIO) -> None:
        parquet = needs("pyarrow.parquet", "arrow")
        if self._writer is not None:
            self.flush()
            file = self.file
        with contextlib.ExitStack() as opened:
            sources = [opened.enter_context(parquet.ParquetFile(part)) for part in self._parts]
            try:
                schema = self._pyarrow.unify_schemas(
                    [source.schema_arrow for source in sources], promote_options="permissive"
                )
                writer = opened.enter_context(parquet.ParquetWriter(file, schema))
                for source in sources:
                    for group in range(source.num_row_groups):
                        writer.write_table(source.read_row_group(group).cast(schema))
            except (self._pyarrow.ArrowInvalid, self._pyarrow.ArrowTypeError) as error:
                raise PipelineError(f"{self}: a column changed its type: {error}") from error
        self._obsolete_parts, self._parts = self._parts, []

    def close(self) -> None:
        """Puts the file in its place."""
        super().close()
        for part in self._obsolete_parts:
            part.unlink(missing_ok=True)
        self._obsolete_parts = []

    def _mixed(self) -> PipelineError:
        return PipelineError(f"{self}: one table cannot hold results and events; give each a sink of its own")

    def _write(self) -> None:
        pending = self._pending
        if pending is None or len(pending) == 0:
            return
        table = pending.to_arrow() if isinstance(pending, ResultTable) else self._event_table(pending)
        self._pending = None if isinstance(pending, ResultTable) else []
        if self._writer is None:
            schema = table.schema.with_metadata({_ID: self._id.encode()})
            self._writer = needs("pyarrow.parquet", "arrow").ParquetWriter(self.file, schema)
        self._rows += table.num_rows
        try:
            # A column of keys, or of a user's results, has the type that its values so far need.
            self._writer.write_table(table.cast(self._writer.schema))
        except self._pyarrow.ArrowInvalid as error:
            raise PipelineError(f"{self}: a column changed its type: {error}") from error

    def _event_table(self, events: Sequence[Any]) -> Any:
        if isinstance(events[0], ProcessorEvent):
            return self._record_table(events)
        if not isinstance(events[0], ErrorEvent):
            return self._late_table(events)
        dicts = [event.to_dict() for event in events]
        as_json = {
            name: [json.dumps(each[name], ensure_ascii=False, default=str) for each in dicts]
            for name in ("key", "windows", "value")
        }
        columns = {name: as_json.get(name) or [each[name] for each in dicts] for name in dicts[0]}
        return self._pyarrow.table(
            {**columns, "position": self._pyarrow.array(columns["position"], self._pyarrow.int64())}
        )

    def _record_table(self, events: Sequence[ProcessorEvent]) -> Any:
        pyarrow = self._pyarrow
        return pyarrow.table(
            {
                "timestamp": pyarrow.array(
                    [event.timestamp for event in events], pyarrow.timestamp("us", "UTC")
                ),
                "key": [json.dumps(event.to_dict()["key"], ensure_ascii=False) for event in events],
                "data": [as_mapping(event.data) for event in events],
            }
        )

    def _late_table(self, events: Sequence[LateEvent]) -> Any:
        pyarrow = self._pyarrow
        dicts = [event.to_dict() for event in events]
        return pyarrow.table(
            {
                "event": [json.dumps(each["event"], ensure_ascii=False) for each in dicts],
                "key": [json.dumps(each["key"], ensure_ascii=False) for each in dicts],
                "watermark": pyarrow.array(
                    [int(event.watermark) for event in events], pyarrow.timestamp("us", "UTC")
                ),
                "lateness": pyarrow.array([event.lateness for event in events], pyarrow.duration("us")),
                "position": [event.position for event in events],
            }
        )

    def abort(self) -> None:
        """Leaves what was there before."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        super().abort()

    def finish(self, file: BinaryIO) -> None:
        """Writes the last row group and the file's end, behind the rows of all parts."""
        self._write()
        if self._parts:
            self._join_parts(file)
            return
        if self._writer is None:
            needs("pyarrow.parquet", "arrow").write_table(self._pyarrow.table({}), file)
        else:
            self._writer.close()
            self._writer = None
