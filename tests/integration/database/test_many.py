"""Many environments on one server: few connections, nobody waits for a broken one, and a clean look writes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator

import pytest

from biospark_operator.clients.postgres import server as postgres
from biospark_operator.clients.postgres.servers import LIMIT, Servers
from biospark_operator.clients.postgres.session import Session
from biospark_operator.engine.outcome import Failed, Ready
from tests.integration.database.operated import Operated
from tests.postgres import Site, server

pytestmark = pytest.mark.integration

LONG = bool(os.environ.get("BIOSPARK_LONG"))
#: How many passes the operator makes at the same time.
PASSES = 16


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of its own, with the 100 connections that a server has by default."""
    with server(18, "-many") as running:
        # What is on the server goes with it.
        yield Site(running, superuser=False).__enter__()


async def passes(environments: list[Operated]) -> None:
    """Make one pass over each, as many at a time as the operator does."""
    turns = asyncio.Semaphore(PASSES)

    async def one(operated: Operated) -> None:
        async with turns:
            report = await operated.run()
            assert isinstance(report.outcome, Ready), report.outcome

    await asyncio.gather(*(one(operated) for operated in environments))


async def test_many_environments_on_one_server_need_few_connections(
    site: Site, clients: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 100 if LONG else 12
    environments = [Operated(site, clients, f"{site.name}_{i}", environment_name=f"e{i}") for i in range(number)]
    executed, most = 0, 0
    run = Session.run

    async def counted(self: Session, *args: object, **kwargs: object) -> None:
        nonlocal executed
        executed += 1
        await run(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "run", counted)

    async def watch() -> None:
        nonlocal most
        query = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
        while True:
            most = max(most, int(str(await asyncio.to_thread(site.scalar, query, site.admin))))
            await asyncio.sleep(0.2)

    # Half of what the server has is in use by others.
    held = [await asyncio.to_thread(lambda: site.connected().__enter__()) for _ in range(45)]
    watching = asyncio.create_task(watch())
    try:
        began = time.monotonic()
        await passes(environments)
        first, executed_first = time.monotonic() - began, executed
        began, executed = time.monotonic(), 0
        await passes(environments)
        again = time.monotonic() - began
    finally:
        watching.cancel()
        for session in held:
            session.close()
    print(
        f"\n{number} databases: first pass {first / number:.2f} s and {executed_first / number:.0f} transactions each, "
        f"clean pass {again / number:.3f} s and {executed} transactions; {most} connections at most"
    )
    assert executed == 0
    assert most <= LIMIT
    log = site.server.log.read_text()
    assert "too many" not in log


async def test_a_silent_server_holds_up_its_own_environments_only(
    site: Site, one_site: Site, clients: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CONNECT", 2.0)
    healthy = Operated(one_site, clients, f"{one_site.name}_db")
    await healthy.run()
    broken = [Operated(site, clients, f"{site.name}_{i}", environment_name=f"e{i}") for i in range(PASSES - 1)]
    site.server.pause()
    try:
        crowd = [asyncio.create_task(operated.run()) for operated in broken]
        assert isinstance((await healthy.run()).outcome, Ready)
        assert not all(task.done() for task in crowd)
        reports = await asyncio.gather(*crowd)
    finally:
        site.server.resume()
    assert all(isinstance(report.outcome, Failed) for report in reports)


async def test_a_server_that_crashes_between_any_two_steps_loses_nothing(site: Site, clients: Servers) -> None:
    for actions in range(0, 15, 1 if LONG else 4):
        operated = Operated(site, clients, f"{site.name}_{actions}", environment_name=f"e{actions}")
        await operated.stopped_after(actions)
        site.server.stop(signal.SIGQUIT)
        report = await operated.run()
        assert isinstance(report.outcome, Failed), report.outcome
        assert "no answer" in report.outcome.message
        site.server.up()
        for _ in range(50):
            report = await operated.run()
            if isinstance(report.outcome, Ready):
                break
            await asyncio.sleep(0.2)
        assert isinstance(report.outcome, Ready), (actions, report.outcome)
        assert operated.as_app("SELECT 1") == [(1,)]
        assert (await operated.run()).done == ()
