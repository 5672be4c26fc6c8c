"""The command `llmopt-stream`: arguments, messages and exit codes; the work is in other modules."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .cli_checkpoints import add_checkpoints
from .cli_commands import add_command
from .errors import ConfigurationError, ProcessorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["main"]

_DESCRIPTION = """\
Windowed aggregates over streams of LLM feedback events: latencies, tokens, costs and
quality per model, tenant or region, in event time, with late and malformed records counted.
"""

_EXAMPLES = """\
start here:
  llmopt-stream demo                    a pipeline at work on a million synthetic events
  llmopt-stream demo --trace FILE.csv   the same on a trace of LLM inference requests
  llmopt-stream run SCRIPT.py           a pipeline of your own
  llmopt-stream run --config FILE       the pipeline of a configuration file
  llmopt-stream COMMAND --help          what a command does, with all its options

exit codes: 0 done, 1 failed, 2 wrong settings
"""

_DEMO = """\
Write synthetic LLM feedback events to a file, then aggregate that file as a user's
pipeline would: per model and region, in windows of one minute of event time, with the
number of requests, the percentiles of their latency and the sum of their cost.

On a terminal a table shows the last complete minute of each model and region; elsewhere
(`llmopt-stream demo | less`) each window is one line. The totals follow: every record was
either aggregated, or late, or malformed, and the last line checks that they add up.

The events arrive up to 5 s out of order, as the watermark allows. About 2 in 1,000 arrive
later still; those whose minute is already complete count as late. About 1 in 1,000 is
malformed. A seed always gives the same events.
"""

_DEMO_EXAMPLES = """\
examples:
  llmopt-stream demo
  llmopt-stream demo --events 50_000 --seed 7
  llmopt-stream demo --keep events.ndjson && head -1 events.ndjson
  llmopt-stream demo --trace AzureLLMInferenceTrace_conv.csv

A trace has the columns TIMESTAMP, ContextTokens and GeneratedTokens (times without a zone
are UTC), as in the Azure LLM inference dataset. It tells nothing about latencies or costs,
so the demo aggregates what it has: requests, context tokens and generated tokens per minute.
"""

_GENERATE = """\
Write synthetic LLM feedback events, one JSON object a line, in the order in which they
arrive: slightly out of order, some late, some malformed. The same options always give the
same bytes. The numbers of records, late events and malformed records go to standard error.
"""

_GENERATE_EXAMPLES = """\
examples:
  llmopt-stream generate --events 3
  llmopt-stream generate --events 10_000_000 --rate 5000 --output events.ndjson
  llmopt-stream generate --late-share 0 --malformed-share 0 | my-consumer
"""


_CONFIG = """\

A configuration is a YAML file (extra [config]). PROCESSOR_A__B=value in the environment says
`processor.a.b` over it, and --set a.b=value over both. docs/configuration.md has all settings.
"""

_SCRIPT = """\
The script is Python code that has a variable `pipeline`, or a function `build()` that returns
one: a pipeline or a builder of one. What stands under `if __name__ == "__main__":` is not run.
Words behind "--" are the script's own arguments (sys.argv).
"""

_RUN = (
    """\
Run the pipeline of a script or of a configuration until its source ends; then every window
completes. Results go to the pipeline's sinks, the summary and, on a terminal, the progress to
standard error.

SIGINT (Ctrl-C) and SIGTERM end the run in good order: results so far reach the sinks, windows
that are not complete do not fire, and the exit code is 0.

"""
    + _SCRIPT
    + _CONFIG
)

_RUN_EXAMPLES = """\
examples:
  llmopt-stream run latency.py
  llmopt-stream run --config config/processor-dev.yaml
  llmopt-stream run --config processor.yaml --set parallelism=8
  llmopt-stream run latency.py --max-events 10_000 > results.ndjson
  llmopt-stream run latency.py -- --model gpt-4o
  tail -f events.ndjson | llmopt-stream run latency.py --timeout 1h

a script, say latency.py:
  import llmopt_stream as ls

  pipeline = (
      ls.create_pipeline("latency")
      .with_source(ls.FileSource("-"))
      .key_by("data.model")
      .with_tumbling_window("1m")
      .aggregate("data.latency_ms", ["count", "p95"])
      .with_sink(ls.ConsoleSink())
  )
"""

_EXPLAIN = (
    """\
Print what the pipeline of a script or of a configuration reads, computes and writes, and where
each stage runs: in C++, in Python per batch, or in Python per record. Nothing is read or run.

"""
    + _SCRIPT
    + _CONFIG
)

_EXPLAIN_EXAMPLES = """\
examples:
  llmopt-stream explain latency.py
  llmopt-stream explain --config processor.yaml
"""

_PROCESSOR = (
    """\
Run the pipeline of a configuration: the same as `llmopt-stream run --config FILE`.
"""
    + _CONFIG
)

_PROCESSOR_EXAMPLES = """\
examples:
  llmopt-stream processor --config config/processor-dev.yaml
"""

_VALIDATE = (
    """\
Check a configuration: every setting, and whether they fit together. Each error names file, line,
column and setting, and all are shown at once. Nothing is read or run.
"""
    + _CONFIG
)

_VALIDATE_EXAMPLES = """\
examples:
  llmopt-stream validate --config processor.yaml
  llmopt-stream validate --config processor.yaml --set parallelism=8 --print
  llmopt-stream validate --schema > processor.schema.json
"""

_CONFORMANCE = """\
Check this installation against the conformance suite: cases in JSON, each a pipeline, the records
and steps that it gets, and the panes, late records and counters that have to come out. Cases of the
source "definition" were written by hand from the definitions, those of "oracle" computed by a
reference that keeps every record. The format is described in docs/conformance.md.

The table shows how many cases passed, per group and source; differences follow.
"""

_CONFORMANCE_EXAMPLES = """\
examples:
  llmopt-stream conformance
  llmopt-stream conformance --filter session
  llmopt-stream conformance --json > report.json
"""

_BENCH = """\
Measure this installation, and beside it duckdb, polars, pandas and bytewax where they are
installed. First every engine's answers are compared with those of plain Python; then all run
in turn in this one process, each in one thread. Printed is the CPU time (user and system, all
threads) per record, the least of the rounds, and the ratio to ours within each round, of which
the median counts. Columns and memory need pyarrow. With the records that each row has of itself
it takes some minutes.

rows:
  tumbling-columns  tumbling 60 s, 50 string keys, nine statistics, Arrow columns
  tumbling-ndjson   the same, NDJSON of about 310 bytes
  sliding-columns   sliding 5 min / 10 s, 50 string keys, nine statistics, Arrow columns
  session-columns   sessions of 30 s, 1,000 string keys, nine statistics, Arrow columns
  many-keys         tumbling 60 s, 100,000 string keys, nine statistics, Arrow columns
  memory-30         memory of 100,000 open windows, nine statistics of 30 lognormal values each
  memory-1000       the same with 1,000 values each
  two-workers       two workers, NDJSON: CPU time of the busiest thread / of all, against one worker
"""

_BENCH_EXAMPLES = """\
examples:
  llmopt-stream bench
  llmopt-stream bench --only tumbling-columns --only sliding-columns --rounds 9
  llmopt-stream bench --rows 100_000 --json bench.json
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrong settings."""
    parser = _parser()
    words = sys.argv[1:] if argv is None else list(argv)
    # argparse has no way to leave what follows "--" to a script when options stand before it.
    words, script_arguments = _split_at(words, "--")
    try:
        arguments = parser.parse_args(words)
        if script_arguments and arguments.command not in {"run", "explain"}:
            parser.error(f"unrecognized arguments: -- {' '.join(script_arguments)}")
        arguments.script_arguments = script_arguments
    except SystemExit as finished:  # argparse has said why
        return finished.code if isinstance(finished.code, int) else 0
    if arguments.run is None:
        parser.print_help(sys.stderr)
        return 2
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        code = run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader wants no more; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ConfigurationError as error:
        return _fail(arguments.command, str(error), 2)
    except (ProcessorError, OSError) as error:
        return _fail(arguments.command, str(error), 1)
    except KeyboardInterrupt:
        return _fail(arguments.command, "interrupted", 1)


def _split_at(words: list[str], separator: str) -> tuple[list[str], list[str]]:
    at = words.index(separator) if separator in words else len(words)
    return words[:at], words[at + 1 :]


def _fail(command: str, message: str, code: int) -> int:
    print(f"llmopt-stream {command}: {message}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmopt-stream",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    _add_demo(commands)
    _add_run(commands)
    _add_processor(commands)
    _add_validate(commands)
    _add_explain(commands)
    add_checkpoints(commands)
    _add_generate(commands)
    _add_conformance(commands)
    _add_bench(commands)
    return parser


def _count(text: str) -> int:
    try:
        count = int(text.replace(",", "_"))
    except ValueError:
        count = 0
    if not 1 <= count <= 10**12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 10^12, such as 50_000")
    return count


def _seed(text: str) -> int:
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 0 to 2^64 - 1")
    return seed


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "demo",
        _demo,
        summary="show a pipeline at work on synthetic events or on a real trace",
        description=_DEMO,
        examples=_DEMO_EXAMPLES,
    )
    command.add_argument(
        "--events", type=_count, metavar="N", help="how many events to generate (default: 1_000_000)"
    )
    command.add_argument("--seed", type=_seed, metavar="N", help="the seed of the events (default: 42)")
    command.add_argument(
        "--trace", type=Path, metavar="FILE.csv", help="aggregate this trace instead of synthetic events"
    )
    command.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="write the events (NDJSON) to FILE, replacing it, and keep it; without this they go to a "
        "temporary file",
    )


def _demo(arguments: argparse.Namespace) -> int:
    from .demo import demo_events, demo_trace

    if arguments.trace is None:
        return demo_events(
            events=1_000_000 if arguments.events is None else arguments.events,
            seed=42 if arguments.seed is None else arguments.seed,
            keep=arguments.keep,
        )
    for option in ("events", "seed"):
        if getattr(arguments, option) is not None:
            raise ConfigurationError(f"--{option}: a trace is not generated; leave out --{option} or --trace")
    return demo_trace(arguments.trace, keep=arguments.keep)


def _add_script(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "script", type=Path, nargs="?", metavar="SCRIPT.py", help="the file with the pipeline"
    )
    _add_config(command)


def _add_config(command: argparse.ArgumentParser, *, required: bool = False) -> None:
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        required=required,
        help="the configuration of the pipeline (YAML)",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        help="with --config: a setting over the file and the environment; may be given several times",
    )


def _has_script(arguments: argparse.Namespace) -> bool:
    """Whether it is of a script; if not, of a configuration."""
    if (arguments.script is None) == (arguments.config is None):
        raise ConfigurationError("expected either SCRIPT.py or --config FILE")
    if arguments.set and arguments.config is None:
        raise ConfigurationError("--set: it is for --config FILE")
    if arguments.script_arguments and arguments.script is None:
        raise ConfigurationError('words behind "--" are for a script')
    return arguments.script is not None


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "run",
        _run,
        summary="run the pipeline of a Python script or a configuration",
        description=_RUN,
        examples=_RUN_EXAMPLES,
    )
    _add_script(command)
    _add_limits(command)


def _add_limits(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--max-events", type=_count, metavar="N", help="take exactly N records, as if the input ended there"
    )
    command.add_argument(
        "--timeout",
        metavar="DURATION",
        help="stop reading after this time, such as 30s, as if the input ended",
    )
    command.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        help="show how far it is (default: on a terminal, unless results are printed there)",
    )


def _run(arguments: argparse.Namespace) -> int:
    from .cli_scripts import run_script

    if not _has_script(arguments):
        return _run_config(arguments)
    return run_script(
        arguments.script,
        arguments.script_arguments,
        max_events=arguments.max_events,
        timeout=arguments.timeout,
        progress=arguments.progress,
    )


def _add_processor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "processor",
        _run_config,
        summary="the same as run --config FILE",
        description=_PROCESSOR,
        examples=_PROCESSOR_EXAMPLES,
    )
    _add_config(command, required=True)
    _add_limits(command)


def _run_config(arguments: argparse.Namespace) -> int:
    from .cli_config import run_config

    return run_config(
        arguments.config,
        arguments.set,
        max_events=arguments.max_events,
        timeout=arguments.timeout,
        progress=arguments.progress,
    )


def _add_validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "validate",
        _validate,
        summary="check a configuration",
        description=_VALIDATE,
        examples=_VALIDATE_EXAMPLES,
    )
    _add_config(command)
    command.add_argument(
        "--print", action="store_true", help="print all settings as they are in force, secrets as ***"
    )
    command.add_argument(
        "--schema", action="store_true", help="print the JSON Schema of configurations instead"
    )


def _validate(arguments: argparse.Namespace) -> int:
    from .cli_config import print_schema, validate_config

    if (arguments.config is None) != arguments.schema:
        raise ConfigurationError("expected either --config FILE or --schema")
    if arguments.schema:
        return print_schema()
    return validate_config(arguments.config, arguments.set, shows_all=arguments.print)


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "explain",
        _explain,
        summary="print the plan of a script's or configuration's pipeline",
        description=_EXPLAIN,
        examples=_EXPLAIN_EXAMPLES,
    )
    _add_script(command)


def _explain(arguments: argparse.Namespace) -> int:
    from .cli_scripts import explain_script

    if not _has_script(arguments):
        from .cli_config import explain_config

        return explain_config(arguments.config, arguments.set)
    return explain_script(arguments.script, arguments.script_arguments)


def _add_generate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "generate",
        _generate,
        summary="write synthetic LLM feedback events as NDJSON",
        description=_GENERATE,
        examples=_GENERATE_EXAMPLES,
    )
    option = command.add_argument
    option("--events", type=_count, default=1_000_000, metavar="N", help="how many (default: 1_000_000)")
    option("--seed", type=_seed, default=42, metavar="N", help="the seed of the events (default: 42)")
    option(
        "--start",
        default="2026-01-01T00:00:00Z",
        metavar="TIME",
        help="when the events begin, ISO-8601 (default: %(default)s)",
    )
    option(
        "--rate",
        type=float,
        default=1_000_000 / 1_800,
        metavar="N",
        help="events per second of event time, in the mean (default: a million in half an hour)",
    )
    option("--tenants", type=_count, default=20, metavar="N", help="how many tenants (default: %(default)s)")
    option(
        "--max-disorder",
        default="5s",
        metavar="DURATION",
        help="an event that is not late arrives less than this after its time (default: %(default)s)",
    )
    option(
        "--late-share",
        type=float,
        default=0.002,
        metavar="SHARE",
        help="the share of events delayed by up to two minutes more than that (default: %(default)s)",
    )
    option(
        "--malformed-share",
        type=float,
        default=0.001,
        metavar="SHARE",
        help="the share of malformed records (default: %(default)s)",
    )
    option("--output", "-o", default="-", metavar="FILE", help="where to write (default: standard output)")


def _generate(arguments: argparse.Namespace) -> int:
    from ._core import FeedbackGenerator
    from .units import duration_micros, time_micros

    generator = FeedbackGenerator(
        seed=arguments.seed,
        events=arguments.events,
        start=time_micros(arguments.start, "--start"),
        events_per_second=arguments.rate,
        tenants=arguments.tenants,
        max_disorder=duration_micros(arguments.max_disorder, "--max-disorder"),
        late_share=arguments.late_share,
        malformed_share=arguments.malformed_share,
    )
    if arguments.output == "-":
        while chunk := generator.next_chunk():
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    else:
        generator.write(os.fsencode(arguments.output))
    counts = generator.counts()
    print(
        f"{counts['records']:,} records, {counts['late']:,} of them late and "
        f"{sum(counts['malformed'].values()):,} malformed; {counts['bytes']:,} bytes",
        file=sys.stderr,
    )
    return 0


def _add_conformance(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "conformance",
        _conformance,
        summary="check this installation against the conformance suite",
        description=_CONFORMANCE,
        examples=_CONFORMANCE_EXAMPLES,
    )
    command.add_argument("--filter", metavar="TEXT", help='only cases with TEXT in "group: name"')
    command.add_argument("--json", action="store_true", help="print every case's outcome as JSON")


def _conformance(arguments: argparse.Namespace) -> int:
    from .conformance import conformance

    return conformance(only=arguments.filter, as_json=arguments.json)


def _add_bench(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = add_command(
        commands,
        "bench",
        _bench,
        summary="measure this installation beside other engines",
        description=_BENCH,
        examples=_BENCH_EXAMPLES,
    )
    option = command.add_argument
    option(
        "--rows",
        type=_count,
        metavar="N",
        help="how many records each takes (default: its own number, for which the goals are)",
    )
    option("--rounds", type=_count, default=5, metavar="N", help="how often each runs (default: %(default)s)")
    option(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="only the row of this name; may be given several times",
    )
    option("--json", type=Path, metavar="FILE", help="write all numbers to FILE")
    option(
        "--markdown",
        type=Path,
        metavar="FILE",
        help="write the table to FILE, between its two marker lines if it exists",
    )


def _bench(arguments: argparse.Namespace) -> int:
    from .bench import bench

    return bench(
        rows=arguments.rows,
        rounds=arguments.rounds,
        only=arguments.only,
        json_file=arguments.json,
        markdown_file=arguments.markdown,
    )
