"""What an operator is: a value in the plan, and its work in a pipeline that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from llmopt_stream.error_policy import ErrorEvent
from llmopt_stream.errors import PipelineError
from llmopt_stream.events import GroupingKey
from llmopt_stream.failures import Failures

from .flow import END, START, Flow, FlowWriter
from .keys import NoKeyError, key_of

__all__ = ["Context", "CoreStep", "Operator", "Work", "name_of"]

_Result = TypeVar("_Result")


def name_of(fn: Callable[..., Any]) -> str:
    """What a function or class of the user's is called."""
    return getattr(fn, "__name__", type(fn).__name__)


@dataclass(frozen=True)
class Context:
    """Where in a pipeline an operator is at work."""

    failures: Failures
    branch: str = ""
    branch_index: int = 0
    place: int = 0
    """Which of the branch's operators it is."""


@dataclass(frozen=True)
class CoreStep:
    """What the core does to records before the window."""

    numbers: tuple[str, ...]
    """Fields that it reads as numbers, and as they are."""
    labels: tuple[str, ...]
    settings: Callable[[Callable[[str], int], Callable[[str], int]], tuple[Any, ...]]
    """As the core takes it, where it is told which of the columns fields are in."""


@dataclass(frozen=True)
class Operator:
    """What happens to records before or after the window."""

    where: ClassVar[str] = "Python per record"
    """Where it runs."""

    def work(self, context: Context) -> Work:
        """The operator at work, without state yet."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """As `explain()` calls it."""
        raise NotImplementedError

    def describe(self) -> str:
        """What `explain()` says of it."""
        return ""

    def fingerprint(self) -> str:
        """What says whether snapshots fit."""
        return f"{self.name} {self.describe()}"

    def core_step(self) -> CoreStep | None:
        """The operator for the core, where that has it; None where it runs in Python."""
        return None

    @property
    def uses_clock(self) -> bool:
        return False


class Work:
    """An operator at work: pieces of a stream in, pieces of a stream out; and state."""

    delay = 0
    """How long after its time a record may come out, in microseconds."""

    def __init__(self, operator: Operator, context: Context) -> None:
        self._operator = operator
        self._context = context
        self._records = 0
        self.watermark = START
        self.left_out = 0
        """Records that did not go on by the operator's own meaning."""
        self.errors = 0
        """Calls that failed and were left out."""
        self.malformed: dict[str, int] = {}
        """Records that have no key that they could be grouped by, by kind."""

    @property
    def name(self) -> str:
        """The operator's."""
        return self._operator.name

    # For operators to override

    def on_record(self, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        raise NotImplementedError

    def on_watermark(self, watermark: int, out: FlowWriter) -> None:
        """The watermark has advanced."""

    def on_processing_time(self, now: int, out: FlowWriter) -> None:
        """The clock has advanced."""

    def get_state(self) -> Any:
        """What a snapshot needs, of types that `exact_json` takes."""
        return None

    def set_state(self, state: Any) -> None:
        """Goes on from what get_state() gave."""

    def live(self) -> int:
        """How many things it remembers."""
        return 0

    def counts(self) -> Mapping[str, int]:
        """Counters of its own."""
        return {}

    # Driving

    def run(self, flow: Flow) -> Flow:
        out = FlowWriter(self.watermark, self.delay)
        self._advance(flow.before, out)
        for record, time, key, watermark in flow:
            self._records += 1
            self.on_record(record, time, key, out)
            self._advance(watermark, out)
        return out.flow

    def advance_clock(self, now: int) -> Flow:
        out = FlowWriter(self.watermark, self.delay)
        self.on_processing_time(now, out)
        return out.flow

    def snapshot(self) -> list[Any]:
        counts = [self._records, self.left_out, self.malformed, self.errors]
        return [*counts, self.watermark, self.get_state()]

    def restore(self, state: list[Any]) -> None:
        self._records, self.left_out, self.malformed, self.errors, self.watermark, own = state
        self.set_state(own)

    def _advance(self, watermark: int, out: FlowWriter) -> None:
        if watermark > self.watermark:
            self.watermark = watermark
            self.on_watermark(watermark, out)
            out.mark(watermark)

    def key_of(self, record: Any, paths: Sequence[str]) -> GroupingKey | None:
        """The record's key under these paths; None of one that has none, which is counted."""
        try:
            return key_of(record, paths)
        except NoKeyError as error:
            self.is_malformed(error.kind)
            return None

    def is_malformed(self, kind: str) -> None:
        """Counts a record."""
        self.malformed[kind] = self.malformed.get(kind, 0) + 1

    def _is_at_end(self) -> bool:
        return self.watermark == END

    # Users' code

    def attempt(
        self,
        call: Callable[[], _Result],
        *,
        method: str,
        record: Any = None,
        key: GroupingKey | None = None,
        position: int | None = None,
    ) -> tuple[_Result] | None:
        """(what the call gives,), or None if it failed and the error policy leaves it out. `position` is that of the
        record in the input, if it is not the newest.
        """
        failures = self._context.failures
        try:
            return (failures.result_of(call),)
        except Exception as error:  # noqa: BLE001 - users' code
            self._settle(error, method, record, key, position)
            return None

    def _settle(
        self, cause: Exception, method: str, record: Any, key: GroupingKey | None, position: int | None
    ) -> None:
        context = self._context
        name = self._operator.name
        of = "" if key is None or not len(key) else f"; key {dict(key)!r}"
        text = f"{name}({method}): {type(cause).__name__}: {cause}"
        error = PipelineError(text + ("" if record is None else f"; record {record!r}") + of)
        error.__cause__ = cause
        if position is None and record is not None:
            position = self._records - 1
        event = ErrorEvent(error, name, method, key or GroupingKey(), (), record, position, context.branch)
        # Every record counts of its own.
        order = (self._records, context.branch_index, 1, context.place)
        context.failures.settle(event, order)
        self.errors += 1
