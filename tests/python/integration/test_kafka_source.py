from __future__ import annotations

import json
import random
import re
import threading
from datetime import timedelta
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster, Sent
from members import wait_until
from traffic import START, event, events, expected_panes, panes_of

pytestmark = pytest.mark.kafka

FEW = ["count", "sum", "min", "max", "p50"]


def config(kafka: KafkaCluster, topic: str, **settings: Any) -> ls.KafkaConfig:
    return ls.KafkaConfig(
        **{
            "bootstrap_servers": kafka.bootstrap,
            "group_id": f"group-of-{topic}",
            "topics": [topic],
            "until": "end",
            **settings,
        }
    )


def windows(config: ls.KafkaConfig, sink: ls.Sink, **watermark: Any) -> ls.StreamPipelineBuilder:
    return (
        ls.create_pipeline("latency")
        .with_kafka_source(config)
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s", **watermark))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", FEW)
        .with_sink(sink)
    )


class Stopping(ls.CollectSink):
    """Stops the pipeline once it has so many results."""

    def __init__(self, results: int) -> None:
        super().__init__()
        self.pipeline: ls.StreamPipeline | None = None
        self._results = results

    def send_batch(self, table: Any) -> None:
        super().send_batch(table)
        if len(self.results) >= self._results and self.pipeline is not None:
            self.pipeline.stop()


@pytest.mark.parametrize("skewed", [False, True], ids=["even", "skewed with an empty partition"])
def test_results_over_several_partitions_are_exact(kafka: KafkaCluster, skewed: bool) -> None:
    topic = kafka.topic(4)
    sent = events(4_000, partitions=4, skewed=skewed)
    kafka.send(topic, sent)
    sink = ls.CollectSink()
    summary = windows(config(kafka, topic), sink).build().run()
    assert panes_of(sink.results) == expected_panes(sent)
    assert (summary.records_in, summary.aggregated, summary.late) == (4_000, 4_000, 0)


def test_a_group_reads_the_same_and_stops_when_it_is_told_to(kafka: KafkaCluster) -> None:
    topic = kafka.topic(3)
    sent = events(3_000, partitions=3)
    kafka.send(topic, sent)
    sink = ls.CollectSink()
    pipeline = windows(config(kafka, topic, until=None), sink).build()
    summary = pipeline.run(max_events=3_000)
    assert panes_of(sink.results) == expected_panes(sent)
    assert summary.late == 0
    assert pipeline.metrics["kafka"]["rebalances"] == 1


def test_no_record_is_late_although_one_partition_comes_last(kafka: KafkaCluster) -> None:
    # All of the first partition arrives before anything of the second is there; the second one holds back.
    topic = kafka.topic(2)
    first = [Sent(event(START + timedelta(seconds=n), "m", n + 1), 0) for n in range(600)]
    second = [Sent(event(START + timedelta(seconds=n), "m", n + 1), 1) for n in range(600)]
    kafka.send(topic, first)
    sink = ls.CollectSink()
    pipeline = windows(config(kafka, topic, until=None), sink).build()
    later = threading.Timer(0.7, lambda: kafka.send(topic, second))
    later.start()
    summary = pipeline.run(max_events=1_200)
    later.join()
    assert summary.late == 0
    assert panes_of(sink.results) == expected_panes([*first, *second])


def test_a_partition_at_its_end_becomes_idle_and_lets_the_others_go_on(kafka: KafkaCluster) -> None:
    topic = kafka.topic(2)
    sent = [Sent(event(START + timedelta(seconds=n), "m", 1), 0) for n in range(120)]
    kafka.send(topic, sent[:60])
    sink = Stopping(1)
    pipeline = windows(config(kafka, topic, until=None), sink, idle_timeout="300ms").build()
    sink.pipeline = pipeline
    later = threading.Timer(1.5, lambda: kafka.send(topic, sent[60:]))
    later.start()
    pipeline.run(timeout="30s")
    later.join()
    assert pipeline.stopped
    assert [result.results["count"] for result in sink.results] == [60]


def test_without_an_idle_timeout_a_silent_partition_holds_the_watermark_back(kafka: KafkaCluster) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, [Sent(event(START + timedelta(seconds=n), "m", 1), 0) for n in range(120)])
    sink = Stopping(1)
    pipeline = windows(config(kafka, topic, until=None), sink).build()
    stopping = threading.Timer(2, pipeline.stop)
    stopping.start()
    pipeline.run()
    stopping.join()
    assert sink.results == []
    assert pipeline.metrics["records_in"] == 120


def test_records_without_a_time_have_the_time_of_the_kafka_record(kafka: KafkaCluster) -> None:
    topic = kafka.topic()
    at = int(START.timestamp() * 1000)
    kafka.send(
        topic,
        [
            Sent(b'{"data":{"model":"m","latency_ms":1}}', timestamp_ms=at + 59_999),
            Sent(b'{"timestamp":null,"data":{"model":"m","latency_ms":2}}', timestamp_ms=at + 60_000),
            Sent(event(START, "m", 4), timestamp_ms=at + 60_000),
        ],
    )
    sink = ls.CollectSink()
    windows(config(kafka, topic), sink).build().run()
    assert [(r.window.start_text, r.results["sum"]) for r in sink.results] == [
        ("2026-01-01T00:00:00Z", 5.0),
        ("2026-01-01T00:01:00Z", 2.0),
    ]


POISON = {
    b"": "syntax",
    b"{": "syntax",
    b'{"timestamp":"2026-01-01T00:00:00Z"} x': "syntax",
    b"[1]": "not_an_object",
    b'{"a":' + b"[" * 100 + b"]" * 100 + b"}": "too_deep",
    b'{"a":"\xff\xfe"}': "bad_utf8",
    b'{"a":"' + b"x" * 1_048_600 + b'"}': "too_large",
    b'{"timestamp":"2026-01-01T00:00:00Z","timestamp":"2026-01-01T00:00:00Z"}': "duplicate_field",
    b'{"timestamp":"soon"}': "time_invalid",
    b'{"timestamp":"2026-01-01T00:00:00Z","data":{"model":[1]}}': "key_not_scalar",
}


def test_poison_at_the_head_of_each_partition_blocks_nothing(kafka: KafkaCluster) -> None:
    topic = kafka.topic(2, **{"max.message.bytes": "2000000"})
    sent = events(200, partitions=2)
    poison = [
        Sent(each, partition, headers=(("h", b"1"),)) for partition in (0, 1) for each in [*POISON, None]
    ]
    kafka.send(topic, [*poison, *sent])
    results, letters = ls.CollectSink(), ls.CollectSink()
    handler = ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(letters)
    pipeline = windows(config(kafka, topic), results).with_error_handler(handler).build()
    summary = pipeline.run()
    assert panes_of(results.results) == expected_panes(sent)
    kinds: dict[str, int] = {"tombstone": 2}
    for kind in POISON.values():
        kinds[kind] = kinds.get(kind, 0) + 2
    assert dict(summary.malformed_by_kind) == kinds
    assert pipeline.metrics["kafka"]["tombstones"] == 2
    found = sorted((e.source.partition, e.source.offset, e.source.value) for e in letters.results)
    expected = [(p, n, value) for p in (0, 1) for n, value in enumerate([*POISON, None])]
    assert found == expected
    assert {str(e.error).rpartition(": ")[2] for e in letters.results} == {*POISON.values(), "tombstone"}
    assert {e.source.headers for e in letters.results} == {(("h", b"1"),)}


def test_poison_is_counted_alike_where_nobody_asks_for_the_records(kafka: KafkaCluster) -> None:
    topic = kafka.topic(1, **{"max.message.bytes": "2000000"})
    kafka.send(topic, [*POISON, Sent(None), Sent(event(START, "m", 1))])
    sink = ls.CollectSink()
    summary = windows(config(kafka, topic), sink).build().run()
    kinds: dict[str, int] = {"tombstone": 1}
    for kind in POISON.values():
        kinds[kind] = kinds.get(kind, 0) + 1
    assert dict(summary.malformed_by_kind) == kinds
    assert [result.results["count"] for result in sink.results] == [1]


def test_payloads_may_end_with_a_newline_or_have_some(kafka: KafkaCluster) -> None:
    topic = kafka.topic()
    one = event(START, "m", 1)
    two = json.dumps(json.loads(one), indent=1).encode()
    kafka.send(topic, [one, one + b"\n", one + b"\r\n", two, one + b"\n" + one, one])
    sink = ls.CollectSink()
    summary = windows(config(kafka, topic), sink).build().run()
    assert dict(summary.malformed_by_kind) == {"syntax": 1}
    assert [result.results["count"] for result in sink.results] == [5]


def test_a_run_goes_on_at_a_position_and_reads_each_record_once(kafka: KafkaCluster) -> None:
    topics = [kafka.topic(2), kafka.topic(1)]
    for topic in topics:
        kafka.send(topic, events(300, partitions=2 if topic == topics[0] else 1))
    source = ls.KafkaSource(config(kafka, topics[0], topics=topics, until=None))
    ids: list[tuple[str, int]] = []
    position = None
    random_ = random.Random(3)
    while len(ids) < 600:
        most = min(random_.randrange(1, 120), 600 - len(ids))
        sink = ls.CollectSink()
        source.seek(position)
        pipeline = ls.create_pipeline().with_source(_Watched(source)).map(dict).with_sink(sink).build()
        pipeline.run(max_events=most)
        position = json.loads(json.dumps(_Watched.last))
        ids += [(e.data["data"]["model"], e.data["id"]) for e in sink.results]
    expected = sorted(
        (json.loads(each.value or b"")["data"]["model"], json.loads(each.value or b"")["id"])
        for partitions in (2, 1)
        for each in events(300, partitions=partitions)
    )
    assert sorted(ids) == expected


class _Watched(ls.Source):
    """Notes where a source is when its run ends."""

    last: Any = None

    def __init__(self, source: ls.Source) -> None:
        self._source = source

    def open(self, intake: Any) -> Any:
        return self._source.open(intake)

    def close(self) -> None:
        type(self).last = self._source.position()
        self._source.close()


def test_only_what_a_checkpoint_covers_is_committed(kafka: KafkaCluster) -> None:
    topic = kafka.topic(2)
    kafka.send(topic, events(200, partitions=2))

    class Checkpointing(Stopping):
        def close(self) -> None:
            source.checkpointed({"topics": [topic], "offsets": [[topic, 0, 30], [topic, 1, 40]]})

    source = ls.KafkaSource(config(kafka, topic, until=None))
    stopping = Checkpointing(200)
    pipeline = ls.create_pipeline().with_source(source).map(dict).with_sink(stopping).build()
    stopping.pipeline = pipeline
    pipeline.run(timeout="60s")
    assert pipeline.stopped
    assert kafka.committed(f"group-of-{topic}", topic, 2) == [30, 40]
    assert pipeline.metrics["kafka"]["commits"] == 1
    # The next run of the group starts there.
    sink = ls.CollectSink()
    summary = windows(config(kafka, topic), sink).build().run()
    assert summary.records_in == 200 - 70


def test_auto_commit_commits_what_was_processed(kafka: KafkaCluster) -> None:
    topic = kafka.topic(1)
    kafka.send(topic, events(50, partitions=1))
    source = config(kafka, topic, until=None, enable_auto_commit=True)
    windows(source, ls.CollectSink()).build().run(max_events=50)
    assert kafka.committed(f"group-of-{topic}", topic, 1) == [50]


@pytest.mark.parametrize(
    ("start", "left"), [("earliest", 100), ("latest", 0), ("2026-01-01T00:00:05Z", 50)], ids=str
)
def test_where_reading_starts(kafka: KafkaCluster, start: str, left: int) -> None:
    topic = kafka.topic()
    at = int(START.timestamp() * 1000)
    kafka.send(
        topic,
        [Sent(event(START, "m", 1), timestamp_ms=at + 100 * n) for n in range(100)],
    )
    sink = ls.CollectSink()
    summary = windows(config(kafka, topic, start_from=start), sink).build().run()
    assert summary.records_in == left


def test_a_pattern_reads_all_topics_that_match(kafka: KafkaCluster) -> None:
    topics = [kafka.topic(), kafka.topic()]
    for topic in topics:
        kafka.send(topic, events(10, partitions=1))
    pattern = f"^({'|'.join(topics)})$"
    for until in ("end", None):
        summary = (
            windows(
                config(kafka, topics[0], topics=[pattern], start_from="earliest", until=until),
                ls.CollectSink(),
            )
            .build()
            .run(max_events=20)
        )
        assert summary.records_in == 20


def test_a_topic_that_does_not_exist_is_named(kafka: KafkaCluster) -> None:
    with pytest.raises(ls.KafkaError, match="topic 'nowhere' does not exist") as caught:
        windows(config(kafka, "nowhere"), ls.CollectSink()).build().run()
    assert kafka.bootstrap in str(caught.value)
    assert (caught.value.code, caught.value.retriable) == ("UNKNOWN_TOPIC_OR_PART", False)


def test_what_retention_took_is_counted_or_refused(kafka: KafkaCluster) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(100, partitions=1))
    kafka.delete_records(topic, 0, 60)
    for reset, records in (("earliest", 40), ("latest", 0)):
        source = ls.KafkaSource(config(kafka, topic, auto_offset_reset=reset))
        source.seek({"topics": [topic], "offsets": [[topic, 0, 10]]})
        pipeline = windows(config(kafka, topic), ls.CollectSink()).with_source(source).build()
        assert pipeline.run().records_in == records
        assert pipeline.metrics["kafka"]["lost_offsets"] == 50
    source = ls.KafkaSource(config(kafka, topic, auto_offset_reset="none"))
    source.seek({"topics": [topic], "offsets": [[topic, 0, 10]]})
    with pytest.raises(ls.KafkaError, match="offset 10 is gone, there are offsets 60 to 100"):
        windows(config(kafka, topic), ls.CollectSink()).with_source(source).build().run()


def test_two_members_of_a_group_read_each_record_once(kafka: KafkaCluster) -> None:
    topic = kafka.topic(4)
    sinks = [ls.CollectSink(), ls.CollectSink()]
    pipelines = [
        ls.create_pipeline()
        .with_kafka_source(config(kafka, topic, until=None, session_timeout_ms=6_000))
        .map(dict)
        .with_sink(sink)
        .build()
        for sink in sinks
    ]
    threads = [threading.Thread(target=each.run) for each in pipelines]
    kafka.send(topic, events(1_000, partitions=4))
    threads[0].start()
    wait_until(lambda: len(sinks[0].results) == 1_000)
    # The second one takes partitions over: what the first one has read it does not read again itself.
    threads[1].start()
    wait_until(lambda: pipelines[1].metrics["kafka"].get("rebalances", 0) >= 1)
    wait_until(lambda: pipelines[0].metrics["kafka"]["rebalances"] >= 2)
    kafka.send(topic, [Sent(event(START, "m", 1, id=-1 - n), n % 4) for n in range(400)])
    wait_until(lambda: sum(e.data["id"] < 0 for sink in sinks for e in list(sink.results)) >= 400)
    for pipeline in pipelines:
        pipeline.stop()
    for thread in threads:
        thread.join(30)
    ids = [sorted(e.data["id"] for e in sink.results) for sink in sinks]
    assert ids[0] == sorted(set(ids[0])), "a record came twice"
    assert sorted(each for of_sink in ids for each in of_sink if each < 0) == list(range(-400, 0))


def test_cloud_events_in_binary_mode_read_like_structured_ones(kafka: KafkaCluster) -> None:
    topic = kafka.topic()
    attributes = (
        ("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"completion"),
        ("ce_time", b"2026-01-01T00:00:01Z"), ("content-type", b"application/json"), ("other", b"x"),
    )  # fmt: skip
    whole = {
        "specversion": "1.0",
        "id": "2",
        "source": "/s",
        "type": "completion",
        "time": "2026-01-01T00:00:02Z",
    }
    kafka.send(
        topic,
        [
            Sent(b'{"model":"m","prompt_tokens":1}', headers=attributes),
            Sent(json.dumps({**whole, "data": {"model": "m", "prompt_tokens": 2}}).encode()),
            # What would end the data early and say a time of its own.
            Sent(b'{"model":"m"},"time":"2030-01-01T00:00:00Z","x":{}', headers=attributes),
        ],
    )
    sink, letters = ls.CollectSink(), ls.CollectSink()
    builder = (
        ls.create_pipeline(event_type=ls.CloudEvent)
        .with_kafka_source(config(kafka, topic, format="cloudevents"))
        .key_by("type")
        .with_tumbling_window("1m")
        .aggregate("data.prompt_tokens", ["sum"])
        .with_sink(sink)
    )
    summary = builder.build().run()
    assert [(dict(r.key), r.results) for r in sink.results] == [({"type": "completion"}, {"sum": 3})]
    assert dict(summary.malformed_by_kind) == {"syntax": 1}
    del letters


def test_lag_is_what_has_not_been_read(kafka: KafkaCluster) -> None:
    topic = kafka.topic()
    kafka.send(topic, events(100, partitions=1))
    pipeline = windows(config(kafka, topic, max_poll_records=10), ls.CollectSink()).build()
    pipeline.run(max_events=30)
    assert pipeline.metrics["kafka"]["lag"] == {f"{topic}-0": 70}


def test_lag_and_commits_are_shown_while_it_runs(
    kafka: KafkaCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    topic, dead = kafka.topic(), kafka.topic()
    kafka.send(topic, [*events(1_000, partitions=1), b"broken"])
    letters = ls.DeadLetterSink(
        dead, ls.KafkaProducerConfig(bootstrap_servers=kafka.bootstrap, result_topic=dead)
    )
    handler = ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(letters)
    pipeline = windows(config(kafka, topic), ls.CollectSink()).with_error_handler(handler).build()
    pipeline.run(progress=True)
    shown = capsys.readouterr().err
    assert re.search(r"\d+ records  [\d,]+/s  lag [\d,]+  rebalances 1  commits 0  dead letters \d", shown), (
        shown
    )
    assert pipeline.metrics["kafka"]["dead_letters"] == 1


def test_a_pattern_is_the_same_for_all_ways_to_read(kafka: KafkaCluster) -> None:
    topic = kafka.topic(name="pattern-7-a")
    kafka.send(topic, events(10, partitions=1))
    for settings in ({"until": "end"}, {"until": None}, {"until": None, "grouping": "single"}):
        source = config(kafka, topic, topics=[r"^pattern-\w-a$"], start_from="earliest", **settings)
        assert windows(source, ls.CollectSink()).build().run(max_events=10).records_in == 10
    with pytest.raises(ls.KafkaError, match="no topic matches"):
        windows(config(kafka, topic, topics=["^pattern-no"]), ls.CollectSink()).build().run()
    with pytest.raises(ls.ConfigurationError, match=r"topic pattern '\^\(': "):
        windows(config(kafka, topic, topics=["^("]), ls.CollectSink()).build().run()


def test_a_record_whose_own_time_is_none_is_malformed(kafka: KafkaCluster) -> None:
    topic = kafka.topic()
    untimed = b'{"data":{"model":"m","latency_ms":1}}'
    kafka.send(topic, [Sent(untimed, timestamp_ms=2**62), Sent(untimed, timestamp_ms=1_767_225_600_000)])
    sink = ls.CollectSink()
    summary = windows(config(kafka, topic), sink).build().run()
    assert dict(summary.malformed_by_kind) == {"time_invalid": 1}
    assert [each.window.start_text for each in sink.results] == ["2026-01-01T00:00:00Z"]
