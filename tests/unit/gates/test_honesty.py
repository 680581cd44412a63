"""Evidence that proves nothing never passes, and the traps that other systems are in."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.api.v1alpha1.gates import Enforcement, QualityGates, Thresholds, Waiver
from biospark_operator.api.v1alpha1.gates import GateName as N
from biospark_operator.api.v1alpha1.status import GateResult
from biospark_operator.gates import ledger as book
from biospark_operator.gates.catalog import BY_NAME, GATES
from biospark_operator.gates.gate import Evidence, Gate, GateReason, Unmeasured, Verdict, coarse, judge
from tests.unit.gates.measured import BAD, GOOD, NOW, SUBJECT, WHEN

SETTINGS = QualityGates()
LATER = NOW + 3 * SETTINGS.interval


def filled(evidence: dict[N, Evidence], settings: QualityGates = SETTINGS) -> book.Ledger:
    """Return a ledger with evidence for its gates."""
    ledger = book.EMPTY
    for name, found in evidence.items():
        ledger = book.recorded(ledger, name, found, settings, NOW)
    return ledger


def with_number(value: Any, number: float) -> Any:
    """Return the value with each measured number replaced, or the same object where it has none."""
    match value:
        case bool() | str() | None:
            return value
        case float() | int():
            return number
        case tuple():
            items = tuple(with_number(item, number) for item in value)
            return value if items == value else items
        case _ if is_dataclass(value):
            changes = {
                field.name: with_number(getattr(value, field.name), number)
                for field in fields(value)
                if field.name not in ("subject", "measured_at")
            }
            return replace(value, **changes)  # type: ignore[type-var]
        case _:
            return value


WITH_NUMBERS = [name for name, found in GOOD.items() if with_number(found, math.inf) != found]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_a_number_that_is_none_never_passes(name: N, number: float) -> None:
    found = judge(BY_NAME[name], with_number(GOOD[name], number), Thresholds())
    assert found.result in (GateResult.UNKNOWN, GateResult.ERROR)


def test_one_number_that_is_none_spoils_all_the_others() -> None:
    found = replace(GOOD[N.API_LATENCY], milliseconds=(38.0,) * 39 + (math.nan,))  # type: ignore[call-arg]
    assert judge(BY_NAME[N.API_LATENCY], found, Thresholds()).reason is GateReason.EVIDENCE_UNUSABLE


@pytest.mark.parametrize("name", N)
def test_emptied_evidence_never_passes(name: N) -> None:
    """All lists empty, as a gatherer has them that found nothing to look at."""
    empty = {f.name: () for f in fields(GOOD[name]) if isinstance(getattr(GOOD[name], f.name), tuple)}
    zero = {f.name: 0 for f in fields(GOOD[name]) if f.name in ("compared", "requests")}
    assert empty | zero
    assert judge(BY_NAME[name], replace(GOOD[name], **empty, **zero), Thresholds()).result is not GateResult.PASS


@pytest.mark.parametrize("name", N)
def test_evidence_for_another_gate_is_an_error(name: N) -> None:
    other = next(found for other, found in GOOD.items() if not isinstance(found, BY_NAME[name].evidence))
    assert judge(BY_NAME[name], other, Thresholds()).reason is GateReason.PROBE_FAILED


@pytest.mark.parametrize("reason", [GateReason.PROBE_FAILED, GateReason.PROBE_TIMED_OUT, GateReason.UNAVAILABLE])
@pytest.mark.parametrize("name", N)
def test_a_gatherer_that_found_nothing_takes_the_pass_away_at_once(name: N, reason: GateReason) -> None:
    failed = Unmeasured(reason=reason, message="no answer within 5 s", **{**WHEN, "measured_at": LATER})
    ledger = book.recorded(filled(GOOD), name, failed, SETTINGS, LATER)
    row = {row.name: row for row in book.rows(ledger, SUBJECT, SETTINGS, LATER)}[name]
    assert (row.result, row.reason, row.message) == (reason.result, reason, "no answer within 5 s")


@pytest.mark.parametrize("reason", [r for r in GateReason if r.result in (GateResult.PASS, GateResult.FAIL)])
def test_no_verdict_about_the_environment_without_evidence(reason: GateReason) -> None:
    with pytest.raises(ValueError, match="needs evidence"):
        Unmeasured(reason=reason, message="", **WHEN)


def test_a_policy_that_crashes_is_an_error_without_what_it_had_in_hand() -> None:
    def crash(evidence: Evidence, limit: int) -> Verdict:
        raise KeyError("hunter2")

    found = judge(replace(BY_NAME[N.CPU_UTILIZATION], policy=crash), GOOD[N.CPU_UTILIZATION], Thresholds())
    assert (found.result, found.reason) == (GateResult.ERROR, GateReason.POLICY_FAILED)
    assert "hunter2" not in found.message


def changed_subjects() -> list[dict[str, Any]]:
    return [{"generation": 4}, {"image": "registry.example/biospark@sha256:5678"}, {"schema_revision": "0008"}]


@pytest.mark.parametrize("change", changed_subjects(), ids=lambda change: next(iter(change)))
def test_evidence_of_another_subject_never_passes(change: dict[str, Any]) -> None:
    """A new generation, image or schema revision: nothing is known until it is measured."""
    rows = book.rows(filled(GOOD), replace(SUBJECT, **change), SETTINGS, NOW)
    assert {(row.result, row.reason) for row in rows} == {(GateResult.UNKNOWN, "EvidenceOutdated")}
    assert book.summary(rows) == "0/20"


@given(st.floats(0, 1e9), st.integers(1, 10**7))
def test_a_rounded_value_never_contradicts_the_verdict(value: float, limit: int) -> None:
    shown = coarse(value, limit)
    assert (shown > limit) == (value > limit)
    assert (shown < limit) == (value < limit)


# The traps.


def test_trap_a_dead_metrics_server_keeps_the_last_value_and_the_gate_stays_green() -> None:
    ledger = filled(GOOD)
    assert book.summary(book.rows(ledger, SUBJECT, SETTINGS, LATER - timedelta(seconds=1))) == "20/20"
    rows = book.rows(ledger, SUBJECT, SETTINGS, LATER)
    assert {(row.result, row.reason) for row in rows} == {(GateResult.UNKNOWN, "EvidenceStale")}


def test_trap_an_objective_that_once_passed_is_never_read_again() -> None:
    """Every verdict ends by itself, and the ledger tells when, so that somebody wakes for it."""
    rows = book.rows(filled(GOOD), SUBJECT, SETTINGS, NOW)
    assert all(row.valid_until is not None and row.valid_until <= LATER for row in rows)
    assert book.next_change(rows, NOW) == LATER
    again = book.recorded(filled(GOOD), N.NETWORK_ISOLATED, BAD[N.NETWORK_ISOLATED], SETTINGS, NOW)
    assert book.summary(book.rows(again, SUBJECT, SETTINGS, NOW)) == "19/20"


def test_trap_a_run_ended_before_its_first_measurement_counts_as_success() -> None:
    rows = book.rows(book.EMPTY, SUBJECT, SETTINGS, NOW)
    assert {(row.result, row.reason) for row in rows} == {(GateResult.UNKNOWN, "NotMeasured")}
    assert book.promotion_ready(rows, Enforcement.BLOCK).status == "False"
    assert book.quality_gates_passed(rows).status == "Unknown"


def test_trap_an_unknown_name_is_skipped_silently() -> None:
    with pytest.raises(KeyError):
        book.recorded(book.EMPTY, "ApiLatenzy", GOOD[N.API_LATENCY], SETTINGS, NOW)  # type: ignore[arg-type]
    # A gate whose row is missing counts, as one that is not known.
    rows = [row for row in book.rows(filled(GOOD), SUBJECT, SETTINGS, NOW) if row.name is not N.API_LATENCY]
    assert book.summary(rows) == "19/20"
    assert "ApiLatency" in book.promotion_ready(rows, Enforcement.BLOCK).message
    assert book.promotion_ready([], Enforcement.BLOCK).status == "False"


def test_trap_only_pass_or_fail_is_kept_and_nobody_can_see_the_value() -> None:
    for evidence in (GOOD, BAD):
        for row in book.rows(filled(evidence), SUBJECT, SETTINGS, NOW):
            assert row.observed, row.name
            assert row.threshold, row.name
            assert row.recent, row.name


WAIVED = frozenset(N)


def waivers(ends: timedelta) -> QualityGates:
    """Return settings in which all gates are waived."""
    of = {"reason": "migration", "requested_by": "ops@example.com", "expires_at": NOW + ends}
    return QualityGates(waivers=tuple(Waiver(gate=name, **of) for name in N))


@pytest.mark.parametrize("ends", [timedelta(0), timedelta(seconds=-1), timedelta(days=90, seconds=1)])
def test_trap_an_expired_waiver_is_still_honoured_in_one_of_five_code_paths(ends: timedelta) -> None:
    """One that has expired, or reaches too far ahead, is as if absent in everything that comes out of the ledger."""
    absent, expired = SETTINGS, waivers(ends)
    bad = filled(BAD)
    without, rows = (book.rows(bad, SUBJECT, settings, NOW) for settings in (absent, expired))
    assert rows == without
    assert book.summary(rows) == book.summary(without)
    assert book.next_change(rows, NOW) == book.next_change(without, NOW)
    assert book.restored(rows) == book.restored(without)
    assert book.events((), rows) == book.events((), without)
    for enforcement in Enforcement:
        assert book.conditions(rows, enforcement) == book.conditions(without, enforcement)
    # Also in what was recorded while the waiver was there.
    assert filled(BAD, expired) == bad
    assert all(book.waiver_in_force(expired.waivers, name, NOW) is None for name in WAIVED)


def test_every_verdict_of_every_policy_has_a_message_that_ends() -> None:
    for gate in GATES:
        for evidence in (GOOD, BAD):
            assert judge(gate, evidence[gate.name], Thresholds()).message.endswith("."), gate.name


def test_a_gate_more_is_a_row_and_a_policy() -> None:
    """Nothing else knows the gates by name."""

    def policy(evidence: Evidence, limit: int) -> Verdict:
        return Verdict(GateReason.PASSED, f"at most {limit}.")

    known = BY_NAME[N.CPU_UTILIZATION]
    more = Gate(known.name, known.category, "Is it quiet?", known.evidence, known.threshold, policy)
    assert judge(more, GOOD[N.CPU_UTILIZATION], Thresholds()).message == "at most 70."


def test_the_operator_does_not_load_gates() -> None:
    """They cost nothing where nobody uses them."""
    code = "import sys, biospark_operator.runtime.main; print(*(m for m in sys.modules if 'operator.gates' in m))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
