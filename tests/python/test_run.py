from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING, Any

import llmopt_stream as ls
import pyarrow
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORDS = [{"t": second, "v": float(second)} for second in range(5_000)]


def builder(source: ls.Source) -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline("run")
        .with_event_time("t", unit="s")
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark(0))
        .with_tumbling_window("1000s")
        .aggregate("v", ["count", "max"])
        .with_source(source)
    )


def counts(sink: ls.CollectSink) -> list[int]:
    return [result.results["count"] for result in sink.results]


class Batches(ls.Source):
    """Lists and Arrow tables, mixed."""

    def batches(self) -> Iterator[Any]:
        yield RECORDS[:700]
        yield pyarrow.Table.from_pylist(RECORDS[700:1400])
        yield []
        yield RECORDS[1400:]


def sources(folder: Path) -> dict[str, ls.Source]:
    lines = "".join(f"{json.dumps(record)}\n" for record in RECORDS)
    (folder / "a.ndjson").write_text(lines)
    (folder / "a.ndjson.gz").write_bytes(gzip.compress(lines.encode()))
    table = pyarrow.Table.from_pylist(RECORDS)
    return {
        "list": ls.IterableSource(RECORDS),
        "iterator": ls.IterableSource(iter(RECORDS)),
        "file": ls.FileSource(folder / "a.ndjson"),
        "gzip": ls.FileSource(folder / "a.ndjson.gz"),
        "arrow": ls.ArrowSource(table),
        "arrow batches": ls.ArrowSource(table.to_batches(max_chunksize=1_000)),
        "own": Batches(),
    }


@pytest.mark.parametrize("name", ["list", "iterator", "file", "gzip", "arrow", "arrow batches", "own"])
def test_max_events_is_exact_and_ends_the_input(name: str, tmp_path: Path) -> None:
    sink = ls.CollectSink()
    pipeline = builder(sources(tmp_path)[name]).with_sink(sink).build()
    summary = pipeline.run(max_events=2_345)
    assert summary.records_in == 2_345
    assert counts(sink) == [1_000, 1_000, 345]


@pytest.mark.parametrize("name", ["list", "file", "gzip", "arrow", "arrow batches", "own"])
def test_without_limits_a_run_goes_to_the_end_of_its_source_and_may_be_repeated(
    name: str, tmp_path: Path
) -> None:
    sink = ls.CollectSink()
    pipeline = builder(sources(tmp_path)[name]).with_sink(sink).build()
    for _ in range(2):
        assert pipeline.run(max_events=10**9).records_in == 5_000
        assert counts(sink) == [1_000] * 5


def test_max_events_takes_no_more_from_an_iterator() -> None:
    records = iter(RECORDS)
    builder(ls.IterableSource(records)).build().run(max_events=10)
    assert next(records) == RECORDS[10]


def test_max_events_counts_malformed_records(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"t": 1, "v": 1}\nbroken\n\n{"t": 2, "v": 2}\n')
    summary = builder(ls.FileSource(tmp_path / "a.ndjson")).build().run(max_events=2)
    assert (summary.records_in, summary.aggregated, summary.malformed) == (2, 1, 1)


def test_max_events_of_zero_reads_nothing() -> None:
    sink = ls.CollectSink()
    assert builder(ls.IterableSource(RECORDS)).with_sink(sink).build().run(max_events=0).records_in == 0
    assert sink.results == []


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "10"])
def test_wrong_max_events_are_refused(wrong: Any) -> None:
    with pytest.raises(ls.ConfigurationError, match=r"run: max_events: .* must be an integer of at least 0"):
        builder(ls.IterableSource(RECORDS)).build().run(max_events=wrong)


def test_after_the_timeout_the_input_counts_as_ended() -> None:
    endless = ({"t": second % 900, "v": 1.0} for second in itertools.count())
    sink = ls.CollectSink()
    summary = builder(ls.IterableSource(endless)).with_sink(sink).build().run(timeout="30ms")
    assert summary.records_in > 0
    assert sum(counts(sink)) + summary.late == summary.records_in
    assert summary.duration.total_seconds() >= 0.03


def test_results_of_a_slow_iterator_do_not_wait_for_a_whole_batch() -> None:
    seen = threading.Event()
    taken = 0

    def records() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for second in itertools.count(0, 1_000):
            taken += 1
            yield {"t": second, "v": 1.0}
            if seen.wait(0.06) or taken == 100:
                return

    builder(ls.IterableSource(records())).with_sink(ls.CallbackSink(lambda _: seen.set())).build().run()
    assert taken < 10


def test_stop_does_not_fire_windows_that_are_not_complete() -> None:
    sink = ls.CollectSink()
    endless = ({"t": second, "v": 1.0} for second in itertools.count())
    stopping = ls.CallbackSink(lambda _: pipeline.stop())
    pipeline = builder(ls.IterableSource(endless)).with_sink(sink).with_sink(stopping).build()
    summary = pipeline.run()
    assert counts(sink) == [1_000] * (summary.records_in // 1_000)
    assert summary.aggregated == summary.records_in > 1_000


@pytest.mark.parametrize("run", [ls.StreamPipeline.run, lambda pipeline: asyncio.run(pipeline.run_async())])
def test_a_stop_before_a_run_ends_it_at_once(run: Any) -> None:
    sink = ls.CollectSink()
    pipeline = builder(ls.IterableSource(RECORDS)).with_sink(sink).build()
    pipeline.stop()
    assert not pipeline.stopped
    assert run(pipeline).records_in == 0
    assert pipeline.stopped
    assert sink.results == []
    assert run(pipeline).records_in == len(RECORDS)
    assert not pipeline.stopped


def test_off_the_main_thread_signals_are_left_alone() -> None:
    handlers: list[Any] = []
    sink = ls.CallbackSink(lambda _: handlers.append(signal.getsignal(signal.SIGINT)))
    pipeline = builder(ls.IterableSource(RECORDS)).with_sink(sink).build()
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=pipeline.run)
    thread.start()
    thread.join()
    assert handlers == [before] * 5
    pipeline.run()
    assert before not in handlers[5:]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_failing_sink_aborts_every_sink_and_the_run() -> None:
    closed: list[str] = []

    class Failing(ls.Sink):
        def __init__(self, name: str) -> None:
            self.name = name

        def send(self, result: Any) -> None:
            if self.name == "second":
                raise OSError("full")

        def close(self) -> None:
            closed.append(f"close {self.name}")

        def abort(self) -> None:
            closed.append(f"abort {self.name}")

    pipeline = (
        builder(ls.IterableSource(RECORDS)).with_sink(Failing("first")).with_sink(Failing("second")).build()
    )
    with pytest.raises(OSError, match="full"):
        pipeline.run()
    assert closed == ["abort second", "abort first"]
    with pytest.raises(OSError, match="full"):  # and it is not running any more
        pipeline.run()


def test_run_async_returns_the_summary_and_awaits_sinks_on_the_callers_loop() -> None:
    loops: set[asyncio.AbstractEventLoop] = set()
    results: list[int] = []

    class Async(ls.Sink):
        async def open(self) -> None:
            loops.add(asyncio.get_running_loop())

        async def send(self, result: ls.AggregationResult) -> None:
            await asyncio.sleep(0)
            results.append(result.results["count"])

        async def close(self) -> None:
            loops.add(asyncio.get_running_loop())

    async def main() -> ls.RunSummary:
        summary = (
            await builder(ls.IterableSource(RECORDS)).with_sink(Async()).build().run_async(max_events=1_500)
        )
        assert loops == {asyncio.get_running_loop()}
        return summary

    assert asyncio.run(main()).records_in == 1_500
    assert results == [1_000, 500]


def test_async_sinks_of_one_run_share_a_loop_even_where_one_is_running_already() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def take(_: Any) -> None:
        loops.append(asyncio.get_running_loop())

    async def notebook() -> None:
        builder(ls.IterableSource(RECORDS)).with_sink(ls.CallbackSink(take)).build().run()

    asyncio.run(notebook())
    assert len(loops) == 5
    assert len(set(loops)) == 1
    assert loops[0].is_closed()


def test_cancelling_run_async_stops_the_run_in_good_order() -> None:
    closed = threading.Event()

    class Watched(ls.CollectSink):
        def close(self) -> None:
            closed.set()

    async def main() -> None:
        fired = asyncio.Event()
        loop = asyncio.get_running_loop()
        endless = ({"t": second, "v": 1.0} for second in itertools.count())
        sink = ls.CallbackSink(lambda _: loop.call_soon_threadsafe(fired.set))
        pipeline = builder(ls.IterableSource(endless)).with_sink(sink).with_sink(Watched()).build()
        task = asyncio.create_task(pipeline.run_async())
        await fired.wait()
        with pytest.raises(ls.PipelineError, match="already running"):
            pipeline.run()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed.is_set()
        assert (await pipeline.run_async(max_events=5)).records_in == 5

    asyncio.run(main())


SCRIPT = """
    import signal, sys, time
    import llmopt_stream as ls
    pipeline = (
        ls.create_pipeline("signals")
        .with_source({source})
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", ["count"])
        .with_sink(ls.ConsoleSink())
        .build()
    )
    summary = pipeline.run()
    print("summary", summary.panes, summary.records_in, flush=True)
    sys.exit(0 if signal.getsignal(signal.SIGINT) is signal.default_int_handler else 1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_run_over_a_large_input_with_its_output_drained(number: signal.Signals) -> None:
    script = textwrap.dedent(SCRIPT.format(source="ls.GeneratorSource(events=10**9)"))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert json.loads(first)["pane"]["timing"] == "on_time"
        sent_at = time.monotonic()
        process.send_signal(number)
        lines = process.stdout.read().splitlines()
        assert process.wait() == 0
        seconds = time.monotonic() - sent_at
    *panes, summary = lines
    assert summary.split()[:2] == ["summary", str(len(panes) + 1)]
    assert seconds < 5, "100 ms on an idle machine"


def test_signal_ends_a_run_whose_standard_input_has_nothing() -> None:
    script = textwrap.dedent(SCRIPT.format(source="ls.FileSource('-')"))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for minute in (0, 1):
            record = {"timestamp": f"2026-01-01T00:0{minute}:30Z", "data": {"latency_ms": 1}}
            process.stdin.write(f"{json.dumps(record)}\n")
        process.stdin.write('{"timestamp": "2026-01-01T00:0')  # a line that is not whole yet
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["results"] == {"count": 1}
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "summary 1 2\n"
        assert process.wait() == 0
        process.stdin.close()


def test_a_line_that_comes_in_parts_is_one_record() -> None:
    script = textwrap.dedent(SCRIPT.format(source="ls.FileSource('-')"))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(
            '{"timestamp": "2026-01-01T00:00:30Z"}\n{"timestamp": "2026-01-01T00:01:30Z"}\n{"time'
        )
        process.stdin.flush()
        process.stdout.readline()
        process.stdin.write('stamp": "2026-01-01T00:02:30Z"}')
        process.stdin.close()
        assert process.stdout.read().splitlines()[-1] == "summary 3 3"
        assert process.wait() == 0


def test_a_run_takes_no_more_records_at_once_than_its_buffer_size() -> None:
    taken: list[int] = []
    rows = [{"timestamp": index, "value": 1} for index in range(25)]
    pipeline = (
        ls.create_pipeline()
        .with_event_time("timestamp", unit="s")
        .with_count_window(1)
        .aggregate("value", ["count"])
        .with_source(ls.IterableSource(rows))
        .with_options(buffer_size=10)
    )

    class Sizes(ls.Sink):
        def send_batch(self, table: ls.ResultTable) -> None:  # type: ignore[override]
            taken.append(len(table))

    pipeline.with_sink(Sizes()).build().run()
    assert taken == [10, 10, 5]
    with pytest.raises(ls.ConfigurationError, match="buffer_size"):
        pipeline.with_options(buffer_size=0)
