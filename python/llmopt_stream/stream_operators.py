"""The operators that a builder has before and after the window."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from .branches import Branch
from .columns import Column, Expression, condition_of, field_path
from .errors import ConfigurationError
from .operators.deduplicate import Deduplicate
from .operators.enrich import Enrich, Enriching
from .operators.enrich_versions import EnrichVersions
from .operators.inputs import Union
from .operators.join import HOW, IntervalJoin, WindowJoin, window_of
from .operators.keyed import RunningCount, TrackSessions
from .operators.known_fields import known_fields
from .operators.lookup_table import LookupTable, RefreshingTable, matching_of
from .operators.operator import Operator
from .operators.per_record import Filter, FlatMap, Map, MapBatches, Select, Where
from .operators.process import Process, side_outputs_of, ttl_of
from .operators.ranking import TopN
from .operators.trending import Trending
from .units import Duration, duration_micros
from .windows import WindowAssigner

if TYPE_CHECKING:
    from .plan import Plan

__all__ = ["StreamOperators"]


def _callable(fn: Any, of: str) -> Callable[..., Any]:
    if not callable(fn):
        raise ConfigurationError(f"{of}: {fn!r} is not callable")
    return fn  # type: ignore[no-any-return]


def _positive(duration: Duration, of: str) -> int:
    micros = duration_micros(duration, of)
    if micros <= 0:
        raise ConfigurationError(f"{of}: {duration!r} is not a positive duration")
    return micros


def _bound(duration: Duration | None, of: str) -> int:
    return 0 if duration is None else duration_micros(duration, of, least=None)


class StreamOperators:
    """What can be done to the records of a stream; behind a window, to its results.

    A result is a record then: flat, under the column names of a table, with the event time window end − 1 µs
    (that of the record which completed it, where a window has no end).
    """

    _plan: Plan

    def _but(self, **changes: Any) -> Self:
        raise NotImplementedError

    @property
    def _branch(self) -> Branch:
        return self._plan.branches[-1]

    def _but_last_branch(self, branch: Branch) -> Self:
        return self._but(branches=(*self._plan.branches[:-1], branch))

    def _with(self, operator: Operator) -> Self:
        branch = self._branch
        if branch.window is not None:
            return self._but_last_branch(Branch(branch.name, upstream=branch, operators=(operator,)))
        if not branch.name and branch.upstream is None:
            return self._but(operators=(*self._plan.operators, operator))
        return self._but_last_branch(dataclasses.replace(branch, operators=(*branch.operators, operator)))

    @property
    def _key(self) -> tuple[str, ...]:
        """What records are grouped by here."""
        for stage in reversed(self._branch.stages):
            if stage.key is not None:
                return stage.key
        return self._plan.key

    # Each record by itself

    def map(self, fn: Callable[[Any], Any]) -> Self:
        """Another record in place of each: `fn(record)`. It keeps its event time.

        >>> from llmopt_stream import create_pipeline
        >>> builder = create_pipeline().with_event_time("t", unit="s").map(lambda record: {"n": record["n"] * 2})
        >>> [event.data for event in builder.open().push([{"t": 1, "n": 4}])]
        [{'n': 8}]
        """
        return self._with(Map(_callable(fn, "map: fn")))

    def filter(
        self, condition: Expression | Callable[[Any], Any] | Any, *, fields: Sequence[str] = ()
    ) -> Self:
        """The records for which a condition is true: an expression of `ls.col`, which runs in C++ before anything else
        is decoded; a polars `Expr`, or a pyarrow `Expression` with the `fields` that it reads, per batch; or a
        callable, per record. Records that are left out count as `filtered`, and move the watermark all the same.

        >>> from llmopt_stream import col, create_pipeline
        >>> builder = create_pipeline().filter(col("data.latency_ms") > 0)
        """
        if isinstance(condition, Expression):
            return self._with(Where(condition_of(condition, "filter: condition")))
        module = type(condition).__module__.split(".")[0]
        if module in ("polars", "pyarrow"):
            from .operators.batch_filters import batch_filter

            return self._with(batch_filter(condition, tuple(fields)))
        return self._with(Filter(_callable(condition, "filter: condition")))

    def flat_map(self, fn: Callable[[Any], Iterable[Any] | None]) -> Self:
        """Any number of records in place of each: `fn(record)` gives them, with its event time."""
        return self._with(FlatMap(_callable(fn, "flat_map: fn")))

    def map_batches(self, fn: Callable[[Any], Any]) -> Self:
        """A pyarrow Table in place of each: `fn(table)` gives one of as many rows (extra `[arrow]`). How many
        records are in a batch is nobody's business: each row must depend on its own row only.
        """
        return self._with(MapBatches(_callable(fn, "map_batches: fn")))

    def select(self, *paths: str, **named: str | Expression) -> Self:
        """Records of these fields only: paths, each under its own name, and paths or expressions under another one.

        >>> from llmopt_stream import col, create_pipeline
        >>> builder = create_pipeline().select("timestamp", "model", cost_per_token=col("cost_usd") / col("tokens"))
        """
        fields: list[tuple[str, str | Expression]] = [(field_path(path, "select"), path) for path in paths]
        for name, of in named.items():
            if isinstance(of, Column):
                fields.append((name, of.path))
            elif isinstance(of, Expression):
                fields.append((name, of))
            else:
                fields.append((name, field_path(of, f"select: {name}")))
        names = [name for name, _ in fields]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(f"select: {names!r} are no different names, at least one")
        return self._with(Select(tuple(fields)))

    # With state

    def deduplicate(self, by: str, ttl: Duration, *, false_positive_rate: float | None = None) -> Self:
        """Of records with the same value under the path `by`, the earliest by arrival.

        A record is repeated if one with its value went on whose event time is less than `ttl` away; what went on is
        remembered until the watermark is `ttl` past it. Records without a value all go on. Values are
        compared by hashes of 128 bits; with `false_positive_rate`, by Bloom filters that take a tenth of the memory
        (Almeida et al., "Scalable Bloom Filters", 2007) and take at most that share of new values for repeated.

        >>> from llmopt_stream import create_pipeline
        >>> builder = create_pipeline().with_event_time("t", unit="s").deduplicate(by="id", ttl="10m")
        >>> [event.data["t"] for event in builder.open().push([{"t": 1, "id": "a"}, {"t": 2, "id": "a"}])]
        [1]
        """
        path = field_path(by, "deduplicate: by")
        rate: Any = false_positive_rate
        if rate is not None and (
            isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1
        ):
            raise ConfigurationError(
                f"deduplicate: false_positive_rate: {rate!r} is not a share between 0 and 1"
            )
        return self._with(Deduplicate(path, _positive(ttl, "deduplicate: ttl"), rate))

    def process(
        self, fn: Any, *, ttl: Duration | None = None, side_outputs: str | Sequence[str] = ()
    ) -> Self:
        """A function `fn(record, context)`, or a class with `process(record, context)` and, for timers,
        `on_timer(time, context)`, called with the records of each key in the order of their arrival.

        The context has `key`, `timestamp`, `watermark`, `state` (a StateStore, with that `ttl` if one is given),
        `emit(record)`, `set_timer(time)` in event time and `set_processing_timer(time)`, and their opposites
        `delete_…`. What is returned is emitted too: a record or a list of them. An exception leaves out what
        the call emitted, not what it put in the state.

        `side_outputs` are names that records can be emitted to beside the stream, `emit(record, to=name)`: each is the
        stream of a `branch(name, emitted_to=name)`.

        >>> from llmopt_stream import create_pipeline
        >>> def previous(record, context):
        ...     before = context.state.get("last")
        ...     context.state.put("last", record["v"])
        ...     return None if before is None else {"step": record["v"] - before}
        >>> builder = create_pipeline().with_event_time("t", unit="s").key_by("k").process(previous)
        >>> [event.data for event in builder.open().push([{"t": 1, "k": "a", "v": 3}, {"t": 2, "k": "a", "v": 7}])]
        [{'step': 4}]
        """
        if not callable(fn) and not hasattr(fn, "process"):
            raise ConfigurationError(
                f"process: {fn!r} is neither callable nor has it process(record, context)"
            )
        return self._with(Process(fn, self._key, ttl_of(ttl), side_outputs_of(side_outputs)))

    def running_count(self) -> Self:
        """After each record how many its key has had so far: records of the key's fields and `count`.

        >>> from llmopt_stream import create_pipeline
        >>> builder = create_pipeline().with_event_time("t", unit="s").key_by("user").running_count()
        >>> [event.data for event in builder.open().push([{"t": 1, "user": "a"}, {"t": 2, "user": "a"}])]
        [{'user': 'a', 'count': 1}, {'user': 'a', 'count': 2}]
        """
        return self._with(RunningCount(self._key))

    def track_sessions(self, timeout: Duration = "30m") -> Self:
        """When a session of a key is over, `{"type": "session_end", "user_id": …, "duration": …, "page_views": …}`:
        the key's value, the seconds from its first to its last record, and how many records it had.

        Records at most `timeout` apart are of one session, in whatever order they come. It is over when the watermark
        is `timeout` past its last record, whose event time the record has. A record that is so late that it can
        only be a session that is over is dropped, and counted as late.
        """
        if not self._key:
            raise ConfigurationError("track_sessions: of whom? say it by .key_by(field) before")
        return self._with(TrackSessions(self._key, _positive(timeout, "track_sessions: timeout")))

    def trending(
        self,
        *,
        half_life: Duration = "1m",
        top: int = 10,
        window: Duration = "5m",
        drop_below: float = 0.1,
        capacity: int | None = None,
    ) -> Self:
        """At the end of each `window` of event time the `top` keys that there were most records of lately.

        A record scores 1 at its time and half as much one `half_life` later; the score of a key is the sum. What
        comes out is the key's fields with `rank`, `score` and `window_end`, at that time - 1 µs, in the order of
        rank; of equal scores, of the keys. Windows are aligned to the epoch, those without records between
        others are ranked too. At the input's end the last one is that of the latest record.

        A record counts from the end of its own window on, in whatever order records come. One whose window is
        complete already is counted as late, and counts from the next one on. A key whose score at the end of a
        window is less than `drop_below` is forgotten: its records until then count no more.

        Of more than `capacity` keys (10 · top, at least 1000, unless said otherwise) scores may be too great, by at
        most the sum of all scores / capacity; where they may, `error` says by how much at most. Twice as many keys
        are kept, and as many for each window that is not complete.

        Cormode, Shkapenyuk, Srivastava and Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems",
        ICDE 2009; Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data
        Streams", ICDT 2005.

        >>> from llmopt_stream import create_pipeline
        >>> builder = (
        ...     create_pipeline().with_event_time("t", unit="s").key_by("topic")
        ...     .trending(half_life="30s", window="1m", top=2)
        ... )
        >>> session = builder.open()
        >>> records = [{"t": 0, "topic": "a"}, {"t": 0, "topic": "a"}, {"t": 30, "topic": "b"}, {"t": 30, "topic": "c"}]
        >>> events = session.push(records) + session.flush()
        >>> [(event.data["topic"], event.data["rank"], event.data["score"]) for event in events]
        [('a', 1, 0.5), ('b', 2, 0.5)]
        """
        counters = max(1000, 10 * top) if capacity is None and type(top) is int else capacity
        return self._with(
            Trending(
                self._key,
                _positive(half_life, "trending: half_life"),
                top,
                _positive(window, "trending: window"),
                drop_below,
                counters,  # type: ignore[arg-type]
            )
        )

    def top_n(self, n: int, *, by: str, per: str | Sequence[str] = (), ascending: bool = False) -> Self:
        """Behind a window and what it aggregates: of the results of one window, the same start and end, the n with
        the greatest result `by` (the least, `ascending`), and their `rank` from 1. With `per`, fields of the key, as
        many of each of their values. Results that are equal are in the order of their keys; those whose `by` is null,
        NaN or no number have no rank.

        The ranking comes out when the window is complete. Where a late record makes the window fire again and
        changes one of the first n, the whole ranking of its group comes out again: `pane.timing` is "late", and
        `pane.index` how many of it came before. Results are kept as long as their window can fire again;
        of a window that cannot, only n of each group.

        >>> from llmopt_stream import create_pipeline
        >>> builder = (
        ...     create_pipeline().with_event_time("t", unit="s").key_by("model").with_tumbling_window("1m")
        ...     .aggregate("ms", ["p99"]).top_n(2, by="p99")
        ... )
        >>> session = builder.open()
        >>> records = [{"t": 1, "model": "a", "ms": 10}, {"t": 2, "model": "b", "ms": 30}, {"t": 3, "model": "c", "ms": 20}]
        >>> panes = session.push(records) + session.flush()
        >>> [(pane.key["model"], pane.results) for pane in panes]
        [('b', {'p99': 30.0, 'rank': 1}), ('c', {'p99': 20.0, 'rank': 2})]
        """
        branch = self._branch
        is_behind = branch.window is None and branch.upstream is not None and branch.key is None
        if is_behind and all(isinstance(each, Filter | Where) for each in branch.operators):
            stage, is_filtered = branch.upstream, True
        else:
            stage, is_filtered = branch, False
        if stage is None or stage.window is None:
            raise ConfigurationError(
                "top_n: it ranks the results of a window: say it directly behind one and what it aggregates; only "
                "filters may come between"
            )
        return self._with(
            TopN.of(stage, self._key, n, by=by, per=per, ascending=ascending, is_filtered=is_filtered)
        )

    # Several streams

    def enrich(
        self,
        table: Any,
        *,
        on: str | Sequence[str] | Mapping[str, str],
        how: str = "left",
        prefix: str = "",
        missing: str = "null",
    ) -> Self:
        """Records, as dicts, with the fields of the row of a table that has their key.

        `table` is a dict `{key: fields}`, a list of dicts, anything with `__arrow_c_stream__` or the path of a file,
        which is read at once; or a RefreshingTable. It has one row for each key. `on` is the field path of the key, a
        list of paths, or `{field path: column}` where the table has other names. Null, NaN and what cannot be hashed
        match nothing; 1 matches 1.0, and not True. Fields are added under their names behind `prefix`; one that the
        record has already stays the record's own. Without a row they are null; with `how="inner"` the record is left
        out, and counted as filtered; with `missing="error"` it is an error, for the error policy.

        `table` may be another builder too, whose records are versions: each record gets the latest one of its
        key as of its own event time. It goes on when the watermark, the lesser of the two streams', has passed its
        time; records go on in the order of their times then. Records and versions behind the watermark are late. In
        a push session and the harness the inputs are "left" and "right".

        >>> from llmopt_stream import create_pipeline
        >>> builder = create_pipeline().with_event_time("t", unit="s")
        >>> session = builder.enrich({"gpt-4o": {"price": 5.0}}, on="model").open()
        >>> [event.data["price"] for event in session.push([{"t": 1, "model": "gpt-4o"}, {"t": 2, "model": "?"}])]
        [5.0, None]
        >>> session = builder.enrich(builder, on="model").open()
        >>> events = session.push({"t": 1, "model": "gpt-4o", "price": 5.0}, input="right")
        >>> events = session.push({"t": 3, "model": "gpt-4o", "price": 4.0}, input="right")
        >>> events = session.push({"t": 2, "model": "gpt-4o"}, input="left")
        >>> [event.data["price"] for event in session.flush()]
        [5.0]
        """
        enriching = Enriching(matching_of(on), how, prefix, missing)
        if isinstance(table, StreamOperators):
            versions = EnrichVersions(self._input_plans("enrich", [table]), enriching)
            return self._of_inputs(versions)._but(key=self._key)  # they are the records of this stream still
        if isinstance(table, RefreshingTable):
            return self._with(Enrich(table, repr(table), enriching))
        loaded = LookupTable.of(table, enriching.matching)
        known = known_fields(self._plan) | set(enriching.matching.paths)
        for name in (prefix + column for column in loaded.columns):
            if name in known:
                raise ConfigurationError(
                    f"enrich: the table's column {name!r} is a field of the records already; give a prefix="
                )
        said = (
            f"{table!r}" if isinstance(table, str) else f"{type(table).__name__} of {len(loaded.rows)} rows"
        )
        path = os.fspath(table) if isinstance(table, str | os.PathLike) else None
        return self._with(Enrich(loaded, said, enriching, path))

    def union(self, *others: StreamOperators) -> Self:
        """The records of this stream and of others, in the order of their arrival, under the least of their
        watermarks. In a push session and the harness they are the inputs "0", "1", ….
        """
        plans = self._input_plans("union", others)
        return self._of_inputs(Union(plans))

    def join(
        self,
        other: StreamOperators,
        on: str | Sequence[str] | Mapping[str, str],
        *,
        within: Duration | None = None,
        lower: Duration | None = None,
        upper: Duration | None = None,
        window: WindowAssigner | None = None,
        how: str = "inner",
        select: Callable[[Any, Any], Any] | None = None,
    ) -> Self:
        """Pairs of records of this stream, the left one, and another with equal fields `on`: paths, or `{left path:
        right path}`. Null equals nothing; NaN is itself.

        Of an interval join they are near each other in event time: left + `lower` <= right <= left + `upper`, or
        `within` a duration, both ways. A pair comes out when its later record comes, at the later of the two
        times. A record with time < watermark is late. A left record is forgotten once the watermark is
        at its time + max(upper, 0), a right one at its time + max(-lower, 0), as in Flink. Of a window join they are
        in the same `window` of event time, and come out when it is complete, at its end - 1 µs.

        `how` is "inner", "left", "right" or "full": of which sides what has matched nothing comes out with None
        for the other, when it is forgotten. What comes out is `{"left": record, "right": record}`, or what
        `select(left, right)` gives; None leaves the pair out.

        >>> from llmopt_stream import create_pipeline
        >>> orders = create_pipeline("orders").with_event_time("ts", unit="s")
        >>> payments = create_pipeline("payments").with_event_time("ts", unit="s")
        >>> session = orders.join(payments, on="order", within="5m").open()
        >>> session.push({"ts": 10, "order": 1, "amount": 5}, input="left")
        []
        >>> [event.data for event in session.push({"ts": 70, "order": 1, "method": "card"}, input="right")]
        [{'left': {'ts': 10, 'order': 1, 'amount': 5}, 'right': {'ts': 70, 'order': 1, 'method': 'card'}}]
        """
        fields = (
            on.items()
            if isinstance(on, Mapping)
            else [(path, path) for path in ([on] if isinstance(on, str) else on)]
        )
        paths = tuple((field_path(left, "join: on"), field_path(right, "join: on")) for left, right in fields)
        if not paths:
            raise ConfigurationError("join: on: no field is named")
        if how not in HOW:
            raise ConfigurationError(f"join: how: {how!r} is none of {', '.join(map(repr, HOW))}")
        if select is not None:
            _callable(select, "join: select")
        plans = self._input_plans("join", (other,))
        bounds = [each for each in (within, lower, upper) if each is not None]
        if window is not None:
            if bounds:
                raise ConfigurationError("join: window: of a window join there is no within, lower or upper")
            return self._of_inputs(WindowJoin(plans, paths, select, window_of(window), how))
        if (within is None) == (lower is None and upper is None) or (lower is None) != (upper is None):
            raise ConfigurationError(
                "join: say how near records must be: within='5m', or lower= and upper=, or window="
            )
        if within is not None:
            reach = duration_micros(within, "join: within")
            bounds_micros = (-reach, reach)
        else:
            bounds_micros = (_bound(lower, "join: lower"), _bound(upper, "join: upper"))
        if bounds_micros[0] > bounds_micros[1]:
            raise ConfigurationError(f"join: lower: {lower!r} is greater than upper {upper!r}")
        return self._of_inputs(IntervalJoin(plans, paths, select, *bounds_micros, how))

    def _input_plans(self, of: str, others: Sequence[StreamOperators]) -> tuple[Plan, ...]:
        if not others:
            raise ConfigurationError(f"{of}: another stream is needed")
        plans = []
        for other in (self, *others):
            if not isinstance(other, StreamOperators):
                raise ConfigurationError(
                    f"{of}: {other!r} is not a stream; expected what create_pipeline() makes"
                )
            plan = other._plan
            if len(plan.branches) > 1:
                raise ConfigurationError(f"{of}: {plan.name!r} has several branches; take one stream")
            if any(stage.sinks or stage.side_output for stage in plan.branches[0].stages):
                raise ConfigurationError(f"{of}: {plan.name!r} has sinks; say them behind the {of}")
            if plan.error_handler not in (None, self._plan.error_handler):
                raise ConfigurationError(
                    f"{of}: {plan.name!r} has an error handler of its own; say it behind the {of}, for all"
                )
            plans.append(plan)
        return tuple(plans)

    def _of_inputs(self, inputs: Any) -> Self:
        return self._but(
            inputs=inputs, source=None, operators=(), branches=(Branch(),), key=(), watermark=None
        )
