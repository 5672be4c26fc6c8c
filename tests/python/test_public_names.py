from __future__ import annotations

from types import ModuleType

import llmopt_stream


def test_all_is_every_public_name() -> None:
    public = {
        name
        for name, value in vars(llmopt_stream).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }
    modules = {name for name in llmopt_stream.__all__ if isinstance(getattr(llmopt_stream, name), ModuleType)}
    assert set(llmopt_stream.__all__) == public | modules | ({"__version__"} & set(llmopt_stream.__all__))


def test_all_names_nothing_twice() -> None:
    assert len(llmopt_stream.__all__) == len(set(llmopt_stream.__all__))
