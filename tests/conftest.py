"""What holds for every test: the one profile by which Hypothesis runs its examples."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# No deadline and no complaint about slow examples: both measure the machine, which may be busy, and not the code.
settings.register_profile("panachain", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("panachain")
