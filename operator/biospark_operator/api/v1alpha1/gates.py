"""`spec.qualityGates`: thresholds, probes and waivers of the twenty quality gates."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, Field

from biospark_operator.api.v1alpha1.constraints import Keyed, Text
from biospark_operator.api.v1alpha1.durations import Between
from biospark_operator.api.v1alpha1.formats import ConfigMapReference, HttpUrl
from biospark_operator.api.v1alpha1.model import Model, Rule

Sentence = Annotated[str, Text("write 1 to 1024 characters", max_length=1024)]
Person = Annotated[str, Text("write a name or an e-mail address of at most 253 characters", max_length=253)]
Ticket = Annotated[str, Text("write a ticket number or URL of at most 1024 characters", max_length=1024)]


class GateName(StrEnum):
    """The quality gates."""

    INFRASTRUCTURE_DEPLOYED = "InfrastructureDeployed"
    SCHEMA_MATCHES = "SchemaMatches"
    API_LATENCY = "ApiLatency"
    AUTHENTICATION_WORKS = "AuthenticationWorks"
    BASELINE_SECURITY = "BaselineSecurity"
    SECRETS_IN_VAULT = "SecretsInVault"
    CERTIFICATE_VALID = "CertificateValid"
    NETWORK_ISOLATED = "NetworkIsolated"
    ACCESS_LEAST_PRIVILEGE = "AccessLeastPrivilege"
    NO_HARDCODED_CREDENTIALS = "NoHardcodedCredentials"
    GATEWAY_THROUGHPUT = "GatewayThroughput"
    DATABASE_LATENCY = "DatabaseLatency"
    STARTUP_TIME = "StartupTime"
    MEMORY_WITHIN_LIMITS = "MemoryWithinLimits"
    CPU_UTILIZATION = "CpuUtilization"
    INFRASTRUCTURE_DOCUMENTED = "InfrastructureDocumented"
    API_DOCUMENTED = "ApiDocumented"
    SECURITY_DOCUMENTED = "SecurityDocumented"
    TROUBLESHOOTING_DOCUMENTED = "TroubleshootingDocumented"
    RUNBOOKS_AVAILABLE = "RunbooksAvailable"


class Enforcement(StrEnum):
    """What a gate that does not pass leads to."""

    REPORT = "Report"
    BLOCK = "Block"


class Thresholds(Model):
    """The values that gates compare with."""

    api_latency_milliseconds: int = Field(
        200,
        ge=1,
        le=60_000,
        description="95th percentile of the API's answer time, in milliseconds. Default 200.",
    )
    database_latency_milliseconds: int = Field(
        50,
        ge=1,
        le=60_000,
        description="95th percentile of the database's answer time, in milliseconds. Default 50.",
    )
    gateway_requests_per_minute: int = Field(
        1000,
        ge=1,
        le=10_000_000,
        description="Requests per minute that the gateway must carry. Default 1000.",
    )
    startup_seconds: int = Field(
        300,
        ge=1,
        le=86_400,
        description="Longest time from a pod's creation to its readiness, in seconds. Default 300.",
    )
    cpu_percent: int = Field(70, ge=1, le=100, description="Highest CPU use, in percent of the limit. Default 70.")
    memory_percent: int = Field(
        100, ge=1, le=100, description="Highest memory use, in percent of the limit. Default 100."
    )
    certificate_minimum_hours: int = Field(
        168,
        ge=1,
        le=87_600,
        description="Shortest remaining validity of the certificate, in hours. Default 168.",
    )


class DocumentationSource(Model):
    """A page: at a URL or in a ConfigMap."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "",
            "write exactly one of url and configMapRef",
            cel="has(self.url) != has(self.configMapRef)",
            holds=lambda s: (s.url is None) != (s.config_map_ref is None),
        ),
    )

    url: HttpUrl | None = Field(None, description="URL of the page; excludes `configMapRef`.")
    config_map_ref: ConfigMapReference | None = Field(
        None, description="ConfigMap in the operator's namespace that holds the page; excludes `url`."
    )


class Documentation(Model):
    """Where the documentation gates look; by default in the operator's own documentation."""

    infrastructure: DocumentationSource | None = Field(
        None, description="Description of the infrastructure. Default: the operator's own documentation."
    )
    security: DocumentationSource | None = Field(
        None, description="Description of the security measures. Default: the operator's own documentation."
    )
    troubleshooting: DocumentationSource | None = Field(
        None, description="What to do about failures. Default: the operator's own documentation."
    )
    runbooks: DocumentationSource | None = Field(
        None, description="What to do about alerts. Default: the operator's own documentation."
    )


class LoadProbe(Model):
    """An active probe that sends requests through the gateway."""

    enabled: bool | None = Field(
        None,
        description="Whether the probe runs. Default by profile: off in Production, where metrics are read.",
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Rate of the probe. Default: `thresholds.gatewayRequestsPerMinute`.",
    )
    duration: Annotated[timedelta, Between("1s", "5m")] = Field(
        timedelta(seconds=10), description="How long one probe lasts, `1s` to `5m`. Default `10s`."
    )


class Waiver(Model):
    """A gate that counts as passed for a limited time; it is measured all the same."""

    gate: GateName = Field(description="The gate that is waived; each at most once.")
    reason: Sentence = Field(description="Why the gate may fail for now.")
    ticket: Ticket | None = Field(None, description="Number or URL of the ticket that tracks the repair.")
    requested_by: Person = Field(description="Who answers for the waiver.")
    expires_at: AwareDatetime = Field(
        description="End of the waiver, such as `2030-01-31T12:00:00Z`; at most 90 days ahead. After it the waiver "
        "counts as absent."
    )


class QualityGates(Model):
    """Evidence that the environment is fit for use."""

    enforcement: Enforcement | None = Field(
        None,
        description="Report: gates are only reported. Block: the condition PromotionReady is False while a gate is "
        "neither passed nor waived. Default by profile.",
    )
    interval: Annotated[timedelta, Between("30s", "24h")] = Field(
        timedelta(minutes=5), description="How often evidence is gathered, `30s` to `24h`. Default `5m`."
    )
    thresholds: Thresholds = Field(default_factory=Thresholds, description="The values that gates compare with.")
    documentation: Documentation = Field(
        default_factory=Documentation, description="Where the documentation gates look."
    )
    load_probe: LoadProbe = Field(default_factory=LoadProbe, description="Active probe of the gateway.")
    waivers: Annotated[tuple[Waiver, ...], Keyed("gate", 20)] = Field(
        (), description="Gates that count as passed for a limited time."
    )
