"""The demonstration: `llmopt-stream demo`."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import llmopt_stream as ls

from ._core import FeedbackGenerator
from .errors import ConfigurationError
from .inference_trace import write_trace_events
from .pane_display import PaneLayout, ValueColumn, pane_display

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["demo_events", "demo_trace", "feedback_pipeline", "trace_pipeline"]


def feedback_pipeline(source: ls.Source) -> ls.StreamPipelineBuilder:
    """Latency and cost per model, region and minute; the builder has no sink yet."""
    return (
        ls.create_pipeline("demo")
        .with_source(source)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model", "metadata.region")
        .with_tumbling_window("1m", allowed_lateness="0s")
        .aggregate("data.latency_ms", ["count", "p50", "p95", "p99"])
        .aggregate("data.cost_usd", ["sum"], prefix="cost_")
    )


_FEEDBACK_LAYOUT = PaneLayout(
    keys=("model", "region"),
    values=(
        ValueColumn("count", "count", "d"),
        ValueColumn("p50_ms", "p50", ".1f"),
        ValueColumn("p95_ms", "p95", ".1f"),
        ValueColumn("p99_ms", "p99", ".1f"),
        ValueColumn("cost_usd", "cost_sum", ".4f"),
    ),
)


def trace_pipeline(source: ls.Source) -> ls.StreamPipelineBuilder:
    """Requests and tokens per minute of a trace; the builder has no sink yet."""
    return (
        ls.create_pipeline("demo-trace")
        .with_source(source)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1m", allowed_lateness="0s")
        .aggregate("data.prompt_tokens", ["count", "p50", "p95", "p99", "sum"], prefix="context_")
        .aggregate("data.completion_tokens", ["p50", "p95", "p99", "sum"], prefix="generated_")
    )


_TRACE_LAYOUT = PaneLayout(
    keys=("trace",),
    values=(
        ValueColumn("requests", "context_count", "d"),
        *(ValueColumn(f"context_{name}", f"context_{name}", ".0f") for name in ("p50", "p95", "p99", "sum")),
        *(ValueColumn(f"gen_{name}", f"generated_{name}", ".0f") for name in ("p50", "p95", "p99", "sum")),
    ),
)


def demo_events(*, events: int, seed: int, keep: Path | None) -> int:
    """Generate events and aggregate them; the exit code is 1 where the accounts do not balance."""
    with _events_file(keep) as path:
        print(f"Generating {events:,} events (seed {seed}) ... ", end="", flush=True)
        started = time.perf_counter()
        counts = FeedbackGenerator(seed=seed, events=events).write(bytes(path))
        seconds = time.perf_counter() - started
        print(f"{counts['bytes'] / 1e6:,.1f} MB in {seconds:.1f} s{_kept(keep)}")
        expected = _Expected(records=counts["records"], malformed=sum(counts["malformed"].values()))
        source = ls.FileSource(path, format="ndjson")
        return _run(feedback_pipeline(source), source, _FEEDBACK_LAYOUT, expected)


def demo_trace(trace: Path, *, keep: Path | None) -> int:
    """Aggregate a trace; exit code as for `demo_events`."""
    if keep is not None and keep.exists() and trace.exists() and keep.samefile(trace):
        raise ConfigurationError("--keep: this is the trace itself, which would be lost")
    with _events_file(keep) as path:
        print(f"Converting {trace} ... ", end="", flush=True)
        started = time.perf_counter()
        counts = write_trace_events(trace, path)
        seconds = time.perf_counter() - started
        print(f"{counts.rows:,} rows in {seconds:.1f} s{_kept(keep)}")
        # Which times are unusable, the pipeline alone can say.
        expected = _Expected(records=counts.rows, malformed=None)
        source = ls.FileSource(path, format="ndjson")
        layout = replace(_TRACE_LAYOUT, key_width=len(trace.stem))
        return _run(trace_pipeline(source), source, layout, expected)


@contextmanager
def _events_file(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="llmopt-stream-") as folder:
            yield Path(folder) / "events.ndjson"
        return
    if keep.is_dir() or not keep.absolute().parent.is_dir():
        raise ConfigurationError(f"--keep: {keep} is not a file in an existing folder")
    if keep.suffix in {".gz", ".zst"}:
        raise ConfigurationError(f"--keep: the events are not compressed; choose another name than {keep}")
    yield keep


def _kept(keep: Path | None) -> str:
    return "" if keep is None else f", kept in {keep}"


class _Expected(NamedTuple):
    records: int
    malformed: int | None


def _run(
    builder: ls.StreamPipelineBuilder, source: ls.Source, layout: PaneLayout, expected: _Expected
) -> int:
    summary = builder.with_sink(pane_display(layout, source.progress)).build().run()
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in summary.malformed_by_kind.items())
    print()
    print(f"records in  {summary.records_in:>14,}")
    print(f"  aggregated{summary.aggregated:>14,}")
    print(f"  late      {summary.late:>14,}" + ("  (their minute was complete)" if summary.late else ""))
    print(f"  malformed {summary.malformed:>14,}" + (f"  ({kinds})" if kinds else ""))
    print(f"panes       {summary.panes:>14,}")
    print(f"wall time   {summary.duration.total_seconds():>14.2f} s")
    print(f"throughput  {summary.throughput:>14,.0f} events/s")
    if summary.records_in < expected.records:
        print(f"stopped early: {summary.records_in:,} of {expected.records:,} records were read")
        return 1
    complete = summary.records_in == expected.records
    balanced = summary.records_in == summary.aggregated + summary.late + summary.malformed
    found = expected.malformed in {None, summary.malformed}
    good = complete and balanced and found
    print(
        "check: records_in = aggregated + late + malformed: "
        f"{summary.records_in:,} = {summary.aggregated:,} + {summary.late:,} + {summary.malformed:,}: "
        f"{'ok' if good else 'WRONG'}"
    )
    if not good and expected.malformed is not None:
        print(f"written were {expected.records:,} records, {expected.malformed:,} of them malformed")
    return 0 if good else 1
