from __future__ import annotations

import time
from pathlib import Path

import llmopt_stream as ls
import pytest
from llmopt_stream.config.documents import MOST_BYTES, MOST_DEPTH


def error_of(folder: Path, text: str | bytes, *options: str, **environ: str) -> str:
    """The message, in which the file is called `p.yaml`."""
    path = folder / "p.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ls.ConfigurationError) as raised:
        ls.load_config(path, environ=environ, options=options).pipeline()
    return str(raised.value).replace(str(path), "p.yaml")


def below(text: str) -> str:
    return "processor:\n  state: {backend: memory}\n  source: {type: null}\n  sinks: []\n" + text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "processor:\n  paralelism: 2\n",
            "p.yaml:2:3: processor.paralelism: there is no such setting; did you mean 'parallelism'?",
        ),
        (
            "processor:\n  windows:\n    tumbling:\n      size_sec: 2\n",
            "p.yaml:4:7: processor.windows.tumbling.size_sec: there is no such setting; did you mean 'size_secs'?",
        ),
        (
            "processor:\n  metrics: {xyz: 1}\n",
            "p.yaml:2:13: processor.metrics.xyz: there is no such setting; expected one of enabled, export_interval_secs",
        ),
        (
            "windows:\n  tumbling: {size_secs: 60}\n",
            "p.yaml:1:1: windows: there is no such setting; say it under 'processor:'",
        ),
        ("proccessor: {}\n", "p.yaml:1:1: proccessor: there is no such setting; did you mean 'processor'?"),
        (
            "processor: {parallelism: many}",
            "p.yaml:1:26: processor.parallelism: 'many' is not such a number; expected a whole number from 1 to 256",
        ),
        (
            "processor: {parallelism: 0}",
            "p.yaml:1:26: processor.parallelism: '0' is not such a number; expected a whole number from 1 to 256",
        ),
        (
            'processor: {parallelism: "4"}',
            "p.yaml:1:26: processor.parallelism: '4' is not such a number; expected a whole number from 1 to 256",
        ),
        (
            "processor: {parallelism: 010}",
            "p.yaml:1:26: processor.parallelism: '010' is not such a number; expected a whole number from 1 to 256",
        ),
        (
            "processor: {parallelism: [4]}",
            "p.yaml:1:26: processor.parallelism: a list, expected a whole number from 1 to 256",
        ),
        (
            "processor: {parallelism: null}",
            "p.yaml:1:26: processor.parallelism: nothing is said; expected a whole number from 1 to 256",
        ),
        (
            "processor: {metrics: {enabled: yes}}",
            "p.yaml:1:32: processor.metrics.enabled: 'yes' is not true or false; expected true or false",
        ),
        (
            "processor: {windows: {tumbling: {size_secs: .nan}}}",
            "p.yaml:1:45: processor.windows.tumbling.size_secs: '.nan' is not such a number; expected a number greater than 0",
        ),
        (
            "processor: {windows: {tumbling: {size_secs: 1e999}}}",
            "p.yaml:1:45: processor.windows.tumbling.size_secs: '1e999' is not such a number; expected a number greater than 0",
        ),
        (
            "processor: {windows: {default_type: tumblng}}",
            "p.yaml:1:37: processor.windows.default_type: 'tumblng' is not known; did you mean 'tumbling'?",
        ),
        (
            "processor: {state: {backend: redis}}",
            "p.yaml:1:30: processor.state.backend: 'redis' is not known; expected one of memory, rocksdb",
        ),
        (
            "processor: {windows: tumbling}",
            (
                "p.yaml:1:22: processor.windows: 'tumbling', expected a mapping of settings (default_type, tumbling, "
                "sliding, session, …)"
            ),
        ),
        (
            "processor: {kafka: {consumer: {topics: feedback-events}}}",
            "p.yaml:1:40: processor.kafka.consumer.topics: 'feedback-events', expected a list, each entry text that is not empty",
        ),
        (
            "processor: {kafka: {consumer: {topics: []}}}",
            "p.yaml:1:40: processor.kafka.consumer.topics: the list has 0 entries, expected at least 1",
        ),
        (
            "processor: {aggregation: {enabled: [cuont]}}",
            "p.yaml:1:37: processor.aggregation.enabled.0: 'cuont' is not a statistic; expected count, ",
        ),
        (
            "processor: {aggregation: {percentiles: [50, 101]}}",
            (
                "p.yaml:1:45: processor.aggregation.percentiles.1: '101' is not such a number; expected a number of "
                "at least 0 and of at most 100"
            ),
        ),
        (
            "processor: {sinks: [{path: x}]}",
            "p.yaml:1:21: processor.sinks.0.type: it is missing; expected one of kafka, dead_letter, console, ndjson, parquet",
        ),
        (
            "processor: {sinks: [{type: consol}]}",
            "p.yaml:1:28: processor.sinks.0.type: 'consol' is not known; did you mean 'console'?",
        ),
        (
            "processor: {sinks: [{type: ndjson}]}",
            "p.yaml:1:21: processor.sinks.0.path: it is missing; expected text that is not empty",
        ),
        (
            "processor: {key_by: [a..b]}",
            "p.yaml:1:22: processor.key_by.0: field: 'a..b' is not a field path; expected text such as 'data.latency_ms'",
        ),
        (
            "processor: {aggregation: {where: col(a)}}",
            "p.yaml:1:34: processor.aggregation.where: 'col(a)' is not understood; expected col('path'), ",
        ),
        (
            "processor: {aggregation: {where: \"__import__('os').system('true')\"}}",
            (
                "p.yaml:1:34: processor.aggregation.where: \"__import__('os').system('true')\" is not understood; "
                "expected col('path'), "
            ),
        ),
        (
            "processor: {name: '${NO_SUCH}'}",
            (
                "p.yaml:1:19: processor.name: '${NO_SUCH}': there is no environment variable NO_SUCH; "
                "${NO_SUCH:-default} has a default"
            ),
        ),
        (
            "processor: {name: '${file:/no/such/file}'}",
            "p.yaml:1:19: processor.name: the file '/no/such/file': No such file or directory",
        ),
        (
            "processor: {name: '${X'}",
            "p.yaml:1:19: processor.name: '${X': a reference is ${NAME}, ${NAME:-default} or ${file:PATH}",
        ),
        (
            "processor: {name: '${1X}'}",
            "p.yaml:1:19: processor.name: '${1X}': '1X' is not the name of a variable",
        ),
        ("- a\n", "p.yaml:1:1: expected settings under 'processor:'"),
        (
            "processor: 5\n",
            "p.yaml:1:12: processor: '5', expected a mapping of settings (name, parallelism, buffer_size, memory_limit_bytes, …)",
        ),
        ("", "p.yaml: it says nothing; expected settings under 'processor:'"),
        ("# only this\n", "p.yaml: it says nothing; expected settings under 'processor:'"),
    ],
)
def test_an_error_names_file_line_column_and_setting(text: str, message: str, tmp_path: Path) -> None:
    found = error_of(tmp_path, text)
    assert found.startswith(message)
    if not message.endswith(", "):
        assert found == message


NOPE = "'${NOPE}': there is no environment variable NOPE; ${NOPE:-default} has a default"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("parallelism: @", "parallelism"),  # a scalar
        ("delivery: @", "delivery"),  # a word
        ("transactional_id: @", "transactional_id"),  # text or null
        ("buffer_size: @", "buffer_size"),  # a number or null
        ("kafka: {consumer: {until: @}}", "kafka.consumer.until"),  # a word or null
        ("kafka: {consumer: {topics: @}}", "kafka.consumer.topics"),  # a list
        ("kafka: {consumer: {topics: [@]}}", "kafka.consumer.topics.0"),
        ("kafka: {consumer: {properties: @}}", "kafka.consumer.properties"),  # a mapping
        ("kafka: {consumer: {sasl_password: @}}", "kafka.consumer.sasl_password"),  # a secret or null
        ("kafka: {consumer: {schema_registry: @}}", "kafka.consumer.schema_registry"),  # a section or null
        ("windows: @", "windows"),  # a section
        ("sinks: [@]", "sinks.0"),  # one of several sections
        ("sinks: [{type: @}]", "sinks.0.type"),  # which one
        ("key_by: @", "key_by"),
        ("aggregation: {nulls: @}", "aggregation.nulls"),
        ("inputs: {type: join, 'on': @, streams: [{}, {name: r}]}", "inputs.on"),  # text, a list or a mapping
    ],
)
def test_a_wrong_reference_is_reported_once(text: str, path: str, tmp_path: Path) -> None:
    written = text.replace("@", "'${NOPE}'")
    column = len("processor: {") + written.index("'${NOPE}'") + 1
    found = error_of(tmp_path, f"processor: {{{written}}}")
    assert found == f"p.yaml:1:{column}: processor.{path}: {NOPE}"


@pytest.mark.parametrize("name", ["transactional_id", "buffer_size", "key_by", "kafka"])
def test_a_wrong_reference_without_quotes_is_reported_once(name: str, tmp_path: Path) -> None:
    found = error_of(tmp_path, f"processor:\n  {name}: ${{NOPE}}\n")
    assert found == f"p.yaml:2:{len(name) + 5}: processor.{name}: {NOPE}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: &x [1]\nb: *x\n",
            "p.yaml:2:4: it is not YAML: the alias *x: aliases are not allowed; write it out",
        ),
        (
            "processor:\n\tparallelism: 1\n",
            "p.yaml:2:1: it is not YAML: a tab stands where YAML indents; use spaces",
        ),
        ("processor: {\n", "p.yaml:2:1: it is not YAML: "),
        ("processor: {}\n---\nprocessor: {}\n", "p.yaml:2:1: it is not YAML: "),
        (
            "processor: !!python/object/apply:os.system ['true']\n",
            "p.yaml:1:12: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed; leave it out",
        ),
        ("processor: !secret x\n", "p.yaml:1:12: the tag '!secret' is not allowed; leave it out"),
        (
            "processor: !!binary aGk=\n",
            "p.yaml:1:12: the tag 'tag:yaml.org,2002:binary' is not allowed; leave it out",
        ),
        (
            "processor:\n  name: a\n  parallelism: 2\n  name: b\n",
            "p.yaml:4:3: 'name' is said twice, before at p.yaml:2:3",
        ),
        ("? [a]\n: 1\n", "p.yaml:1:3: a key is text, not a list or mapping"),
        ('processor:\n  name: "a\x07"\n', "p.yaml:2: it is not YAML: special characters are not allowed"),
        (b"processor:\n  name: \xff\n", "p.yaml:2: it is not UTF-8"),
    ],
)
def test_what_is_no_yaml_of_ours_is_refused_with_its_place(
    text: str | bytes, message: str, tmp_path: Path
) -> None:
    assert error_of(tmp_path, text).startswith(message)


def test_an_alias_bomb_costs_nothing(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    started = time.process_time()
    assert error_of(tmp_path, "\n".join(lines)).startswith(
        "p.yaml:2:10: it is not YAML: the alias *a0: aliases"
    )
    assert time.process_time() - started < 1


def test_a_merge_key_needs_an_alias_or_is_an_unknown_setting(tmp_path: Path) -> None:
    assert error_of(tmp_path, "processor:\n  <<: {parallelism: 2}\n").startswith(
        "p.yaml:2:3: processor.<<: there is no such setting"
    )


def test_a_file_may_have_256_kib_and_not_a_byte_more(tmp_path: Path) -> None:
    text = below("")
    path = tmp_path / "p.yaml"
    path.write_text(text + "#" * (MOST_BYTES - len(text)))
    assert ls.load_config(path, environ={}).processor.state.backend == "memory"
    message = error_of(tmp_path, text + "#" * (MOST_BYTES - len(text) + 1))
    assert message == "p.yaml: it is larger than 256 KiB, the most for a configuration"


def test_a_file_without_an_end_is_refused_after_256_kib() -> None:
    with pytest.raises(ls.ConfigurationError, match="/dev/zero: it is larger than 256 KiB"):
        ls.load_config("/dev/zero", environ={})


def test_nesting_has_a_limit(tmp_path: Path) -> None:
    assert "it is deeper than" not in error_of(tmp_path, "[" * MOST_DEPTH + "]" * MOST_DEPTH)
    deep = MOST_DEPTH + 1
    assert error_of(tmp_path, "[" * deep + "]" * deep).startswith(
        f"p.yaml:1:{deep}: it is not YAML: it is deeper than {MOST_DEPTH} levels"
    )
    assert "it is deeper than" in error_of(tmp_path, "{a: " * 50_000)


def test_an_expression_has_a_limit(tmp_path: Path) -> None:
    assert "it is longer than 10000 characters" in error_of(
        tmp_path, f"processor: {{aggregation: {{where: '{'(' * 20_000}'}}}}"
    )
    deep = "~(" * 3_000 + "col(1)" + ")" * 3_000
    assert "is no expression" in error_of(tmp_path, f'processor: {{aggregation: {{where: "{deep}"}}}}')


def test_a_file_that_is_missing_or_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ls.ConfigurationError, match=r"no\.yaml: No such file or directory"):
        ls.load_config(tmp_path / "no.yaml")
    with pytest.raises(ls.ConfigurationError, match="Is a directory"):
        ls.load_config(tmp_path)


def test_several_errors_are_reported_together_in_their_order(tmp_path: Path) -> None:
    text = """\
processor:
  parallelism: x
  windows:
    tumbling: {size_secs: -1}
  colour: red
"""
    assert error_of(tmp_path, text, "buffer_size=x", "a.b=1", "name", PROCESSOR_NAMED="x").splitlines() == [
        "7 settings are wrong:",
        "  environment variable PROCESSOR_NAMED: processor.named: there is no such setting; did you mean 'name'?",
        "  --set a.b: processor.a: there is no such setting; expected one of " + _names(),
        "  --set name: expected a.b=value, such as state.backend=memory",
        "  p.yaml:5:3: processor.colour: there is no such setting; expected one of " + _names(),
        "  p.yaml:2:16: processor.parallelism: 'x' is not such a number; expected a whole number from 1 to 256",
        "  --set buffer_size: processor.buffer_size: 'x' is not such a number; expected a whole number of at least 1",
        "  p.yaml:4:27: processor.windows.tumbling.size_secs: '-1' is not such a number; expected a number greater than 0",
    ]


def _names() -> str:
    return ", ".join(ls.Config().to_dict()["processor"])


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"PROCESSOR_PARALLELISM": "x"},
            (
                "environment variable PROCESSOR_PARALLELISM: processor.parallelism: 'x' is not such a number; "
                "expected a whole number from 1 to 256"
            ),
        ),
        (
            {"PROCESSOR_WINDOWS__TUMBLING__SIZE": "5"},
            (
                "environment variable PROCESSOR_WINDOWS__TUMBLING__SIZE: processor.windows.tumbling.size: there is "
                "no such setting; did you mean 'size_secs'?"
            ),
        ),
        (
            {"PROCESSOR_PARALLELISM__X": "5"},
            (
                "environment variable PROCESSOR_PARALLELISM__X: processor.parallelism: it has no settings below it, "
                "so there is no processor.parallelism.x"
            ),
        ),
        (
            {"PROCESSOR_SINKS__5__TYPE": "console"},
            (
                "environment variable PROCESSOR_SINKS__5__TYPE: processor.sinks.5: the list has 0 entries, expected "
                "one of their numbers, from 0"
            ),
        ),
        (
            {"PROCESSOR_SINKS": "[{type: consol}]"},
            "environment variable PROCESSOR_SINKS: processor.sinks.0.type: 'consol' is not known; did you mean 'console'?",
        ),
        (
            {"PROCESSOR_SINKS": "[{type: "},
            "processor.sinks: environment variable PROCESSOR_SINKS: it is not YAML: ",
        ),
        (
            {"PROCESSOR_KAFKA__CONSUMER__TOPICS": ""},
            (
                "environment variable PROCESSOR_KAFKA__CONSUMER__TOPICS: processor.kafka.consumer.topics: the list "
                "has 0 entries, expected at least 1"
            ),
        ),
        (
            {"PROCESSOR_": "5"},
            "environment variable PROCESSOR_: processor.: there is no such setting; expected one of ",
        ),
    ],
)
def test_an_error_of_the_environment_names_the_variable(
    environ: dict[str, str], message: str, tmp_path: Path
) -> None:
    found = error_of(tmp_path, "processor: {}", **environ)
    assert found.startswith(message)
    if not message.endswith((" ", ": ")):
        assert found == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "  windows:\n    tumbling:\n      size_secs: 60\n      offset_secs: 60\n",
            "p.yaml:6:5: processor.windows.tumbling: TumblingWindowAssigner: offset 60 must be shorter than 1m",
        ),
        (
            "  windows: {tumbling: {time: processing, allowed_lateness_secs: 5}}\n",
            "processor.windows.tumbling: TumblingWindowAssigner: allowed_lateness: by the clock no record is late; leave it out",
        ),
        (
            "  windows: {default_type: session, session: {gap_secs: 5, gap_field: gap}}\n",
            "processor.windows.session: gap_secs and gap_field: expected one of them",
        ),
        (
            "  source: {type: file}\n",
            "processor.source.file.path: it is missing; 'source.type: file' needs it",
        ),
        (
            "  error_handling: {initial_retry_delay_ms: 50, max_retry_delay_ms: 5}\n",
            "processor.error_handling.max_retry_delay_ms: ErrorPolicy.retry: max_delay: 0.005 is shorter than initial_delay 0.05",
        ),
        (
            "  error_handling: {dead_letter_topic: t, dead_letter_sink: {type: console}}\n",
            "processor.error_handling.dead_letter_sink: dead_letter_topic and dead_letter_sink: expected one of them",
        ),
        (
            "  operators: [{type: running_count}, {type: trending}]\n",
            "processor.operators.1: trending: what? say it by .key_by(field) before",
        ),
        (
            "  operators: [{type: select, fields: [a, {name: a, field: b}]}]\n",
            "processor.operators.0: fields: 'a' is there twice",
        ),
        (
            "  operators: [{type: select, fields: [{name: a}]}]\n",
            "processor.operators.0: fields: 'a' needs either 'field' or 'expression'",
        ),
        (
            "  aggregation: {enabled: [{type: ratio}]}\n",
            "processor.aggregation.enabled: a ratio needs either 'per' or 'per_expression'",
        ),
        (
            "  aggregation: {enabled: [percentile], percentiles: []}\n",
            "processor.aggregation.enabled: nothing is computed: 'percentile' is all, and there are no percentiles",
        ),
        (
            "  aggregation: {field: a, expression: \"col('b') * 2\"}\n",
            "processor.aggregation.enabled: field and expression: expected one of them",
        ),
        (
            "  branches: [{name: a}]\n  then: [{operators: []}]\n",
            "processor.then: with branches there are no other stages; say them in the branches",
        ),
        (
            "  branches: [{name: a}, {name: a}]\n",
            "processor.branches.1.name: branch: name: there is a branch 'a' already",
        ),
        (
            "  windows: {default_type: null}\n  then: [{key_by: [a]}]\n",
            "processor.then.0: a further stage takes the results of windows, and there are none before it",
        ),
        (
            "  inputs: {type: join, 'on': k, streams: [{}, {}]}\n",
            "processor.inputs: join: say how near records must be: within='5m', or lower= and upper=, or window=",
        ),
        (
            "  inputs: {type: join, 'on': k, within_secs: 5, streams: [{}, {}, {}]}\n",
            "processor.inputs: streams: a join is of two streams, not of 3",
        ),
    ],
)
def test_what_does_not_fit_together_names_the_setting(text: str, message: str, tmp_path: Path) -> None:
    head = below("") if "source" not in text else "processor:\n  state: {backend: memory}\n  sinks: []\n"
    found = error_of(tmp_path, head + text)
    place, _, said = found.partition(": ") if not message.startswith("p.yaml") else ("", "", found)
    assert said == message
    assert message.startswith("p.yaml") or place.startswith("p.yaml:")


def test_inputs_and_a_source_exclude_each_other(tmp_path: Path) -> None:
    text = "processor:\n  source: {type: generator}\n  inputs: {type: union, streams: [{}, {}]}\n"
    assert error_of(tmp_path, text) == (
        "p.yaml:2:18: processor.source.type: with inputs there is no source; leave it out"
    )


def test_errors_of_a_tree_of_values_name_the_setting() -> None:
    with pytest.raises(ls.ConfigurationError) as raised:
        ls.Config({"processor": {"parallelism": "4"}})
    assert str(raised.value) == (
        "processor.parallelism: '4' is not such a number; expected a whole number from 1 to 256"
    )


def test_a_wrong_value_of_the_file_is_told_also_where_the_environment_says_something_below_it(
    tmp_path: Path,
) -> None:
    found = error_of(tmp_path, "processor: {windows: 5}", PROCESSOR_WINDOWS__TUMBLING__SIZE_SECS="60")
    assert found.startswith("p.yaml:1:22: processor.windows: '5', expected a mapping of settings")
