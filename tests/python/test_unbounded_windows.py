"""Windows without start and end, those by count and the global one, wherever results are shown."""

from __future__ import annotations

import llmopt_stream as ls
import pytest

ROWS = [{"ts": index, "key": "ab"[index % 2], "value": index} for index in range(6)]
BUILDER = (
    ls.create_pipeline().with_event_time("ts", unit="us").key_by("key").aggregate("value", ["count", "sum"])
)


def table() -> ls.ResultTable:
    with BUILDER.with_count_window(2).open() as session:
        results = session.push(ROWS)
    assert isinstance(results, ls.ResultTable)
    return results


def test_start_and_end_are_null_everywhere() -> None:
    results = table()
    assert [(row["window_start"], row["window_end"], row["sum"]) for row in results.to_dicts()] == [
        (None, None, 2.0),
        (None, None, 4.0),
    ]
    assert results.to_arrow().column("window_start").to_pylist() == [None, None]
    assert results[0].window == ls.Window(None, None)
    assert results[0].to_dict()["window"] == {"start": None, "end": None}


def test_panes_of_a_key_are_told_apart_by_their_index() -> None:
    with BUILDER.with_count_window(1).open() as session:
        assert [(pane.key["key"], pane.pane.index) for pane in session.push(ROWS[:4])] == [
            ("a", 0),
            ("b", 0),
            ("a", 1),
            ("b", 1),
        ]


def test_they_are_plotted_by_index() -> None:
    axes = table().plot("sum")
    assert axes.get_xlabel() == "pane index"
    assert [list(line.get_xdata()) for line in axes.get_lines()] == [[0], [0]]


def test_the_global_window_is_complete_at_the_end_of_the_input() -> None:
    with BUILDER.with_global_window().open() as session:
        assert len(session.push(ROWS)) == 0
        assert [(pane.results["count"], pane.pane.is_last) for pane in session.flush()] == [
            (3, True),
            (3, True),
        ]


@pytest.mark.parametrize("assigner", [ls.CountWindowAssigner(2), ls.GlobalWindowAssigner()])
def test_no_record_is_late_for_them_so_lateness_is_refused(assigner: ls.WindowAssigner) -> None:
    with pytest.raises(ls.ConfigurationError, match="allowed_lateness"):
        assigner.with_allowed_lateness("1s")
    with pytest.raises(ls.ConfigurationError, match="allowed_lateness"):
        BUILDER.with_window(assigner).with_late_event_handler(ls.LateEventHandler("1s")).open()


def test_a_trigger_on_count_windows_is_refused() -> None:
    with pytest.raises(ls.ConfigurationError, match="with_trigger"):
        BUILDER.with_count_window(2).with_trigger(ls.CountTrigger(1)).open()
