"""Framed payloads as JSON; against a real registry and Kafka see integration/test_kafka_schemas.py."""

from __future__ import annotations

import base64
import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import llmopt_stream as ls
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmopt_stream.kafka.payloads import PayloadDecoder, payload_decoder

fastavro = pytest.importorskip("fastavro")
pytest.importorskip("confluent_kafka.schema_registry")
descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")


class Registry:
    """An HTTP server that has what it is told to have."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.fails = 0
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                registry.asked.append((path, self.headers["Authorization"]))
                status, said = registry.answers.get(path, (404, {"error_code": 40403, "message": "no"}))
                if registry.fails:
                    registry.fails -= 1
                    status, said = 503, {"error_code": 50301, "message": "not now"}
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def has(self, number: int, schema: Any, kind: str = "AVRO", **references: tuple[str, int]) -> None:
        said = {"schema": json.dumps(schema), "schemaType": kind, "references": []}
        said["references"] = [
            {"name": name, "subject": subject, "version": version}
            for name, (subject, version) in references.items()
        ]
        self.answers[f"/schemas/ids/{number}"] = (200, said)

    def has_version(self, subject: str, version: int, schema: Any) -> None:
        said = {"subject": subject, "version": version, "id": 900, "schema": json.dumps(schema)}
        self.answers[f"/subjects/{subject}/versions/{version}"] = (200, said)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def registry() -> Iterator[Registry]:
    served = Registry()
    yield served
    served.close()


def framed(number: int, payload: bytes) -> bytes:
    return b"\0" + number.to_bytes(4) + payload


def avro(schema: Any, record: Any, number: int = 1) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return framed(number, out.getvalue())


def decoder(
    registry: Registry, format: str = "avro", clock: Callable[[], float] = lambda: 0.0, **settings: Any
) -> PayloadDecoder:
    config = ls.KafkaConfig(
        format=format, schema_registry=ls.SchemaRegistryConfig(url=registry.url, **settings)
    )
    made = payload_decoder(config, clock=clock)
    assert made is not None
    return made


def record_of(**fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Event",
        "namespace": "llm",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }


EVENT = record_of(
    timestamp={"type": "long", "logicalType": "timestamp-micros"},
    data={
        "type": "record",
        "name": "Data",
        "fields": [{"name": "model", "type": "string"}, {"name": "latency_ms", "type": ["null", "double"]}],
    },
)


def test_an_avro_record_becomes_the_json_of_an_event(registry: Registry) -> None:
    registry.has(7, EVENT)
    at = datetime(2026, 1, 1, 0, 0, 1, 500, UTC)
    payload = avro(EVENT, {"timestamp": at, "data": {"model": "m", "latency_ms": 12.5}}, 7)
    decode = decoder(registry)
    assert [json.loads(each or b"") for each in decode([payload, payload])] == [
        {"timestamp": "2026-01-01T00:00:01.000500+00:00", "data": {"model": "m", "latency_ms": 12.5}}
    ] * 2
    assert registry.asked == [("/schemas/ids/7", None)], "a schema is asked for once"


def test_every_avro_type_has_a_json_form(registry: Registry) -> None:
    schema = record_of(
        null="null",
        bool="boolean",
        int="int",
        long="long",
        float="float",
        text="string",
        bytes="bytes",
        fixed={"type": "fixed", "name": "F", "size": 2},
        color={"type": "enum", "name": "E", "symbols": ["RED", "BLUE"]},
        list={"type": "array", "items": "long"},
        map={"type": "map", "values": "double"},
        cost={"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 4},
        day={"type": "int", "logicalType": "date"},
        millis={"type": "long", "logicalType": "timestamp-millis"},
        clock={"type": "long", "logicalType": "time-micros"},
        id={"type": "string", "logicalType": "uuid"},
    )
    registry.has(1, schema)
    record = {
        "null": None,
        "bool": True,
        "int": -5,
        "long": 2**62 + 1,
        "float": 0.5,
        "text": 'a "quoted" ü\n',
        "bytes": b"\x00\xff",
        "fixed": b"ab",
        "color": "BLUE",
        "list": [1, 2],
        "map": {"k": float("nan")},
        "cost": Decimal("12.3456"),
        "day": date(2026, 1, 2),
        "millis": datetime(2026, 1, 1, tzinfo=UTC),
        "clock": (datetime(2026, 1, 1, 1, 2, 3)).time(),  # noqa: DTZ001
        "id": UUID(int=1),
    }
    [said] = decoder(registry)([avro(schema, record)])
    assert json.loads(said or b"") == {
        **record,
        "bytes": "AP8=",
        "fixed": "YWI=",
        "map": {"k": None},
        "cost": 12.3456,
        "day": "2026-01-02",
        "millis": "2026-01-01T00:00:00+00:00",
        "clock": "01:02:03",
        "id": "00000000-0000-0000-0000-000000000001",
    }


@given(
    st.fixed_dictionaries(
        {
            "number": st.integers(-(2**63), 2**63 - 1),
            "value": st.floats(allow_nan=False, allow_infinity=False),
            "text": st.text(st.characters(exclude_categories=["Cs"])),
            "maybe": st.none() | st.booleans(),
            "list": st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), max_size=3),
        }
    )
)
def test_decoding_gives_what_was_encoded(record: dict[str, Any]) -> None:
    schema = record_of(
        number="long",
        value="double",
        text="string",
        maybe=["null", "boolean"],
        list={"type": "array", "items": "string"},
    )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    served = Registry()
    try:
        served.has(3, schema)
        [said] = decoder(served)([framed(3, out.getvalue())])
    finally:
        served.close()
    assert json.loads(said or b"") == record


def test_types_that_a_schema_refers_to_are_found(registry: Registry) -> None:
    inner = {"type": "record", "name": "llm.Inner", "fields": [{"name": "n", "type": "long"}]}
    middle = {"type": "record", "name": "llm.Middle", "fields": [{"name": "inner", "type": "llm.Inner"}]}
    outer = record_of(middle="llm.Middle", again="llm.Inner")
    registry.has(5, outer, **{"llm.Middle": ("middle", 2), "llm.Inner": ("inner", 1)})
    registry.has_version("inner", 1, inner)
    registry.has_version("middle", 2, middle)
    registry.answers["/subjects/middle/versions/2"][1]["references"] = [
        {"name": "llm.Inner", "subject": "inner", "version": 1}
    ]
    named: dict[str, Any] = {}
    for each in (inner, middle):
        fastavro.parse_schema(each, named_schemas=named)
    out = io.BytesIO()
    record = {"middle": {"inner": {"n": 1}}, "again": {"n": 2}}
    fastavro.schemaless_writer(out, fastavro.parse_schema(outer, named_schemas=named), record)
    [said] = decoder(registry)([framed(5, out.getvalue())])
    assert json.loads(said or b"") == record


def test_what_is_not_of_its_schema_is_refused_alone(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    schema = record_of(n="long", s="string")
    registry.has(1, schema)
    registry.has(2, "no schema at all")
    good = avro(schema, {"n": 1, "s": "x"})
    bad = [b"", b"\0\0\0", b"{}", b'{"n":1}', good + b"!", good[:-1], framed(9, good[5:]), framed(2, b"x")]
    with caplog.at_level(logging.WARNING, "llmopt_stream.kafka"):
        decoded = decoder(registry)([good, *bad, *bad, good])
    assert decoded == [decoded[0], *[None] * (2 * len(bad)), decoded[0]]
    assert json.loads(decoded[0] or b"") == {"n": 1, "s": "x"}
    assert len(caplog.messages) == 4, "one for each schema, and one for those without"
    assert [path for path, _ in registry.asked] == ["/schemas/ids/1", "/schemas/ids/9", "/schemas/ids/2"]


def test_a_registry_that_is_away_for_a_moment_is_asked_again(registry: Registry) -> None:
    schema = record_of(n="long")
    registry.has(1, schema)
    registry.fails = 2
    assert decoder(registry)([avro(schema, {"n": 1})]) == [b'{"n": 1}']
    assert len(registry.asked) == 3


def test_a_registry_that_refuses_fails_the_run_and_names_it(registry: Registry) -> None:
    registry.answers["/schemas/ids/1"] = (401, {"error_code": 40101, "message": "who are you"})
    with pytest.raises(ls.KafkaError, match=f"Schema Registry {registry.url}: schema 1: who are you"):
        decoder(registry, username="u", password="hunter2")([framed(1, b"x")])
    assert registry.asked[0][1] == "Basic " + base64.b64encode(b"u:hunter2").decode()


def test_passwords_are_not_shown() -> None:
    config = ls.KafkaConfig(
        format="avro",
        schema_registry=ls.SchemaRegistryConfig(url="https://r", username="u", password="hunter2"),
    )
    assert "hunter2" not in repr(config) + str(config)
    assert config.redaction()("it is hunter2") == "it is ***"


JSON_EVENT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["n"],
    "properties": {"n": {"type": "number"}, "data": {"$ref": "data.json"}},
}


def test_json_is_checked_by_its_schema_and_stays_as_it_is(registry: Registry) -> None:
    registry.has(4, JSON_EVENT, "JSON", **{"data.json": ("data", 1)})
    registry.has_version("data", 1, {"type": "object", "required": ["model"]})
    good = b'{ "n": 1.50, "data": {"model": "m"} }'
    bad = [b'{"data": {}}', b'{"n": "1"}', b'{"n": 1, "data": {}}', b"[]", b"{", b"\xff"]
    decode = decoder(registry, "json_schema")
    assert decode([framed(4, each) for each in (good, *bad)]) == [good, *[None] * len(bad)]


def test_a_schema_cannot_send_us_elsewhere(registry: Registry) -> None:
    registry.has(4, {"$ref": f"{registry.url}/elsewhere"}, "JSON")
    assert decoder(registry, "json_schema")([framed(4, b"{}")]) == [None]
    assert [path for path, _ in registry.asked] == ["/schemas/ids/4"]


# Poison


def array_of(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def long_of(number: int) -> bytes:
    """In zigzag, as Avro has it."""
    left, out = (number << 1) ^ (number >> 63), b""
    while left > 0x7F:
        out, left = out + bytes([left & 0x7F | 0x80]), left >> 7
    return out + bytes([left])


def record_named(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": field, "type": kind} for field, kind in fields.items()],
    }


def why_refused(caplog: pytest.LogCaptureFixture, decode: PayloadDecoder, payload: bytes) -> str:
    """Of a payload that is refused: what the log says after "cannot be decoded"."""
    with caplog.at_level(logging.WARNING, "llmopt_stream.kafka"):
        assert decode([payload]) == [None]
    return caplog.messages[-1].partition(" cannot be decoded: ")[2]


NODE = record_named("Node", next=["null", "Node"])
MUTUAL = record_named("A", b=array_of(record_named("B", a={"type": "map", "values": "A"})))


@pytest.mark.parametrize(("schema", "name"), [(NODE, "Node"), (MUTUAL, "A")])
def test_an_avro_schema_that_contains_itself_is_refused(
    registry: Registry, caplog: pytest.LogCaptureFixture, schema: Any, name: str
) -> None:
    registry.has(1, schema)
    # Each of these bytes is one more level, on the stack of C.
    why = why_refused(caplog, decoder(registry), framed(1, b"\x02" * 20_000 + b"\0"))
    assert (
        why == f"its schema cannot be used: the type '{name}' contains itself, and such schemas are refused"
    )


def test_a_schema_that_contains_itself_through_another_one_is_refused(registry: Registry) -> None:
    registry.has(1, record_named("Outer", inner="Inner"), Inner=("inner", 1))
    registry.has_version("inner", 1, record_named("Inner", next=["null", "Inner"]))
    assert decoder(registry)([framed(1, b"\x02" * 20_000 + b"\0")]) == [None]


def levels_of(count: int) -> Any:
    """Records within records; a referred one each, which no JSON parser finds deep."""
    return [record_named("R0", v="long")] + [record_named(f"R{n}", v=f"R{n - 1}") for n in range(1, count)]


@pytest.mark.parametrize(("levels", "is_taken"), [(98, True), (99, True), (100, False)])
def test_records_have_at_most_a_hundred_levels(registry: Registry, levels: int, is_taken: bool) -> None:
    *inner, outer = levels_of(levels)
    registry.has(1, outer, **{each["name"]: (each["name"], 1) for each in inner})
    for each in inner:
        registry.has_version(each["name"], 1, each)
    [said] = decoder(registry)([framed(1, b"\x02")])
    assert (said is not None) is is_taken


def test_a_schema_of_many_levels_is_refused_before_it_is_parsed(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    schema: Any = "long"
    for _ in range(450):
        schema = array_of(schema)
    registry.has(1, schema)
    why = why_refused(caplog, decoder(registry), framed(1, b"\0"))
    assert why == "its schema cannot be used: it has more than 400 levels"


EMPTY_FIXED = {"type": "fixed", "name": "Nothing", "size": 0}
SEVENTEEN_NULLS = record_named("Nulls", n="long", **{f"f{n}": "null" for n in range(17)})


@pytest.mark.parametrize(
    "items",
    [
        "null",
        {"type": "null"},
        EMPTY_FIXED,
        record_named("Empty"),
        record_named("Nulls", a="null", b=record_named("Empty")),
        SEVENTEEN_NULLS,
    ],
)
def test_avro_items_that_take_no_bytes_are_refused(
    registry: Registry, caplog: pytest.LogCaptureFixture, items: Any
) -> None:
    registry.has(1, record_of(tags=array_of(items)))
    # One block of 2^40 items, in seven bytes.
    why = why_refused(caplog, decoder(registry), framed(1, long_of(2**40) + b"\0"))
    expected = "the items of a type 'array' take no bytes, and such schemas are refused"
    assert why == f"its schema cannot be used: {expected}"


def test_nulls_that_take_bytes_are_taken(registry: Registry) -> None:
    schema = record_of(
        maybe=array_of(["null", "long"]),
        keys={"type": "map", "values": "null"},
        few=array_of(record_named("Few", n="long", **{f"f{n}": "null" for n in range(16)})),
        flat="null",
    )
    registry.has(1, schema)
    few = {"n": 1, **{f"f{n}": None for n in range(16)}}
    record = {"maybe": [None, 3], "keys": {"k": None}, "few": [few], "flat": None}
    [said] = decoder(registry)([avro(schema, record)])
    assert json.loads(said or b"") == record


def test_a_schema_that_doubles_is_refused(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    schema: Any = record_named("R0", n="null")
    for n in range(1, 60):
        schema = record_named(f"R{n}", a=schema, b=f"R{n - 1}")
    registry.has(1, record_of(all=schema, n="long"))
    why = why_refused(caplog, decoder(registry), framed(1, b"\x02"))
    assert why == "its schema cannot be used: more than 1000 values take no bytes"


@pytest.mark.parametrize("count", [2**40, -(2**40), 2**62, -(2**63)])
@pytest.mark.parametrize("items", ["long", "boolean", ["null", "long"], array_of("long")])
def test_blocks_of_more_items_than_bytes_are_refused(registry: Registry, count: int, items: Any) -> None:
    registry.has(1, array_of(items))
    registry.has(2, {"type": "map", "values": items})
    size = long_of(5) if count < 0 else b""
    decode = decoder(registry)
    assert decode([framed(number, long_of(count) + size) for number in (1, 2)]) == [None, None]


def decimal_of(**settings: Any) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": 9, **settings}


@pytest.mark.parametrize(
    ("scale", "size", "expected"),
    [
        (2, 1, 1.27),
        (0, 512, float(int.from_bytes(b"\x7f" * 100))),
        (2, 513, None),
        (2, 1_000_000, None),
        (10**9, 1, 0.0),
        (10**30, 1, None),
    ],
)
def test_decimals_cost_no_more_than_float64_needs(
    registry: Registry, scale: int, size: int, expected: float | None
) -> None:
    registry.has(1, record_of(cost=decimal_of(scale=scale, precision=10**30)))
    digits = b"\0" * (size - 100) + b"\x7f" * min(size, 100)
    [said] = decoder(registry)([framed(1, long_of(size) + digits)])
    assert said is None if expected is None else json.loads(said or b"") == {"cost": expected}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array"},
        {"type": "map"},
        {"type": "record", "name": "R", "fields": 5},
        {"type": "enum", "name": "E"},
        {"type": "fixed", "name": "F"},
        {"type": "fixed", "name": "F", "size": "many"},
        {"type": {"type": "array", "items": "long"}},
        [],
        {},
        5,
        None,
        "nothing",
    ],
)
@pytest.mark.parametrize("format", ["avro", "json_schema"])
def test_what_is_no_schema_makes_its_payloads_undecodable(
    registry: Registry, format: str, schema: Any
) -> None:
    registry.has(1, schema if format == "avro" or not isinstance(schema, dict) else {"type": schema})
    decode = decoder(registry, format)
    assert decode([framed(1, b"1")] * 2) == [None, None]
    assert len(registry.asked) == 1


@pytest.mark.parametrize(
    ("schema", "payload"),
    [
        ({"properties": {"a": {"multipleOf": 0.1}}}, b'{"a": 1e400}'),
        ({"items": {"$ref": "#"}}, b"[" * 400 + b"]" * 400),
        ({}, b"[" * 100_000),
        ({"$ref": "#"}, b"1"),
        ({}, b"1" * 5_000),
    ],
)
def test_what_json_validation_cannot_stand_is_undecodable(
    registry: Registry, schema: Any, payload: bytes
) -> None:
    registry.has(1, schema, "JSON")
    registry.has(2, {}, "JSON")
    decode = decoder(registry, "json_schema")
    assert decode([framed(1, payload), framed(2, b"{}")]) == [None, b"{}"]


@pytest.mark.parametrize("dialect", ["http://json-schema.org/draft-07/schema#", JSON_EVENT["$schema"]])
def test_unique_items_are_found_in_one_pass(registry: Registry, dialect: str) -> None:
    schema = {"$schema": dialect, "items": {"$ref": "#"}, "uniqueItems": True}
    registry.has(1, schema, "JSON")
    decode = decoder(registry, "json_schema")
    unique = [
        b'[{"a": 1}, {"a": true}, {"a": "1"}, {"b": 1}, [1], [true], 1, true, 0, false, "1", null, {}, []]',
        # Compared with each other these would take an hour.
        json.dumps([[{"n": n} for n in range(20_000)]]).encode(),
    ]
    equal = [
        b"[1, 1.0]",
        b"[[[0], [0.0]]]",
        b'[{"a": 1, "b": [2]}, {"b": [2], "a": 1}]',
        b"[[true, true]]",
    ]
    assert decode([framed(1, each) for each in (*unique, *equal)]) == [*unique, *[None] * len(equal)]


def test_what_is_logged_of_a_payload_is_one_short_line(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.has(1, {"additionalProperties": False, "patternProperties": {"^a": {"type": "null"}}}, "JSON")
    payload = json.dumps({"a\n\ud800" + "x" * 10_000: 1}).encode()
    why = why_refused(caplog, decoder(registry, "json_schema"), framed(1, payload))
    assert len(why) <= 200
    assert why.isprintable()
    assert why.startswith(("$['a xxx", '$["a'))


def test_numbers_of_schemas_that_are_none_do_not_fill_the_log(
    registry: Registry, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    decode = protobuf_decoder(descriptors(tmp_path / "events.desc")[0])
    with caplog.at_level(logging.WARNING, "llmopt_stream.kafka"):
        assert decode([framed(number, b"\xff") for number in range(1, 1_100)]) == [None] * 1_099
    assert len(caplog.messages) == 1_000


# The registry


def test_a_schema_that_was_not_there_is_asked_for_again_after_30_seconds(registry: Registry) -> None:
    schema = record_of(n="long")
    now = 100.0
    decode = decoder(registry, clock=lambda: now)
    payload = avro(schema, {"n": 1})
    assert decode([payload, payload]) == [None, None]
    registry.has(1, schema)
    now = 129.999
    assert decode([payload]) == [None]
    assert len(registry.asked) == 1
    now = 130.0
    assert decode([payload]) == [b'{"n": 1}']
    assert len(registry.asked) == 2


def test_a_schema_whose_reference_was_not_there_is_asked_for_again(registry: Registry) -> None:
    inner = record_named("Inner", n="long")
    registry.has(5, record_named("Outer", inner="Inner"), Inner=("inner", 1))
    now = 0.0
    decode = decoder(registry, clock=lambda: now)
    assert decode([framed(5, b"\x02")]) == [None]
    registry.has_version("inner", 1, inner)
    now = 30.0
    assert decode([framed(5, b"\x02")]) == [b'{"inner": {"n": 1}}']


@pytest.mark.parametrize(
    ("status", "code", "is_retriable"),
    [(401, 40101, False), (403, 40301, False), (404, 404, False), (422, 42202, False), (500, 50001, True)],
)
def test_whether_a_registrys_refusal_may_pass(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, status: int, code: int, is_retriable: bool
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    registry.answers["/schemas/ids/1"] = (status, {"error_code": code, "message": "no"})
    with pytest.raises(ls.KafkaError, match="schema 1: no") as refused:
        decoder(registry)([framed(1, b"x")])
    assert refused.value.retriable is is_retriable


def test_a_registry_that_is_away_is_asked_seven_times_in_at_most_13_seconds(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    monkeypatch.setattr("random.random", lambda: 1.0)
    decode = decoder(registry)
    registry.close()
    with pytest.raises(ls.KafkaError) as refused:
        decode([framed(1, b"x")])
    assert refused.value.retriable
    assert pauses == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0]


# Protobuf


def descriptors(path: Path) -> tuple[str, Any]:
    """A file as protoc writes it, and the class of its message."""
    from google.protobuf import descriptor_pool, message_factory, timestamp_pb2, wrappers_pb2

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="llm", syntax="proto3")
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"])
    file.message_type.add(name="Other")
    event = file.message_type.add(name="Event")
    data = event.nested_type.add(name="Data")
    entry = event.nested_type.add(name="TagsEntry")
    entry.options.map_entry = True
    enum = event.enum_type.add(name="Kind")
    enum.value.add(name="COMPLETION", number=0)
    enum.value.add(name="EMBEDDING", number=1)

    def add(message: Any, name: str, kind: int, number: int, **more: Any) -> Any:
        return message.field.add(
            name=name, number=number, type=kind, **{"label": kinds.LABEL_OPTIONAL, **more}
        )

    add(entry, "key", kinds.TYPE_STRING, 1)
    add(entry, "value", kinds.TYPE_INT64, 2)
    add(data, "model", kinds.TYPE_STRING, 1)
    add(data, "latency_ms", kinds.TYPE_DOUBLE, 2)
    add(data, "tokens", kinds.TYPE_INT64, 3)
    data.oneof_decl.add(name="_quality")
    add(data, "quality", kinds.TYPE_DOUBLE, 4, proto3_optional=True, oneof_index=0)
    add(event, "at", kinds.TYPE_MESSAGE, 1, type_name=".google.protobuf.Timestamp")
    add(event, "data", kinds.TYPE_MESSAGE, 2, type_name=".llm.Event.Data")
    add(event, "kind", kinds.TYPE_ENUM, 3, type_name=".llm.Event.Kind")
    repeated = {"label": kinds.LABEL_REPEATED}
    add(event, "tags", kinds.TYPE_MESSAGE, 4, type_name=".llm.Event.TagsEntry", **repeated)
    add(event, "scores", kinds.TYPE_FLOAT, 5, **repeated)
    add(event, "raw", kinds.TYPE_BYTES, 6)
    add(event, "limit", kinds.TYPE_MESSAGE, 7, type_name=".google.protobuf.Int64Value")
    files = descriptor_pb2.FileDescriptorSet()
    for dependency in (timestamp_pb2, wrappers_pb2):
        dependency.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.append(file)
    path.write_bytes(files.SerializeToString())
    pool = descriptor_pool.DescriptorPool()
    for each in files.file:
        pool.Add(each)
    return str(path), message_factory.GetMessageClass(pool.FindMessageTypeByName("llm.Event"))


def protobuf_decoder(path: str, message: str = "llm.Event") -> PayloadDecoder:
    config = ls.KafkaConfig(format="protobuf", protobuf_descriptors=path, protobuf_message=message)
    made = payload_decoder(config)
    assert made is not None
    return made


SECOND_MESSAGE = b"\x02\x02"
"""One index, 1, in zigzag."""


def test_a_protobuf_message_becomes_the_json_of_an_event(tmp_path: Path) -> None:
    path, event_type = descriptors(tmp_path / "events.desc")
    event = event_type(kind=1, tags={"a": 2**60 + 1}, scores=[0.5, float("nan")], raw=b"\xff")
    event.at.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=7))
    event.data.model, event.data.tokens = "m", 2**60 + 1
    event.limit.value = 2**60
    [said, empty] = protobuf_decoder(path)(
        [framed(1, SECOND_MESSAGE + event.SerializeToString()), framed(1, SECOND_MESSAGE)]
    )
    assert json.loads(said or b"") == {
        "at": "2026-01-01T00:00:00.000007Z",
        "data": {"model": "m", "latency_ms": 0.0, "tokens": 2**60 + 1},
        "kind": "EMBEDDING",
        "tags": {"a": 2**60 + 1},
        "scores": [0.5, None],
        "raw": "/w==",
        "limit": 2**60,
    }
    assert json.loads(empty or b"") == {"kind": "COMPLETION", "tags": {}, "scores": [], "raw": ""}


def with_any(path: Path, value: Any) -> bytes:
    """Descriptors of a message with one field, which is of any type, and its payload."""
    any_pb2 = pytest.importorskip("google.protobuf.any_pb2")
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="any.proto", package="llm", syntax="proto3")
    file.dependency.append("google/protobuf/any.proto")
    holder = file.message_type.add(name="Holder")
    holder.field.add(
        name="of",
        number=1,
        type=kinds.TYPE_MESSAGE,
        label=kinds.LABEL_OPTIONAL,
        type_name=".google.protobuf.Any",
    )
    own = file.message_type.add(name="Own")
    own.field.add(name="token_count", number=1, type=kinds.TYPE_INT64, label=kinds.LABEL_OPTIONAL)
    files = descriptor_pb2.FileDescriptorSet()
    any_pb2.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.append(file)
    path.write_bytes(files.SerializeToString())
    body = any_pb2.Any(**value).SerializeToString()
    return framed(1, b"\0\x0a" + bytes([len(body)]) + body)


OWN = {"type_url": "type.googleapis.com/llm.Own", "value": b"\x08\x05"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (OWN, {"@type": OWN["type_url"], "token_count": 5}),
        ({}, {}),
        ({**OWN, "value": b"\x08"}, None),
        ({"type_url": "type.googleapis.com/llm.Other"}, None),
        ({"type_url": "llm"}, None),
    ],
)
def test_a_protobuf_message_of_any_type_is_one_that_the_file_has(
    tmp_path: Path, value: Any, expected: Any
) -> None:
    path = tmp_path / "any.desc"
    payload = with_any(path, value)
    [said] = protobuf_decoder(str(path), "llm.Holder")([payload])
    assert said is None if expected is None else json.loads(said or b"") == {"of": expected}


def test_a_protobuf_message_within_another_is_found_by_its_indexes(tmp_path: Path) -> None:
    path, event_type = descriptors(tmp_path / "events.desc")
    data = type(event_type().data)(model="m", latency_ms=1.5, quality=0.0)
    decode = protobuf_decoder(path, "llm.Event.Data")
    wanted = b"\x04\x02\x00" + data.SerializeToString()
    assert [json.loads(each or b"null") for each in decode([framed(1, wanted)])] == [
        {"model": "m", "latency_ms": 1.5, "tokens": 0, "quality": 0.0}
    ]


@pytest.mark.parametrize(
    "payload",
    [b"\x00", b"\x02\x02\xff", b"\x80", b"\x80" * 12, b"\x01\x02", b"\x04\x02", b"\x06\x02\x02\x02", b"\x7f"],
)
def test_other_protobuf_payloads_are_refused(tmp_path: Path, payload: bytes) -> None:
    path, _ = descriptors(tmp_path / "events.desc")
    assert protobuf_decoder(path)([framed(1, payload)]) == [None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "avro"}, "schema_registry: missing with format='avro'"),
        ({"format": "json", "protobuf_message": "a.B"}, "protobuf_message: it has no use with format='json'"),
        ({"format": "protobuf", "protobuf_message": "a.B"}, "protobuf_descriptors: missing"),
        ({"format": "avro", "schema_registry": "http://r"}, "a str is no SchemaRegistryConfig"),
        ({"format": "thrift"}, "format: 'thrift' is not one of"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=message):
        ls.KafkaConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "localhost:8081"}, "url: expected e.g. 'http://localhost:8081'"),
        ({"url": "http://u:hunter2@r"}, "say username and password by themselves"),
        ({"url": "u:hunter2@r:8081"}, "say username and password by themselves"),
        ({"url": "http://u:1/hunter2@r"}, "say username and password by themselves"),
        ({"url": "http://u:hunter2"}, "url: expected e.g. 'http://localhost:8081'"),
        ({"url": "http://[hunter2"}, "url: expected e.g. 'http://localhost:8081'"),
        ({"url": "http://r", "username": "u"}, "belong together"),
        ({"url": "http://r", "timeout_ms": 0}, "timeout_ms: 0 is not positive"),
    ],
)
def test_wrong_registries_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ls.ConfigurationError, match=message) as refused:
        ls.SchemaRegistryConfig(**settings)
    assert "hunter2" not in str(refused.value)


def test_descriptors_without_the_message_are_refused(tmp_path: Path) -> None:
    path, _ = descriptors(tmp_path / "events.desc")
    with pytest.raises(ls.ConfigurationError, match=r"protobuf_message 'llm\.Nothing'"):
        protobuf_decoder(path, "llm.Nothing")
    with pytest.raises(ls.ConfigurationError, match="No such file"):
        protobuf_decoder(str(tmp_path / "nowhere"))
