"""Loops of environments: when a pass runs, what holds it back, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from biospark_operator.engine.convergence import Report
from biospark_operator.engine.errors import NotLeaderError, UnavailableError
from biospark_operator.engine.outcome import Blocked, Ready
from biospark_operator.engine.passes import Next
from biospark_operator.runtime import loop
from biospark_operator.runtime.loop import Environments


class Passes:
    """A reconciler whose passes a test controls. `uids` is what the API server has, by name."""

    def __init__(self) -> None:
        self.uids = {"dev": "u", "other": "o"}
        self.begun: list[tuple[str, str, bool | None]] = []
        self.running: set[str] = set()
        self.most = 0
        #: What a pass over an environment does; by default it ends at once and asks for no other.
        self.work: dict[str, Callable[[], Awaitable[Next]]] = {}
        self.store = self
        self._changed = asyncio.Condition()

    async def read(self, name: str) -> Any:
        return {"metadata": {"name": name, "uid": self.uids[name]}} if name in self.uids else None

    async def reconcile(self, name: str, memory: Any, *, changed: bool) -> Next:
        return await self._pass("reconcile", name, changed)

    async def teardown(self, name: str, memory: Any) -> Next:
        return await self._pass("teardown", name, None)

    async def _pass(self, kind: str, name: str, changed: bool | None) -> Next:
        assert name not in self.running, "two passes over one environment at once"
        self.running.add(name)
        self.most = max(self.most, len(self.running))
        self.begun.append((kind, name, changed))
        async with self._changed:
            self._changed.notify_all()
        try:
            return await self.work[name]() if name in self.work else Next(None)
        finally:
            self.running.discard(name)

    async def until(self, count: int) -> None:
        """Return once `count` passes have begun."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: len(self.begun) >= count)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COALESCE", "SLOWEST", "TEARDOWN_LOOK"):
        monkeypatch.setattr(loop, name, 0.01)


@pytest.fixture
def passes() -> Passes:
    return Passes()


@pytest.fixture
def environments(passes: Passes) -> Environments:
    return Environments(passes, 2)  # type: ignore[arg-type]


@asynccontextmanager
async def kept(environments: Environments, name: str = "dev", uid: str = "u"):
    """Keep an environment for as long as the context lasts; yields the event that stops it and the task."""
    stopped = asyncio.Event()

    async def stop() -> None:
        await stopped.wait()

    task = asyncio.create_task(environments.keep(name, uid, stopped.is_set, stop()))
    try:
        yield stopped, task
    finally:
        stopped.set()
        async with asyncio.timeout(5):
            await task


async def test_the_first_pass_counts_as_a_change(environments: Environments, passes: Passes) -> None:
    async with kept(environments):
        await passes.until(1)
    assert passes.begun == [("reconcile", "dev", True)]


async def test_a_wake_brings_a_pass_that_knows_of_the_change(environments: Environments, passes: Passes) -> None:
    async with kept(environments):
        await passes.until(1)
        environments.wake("dev")
        await passes.until(2)
    assert passes.begun[1] == ("reconcile", "dev", True)


async def test_a_pass_that_comes_by_time_is_no_change(environments: Environments, passes: Passes) -> None:
    nexts = iter([Next(0.01), Next(None)])

    async def work() -> Next:
        return next(nexts)

    passes.work["dev"] = work
    async with kept(environments):
        await passes.until(2)
    assert passes.begun[1] == ("reconcile", "dev", False)


async def test_wakes_that_come_together_are_answered_by_one_pass(
    environments: Environments, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "COALESCE", 0.05)
    async with kept(environments):
        await passes.until(1)
        for _ in range(20):
            environments.wake("dev")
            await asyncio.sleep(0)
        await passes.until(2)
        await asyncio.sleep(0.1)
    assert len(passes.begun) == 2


async def test_a_wake_during_a_pass_is_not_lost(environments: Environments, passes: Passes) -> None:
    go = asyncio.Event()

    async def work() -> Next:
        await go.wait()
        return Next(None)

    passes.work["dev"] = work
    async with kept(environments):
        await passes.until(1)
        environments.wake("dev")
        go.set()
        await passes.until(2)


async def test_one_environment_that_hangs_does_not_hold_up_the_others(
    environments: Environments, passes: Passes
) -> None:
    go = asyncio.Event()

    async def hang() -> Next:
        await go.wait()
        return Next(None)

    passes.work["dev"] = hang
    async with kept(environments), kept(environments, "other", "o"):
        await passes.until(2)
        for count in range(3, 6):
            environments.wake("other")
            await passes.until(count)
        assert [name for _, name, _ in passes.begun].count("dev") == 1
        go.set()


async def test_no_more_passes_run_at_once_than_allowed(passes: Passes) -> None:
    environments, go = Environments(passes, 3), asyncio.Event()  # type: ignore[arg-type]

    async def work() -> Next:
        await go.wait()
        return Next(None)

    names = [f"e{i}" for i in range(10)]
    passes.work = dict.fromkeys(names, work)
    stops = [kept(environments, name, name) for name in names]
    for each in stops:
        await each.__aenter__()
    await passes.until(3)
    await asyncio.sleep(0.02)
    assert len(passes.begun) == 3
    go.set()
    await passes.until(10)
    for each in stops:
        await each.__aexit__(None, None, None)
    assert passes.most == 3


async def test_a_loop_ends_when_it_is_stopped_in_its_sleep(environments: Environments, passes: Passes) -> None:
    async with kept(environments) as (stopped, task):
        await passes.until(1)
        stopped.set()
        async with asyncio.timeout(1):
            await task
    assert environments.slot("dev", "u").due is None


async def test_a_loop_ends_when_the_environment_is_gone(environments: Environments, passes: Passes) -> None:
    async def work() -> Next:
        return Next(None, gone=True)

    passes.work["dev"] = work
    async with kept(environments) as (_, task):
        async with asyncio.timeout(1):
            await task
    assert len(passes.begun) == 1


@pytest.mark.parametrize(
    ("error", "again"),
    [(UnavailableError("no answer"), True), (RuntimeError("a defect"), True), (NotLeaderError(), False)],
)
async def test_a_pass_that_could_not_be_made_is_made_again_unless_others_lead(
    environments: Environments, passes: Passes, error: Exception, again: bool
) -> None:
    async def work() -> Next:
        if len(passes.begun) == 1:
            raise error
        return Next(None)

    passes.work["dev"] = work
    async with kept(environments):
        await passes.until(1)
        await asyncio.sleep(0.05)
    # What the failed pass was to look at, a change, is still to be looked at.
    assert passes.begun == [("reconcile", "dev", True)] * (2 if again else 1)


async def test_passes_that_fail_are_made_again_more_and_more_slowly_or_when_the_api_server_asks_for_it(
    environments: Environments, passes: Passes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    errors = [UnavailableError("no answer"), RuntimeError("a defect"), UnavailableError("later", retry_after=0.3), None]
    errors += [UnavailableError("no answer")]

    def delay(failures: int, _: Any) -> float:
        asked.append(failures)
        return 0.01

    moments: list[float] = []

    async def work() -> Next:
        moments.append(asyncio.get_running_loop().time())
        if error := errors.pop(0) if errors else None:
            raise error
        return Next(0.01 if errors else None)

    monkeypatch.setattr(loop, "delay", delay)
    passes.work["dev"] = work
    async with kept(environments):
        await passes.until(6)
    # Between beginnings: by the clock of the loop, which wakes nobody early by more than a tick.
    assert moments[3] - moments[2] > 0.29
    assert asked == [1, 2, 3, 1]
    assert [changed for _, _, changed in passes.begun] == [True, True, True, True, False, False]


async def test_teardown_is_repeated_until_everything_is_gone(environments: Environments, passes: Passes) -> None:
    nexts = iter([Next(None), Next(0.01), Next(None, gone=True)])

    async def work() -> Next:
        return next(nexts)

    passes.work["dev"] = work
    async with asyncio.timeout(5):
        await environments.remove("dev", "u")
    assert [kind for kind, _, _ in passes.begun] == ["teardown"] * 3
    assert environments.all() == []


async def test_teardown_waits_for_the_pass_that_is_running(environments: Environments, passes: Passes) -> None:
    go = asyncio.Event()

    async def work() -> Next:
        await go.wait()
        return Next(None, gone=len(passes.begun) > 1)

    passes.work["dev"] = work
    async with kept(environments):
        await passes.until(1)
        removing = asyncio.create_task(environments.remove("dev", "u"))
        await asyncio.sleep(0.01)
        assert len(passes.begun) == 1
        go.set()
        await removing


async def test_an_environment_made_anew_is_not_taken_down_for_its_namesake(
    environments: Environments, passes: Passes
) -> None:
    removing = asyncio.create_task(environments.remove("dev", "u"))
    await passes.until(1)
    # Somebody takes the finalizer away and makes an environment of the same name.
    passes.uids["dev"] = "new"
    async with kept(environments, "dev", "new"):
        async with asyncio.timeout(5):
            await removing
        done = len(passes.begun)
        environments.wake("dev")
        await passes.until(done + 1)
        assert passes.begun[-1] == ("reconcile", "dev", True)
    assert len(environments.all()) == 1


async def test_a_source_wakes_those_who_use_it(environments: Environments, passes: Passes) -> None:
    environments.slot("dev", "u").saw((1,), frozenset({"pull", "admin"}))
    environments.slot("other", "o").saw((1,), frozenset())
    environments.wake_users_of("pull")
    assert [name for name, slot in environments.all() if slot.woken.is_set()] == ["dev"]


async def test_who_was_blocked_for_a_reason_is_woken_and_who_may_just_be_getting_so(environments: Environments) -> None:
    outcomes = {"blocked": Blocked("DefinitionMissing", "install it"), "ready": Ready("Succeeded", ""), "running": None}
    for name, outcome in outcomes.items():
        slot = environments.slot(name, "u")
        if outcome:
            slot.memory.reports["part"] = Report(outcome)
        else:
            slot.began = 1.0
    environments.wake_where("DefinitionMissing")
    assert [name for name, slot in environments.all() if slot.woken.is_set()] == ["blocked", "running"]


async def test_what_the_platform_uses_wakes_all(passes: Passes) -> None:
    environments = Environments(passes, 1, shared=frozenset({"admin"}))  # type: ignore[arg-type]
    environments.slot("dev", "u").saw((1,), frozenset())
    environments.wake_users_of("pull")
    assert [name for name, slot in environments.all() if slot.woken.is_set()] == []
    environments.wake_users_of("admin")
    assert [name for name, slot in environments.all() if slot.woken.is_set()] == ["dev"]


def test_only_another_version_of_the_resource_is_news(environments: Environments) -> None:
    slot = environments.slot("dev", "u")
    slot.saw((1, None), frozenset())
    slot.saw((1, None), frozenset({"pull"}))
    assert not slot.woken.is_set(), "the first sight and our own status writes are no news"
    slot.saw((2, None), frozenset({"pull"}))
    assert slot.woken.is_set()


def test_an_unknown_environment_is_not_woken(environments: Environments) -> None:
    environments.wake("nobody")
    assert environments.all() == []


async def test_draining_waits_for_running_passes_but_not_for_ever(environments: Environments, passes: Passes) -> None:
    go = asyncio.Event()

    async def work() -> Next:
        await go.wait()
        return Next(None)

    passes.work["dev"] = work
    async with kept(environments):
        await passes.until(1)
        await environments.drained(0.01)
        assert passes.running == {"dev"}
        draining = asyncio.create_task(environments.drained(5))
        go.set()
        await draining
        assert not passes.running


async def test_an_edited_environment_is_worked_on_before_those_that_wait_longer(passes: Passes) -> None:
    environments, slow = Environments(passes, 1), asyncio.Event()  # type: ignore[arg-type]

    async def work() -> Next:
        await slow.wait()
        return Next(None)

    environments.slot("dev", "u").saw((1,), frozenset())
    async with kept(environments):
        await passes.until(1)
        passes.work["other"] = work
        async with kept(environments, "other", "o"), kept(environments, "new", "n"):
            await passes.until(2)
            environments.slot("dev", "u").saw((2,), frozenset())
            while not environments.slot("dev", "u").lock.locked():
                await asyncio.sleep(0)
            slow.set()
            await passes.until(4)
    assert [name for _, name, _ in passes.begun] == ["dev", "other", "dev", "new"]
