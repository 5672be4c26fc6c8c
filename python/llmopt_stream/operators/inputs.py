"""Streams that are made of several others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from .operator import Context, Operator

if TYPE_CHECKING:
    from llmopt_stream.plan import Plan

    from .several import SeveralWork

__all__ = ["Inputs", "Union"]


@dataclass(frozen=True)
class Inputs(Operator):
    """What is made of the records of several streams."""

    plans: tuple[Plan, ...]
    names: ClassVar[Sequence[str]] = ()
    """What the streams are called; without, they are numbered."""

    def input_names(self) -> list[str]:
        return list(self.names) or [str(index) for index in range(len(self.plans))]

    def work_of_several(self, context: Context) -> SeveralWork:
        """It at work."""
        raise NotImplementedError


@dataclass(frozen=True)
class Union(Inputs):
    """The records of all of them."""

    @property
    def name(self) -> str:
        return "union"

    def work_of_several(self, context: Context) -> SeveralWork:
        from .several import UnionWork

        return UnionWork(self, context)
