from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from llmopt_stream import pane_display as display
from llmopt_stream.pane_display import Frame, LiveDisplay, PaneLayout, PlainDisplay, ValueColumn
from llmopt_stream.sinks import Sink

LAYOUT = PaneLayout(
    keys=("model",), values=(ValueColumn("count", "count", "d"), ValueColumn("ms", "p50", ".1f"))
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def pane(minute: int, model: str | None, count: int, p50: float | None) -> Any:
    start = START + timedelta(minutes=minute)
    return SimpleNamespace(
        window=SimpleNamespace(start=start, end=start + timedelta(minutes=1)),
        key=SimpleNamespace(values=lambda: (model,)),
        results={"count": count, "p50": p50},
    )


class RecordingScreen:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.frames: list[Frame] = []

    def open(self) -> None:
        self.calls.append("open")

    def draw(self, frame: Frame) -> None:
        self.calls.append("draw")
        self.frames.append(frame)

    def close(self) -> None:
        self.calls.append("close")


def halfway() -> float:
    return 0.5


def show(sink: Sink, *panes: Any) -> None:
    """As a run does it."""
    sink.open()
    try:
        for each in panes:
            sink.send(each)
    finally:
        sink.close()


def test_plain_panes_are_aligned_lines_under_one_header(capsys: pytest.CaptureFixture[str]) -> None:
    show(PlainDisplay(LAYOUT), pane(0, "opus", 3, 12.25), pane(1, None, 0, None))
    assert capsys.readouterr().out.splitlines() == [
        "window_start          model                  count            ms",
        "2026-01-01T00:00:00Z  opus                       3          12.2",
        "2026-01-01T00:01:00Z  -                          0             -",
    ]


def test_live_table_holds_the_last_window_of_each_key() -> None:
    screen = RecordingScreen()
    panes = pane(0, "opus", 3, 1.0), pane(0, "haiku", 4, 2.0), pane(1, "opus", 5, 3.0)
    show(LiveDisplay(LAYOUT, halfway, screen), *panes)
    last = screen.frames[-1]
    assert last.header == ("model", "window", "count", "ms")
    assert last.rows == [("haiku", "00:00", "4", "2.0"), ("opus", "00:01", "5", "3.0")]
    assert last.fraction == 0.5
    assert last.caption == "complete until 2026-01-01 00:02 UTC"


def test_live_table_is_drawn_ten_times_a_second_at_most() -> None:
    screen = RecordingScreen()
    show(LiveDisplay(LAYOUT, halfway, screen), *(pane(minute, "opus", 1, 1.0) for minute in range(500)))
    # The first pane, the last state, and a few more on a slow machine.
    assert 2 <= screen.calls.count("draw") < 50


def test_screen_is_closed_when_drawing_fails() -> None:
    class BrokenScreen(RecordingScreen):
        def draw(self, frame: Frame) -> None:
            raise OSError("no terminal")

    screen = BrokenScreen()
    with pytest.raises(OSError, match="no terminal"):
        show(LiveDisplay(LAYOUT, halfway, screen), pane(0, "opus", 3, 1.0))
    assert screen.calls == ["open", "close"]


def test_live_display_without_a_pane_draws_nothing() -> None:
    screen = RecordingScreen()
    show(LiveDisplay(LAYOUT, halfway, screen))
    assert screen.calls == ["open", "close"]


def test_ansi_lines_stay_within_the_terminal() -> None:
    rows = [(f"model-{i}", "00:00", "1", "1.0") for i in range(30)]
    frame = Frame("complete until now", 1.0, ("model", "window", "count", "ms"), rows, 2)
    for columns, lines in [(80, 24), (20, 10), (120, 40)]:
        text = display.ansi_lines(frame, columns, lines)
        assert len(text) < lines
        assert max(len(re.sub(r"\x1b\[\d*m", "", line)) for line in text) < columns
    assert display.ansi_lines(frame, 80, 24)[-1] == "... and 11 more rows"
    assert display.ansi_lines(frame, 80, 40)[-1].startswith("model-29")


def test_ansi_screen_draws_in_place_and_gives_the_cursor_back(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    show(LiveDisplay(LAYOUT, halfway, display._AnsiScreen()), pane(0, "opus", 3, 1.0))
    text = capsys.readouterr().out
    assert text.startswith("\x1b[?25l")
    assert text.endswith("\x1b[?25h")
    # Two draws of three lines: the second goes up by three.
    assert text.count("\x1b[3F") == 1


def test_rich_screen_shows_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rich")
    panes = pane(0, "opus", 3, 1.0), pane(1, "[bold]", 3, 1.0)
    show(LiveDisplay(LAYOUT, halfway, display._RichScreen()), *panes)
    text = capsys.readouterr().out
    assert "complete until 2026-01-01 00:02 UTC" in text
    assert "[bold]" in text


def test_output_that_is_no_terminal_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(display.pane_display(LAYOUT, halfway), PlainDisplay)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(display.pane_display(LAYOUT, halfway), PlainDisplay)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(display.pane_display(LAYOUT, halfway), LiveDisplay)
