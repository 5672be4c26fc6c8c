"""The benchmark keeps running, and its table keeps its rows; what things cost is asserted nowhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
from llmopt_stream.bench import WORKS, bench
from llmopt_stream.bench.comparison import Comparison
from llmopt_stream.bench.events import START, Events, model_events
from llmopt_stream.bench.open_windows import weigh
from llmopt_stream.bench.reference import (
    Answer,
    AnswerError,
    Percentiles,
    Reference,
    sessions,
    sliding,
    tumbling,
)
from llmopt_stream.bench.report import write_markdown
from llmopt_stream.bench.row import Goal, Row
from llmopt_stream.cli import main
from llmopt_stream.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
NAMES = [work.name for work in WORKS]


def rows_of_table(markdown: str) -> list[str]:
    """The first cell of each row of the table between the marker lines."""
    table = markdown.partition("<!-- bench: the table begins")[2].partition("<!-- bench: the table ends")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")]


def test_every_row_is_measured_after_its_answers_are_checked(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    table, numbers = tmp_path / "table.md", tmp_path / "bench.json"
    # In a process of its own: the threads of polars are set before it is imported.
    command = [sys.executable, "-m", "llmopt_stream", "bench", "--rows", "2_000", "--rounds", "1"]
    files = ["--markdown", str(table), "--json", str(numbers)]
    finished = subprocess.run([*command, *files], check=False, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr) == (0, "")
    for name in NAMES:
        assert f"\n{name}: " in finished.stdout
    assert rows_of_table(table.read_text()) == ["work", "---", *(work.title for work in WORKS)]
    rows = json.loads(numbers.read_text())["rows"]
    assert [row["name"] for row in rows] == NAMES
    assert all(row["figures"] for row in rows)
    installed = {engine for row in rows for engine in row["figures"]}
    assert {"llmopt_stream", "duckdb", "polars", "pandas"} <= installed


def test_readme_has_the_rows_of_the_command() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert rows_of_table(readme) == ["work", "---", *(work.title for work in WORKS)]


def test_help_names_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--help"]) == 0
    text = capsys.readouterr().out
    for work in WORKS:
        assert re.search(rf"^  {re.escape(work.name)} +{re.escape(work.title)}$", text, re.MULTILINE)


def test_every_goal_is_of_an_engine_of_its_row() -> None:
    for work in WORKS:
        if isinstance(work, Comparison):
            assert {goal.of for goal in work.goals} <= set(work.entries)


def test_engine_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    assert bench(rows=300, rounds=1, only=["tumbling-columns"]) == 0
    text = capsys.readouterr().out
    assert "\n  duckdb        duckdb is missing\n" in text
    assert "duckdb ≥ 4×: not measured" in text


def test_without_pyarrow_ndjson_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("pyarrow", "duckdb", "polars", "bytewax.operators"):
        monkeypatch.setitem(sys.modules, module, None)
    assert bench(rows=300, rounds=1, only=["tumbling-columns", "tumbling-ndjson", "memory-30"]) == 0
    text = capsys.readouterr().out
    assert "\n  llmopt_stream pyarrow is missing\n" in text
    assert "\n  llmopt_stream " in text.partition("tumbling-ndjson")[2]
    assert "not measured" in text


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--only: 'tumbling' is no row; there are tumbling-columns"):
        bench(only=["tumbling"])
    with pytest.raises(ConfigurationError, match="--markdown: the table has every row"):
        bench(only=NAMES[:1], markdown_file=tmp_path / "table.md")
    page = tmp_path / "page.md"
    page.write_text("a page\n")
    with pytest.raises(ConfigurationError, match=r"--markdown: .*page\.md has no lines"):
        bench(markdown_file=page)


def test_text_around_the_table_is_kept(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    row = Row("a", "the work", 2_000_000, "27 ns", [Goal("duckdb", "≥", 4, "×").judge(3.9)], "6×")
    write_markdown(page, [row])
    page.write_text(f"before\n\n{page.read_text()}\nafter\n")
    write_markdown(page, [row, row])
    text = page.read_text()
    assert text.startswith("before\n\n<!-- bench: the table begins")
    assert text.endswith("<!-- bench: the table ends -->\n\nafter\n")
    assert text.count("| the work | 2 M | 27 ns | | | | | duckdb ≥ 4× **missed** | 6× |\n") == 2


@pytest.mark.parametrize(
    ("relation", "measured", "reached"),
    [
        ("≥", 4.0, True),
        ("≥", 3.99, False),
        ("≤", 4.0, True),
        ("≤", 4.01, False),
        ("<", 4.0, False),
        ("≥", None, None),
    ],
)
def test_goal_is_reached_exactly_at_its_limit(
    relation: str, measured: float | None, reached: bool | None
) -> None:
    assert Goal("x", relation, 4).judge(measured).reached is reached


def events(*records: tuple[int, str, float]) -> Events:
    return Events(
        array("q", [START + second * 1_000_000 for second, _, _ in records]),
        [key for _, key, _ in records],
        array("q", [round(value * 1_000) for _, _, value in records]),
    )


def nine(reference: Reference) -> dict[tuple[int, str], tuple[float, ...]]:
    """By start in seconds and key."""
    return {
        ((start - START) // 1_000_000, key): tuple(column[at] for column in reference.statistics)
        for (start, key), at in reference.index.items()
    }


FIVE = events((1, "a", 10), (9, "a", 50), (4, "a", 40), (2, "a", 20), (3, "a", 30), (12, "b", 1))
OF_FIVE = (5, 150.0, 30.0, 10.0, 50.0, 14.142135623730951, 30.0, 50.0, 50.0)
OF_ONE = (1, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0)


def test_reference_of_tumbling_windows() -> None:
    assert nine(tumbling(FIVE, 10_000_000)) == {(0, "a"): OF_FIVE, (10, "b"): OF_ONE}


def test_reference_of_sliding_windows() -> None:
    assert nine(sliding(FIVE, 10_000_000, 5_000_000)) == {
        (-5, "a"): (4, 100.0, 25.0, 10.0, 40.0, 11.180339887498949, 20.0, 40.0, 40.0),
        (0, "a"): OF_FIVE,
        (5, "a"): (1, 50.0, 50.0, 50.0, 50.0, 0.0, 50.0, 50.0, 50.0),
        (5, "b"): OF_ONE,
        (10, "b"): OF_ONE,
    }


def test_reference_of_sessions_joins_records_exactly_one_gap_apart() -> None:
    assert nine(sessions(FIVE, 5_000_000)) == {(1, "a"): OF_FIVE, (12, "b"): OF_ONE}
    assert set(nine(sessions(FIVE, 4_999_999))) == {(1, "a"), (9, "a"), (12, "b")}


def test_wrong_answers_are_found() -> None:
    reference = tumbling(FIVE, 10_000_000)
    starts, keys = [START, START + 10_000_000], ["a", "b"]
    columns = [list(pair) for pair in zip(OF_FIVE, OF_ONE, strict=True)]
    nearest = Percentiles.NEAREST_RANK

    def check(percentiles: Percentiles = nearest, **changes: object) -> None:
        answer = {"starts": starts, "keys": keys, "statistics": columns} | changes
        reference.check("engine", Answer(**answer), percentiles)  # type: ignore[arg-type]

    def with_value(column: int, value: float) -> list[list[float]]:
        changed = [list(each) for each in columns]
        changed[column][0] = value
        return changed

    check()
    check(Percentiles.WITHIN_ONE_PERCENT)
    with pytest.raises(AnswerError, match="engine: 1 results, expected 2"):
        check(keys=["a"])
    with pytest.raises(AnswerError, match="no window and key"):
        check(keys=["a", "c"])
    with pytest.raises(AnswerError, match="repeat"):
        check(starts=[START, START], keys=["a", "a"])
    with pytest.raises(AnswerError, match="stddev of"):
        check(statistics=with_value(5, 14.1422))
    with pytest.raises(AnswerError, match="average of"):
        check(statistics=with_value(2, float("nan")))
    # Of at most 64 values, percentiles are exact; interpolated ones are others.
    with pytest.raises(AnswerError, match="p50 of"):
        check(Percentiles.WITHIN_ONE_PERCENT, statistics=with_value(6, 30.1))
    with pytest.raises(AnswerError, match="p95 of"):
        check(Percentiles.LINEAR)


def test_percentiles_of_many_values_may_be_one_percent_off() -> None:
    reference = Reference()
    reference.add(START, "a", range(1_000, 66_000, 1_000))
    columns = [[column[0]] for column in reference.statistics]
    columns[6][0] *= 1.0099
    reference.check("engine", Answer([START], ["a"], columns), Percentiles.WITHIN_ONE_PERCENT)
    with pytest.raises(AnswerError, match="p50 of"):
        reference.check("engine", Answer([START], ["a"], columns), Percentiles.NEAREST_RANK)
    columns[6][0] *= 1.001
    with pytest.raises(AnswerError, match="p50 of"):
        reference.check("engine", Answer([START], ["a"], columns), Percentiles.WITHIN_ONE_PERCENT)


def test_events_are_the_same_everywhere_and_at_most_five_seconds_out_of_order(tmp_path: Path) -> None:
    some = model_events(1_000)
    assert (some.times[0], some.keys[0], some.thousandths[0]) == (
        1_767_225_603_165_141,
        "model-00-turbo",
        161_316,
    )
    latest = START
    for time in some.times:
        assert START <= time < START + 3_600_000_000
        assert time > latest - 5_000_000
        latest = max(latest, time)
    some.write_ndjson(tmp_path / "events.ndjson")
    lines = (tmp_path / "events.ndjson").read_text().splitlines()
    assert len(lines) == 1_000
    assert 300 < sum(map(len, lines)) / len(lines) < 320
    event = json.loads(lines[0])
    assert event["data"]["model"] == some.keys[0]
    assert event["data"]["latency_ms"] == some.thousandths[0] / 1_000


def test_memory_of_open_windows_is_weighed_with_the_input_given_back() -> None:
    pytest.importorskip("pyarrow")
    weights = weigh(windows=200, values=70)
    assert weights["windows"] == 200
    assert weights["open_bytes"] >= weights["empty_bytes"] > 0
    assert 200 * 70 < weights["state_bytes"] < 200 * 2_000
