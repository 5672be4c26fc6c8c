"""Operators with several inputs at work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmopt_stream.events import GroupingKey
from llmopt_stream.watermarks import LateEvent

from .flow import START, Flow, FlowWriter
from .inputs import Inputs
from .operator import Context, Work

__all__ = ["SeveralWork", "UnionWork"]


class SeveralWork(Work):
    """Records of several streams under one watermark, the least of theirs."""

    def __init__(self, operator: Inputs, context: Context) -> None:
        super().__init__(operator, context)
        self._watermarks = [START] * len(operator.plans)
        self.late: list[LateEvent] = []

    def on_input(self, side: int, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        """A record of one of the streams."""
        raise NotImplementedError

    def run_input(self, side: int, flow: Flow) -> Flow:
        """A piece of one of the streams."""
        out = FlowWriter(self.watermark, self.delay)
        self._advance_input(side, flow.before, out)
        for record, time, key, watermark in flow:
            self._records += 1
            self.on_input(side, record, time, key, out)
            self._advance_input(side, watermark, out)
        return out.flow

    def _advance_input(self, side: int, watermark: int, out: FlowWriter) -> None:
        if watermark > self._watermarks[side]:
            self._watermarks[side] = watermark
            self._advance(min(self._watermarks), out)

    def snapshot(self) -> list[Any]:
        return [self._watermarks, super().snapshot()]

    def restore(self, state: list[Any]) -> None:
        self._watermarks, own = state
        super().restore(own)

    def counts(self) -> Mapping[str, int]:
        return {}


class UnionWork(SeveralWork):
    """Records in the order of their arrival."""

    def on_input(self, side: int, record: Any, time: int, key: GroupingKey | None, out: FlowWriter) -> None:
        out.add(record, time, key)
