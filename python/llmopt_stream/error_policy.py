"""What is to become of exceptions in users' aggregators and functions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .errors import ConfigurationError, ProcessorError
from .events import GroupingKey
from .sinks import Sink
from .units import Duration, duration_micros, duration_text
from .windows import Window

if TYPE_CHECKING:
    from .kafka_record import KafkaRecord

__all__ = ["ErrorEvent", "ErrorHandler", "ErrorPolicy"]


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """One of `fail()`, `skip()`, `retry(…)` and `dead_letter()`.

    >>> ErrorPolicy.retry(max_attempts=5)
    ErrorPolicy.retry(max_attempts=5, initial_delay='100ms', max_delay='5s')
    """

    kind: str
    max_attempts: int = 1
    initial_delay: int = 0
    """In microseconds."""
    max_delay: int = 0

    @classmethod
    def fail(cls) -> ErrorPolicy:
        """The pipeline ends with the error. So it is where nothing else is said."""
        return cls("fail")

    @classmethod
    def skip(cls) -> ErrorPolicy:
        """What failed is left out and counted as `errors`: a value that could not be added; a result, which is
        then null.
        """
        return cls("skip")

    @classmethod
    def retry(
        cls, *, max_attempts: int = 3, initial_delay: Duration = "100ms", max_delay: Duration = "5s"
    ) -> ErrorPolicy:
        """The call is made up to `max_attempts` times in all, with a delay between that doubles each time. What
        still fails goes to the handler's sink, if it has one, and is left out and counted.

        A call that failed halfway may have changed the accumulator before it is made again; whether that
        matters is for the aggregator to know. Push sessions and the test harness, whose clock is set by hand,
        do not wait.
        """
        if type(max_attempts) is not int or max_attempts < 1:
            raise ConfigurationError(
                f"ErrorPolicy.retry: max_attempts: {max_attempts!r} is not a whole number of at least 1"
            )
        initial = duration_micros(initial_delay, "ErrorPolicy.retry: initial_delay")
        longest = duration_micros(max_delay, "ErrorPolicy.retry: max_delay")
        if longest < initial:
            raise ConfigurationError(
                f"ErrorPolicy.retry: max_delay: {max_delay!r} is shorter than initial_delay {initial_delay!r}"
            )
        return cls("retry", max_attempts, initial, longest)

    @classmethod
    def dead_letter(cls) -> ErrorPolicy:
        """What failed goes to the handler's sink as an ErrorEvent, and is left out and counted."""
        return cls("dead_letter")

    def __repr__(self) -> str:
        if self.kind != "retry":
            return f"ErrorPolicy.{self.kind}()"
        return (
            f"ErrorPolicy.retry(max_attempts={self.max_attempts}, "
            f"initial_delay={duration_text(self.initial_delay)!r}, max_delay={duration_text(self.max_delay)!r})"
        )


class ErrorHandler:
    """An error policy, and the sink that it needs.

    >>> from llmopt_stream import CollectSink
    >>> ErrorHandler(ErrorPolicy.dead_letter()).with_sink(CollectSink())
    ErrorHandler(ErrorPolicy.dead_letter(), sink=CollectSink)
    """

    def __init__(self, policy: ErrorPolicy) -> None:
        if not isinstance(policy, ErrorPolicy):
            raise ConfigurationError(
                f"ErrorHandler: policy: {policy!r} is not an ErrorPolicy; expected e.g. ErrorPolicy.retry()"
            )
        self._policy = policy
        self._sink: Sink | None = None

    def with_sink(self, sink: Sink) -> ErrorHandler:
        """Where what failed goes, as ErrorEvents; a new handler. Of `dead_letter()` and `retry()`."""
        if not isinstance(sink, Sink):
            raise ConfigurationError(
                f"with_sink: {sink!r} is not a Sink; expected ConsoleSink, CollectSink, CallbackSink "
                "or a subclass of Sink"
            )
        if self._policy.kind not in ("retry", "dead_letter"):
            raise ConfigurationError(
                f"with_sink: {self._policy!r} hands nothing on; a sink is for ErrorPolicy.dead_letter() and "
                "ErrorPolicy.retry()"
            )
        handler = ErrorHandler(self._policy)
        handler._sink = sink
        return handler

    @property
    def policy(self) -> ErrorPolicy:
        return self._policy

    @property
    def sink(self) -> Sink | None:
        return self._sink

    def __repr__(self) -> str:
        sink = "" if self._sink is None else f", sink={self._sink}"
        return f"ErrorHandler({self._policy!r}{sink})"


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """A call of a user's aggregator or function that failed, after the last attempt; or a record of a Kafka topic
    that could not be decoded.
    """

    error: ProcessorError
    """What the pipeline would have failed with; the user's own exception is its `__cause__`."""
    aggregator: str
    """The name of the class, or of the function; of a record, of its source."""
    method: str
    """Which of the methods it was; "decode" of a record."""
    key: GroupingKey
    windows: tuple[Window, ...]
    """Of a value, those that its record is in; of a result, the one that it is of."""
    value: Any = None
    """What could not be added; None of results."""
    position: int | None = None
    """The record's place in the input, from 0; None of results."""
    branch: str = ""
    source: KafkaRecord | None = None
    """The record as it lies in Kafka, where it comes from there."""

    @property
    def reason(self) -> str:
        """What happened, in one line."""
        return str(self.error)

    def to_dict(self) -> dict[str, Any]:
        """The shape that it has as JSON."""
        return {
            "error": str(self.error),
            "aggregator": self.aggregator,
            "method": self.method,
            "key": dict(self.key),
            "windows": [{"start": window.start_text, "end": window.end_text} for window in self.windows],
            "value": self.value,
            "position": self.position,
        }

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.to_dict(), separators=(",", ":"), ensure_ascii=False, default=str)
