"""`EffectiveSpec`: the spec with every default filled in, as components read it.

Built by `effective`. A field is optional here only where absence means something ("no pull secret", "never"),
or where a platform setting may be missing, which the component that needs it reports.
"""

from biospark_operator.api.v1alpha1.access import Access
from biospark_operator.api.v1alpha1.certificate import Certificate
from biospark_operator.api.v1alpha1.database import Database, DatabaseServer, SslMode
from biospark_operator.api.v1alpha1.durations import GoDuration
from biospark_operator.api.v1alpha1.gates import Enforcement, LoadProbe, QualityGates
from biospark_operator.api.v1alpha1.gateway import Gateway
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.namespace import PodSecurity
from biospark_operator.api.v1alpha1.network import Mesh, Network
from biospark_operator.api.v1alpha1.observability import Logging, Monitoring
from biospark_operator.api.v1alpha1.secrets import Secrets, Vault
from biospark_operator.api.v1alpha1.spec import AdoptionPolicy, DeletionPolicy, Mode, Profile
from biospark_operator.api.v1alpha1.workload import Autoscaling, BootstrapAdmin, Resources


class EffectiveQuota(Model):
    """Bounds of the namespace: quantities, and a number of pods."""

    cpu: str
    memory: str
    pods: int
    storage: str


class EffectiveNamespace(Model):
    """The namespace, with its name."""

    name: str
    labels: dict[str, str]
    pod_security: PodSecurity
    quota: EffectiveQuota


class EffectiveRegistry(Model):
    """The Secret to copy from the operator's namespace; None: images are pulled without credentials."""

    pull_secret_name: str | None


class EffectiveDatabaseServer(DatabaseServer):
    """The PostgreSQL server."""

    ssl_mode: SslMode


class EffectiveDatabase(Database):
    """The database; `server` is None where neither the spec nor the platform names one."""

    server: EffectiveDatabaseServer | None
    name: str


class EffectiveVault(Vault):
    """The Vault server."""

    path_prefix: str


class EffectiveSecrets(Secrets):
    """The secrets; `vault` is None where neither the spec nor the platform names one."""

    vault: EffectiveVault | None


class EffectiveApi(Model):
    """The API service."""

    image: str | None
    """None where neither the spec nor the platform names one."""
    replicas: int
    """The number of replicas; with `autoscaling` the fewest, to start with."""
    autoscaling: Autoscaling | None
    resources: Resources
    spread: bool
    """Replicas on different nodes where possible."""
    pod_disruption_budget: bool
    """Whether voluntary disruptions are limited to one replica at a time."""
    token_lifetime: GoDuration
    bootstrap_admin: BootstrapAdmin | None
    erase_deleted_days: int | None


class EffectiveLoadProbe(LoadProbe):
    """The active probe of the gateway."""

    enabled: bool
    requests_per_minute: int


class EffectiveQualityGates(QualityGates):
    """The quality gates."""

    enforcement: Enforcement
    load_probe: EffectiveLoadProbe


class EffectiveSpec(Model):
    """The spec with every default filled in."""

    profile: Profile
    host: str | None
    """None only where there is no gateway."""
    mode: Mode
    suspend: bool
    interval: GoDuration
    deletion_policy: DeletionPolicy
    deletion_protection: bool
    adoption_policy: AdoptionPolicy
    namespace: EffectiveNamespace
    access: Access
    registry: EffectiveRegistry
    network: Network
    mesh: Mesh
    database: EffectiveDatabase
    secrets: EffectiveSecrets
    certificate: Certificate
    """`issuer_ref` is None where neither the spec nor the platform names one; an Ed25519 key has no size."""
    gateway: Gateway
    """`kong` is None where neither the spec nor the platform names one."""
    api: EffectiveApi
    monitoring: Monitoring
    logging: Logging
    quality_gates: EffectiveQualityGates
