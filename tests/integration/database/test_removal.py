"""What becomes of a database when its environment goes: kept, given back or dropped, and never somebody else's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from psycopg import sql

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.postgres.session import Session
from biospark_operator.components.database import marks
from biospark_operator.components.database.marks import Origin
from biospark_operator.engine.outcome import Blocked, Ready
from biospark_operator.objects import ownership
from tests.integration.database.operated import Operated

pytestmark = pytest.mark.integration


def there(operated: Operated) -> tuple[bool, set[object]]:
    """Return whether the database exists, and which of the roles do."""
    found = operated.site.sql("SELECT 1 FROM pg_database WHERE datname = %s", operated.database)
    roles = operated.site.sql("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [*operated.names.roles])
    return bool(found), {role for (role,) in roles}


async def test_delete_drops_database_and_roles_with_sessions_open(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id int)")
    held = operated.secret()
    with operated.site.connected(operated.database, held["username"], held["password"]):
        result = await operated.removed()
    assert there(operated) == (False, set())
    assert set(result.deleted) == set(operated.component.targets(operated.env))
    assert result.released == ()
    assert [ref.name for ref in operated.cluster.objects if ref.kind == "Secret"] == ["admin"]
    assert (await operated.removed()).released == ()


async def test_sessions_that_may_not_be_ended_are_waited_for_by_name(one: Operated) -> None:
    await one.run()
    other = f"{one.site.name}_analyst"
    one.site.sql(f"CREATE ROLE \"{other}\" LOGIN PASSWORD 'p'")
    one.by_hand(f'GRANT CONNECT ON DATABASE {{database}} TO "{other}"')
    with one.site.connected(one.database, other, "p"):
        result = await one.remove()
        assert [f"sessions of {other} are open" in why for why in result.waiting.values()] == [True]
        assert there(one)[0]
    await one.removed()
    assert there(one) == (False, set())


async def test_retain_keeps_all_and_says_so(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id int)")
    roles = there(operated)[1]
    result = await operated.removed(retain=True)
    assert there(operated) == (True, roles)
    databases = {target for target in operated.component.targets(operated.env) if target.startswith("postgresql:")}
    assert set(result.released) == databases
    assert operated.site.sql("SELECT * FROM t", database=operated.database) == []


async def test_deletion_that_orphans_keeps_database_and_secrets_and_the_api_goes_on(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id int)")
    held, roles = operated.secret(), there(operated)[1]
    result = await operated.remove(orphans=True)
    assert (result.waiting, result.deleted) == ({}, ())
    assert set(result.released) == set(operated.component.targets(operated.env))
    assert there(operated) == (True, roles)
    assert operated.secret() == held
    assert operated.as_app("SELECT * FROM t") == []
    assert not any(ownership.is_ours(live, operated.env.identity) for live in operated.cluster.objects.values())
    assert not (await operated.remove(orphans=True)).waiting
    assert operated.secret() == held


async def test_what_was_kept_goes_to_the_next_environment_of_its_name_and_to_no_other(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id int)")
    operated.as_app("INSERT INTO t VALUES (7)")
    await operated.removed(retain=True)
    stranger = Operated(operated.site, operated.servers, operated.database, environment_name="next")
    for policy in ("Never", "IfUnowned"):
        stranger.spec = {"adoptionPolicy": policy}
        outcome = (await stranger.run()).outcome
        assert isinstance(outcome, Blocked)
        assert outcome.reason == Reason.DATABASE_CONFLICT
        assert outcome.message.startswith(f"database {operated.database} on ")
        assert "is kept for the BioSparkEnvironment dev; create this environment with another" in outcome.message
    successor = Operated(operated.site, operated.servers, operated.database)
    message = (await successor.run()).outcome.message
    assert message.endswith(
        "was kept when an earlier environment dev was deleted; set spec.adoptionPolicy: IfUnowned to take it over"
    )
    successor.spec = {"adoptionPolicy": "IfUnowned"}
    assert isinstance((await successor.run()).outcome, Ready)
    assert successor.as_app("SELECT * FROM t") == [(7,)]
    assert (await successor.run()).done == ()


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ('GRANT CONNECT ON DATABASE "{other}" TO "{reader}"', "rights in {other}"),
        ('ALTER DATABASE "{other}" OWNER TO "{reader}"', "rights in {other}"),
        ('GRANT "{reader}" TO "{analyst}"', "the member {analyst}"),
        ('GRANT "{analyst}" TO "{reader}"', "membership of {analyst}"),
        ('ALTER ROLE "{reader}" CREATEDB', "CREATEDB"),
    ],
)
async def test_a_role_that_was_kept_and_is_used_otherwise_since_is_not_taken_back(
    one: Operated, use: str, told: str
) -> None:
    await one.run()
    await one.removed(retain=True)
    names = {"other": f"{one.site.name}_other", "analyst": f"{one.site.name}_analyst", "reader": one.names.reader}
    one.site.sql('CREATE DATABASE "{other}"'.format(**names))
    one.site.sql('CREATE ROLE "{analyst}"'.format(**names))
    one.site.sql(use.format(**names))
    one.spec = {"adoptionPolicy": "IfUnowned"}
    outcome = (await one.run()).outcome
    assert isinstance(outcome, Blocked)
    assert f"is used otherwise since: it has {told.format(**names)}; take that away" in outcome.message


STATE = """
SELECT pg_get_userbyid(datdba), shobj_description(oid, 'pg_database'), datconnlimit, datallowconn,
       ARRAY(SELECT format('%%s %%s', coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'), privilege_type)
               FROM aclexplode(coalesce(datacl, acldefault('d', datdba))) ORDER BY 1)
  FROM pg_database WHERE datname = %s
"""
SCHEMA = """
SELECT pg_get_userbyid(nspowner),
       ARRAY(SELECT format('%s %s', coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'), privilege_type)
               FROM aclexplode(coalesce(nspacl, acldefault('n', nspowner))) ORDER BY 1)
  FROM pg_namespace WHERE nspname = 'public'
"""


def offered(operated: Operated) -> None:
    """Make a database of others that has a bit of everything, and offer it."""
    site = operated.site
    dba, analyst = f"{site.name}_dba", f"{site.name}_analyst"
    site.sql(f'CREATE ROLE "{dba}"')
    site.sql(f'CREATE ROLE "{analyst}"')
    if not site.superuser:
        site.sql(f'GRANT "{dba}" TO "{site.admin}"')
    operated.by_hand(f'CREATE DATABASE {{database}} OWNER "{dba}" CONNECTION LIMIT 33')
    site.sql("CREATE TABLE old (id int)", database=operated.database)
    site.sql(f'GRANT SELECT ON old TO "{analyst}"', database=operated.database)
    site.sql(f'ALTER SCHEMA public OWNER TO "{dba}"', database=operated.database)
    site.sql("GRANT CREATE ON SCHEMA public TO PUBLIC", database=operated.database)
    operated.offer("precious")
    operated.spec = {"adoptionPolicy": "IfUnowned"}


def state(operated: Operated) -> list[tuple[object, ...]]:
    """Return owner, comment, limits and rights of the database and its schema."""
    rows = operated.site.sql(STATE, operated.database)
    return rows + operated.site.sql(SCHEMA, database=operated.database)


@pytest.mark.parametrize("retain", [True, False])
async def test_what_was_adopted_is_given_back_as_it_was_whatever_the_policy(operated: Operated, retain: bool) -> None:
    offered(operated)
    before = state(operated)
    assert isinstance((await operated.run()).outcome, Ready)
    assert state(operated) != before
    result = await operated.removed(retain=retain)
    assert result.released
    assert state(operated) == before
    assert isinstance((await operated.run()).outcome, Ready), "it is still offered"


@pytest.mark.parametrize("actions", range(1, 20, 1 if os.environ.get("BIOSPARK_LONG") else 4))
async def test_an_adoption_that_is_killed_anywhere_can_be_given_back_as_it_was(one: Operated, actions: int) -> None:
    offered(one)
    before = state(one)
    await one.stopped_after(actions)
    await one.removed()
    assert state(one) == before
    assert there(one)[0]


@pytest.mark.parametrize("step", range(1, 9, 1 if os.environ.get("BIOSPARK_LONG") else 3))
async def test_a_release_that_is_killed_anywhere_goes_on(
    one: Operated, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(one)
    before = state(one)
    await one.run()
    with killed_after(step, monkeypatch), pytest.raises(Killed):
        await one.remove()
    await one.removed()
    assert state(one) == before


async def test_rights_that_others_granted_meanwhile_stay_when_it_is_given_back(one: Operated) -> None:
    offered(one)
    await one.run()
    late, analyst = f"{one.site.name}_late", f"{one.site.name}_analyst"
    one.site.sql(f'CREATE ROLE "{late}"')
    one.by_hand(f'GRANT CONNECT ON DATABASE {{database}} TO "{late}"')
    one.site.sql(f'DROP OWNED BY "{analyst}"', database=one.database)
    one.site.sql(f'DROP ROLE "{analyst}"')
    await one.removed()
    assert f"{late} CONNECT" in str(state(one)[0][4])


async def test_a_foreign_database_and_its_roles_are_not_touched(operated: Operated) -> None:
    operated.by_hand("CREATE DATABASE {database}")
    operated.by_hand("CREATE ROLE {reader}")
    await operated.run()
    await operated.removed()
    assert there(operated) == (True, {operated.names.reader})


async def test_the_database_of_another_environment_is_not_touched(one: Operated) -> None:
    await one.run()
    second = Operated(one.site, one.servers, one.database, environment_name="late")
    before = there(one)
    await second.removed()
    await second.removed(retain=True)
    assert there(one) == before
    assert (await one.run()).done == ()


async def test_a_database_that_is_not_wanted_any_more_is_left_as_it_is(one: Operated) -> None:
    await one.run()
    before = there(one)
    result = await one.remove(deleting=False)
    assert there(one) == before
    assert len(result.released) == 1 + len(one.names.roles)
    assert (await one.run()).outcome.__class__ is Ready


async def test_grants_in_other_databases_are_taken_away_or_named(operated: Operated) -> None:
    await operated.run()
    other = f"{operated.site.name}_other"
    operated.site.sql(f'CREATE DATABASE "{other}"')
    operated.site.sql("CREATE TABLE shared ()", database=other)
    operated.site.sql(f'GRANT SELECT ON shared TO "{operated.names.reader}"', database=other)
    operated.site.sql(f'GRANT CONNECT ON DATABASE "{other}" TO "{operated.names.app}"')
    if not operated.site.superuser:
        (why,) = (await operated.remove()).waiting.values()
        assert "run DROP OWNED BY there as a superuser" in why
        for role in (operated.names.reader, operated.names.app):
            operated.site.sql(f'DROP OWNED BY "{role}"', database=other)
    await operated.removed()
    assert there(operated) == (False, set())
    assert operated.site.sql("SELECT * FROM shared", database=other) == []


async def test_what_a_role_owns_elsewhere_is_never_dropped(operated: Operated) -> None:
    await operated.run()
    other = f"{operated.site.name}_other"
    operated.site.sql(f'CREATE DATABASE "{other}"')
    operated.site.sql("CREATE TABLE precious ()", database=other)
    operated.site.sql(f'ALTER TABLE precious OWNER TO "{operated.names.owner}"', database=other)
    (why,) = (await operated.remove()).waiting.values()
    assert f"owns objects in {other}" in why
    operated.site.sql(f'REASSIGN OWNED BY "{operated.names.owner}" TO postgres', database=other)
    await operated.removed()
    assert there(operated) == (False, set())


async def killed_between_creating_and_marking(operated: Operated) -> None:
    """Begin a pass that is killed when CREATE DATABASE was answered."""
    env, component = operated.env, operated.component
    planned = component.plan(env, await component.observe(env))
    made = next(i for i, action in enumerate(planned) if "CREATE DATABASE" in action.summary)
    for action in planned[: made + 1]:
        await component.apply(env, action)
    assert mark(operated) is None


def mark(operated: Operated) -> marks.Mark | None:
    query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
    return marks.parse(str(operated.site.scalar(query, operated.database)))


async def test_what_was_created_and_never_marked_is_dropped_as_well(operated: Operated) -> None:
    await killed_between_creating_and_marking(operated)
    await operated.removed()
    assert there(operated) == (False, set())


async def test_what_was_created_before_a_kill_is_marked_as_that(operated: Operated) -> None:
    await killed_between_creating_and_marking(operated)
    await operated.settled()
    made = mark(operated)
    assert made is not None
    assert made.origin is Origin.CREATED


async def test_a_database_made_by_hand_for_our_owner_is_not_ours(operated: Operated) -> None:
    await operated.stopped_after(1)
    assert there(operated) == (False, {operated.names.owner})
    operated.by_hand("CREATE DATABASE {database} OWNER {owner}")
    assert (await operated.run()).outcome.reason == Reason.NOT_OWNED
    await operated.removed()
    assert there(operated)[0]


async def test_a_database_made_by_hand_and_adopted_is_never_dropped(operated: Operated) -> None:
    await operated.stopped_after(1)
    operated.by_hand("CREATE DATABASE {database} OWNER {owner}")
    operated.offer()
    operated.spec = {"adoptionPolicy": "IfUnowned"}
    assert isinstance((await operated.run()).outcome, Ready)
    assert (await operated.run()).done == ()
    made = mark(operated)
    assert made is not None
    assert made.origin is Origin.ADOPTED
    assert (await operated.removed()).released
    assert there(operated)[0]


async def test_what_was_kept_is_never_dropped_by_the_next_environment(operated: Operated) -> None:
    await operated.migrated()
    await operated.removed(retain=True)
    roles = there(operated)[1]
    successor = Operated(operated.site, operated.servers, operated.database, {"adoptionPolicy": "IfUnowned"})
    assert isinstance((await successor.migrated()).outcome, Ready)
    assert (await successor.run()).done == ()
    assert (await successor.removed()).released
    assert there(operated) == (True, roles)


class Killed(BaseException):
    """The process is killed."""


@contextmanager
def killed_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kill the process after so many transactions."""
    run, done = Session.run, 0

    async def killed(self: Session, *args: object, **kwargs: object) -> None:
        nonlocal done
        if done == steps:
            raise Killed
        done += 1
        await run(self, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(Session, "run", killed)
        yield


@pytest.mark.parametrize("step", range(1, 6))
async def test_a_removal_that_is_killed_anywhere_goes_on(
    one: Operated, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await one.run()
    with killed_after(step * 2, monkeypatch), pytest.raises(Killed):
        await one.remove()
    await one.removed()
    assert there(one) == (False, set())


async def test_names_that_need_quotes_are_quoted(mighty: Operated) -> None:
    await mighty.run()
    names = [mighty.site.name + rest for rest in ('a"b; DROP DATABASE postgres; --', "ü{}'%s", 'x" OWNER TO postgres')]
    for name in names:
        stranger, app = sql.Identifier(name), sql.Identifier(mighty.names.app)
        mighty.site.sql(sql.SQL("CREATE ROLE {0}; GRANT {0} TO {1}").format(stranger, app))
    report = await mighty.run()
    assert isinstance(report.outcome, Ready), report.outcome
    assert (await mighty.run()).done == ()
    members = mighty.site.sql("SELECT 1 FROM pg_auth_members WHERE member = %s::regrole", f'"{mighty.names.app}"')
    assert members == []
    await mighty.removed()
    assert there(mighty) == (False, set())
