"""Freshness, hysteresis, waivers and what the gates come to together."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.gates import Enforcement, QualityGates, Waiver
from biospark_operator.api.v1alpha1.gates import GateName as N
from biospark_operator.api.v1alpha1.status import Gate as Row
from biospark_operator.api.v1alpha1.status import GateCategory, GateResult
from biospark_operator.gates import ledger as book
from biospark_operator.gates.catalog import GATES
from biospark_operator.gates.gate import Evidence, GateReason, Unmeasured
from tests.unit.gates.measured import BAD, GOOD, NOW, SUBJECT, WHEN

SETTINGS = QualityGates()
MINUTE = timedelta(minutes=1)
PERFORMANCE = [gate.name for gate in GATES if gate.category is GateCategory.PERFORMANCE]
OTHERS = [gate.name for gate in GATES if gate.category is not GateCategory.PERFORMANCE]


def measured(name: N, *found: Evidence, settings: QualityGates = SETTINGS) -> book.Ledger:
    """Return a ledger with measurements of one gate, a minute apart; the last one is of NOW."""
    ledger = book.EMPTY
    for index, evidence in enumerate(found):
        at = NOW - (len(found) - 1 - index) * MINUTE
        ledger = book.recorded(ledger, name, replace(evidence, measured_at=at), settings, at)
    return ledger


def row(ledger: book.Ledger, name: N, settings: QualityGates = SETTINGS, now: datetime = NOW) -> Row:
    return {row.name: row for row in book.rows(ledger, SUBJECT, settings, now)}[name]


def everything(evidence: dict[N, Evidence]) -> book.Ledger:
    ledger = book.EMPTY
    for name, found in evidence.items():
        ledger = book.recorded(ledger, name, found, SETTINGS, NOW)
    return ledger


def waived(*names: N, **changes: Any) -> QualityGates:
    of: dict[str, Any] = {"reason": "new index", "requested_by": "ops@example.com", "expires_at": NOW + MINUTE}
    return QualityGates(waivers=tuple(Waiver(gate=name, **of | changes) for name in names))


def test_a_row_shows_value_threshold_times_and_what_was_measured() -> None:
    shown = row(measured(N.API_LATENCY, GOOD[N.API_LATENCY]), N.API_LATENCY)
    assert (shown.observed, shown.threshold, shown.recent) == ("p95 38 ms, n=40", "<= 200 ms", (38,))
    assert (shown.measured_at, shown.valid_until) == (NOW, NOW + 3 * SETTINGS.interval)
    assert shown.evidence_of == str(SUBJECT)


# Hysteresis.


@pytest.mark.parametrize("name", PERFORMANCE)
def test_a_performance_gate_needs_two_bad_measurements_in_a_row(name: N) -> None:
    good, bad = GOOD[name], BAD[name]
    once = row(measured(name, good, bad), name)
    assert (once.result, once.reason) == (GateResult.PASS, "Confirming")
    assert once.message is not None
    assert once.message.startswith("1 of 2 ")
    assert row(measured(name, good, bad, bad), name).result is GateResult.FAIL
    assert row(measured(name, good, bad, good, bad), name).reason == "Confirming"


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_gate_fails_at_once(name: N) -> None:
    assert row(measured(name, GOOD[name], BAD[name]), name).result is GateResult.FAIL


@pytest.mark.parametrize("name", PERFORMANCE)
def test_a_gate_that_did_not_pass_fails_at_the_first_bad_measurement(name: N) -> None:
    crashed = Unmeasured(reason=GateReason.PROBE_FAILED, message="it crashed", **WHEN)
    assert row(measured(name, BAD[name]), name).result is GateResult.FAIL
    interrupted = measured(name, GOOD[name], BAD[name], crashed, BAD[name])  # type: ignore[arg-type]
    assert row(interrupted, name).result is GateResult.FAIL


def test_a_pass_of_another_image_or_one_that_is_stale_does_not_steady() -> None:
    name = N.CPU_UTILIZATION
    other = replace(GOOD[name], subject=replace(SUBJECT, image="other"))
    assert row(measured(name, other, BAD[name]), name).result is GateResult.FAIL
    ledger, later = measured(name, GOOD[name]), NOW + 3 * SETTINGS.interval
    ledger = book.recorded(ledger, name, replace(BAD[name], measured_at=later), SETTINGS, later)
    assert row(ledger, name, now=later).result is GateResult.FAIL


# Freshness.


def test_evidence_is_valid_for_three_intervals() -> None:
    settings = QualityGates(interval=timedelta(minutes=2))
    ledger = measured(N.SCHEMA_MATCHES, GOOD[N.SCHEMA_MATCHES], settings=settings)
    assert row(ledger, N.SCHEMA_MATCHES, settings, NOW + timedelta(minutes=5, seconds=59)).result is GateResult.PASS
    assert row(ledger, N.SCHEMA_MATCHES, settings, NOW + timedelta(minutes=6)).reason == "EvidenceStale"


def test_evidence_from_the_future_does_not_count() -> None:
    """A clock that was put back would keep it for ever."""
    ledger = measured(N.SCHEMA_MATCHES, GOOD[N.SCHEMA_MATCHES])
    assert row(ledger, N.SCHEMA_MATCHES, now=NOW - timedelta(seconds=59)).result is GateResult.PASS
    assert row(ledger, N.SCHEMA_MATCHES, now=NOW - timedelta(hours=1)).reason == "EvidenceStale"


def test_a_late_measurement_does_not_replace_a_newer_one() -> None:
    name = N.SCHEMA_MATCHES
    late = replace(GOOD[name], measured_at=NOW - MINUTE)
    assert row(book.recorded(measured(name, BAD[name]), name, late, SETTINGS, NOW), name).result is GateResult.FAIL


def test_a_measurement_replaces_one_from_the_future() -> None:
    name, past = N.SCHEMA_MATCHES, NOW - timedelta(days=1)
    ledger = book.recorded(measured(name, GOOD[name]), name, replace(BAD[name], measured_at=past), SETTINGS, past)
    assert row(ledger, name, now=past).result is GateResult.FAIL


def test_a_certificate_that_ends_before_its_evidence_is_stale_ends_the_verdict() -> None:
    name, settings = N.CERTIFICATE_VALID, QualityGates(interval=timedelta(hours=24))
    soon = replace(GOOD[name], not_after=NOW + timedelta(hours=170), renewal_time=NOW + timedelta(hours=160))  # type: ignore[call-arg]
    ledger = measured(name, soon, settings=settings)
    assert row(ledger, name, settings).valid_until == NOW + timedelta(hours=2)
    assert row(ledger, name, settings, NOW + timedelta(hours=2)).result is GateResult.UNKNOWN


def test_recent_values_are_bounded_and_oldest_first() -> None:
    name = N.API_LATENCY
    times = [replace(GOOD[name], milliseconds=(float(ms),) * 20) for ms in range(1, 31)]  # type: ignore[call-arg]
    assert row(measured(name, *times), name).recent == tuple(range(11, 31))


def test_a_value_beyond_all_bounds_does_not_cost_the_status() -> None:
    name = N.API_LATENCY
    endless = replace(GOOD[name], milliseconds=(1e300,) * 20)  # type: ignore[call-arg]
    shown = row(measured(name, endless), name)
    assert shown.recent == (2**31 - 1,)
    assert shown.observed is not None
    assert len(shown.observed) <= 253


# Waivers.


def test_a_waiver_counts_as_passed_and_shows_the_real_result() -> None:
    ledger = measured(N.SCHEMA_MATCHES, BAD[N.SCHEMA_MATCHES])
    shown = row(ledger, N.SCHEMA_MATCHES, waived(N.SCHEMA_MATCHES, ticket="OPS-7"))
    assert (shown.result, shown.reason, shown.waived_until) == (GateResult.WAIVED, "SchemaDiffers", NOW + MINUTE)
    assert shown.message is not None
    assert shown.message.startswith(
        "Waived until 2030-01-31T12:01:00Z at the request of ops@example.com (new index, OPS-7). Fail: The schema"
    )


def test_a_waived_gate_is_measured_on_and_may_pass() -> None:
    name = N.SCHEMA_MATCHES
    assert row(measured(name, BAD[name], GOOD[name]), name, waived(name)).result is GateResult.PASS


def test_a_waiver_ends_by_itself_and_the_ledger_says_when() -> None:
    name, settings = N.SCHEMA_MATCHES, waived(N.SCHEMA_MATCHES)
    ledger = measured(name, BAD[name], settings=settings)
    assert book.next_change(book.rows(ledger, SUBJECT, settings, NOW), NOW) == NOW + MINUTE
    assert row(ledger, name, settings, NOW + MINUTE).result is GateResult.FAIL


def test_the_end_of_a_waiver_is_shown_in_universal_time() -> None:
    elsewhere = (NOW + MINUTE).astimezone(timezone(timedelta(hours=5)))
    shown = row(book.EMPTY, N.SCHEMA_MATCHES, waived(N.SCHEMA_MATCHES, expires_at=elsewhere))
    assert "2030-01-31T12:01:00Z" in (shown.message or "")


def test_a_waiver_of_more_than_90_days_is_named() -> None:
    far = waived(N.API_LATENCY, expires_at=NOW + timedelta(days=91)).waivers
    [sentence] = book.invalid_waivers((*far, *waived(N.SCHEMA_MATCHES).waivers), NOW)
    assert sentence == (
        "spec.qualityGates.waivers: the waiver of ApiLatency ends more than 90 days ahead; write an expiresAt within "
        "90 days"
    )


# Together.


def test_all_gates_passed_or_waived() -> None:
    name = N.SECRETS_IN_VAULT
    rows = book.rows(everything(GOOD | {name: BAD[name]}), SUBJECT, waived(name), NOW)
    assert book.summary(rows) == "20/20"
    for condition in book.conditions(rows, Enforcement.BLOCK):
        assert (condition.status, condition.reason, condition.message) == ("True", "GatesPassed", "20/20")


def test_a_failed_gate_blocks_promotion_with_its_name() -> None:
    name = N.SECRETS_IN_VAULT
    rows = book.rows(everything(GOOD | {name: BAD[name]}), SUBJECT, SETTINGS, NOW)
    passed, promotion = book.conditions(rows, Enforcement.BLOCK)
    assert (passed.status, passed.reason) == ("False", "GatesFailed")
    assert (promotion.status, promotion.reason) == ("False", "GatesFailed")
    assert promotion.message == "19/20; in the way: SecretsInVault"


def test_a_gate_that_is_not_known_blocks_promotion() -> None:
    known = {name: found for name, found in GOOD.items() if name is not N.API_LATENCY}
    passed, promotion = book.conditions(book.rows(everything(known), SUBJECT, SETTINGS, NOW), Enforcement.BLOCK)
    assert (passed.status, passed.reason, passed.message) == ("Unknown", "GatesPending", "19/20; not known: ApiLatency")
    assert (promotion.status, promotion.reason) == ("False", "GatesPending")


def test_reported_gates_do_not_block_promotion() -> None:
    passed, promotion = book.conditions(book.rows(everything(BAD), SUBJECT, SETTINGS, NOW), Enforcement.REPORT)
    assert passed.status == "False"
    assert (promotion.status, promotion.reason) == ("True", "GatesReported")
    assert promotion.message.startswith("0/20; failed: ")


def test_events_tell_changes_alone() -> None:
    nothing = book.rows(book.EMPTY, SUBJECT, SETTINGS, NOW)
    good = book.rows(everything(GOOD), SUBJECT, SETTINGS, NOW)
    one_bad = book.rows(everything(GOOD | {N.API_LATENCY: BAD[N.API_LATENCY]}), SUBJECT, SETTINGS, NOW)
    assert book.events((), nothing) == book.events(good, good) == book.events(one_bad, one_bad) == []
    [all_passed] = book.events(nothing, good)
    assert (all_passed.type, all_passed.reason) == ("Normal", "GatePass")
    [failed] = book.events(good, one_bad)
    assert (failed.type, failed.reason) == ("Warning", "GateFail")
    assert failed.message.startswith("ApiLatency: The 95th percentile of 40 requests")
    [unknown] = book.events(good, nothing)
    assert (unknown.type, unknown.reason) == ("Normal", "GateUnknown")


# After a restart.


def test_a_restart_keeps_what_the_status_says() -> None:
    for evidence in (GOOD, BAD):
        rows = book.rows(everything(evidence), SUBJECT, SETTINGS, NOW)
        stored = [Row.model_validate(row.model_dump(mode="json", by_alias=True)) for row in rows]
        assert book.rows(book.restored(stored), SUBJECT, SETTINGS, NOW) == rows
        late = NOW + timedelta(days=1)
        assert book.rows(book.restored(stored), SUBJECT, SETTINGS, late) == book.rows(
            everything(evidence), SUBJECT, SETTINGS, late
        )


def test_a_restart_does_not_make_verdicts_last_longer() -> None:
    rows = book.rows(everything(GOOD), SUBJECT, SETTINGS, NOW)
    longer = QualityGates(interval=timedelta(hours=1))
    assert book.rows(book.restored(rows), SUBJECT, longer, NOW + 4 * SETTINGS.interval)[0].reason == "EvidenceStale"
    other = replace(SUBJECT, generation=4)
    assert book.rows(book.restored(rows), other, SETTINGS, NOW)[0].reason == "EvidenceOutdated"


def test_a_restart_keeps_one_of_two() -> None:
    name = N.CPU_UTILIZATION
    ledger = book.restored(book.rows(measured(name, GOOD[name], BAD[name]), SUBJECT, SETTINGS, NOW))
    again = book.recorded(ledger, name, replace(BAD[name], measured_at=NOW + MINUTE), SETTINGS, NOW + MINUTE)
    assert row(again, name, now=NOW + MINUTE).result is GateResult.FAIL


def test_of_a_waived_gate_a_restart_keeps_the_values_alone() -> None:
    name = N.SCHEMA_MATCHES
    rows = book.rows(measured(name, BAD[name]), SUBJECT, waived(name), NOW)
    entry = book.restored(rows)[name]
    assert (entry.verdict.reason, entry.recent) == (GateReason.NOT_MEASURED, (3,))


def test_a_status_of_another_version_is_believed_as_far_as_it_makes_sense() -> None:
    [first, *_] = book.rows(everything(GOOD), SUBJECT, SETTINGS, NOW)
    for change in ({"reason": "LaterReason"}, {"reason": "TooSlow"}, {"measured_at": None}, {"valid_until": None}):
        entry = book.restored([first.model_copy(update=change)])[first.name]
        assert entry.verdict.reason is GateReason.NOT_MEASURED
