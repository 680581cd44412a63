"""The API server fails in every way that it can: afterwards, without help, everything is as it should be.

That is: what was changed and deleted meanwhile is repaired, the process either watches again or ends, it asked no
more than it had to, and when all is well it writes nothing. With BIOSPARK_LONG=1 faults last as long as in life.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.engine.convergence import ACCESS_RETRY
from biospark_operator.runtime.leader import RENEW_DEADLINE
from biospark_operator.runtime.sources import SLOWEST
from tests.chaos.apiproxy import ApiProxy
from tests.chaos.faults import Answer, Blackhole, Call, Close, Delay, Fault, Hold, every
from tests.chaos.forked import forked
from tests.chaos.replicas import about_lease, another, working
from tests.operator_process import Operator, Site

LONG = os.environ.get("BIOSPARK_LONG") == "1"
only_in_full = pytest.mark.skipif(not LONG, reason="only with BIOSPARK_LONG=1")
#: Seconds without a write after which the operator counts as done. Longer than between two looks at a rollout.
QUIET = 4.0
#: Writes that repairing one object takes at most: the object, the status before and after, Events.
REPAIR = 12


def not_about_lease(call: Call) -> bool:
    return not about_lease(call)


def nothing(_: Call) -> bool:
    return False


def about(plural: str) -> Callable[[Call], bool]:
    """Match the calls about a kind, by its name in paths."""
    return lambda call: call.path.endswith(f"/{plural}") or f"/{plural}/" in call.path


def listing(call: Call) -> bool:
    """Match the calls that list objects, as a watch does when it begins."""
    return "limit" in call.query and not call.watch


async def deleted(site: Site, ref: ObjectRef) -> str:
    """Delete an object of the environment past the proxy, and return its uid."""
    found = await site.client.get(ref)
    assert found is not None
    uid: str = found["metadata"]["uid"]
    await site.client.delete(ref, uid=uid)
    return uid


def policy(site: Site, which: str = "default-deny") -> ObjectRef:
    return ObjectRef("networking.k8s.io/v1", "NetworkPolicy", site.namespace, f"biospark-{which}")


def role(site: Site) -> ObjectRef:
    return ObjectRef("rbac.authorization.k8s.io/v1", "Role", site.namespace, "biospark-viewer")


async def back(site: Site, ref: ObjectRef, gone: str, seconds: float) -> None:
    """Wait until an object that was deleted, the one with this uid, is there again."""

    async def there() -> bool:
        found = await site.client.get(ref)
        return found is not None and found["metadata"]["uid"] != gone

    await site.until(there, f"{ref} is back", seconds)


async def calm(proxy: ApiProxy, since: int) -> Sequence[Call]:
    """Wait until the operator writes nothing any more, and return what it wrote in `proxy.calls[since:]`."""
    async with asyncio.timeout(40):
        while True:
            written = [call for call in proxy.calls[since:] if working(call)]
            still = time.monotonic() - max((call.at for call in written), default=0.0)
            if still > QUIET:
                return written
            await asyncio.sleep(QUIET - still + 0.1)


def busiest(calls: Sequence[Call], window: float) -> int:
    """Return how many of the calls came within `window` seconds at most."""
    times = [call.at for call in calls]
    return max((sum(1 for at in times if start <= at < start + window) for start in times), default=0)


@asynccontextmanager
async def restarted(operator: Operator) -> AsyncIterator[list[int]]:
    """Start the operator again whenever it ends, as a kubelet does; yields the exit codes there were."""
    codes: list[int] = []

    async def supervise() -> None:
        while True:
            await asyncio.sleep(0.2)
            if not operator.alive:
                assert operator.process is not None
                codes.append(operator.process.wait())
                await asyncio.sleep(1)
                operator.start()

    task = asyncio.create_task(supervise())
    try:
        yield codes
    finally:
        task.cancel()


@pytest.fixture
def operator(proxy: ApiProxy, tmp_path: Path) -> Iterator[Operator]:
    """An operator whose API server is the proxy, running."""
    one = Operator(proxy.kubeconfig(tmp_path), tmp_path / "operator.log", spawn=forked).start()
    yield one
    if one.alive:
        one.kill()


@pytest.fixture
async def settled(site: Site) -> Site:
    """An environment that is ready: the operator looks at it again in ten minutes, unless something wakes it."""
    site.apply()
    await site.settled()
    await run_pods(site)
    return site


async def run_pods(site: Site) -> None:
    """Be the kubelet that this cluster does not have, and report the pods to be ready."""
    since = (datetime.now(UTC) - timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    status = json.dumps({"status": {"phase": "Running", "conditions": conditions}})
    pods = site.kubectl("get", "pods", "-n", site.namespace, "-o", "name").split()
    for pod in pods:
        site.kubectl("patch", pod, "-n", site.namespace, "--subresource=status", "--type=strategic", "-p", status)

    async def ready() -> bool:
        return await site.told("Ready") == ("True", "Succeeded")

    await site.until(ready, "is ready", 20)


async def test_an_outage_ends_the_process_and_the_next_one_makes_up_for_it(
    settled: Site, proxy: ApiProxy, operator: Operator
) -> None:
    lasts = 120.0 if LONG else RENEW_DEADLINE + 8
    async with restarted(operator) as codes:
        mark = len(proxy.calls)
        with proxy.add(every, Close()):
            proxy.drop()
            gone = await deleted(settled, policy(settled))
            await asyncio.sleep(lasts)
        during, mark = proxy.calls[mark:], len(proxy.calls)
        await back(settled, policy(settled), gone, 15)
        written = await calm(proxy, mark)
    assert codes == [1]
    assert len(written) <= REPAIR, [str(call) for call in written]
    assert busiest(during, 1.0) <= 60, [str(call) for call in during]
    assert len(during) / lasts < 12, [str(call) for call in during]


async def test_a_request_to_come_again_later_is_honoured(settled: Site, proxy: ApiProxy, operator: Operator) -> None:
    later = 4
    mark = len(proxy.calls)

    def all_but_the_beginning_of_a_pass(call: Call) -> bool:
        return not about_lease(call) and not (call.method == "GET" and call.path.endswith(f"/{settled.name}"))

    with proxy.add(all_but_the_beginning_of_a_pass, Answer(429, retry_after=later)) as rule:
        proxy.expire(lambda call: not about("networkpolicies")(call))
        gone = await deleted(settled, policy(settled))
        await asyncio.sleep(2.5 * later)
    await back(settled, policy(settled), gone, 2 * later + 10)
    asked = defaultdict(list)
    for call in rule.hits:
        asked[call.method, call.path, call.watch].append(call.at)
    too_early = {
        key: [round(after - before, 1) for before, after in itertools.pairwise(times)]
        for key, times in asked.items()
        if any(after - before < later for before, after in itertools.pairwise(times))
    }
    assert any(call.mutating for call in rule.hits), "writes were refused, too"
    assert not too_early
    assert len(await calm(proxy, mark)) <= REPAIR + len([call for call in rule.hits if call.mutating])
    assert operator.alive


@pytest.mark.parametrize(
    "fault",
    [
        Answer(500),
        pytest.param(Answer(503, retry_after=1), marks=only_in_full),
        pytest.param(Close(), marks=only_in_full),
    ],
    ids=["500", "503", "closed"],
)
async def test_failing_answers_are_survived(settled: Site, proxy: ApiProxy, operator: Operator, fault: Fault) -> None:
    lasts, mark = 8.0, len(proxy.calls)
    with proxy.add(not_about_lease, fault) as rule:
        proxy.cut()
        gone = await deleted(settled, policy(settled))
        await asyncio.sleep(lasts)
    assert rule.hits
    assert len(rule.hits) / lasts < 15
    mark = len(proxy.calls)
    await back(settled, policy(settled), gone, lasts + 10)
    assert len(await calm(proxy, mark)) <= REPAIR
    assert operator.alive


async def test_slow_answers_cost_no_leadership(site: Site, proxy: ApiProxy, operator: Operator) -> None:
    """With few requests at once, which hang: those about the Lease don't wait for them, though they are slow, too."""
    await operator.terminate()
    operator.settings = {"REQUESTS": "4"}
    operator.start()
    site.apply()
    await site.settled()
    mark = len(proxy.calls)
    with proxy.add(every, Delay(2)):
        with proxy.add(not_about_lease, Hold()) as hanging:
            proxy.expire()
            gone = await deleted(site, role(site))
            await hanging.hit()
            await asyncio.sleep(RENEW_DEADLINE + 3)
            assert operator.alive, operator.log.read_text()[-3000:]
        await back(site, role(site), gone, 25)
    assert len(await calm(proxy, mark)) <= REPAIR
    assert operator.alive


async def test_what_happens_while_watches_are_interrupted_is_noticed(
    settled: Site, proxy: ApiProxy, operator: Operator
) -> None:
    mark = len(proxy.calls)
    policies = about("networkpolicies")

    async def watched() -> bool:
        return any(policies(call) for call in proxy.watches)

    # Closed, as every few minutes; closed since what was seen last is too old; and the list after it is that, too.
    for end, too_old in ((proxy.cut, nothing), (proxy.expire, nothing), (proxy.expire, listing)):
        # Interrupted so often in so little time, a watch begins anew ever later.
        await settled.until(watched, "network policies are watched", SLOWEST + 10)
        with (
            proxy.add(lambda call, too_old=too_old: policies(call) and too_old(call), Answer(410)) as lists,
            proxy.add(lambda call: policies(call) and call.watch, Close()) as watches,
        ):
            assert end()
            await (watches if too_old is nothing else lists).hit(SLOWEST + 10)
            gone = await deleted(settled, policy(settled))
        await back(settled, policy(settled), gone, SLOWEST + 10)
    assert len(await calm(proxy, mark)) <= 3 * REPAIR
    assert operator.alive


async def test_watches_that_are_cut_again_and_again_do_not_stop_repairs(
    settled: Site, proxy: ApiProxy, operator: Operator
) -> None:
    mark, ends = len(proxy.calls), time.monotonic() + (60 if LONG else 5)
    cuts = 0
    # In turns: what is deleted again and again would count as contested, and be repaired ever more seldom.
    turns = itertools.cycle(["default-deny", "allow-dns", "allow-gateway", "allow-vault", "allow-prometheus"])
    while time.monotonic() < ends:
        turn = policy(settled, next(turns))
        gone = await deleted(settled, turn)
        for _ in range(6):
            cuts += proxy.cut()
            await asyncio.sleep(0.3)
        await back(settled, turn, gone, SLOWEST + 10)
    assert cuts > 20, cuts
    # Some 90 are usual: each kind is listed and watched once or twice, and passes ask for what is not known meanwhile.
    # Without any waiting there are 300.
    assert busiest(proxy.calls[mark:], 3.0) <= 150
    await calm(proxy, len(proxy.calls))
    assert operator.alive


@only_in_full
async def test_a_watch_that_fell_silent_is_begun_anew(settled: Site, proxy: ApiProxy, operator: Operator) -> None:
    mark = len(proxy.calls)
    with proxy.add(lambda call: call.watch and call in silent, Blackhole()):
        silent = list(proxy.watches)
        gone = await deleted(settled, policy(settled))
        change = {"spec": {"network": {"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]}}}
        settled.patch(change)
        await back(settled, policy(settled), gone, 150)
        labs = replace(policy(settled), name="biospark-egress-labs")
        await settled.until(lambda: settled.client.get(labs), "the change of the specification was seen, too", 60)
    assert operator.alive
    assert len(await calm(proxy, mark)) <= 2 * REPAIR


async def test_one_kind_that_may_not_be_touched_stops_nothing_else(
    settled: Site, proxy: ApiProxy, operator: Operator
) -> None:
    async with another(settled) as new:

        async def told(network: tuple[str, str]) -> bool:
            access = await new.told("AccessReady")
            return access == ("True", "Succeeded") and await new.told("NetworkReady") == network

        with proxy.add(about("networkpolicies"), Answer(403)) as rule:
            proxy.cut(about("networkpolicies"))
            gone = await deleted(settled, policy(settled))
            for _ in range(2):
                await back(settled, role(settled), await deleted(settled, role(settled)), 5)
            new.apply()
            await new.until(lambda: told(("False", "AccessDenied")), "all but the network is ready", 15)
            assert len([call for call in rule.hits if call.mutating]) < 20, [str(call) for call in rule.hits]
        mark = len(proxy.calls)
        await back(settled, policy(settled), gone, 35)
        if LONG:
            ready = ("True", "Succeeded")
            await new.until(lambda: told(ready), "the network is ready, too", ACCESS_RETRY + 10)
        assert len(await calm(proxy, mark)) <= 4 * REPAIR
        assert operator.alive


async def test_conflicting_writes_are_made_again(site: Site, proxy: ApiProxy, operator: Operator) -> None:
    children = proxy.add(lambda call: working(call) and about("networkpolicies")(call), Answer(409), times=3)
    status = proxy.add(lambda call: call.path.endswith("/status"), Answer(409), times=3)
    site.apply()
    await site.settled()
    assert len(children.hits) == len(status.hits) == 3
    written = await calm(proxy, 0)
    assert len(written) < 100
    assert operator.alive
