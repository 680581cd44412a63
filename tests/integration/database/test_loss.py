"""A database that was there and is gone is never masked: nothing is made until a human consents to the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from biospark_operator.api.v1alpha1.environment import ALLOW_EMPTY_DATABASE
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.engine.convergence import Report
from biospark_operator.engine.outcome import Blocked, Ready
from dev.cluster.postgres import Server
from tests.integration.database.operated import Operated
from tests.postgres import Site

pytestmark = pytest.mark.integration

COUNT = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


def drop(operated: Operated) -> None:
    operated.by_hand("DROP DATABASE {database} WITH (FORCE)")


def exists(operated: Operated) -> bool:
    return bool(operated.site.sql("SELECT 1 FROM pg_database WHERE datname = %s", operated.database))


def named(report: Report) -> str:
    """Return what the message asks a human to write, who does without the data."""
    assert isinstance(report.outcome, Blocked), report.outcome
    assert (report.outcome.reason, report.done) == (Reason.DATABASE_MISSING, ())
    return report.outcome.message.partition(f"{ALLOW_EMPTY_DATABASE}: ")[2].partition(" ")[0]


def forget_status(operated: Operated) -> None:
    operated.status = {}


def drop_roles(operated: Operated) -> None:
    for role in operated.names.roles:
        operated.site.sql(f'DROP ROLE IF EXISTS "{role}"')


@pytest.mark.parametrize("lost_too", [lambda _: None, forget_status, drop_roles], ids=["nothing", "status", "roles"])
async def test_a_database_that_was_dropped_is_told_and_not_made_anew(
    operated: Operated, lost_too: Callable[[Operated], None]
) -> None:
    await operated.migrated()
    await operated.run()
    before = operated.secret()
    drop(operated)
    lost_too(operated)
    first = await operated.run()
    assert named(first).startswith(f"{operated.database}/")
    assert (await operated.run()).outcome == first.outcome
    assert not exists(operated)
    assert operated.secret() == before


@pytest.fixture
def elsewhere(one_site: Site, servers: dict[int, Server], clients: Servers) -> Callable[[Operated], Operated]:
    """Return the same environment where its server's address leads to another server."""

    def moved(operated: Operated) -> Operated:
        other = replace(operated.site, server=servers[15])
        other.__enter__()
        return replace(operated, site=other)

    return moved


async def test_an_empty_or_wrong_server_gets_nothing(one: Operated, elsewhere: Callable[[Operated], Operated]) -> None:
    await one.migrated()
    wrong = elsewhere(one)
    try:
        named(await wrong.run())
        assert wrong.site.sql("SELECT 1 FROM pg_roles WHERE rolname = ANY(%s)", [*one.names.roles]) == []
        assert not exists(wrong)
    finally:
        wrong.site.__exit__()
    one.status = wrong.status
    # The address leads back to the right one.
    Operated.__post_init__(one)
    assert isinstance((await one.run()).outcome, Ready)
    assert isinstance((await one.run_schema()).outcome, Ready)


async def test_who_consents_to_the_loss_gets_an_empty_database_once(operated: Operated) -> None:
    await operated.migrated()
    drop(operated)
    consent = named(await operated.run())
    operated.annotations = {ALLOW_EMPTY_DATABASE: consent}
    assert isinstance((await operated.run()).outcome, Ready)
    assert isinstance((await operated.migrated()).outcome, Ready)
    assert operated.as_app("SELECT count(*) FROM patients") == [(0,)]
    assert (await operated.run()).done == (await operated.run_schema()).done == ()
    # Months later the annotation is still there.
    drop(operated)
    assert named(await operated.run()) != consent
    forget_status(operated)
    assert named(await operated.run()) != consent
    assert not exists(operated)


@pytest.mark.parametrize("value", ["true", "", "{database}", "{database}/1"])
async def test_a_consent_that_does_not_name_the_loss_is_none(one: Operated, value: str) -> None:
    await one.run()
    drop(one)
    one.annotations = {ALLOW_EMPTY_DATABASE: value.format(database=one.database)}
    named(await one.run())


@pytest.mark.parametrize("actions", range(1, 13))
async def test_a_beginning_with_an_empty_database_that_is_killed_anywhere_is_made_up_for(
    one: Operated, actions: int
) -> None:
    await one.migrated()
    drop(one)
    drop_roles(one)
    one.annotations = {ALLOW_EMPTY_DATABASE: named(await one.run())}
    await one.stopped_after(actions)
    assert isinstance((await one.settled()).outcome, Ready)
    assert isinstance((await one.migrated()).outcome, Ready)
    one.annotations = {}
    assert isinstance((await one.run()).outcome, Ready)


def empty(operated: Operated) -> None:
    operated.as_owner("DROP SCHEMA public CASCADE")


def begin_restore(operated: Operated) -> None:
    operated.replace_database()


def begin_restore_behind_a_closed_door(operated: Operated) -> None:
    operated.replace_database()
    operated.by_hand("ALTER DATABASE {database} ALLOW_CONNECTIONS false")


@pytest.mark.parametrize("happened", [empty, begin_restore, begin_restore_behind_a_closed_door])
@pytest.mark.parametrize("status", ["known", "lost"])
async def test_a_database_that_was_emptied_is_not_migrated_from_zero(
    operated: Operated, happened: Callable[[Operated], None], status: str
) -> None:
    await operated.migrated()
    await operated.run()
    happened(operated)
    if status == "lost":
        forget_status(operated)
    await operated.settled()
    for _ in range(2):
        assert named(await operated.run_schema()) == ""
        assert (await operated.run()).done == ()
    assert operated.site.scalar(COUNT, database=operated.database) == 0


async def test_a_restore_that_is_done_ends_the_matter(one: Operated) -> None:
    await one.migrated()
    one.as_app("INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('A', 'B', '2000-01-01')")
    dump = one.site.dumped(one.database)
    one.replace_database()
    await one.settled()
    assert isinstance((await one.run_schema()).outcome, Blocked)
    one.site.restore(dump, one.database, "--no-owner", f"--role={one.names.owner}")
    await one.settled()
    report = await one.run_schema()
    assert isinstance((await one.run_schema()).outcome, Ready), report.outcome
    assert one.as_app("SELECT first_name FROM patients") == [("A",)]


async def test_what_an_interrupted_drop_left_counts_as_gone(one: Operated) -> None:
    await one.migrated()
    one.site.sql("UPDATE pg_database SET datconnlimit = -2 WHERE datname = %s", one.database)
    assert named(await one.run()) == ""
    await one.removed()
    assert not exists(one)
