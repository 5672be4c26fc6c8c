"""Files that settings name."""

from __future__ import annotations

import os
from collections.abc import Mapping

from llmopt_stream.errors import ConfigurationError

__all__ = ["check_files"]


def check_files(config: str, files: Mapping[str, str | os.PathLike[str] | None]) -> None:
    """A ConfigurationError names the first setting whose file is not there."""
    for setting, path in files.items():
        if path is not None and not os.path.exists(path):  # noqa: PTH110 - False, too, where it may not be looked at
            raise ConfigurationError(f"{config}: {setting}: there is no file {os.fspath(path)!r}")
