"""The election, with a Lease in a dictionary and a clock that a test moves."""

from __future__ import annotations

import asyncio
import copy
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.engine.errors import NotLeaderError, UnavailableError
from biospark_operator.runtime import leader
from biospark_operator.runtime.leader import LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD, LeaseElection, SoleReplica


class Clock:
    """Moves when a candidate sleeps, or when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Leases:
    """One Lease with the API server's optimistic locking."""

    def __init__(self) -> None:
        self.lease: Any = None
        self.version = 0
        self.down = False
        self.hanging = False

    async def _answer(self) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if self.down:
            raise UnavailableError("no answer")

    async def get(self, ref: Any) -> Any:
        await self._answer()
        return copy.deepcopy(self.lease)

    async def create(self, manifest: Any) -> Any:
        await self._answer()
        if self.lease is not None:
            raise UnavailableError("it exists already")
        return self._store(manifest)

    async def replace(self, manifest: Any) -> Any:
        await self._answer()
        if (
            self.lease is None
            or manifest["metadata"].get("resourceVersion") != self.lease["metadata"]["resourceVersion"]
        ):
            raise UnavailableError("the object has been modified")
        return self._store(manifest)

    def _store(self, manifest: Any) -> Any:
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return self.lease

    @property
    def holder(self) -> str:
        return self.lease["spec"]["holderIdentity"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases() -> Leases:
    return Leases()


def candidate(identity: str, leases: Leases, clock: Clock) -> LeaseElection:
    return LeaseElection(leases, "biospark-system", identity, monotonic=clock, sleep=clock.sleep)


@pytest.fixture
def one(leases: Leases, clock: Clock) -> LeaseElection:
    return candidate("one", leases, clock)


@pytest.fixture
def two(leases: Leases, clock: Clock) -> LeaseElection:
    return candidate("two", leases, clock)


async def test_the_first_candidate_leads_at_once(one: LeaseElection, clock: Clock, leases: Leases) -> None:
    with pytest.raises(NotLeaderError):
        one.check()
    await one.acquire()
    one.check()
    assert clock.now == 1000.0
    assert leases.holder == "one"
    assert leases.lease["spec"]["leaseDurationSeconds"] == LEASE_DURATION


async def test_only_who_could_judge_the_lease_stands_by(one: LeaseElection, two: LeaseElection, leases: Leases) -> None:
    leases.down = True
    assert not await two._try()
    assert not two.stands_by
    leases.down = False
    await one.acquire()
    assert not one.stands_by
    assert not await two._try()
    assert two.stands_by
    leases.down = True
    assert not await two._try()
    assert two.stands_by, "an outage of the API server takes no replica out"


async def test_another_lease_is_waited_out_by_the_own_clock(
    one: LeaseElection, two: LeaseElection, clock: Clock, leases: Leases
) -> None:
    await one.acquire()
    # The holder's clock is years behind, which must not matter.
    leases.lease["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
    await two.acquire()
    assert LEASE_DURATION <= clock.now - 1000.0 <= LEASE_DURATION + RETRY_PERIOD
    assert leases.holder == "two"
    assert leases.lease["spec"]["leaseTransitions"] == 1
    with pytest.raises(NotLeaderError):
        one.check()


async def test_a_lease_that_is_renewed_is_never_taken(
    one: LeaseElection, two: LeaseElection, clock: Clock, leases: Leases
) -> None:
    await one.acquire()
    for _ in range(60):
        assert await one._try()
        assert not await two._try()
        clock.now += RETRY_PERIOD
    assert leases.holder == "one"


async def test_a_paused_process_finds_out_before_it_acts(one: LeaseElection, clock: Clock) -> None:
    await one.acquire()
    clock.now += RENEW_DEADLINE
    with pytest.raises(NotLeaderError):
        one.check()
    assert RENEW_DEADLINE < LEASE_DURATION, "the leader stops before anybody else may start"


async def test_a_short_failure_of_the_api_server_unseats_nobody(
    one: LeaseElection, clock: Clock, leases: Leases
) -> None:
    await one.acquire()
    leases.down = True
    for _ in range(3):
        clock.now += RETRY_PERIOD
        assert not await one._try()
        one.check()
    leases.down = False
    assert await one._try()
    clock.now += RENEW_DEADLINE - 0.1
    one.check()


async def test_hold_ends_when_the_lease_cannot_be_renewed_in_time(
    one: LeaseElection, clock: Clock, leases: Leases
) -> None:
    await one.acquire()
    leases.down = True
    await one.hold()
    assert RENEW_DEADLINE <= clock.now - 1000.0 < LEASE_DURATION
    assert not one.leading


async def test_hold_ends_in_time_when_the_api_server_hangs(leases: Leases, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"LEASE_DURATION": 3.0, "RENEW_DEADLINE": 2.0, "RETRY_PERIOD": 0.4}.items():
        monkeypatch.setattr(leader, name, seconds)
    began = time.monotonic()
    one = LeaseElection(leases, "biospark-system", "one")
    await one.acquire()
    leases.hanging = True
    await one.hold()
    assert time.monotonic() - began < 2.6, "the rest of the lease is for what is under way"


async def test_a_lease_that_ran_out_is_not_taken_up_again(
    one: LeaseElection, clock: Clock, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.acquire()
    get = leases.get

    async def paused(ref: Any) -> Any:
        clock.now += RENEW_DEADLINE - RETRY_PERIOD + 0.5
        assert not one.leading
        return await get(ref)

    monkeypatch.setattr(leases, "get", paused)
    async with asyncio.timeout(5):
        await one.hold()
    assert leases.holder == "one"
    with pytest.raises(NotLeaderError):
        one.check()


async def test_a_lease_is_waited_out_from_the_answer_that_showed_it(
    one: LeaseElection, two: LeaseElection, clock: Clock, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.acquire()
    get = leases.get

    async def slow(ref: Any) -> Any:
        clock.now += 4
        assert await one._try()
        monkeypatch.setattr(leases, "get", get)
        return await get(ref)

    monkeypatch.setattr(leases, "get", slow)
    monkeypatch.setattr(one, "leases", _Directly(leases, get))
    answered = clock.now + 4
    await two.acquire()
    assert clock.now - answered >= LEASE_DURATION


class _Directly:
    """The Lease without what a test does to `Leases.get`."""

    def __init__(self, leases: Leases, get: Any) -> None:
        self.get, self.create, self.replace = get, leases.create, leases.replace


async def test_a_lease_is_renewed_also_by_a_clock_that_stands_still(
    one: LeaseElection, two: LeaseElection, clock: Clock, leases: Leases
) -> None:
    await one.acquire()
    for _ in range(12):
        assert await one._try()
        leases.lease["spec"]["renewTime"] = "2001-01-01T00:00:00.000000Z"
        assert not await two._try()
        clock.now += RETRY_PERIOD
    assert leases.holder == "one"


async def test_requests_may_be_sent_until_the_lease_is_given_up(one: LeaseElection, clock: Clock) -> None:
    with pytest.raises(NotLeaderError):
        one.check_lease()
    await one.acquire()
    one.resign()
    one.check_lease()
    await one.release()
    with pytest.raises(NotLeaderError):
        one.check_lease()


async def test_requests_may_not_be_sent_when_the_lease_ran_out(one: LeaseElection, clock: Clock) -> None:
    await one.acquire()
    clock.now += RENEW_DEADLINE
    with pytest.raises(NotLeaderError):
        one.check_lease()


async def test_an_api_server_that_hangs_is_given_up_in_time(
    one: LeaseElection, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.acquire()
    leases.hanging = True
    monkeypatch.setattr(leader, "RENEW_DEADLINE", 0.02)
    monkeypatch.setattr(leader, "RELEASE_DEADLINE", 0.02)
    assert not await one._try()
    await one.release()


async def test_a_leader_whose_lease_somebody_else_holds_stops_at_once(
    one: LeaseElection, leases: Leases, clock: Clock
) -> None:
    await one.acquire()
    leases.lease["spec"]["holderIdentity"] = "two"
    before = clock.now
    await one.hold()
    assert clock.now - before == RETRY_PERIOD
    with pytest.raises(NotLeaderError):
        one.check()


async def test_a_deleted_lease_of_another_is_waited_out_too(
    one: LeaseElection, two: LeaseElection, clock: Clock, leases: Leases
) -> None:
    await one.acquire()
    assert not await two._try()
    leases.lease = None
    await two.acquire()
    assert clock.now - 1000.0 >= LEASE_DURATION
    assert not one.leading


async def test_a_leader_makes_its_deleted_lease_anew(one: LeaseElection, leases: Leases) -> None:
    await one.acquire()
    await one._try()
    leases.lease = None
    assert await one._try()
    assert leases.holder == "one"


async def test_a_released_lease_is_taken_at_once(
    one: LeaseElection, two: LeaseElection, clock: Clock, leases: Leases
) -> None:
    await one.acquire()
    assert not await two._try()
    await one.release()
    assert leases.holder == ""
    await two.acquire()
    assert clock.now == 1000.0
    with pytest.raises(NotLeaderError):
        one.check()


async def test_a_renewal_that_arrives_late_does_not_keep_the_lease_from_being_released(
    one: LeaseElection, leases: Leases, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.acquire()
    replace, late = leases.replace, [True]

    async def renewed_in_between(manifest: Any) -> Any:
        if late.pop() if late else False:
            leases._store(leases.lease)
        return await replace(manifest)

    monkeypatch.setattr(leases, "replace", renewed_in_between)
    await one.release()
    assert leases.holder == ""


async def test_nobody_releases_the_lease_of_another(one: LeaseElection, two: LeaseElection, leases: Leases) -> None:
    await one.acquire()
    await two.release()
    assert leases.holder == "one"


async def test_release_survives_an_api_server_that_is_gone(one: LeaseElection, leases: Leases) -> None:
    await one.acquire()
    leases.down = True
    await one.release()
    assert not one.leading


async def test_who_resigned_holds_the_lease_but_does_not_act(
    one: LeaseElection, two: LeaseElection, leases: Leases
) -> None:
    await one.acquire()
    one.resign()
    with pytest.raises(NotLeaderError):
        one.check()
    assert await one._try()
    assert not await two._try()


@pytest.mark.parametrize("spec", [{}, {"holderIdentity": None}, {"holderIdentity": ""}])
async def test_a_lease_that_nobody_holds_is_taken(one: LeaseElection, leases: Leases, spec: Any) -> None:
    leases.lease = {"metadata": {"name": "biospark-operator", "resourceVersion": "1"}, "spec": spec}
    assert await one._try()
    assert leases.holder == "one"


async def test_of_two_that_come_together_one_leads(one: LeaseElection, two: LeaseElection) -> None:
    assert sorted(await asyncio.gather(one._try(), two._try())) == [False, True]
    assert one.leading != two.leading


steps = st.lists(
    st.one_of(
        st.sampled_from(["one", "two", "release one", "release two", "down", "up"]),
        st.floats(min_value=0, max_value=20).map(lambda seconds: ("wait", seconds)),
    ),
    max_size=40,
)


@given(steps)
def test_two_never_lead_at_once(script: list[Any]) -> None:
    clock, leases = Clock(), Leases()
    candidates = {name: candidate(name, leases, clock) for name in ("one", "two")}

    async def play() -> None:
        for step in script:
            match step:
                case ("wait", seconds):
                    clock.now += seconds
                case "down" | "up":
                    leases.down = step == "down"
                case "one" | "two":
                    await candidates[step]._try()
                case _:
                    await candidates[step.removeprefix("release ")].release()
            assert sum(each.leading for each in candidates.values()) <= 1

    asyncio.run(play())


def test_a_sole_replica_leads_until_it_resigns() -> None:
    sole = SoleReplica()
    sole.check()
    sole.resign()
    with pytest.raises(NotLeaderError):
        sole.check()
