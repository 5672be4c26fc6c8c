"""Pipelines from a configuration: a YAML file, the environment, options, or a builder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .documents import document, yaml_library
from .nodes import Node, node_of, overlaid, suggestion
from .reading import Origin, Reader

if TYPE_CHECKING:
    from llmopt_stream.builder import StreamPipelineBuilder

    from .sections import Section

__all__ = ["Config", "load_config"]

_INHERITED = ("windows", "aggregation", "late_events", "sinks")
"""What branches have from the processor where they do not say it."""


class Config:
    """All settings of a pipeline. Attributes follow the YAML; `tree` is what it says, and all else has its default.

    >>> config = Config({"processor": {"windows": {"tumbling": {"size_secs": 60}}}})
    >>> config.processor.windows.tumbling.size_secs, config.processor.watermark.max_out_of_orderness_secs
    (60, 30)
    """

    processor: Any
    """The settings under `processor`."""

    def __init__(self, tree: Mapping[str, Any] | None = None) -> None:
        self._read(node_of(tree or {}, ""), {}, ())

    @classmethod
    def _of(cls, root: Node, environ: Mapping[str, str], options: Iterable[str]) -> Config:
        config = cls.__new__(cls)
        config._read(root, environ, options)
        return config

    def _read(self, root: Node, environ: Mapping[str, str], options: Iterable[str]) -> None:
        # The table of settings is of some size, and most programs need none.
        from .overrides import from_environment, from_options
        from .settings import PROCESSOR

        reader = Reader(environ)
        processor = _processor_of(root, PROCESSOR, reader)
        processor = from_environment(processor, PROCESSOR, environ, reader.problems)
        processor = from_options(processor, PROCESSOR, options, reader.problems)
        self.processor = PROCESSOR.read(_with_inherited(processor), "processor", reader)
        reader.problems.lines = [reader.origin.redacted(line) for line in reader.problems.lines]
        reader.problems.raise_any()
        self._origin = reader.origin

    @property
    def origin(self) -> Origin:
        """Where its values come from."""
        return self._origin

    def pipeline(self, *, with_state: bool = True) -> StreamPipelineBuilder:
        """The builder of the pipeline that it describes; a ConfigurationError says what does not fit together, or which
        part of the installation is missing. Without its state, which opens no folder, it shows the plan.
        """
        from .to_builder import builder_of

        return builder_of(self, with_state=with_state)

    def to_dict(self) -> dict[str, Any]:
        """All settings, as YAML has them. References are shown as such, secrets as ***."""
        return {"processor": self.processor.to_dict()}

    def to_yaml(self) -> str:
        """All settings as YAML (extra `[config]`)."""
        text = yaml_library().safe_dump(
            _plain(self.to_dict()), sort_keys=False, allow_unicode=True, width=110
        )
        return str(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and bool(self.processor == other.processor)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"Config({self.processor!r})"


def _plain(value: Any) -> Any:
    """Copies, so that a dump has no aliases."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _processor_of(root: Node, table: Section, reader: Reader) -> Node:
    if not isinstance(root.value, dict):
        reader.wrong(root, "", "expected settings under 'processor:'")
        return Node({}, root.place)
    for name, node in root.value.items():
        if name != "processor":
            known = table.setting(name) is not None
            hint = "say it under 'processor:'" if known else suggestion(name, ["processor"])
            reader.problems.add(node.key_place or node.place, name, f"there is no such setting; {hint}")
    processor = root.value.get("processor")
    if processor is None or processor.is_null:
        return Node({}, root.place)
    if not isinstance(processor.value, dict):
        reader.wrong(
            processor, "processor", f"{reader.shown(processor, 'processor')}, expected {table.describe()}"
        )
        return Node({}, root.place)
    return processor


def _with_inherited(processor: Node) -> Node:
    """With what branches have from the processor."""
    said = processor.value
    branches = said.get("branches") if isinstance(said, dict) else None
    if not isinstance(said, dict) or branches is None or not isinstance(branches.value, list):
        return processor
    made = []
    for branch in branches.value:
        entries = dict(branch.value) if isinstance(branch.value, dict) else None
        if entries is not None:
            for name in _INHERITED:
                node = overlaid(said.get(name), entries.get(name))
                if node is not None:
                    entries[name] = node
        made.append(branch if entries is None else Node(entries, branch.place))
    return Node(
        {**said, "branches": Node(made, branches.place, key_place=branches.key_place)}, processor.place
    )


def load_config(
    path: str | os.PathLike[str],
    *,
    environ: Mapping[str, str] | None = None,
    options: Iterable[str] = (),
) -> Config:
    """The configuration of a YAML file (extra `[config]`), with what the environment says over it, and over both what
    `options` say, as `"state.backend=memory"`.

    `PROCESSOR_STATE__BACKEND=memory` sets `processor.state.backend`: two underscores go one level down. Lists are JSON,
    or texts with commas between them. In the file and in options `${NAME}`, `${NAME:-default}` and `${file:PATH}` are
    replaced by a variable or the contents of a file; configurations show them as they were written. What is wrong is
    one ConfigurationError that names file, line, column and setting of each.
    """
    variables = os.environ if environ is None else environ
    return Config._of(document(path), variables, options)
