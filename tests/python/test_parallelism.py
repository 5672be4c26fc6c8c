"""Threads change nothing but the time it takes."""

from __future__ import annotations

import random
from pathlib import Path

import llmopt_stream as ls
import pytest


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several chunks of records, some of them malformed, blank, late or with line ends of another system."""
    path = tmp_path_factory.mktemp("events") / "events.ndjson"
    random_ = random.Random(11)
    with path.open("w", newline="") as file:
        for number in range(30_000):
            second = number / 50 + random_.uniform(-3, 3) - (90 if number % 400 == 0 else 0)
            file.write(f'{{"ts":{max(second, 0):.6f},"data":{{"model":"m{random_.randrange(9)}"')
            file.write(',"latency_ms":' if number % 97 else ',"latency_ms:')
            file.write(f"{random_.lognormvariate(6, 1):.3f}}}}}")
            file.write(random_.choice(["\n", "\r\n", "\n\n"]))
    return path


def run(path: Path, parallelism: int, max_events: int | None = None) -> tuple[list[str], tuple[int, ...]]:
    sink = ls.CollectSink()
    summary = (
        ls.create_pipeline()
        .with_source(ls.FileSource(path))
        .with_event_time("ts", unit="s")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_sliding_window("30s", "10s", allowed_lateness="5s")
        .aggregate("data.latency_ms")
        .with_options(parallelism=parallelism)
        .with_sink(sink)
        .build()
        .run(max_events=max_events)
    )
    counts = (summary.records_in, summary.aggregated, summary.late, summary.malformed, summary.panes)
    return [result.to_json() for result in sink.results], counts


@pytest.mark.parametrize("max_events", [None, 20_000, 29_999])
def test_decoding_and_aggregating_in_threads_gives_the_same(events: Path, max_events: int | None) -> None:
    alone = run(events, 1, max_events)
    assert alone[1][0] == (max_events or 30_000)
    assert all(count > 0 for count in alone[1])
    assert run(events, 2, max_events) == alone
    assert run(events, 4, max_events) == alone


@pytest.mark.parametrize("parallelism", [0, -1, 1.5, True, "2"])
def test_wrong_parallelism_is_named(parallelism: object) -> None:
    with pytest.raises(ls.ConfigurationError, match="parallelism"):
        ls.create_pipeline().with_options(parallelism=parallelism)  # type: ignore[arg-type]
