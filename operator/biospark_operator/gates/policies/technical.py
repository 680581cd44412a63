"""Does it work: deployment, schema, latency, authentication, security baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from biospark_operator.gates.evidence import (
    Attempts,
    Components,
    ContainerHardening,
    Hardening,
    LiveSchema,
    LoginCase,
    PlainHttp,
    RequestTimes,
)
from biospark_operator.gates.gate import (
    GateReason,
    Verdict,
    by_findings,
    coarse,
    counted,
    incomplete,
    percentile_95,
)

MINIMUM_REQUESTS = 20
_UNAUTHORIZED = 401
#: Headers that every answer has, and the value where only one will do.
REQUIRED_HEADERS: Mapping[str, str | None] = {
    "strict-transport-security": None,
    "x-content-type-options": "nosniff",
    "content-security-policy": None,
    "referrer-policy": None,
}
_LEVELS = ("privileged", "baseline", "restricted")


def infrastructure_deployed(evidence: Components, _: int) -> Verdict:
    """Pass if every component is ready at the generation that is judged."""
    generation = evidence.subject.generation
    findings = [
        component.name
        if not component.ready
        else f"{component.name} (last judged at generation {component.generation})"
        for component in evidence.components
        if not component.ready or component.generation != generation
    ]
    total = counted(evidence.sample_size, "component")
    return by_findings(
        evidence,
        findings,
        passed=f"{evidence.sample_size} of {total} ready at generation {generation}.",
        reason=GateReason.COMPONENTS_NOT_READY,
        failed=f"{len(findings)} of {total} not ready at generation {generation}",
        advice="Look at their conditions.",
    )


def schema_matches(evidence: LiveSchema, _: int) -> Verdict:
    """Pass if revision, objects and default agents are those of the model."""
    findings = [*evidence.differences, *(f"missing default agent {name}" for name in evidence.missing_agents)]
    if evidence.revision != evidence.target:
        findings.append(f"revision {evidence.revision or 'none'} instead of {evidence.target}")
    return by_findings(
        evidence,
        findings,
        passed=f"The schema is at revision {evidence.target}, and {evidence.sample_size} objects are as in the model.",
        reason=GateReason.SCHEMA_DIFFERS,
        failed=f"The schema has {counted(len(findings), 'difference')} from the model",
        advice="Run the pending migrations, or undo what was changed by hand.",
    )


def api_latency(evidence: RequestTimes, limit: int) -> Verdict:
    """Pass if all requests were answered, and the 95th percentile is within the threshold."""
    total, times = evidence.sample_size, evidence.milliseconds
    if evidence.failures:
        return Verdict(
            GateReason.REQUESTS_FAILED,
            f"{evidence.failures} of {counted(total, 'request')} through {evidence.through} failed, so the times prove "
            "nothing. Look at the logs of the API and of the gateway.",
            f"{evidence.failures} failed, n={total}",
            percentile_95(times) if times else None,
        )
    if total < MINIMUM_REQUESTS:
        return Verdict(
            GateReason.TOO_FEW_SAMPLES,
            f"{counted(total, 'request')} measured, at least {MINIMUM_REQUESTS} are needed. The gate is measured again "
            "in the next round.",
            f"n={total}",
        )
    value = percentile_95(times)
    observed = f"p95 {coarse(value, limit)} ms, n={total}"
    if value <= limit:
        return Verdict(
            GateReason.PASSED,
            f"95 % of {total} requests through {evidence.through} took at most {coarse(value, limit)} ms.",
            observed,
            value,
        )
    return Verdict(
        GateReason.TOO_SLOW,
        f"The 95th percentile of {total} requests through {evidence.through} is {coarse(value, limit)} ms; at most "
        f"{limit} ms are allowed. Look for slow queries and busy pods, or raise "
        "spec.qualityGates.thresholds.apiLatencyMilliseconds.",
        observed,
        value,
    )


def authentication_works(evidence: Attempts, _: int) -> Verdict:
    """Pass if each place accepts the valid token, and answers everything else with 401."""
    tried = {(attempt.case, attempt.place) for attempt in evidence.attempts}
    wanted = {(case, place) for case in LoginCase for place in evidence.places}
    findings = [
        f"{attempt.case} answered with {attempt.status} at {attempt.place}"
        for attempt in evidence.attempts
        if not _right(attempt.case, attempt.status)
    ]
    # What is wrong is wrong, whatever else could not be tried.
    if not findings and (missing := wanted - tried):
        return incomplete(evidence, (f"{case} at {place}" for case, place in missing))
    return by_findings(
        evidence,
        findings,
        passed="The valid token is accepted; without it, and with a wrong one, the answer is 401.",
        reason=GateReason.AUTHENTICATION_BROKEN,
        failed=f"{counted(len(findings), 'wrong answer')}",
        advice="A valid token must be accepted, and everything else answered with 401: check the JWT settings of the "
        "gateway and the signing key of the API.",
    )


def baseline_security(evidence: Hardening, _: int) -> Verdict:
    """Pass if containers, namespace and HTTP answers follow the baseline."""
    findings = list(_weaknesses(evidence))
    not_asked = {"HTTP headers": evidence.headers, "plain HTTP": evidence.plain_http}
    if not findings and (missing := [name for name, answer in not_asked.items() if answer is None]):
        return incomplete(evidence, missing)
    return by_findings(
        evidence,
        findings,
        passed=f"{counted(evidence.sample_size, 'container')}, the namespace and the HTTP answers follow the baseline.",
        reason=GateReason.NOT_HARDENED,
        failed=f"{counted(len(findings), 'weakness', 'weaknesses')}",
        advice="Correct what was changed by hand, or the gateway's routes.",
    )


def _right(case: LoginCase, status: int) -> bool:
    return 200 <= status < 300 if case is LoginCase.VALID_TOKEN else status == _UNAUTHORIZED


def _weaknesses(evidence: Hardening) -> Iterator[str]:
    for container in evidence.containers:
        yield from _container(container)
    if not _strict_enough(evidence.pod_security, evidence.wanted_pod_security):
        level = evidence.pod_security or "nothing"
        yield f"the namespace enforces {level} instead of {evidence.wanted_pod_security}"
    for name, value in REQUIRED_HEADERS.items() if evidence.headers is not None else ():
        sent = (evidence.headers or {}).get(name)
        if not sent or (value is not None and sent.strip().lower() != value):
            yield f"the header {name} is missing" if not sent else f"the header {name} is not {value}"
    if evidence.plain_http is PlainHttp.SERVED:
        yield "plain HTTP is served"


def _container(container: ContainerHardening) -> Iterator[str]:
    demands = {
        "runs as root": container.non_root,
        "may escalate its privileges": container.escalation_denied,
        "keeps capabilities": container.capabilities_dropped,
        "has a writable root file system": container.read_only_root,
        "has no seccomp profile": container.seccomp,
    }
    yield from (f"{container.name} {weakness}" for weakness, met in demands.items() if not met)


def _strict_enough(level: str | None, wanted: str) -> bool:
    if level is None or level.lower() not in _LEVELS:
        return False
    return _LEVELS.index(level.lower()) >= _LEVELS.index(wanted.lower())
