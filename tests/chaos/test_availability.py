"""Of two replicas one works: it is replaced in time when it dies or hangs, and never do two work at once.

Each replica is a process with a proxy of its own before the API server, whose record shows what it did and when.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.client import KubernetesClient
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.runtime.leader import LEASE_DURATION, RENEW_DEADLINE
from tests.chaos import wrong_clock
from tests.chaos.apiproxy import ApiProxy
from tests.chaos.faults import Blackhole, Call, Hold, every
from tests.chaos.forked import forked
from tests.chaos.replicas import Replica, about_lease, another, holder, lease, working
from tests.operator_process import LEASE, Operator, Site

#: Seconds until another replica leads when the leader is gone without a word, at most.
TAKEOVER = 20.0
#: The same when it was told to end. It takes two seconds at most until the other one looks at the Lease.
HANDOVER = 5.0
#: Seconds that a process may take to start on a busy machine.
START = 60.0

Start = Callable[..., Awaitable[Replica]]

only_in_full = pytest.mark.skipif(os.environ.get("BIOSPARK_LONG") != "1", reason="only with BIOSPARK_LONG=1")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    """No process: it only has the log of all replicas, which is shown when a wait is in vain."""
    return Operator("", tmp_path / "operators.log")


@pytest.fixture
async def start(
    control_plane: str, client: KubernetesClient, operator: Operator, tmp_path: Path
) -> AsyncIterator[Start]:
    """Start replicas: `await start("first")`. They are killed at the end, and the Lease is taken away."""
    async with AsyncExitStack() as stack:

        async def started(name: str, **options: Any) -> Replica:
            proxy = await stack.enter_async_context(ApiProxy(control_plane, name))
            replica = Operator(proxy.kubeconfig(tmp_path), operator.log, name, **{"spawn": forked, **options})
            stack.callback(killed, replica)
            return Replica(replica.start(), proxy)

        yield started
    if left := await client.get(LEASE):
        await client.delete(LEASE, uid=left["metadata"]["uid"])


def killed(operator: Operator) -> None:
    if operator.alive:
        operator.kill()
    assert "Traceback" not in operator.log.read_text(), operator.log.read_text()[-6000:]


@pytest.fixture
async def first(start: Start, client: KubernetesClient) -> Replica:
    """The replica that leads."""
    return await leading(await start("first"))


@pytest.fixture
async def second(first: Replica, start: Start) -> Replica:
    """The replica that stands by, and has seen who leads."""
    replica = await start("second")
    await replica.proxy.wait_for(lambda call: about_lease(call) and call.status == 200, seconds=START)
    return replica


async def leading(replica: Replica) -> Replica:
    """Return a replica when it has the Lease for the first time."""
    await replica.proxy.wait_for(taking, seconds=START)
    return replica


def taking(call: Call) -> bool:
    """Whether a call took the Lease, or renewed it."""
    return about_lease(call) and call.mutating and call.status in (200, 201)


async def leads(site: Site, replica: Replica, seconds: float) -> float:
    """Wait until a replica holds the Lease, and return the time at which it asked for it."""

    async def holds() -> bool:
        return await holder(site.client) == replica.name

    await site.until(holds, f"{replica.name} leads", seconds)
    # The Lease may name the replica before its proxy has seen the answer.
    return (await replica.proxy.wait_for(taking)).at


def last_renewal(replica: Replica) -> float:
    """Return when the last renewal was asked for that the replica knows to have been granted."""
    return [call.at for call in replica.proxy.calls if taking(call)][-1]


async def policy_is_back(site: Site, gone: str) -> None:
    """Wait until a network policy that was deleted, the one with this uid, is there again."""

    async def back() -> bool:
        found = await site.policy()
        return found is not None and found["metadata"]["uid"] != gone

    await site.until(back, "the network policy is back", 10)


async def policy_deleted(site: Site) -> str:
    """Delete a network policy of the environment, and return its uid."""
    found = await site.policy()
    assert found is not None
    uid: str = found["metadata"]["uid"]
    await site.client.delete(ObjectRef.of(found), uid=uid)
    return uid


async def test_a_standby_only_reads_and_takes_over_when_the_leader_is_killed(
    site: Site, first: Replica, second: Replica
) -> None:
    site.apply()
    await site.settled()
    await policy_is_back(site, await policy_deleted(site))
    assert second.operator.ask("/readyz") == (200, "ok")
    assert second.operator.metric("biospark_operator_leader") == 0
    first.operator.kill()
    died = time.monotonic()
    gone = await policy_deleted(site)
    taken = await leads(site, second, TAKEOVER)
    assert taken - died < TAKEOVER
    assert taken - last_renewal(first) >= LEASE_DURATION, "the lease was waited out"
    await policy_is_back(site, gone)
    early = [call for call in second.proxy.calls if call.at < taken]
    assert not [str(call) for call in early if call.mutating]
    assert not [str(call) for call in early if not about_lease(call) and call.path != "/apis/coordination.k8s.io/v1"]


async def test_a_standby_takes_over_at_once_when_the_leader_is_told_to_end(
    site: Site, first: Replica, second: Replica
) -> None:
    site.apply()
    await site.settled()
    told = time.monotonic()
    ending = asyncio.create_task(first.operator.terminate())
    gone = await policy_deleted(site)
    taken = await leads(site, second, TAKEOVER)
    assert taken - told < HANDOVER
    await policy_is_back(site, gone)
    assert await ending == 0
    released = [call.at for call in first.proxy.calls if about_lease(call) and call.mutating][-1]
    assert released < taken
    assert not [str(call) for call in first.work() if call.at > released]
    assert await second.operator.terminate() == 0


async def test_a_leader_that_was_paused_in_the_middle_of_a_pass_does_nothing_when_it_goes_on(
    site: Site, first: Replica, second: Replica
) -> None:
    site.apply()
    await site.settled()
    async with another(site) as begun, another(site) as new:
        rule = first.proxy.add(lambda call: working(call) and begun.namespace in call.path, Hold())
        begun.apply()
        await rule.hit()
        first.pause()
        # What waits for it when it goes on: an answer, so that the next step is due; a change, a new environment.
        rule.remove()
        gone = await policy_deleted(site)
        new.apply()
        await leads(site, second, TAKEOVER)
        await begun.settled()
        await new.settled()
        await policy_is_back(site, gone)
        mark = len(first.proxy.calls)
        first.resume()
        assert await first.ended(10) == 1
    assert not [str(call) for call in first.work(mark)]
    assert await holder(site.client) == "second"


async def test_a_leader_that_reaches_nobody_is_gone_before_another_leads(
    site: Site, first: Replica, second: Replica
) -> None:
    on_its_way = first.proxy.add(lambda call: working(call) and "/networkpolicies/" in call.path, Hold())
    site.apply()
    held = await on_its_way.hit()
    with first.proxy.add(lambda call: not on_its_way.matches(call), Blackhole()):
        renewed = last_renewal(first)
        assert await first.ended(RENEW_DEADLINE + 5) == 1
        ended = time.monotonic()
        assert ended - renewed < LEASE_DURATION
        taken = await leads(site, second, TAKEOVER)
    assert ended < taken
    # The network is back, and delivers what it held back, if somebody still waits for the answer.
    on_its_way.remove()
    first.operator.start()
    await site.settled()
    mark = len(first.proxy.calls)
    await first.proxy.wait_for(lambda call: about_lease(call) and call.status == 200, since=mark, seconds=START)
    assert not held.forwarded
    assert not [str(call) for call in first.work() if call.at > ended]


@pytest.mark.parametrize("how", ["refuses connections", pytest.param("says nothing", marks=only_in_full)])
async def test_a_short_outage_unseats_nobody_and_no_pass_is_lost(site: Site, first: Replica, how: str) -> None:
    site.apply()
    await site.settled()
    generation = (await site.body())["metadata"]["generation"]
    transitions = (await lease(site.client))["spec"]["leaseTransitions"]
    await first.proxy.wait_for(taking, since=len(first.proxy.calls))
    async with first.proxy.away() if how == "refuses connections" else silence(first.proxy):
        gone = await policy_deleted(site)
        site.apply(network={"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]})
        await asyncio.sleep(6)
    await policy_is_back(site, gone)

    async def opened() -> Any:
        status = (await site.body())["status"]
        made = await site.get("networking.k8s.io/v1", "NetworkPolicy", "biospark-egress-labs")
        return made and status["observedGeneration"] == generation + 1

    await site.until(opened, "the change of the specification is done", 10)
    assert first.operator.alive
    assert (await lease(site.client))["spec"]["leaseTransitions"] == transitions


@asynccontextmanager
async def silence(proxy: ApiProxy) -> AsyncIterator[None]:
    with proxy.add(every, Blackhole()):
        yield


async def test_a_clock_that_is_wrong_and_jumps_unseats_no_leader(site: Site, start: Start, tmp_path: Path) -> None:
    wrong_by = tmp_path / "wrong-by"
    wrong_by.write_text("18000")
    wrong = await leading(await start("wrong", spawn=wrong_clock.spawned(wrong_by)))
    standby = await start("standby")
    site.apply()
    await site.settled()
    for jump in (-36000, 260000):
        wrong_by.write_text(str(jump))
        mark = len(wrong.proxy.calls)
        for _ in range(3):
            renewal = await wrong.proxy.wait_for(taking, since=mark)
            mark = wrong.proxy.calls.index(renewal) + 1
        stamp = datetime.fromisoformat(renewal.json()["spec"]["renewTime"])
        assert abs((stamp - datetime.now(UTC)).total_seconds() - jump) < 60, "its clock is wrong indeed"
        await policy_is_back(site, await policy_deleted(site))
    assert wrong.operator.alive
    assert not [str(call) for call in standby.proxy.mutating()]


async def test_a_lease_is_judged_by_its_renewals_and_not_by_their_stamps(site: Site, start: Start) -> None:
    duration = 6.0

    async def renewed(stamp: str) -> float:
        spec = {"holderIdentity": "ghost", "leaseDurationSeconds": int(duration), "renewTime": stamp}
        if found := await site.client.get(LEASE):
            await site.client.replace({**found, "spec": spec})
        else:
            metadata = {"name": LEASE.name, "namespace": LEASE.namespace}
            manifest = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata, "spec": spec}
            await site.client.create(manifest)
        return time.monotonic()

    stamps = ["2001-01-01T00:00:00.000000Z", "2101-01-01T00:00:00.000000Z"]
    await renewed(stamps[0])
    standby = await start("standby")
    await standby.proxy.wait_for(lambda call: about_lease(call) and call.status == 200, seconds=START)
    began = last = await renewed(stamps[0])
    while last - began < duration + 3:
        await asyncio.sleep(0.5)
        last = await renewed(stamps[int(last) % 2])
    last = await renewed(stamps[1])
    assert not standby.proxy.mutating()
    taken = await leads(site, standby, duration + 5)
    assert taken - last >= duration
