from __future__ import annotations

import json
import logging
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from kafka_cluster import KafkaCluster
from traffic import events, expected_panes, panes_of

pytestmark = pytest.mark.kafka

CANARY = "canary-4c1d8e"
PASSWORD = f"right-{CANARY}"


@dataclass(frozen=True)
class Secured:
    """A broker with three more listeners."""

    kafka: KafkaCluster
    sasl: str
    tls: str
    certificates: Path


def _openssl(*arguments: str, directory: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)


def _certificates(directory: Path) -> Path:
    """An authority, and a broker and a client that it knows; each as one file of key and certificate."""
    directory.mkdir()
    _openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca",
        "-days", "2", directory=directory,
    )  # fmt: skip
    (directory / "names").write_text("subjectAltName=IP:127.0.0.1\n", encoding="ascii")
    for name in ("broker", "client"):
        _openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}", directory=directory,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.crt", "-days", "2", "-extfile", "names", directory=directory,
        )  # fmt: skip
        both = [(directory / f"{name}.{kind}").read_text(encoding="ascii") for kind in ("key", "crt")]
        (directory / f"{name}.pem").write_text("".join(both), encoding="ascii")
    return directory


@pytest.fixture(scope="module")
def secured(kafka: KafkaCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    del kafka  # which skips where there can be none
    directory = tmp_path_factory.mktemp("secured")
    certificates = _certificates(directory / "certificates")
    cluster = KafkaCluster(directory / "kafka")
    [node] = json.loads((directory / "kafka" / "cluster.json").read_text(encoding="utf-8"))["nodes"]
    plain, controller = node["port"], node["controller_port"]
    sasl, tls = plain + 1_000, plain + 2_000
    listeners = f"PLAINTEXT://127.0.0.1:{plain},SASL://127.0.0.1:{sasl},TLS://127.0.0.1:{tls}"
    module = "org.apache.kafka.common.security"
    settings = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,CONTROLLER:PLAINTEXT"
        ),
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
        "listener.name.sasl.plain.sasl.jaas.config": (
            f'{module}.plain.PlainLoginModule required user_me="{PASSWORD}";'
        ),
        "listener.name.sasl.oauthbearer.sasl.jaas.config": (
            f'{module}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";'
        ),
        "listener.name.tls.ssl.keystore.type": "PEM",
        "listener.name.tls.ssl.keystore.location": str(certificates / "broker.pem"),
        "listener.name.tls.ssl.truststore.type": "PEM",
        "listener.name.tls.ssl.truststore.location": str(certificates / "ca.pem"),
        "listener.name.tls.ssl.client.auth": "required",
    }
    cluster.stop()
    cluster.start(*(part for name, value in settings.items() for part in ("--set", f"{name}={value}")))
    yield Secured(cluster, f"127.0.0.1:{sasl}", f"127.0.0.1:{tls}", certificates)
    cluster.stop()


def pipeline_of(topic: str, results: str, **connection: Any) -> tuple[ls.StreamPipeline, ls.CollectSink]:
    sink = ls.CollectSink()
    pipeline = (
        ls.create_pipeline("secured")
        .with_kafka_source(ls.KafkaConfig(topics=[topic], group_id=topic, until="end", **connection))
        .with_watermark_generator(ls.BoundedOutOfOrdernessWatermark("5s"))
        .key_by("data.model")
        .with_tumbling_window("1m")
        .aggregate("data.latency_ms", ["count", "sum", "min", "max", "p50"])
        .with_error_handler(
            ls.ErrorHandler(ls.ErrorPolicy.dead_letter()).with_sink(ls.DeadLetterSink(f"{results}-dead"))
        )
        .with_sink(ls.KafkaAggregationSink(ls.KafkaProducerConfig(result_topic=results, **connection)))
        .with_sink(sink)
        .build()
    )
    return pipeline, sink


def token(lifetime: float) -> str:
    """One that brokers take which check nothing."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": "me", "iat": now, "exp": now + lifetime, "scope": CANARY})
    return ".".join(urlsafe_b64encode(json.dumps(each).encode()).decode().rstrip("=") for each in parts) + "."


def sasl_plain(secured: Secured, tmp_path: Path) -> dict[str, Any]:
    del tmp_path
    return {
        "bootstrap_servers": secured.sasl,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": "me",
        "sasl_password": PASSWORD,
    }


def token_function(secured: Secured, tmp_path: Path) -> dict[str, Any]:
    del tmp_path
    return {
        "bootstrap_servers": secured.sasl,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_token": lambda: token(60),
    }


def token_file(secured: Secured, tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "token"
    file.write_text(token(60), encoding="ascii")
    return {**token_function(secured, tmp_path), "sasl_token": file}


def mutual_tls(secured: Secured, tmp_path: Path) -> dict[str, Any]:
    del tmp_path
    return {
        "bootstrap_servers": secured.tls,
        "ssl_ca_location": str(secured.certificates / "ca.pem"),
        "ssl_certificate_location": str(secured.certificates / "client.crt"),
        "ssl_key_location": str(secured.certificates / "client.key"),
    }


@pytest.mark.parametrize("connection", [sasl_plain, token_function, token_file, mutual_tls])
def test_both_ends_are_who_they_say(secured: Secured, tmp_path: Path, connection: Any) -> None:
    topic, results = secured.kafka.topic(2), secured.kafka.topic()
    sent = events(300, partitions=2)
    secured.kafka.send(topic, sent)
    pipeline, sink = pipeline_of(topic, results, **connection(secured, tmp_path))
    pipeline.run()
    assert panes_of(sink.results) == expected_panes(sent)
    assert len(secured.kafka.read(results)) == len(sink.results)


def _fails(**connection: Any) -> str:
    pipeline, _ = pipeline_of("t", "r", startup_timeout_ms=3_000, **connection)
    with pytest.raises(ls.KafkaError) as caught:
        pipeline.run()
    error: BaseException | None = caught.value
    said = [repr(pipeline), str(pipeline.metrics), pipeline.plan.explain()]
    while error is not None:
        said += [str(error), repr(error)]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(said)


def test_no_secret_shows_where_logging_in_fails(
    secured: Secured, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = {**sasl_plain(secured, tmp_path), "sasl_password": f"wrong-{CANARY}"}
    debug = {"debug": "broker,protocol"}

    def raising() -> str:
        raise ValueError(f"no token for {CANARY}")

    shown = [
        _fails(**wrong, properties=debug),
        _fails(**{**token_function(secured, tmp_path), "sasl_token": lambda: f"wrong-{CANARY}"}),
        _fails(**{**token_function(secured, tmp_path), "sasl_token": raising}),
        _fails(
            **{**mutual_tls(secured, tmp_path), "ssl_key_location": None, "ssl_certificate_location": None},
            properties={"ssl.keystore.password": CANARY},
        ),
    ]
    assert "Authentication failed" in shown[0]
    assert "_AUTHENTICATION" in shown[0]
    out, err = capfd.readouterr()
    assert caplog.text != ""
    for text in (*shown, caplog.text, out, err):
        assert CANARY not in text


def test_a_broker_that_is_not_who_it_says_is_refused(secured: Secured, tmp_path: Path) -> None:
    other = _certificates(tmp_path / "other")
    said = _fails(**{**mutual_tls(secured, tmp_path), "ssl_ca_location": str(other / "ca.pem")})
    assert "certificate verify failed" in said


def test_a_token_is_asked_for_again_before_it_expires(secured: Secured, tmp_path: Path) -> None:
    asked: list[float] = []

    def short() -> str:
        asked.append(time.monotonic())
        return token(4)

    topic = secured.kafka.topic()
    connection = {**token_function(secured, tmp_path), "sasl_token": short}
    config = ls.KafkaConfig(topics=[topic], group_id=topic, **connection)
    pipeline = ls.create_pipeline().with_kafka_source(config).map(dict).with_sink(ls.CollectSink()).build()
    pipeline.run(timeout="5s")
    assert len(asked) >= 2
