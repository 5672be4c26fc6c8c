"""Answer conformance cases with Apache Beam: one case a line on stdin, its panes as a line on stdout.

It runs in a virtual environment that has apache-beam, on Beam's in-process runner, and imports nothing of
this project. One microsecond of a case is one second in Beam, whose coders keep milliseconds.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import apache_beam as beam
from apache_beam import coders
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.direct.direct_runner import BundleBasedDirectRunner
from apache_beam.testing.test_stream import TestStream
from apache_beam.transforms import trigger, window
from apache_beam.utils.timestamp import Duration, Timestamp
from apache_beam.utils.windowed_value import PaneInfoTiming

TIMINGS = {PaneInfoTiming.EARLY: "early", PaneInfoTiming.ON_TIME: "on_time", PaneInfoTiming.LATE: "late"}
ACCUMULATION = {
    "accumulating": trigger.AccumulationMode.ACCUMULATING,
    "discarding": trigger.AccumulationMode.DISCARDING,
}

PANES: list[dict[str, Any]] = []


def main() -> None:
    logging.disable(logging.WARNING)
    for line in sys.stdin:
        print(json.dumps(panes_of(json.loads(line))), flush=True)


def panes_of(case: dict[str, Any]) -> list[dict[str, Any]]:
    PANES.clear()
    options = PipelineOptions(["--streaming", "--allow_unsafe_triggers"])
    pipeline = beam.Pipeline(runner=BundleBasedDirectRunner(), options=options)
    described = case["pipeline"]
    _ = (
        pipeline
        | stream_of(case["steps"])
        | beam.WindowInto(
            window_of(described["window"]),
            trigger=trigger_of(described["trigger"]),
            accumulation_mode=ACCUMULATION[described["accumulation"]],
            allowed_lateness=Duration(seconds=described["window"]["allowed_lateness"]),
        )
        | beam.GroupByKey()
        | beam.Map(keep)
    )
    pipeline.run().wait_until_finish()
    return PANES


def keep(
    group: tuple[str, list[int]], pane: Any = beam.DoFn.PaneInfoParam, at: Any = beam.DoFn.WindowParam
) -> None:
    key, values = group
    PANES.append(
        {
            "key": key,
            "window": [seconds(at.start), seconds(at.end)],
            "values": list(values),
            "timing": TIMINGS[pane.timing],
            "index": pane.index,
        }
    )


def seconds(time: Timestamp) -> int:
    return int(time.micros // 1_000_000)


def stream_of(steps: list[dict[str, Any]]) -> TestStream:
    coder = coders.TupleCoder((coders.StrUtf8Coder(), coders.VarIntCoder()))
    stream = TestStream(coder=coder)
    clock = 0
    for step in steps:
        match step:
            case {"push": record}:
                element = (record["key"], record["value"])
                stream = stream.add_elements([window.TimestampedValue(element, Timestamp(record["ts"]))])
            case {"watermark": watermark}:
                stream = stream.advance_watermark_to(Timestamp(watermark))
            case {"clock": now}:
                stream = stream.advance_processing_time(now - clock)
                clock = now
            case {"end_of_input": True}:
                stream = stream.advance_watermark_to_infinity()
    return stream


def window_of(described: dict[str, Any]) -> window.WindowFn:
    match described["type"]:
        case "tumbling":
            return window.FixedWindows(described["size"], offset=described["offset"])
        case "sliding":
            return window.SlidingWindows(described["size"], described["slide"], offset=described["offset"])
        case "session":
            return window.Sessions(described["gap"])
    raise ValueError(f"{described!r} is not a window that both have")


def trigger_of(described: dict[str, Any] | None) -> trigger.TriggerFn | None:
    match described:
        case None:
            # Our default where Beam says it: at every late record.
            return trigger.AfterCount(1)
        case {"type": "event_time"}:
            return trigger.DefaultTrigger()
        case {"type": "count", "count": count}:
            return trigger.AfterCount(count)
        case {"type": "processing_time", "delay": delay}:
            return trigger.AfterProcessingTime(delay)
        case {"type": "after_watermark", "early": early, "late": late}:
            return trigger.AfterWatermark(
                early=None if early is None else trigger_of(early), late=trigger_of(late)
            )
        case {"type": "any_of", "triggers": parts}:
            # Beam's DefaultTrigger is no part of others; AfterWatermark is the same, repeated.
            known = [trigger_of(part) for part in parts if part["type"] != "event_time"]
            return trigger.Repeatedly(trigger.AfterAny(*known, trigger.AfterWatermark()))
    raise ValueError(f"{described!r} is not a trigger that both have")


if __name__ == "__main__":
    # Under its own name: Beam then pickles what it runs by reference, and panes arrive in this process.
    import beam_panes

    beam_panes.main()
