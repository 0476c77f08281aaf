"""What holds for every test."""

from hypothesis import settings

# How long an example takes says nothing on a machine that is shared.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")
