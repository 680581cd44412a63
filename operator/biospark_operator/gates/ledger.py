"""How long a verdict holds, and what the gates come to together. Pure: the time comes as a value.

Each rule is in exactly one function, and everything that is shown or concluded goes through it: `_bound` (evidence is
of what is there now), `_fresh` (and young enough), `_steadied` (one bad moment does not fail a gate), and
`waiver_in_force`. `rows` is the one way from the ledger to the status; summary, conditions and Events are made from
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.gates import Enforcement, GateName, QualityGates, Waiver
from biospark_operator.api.v1alpha1.status import RECENT_LIMIT, GateResult
from biospark_operator.api.v1alpha1.status import Gate as Row
from biospark_operator.engine.events import Event
from biospark_operator.engine.status import Condition
from biospark_operator.gates.catalog import BY_NAME, GATES
from biospark_operator.gates.gate import Evidence, Gate, GateReason, Subject, Unmeasured, Verdict, judge, listed

INTERVALS_VALID = 3
"""How many intervals evidence counts for: two rounds may fail before a verdict is lost."""

LONGEST_WAIVER = timedelta(days=90)

CLOCK_SKEW = timedelta(minutes=1)
"""How far ahead evidence may seem to be, since another process with another clock may have gathered it."""

_NOT_MEASURED = Verdict(GateReason.NOT_MEASURED, "Not measured yet.")
_REASONS = {reason.value: reason for reason in GateReason}
_COUNTED_AS_PASSED = frozenset({GateResult.PASS, GateResult.WAIVED})
_BAD = frozenset({GateResult.FAIL, GateResult.ERROR})


@dataclass(frozen=True, slots=True)
class Entry:
    """The last verdict on a gate, and on what it rests."""

    verdict: Verdict = _NOT_MEASURED
    measured_at: datetime | None = None
    subject: str = ""
    recent: tuple[int, ...] = ()


Ledger = Mapping[GateName, Entry]
EMPTY: Ledger = MappingProxyType({})


def recorded(
    ledger: Ledger, name: GateName, found: Evidence | Unmeasured, settings: QualityGates, now: datetime
) -> Ledger:
    """Return the ledger with one measurement more. One that a later one has overtaken changes nothing."""
    gate, before = BY_NAME[name], ledger.get(name, Entry())
    if before.measured_at is not None and found.measured_at < before.measured_at <= now + CLOCK_SKEW:
        return ledger
    subject = str(found.subject)
    verdict = judge(gate, found, settings.thresholds)
    held = _fresh(_bound(before, subject), settings.interval, now).verdict
    recent = before.recent if verdict.value is None else (*before.recent, _whole(verdict.value))[-RECENT_LIMIT:]
    entry = Entry(_steadied(gate, held, verdict), found.measured_at, subject, recent)
    return {**ledger, name: entry}


def rows(ledger: Ledger, subject: Subject, settings: QualityGates, now: datetime) -> tuple[Row, ...]:
    """Return what the status says of every gate, measured or not."""
    return tuple(_row(gate, ledger.get(gate.name, Entry()), str(subject), settings, now) for gate in GATES)


def restored(before: Iterable[Row]) -> Ledger:
    """Return the ledger that a former process left in the status, as far as it can be believed.

    Of a gate that is waived the status does not keep the verdict in full; it is measured again.
    """
    return {row.name: _restored(row) for row in before}


def waiver_in_force(waivers: Iterable[Waiver], name: GateName, now: datetime) -> Waiver | None:
    """Return the waiver that counts for a gate now. One that has expired, or reaches too far, is as if absent."""
    return next((w for w in waivers if w.gate is name and now < w.expires_at <= now + LONGEST_WAIVER), None)


def invalid_waivers(waivers: Iterable[Waiver], now: datetime) -> list[str]:
    """Return a sentence for each waiver that reaches too far ahead."""
    return [
        f"spec.qualityGates.waivers: the waiver of {waiver.gate} ends more than {LONGEST_WAIVER.days} days ahead; "
        f"write an expiresAt within {LONGEST_WAIVER.days} days"
        for waiver in waivers
        if waiver.expires_at > now + LONGEST_WAIVER
    ]


def summary(of: Iterable[Row]) -> str:
    """Return how many gates are passed or waived, of all that there are."""
    results = _results(of)
    return f"{sum(result in _COUNTED_AS_PASSED for result in results.values())}/{len(GATES)}"


def conditions(of: Sequence[Row], enforcement: Enforcement) -> tuple[Condition, Condition]:
    """Return `QualityGatesPassed` and `PromotionReady`."""
    return quality_gates_passed(of), promotion_ready(of, enforcement)


def quality_gates_passed(of: Sequence[Row]) -> Condition:
    """Return True if every gate is passed or waived, False if one failed, else Unknown."""
    kind, results = ConditionType.QUALITY_GATES_PASSED, _results(of)
    if failed := _named(results, _BAD):
        return Condition(kind, "False", "GatesFailed", f"{summary(of)}; failed: {listed(failed, len(GATES))}")
    if pending := _named(results, {GateResult.UNKNOWN}):
        return Condition(kind, "Unknown", "GatesPending", f"{summary(of)}; not known: {listed(pending, len(GATES))}")
    return Condition(kind, "True", "GatesPassed", summary(of))


def promotion_ready(of: Sequence[Row], enforcement: Enforcement) -> Condition:
    """Return False if gates are enforced and one is in the way."""
    kind, passed = ConditionType.PROMOTION_READY, quality_gates_passed(of)
    if passed.status == "True":
        return Condition(kind, "True", passed.reason, passed.message)
    if enforcement is Enforcement.REPORT:
        return Condition(kind, "True", "GatesReported", f"{passed.message} (spec.qualityGates.enforcement is Report)")
    in_the_way = _named(_results(of), frozenset(GateResult) - _COUNTED_AS_PASSED)
    return Condition(kind, "False", passed.reason, f"{summary(of)}; in the way: {listed(in_the_way, len(GATES))}")


def events(before: Iterable[Row], after: Iterable[Row]) -> list[Event]:
    """Return what deserves an Event: a Warning for each gate that turned bad, and one for the others of a result."""
    old, news = _results(before), []
    turned: dict[GateResult, list[str]] = {}
    for row in after:
        if row.result is old[row.name]:
            continue
        if row.result in _BAD:
            news.append(Event("Warning", f"Gate{row.result}", f"{row.name}: {row.message}"))
        else:
            turned.setdefault(row.result, []).append(row.name)
    news += [Event("Normal", f"Gate{result}", listed(names, len(GATES))) for result, names in sorted(turned.items())]
    return news


def next_change(of: Iterable[Row], now: datetime) -> datetime | None:
    """Return when a row will change by itself: evidence becomes too old, or a waiver ends."""
    times = (time for row in of for time in (row.valid_until, row.waived_until) if time is not None and time > now)
    return min(times, default=None)


def valid_until(entry: Entry, interval: timedelta) -> datetime | None:
    """Return when the verdict is lost unless it is renewed; None where nothing was measured."""
    if entry.measured_at is None:
        return None
    end = entry.measured_at + INTERVALS_VALID * interval
    return end if entry.verdict.holds_until is None else min(end, entry.verdict.holds_until)


def _bound(entry: Entry, subject: str) -> Entry:
    if entry.measured_at is None or entry.subject == subject:
        return entry
    outdated = f"Measured of {entry.subject}; the environment is at {subject}. The gate is measured again."
    return replace(entry, verdict=Verdict(GateReason.EVIDENCE_OUTDATED, outdated))


def _fresh(entry: Entry, interval: timedelta, now: datetime) -> Entry:
    end = valid_until(entry, interval)
    if end is None or entry.measured_at is None or entry.measured_at - CLOCK_SKEW <= now < end:
        return entry
    stale = Verdict(
        GateReason.EVIDENCE_STALE,
        f"Last measured at {_time(entry.measured_at)}, and valid until {_time(end)}. Look at the log of the operator.",
        entry.verdict.observed,
        holds_until=entry.verdict.holds_until,
    )
    return replace(entry, verdict=stale)


def _steadied(gate: Gate, held: Verdict, new: Verdict) -> Verdict:
    """Keep a gate passed that held, at the first of two bad measurements."""
    first = held.reason is GateReason.PASSED and new.result is GateResult.FAIL and gate.bad_in_a_row > 1
    if not first:
        return new
    message = f"1 of {gate.bad_in_a_row} bad measurements in a row that fail the gate: {new.message}"
    return replace(new, reason=GateReason.CONFIRMING, message=message)


def _row(gate: Gate, entry: Entry, subject: str, settings: QualityGates, now: datetime) -> Row:
    verdict = _fresh(_bound(entry, subject), settings.interval, now).verdict
    waiver = waiver_in_force(settings.waivers, gate.name, now)
    waived = waiver is not None and verdict.result is not GateResult.PASS
    return Row(
        name=gate.name,
        category=gate.category,
        result=GateResult.WAIVED if waived else verdict.result,
        observed=_cut(verdict.observed, 253),
        threshold=gate.threshold.text(settings.thresholds),
        reason=verdict.reason.value,
        message=_cut(_waived(waiver, verdict) if waiver is not None and waived else verdict.message, 4096),
        recent=entry.recent,
        evidence_of=_cut(entry.subject, 1024) or None,
        measured_at=entry.measured_at,
        valid_until=valid_until(entry, settings.interval),
        waived_until=waiver.expires_at if waiver else None,
    )


def _waived(waiver: Waiver, verdict: Verdict) -> str:
    ticket = f", {waiver.ticket}" if waiver.ticket else ""
    return (
        f"Waived until {_time(waiver.expires_at)} at the request of {waiver.requested_by} ({waiver.reason}{ticket}). "
        f"{verdict.result}: {verdict.message}"
    )


def _restored(row: Row) -> Entry:
    unmeasured = Entry(recent=row.recent)
    reason = _REASONS.get(row.reason or "")
    if reason is None or reason is GateReason.EVIDENCE_OUTDATED or reason.result is not row.result:
        return unmeasured
    if row.measured_at is None or row.valid_until is None:
        return unmeasured
    verdict = Verdict(reason, row.message or "", row.observed, holds_until=row.valid_until)
    return Entry(verdict, row.measured_at, row.evidence_of or "", row.recent)


def _results(of: Iterable[Row]) -> dict[GateName, GateResult]:
    """The result of every gate: one that has no row is not known, and not left out."""
    return {gate.name: GateResult.UNKNOWN for gate in GATES} | {row.name: row.result for row in of}


def _named(results: Mapping[GateName, GateResult], wanted: frozenset[GateResult] | set[GateResult]) -> list[str]:
    return [str(name) for name, result in results.items() if result in wanted]


def _whole(value: float) -> int:
    """Return a number that the status can hold: one beyond would have the API server refuse all of it."""
    return min(round(value), 2**31 - 1)


def _cut(text: str | None, limit: int) -> str | None:
    return text if text is None or len(text) <= limit else f"{text[: limit - 1]}…"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
