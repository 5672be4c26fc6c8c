"""Joins of two streams: exact rows, the laws, and what a naive join of all rows says."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

LEFT = ls.create_pipeline("orders").with_event_time("ts", unit="ms")
RIGHT = ls.create_pipeline("payments").with_event_time("ts", unit="ms")
HOW = ("inner", "left", "right", "full")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Step = tuple[str, Any]
"""("left" | "right", record) or ("watermark", milliseconds)."""


def drive(builder: Any, steps: list[Step], *, restored_before: set[int] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Everything that comes out, as text."""
    harness = PipelineHarness(builder)
    lines = []
    for index, (kind, what) in enumerate(steps):
        if index in restored_before:
            harness = PipelineHarness.restore(builder, harness.snapshot())
        if kind == "watermark":
            harness.advance_watermark(what * 1000)
        else:
            harness.push(what, input=kind)
        lines += texts(harness)
    harness.end_of_input()
    lines += texts(harness)
    assert harness.metrics["live_keys"] == 0
    return lines


def texts(harness: PipelineHarness) -> list[str]:
    lines = [
        f"{row_text(event.data)} at {(event.timestamp - EPOCH) // timedelta(milliseconds=1)}"
        for event in harness.drain()
    ]
    return [*lines, *(f"late {late.event['id']}" for late in harness.drain_late())]


def row_text(data: dict[str, Any]) -> str:
    return "+".join("-" if data[side] is None else str(data[side]["id"]) for side in ("left", "right"))


def naive(steps: list[Step], lower: int, upper: int, how: str) -> list[str]:
    """The definition, with every row kept."""
    lines: list[str] = []
    rows: list[dict[str, Any]] = []
    watermark = -(10**9)
    outer = {"left": how in ("left", "full"), "right": how in ("right", "full")}
    reach = {"left": max(upper, 0), "right": max(-lower, 0)}

    def advance(to: int) -> None:
        nonlocal watermark
        if to <= watermark:
            return
        watermark = to
        due = [row for row in rows if not row["forgotten"] and row["due"] <= watermark]
        for row in due:
            row["forgotten"] = True
        alone = [row for row in due if outer[row["side"]] and not row["matched"]]
        alone.sort(key=lambda row: (row["of_use_until"], row["ts"], row["side"] == "right", row["key"]))
        for row in alone:
            pair = (row["id"], "-") if row["side"] == "left" else ("-", row["id"])
            lines.append(f"{pair[0]}+{pair[1]} at {row['ts']}")

    for kind, what in steps:
        if kind == "watermark":
            advance(what)
            continue
        if what["ts"] < watermark:
            lines.append(f"late {what['id']}")
            continue
        row = dict(what, side=kind, matched=False, forgotten=False)
        row["of_use_until"] = row["ts"] + reach[kind]
        row["due"] = max(row["of_use_until"], watermark + 1)
        matches = []
        for other in rows:
            left, right = (row, other) if kind == "left" else (other, row)
            if (
                other["side"] != kind
                and not other["forgotten"]
                and other["key"] == row["key"]
                and left["ts"] + lower <= right["ts"] <= left["ts"] + upper
            ):
                matches.append(other)
        for other in sorted(matches, key=lambda other: other["ts"]):
            other["matched"] = row["matched"] = True
            left, right = (row, other) if kind == "left" else (other, row)
            lines.append(f"{left['id']}+{right['id']} at {max(left['ts'], right['ts'])}")
        rows.append(row)
    advance(10**9)
    return lines


def random_steps(seed: int) -> list[Step]:
    rng = random.Random(seed)
    steps: list[Step] = []
    now = 0
    for number in range(60):
        now += rng.choice((0, 0, 1, 3))
        if rng.random() < 0.25:
            steps.append(("watermark", now - rng.choice((0, 2, 6))))
        record = {"id": number, "ts": max(0, now - rng.choice((0, 0, 1, 4, 9))), "key": rng.choice("ab")}
        steps.append((rng.choice(("left", "right")), record))
    return steps


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("lower", "upper"), [(-5, 5), (0, 0), (1, 4), (-4, -1), (0, 7)])
def test_it_is_what_the_definition_says_and_restored_snapshots_change_nothing(
    how: str, lower: int, upper: int
) -> None:
    joined = LEFT.join(RIGHT, on="key", lower=f"{lower}ms", upper=f"{upper}ms", how=how)
    for seed in range(25):
        steps = random_steps(seed)
        expected = naive(steps, lower, upper, how)
        assert drive(joined, steps) == expected, seed
        rng = random.Random(seed)
        stops = {rng.randrange(len(steps)) for _ in range(5)}
        assert drive(joined, steps, restored_before=stops) == expected, seed


@pytest.mark.parametrize("how", HOW)
def test_batch_cuts_change_nothing(how: str) -> None:
    orders = LEFT.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("4ms"))
    payments = RIGHT.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("4ms"))
    joined = orders.join(payments, on="key", within="3ms", how=how)
    for seed in range(30):
        steps = [step for step in random_steps(seed) if step[0] != "watermark"]
        one_by_one = drive(joined, steps)
        harness = PipelineHarness(joined)
        lines, at = [], 0
        while at < len(steps):
            end = at + 1
            while end < len(steps) and steps[end][0] == steps[at][0]:
                end += 1
            harness.push([record for _, record in steps[at:end]], input=steps[at][0])
            lines += texts(harness)
            at = end
        harness.end_of_input()
        lines += texts(harness)
        of_kind: Callable[[list[str], bool], list[str]] = lambda lines, late: [  # noqa: E731
            line for line in lines if line.startswith("late") == late
        ]
        for late in (False, True):
            assert of_kind(lines, late) == of_kind(one_by_one, late), seed


def test_null_keys_match_nothing_and_unhashable_ones_are_malformed() -> None:
    harness = PipelineHarness(LEFT.join(RIGHT, on="key", within="5ms", how="full"))
    harness.push({"id": 1, "ts": 1, "key": None}, input="left")
    harness.push({"id": 2, "ts": 1}, input="right")
    harness.push({"id": 3, "ts": 1, "key": ["no", "key"]}, input="left")
    assert [row_text(event.data) for event in harness.drain()] == ["1+-", "-+2"]
    assert harness.metrics["malformed"] == 1
    assert harness.metrics["live_keys"] == 0


def test_orders_with_payments() -> None:
    """The example of the specification."""

    def paid(order: dict[str, Any], payment: dict[str, Any]) -> dict[str, Any]:
        return {
            "order_id": order["order_id"],
            "customer_id": order["customer_id"],
            "amount": order["amount"],
            "payment_id": payment["payment_id"],
            "payment_method": payment["method"],
            "status": "paid",
        }

    orders = ls.create_pipeline("orders").with_source(
        ls.IterableSource(
            [
                {"timestamp": "2026-01-01T00:00:00Z", "order_id": "o1", "customer_id": "c1", "amount": 10.0},
                {"timestamp": "2026-01-01T00:01:00Z", "order_id": "o2", "customer_id": "c2", "amount": 20.0},
            ]
        )
    )
    payments = ls.create_pipeline("payments").with_source(
        ls.IterableSource(
            [
                {"timestamp": "2026-01-01T00:05:00Z", "order_id": "o1", "payment_id": "p1", "method": "card"},
                {"timestamp": "2026-01-01T00:06:01Z", "order_id": "o2", "payment_id": "p2", "method": "cash"},
            ]
        )
    )
    sink = ls.CollectSink()
    summary = orders.join(payments, on="order_id", within="5m", select=paid).with_sink(sink).build().run()
    assert summary.records_in == 4
    assert [event.data for event in sink.results] == [
        {
            "order_id": "o1",
            "customer_id": "c1",
            "amount": 10.0,
            "payment_id": "p1",
            "payment_method": "card",
            "status": "paid",
        }
    ]
    assert sink.results[0].timestamp == datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
    assert sink.results[0].key == {"order_id": "o1"}


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("inner", ["1+2 at 9"]),
        ("left", ["1+2 at 9", "3+- at 9"]),
        ("right", ["1+2 at 9", "-+4 at 19"]),
        ("full", ["1+2 at 9", "3+- at 9", "-+4 at 19"]),
    ],
)
def test_a_window_join_pairs_what_is_in_one_window(how: str, expected: list[str]) -> None:
    joined = LEFT.join(RIGHT, on="key", window=ls.tumbling("10ms"), how=how)
    steps: list[Step] = [
        ("left", {"id": 1, "ts": 1, "key": "a"}),
        ("right", {"id": 2, "ts": 9, "key": "a"}),
        ("left", {"id": 3, "ts": 5, "key": "b"}),
        ("right", {"id": 4, "ts": 10, "key": "a"}),
        ("watermark", 10),
        ("left", {"id": 5, "ts": 9, "key": "a"}),
    ]
    out = drive(joined, steps, restored_before={3, 5})
    assert out == [
        *expected[: -1 if how in ("right", "full") else None],
        "late 5",
        *(expected[-1:] if how in ("right", "full") else []),
    ]


def test_the_joined_stream_goes_on_into_windows() -> None:
    joined = (
        LEFT.join(
            RIGHT,
            on="key",
            within="5ms",
            select=lambda order, _: {"key": order["key"], "amount": order["amount"]},
        )
        .key_by("key")
        .with_tumbling_window("10ms")
        .aggregate("amount", ["sum", "count"])
    )
    harness = PipelineHarness(joined)
    for ts, amount in ((1, 5), (3, 7), (12, 11)):
        harness.push({"ts": ts, "key": "a", "amount": amount}, input="left")
        harness.push({"ts": ts + 1, "key": "a"}, input="right")
    harness.advance_watermark(10_000)
    assert [pane.results for pane in harness.drain()] == [{"sum": 24.0, "count": 4}]
    harness.end_of_input()
    assert [pane.results for pane in harness.drain()] == [{"sum": 11.0, "count": 1}]


def test_a_failing_select_is_left_out_as_the_policy_says() -> None:
    sink = ls.CollectSink()
    joined = LEFT.join(
        RIGHT, on="key", within="5ms", select=lambda left, right: {"ratio": left["v"] / right["v"]}
    ).with_error_handler(ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(sink))
    with joined.open() as session:
        session.push({"ts": 1, "key": "a", "v": 1}, input="left")
        session.push({"ts": 1, "key": "a", "v": 0}, input="right")
        events = session.push({"ts": 2, "key": "a", "v": 2}, input="right")
    assert [event.data for event in events] == [{"ratio": 0.5}]
    assert "ZeroDivisionError" in str(sink.results[0].error)
    strict = LEFT.join(
        RIGHT, on="key", within="5ms", select=lambda left, right: {"v": left["v"] / right["v"]}
    )
    session = strict.open()
    session.push({"ts": 1, "key": "a", "v": 1}, input="left")
    with pytest.raises(ls.PipelineError, match="ZeroDivisionError"):
        session.push({"ts": 1, "key": "a", "v": 0}, input="right")
    with pytest.raises(ls.PipelineError, match=r"cannot go on after an error: .*ZeroDivisionError"):
        session.push({"ts": 1, "key": "a", "v": 1}, input="right")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LEFT.join(RIGHT, on="key"), "join: say how near records must be"),
        (lambda: LEFT.join(RIGHT, on="key", lower="1s"), "join: say how near records must be"),
        (lambda: LEFT.join(RIGHT, on="key", within="1s", lower="1s", upper="2s"), "join: say how near"),
        (
            lambda: LEFT.join(RIGHT, on="key", lower="2s", upper="1s"),
            "join: lower: '2s' is greater than upper",
        ),
        (lambda: LEFT.join(RIGHT, on="key", within="1s", how="outer"), "join: how: 'outer' is none of"),
        (lambda: LEFT.join(RIGHT, on=[], within="1s"), "join: on: no field is named"),
        (lambda: LEFT.join("payments", on="key", within="1s"), "join: 'payments' is not a stream"),  # type: ignore[arg-type]
        (
            lambda: LEFT.with_sink(ls.CollectSink()).join(RIGHT, on="key", within="1s"),
            "join: 'orders' has sinks",
        ),
        (lambda: LEFT.join(RIGHT, on="key", window=ls.tumbling("1m"), within="1s"), "join: window: "),
        (lambda: LEFT.join(RIGHT, on="key", window=ls.session("1m")).open(), "join: window: .* in common"),
        (lambda: LEFT.join(RIGHT, on="key", within="1s").open().push({"ts": 1}), "push: input: say to which"),
        (
            lambda: LEFT.join(RIGHT, on="key", within="1s").open().push({}, input="up"),
            "push: input: 'up' is none",
        ),
    ],
)
def test_wrong_settings_are_named(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=message):
        build()


@pytest.mark.parametrize("options", [{"window": ls.tumbling("20ms")}, {"within": "20ms"}])
def test_results_of_windows_are_joined_and_saved(options: dict[str, Any]) -> None:
    def totals(stream: Any) -> Any:
        return stream.key_by("key").with_tumbling_window("10ms").aggregate("v", ["sum"])

    joined = totals(LEFT).join(totals(RIGHT), on="key", **options)
    harness = PipelineHarness(joined)
    harness.push({"ts": 1, "key": "a", "v": 1}, input="left")
    harness.push({"ts": 2, "key": "a", "v": 2}, input="right")
    harness.advance_watermark(10_000)
    harness = PipelineHarness.restore(joined, harness.snapshot())
    harness.end_of_input()
    assert [(each.data["left"]["sum"], each.data["right"]["sum"]) for each in harness.drain()] == [(1.0, 2.0)]


def test_results_of_windows_are_plain_records_for_users_state_and_late_output() -> None:
    def last(record: dict[str, Any], context: ls.KeyContext) -> dict[str, Any]:
        context.state.put("last", record)
        return {"seen": record}

    totals = LEFT.key_by("key").with_tumbling_window("10ms").aggregate("v", ["sum"])
    for builder in (totals.process(last), totals.map(lambda record: {"seen": record})):
        harness = PipelineHarness(builder)
        harness.push({"ts": 1, "key": "a", "v": 1})
        harness.advance_watermark(10_000)
        harness = PipelineHarness.restore(builder, harness.snapshot())
        assert [event.data["seen"]["sum"] for event in harness.drain()] == [1.0]
    counted = LEFT.key_by("key").with_count_window(1).aggregate("v", ["sum"]).key_by()
    builder = counted.with_tumbling_window("10ms").aggregate("sum", ["sum"])
    harness = PipelineHarness(builder)
    harness.advance_watermark(50_000)
    harness.push({"ts": 1, "key": "a", "v": 1})
    harness = PipelineHarness.restore(builder, harness.snapshot())
    assert [type(late.event) for late in harness.drain_late()] == [dict]


def test_settings_of_an_input_are_said_of_it() -> None:
    joined = LEFT.join(RIGHT, on="key", within="5ms")
    for build in (
        lambda: joined.with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("0s")),
        lambda: joined.with_event_time("at"),
        lambda: joined.with_source(ls.IterableSource([])),
    ):
        with pytest.raises(ls.ConfigurationError, match="behind a join records come from its inputs"):
            build()
    handler = ls.ErrorHandler(ls.ErrorPolicy.skip())
    with pytest.raises(ls.ConfigurationError, match="'payments' has an error handler of its own"):
        LEFT.join(RIGHT.with_error_handler(handler), on="key", within="5ms")


def test_what_is_no_key_is_malformed() -> None:
    for options in ({"window": ls.tumbling("10ms")}, {"within": "10ms"}):
        harness = PipelineHarness(LEFT.join(RIGHT, on="key", **options))  # type: ignore[arg-type]
        harness.push({"ts": 1, "key": [1]}, input="left")
        assert harness.metrics["malformed"] == 1
