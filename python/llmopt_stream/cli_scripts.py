"""Pipelines in Python files: `llmopt-stream run SCRIPT.py` and `llmopt-stream explain SCRIPT.py`."""

from __future__ import annotations

import sys
import traceback
import types
from collections.abc import Callable, Sequence
from pathlib import Path

from .builder import StreamPipelineBuilder
from .errors import ConfigurationError, ProcessorError
from .pipeline import StreamPipeline
from .sinks import ConsoleSink

__all__ = ["explain_script", "run_pipeline", "run_script"]

_MODULE = "llmopt_stream_script"


def run_script(
    script: Path,
    arguments: Sequence[str],
    *,
    max_events: int | None,
    timeout: str | None,
    progress: bool | None,
) -> int:
    """Run the script's pipeline; the summary goes to standard error. The exit code is 1 where code of the
    script fails.
    """

    def run() -> int:
        found = _pipeline_of(script, arguments)
        pipeline = found.build() if isinstance(found, StreamPipelineBuilder) else found
        return run_pipeline(pipeline, max_events=max_events, timeout=timeout, progress=progress)

    return _with_traceback(run)


def run_pipeline(
    pipeline: StreamPipeline, *, max_events: int | None, timeout: str | None, progress: bool | None
) -> int:
    """Run a pipeline; the summary goes to standard error."""
    shown = _can_show_progress(pipeline) if progress is None else progress
    summary = pipeline.run(max_events=max_events, timeout=timeout, progress=shown)
    if pipeline.stopped:
        print("stopped early: windows that were not complete did not fire", file=sys.stderr)
    print(summary, file=sys.stderr)
    return 0


def explain_script(script: Path, arguments: Sequence[str]) -> int:
    """Print the plan of the script's pipeline, which needs no source yet, and where each stage runs."""

    def explain() -> int:
        found = _pipeline_of(script, arguments)
        if isinstance(found, StreamPipelineBuilder):
            found.checked()
        print(found.plan.explain())
        return 0

    return _with_traceback(explain)


def _with_traceback(work: Callable[[], int]) -> int:
    """Errors of settings, input and output are one line; what else code of the script raises is shown whole."""
    try:
        return work()
    except (ProcessorError, OSError):
        raise
    except Exception:  # noqa: BLE001 - any code may be in a script
        traceback.print_exc()
        return 1


def _can_show_progress(pipeline: StreamPipeline) -> bool:
    """On a terminal, unless results go there too."""
    prints = any(isinstance(sink, ConsoleSink) for branch in pipeline.plan.branches for sink in branch.sinks)
    return sys.stderr.isatty() and not (prints and sys.stdout.isatty())


def _pipeline_of(script: Path, arguments: Sequence[str]) -> StreamPipeline | StreamPipelineBuilder:
    """The script's variable `pipeline`, or what its function `build()` returns."""
    try:
        code = compile(script.read_bytes(), str(script), "exec")
    except OSError as error:
        raise ConfigurationError(f"{script}: {error.strerror}") from error
    module = types.ModuleType(_MODULE)
    module.__file__ = str(script)
    # As for `python SCRIPT.py`: modules beside it can be imported, and its arguments are its own.
    sys.modules[_MODULE] = module
    sys.path.insert(0, str(script.resolve().parent))
    sys.argv = [str(script), *arguments]
    exec(code, vars(module))  # noqa: S102 - running it is the purpose
    found = vars(module).get("pipeline")
    if found is None and callable(build := vars(module).get("build")):
        found = build()
    if not isinstance(found, StreamPipeline | StreamPipelineBuilder):
        what = "nothing of these" if found is None else f"a {type(found).__name__}"
        raise ConfigurationError(
            f"{script}: expected a variable `pipeline` or a function `build()` that gives a pipeline or its builder; "
            f"there is {what}"
        )
    return found
