from __future__ import annotations

from hypothesis import HealthCheck, settings

# The same examples on every run and every machine; a slow machine is not a failure.
settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
