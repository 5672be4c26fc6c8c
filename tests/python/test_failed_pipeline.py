"""After a step that failed halfway, a pipeline takes no further one."""

import llmopt_stream as ls
import pytest
from llmopt_stream.testing import PipelineHarness

BUILDER = (
    ls.create_pipeline()
    .with_event_time("ts", unit="ms")
    .key_by("key", "region")
    .with_schema({"data.value": int})
)


def record(value, second=1, key="a"):
    return {"key": key, "region": 7, "ts": second * 1_000, "data": {"value": value}}


def check_refuses_everything(harness, error):
    for step in (
        lambda: harness.push(record(1)),
        lambda: harness.advance_watermark(10_000_000),
        lambda: harness.advance_processing_time(1),
        harness.snapshot,
        harness.end_of_input,
    ):
        with pytest.raises(ls.PipelineError) as refused:
            step()
        assert str(refused.value) == f"the pipeline cannot go on after an error: {error}"


@pytest.mark.parametrize("parallelism", [1, 3])
@pytest.mark.parametrize(
    ("window", "span"),
    [
        (ls.TumblingWindowAssigner("10s"), "[1970-01-01T00:00:00+00:00, 1970-01-01T00:00:10+00:00)"),
        (ls.SessionWindowAssigner("10s"), "[1970-01-01T00:00:01+00:00, 1970-01-01T00:00:11+00:00)"),
    ],
    ids=["tumbling", "session"],
)
def test_a_sum_that_overflows_names_result_field_key_and_window(window, span, parallelism):
    builder = BUILDER.with_window(window).aggregate("data.value", ["count", "sum"], prefix="v_")
    harness = PipelineHarness(builder, parallelism=parallelism)
    harness.push([record(2**63 - 1), record(1), record(5, key="b", second=0)])
    with pytest.raises(ls.AggregationError) as overflow:
        harness.end_of_input()
    assert str(overflow.value) == (
        "'v_sum': the sum of an integer column, field 'data.value', does not fit into 64 bits; "
        f"declare the field as a float; key ('a', 7), window {span}"
    )
    check_refuses_everything(harness, overflow.value)
    harness.drain()
    assert harness.metrics["records_in"] == 3


class _FailingTrigger(ls.WindowTrigger):
    def should_fire(self, window, watermark, element_count):
        raise LookupError("no such thing")

    def should_purge(self, window, watermark):
        return False


class _FailingAssigner(ls.WindowAssigner):
    def assign(self, timestamp):
        raise LookupError("no such thing")


class _FailingGenerator(ls.WatermarkGenerator):
    def on_event(self, timestamp):
        raise LookupError("no such thing")

    def current_watermark(self):
        return None


@pytest.mark.parametrize(
    "builder",
    [
        BUILDER.with_tumbling_window("10s").with_trigger(_FailingTrigger()),
        BUILDER.with_window(_FailingAssigner()),
        BUILDER.with_tumbling_window("10s").with_watermark_generator(_FailingGenerator()),
    ],
    ids=["trigger", "assigner", "watermark generator"],
)
def test_an_exception_of_user_code_ends_the_pipeline(builder):
    harness = PipelineHarness(builder.aggregate("data.value", ["count"]))
    with pytest.raises(Exception, match="no such thing"):
        harness.push(record(1))
    with pytest.raises(ls.PipelineError, match=r"cannot go on after an error: .*no such thing"):
        harness.push(record(1))
    with pytest.raises(ls.PipelineError, match=r"cannot go on after an error: .*no such thing"):
        harness.snapshot()


def test_a_push_session_refuses_further_steps_too():
    session = BUILDER.with_tumbling_window("10s").aggregate("data.value", ["sum"]).open()
    session.push([record(2**63 - 1), record(1)])
    with pytest.raises(ls.AggregationError):
        session.advance_watermark(10_000_000)
    with pytest.raises(ls.PipelineError, match="cannot go on after an error: 'sum'"):
        session.push(record(1))


def test_a_setting_that_is_noticed_before_anything_is_taken_does_not_end_the_pipeline():
    builder = (
        ls.create_pipeline().with_event_time("ts").with_tumbling_window("10s").aggregate("value", ["count"])
    )
    harness = PipelineHarness(builder)
    with pytest.raises(ls.ConfigurationError, match="before 1990"):
        harness.push({"ts": 1, "value": 1})
    with pytest.raises(ls.ConfigurationError, match="partition: -1"):
        harness.push({"ts": 1_700_000_000_000_000, "value": 1}, partition=-1)
    harness.push({"ts": 1_700_000_000_000_000, "value": 1})
    harness.end_of_input()
    assert [pane.results["count"] for pane in harness.drain()] == [1]


class _FloatGenerator(_FailingGenerator):
    def on_event(self, timestamp):
        self.last = timestamp

    def current_watermark(self):
        return self.last / 2


def test_a_watermark_that_is_no_time_names_its_generator():
    builder = BUILDER.with_tumbling_window("10s").aggregate("data.value", ["count"])
    harness = PipelineHarness(builder.with_watermark_generator(_FloatGenerator()))
    with pytest.raises(ls.WatermarkError, match=r"_FloatGenerator\.current_watermark\(\): 500000\.0"):
        harness.push(record(1))


@pytest.mark.parametrize("partition", [-1, "a", True, 1.0, 2**32, None])
def test_a_partition_is_a_small_integer(partition):
    session = BUILDER.with_tumbling_window("10s").aggregate("data.value", ["count"]).open()
    with pytest.raises(ls.ConfigurationError, match="push: partition: "):
        session.push(record(1), partition=partition)


@pytest.mark.parametrize(
    "assigner",
    [ls.TumblingWindowAssigner("1m"), ls.SlidingWindowAssigner("2m", "1m"), ls.SessionWindowAssigner("1m")],
)
@pytest.mark.parametrize("time", [2**63, -(2**63) - 1])
def test_a_time_beyond_64_bits_is_refused(assigner, time):
    with pytest.raises(ls.ConfigurationError, match=f"^timestamp: {time} does not fit"):
        assigner.assign(time)


def test_a_snapshot_is_bytes():
    builder = BUILDER.with_tumbling_window("10s").aggregate("data.value", ["count"])
    harness = PipelineHarness(builder)
    harness.push(record(1))
    blob = harness.snapshot()
    for same in (blob, bytearray(blob), memoryview(blob)):
        restored = PipelineHarness.restore(builder, same)
        restored.end_of_input()
        assert [pane.results["count"] for pane in restored.drain()] == [1]
    for wrong in ("text", None, 5, [1]):
        with pytest.raises(ls.CheckpointError, match="snapshot refused"):
            PipelineHarness.restore(builder, wrong)
