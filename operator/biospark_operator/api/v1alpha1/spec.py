"""`spec`: everything a user can ask for, section by section."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.access import Access, Registry
from biospark_operator.api.v1alpha1.certificate import Certificate
from biospark_operator.api.v1alpha1.database import Database
from biospark_operator.api.v1alpha1.durations import Between
from biospark_operator.api.v1alpha1.formats import DnsName
from biospark_operator.api.v1alpha1.gates import QualityGates
from biospark_operator.api.v1alpha1.gateway import Gateway, GatewayProvider
from biospark_operator.api.v1alpha1.model import Model, Rule
from biospark_operator.api.v1alpha1.namespace import Namespace
from biospark_operator.api.v1alpha1.network import Mesh, Network
from biospark_operator.api.v1alpha1.observability import Logging, Monitoring
from biospark_operator.api.v1alpha1.secrets import Secrets
from biospark_operator.api.v1alpha1.workload import ApiService


class Profile(StrEnum):
    """What the environment is for; it chooses the defaults."""

    DEVELOPMENT = "Development"
    STAGING = "Staging"
    PRODUCTION = "Production"


class Mode(StrEnum):
    """Whether the operator changes anything."""

    APPLY = "Apply"
    PLAN = "Plan"


class DeletionPolicy(StrEnum):
    """What happens to data when the environment is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class AdoptionPolicy(StrEnum):
    """Whether something that exists already may be taken over."""

    NEVER = "Never"
    IF_UNOWNED = "IfUnowned"


def _unchangeable(section: str, member: str) -> Rule:
    """The rule that a name stays as it was at creation, present or absent."""
    # Not orValue(''): the API server forgets the length of an optional string and fears an expensive comparison.
    present = f"?{member}.?name.hasValue()"
    return Rule(
        f"{section}.name",
        f"{section}.name can't be changed, added or removed after creation: put it back as it was, "
        "or create another environment",
        cel=f"self.{present} == oldSelf.{present} && (!self.{present} || self.{member}.name == oldSelf.{member}.name)",
    )


class Spec(Model):
    """The wanted state of the environment."""

    stored_defaults: ClassVar[tuple[str, ...]] = (
        "mode", "suspend", "interval", "deletion_policy", "adoption_policy",
    )  # fmt: skip
    """Fields whose default the API server writes into the stored object; all others are computed."""

    rules: ClassVar[tuple[Rule, ...]] = (
        _unchangeable("namespace", "__namespace__"),
        _unchangeable("database", "database"),
        Rule(
            "deletionProtection",
            "write false in deletionProtection to give the protection up, or true to keep it: it ends neither with "
            "the profile nor with the field",
            cel="has(self.deletionProtection) || self.profile == 'Production' || "
            "!(has(oldSelf.deletionProtection) ? oldSelf.deletionProtection : oldSelf.profile == 'Production')",
        ),
        Rule(
            "host",
            "write the public name of the API in host, such as api.dev.example.com, or set gateway.provider to None",
            cel="has(self.host) || self.?gateway.?provider.orValue('') == 'None'",
            holds=lambda s: s.host is not None or s.gateway.provider is GatewayProvider.NONE,
        ),
        Rule(
            "api.tokenLifetime",
            "write a tokenLifetime of at most gateway.jwt.maximumTokenLifetime (default 24h), or raise that maximum",
            cel="!has(self.api) || !has(self.api.tokenLifetime) || duration(self.api.tokenLifetime) <= "
            "duration(self.?gateway.?jwt.?maximumTokenLifetime.orValue('24h'))",
            holds=lambda s: (
                s.api.token_lifetime is None or s.api.token_lifetime <= s.gateway.jwt.maximum_token_lifetime
            ),
        ),
    )

    profile: Profile = Field(
        description="What the environment is for. It chooses the defaults of the fields that say so. May be changed."
    )
    host: DnsName | None = Field(
        None,
        description="Public DNS name of the API, such as `api.dev.example.com`. Required unless `gateway.provider` "
        "is None.",
    )
    mode: Mode = Field(
        Mode.APPLY,
        description="Apply: the world is made equal to the spec. Plan: differences are computed and reported in the "
        "status, and nothing is changed anywhere. Default Apply.",
    )
    suspend: bool = Field(
        False,
        description="While true nothing is done, deletion included, and the condition Suspended says so. Default "
        "false.",
    )
    interval: Annotated[timedelta, Between("1m", "24h")] = Field(
        timedelta(minutes=10),
        description="How often the world is checked when no event asks for it, `1m` to `24h`. Default `10m`.",
    )
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.RETAIN,
        description="What happens to data (the database and the secrets in Vault) when the environment is deleted. "
        "What holds no data always goes. Default Retain.",
    )
    deletion_protection: bool | None = Field(
        None,
        description="While true, deleting the environment or its namespace is refused. Default by profile. What is "
        "protected stays so until this is false: a profile that protects nothing can be chosen only together with it.",
    )
    adoption_policy: AdoptionPolicy = Field(
        AdoptionPolicy.NEVER,
        description="Never: something that exists and is not marked as this environment's is left alone and "
        "reported. IfUnowned: it is taken over when nobody else has marked it; a database only when its administrator "
        "offers it to this environment. Default Never.",
    )
    namespace: Namespace = Field(default_factory=Namespace, description="The namespace of the environment.")
    access: Access = Field(default_factory=Access, description="Who may use the namespace.")
    registry: Registry = Field(default_factory=Registry, description="Credentials for the image registry.")
    network: Network = Field(default_factory=Network, description="Network policies of the namespace.")
    mesh: Mesh = Field(default_factory=Mesh, description="Service mesh.")
    database: Database = Field(default_factory=Database, description="The PostgreSQL database.")
    secrets: Secrets = Field(default_factory=Secrets, description="Where secrets are kept and how the API gets them.")
    certificate: Certificate = Field(default_factory=Certificate, description="TLS certificate of the public name.")
    gateway: Gateway = Field(default_factory=Gateway, description="The gateway in front of the API.")
    api: ApiService = Field(default_factory=ApiService, description="The API service.")
    monitoring: Monitoring = Field(default_factory=Monitoring, description="Metrics and alerts.")
    logging: Logging = Field(default_factory=Logging, description="Collection of logs.")
    quality_gates: QualityGates = Field(
        default_factory=QualityGates, description="Evidence that the environment is fit for use."
    )
