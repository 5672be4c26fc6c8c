from __future__ import annotations

import json
import warnings
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any, ClassVar

import llmopt_stream as ls
import pytest
from llmopt_stream.secrets import Redaction, Secret

CANARY = "canary-7f3a9"


def test_the_defaults_are_those_of_the_specification() -> None:
    config = ls.KafkaConfig()
    assert config.bootstrap_servers == "localhost:9092"
    assert config.group_id == "llm-optimizer-processor"
    assert list(config.topics) == ["feedback-events", "performance-metrics"]
    assert config.enable_auto_commit is False
    assert config.auto_offset_reset == "earliest"
    assert config.session_timeout_ms == 30_000
    assert config.max_poll_records == 500
    producer = ls.KafkaProducerConfig()
    assert producer.bootstrap_servers == "localhost:9092"
    assert producer.result_topic == "aggregated-metrics"
    assert producer.compression_type == "lz4"
    assert producer.acks == "all"
    assert producer.retries == 3


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"topics": "feedback"}, "topics: 'feedback' is no list of topics"),
        ({"topics": []}, "topics: .* is no list of topics"),
        ({"topics": ["a b"]}, "topics: 'a b' is neither a topic's name nor a pattern"),
        ({"group_id": ""}, "group_id: '' is no name"),
        ({"bootstrap_servers": " "}, "bootstrap_servers: ' ' is no list"),
        ({"auto_offset_reset": "newest"}, "auto_offset_reset: 'newest' is not one of 'earliest', 'latest', 'none'"),
        ({"session_timeout_ms": 0}, "session_timeout_ms: 0 is not a whole number of at least 1"),
        ({"max_poll_records": 1.5}, "max_poll_records: 1.5 is not a whole number of at least 1"),
        ({"start_from": "newest"}, "start_from: .*; or 'committed', 'earliest', 'latest'"),
        ({"start_from": -5}, "start_from: -5 is before 1970"),
        ({"until": "now"}, "until: 'now' is not one of None, 'end'"),
        ({"format": "thrift"}, "format: 'thrift' is not one of 'json', 'cloudevents'"),
        ({"sasl_mechanism": "MD5"}, "sasl_mechanism: 'MD5' is not one of"),
        ({"security_protocol": "SASL_SSL"}, "sasl_mechanism: missing"),
        ({"security_protocol": "SSL", "sasl_mechanism": "PLAIN"}, "'SSL' has no sasl_mechanism"),
        ({"sasl_mechanism": "OAUTHBEARER"}, "sasl_token: a function or a file"),
        ({"properties": {"queued.min.messages": None}}, "'queued.min.messages': a NoneType is no text"),
        ({"properties": {"queued.min.messages": CANARY}}, "'queued.min.messages': Invalid value"),
        ({"properties": {"fetch.wait.max": 1}}, "'fetch.wait.max': is not among the properties"),
        ({"properties": {"linger.ms": 1}}, "'linger.ms': is not among the properties that a consumer may be given"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_by_name(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=says) as caught:
        ls.KafkaConfig(**settings)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("config", [ls.KafkaConfig, ls.KafkaProducerConfig])
@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("missing", ["sasl_username", "sasl_password"])
def test_passwords_belong_to_names(config: Any, mechanism: str, missing: str) -> None:
    said = {"sasl_username": "user", "sasl_password": CANARY}
    config(sasl_mechanism=mechanism, **said)
    config(sasl_mechanism="GSSAPI")
    del said[missing]
    with pytest.raises(
        ls.ConfigurationError,
        match=f"^{config.__name__}: {missing}: missing; sasl_mechanism='{mechanism}' needs it$",
    ):
        config(sasl_mechanism=mechanism, **said)


@pytest.mark.parametrize(
    ("session", "properties", "interval"),
    [
        (300_000, {}, None),
        (300_001, {}, 300_000),
        (300_001, {"max.poll.interval.ms": 300_001}, None),
        (30_000, {"max.poll.interval.ms": "29999"}, 29_999),
        (30_000, {"max.poll.interval.ms": "0x7530"}, None),
        (30_001, {"max.poll.interval.ms": "0x7530"}, 30_000),
    ],
)
def test_a_session_is_no_longer_than_the_interval_between_polls(
    session: int, properties: dict[str, Any], interval: int | None
) -> None:
    if interval is None:
        ls.KafkaConfig(session_timeout_ms=session, properties=properties)
        return
    with pytest.raises(
        ls.ConfigurationError,
        match=rf"session_timeout_ms: {session} is more than the property max\.poll\.interval\.ms, {interval}$",
    ):
        ls.KafkaConfig(session_timeout_ms=session, properties=properties)


_FILES = (
    "ssl_ca_location",
    "ssl_certificate_location",
    "ssl_key_location",
    "protobuf_descriptors",
    "sasl_token",
)


def _with_file(setting: str, path: str) -> dict[str, Any]:
    more = {
        "protobuf_descriptors": {"format": "protobuf", "protobuf_message": "llm.Event"},
        "sasl_token": {"sasl_mechanism": "OAUTHBEARER"},
    }
    return {setting: path, **more.get(setting, {})}


@pytest.mark.parametrize("setting", _FILES)
def test_files_that_are_not_there_are_named_when_a_pipeline_is_built(setting: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    config = ls.KafkaConfig(**_with_file(setting, str(file)))
    builder = (
        ls.create_pipeline().with_kafka_source(config).with_tumbling_window("1m").aggregate("v", ["count"])
    )
    with pytest.raises(ls.ConfigurationError, match=f"^KafkaConfig: {setting}: there is no file '{file}'$"):
        builder.build()
    builder.checked()  # as for a harness, which needs no brokers
    file.touch()
    builder.build()


@pytest.mark.parametrize("setting", ["ssl_ca_location", "ssl_certificate_location", "ssl_key_location"])
def test_files_of_registries_and_producers_are_looked_for_too(setting: str, tmp_path: Path) -> None:
    said = {setting: str(tmp_path / "file")}
    registry = ls.SchemaRegistryConfig(url="https://r", **said)
    windowed = ls.create_pipeline().with_tumbling_window("1m").aggregate("v", ["count"])
    plain = windowed.with_kafka_source(ls.KafkaConfig())
    producer = ls.KafkaProducerConfig(**said)
    builders = {
        "SchemaRegistryConfig": windowed.with_kafka_source(
            ls.KafkaConfig(format="avro", schema_registry=registry)
        ),
        "KafkaProducerConfig": plain.with_sink(ls.KafkaAggregationSink(producer)),
        "KafkaProducerConfig: ": plain.with_late_event_handler(
            ls.LateEventHandler().with_side_output(ls.DeadLetterSink("late", producer))
        ),
    }
    for name, builder in builders.items():
        with pytest.raises(ls.ConfigurationError, match=f"^{name.strip(': ')}: {setting}: there is no file"):
            builder.build()


def test_a_folder_of_certificates_and_probing_are_taken(tmp_path: Path) -> None:
    for location in (str(tmp_path), "probe"):
        config = ls.KafkaConfig(ssl_ca_location=location)
        ls.create_pipeline().with_kafka_source(config).with_tumbling_window("1m").aggregate("v").build()


@pytest.mark.parametrize("config", [ls.KafkaConfig, ls.KafkaProducerConfig])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("plugin.library.paths", "run code in this process"),
        ("sasl.kerberos.kinit.cmd", "run code in this process"),
        ("ssl.engine.location", "run code in this process"),
        ("ssl.providers", "run code in this process"),
        ("rebalance_cb", "run code in this process"),
        ("enable.idempotence", "promises about delivery"),
        ("transactional.id", "promises about delivery"),
        ("isolation.level", "promises about delivery"),
        ("enable.auto.offset.store", "promises about delivery"),
        ("enable.partition.eof", "promises about delivery"),
        ("bootstrap.servers", "has a setting of its own"),
        ("sasl.password", "has a setting of its own"),
        ("enable.ssl.certificate.verification", "has a setting of its own"),
        ("debug", "because they log secrets"),
    ],
)
def test_properties_that_run_code_or_break_promises_are_refused(config: Any, name: str, says: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=f"Kafka property '{name}': .*{says}") as caught:
        config(properties={name: "security" if name == "debug" else CANARY})
    assert CANARY not in str(caught.value)


def test_other_properties_are_taken() -> None:
    config = ls.KafkaConfig(properties={"fetch.min.bytes": 100, "socket.keepalive.enable": True})
    assert dict(config.properties) == {"fetch.min.bytes": "100", "socket.keepalive.enable": "true"}


def test_secrets_are_hidden_in_everything_that_shows_settings() -> None:
    config = ls.KafkaConfig(
        topics=["t"],
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="user",
        sasl_password=CANARY,
        ssl_key_password=CANARY,
        properties={"ssl.key.pem": CANARY, "ssl.keystore.password": CANARY},
    )
    source = ls.KafkaSource(config)
    builder = ls.create_pipeline().with_source(source).with_tumbling_window("1m").aggregate("v", ["count"])
    shown = [repr(config), str(config), f"{config}", repr(source), str(source), builder.plan.explain()]
    assert CANARY not in "".join(shown)
    assert "sasl_username='user'" in repr(config)
    assert config.connection()["sasl.password"] == CANARY
    assert source.redaction(f"login with {CANARY} failed") == "login with *** failed"
    token = ls.KafkaConfig(topics=["t"], sasl_mechanism="OAUTHBEARER", sasl_token=lambda: CANARY)
    assert "sasl_token='***'" in repr(token)


def test_a_secret_is_hidden_wherever_it_is_shown_and_whole_wherever_it_is_used() -> None:
    secret = Secret(CANARY)
    assert (str(secret), repr(secret), f"{secret:>5}") == ("***", "'***'", "  ***")
    assert (secret.reveal(), Secret(secret).reveal(), secret == CANARY) == (CANARY, CANARY, True)
    # A setting that went through the reading of a file, and one that is taken over from other settings.
    first = ls.KafkaConfig(topics=["t"], sasl_password=secret, properties={"ssl.key.pem": secret})
    second = ls.KafkaProducerConfig(sasl_password=first.sasl_password, properties=first.properties)
    for config in (first, second):
        client = config.client({}, Redaction())
        assert dict(client["settings"])["sasl.password"] == CANARY
        assert dict(client["properties"])["ssl.key.pem"] == CANARY


def test_credentials_without_tls_are_warned_of_unless_they_stay_on_this_machine() -> None:
    settings: dict[str, Any] = {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "user",
        "sasl_password": CANARY,
    }
    with pytest.warns(
        ls.ProcessorWarning, match="SASL_PLAINTEXT sends credentials to broker:9092 unencrypted"
    ):
        ls.KafkaConfig(bootstrap_servers="broker:9092", **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for servers in ("localhost:9092", "127.0.0.1:9092,[::1]:9093"):
            ls.KafkaConfig(bootstrap_servers=servers, **settings)
    with pytest.warns(ls.ProcessorWarning, match="insecure=True"):
        ls.KafkaConfig(security_protocol="SSL", insecure=True)


def test_tls_checks_who_the_broker_is_unless_told_not_to() -> None:
    said = ls.KafkaConfig(ssl_ca_location="/ca.pem").connection()
    assert said["security.protocol"] == "ssl"
    assert "enable.ssl.certificate.verification" not in said
    secured = ls.KafkaConfig(sasl_mechanism="PLAIN", sasl_username="user", sasl_password=CANARY)
    assert secured.connection()["security.protocol"] == "sasl_ssl"


def test_tokens_come_from_functions_and_files(tmp_path: Path) -> None:
    claims = urlsafe_b64encode(json.dumps({"sub": "me", "exp": 2_000_000_000}).encode()).decode().rstrip("=")
    token = f"e30.{claims}.{CANARY}"
    file = tmp_path / "token"
    file.write_text(f"{token}\n", encoding="utf-8")
    for source in (lambda: token, file, str(file)):
        redaction = Redaction()
        config = ls.KafkaConfig(sasl_mechanism="OAUTHBEARER", sasl_token=source)
        assert config.client({}, redaction)["token"]() == (token, "me", 2_000_000_000_000)
        assert redaction(f"token {token} refused") == "token *** refused"
    config = ls.KafkaConfig(sasl_mechanism="OAUTHBEARER", sasl_token=lambda: ("opaque", 5.0))
    assert config.client({}, Redaction())["token"]() == ("opaque", "", 5_000)


def test_errors_leave_without_secrets_and_without_a_cause_that_has_them() -> None:
    error = ls.KafkaError(f"broker says {CANARY}")
    error.code, error.retriable = "_AUTHENTICATION", True
    with pytest.raises(ls.KafkaError, match=r"broker says \*\*\*") as caught, Redaction([CANARY]).of_errors():
        raise error
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert (caught.value.code, caught.value.retriable) == ("_AUTHENTICATION", True)


def test_nobody_at_the_address_is_an_error_that_names_it() -> None:
    config = ls.KafkaConfig(bootstrap_servers="127.0.0.1:1", topics=["t"], startup_timeout_ms=300)
    pipeline = (
        ls.create_pipeline().with_kafka_source(config).with_tumbling_window("1m").aggregate("v", ["count"])
    )
    with pytest.raises(
        ls.KafkaError, match=r"127\.0\.0\.1:1: no broker answers: .*Connection refused"
    ) as caught:
        pipeline.build().run()
    assert caught.value.retriable
    sink = ls.KafkaAggregationSink(
        ls.KafkaProducerConfig(bootstrap_servers="127.0.0.1:1", startup_timeout_ms=300)
    )
    with pytest.raises(ls.KafkaError, match=r"127\.0\.0\.1:1: no broker answers"):
        sink.open()


def test_a_dead_letter_sink_reaches_the_brokers_as_the_source_does(tmp_path: Path) -> None:
    connection: dict[str, Any] = {
        "bootstrap_servers": "broker:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_username": "user",
        "sasl_password": CANARY,
        "ssl_ca_location": "ca.pem",
        "ssl_certificate_location": "cert.pem",
        "ssl_key_location": "key.pem",
        "ssl_key_password": CANARY,
        "insecure": True,
        "startup_timeout_ms": 5,
    }
    identity = {
        "client.id": "me",
        "ssl.key.pem": CANARY,
        "ssl.keystore.location": "keys.p12",
        "ssl.keystore.password": CANARY,
    }
    with pytest.warns(ls.ProcessorWarning, match="insecure=True"):
        source = ls.KafkaConfig(
            **connection,
            properties={
                **identity,
                "fetch.min.bytes": 100,
                "max.poll.interval.ms": 600_000,
            },
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        like = source.producer_like()
    with pytest.warns(ls.ProcessorWarning, match="insecure=True"):
        assert like == ls.KafkaProducerConfig(
            **connection,
            properties={
                **identity,
            },
        )
    assert dict(like.client({}, Redaction())["properties"])["ssl.key.pem"] == CANARY
    assert CANARY not in repr(like)
    sink = ls.DeadLetterSink("late")
    sink.prepare(ls.create_pipeline().with_kafka_source(source).plan)
    assert sink._of_pipeline == like


@pytest.mark.parametrize(
    ("topics", "brokers", "topic", "refused"),
    [
        (["a", "b"], "x:1", "b", True),
        (["^a.*"], "y:1, x:1", "abc", True),
        (["^a.*"], "x:1", "ba", False),
        (["a"], "x:1", "ab", False),
        (["a"], "y:1", "a", False),
    ],
)
@pytest.mark.parametrize("until", [None, "end"])
@pytest.mark.parametrize("of_dead_letters", [False, True])
def test_a_pipeline_that_would_read_what_it_sends_is_refused(
    topics: list[str], brokers: str, topic: str, refused: bool, of_dead_letters: bool, until: str | None
) -> None:
    output = ls.KafkaProducerConfig(bootstrap_servers="x:1", result_topic="out" if of_dead_letters else topic)
    builder = (
        ls.create_pipeline()
        .with_kafka_source(ls.KafkaConfig(topics=topics, bootstrap_servers=brokers, until=until))
        .with_tumbling_window("1m")
        .aggregate("value")
        .with_sink(ls.KafkaAggregationSink(output))
    )
    if of_dead_letters:
        letters = ls.DeadLetterSink(topic, output)
        builder = builder.with_late_event_handler(ls.LateEventHandler().with_side_output(letters))
    if refused and until is None:
        with pytest.raises(
            ls.ConfigurationError, match=rf"Sink\({topic}\): KafkaSource\(.* reads that topic too"
        ):
            builder.build()
    else:
        builder.build()


def test_a_dead_letter_takes_any_text_of_a_user() -> None:
    class Producer:
        sent: ClassVar[list[Any]] = []

        def send(self, *message: Any) -> None:
            self.sent.append(message)

    sink = ls.DeadLetterSink("broken")
    sink._producer = Producer()  # type: ignore[assignment]
    error = ls.PipelineError("user said '\ud800'")
    key = ls.GroupingKey.from_fields([])
    sink.send(ls.ErrorEvent(error, "f", "call", key, (), value={"text": "\udfff"}))
    [(topic, _, value, headers)] = Producer.sent
    assert topic == "broken"
    assert json.loads(value)["value"] == {"text": "\udfff"}
    assert dict(headers)["dead_letter.reason"] == b"user said '\\ud800'"


def test_a_dead_letter_sink_needs_to_know_brokers() -> None:
    builder = (
        ls.create_pipeline()
        .with_source(ls.IterableSource([]))
        .with_tumbling_window("1m")
        .aggregate("v", ["count"])
        .with_late_event_handler(ls.LateEventHandler("0s").with_side_output(ls.DeadLetterSink("late")))
    )
    with pytest.raises(ls.ConfigurationError, match="neither a Kafka source nor a KafkaAggregationSink"):
        builder.build().run()


def test_a_callable_gap_needs_whole_records() -> None:
    builder = (
        ls.create_pipeline()
        .with_kafka_source(ls.KafkaConfig(bootstrap_servers="127.0.0.1:1", startup_timeout_ms=1_000))
        .with_session_window(lambda record: 1)
        .aggregate("v", ["count"])
    )
    with pytest.raises(ls.ConfigurationError, match="gap: a callable needs whole records"):
        builder.build().run()


def test_a_position_that_is_none_is_refused() -> None:
    with pytest.raises(ls.CheckpointError, match="no position of a Kafka source"):
        ls.KafkaSource(ls.KafkaConfig(topics=["t"])).seek({"file": 3})


def test_a_bounded_read_is_no_member_of_the_group() -> None:
    for until, named in ((None, True), ("end", False)):
        config = ls.KafkaConfig(group_instance_id="first", until=until)
        assert ("group.instance.id" in dict(config.consumer(Redaction())["settings"])) is named
