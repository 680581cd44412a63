"""One good and one bad example for every rule of the resource.

Read by the unit tests, which put them to `parse_environment`, and by the integration tests, which put them to a real
API server: both must refuse the same, at the same field, with the same words.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

MINIMAL: Json = {"profile": "Development", "host": "api.example.com"}
REFERENCE = {"name": "db"}


def environment(name: str = "dev", **spec: Any) -> Json:
    """A whole object with the smallest spec and the given sections; None removes one."""
    wanted = {key: value for key, value in (MINIMAL | spec).items() if value is not None}
    return {
        "apiVersion": "biospark.ai/v1alpha1",
        "kind": "BioSparkEnvironment",
        "metadata": {"name": name},
        "spec": deepcopy(wanted),
    }


@dataclass(frozen=True)
class RuleCase:
    """A rule with an object that breaks it and one that is close and does not."""

    field: str
    message: str
    bad: Json
    good: Json

    def __str__(self) -> str:
        return f"{self.field}: {self.message[:40]}"


def case(field: str, message: str, *, bad: Json, good: Json) -> RuleCase:
    """A case from the sections that differ from the smallest spec."""
    return RuleCase(f"spec.{field}", message, environment(**bad), environment(**good))


def egress(**entry: Any) -> Json:
    """A network section with one egress target."""
    return {"network": {"egress": [{"name": "a", "cidr": "10.0.0.0/8", "ports": [{"port": 443}]} | entry]}}


def server(**members: Any) -> Json:
    """A database section with a server."""
    return {"database": {"server": {"host": "db", "adminSecretRef": REFERENCE} | members}}


def vault(**members: Any) -> Json:
    """A secrets section with a Vault server."""
    return {"secrets": {"vault": {"address": "https://vault", "authRole": "operator"} | members}}


def subject(**members: Any) -> Json:
    """An access section with one subject."""
    return {"access": {"bindings": [{"role": "Viewer", "subjects": [members]}]}}


def waiver(**members: Any) -> Json:
    """A quality gates section with one waiver."""
    complete = {"gate": "ApiLatency", "reason": "slow disk", "requestedBy": "ops", "expiresAt": "2030-01-31T12:00:00Z"}
    return {"qualityGates": {"waivers": [complete | members]}}


def duration_hint(minimum: str, maximum: str) -> str:
    """The words for a duration out of its limits."""
    return (
        f"write a duration from {minimum} to {maximum} in hours, minutes and seconds, such as {minimum} or {maximum} "
        "(there is no unit for days)"
    )


NAME_HINT = (
    "choose a name of at most 54 lower-case letters, digits and hyphens that begins and ends with a letter or digit, "
    "so that biospark-<name> is a valid namespace"
)
LABEL_HINT = (
    "write at most 63 lower-case letters, digits and hyphens, such as team-a; begin and end with a letter or digit"
)
OBJECT_HINT = "write the name of a Kubernetes object: lower-case letters, digits, hyphens and dots, such as my-secret"
RANGE_HINT = "write an address range whose host bits are zero, such as 10.20.0.0/16 or 2001:db8::/32"
KEY_SIZE_HINT = "write 256, 384 or 521 for ECDSA, 2048, 3072, 4096 or 8192 for RSA, and no size for Ed25519"
LABEL_KEY_HINT = (
    "write label keys such as team or example.com/team: an optional DNS prefix and at most 63 letters, digits, dots, "
    "hyphens and underscores"
)
RESERVED_LABEL_HINT = (
    "remove the labels that the operator sets itself: those under biospark.ai/, kubernetes.io/, app.kubernetes.io/ and "
    "pod-security.kubernetes.io/"
)
RESERVED_NAMESPACE_HINT = "choose another name: default and everything that begins with kube- belong to Kubernetes"
EXCEPT_HINT = "write ranges that lie inside cidr and are smaller, such as 10.20.30.0/24 in 10.20.0.0/16"
TOKEN_HINT = "write a tokenLifetime of at most gateway.jwt.maximumTokenLifetime (default 24h), or raise that maximum"
REDIS_HINT = "write redis exactly when policy is Redis: add redis.host, or remove redis, or change policy"
ELASTIC_HINT = (
    "write elastic exactly when provider is Elastic: add elastic.version, or remove elastic, or change provider"
)
RENEW_HINT = "write a renewBefore that is shorter than duration (default 2160h), so that renewal comes before expiry"
RESOURCES_HINT = "write requests that are at most the limits"
QUANTITY_HINT = "write a Kubernetes quantity such as 500m, 2 or 4Gi"
SUBJECT_HINT = "write the namespace of a ServiceAccount, and none for a User or Group"

RULES = [
    RuleCase("metadata.name", NAME_HINT, environment("a" * 55), environment("a" * 54)),
    RuleCase("metadata.name", NAME_HINT, environment("dev.eu"), environment("dev-eu")),
    case(
        "host",
        "write the public name of the API in host, such as api.dev.example.com, or set gateway.provider to None",
        bad={"host": None, "gateway": {"provider": "KongIngress"}},
        good={"host": None, "gateway": {"provider": "None"}},
    ),
    case(
        "api.tokenLifetime",
        TOKEN_HINT,
        bad={"api": {"tokenLifetime": "13h"}, "gateway": {"jwt": {"maximumTokenLifetime": "12h"}}},
        good={"api": {"tokenLifetime": "720m"}, "gateway": {"jwt": {"maximumTokenLifetime": "12h"}}},
    ),
    case(
        "api.tokenLifetime",
        TOKEN_HINT,
        bad={"api": {"tokenLifetime": "25h"}},
        good={"api": {"tokenLifetime": "24h"}},
    ),
    case(
        "namespace.name",
        RESERVED_NAMESPACE_HINT,
        bad={"namespace": {"name": "kube-public"}},
        good={"namespace": {"name": "kubernetes"}},
    ),
    case(
        "namespace.name",
        RESERVED_NAMESPACE_HINT,
        bad={"namespace": {"name": "default"}},
        good={"namespace": {"name": "defaults"}},
    ),
    case(
        "namespace.labels",
        LABEL_KEY_HINT,
        bad={"namespace": {"labels": {"-team": "a"}}},
        good={"namespace": {"labels": {"example.com/team": "a"}}},
    ),
    case(
        "namespace.labels",
        RESERVED_LABEL_HINT,
        bad={"namespace": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        good={"namespace": {"labels": {"istio-injection": "enabled"}}},
    ),
    case(
        "access.bindings[0].subjects[0].namespace",
        SUBJECT_HINT,
        bad=subject(kind="ServiceAccount", name="ci"),
        good=subject(kind="ServiceAccount", name="ci", namespace="ci"),
    ),
    case(
        "access.bindings[0].subjects[0].namespace",
        SUBJECT_HINT,
        bad=subject(kind="Group", name="ops", namespace="ci"),
        good=subject(kind="Group", name="ops"),
    ),
    case("network.egress[0].cidr", RANGE_HINT, bad=egress(cidr="10.0.0.1/8"), good=egress(cidr="10.0.0.1/32")),
    case(
        "network.egress[0].cidr",
        RANGE_HINT,
        bad=egress(cidr="::ffff:10.0.0.0/104"),
        good=egress(cidr="64:ff9b::/96"),
    ),
    case("network.egress[0].cidr", RANGE_HINT, bad=egress(cidr="10.0.0.1"), good=egress(cidr="2001:db8::/32")),
    case("network.egress[0].cidr", RANGE_HINT, bad=egress(cidr="10.0.0.0/255.0.0.0"), good=egress(cidr="0.0.0.0/0")),
    case(
        "network.egress[0].except",
        EXCEPT_HINT,
        bad=egress(**{"except": ["11.0.0.0/16"]}),
        good=egress(**{"except": ["10.1.0.0/16"]}),
    ),
    case(
        "network.egress[0].except",
        EXCEPT_HINT,
        bad=egress(**{"except": ["10.0.0.0/8"]}),
        good=egress(**{"except": ["10.0.0.0/9"]}),
    ),
    case(
        "database.name",
        "choose another name: postgres, template0, template1, rdsadmin, cloudsqladmin, azure_maintenance, azure_sys "
        "belong to PostgreSQL or its hosting",
        bad={"database": {"name": "Postgres"}},
        good={"database": {"name": "postgres2"}},
    ),
    case(
        "database.name",
        "choose a name that does not begin with pg_: PostgreSQL reserves such names of roles",
        bad={"database": {"name": "pg_laboratory"}},
        good={"database": {"name": "pglaboratory"}},
    ),
    case(
        "database.extensions[0].schema",
        "choose a schema that does not begin with pg_: PostgreSQL reserves such names",
        bad={"database": {"extensions": [{"name": "pg_trgm", "schema": "pg_extensions"}]}},
        good={"database": {"extensions": [{"name": "pg_trgm", "schema": "extensions"}]}},
    ),
    case(
        "database.server.caSecretRef",
        "write the Secret with the certificate authority in caSecretRef, or choose sslMode Require or Disable",
        bad=server(sslMode="VerifyCA"),
        good=server(sslMode="VerifyCA", caSecretRef=REFERENCE),
    ),
    case(
        "certificate.renewBefore",
        RENEW_HINT,
        bad={"certificate": {"duration": "720h", "renewBefore": "43200m"}},
        good={"certificate": {"duration": "721h", "renewBefore": "720h"}},
    ),
    case(
        "certificate.renewBefore",
        RENEW_HINT,
        bad={"certificate": {"duration": "720h"}},
        good={"certificate": {"renewBefore": "2159h"}},
    ),
    case(
        "certificate.privateKey.size",
        KEY_SIZE_HINT,
        bad={"certificate": {"privateKey": {"size": 2048}}},
        good={"certificate": {"privateKey": {"algorithm": "RSA", "size": 2048}}},
    ),
    case(
        "certificate.privateKey.size",
        KEY_SIZE_HINT,
        bad={"certificate": {"privateKey": {"algorithm": "Ed25519", "size": 256}}},
        good={"certificate": {"privateKey": {"algorithm": "Ed25519"}}},
    ),
    case(
        "gateway.rateLimit.redis",
        REDIS_HINT,
        bad={"gateway": {"rateLimit": {"policy": "Redis"}}},
        good={"gateway": {"rateLimit": {"policy": "Redis", "redis": {"host": "redis"}}}},
    ),
    case(
        "gateway.rateLimit.redis",
        REDIS_HINT,
        bad={"gateway": {"rateLimit": {"redis": {"host": "redis"}}}},
        good={"gateway": {"rateLimit": {"policy": "Local"}}},
    ),
    case(
        "api.autoscaling.maxReplicas",
        "write a maxReplicas that is at least minReplicas",
        bad={"api": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}},
        good={"api": {"autoscaling": {"minReplicas": 3, "maxReplicas": 3}}},
    ),
    case(
        "api",
        "write either replicas or autoscaling, not both: remove one of them",
        bad={"api": {"replicas": 2, "autoscaling": {"minReplicas": 2, "maxReplicas": 3}}},
        good={"api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 3}}},
    ),
    case(
        "api.resources",
        "write only cpu, memory and ephemeral-storage in requests and limits",
        bad={"api": {"resources": {"limits": {"gpu": 1}}}},
        good={"api": {"resources": {"limits": {"cpu": 1, "ephemeral-storage": "1Gi"}}}},
    ),
    case(
        "api.resources.requests",
        RESOURCES_HINT,
        bad={"api": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}},
        good={"api": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "2000m"}}}},
    ),
    case(
        "monitoring.prometheus",
        "choose provider PrometheusOperator, or remove prometheus",
        bad={"monitoring": {"prometheus": {}}},
        good={"monitoring": {"provider": "PrometheusOperator", "prometheus": {}}},
    ),
    case(
        "logging.elastic",
        ELASTIC_HINT,
        bad={"logging": {"provider": "Elastic"}},
        good={"logging": {"provider": "Elastic", "elastic": {"version": "9.1.5"}}},
    ),
    case(
        "logging.elastic",
        ELASTIC_HINT,
        bad={"logging": {"elastic": {"version": "9.1.5"}}},
        good={"logging": {"provider": "None"}},
    ),
    case(
        "qualityGates.documentation.security",
        "write exactly one of url and configMapRef",
        bad={"qualityGates": {"documentation": {"security": {}}}},
        good={"qualityGates": {"documentation": {"security": {"url": "https://wiki.example.com/security"}}}},
    ),
]
"""Conditions over several fields, and limits of single ones."""

FORMATS = [
    case(
        "host",
        "write a DNS name in lower case without scheme, port or path, such as api.dev.example.com",
        bad={"host": "https://api.example.com"},
        good={"host": "api"},
    ),
    case("interval", duration_hint("1m", "24h"), bad={"interval": "59s"}, good={"interval": "60s"}),
    case("interval", duration_hint("1m", "24h"), bad={"interval": "1440m1s"}, good={"interval": "23h59m60s"}),
    case("interval", duration_hint("1m", "24h"), bad={"interval": "1 hour"}, good={"interval": "1h"}),
    case(
        "database.credentials.rotationInterval",
        duration_hint("1h", "87600h"),
        bad={"database": {"credentials": {"rotationInterval": "30d"}}},
        good={"database": {"credentials": {"rotationInterval": "720h"}}},
    ),
    case(
        "certificate.renewBefore",
        duration_hint("5m", "87600h"),
        bad={"certificate": {"renewBefore": "4m"}},
        good={"certificate": {"renewBefore": "5m"}},
    ),
    case(
        "gateway.jwt.maximumTokenLifetime",
        duration_hint("1m", "8760h"),
        bad={"gateway": {"jwt": {"maximumTokenLifetime": "8761h"}}},
        good={"gateway": {"jwt": {"maximumTokenLifetime": "8760h"}}},
    ),
    case(
        "api.tokenLifetime",
        duration_hint("1m", "168h"),
        bad={"api": {"tokenLifetime": "169h"}, "gateway": {"jwt": {"maximumTokenLifetime": "8760h"}}},
        good={"api": {"tokenLifetime": "168h"}, "gateway": {"jwt": {"maximumTokenLifetime": "8760h"}}},
    ),
    case(
        "monitoring.scrapeInterval",
        duration_hint("1s", "1h"),
        bad={"monitoring": {"scrapeInterval": "0s"}},
        good={"monitoring": {"scrapeInterval": "1s"}},
    ),
    case(
        "qualityGates.interval",
        duration_hint("30s", "24h"),
        bad={"qualityGates": {"interval": "29s"}},
        good={"qualityGates": {"interval": "30s"}},
    ),
    case(
        "qualityGates.loadProbe.duration",
        duration_hint("1s", "5m"),
        bad={"qualityGates": {"loadProbe": {"duration": "6m"}}},
        good={"qualityGates": {"loadProbe": {"duration": "5m"}}},
    ),
    case("namespace.name", LABEL_HINT, bad={"namespace": {"name": "a-"}}, good={"namespace": {"name": "a-b"}}),
    case(
        "namespace.labels.team",
        "write at most 63 letters, digits, dots, hyphens and underscores; begin and end with a letter or digit",
        bad={"namespace": {"labels": {"team": "a b"}}},
        good={"namespace": {"labels": {"team": ""}}},
    ),
    case(
        "namespace.quota.memory",
        QUANTITY_HINT,
        bad={"namespace": {"quota": {"memory": "4GB"}}},
        good={"namespace": {"quota": {"memory": "4G"}}},
    ),
    case(
        "registry.pullSecretRef.name",
        OBJECT_HINT,
        bad={"registry": {"pullSecretRef": {"name": "Pull_Secret"}}},
        good={"registry": {"pullSecretRef": {"name": "pull.secret"}}},
    ),
    case(
        "database.server.host",
        "write a host name or an IP address without scheme and port, such as postgres.example.com or 10.0.0.5",
        bad=server(host="db/x"),
        good=server(host="2001:db8::5"),
    ),
    case(
        "database.server.caSecretRef.key",
        "write a key of the object's data: letters, digits, dots, hyphens and underscores, such as ca.crt",
        bad=server(caSecretRef={"name": "ca", "key": "a/b"}),
        good=server(caSecretRef={"name": "ca", "key": "ca.crt"}),
    ),
    case(
        "database.name",
        "write 1 to 63 letters, digits, hyphens and underscores; begin with a letter or underscore",
        bad={"database": {"name": "1st"}},
        good={"database": {"name": "first_db-1"}},
    ),
    case(
        "database.extensions[0].version",
        "write a version of the extension, such as 1.3",
        bad={"database": {"extensions": [{"name": "pg_trgm", "version": "1 3"}]}},
        good={"database": {"extensions": [{"name": "pg_trgm", "version": "1.3", "schema": "public"}]}},
    ),
    case(
        "database.migrations.target",
        "write head or the id of a migration, such as 0003",
        bad={"database": {"migrations": {"target": "-1"}}},
        good={"database": {"migrations": {"target": "0003"}}},
    ),
    case(
        "secrets.vault.address",
        "write a URL that begins with https:// or http:// and holds no user name or password",
        bad=vault(address="https://root:secret@vault"),
        good=vault(address="https://vault.example.com:8200"),
    ),
    case(
        "secrets.vault.pathPrefix",
        "write path segments of letters, digits, hyphens, underscores and dots, separated by single slashes, "
        "without one at either end, such as biospark/dev",
        bad=vault(pathPrefix="a/../b"),
        good=vault(pathPrefix="a/b.c"),
    ),
    case(
        "certificate.issuerRef.kind",
        "write the kind of the issuer, such as ClusterIssuer",
        bad={"certificate": {"issuerRef": {"name": "ca", "kind": "issuer"}}},
        good={"certificate": {"issuerRef": {"name": "ca", "kind": "Issuer"}}},
    ),
    case(
        "certificate.dnsNames[0]",
        "write a DNS name in lower case such as api.example.com, or a wildcard such as *.example.com",
        bad={"certificate": {"dnsNames": ["a.*.example.com"]}},
        good={"certificate": {"dnsNames": ["*.example.com"]}},
    ),
    case(
        "gateway.kong.workspace",
        "write a workspace name of letters, digits, dots, hyphens and underscores",
        bad={"gateway": {"kong": {"adminURL": "http://kong:8001", "workspace": "a b"}}},
        good={"gateway": {"kong": {"adminURL": "http://kong:8001", "workspace": "a_b"}}},
    ),
    case(
        "gateway.cors.origins[0]",
        "write an origin without a path, such as https://app.example.com, or * for every origin",
        bad={"gateway": {"cors": {"origins": ["https://app.example.com/"]}}},
        good={"gateway": {"cors": {"origins": ["https://app.example.com:8443", "*"]}}},
    ),
    case(
        "api.image",
        "write an image reference without scheme, such as registry.example.com/biospark/api:1.0.0",
        bad={"api": {"image": "-x"}},
        good={"api": {"image": f"registry.example.com:5000/biospark/api:1.0.0@sha256:{'a' * 64}"}},
    ),
    case(
        "api.bootstrapAdmin.email",
        "write an e-mail address such as admin@example.com",
        bad={"api": {"bootstrapAdmin": {"email": "admin@localhost"}}},
        good={"api": {"bootstrapAdmin": {"email": "admin+dev@example.com"}}},
    ),
    case(
        "monitoring.prometheus.retention",
        "write how long to keep data in hours, days or weeks, such as 30d",
        bad={"monitoring": {"provider": "PrometheusOperator", "prometheus": {"retention": "0d"}}},
        good={"monitoring": {"provider": "PrometheusOperator", "prometheus": {"retention": "30d"}}},
    ),
    case(
        "logging.elastic.version",
        "write a version of three numbers such as 9.1.5",
        bad={"logging": {"provider": "Elastic", "elastic": {"version": "9.1"}}},
        good={"logging": {"provider": "Elastic", "elastic": {"version": "9.1.5"}}},
    ),
]
"""Formats of single fields; the API server reports the pattern and these words."""


@dataclass(frozen=True)
class BoundCase:
    """A limit that the schema itself expresses; each side has words of its own for it."""

    field: str
    bad: Json
    good: Json

    def __str__(self) -> str:
        return self.field


def bound(field: str, *, bad: Json, good: Json) -> BoundCase:
    """A case from the sections that differ from the smallest spec."""
    return BoundCase(f"spec.{field}", environment(**bad), environment(**good))


BOUNDS = [
    bound("profile", bad={"profile": "development"}, good={"profile": "Staging"}),
    bound("profile", bad={"profile": None}, good={"profile": "Production"}),
    bound("suspend", bad={"suspend": "yes"}, good={"suspend": True}),
    bound(
        "namespace.quota.pods", bad={"namespace": {"quota": {"pods": 0}}}, good={"namespace": {"quota": {"pods": 1}}}
    ),
    bound("namespace.quota.cpu", bad={"namespace": {"quota": {"cpu": 1.5}}}, good={"namespace": {"quota": {"cpu": 2}}}),
    bound("network.egress[0].ports[0].port", bad=egress(ports=[{"port": 0}]), good=egress(ports=[{"port": 1}])),
    bound("network.egress[0].ports[0].port", bad=egress(ports=[{"port": 65536}]), good=egress(ports=[{"port": 65535}])),
    bound("network.egress[0].ports", bad=egress(ports=[]), good=egress(ports=[{"port": 53, "protocol": "UDP"}])),
    bound("database.server.port", bad=server(port=65536), good=server(port=65535)),
    bound("api.replicas", bad={"api": {"replicas": 0}}, good={"api": {"replicas": 1}}),
    bound("gateway.cors.origins", bad={"gateway": {"cors": {"origins": []}}}, good={"gateway": {}}),
    bound("qualityGates.waivers[0].gate", bad=waiver(gate="Luck"), good=waiver()),
    bound("qualityGates.waivers[0].reason", bad=waiver(reason=""), good=waiver(ticket="OPS-7")),
    bound("qualityGates.waivers[0].expiresAt", bad=waiver(expiresAt="soon"), good=waiver()),
]
"""Types, ranges, enumerations and required fields."""

TRANSITION_HINT = (
    "{}.name can't be changed, added or removed after creation: put it back as it was, or create another environment"
)
TRANSITIONS = {section: TRANSITION_HINT.format(section) for section in ("namespace", "database")}
"""Rules that compare with the stored object, which only the API server has: those about names."""

PROTECTION_HINT = (
    "write false in deletionProtection to give the protection up, or true to keep it: it ends neither with the profile "
    "nor with the field"
)
"""The rule that an environment which is protected stays so."""
