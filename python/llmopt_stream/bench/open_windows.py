"""How much memory open windows take: `python -m llmopt_stream.bench.open_windows` weighs them in its own process.

The windows are of as many string keys, one each, which is more than windows of fewer keys take: keys need memory too.
Each key gets a record in turn, so that all states grow at the same time. The input comes in pieces; each
is given back before the next is made.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import weakref
from array import array
from random import Random
from typing import Any

from llmopt_stream.builder import create_pipeline
from llmopt_stream.metrics import NINE

from .contender import answer_of
from .events import START
from .measure import resident_bytes
from .reference import AnswerError, Percentiles, Reference

__all__ = ["main", "weigh"]

_STEP = 1_000
"""How far apart in the sequence of values two records of a key are."""
_CHECKED = 100
"""Of one window in so many, all statistics are checked; of all, the count."""


def weigh(windows: int, values: int) -> dict[str, int]:
    """Resident bytes before and after, and what the pipeline counts as its state."""
    import pyarrow as pa

    # What pieces are cut from is there before and after, and so does not count.
    names = pa.array([f"key-{number:06d}" for number in range(windows)], pa.string())
    pool = _lognormal(windows + (values - 1) * _STEP)
    builder = create_pipeline("memory").key_by("key").with_tumbling_window("1d").aggregate("value")
    with builder.open() as session:
        gc.collect()
        empty = resident_bytes()
        for round_ in range(values):
            in_hand = pool[round_ * _STEP : round_ * _STEP + windows]
            given_back = weakref.ref(in_hand)
            session.push(_piece(names, in_hand))
            del in_hand
            if given_back() is not None:
                raise AnswerError("memory: the input is held")
        gc.collect()
        open_ = resident_bytes()
        metrics = session.metrics
        _check(pa.table(session.flush()), pool, windows, values)
    return {
        "windows": metrics["live_keys"],
        "values": values,
        "empty_bytes": empty,
        "open_bytes": open_,
        "state_bytes": metrics["state_bytes"],
    }


def _lognormal(count: int) -> array[float]:
    random = Random(1)
    return array("d", (round(math.exp(random.gauss(6.2, 0.7)), 3) for _ in range(count)))


def _piece(names: Any, values: array[float]) -> Any:
    import pyarrow as pa

    rows = len(values)
    times = pa.py_buffer(array("q", [START]) * rows)
    return pa.table(
        {
            "timestamp": pa.Array.from_buffers(pa.timestamp("us", "UTC"), rows, [None, times]),
            "key": names,
            "value": pa.Array.from_buffers(pa.float64(), rows, [None, pa.py_buffer(values)]),
        }
    )


def _check(results: Any, pool: array[float], windows: int, values: int) -> None:
    if results["count"].to_pylist() != [values] * windows:
        raise AnswerError("memory: counts differ")
    sample = range(0, windows, _CHECKED)
    reference = Reference()
    for number in sample:
        of_key = pool[number : number + (values - 1) * _STEP + 1 : _STEP]
        reference.add(START, f"key-{number:06d}", sorted(round(1_000 * value) for value in of_key))
    answer = answer_of(results.take(list(sample)), ["window_start", "key", *NINE])
    reference.check("memory", answer, Percentiles.WITHIN_ONE_PERCENT)


def main() -> None:
    """Weighs in this process and prints the numbers as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, required=True)
    parser.add_argument("--values", type=int, required=True)
    options = parser.parse_args()
    print(json.dumps(weigh(options.windows, options.values)))


if __name__ == "__main__":
    main()
