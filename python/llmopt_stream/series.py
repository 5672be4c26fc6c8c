"""What successive windows of a key say together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from .errors import ConfigurationError

__all__ = ["DEFAULT_FORGET_AFTER", "MovingAverage", "Series", "ZScore"]

DEFAULT_FORGET_AFTER = 86_400_000_000
"""Microseconds."""


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


@dataclass(frozen=True)
class Series:
    """One result of a key's windows, in the order of their ends."""

    of: str
    alpha: float = field(default=0.3, kw_only=True)

    def __post_init__(self) -> None:
        if type(self.of) is not str or not self.of:
            raise ConfigurationError(
                f"{type(self).__name__}: of: {self.of!r} is not a result's name, such as 'p95'"
            )
        if not _is_number(self.alpha) or not 0 < self.alpha <= 1:
            raise ConfigurationError(
                f"{type(self).__name__}: alpha: {self.alpha!r} is not a weight above 0 and at most 1"
            )

    def result_names(self) -> list[str]:
        """What its results are called."""
        raise NotImplementedError

    def core_settings(self) -> dict[str, Any]:
        """As the core takes it, but for the result."""
        return {"alpha": float(self.alpha), "threshold": 0.0, "warm_up": 0, "names": self.result_names()}


@dataclass(frozen=True)
class MovingAverage(Series):
    """The exponentially weighted moving average of a result: `alpha` × the newest window + (1 − `alpha`) × the
    average before it (Roberts, "Control Chart Tests Based on Geometric Moving Averages", 1959). The first window's
    is its value. Called `{of}_ema` unless `name` says otherwise; absent where the window has no value.
    """

    name: str | None = field(default=None, kw_only=True)

    def result_names(self) -> list[str]:
        return [self.name or f"{self.of}_ema"]

    def core_settings(self) -> dict[str, Any]:
        return {**super().core_settings(), "kind": "moving_average"}


@dataclass(frozen=True)
class ZScore(Series):
    """How many standard deviations a window lies from the windows before it, and whether it is an anomaly.

    Mean and variance of the windows before are exponentially weighted by `alpha` (Finch, "Incremental calculation of
    weighted mean and variance", 2009). `{name}_zscore` is absent for the first `warm_up` windows that have a value, and
    where all windows before were equal and this one differs; `{name}_anomaly` is true from |z| = `threshold` on, and
    for such a one. With `alpha` = 1 only the last window counts, which alone has no variance: every change is an
    anomaly, and no score but 0 is known. Deviations whose squares leave a float's range have no meaningful score.
    `name` is `of` unless said otherwise.
    """

    threshold: float = field(default=3.0, kw_only=True)
    warm_up: int = field(default=5, kw_only=True)
    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _is_number(self.threshold) or not 0 < self.threshold < math.inf:
            raise ConfigurationError(f"ZScore: threshold: {self.threshold!r} is not a positive number")
        if type(self.warm_up) is not int or self.warm_up < 1:
            raise ConfigurationError(
                f"ZScore: warm_up: {self.warm_up!r} is not a number of windows of at least 1"
            )

    def result_names(self) -> list[str]:
        return [f"{self.name or self.of}_zscore", f"{self.name or self.of}_anomaly"]

    def core_settings(self) -> dict[str, Any]:
        return {
            **super().core_settings(),
            "kind": "zscore",
            "threshold": float(self.threshold),
            "warm_up": self.warm_up,
        }
