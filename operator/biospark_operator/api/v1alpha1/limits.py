"""How far environments may go, whoever writes them: `platform.limits` of the operator's settings.

To add a limit: a field here, and a `LimitRule` in `limit_rules` with a good and a bad example.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from biospark_operator.api.v1alpha1.access import AccessRole
from biospark_operator.api.v1alpha1.constraints import Text, Unique, refused
from biospark_operator.api.v1alpha1.database import SslMode
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.namespace import PodSecurity
from biospark_operator.api.v1alpha1.network import Isolation, is_range
from biospark_operator.api.v1alpha1.quantities import Quantity


def _range(text: str) -> str:
    if not is_range(text):
        raise refused("write an address range whose host bits are zero, such as 10.20.0.0/16 or 2001:db8::/32")
    return text


Range = Annotated[str, AfterValidator(_range)]
Ranges = Annotated[tuple[Range, ...], Unique(64)]
Pattern = Annotated[
    str,
    Text("write a whole name, or the beginning of names and a *, such as example.com/*", 128, r"^[^*\s]*\*?$"),
]
#: The API server holds every subject of an environment against every pattern and gives up what costs too much.
Patterns = Annotated[tuple[Pattern, ...], Unique(32)]

#: From what protects least to what protects most.
POD_SECURITY = (PodSecurity.PRIVILEGED, PodSecurity.BASELINE, PodSecurity.RESTRICTED)
ISOLATION = (Isolation.DISABLED, Isolation.ENFORCED)
SSL_MODES = (SslMode.DISABLE, SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL)
ROLES = (AccessRole.ADMIN, AccessRole.DEVELOPER, AccessRole.VIEWER)


class PodSecurityLimits(Model):
    """The least strict Pod Security level by profile."""

    development: PodSecurity = Field(
        PodSecurity.BASELINE, description="Least strict level of Development environments. Default Baseline."
    )
    staging: PodSecurity = Field(
        PodSecurity.BASELINE, description="Least strict level of Staging environments. Default Baseline."
    )
    production: PodSecurity = Field(
        PodSecurity.RESTRICTED, description="Least strict level of Production environments. Default Restricted."
    )


class IsolationLimits(Model):
    """Where network isolation may be turned off, by profile."""

    development: Isolation = Field(
        Isolation.ENFORCED, description="Disabled lets Development environments do without isolation. Default Enforced."
    )
    staging: Isolation = Field(
        Isolation.ENFORCED, description="Disabled lets Staging environments do without isolation. Default Enforced."
    )
    production: Isolation = Field(
        Isolation.ENFORCED, description="Disabled lets Production environments do without isolation. Default Enforced."
    )


class SslModeLimits(Model):
    """The weakest protection of the connection to a database server that an environment names, by profile."""

    development: SslMode = Field(
        SslMode.DISABLE, description="Weakest `sslMode` of Development environments. Default Disable."
    )
    staging: SslMode = Field(SslMode.REQUIRE, description="Weakest `sslMode` of Staging environments. Default Require.")
    production: SslMode = Field(
        SslMode.VERIFY_FULL, description="Weakest `sslMode` of Production environments. Default VerifyFull."
    )


class RoleLimits(Model):
    """The most powerful role that an environment may give, by profile."""

    development: AccessRole = Field(
        AccessRole.ADMIN, description="Most powerful role in Development environments. Default Admin."
    )
    staging: AccessRole = Field(
        AccessRole.ADMIN, description="Most powerful role in Staging environments. Default Admin."
    )
    production: AccessRole = Field(
        AccessRole.ADMIN, description="Most powerful role in Production environments. Default Admin."
    )


class QuotaLimits(Model):
    """The largest quota of an environment."""

    cpu: Quantity = Field("64", description="Most cores. Default `64`.")
    memory: Quantity = Field("256Gi", description="Most memory. Default `256Gi`.")
    pods: int = Field(500, ge=1, le=10000, description="Most pods. Default 500.")
    storage: Quantity = Field("2Ti", description="Most storage of volume claims. Default `2Ti`.")


class EgressLimits(Model):
    """Where an environment may let itself connect to."""

    allowed: Ranges = Field(
        ("0.0.0.0/0", "::/0"),
        description="Ranges that every `spec.network.egress[].cidr` has to lie in, one of them each. Default: any.",
    )
    forbidden: Ranges = Field(
        (
            "169.254.0.0/16",
            "168.63.129.16/32",
            "100.100.100.200/32",
            "192.0.0.192/32",
            "fe80::/10",
            "fd00:ec2::/32",
            "fd20:ce::/32",
            "64:ff9b::a9fe:0/112",
        ),
        description="Ranges that no target may reach, unless its `except` leaves them out. Default: link-local "
        "addresses and the other ones where clouds hand out credentials of the node.",
    )


class Limits(Model):
    """How far environments may go."""

    pod_security: PodSecurityLimits = Field(
        default_factory=PodSecurityLimits, description="Least strict `spec.namespace.podSecurity` by profile."
    )
    isolation: IsolationLimits = Field(
        default_factory=IsolationLimits, description="Whether `spec.network.isolation` may be Disabled, by profile."
    )
    ssl_mode: SslModeLimits = Field(
        default_factory=SslModeLimits, description="Weakest `spec.database.server.sslMode` by profile."
    )
    role: RoleLimits = Field(
        default_factory=RoleLimits, description="Most powerful `spec.access.bindings[].role` by profile."
    )
    quota: QuotaLimits = Field(default_factory=QuotaLimits, description="Largest `spec.namespace.quota`.")
    namespace_labels: Patterns = Field(
        ("team", "owner", "cost-center"),
        description="Keys that `spec.namespace.labels` may have: whole ones, or beginnings such as `example.com/*`. "
        "Labels of namespaces switch policy engines, sidecars and other people's network policies.",
    )
    forbidden_subjects: Patterns = Field(
        ("system:*",),
        description="Users and groups that `spec.access.bindings` may not name: whole names, or beginnings and a `*`.",
    )
    forbidden_service_account_namespaces: Patterns = Field(
        ("kube-*",),
        description="Namespaces whose service accounts `spec.access.bindings` may not name: whole names, or "
        "beginnings and a `*`. That of the operator is always forbidden.",
    )
    ingress_namespaces: Patterns = Field(
        ("*",),
        description="Namespaces that `spec.network.ingress` may let in: whole names, or beginnings and a `*`. "
        "Default: all.",
    )
    egress: EgressLimits = Field(default_factory=EgressLimits, description="Where `spec.network.egress` may lead to.")
    images: Patterns = Field(
        ("*",),
        description="Images that `spec.api.image` may name: whole references, or beginnings such as "
        "`registry.example.com/biospark/*`. Default: all.",
    )
