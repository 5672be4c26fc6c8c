"""The oracle of the tests: windowed aggregation as simply as it can be written.

Slow on purpose. It keeps every record of every open window and computes with exact fractions, so it
answers "what should have come out?" for a few thousand records. Times are integer microseconds.
"""

from .kinds import Count, Cumulative, Custom, Global, Session, Sliding, Tumbling, WindowKind
from .metrics import Metric
from .panes import NaiveLateRecord, NaivePane
from .values import key_order
from .windows import NaiveWindows

__all__ = [
    "Count",
    "Cumulative",
    "Custom",
    "Global",
    "Metric",
    "NaiveLateRecord",
    "NaivePane",
    "NaiveWindows",
    "Session",
    "Sliding",
    "Tumbling",
    "WindowKind",
    "key_order",
]
