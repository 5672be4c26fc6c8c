"""State that goes through a backend and back after each step."""

from __future__ import annotations

from collections.abc import Callable

from llmopt_stream import _core
from llmopt_stream.errors import CheckpointError
from llmopt_stream.executor import Executor
from llmopt_stream.state import StateBackend

__all__ = ["StoredState"]

_EVERYTHING = 2**62
_KEPT = 2


class StoredState:
    """Keeps an executor's state in a backend by checkpoints of what has changed. What was in it before is forgotten."""

    def __init__(self, backend: StateBackend) -> None:
        self._backend = backend
        self._writer = _core.CheckpointWriter(backend.core)
        self._writer.start_over()

    def replaced(self, executor: Executor, new: Callable[[], Executor]) -> Executor:
        """A new executor with what the backend has of this one after a checkpoint."""
        number = self._backend.next_checkpoint_id()
        state = executor.begin_store(self._writer)
        while not executor.store(_EVERYTHING, self._writer):
            pass
        self._writer.checkpoint(number, b"", _KEPT)
        self._writer.wait()
        for _, failure, *_ in self._writer.take_outcomes():
            if failure is not None:
                raise CheckpointError(f"checkpoint {number} failed: {failure}")
        restored = new()
        restored.restore_stored(self._backend.core, state)
        return restored
