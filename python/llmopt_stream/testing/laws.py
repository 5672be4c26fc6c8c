"""The laws that every pipeline keeps, checked on a pipeline of the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from llmopt_stream.branches import Branch
from llmopt_stream.columns import Column, Expression, Literal, Operation
from llmopt_stream.errors import ConfigurationError
from llmopt_stream.schemas import types_of_event
from llmopt_stream.state import MemoryStateBackend, StateBackend
from llmopt_stream.triggers import EventTimeTrigger
from llmopt_stream.units import to_datetime
from llmopt_stream.watermarks import CoreWatermark
from llmopt_stream.windows import WindowType

from .harness import PipelineHarness
from .outputs import Output, difference_of_texts, difference_to_reference
from .reference import NaiveWindows, key_order
from .reference.values import field_of, micros_in_unit
from .steps import Push, Step, take, take_in_batches
from .strategies import batch_splits, disorder_within, event_streams, input_steps

try:
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError("assert_laws needs hypothesis: pip install hypothesis") from error

if TYPE_CHECKING:
    from llmopt_stream.builder import StreamPipelineBuilder
    from llmopt_stream.plan import Plan

__all__ = ["assert_equals_reference", "assert_laws"]

_ORIGIN = 1_767_225_600_000_000
"""2026-01-01, in microseconds."""
_GRID = 10_000_000
"""Where windows say no length of time: ten seconds."""


def assert_laws(
    builder: StreamPipelineBuilder,
    *,
    records: st.SearchStrategy[list[dict[str, Any]]] | None = None,
    max_examples: int = 100,
    parallelism: Sequence[int] = (1, 2, 4),
    partitions: int = 1,
    state_backend: StateBackend | None = None,
) -> None:
    """Checks that a pipeline keeps the laws, on streams that hypothesis makes up; an AssertionError if not.

    - Batch cuts, `parallelism`, snapshot and restore between any two steps, and state that is stored in a backend
      and read back after each batch change no output. The backend is `state_backend`, or else one in memory.
    - Disorder within the watermark's bound changes no final pane; of pipelines with such a bound, the default
      trigger, windows by event time, and neither heavy hitters nor percentiles by rank.
    - What comes out is what the naive reference computes.

    `records` are lists of records in the order of their arrival. Without them records have the fields that the
    pipeline reads, at times around 2026-01-01 that are often at ends of windows, some late, some without usable
    values. A session gap that a callable says needs `records` that it can read. With `partitions` each
    record comes from one of so many. The builder needs no source and no sink.

    >>> from llmopt_stream import create_pipeline
    >>> assert_laws(
    ...     create_pipeline().key_by("model").with_tumbling_window("1m").aggregate("ms", ["count", "p99"]),
    ...     max_examples=5,
    ... )
    """
    plan = builder.checked().plan
    for branch in plan.branch_names():
        NaiveWindows.of(builder, branch)  # refuses what it does not know
    streams = _streams(plan) if records is None else records
    backend = MemoryStateBackend() if state_backend is None else state_backend
    law = settings(
        max_examples=max_examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    grid = _grid(plan)
    steps_of = partial(
        input_steps,
        grid=grid,
        origin=_ORIGIN,
        partitions=partitions,
        watermarks=plan.watermark is None,
        clock=plan.uses_clock,
        longest=_longest_delay(plan, grid),
    )

    @law
    @given(data=st.data())
    def equal_outputs_for_one_input(data: st.DataObject) -> None:
        steps = data.draw(streams.flatmap(steps_of))
        output = _one_by_one(builder, steps)
        assert_equals_reference(builder, steps, output)
        threads = data.draw(st.sampled_from(parallelism))
        cuts = data.draw(batch_splits(len(steps)))
        stops = data.draw(st.sets(st.integers(0, len(cuts)), max_size=3))
        is_stored = data.draw(st.booleans())
        other = _in_batches(builder, steps, cuts, stops, threads, backend if is_stored else None)
        found = difference_of_texts(output.lines(), other.lines())
        if found:
            raise AssertionError(
                "law 1: for one ordered input, batch cuts, parallelism, restored snapshots and the state backend change "
                f"nothing; but with parallelism {threads}, batches of the steps {_cuts_text(cuts)}, restored snapshots "
                f"before the batches {sorted(stops)} and {f'{backend!r}' if is_stored else 'no state backend'}:\n"
                f"{found}\n{_steps_text(steps)}"
            )

    equal_outputs_for_one_input()
    bearing = [branch for branch in plan.branches if _bears_disorder(plan, branch)]
    if bearing:
        _assert_disorder_changes_nothing(builder, bearing, streams, law)


def _assert_disorder_changes_nothing(
    builder: StreamPipelineBuilder,
    branches: Sequence[Branch],
    streams: st.SearchStrategy[list[dict[str, Any]]],
    law: settings,
) -> None:
    plan = builder.plan
    generator = plan.watermark
    core_watermark = None if generator is None else CoreWatermark.of(generator)
    assert core_watermark is not None
    # A watermark on the end of a session has expired it, yet a record at that very time is not late and would
    # have joined it: one microsecond less of disorder keeps the two apart.
    has_sessions = any(branch.spec.type is WindowType.SESSION for branch in branches)
    bound = core_watermark.max_out_of_orderness - int(has_sessions)

    def time_of(record: Mapping[str, Any]) -> int:
        time = micros_in_unit(field_of(record, plan.time_field), plan.time_unit)
        assert time is not None
        return time

    def has_time(record: Mapping[str, Any]) -> bool:
        return micros_in_unit(field_of(record, plan.time_field), plan.time_unit) is not None

    @law
    @given(data=st.data())
    def equal_final_panes(data: st.DataObject) -> None:
        in_order = sorted(filter(has_time, data.draw(streams)), key=time_of)
        disordered = data.draw(disorder_within(bound, time_of=time_of))(in_order)
        ordered_steps: list[Step] = [Push(record) for record in in_order]
        steps: list[Step] = [Push(record) for record in disordered]
        outputs = [_one_by_one(builder, each) for each in (ordered_steps, steps)]
        for branch in branches:
            found = _difference_of_final_panes(builder, branch.name, ordered_steps, *outputs)
            if found:
                raise AssertionError(
                    "law 2: disorder within the bound changes no final pane; but compared with the same records in "
                    f"order:\n{found}\n{_steps_text(steps)}"
                )

    equal_final_panes()


def _bears_disorder(plan: Plan, branch: Branch) -> bool:
    core_watermark = None if plan.watermark is None else CoreWatermark.of(plan.watermark)
    return (
        core_watermark is not None
        and core_watermark.max_out_of_orderness >= 1
        and branch.spec.time == "event"
        and branch.spec.type not in (WindowType.COUNT, WindowType.CUSTOM)
        and branch.trigger == EventTimeTrigger()
        and not any(metric.depends_on_order for metric in branch.core_metrics())
    )


# Driving


def _one_by_one(builder: StreamPipelineBuilder, steps: Sequence[Step]) -> Output:
    harness = PipelineHarness(builder)
    for step in steps:
        take(harness, step)
    return Output.at_end(harness)


def _in_batches(
    builder: StreamPipelineBuilder,
    steps: Sequence[Step],
    cuts: Sequence[slice],
    stops: set[int],
    threads: int,
    backend: StateBackend | None,
) -> Output:
    harness = PipelineHarness(builder, parallelism=threads, state_backend=backend)
    for number in range(len(cuts) + 1):
        if number in stops:
            harness = PipelineHarness.restore(
                builder, harness.snapshot(), parallelism=threads, state_backend=backend
            )
        if number < len(cuts):
            take_in_batches(harness, steps[cuts[number]])
    return Output.at_end(harness)


def _driven_reference(builder: StreamPipelineBuilder, branch: str, steps: Sequence[Step]) -> NaiveWindows:
    reference = NaiveWindows.of(builder, branch)
    for step in steps:
        take(reference, step)
    reference.end_of_input()
    return reference


# Comparing


def assert_equals_reference(
    builder: StreamPipelineBuilder, steps: Sequence[Step], output: Output | None = None
) -> None:
    """Checks that a pipeline makes of these steps, one by one, what the naive reference computes.

    >>> from llmopt_stream import create_pipeline
    >>> from llmopt_stream.testing import AdvanceWatermark, Push
    >>> builder = create_pipeline().with_event_time("ts", unit="ms").with_tumbling_window("10s")
    >>> assert_equals_reference(builder, [Push({"ts": 1_000, "value": 3}), AdvanceWatermark(10_000_000)])
    """
    output = output or _one_by_one(builder, steps)
    counters: dict[str, int] = {}
    for branch in builder.plan.branch_names():
        reference = _driven_reference(builder, branch, steps)
        for name, count in reference.counters.items():
            shared = name in ("records_in", "malformed")
            counters[name] = count if shared else counters.get(name, 0) + count
        found = difference_to_reference(output, branch, reference)
        if found:
            raise AssertionError(f"the naive reference says otherwise: {found}\n{_steps_text(steps)}")
    found = difference_of_texts([f"counters {counters}"], [f"counters {output.counters}"])
    if found:
        raise AssertionError(f"the naive reference says otherwise: {found}\n{_steps_text(steps)}")


def _difference_of_final_panes(
    builder: StreamPipelineBuilder, branch: str, steps: Sequence[Step], in_order: Output, disordered: Output
) -> str | None:
    expected, actual = (_final_panes(branch, output) for output in (in_order, disordered))
    if expected.keys() != actual.keys():
        return f"expected panes {sorted(expected)}\ngot            {sorted(actual)}"
    reference = _driven_reference(builder, branch, steps)
    for pane in reference.drain():
        place = pane.window, key_order(pane.key)
        for metric in (*reference.metrics, *reference.series):
            found = metric.difference(expected[place], actual[place], pane.records)
            if found:
                return f"window {pane.window} key {pane.key}: {found}"
    return None


def _final_panes(branch: str, output: Output) -> dict[Any, dict[str, Any]]:
    """The last pane of each key and window, without those that a later one replaces."""
    final: dict[Any, dict[str, Any]] = {}
    for pane in output.panes:
        if pane.branch == branch:
            key = key_order(pane.key.values())
            for replaced in pane.pane.replaces:
                final.pop((replaced.micros, key), None)
            final[pane.window.micros, key] = pane.results
    return final


def _steps_text(steps: Sequence[Step]) -> str:
    return "steps:\n" + "\n".join(f"  {at}: {step}" for at, step in enumerate(steps))


def _cuts_text(cuts: Sequence[slice]) -> str:
    return " ".join(f"{cut.start}:{cut.stop}" for cut in cuts)


# Records that fit a pipeline


def _grid(plan: Plan) -> int:
    """A length that the windows' boundaries lie at, in microseconds."""
    for branch in plan.branches:
        spec = branch.spec
        if spec.type in (WindowType.TUMBLING, WindowType.SLIDING, WindowType.CUMULATIVE):
            return spec.slide
        if spec.type is WindowType.SESSION and isinstance(spec.gap, int):
            return spec.gap
    return _GRID


def _longest_delay(plan: Plan, grid: int) -> int:
    return max([grid, *(_delay(branch.trigger) for branch in plan.branches)])


def _delay(trigger: Any) -> int:
    """The longest on the clock in a trigger."""
    parts = [
        *getattr(trigger, "triggers", ()),
        getattr(trigger, "early", None),
        getattr(trigger, "late", None),
    ]
    return max([getattr(trigger, "delay", 1), *(_delay(part) for part in parts if part is not None)])


def _streams(plan: Plan) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Records in the order of their arrival with the fields that the plan reads."""
    if plan.gap_of is not None:
        raise ConfigurationError(
            "assert_laws: records: the session gap is a callable; say what records it can read"
        )
    grid = _grid(plan)
    types = {**types_of_event(plan.event_type), **plan.schema}
    gap_fields = {branch.spec.gap.path for branch in plan.branches if isinstance(branch.spec.gap, Column)}
    fields = [name for name in plan.value_fields() if name not in gap_fields]
    integers = st.integers(-(2**40), 2**40) | st.integers(-3, 3) | st.none()
    numbers = integers | st.floats(-1e6, 1e6, width=32, allow_subnormal=False) | st.just(float("nan"))
    labels = [name for name in plan.label_fields() if name not in (*fields, *plan.key, plan.time_field)]
    scalars = st.sampled_from([*_literals(plan), "a", "b", True, False, None, 0, 1.5])
    values = st.tuples(
        *(integers if types.get(name) == "int64" else numbers for name in fields), *(scalars for _ in labels)
    )
    keys = st.tuples(*(st.sampled_from(["a", "b", "c", None]) for _ in plan.key))
    generator = None if plan.watermark is None else CoreWatermark.of(plan.watermark)
    bound = grid if generator is None else generator.max_out_of_orderness

    def shaped(record: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        _put(made, plan.time_field, to_datetime(_ORIGIN + record["ts"]))
        for names, drawn in ((plan.key, record["key"]), ([*fields, *labels], record["value"])):
            for name, value in zip(names, drawn, strict=True):
                _put(made, name, value)
        for name in gap_fields:
            _put(made, name, record["gap"])
        return made

    return event_streams(
        keys=keys,
        values=values,
        disorder=bound,
        late=True,
        grid=grid,
        span=6 * grid,
        gap_field="gap" if gap_fields else None,
    ).map(lambda stream: [shaped(record) for record in stream])


def _literals(plan: Plan) -> list[Any]:
    """The numbers, texts and bools that conditions compare with."""
    literals: list[Any] = []
    waiting: list[Expression] = [each for branch in plan.branches for each in branch.conditions().values()]
    while waiting:
        expression = waiting.pop()
        if isinstance(expression, Literal):
            literals.append(expression.value)
        elif isinstance(expression, Operation):
            waiting += expression.operands
    return literals


def _put(record: dict[str, Any], path: str, value: Any) -> None:
    first, _, rest = path.partition(".")
    if rest:
        _put(record.setdefault(first, {}), rest, value)
    else:
        record[first] = value
