"""A checkpoint in one file: a backup, or the way to another machine.

The file is magic, format version and length of the header; the header, JSON with the id and with name and size of
each file; SHA-256 of all that; the files, one after another; SHA-256 of everything before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from . import _core
from .errors import CheckpointError, ConfigurationError
from .state import RocksDBStateBackend

__all__ = ["checkpoint_folder", "export_checkpoint", "restore_checkpoint"]

_MAGIC = b"LSCHECKP"
_VERSION = 1
_START = struct.Struct("<8sII")
_LONGEST_HEADER = 16 << 20
_DIGEST_BYTES = hashlib.sha256().digest_size
_CHUNK = 1 << 20


def checkpoint_folder(directory: Path, checkpoint_id: int) -> Path:
    """Where a backend's checkpoint is once it is whole."""
    return directory / f"checkpoint-{checkpoint_id:020}"


def export_checkpoint(directory: Path, checkpoint_id: int, file: Path) -> bool:
    """Writes a checkpoint to a new file, which appears as a whole; False if it was discarded meanwhile.

    The directory may be in use. A damaged checkpoint is a CheckpointError.
    """
    if file.exists():
        raise ConfigurationError(f"{file}: it is there already, and is not replaced; name a new file")
    folder = checkpoint_folder(directory, checkpoint_id)
    with contextlib.ExitStack() as opened:
        try:
            # Once they are open, files can be read to their end whoever discards them.
            parts = _open_parts(folder, opened)
            damages = _core.verify_checkpoint(str(directory), checkpoint_id)
        except (FileNotFoundError, CheckpointError):
            if folder.exists():
                raise
            return False
        if damages:
            if not folder.exists():
                return False
            raise CheckpointError(f"checkpoint {checkpoint_id} is damaged: {'; '.join(damages)}")
        with _appearing(file) as out:
            _write(out, checkpoint_id, parts)
    return True


def _open_parts(folder: Path, opened: contextlib.ExitStack) -> dict[str, BinaryIO]:
    def no_links(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW)

    return {
        path.name: opened.enter_context(open(path, "rb", opener=no_links))
        for path in sorted(folder.iterdir())
    }


@contextlib.contextmanager
def _appearing(file: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when all of it is on the disk, for its owner alone."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(file)
        _sync(file.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(out: BinaryIO, checkpoint_id: int, parts: dict[str, BinaryIO]) -> None:
    sizes = {name: os.fstat(part.fileno()).st_size for name, part in parts.items()}
    header = json.dumps({"id": checkpoint_id, "files": sizes}).encode()
    start = _START.pack(_MAGIC, _VERSION, len(header)) + header
    start += hashlib.sha256(start).digest()
    digest = hashlib.sha256(start)
    out.write(start)
    for name, part in parts.items():
        for chunk in _chunks(part, sizes[name]):
            digest.update(chunk)
            out.write(chunk)
    out.write(digest.digest())


def _chunks(file: BinaryIO, size: int) -> Iterator[bytes]:
    while size and (chunk := file.read(min(size, _CHUNK))):
        size -= len(chunk)
        yield chunk


def restore_checkpoint(file: Path, directory: Path) -> int:
    """Makes `state` and `checkpoints` in a directory that is empty or not there, from a file of export_checkpoint();
    the id of the checkpoint.

    Nothing is made unless the file is whole.
    """
    try:
        opened = file.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error
    with opened:
        exported = _Exported.of(opened, file)
        exported.check(opened)
        with (
            _new_folders(directory) as (state, checkpoints),
            RocksDBStateBackend(state, checkpoints) as backend,
        ):
            exported.unpack(opened, checkpoints)
            backend.restore(exported.id)
    return exported.id


@contextlib.contextmanager
def _new_folders(directory: Path) -> Iterator[tuple[Path, Path]]:
    """Not there yet; what was made of them is removed where something fails."""
    if directory.exists() and not directory.is_dir():
        raise ConfigurationError(f"{directory}: it is not a directory")
    was_there = directory.exists()
    if was_there and any(path.name != "lost+found" for path in directory.iterdir()):
        raise ConfigurationError(
            f"{directory}: it is not empty, and nothing is replaced; name a new directory"
        )
    folders = directory / "state", directory / "checkpoints"
    try:
        yield folders
    except BaseException:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        if not was_there:
            with contextlib.suppress(OSError):
                directory.rmdir()
        raise


@dataclass(frozen=True)
class _Exported:
    """What the header of a file says, once it agrees with its own checksum and the size of the file."""

    path: Path
    id: int
    files: dict[str, int]
    """Sizes by name."""
    start: bytes
    """All bytes before those of the files."""

    @classmethod
    def of(cls, file: BinaryIO, path: Path) -> _Exported:
        start = file.read(_START.size)
        if not start.startswith(_MAGIC):
            raise ConfigurationError(f"{path}: it is not an exported checkpoint")
        if len(start) < _START.size:
            raise _damage(path, "it was cut short")
        _, version, length = _START.unpack(start)
        if version != _VERSION:
            raise CheckpointError(f"{path}: format version {version} is not one this release reads")
        if length > _LONGEST_HEADER:
            raise _damage(path, "its header was altered")
        header, digest = file.read(length), file.read(_DIGEST_BYTES)
        if len(digest) < _DIGEST_BYTES:
            raise _damage(path, "it was cut short")
        if digest != hashlib.sha256(start + header).digest():
            raise _damage(path, "its header was altered")
        exported = cls(path, *_content_of(header, path), start + header + digest)
        expected = len(exported.start) + sum(exported.files.values()) + _DIGEST_BYTES
        if (found := os.fstat(file.fileno()).st_size) != expected:
            raise _damage(path, f"it has {found:,} bytes instead of {expected:,}")
        return exported

    def check(self, file: BinaryIO) -> None:
        """Reads every byte."""
        digest = hashlib.sha256(self.start)
        file.seek(len(self.start))
        for size in self.files.values():
            for chunk in _chunks(file, size):
                digest.update(chunk)
        if file.read() != digest.digest():
            raise _damage(self.path, "its checksum is wrong; it was altered")

    def unpack(self, file: BinaryIO, checkpoints: Path) -> None:
        """1. Brings the files to the disk. 2. Gives them the name of a checkpoint."""
        # 1.
        unfinished = checkpoints / f"unfinished-{self.id:020}"
        unfinished.mkdir(mode=0o700)
        file.seek(len(self.start))
        for name, size in self.files.items():
            with (unfinished / name).open("xb") as part:
                part.writelines(_chunks(file, size))
                part.flush()
                os.fsync(part.fileno())
        _sync(unfinished)
        # 2.
        unfinished.rename(checkpoint_folder(checkpoints, self.id))
        _sync(checkpoints)


def _content_of(header: bytes, path: Path) -> tuple[int, dict[str, int]]:
    """Names become paths: nothing but a plain name may be one."""
    try:
        said = json.loads(header)
        checkpoint_id, files = said["id"], dict(said["files"])
    except (ValueError, LookupError, TypeError) as error:
        raise _damage(path, f"its header cannot be read: {error}") from error
    are_numbers = all(type(each) is int and 0 <= each < 2**64 for each in (checkpoint_id, *files.values()))
    if not are_numbers or any(name in ("", ".", "..") or {"/", "\0"} & set(name) for name in files):
        raise _damage(path, "its header is not that of a checkpoint")
    return checkpoint_id, files


def _damage(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path}: {what}")
