"""How a pipeline runs: threads, memory, state, delivery."""

from __future__ import annotations

from typing import Any, Self

from .checkpoints import CheckpointSettings
from .checks import whole_number
from .errors import ConfigurationError
from .limits import LEAST_MEMORY, KeyLimit, Size, size_bytes
from .state import StateBackend
from .units import Duration, duration_micros

__all__ = ["RunOptions"]

_DELIVERIES = ("at_least_once", "at_most_once")


class RunOptions:
    """What a builder says of runs; but for limits and delivery, no result depends on it."""

    def _but(self, **changes: Any) -> Self:
        """A builder of the plan with these changes."""
        raise NotImplementedError

    def with_options(
        self,
        *,
        parallelism: int | None = None,
        buffer_size: int | None = None,
        future_skew: Duration | None = None,
        past_skew: Duration | None = None,
        memory_limit: Size | None = None,
    ) -> Self:
        """`parallelism` threads (1 unless said otherwise) share the keys; it changes no output. A run takes at
        most `buffer_size` records before it hands out what they completed; without it, as many as a batch of
        the source has. A record whose time lies more than `future_skew` ahead of the clock, or more than `past_skew`
        behind it, is counted as malformed ("time_ahead", "time_behind") and does not move the watermark. Unless
        said otherwise, nothing is refused for that.

        With `memory_limit` (bytes, or text such as "2GB"; at least 128 MB) and a state backend, slices of
        tumbling, sliding and cumulative windows that were not used for long leave memory for the backend, and
        come back when they are needed. A third of the limit is theirs, the rest is for what is around them. State
        that cannot leave memory (sessions, count windows, operators) and exceeds the limit ends the run with a
        StateError.
        """
        if parallelism is not None and (type(parallelism) is not int or not 1 <= parallelism <= 256):
            raise ConfigurationError(
                f"with_options: parallelism: {parallelism!r} is not a number from 1 to 256"
            )
        if buffer_size is not None and (type(buffer_size) is not int or buffer_size < 1):
            raise ConfigurationError(
                f"with_options: buffer_size: {buffer_size!r} is not a number of records of at least 1"
            )
        changes: dict[str, Any] = {} if parallelism is None else {"parallelism": parallelism}
        if buffer_size is not None:
            changes["buffer_size"] = buffer_size
        if memory_limit is not None:
            changes["memory_limit"] = size_bytes(memory_limit, "with_options: memory_limit")
            if changes["memory_limit"] < LEAST_MEMORY:
                raise ConfigurationError(
                    f"with_options: memory_limit: {memory_limit!r} is less than 128 MB, which is the least"
                )
        for name, skew in (("future_skew", future_skew), ("past_skew", past_skew)):
            if skew is not None:
                changes[name] = duration_micros(skew, f"with_options: {name}")
        return self._but(**changes)

    def with_state_backend(self, backend: StateBackend) -> Self:
        """Where checkpoints of `run()` go, every 60 s unless with_checkpoints() says otherwise.

        A run that starts goes on from the newest checkpoint that is whole; one that ended with its input leaves
        none. The backend is the pipeline's own: state of nothing else may be in it.
        """
        if not isinstance(backend, StateBackend):
            raise ConfigurationError(
                f"with_state_backend: {backend!r} is not a StateBackend; expected MemoryStateBackend() or "
                "RocksDBStateBackend(path, checkpoint_path)"
            )
        return self._but(state_backend=backend)

    def with_checkpoints(
        self, interval: Duration | None = "60s", *, records: int | None = None, keep: int = 3
    ) -> Self:
        """A checkpoint every `interval` (None: not by time), or after so many records, whichever comes first;
        and where a run is stopped. The newest `keep` are kept.
        """
        every = None if interval is None else duration_micros(interval, "with_checkpoints: interval")
        if every is not None and every <= 0:
            raise ConfigurationError(f"with_checkpoints: interval: {interval!r} must be greater than 0")
        if records is not None:
            whole_number(records, "with_checkpoints: records", least=1, most=2**63 - 1)
        whole_number(keep, "with_checkpoints: keep", least=1, most=2**63 - 1)
        return self._but(checkpoints=CheckpointSettings(every, records, keep))

    def with_delivery(self, mode: str) -> Self:
        """What a crash may do to records.

        "at_least_once", the default: none is lost. With a state backend a run goes on from its last checkpoint, and
        sources hear what is durable; without one, from what the source has kept, and windows that were open are
        computed anew. Results may come again, equal ones under the same key, window and pane index.
        "at_most_once": none counts twice. Sources hear of records before their results are delivered, so what a
        crash interrupts is lost, open windows included; it needs no state backend, and takes none.
        """
        if mode not in _DELIVERIES:
            raise ConfigurationError(
                f"with_delivery: mode: {mode!r}: expected one of {', '.join(map(repr, _DELIVERIES))}"
            )
        return self._but(delivery=mode)

    def with_limits(self, *, keys: int, horizon: Duration, policy: str = "error") -> Self:
        """At most so many `keys` live at once: a key is live until the watermark is `horizon` beyond its latest
        record, which should be at least the size of a window and its lateness.

        A record of one key more ends the run with a StateError (policy "error"), or is shed: left out and counted
        in `shed`. What is shed depends neither on how the input is cut nor on `parallelism`.
        """
        if policy not in ("error", "shed"):
            raise ConfigurationError(f"with_limits: policy: {policy!r}: expected 'error' or 'shed'")
        span = duration_micros(horizon, "with_limits: horizon")
        if span <= 0:
            raise ConfigurationError(f"with_limits: horizon: {horizon!r} must be greater than 0")
        limit = KeyLimit(whole_number(keys, "with_limits: keys", least=1, most=2**63 - 1), span, policy)
        return self._but(key_limit=limit)
