"""Elects the replica that works, by a Lease in the operator's own namespace.

The rules are those of client-go (15 s lease, 10 s to renew it, a try every 2 s), with two additions: whether
another replica's Lease has run out is judged by this process's own steady clock alone, so wrong clocks elect
nobody twice; and the clock is asked before each step and once more before each request that changes something
outside (`clients.fencing`), so a process that was paused finds out before it acts, not after.

What that guarantees: no request leaves a replica later than 10 s after it began its last renewal, and what is
under way then is given up, since `main` ends the process at that moment. Another replica leads 15 s after it saw
that renewal at the earliest. So the two are 5 s apart, however slow the API server or the network is.

What it cannot guarantee: Kubernetes checks no lease when it writes. A request that something between the replica
and the API server holds back for more than these 5 s, although its connection is closed, is carried out when it
arrives. It does no lasting harm: an apply is undone as drift, a deletion names the uid that it means.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.engine.errors import NotLeaderError, OutsideError, UnavailableError

logger = logging.getLogger(__name__)

#: Seconds: how long a Lease is valid, how long the leader tries to renew it before it gives up, and how often.
LEASE_DURATION, RENEW_DEADLINE, RETRY_PERIOD = 15.0, 10.0, 2.0
#: Seconds that giving the Lease up may take when the process ends.
RELEASE_DEADLINE = 3.0
#: Seconds between tries to release it.
RELEASE_PERIOD = 0.2
API_VERSION = "coordination.k8s.io/v1"
#: Linux's clock that nobody sets and that goes on while the machine sleeps, as those of the other replicas do.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Return the seconds since some moment, whatever the clock on the wall says."""
    return time.clock_gettime(_CLOCK)


class Leases(Protocol):
    """What the election needs of the API server."""

    async def get(self, ref: ObjectRef) -> Manifest | None: ...
    async def create(self, manifest: Manifest) -> Manifest: ...
    async def replace(self, manifest: Manifest) -> Manifest: ...


class SoleReplica:
    """The leadership of an operator that runs without an election, as on a developer's machine."""

    def __init__(self) -> None:
        self._resigned = False

    @property
    def stands_by(self) -> bool:
        """Whether this replica could take over: there is nothing to wait for."""
        return False

    def check(self) -> None:
        """Return until `resign` was called."""
        if self._resigned:
            raise NotLeaderError

    def check_lease(self) -> None:
        """Return: there is no Lease to lose."""

    def resign(self) -> None:
        """Let no further step begin: the process is about to end."""
        self._resigned = True


@dataclass
class LeaseElection:
    """One candidate. `acquire`, then `hold` until it returns; both are run by `main`."""

    leases: Leases
    namespace: str
    identity: str
    name: str = "biospark-operator"
    monotonic: Callable[[], float] = steady
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _valid_until: float = 0.0
    _resigned: bool = False
    _judged: bool = False
    _seen: tuple[Any, Any] | None = None
    _seen_at: float = 0.0

    @property
    def leading(self) -> bool:
        """Whether this candidate holds the Lease and may act on it."""
        return not self._resigned and self.monotonic() < self._valid_until

    @property
    def stands_by(self) -> bool:
        """Whether this candidate doesn't lead and could take over: it was able to read and judge the Lease."""
        return self._judged and not self.leading

    def check(self) -> None:
        """Return while this candidate is the leader, raise `NotLeaderError` otherwise."""
        if not self.leading:
            raise NotLeaderError

    def check_lease(self) -> None:
        """Return while the Lease is held, also after `resign`; raise `NotLeaderError` otherwise."""
        if self.monotonic() >= self._valid_until:
            raise NotLeaderError

    def resign(self) -> None:
        """Let no further step begin. The Lease stays held until `release`, while running steps finish."""
        self._resigned = True

    async def acquire(self) -> None:
        """Return once this candidate is the leader. Other candidates' Leases are waited out."""
        logger.info("standing by: waiting for the Lease %s/%s", self.namespace, self.name)
        while not await self._try():
            await self.sleep(RETRY_PERIOD)
        logger.info("leading as %s", self.identity)

    async def hold(self) -> None:
        """Renew the Lease; return as soon as it runs out or belongs to someone else.

        One that ran out is never taken up again, though it may be free: steps that were refused meanwhile would
        not be made up for.
        """
        due = self.monotonic() + RETRY_PERIOD
        while (now := self.monotonic()) < (until := self._valid_until):
            await self.sleep(min(max(due - now, 0.0), until - now))
            due = self.monotonic() + RETRY_PERIOD
            await self._try()
            if self.monotonic() >= until:
                self._valid_until = 0.0
        logger.error("lost the Lease %s/%s: this process must end", self.namespace, self.name)

    async def release(self) -> None:
        """Give the Lease up, so that another replica needs not wait for it to run out.

        A renewal that was on its way when the process was told to end may still arrive and make our reading of
        the Lease an old one: so it is tried until the Lease is seen not to be ours.
        """
        self._resigned, self._valid_until = True, 0.0
        last: Exception | None = None
        try:
            async with asyncio.timeout(RELEASE_DEADLINE):
                while lease := await self._ours():
                    try:
                        await self.leases.replace({**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
                    except UnavailableError as error:  # written in between, or no answer
                        last = error
                        await self.sleep(RELEASE_PERIOD)
        except (OutsideError, TimeoutError) as error:
            logger.warning("could not release the Lease %s/%s: %s", self.namespace, self.name, last or error)

    async def _ours(self) -> Manifest | None:
        """Return the Lease if this candidate holds it."""
        lease = await self.leases.get(self._ref)
        return lease if lease is not None and lease["spec"].get("holderIdentity") == self.identity else None

    @property
    def _ref(self) -> ObjectRef:
        return ObjectRef(API_VERSION, "Lease", self.namespace, self.name)

    async def _try(self) -> bool:
        """Take or renew the Lease once. The time before the request counts, not that of the answer."""
        began = self.monotonic()
        left = self._valid_until - began
        try:
            # Without a try that outlasts it, the end of the Lease is noticed when it comes.
            async with asyncio.timeout(min(RENEW_DEADLINE / 2, left) if left > 0 else RENEW_DEADLINE / 2):
                lease = await self.leases.get(self._ref)
                self._take_note(lease)
                if lease is None and self._vanished_from_another(began):
                    return False
                if lease is None:
                    await self.leases.create(self._lease(None))
                elif self._free(lease, began):
                    await self.leases.replace(self._lease(lease))
                else:
                    self._valid_until, self._judged = 0.0, True
                    return False
        except (OutsideError, TimeoutError) as error:
            logger.warning("could not take or renew the Lease %s/%s: %s", self.namespace, self.name, error)
            return False
        self._valid_until, self._judged = began + RENEW_DEADLINE, True
        return True

    def _take_note(self, lease: Manifest | None) -> None:
        """Remember who holds the Lease and since when it is as it is.

        Any write of it counts as a renewal, since the stamps of a clock that stands still don't move. The time of
        the answer counts, since the renewal that it shows was before.
        """
        if lease is None:
            return
        record = ((lease.get("spec") or {}).get("holderIdentity"), lease["metadata"]["resourceVersion"])
        if record != self._seen:
            self._seen, self._seen_at = record, self.monotonic()

    def _free(self, lease: Manifest, now: float) -> bool:
        """Whether the Lease is ours, was given up, or was not renewed for its whole duration."""
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") in ("", None, self.identity):
            return True
        return now - self._seen_at >= float(spec.get("leaseDurationSeconds") or LEASE_DURATION)

    def _vanished_from_another(self, now: float) -> bool:
        """Whether somebody deleted the Lease of another replica, which may go on for as long as it was valid."""
        holder = self._seen[0] if self._seen else None
        return holder not in (None, "", self.identity) and now - self._seen_at < LEASE_DURATION

    def _lease(self, previous: Manifest | None) -> dict[str, Any]:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = dict(previous.get("spec") or {}) if previous else {}
        taken = old.get("holderIdentity") != self.identity
        return {
            "apiVersion": API_VERSION,
            "kind": "Lease",
            "metadata": dict(previous["metadata"]) if previous else {"name": self.name, "namespace": self.namespace},
            "spec": {
                "holderIdentity": self.identity,
                "leaseDurationSeconds": int(LEASE_DURATION),
                "acquireTime": stamp if taken else old.get("acquireTime", stamp),
                "renewTime": stamp,
                "leaseTransitions": old.get("leaseTransitions", 0) + (1 if taken and previous else 0),
            },
        }
