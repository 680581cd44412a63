"""What becomes of a database when its environment goes: kept, given back or dropped, and never somebody else's."""

from __future__ import annotations

import pytest
from psycopg import sql

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.components.database import marks
from biospark_operator.components.database.marks import Origin
from biospark_operator.engine.outcome import Ready
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


async def test_what_was_kept_can_be_adopted_by_the_next_environment(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id int)")
    operated.as_app("INSERT INTO t VALUES (7)")
    await operated.removed(retain=True)
    successor = Operated(operated.site, operated.servers, operated.database, environment_name="next")
    assert "spec.adoptionPolicy: IfUnowned" in (await successor.run()).outcome.message
    successor.spec = {"adoptionPolicy": "IfUnowned"}
    assert isinstance((await successor.run()).outcome, Ready)
    assert successor.as_app("SELECT * FROM t") == [(7,)]
    assert (await successor.run()).done == ()


async def test_what_was_adopted_is_given_back_whatever_the_policy(operated: Operated) -> None:
    former = f"{operated.site.name}_dba"
    operated.site.sql(f'CREATE ROLE "{former}"')
    if not operated.site.superuser:
        operated.site.sql(f'GRANT "{former}" TO "{operated.site.admin}"')
    operated.by_hand(f'CREATE DATABASE {{database}} OWNER "{former}"')
    operated.by_hand("COMMENT ON DATABASE {database} IS 'precious'")
    operated.spec = {"adoptionPolicy": "IfUnowned"}
    await operated.run()
    result = await operated.removed()
    assert result.released
    rows = operated.site.sql(
        "SELECT pg_get_userbyid(datdba), shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s",
        operated.database,
    )
    owner, comment = rows[0]
    mark = marks.parse(str(comment))
    assert owner == former
    assert marks.unmarked(str(comment)) == "precious"
    assert mark is not None
    assert mark.origin is Origin.RELEASED


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
    successor = Operated(
        operated.site, operated.servers, operated.database, {"adoptionPolicy": "IfUnowned"}, environment_name="next"
    )
    assert isinstance((await successor.migrated()).outcome, Ready)
    assert (await successor.run()).done == ()
    assert (await successor.removed()).released
    assert there(operated) == (True, roles)


@pytest.mark.parametrize("step", range(1, 6))
async def test_a_removal_that_is_killed_anywhere_goes_on(
    one: Operated, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from biospark_operator.clients.postgres_session import Session

    class Killed(BaseException):
        pass

    await one.run()
    run, done = Session.run, 0

    async def killed(self: Session, *args: object, **kwargs: object) -> None:
        nonlocal done
        if done == step * 2:
            raise Killed
        done += 1
        await run(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "run", killed)
    with pytest.raises(Killed):
        await one.remove()
    monkeypatch.setattr(Session, "run", run)
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
