"""The scripts of examples/: what they print, and what they compute beside a plain program over all records."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from loaded_module import loaded

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> Any:
    return loaded(EXAMPLES / f"{name}.py")


def minute_of(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["timestamp"]).replace(second=0, microsecond=0)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_run_as_scripts(path: Path) -> None:
    ran = subprocess.run([sys.executable, path], check=True, capture_output=True, text=True)
    first, *rest = ran.stdout.splitlines()
    assert " records in " in first
    assert len(rest) > 5


@pytest.mark.parametrize("seed", [7, 8])
def test_click_analytics_counts_clicks_and_tracks_sessions(seed: int) -> None:
    module = example("click_analytics")
    clicks = list(module.clicks(4000, seed))
    page_clicks, sessions, trending = ls.CollectSink(), ls.CollectSink(), ls.CollectSink()
    builder = module.analytics(page_clicks, sessions, trending).with_source(ls.IterableSource(clicks))
    summary = builder.build().run()

    expected = Counter((minute_of(click), click["page_url"]) for click in clicks)
    counted = {
        (pane.window.start, pane.key["page_url"]): pane.results["count"] for pane in page_clicks.results
    }
    assert (counted, len(page_clicks.results)) == (expected, len(expected))

    times = defaultdict(list)
    for click in clicks:
        times[click["user_id"]].append(datetime.fromisoformat(click["timestamp"]))
    tracked = []
    for user, of_user in times.items():
        of_session: list[datetime] = []
        for time in [*sorted(of_user), None]:
            if of_session and (time is None or time - of_session[-1] > timedelta(minutes=30)):
                duration = (of_session[-1] - of_session[0]).total_seconds()
                session = {
                    "type": "session_end",
                    "user_id": user,
                    "duration": duration,
                    "page_views": len(of_session),
                }
                tracked.append((of_session[-1], user, session))
                of_session = []
            if time is not None:
                of_session.append(time)
    tracked.sort(key=lambda each: each[:2])
    assert [(event.timestamp, event.key["user_id"], event.data) for event in sessions.results] == tracked

    by_window = defaultdict(list)
    for event in trending.results:
        by_window[event.data["window_end"]].append(event.data)
    assert len(by_window) > 60
    for end, ranked in by_window.items():
        scores: dict[str, float] = defaultdict(float)
        for click in clicks:
            if (age := end - datetime.fromisoformat(click["timestamp"])) > timedelta(0):
                scores[click["page_url"]] += 0.5 ** (age / timedelta(minutes=1))
        best = sorted(scores, key=lambda page: -scores[page])[:3]
        assert [(page["rank"], page["page_url"]) for page in ranked] == list(enumerate(best, 1))
        assert [page["score"] for page in ranked] == pytest.approx([scores[page] for page in best], abs=1e-6)
    assert len(tracked) > len(times)
    assert (summary.records_in, summary.late, summary.errors) == (4000, 0, 0)


@pytest.mark.parametrize("seed", [7, 8])
def test_cost_alerts_come_once_per_tenant_and_cool_down(seed: int) -> None:
    module = example("cost_alerts")
    calls = list(module.calls(20_000, seed))
    sink = ls.CollectSink()
    summary = module.alerts().with_source(ls.IterableSource(calls)).with_sink(sink).build().run()

    once = {call["id"]: call for call in calls if call["error"] is None}
    minutes = defaultdict(list)
    for call in once.values():
        minutes[minute_of(call), call["tenant"]].append(call)
    expected, quiet_until = [], {}
    for (minute, tenant), of_minute in sorted(minutes.items()):
        slow = sum(call["latency_ms"] > module.SLOW_MS for call in of_minute) / len(of_minute)
        broken = ["cost_sum"] if sum(call["cost_usd"] for call in of_minute) > module.COST_PER_MINUTE else []
        broken += ["slow_average"] if slow > module.SLOW_SHARE else []
        if broken and minute >= quiet_until.get(tenant, minute):
            quiet_until[tenant] = minute + module.COOL_DOWN
            expected.append({"tenant": tenant, "minute": minute, "broken": broken})
    assert [event.data for event in sink.results] == expected
    assert len(expected) > 10
    assert summary.filtered == len(calls) - len(once)
    assert summary.aggregated == len(once)


@pytest.mark.parametrize("seed", [7, 8])
def test_enriched_slo_counts_each_call_once_against_its_own_objective(seed: int) -> None:
    module = example("enriched_slo")
    calls = list(module.calls(3000, seed))
    sink = ls.CollectSink()
    summary = module.objectives(sink).with_source(ls.IterableSource(calls)).build().run()

    contracts = {each["tenant"]: each for each in module.CONTRACTS}
    once = {call["id"]: call for call in calls}
    assert len(once) == 3000 < len(calls)
    expected = defaultdict(list)
    for call in once.values():
        if contract := contracts.get(call["tenant"]):
            expected[minute_of(call), contract["tier"]].append(
                (call["ms"], call["ms"] <= contract["objective_ms"])
            )
    found = {
        (pane.window.start, pane.key["tier"]): (pane.results["count"], pane.results["met_average"])
        for pane in sink.results
    }
    assert found == {
        key: (len(of_key), pytest.approx(sum(met for _, met in of_key) / len(of_key)))
        for key, of_key in expected.items()
    }
    assert len(sink.results) == len(expected)
    unknown = sum(call["tenant"] == "unknown" for call in once.values())
    assert summary.filtered == len(calls) - len(once) + unknown
