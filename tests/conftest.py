"""What all tests share: how long an example takes says nothing about the code on a machine that is busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("at any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("at any speed")
