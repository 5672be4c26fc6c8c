"""pandas at tumbling windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmopt_stream.metrics import NINE

from .contender import Contender, answer_of
from .reference import Percentiles

if TYPE_CHECKING:
    from .events import Events

__all__ = ["tumbling"]


def tumbling(events: Events) -> Contender:
    """Windows of 60 s. Its groups know no percentiles of nearest rank, so it interpolates, as by default."""
    import pandas as pd

    frame = events.columns().to_pandas()

    def run() -> Any:
        groups = frame.groupby([frame["timestamp"].dt.floor("60s").rename("w"), "key"], sort=False)["value"]
        results = groups.agg(["count", "sum", "mean", "min", "max"])
        results["stddev"] = groups.std(ddof=0)
        percentiles = groups.quantile([0.5, 0.95, 0.99]).unstack()
        results[["p50", "p95", "p99"]] = percentiles
        return results

    def answer(results: Any) -> Any:
        table = results.rename(columns={"mean": "average"}).reset_index()
        return answer_of(pd.DataFrame(table), ["w", "key", *NINE])

    return Contender(run=run, answer=answer, percentiles=Percentiles.LINEAR, records=len(events))
