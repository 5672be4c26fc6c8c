"""Recipes for streams of LLM events."""

from .comparison import Difference, difference

__all__ = ["Difference", "difference"]
