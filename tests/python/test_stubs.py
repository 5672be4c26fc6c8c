from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUB = ROOT / "python" / "llmopt_stream" / "_core.pyi"


def test_stub_in_the_tree_describes_the_built_module(tmp_path: Path) -> None:
    generated = tmp_path / "_core.pyi"
    subprocess.run([sys.executable, ROOT / "tools" / "generate_stubs.py", generated], check=True)
    assert generated.read_text(encoding="utf-8") == STUB.read_text(encoding="utf-8"), "run `make stubs`"
