from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import llmopt_stream as ls
import pytest
from llmopt_stream.config.settings import PROCESSOR

SPECIFICATION = {
    "parallelism": 4,
    "buffer_size": 10000,
    "checkpoint_interval_secs": 60,
    "state.backend": "rocksdb",
    "state.path": "/var/lib/optimizer/state",
    "state.checkpoint_path": "/var/lib/optimizer/checkpoints",
    "windows.default_type": "tumbling",
    "windows.tumbling.size_secs": 300,
    "windows.tumbling.allowed_lateness_secs": 60,
    "windows.sliding.size_secs": 600,
    "windows.sliding.slide_secs": 60,
    "windows.sliding.allowed_lateness_secs": 60,
    "windows.session.gap_secs": 300,
    "windows.session.allowed_lateness_secs": 60,
    "watermark.strategy": "bounded_out_of_orderness",
    "watermark.max_out_of_orderness_secs": 30,
    "watermark.emit_interval_secs": 10,
    "aggregation.enabled": ["count", "sum", "average", "min", "max", "percentile", "stddev"],
    "aggregation.percentiles": [50, 95, 99],
    "error_handling.policy": "retry",
    "error_handling.max_retries": 3,
    "error_handling.initial_retry_delay_ms": 100,
    "error_handling.max_retry_delay_ms": 5000,
    "error_handling.dead_letter_topic": "processor-dead-letter",
    "kafka.consumer.bootstrap_servers": "localhost:9092",
    "kafka.consumer.group_id": "llm-optimizer-processor",
    "kafka.consumer.topics": ["feedback-events", "performance-metrics"],
    "kafka.consumer.enable_auto_commit": False,
    "kafka.consumer.auto_offset_reset": "earliest",
    "kafka.consumer.session_timeout_ms": 30000,
    "kafka.consumer.max_poll_records": 500,
    "kafka.producer.bootstrap_servers": "localhost:9092",
    "kafka.producer.result_topic": "aggregated-metrics",
    "kafka.producer.compression_type": "lz4",
    "kafka.producer.acks": "all",
    "kafka.producer.retries": 3,
    "metrics.enabled": True,
    "metrics.export_interval_secs": 60,
}
"""Every key of the specification's complete example."""

COMPLETE = """\
processor:
  parallelism: 4
  buffer_size: 10000
  checkpoint_interval_secs: 60

  state:
    backend: "rocksdb"
    path: "/var/lib/optimizer/state"
    checkpoint_path: "/var/lib/optimizer/checkpoints"

  windows:
    default_type: "tumbling"

    tumbling:
      size_secs: 300
      allowed_lateness_secs: 60

    sliding:
      size_secs: 600
      slide_secs: 60
      allowed_lateness_secs: 60

    session:
      gap_secs: 300
      allowed_lateness_secs: 60

  watermark:
    strategy: "bounded_out_of_orderness"
    max_out_of_orderness_secs: 30
    emit_interval_secs: 10

  aggregation:
    enabled:
      - "count"
      - "sum"
      - "average"
      - "min"
      - "max"
      - "percentile"
      - "stddev"
    percentiles: [50, 95, 99]

  error_handling:
    policy: "retry"
    max_retries: 3
    initial_retry_delay_ms: 100
    max_retry_delay_ms: 5000
    dead_letter_topic: "processor-dead-letter"

  kafka:
    consumer:
      bootstrap_servers: "localhost:9092"
      group_id: "llm-optimizer-processor"
      topics: ["feedback-events", "performance-metrics"]
      enable_auto_commit: false
      auto_offset_reset: "earliest"
      session_timeout_ms: 30000
      max_poll_records: 500

    producer:
      bootstrap_servers: "localhost:9092"
      result_topic: "aggregated-metrics"
      compression_type: "lz4"
      acks: "all"
      retries: 3

  metrics:
    enabled: true
    export_interval_secs: 60
"""

LOCAL = "processor:\n  source: {type: generator, generator: {events: 1000}}\n  state: {backend: memory}\n  sinks: []\n"


def at(config: ls.Config, path: str) -> Any:
    value: Any = config.processor
    for name in path.split("."):
        value = getattr(value, name)
    return value


def load(folder: Path, text: str, **said: Any) -> ls.Config:
    path = folder / "processor.yaml"
    path.write_text(text)
    return ls.load_config(path, environ=said.pop("environ", {}), **said)


# The specification


@pytest.mark.parametrize(("path", "value"), SPECIFICATION.items(), ids=SPECIFICATION)
def test_a_setting_that_is_not_said_has_the_default_of_the_specification(path: str, value: Any) -> None:
    found = at(ls.Config(), path)
    assert found == value
    assert type(found) is type(value)


def test_the_complete_example_of_the_specification_says_the_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, COMPLETE)
    assert config == ls.Config()
    assert {path: at(config, path) for path in SPECIFICATION} == SPECIFICATION


def test_an_example_with_one_topic_and_no_emit_interval_is_read_as_it_is(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
processor:
  windows:
    default_type: "tumbling"
    tumbling:
      size_secs: 300 # 5 minutes
  kafka:
    consumer:
      group_id: "processor-group"
      topics: ["feedback-events"]
""",
    )
    assert config.processor.kafka.consumer.group_id == "processor-group"
    assert config.processor.kafka.consumer.topics == ["feedback-events"]
    assert config.processor.windows.tumbling.size_secs == 300


def test_tuning_examples_change_only_what_they_say(tmp_path: Path) -> None:
    text = "processor:\n  parallelism: 8\n  buffer_size: 50000\n  kafka:\n    consumer:\n      max_poll_records: 1000\n"
    changed = {"parallelism": 8, "buffer_size": 50000, "kafka.consumer.max_poll_records": 1000}
    config = load(tmp_path, text)
    assert {path: at(config, path) for path in SPECIFICATION} == {**SPECIFICATION, **changed}


def test_additions_of_ours_have_defaults_that_change_nothing() -> None:
    processor = ls.Config().processor
    assert processor.name == "pipeline"
    assert processor.source.type == "kafka"
    assert [sink.to_dict() for sink in processor.sinks] == [{"result_topic": None, "producer": None}]
    assert processor.delivery == "at_least_once"
    assert processor.checkpoints_kept == 3
    assert processor.key_by is None
    assert processor.aggregation.field == "value"
    assert processor.memory_limit_bytes is None


def test_every_setting_has_a_meaning_in_one_sentence_or_more() -> None:
    def check(section: Any, seen: set[str]) -> None:
        if section.name not in seen:
            seen.add(section.name)
            for setting in section.settings:
                assert setting.doc.endswith("."), f"{section.name}.{setting.name}"
                for below in setting.kind.sections():
                    check(below, seen)

    seen: set[str] = set()
    check(PROCESSOR, seen)
    assert {"stage", "branch", "stream", "join_inputs", "hybrid_trigger", "z_score"} <= seen


# Values as YAML has them


def test_settings_are_attributes_that_cannot_be_changed() -> None:
    config = ls.Config()
    with pytest.raises(AttributeError):
        config.processor.windows.tumbling.size_secs = 1


def test_text_is_what_is_written_also_where_yaml_reads_a_number_or_a_truth(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "processor: {name: no, kafka: {consumer: {group_id: 007, topics: [1.10, on]}, producer: {acks: 1}}}",
    )
    assert config.processor.name == "no"
    assert config.processor.kafka.consumer.group_id == "007"
    assert config.processor.kafka.consumer.topics == ["1.10", "on"]
    assert config.processor.kafka.producer.acks == "1"


def test_numbers_may_have_underscores_fractions_and_exponents(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "processor: {buffer_size: 50_000, windows: {tumbling: {size_secs: 0.5}, sliding: {size_secs: 1e3}}}",
    )
    assert config.processor.buffer_size == 50_000
    assert config.processor.windows.tumbling.size_secs == 0.5
    assert config.processor.windows.sliding.size_secs == 1000


def test_an_empty_section_has_its_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "processor:\n  windows:\n  kafka:\n    consumer:\n") == ls.Config()
    assert load(tmp_path, "processor:\n") == ls.Config()


def test_a_byte_order_mark_and_dos_line_ends_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "dos.yaml"
    path.write_bytes(b"\xef\xbb\xbfprocessor:\r\n  parallelism: 2\r\n")
    assert ls.load_config(path, environ={}).processor.parallelism == 2


# Environment and options


def test_the_environment_says_it_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCESSOR_PARALLELISM", "8")
    monkeypatch.setenv("PROCESSOR_STATE__BACKEND", "memory")
    monkeypatch.setenv("PROCESSOR_KAFKA__CONSUMER__BOOTSTRAP_SERVERS", "kafka:9092")
    path = tmp_path / "processor.yaml"
    path.write_text(COMPLETE)
    config = ls.load_config(path)
    assert config.processor.parallelism == 8
    assert config.processor.state.backend == "memory"
    assert config.processor.kafka.consumer.bootstrap_servers == "kafka:9092"
    assert config.processor.kafka.producer.bootstrap_servers == "localhost:9092"


def test_file_then_environment_then_options(tmp_path: Path) -> None:
    text = "processor: {parallelism: 2, buffer_size: 20, checkpoint_interval_secs: 20}"
    environ = {"PROCESSOR_BUFFER_SIZE": "30", "PROCESSOR_CHECKPOINT_INTERVAL_SECS": "30"}
    config = load(tmp_path, text, environ=environ, options=["checkpoint_interval_secs=40", "name=n"])
    said = config.processor
    assert (said.parallelism, said.buffer_size, said.checkpoint_interval_secs, said.name) == (2, 30, 40, "n")


def test_of_options_for_one_setting_the_last_counts(tmp_path: Path) -> None:
    assert (
        load(tmp_path, LOCAL, options=["parallelism=2", "processor.parallelism=3"]).processor.parallelism == 3
    )


@pytest.mark.parametrize("text", ["a,b", "a, b", '["a", "b"]', "[a, b]"])
def test_lists_from_the_environment_are_json_or_have_commas(text: str, tmp_path: Path) -> None:
    config = load(tmp_path, LOCAL, environ={"PROCESSOR_KAFKA__CONSUMER__TOPICS": text})
    assert config.processor.kafka.consumer.topics == ["a", "b"]


def test_an_empty_list_from_the_environment(tmp_path: Path) -> None:
    assert load(tmp_path, "processor: {key_by: [a]}", environ={"PROCESSOR_KEY_BY": ""}).processor.key_by == []


def test_numbers_truths_and_null_from_the_environment(tmp_path: Path) -> None:
    environ = {
        "PROCESSOR_METRICS__ENABLED": "false",
        "PROCESSOR_BUFFER_SIZE": "null",
        "PROCESSOR_WINDOWS__TUMBLING__SIZE_SECS": "1.5",
        "PROCESSOR_AGGREGATION__PERCENTILES": "[50, 99.9]",
    }
    said = load(tmp_path, LOCAL, environ=environ).processor
    assert said.metrics.enabled is False
    assert said.buffer_size is None
    assert said.windows.tumbling.size_secs == 1.5
    assert said.aggregation.percentiles == [50, 99.9]


def test_sections_and_entries_of_lists_from_the_environment_and_options(tmp_path: Path) -> None:
    environ = {"PROCESSOR_WINDOWS__TRIGGER": "{type: count, count: 5}", "PROCESSOR_SINKS__0__TYPE": "console"}
    options = ["sinks.1.type=ndjson", "sinks.1.path=out.ndjson", "windows.trigger.count=6"]
    said = load(tmp_path, LOCAL, environ=environ, options=options).processor
    assert said.windows.trigger.count == 6
    assert [type(sink).__name__ for sink in said.sinks] == ["ConsoleSinkSettings", "NdjsonSinkSettings"]
    assert said.sinks[1].path == "out.ndjson"


def test_properties_are_reached_by_their_dotted_names(tmp_path: Path) -> None:
    environ = {"PROCESSOR_KAFKA__CONSUMER__PROPERTIES__CLIENT__ID": "me"}
    said = load(tmp_path, LOCAL, environ=environ, options=["kafka.producer.properties.linger.ms=5"]).processor
    assert said.kafka.consumer.properties == {"client.id": "me"}
    assert said.kafka.producer.properties == {"linger.ms": "5"}


def test_variables_that_kubernetes_sets_for_a_service_called_processor_are_no_settings(
    tmp_path: Path,
) -> None:
    environ = {
        "PROCESSOR_SERVICE_HOST": "10.0.0.1",
        "PROCESSOR_SERVICE_PORT": "8080",
        "PROCESSOR_SERVICE_PORT_HTTP": "8080",
        "PROCESSOR_PORT": "tcp://10.0.0.1:8080",
        "PROCESSOR_PORT_8080_TCP_ADDR": "10.0.0.1",
        "LLM_OPTIMIZER_PROCESSOR_PARALLELISM": "9",
    }
    assert load(tmp_path, COMPLETE, environ=environ) == ls.Config()


def test_values_of_variables_are_taken_as_they_are(tmp_path: Path) -> None:
    assert load(tmp_path, LOCAL, environ={"PROCESSOR_NAME": "a${b"}).processor.name == "a${b"


# References and secrets


def test_references_are_replaced_in_the_file_and_in_options(tmp_path: Path) -> None:
    text = (
        "processor:\n  name: '${NAME}-${STAGE:-dev}'\n  parallelism: ${THREADS}\n"
        "  kafka: {consumer: {topics: ['${NAME}', other]}}\n"
    )
    environ = {"NAME": "latency", "THREADS": "3", "EMPTY": ""}
    options = ["kafka.producer.result_topic=${NAME}-out", "kafka.consumer.group_id=${EMPTY:-group}"]
    said = load(tmp_path, text, environ=environ, options=options).processor
    assert said.name == "latency-dev"
    assert said.parallelism == 3
    assert said.kafka.consumer.topics == ["latency", "other"]
    assert said.kafka.consumer.group_id == "group"
    assert said.kafka.producer.result_topic == "latency-out"


def test_two_dollars_before_a_brace_are_one(tmp_path: Path) -> None:
    assert load(tmp_path, "processor: {name: 'a$${b}$c'}").processor.name == "a${b}$c"


def test_what_a_reference_gives_is_no_yaml(tmp_path: Path) -> None:
    config = load(tmp_path, "processor: {name: '${X}'}", environ={"X": "a: [b, ${NAME}"})
    assert config.processor.name == "a: [b, ${NAME}"


CANARY = "canary-7f3a9c"


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{CANARY}-file\n")
    text = f"""
processor:
  kafka:
    consumer:
      bootstrap_servers: "${{SERVERS}}"
      properties:
        client.id: "me"
        sasl.password: "{CANARY}-literal"
        ssl.key.password: "${{file:{secret}}}"
        sasl.oauthbearer.client.secret: "${{TOKEN}}"
"""
    environ = {
        "TOKEN": f"{CANARY}-token",
        "SERVERS": "kafka:9092",
        "PROCESSOR_KAFKA__PRODUCER__PROPERTIES__SASL__PASSWORD": f"{CANARY}-env",
    }
    config = load(tmp_path, text, environ=environ)
    properties = config.processor.kafka.consumer.properties
    assert {name: "".join(value) for name, value in properties.items()} == {
        "client.id": "me",
        "sasl.password": f"{CANARY}-literal",
        "ssl.key.password": f"{CANARY}-file",
        "sasl.oauthbearer.client.secret": f"{CANARY}-token",
    }
    consumer = config.processor.kafka.consumer
    shown = [
        repr(config),
        str(config),
        repr(consumer),
        repr(properties),
        str(config.to_dict()),
        config.to_yaml(),
    ]
    shown += [f"{value}" for value in properties.values()]
    assert CANARY not in "".join(shown)
    dumped = config.to_dict()["processor"]["kafka"]
    assert dumped["consumer"]["bootstrap_servers"] == "${SERVERS}"
    assert dumped["consumer"]["properties"] == {
        "client.id": "me",
        "sasl.password": "***",
        "ssl.key.password": f"${{file:{secret}}}",
        "sasl.oauthbearer.client.secret": "${TOKEN}",
    }
    assert dumped["producer"]["properties"] == {"sasl.password": "***"}
    assert properties["ssl.key.password"].reveal() == f"{CANARY}-file"


def test_errors_do_not_show_what_references_give(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("qzx")  # so short that it is hidden only where it stands
    text = f"""
processor:
  parallelism: "${{TOKEN}}"
  watermark: {{strategy: "${{file:{secret}}}", emit_clock: "x${{file:{secret}}}"}}
  aggregation: {{enabled: ["${{TOKEN}}"], where: "${{file:{secret}}}", nulls: "${{TOKEN}}"}}
  kafka: {{consumer: {{properties: {{sasl.password: [{CANARY}]}}}}}}
  windows: "${{TOKEN}}"
"""
    with pytest.raises(ls.ConfigurationError) as raised:
        load(tmp_path, text, environ={"TOKEN": CANARY})
    message = str(raised.value)
    assert message.startswith("8 settings are wrong:")
    assert CANARY not in message
    assert "qzx" not in message
    assert "'${TOKEN}'" in message


_URLS = [
    f"http://me:{CANARY}@registry:8081",
    f"http://{CANARY}@registry:8081",
    f"http://first,https://me:{CANARY}@registry",
    f"me:{CANARY}@registry:8081",
    f"http://me:8081/{CANARY}@registry",
    "${REGISTRY}",
]


@pytest.mark.parametrize(
    "registry",
    [
        *[f"{{url: '{url}'}}" for url in (*_URLS, f"http://me:{CANARY}", f"http://[{CANARY}")],
        *[f"{{url: ['{url}']}}" for url in _URLS],
        *[f"'{url}'" for url in _URLS],
    ],
)
def test_the_url_of_a_registry_is_without_credentials(registry: str, tmp_path: Path) -> None:
    text = f"processor: {{kafka: {{consumer: {{schema_registry: {registry}}}}}}}"
    environ = {"REGISTRY": f"http://me:{CANARY}@registry"}
    with pytest.raises(ls.ConfigurationError, match=r"consumer\.schema_registry") as raised:
        load(tmp_path, text, environ=environ)
    assert CANARY not in str(raised.value)


def test_what_is_wrong_with_the_url_of_a_registry_is_said(tmp_path: Path) -> None:
    text = "processor: {kafka: {consumer: {schema_registry: {url: 'http://me:pw@registry'}}}}"
    with pytest.raises(ls.ConfigurationError, match=r"\.url: say username and password by themselves$"):
        load(tmp_path, text)
    with pytest.raises(ls.ConfigurationError, match=r"\.url: expected e\.g\. 'http://localhost:8081'$"):
        load(tmp_path, text.replace("http://me:pw@", ""))


@pytest.mark.parametrize("reference", ["${file:secret}", "${TOKEN}"])
def test_errors_of_the_pipeline_do_not_show_what_references_give(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("secret").write_text(CANARY)
    text = LOCAL + f"  operators: [{{type: enrich, table: '{reference}', 'on': k}}]\n"
    config = load(tmp_path, text, environ={"TOKEN": CANARY})
    with pytest.raises(ls.ConfigurationError, match=r"operators\.0: .*\*\*\*") as raised:
        config.pipeline()
    assert CANARY not in str(raised.value)


# Without PyYAML


def test_without_pyyaml_one_line_names_the_extra(tmp_path: Path) -> None:
    path = tmp_path / "processor.yaml"
    path.write_text(LOCAL)
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "import llmopt_stream as ls\n"
        "assert ls.Config().processor.parallelism == 4\n"
        f"from llmopt_stream.cli import main\nsys.exit(main(['validate', '--config', {str(path)!r}]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={**os.environ}
    )
    assert done.returncode == 2
    assert done.stderr == (
        "llmopt-stream validate: configuration files need PyYAML: pip install 'llmopt-stream[config]'\n"
    )
