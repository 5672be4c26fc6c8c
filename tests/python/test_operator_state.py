"""Operators that remember: deduplication, counts, sessions, and users' code with state and timers."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

STREAM = ls.create_pipeline("stream").with_event_time("ts", unit="us").key_by("key")


def micros(time: Any) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def driven(builder: ls.StreamPipelineBuilder, *steps: Any) -> PipelineHarness:
    """Records pushed, watermarks (numbers) and clocks ("clock", number) in their order."""
    harness = PipelineHarness(builder)
    for step in steps:
        if isinstance(step, int):
            harness.advance_watermark(step)
        elif isinstance(step, tuple):
            harness.advance_processing_time(step[1])
        else:
            harness.push(step)
    return harness


def data(harness: PipelineHarness) -> list[Any]:
    return [event.data for event in harness.drain()]


def record(ts: int, key: Any = "a", **fields: Any) -> dict[str, Any]:
    return {"ts": ts, "key": key, **fields}


# Deduplication


def test_a_repeated_value_less_than_ttl_away_is_left_out() -> None:
    builder = STREAM.deduplicate(by="id", ttl="10us")
    records = [
        record(ts, id=name) for ts, name in [(10, "x"), (19, "x"), (20, "x"), (1, "x"), (0, "x"), (12, "y")]
    ]
    harness = driven(builder, records)
    assert [each["ts"] for each in data(harness)] == [10, 20, 0, 12]
    assert harness.metrics["filtered"] == 2


def test_what_went_on_is_remembered_until_the_watermark_is_ttl_past_it() -> None:
    builder = STREAM.deduplicate(by="id", ttl="10us")
    for watermark, goes_on in [(19, False), (20, True)]:
        harness = driven(builder, record(10, id="x"), watermark, record(12, id="x"))
        assert [each["ts"] for each in data(harness)] == [10, *([12] if goes_on else [])]


def test_records_without_a_value_all_go_on() -> None:
    records = [
        record(1),
        record(1, id=None),
        record(1, id=None),
        record(1, id=1),
        record(1, id=1.0),
        record(1, id=True),
    ]
    assert data(driven(STREAM.deduplicate(by="id", ttl="1s"), records)) == [*records[:4], records[5]]


def naive_dedup(steps: list[Any], ttl: int) -> list[Any]:
    watermark = -(2**63)
    kept: list[tuple[Any, int]] = []
    out = []
    for step in steps:
        if isinstance(step, int):
            watermark = max(watermark, step)
            continue
        live = [time for name, time in kept if name == step["id"] and watermark < time + ttl]
        if not any(abs(step["ts"] - time) < ttl for time in live):
            kept.append((step["id"], step["ts"]))
            out.append(step)
    return out


def disordered(seed: int, *, field: str, values: int, n: int = 300) -> list[Any]:
    """Records out of order, some late, with watermarks in between."""
    rng = random.Random(seed)
    steps: list[Any] = []
    for at in range(n):
        ts = at * 3 - rng.randrange(40) - (150 if rng.random() < 0.05 else 0)
        steps.append({"ts": ts, "key": "k", field: rng.randrange(values)})
        if rng.random() < 0.2:
            steps.append(at * 3 - 40)
    return steps


@pytest.mark.parametrize("seed", range(8))
def test_deduplication_is_what_a_naive_one_gives(seed: int) -> None:
    steps = disordered(seed, field="id", values=30)
    assert data(driven(STREAM.deduplicate(by="id", ttl="60us"), *steps)) == naive_dedup(steps, 60)


def test_about_deduplication_lets_no_repeated_value_pass_and_takes_few_for_repeated() -> None:
    records = [record(at, id=f"id-{at // 2}") for at in range(20_000)]
    harness = driven(STREAM.deduplicate(by="id", ttl="1h", false_positive_rate=0.01), records)
    passed = [each["id"] for each in data(harness)]
    assert len(passed) == len(set(passed))
    assert 9_900 <= len(passed) <= 10_000


# Counts and sessions


def test_running_count_says_how_many_records_a_key_has_had() -> None:
    records = [
        record(5),
        record(6, "b"),
        record(1),
        record(2, None),
        {"ts": 3},
        record(4, True),
        record(4, 1),
        record(4, 1.0),
    ]
    harness = driven(STREAM.running_count(), records)
    events = harness.drain()
    assert [event.data for event in events] == [
        {"key": key, "count": count}
        for key, count in [("a", 1), ("b", 1), ("a", 2), (None, 1), (None, 2), (True, 1), (1, 1), (1, 2)]
    ]
    assert [micros(event.timestamp) for event in events] == [5, 6, 1, 2, 3, 4, 4, 4]
    assert harness.metrics["live_keys"] == 5
    harness.end_of_input()
    assert harness.metrics["live_keys"] == 0


def test_a_session_is_over_when_the_watermark_is_the_timeout_past_its_last_record() -> None:
    builder = STREAM.track_sessions("10us")
    harness = driven(builder, record(5), record(15), record(26), 24)
    assert data(harness) == []
    harness.advance_watermark(25)
    (event,) = harness.drain()
    assert event.data == {"type": "session_end", "user_id": "a", "duration": 1e-05, "page_views": 2}
    assert (micros(event.timestamp), event.key) == (15, {"key": "a"})


def test_a_record_between_two_sessions_makes_them_one() -> None:
    harness = driven(STREAM.track_sessions("10us"), record(20), record(2), record(11), 40)
    assert [(each["duration"], each["page_views"]) for each in data(harness)] == [(1.8e-05, 3)]


def test_a_record_that_can_only_be_a_session_that_is_over_is_late() -> None:
    harness = driven(STREAM.track_sessions("10us"), record(2), 20, record(10), record(11), 21)
    assert [each["page_views"] for each in data(harness)] == [1, 1]
    assert harness.metrics["late"] == 1


def test_sessions_of_a_key_of_several_fields_name_all_of_them() -> None:
    builder = STREAM.key_by("tenant", "user").track_sessions()
    harness = driven(builder, {"ts": 0, "tenant": "t", "user": "u"}, 1800 * 10**6)
    assert [each["user_id"] for each in data(harness)] == [("t", "u")]


def naive_sessions(steps: list[Any], timeout: int) -> list[tuple[int, int, str, int]]:
    """(last, first, key, records) in the order in which they are over."""
    watermark = -(2**63)
    open_: dict[Any, list[list[int]]] = defaultdict(list)
    over = []
    for step in [*steps, 2**62]:
        if isinstance(step, int):
            watermark = max(watermark, step)
            done = []
            for key, sessions in open_.items():
                done += [
                    (max(each), min(each), str(key), len(each))
                    for each in sessions
                    if max(each) + timeout <= watermark
                ]
                open_[key] = [each for each in sessions if max(each) + timeout > watermark]
            over += sorted(done, key=lambda each: (each[0], each[2]))
            continue
        ts, key = step["ts"], step["user"]
        near = [each for each in open_[key] if min(each) - timeout <= ts <= max(each) + timeout]
        if not near and ts + timeout <= watermark:
            continue
        open_[key] = [each for each in open_[key] if each not in near] + [
            [ts, *(time for each in near for time in each)]
        ]
    return over


@pytest.mark.parametrize("seed", range(8))
def test_sessions_are_what_a_naive_tracker_gives(seed: int) -> None:
    steps = disordered(seed, field="user", values=9)
    harness = driven(STREAM.key_by("user").track_sessions("25us"), *steps)
    harness.end_of_input()
    seen = [
        (
            micros(event.timestamp),
            round(event.data["duration"] * 1e6),
            str(event.data["user_id"]),
            event.data["page_views"],
        )
        for event in harness.drain()
    ]
    assert seen == [(last, last - first, key, count) for last, first, key, count in naive_sessions(steps, 25)]


@pytest.mark.parametrize("seed", range(4))
def test_windows_of_windows_are_what_a_naive_count_of_counts_gives(seed: int) -> None:
    """Of the users of each 20 µs, how many records each had; of these counts, the sum and the greatest in 60 µs."""
    steps = [each for each in disordered(seed, field="user", values=5) if not isinstance(each, int)]
    builder = STREAM.key_by("user").with_tumbling_window("20us").aggregate("ts", ["count"])
    harness = driven(
        builder.key_by().with_tumbling_window("60us").aggregate("count", ["count", "sum", "max"]), steps
    )
    harness.end_of_input()
    first: dict[tuple[int, int], int] = defaultdict(int)
    for step in steps:
        first[step["ts"] // 20 * 20, step["user"]] += 1
    second: dict[int, list[int]] = defaultdict(list)
    for (start, _), count in first.items():
        second[(start + 19) // 60 * 60].append(count)
    assert [(pane.window.micros[0], pane.results) for pane in harness.drain()] == [
        (start, {"count": len(counts), "sum": float(sum(counts)), "max": float(max(counts))})
        for start, counts in sorted(second.items())
    ]


# Users' code with state and timers


def counted(record: dict[str, Any], context: Any) -> dict[str, Any]:
    n = context.state.get("n", 0) + 1
    context.state.put("n", n)
    return {"key": context.key["key"], "n": n}


def test_process_has_state_for_each_key() -> None:
    assert data(driven(STREAM.process(counted), [record(1), record(2, "b"), record(0)])) == [
        {"key": "a", "n": 1}, {"key": "b", "n": 1}, {"key": "a", "n": 2},
    ]  # fmt: skip


def test_what_is_emitted_has_the_record_s_time_and_key_unless_told_otherwise() -> None:
    def emits(record: dict[str, Any], context: Any) -> list[dict[str, Any]]:
        context.emit({"of": micros(context.timestamp), "watermark": context.watermark})
        context.emit({"n": 1}, timestamp=record["ts"] + 5)
        return [{"n": 2}, {"n": 3}]

    events = driven(STREAM.process(emits), record(1), 1, record(7)).drain()
    assert [(micros(event.timestamp), event.key["key"], *event.data.values()) for event in events] == [
        (1, "a", 1, None), (6, "a", 1), (1, "a", 2), (1, "a", 3),
        (7, "a", 7, ls.Watermark(1)), (12, "a", 1), (7, "a", 2), (7, "a", 3),
    ]  # fmt: skip


@pytest.mark.parametrize("start", [-(10**15), 0, 10**15])
def test_state_is_gone_when_the_watermark_has_moved_on_by_its_ttl(start: int) -> None:
    """Also of the first record, before which there is no watermark."""
    builder = STREAM.process(counted, ttl="10us")
    for passed, n in [(9, 2), (10, 1)]:
        harness = driven(builder, start, record(start), start + passed, record(start + 12))
        assert [each["n"] for each in data(harness)] == [1, n]
        harness = driven(builder, record(start), start, start + passed, record(start + 12))
        assert [each["n"] for each in data(harness)] == [1, n]


def test_putting_a_value_again_keeps_it_for_another_ttl() -> None:
    harness = driven(
        STREAM.process(counted, ttl="10us"), 0, record(1), 8, record(9), 17, record(18), 27, record(28)
    )
    assert [each["n"] for each in data(harness)] == [1, 2, 3, 1]


def test_state_that_expires_is_forgotten_for_keys_that_have_no_more_records() -> None:
    harness = driven(STREAM.process(counted, ttl="10us"), 0, [record(1, key) for key in "abcdefgh"] * 3, 9)
    assert harness.metrics["live_keys"] == 8
    harness.advance_watermark(10)
    assert harness.metrics["live_keys"] == 0


class Timers:
    """Sets and deletes timers as its records say."""

    def process(self, record: dict[str, Any], context: Any) -> None:
        for name in ("set_timer", "delete_timer", "set_processing_timer", "delete_processing_timer"):
            for time in record.get(name, ()):
                getattr(context, name)(time)
        context.state.put("from", record["ts"], ttl="100us")

    def on_timer(self, time: datetime, context: Any) -> dict[str, Any]:
        return {"key": context.key["key"], "at": micros(time), "from": context.state.get("from")}


def test_timers_are_called_once_the_watermark_has_reached_them() -> None:
    harness = driven(
        STREAM.process(Timers),
        record(1, set_timer=[20, 10, 10]),
        record(2, "b", set_timer=[10, 15, 30]),
        record(3, "b", delete_timer=[15]),
        9,
    )
    assert data(harness) == []
    harness.advance_watermark(20)
    events = harness.drain()
    assert [(event.data["key"], event.data["at"], event.data["from"]) for event in events] == [
        ("a", 10, 1), ("b", 10, 3), ("a", 20, 1),
    ]  # fmt: skip
    assert [micros(event.timestamp) for event in events] == [10, 10, 20]
    harness.end_of_input()
    assert [each["at"] for each in data(harness)] == [30]


def test_a_timer_sees_the_state_that_was_there_at_its_time() -> None:
    """However far the watermark jumps."""
    harness = driven(STREAM.process(Timers), 0, record(1, set_timer=[99, 100]), 1000)
    assert [each["from"] for each in data(harness)] == [1, None]


def test_timers_by_the_clock() -> None:
    harness = driven(
        STREAM.process(Timers),
        record(1, set_processing_timer=[50, 60]), record(1, delete_processing_timer=[60]), 1000, ("clock", 49),
    )  # fmt: skip
    assert data(harness) == []
    harness.advance_processing_time(70)
    assert [each["at"] for each in data(harness)] == [50]


class Heartbeat:
    def process(self, record: dict[str, Any], context: Any) -> None:
        context.set_timer(record["ts"] + 10)

    def on_timer(self, time: datetime, context: Any) -> dict[str, Any]:
        context.set_timer(time + timedelta(microseconds=10))
        return {"beat": micros(time)}


def test_a_timer_that_sets_the_next_one_stops_at_the_end() -> None:
    harness = driven(STREAM.process(Heartbeat), record(0), 35)
    assert [each["beat"] for each in data(harness)] == [10, 20, 30]
    harness.end_of_input()
    assert [each["beat"] for each in data(harness)] == [40]
    assert harness.metrics["live_keys"] == 0


def test_a_snapshot_that_cannot_be_taken_changes_nothing() -> None:
    def keeps(record: dict[str, Any], context: Any) -> dict[str, Any]:
        context.state.put("record", object() if record["ts"] == 1 else record["ts"])
        return {"n": len(context.state)}

    harness = driven(STREAM.process(keeps), record(1))
    with pytest.raises(ls.CheckpointError, match="object"):
        harness.snapshot()
    harness.push(record(2))
    assert data(PipelineHarness.restore(STREAM.process(keeps), harness.snapshot())) == [{"n": 1}, {"n": 1}]


def test_a_state_store_alone() -> None:
    store = ls.StateStore()
    store.put("a", 1)
    store.put("b", 2, ttl="1s")
    assert (store.all(), list(store), len(store)) == ({"a": 1, "b": 2}, ["a", "b"], 2)
    store.advance(999_999)
    assert store.get("b") == 2
    store.advance(1_000_000)
    store.delete("a")
    store.delete("a")
    assert (store.all(), store.get("b"), store.get("b", 5)) == ({}, None, 5)
