"""Drift that keeps coming back: when it is repaired, what is told, and when the fight is over."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.component import Action
from biospark_operator.engine.contest import AT_ONCE, CONTESTED_AFTER, QUIET, Contest
from biospark_operator.engine.outcome import Blocked, Failed, Progressing, Ready

DRIFT = Action(Verb.UPDATE, "apps/v1 Deployment dev/api", "set spec.replicas", payload="wanted", rivals=("kubectl",))
READY = Ready("Succeeded", "all is well")


def fought(contest: Contest, times: int, action: Action = DRIFT, now: float = 0.0) -> list[float]:
    """Repair as soon as it is due, `times` times; return when each repair was made."""
    repaired = []
    while len(repaired) < times:
        if contest.due("api", action, now):
            contest.repaired("api", action, now)
            repaired.append(now)
        else:
            now += 0.5
    return repaired


@pytest.fixture
def contest() -> Contest:
    return Contest(random.Random(1))


def test_the_first_repairs_are_made_at_once_and_the_others_ever_more_seldom(contest: Contest) -> None:
    times = fought(contest, 20)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps[: AT_ONCE - 1] == [0] * (AT_ONCE - 1)
    assert all(gap > 0 for gap in gaps[AT_ONCE - 1 :])
    assert gaps[AT_ONCE + 3] > 5
    assert all(140 < gap <= 301 for gap in gaps[-5:])


@pytest.mark.parametrize(
    "other",
    [
        replace(DRIFT, target="apps/v1 Deployment dev/other"),
        replace(DRIFT, summary="set spec.template"),
        replace(DRIFT, payload="something else"),
    ],
)
def test_another_drift_is_repaired_at_once(contest: Contest, other: Action) -> None:
    now = fought(contest, CONTESTED_AFTER)[-1]
    assert not contest.due("api", DRIFT, now)
    assert contest.due("api", other, now)
    assert contest.due("network", DRIFT, now)


def test_who_fights_over_what_is_told_after_some_repairs_in_a_row(contest: Contest) -> None:
    now = fought(contest, CONTESTED_AFTER - 1)[-1]
    assert contest.verdict("api", READY, now) is READY
    now = fought(contest, 1, now=now)[-1]
    told = contest.verdict("api", READY, now)
    assert isinstance(told, Blocked)
    assert told.reason == "DriftContested"
    assert "kubectl keeps changing spec.replicas of apps/v1 Deployment dev/api" in told.message
    assert contest.verdict("network", READY, now) is READY


def test_what_is_told_stays_the_same_while_the_fight_lasts(contest: Contest) -> None:
    now = fought(contest, CONTESTED_AFTER)[-1]
    first = contest.verdict("api", READY, now)
    now = fought(contest, 3, replace(DRIFT, rivals=()), now)[-1]
    assert contest.verdict("api", READY, now) == first


def test_what_is_ready_but_for_the_fight_can_be_built_on(contest: Contest) -> None:
    now = fought(contest, CONTESTED_AFTER)[-1]
    ready = contest.verdict("api", READY, now)
    rolling = contest.verdict("api", Progressing("RollingOut", "…", 3.0), now)
    assert isinstance(ready, Blocked)
    assert ready.usable
    assert isinstance(rolling, Blocked)
    assert not rolling.usable


@pytest.mark.parametrize("worse", [Blocked("Invalid", "no"), Failed("AccessDenied", "no")])
def test_a_worse_problem_is_not_hidden(contest: Contest, worse: Blocked | Failed) -> None:
    now = fought(contest, CONTESTED_AFTER)[-1]
    assert contest.verdict("api", worse, now) is worse


def test_an_object_that_is_deleted_again_and_again_is_told_as_such(contest: Contest) -> None:
    now = fought(contest, CONTESTED_AFTER, Action(Verb.CREATE, "v1 Service dev/api", "create Service dev/api"))[-1]
    assert "v1 Service dev/api keeps being deleted" in contest.verdict("api", READY, now).message


def test_where_no_manager_is_known_a_webhook_is_suspected(contest: Contest) -> None:
    now = fought(contest, CONTESTED_AFTER, replace(DRIFT, rivals=()))[-1]
    assert "an admission webhook" in contest.verdict("api", READY, now).message


def test_the_fight_is_over_when_the_drift_stays_away(contest: Contest) -> None:
    now = fought(contest, CONTESTED_AFTER)[-1]
    assert contest.is_on(now + QUIET - 1)
    assert not contest.is_on(now + QUIET)
    assert contest.verdict("api", READY, now + QUIET) is READY
    assert fought(contest, AT_ONCE, now=now + QUIET) == [now + QUIET] * AT_ONCE


def test_a_slow_fight_is_not_taken_for_over_while_a_repair_is_held_back(contest: Contest) -> None:
    now = fought(contest, 20)[-1]
    while not contest.due("api", DRIFT, now):
        assert contest.is_on(now)
        now += 1
    assert contest.is_on(now)


def test_the_next_look_is_when_a_repair_is_due_or_the_fight_is_over(contest: Contest) -> None:
    assert contest.next_look(0) is None
    now = fought(contest, AT_ONCE - 1)[-1]
    assert contest.next_look(now) is None
    now = fought(contest, 1, now=now)[-1]
    soon = contest.next_look(now)
    assert soon is not None
    assert 0 < soon <= 2
    assert contest.due("api", DRIFT, now + soon)
    later = contest.next_look(now + soon)
    assert later == pytest.approx(QUIET - soon)


def test_a_fight_that_is_cleared_begins_anew(contest: Contest) -> None:
    now = fought(contest, CONTESTED_AFTER)[-1]
    contest.clear()
    assert contest.due("api", DRIFT, now)
    assert contest.verdict("api", READY, now) is READY


def test_what_is_wanted_is_not_kept_in_memory(contest: Contest) -> None:
    fought(contest, CONTESTED_AFTER, replace(DRIFT, payload={"data": "planted"}))
    assert "planted" not in repr(vars(contest))
    assert all(fight.action.payload is None for fight in contest._fights.values())
