"""What a profile stands for: the defaults that differ between development, staging and production."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from biospark_operator.api.v1alpha1.gates import Enforcement
from biospark_operator.api.v1alpha1.namespace import PodSecurity, Quota
from biospark_operator.api.v1alpha1.spec import Profile
from biospark_operator.api.v1alpha1.workload import Resources


@dataclass(frozen=True)
class ProfileDefaults:
    """One column of the profile table. The quota has room for all replicas and one more during a rollout."""

    replicas: int
    spread: bool
    """Replicas on different nodes where possible, and a PodDisruptionBudget."""
    pod_security: PodSecurity
    quota: Quota
    resources: Resources
    deletion_protection: bool
    enforcement: Enforcement
    rotation_interval: timedelta | None
    load_probe: bool


PROFILES: Mapping[Profile, ProfileDefaults] = MappingProxyType(
    {
        Profile.DEVELOPMENT: ProfileDefaults(
            replicas=1,
            spread=False,
            pod_security=PodSecurity.BASELINE,
            quota=Quota(cpu="2", memory="4Gi", pods=20, storage="10Gi"),
            resources=Resources(
                requests={"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
                limits={"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "256Mi"},
            ),
            deletion_protection=False,
            enforcement=Enforcement.REPORT,
            rotation_interval=None,
            load_probe=True,
        ),
        Profile.STAGING: ProfileDefaults(
            replicas=2,
            spread=False,
            pod_security=PodSecurity.RESTRICTED,
            quota=Quota(cpu="4", memory="8Gi", pods=40, storage="20Gi"),
            resources=Resources(
                requests={"cpu": "250m", "memory": "256Mi", "ephemeral-storage": "64Mi"},
                limits={"cpu": "1", "memory": "512Mi", "ephemeral-storage": "256Mi"},
            ),
            deletion_protection=False,
            enforcement=Enforcement.BLOCK,
            rotation_interval=timedelta(hours=2160),
            load_probe=True,
        ),
        Profile.PRODUCTION: ProfileDefaults(
            replicas=3,
            spread=True,
            pod_security=PodSecurity.RESTRICTED,
            quota=Quota(cpu="16", memory="32Gi", pods=100, storage="100Gi"),
            resources=Resources(
                requests={"cpu": "500m", "memory": "512Mi", "ephemeral-storage": "64Mi"},
                limits={"cpu": "2", "memory": "1Gi", "ephemeral-storage": "256Mi"},
            ),
            deletion_protection=True,
            enforcement=Enforcement.BLOCK,
            rotation_interval=timedelta(hours=720),
            load_probe=False,
        ),
    }
)
