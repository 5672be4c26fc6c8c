from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from llmopt_stream.state import StateBackend


def make(kind: str, folder: Path) -> StateBackend:
    if kind == "memory":
        return ls.MemoryStateBackend()
    return ls.RocksDBStateBackend(
        folder / "state", folder / "checkpoints", memtable_bytes=1 << 16, cache_bytes=0
    )


@pytest.fixture(params=["memory", "rocksdb"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateBackend]:
    with make(request.param, tmp_path) as opened:
        yield opened


def test_text_keys_stand_for_their_utf_8_bytes(backend: StateBackend) -> None:
    backend.put("größe", b"1")
    backend.put(b"\xff\x00", b"2")
    assert backend.get("größe".encode()) == b"1"
    assert backend.get("\udcff\0") == b"2"
    assert backend.get("missing") is None
    assert backend.get("missing", b"0") == b"0"
    assert list(backend.scan()) == [("größe", b"1"), ("\udcff\0", b"2")]
    assert list(backend.scan(b"")) == [("größe".encode(), b"1"), (b"\xff\x00", b"2")]
    backend.delete("größe")
    backend.delete("größe")
    assert list(backend.scan("gr")) == []


@pytest.mark.parametrize("value", [bytearray(b"ab"), memoryview(b"ab")])
def test_values_are_any_bytes(backend: StateBackend, value: Any) -> None:
    backend.put("a", value)
    assert backend.get("a") == b"ab"


def test_what_is_no_key_or_value_is_refused(backend: StateBackend) -> None:
    with pytest.raises(TypeError, match="put: value: expected bytes, got str"):
        backend.put("a", "text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="get: key: expected str or bytes, got int"):
        backend.get(1)  # type: ignore[arg-type]
    with pytest.raises(ls.ConfigurationError, match="checkpoint id: -1"):
        backend.checkpoint(-1)
    assert list(backend.scan()) == []


def test_changes_apply_all_or_none(backend: StateBackend) -> None:
    backend.apply({"a": b"1", "b": b"2"})
    with pytest.raises(TypeError):
        backend.apply({"a": None, "b": 3})  # type: ignore[dict-item]
    assert dict(backend.scan()) == {"a": b"1", "b": b"2"}
    backend.apply({"a": None, "c": b"3"})
    assert dict(backend.scan()) == {"b": b"2", "c": b"3"}


def test_scan_passes_over_pages_while_keys_are_deleted(backend: StateBackend) -> None:
    backend.apply({f"k{number:04}": bytes(3000) for number in range(1000)})
    seen = []
    for key, value in backend.scan("k"):
        assert value == bytes(3000)
        seen.append(key)
        backend.delete(key)
    assert seen == [f"k{number:04}" for number in range(1000)]
    assert list(backend.scan()) == []


def test_checkpoints_are_their_ids_and_more(backend: StateBackend) -> None:
    before = datetime.now(UTC)
    backend.put("a", b"1")
    backend.checkpoint(1, b"offset 42")
    backend.checkpoint(7)
    first, second = backend.checkpoints()
    assert [first, second] == [1, 7]
    assert (first.id, first.manifest, first.damage, repr(first)) == (1, b"offset 42", None, "Checkpoint(1)")
    assert first.created is not None
    assert before <= first.created <= datetime.now(UTC)
    assert first.bytes > 9
    backend.put("a", b"2")
    assert backend.restore(first) == b"offset 42"
    assert backend.get("a") == b"1"
    assert backend.verify(second) == []
    backend.discard(1)
    assert backend.checkpoints() == [7]


def test_ids_grow_and_unknown_ones_are_refused(backend: StateBackend) -> None:
    backend.checkpoint(5)
    with pytest.raises(ls.StateError, match="checkpoint 5: ids have to grow"):
        backend.checkpoint(5)
    with pytest.raises(ls.CheckpointError, match="checkpoint 4"):
        backend.restore(4)


def test_values_expire_in_event_time(backend: StateBackend) -> None:
    backend.put("a", b"1", expires="2026-01-01T00:00:10Z")
    backend.put("b", b"2")
    backend.set_expired_before("2026-01-01T00:00:09.999999Z")
    assert backend.get("a") == b"1"
    backend.set_expired_before("2026-01-01T00:00:10Z")
    assert dict(backend.scan()) == {"b": b"2"}
    backend.compact()
    assert dict(backend.scan()) == {"b": b"2"}


def test_closed_backends_refuse(backend: StateBackend) -> None:
    backend.close()
    backend.close()
    with pytest.raises(ls.StateError, match="closed"):
        backend.get("a")


def test_bytes_are_counted(backend: StateBackend) -> None:
    backend.put("abc", b"12345")
    backend.get("abc")
    assert (backend.bytes_written, backend.bytes_read) == (8, 8)


def test_an_instance_begins_where_the_last_was_closed(tmp_path: Path) -> None:
    with make("rocksdb", tmp_path) as backend:
        backend.put("a", b"1")
        backend.checkpoint(1)
        backend.put("a", b"2")
    with make("rocksdb", tmp_path) as backend:
        assert backend.get("a") == b"2"
        assert backend.checkpoints() == [1]


def test_damaged_checkpoints_are_listed_as_such(tmp_path: Path) -> None:
    with make("rocksdb", tmp_path) as backend:
        backend.checkpoint(1)
        backend.checkpoint(2)
        next(tmp_path.glob("checkpoints/*2/CURRENT")).unlink()
        assert [checkpoint.damage is None for checkpoint in backend.checkpoints()] == [True, False]
        assert repr(backend.checkpoints()[1]) == "Checkpoint(2, damaged)"
        with pytest.raises(
            ls.CheckpointError, match=r"checkpoint 2 cannot be restored: .*CURRENT: it is missing"
        ):
            backend.restore(2)
        assert len(backend.verify(2)) == 1


class AgainstADict(RuleBasedStateMachine):
    """Whatever is done to a backend, it is what a dict would be; restoring brings back the dict of then."""

    kind = "memory"
    keys = st.sampled_from(["", "a", "aa", "ab", "b", "\xff", "a\0"])

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.backend = make(self.kind, self.folder)
        self.model: dict[str, bytes] = {}
        self.kept: dict[int, tuple[dict[str, bytes], bytes]] = {}
        self.last = 0

    @rule(key=keys, value=st.binary(max_size=20))
    def put(self, key: str, value: bytes) -> None:
        self.backend.put(key, value)
        self.model[key] = value

    @rule(key=keys)
    def delete(self, key: str) -> None:
        self.backend.delete(key)
        self.model.pop(key, None)

    @rule(changes=st.dictionaries(keys, st.none() | st.binary(max_size=5)))
    def apply(self, changes: dict[str, bytes | None]) -> None:
        self.backend.apply(changes)
        for key, value in changes.items():
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value

    @rule(prefix=keys)
    def scan(self, prefix: str) -> None:
        expected = sorted(
            (key.encode(), value) for key, value in self.model.items() if key.startswith(prefix)
        )
        assert list(self.backend.scan(prefix.encode())) == expected

    @rule(key=keys)
    def get(self, key: str) -> None:
        assert self.backend.get(key) == self.model.get(key)

    @rule(manifest=st.binary(max_size=5), step=st.integers(1, 3))
    def checkpoint(self, manifest: bytes, step: int) -> None:
        self.last += step
        self.backend.checkpoint(self.last, manifest)
        self.kept[self.last] = dict(self.model), manifest
        assert self.backend.checkpoints() == list(self.kept)

    @precondition(lambda self: self.kept)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.kept)))
        model, manifest = self.kept[number]
        assert self.backend.restore(number) == manifest
        self.model = dict(model)
        assert dict(self.backend.scan()) == self.model

    @precondition(lambda self: self.kept)
    @rule()
    def discard(self) -> None:
        oldest = min(self.kept)
        self.backend.discard(oldest)
        del self.kept[oldest]

    @rule()
    def clear(self) -> None:
        self.backend.clear()
        self.model.clear()

    def teardown(self) -> None:
        self.backend.close()
        shutil.rmtree(self.folder)


class RocksDBAgainstADict(AgainstADict):
    kind = "rocksdb"

    @rule()
    def reopen(self) -> None:
        self.backend.close()
        self.backend = make(self.kind, self.folder)

    @rule()
    def crash(self) -> None:
        self.backend.close()
        (self.folder / "state" / "CLOSED").unlink(missing_ok=True)
        self.backend = make(self.kind, self.folder)
        self.model = dict(self.kept[max(self.kept)][0]) if self.kept else {}


@pytest.mark.parametrize(
    ("machine", "examples"), [(AgainstADict, 100), (RocksDBAgainstADict, 12)], ids=["memory", "rocksdb"]
)
def test_behaves_as_a_dict(machine: type[RuleBasedStateMachine], examples: int) -> None:
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine, settings=settings(max_examples=examples, stateful_step_count=30, deadline=None)
    )


WINDOW = ls.Window("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z")


def test_windows_keep_aggregation_states(backend: StateBackend) -> None:
    manager = ls.WindowStateManager(backend, "my-aggregation")
    assert manager.get_accumulator(WINDOW) is None
    state = ls.AggregationState(WINDOW, {"model": "opus"})
    for value in (10.0, 20.0, 30.0, 40.0, 50.0):
        state.add_value(value)
    manager.put_accumulator(WINDOW, state)
    state.add_value(1000.0)

    kept = manager.get_accumulator(WINDOW)
    assert (kept.window, kept.key) == (WINDOW, {"model": "opus"})
    assert kept.to_result().results == {
        "count": 5, "sum": 150.0, "average": 30.0, "min": 10.0, "max": 50.0,
        "stddev": 14.142135623730951, "p50": 30.0, "p95": 50.0, "p99": 50.0,
    }  # fmt: skip
    manager.delete_window(WINDOW)
    assert manager.get_accumulator(WINDOW) is None


def test_windows_come_back_with_a_checkpoint(backend: StateBackend) -> None:
    manager = ls.WindowStateManager(backend, "my-aggregation")
    state = ls.AggregationState(WINDOW)
    state.add_value(42.0)
    manager.put_accumulator(WINDOW, state)
    backend.checkpoint(1)
    manager.delete_window(WINDOW)
    backend.restore(1)
    assert manager.get_accumulator(WINDOW).sum == 42.0


@pytest.mark.parametrize(
    "aggregator",
    [
        ls.CountAggregator(),
        ls.SumAggregator(),
        ls.AverageAggregator(),
        ls.MinAggregator(),
        ls.MaxAggregator(),
        ls.StdDevAggregator(),
        ls.PercentileAggregator(),
        ls.PercentileAggregator(method="exact"),
        ls.PercentileAggregator(method="kll"),
        ls.CompositeAggregator(),
        ls.DistinctAggregator(),
        ls.HeavyHittersAggregator(),
        ls.HistogramAggregator([0, 50, 100]),
    ],
    ids=lambda aggregator: aggregator.name(),
)
def test_windows_keep_accumulators_of_built_in_aggregators(aggregator: ls.Aggregator) -> None:
    manager = ls.WindowStateManager(ls.MemoryStateBackend(), "built-in")
    whole, half = aggregator.create_accumulator(), aggregator.create_accumulator()
    for value in range(60):
        aggregator.add(whole, float(value))
        aggregator.add(half, float(value))
    manager.put_accumulator(WINDOW, half)
    kept = manager.get_accumulator(WINDOW)
    for value in range(60, 100):
        aggregator.add(whole, float(value))
        aggregator.add(kept, float(value))
    assert kept.encode() == whole.encode()
    assert aggregator.merge(kept, half).results() == aggregator.merge(whole, half).results()


@dataclasses.dataclass
class Product:
    factors: tuple[int, ...]


@pytest.mark.parametrize("accumulator", [1.5, {"count": 3, "sum": 1 / 3}, [1, (2, b"3")], Product((2, 3))])
def test_windows_keep_accumulators_of_your_own(accumulator: Any) -> None:
    manager = ls.WindowStateManager(ls.MemoryStateBackend(), "own")
    manager.put_accumulator(WINDOW, accumulator)
    assert manager.get_accumulator(WINDOW) == accumulator


def test_windows_and_names_do_not_mix(backend: StateBackend) -> None:
    first, second = (ls.WindowStateManager(backend, name) for name in ("a", "ab"))
    windows = [ls.Window(-10, 0), ls.Window(0, 10), ls.Window(None, None), ls.Window(-10, 10)]
    for number, window in enumerate(windows):
        first.put_accumulator(window, number)
    second.put_accumulator(windows[0], 42)
    assert [first.get_accumulator(window) for window in windows] == [0, 1, 2, 3]
    assert second.get_accumulator(windows[1]) is None
    first.delete_window(windows[0])
    assert second.get_accumulator(windows[0]) == 42
    with pytest.raises(ls.ConfigurationError, match="without NUL"):
        ls.WindowStateManager(backend, "a\0")


def test_state_of_windows_that_cannot_be_read_is_an_error() -> None:
    backend = ls.MemoryStateBackend()
    manager = ls.WindowStateManager(backend, "m")
    state = ls.AggregationState(WINDOW)
    state.add_value(1.0)
    manager.put_accumulator(WINDOW, state)
    ((key, value),) = backend.scan(b"")
    for cut in range(len(value)):
        backend.put(key, value[:cut])
        with pytest.raises(ls.StateError):
            manager.get_accumulator(WINDOW)
    backend.put(key, b"\x02" + value[1:])
    with pytest.raises(ls.StateError, match="format version 2"):
        manager.get_accumulator(WINDOW)


def test_state_of_windows_reads_the_bytes_of_format_version_1() -> None:
    backend = ls.MemoryStateBackend()
    manager = ls.WindowStateManager(backend, "m")
    manager.put_accumulator(ls.Window(0, 10), (1, b"2"))
    ((key, _),) = backend.scan(b"")
    assert key == b"windows/m\0" + bytes.fromhex("8000000000000000800000000000000a")
    backend.put(key, b'\x01\x26\0\0\0["list", "value", ["tuple", 1, "two"]]')
    assert manager.get_accumulator(ls.Window(0, 10)) == (1, "two")


def test_stores_keep_values_in_a_backend(backend: StateBackend) -> None:
    store = ls.StateStore(backend=backend, name="sessions")
    store.put("user-1", {"pages": ["/"], "since": datetime(2026, 1, 1, tzinfo=UTC)})
    store.put("user-2", (1, 2.5))
    other = ls.StateStore(backend=backend, name="session")
    other.put("user-1", None)

    again = ls.StateStore(backend=backend, name="sessions")
    assert again.all() == {
        "user-1": {"pages": ["/"], "since": datetime(2026, 1, 1, tzinfo=UTC)},
        "user-2": (1, 2.5),
    }
    again.delete("user-1")
    again.delete("user-1")
    assert list(store) == ["user-2"]
    assert other.get("user-1", 0) is None


def test_stores_in_a_backend_forget_in_event_time(backend: StateBackend) -> None:
    store = ls.StateStore(ttl="10s", backend=backend, name="seen")
    store.put("a", 1)
    store.advance(5_000_000)
    store = ls.StateStore(ttl="10s", backend=backend, name="seen")
    store.put("b", 2)
    assert store.all() == {"a": 1, "b": 2}
    store.advance(10_000_000)
    assert store.all() == {"b": 2}
    store.advance(15_000_000)
    assert len(store) == 0
    assert [key for key, _ in backend.scan("values/")] == []
