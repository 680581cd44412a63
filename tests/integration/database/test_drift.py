"""What others change is put back where it is ours, and told where it is not."""

from __future__ import annotations

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.components.database.credentials import APP_SECRET, READER_SECRET
from biospark_operator.engine.outcome import Blocked, Failed, Ready
from tests.integration.database.operated import Operated, encoded

pytestmark = pytest.mark.integration

MEMBERSHIPS = ("REVOKE {app} FROM {app_1}", "REVOKE {owner} FROM {migrator}")
OUTSIDE = (
    "ALTER ROLE {owner} LOGIN",
    "ALTER ROLE {app_1} CREATEDB",
    "ALTER ROLE {app_1} CONNECTION LIMIT 1",
    "ALTER ROLE {app_1} VALID UNTIL '2020-01-01'",
    "ALTER ROLE {migrator} INHERIT",
    "ALTER ROLE {reader} NOLOGIN",
    *MEMBERSHIPS,
    "GRANT CONNECT ON DATABASE {database} TO PUBLIC",
    "REVOKE CONNECT ON DATABASE {database} FROM {app}",
    "REVOKE CREATE ON DATABASE {database} FROM {owner}",
    "ALTER DATABASE {database} CONNECTION LIMIT 3",
    "ALTER DATABASE {database} OWNER TO postgres",
    "ALTER ROLE {app_1} PASSWORD 'stolen'",
    "DROP ROLE {app_1}",
)
INSIDE = (
    "GRANT USAGE ON SCHEMA public TO PUBLIC",
    "REVOKE USAGE ON SCHEMA public FROM {app}",
    "REVOKE ALL ON t FROM {app}",
    "REVOKE ALL ON t FROM {reader}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE SELECT ON TABLES FROM {app}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE ALL ON SEQUENCES FROM {app}",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT EXECUTE ON FUNCTIONS TO PUBLIC",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} REVOKE USAGE ON TYPES FROM {reader}",
    "ALTER SCHEMA public OWNER TO {reader}",
)
#: What a superuser took or gave, and only a superuser can put back.
FOR_SUPERUSERS = (
    "ALTER ROLE {app_1} SUPERUSER",
    "ALTER ROLE {app_1} BYPASSRLS",
    "GRANT pg_read_all_data TO {app_1}",
    "ALTER DATABASE {database} OWNER TO postgres",
    "ALTER SCHEMA public OWNER TO {reader}",
)


@pytest.mark.parametrize("change", [*OUTSIDE, *INSIDE], ids=lambda change: change[:60])
async def test_a_change_of_what_we_set_is_put_back(one: Operated, change: str) -> None:
    await one.run()
    one.as_owner("CREATE TABLE t (id int)")
    # Who granted a membership is part of it.
    granted_by = f' GRANTED BY "{one.site.admin}"' if change in MEMBERSHIPS else ""
    one.by_hand(change + granted_by, inside=change in INSIDE)
    report = await one.run()
    if change in FOR_SUPERUSERS:
        assert isinstance(report.outcome, Failed)
        assert report.outcome.reason == Reason.ACCESS_DENIED
        return
    assert report.done, "the change was not noticed"
    assert isinstance(report.outcome, Ready), report.outcome
    assert (await one.run()).done == ()
    one.as_app("INSERT INTO t VALUES (1)")
    assert one.as_reader("SELECT * FROM t") == [(1,)]


@pytest.mark.parametrize("change", FOR_SUPERUSERS, ids=lambda change: change[:60])
async def test_a_superuser_puts_back_what_only_a_superuser_can(mighty: Operated, change: str) -> None:
    await mighty.run()
    mighty.by_hand(change, inside="SCHEMA" in change)
    report = await mighty.run()
    assert report.done
    assert isinstance(report.outcome, Ready), report.outcome
    assert (await mighty.run()).done == ()


async def test_a_narrower_right_that_a_migration_chose_stays(one: Operated) -> None:
    await one.run()
    one.as_owner("CREATE TABLE log (id int)")
    one.as_owner(f'REVOKE UPDATE, DELETE ON log FROM "{one.names.app}"')
    assert (await one.run()).done == ()


async def test_grants_of_others_are_told_and_stay(operated: Operated) -> None:
    await operated.run()
    other = f"{operated.site.name}_analyst"
    operated.site.sql(f'CREATE ROLE "{other}"')
    operated.by_hand(f'GRANT CONNECT ON DATABASE {{database}} TO "{other}"')
    operated.by_hand(f'GRANT {{reader}} TO "{other}"')
    report = await operated.run()
    assert report.done == ()
    assert isinstance(report.outcome, Ready)
    assert f"rights on it are also granted to {other}" in report.outcome.message
    assert f"also members of its roles: {other}" in report.outcome.message


async def test_tables_of_others_are_told(one: Operated) -> None:
    await one.run()
    one.site.sql("CREATE TABLE public.theirs ()", database=one.database)
    report = await one.run()
    assert report.done == ()
    assert "belong to others, so migrations can't change them: postgres (1)" in report.outcome.message


async def test_a_login_that_was_dropped_comes_back_with_a_new_password(one: Operated) -> None:
    await one.run()
    before = one.secret()
    one.by_hand("DROP ROLE {app_1}")
    await one.run()
    assert one.secret()["password"] != before["password"]
    assert one.as_app("SELECT 1") == [(1,)]
    assert (await one.run()).done == ()


@pytest.mark.parametrize("name", [APP_SECRET, READER_SECRET])
@pytest.mark.parametrize("damage", ["gone", "empty", "weak"])
async def test_a_secret_that_was_spoilt_gets_a_new_password(one: Operated, name: str, damage: str) -> None:
    await one.run()
    before = one.secret(name)
    ref = next(ref for ref in one.cluster.objects if ref.name == name)
    if damage == "gone":
        del one.cluster.objects[ref]
    else:
        values = {} if damage == "empty" else {**before, "password": "1234"}
        one.cluster.objects[ref] = {**one.cluster.objects[ref], "data": encoded(values)}
    assert isinstance((await one.run()).outcome, Ready)
    assert one.secret(name)["password"] != before["password"]
    assert one.as_app("SELECT 1") == one.as_reader("SELECT 1") == [(1,)]


async def test_a_password_that_somebody_put_into_the_secret_is_given_to_no_role(one: Operated) -> None:
    await one.run()
    ref = next(ref for ref in one.cluster.objects if ref.name == APP_SECRET)
    values = {**one.secret(), "password": "a-password-that-is-long-enough-to-be-one"}
    one.cluster.objects[ref] = {**one.cluster.objects[ref], "data": encoded(values)}
    assert isinstance((await one.run()).outcome, Ready)
    assert one.secret()["password"] != values["password"]
    assert one.as_app("SELECT 1") == [(1,)]


async def test_an_encoding_that_cannot_be_changed_is_named(one: Operated) -> None:
    await one.run()
    one.replace_database("ENCODING 'LATIN1' LOCALE 'C'")
    report = await one.run()
    assert isinstance(report.outcome, Blocked)
    assert report.outcome.reason == Reason.DATABASE_INCOMPATIBLE
    assert "LATIN1" in report.outcome.message


async def test_another_collation_is_named_and_works(one: Operated) -> None:
    await one.run()
    one.replace_database("ENCODING 'UTF8' LOCALE 'C'")
    report = await one.run()
    assert isinstance(report.outcome, Ready)
    assert "its collation C is not the server's C.UTF-8" in report.outcome.message


async def test_a_read_only_server_is_left_alone_and_named(one: Operated) -> None:
    await one.run()
    one.by_hand("ALTER DATABASE {database} CONNECTION LIMIT 3")
    one.site.sql(f'ALTER ROLE "{one.site.admin}" SET default_transaction_read_only = on')
    await one.servers.close()
    report = await one.run()
    assert isinstance(report.outcome, Failed)
    assert "is read-only" in report.outcome.message
