"""Quantiles of Student's t distribution."""

from __future__ import annotations

import math
from statistics import NormalDist

__all__ = ["two_sided_quantile"]

_EXPANDED_FROM = 1000.0


def two_sided_quantile(confidence: float, degrees_of_freedom: float) -> float:
    """The t that |T| does not exceed with the probability `confidence`; about ten digits, from one degree on.

    >>> round(two_sided_quantile(0.95, 10), 6)
    2.228139
    """
    if degrees_of_freedom >= _EXPANDED_FROM:
        return _expanded(NormalDist().inv_cdf(0.5 + confidence / 2), degrees_of_freedom)
    low, high = 0.0, 1.0
    while _beyond(high, degrees_of_freedom) > 1 - confidence:
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        if _beyond(middle, degrees_of_freedom) > 1 - confidence:
            low = middle
        else:
            high = middle
    return middle


def _expanded(z: float, degrees_of_freedom: float) -> float:
    """From the normal quantile (Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.7.5)."""
    n = degrees_of_freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _beyond(t: float, degrees_of_freedom: float) -> float:
    """The probability that |T| exceeds t: I_x(n/2, 1/2) with x = n / (n + t²)."""
    n = degrees_of_freedom
    x, rest = n / (n + t * t), t * t / (n + t * t)
    if x < (n + 2) / (n + 5):
        return _incomplete_beta(x, rest, n / 2, 0.5)
    return 1.0 - _incomplete_beta(rest, x, 0.5, n / 2)


def _incomplete_beta(x: float, rest: float, a: float, b: float) -> float:
    """I_x(a, b), where x + rest = 1, by the continued fraction of DLMF 8.17.22; it converges fast for
    x < (a + 1) / (a + b + 2).
    """
    if x == 0.0:
        return 0.0
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(rest)
    # By Steed's recurrence: `fraction` is the convergent so far, `change` what the last term added.
    fraction = change = denominator = 1.0
    for term in range(1, 10_000):
        m = term // 2
        if term % 2:
            numerator = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            numerator = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1.0 / (1.0 + numerator * denominator)
        change *= denominator - 1.0
        fraction += change
        if abs(change) < 1e-16 * abs(fraction):
            break
    return math.exp(logarithm) / a * fraction
