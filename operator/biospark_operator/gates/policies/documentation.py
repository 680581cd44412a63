"""Is it described: infrastructure, API, security, troubleshooting, runbooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from biospark_operator.gates.evidence import (
    InfrastructurePage,
    OpenApi,
    Page,
    Runbook,
    Runbooks,
    SecurityPage,
    TroubleshootingPage,
)
from biospark_operator.gates.gate import GateReason, Verdict, by_findings, counted

#: A section counts if its heading contains the word.
INFRASTRUCTURE_SECTIONS = ("Components", "Network", "Database")
SECURITY_SECTIONS = ("Authentication", "Access", "Secrets", "Network")
TROUBLESHOOTING_SECTIONS = ("Database", "Gateway", "Certificate")


def infrastructure_documented(evidence: InfrastructurePage, _: int) -> Verdict:
    """Pass if the page answers, has its sections, and names this environment's components."""
    return _page(evidence, INFRASTRUCTURE_SECTIONS, "spec.qualityGates.documentation.infrastructure")


def security_documented(evidence: SecurityPage, _: int) -> Verdict:
    """Pass if the page answers, has its sections, and names this environment's security measures."""
    return _page(evidence, SECURITY_SECTIONS, "spec.qualityGates.documentation.security")


def troubleshooting_documented(evidence: TroubleshootingPage, _: int) -> Verdict:
    """Pass if the page answers, has its sections, and covers every reason that the operator can set."""
    return _page(evidence, TROUBLESHOOTING_SECTIONS, "spec.qualityGates.documentation.troubleshooting")


def api_documented(evidence: OpenApi, _: int) -> Verdict:
    """Pass if the document is valid, and every operation has a summary, schemas and an error response."""
    findings = [*evidence.problems]
    for operation in evidence.operations:
        demands = {
            "no summary": operation.summary,
            "an answer without a schema": operation.answers,
            "no error response": operation.errors,
        }
        findings += [f"{operation.name} has {gap}" for gap, met in demands.items() if not met]
    return by_findings(
        evidence,
        findings,
        passed=f"The document is valid and describes {counted(len(evidence.operations), 'operation')} completely.",
        reason=GateReason.NOT_DOCUMENTED,
        failed=f"{counted(len(findings), 'gap')} in the OpenAPI document",
        advice="Run an image of the API whose document is complete.",
    )


def runbooks_available(evidence: Runbooks, _: int) -> Verdict:
    """Pass if every installed alert has a link to a page that answers, and has a section about it."""
    findings = [f"{runbook.alert} {gap}" for runbook in evidence.runbooks if (gap := _gap(runbook))]
    return by_findings(
        evidence,
        findings,
        passed=f"{counted(evidence.sample_size, 'alert')} with a runbook each.",
        reason=GateReason.NOT_DOCUMENTED,
        failed=f"{len(findings)} of {counted(evidence.sample_size, 'alert')} without a runbook",
        advice="Correct the alert's annotation runbook_url, the page, or spec.qualityGates.documentation.runbooks.",
    )


def _gap(runbook: Runbook) -> str | None:
    if not runbook.url:
        return "has no link"
    if not runbook.answered:
        return "has a link that does not answer"
    return None if runbook.section else "has no section on the page"


def _page(evidence: Page, sections: Sequence[str], field: str) -> Verdict:
    findings = list(_missing(evidence, sections)) if evidence.answered else ["no answer"]
    return by_findings(
        evidence,
        findings,
        passed=f"{evidence.source} covers {counted(len(set(evidence.required)), 'topic')} of this environment.",
        reason=GateReason.NOT_DOCUMENTED,
        failed=f"{counted(len(findings), 'gap')} in {evidence.source}",
        advice=f"Complete the page, or name another one in {field}.",
    )


def _missing(evidence: Page, sections: Sequence[str]) -> Iterator[str]:
    headings = [heading.lower() for heading in evidence.sections]
    yield from (f"no section {name}" for name in sections if not any(name.lower() in heading for heading in headings))
    yield from (f"no mention of {name}" for name in {*evidence.required} - {*evidence.mentioned})
