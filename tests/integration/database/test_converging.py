"""A database comes to be as specified, with least rights, and looking at it again changes nothing."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors

from biospark_operator.components.database.credentials import APP_SECRET, READER_SECRET
from biospark_operator.engine.outcome import Ready
from tests.integration.database.operated import Operated

pytestmark = pytest.mark.integration


async def test_one_pass_makes_everything_and_the_next_one_nothing(operated: Operated) -> None:
    report = await operated.run()
    assert isinstance(report.outcome, Ready), report.outcome
    again = await operated.run()
    assert (again.done, type(again.outcome)) == ((), Ready)
    assert report.facts["database"]["activeUser"] == operated.names.logins[0]


async def test_the_api_gets_rows_and_nothing_else(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id serial PRIMARY KEY, word text)")
    operated.as_owner("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 7'")
    operated.as_owner("CREATE TYPE mood AS ENUM ('good')")
    operated.as_app("INSERT INTO t (word) VALUES ('a')")
    operated.as_app("UPDATE t SET word = 'b'")
    assert operated.as_app("SELECT id, word, f(), 'good'::mood FROM t") == [(1, "b", 7, "good")]
    operated.as_app("DELETE FROM t")
    for forbidden in (
        "CREATE TABLE mine ()",
        "CREATE SCHEMA mine",
        "CREATE TEMPORARY TABLE mine ()",
        "TRUNCATE t",
        "ALTER TABLE t ADD more int",
        "DROP TABLE t",
        f'SET ROLE "{operated.names.owner}"',
        "CREATE ROLE more",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            operated.as_app(forbidden)


async def test_readers_read_and_change_nothing(operated: Operated) -> None:
    await operated.run()
    operated.as_owner("CREATE TABLE t (id serial PRIMARY KEY)")
    assert operated.as_reader("SELECT * FROM t") == []
    for forbidden in ("INSERT INTO t DEFAULT VALUES", "DELETE FROM t", "CREATE TABLE mine ()"):
        with pytest.raises(errors.InsufficientPrivilege):
            operated.as_reader(forbidden)


async def test_others_are_not_let_in(operated: Operated) -> None:
    await operated.run()
    stranger = f"{operated.site.name}_stranger"
    operated.site.sql(f"CREATE ROLE \"{stranger}\" LOGIN PASSWORD 'p'")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        operated.site.sql("SELECT 1", database=operated.database, user=stranger, password="p")


async def test_owner_and_group_are_nobody_to_log_in_as_and_the_migrator_acts_as_owner(operated: Operated) -> None:
    await operated.run()
    names = operated.names
    logins = operated.site.sql("SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname = ANY(%s)", [*names.roles])
    assert {name for (name,) in logins} == {names.migrator, names.reader, names.logins[0]}
    operated.by_hand("ALTER ROLE {migrator} PASSWORD 'p'")
    with operated.site.connected(operated.database, names.migrator, "p") as connection:
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.t ()")
        connection.execute(f'SET ROLE "{names.owner}"')  # type: ignore[arg-type]
        connection.execute("CREATE TABLE t (id int)")
    assert operated.as_app("SELECT * FROM t") == []


async def test_the_database_is_in_utf8_and_its_connections_are_limited(operated: Operated) -> None:
    operated.wishes = {"connectionLimit": 20}
    await operated.run()
    rows = operated.site.sql(
        "SELECT pg_encoding_to_char(encoding), datconnlimit FROM pg_database WHERE datname = %s", operated.database
    )
    assert rows == [("UTF8", 20)]
    limits = dict(
        operated.site.sql("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname = ANY(%s)", [*operated.names.roles])
    )
    names = operated.names
    assert (limits[names.logins[0]], limits[names.reader], limits[names.migrator]) == (16, 2, 2)
    operated.wishes = {}
    await operated.run()
    assert operated.site.scalar("SELECT datconnlimit FROM pg_database WHERE datname = %s", operated.database) == -1
    assert (await operated.run()).done == ()


@pytest.mark.parametrize("name", ["x" * 43, "with-hyphen", "Upper_Case", "_"])
async def test_long_and_odd_names_work(one: Operated, name: str) -> None:
    one.database = f"{one.site.name}-{name}"[:63].ljust(63, "y") if len(name) > 40 else f"{one.site.name}{name}"
    assert isinstance((await one.run()).outcome, Ready)
    assert len({role.encode()[:63] for role in one.names.roles}) == len(one.names.roles)
    assert (await one.run()).done == ()


async def test_no_password_is_in_the_servers_log_or_in_anything_shown(operated: Operated) -> None:
    planned = await operated.run(apply=False)
    report = await operated.run()
    operated.pass_time(hours=1)
    operated.annotations = {"biospark.ai/rotate-requested-at": "now"}
    passwords = {operated.secret(name)["password"] for name in (APP_SECRET, READER_SECRET)}
    rotation = await operated.run()
    passwords |= {operated.secret(name)["password"] for name in (APP_SECRET, READER_SECRET)}
    assert len(passwords) == 4
    shown = f"{planned}{report}{rotation}{await operated.component.observe(operated.env)}"
    log = operated.site.server.log.read_text()
    assert not [password for password in passwords if password in shown or password in log]
    assert "SCRAM-SHA-256$" not in shown
    if operated.site.superuser:
        verifiers = operated.site.sql("SELECT rolpassword FROM pg_authid WHERE rolname = %s", operated.names.reader)
        assert str(verifiers[0][0]) not in log


async def test_a_plan_shows_the_sql_and_changes_nothing(operated: Operated) -> None:
    report = await operated.run(apply=False)
    text = "\n".join(action.summary for action in report.planned)
    assert f'CREATE DATABASE "{operated.database}" OWNER "{operated.names.owner}"' in text
    assert "PASSWORD '…'" in text
    assert not [action for action in report.planned if action.destructive]
    assert operated.site.sql("SELECT 1 FROM pg_database WHERE datname = %s", operated.database) == []
    assert operated.site.sql("SELECT 1 FROM pg_roles WHERE rolname = ANY(%s)", [*operated.names.roles]) == []


async def test_extensions_are_created_moved_and_kept(operated: Operated) -> None:
    operated.wishes = {"extensions": [{"name": "pg_trgm"}, {"name": "hstore", "schema": "stuff", "version": "1.7"}]}
    assert isinstance((await operated.run()).outcome, Ready)
    assert _extensions(operated) == {"pg_trgm": ("1.6", "public"), "hstore": ("1.7", "stuff")}
    operated.wishes = {"extensions": [{"name": "hstore", "version": "1.8"}, {"name": "pg_trgm", "schema": "stuff"}]}
    report = await operated.run()
    if operated.site.superuser:
        assert isinstance(report.outcome, Ready)
        assert _extensions(operated) == {"pg_trgm": ("1.6", "stuff"), "hstore": ("1.8", "stuff")}
    else:
        # The functions of a trusted extension belong to the superuser: nobody else may move them.
        assert "do it as a superuser" in report.outcome.message
        assert _extensions(operated) == {"pg_trgm": ("1.6", "public"), "hstore": ("1.8", "stuff")}
    operated.wishes = {}
    assert (await operated.run()).done == ()
    assert set(_extensions(operated)) == {"pg_trgm", "hstore"}


def _extensions(operated: Operated) -> dict[object, object]:
    rows = operated.site.sql(
        """SELECT extname, extversion, nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace
            WHERE extname <> 'plpgsql'""",
        database=operated.database,
    )
    return {name: (version, schema) for name, version, schema in rows}


async def test_an_extension_that_the_server_lacks_is_named(one: Operated) -> None:
    one.wishes = {"extensions": [{"name": "no_such_thing"}]}
    report = await one.run()
    assert "no_such_thing" in report.outcome.message
    assert "not installed on the server" in report.outcome.message
    assert one.secret()["username"] == one.names.logins[0]
