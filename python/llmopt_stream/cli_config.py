"""Pipelines of configuration files: `run --config FILE`, `validate`, `explain --config FILE`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .cli_scripts import run_pipeline
from .config import load_config
from .config.schema import json_schema
from .config.to_builder import MissingPartError

__all__ = ["explain_config", "print_schema", "run_config", "validate_config"]


def run_config(
    path: Path, options: Sequence[str], *, max_events: int | None, timeout: str | None, progress: bool | None
) -> int:
    """Run the pipeline of a configuration; the summary goes to standard error."""
    pipeline = load_config(path, options=options).pipeline().build()
    return run_pipeline(pipeline, max_events=max_events, timeout=timeout, progress=progress)


def explain_config(path: Path, options: Sequence[str]) -> int:
    """Print the plan of a configuration's pipeline, and where each stage runs."""
    print(load_config(path, options=options).pipeline(with_state=False).checked().plan.explain())
    return 0


def validate_config(path: Path, options: Sequence[str], *, shows_all: bool) -> int:
    """Check a configuration, and whether its pipeline can be built; nothing is read or run."""
    config = load_config(path, options=options)
    try:
        config.pipeline(with_state=False).checked().check_connectors()
    except MissingPartError as missing:
        print(f"llmopt-stream validate: {missing}", file=sys.stderr)
    if shows_all:
        print(config.to_yaml(), end="")
    else:
        print(f"{path}: valid")
    return 0


def print_schema() -> int:
    """Print the JSON Schema of configurations."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return 0
