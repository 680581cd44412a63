"""The values that gates are made of: subject, evidence, threshold, verdict, and the gate itself. Pure.

A verdict has a reason, and each reason has one result, so the two cannot contradict each other. What holds for all
evidence is decided here once, in `judge`: nothing measured, a number that is none, or evidence of another kind never
passes, whatever the policy would make of it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal

from biospark_operator.api.v1alpha1.gates import GateName, Thresholds
from biospark_operator.api.v1alpha1.status import GateCategory, GateResult

_PASS, _FAIL, _UNKNOWN, _ERROR = GateResult.PASS, GateResult.FAIL, GateResult.UNKNOWN, GateResult.ERROR


class GateReason(StrEnum):
    """Why a gate has its result: `NAME = (value, result)`."""

    result: GateResult

    def __new__(cls, value: str, result: GateResult) -> GateReason:
        """A string that also carries its result."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.result = result
        return member

    PASSED = ("Passed", _PASS)
    CONFIRMING = ("Confirming", _PASS)

    COMPONENTS_NOT_READY = ("ComponentsNotReady", _FAIL)
    SCHEMA_DIFFERS = ("SchemaDiffers", _FAIL)
    REQUESTS_FAILED = ("RequestsFailed", _FAIL)
    TOO_SLOW = ("TooSlow", _FAIL)
    AUTHENTICATION_BROKEN = ("AuthenticationBroken", _FAIL)
    NOT_HARDENED = ("NotHardened", _FAIL)
    SECRETS_IN_KUBERNETES = ("SecretsInKubernetes", _FAIL)
    SECRETS_EXPOSED = ("SecretsExposed", _FAIL)
    CERTIFICATE_INVALID = ("CertificateInvalid", _FAIL)
    CERTIFICATE_ENDS_SOON = ("CertificateEndsSoon", _FAIL)
    NOT_ISOLATED = ("NotIsolated", _FAIL)
    POLICIES_NOT_ENFORCED = ("PoliciesNotEnforced", _FAIL)
    RIGHTS_DIFFER = ("RightsDiffer", _FAIL)
    CREDENTIALS_FOUND = ("CredentialsFound", _FAIL)
    RATE_LIMIT_TOO_LOW = ("RateLimitTooLow", _FAIL)
    THROUGHPUT_TOO_LOW = ("ThroughputTooLow", _FAIL)
    OUT_OF_MEMORY = ("OutOfMemory", _FAIL)
    NO_LIMIT = ("NoLimit", _FAIL)
    USE_TOO_HIGH = ("UseTooHigh", _FAIL)
    NOT_DOCUMENTED = ("NotDocumented", _FAIL)

    NOT_MEASURED = ("NotMeasured", _UNKNOWN)
    EVIDENCE_STALE = ("EvidenceStale", _UNKNOWN)
    EVIDENCE_OUTDATED = ("EvidenceOutdated", _UNKNOWN)
    NO_EVIDENCE = ("NoEvidence", _UNKNOWN)
    TOO_FEW_SAMPLES = ("TooFewSamples", _UNKNOWN)
    EVIDENCE_INCOMPLETE = ("EvidenceIncomplete", _UNKNOWN)
    EVIDENCE_UNUSABLE = ("EvidenceUnusable", _UNKNOWN)
    UNAVAILABLE = ("Unavailable", _UNKNOWN)
    ENVIRONMENT_NOT_READY = ("EnvironmentNotReady", _UNKNOWN)

    PROBE_FAILED = ("ProbeFailed", _ERROR)
    PROBE_TIMED_OUT = ("ProbeTimedOut", _ERROR)
    CONTROL_FAILED = ("ControlFailed", _ERROR)
    POLICY_FAILED = ("PolicyFailed", _ERROR)


@dataclass(frozen=True, slots=True)
class Subject:
    """What evidence is about. Evidence of another subject says nothing about this one."""

    generation: int
    image: str
    schema_revision: str

    def __str__(self) -> str:
        image, schema = self.image or "none", self.schema_revision or "none"
        return f"generation {self.generation}, image {image}, schema revision {schema}"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a gatherer found; a kind of its own for each question."""

    unit: ClassVar[str] = "finding"

    subject: Subject
    measured_at: datetime

    @property
    @abstractmethod
    def sample_size(self) -> int:
        """How much was looked at: where several things have to be, that of the least. Zero proves nothing."""


@dataclass(frozen=True, kw_only=True)
class Unmeasured:
    """That a gatherer found nothing, and why. The message names no secret, and the next step where there is one."""

    subject: Subject
    measured_at: datetime
    reason: GateReason
    message: str

    def __post_init__(self) -> None:
        """Refuse a reason that would be a verdict about the environment."""
        if self.reason.result not in (_UNKNOWN, _ERROR):
            raise ValueError(f"{self.reason} needs evidence")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What evidence means. `value` is what was compared, in the unit of the evidence."""

    reason: GateReason
    message: str
    observed: str | None = None
    value: float | None = None
    holds_until: datetime | None = None
    """When it ends by itself, before the evidence is too old; None where only that counts."""

    @property
    def result(self) -> GateResult:
        """The result that the reason stands for."""
        return self.reason.result


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a value is compared with: a field of `spec.qualityGates.thresholds`, or no finding at all."""

    comparison: Literal["<=", ">="] = "<="
    unit: str = "findings"
    field: str | None = None

    def limit(self, thresholds: Thresholds) -> int:
        """Return the number."""
        return 0 if self.field is None else int(getattr(thresholds, self.field))

    def text(self, thresholds: Thresholds) -> str:
        """Return it as users read it, such as `<= 200 ms`."""
        return f"no {self.unit}" if self.field is None else f"{self.comparison} {self.limit(thresholds)} {self.unit}"


Policy = Callable[[Any, int], Verdict]
"""From evidence of the gate's kind, and the threshold, to the verdict."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One row of the table: what is asked, and how the answer is judged."""

    name: GateName
    category: GateCategory
    question: str
    evidence: type[Evidence]
    threshold: Threshold
    policy: Policy

    @property
    def bad_in_a_row(self) -> int:
        """How many bad measurements turn Pass into Fail: one busy moment is no verdict on performance."""
        return 2 if self.category is GateCategory.PERFORMANCE else 1


def judge(gate: Gate, found: Evidence | Unmeasured, thresholds: Thresholds) -> Verdict:
    """Return the verdict on one measurement."""
    if isinstance(found, Unmeasured):
        return Verdict(found.reason, found.message)
    if not isinstance(found, gate.evidence):
        return Verdict(
            GateReason.PROBE_FAILED,
            f"{gate.name} needs {gate.evidence.__name__}, and got {type(found).__name__}: report this as a bug.",
        )
    if found.sample_size <= 0:
        return Verdict(
            GateReason.NO_EVIDENCE, "There was nothing to measure, which proves nothing.", f"n={found.sample_size}"
        )
    if any(not math.isfinite(number) or number < 0 for number in _numbers(found)):
        return Verdict(
            GateReason.EVIDENCE_UNUSABLE,
            "The measurement contains a value that is not a number, infinite or negative: check the source of the "
            "metrics.",
            f"not a number, n={found.sample_size}",
        )
    try:
        return gate.policy(found, gate.threshold.limit(thresholds))
    except Exception as error:
        return Verdict(
            GateReason.POLICY_FAILED,
            f"The evidence could not be judged ({type(error).__name__}): report this as a bug.",
        )


def by_findings(
    evidence: Evidence, findings: Collection[str], *, passed: str, reason: GateReason, failed: str, advice: str
) -> Verdict:
    """Return Pass if there are no findings, else Fail with the first of them."""
    observed = f"{counted(len(findings), evidence.unit)}, n={evidence.sample_size}"
    if not findings:
        return Verdict(GateReason.PASSED, passed, observed, 0)
    return Verdict(reason, f"{failed}: {listed(findings)}. {advice}", observed, len(findings))


def incomplete(evidence: Evidence, missing: Iterable[str]) -> Verdict:
    """Return Unknown, because a part of what has to be measured was not."""
    return Verdict(
        GateReason.EVIDENCE_INCOMPLETE,
        f"Not measured: {listed(missing)}. The gate is measured again in the next round.",
        f"incomplete, n={evidence.sample_size}",
    )


def listed(items: Iterable[str], limit: int = 5) -> str:
    """Return the items in a stable order, as many as a reader takes in."""
    ordered = sorted(set(items))
    more = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + more


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def coarse(value: float, limit: float) -> int:
    """Return the value with two digits, so that it is steady, but never on the other side of the limit."""
    digits = 10 ** max(0, len(str(int(value))) - 2)
    rounded = round(value / digits) * digits
    if value > limit:
        return rounded if rounded > limit else math.ceil(value)
    if value < limit:
        return rounded if rounded < limit else math.floor(value)
    return int(value)


def percentile_95(values: Sequence[float]) -> float:
    """Return the 95th percentile by nearest rank: a value that was measured. There is at least one."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _numbers(value: object) -> Iterator[float]:
    match value:
        case bool() | str():
            return
        case int() | float():
            yield value
        case Mapping():
            yield from _numbers(tuple(value.values()))
        case Collection():
            for item in value:
                yield from _numbers(item)
        case _ if is_dataclass(value):
            for field in fields(value):
                yield from _numbers(getattr(value, field.name))
