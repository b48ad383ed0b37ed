"""Hypothesis on a machine of any speed: no example, and no drawing of one, has a time limit of its own."""

from hypothesis import HealthCheck, settings

settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")
