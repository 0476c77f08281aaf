"""What holds for every test."""

from hypothesis import HealthCheck, settings

# How long an example takes, or is made, says nothing on a machine that is shared.
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")
