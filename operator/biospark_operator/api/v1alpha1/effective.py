"""Every default, computed: from the profile, the platform settings and the name of the environment.

`effective` is pure and is called once per pass; components read only its result. The reference page takes the
defaults it lists from the same function, so there is no second table to keep.
"""

from datetime import timedelta
from typing import Any

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.certificate import Certificate, KeyAlgorithm
from biospark_operator.api.v1alpha1.database import Database, DatabaseServer, SslMode
from biospark_operator.api.v1alpha1.effective_spec import (
    EffectiveApi,
    EffectiveDatabase,
    EffectiveDatabaseServer,
    EffectiveLoadProbe,
    EffectiveNamespace,
    EffectiveQualityGates,
    EffectiveQuota,
    EffectiveRegistry,
    EffectiveSecrets,
    EffectiveSpec,
    EffectiveVault,
)
from biospark_operator.api.v1alpha1.environment import BioSparkEnvironment
from biospark_operator.api.v1alpha1.gates import QualityGates
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.profiles import PROFILES, ProfileDefaults
from biospark_operator.api.v1alpha1.quantities import parse_quantity
from biospark_operator.api.v1alpha1.secrets import Vault
from biospark_operator.api.v1alpha1.spec import Spec
from biospark_operator.api.v1alpha1.workload import Resources

DEFAULT_TOKEN_LIFETIME = timedelta(hours=24)
DEFAULT_KEY_SIZES = {KeyAlgorithm.ECDSA: 256, KeyAlgorithm.RSA: 2048, KeyAlgorithm.ED25519: None}


def effective(environment: BioSparkEnvironment, platform: Platform) -> EffectiveSpec:
    """The spec as it is meant: what the user wrote, and every default for the rest."""
    spec = environment.spec
    profile = PROFILES[spec.profile]
    return EffectiveSpec(
        profile=spec.profile,
        host=spec.host,
        mode=spec.mode,
        suspend=spec.suspend,
        interval=spec.interval,
        deletion_policy=spec.deletion_policy,
        deletion_protection=profile.deletion_protection
        if spec.deletion_protection is None
        else spec.deletion_protection,
        adoption_policy=spec.adoption_policy,
        namespace=_namespace(environment, profile),
        access=spec.access,
        registry=_registry(spec),
        network=spec.network,
        mesh=spec.mesh,
        database=_database(environment, profile, platform),
        secrets=_secrets(environment),
        certificate=_certificate(spec),
        gateway=spec.gateway,
        api=_api(spec, profile, platform),
        monitoring=spec.monitoring,
        logging=spec.logging,
        quality_gates=_quality_gates(spec.quality_gates, profile),
    )


def missing_setting(spec: Spec, platform: Platform) -> str | None:
    """Say what the spec asks for that is nothing without a setting of the platform which is missing, or None."""
    if spec.database.server is not None or platform.database is not None:
        return None
    if (wish := _wish_for_database(spec)) is None:
        return None
    return (
        f"{wish}, and there is no server for it; write spec.database.server, or set platform.database for the operator"
    )


def _wish_for_database(spec: Spec) -> str | None:
    """Say what the user wrote that is nothing without a database, or None."""
    if spec.database != Database():
        return "spec.database says what the database shall be like"
    if spec.api.bootstrap_admin is not None:
        return "spec.api.bootstrapAdmin needs a database"
    if spec.api.token_lifetime is not None:
        return "spec.api.tokenLifetime needs a database"
    if spec.api.erase_deleted_days is not None:
        return "spec.api.eraseDeletedDays needs a database"
    return None


def namespace_name(environment: BioSparkEnvironment) -> str:
    """The name of the environment's namespace."""
    return environment.spec.namespace.name or f"biospark-{environment.metadata.name}"


def _namespace(environment: BioSparkEnvironment, profile: ProfileDefaults) -> EffectiveNamespace:
    wanted = environment.spec.namespace
    quota = _present(profile.quota) | _present(wanted.quota)
    return EffectiveNamespace(
        name=namespace_name(environment),
        labels=wanted.labels,
        pod_security=wanted.pod_security or profile.pod_security,
        quota=EffectiveQuota(**quota),
    )


def _registry(spec: Spec) -> EffectiveRegistry:
    reference = spec.registry.pull_secret_ref
    return EffectiveRegistry(pull_secret_name=reference.name if reference else None)


def _database(environment: BioSparkEnvironment, profile: ProfileDefaults, platform: Platform) -> EffectiveDatabase:
    wanted = environment.spec.database
    server = wanted.server or platform.database
    rotation = wanted.credentials.rotation_interval or profile.rotation_interval
    changes = {
        "name": wanted.name or f"biospark_{environment.metadata.name}".replace("-", "_"),
        "server": database_server(server) if server else None,
        "credentials": wanted.credentials.model_copy(update={"rotation_interval": rotation}),
    }
    return EffectiveDatabase(**_fields(wanted) | changes)


def database_server(server: DatabaseServer) -> EffectiveDatabaseServer:
    """Return a server with the mode that it has by default."""
    default = SslMode.VERIFY_FULL if server.ca_secret_ref else SslMode.REQUIRE
    return EffectiveDatabaseServer(**_fields(server) | {"ssl_mode": server.ssl_mode or default})


def _secrets(environment: BioSparkEnvironment) -> EffectiveSecrets:
    wanted = environment.spec.secrets
    vault = wanted.vault
    return EffectiveSecrets(vault=_vault(vault, environment.metadata.name) if vault else None, delivery=wanted.delivery)


def _vault(vault: Vault, name: str) -> EffectiveVault:
    return EffectiveVault(**_fields(vault) | {"path_prefix": vault.path_prefix or f"biospark/{name}"})


def _certificate(spec: Spec) -> Certificate:
    wanted = spec.certificate
    key = wanted.private_key
    size = key.size or DEFAULT_KEY_SIZES[key.algorithm]
    changes = {
        "dns_names": wanted.dns_names or ((spec.host,) if spec.host else ()),
        "private_key": key.model_copy(update={"size": size}),
    }
    return wanted.model_copy(update=changes)


def _api(spec: Spec, profile: ProfileDefaults, platform: Platform) -> EffectiveApi:
    wanted = spec.api
    fewest = wanted.autoscaling.min_replicas if wanted.autoscaling else profile.replicas
    longest = spec.gateway.jwt.maximum_token_lifetime
    return EffectiveApi(
        image=wanted.image or platform.api_image,
        replicas=wanted.replicas or fewest,
        autoscaling=wanted.autoscaling,
        resources=_resources(wanted.resources, profile.resources),
        spread=profile.spread,
        pod_disruption_budget=profile.spread,
        token_lifetime=wanted.token_lifetime or min(DEFAULT_TOKEN_LIFETIME, longest),
        bootstrap_admin=wanted.bootstrap_admin,
        erase_deleted_days=wanted.erase_deleted_days,
    )


def _resources(wanted: Resources, default: Resources) -> Resources:
    """Key by key; a default gives way where it would make a request larger than its limit."""
    requests = {
        key: min(amount, wanted.limits.get(key, amount), key=parse_quantity) for key, amount in default.requests.items()
    }
    limits = {
        key: max(amount, wanted.requests.get(key, amount), key=parse_quantity) for key, amount in default.limits.items()
    }
    return Resources(requests=requests | wanted.requests, limits=limits | wanted.limits)


def _quality_gates(wanted: QualityGates, profile: ProfileDefaults) -> EffectiveQualityGates:
    probe = wanted.load_probe
    rate = probe.requests_per_minute or wanted.thresholds.gateway_requests_per_minute
    enabled = profile.load_probe if probe.enabled is None else probe.enabled
    changes = {
        "enforcement": wanted.enforcement or profile.enforcement,
        "load_probe": EffectiveLoadProbe(enabled=enabled, requests_per_minute=rate, duration=probe.duration),
    }
    return EffectiveQualityGates(**_fields(wanted) | changes)


def _fields(model: Model) -> dict[str, Any]:
    """The fields by their Python names, values as they are."""
    return dict(model)


def _present(model: Model) -> dict[str, Any]:
    return {name: value for name, value in model if value is not None}
