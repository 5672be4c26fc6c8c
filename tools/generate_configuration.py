"""Write the settings in docs/configuration.md anew, from their table: `generate_configuration.py docs/configuration.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from llmopt_stream.config.reference import page_with_reference

if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(page_with_reference(path.read_text(encoding="utf-8")), encoding="utf-8")
