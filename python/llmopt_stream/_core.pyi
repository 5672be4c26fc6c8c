"""
The C++ core of llmopt_stream.
"""

from __future__ import annotations

__all__: list[str] = list()
