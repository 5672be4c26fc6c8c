"""Click analytics in one pass: clicks per page and minute, sessions of users, and trending pages.

    python examples/click_analytics.py --clicks 5000 --seed 7

The clicks are generated: a few hundred users go from page to page, come back after hours, and some clicks arrive
half a minute late.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import llmopt_stream as ls

PAGES = ["/", "/pricing", "/docs", "/docs/windows", "/docs/triggers", "/blog", "/signup"]
START = datetime(2026, 1, 1, tzinfo=UTC)
OUT_OF_ORDER = timedelta(seconds=30)


def clicks(count: int, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Clicks in the order of their arrival, none of which comes more than OUT_OF_ORDER after a later one."""
    rng = random.Random(seed)
    arriving = []
    for number in range(count):
        time = START + timedelta(seconds=number * 5)
        # Users are awake for an hour of every four.
        user = rng.randrange(40) * 4 + number // 720 % 4
        click = {
            "user_id": f"user-{user:03}",
            "page_url": rng.choices(PAGES, weights=range(len(PAGES), 0, -1))[0],
            "element": rng.choice(["link", "button", "image"]),
            "timestamp": time.isoformat(),
        }
        arriving.append((time + rng.random() * OUT_OF_ORDER, number, click))
    for _, _, click in sorted(arriving, key=lambda each: each[:2]):
        yield click


def analytics(page_clicks: ls.Sink, sessions: ls.Sink, trending: ls.Sink) -> ls.StreamPipelineBuilder:
    """What is computed of clicks: each branch has a key and a sink of its own."""
    return (
        ls.create_pipeline("click-analytics")
        .with_event_time("timestamp")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(OUT_OF_ORDER))
        .branch("page_clicks")
        .key_by("page_url")
        .with_tumbling_window("1m")
        .aggregate(ls.col("page_url").is_not_null(), ["count"])
        .with_sink(page_clicks)
        .branch("sessions")
        .key_by("user_id")
        .track_sessions("30m")
        .with_sink(sessions)
        .branch("trending")
        .key_by("page_url")
        .trending(half_life="1m", top=3, window="5m")
        .with_sink(trending)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clicks", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    page_clicks, sessions, trending = ls.CollectSink(), ls.CollectSink(), ls.CollectSink()
    source = ls.IterableSource(clicks(args.clicks, args.seed))
    print(analytics(page_clicks, sessions, trending).with_source(source).build().run())

    print("\nthe busiest minutes")
    busiest = sorted(page_clicks.results, key=lambda pane: -pane.results["count"])[:5]
    for pane in busiest:
        print(f"  {pane.window.start:%H:%M}  {pane.key['page_url']:<16} {pane.results['count']:>3} clicks")

    print("\nthe longest sessions")
    longest = sorted((event.data for event in sessions.results), key=lambda session: -session["duration"])[:5]
    for session in longest:
        print(f"  {session['user_id']}  {session['duration'] / 60:>5.1f} min, {session['page_views']} pages")

    print("\ntrending at the end")
    for event in trending.results[-3:]:
        page = event.data
        print(f"  {page['rank']}. {page['page_url']:<16} {page['score']:.2f} at {page['window_end']:%H:%M}")


if __name__ == "__main__":
    main()
