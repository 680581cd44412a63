"""Kills the operator at a chosen call, starts it again, and compares what comes of it.

`Stage.watched` makes a change that nothing disturbs, and returns the calls that it takes and what is there in the
end. `Stage.killed` makes the same change with a kill at one of these calls; `Stage.becomes` says whether the end is
the same. A call is known by what it does, not by its position: components work at the same time, in any order.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.apiproxy import ApiProxy
from tests.chaos.faults import SQL_READ, SQL_WRITE, Call, Hold, Moment, Rule
from tests.chaos.footprint import Api, Footprint, difference, footprint, kinds
from tests.chaos.sqlproxy import SqlProxy
from tests.operator_process import Operator

ENVIRONMENTS = "/apis/biospark.ai/v1alpha1/biosparkenvironments"
#: The environment itself in a footprint.
RESOURCE = "biospark.ai/v1alpha1 BioSparkEnvironment NAME"
#: Seconds in which nothing may change any more where a change is taken to be done: more than the operator lets pass
#: between two looks at something that is on its way.
QUIET = 4.0
#: Seconds that an environment may take to come to its end.
PATIENCE = 90.0

#: Characters of a call that are told.
LONGEST = 90

Act = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Point:
    """A call at which the operator is killed: what it does, and how often it had been made before in the change."""

    method: str
    path: str
    occurrence: int

    @property
    def mutating(self) -> bool:
        return self.method not in {"GET", SQL_READ}

    @property
    def sql(self) -> bool:
        """Whether it is a statement, and no request to the API server."""
        return self.method in {SQL_READ, SQL_WRITE}

    def __str__(self) -> str:
        again = f" (no. {self.occurrence + 1})" if self.occurrence else ""
        short = self.path.rpartition("/namespaces/biospark-NAME/")[2] or self.path
        return f"{self.method} {short.removeprefix('/apis/biospark.ai/v1alpha1/')[:LONGEST]}{again}"


@dataclass(frozen=True)
class Kill:
    """A kill just before a server gets a call, or after it answered and before the operator knows."""

    point: Point
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment.value} {self.point}"


@dataclass(frozen=True)
class Watched:
    """A change that nothing disturbed: its calls, the seconds after its begin at which each was made, and its end."""

    points: Sequence[Point]
    times: Sequence[float]
    end: Footprint


@dataclass
class Stage:
    """One operator behind its proxies, which have one list of calls.

    `databases` says what an environment has on its database server.
    """

    api: Api
    proxy: ApiProxy
    sql: SqlProxy
    operator: Operator
    databases: Callable[[str], Awaitable[Footprint]]
    kills: int = 0
    #: Where the operator was killed for each environment, for those who read a failure.
    told: dict[str, list[str]] = field(default_factory=dict)
    #: The kinds that environments have anything of.
    _kinds: set[str] = field(default_factory=set)
    _killing: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: Index of the first call of the process that runs.
    _born: int = 0

    async def watched(self, name: str, act: Act) -> Watched:
        """Let nothing disturb what `act` begins, and return how it went when nothing changes any more."""
        since, began = len(self.proxy.calls), asyncio.get_running_loop().time()
        await act()
        end = await self._at_rest(name)
        self._kinds |= kinds(end)
        calls = [call for call in self.proxy.calls[since:] if _is_about(call, name)]
        seen: Counter[tuple[str, str]] = Counter()
        points = []
        for key in (_key(call, name) for call in calls):
            points.append(Point(*key, seen[key]))
            seen[key] += 1
        return Watched(points, [call.at - began for call in calls], end)

    async def killed(self, name: str, act: Act, kill: Kill, end: Footprint, meanwhile: Act | None = None) -> bool:
        """Begin with `act`, kill the operator, let `meanwhile` happen if anything shall, and start it again.

        Returns False if `end` came without that call: how often some are made is a matter of time.
        """
        since, wanted = len(self.proxy.calls), (kill.point.method, kill.point.path)

        def is_it(call: Call) -> bool:
            if not _is_about(call, name) or _key(call, name) != wanted:
                return False
            before = self.proxy.calls[since : self.proxy.calls.index(call, since)]
            return sum(_key(other, name) == wanted for other in before) >= kill.point.occurrence

        self.told[name].append(str(kill))
        began = False
        while True:
            with self.proxy.add(is_it, Hold(), moment=kill.moment, times=1) as hold:
                if not began:
                    await act()
                    began = True
                if not await self._hit_or_ended(hold, name, end):
                    return False
                async with self._killing:
                    # A call that waited while another kill was made is none of the process that runs now.
                    if self.proxy.calls.index(hold.hits[0]) >= self._born:
                        await self._restart(meanwhile)
                        return True

    async def _restart(self, meanwhile: Act | None) -> None:
        self.kills += 1
        if not self.operator.alive:
            raise AssertionError(f"the operator ended by itself\n{self.operator.log.read_text()[-6000:]}")
        self.operator.kill()
        for proxy in (self.proxy, self.sql):
            proxy.drop()
        await asyncio.sleep(0)  # what they still held of the dead process ends now, before it could go on
        self._born = len(self.proxy.calls)
        if meanwhile is not None:
            await meanwhile()
        self.operator.start()

    async def becomes(self, name: str, end: Footprint) -> None:
        """Return when the environment is as `end` says; a failure says how it differs.

        Looked at are the kinds that environments have anything of. `differences` looks at all there are.
        """
        differs = ""
        try:
            async with asyncio.timeout(PATIENCE):
                while differs := await self._differs(name, end):
                    await asyncio.sleep(0.2)
        except TimeoutError:
            *earlier, last = self.told[name] or ["never"]
            log = "\n".join(self.operator.log.read_text().splitlines()[-40:])
            raise AssertionError(
                f"{name}, with the operator killed {last} (earlier: {'; '.join(earlier[-3:]) or 'never'}), "
                f"did not come to the same end in {PATIENCE:.0f} s:\n"
                f"{differs}\n\nThe log of the operator ends with\n{log}"
            ) from None

    async def differences(self, names: Iterable[str], end: Footprint) -> Mapping[str, str]:
        """Say which environments differ from `end`, and how, looking at everything in the cluster."""
        objects = await self.api.everything()
        found = {name: difference(end, {**footprint(objects, name), **await self.databases(name)}) for name in names}
        return {f"{name}, killed {self.told[name]}": differs for name, differs in found.items() if differs}

    async def _differs(self, name: str, end: Footprint) -> str:
        """Say how the environment differs from `end`; what costs little is looked at first."""
        resource = await self.api.get(f"{ENVIRONMENTS}/{name}")
        now = footprint([resource] if resource else [], name)
        if all(now.get(key) == end.get(key) for key in {*now, RESOURCE}):
            now = {**footprint(await self.api.everything(self._kinds), name), **await self.databases(name)}
        return difference(end, now)

    async def _hit_or_ended(self, hold: Rule, name: str, end: Footprint) -> bool:
        """Return whether the call was held, or else the end came; raises where neither comes."""
        hitting = asyncio.create_task(hold.hit(2 * PATIENCE))
        ending = asyncio.create_task(self.becomes(name, end))
        await asyncio.wait({hitting, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not hold.hits:
            await ending
        for task in (hitting, ending):
            task.cancel()
        await asyncio.wait({hitting, ending})
        return bool(hold.hits)

    async def _at_rest(self, name: str) -> Footprint:
        """Return the end of a change: what has not changed for a while, and is not on its way either."""
        async with asyncio.timeout(PATIENCE):
            before: Footprint | None = None
            while True:
                while _on_its_way(await self.api.get(f"{ENVIRONMENTS}/{name}")):
                    await asyncio.sleep(0.2)
                now = {**footprint(await self.api.everything(), name), **await self.databases(name)}
                if now == before:
                    return now
                before = now
                await asyncio.sleep(QUIET)


def _is_about(call: Call, name: str) -> bool:
    """Whether a call is a step of the work on an environment.

    No steps are: watches, which only tell when to work; the Lease, which the process renews by the clock; Events,
    each of which follows a write that is a step, and may be lost by design.
    """
    if call.watch or call.path.endswith("/events") or "/leases" in call.path:
        return False
    return name in call.path or any(name in value for value in call.query.values()) or name.encode() in call.body


def _key(call: Call, name: str) -> tuple[str, str]:
    return call.method, call.path.replace(name, "NAME")


def _on_its_way(resource: Any) -> bool:
    """Whether an environment is not as far yet as it comes without a node: the scheduler finds none for the pods."""
    if resource is None:
        return False
    status = resource.get("status") or {}
    reasons = {condition["type"]: condition["reason"] for condition in status.get("conditions") or ()}
    processed = status.get("observedGeneration") == resource["metadata"]["generation"]
    return not processed or reasons.get("WorkloadReady") != "Unschedulable"


def kills_at(points: Iterable[Point]) -> list[Kill]:
    """Return every kill there is. A read changes nothing: before it and after it are one moment to the world."""
    return [Kill(point, moment) for point in points for moment in (Moment if point.mutating else [Moment.BEFORE])]
