"""The measurements with the operator at work. Each returns its figures; `benchmark` puts them in order."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from biospark_operator.objects.ownership import MANAGED_BY, MANAGED_BY_LABEL
from tests.scale import calls, load
from tests.scale.api import ENVIRONMENTS, Body
from tests.scale.following import Follower, LateError, following
from tests.scale.site import Site

#: Objects that are disturbed, and environments that are changed, at most.
SAMPLE = 50
_OURS = f"{MANAGED_BY_LABEL}={MANAGED_BY}"


@dataclass
class Window:
    """What happened in a time: its length, what the operator asked of the API server, what both used, its passes."""

    seconds: float = 0.0
    calls: Mapping[str, int] | None = None
    cpu_seconds: float = 0.0
    server_cpu_seconds: float = 0.0
    passes: int = 0

    @property
    def writes(self) -> int:
        """Requests that changed something."""
        return calls.total(self.calls or {}, calls.WRITES)

    @property
    def reads(self) -> int:
        """Requests that read, beginnings of watches included."""
        return calls.total(self.calls or {}, calls.READS)


@dataclass(frozen=True)
class Latency:
    """Seconds that something took, over a sample."""

    sample: int
    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, seconds: Collection[float]) -> Latency:
        """Summarize a sample."""
        ordered = sorted(seconds)
        last = len(ordered) - 1
        return cls(len(ordered), statistics.median(ordered), ordered[round(0.95 * last)], ordered[-1])


@dataclass(frozen=True)
class Creation:
    """How environments became ready: the whole window, when the whole of the sound ones was, and each for itself.

    `others_seconds` is when all those were ready that are sound also where a tenth is broken.
    """

    window: Window
    ready_seconds: float
    others_seconds: float
    each: Latency


@asynccontextmanager
async def measured(site: Site, *, anew: bool = False) -> AsyncIterator[Window]:
    """Measure what the operator does while the context lasts; `anew` says that its process is started in it."""
    window = Window()
    before = await calls.counted(site.driver)
    used, passes = (0.0, 0) if anew else (site.operator.usage().cpu_seconds, await site.operator.passes())
    begin, server = time.monotonic(), site.server_cpu_seconds()
    yield window
    window.seconds = time.monotonic() - begin
    window.server_cpu_seconds = site.server_cpu_seconds() - server
    window.cpu_seconds = site.operator.usage().cpu_seconds - used
    window.passes = await site.operator.passes() - passes
    window.calls = calls.difference(await calls.counted(site.driver), before)


@asynccontextmanager
async def environments(site: Site) -> AsyncIterator[Follower]:
    """Follow all environments; what is late is told with the operator's log."""
    try:
        async with following(site.driver, ENVIRONMENTS) as follower:
            yield follower
    except LateError as error:
        raise AssertionError(f"{error}\n{site.operator.tail()}") from None


async def create(site: Site, follower: Follower, names: Sequence[str], *, broken: bool) -> Creation:
    """Create environments at once, a tenth of them `broken`, and wait until all the others are ready."""
    faulty = load.broken(names)
    sound = [name for name in names if name not in faulty]
    if broken:
        for namespace in load.occupied(names):
            await site.driver.create("/api/v1/namespaces", namespace)
    manifests = {name: load.environment(name) for name in names} | (faulty if broken else {})
    sent: dict[str, float] = {}

    async def send(name: str) -> None:
        sent[name] = time.monotonic()
        await site.driver.create(ENVIRONMENTS, manifests[name])

    async with measured(site) as window:
        begin = time.monotonic()
        await asyncio.gather(*(send(name) for name in names))
        times = await follower.until(sound if broken else names, is_ready, 120 + 2 * len(names))
    return Creation(
        window,
        ready_seconds=max(times.values()) - begin,
        others_seconds=max(times[name] for name in sound) - begin,
        each=Latency.of([times[name] - sent[name] for name in times]),
    )


async def idle(site: Site, seconds: float) -> Window:
    """Let nothing happen."""
    await site.operator.quiet(120)
    async with measured(site) as window:
        await asyncio.sleep(seconds)
    return window


async def check_all(site: Site, names: Sequence[str]) -> Window:
    """Have every environment looked at, though nothing differs: somebody annotates its namespace."""
    await site.operator.quiet(120)
    touch = {"metadata": {"annotations": {"benchmark.example/touched": "yes"}}}
    async with measured(site) as window:
        begin, before = time.monotonic(), await site.operator.passes()
        paths = (f"/api/v1/namespaces/biospark-{name}" for name in names)
        await asyncio.gather(*(site.driver.merge(path, touch) for path in paths))
        end = await site.operator.quiet(120 + len(names), at_least=before + len(names))
    window.seconds = end - begin
    return window


async def change_one_by_one(site: Site, follower: Follower, names: Sequence[str]) -> Latency:
    """Change the specification of environments one after the other; seconds until the status tells of each."""
    took = [await _change(site, follower, name, "one") for name in names]
    return Latency.of(took)


async def change_at_once(site: Site, follower: Follower, names: Sequence[str]) -> Latency:
    """Change the specification of environments at the same moment; seconds until the status tells of each."""
    return Latency.of(await asyncio.gather(*(_change(site, follower, name, "all") for name in names)))


async def _change(site: Site, follower: Follower, name: str, value: str) -> float:
    begin = time.monotonic()
    change = {"spec": {"namespace": {"labels": {"team": value}}}}
    changed = await site.driver.merge(f"{ENVIRONMENTS}/{name}", change)
    generation = changed["metadata"]["generation"]
    return (await follower.until([name], lambda body: _has_processed(body, generation), 60))[name] - begin


async def repair(site: Site, names: Sequence[str]) -> Latency:
    """Change and delete children of environments; seconds from the disturbance until it is undone."""
    changed, deleted = names[::2], names[1::2]
    policies, bindings = "/apis/networking.k8s.io/v1/networkpolicies", "/apis/rbac.authorization.k8s.io/v1/rolebindings"
    async with (
        following(site.driver, policies, _OURS) as seen_policies,
        following(site.driver, bindings, _OURS) as seen_bindings,
    ):
        return Latency.of(
            await asyncio.gather(
                *(_open_up(site, seen_policies, name) for name in changed),
                *(_unbind(site, seen_bindings, name) for name in deleted),
            )
        )


async def _open_up(site: Site, follower: Follower, name: str) -> float:
    """Take egress out of the policy that denies everything."""
    place, policy = f"biospark-{name}", "biospark-default-deny"
    begin = time.monotonic()
    path = f"/apis/networking.k8s.io/v1/namespaces/{place}/networkpolicies/{policy}"
    opened = await site.driver.merge(path, {"spec": {"policyTypes": ["Ingress"]}})
    generation = opened["metadata"]["generation"]

    def is_back(body: Body | None) -> bool:
        return (
            body is not None and body["metadata"]["generation"] > generation and len(body["spec"]["policyTypes"]) == 2
        )

    return (await follower.until([f"{place}/{policy}"], is_back, 60))[f"{place}/{policy}"] - begin


async def _unbind(site: Site, follower: Follower, name: str) -> float:
    """Delete the binding of a role."""
    place = f"biospark-{name}"
    await follower.until([f"{place}/biospark-viewer"], lambda body: body is not None, 30)
    uid = follower.objects[f"{place}/biospark-viewer"]["metadata"]["uid"]
    begin = time.monotonic()
    await site.driver.delete(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{place}/rolebindings/biospark-viewer")

    def is_back(body: Body | None) -> bool:
        return body is not None and body["metadata"]["uid"] != uid

    return (await follower.until([f"{place}/biospark-viewer"], is_back, 60))[f"{place}/biospark-viewer"] - begin


async def restart(site: Site, names: Sequence[str]) -> Window:
    """Stop the operator and start it again over unchanged environments; the window ends with its last pass."""
    await site.operator.quiet(120)
    await site.operator.stop()
    async with measured(site, anew=True) as window:
        begin = time.monotonic()
        await site.operator.start()
        end = await site.operator.quiet(120 + len(names), at_least=len(names))
    window.seconds = end - begin
    return window


async def settled(site: Site, follower: Follower, names: Iterable[str]) -> None:
    """Wait until environments are ready and the operator rests."""
    await follower.until(names, is_ready, 120)
    await site.operator.quiet(120)


def is_ready(body: Body | None) -> bool:
    """Whether an environment is ready at its present generation."""
    if body is None or not _has_processed(body, body["metadata"]["generation"]):
        return False
    return any(c["type"] == "Ready" and c["status"] == "True" for c in body["status"].get("conditions") or ())


def _has_processed(body: Body | None, generation: int) -> bool:
    return body is not None and (body.get("status") or {}).get("observedGeneration", -1) >= generation
