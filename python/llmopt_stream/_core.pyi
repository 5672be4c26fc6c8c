"""
The C++ core of llmopt_stream. Times and durations are microseconds.
"""

from __future__ import annotations
import collections.abc
import typing
import typing_extensions

__all__: list[str] = [
    "Accumulator",
    "ArrowReader",
    "CheckpointWriter",
    "FeedbackGenerator",
    "KafkaConsumer",
    "KafkaProducer",
    "MemoryStateBackend",
    "NdjsonReader",
    "Panes",
    "Pipeline",
    "RecordJoin",
    "RocksDBStateBackend",
    "StateBackend",
    "StateChanges",
    "assign_windows",
    "check_kafka_properties",
    "kill_point",
    "librdkafka_version",
    "list_checkpoints",
    "parse_iso8601",
    "topics_match",
    "verify_checkpoint",
]

class Accumulator:
    """
    What an aggregator keeps of the values added to it.
    """
    def __init__(
        self,
        metrics: list,
        types: collections.abc.Sequence[str],
        labels: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    @typing.overload
    def add(self, value: int) -> bool:
        """
        Takes a value; False if it is not usable.
        """
    @typing.overload
    def add(self, value: typing.SupportsFloat | typing.SupportsIndex) -> bool:
        """
        Takes a value; False if it is not finite.
        """
    def add_record(
        self,
        numbers: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex | None],
        labels: list,
        time: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> bool:
        """
        Takes a value of each field, numbers first; False if it is not usable.
        """
    def add_scalar(
        self, value: typing.Any, time: typing.SupportsInt | typing.SupportsIndex | None = None
    ) -> bool:
        """
        Takes a value of the only field, as a number and as it is; False if it is not usable.
        """
    def average(self) -> None | int | float: ...
    def copy(self) -> Accumulator: ...
    def decode(self, encoded: bytes) -> None:
        """
        Replaces the content by encoded bytes.
        """
    def encode(self) -> bytes:
        """
        Bytes that decode() restores exactly.
        """
    def merge(self, other: Accumulator) -> None:
        """
        Adds everything that the other one holds.
        """
    def p50(self) -> None | int | float: ...
    def p95(self) -> None | int | float: ...
    def p99(self) -> None | int | float: ...
    def percentile(self, p: typing.SupportsFloat | typing.SupportsIndex) -> None | int | float:
        """
        Nearest rank, p in [0, 100].
        """
    def results(
        self,
        window: tuple[typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]
        | None = None,
    ) -> dict:
        """
        {result: value}; rates need the window, (start, end) in microseconds.
        """
    def stddev(self) -> None | int | float:
        """
        Of the population; 0.0 for one value.
        """
    def stddev_sample(self) -> None | int | float:
        """
        None for one value.
        """
    @property
    def count(self) -> int: ...
    @property
    def max(self) -> None | int | float: ...
    @property
    def min(self) -> None | int | float: ...
    @property
    def percentile_error(self) -> float:
        """
        The bound on the relative error of percentiles; 0.0 while they are exact.
        """
    @property
    def reads_labels(self) -> bool:
        """
        Whether anything reads values as they are, whatever their type.
        """
    @property
    def settings(self) -> tuple:
        """
        What it was made of: metrics, types, labels.
        """
    @property
    def sum(self) -> None | int | float: ...

class Panes:
    """
    Panes in firing order, as columns.
    """
    def __arrow_c_stream__(self, requested_schema: typing.Any = None) -> typing_extensions.CapsuleType:
        """
        The Arrow PyCapsule interface: one record batch.
        """
    def __len__(self) -> int: ...
    def append(self, later: Panes) -> None:
        """
        Adds the panes of a later drain of the same pipeline.
        """
    def copy(self) -> Panes: ...
    def row(self, index: typing.SupportsInt | typing.SupportsIndex) -> tuple:
        """
        (start, end, key values, {result: value}, timing, index, is_last, replaced intervals).
        """
    @property
    def fired_at(self) -> list[int]:
        """
        How many input records had been taken when each fired.
        """
    @property
    def key_names(self) -> list[str]: ...
    @property
    def result_names(self) -> list[str]: ...

class NdjsonReader:
    """
    Newline-delimited JSON from a file, or "-" for standard input.
    """
    @staticmethod
    def of(next: collections.abc.Callable) -> NdjsonReader:
        """
        Reads the bytes that next() returns, until they are empty.
        """
    def __init__(self, path: str) -> None: ...
    def record(self, input_index: typing.SupportsInt | typing.SupportsIndex) -> bytes:
        """
        The bytes of a record of the last batch, by its place among its input records.
        """
    def seek(self, offset: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Before anything was read: goes on at an offset.
        """
    def set_keep_records(self, keep: bool) -> None:
        """
        Whether record() will be asked for.
        """
    @property
    def bytes_read(self) -> int: ...
    @property
    def offset(self) -> int:
        """
        Where the first record that was not taken begins, in the decompressed bytes.
        """
    @property
    def total_bytes(self) -> int:
        """
        0 if unknown.
        """

class FeedbackGenerator:
    """
    Synthetic FeedbackEvents as NDJSON, in the order of arrival.
    """
    def __init__(
        self,
        *,
        seed: typing.SupportsInt | typing.SupportsIndex = 42,
        events: typing.SupportsInt | typing.SupportsIndex = 1000000,
        start: typing.SupportsInt | typing.SupportsIndex = 1767225600000000,
        events_per_second: typing.SupportsFloat | typing.SupportsIndex = 555.5555555555555,
        models: collections.abc.Sequence[str] = [
            "gpt-4o-mini",
            "gpt-4o",
            "claude-3-haiku",
            "llama-3-70b",
            "claude-3-opus",
            "mistral-large",
        ],
        regions: collections.abc.Sequence[str] = ["us-east-1", "us-west-2", "eu-central-1", "ap-south-1"],
        tenants: typing.SupportsInt | typing.SupportsIndex = 20,
        max_disorder: typing.SupportsInt | typing.SupportsIndex = 5000000,
        late_share: typing.SupportsFloat | typing.SupportsIndex = 0.002,
        malformed_share: typing.SupportsFloat | typing.SupportsIndex = 0.001,
    ) -> None:
        """
        Times and durations are microseconds.
        """
    def counts(self) -> dict:
        """
        What has been written so far.
        """
    def next_chunk(self, max_bytes: typing.SupportsInt | typing.SupportsIndex = 1048576) -> bytes:
        """
        Whole lines of at most max_bytes, but at least one; empty at the end.
        """
    def write(self, path: bytes, progress: typing.Any = None) -> dict:
        """
        Writes all that remains to a file; calls progress(records) every few MiB. Returns counts().
        """

class StateChanges:
    """
    Puts and deletes that are made together.
    """
    def __init__(self) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def put(
        self, key: bytes, value: bytes, expires: typing.SupportsInt | typing.SupportsIndex | None = None
    ) -> None: ...

class StateBackend:
    """
    Keys and values, both any bytes, with checkpoints to go back to.
    """
    def apply(self, changes: StateChanges) -> None:
        """
        All or nothing.
        """
    def checkpoint(self, id: typing.SupportsInt | typing.SupportsIndex, manifest: bytes) -> None: ...
    def checkpoints(self) -> list: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...
    def compact(self) -> None: ...
    def discard(self, id: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def get(self, key: bytes) -> typing.Any: ...
    def restore(self, id: typing.SupportsInt | typing.SupportsIndex, verify: bool) -> bytes: ...
    def scan_page(
        self, prefix: bytes, start: bytes, bytes: typing.SupportsInt | typing.SupportsIndex
    ) -> list:
        """
        The first entries with this prefix, from a key on.
        """
    def set_expired_before(self, time: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def verify(self, id: typing.SupportsInt | typing.SupportsIndex) -> list[str]: ...
    @property
    def bytes_read(self) -> int: ...
    @property
    def bytes_written(self) -> int: ...

class MemoryStateBackend(StateBackend):
    def __init__(self) -> None: ...

class RocksDBStateBackend(StateBackend):
    def __init__(
        self,
        path: str,
        checkpoint_path: str,
        memtable_bytes: typing.SupportsInt | typing.SupportsIndex,
        cache_bytes: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

class CheckpointWriter:
    """
    Writes checkpoints in a thread of its own, in the order given.
    """
    def __init__(self, backend: StateBackend) -> None: ...
    def checkpoint(
        self,
        id: typing.SupportsInt | typing.SupportsIndex,
        manifest: bytes,
        keep: typing.SupportsInt | typing.SupportsIndex,
        expired_before: typing.SupportsInt | typing.SupportsIndex = -9223372036854775808,
    ) -> None: ...
    def put(self, name: str, value: bytes) -> None: ...
    def start_over(self) -> None:
        """
        Forgets all state, and failures, before what comes next.
        """
    def take_outcomes(self) -> list:
        """
        (id, what failed or None, seconds, bytes) of checkpoints since the last call.
        """
    def wait(self) -> None:
        """
        Until all is done that was asked for.
        """
    @property
    def pending_bytes(self) -> int: ...

class KafkaConsumer:
    """
    Reads the records of Kafka topics.
    """
    def __init__(
        self,
        *,
        settings: collections.abc.Sequence[tuple[str, str]],
        properties: collections.abc.Sequence[tuple[str, str]],
        brokers: str,
        token: typing.Any,
        topics: collections.abc.Sequence[str],
        start: typing.Any,
        reset: str,
        until_end: bool,
        cloud_events: bool,
        auto_commit: bool,
        grouping: str,
        payloads: typing.Any,
        patience_ms: typing.SupportsInt | typing.SupportsIndex,
        max_poll_interval_ms: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...
    def close(self) -> None: ...
    def commit(
        self,
        offsets: collections.abc.Sequence[
            tuple[str, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> None:
        """
        Without waiting; close() waits for the outcome.
        """
    def commit_and_wait(self) -> None:
        """
        Commits what was handed out; fails unless the broker has it in time.
        """
    def counts(self) -> dict: ...
    def open(self) -> None: ...
    def positions(self) -> list[tuple[str, int, int]]:
        """
        (topic, partition, offset of the next record)
        """
    def record(self, input_index: typing.SupportsInt | typing.SupportsIndex) -> typing.Any:
        """
        (topic, partition, offset, timestamp in ms, key, headers, value) of a record of the last batch.
        """
    def seek(
        self,
        topics: collections.abc.Sequence[str],
        offsets: collections.abc.Sequence[
            tuple[str, typing.SupportsInt | typing.SupportsIndex, typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> None:
        """
        Where to start; before open().
        """
    def set_keep_records(self, keep: bool) -> None:
        """
        Whether record() will be asked for.
        """
    def take_log(self) -> list[tuple[int, str]]: ...
    def text(self, input_index: typing.SupportsInt | typing.SupportsIndex) -> bytes:
        """
        The JSON of a record of the last batch, as it was decoded.
        """
    def topics(self) -> list[str]: ...

class KafkaProducer:
    """
    Sends records to Kafka topics.
    """
    def __init__(
        self,
        *,
        settings: collections.abc.Sequence[tuple[str, str]],
        properties: collections.abc.Sequence[tuple[str, str]],
        brokers: str,
        token: typing.Any,
        stopping: typing.Any,
    ) -> None: ...
    def close(self) -> None:
        """
        Gives up what was not delivered.
        """
    def counts(self) -> dict: ...
    def flush(self) -> None:
        """
        Waits until all that was sent is acknowledged.
        """
    def open(self, topic: str, patience_ms: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: collections.abc.Sequence[tuple[str, bytes | None]],
    ) -> None: ...
    def send_panes(
        self, topic: str, panes: Panes, headers: collections.abc.Sequence[tuple[str, bytes | None]]
    ) -> None: ...
    def shorten_large(self, prefix: str) -> None:
        """
        Sends what brokers find too large as headers with this prefix alone.
        """
    def take_log(self) -> list[tuple[int, str]]: ...

class ArrowReader:
    """
    An Arrow stream that is being read by a pipeline.
    """

class Pipeline:
    """
    A checked plan at work: records in, panes out. Not thread safe.
    """
    def __init__(
        self,
        *,
        fingerprint: str,
        time_path: str,
        time_unit: str,
        key_paths: collections.abc.Sequence[str],
        values: collections.abc.Sequence[tuple[str, str, bool]],
        labels: collections.abc.Sequence[str],
        steps: list,
        branches: list,
        projections: typing.Any,
        watermark: tuple[
            typing.SupportsInt | typing.SupportsIndex | None,
            typing.SupportsInt | typing.SupportsIndex,
            typing.SupportsInt | typing.SupportsIndex | None,
            typing.SupportsInt | typing.SupportsIndex | None,
        ],
        skew: tuple[
            typing.SupportsInt | typing.SupportsIndex | None, typing.SupportsInt | typing.SupportsIndex | None
        ],
        parallelism: typing.SupportsInt | typing.SupportsIndex = 1,
        watermarks_of: typing.Any = None,
    ) -> None: ...
    def advance_processing_time(self, time: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def advance_watermark(self, time: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def begin_store(self, prefix: str, writer: CheckpointWriter) -> None:
        """
        Starts a checkpoint of the state as it is now.
        """
    def branch_counts(self, branch: typing.SupportsInt | typing.SupportsIndex) -> dict: ...
    def counts(self) -> dict: ...
    def delays(self) -> list:
        """
        (smallest, width, count) of buckets: how far records came behind the greatest time before them.
        """
    def delays_after_end(self, branch: typing.SupportsInt | typing.SupportsIndex) -> list:
        """
        The same, of records whose last window had ended: how long before.
        """
    def drain(self, branch: typing.SupportsInt | typing.SupportsIndex = 0) -> Panes:
        """
        The panes of a branch since the last call.
        """
    def end_of_input(self) -> None: ...
    def explain_record(self, record: typing.Any) -> typing.Any:
        """
        Why it is malformed, or (time, watermark, key values, [(start, end, fate), …] by branch).
        """
    def forget_stored(self) -> None:
        """
        A checkpoint has failed: the next one has everything.
        """
    def handed_on(self) -> list:
        """
        (input index, event time, watermark before, watermark after, what is computed of it) of the records of the last push that go on.
        """
    def kafka_malformed(self) -> list:
        """
        (place among the input records of the last Kafka batch, why), where records are kept.
        """
    def left_out(self) -> list[int]:
        """
        How many records each step has left out.
        """
    def open_arrow(self, data: typing.Any) -> ArrowReader:
        """
        Starts reading anything with __arrow_c_stream__.
        """
    def push_given(
        self,
        records: list,
        times: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        watermarks: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> None:
        """
        Records with their event times and the stream's watermark after each.
        """
    def push_records(
        self, records: list, partition: typing.SupportsInt | typing.SupportsIndex = 0
    ) -> None: ...
    def read_arrow(
        self,
        reader: ArrowReader,
        partition: typing.SupportsInt | typing.SupportsIndex = 0,
        max_records: typing.SupportsInt | typing.SupportsIndex = 65536,
    ) -> bool:
        """
        Takes the next batch; False at the end of the stream.
        """
    def read_kafka(
        self,
        consumer: KafkaConsumer,
        max_records: typing.SupportsInt | typing.SupportsIndex,
        batch_records: typing.SupportsInt | typing.SupportsIndex,
        keeps: bool,
        wait_ms: typing.SupportsInt | typing.SupportsIndex,
    ) -> bool:
        """
        Takes the next records, none if there are none yet; False at the end of a bounded read.
        """
    def read_ndjson(
        self, reader: NdjsonReader, max_records: typing.SupportsInt | typing.SupportsIndex = 16384
    ) -> bool:
        """
        Takes the next batch, an empty one if a pipe has nothing yet; False at the end of the input.
        """
    def records_by_shard(self, branch: typing.SupportsInt | typing.SupportsIndex = 0) -> list[int]: ...
    def restore(self, snapshot: bytes) -> None: ...
    def restore_stored(self, prefix: str, backend: StateBackend) -> None: ...
    def snapshot(self) -> bytes: ...
    def store(self, budget: typing.SupportsInt | typing.SupportsIndex, writer: CheckpointWriter) -> bool:
        """
        Hands about `budget` bytes more to the writer; whether that was all.
        """
    def take_late(self, branch: typing.SupportsInt | typing.SupportsIndex = 0) -> list:
        """
        (position, input index, event time, watermark, key values, windows) since the last call.
        """
    def use_spill(
        self, backend: StateBackend, most_bytes: typing.SupportsInt | typing.SupportsIndex, prefix: str
    ) -> None:
        """
        Before anything else: slices of windows beyond so many bytes go to the backend.
        """
    @property
    def fingerprint(self) -> str: ...
    @property
    def live(self) -> tuple[int, int, int]:
        """
        (keys, slices, bytes) that are alive.
        """
    @property
    def spilled(self) -> tuple[int, int, int]:
        """
        (slices that are not in memory, bytes written, bytes read).
        """
    @property
    def watermark(self) -> int | None: ...

class RecordJoin:
    """
    An interval join of records by their numbers. Both return (rows, late, malformed, forgotten): (left or None, right or None, time, fired at), (side, id, watermark), places, ids by side.
    """
    def __init__(
        self,
        left: collections.abc.Sequence[str],
        right: collections.abc.Sequence[str],
        lower: typing.SupportsInt | typing.SupportsIndex,
        upper: typing.SupportsInt | typing.SupportsIndex,
        left_outer: bool,
        right_outer: bool,
    ) -> None: ...
    def advance(self, watermark: typing.SupportsInt | typing.SupportsIndex) -> tuple: ...
    def live_rows(self) -> int: ...
    def push(
        self,
        side: typing.SupportsInt | typing.SupportsIndex,
        records: list,
        ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        times: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        watermarks: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> tuple: ...
    def restore(self, bytes: str) -> None: ...
    def snapshot(self) -> bytes: ...

def assign_windows(
    time: typing.SupportsInt | typing.SupportsIndex,
    *,
    size: typing.SupportsInt | typing.SupportsIndex,
    slide: typing.SupportsInt | typing.SupportsIndex,
    offset: typing.SupportsInt | typing.SupportsIndex,
    cumulative: bool = False,
) -> list[tuple[int, int]]:
    """
    The windows [start, end) that contain a time, earliest first.
    """

def check_kafka_properties(of_producer: bool, properties: collections.abc.Sequence[tuple[str, str]]) -> None:
    """
    ConfigurationError unless users may set all of them to these values.
    """

def kill_point(name: str) -> None:
    """
    Ends the process by SIGKILL if LLMOPT_STREAM_KILL_POINT names this step.
    """

def librdkafka_version() -> str: ...
def list_checkpoints(path: str) -> list:
    """
    (id, created, bytes, manifest, damage) of each checkpoint in a directory, in use or not.
    """

def parse_iso8601(text: str) -> int | None:
    """
    Microseconds since the epoch of an ISO-8601 time, or None.
    """

def topics_match(wanted: collections.abc.Sequence[str], topic: str) -> bool:
    """
    Whether a topic is one of these names, or matches a pattern.
    """

def verify_checkpoint(path: str, id: typing.SupportsInt | typing.SupportsIndex) -> list[str]:
    """
    What is damaged in a checkpoint, in use or not.
    """
