"""Metrics of expressions, and of chosen records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llmopt_stream.columns import Expression
from llmopt_stream.errors import AggregationError

from .aggregators import AggregatorMetric, AppliedMetric
from .expressions import number_of, truth_of
from .metrics import Metric
from .values import Interval, Record, field_of, is_number

__all__ = ["ChosenMetric"]


@dataclass(frozen=True, slots=True)
class ChosenMetric:
    """A metric of an expression, which it finds under `name`, or of the records that a condition is true of."""

    metric: Metric | AggregatorMetric | AppliedMetric
    name: str
    expression: Expression | None = None
    where: Expression | None = None
    refuses_nulls: bool = False

    def results(
        self, records: Sequence[Record], times: Sequence[int] = (), window: Interval | None = None
    ) -> dict[str, Any]:
        """Of the chosen records. Refusing nulls, an AggregationError where a record has none."""
        chosen = [at for at, record in enumerate(records) if self._takes(record)]
        rows = [self._with_value(records[at]) for at in chosen]
        if self.refuses_nulls and not all(is_number(field_of(row, self.name)) for row in rows):
            raise AggregationError(f"field {self.name!r}: a record has no usable value")
        return self.metric.results(rows, [times[at] for at in chosen] if times else (), window)

    def difference(
        self, expected: dict[str, Any], actual: dict[str, Any], records: Iterable[Record]
    ) -> str | None:
        """As the metric says of the chosen records."""
        rows = [self._with_value(record) for record in records if self._takes(record)]
        return self.metric.difference(expected, actual, rows)

    def _takes(self, record: Record) -> bool:
        return self.where is None or truth_of(self.where, record) is True

    def _with_value(self, record: Record) -> Record:
        if self.expression is None:
            return record
        return {**record, self.name: number_of(self.expression, record)}
