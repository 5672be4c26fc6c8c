"""Crashes, failing disks and second processes: a checkpoint is whole or not there, and the last good one stays."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import llmopt_stream as ls
import pytest

ROOT = Path(__file__).parents[2]
FAILING_CALLS = ROOT / "tests" / "python" / "faults" / "failing_calls.c"
OLD = {f"key{number}": b"old" * 100 for number in range(200)}
NEW = {f"key{number}": b"new" * 100 for number in range(100, 300)}

# `make chaos` tries everything; what runs always is a part of that.
CHAOS = "LLMOPT_STREAM_CHAOS" in os.environ

# What each child begins with. Files are small, so that a scenario takes milliseconds.
PRELUDE = """
import ctypes, errno, os, resource, shutil, signal, sys
from pathlib import Path
import llmopt_stream as ls
folder = Path(sys.argv[1])
def open_backend(folder=folder, **options):
    return ls.RocksDBStateBackend(folder / "state", folder / "checkpoints", **options)
OLD = {f"key{number}": b"old" * 100 for number in range(200)}
NEW = {f"key{number}": b"new" * 100 for number in range(100, 300)}
"""


def run(folder: Path, program: str, *before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-c", PRELUDE + textwrap.dedent(program), folder],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def open_backend(folder: Path) -> ls.RocksDBStateBackend:
    return ls.RocksDBStateBackend(folder / "state", folder / "checkpoints")


# Crashes ------------------------------------------------------------------------------------------

LIFE = """
backend = open_backend()
backend.apply(OLD)
backend.checkpoint(1, b"one")
backend.apply(NEW)
backend.checkpoint(2, b"two")
backend.restore(1)
backend.restore(2)
backend.checkpoint(3, b"three")
backend.discard(1)
backend.close()
"""
CONTENT = {1: OLD, 2: OLD | NEW, 3: OLD | NEW}
KILL_POINTS = sorted(
    name
    for source in (ROOT / "cpp" / "state").glob("*.cpp")
    for name in re.findall(r'kill_point\("([^"]+)"\)', source.read_text(encoding="utf-8"))
)


def check_what_a_crash_left(folder: Path) -> list[int]:
    with open_backend(folder) as backend:
        listed = backend.checkpoints()
        for checkpoint in listed:
            assert backend.verify(checkpoint) == []
        live = dict(backend.scan())
        if (folder / "state" / "CLOSED").exists():
            assert live == OLD | NEW
        else:
            assert live == (CONTENT[listed[-1]] if listed else {}), "the newest checkpoint, or nothing"
        for checkpoint in listed:
            assert backend.restore(checkpoint) == {1: b"one", 2: b"two", 3: b"three"}[checkpoint]
            assert dict(backend.scan()) == CONTENT[checkpoint]
        backend.checkpoint(10)
        names = {path.name for path in (folder / "checkpoints").iterdir()}
        assert names == {"LOCK", "LLMOPT_STREAM_STATE"} | {f"checkpoint-{each:020}" for each in (*listed, 10)}
        return [int(checkpoint) for checkpoint in listed]


@pytest.mark.parametrize("name", KILL_POINTS)
def test_after_a_kill_at_a_step_every_checkpoint_is_whole(name: str, quick_path: Path) -> None:
    killed = 0
    for passing in (1, 2, 3) if CHAOS else (2, 1):
        folder = quick_path / str(passing)
        ended = run(folder, LIFE, LLMOPT_STREAM_KILL_POINT=f"{name}:{passing}")
        if ended.returncode == 0:
            continue
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        killed += 1
        left = check_what_a_crash_left(folder)
        if name.startswith("checkpoint:"):
            assert left in (list(range(1, passing)), list(range(1, passing + 1)))
            assert name != "checkpoint:published" or left[-1] == passing
        elif name.startswith("restore:"):
            assert left == [1, 2], "restoring changes no checkpoint"
        else:
            assert left in ([1, 2, 3], [2, 3])
        if not CHAOS:
            break
    assert killed > 0, "the step was never reached"


def test_a_kill_while_recovering_from_a_kill_changes_nothing(quick_path: Path) -> None:
    run(quick_path, LIFE, LLMOPT_STREAM_KILL_POINT="checkpoint:before-rename:2")
    for name in KILL_POINTS:
        if name.startswith("restore:"):
            ended = run(quick_path, "open_backend().get('a')", LLMOPT_STREAM_KILL_POINT=name)
            assert ended.returncode == -signal.SIGKILL, name
    assert check_what_a_crash_left(quick_path) == [1]


def test_every_step_is_named_once() -> None:
    assert len(KILL_POINTS) >= 18
    assert len(KILL_POINTS) == len(set(KILL_POINTS))


def test_python_names_steps_too(tmp_path: Path) -> None:
    program = "from llmopt_stream import _core\nfor step in 'abab': _core.kill_point(step)\nprint('survived')"
    assert run(tmp_path, program).stdout == "survived\n"
    assert run(tmp_path, program, LLMOPT_STREAM_KILL_POINT="b:2").returncode == -signal.SIGKILL
    assert run(tmp_path, program, LLMOPT_STREAM_KILL_POINT="b:3").stdout == "survived\n"
    assert run(tmp_path, program, LLMOPT_STREAM_KILL_POINT="c").stdout == "survived\n"


# Failing disks ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def failing_calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("faults") / "failing_calls.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, FAILING_CALLS, "-ldl"], check=True)
    return library


# Call after call fails, until an attempt takes fewer calls: of ATTEMPT, on a backend with checkpoint 1 of OLD and
# with NEW on top. AFTERWARDS tells what then holds.
EVERY_CALL_FAILS = """
fail_calls = ctypes.CDLL(None).fail_calls
fail_calls.restype = ctypes.c_long
fail_calls.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_int]

LIVE = {key: value for key, value in (OLD | NEW).items() if key != "key0"}
failed = n = 0
calls = 1
while calls >= n:
    n += 1
    here = folder / str(n)
    backend = open_backend(here)
    backend.apply(OLD)
    backend.checkpoint(1, b"one")
    backend.apply(NEW)
    backend.delete("key0")
    fail_calls(n, COUNT, REASON)
    error = None
    try:
        ATTEMPT
    except (ls.StateError, ls.CheckpointError) as raised:
        error = raised
    calls = fail_calls(0, 0, 0)
    if error is not None:
        failed += 1
        assert os.strerror(REASON) in str(error) and str(here) in str(error), error
    AFTERWARDS
    assert backend.verify(1) == []
    assert (backend.restore(1), dict(backend.scan())) == (b"one", OLD)
    backend.close()
    shutil.rmtree(here)
assert failed >= 5 and n > LEAST, (failed, n)
"""
ATTEMPTS = {
    "checkpoint": (
        "backend.checkpoint(2, b'two')",
        """
    assert error is None or isinstance(error, ls.CheckpointError)
    assert dict(backend.scan()) == LIVE, "nothing that was applied is lost"
    assert [checkpoint.damage for checkpoint in backend.checkpoints()] in ([None], [None, None])
    if error is not None:
        backend.checkpoint(2, b"two")
    assert (backend.checkpoints(), backend.verify(2)) == ([1, 2], [])
    assert (backend.restore(2), dict(backend.scan())) == (b"two", LIVE)
""",
        25,
    ),
    "restore": (
        "backend.restore(1)",
        """
    assert error is None or isinstance(error, ls.CheckpointError)
    backend.restore(1)
    backend.checkpoint(2)
    assert backend.verify(2) == []
""",
        20,
    ),
    "close": (
        "backend.close()",
        """
    backend = open_backend(here)
    assert dict(backend.scan()) in (OLD, LIVE)
    assert error is not None or dict(backend.scan()) == LIVE
    backend.checkpoint(2)
""",
        5,
    ),
    "apply": (
        "backend.apply({f'big{number}': os.urandom(30_000) for number in range(20)}); backend.compact()",
        """
    live = dict(backend.scan())
    assert len(live) in (299, 319), "all changes or none"
    backend.apply({"after": b"1"})
    backend.checkpoint(2)
    backend.restore(2)
    assert dict(backend.scan()) == live | {"after": b"1"}
""",
        10,
    ),
}


ONCE, UNTIL_REPAIRED = "1", "10**9"
FAILURES = [
    ("checkpoint", ONCE, "EIO"),
    ("checkpoint", UNTIL_REPAIRED, "ENOSPC"),
    ("restore", ONCE, "ENOSPC"),
    ("close", UNTIL_REPAIRED, "EIO"),
    ("apply", UNTIL_REPAIRED, "EIO"),
]
if CHAOS:
    FAILURES = list(itertools.product(ATTEMPTS, [ONCE, UNTIL_REPAIRED], ["EIO", "ENOSPC", "EROFS", "EDQUOT"]))


@pytest.mark.parametrize(("attempt", "count", "reason"), FAILURES)
def test_whichever_call_fails_the_last_good_checkpoint_stays(
    attempt: str, count: str, reason: str, failing_calls: Path, quick_path: Path
) -> None:
    tried, afterwards, least = ATTEMPTS[attempt]
    program = EVERY_CALL_FAILS
    for name, text in [
        ("ATTEMPT", tried),
        ("AFTERWARDS", afterwards.strip()),
        ("COUNT", count),
        ("REASON", f"errno.{reason}"),
        ("LEAST", str(least)),
    ]:
        program = program.replace(name, text)
    ended = run(quick_path, program, LD_PRELOAD=str(failing_calls), FAILING_CALLS_BELOW=str(quick_path))
    assert ended.returncode == 0, ended.stderr


def test_a_file_size_limit_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    ended = run(
        tmp_path,
        """
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        backend = open_backend()
        backend.apply(OLD)
        backend.checkpoint(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        big = {f"big{number}": os.urandom(1000) for number in range(1000)}
        backend.apply(big)
        for attempt in range(3):
            try:
                backend.checkpoint(2)
            except ls.CheckpointError as error:
                assert os.strerror(errno.EFBIG) in str(error) and str(folder) in str(error), error
            else:
                raise AssertionError("the limit did not hold")
        assert backend.verify(1) == []
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        backend.checkpoint(2)
        assert dict(backend.scan()) == OLD | big
        backend.restore(2)
        assert dict(backend.scan()) == OLD | big
        """,
    )
    assert ended.returncode == 0, ended.stderr


def needs_mounts() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("no unshare")
    allowed = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if allowed.returncode != 0:
        pytest.skip("mounting is not allowed here")


def test_a_full_disk_is_an_error_until_there_is_room_again(tmp_path: Path) -> None:
    needs_mounts()
    ended = run(
        tmp_path,
        """
        import subprocess
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], check=True)
        (folder / "ballast").write_bytes(bytes(5 << 20))
        backend = open_backend(memtable_bytes=256 << 10)
        backend.apply(OLD)
        backend.checkpoint(1, b"one")
        model, number, failed = dict(OLD), 1, None
        while failed is None:
            number += 1
            change = {f"big{number}": os.urandom(50_000)}
            try:
                backend.apply(change)
                model |= change
                if number % 10 == 0:
                    backend.checkpoint(number)
            except (ls.StateError, ls.CheckpointError) as error:
                failed = error
        assert os.strerror(errno.ENOSPC) in str(failed) and str(folder) in str(failed), failed
        for checkpoint in backend.checkpoints():
            assert backend.verify(checkpoint) == []
        (folder / "ballast").unlink()
        assert dict(backend.scan()) == model
        backend.apply({"after": b"1"})
        backend.checkpoint(number + 1)
        assert dict(backend.scan()) == model | {"after": b"1"}
        assert (backend.restore(1), dict(backend.scan())) == (b"one", OLD)
        backend.restore(number + 1)
        assert dict(backend.scan()) == model | {"after": b"1"}
        """,
        "unshare",
        "-rm",
    )
    assert ended.returncode == 0, ended.stderr


def test_a_read_only_directory_is_named(tmp_path: Path) -> None:
    needs_mounts()
    with open_backend(tmp_path) as backend:
        backend.checkpoint(1)
    ended = run(
        tmp_path,
        """
        import subprocess
        from llmopt_stream import _core
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
        try:
            open_backend()
        except ls.StateError as error:
            assert str(folder / "state") in str(error) and os.strerror(errno.EROFS) in str(error), error
        else:
            raise AssertionError("it is writable")
        checkpoints = str(folder / "checkpoints")
        assert [row[0] for row in _core.list_checkpoints(checkpoints)] == [1]
        assert _core.verify_checkpoint(checkpoints, 1) == []
        """,
        "unshare",
        "-rm",
    )
    assert ended.returncode == 0, ended.stderr


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PRELUDE + "backend = open_backend(); backend.checkpoint(1); print(flush=True); sys.stdin.read()",
            tmp_path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(ls.StateError, match=rf"{tmp_path}/state: it is in use by process {child.pid}"):
            open_backend(tmp_path)
        with pytest.raises(
            ls.StateError, match=rf"{tmp_path}/checkpoints: it is in use by process {child.pid}"
        ):
            ls.RocksDBStateBackend(tmp_path / "other", tmp_path / "checkpoints")
        child.kill()
    with open_backend(tmp_path) as backend:
        assert backend.checkpoints() == [1]
