"""Every Python block of the README and of each page of docs/ runs, in order, as one program per page.

A `text` block right after a Python block is its output. A block that needs more than the package
(a broker, a file of the reader's) opens with ```python no-run.
"""

from __future__ import annotations

import contextlib
import io
import re
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in page.read_text(encoding="utf-8")
]
BLOCK = re.compile(r"^```(?P<language>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run_and_print_what_is_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "readme"}
    blocks = list(BLOCK.finditer(text))
    assert any(block["language"] == "python" for block in blocks)
    for block, following in pairwise([*blocks, None]):
        if block is None or block["language"] != "python":
            continue
        # The empty lines make tracebacks point at the line of the README.
        source = "\n" * text.count("\n", 0, block.start("body")) + block["body"]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, str(page), "exec", dont_inherit=True), namespace)
        if following is not None and following["language"] == "text" and _adjacent(text, block, following):
            assert printed.getvalue().rstrip() == following["body"].rstrip()


def _adjacent(text: str, block: re.Match[str], following: re.Match[str]) -> bool:
    return not text[block.end() : following.start()].strip()
