"""Every default, as documented in the profile table."""

from datetime import timedelta
from typing import Any

import pytest
import yaml

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1 import parse_environment
from biospark_operator.api.v1alpha1.database import SslMode
from biospark_operator.api.v1alpha1.effective import effective
from biospark_operator.api.v1alpha1.effective_spec import EffectiveSpec
from biospark_operator.api.v1alpha1.profiles import PROFILES
from biospark_operator.api.v1alpha1.quantities import parse_quantity
from biospark_operator.api.v1alpha1.spec import Profile
from tests.unit.api.rule_cases import FORMATS, RULES, RuleCase, environment, server, vault

PLATFORM = Platform.model_validate(
    {
        "apiImage": "registry.example.com/biospark/api:1.0.0",
        "database": {"host": "postgres", "adminSecretRef": {"name": "admin"}},
    }
)


def computed(platform: Platform = PLATFORM, name: str = "dev", **spec: Any) -> EffectiveSpec:
    """The effective spec of an environment with the given sections."""
    return effective(parse_environment(environment(name, **spec)), platform)


@pytest.mark.parametrize(
    ("profile", "replicas", "security", "cpu", "memory", "pods", "protected", "enforcement", "rotation", "probe"),
    [
        ("Development", 1, "Baseline", "2", "4Gi", 20, False, "Report", None, True),
        ("Staging", 2, "Restricted", "4", "8Gi", 40, False, "Block", timedelta(hours=2160), True),
        ("Production", 3, "Restricted", "16", "32Gi", 100, True, "Block", timedelta(hours=720), False),
    ],
)
def test_profile_table(
    profile: str,
    replicas: int,
    security: str,
    cpu: str,
    memory: str,
    pods: int,
    protected: bool,
    enforcement: str,
    rotation: timedelta | None,
    probe: bool,
) -> None:
    result = computed(profile=profile)
    quota = result.namespace.quota
    assert (result.api.replicas, result.namespace.pod_security) == (replicas, security)
    assert (quota.cpu, quota.memory, quota.pods) == (cpu, memory, pods)
    assert result.deletion_protection is protected
    assert result.quality_gates.enforcement == enforcement
    assert result.database.credentials.rotation_interval == rotation
    assert result.quality_gates.load_probe.enabled is probe


@pytest.mark.parametrize("profile", Profile)
def test_only_production_spreads_and_limits_disruptions(profile: Profile) -> None:
    api = computed(profile=profile).api
    assert api.spread is api.pod_disruption_budget is (profile is Profile.PRODUCTION)


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_quota_has_room_for_a_rollout(profile: Profile, resource: str) -> None:
    defaults = PROFILES[profile]
    needed = parse_quantity(defaults.resources.limits[resource]) * (defaults.replicas + 1)
    assert needed <= parse_quantity(getattr(defaults.quota, resource))


@pytest.mark.parametrize("rule", RULES + FORMATS, ids=str)
def test_every_valid_environment_has_an_effective_spec(rule: RuleCase) -> None:
    parsed = parse_environment(rule.good)
    written = effective(parsed, PLATFORM).model_dump(by_alias=True, mode="json", exclude_none=True)
    assert {"profile", "namespace", "api", "qualityGates"} <= written.keys()
    assert written["profile"] == parsed.spec.profile


def test_names_derive_from_the_name_of_the_environment() -> None:
    result = computed(name="dev-eu", **vault())
    assert result.namespace.name == "biospark-dev-eu"
    assert result.database.name == "biospark_dev_eu"
    assert result.secrets.vault is not None
    assert result.secrets.vault.path_prefix == "biospark/dev-eu"
    assert result.certificate.dns_names == ("api.example.com",)


def test_platform_settings_fill_what_the_spec_leaves_open() -> None:
    result = computed()
    assert result.api.image == "registry.example.com/biospark/api:1.0.0"
    assert result.database.server is not None
    assert (result.database.server.host, result.database.server.port) == ("postgres", 5432)


def test_the_spec_wins_over_profile_and_platform() -> None:
    result = computed(
        profile="Production",
        deletionProtection=False,
        namespace={"name": "team", "podSecurity": "Privileged", "quota": {"pods": 5}},
        api={"image": "api:2", "replicas": 7},
        database={"name": "own", "credentials": {"rotationInterval": "2h"}},
        qualityGates={"enforcement": "Report", "loadProbe": {"enabled": True, "requestsPerMinute": 5}},
        registry={"pullSecretRef": {"name": "pull"}},
        **vault(pathPrefix="mine"),
    )
    assert result.deletion_protection is False
    assert (result.namespace.name, result.namespace.pod_security) == ("team", "Privileged")
    assert (result.namespace.quota.pods, result.namespace.quota.cpu) == (5, "16")
    assert (result.api.image, result.api.replicas) == ("api:2", 7)
    assert (result.database.name, result.database.credentials.rotation_interval) == ("own", timedelta(hours=2))
    assert result.quality_gates.enforcement == "Report"
    assert (result.quality_gates.load_probe.enabled, result.quality_gates.load_probe.requests_per_minute) == (True, 5)
    assert result.registry.pull_secret_name == "pull"
    assert result.secrets.vault is not None
    assert result.secrets.vault.path_prefix == "mine"


def test_without_platform_settings_their_fields_stay_open() -> None:
    result = computed(Platform())
    assert result.api.image is None
    assert result.database.server is None
    assert result.secrets.vault is None
    assert result.certificate.issuer_ref is None
    assert result.gateway.kong is None
    assert result.registry.pull_secret_name is None


def test_an_autoscaler_starts_with_its_fewest_replicas() -> None:
    api = computed(profile="Production", api={"autoscaling": {"minReplicas": 2, "maxReplicas": 9}}).api
    assert api.replicas == 2
    assert api.autoscaling is not None
    assert (api.autoscaling.max_replicas, api.autoscaling.target_cpu_percent) == (9, 70)


@pytest.mark.parametrize(
    ("wanted", "requests", "limits"),
    [
        ({}, {}, {}),
        ({"limits": {"cpu": "50m"}}, {"cpu": "50m"}, {"cpu": "50m"}),
        ({"requests": {"memory": "1Gi"}}, {"memory": "1Gi"}, {"memory": "1Gi"}),
        (
            {"requests": {"cpu": 1}, "limits": {"cpu": 2, "ephemeral-storage": "1Gi"}},
            {"cpu": "1"},
            {"cpu": "2", "ephemeral-storage": "1Gi"},
        ),
    ],
    ids=["nothing", "small limit", "large request", "both"],
)
def test_default_resources_give_way_to_the_wanted_ones(
    wanted: dict[str, Any], requests: dict[str, str], limits: dict[str, str]
) -> None:
    resources = computed(api={"resources": wanted}).api.resources
    assert resources.requests == {"cpu": "100m", "memory": "128Mi", "ephemeral-storage": "64Mi", **requests}
    assert resources.limits == {"cpu": "500m", "memory": "256Mi", "ephemeral-storage": "256Mi", **limits}


@pytest.mark.parametrize(
    ("server_settings", "mode"),
    [
        ({}, SslMode.REQUIRE),
        ({"caSecretRef": {"name": "ca"}}, SslMode.VERIFY_FULL),
        ({"caSecretRef": {"name": "ca"}, "sslMode": "Disable"}, SslMode.DISABLE),
    ],
)
def test_tls_to_the_database_is_verified_where_an_authority_is_given(
    server_settings: dict[str, Any], mode: SslMode
) -> None:
    result = computed(**server(**server_settings)).database.server
    assert result is not None
    assert result.ssl_mode is mode


@pytest.mark.parametrize(("maximum", "hours"), [("24h", 24), ("12h", 12), ("48h", 24)])
def test_tokens_live_a_day_unless_the_gateway_allows_less(maximum: str, hours: int) -> None:
    result = computed(gateway={"jwt": {"maximumTokenLifetime": maximum}})
    assert result.api.token_lifetime == timedelta(hours=hours)


@pytest.mark.parametrize(("algorithm", "size"), [("ECDSA", 256), ("RSA", 2048), ("Ed25519", None)])
def test_key_size_follows_the_algorithm(algorithm: str, size: int | None) -> None:
    result = computed(certificate={"privateKey": {"algorithm": algorithm}})
    assert result.certificate.private_key.size == size


def test_the_load_probe_sends_what_the_gateway_must_carry() -> None:
    result = computed(qualityGates={"thresholds": {"gatewayRequestsPerMinute": 600}})
    assert result.quality_gates.load_probe.requests_per_minute == 600


def test_the_result_can_be_written_as_yaml_a_user_would_write() -> None:
    dumped = computed(interval="90m", gateway={"kong": {"adminURL": "https://kong:8444"}}).model_dump(
        by_alias=True, mode="json", exclude_none=True
    )
    read = yaml.safe_load(yaml.safe_dump(dumped))
    assert read == dumped
    assert (read["interval"], read["certificate"]["duration"]) == ("1h30m", "2160h")
    assert read["gateway"]["kong"]["adminURL"] == "https://kong:8444"
