"""Is it safe: secrets, certificate, network, rights, credentials."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from biospark_operator.gates.evidence import (
    AccessReviews,
    Certificate,
    Connections,
    CredentialScan,
    VaultSecrets,
)
from biospark_operator.gates.gate import (
    GateReason,
    Verdict,
    by_findings,
    coarse,
    counted,
    incomplete,
    listed,
)

RENEWAL_GRACE = timedelta(minutes=10)


def secrets_in_vault(evidence: VaultSecrets, _: int) -> Verdict:
    """Pass if Vault has all secrets, the API's role reads its own and nothing else, and nobody has copies."""
    if not evidence.configured:
        return Verdict(
            GateReason.SECRETS_IN_KUBERNETES,
            "Secrets are in Kubernetes Secrets, because the environment has no Vault. Set spec.secrets.vault, or waive "
            "the gate.",
            "no Vault",
        )
    findings = list(_exposures(evidence))
    answers = {
        "reading the own path": evidence.own_path_readable,
        "reading a foreign path": evidence.foreign_path_denied,
        "writing": evidence.writable,
        "copies in Kubernetes": evidence.copies,
    }
    if not findings and (missing := [name for name, answer in answers.items() if answer is None]):
        return incomplete(evidence, missing)
    return by_findings(
        evidence,
        findings,
        passed=f"{counted(evidence.sample_size, 'secret')} in Vault; the API's role reads its own path only.",
        reason=GateReason.SECRETS_EXPOSED,
        failed=counted(len(findings), "problem"),
        advice="Correct the policy of the API's role in Vault, or let the operator rewrite the secret.",
    )


def certificate_valid(evidence: Certificate, limit: int) -> Verdict:
    """Pass if the served certificate is the one in the Secret, is in order, and lasts for `limit` hours."""
    left = evidence.not_after - evidence.measured_at
    hours = max(left / timedelta(hours=1), 0.0)
    observed = f"{coarse(hours, limit)} h left"
    if problems := list(_certificate_problems(evidence)):
        return Verdict(
            GateReason.CERTIFICATE_INVALID,
            f"The certificate in Secret {evidence.secret} is not in order: {listed(problems)}. Look at the Certificate "
            "and its issuer.",
            observed,
            hours,
        )
    if hours < limit:
        return Verdict(
            GateReason.CERTIFICATE_ENDS_SOON,
            f"The certificate in Secret {evidence.secret} ends in {coarse(hours, limit)} h; at least {limit} h are "
            "wanted. Let it be renewed, or lower spec.qualityGates.thresholds.certificateMinimumHours.",
            observed,
            hours,
        )
    answers = {"the chain": evidence.trusted, "the served certificate": evidence.served_serial}
    if missing := [name for name, answer in answers.items() if answer is None]:
        return incomplete(evidence, missing)
    assert evidence.renewal_time is not None  # noqa: S101 - a problem otherwise
    ends = min(evidence.not_after - timedelta(hours=limit), evidence.renewal_time + RENEWAL_GRACE)
    return Verdict(
        GateReason.PASSED,
        f"The certificate for {listed(evidence.wanted_names)} is served, trusted, and will be renewed in time.",
        observed,
        hours,
        holds_until=ends,
    )


def network_isolated(evidence: Connections, _: int) -> Verdict:
    """Pass if every pod is isolated both ways, and exactly the intended connections get through."""
    findings = [
        *(
            f"{connection} is allowed"
            for connection in evidence.connections
            if _more(connection.allowed, connection.intended)
        ),
        *(
            f"{connection} is denied"
            for connection in evidence.connections
            if _more(connection.intended, connection.allowed)
        ),
        *(f"{pod} is not isolated" for pod in evidence.pods_not_isolated),
    ]
    if not findings and evidence.reached is not None:
        if evidence.reached:
            return Verdict(
                GateReason.POLICIES_NOT_ENFORCED,
                f"The policies deny it, and still a pod reached {listed(evidence.reached)}: the network plugin of the "
                "cluster does not enforce NetworkPolicies. Use one that does.",
                f"{len(evidence.reached)} reached, n={evidence.sample_size}",
                len(evidence.reached),
            )
        if not evidence.control_reached:
            return incomplete(evidence, ["enforcement, since the probe reached nothing at all"])
    probed = (
        "a probe was denied as well" if evidence.reached is not None else "whether they are enforced was not probed"
    )
    return by_findings(
        evidence,
        findings,
        passed=f"{counted(evidence.sample_size, 'connection')} as intended by the live policies; {probed}.",
        reason=GateReason.NOT_ISOLATED,
        failed=f"{counted(len(findings), 'difference')} from the intended connections",
        advice="Remove or correct the NetworkPolicies that the operator did not make.",
    )


def access_least_privilege(evidence: AccessReviews, _: int) -> Verdict:
    """Pass if what must be allowed is, what must be denied is, and each subject's control proves the question."""
    if unknown := {review.resource for review in evidence.reviews if not review.known}:
        return Verdict(
            GateReason.CONTROL_FAILED,
            f"The API server does not know {listed(unknown)}, so a denial proves nothing: report this as a bug.",
            f"n={evidence.sample_size}",
        )
    subjects = {review.subject for review in evidence.reviews}
    if denied := {review.subject for review in evidence.reviews if review.control and not review.allowed}:
        return Verdict(
            GateReason.CONTROL_FAILED,
            f"{listed(denied)} may not do what it must be able to do for the question to make sense, so its denials "
            "prove nothing.",
            f"n={evidence.sample_size}",
        )
    if missing := subjects - {review.subject for review in evidence.reviews if review.control}:
        return incomplete(evidence, (f"the control of {subject}" for subject in missing))
    findings = [
        f"{review} is {'allowed' if review.allowed else 'denied'}"
        for review in evidence.reviews
        if review.allowed != review.expected and not review.control
    ]
    return by_findings(
        evidence,
        findings,
        passed=f"{counted(evidence.sample_size, 'access review')} of {counted(len(subjects), 'subject')} came out as "
        "intended.",
        reason=GateReason.RIGHTS_DIFFER,
        failed=f"{counted(len(findings), 'right')} not as intended",
        advice="Look for Roles and bindings that the operator did not make, ClusterRoleBindings included.",
    )


def no_hardcoded_credentials(evidence: CredentialScan, _: int) -> Verdict:
    """Pass if no live object holds what looks like a credential, or is one."""
    if not evidence.found and not evidence.compared_with_store:
        return incomplete(evidence, ["whether objects hold a value of the secret store"])
    return by_findings(
        evidence,
        evidence.found,
        passed=f"{counted(evidence.sample_size, 'object')} searched, no credential found.",
        reason=GateReason.CREDENTIALS_FOUND,
        failed=f"{counted(len(evidence.found), 'credential')} found",
        advice="Move each into a Secret or into Vault, and replace it: it counts as known.",
    )


def _exposures(evidence: VaultSecrets) -> Iterator[str]:
    for secret in evidence.secrets:
        if not secret.present:
            yield f"{secret.path} is missing"
        elif not secret.owned:
            yield f"{secret.path} is not marked as the operator's"
        elif not secret.current:
            yield f"{secret.path} has no current version"
    if evidence.own_path_readable is False:
        yield "the API's role cannot read its own path"
    if evidence.foreign_path_denied is False:
        yield "the API's role can read a foreign path"
    yield from (f"the API's role can write {path}" for path in evidence.writable or ())
    yield from (f"{place} holds a value of Vault" for place in evidence.copies or ())


def _certificate_problems(evidence: Certificate) -> Iterator[str]:
    now = evidence.measured_at
    if now < evidence.not_before:
        yield "it is not valid yet"
    if now >= evidence.not_after:
        yield "it has expired"
    if not evidence.wanted_names:
        yield "no name is wanted for it"
    yield from (f"it does not name {name}" for name in evidence.wanted_names if name not in evidence.names)
    if not evidence.key_matches:
        yield "its key is another one's"
    if evidence.trusted is False:
        yield "its chain does not verify against the issuer's current CA"
    if evidence.served_serial is not None and evidence.served_serial != evidence.serial:
        yield "another certificate is served"
    if evidence.renewal_time is None:
        yield "no renewal is scheduled"
    elif evidence.renewal_time >= evidence.not_after:
        yield "the renewal is scheduled after its end"
    elif now > evidence.renewal_time + RENEWAL_GRACE:
        yield "the renewal is overdue"


def _more(this: bool, that: bool) -> bool:
    return this and not that
