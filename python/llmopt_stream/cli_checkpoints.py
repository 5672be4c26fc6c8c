"""`llmopt-stream checkpoints`: what is in a checkpoint directory, in use or not, and copies of it in one file."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import _core
from .cli_commands import add_command
from .errors import CheckpointError, ConfigurationError
from .exported_checkpoint import checkpoint_folder, export_checkpoint, restore_checkpoint
from .units import to_datetime

__all__ = ["add_checkpoints"]

_DESCRIPTION = """\
Look at the checkpoints of a pipeline, and move them. DIR is the checkpoint_path of its
RocksDBStateBackend. list, verify and export only read, and need no pause: a pipeline may run
with that directory meanwhile.
"""

_EXAMPLES = """\
examples:
  llmopt-stream checkpoints list /var/lib/latency/checkpoints
  llmopt-stream checkpoints verify /var/lib/latency/checkpoints
  llmopt-stream checkpoints export /var/lib/latency/checkpoints latency.checkpoint
  llmopt-stream checkpoints restore latency.checkpoint /var/lib/latency-2

exit codes: 0 done, 1 something is damaged or failed, 2 wrong settings
"""

_LIST = """\
One line for each checkpoint, the newest last: when it was taken, the size of its files, and of
which pipeline it is, how many records had been read and where the watermark was. "whole" and
"damaged" are what manifests and sizes of files show; `verify` reads every byte.
"""

_LIST_EXAMPLES = """\
examples:
  llmopt-stream checkpoints list /var/lib/latency/checkpoints
  llmopt-stream checkpoints list /var/lib/latency/checkpoints --json
"""

_VERIFY = """\
Read every byte of each checkpoint, or of one, and compare with the checksums of when it was
taken. A line for each damaged file follows. The exit code is 1 if anything is damaged.
"""

_VERIFY_EXAMPLES = """\
examples:
  llmopt-stream checkpoints verify /var/lib/latency/checkpoints
  llmopt-stream checkpoints verify /var/lib/latency/checkpoints --id 12
"""

_EXPORT = """\
Write a checkpoint to one new file, after reading every byte of it: a backup, or a way to another
machine. Without --id it is the newest one that is whole. The file has checksums of its own, and
appears when all of it is on the disk. It holds state and positions, not the files of sources
and sinks.
"""

_EXPORT_EXAMPLES = """\
examples:
  llmopt-stream checkpoints export /var/lib/latency/checkpoints latency.checkpoint
  llmopt-stream checkpoints export /var/lib/latency/checkpoints latency.checkpoint --id 12
"""

_RESTORE = """\
Make the directories DIR/state and DIR/checkpoints of an exported checkpoint, for
RocksDBStateBackend("DIR/state", "DIR/checkpoints"). DIR has to be empty or not there; nothing
is ever replaced, and nothing is made unless every byte of FILE is as it was written.
"""

_RESTORE_EXAMPLES = """\
examples:
  llmopt-stream checkpoints restore latency.checkpoint /var/lib/latency-2
"""

_MOST_ATTEMPTS = 3


def add_checkpoints(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to those of `llmopt-stream`."""
    command = add_command(
        commands,
        "checkpoints",
        None,
        summary="list, verify, export and restore checkpoints",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    actions = command.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    listing = add_command(
        actions, "list", _list, summary="what there is", description=_LIST, examples=_LIST_EXAMPLES
    )
    _add_directory(listing)
    listing.add_argument("--json", action="store_true", help="print it as JSON")

    verify = add_command(
        actions,
        "verify",
        _verify,
        summary="read every byte of it",
        description=_VERIFY,
        examples=_VERIFY_EXAMPLES,
    )
    _add_directory(verify)
    _add_id(verify, "only this one")

    export = add_command(
        actions,
        "export",
        _export,
        summary="copy one to a file",
        description=_EXPORT,
        examples=_EXPORT_EXAMPLES,
    )
    _add_directory(export)
    export.add_argument("file", type=Path, metavar="FILE", help="the file to write, which must not be there")
    _add_id(export, "this one (default: the newest that is whole)")

    restore = add_command(
        actions,
        "restore",
        _restore,
        summary="make directories from a file",
        description=_RESTORE,
        examples=_RESTORE_EXAMPLES,
    )
    restore.add_argument("file", type=Path, metavar="FILE", help="an exported checkpoint")
    restore.add_argument("directory", type=Path, metavar="DIR", help="the directory to make")


def _add_directory(command: argparse.ArgumentParser) -> None:
    command.add_argument("directory", type=Path, metavar="DIR", help="the directory of the checkpoints")


def _add_id(command: argparse.ArgumentParser, meaning: str) -> None:
    command.add_argument("--id", type=_id, metavar="N", help=meaning)


def _id(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a checkpoint, an integer of at least 0")
    return number


@dataclass(frozen=True)
class _Row:
    """A checkpoint as it is listed; None where it does not say."""

    id: int
    created: str | None
    bytes: int
    pipeline: str | None
    watermark: str | None
    records: int | None
    damage: str | None

    @classmethod
    def of_core(cls, row: tuple[int, int, int, Any, str]) -> _Row:
        number, created, size, manifest, damage = row
        pipeline, watermark, records = _said_by(manifest)
        return cls(
            id=number,
            created=_text(created, "milliseconds") if created else None,
            bytes=size,
            pipeline=pipeline,
            watermark=None if watermark is None else _text(watermark),
            records=records,
            damage=damage or None,
        )

    def cells(self) -> tuple[str, ...]:
        state = "whole" if self.damage is None else f"damaged: {self.damage}"
        known = (self.created, f"{self.bytes:,}", _number(self.records), self.watermark, self.pipeline)
        return (str(self.id), *("-" if each is None else each for each in known), state)


def _said_by(manifest: bytes) -> tuple[str | None, int | None, int | None]:
    """Pipeline, watermark and records. Those who use a backend alone may have written anything else."""
    nothing = None, None, None
    try:
        said = json.loads(manifest)
        pipeline, watermark, records = said["pipeline"], said["watermark"], said["counts"]["records_in"]
    except (ValueError, LookupError, TypeError):
        return nothing
    are_numbers = type(records) is int and (watermark is None or type(watermark) is int)
    return (pipeline, watermark, records) if isinstance(pipeline, str) and are_numbers else nothing


def _text(micros: int, precision: str = "auto") -> str:
    return to_datetime(micros).isoformat(timespec=precision).replace("+00:00", "Z")


def _number(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _rows(directory: Path) -> list[_Row]:
    """Ascending. One that is discarded meanwhile is left out."""
    _require_checkpoints(directory)
    rows = [_Row.of_core(row) for row in _core.list_checkpoints(str(directory))]
    return [row for row in rows if row.damage is None or _is_there(directory, row.id)]


def _is_there(directory: Path, checkpoint_id: int) -> bool:
    return checkpoint_folder(directory, checkpoint_id).exists()


def _require_checkpoints(directory: Path) -> None:
    if not directory.is_dir():
        raise ConfigurationError(f"{directory}: there is no such directory")
    marker = "LLMOPT_STREAM_STATE"
    if (directory / "checkpoints" / marker).exists():
        raise ConfigurationError(
            f"{directory}: it holds no checkpoints itself; expected {directory / 'checkpoints'}"
        )
    if not (directory / marker).exists() or (directory / "live").exists():
        raise ConfigurationError(
            f"{directory}: it is not a directory of checkpoints; expected the checkpoint_path of a RocksDBStateBackend"
        )


def _chosen(directory: Path, checkpoint_id: int | None) -> list[_Row]:
    rows = _rows(directory)
    chosen = [row for row in rows if checkpoint_id in (None, row.id)]
    if checkpoint_id is not None and not chosen:
        there = f"there are {', '.join(str(row.id) for row in rows)}" if rows else "there are none"
        raise ConfigurationError(f"--id: {directory} has no checkpoint {checkpoint_id}; {there}")
    return chosen


def _list(arguments: argparse.Namespace) -> int:
    rows = _rows(arguments.directory)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    elif not rows:
        print(f"{arguments.directory}: no checkpoints")
    else:
        print(_table([row.cells() for row in rows]))
    return 0


def _table(rows: list[tuple[str, ...]]) -> str:
    """Numbers to the right."""
    header = ("id", "taken", "bytes", "records", "watermark", "pipeline", "state")
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if name in ("id", "bytes", "records") else cell.ljust(width)
            for name, cell, width in zip(header, row, widths, strict=True)
        ).rstrip()
        for row in (header, *rows)
    )


def _verify(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory
    rows = _chosen(directory, arguments.id)
    if not rows:
        print(f"{directory}: no checkpoints")
    any_damaged = False
    for row in rows:
        try:
            damages = _core.verify_checkpoint(str(directory), row.id)
        except CheckpointError as error:
            damages = [str(error)]
        if damages and not _is_there(directory, row.id):
            print(f"checkpoint {row.id}: discarded meanwhile")
            continue
        any_damaged = any_damaged or bool(damages)
        print(f"checkpoint {row.id}: {'damaged' if damages else f'whole, {row.bytes:,} bytes'}")
        for damage in damages:
            print(f"  {damage}")
    return int(any_damaged)


def _export(arguments: argparse.Namespace) -> int:
    for _ in range(_MOST_ATTEMPTS):
        exported = _export_newest(arguments.directory, arguments.file, arguments.id)
        if exported is not None:
            of = "" if exported.pipeline is None else f" of {exported.pipeline!r}"
            size = arguments.file.stat().st_size
            print(f"checkpoint {exported.id}{of} exported to {arguments.file}: {size:,} bytes")
            return 0
    raise CheckpointError(
        f"{arguments.directory}: checkpoints are discarded before they are read; keep more: with_checkpoints(keep=…)"
    )


def _export_newest(directory: Path, file: Path, checkpoint_id: int | None) -> _Row | None:
    """What was exported; None if it was discarded meanwhile."""
    rows = _chosen(directory, checkpoint_id)
    for row in reversed(rows):
        try:
            return row if export_checkpoint(directory, row.id, file) else None
        except CheckpointError as error:
            if checkpoint_id is not None:
                raise
            print(f"llmopt-stream checkpoints: {error}; the one before is tried", file=sys.stderr)
    raise CheckpointError(f"{directory}: there is no checkpoint {'that is whole' if rows else 'to export'}")


def _restore(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.directory
    checkpoint_id = restore_checkpoint(arguments.file, directory)
    print(f"checkpoint {checkpoint_id} restored to {directory}/state and {directory}/checkpoints")
    return 0
