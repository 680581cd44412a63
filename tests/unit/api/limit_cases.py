"""One good and one bad example for every limit of environments, and for what it must not be got around by.

Read by the unit tests, which put them to `exceeded`, and by the integration tests, which put them to a real API server
with the chart's policy: both must refuse the same, at the same field, with the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.unit.api.rule_cases import Json, egress, environment, subject

OPERATOR_NAMESPACE = "biospark-system"

#: Limits that differ from the default everywhere.
OTHER_LIMITS: Json = {
    "podSecurity": {"development": "Restricted", "staging": "Privileged"},
    "isolation": {"development": "Disabled"},
    "sslMode": {"development": "VerifyCA", "production": "Disable"},
    "role": {"development": "Developer"},
    "quota": {"cpu": "12500m", "pods": 50},
    "namespaceLabels": ["example.com/*", "tier"],
    "forbiddenSubjects": ["system:*", "everybody"],
    "forbiddenServiceAccountNamespaces": [],
    "ingressNamespaces": ["apps-*", "reporting"],
    "egress": {"allowed": ["10.0.0.0/8", "2001:db8::/32"], "forbidden": ["10.9.0.0/16"]},
    "images": ["registry.example.com/biospark/*"],
}

EXCEPT = [
    "169.254.0.0/16", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32",
]  # fmt: skip
EXCEPT_6 = ["fe80::/10", "fd00:ec2::/32", "fd20:ce::/32", "64:ff9b::a9fe:0/112"]

POD_SECURITY_HINT = "write {} or a stricter level; platform.limits.podSecurity allows nothing weaker in this profile"
LABELS_HINT = "keep only labels with these keys: {}; platform.limits.namespaceLabels allows no others"
ROLE_HINT = "bind {} or a role with fewer rights; platform.limits.role allows nothing more powerful in this profile"
SUBJECTS_HINT = "name users and groups of your own: platform.limits.forbiddenSubjects forbids {}"
ACCOUNTS_HINT = (
    "name service accounts of other namespaces: that of the operator is forbidden, and by "
    "platform.limits.forbiddenServiceAccountNamespaces {}"
)
ISOLATION_HINT = "write Enforced; platform.limits.isolation allows nothing weaker in this profile"
INGRESS_HINT = "let in only pods of these namespaces: {}; platform.limits.ingressNamespaces allows no others"
ALLOWED_HINT = "write ranges inside one of these: {}; platform.limits.egress.allowed allows no others"
FORBIDDEN_HINT = (
    "write ranges without the addresses that platform.limits.egress.forbidden names, or put into except which of these "
    "they hold: {}"
)
SSL_HINT = (
    "write {} or a mode that protects more, with caSecretRef where it verifies; platform.limits.sslMode allows nothing "
    "weaker in this profile"
)
IMAGE_HINT = "write one of these images: {}; platform.limits.images allows no others"
METADATA = ", ".join(EXCEPT + EXCEPT_6)


@dataclass(frozen=True)
class LimitCase:
    """A specification that goes too far, and one that is close and does not."""

    field: str
    """As the operator names it, with the place in a list."""
    message: str
    bad: Json
    good: Json
    limits: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        changed = "with other limits" if self.limits else "by default"
        return f"{self.field} {changed}: {self.bad['spec']}"

    @property
    def section(self) -> str:
        """The field as the API server names it: without the place in a list."""
        return self.field.partition("[")[0]


def case(field: str, message: str, *, bad: Json, good: Json, limits: Json | None = None) -> LimitCase:
    """A case from the sections that differ from the smallest spec."""
    return LimitCase(f"spec.{field}", message, environment(**bad), environment(**good), limits or {})


def other(field: str, message: str, *, bad: Json, good: Json) -> LimitCase:
    """A case under the other limits, which the smallest Development environment keeps with Restricted pods."""

    def kept(spec: Json) -> Json:
        return spec | {"namespace": {"podSecurity": "Restricted"} | spec.get("namespace", {})}

    return case(field, message, bad=kept(bad), good=kept(good), limits=OTHER_LIMITS)


def pods(level: str, profile: str = "Development") -> Json:
    return {"profile": profile, "namespace": {"podSecurity": level}}


def labels(*keys: str) -> Json:
    return {"namespace": {"labels": dict.fromkeys(keys, "x")}}


def server(profile: str, **members: Any) -> Json:
    reference = {"name": "db"}
    return {"profile": profile, "database": {"server": {"host": "db", "adminSecretRef": reference} | members}}


def bound(role: str, profile: str = "Development") -> Json:
    return {"profile": profile, "access": {"bindings": [{"role": role, "subjects": [{"kind": "Group", "name": "g"}]}]}}


def account(namespace: str) -> Json:
    return subject(kind="ServiceAccount", name="x", namespace=namespace)


def without(ranges: list[str], cidr: str) -> Json:
    return egress(cidr=cidr, **{"except": ranges})


CA = {"caSecretRef": {"name": "ca"}}

LIMITS = [
    case(
        "namespace.podSecurity",
        POD_SECURITY_HINT.format("Baseline"),
        bad=pods("Privileged"),
        good=pods("Baseline"),
    ),
    case(
        "namespace.podSecurity",
        POD_SECURITY_HINT.format("Restricted"),
        bad=pods("Baseline", "Production"),
        good=pods("Restricted", "Production"),
    ),
    *(
        case(
            "namespace.labels",
            LABELS_HINT.format("team, owner, cost-center"),
            bad=labels("team", key),
            good=labels("team", "owner", "cost-center"),
        )
        for key in (
            "istio-injection",
            "istio.io/rev",
            "admission.gatekeeper.sh/ignore",
            "policies.kyverno.io/exclude",
            "linkerd.io/inject",
            "control-plane",
            "name",
            "teams",
        )
    ),
    case(
        "namespace.quota.cpu",
        "write at most 64, as platform.limits.quota.cpu has it",
        bad={"namespace": {"quota": {"cpu": "64001m"}}},
        good={"namespace": {"quota": {"cpu": 64}}},
    ),
    case(
        "namespace.quota.memory",
        "write at most 256Gi, as platform.limits.quota.memory has it",
        bad={"namespace": {"quota": {"memory": "1Ti"}}},
        good={"namespace": {"quota": {"memory": "256Gi"}}},
    ),
    case(
        "namespace.quota.pods",
        "write at most 500, as platform.limits.quota.pods has it",
        bad={"namespace": {"quota": {"pods": 501}}},
        good={"namespace": {"quota": {"pods": 500}}},
    ),
    case(
        "namespace.quota.storage",
        "write at most 2Ti, as platform.limits.quota.storage has it",
        bad={"namespace": {"quota": {"storage": "3E"}}},
        good={"namespace": {"quota": {"storage": "2048Gi"}}},
    ),
    *(
        case(
            "access.bindings[0].subjects[0].name",
            SUBJECTS_HINT.format("system:*"),
            bad=subject(kind=kind, name=name),
            good=subject(kind=kind, name=name.removeprefix("system:")),
        )
        for kind, name in (
            ("Group", "system:unauthenticated"),
            ("Group", "system:authenticated"),
            ("Group", "system:masters"),
            ("Group", "system:serviceaccounts"),
            ("Group", "system:serviceaccounts:kube-system"),
            ("User", "system:anonymous"),
            ("User", "system:serviceaccount:kube-system:default"),
            ("User", "system:kube-controller-manager"),
        )
    ),
    *(
        case(
            "access.bindings[0].subjects[0].namespace",
            ACCOUNTS_HINT.format("kube-*"),
            bad=account(namespace),
            good=account("ci"),
        )
        for namespace in ("kube-system", "kube-node-lease", OPERATOR_NAMESPACE)
    ),
    *(
        case(
            "network.isolation",
            ISOLATION_HINT,
            bad={"profile": profile, "network": {"isolation": "Disabled"}},
            good={"profile": profile, "network": {"isolation": "Enforced"}},
        )
        for profile in ("Development", "Staging", "Production")
    ),
    *(
        case("network.egress[0].cidr", FORBIDDEN_HINT.format(METADATA), bad=bad, good=good)
        for bad, good in (
            (egress(cidr="0.0.0.0/0"), without(EXCEPT, "0.0.0.0/0")),
            (without(EXCEPT[1:], "0.0.0.0/0"), without(["169.0.0.0/8", *EXCEPT[1:]], "0.0.0.0/0")),
            (without(["169.254.169.254/32"], "169.254.0.0/15"), without(["169.254.0.0/16"], "169.254.0.0/15")),
            (egress(cidr="169.254.169.254/32"), egress(cidr="169.253.0.0/16")),
            (without(["169.254.169.254/32"], "169.254.169.0/24"), egress(cidr="169.255.0.0/16")),
            (egress(cidr="168.63.129.16/32"), egress(cidr="168.63.129.17/32")),
            (egress(cidr="100.64.0.0/10"), without(["100.100.100.0/24"], "100.64.0.0/10")),
            (egress(cidr="::/0"), without(EXCEPT_6, "::/0")),
            (egress(cidr="fd00:ec2::254/128"), egress(cidr="fd00:ec3::254/128")),
            (egress(cidr="fe80::/64"), egress(cidr="2001:db8::/32")),
            (egress(cidr="64:ff9b::/96"), without(["64:ff9b::a9fe:0/112"], "64:ff9b::/96")),
        )
    ),
    case(
        "database.server.sslMode",
        SSL_HINT.format("Require"),
        bad=server("Staging", sslMode="Disable"),
        good=server("Staging"),
    ),
    case(
        "database.server.sslMode",
        SSL_HINT.format("VerifyFull"),
        bad=server("Production"),
        good=server("Production", **CA),
    ),
    case(
        "database.server.sslMode",
        SSL_HINT.format("VerifyFull"),
        bad=server("Production", sslMode="VerifyCA", **CA),
        good=server("Production", sslMode="VerifyFull", **CA),
    ),
    # Other limits
    other(
        "namespace.podSecurity",
        POD_SECURITY_HINT.format("Restricted"),
        bad=pods("Baseline"),
        good=pods("Privileged", "Staging"),
    ),
    case(
        "namespace.podSecurity",
        POD_SECURITY_HINT.format("Restricted"),
        bad={},
        good=pods("Restricted"),
        limits=OTHER_LIMITS,
    ),
    other(
        "namespace.labels",
        LABELS_HINT.format("example.com/*, tier"),
        bad=labels("team"),
        good=labels("tier", "example.com/anything"),
    ),
    other(
        "namespace.quota.cpu",
        "write at most 12500m, as platform.limits.quota.cpu has it",
        bad={"profile": "Production"},
        good={"profile": "Production", "namespace": {"quota": {"cpu": "12.5", "pods": 50}}},
    ),
    other(
        "access.bindings[0].role",
        ROLE_HINT.format("Developer"),
        bad=bound("Admin"),
        good=bound("Developer"),
    ),
    other(
        "access.bindings[0].subjects[0].name",
        SUBJECTS_HINT.format("system:*, everybody"),
        bad=subject(kind="Group", name="everybody"),
        good=subject(kind="Group", name="everybodys"),
    ),
    other(
        "access.bindings[0].subjects[0].namespace",
        ACCOUNTS_HINT.format("none"),
        bad=account(OPERATOR_NAMESPACE),
        good=account("kube-system"),
    ),
    other(
        "network.isolation",
        ISOLATION_HINT,
        bad={"profile": "Staging", "network": {"isolation": "Disabled"}},
        good={"network": {"isolation": "Disabled"}},
    ),
    other(
        "network.ingress[0].namespace",
        INGRESS_HINT.format("apps-*, reporting"),
        bad={"network": {"ingress": [{"name": "a", "namespace": "reporting-2"}]}},
        good={"network": {"ingress": [{"name": "a", "namespace": "apps-2"}, {"name": "b", "namespace": "reporting"}]}},
    ),
    *(
        other(
            "network.egress[0].cidr",
            ALLOWED_HINT.format("10.0.0.0/8, 2001:db8::/32"),
            bad=egress(cidr=cidr),
            good=egress(cidr="10.1.0.0/16"),
        )
        for cidr in ("11.0.0.0/8", "10.0.0.0/7", "2001:db9::/32")
    ),
    other(
        "network.egress[0].cidr",
        FORBIDDEN_HINT.format("10.9.0.0/16"),
        bad=egress(cidr="10.0.0.0/8"),
        good=without(["10.8.0.0/15"], "10.0.0.0/8"),
    ),
    other(
        "database.server.sslMode",
        SSL_HINT.format("VerifyCA"),
        bad=server("Development"),
        good=server("Development", sslMode="VerifyCA", **CA),
    ),
    other(
        "api.image",
        IMAGE_HINT.format("registry.example.com/biospark/*"),
        bad={"api": {"image": "registry.example.com/biospark"}},
        good={"api": {"image": "registry.example.com/biospark/api:2"}},
    ),
]
"""What the limits are about."""

#: What goes too far in several places.
FAR: Json = {
    "namespace": {"podSecurity": "Privileged", "labels": {"istio-injection": "disabled"}},
    "access": {"bindings": [{"role": "Admin", "subjects": [{"kind": "Group", "name": "system:authenticated"}]}]},
    "network": {"egress": [{"name": "all", "cidr": "0.0.0.0/0", "ports": [{"port": 80}]}]},
}
