"""Evidence of an environment in which everything is in order; tests spoil a part of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from biospark_operator.api.v1alpha1.gates import GateName as N
from biospark_operator.gates import evidence as e
from biospark_operator.gates.gate import Evidence, Subject

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
SUBJECT = Subject(generation=3, image="registry.example/biospark@sha256:1234", schema_revision="0007")
WHEN: dict[str, Any] = {"subject": SUBJECT, "measured_at": NOW}
PLACES = ("the gateway", "the API")
HEADERS = {
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "no-referrer",
}
CONTAINER = e.ContainerHardening("biospark-api-1/api", True, True, True, True, True)
IN_VAULT = e.VaultSecret("biospark/dev/database", present=True, owned=True, current=True)
GATEWAY_TO_API = e.Connection("kong/kong", "biospark-dev/api", 8080, "TCP", allowed=True, intended=True)
API_TO_INTERNET = e.Connection("biospark-dev/api", "203.0.113.7", 443, "TCP", allowed=False, intended=False)
VIEWER = "group viewers"
CONTROL = e.AccessReview(VIEWER, "get", "pods", expected=True, allowed=True, known=True, control=True)
NO_SECRETS = e.AccessReview(VIEWER, "list", "secrets", expected=False, allowed=False, known=True)
MAY_READ = e.AccessReview(VIEWER, "list", "deployments", expected=True, allowed=True, known=True)
USE = e.ContainerUse("biospark-api-1/api", (100.0, 120.0, 110.0), 256.0)
OPERATION = e.Operation("GET /api/v1/patients", summary=True, answers=True, errors=True)
RUNBOOK = e.Runbook("BiosparkApiDown", "https://docs.example/runbooks", answered=True, section=True)


def answer(case: e.LoginCase) -> int:
    """Return the status that is right."""
    return 200 if case is e.LoginCase.VALID_TOKEN else 401


def page(kind: type[e.Page], *sections: str) -> e.Page:
    """Return a complete page."""
    topics = ("database", "workload")
    return kind(
        source="https://docs.example/environments",
        answered=True,
        sections=sections,
        required=topics,
        mentioned=topics,
        **WHEN,
    )


GOOD: dict[N, Evidence] = {
    N.INFRASTRUCTURE_DEPLOYED: e.Components(
        components=(e.ComponentState("database", True, 3), e.ComponentState("workload", True, 3)), **WHEN
    ),
    N.SCHEMA_MATCHES: e.LiveSchema(
        revision="0007", target="0007", compared=41, differences=(), missing_agents=(), **WHEN
    ),
    N.API_LATENCY: e.RequestTimes(milliseconds=(38.2,) * 40, failures=0, through="the gateway", **WHEN),
    N.AUTHENTICATION_WORKS: e.Attempts(
        places=PLACES,
        attempts=tuple(e.Attempt(case, place, answer(case)) for case in e.LoginCase for place in PLACES),
        **WHEN,
    ),
    N.BASELINE_SECURITY: e.Hardening(
        containers=(CONTAINER,), pod_security="restricted", wanted_pod_security="restricted", headers=HEADERS,
        plain_http=e.PlainHttp.REDIRECTED, **WHEN,
    ),
    N.SECRETS_IN_VAULT: e.VaultSecrets(
        configured=True, secrets=(IN_VAULT,), own_path_readable=True, foreign_path_denied=True, writable=(),
        copies=(), **WHEN,
    ),
    N.CERTIFICATE_VALID: e.Certificate(
        secret="biospark-tls", serial="0a", served_serial="0a", names=("api.example",), wanted_names=("api.example",),
        trusted=True, key_matches=True, not_before=NOW - timedelta(days=30), not_after=NOW + timedelta(days=60),
        renewal_time=NOW + timedelta(days=30), **WHEN,
    ),
    N.NETWORK_ISOLATED: e.Connections(connections=(GATEWAY_TO_API, API_TO_INTERNET), pods_not_isolated=(), **WHEN),
    N.ACCESS_LEAST_PRIVILEGE: e.AccessReviews(reviews=(CONTROL, NO_SECRETS, MAY_READ), **WHEN),
    N.NO_HARDCODED_CREDENTIALS: e.CredentialScan(
        scanned=("Deployment biospark-api", "ConfigMap hints"), found=(), compared_with_store=True, **WHEN
    ),
    N.GATEWAY_THROUGHPUT: e.Throughput(
        source=e.ThroughputSource.PROBE, requests=200, errors=0, seconds=10, wanted_seconds=10, per_minute=1200,
        configured_per_minute=1000, **WHEN,
    ),
    N.DATABASE_LATENCY: e.QueryTimes(list_page=(8.0,) * 20, by_id=(1.0,) * 20, containment=(12.0,) * 20, **WHEN),
    N.STARTUP_TIME: e.Startup(pods=(e.PodStart("biospark-api-1", 14), e.PodStart("biospark-api-2", 17)), **WHEN),
    N.MEMORY_WITHIN_LIMITS: e.MemoryUse(containers=(USE,), killed=(), unexplained_restarts=0, **WHEN),
    N.CPU_UTILIZATION: e.CpuUse(containers=(USE,), **WHEN),
    N.INFRASTRUCTURE_DOCUMENTED: page(e.InfrastructurePage, "Components", "The network", "Database"),
    N.API_DOCUMENTED: e.OpenApi(problems=(), operations=(OPERATION,), **WHEN),
    N.SECURITY_DOCUMENTED: page(e.SecurityPage, "Authentication", "Access", "Secrets", "Network policies"),
    N.TROUBLESHOOTING_DOCUMENTED: page(e.TroubleshootingPage, "Database", "Gateway", "Certificates"),
    N.RUNBOOKS_AVAILABLE: e.Runbooks(runbooks=(RUNBOOK,), **WHEN),
}  # fmt: skip


def spoiled(name: N, **changes: Any) -> Evidence:
    """Return the good evidence for a gate with changes."""
    return replace(GOOD[name], **changes)


#: Evidence with which each gate fails, for one reason after the other.
BAD: dict[N, Evidence] = {
    N.INFRASTRUCTURE_DEPLOYED: spoiled(
        N.INFRASTRUCTURE_DEPLOYED,
        components=(e.ComponentState("database", False, 3), e.ComponentState("workload", True, 2)),
    ),
    N.SCHEMA_MATCHES: spoiled(
        N.SCHEMA_MATCHES, revision="0006", differences=("missing index records_data_gin",), missing_agents=("triage",)
    ),
    N.API_LATENCY: spoiled(N.API_LATENCY, milliseconds=(38.0,) * 37 + (240.0,) * 3),
    N.AUTHENTICATION_WORKS: spoiled(
        N.AUTHENTICATION_WORKS,
        attempts=(
            *GOOD[N.AUTHENTICATION_WORKS].attempts[:-1],  # type: ignore[attr-defined]
            e.Attempt(e.LoginCase.UNSIGNED_TOKEN, "the API", 200),
        ),
    ),
    N.BASELINE_SECURITY: spoiled(
        N.BASELINE_SECURITY,
        containers=(e.ContainerHardening("biospark-api-1/debug", False, False, False, False, False),),
        pod_security="baseline", plain_http=e.PlainHttp.SERVED, headers={**HEADERS, "x-content-type-options": "no"},
    ),
    N.SECRETS_IN_VAULT: spoiled(
        N.SECRETS_IN_VAULT, secrets=(IN_VAULT, replace(IN_VAULT, path="biospark/dev/keys", present=False)),
        foreign_path_denied=False, copies=("Secret biospark-database",),
    ),
    N.CERTIFICATE_VALID: spoiled(
        N.CERTIFICATE_VALID, not_after=NOW + timedelta(hours=100), renewal_time=NOW + timedelta(hours=50)
    ),
    N.NETWORK_ISOLATED: spoiled(
        N.NETWORK_ISOLATED,
        connections=(replace(GATEWAY_TO_API, allowed=False), replace(API_TO_INTERNET, allowed=True)),
        pods_not_isolated=("biospark-dev/debug",),
    ),
    N.ACCESS_LEAST_PRIVILEGE: spoiled(
        N.ACCESS_LEAST_PRIVILEGE,
        reviews=(CONTROL, replace(NO_SECRETS, allowed=True), replace(MAY_READ, allowed=False)),
    ),
    N.NO_HARDCODED_CREDENTIALS: spoiled(
        N.NO_HARDCODED_CREDENTIALS, found=("ConfigMap hints data.connection (basic auth)",)
    ),
    N.GATEWAY_THROUGHPUT: spoiled(N.GATEWAY_THROUGHPUT, configured_per_minute=600),
    N.DATABASE_LATENCY: spoiled(N.DATABASE_LATENCY, containment=(12.0,) * 15 + (81.0,) * 5),
    N.STARTUP_TIME: spoiled(N.STARTUP_TIME, pods=(e.PodStart("biospark-api-1", 14), e.PodStart("biospark-api-2", 412))),
    N.MEMORY_WITHIN_LIMITS: spoiled(N.MEMORY_WITHIN_LIMITS, killed=("biospark-api-1/api",)),
    N.CPU_UTILIZATION: spoiled(N.CPU_UTILIZATION, containers=(replace(USE, samples=(100.0, 232.0, 110.0)),)),
    N.INFRASTRUCTURE_DOCUMENTED: spoiled(
        N.INFRASTRUCTURE_DOCUMENTED, sections=("Components", "Database"), mentioned=("database",)
    ),
    N.API_DOCUMENTED: spoiled(
        N.API_DOCUMENTED, operations=(OPERATION, e.Operation("POST /api/v1/agents", False, False, False))
    ),
    N.SECURITY_DOCUMENTED: spoiled(N.SECURITY_DOCUMENTED, answered=False),
    N.TROUBLESHOOTING_DOCUMENTED: spoiled(N.TROUBLESHOOTING_DOCUMENTED, mentioned=()),
    N.RUNBOOKS_AVAILABLE: spoiled(
        N.RUNBOOKS_AVAILABLE,
        runbooks=(
            RUNBOOK, replace(RUNBOOK, alert="A", url=None), replace(RUNBOOK, alert="B", answered=False),
            replace(RUNBOOK, alert="C", section=False),
        ),
    ),
}  # fmt: skip
