"""Each policy on evidence that passes, that fails, and that proves nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.gates import GateName as N
from biospark_operator.api.v1alpha1.gates import Thresholds
from biospark_operator.api.v1alpha1.status import GateResult
from biospark_operator.gates import evidence as e
from biospark_operator.gates.catalog import BY_NAME, GATES
from biospark_operator.gates.gate import Evidence, GateReason, Verdict, judge
from tests.unit.gates.measured import (
    BAD,
    CONTAINER,
    CONTROL,
    GATEWAY_TO_API,
    GOOD,
    HEADERS,
    IN_VAULT,
    MAY_READ,
    NO_SECRETS,
    NOW,
    USE,
    WHEN,
    spoiled,
)

MESSAGES = Path(__file__).parents[2] / "golden" / "gates" / "messages.txt"
R = GateReason


def verdict(name: N, evidence: Evidence) -> Verdict:
    """Return the verdict at the default thresholds."""
    return judge(BY_NAME[name], evidence, Thresholds())


def test_every_gate_is_in_the_table_once() -> None:
    assert [gate.name for gate in GATES] == list(N)
    assert set(GOOD) == set(BAD) == set(N)


def test_every_threshold_that_users_can_set_belongs_to_a_gate() -> None:
    assert {gate.threshold.field for gate in GATES} - {None} == set(Thresholds.model_fields)


@pytest.mark.parametrize("name", N)
def test_good_evidence_passes(name: N) -> None:
    assert verdict(name, GOOD[name]).reason is R.PASSED


@pytest.mark.parametrize("name", N)
def test_bad_evidence_fails(name: N) -> None:
    assert verdict(name, BAD[name]).result is GateResult.FAIL


def test_messages_are_as_reviewed() -> None:
    """Both messages of every gate, with what was observed: user interface, read as a whole."""
    lines = [
        f"{name} {found.result} {found.reason} ({found.observed}; {BY_NAME[name].threshold.text(Thresholds())})\n"
        f"  {found.message}\n"
        for name in N
        for found in (verdict(name, GOOD[name]), verdict(name, BAD[name]))
    ]
    if os.environ.get("UPDATE_GOLDEN"):
        MESSAGES.parent.mkdir(exist_ok=True)
        MESSAGES.write_text("\n".join(lines), encoding="utf-8")
    assert "\n".join(lines) == MESSAGES.read_text(encoding="utf-8")


#: Gate, what is spoiled, and the reason of the verdict with a part of its message.
CASES: list[tuple[N, dict[str, Any], GateReason, str]] = [
    (N.INFRASTRUCTURE_DEPLOYED, {"components": (e.ComponentState("schema", True, 2),)}, R.COMPONENTS_NOT_READY,
     "schema (last judged at generation 2)"),
    (N.SCHEMA_MATCHES, {"revision": None}, R.SCHEMA_DIFFERS, "revision none instead of 0007"),
    (N.SCHEMA_MATCHES, {"missing_agents": ("triage",)}, R.SCHEMA_DIFFERS, "missing default agent triage"),
    (N.API_LATENCY, {"milliseconds": (200.0,) * 20}, R.PASSED, "at most 200 ms"),
    (N.API_LATENCY, {"milliseconds": (200.4,) * 20}, R.TOO_SLOW, "is 201 ms"),
    (N.API_LATENCY, {"milliseconds": (38.0,) * 19}, R.TOO_FEW_SAMPLES, "at least 20"),
    (N.API_LATENCY, {"failures": 1}, R.REQUESTS_FAILED, "1 of 41 requests"),
    (N.API_LATENCY, {"failures": 3, "milliseconds": ()}, R.REQUESTS_FAILED, "3 of 3 requests"),
    (N.AUTHENTICATION_WORKS, {"places": ("the API", "the gateway", "the mesh")}, R.EVIDENCE_INCOMPLETE, "at the mesh"),
    (N.AUTHENTICATION_WORKS, {"attempts": (e.Attempt(e.LoginCase.VALID_TOKEN, "the API", 401),)},
     R.AUTHENTICATION_BROKEN, "valid token answered with 401 at the API"),
    (N.AUTHENTICATION_WORKS, {"attempts": (e.Attempt(e.LoginCase.NO_TOKEN, "the API", 403),)},
     R.AUTHENTICATION_BROKEN, "no token answered with 403"),
    (N.BASELINE_SECURITY, {"containers": (replace(CONTAINER, non_root=False),)}, R.NOT_HARDENED, "runs as root"),
    (N.BASELINE_SECURITY, {"pod_security": None}, R.NOT_HARDENED, "enforces nothing instead of restricted"),
    (N.BASELINE_SECURITY, {"pod_security": "strictest"}, R.NOT_HARDENED, "enforces strictest"),
    (N.BASELINE_SECURITY, {"wanted_pod_security": "baseline"}, R.PASSED, ""),
    (N.BASELINE_SECURITY, {"headers": {}}, R.NOT_HARDENED, "content-security-policy is missing"),
    (N.BASELINE_SECURITY, {"headers": {**HEADERS, "x-content-type-options": "any"}}, R.NOT_HARDENED, "is not nosniff"),
    (N.BASELINE_SECURITY, {"headers": None}, R.EVIDENCE_INCOMPLETE, "HTTP headers"),
    (N.BASELINE_SECURITY, {"plain_http": None}, R.EVIDENCE_INCOMPLETE, "plain HTTP"),
    (N.SECRETS_IN_VAULT, {"configured": False, "secrets": ()}, R.SECRETS_IN_KUBERNETES, "Kubernetes Secrets"),
    (N.SECRETS_IN_VAULT, {"secrets": (replace(IN_VAULT, owned=False),)}, R.SECRETS_EXPOSED, "not marked"),
    (N.SECRETS_IN_VAULT, {"secrets": (replace(IN_VAULT, current=False),)}, R.SECRETS_EXPOSED, "no current version"),
    (N.SECRETS_IN_VAULT, {"own_path_readable": False}, R.SECRETS_EXPOSED, "cannot read its own path"),
    (N.SECRETS_IN_VAULT, {"writable": ("biospark/dev",)}, R.SECRETS_EXPOSED, "can write biospark/dev"),
    (N.SECRETS_IN_VAULT, {"foreign_path_denied": None}, R.EVIDENCE_INCOMPLETE, "a foreign path"),
    (N.SECRETS_IN_VAULT, {"copies": None}, R.EVIDENCE_INCOMPLETE, "copies in Kubernetes"),
    (N.CERTIFICATE_VALID, {"not_after": NOW + timedelta(hours=168), "renewal_time": NOW}, R.PASSED, ""),
    (N.CERTIFICATE_VALID, {"not_after": NOW + timedelta(hours=167.9), "renewal_time": NOW}, R.CERTIFICATE_ENDS_SOON,
     "ends in 167 h"),
    (N.CERTIFICATE_VALID, {"not_after": NOW}, R.CERTIFICATE_INVALID, "it has expired"),
    (N.CERTIFICATE_VALID, {"not_before": NOW + timedelta(hours=1)}, R.CERTIFICATE_INVALID, "not valid yet"),
    (N.CERTIFICATE_VALID, {"names": ("other.example",)}, R.CERTIFICATE_INVALID, "does not name api.example"),
    (N.CERTIFICATE_VALID, {"wanted_names": ()}, R.CERTIFICATE_INVALID, "no name is wanted"),
    (N.CERTIFICATE_VALID, {"key_matches": False}, R.CERTIFICATE_INVALID, "its key"),
    (N.CERTIFICATE_VALID, {"trusted": False}, R.CERTIFICATE_INVALID, "does not verify"),
    (N.CERTIFICATE_VALID, {"served_serial": "0b"}, R.CERTIFICATE_INVALID, "another certificate is served"),
    (N.CERTIFICATE_VALID, {"renewal_time": None}, R.CERTIFICATE_INVALID, "no renewal is scheduled"),
    (N.CERTIFICATE_VALID, {"renewal_time": NOW + timedelta(days=60)}, R.CERTIFICATE_INVALID, "after its end"),
    (N.CERTIFICATE_VALID, {"renewal_time": NOW - timedelta(minutes=11)}, R.CERTIFICATE_INVALID, "overdue"),
    (N.CERTIFICATE_VALID, {"served_serial": None}, R.EVIDENCE_INCOMPLETE, "the served certificate"),
    (N.CERTIFICATE_VALID, {"trusted": None}, R.EVIDENCE_INCOMPLETE, "the chain"),
    (N.NETWORK_ISOLATED, {"reached": ("203.0.113.7 TCP 443",), "control_reached": True}, R.POLICIES_NOT_ENFORCED,
     "does not enforce NetworkPolicies"),
    (N.NETWORK_ISOLATED, {"reached": (), "control_reached": True}, R.PASSED, "a probe was denied as well"),
    (N.NETWORK_ISOLATED, {"reached": (), "control_reached": False}, R.EVIDENCE_INCOMPLETE, "reached nothing at all"),
    (N.NETWORK_ISOLATED, {"reached": (), "control_reached": None}, R.EVIDENCE_INCOMPLETE, "reached nothing at all"),
    (N.NETWORK_ISOLATED, {"connections": (replace(GATEWAY_TO_API, allowed=False),)}, R.NOT_ISOLATED, "is denied"),
    (N.ACCESS_LEAST_PRIVILEGE, {"reviews": (replace(CONTROL, allowed=False), NO_SECRETS)},
     R.CONTROL_FAILED, "prove nothing"),
    (N.ACCESS_LEAST_PRIVILEGE, {"reviews": (CONTROL, replace(NO_SECRETS, resource="secretz", known=False))},
     R.CONTROL_FAILED, "does not know secretz"),
    (N.ACCESS_LEAST_PRIVILEGE, {"reviews": (NO_SECRETS, MAY_READ)}, R.EVIDENCE_INCOMPLETE, "control of group viewers"),
    (N.ACCESS_LEAST_PRIVILEGE, {"reviews": (CONTROL,)}, R.NO_EVIDENCE, "proves nothing"),
    (N.NO_HARDCODED_CREDENTIALS, {"compared_with_store": False}, R.EVIDENCE_INCOMPLETE, "secret store"),
    (N.GATEWAY_THROUGHPUT, {"per_minute": 999.6}, R.THROUGHPUT_TOO_LOW, "carried 999 requests"),
    (N.GATEWAY_THROUGHPUT, {"errors": 2}, R.REQUESTS_FAILED, "2 of 200 requests failed"),
    (N.GATEWAY_THROUGHPUT, {"configured_per_minute": None}, R.EVIDENCE_INCOMPLETE, "rate limit"),
    (N.GATEWAY_THROUGHPUT, {"seconds": 4}, R.EVIDENCE_INCOMPLETE, "last 6 seconds"),
    (N.GATEWAY_THROUGHPUT, {"source": e.ThroughputSource.METRICS, "per_minute": 320}, R.TOO_FEW_SAMPLES, "at most 320"),
    (N.GATEWAY_THROUGHPUT, {"source": e.ThroughputSource.METRICS}, R.PASSED, "according to the gateway's metrics"),
    (N.DATABASE_LATENCY, {"by_id": (1.0,) * 19}, R.TOO_FEW_SAMPLES, "19 samples"),
    (N.DATABASE_LATENCY, {"by_id": ()}, R.NO_EVIDENCE, ""),
    (N.DATABASE_LATENCY, {"by_id": (), "failures": 1}, R.REQUESTS_FAILED, "1 query failed"),
    (N.STARTUP_TIME, {"pods": (e.PodStart("a", None), e.PodStart("b", 9))}, R.EVIDENCE_INCOMPLETE, "pod a"),
    (N.STARTUP_TIME, {"pods": (e.PodStart("a", None), e.PodStart("b", 301))}, R.TOO_SLOW, "301 s until pod b"),
    (N.STARTUP_TIME, {"environment_seconds": 640}, R.TOO_SLOW, "the environment"),
    (N.MEMORY_WITHIN_LIMITS, {"containers": (), "killed": ("a/api",)}, R.OUT_OF_MEMORY, "a/api"),
    (N.MEMORY_WITHIN_LIMITS, {"unexplained_restarts": 2}, R.EVIDENCE_INCOMPLETE, "2 restarts"),
    (N.MEMORY_WITHIN_LIMITS, {"containers": (replace(USE, limit=None),)}, R.NO_LIMIT, "limits.memory"),
    (N.MEMORY_WITHIN_LIMITS, {"containers": (replace(USE, limit=0),)}, R.NO_LIMIT, "limits.memory"),
    (N.MEMORY_WITHIN_LIMITS, {"containers": (replace(USE, samples=(9.0, 9.0)),)}, R.TOO_FEW_SAMPLES, "2 samples"),
    (N.MEMORY_WITHIN_LIMITS, {"containers": (USE, replace(USE, samples=()))}, R.NO_EVIDENCE, ""),
    (N.CPU_UTILIZATION, {"containers": (replace(USE, samples=(179.3,) * 3),)}, R.USE_TOO_HIGH, "71 % of its CPU limit"),
    (N.CPU_UTILIZATION, {"containers": (replace(USE, samples=(256.6,)),)}, R.USE_TOO_HIGH, "limits.cpu"),
    (N.INFRASTRUCTURE_DOCUMENTED, {"sections": ()}, R.NOT_DOCUMENTED, "section Network"),
    (N.API_DOCUMENTED, {"problems": ("no paths",), "operations": ()}, R.NOT_DOCUMENTED, "no paths"),
    (N.API_DOCUMENTED, {"operations": ()}, R.NO_EVIDENCE, ""),
    (N.TROUBLESHOOTING_DOCUMENTED, {"required": ()}, R.NO_EVIDENCE, ""),
    (N.RUNBOOKS_AVAILABLE, {"runbooks": ()}, R.NO_EVIDENCE, ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "reason", "part"), CASES)
def test_verdict(name: N, changes: dict[str, Any], reason: GateReason, part: str) -> None:
    found = verdict(name, spoiled(name, **changes))
    assert found.reason is reason, found.message
    assert part in found.message


def test_a_certificate_passes_no_longer_than_it_is_in_order() -> None:
    """Whatever the interval is, the verdict ends with the renewal that is due, or with the last hour that is wanted."""
    due = verdict(N.CERTIFICATE_VALID, GOOD[N.CERTIFICATE_VALID])
    assert due.holds_until == NOW + timedelta(days=30, minutes=10)
    short = {"not_after": NOW + timedelta(hours=170), "renewal_time": NOW + timedelta(hours=100)}
    assert verdict(N.CERTIFICATE_VALID, spoiled(N.CERTIFICATE_VALID, **short)).holds_until == NOW + timedelta(hours=2)


def test_findings_are_named_in_a_steady_order_and_not_without_end() -> None:
    found = tuple(f"ConfigMap c{number}" for number in range(9, -1, -1))
    one = verdict(N.NO_HARDCODED_CREDENTIALS, spoiled(N.NO_HARDCODED_CREDENTIALS, found=found))
    other = verdict(N.NO_HARDCODED_CREDENTIALS, spoiled(N.NO_HARDCODED_CREDENTIALS, found=found[::-1]))
    assert one == other
    assert "ConfigMap c4 and 5 more" in one.message
    assert one.value == 10


def test_thresholds_are_those_of_the_spec() -> None:
    strict = Thresholds(api_latency_milliseconds=38)
    assert judge(BY_NAME[N.API_LATENCY], GOOD[N.API_LATENCY], strict).reason is R.TOO_SLOW
    assert BY_NAME[N.API_LATENCY].threshold.text(strict) == "<= 38 ms"


def test_evidence_says_when_and_of_what_it_was_measured() -> None:
    assert all((found.subject, found.measured_at) == (WHEN["subject"], NOW) for found in GOOD.values())
