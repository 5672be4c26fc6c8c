"""A second chance for late records."""

from __future__ import annotations

from collections.abc import Iterable

from .builder import StreamPipelineBuilder
from .errors import ConfigurationError
from .pipeline import StreamPipeline
from .push_session import PushSession, Results
from .units import MICROSECOND
from .watermarks import LateEvent

__all__ = ["reprocess"]


def reprocess(
    late: Iterable[LateEvent], *, into: StreamPipelineBuilder | StreamPipeline | PushSession
) -> Results:
    """Hands the records of late events, earliest first, to another pipeline, and returns its results.

    A builder or a pipeline gets a push session of its own, whose input ends after them: every window
    completes. An open push session only gets the records, as more of its input; what it still finds too
    late is counted there as `late` once more.

    >>> from llmopt_stream import CollectSink, LateEventHandler, create_pipeline
    >>> minutes = create_pipeline().with_event_time("t", unit="s").with_tumbling_window("1m").aggregate("v", ["sum"])
    >>> too_late = CollectSink()
    >>> session = minutes.with_late_event_handler(LateEventHandler().with_side_output(too_late)).open()
    >>> table = session.advance_watermark("1970-01-01T01:00:00Z")
    >>> table = session.push([{"t": 70, "v": 1}, {"t": 10, "v": 2}, {"t": 80, "v": 4}])
    >>> [result.results for result in reprocess(too_late.results, into=minutes)]
    [{'sum': 2.0}, {'sum': 5.0}]
    """
    events = list(late)
    for event in events:
        if not isinstance(event, LateEvent):
            raise ConfigurationError(
                f"reprocess: late: {event!r} is not a LateEvent; expected those of a side output"
            )
    records = [
        event.event
        for event in sorted(
            events, key=lambda event: (int(event.watermark) - event.lateness // MICROSECOND, event.position)
        )
    ]
    if isinstance(into, PushSession):
        return into.push(records)
    if not isinstance(into, StreamPipelineBuilder | StreamPipeline):
        raise ConfigurationError(f"reprocess: into: {into!r} is not a builder, a pipeline or a push session")
    with into.open() as session:
        pushed = session.push(records)
        flushed = session.flush()
    if isinstance(pushed, dict) and isinstance(flushed, dict):
        for name, table in pushed.items():
            table.extend(flushed[name])
    elif not isinstance(pushed, dict) and not isinstance(flushed, dict):
        pushed.extend(flushed)
    return pushed
