"""Configurations of settings that hypothesis chooses, and builders of options that it chooses."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import llmopt_stream as ls
from hypothesis import given, settings
from hypothesis import strategies as st
from llmopt_stream.columns import Expression
from llmopt_stream.config import containers, kinds, sections
from llmopt_stream.config.aggregation_settings import CONDITION, EXPRESSION
from llmopt_stream.config.expressions import expression_from
from llmopt_stream.config.settings import PROCESSOR
from llmopt_stream.testing.strategies import triggers, window_assigners

TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff\u2028\u2029"),
    min_size=1,
)
PATHS = st.sampled_from(["v", "data.latency_ms", "a.b.c", "é", "x y"])


@st.composite
def expressions(draw: st.DrawFn, *, of_truth: bool = False) -> Expression:
    """Any that `ls.col` makes."""
    number = st.one_of(st.integers(-5, 5), st.floats(-1e6, 1e6, allow_nan=False))

    def value(depth: int) -> Any:
        field = ls.col(draw(PATHS))
        if depth == 0:
            return field
        operation = draw(st.integers(0, 6))
        if operation == 0:
            return -value(depth - 1)
        if operation == 1:
            return abs(value(depth - 1))
        if operation == 2:
            return value(depth - 1).fill_null(draw(number))
        other = draw(number) if draw(st.booleans()) else value(depth - 1)
        left, right = (other, value(depth - 1)) if draw(st.booleans()) else (value(depth - 1), other)
        return [left + right, left - right, left * right, left / right][operation - 3]

    def truth(depth: int) -> Any:
        operation = draw(st.integers(0, 9 if depth else 6))
        of, number_of = value(1), draw(number)
        simple = [
            lambda: of < number_of,
            lambda: of >= value(1),
            lambda: of != number_of,
            lambda: ls.col(draw(PATHS)) == draw(TEXTS),
            lambda: ls.col(draw(PATHS)).is_in(draw(st.lists(TEXTS, max_size=3))),
            lambda: of.between(number_of, draw(number)),
            lambda: of.is_null() if draw(st.booleans()) else of.is_not_null(),
        ]
        if operation < len(simple):
            return simple[operation]()
        if operation == 7:
            return ~truth(depth - 1)
        left, right = truth(depth - 1), truth(depth - 1)
        return left & right if operation == 8 else left | right

    return truth(draw(st.integers(0, 2))) if of_truth else value(draw(st.integers(0, 3)))


@given(st.one_of(expressions(), expressions(of_truth=True)))
def test_an_expression_is_read_as_it_is_shown(expression: Expression) -> None:
    assert repr(expression_from(repr(expression))) == repr(expression)


def values(kind: Any, depth: int = 3) -> st.SearchStrategy[Any]:
    """What a kind of settings takes, as YAML has it."""
    if kind is EXPRESSION or kind is CONDITION:
        return expressions(of_truth=kind is CONDITION).map(repr)
    match kind:
        case sections.Later():
            return values(kind.of(), depth)
        case containers.Nullable():
            return st.none() | values(kind.kind, depth)
        case sections.Section():
            return section(kind, depth)
        case sections.Tagged():
            shallow = [
                each
                for each in kind.choices
                if "triggers" not in each.names() and "streams" not in each.names()
            ]
            return st.sampled_from(kind.choices if depth > 0 else shallow).flatmap(
                lambda each: section(each, depth - 1)
            )
        case containers.ListOf():
            most = 3 if depth > 0 else max(kind.least, 0)
            return st.lists(values(kind.kind, depth - 1), min_size=kind.least, max_size=max(most, kind.least))
        case containers.OneOf():
            below = [each for each in (kind.of_text, kind.of_list, kind.of_map) if each is not None]
            return st.one_of(*(values(each, depth - 1) for each in (below if depth > 0 else below[:1])))
        case containers.Properties():
            return st.dictionaries(st.sampled_from(["linger.ms", "client.id"]), TEXTS)
        case containers.MapOf():
            return st.dictionaries(PATHS, values(kind.kind, depth - 1), max_size=2)
        case kinds.Whole():
            return st.integers(kind.least, min(kind.most, kind.least + 10**9))
        case kinds.Number():
            least = kind.least if kind.least is not None else kind.above if kind.above is not None else -1e9
            most = kind.most if kind.most is not None else kind.below if kind.below is not None else 1e9
            return st.floats(
                least, most, exclude_min=kind.above is not None, exclude_max=kind.below is not None
            )
        case kinds.Flag():
            return st.booleans()
        case kinds.Choice():
            return st.sampled_from(kind.words)
        case kinds.SecretText():
            return st.none()
        case kinds.Text():
            return TEXTS
    known = {
        "a field path such as 'data.latency_ms'": PATHS,
        "a time such as '2026-01-01T00:00:00Z'": st.datetimes().map(lambda time: time.isoformat()),
        "the URL of a registry": st.sampled_from(["http://localhost:8081", "https://a,http://[::1]:1/b"]),
    }
    if isinstance(kind, kinds.Checked):
        return known.get(kind.what, st.sampled_from(["count", "p99.9"]))
    return st.one_of(st.sampled_from(["skip", "error"]), st.floats(-10, 10))  # what becomes of nulls


def section(of: Any, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Some of its settings."""
    required = {
        each.name: values(each.kind, depth) for each in of.settings if each.default is sections.REQUIRED
    }
    deep = ("then", "inputs", "branches", "early", "late")
    optional = {
        each.name: values(each.kind, depth - 1)
        for each in of.settings
        if each.default is not sections.REQUIRED
        and (depth > 0 or each.name not in deep)
        and not is_secret(each)
    }
    tag = {"type": st.just(of.tag)} if of.tag else {}
    return st.fixed_dictionaries({**tag, **required}, optional=optional if depth >= 0 else {})


def is_secret(setting: Any) -> bool:
    return "password" in setting.name


@given(st.deferred(lambda: section(PROCESSOR, 3)))
@settings(max_examples=30)
def test_any_settings_can_be_written_and_read(said: dict[str, Any]) -> None:
    config = ls.Config({"processor": said})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "p.yaml")
        path.write_text(config.to_yaml(), encoding="utf-8")
        assert ls.load_config(path, environ={}) == config
    assert ls.Config(config.to_dict()) == config


@st.composite
def builders(draw: st.DrawFn) -> ls.StreamPipelineBuilder:
    """Windows, triggers, aggregates and options of any kind."""
    builder = ls.create_pipeline(draw(TEXTS)).with_event_time(
        draw(PATHS), unit=draw(st.sampled_from([None, "s", "ns"]))
    )
    micros = st.integers(1, 10**12).map(lambda count: f"{count}us")
    if draw(st.booleans()):
        base = ls.BoundedOutOfOrdernessWatermark(draw(micros), idle_timeout=draw(st.none() | micros))
        periodic = draw(st.booleans())
        builder = builder.with_watermark_generator(
            ls.PeriodicWatermarkGenerator(draw(micros), base) if periodic else base
        )
    builder = builder.key_by(*draw(st.lists(PATHS, unique=True, max_size=2)))
    if draw(st.booleans()):
        builder = builder.filter(draw(expressions(of_truth=True)))
    if draw(st.booleans()):
        builder = builder.deduplicate(draw(PATHS), draw(micros))
    assigner = draw(window_assigners())
    builder = builder.with_window(assigner)
    if assigner.spec.type is not ls.WindowType.COUNT:
        builder = builder.with_trigger(draw(triggers()))
    builder = builder.with_accumulation(draw(st.sampled_from(["accumulating", "discarding"])))
    for prefix in draw(st.lists(st.sampled_from(["", "a_", "b_"]), unique=True, min_size=1)):
        builder = builder.aggregate(
            draw(PATHS | expressions()),
            draw(
                st.lists(
                    st.sampled_from(["count", "sum", "p50", "p99.9", "last", "rate"]), unique=True, min_size=1
                )
            ),
            prefix=prefix,
            where=draw(st.none() | expressions(of_truth=True)),
            nulls=draw(st.sampled_from(["skip", "error", 0, -1.5])),
        )
    return builder.with_options(
        parallelism=draw(st.integers(1, 9)),
        buffer_size=draw(st.none() | st.integers(1, 10**6)),
        future_skew=draw(st.none() | micros),
    )


@given(builders())
@settings(max_examples=60)
def test_any_builder_and_its_configuration_give_the_same_plan(builder: ls.StreamPipelineBuilder) -> None:
    config = builder.to_config()
    again = ls.Config(config.to_dict()).pipeline()
    assert again.plan.explain() == builder.plan.explain()
    assert again.to_config() == config
