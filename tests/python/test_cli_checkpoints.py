from __future__ import annotations

import errno
import hashlib
import json
import os
import struct
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
import pytest
from llmopt_stream import _core
from llmopt_stream.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

FIXTURES = Path(__file__).parent / "fixtures"
RECORDS = [{"ts": second, "model": "ab"[second % 2], "latency_ms": second * 7 % 100} for second in range(200)]
START = struct.Struct("<8sII")


def checkpoints(*arguments: str | Path) -> int:
    return main(["checkpoints", *(str(argument) for argument in arguments)])


def open_backend(folder: Path) -> ls.RocksDBStateBackend:
    return ls.RocksDBStateBackend(folder / "state", folder / "checkpoints")


def taken(backend: ls.StateBackend) -> list[str]:
    times = [checkpoint.created for checkpoint in backend.checkpoints()]
    return [
        time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for time in times
        if time is not None
    ]


def builder(sink: ls.Sink, backend: ls.StateBackend) -> ls.StreamPipelineBuilder:
    """Ten records a batch, and checkpoints only where it stops or is asked for one."""
    return (
        ls.create_pipeline("latency")
        .with_source(ls.IterableSource(RECORDS))
        .with_options(buffer_size=10)
        .with_event_time("ts", unit="s")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("3s"))
        .key_by("model")
        .with_tumbling_window("15s", allowed_lateness="5s")
        .aggregate("latency_ms", ["count", "sum", "p95"])
        .with_sink(sink)
        .with_state_backend(backend)
        .with_checkpoints(None)
    )


class At(ls.Sink):
    """Keeps results, and calls a function when there are so many."""

    def __init__(self, count: int) -> None:
        self.results: list[Any] = []
        self.call: Callable[[], Any] = list
        self._count = count

    def send(self, result: Any) -> None:
        self.results.append(result.to_dict())
        if len(self.results) == self._count:
            self.call()


def run_until(results: int, backend: ls.StateBackend) -> list[Any]:
    """Stops after the batch with that result; a checkpoint keeps the rest."""
    sink = At(results)
    pipeline = builder(sink, backend).build()
    sink.call = pipeline.stop
    pipeline.run()
    return sink.results


def run_on(folder: Path) -> tuple[list[Any], ls.RunSummary]:
    sink = ls.CollectSink()
    with open_backend(folder) as backend:
        summary = builder(sink, backend).build().run()
    return [result.to_dict() for result in sink.results], summary


def folder_of(folder: Path, checkpoint_id: int) -> Path:
    return folder / "checkpoints" / f"checkpoint-{checkpoint_id:020}"


def sst_of(folder: Path, checkpoint_id: int) -> Path:
    return max(folder_of(folder, checkpoint_id).glob("*.sst"))


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def two_checkpoints(folder: Path) -> None:
    with open_backend(folder) as backend:
        backend.put("a", b"1" * 100)
        backend.checkpoint(1, b"of my own")
        backend.clear()
        backend.put("a", b"2" * 100)
        backend.checkpoint(2)


def entries(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# list


def test_list_tells_what_pipelines_were_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_backend(tmp_path) as backend:
        run_until(1, backend)
        run_until(2, backend)
        first, second = taken(backend)
        sizes = [f"{each.bytes:,}" for each in backend.checkpoints()]
    assert checkpoints("list", tmp_path / "checkpoints") == 0
    width = max(map(len, sizes))
    assert capsys.readouterr().out == (
        f"id  taken                     {'bytes':>{width}}  records  watermark             pipeline  state\n"
        f" 1  {first}  {sizes[0]:>{width}}       20  1970-01-01T00:00:16Z  latency   whole\n"
        f" 2  {second}  {sizes[1]:>{width}}       40  1970-01-01T00:00:36Z  latency   whole\n"
    )


def test_list_as_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_backend(tmp_path) as backend:
        run_until(1, backend)
        (first,) = taken(backend)
        (checkpoint,) = backend.checkpoints()
    assert checkpoints("list", tmp_path / "checkpoints", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "id": 1,
            "created": first,
            "bytes": checkpoint.bytes,
            "pipeline": "latency",
            "watermark": "1970-01-01T00:00:16Z",
            "records": 20,
            "damage": None,
        }
    ]


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"of my own",
        b"[1]",
        b'{"mine": 1}',
        b"\xff",
        b'{"pipeline": "mine", "watermark": null, "counts": 7}',
        b'{"pipeline": "mine", "watermark": "noon", "counts": {"records_in": 7}}',
        b'{"pipeline": 7, "watermark": 7, "counts": {"records_in": 7}}',
    ],
)
def test_list_tells_nothing_of_manifests_of_others(
    manifest: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_backend(tmp_path) as backend:
        backend.checkpoint(12, manifest)
        (first,) = taken(backend)
        (checkpoint,) = backend.checkpoints()
    assert checkpoints("list", tmp_path / "checkpoints") == 0
    size = f"{checkpoint.bytes:,}"
    assert (
        capsys.readouterr().out.splitlines()[1] == f"12  {first}  {size}        -  -          -         whole"
    )


def test_list_tells_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_checkpoints(tmp_path)
    cut = sst_of(tmp_path, 1)
    size = cut.stat().st_size
    os.truncate(cut, size - 1)
    (folder_of(tmp_path, 2) / "CHECKPOINT").write_bytes(b"short")
    assert checkpoints("list", tmp_path / "checkpoints") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].endswith(f"damaged: {cut}: it has {size - 1} bytes instead of {size}")
    assert " ".join(lines[2].split()) == (
        f"2 - 0 - - - damaged: {folder_of(tmp_path, 2)}: its manifest is too short to be one"
    )


def test_list_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_backend(tmp_path).close()
    assert checkpoints("list", tmp_path / "checkpoints") == 0
    assert capsys.readouterr().out == f"{tmp_path}/checkpoints: no checkpoints\n"
    assert checkpoints("list", tmp_path / "checkpoints", "--json") == 0
    assert capsys.readouterr().out == "[]\n"


@pytest.mark.parametrize("action", ["list", "verify", "export"])
@pytest.mark.parametrize(
    ("directory", "message"),
    [
        ("none", "{}: there is no such directory"),
        ("file", "{}: there is no such directory"),
        ("used", "{}: it holds no checkpoints itself; expected {}/checkpoints"),
        (
            "other",
            "{}: it is not a directory of checkpoints; expected the checkpoint_path of a RocksDBStateBackend",
        ),
        (
            "used/state",
            "{}: it is not a directory of checkpoints; expected the checkpoint_path of a RocksDBStateBackend",
        ),
    ],
)
def test_other_directories_are_refused(
    action: str, directory: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_checkpoints(tmp_path / "used")
    (tmp_path / "other").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / directory
    assert checkpoints(action, path, *([tmp_path / "out"] if action == "export" else [])) == 2
    assert capsys.readouterr().err == f"llmopt-stream checkpoints: {message.format(path, path)}\n"
    assert not (tmp_path / "out").exists()


# verify


def test_verify_reads_every_byte_and_names_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_checkpoints(tmp_path)
    with open_backend(tmp_path) as backend:
        first, second = (f"{each.bytes:,}" for each in backend.checkpoints())
    assert checkpoints("verify", tmp_path / "checkpoints") == 0
    assert capsys.readouterr().out == (
        f"checkpoint 1: whole, {first} bytes\ncheckpoint 2: whole, {second} bytes\n"
    )
    damaged = sst_of(tmp_path, 1)
    flip(damaged, 30)
    (folder_of(tmp_path, 1) / "CURRENT").unlink()
    assert checkpoints("verify", tmp_path / "checkpoints") == 1
    assert capsys.readouterr().out == (
        "checkpoint 1: damaged\n"
        f"  {damaged}: its checksum is wrong; it was altered\n"
        f"  {folder_of(tmp_path, 1) / 'CURRENT'}: it is missing\n"
        f"checkpoint 2: whole, {second} bytes\n"
    )
    assert checkpoints("verify", tmp_path / "checkpoints", "--id", "1") == 1
    assert checkpoints("verify", tmp_path / "checkpoints", "--id", "2") == 0


def test_verify_finds_a_flipped_bit_in_any_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_checkpoints(tmp_path)
    paths = [path for path in folder_of(tmp_path, 2).iterdir() if path.stat().st_size]
    assert len(paths) >= 4
    for path in paths:
        before = path.read_bytes()
        flip(path, len(before) // 2)
        assert checkpoints("verify", tmp_path / "checkpoints", "--id", "2") == 1
        assert str(path) in capsys.readouterr().out or path.name == "CHECKPOINT"
        path.write_bytes(before)
    assert checkpoints("verify", tmp_path / "checkpoints", "--id", "2") == 0


def test_verify_of_nothing_finds_nothing_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_backend(tmp_path).close()
    assert checkpoints("verify", tmp_path / "checkpoints") == 0
    assert capsys.readouterr().out == f"{tmp_path}/checkpoints: no checkpoints\n"


@pytest.mark.parametrize("action", ["verify", "export"])
def test_an_id_that_is_not_there_is_refused(
    action: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_checkpoints(tmp_path)
    more = [tmp_path / "out"] if action == "export" else []
    assert checkpoints(action, tmp_path / "checkpoints", *more, "--id", "3") == 2
    assert capsys.readouterr().err == (
        f"llmopt-stream checkpoints: --id: {tmp_path}/checkpoints has no checkpoint 3; there are 1, 2\n"
    )
    assert checkpoints(action, tmp_path / "checkpoints", *more, "--id", "-1") == 2
    assert "--id: '-1' is not the id of a checkpoint" in capsys.readouterr().err


# While a pipeline runs


def test_list_verify_and_export_need_no_pause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_backend(tmp_path) as backend:
        run_until(1, backend)
    codes = []

    def look() -> None:
        directory = tmp_path / "checkpoints"
        codes.append(checkpoints("list", directory))
        codes.append(checkpoints("verify", directory))
        codes.append(checkpoints("export", directory, tmp_path / "backup"))

    sink = At(3)
    sink.call = look
    with open_backend(tmp_path) as backend:
        summary = builder(sink, backend).build().run()
    assert codes == [0, 0, 0]
    assert summary.records_in == len(RECORDS)
    assert checkpoints("restore", tmp_path / "backup", tmp_path / "restored") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"checkpoint 1 restored to {tmp_path}/restored/state and {tmp_path}/restored/checkpoints"
    )


def discard_before_verify(
    monkeypatch: pytest.MonkeyPatch, backend: ls.StateBackend, discarded: list[int], take: bool
) -> None:
    """Each verification is too late: the checkpoint is discarded, and perhaps a next one taken."""
    verify = _core.verify_checkpoint

    def too_late(path: str, checkpoint_id: int) -> list[str]:
        if checkpoint_id in discarded:
            backend.discard(checkpoint_id)
            if take:
                backend.checkpoint(checkpoint_id + 1)
        return verify(path, checkpoint_id)

    monkeypatch.setattr(_core, "verify_checkpoint", too_late)


def test_export_takes_the_next_one_where_one_is_discarded_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_backend(tmp_path) as backend:
        backend.checkpoint(1)
        discard_before_verify(monkeypatch, backend, [1, 2], take=True)
        assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup") == 0
    size = f"{(tmp_path / 'backup').stat().st_size:,}"
    assert capsys.readouterr().out == f"checkpoint 3 exported to {tmp_path}/backup: {size} bytes\n"


def test_export_gives_up_where_checkpoints_are_discarded_too_soon(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_backend(tmp_path) as backend:
        backend.checkpoint(1)
        discard_before_verify(monkeypatch, backend, [1, 2, 3], take=True)
        assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup") == 1
    assert capsys.readouterr().err == (
        f"llmopt-stream checkpoints: {tmp_path}/checkpoints: checkpoints are discarded before they are read; "
        "keep more: with_checkpoints(keep=…)\n"
    )
    assert not (tmp_path / "backup").exists()


def test_verify_says_which_was_discarded_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_checkpoints(tmp_path)
    with open_backend(tmp_path) as backend:
        size = f"{backend.checkpoints()[1].bytes:,}"
        discard_before_verify(monkeypatch, backend, [1], take=False)
        assert checkpoints("verify", tmp_path / "checkpoints") == 0
    assert (
        capsys.readouterr().out == f"checkpoint 1: discarded meanwhile\ncheckpoint 2: whole, {size} bytes\n"
    )


# export


def test_export_passes_over_damaged_ones_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two_checkpoints(tmp_path)
    damaged = sst_of(tmp_path, 2)
    flip(damaged, 30)
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup") == 0
    captured = capsys.readouterr()
    size = f"{(tmp_path / 'backup').stat().st_size:,}"
    assert captured.out == f"checkpoint 1 exported to {tmp_path}/backup: {size} bytes\n"
    assert captured.err == (
        f"llmopt-stream checkpoints: checkpoint 2 is damaged: {damaged}: its checksum is wrong; it was altered; "
        "the one before is tried\n"
    )
    (tmp_path / "backup").unlink()
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup", "--id", "2") == 1
    assert capsys.readouterr().err == (
        f"llmopt-stream checkpoints: checkpoint 2 is damaged: {damaged}: its checksum is wrong; it was altered\n"
    )
    flip(sst_of(tmp_path, 1), 30)
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"llmopt-stream checkpoints: {tmp_path}/checkpoints: there is no checkpoint that is whole"
    )
    assert entries(tmp_path) == [name for name in entries(tmp_path) if not name.startswith((".", "backup"))]


def test_export_of_nothing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    open_backend(tmp_path).close()
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup") == 1
    assert capsys.readouterr().err == (
        f"llmopt-stream checkpoints: {tmp_path}/checkpoints: there is no checkpoint to export\n"
    )


def test_export_replaces_nothing_and_is_for_its_owner_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_checkpoints(tmp_path)
    (tmp_path / "there").write_text("mine")
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "there") == 2
    assert capsys.readouterr().err == (
        f"llmopt-stream checkpoints: {tmp_path}/there: it is there already, and is not replaced; name a new file\n"
    )
    assert (tmp_path / "there").read_text() == "mine"
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "none" / "backup") == 2
    assert capsys.readouterr().err == (
        f"llmopt-stream checkpoints: {tmp_path}/none/backup: No such file or directory\n"
    )
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup") == 0
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o600


def fail_at_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The disk is full at the n-th call."""
    sync, calls = os.fsync, iter(range(1_000))

    def failing(descriptor: int) -> None:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)


def test_export_to_a_full_disk_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_checkpoints(tmp_path)
    before = entries(tmp_path)
    fail_at_sync(monkeypatch, 0)
    assert checkpoints("export", tmp_path / "checkpoints", tmp_path / "backup") == 1
    assert capsys.readouterr().err == "llmopt-stream checkpoints: [Errno 28] No space left on device\n"
    assert entries(tmp_path) == before


# restore


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    two_checkpoints(tmp_path / "used")
    assert checkpoints("export", tmp_path / "used" / "checkpoints", tmp_path / "backup") == 0
    return tmp_path / "backup"


@pytest.mark.parametrize("made", [False, True])
def test_restored_directories_are_those_of_a_backend(made: bool, backup: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "place"
    if made:
        target.mkdir(parents=True)
    assert checkpoints("restore", backup, target) == 0
    with open_backend(target) as backend:
        assert dict(backend.scan()) == {"a": b"2" * 100}
        assert backend.checkpoints() == [2]
        assert backend.verify(2) == []
        backend.checkpoint(3)
        assert backend.restore(2) == b""


@pytest.mark.parametrize("name", ["file", "directory", "used", "state"])
def test_restore_replaces_nothing(
    name: str, backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    if name == "file":
        target.touch()
    elif name == "used":
        two_checkpoints(target)
    else:
        (target / name).mkdir(parents=True)
    before = entries(tmp_path)
    capsys.readouterr()
    assert checkpoints("restore", backup, target) == 2
    why = (
        "it is not a directory"
        if name == "file"
        else "it is not empty, and nothing is replaced; name a new directory"
    )
    assert capsys.readouterr().err == f"llmopt-stream checkpoints: {target}: {why}\n"
    assert entries(tmp_path) == before


def refuses(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int = 1) -> str:
    """The message; nothing was made."""
    path = tmp_path / "altered"
    path.write_bytes(content)
    before = entries(tmp_path)
    capsys.readouterr()
    assert checkpoints("restore", path, tmp_path / "restored") == code
    assert entries(tmp_path) == before
    prefix = f"llmopt-stream checkpoints: {path}: "
    message = capsys.readouterr().err
    assert message.startswith(prefix)
    return message.removeprefix(prefix).rstrip("\n")


def test_restore_takes_exported_checkpoints_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refuses(b"", tmp_path, capsys, 2) == "it is not an exported checkpoint"
    assert refuses(b"{}\n" * 100, tmp_path, capsys, 2) == "it is not an exported checkpoint"
    assert checkpoints("restore", tmp_path / "none", tmp_path / "restored") == 2
    assert (
        capsys.readouterr().err == f"llmopt-stream checkpoints: {tmp_path}/none: No such file or directory\n"
    )
    assert checkpoints("restore", tmp_path, tmp_path / "restored") == 2
    assert capsys.readouterr().err == f"llmopt-stream checkpoints: {tmp_path}: Is a directory\n"


def test_restore_refuses_a_file_that_was_cut_short(
    backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = backup.read_bytes()
    _, _, length = START.unpack_from(content)
    header_end = START.size + length + 32
    for size in (8, START.size - 1, START.size, START.size + 5, header_end - 1):
        assert refuses(content[:size], tmp_path, capsys) == "it was cut short"
    for size in (header_end, header_end + 1, len(content) - 33, len(content) - 1):
        expected = f"it has {size:,} bytes instead of {len(content):,}"
        assert refuses(content[:size], tmp_path, capsys) == expected
    longer = f"it has {len(content) + 1:,} bytes instead of {len(content):,}"
    assert refuses(content + b"\0", tmp_path, capsys) == longer


def test_restore_refuses_a_file_with_any_flipped_byte(
    backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = backup.read_bytes()
    _, _, length = START.unpack_from(content)
    header_end = START.size + length + 32
    told = {}
    for position in (*range(header_end), *range(header_end, len(content), 97), len(content) - 1):
        altered = bytearray(content)
        altered[position] ^= 0x40
        told[position] = refuses(bytes(altered), tmp_path, capsys, code=2 if position < 8 else 1)
    assert {told[position] for position in range(8)} == {"it is not an exported checkpoint"}
    assert told[8] == "format version 65 is not one this release reads"
    assert {told[position] for position in range(12, 16)} == {"it was cut short", "its header was altered"}
    assert {told[position] for position in range(16, header_end)} == {"its header was altered"}
    assert {told[position] for position in told if position >= header_end} == {
        "its checksum is wrong; it was altered"
    }


@pytest.mark.parametrize(
    "header",
    [
        {},
        [],
        {"id": 1, "files": {"../escaped": 3}},
        {"id": 1, "files": {"..": 3}},
        {"id": 1, "files": {"/etc/escaped": 3}},
        {"id": 1, "files": {"a\0b": 3}},
        {"id": 1, "files": {"a": -3}},
        {"id": 1, "files": {"a": "3"}},
        {"id": -1, "files": {"a": 3}},
        {"id": 2**64, "files": {"a": 3}},
        {"id": True, "files": {"a": 3}},
    ],
)
def test_restore_trusts_no_header(header: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(header).encode()
    start = START.pack(b"LSCHECKP", 1, len(text)) + text
    start += hashlib.sha256(start).digest()
    whole = start + b"abc"
    message = refuses(whole + hashlib.sha256(whole).digest(), tmp_path, capsys)
    assert message in (
        "its header is not that of a checkpoint",
        "its header cannot be read: 'id'",
        "its header cannot be read: list indices must be integers or slices, not str",
    )


def test_restore_of_what_is_no_checkpoint_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = START.pack(b"LSCHECKP", 1, 29) + b'{"id": 1, "files": {"a": 3}} '
    start += hashlib.sha256(start).digest()
    whole = start + b"abc"
    (tmp_path / "backup").write_bytes(whole + hashlib.sha256(whole).digest())
    assert checkpoints("restore", tmp_path / "backup", tmp_path / "restored") == 1
    assert "checkpoint 1 cannot be restored" in capsys.readouterr().err
    assert entries(tmp_path) == ["backup"]


@pytest.mark.parametrize("made", [False, True])
def test_restore_to_a_full_disk_leaves_nothing(
    made: bool,
    backup: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = tmp_path / "restored"
    if made:
        target.mkdir()
    before = entries(tmp_path)
    for number in range(100):
        with monkeypatch.context() as patched:
            fail_at_sync(patched, number)
            if checkpoints("restore", backup, target) == 0:
                break
        assert capsys.readouterr().err == "llmopt-stream checkpoints: [Errno 28] No space left on device\n"
        assert entries(tmp_path) == before
    assert number >= 5
    with open_backend(target) as backend:
        assert dict(backend.scan()) == {"a": b"2" * 100}


def test_files_of_format_version_1_are_restored(tmp_path: Path) -> None:
    assert checkpoints("restore", FIXTURES / "exported_checkpoint_v1", tmp_path / "restored") == 0
    with open_backend(tmp_path / "restored") as backend:
        assert backend.checkpoints() == [7]
        assert dict(backend.scan()) == {"model/haiku": b"2", "model/opus": b"1"}
        assert backend.restore(7) == b"offset 42"


# Exported, restored elsewhere, and on


def identity(result: dict[str, Any]) -> str:
    return json.dumps([result["key"], result["window"], result["pane"]["index"]])


def undisturbed() -> tuple[list[Any], ls.RunSummary]:
    sink = ls.CollectSink()
    summary = builder(sink, ls.MemoryStateBackend()).build().run()
    return [result.to_dict() for result in sink.results], summary


def test_a_run_goes_on_from_a_restored_checkpoint_exactly(tmp_path: Path) -> None:
    expected, expected_summary = undisturbed()
    with open_backend(tmp_path / "here") as backend:
        first = run_until(5, backend)
    assert 5 <= len(first) < len(expected)
    assert checkpoints("export", tmp_path / "here" / "checkpoints", tmp_path / "backup") == 0
    assert checkpoints("restore", tmp_path / "backup", tmp_path / "there") == 0
    (tmp_path / "here").rename(tmp_path / "gone")
    rest, summary = run_on(tmp_path / "there")
    assert first + rest == expected
    for name in ("records_in", "aggregated", "late", "malformed", "panes"):
        assert getattr(summary, name) == getattr(expected_summary, name)


def test_a_run_goes_on_from_an_older_checkpoint_with_equal_results(tmp_path: Path) -> None:
    expected, _ = undisturbed()
    with open_backend(tmp_path / "here") as backend:
        first = run_until(3, backend)
        second = run_until(4, backend)
        assert [int(each) for each in backend.checkpoints()] == [1, 2]
    assert second
    directory = tmp_path / "here" / "checkpoints"
    assert checkpoints("export", directory, tmp_path / "backup", "--id", "1") == 0
    assert checkpoints("restore", tmp_path / "backup", tmp_path / "there") == 0
    rest, _ = run_on(tmp_path / "there")
    assert first + rest == expected
    assert {identity(each): each for each in second}.items() <= {
        identity(each): each for each in rest
    }.items()


# The command line


@pytest.mark.parametrize("action", ["", "list", "verify", "export", "restore"])
def test_help_has_examples_and_fits_a_narrow_terminal(
    action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert checkpoints(*filter(None, [action]), "--help") == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert max(len(line) for line in text.splitlines()) <= 100


def test_without_an_action_the_usage_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert checkpoints() == 2
    assert "the following arguments are required: ACTION" in capsys.readouterr().err
