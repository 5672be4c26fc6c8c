from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import llmopt_stream as ls
import pytest
from llmopt_stream.cli import main
from llmopt_stream.config.reference import page_with_reference
from llmopt_stream.config.schema import json_schema

ROOT = Path(__file__).parents[2]
FILES = {name: ROOT / "config" / f"processor-{name}.yaml" for name in ("dev", "test", "prod")}

LOCAL = """\
processor:
  source: {type: generator, generator: {events: 1000, malformed_share: 0, late_share: 0}}
  state: {backend: memory}
  event: {type: feedback_event}
  windows: {tumbling: {size_secs: 60}}
  aggregation: {field: data.latency_ms, enabled: [count]}
  sinks: [{type: console}]
"""


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.yaml").write_text(LOCAL)


@pytest.mark.parametrize("command", ["run", "processor"])
def test_a_configuration_runs_until_its_source_ends(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--config", "p.yaml"]) == 0
    captured = capsys.readouterr()
    results = [json.loads(line)["results"] for line in captured.out.splitlines()]
    assert sum(result["count"] for result in results) == 1000
    assert captured.err.startswith("1,000 records in ")


def test_run_takes_options_limits_and_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCESSOR_AGGREGATION__PREFIX", "n_")
    options = ["--set", "windows.default_type=global", "--set", "aggregation.enabled=count,max"]
    assert main(["run", "--config", "p.yaml", *options, "--max-events", "10", "--timeout", "1h"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert list(json.loads(line)["results"]) == ["n_count", "n_max"]
    assert json.loads(line)["results"]["n_count"] == 10


def test_the_configuration_for_development_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["processor", "--config", str(FILES["dev"]), "--max-events", "5000"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert list(first["key"]) == ["data.model", "metadata.region"]
    assert list(first["results"]) == ["count", "sum", "average", "min", "max", "p50", "p95", "p99", "stddev"]


def test_the_configurations_say_what_the_specification_says_of_each() -> None:
    dev, test, prod = (ls.load_config(FILES[name], environ={}).processor for name in ("dev", "test", "prod"))
    assert (dev.state.backend, test.state.backend, prod.state.backend) == ("memory", "rocksdb", "rocksdb")
    assert (dev.source.type, test.source.type, prod.source.type) == ("generator", "kafka", "kafka")
    default = ls.Config().processor
    for name in ("strategy", "max_out_of_orderness_secs", "emit_interval_secs"):
        assert getattr(prod.watermark, name) == getattr(default.watermark, name)
    for section in ("windows", "state", "error_handling", "kafka", "metrics"):
        assert getattr(prod, section) == getattr(default, section), section
    for name in ("parallelism", "buffer_size", "checkpoint_interval_secs"):
        assert getattr(prod, name) == getattr(default, name)
    assert prod.aggregation.enabled == default.aggregation.enabled
    kafka = ls.load_config(FILES["prod"], environ={"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}).processor.kafka
    assert kafka.consumer.bootstrap_servers == kafka.producer.bootstrap_servers == "kafka:9092"


@pytest.mark.parametrize("name", FILES)
def test_the_configurations_are_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--config", str(FILES[name])]) == 0
    assert capsys.readouterr().out == f"{FILES[name]}: valid\n"


def test_validate_prints_what_is_in_force(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "canary-1")
    monkeypatch.setenv("PROCESSOR_KAFKA__PRODUCER__PROPERTIES__SASL__PASSWORD", "canary-2")
    options = ["--set", "parallelism=8", "--set", "name=${TOKEN}"]
    assert main(["validate", "--config", "p.yaml", "--print", *options]) == 0
    out = capsys.readouterr().out
    assert "\n  parallelism: 8\n" in out
    assert "\n  name: ${TOKEN}\n" in out
    assert "sasl.password: '***'\n" in out
    assert "canary" not in out
    Path("again.yaml").write_text(out)
    assert ls.load_config("again.yaml", environ={"TOKEN": "canary-1"}).processor.parallelism == 8


def test_validate_and_explain_open_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", "state.backend=rocksdb", "--set", "state.path=s", "--set", "state.checkpoint_path=c"]
    options += ["--set", "sinks.0={type: ndjson, path: no/such/out.ndjson}"]
    for command in ("validate", "explain"):
        assert main([command, "--config", "p.yaml", *options]) == 0
    assert sorted(path.name for path in Path().iterdir()) == ["p.yaml"]


def test_explain_prints_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--config", "p.yaml", "--set", "parallelism=2"]) == 0
    out = capsys.readouterr().out
    assert out == ls.load_config("p.yaml", options=["parallelism=2"]).pipeline().plan.explain() + "\n"
    assert "tumbling 1m, allowed lateness 1m, accumulating" in out
    assert "C++, 2 threads" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["validate", "--config", "no.yaml"], "validate: no.yaml: No such file or directory"),
        (
            ["validate", "--config", "p.yaml", "--set", "paralelism=2"],
            "validate: --set paralelism: processor.paralelism: there is no such setting; did you mean 'parallelism'?",
        ),
        (["validate"], "validate: expected either --config FILE or --schema"),
        (
            ["validate", "--config", "p.yaml", "--schema"],
            "validate: expected either --config FILE or --schema",
        ),
        (["run"], "run: expected either SCRIPT.py or --config FILE"),
        (["run", "s.py", "--config", "p.yaml"], "run: expected either SCRIPT.py or --config FILE"),
        (["run", "s.py", "--set", "a=b"], "run: --set: it is for --config FILE"),
        (["run", "--config", "p.yaml", "--", "x"], 'run: words behind "--" are for a script'),
        (
            ["explain", "--config", "p.yaml", "--set", "windows.tumbling.offset_secs=70"],
            "explain: p.yaml:5:13: processor.windows.tumbling: TumblingWindowAssigner: offset 70 must be shorter than 1m",
        ),
        (
            ["run", "--config", "p.yaml", "--set", "source.type=null"],
            "run: pipeline 'pipeline' has no source: add .with_source(FileSource(path)), ArrowSource or IterableSource",
        ),
        (
            ["run", "--config", "p.yaml", "--set", "source.type=file"],
            "run: p.yaml:2:3: processor.source.file.path: it is missing; 'source.type: file' needs it",
        ),
    ],
)
def test_wrong_settings_exit_with_2_and_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err == f"llmopt-stream {message}\n"
    assert captured.out == ""


KAFKA = """\
processor:
  source: {type: kafka}
  state: {backend: memory}
  aggregation: {field: v}
  kafka:
    consumer:
      bootstrap_servers: broker:9092
"""


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("topics: [a, b c]", "7:7: processor.kafka.consumer.topics: KafkaConfig: topics: 'b c' is neither"),
        ("start_from: soon", "7:19: processor.kafka.consumer.start_from: KafkaConfig: start_from: 'soon'"),
        (
            "properties: {fetch.min.bytes: 1, fetch.wait: 1}",
            "7:40: processor.kafka.consumer.properties.fetch.wait: Kafka property 'fetch.wait': is not among",
        ),
        (
            "session_timeout_ms: 300001",
            "7:27: processor.kafka.consumer.session_timeout_ms: KafkaConfig: session_timeout_ms: 300001 is more than",
        ),
        (
            "sasl_mechanism: PLAIN",
            "6:5: processor.kafka.consumer.sasl_username: KafkaConfig: sasl_username: missing; ",
        ),
        (
            "{security_protocol: SASL_SSL, sasl_mechanism: GSSAPI, sasl_token_file: /t}",
            "7:78: processor.kafka.consumer.sasl_token_file: KafkaConfig: sasl_token: a function or a file, with ",
        ),
        (
            "{format: avro, schema_registry: {url: 'http://r', username: u}}",
            "7:22: processor.kafka.consumer.schema_registry: SchemaRegistryConfig: username and password belong together",
        ),
    ],
)
def test_wrong_settings_of_kafka_are_named_where_they_are_said(
    setting: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("k.yaml").write_text(KAFKA.replace("bootstrap_servers: broker:9092", setting))
    assert main(["validate", "--config", "k.yaml"]) == 2
    assert capsys.readouterr().err.startswith(f"llmopt-stream validate: k.yaml:{message}")


def test_validate_and_run_name_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    Path("k.yaml").write_text(f"{KAFKA}      ssl_ca_location: no.pem\n")
    for command in ("validate", "run"):
        assert main([command, "--config", "k.yaml"]) == 2
        expected = "KafkaConfig: ssl_ca_location: there is no file 'no.pem'"
        assert capsys.readouterr().err == f"llmopt-stream {command}: {expected}\n"
    assert main(["explain", "--config", "k.yaml"]) == 0
    Path("no.pem").touch()
    assert main(["validate", "--config", "k.yaml"]) == 0


def test_validate_refuses_at_most_once_with_state_on_disk(capsys: pytest.CaptureFixture[str]) -> None:
    text = KAFKA.replace(
        "state: {backend: memory}", "state: {path: s, checkpoint_path: c}\n  delivery: at_most_once"
    )
    Path("k.yaml").write_text(text)
    for command in ("validate", "run"):
        assert main([command, "--config", "k.yaml"]) == 2
        assert capsys.readouterr().err == (
            f"llmopt-stream {command}: k.yaml:4:13: processor.delivery: 'at_most_once' takes no state.backend 'rocksdb', "
            "which goes on before what was lost; expected 'memory'\n"
        )
    Path("k.yaml").write_text(text.replace("state: {", "state: {backend: memory, "))
    assert main(["validate", "--config", "k.yaml"]) == 0


def test_a_configuration_is_needed_where_there_is_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["processor"]) == 2
    assert "the following arguments are required: --config" in capsys.readouterr().err


def test_what_fails_while_it_runs_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.parquet").write_bytes(b"no parquet")
    options = ["source.type=file", "source.file.path=bad.parquet"]
    assert main(["run", "--config", "p.yaml", *(word for each in options for word in ("--set", each))]) == 1
    assert "bad.parquet" in capsys.readouterr().err


# The JSON Schema


@pytest.mark.parametrize("name", FILES)
def test_the_configurations_conform_to_the_schema(name: str) -> None:
    yaml = pytest.importorskip("yaml")
    jsonschema.validate(yaml.safe_load(FILES[name].read_text()), json_schema())


def test_the_schema_is_one_and_takes_all_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(ls.Config().to_dict(), schema)
    assert schema["$defs"]["consumer"]["properties"]["max_poll_records"]["default"] == 500


@pytest.mark.parametrize(
    "said",
    [
        {"paralelism": 1},
        {"parallelism": 0},
        {"parallelism": "four"},
        {"windows": {"default_type": "hopping"}},
        {"windows": {"tumbling": {"size_secs": 0}}},
        {"windows": {"trigger": {"type": "count"}}},
        {"sinks": [{"path": "x"}]},
        {"kafka": {"consumer": {"topics": []}}},
    ],
)
def test_the_schema_refuses_what_a_configuration_refuses(said: dict[str, object]) -> None:
    tree = {"processor": said}
    with pytest.raises(ls.ConfigurationError):
        ls.Config(tree)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree, json_schema())


@pytest.mark.parametrize(
    "said",
    [
        {"parallelism": "${THREADS}"},
        {"windows": {"trigger": {"type": "any_of", "triggers": [{"type": "count", "count": 5}, {"type": "event_time"}]}}},
        {"aggregation": {"enabled": ["count", {"type": "distinct", "precision": 9}], "nulls": 0.5}},
        {"then": [{"operators": [{"type": "top_n", "n": 2, "by": "count"}]}]},
        {"inputs": {"type": "join", "on": {"a": "b"}, "within_secs": 5, "streams": [{}, {"name": "r"}]}},
        {"state": None},
        {"kafka": {"consumer": {"topics": "${TOPICS}", "properties": "${PROPERTIES}", "schema_registry": "${REGISTRY}"}}},
        {"kafka": {"consumer": {"topics": ["${TOPIC}"]}}, "windows": "${WINDOWS}", "key_by": "${KEY}"},
        {"sinks": ["${SINK}", {"type": "${TYPE}", "path": "${PATH}"}], "operators": "${OPERATORS}"},
    ],
)  # fmt: skip
def test_the_schema_takes_what_a_configuration_takes(said: dict[str, object]) -> None:
    jsonschema.validate({"processor": said}, json_schema())
    Path("p.yaml").write_text(json.dumps({"processor": said}))
    environ = {
        "THREADS": "2",
        "TOPICS": "a,b",
        "TOPIC": "a",
        "PROPERTIES": "{client.rack: r}",
        "REGISTRY": "{url: 'http://r'}",
        "WINDOWS": "{default_type: global}",
        "KEY": "a",
        "SINK": "{type: console}",
        "TYPE": "ndjson",
        "PATH": "p.ndjson",
        "OPERATORS": "[{type: running_count}]",
    }
    ls.load_config("p.yaml", environ=environ)


def test_the_schema_and_a_configuration_refuse_a_reference_to_everything() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"processor": "${ALL}"}, json_schema())
    Path("p.yaml").write_text('{"processor": "${ALL}"}')
    with pytest.raises(ls.ConfigurationError, match="expected a mapping of settings"):
        ls.load_config("p.yaml", environ={"ALL": "{parallelism: 2}"})


def test_the_properties_that_the_page_names_are_taken() -> None:
    import re

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    names = re.findall(r"(?:properties such as|properties of librdkafka, such as) `([^`]*)`", page)
    assert len(names) == 3
    for name in names:
        ls.KafkaConfig(properties={name: "x"})
        ls.KafkaProducerConfig(properties={name: "x"})


# The reference page


def test_the_reference_page_is_that_of_the_table() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == page_with_reference(page), "run tools/generate_configuration.py docs/configuration.md"


def test_links_within_the_reference_page_lead_somewhere() -> None:
    import re

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    titles = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\(#([^)]*)\)", page)) <= anchors


def test_the_examples_of_the_page_are_valid(tmp_path: Path) -> None:
    import re

    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        path = tmp_path / "example.yaml"
        path.write_text(example)
        options = ["state.backend=memory", "source.type=generator"]
        ls.load_config(path, environ={}, options=options).pipeline().checked()
