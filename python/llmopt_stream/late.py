"""What to do with records that come after their windows have expired."""

from __future__ import annotations

from .errors import ConfigurationError
from .sinks import Sink
from .units import Duration, duration_micros, duration_text

__all__ = ["LateEventHandler"]


class LateEventHandler:
    """How long windows take late records, and where later ones go.

    `allowed_lateness` may be said here or at the window. Each record that is later goes to the sink as a
    LateEvent: the record itself, its key and windows, and the watermark that it was judged under. Keeping
    records until they are judged costs time, so without a sink they are only counted.

    >>> from llmopt_stream import CollectSink
    >>> LateEventHandler("60s").with_side_output(CollectSink())
    LateEventHandler('1m', side_output=CollectSink)
    """

    def __init__(self, allowed_lateness: Duration | None = None) -> None:
        self._allowed_lateness = (
            None
            if allowed_lateness is None
            else duration_micros(allowed_lateness, "LateEventHandler: allowed_lateness")
        )
        self._sink: Sink | None = None

    def with_side_output(self, sink: Sink) -> LateEventHandler:
        """Where records go that no window took; a new handler."""
        if not isinstance(sink, Sink):
            raise ConfigurationError(
                f"with_side_output: {sink!r} is not a Sink; expected ConsoleSink, CollectSink, CallbackSink "
                "or a subclass of Sink"
            )
        handler = LateEventHandler()
        handler._allowed_lateness = self._allowed_lateness
        handler._sink = sink
        return handler

    @property
    def allowed_lateness(self) -> int | None:
        """In microseconds; None where the window says it."""
        return self._allowed_lateness

    @property
    def side_output(self) -> Sink | None:
        return self._sink

    def __repr__(self) -> str:
        parts = [] if self._allowed_lateness is None else [repr(duration_text(self._allowed_lateness))]
        parts += [] if self._sink is None else [f"side_output={self._sink}"]
        return f"LateEventHandler({', '.join(parts)})"
