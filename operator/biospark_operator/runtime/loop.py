"""Keeps environments: one loop each that runs a pass, then sleeps until it is woken or its time has come.

kopf starts and ends the loops (`handlers`); everything that wakes them ends here, too. A pass holds the lock of
its environment and one of a bounded number of `turns`; waiting holds neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from biospark_operator.engine.backoff import delay
from biospark_operator.engine.errors import NotLeaderError, OutsideError
from biospark_operator.engine.passes import Memory, Next
from biospark_operator.engine.reconcile import Reconciler
from biospark_operator.runtime import metrics
from biospark_operator.runtime.turns import Rank, Turns

logger = logging.getLogger(__name__)

#: Seconds in which events that come together are answered by one pass.
COALESCE = 0.2
#: Seconds between tries at most while passes can't even read or write the resource.
SLOWEST = 60.0
#: Seconds between looks at an environment that is being deleted: kopf holds back its events meanwhile.
TEARDOWN_LOOK = 5.0


@dataclass
class Slot:
    """What is kept in memory of one environment."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    memory: Memory = field(default_factory=Memory)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    #: Monotonic time at which the next pass is due, None while it waits to be woken only.
    due: float | None = None
    #: Monotonic time at which the pass that is running began, None between passes.
    began: float | None = None
    #: How many passes in a row could not even read or write the resource.
    failures: int = 0
    #: The Secrets in the operator's namespace that the environment refers to.
    secrets: frozenset[str] = frozenset()
    #: The generation and reconcile request that were seen last, to tell news from our own status writes.
    seen: tuple[object, ...] = ()
    #: Whether somebody edited the resource since the last pass began.
    edited: bool = False

    @property
    def rank(self) -> Rank:
        """How soon it is this environment's turn."""
        return Rank.EDITED if self.edited else Rank.USUAL

    def saw(self, version: tuple[object, ...], secrets: frozenset[str]) -> None:
        """Take note of the resource as an event shows it, and ask for a pass if it is another version."""
        if self.seen and self.seen != version:
            self.edited = True
            self.woken.set()
        self.seen, self.secrets = version, secrets


class Environments:
    """All environments of this process, by name and uid.

    Two of one name are there at once when one is made anew while the process still looks at the old one, whose
    finalizer somebody took away.
    """

    def __init__(self, reconciler: Reconciler, passes: int, shared: frozenset[str] = frozenset()) -> None:
        """`passes` are made at once at most; `shared` are Secrets that every environment may use."""
        self._reconciler = reconciler
        self._turns = Turns(passes)
        self._shared = shared
        self._slots: dict[str, dict[str, Slot]] = {}
        self._rng = random.Random()  # noqa: S311 - jitter

    def slot(self, name: str, uid: str) -> Slot:
        """Return the slot of an environment, made when it is first asked for."""
        return self._slots.setdefault(name, {}).setdefault(uid, Slot())

    def all(self) -> list[tuple[str, Slot]]:
        """Return every slot with the name of its environment."""
        return [(name, slot) for name, namesakes in self._slots.items() for slot in namesakes.values()]

    def wake(self, name: str) -> None:
        """Ask for a pass soon. An environment that is not known here is not ours to keep."""
        for slot in self._slots.get(name, {}).values():
            slot.woken.set()

    def wake_users_of(self, secret: str) -> None:
        """Ask for a pass over every environment that refers to this Secret."""
        for _, slot in self.all():
            if secret in slot.secrets or secret in self._shared:
                slot.woken.set()

    def wake_where(self, reason: str) -> None:
        """Ask for a pass over every environment that a component's last report gave this reason for.

        Also where a pass is under way, whose reports are not there yet.
        """
        for _, slot in self.all():
            reports = slot.memory.reports.values()
            if slot.began is not None or any(report.outcome.reason == reason for report in reports):
                slot.woken.set()

    def forget(self, name: str, uid: str) -> None:
        """Drop what is kept of an environment that is gone."""
        namesakes = self._slots.get(name, {})
        namesakes.pop(uid, None)
        if not namesakes:
            self._slots.pop(name, None)
            metrics.forget(name)

    async def drained(self, seconds: float) -> None:
        """Return when no pass is running any more, or after `seconds`."""
        running = [slot.lock for _, slot in self.all() if slot.began is not None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for lock in running:
                    async with lock:
                        pass

    async def keep(self, name: str, uid: str, stopped: Callable[[], bool], stop: Coroutine[None, None, object]) -> None:
        """Keep an environment until `stopped`; `stop` completes when that happens."""
        slot, changed = self.slot(name, uid), True

        async def reconcile() -> Next:
            return await self._reconciler.reconcile(name, slot.memory, changed=changed)

        stopping = asyncio.create_task(stop)
        try:
            while not stopped():
                next_ = await self._pass(name, slot, reconcile)
                if next_.gone:
                    return
                woken = await self._sleep(slot, next_.after, stopping)
                # What a pass was to look at is not looked at yet if it failed altogether.
                changed = woken or (changed and slot.failures > 0)
        finally:
            stopping.cancel()
            slot.due = None

    async def remove(self, name: str, uid: str) -> None:
        """Delete what belongs to an environment, and return when everything is gone."""
        slot = self.slot(name, uid)

        async def teardown() -> Next:
            body = await self._reconciler.store.read(name)
            if body is None or body["metadata"]["uid"] != uid:
                # What bears the name now is another one, and alive: it must not be taken down.
                logger.warning("somebody took the finalizer of %s away: what it had made may be left over", name)
                return Next(None, gone=True)
            return await self._reconciler.teardown(name, slot.memory)

        while not (next_ := await self._pass(name, slot, teardown)).gone:
            after = next_.after or TEARDOWN_LOOK
            await self._sleep(slot, after if slot.failures else min(after, TEARDOWN_LOOK), None)
        self.forget(name, uid)

    async def _pass(self, name: str, slot: Slot, work: Callable[[], Awaitable[Next]]) -> Next:
        """Run one pass in its turn. What a pass could not do at all is tried again a little later."""
        async with slot.lock, self._turns.turn(slot.rank):
            slot.began, slot.due, slot.edited = time.monotonic(), None, False
            before = dict(slot.memory.reports)
            try:
                with metrics.timed_pass():
                    next_ = await work()
            except NotLeaderError:
                logger.info("not the leader: the pass over %s ends here", name)
                return Next(None)
            except OutsideError as error:
                logger.warning("the pass over %s failed: %s", name, error)
                metrics.PASS_ERRORS.labels("unreachable").inc()
                return Next(self._after_failure(slot, error.retry_after))
            except Exception:
                logger.exception("the pass over %s met a defect", name)
                metrics.PASS_ERRORS.labels("defect").inc()
                return Next(self._after_failure(slot))
            else:
                slot.failures = 0
                return next_
            finally:
                slot.began = None
                metrics.count(before, slot.memory.reports)
                metrics.count_deletions(slot.memory.deletions)

    def _after_failure(self, slot: Slot, at_least: float | None = None) -> float:
        """Count a pass that failed altogether, and return the seconds until the next try."""
        slot.failures += 1
        return max(min(delay(slot.failures, self._rng), SLOWEST), at_least or 0.0)

    async def _sleep(self, slot: Slot, seconds: float | None, stopping: asyncio.Task[object] | None) -> bool:
        """Sleep until woken (True), stopped or `seconds` have passed (False)."""
        slot.due = None if seconds is None else time.monotonic() + seconds
        waking: asyncio.Task[object] = asyncio.create_task(slot.woken.wait())
        reasons = {waking, stopping} if stopping else {waking}
        try:
            await asyncio.wait(reasons, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not slot.woken.is_set():
                return False
            await asyncio.sleep(COALESCE)
            slot.woken.clear()
            return True
        finally:
            waking.cancel()
