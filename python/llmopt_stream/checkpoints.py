"""Checkpoints of runs: taken while records go on, and what a run goes on from."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from . import _core
from .errors import CheckpointError, ConfigurationError
from .state import Checkpoint, StateBackend

if TYPE_CHECKING:
    from .delivery import Delivery
    from .executor import Executor
    from .plan import Plan

__all__ = ["CheckpointSettings", "Checkpoints", "NoCheckpoints", "checkpoints_of"]

_LOG = logging.getLogger("llmopt_stream")
_FORMAT = 1
_SHOWN = 100
"""Of a value in a message, so many characters."""
_BYTES_PER_STEP = 1 << 20
"""Of state that is encoded between two batches: some milliseconds."""
_MOST_PENDING_BYTES = 64 << 20
"""Encoded and not yet written: beyond that encoding waits, as far as it can."""


@dataclass(frozen=True, slots=True)
class CheckpointSettings:
    """When checkpoints are taken, and how many are kept."""

    interval: int | None = 60_000_000
    """In microseconds; None: not by time."""
    records: int | None = None
    keep: int = 3


@dataclass
class CheckpointMetrics:
    """What checkpoints have done in a run; times in seconds."""

    completed: int = 0
    failed: int = 0
    damaged: int = 0
    """Those that were passed over at the start."""
    last_id: int | None = None
    last_duration: float | None = None
    last_bytes: int | None = None
    last_failure: str | None = None
    longest_pause: float = 0.0
    """For which records had to wait."""
    restored_from: int | None = None
    restore_duration: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def checkpoints_of(plan: Plan, executor: Executor) -> Checkpoints | NoCheckpoints:
    """Those of a run of the plan."""
    if plan.state_backend is None:
        return NoCheckpoints(plan, executor)
    settings = plan.checkpoints or CheckpointSettings()
    return Checkpoints(executor, plan.state_backend, settings, plan.name, plan.memory_limit)


class NoCheckpoints:
    """Of a pipeline without a state backend: sources hear of records when all results are delivered, or, at most
    once, before any of them is.
    """

    records_before = 0
    sink_positions: list[Any] | None = None

    def __init__(self, plan: Plan, executor: Executor) -> None:
        self._at_most_once = plan.delivery == "at_most_once"
        self._executor = executor

    def before_delivery(self) -> None:
        """When records were taken, and nothing of them was handed out."""
        if self._at_most_once:
            self._executor.taken(self._executor.positions())

    def restore(self, say: Callable[[str], None]) -> None:
        """There is nothing to restore."""

    def check_sources(self) -> None:
        """Any will do."""

    def after_step(self, delivery: Delivery, *, requested: bool) -> None:
        if requested:
            raise ConfigurationError(
                "checkpoint: the pipeline has no state backend: add .with_state_backend(…)"
            )

    def finish(self, delivery: Delivery, *, ended: bool) -> None:
        """There is nothing to keep."""
        if ended:
            self._executor.checkpointed(self._executor.positions())

    def metrics(self) -> dict[str, Any] | None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class Checkpoints:
    """Takes checkpoints of an executor, its source and its sinks, at least once each.

    At the barrier, between two batches, sinks bring what they have to safety, and positions are noted; state
    is encoded then or in the steps that follow, as it was at the barrier, and written in another thread. When
    that is durable, sources hear of it.
    """

    def __init__(
        self,
        executor: Executor,
        backend: StateBackend,
        settings: CheckpointSettings,
        name: str,
        memory_limit: int | None = None,
    ) -> None:
        self._executor = executor
        self._backend = backend
        self._settings = settings
        self._name = name
        self._writer = _core.CheckpointWriter(backend.core)
        self._metrics = CheckpointMetrics()
        self.records_before = 0
        """How many records earlier runs have taken, up to the checkpoint that this one goes on from."""
        self.sink_positions: list[Any] | None = None
        self._starts_over = True
        self._taking: _Barrier | None = None
        self._waiting: dict[int, list[Any]] = {}
        self._requested = False
        self._most_pending = _MOST_PENDING_BYTES if memory_limit is None else memory_limit // 16
        self._last_at = time.monotonic()
        self._last_records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._writer.wait()
        self._take_outcomes()

    def metrics(self) -> dict[str, Any] | None:
        return self._metrics.as_dict()

    # Recovery

    def restore(self, say: Callable[[str], None]) -> None:
        """Goes on from the newest checkpoint that is whole, if there is any; `say` hears which one is tried."""
        started = time.monotonic()
        for checkpoint in reversed(self._backend.checkpoints()):
            say(f"restoring checkpoint {checkpoint.id}, {checkpoint.bytes / 1e6:,.1f} MB")
            try:
                self._restore(checkpoint)
            except _DamagedError as damage:
                self._metrics.damaged += 1
                _LOG.warning(
                    "pipeline %r: checkpoint %d is damaged, the one before is used: %s",
                    self._name,
                    checkpoint.id,
                    damage,
                )
                continue
            self._metrics.restored_from = checkpoint.id
            self._metrics.restore_duration = time.monotonic() - started
            self._starts_over = False
            _core.kill_point("run:restored")
            _LOG.info("pipeline %r goes on from checkpoint %d", self._name, checkpoint.id)
            break
        else:
            if self._metrics.damaged:
                raise CheckpointError(
                    f"pipeline {self._name!r}: none of the {self._metrics.damaged} checkpoints is whole; "
                    "to start without them, give it other directories or remove them"
                )
            self._backend.clear()  # what a run that has ended left
        self._last_at = time.monotonic()
        self._last_records = self._executor.records_in

    def _restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.damage is not None:
            raise _DamagedError(checkpoint.damage)
        manifest = Manifest.of(checkpoint.manifest)
        manifest.check_plan(self._executor.fingerprint(), checkpoint.id)
        try:
            self._backend.restore(checkpoint.id)
        except CheckpointError as error:
            raise _DamagedError(str(error)) from error
        self._executor.restore_stored(self._backend.core, manifest.executor)
        self._executor.seek(manifest.positions)
        self.sink_positions = manifest.sinks
        self.records_before = self._executor.records_in

    def check_sources(self) -> None:
        """Raises ConfigurationError where a source cannot go on at a position."""
        for position in self._executor.positions():
            if position is None:
                raise ConfigurationError(
                    f"with_state_backend: a source of {self._name!r} cannot be read again from a position: "
                    "standard input, or a Source of your own without position() and seek()"
                )

    # While it runs

    def before_delivery(self) -> None:
        """Sources hear of what is durable, later."""

    def after_step(self, delivery: Delivery, *, requested: bool) -> None:
        """Between two batches, when all results are with the sinks."""
        self._take_outcomes()
        started = time.monotonic()
        self._requested = self._requested or requested
        in_hand = self._taking is not None or bool(self._waiting)
        if not in_hand and (self._requested or self._is_due()):
            self._requested = False
            delivery.flush()
            self._barrier(delivery)
        elif self._taking is not None and self._writer.pending_bytes < self._most_pending:
            self._go_on(_BYTES_PER_STEP)
        self._metrics.longest_pause = max(self._metrics.longest_pause, time.monotonic() - started)

    def _is_due(self) -> bool:
        interval, records = self._settings.interval, self._settings.records
        by_time = interval is not None and (time.monotonic() - self._last_at) * 1e6 >= interval
        by_records = records is not None and self._executor.records_in - self._last_records >= records
        return by_time or by_records

    def _barrier(self, delivery: Delivery) -> None:
        self._last_at = time.monotonic()
        self._last_records = self._executor.records_in
        number = self._backend.next_checkpoint_id()
        if self._starts_over:
            self._writer.start_over()
            self._starts_over = False
        _core.kill_point("run:barrier")
        watermark = self._executor.watermark
        manifest = Manifest(
            pipeline=self._name,
            plan=self._executor.fingerprint(),
            positions=self._executor.positions(),
            sinks=delivery.positions(),
            executor=self._executor.begin_store(self._writer),
            watermark=None if watermark is None else int(watermark),
            counts={name: count for name, count in self._executor.counts().items() if isinstance(count, int)},
        ).to_bytes()  # now: records that follow change what it is made of
        self._taking = _Barrier(number, json.loads(manifest)["positions"], manifest)

    def _go_on(self, budget: int) -> None:
        taking = self._taking
        if taking is None:
            return
        done = self._executor.store(budget, self._writer)
        if done:
            self._taking = None
            self._waiting[taking.id] = taking.positions
            _core.kill_point("run:encoded")
            self._writer.checkpoint(taking.id, taking.manifest, self._settings.keep)

    def _take_outcomes(self) -> None:
        for number, failure, seconds, size in self._writer.take_outcomes():
            positions = self._waiting.pop(number, None)
            self._metrics.last_duration, self._metrics.last_bytes = seconds, size
            if failure is None:
                self._metrics.completed += 1
                self._metrics.last_id = number
                if positions is not None:
                    _core.kill_point("run:durable")
                    self._executor.checkpointed(positions)
                continue
            self._metrics.failed += 1
            self._metrics.last_failure = failure
            _LOG.error("pipeline %r: checkpoint %d failed: %s", self._name, number, failure)
            # What comes next must not build on it.
            self._taking = None
            self._executor.forget_stored()
            self._starts_over = True

    # At the end

    def finish(self, delivery: Delivery, *, ended: bool) -> None:
        """When the sinks are closed. Of a run whose input has ended nothing is kept: the next one starts anew."""
        self._complete()
        if ended:
            self._executor.checkpointed(self._executor.positions())
            _core.kill_point("run:ended")
            for checkpoint in self._backend.checkpoints():
                self._backend.discard(checkpoint)
            return
        self._barrier(delivery)
        self._complete()
        if self._starts_over:
            raise CheckpointError(
                f"pipeline {self._name!r}: the last checkpoint failed: {self._metrics.last_failure}"
            )

    def _complete(self) -> None:
        """The checkpoint that is being taken."""
        while self._taking is not None:
            self._go_on(_MOST_PENDING_BYTES)
        self._writer.wait()
        self._take_outcomes()


@dataclass(frozen=True)
class _Barrier:
    """A checkpoint whose state is being encoded."""

    id: int
    positions: list[Any]
    manifest: bytes


class _DamagedError(Exception):
    """A checkpoint cannot be used."""


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint says beside the state of the core."""

    pipeline: str
    plan: Any
    """What decides which state fits."""
    positions: list[Any]
    """Of the sources."""
    sinks: list[Any]
    executor: Any
    watermark: int | None
    counts: Mapping[str, int]
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    format: int = _FORMAT

    def to_bytes(self) -> bytes:
        """Raises CheckpointError where a position of a source or sink is not of JSON's types."""
        try:
            return json.dumps(vars(self), allow_nan=False).encode()
        except (TypeError, ValueError) as error:
            raise CheckpointError(
                f"checkpoint of {self.pipeline!r}: what position() of a source or sink returns has to be of JSON's "
                f"types: {error}; sources {self.positions!r}, sinks {self.sinks!r}"
            ) from error

    @classmethod
    def of(cls, data: bytes) -> Manifest:
        """Raises CheckpointError for a format of a later release."""
        try:
            said = json.loads(data)
            version = said["format"]
            if version == _FORMAT:
                return cls(**said)
        except (ValueError, LookupError, TypeError) as error:
            raise _DamagedError(f"its manifest cannot be read: {error}") from error
        raise CheckpointError(f"checkpoint refused: format version {version!r} is not one this release reads")

    def check_plan(self, plan: Any, checkpoint_id: int) -> None:
        """Raises CheckpointError where state of another plan would be read."""
        here = json.loads(json.dumps(plan))
        if self.plan == here:
            return
        differences = list(_differences(self.plan, here, ""))
        shown = "".join(f"\n  {line}" for line in differences[:10])
        more = f"\n  and {len(differences) - 10} more" if len(differences) > 10 else ""
        raise CheckpointError(
            f"checkpoint {checkpoint_id} of {self.pipeline!r} belongs to another plan:{shown}{more}\n"
            "to start without it, give the pipeline other directories or remove it"
        )


def _differences(before: Any, now: Any, path: str) -> Iterator[str]:
    """A line for each place where two plans differ.

    >>> list(_differences({"key": ["a"], "n": 1}, {"key": ["b"], "n": 1}, ""))
    ["key[0]: was 'a', is 'b'"]
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(name), now.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif before != now:
        yield f"{path or 'all'}: was {_short(before)}, is {_short(now)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
