"""Only what is the environment's is touched; the rest is refused, or taken over where the user says so."""

from __future__ import annotations

import os

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.components.database import marks
from biospark_operator.components.database.marks import Origin
from biospark_operator.engine.outcome import Blocked, Ready
from tests.integration.database.operated import Operated

pytestmark = pytest.mark.integration

COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"


async def refused(operated: Operated, reason: Reason) -> str:
    """Expect that nothing is done, and return why."""
    report = await operated.run()
    assert isinstance(report.outcome, Blocked), report.outcome
    assert (report.outcome.reason, report.done) == (reason, ())
    return report.outcome.message


@pytest.mark.parametrize("policy", ["Never", "IfUnowned"])
async def test_a_database_that_nobody_offered_is_refused(operated: Operated, policy: str) -> None:
    operated.by_hand("CREATE DATABASE {database}")
    operated.spec = {"adoptionPolicy": policy}
    message = await refused(operated, Reason.NOT_OWNED)
    assert f"database {operated.database}" in message
    assert 'has to be biospark-operator {"environment": "dev", "origin": "Offered"}' in message
    assert operated.site.scalar(COMMENT, operated.database) is None


async def test_an_offer_is_for_one_environment_and_needs_its_own_word(one: Operated) -> None:
    one.by_hand("CREATE DATABASE {database}")
    one.offer()
    assert "is offered to this environment; set spec.adoptionPolicy: IfUnowned" in await refused(one, Reason.NOT_OWNED)
    one.spec = {"adoptionPolicy": "IfUnowned"}
    one.offer(environment="other")
    assert "is kept for the BioSparkEnvironment other" in await refused(one, Reason.DATABASE_CONFLICT)
    one.offer(uid="uid-of-an-earlier-one")
    await refused(one, Reason.DATABASE_CONFLICT)
    one.by_hand(f'ALTER DATABASE {{database}} OWNER TO "{one.site.admin}"')
    one.offer(uid="uid-of-dev")
    assert isinstance((await one.run()).outcome, Ready)


async def test_a_database_that_accepts_no_connections_is_not_taken_over(one: Operated) -> None:
    one.by_hand("CREATE DATABASE {database}")
    one.by_hand("ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    one.offer()
    one.spec = {"adoptionPolicy": "IfUnowned"}
    assert "ALLOW_CONNECTIONS true" in await refused(one, Reason.NOT_OWNED)


@pytest.mark.parametrize("what", ["LOGIN PASSWORD 'theirs'", "NOLOGIN", "LOGIN SUPERUSER PASSWORD 'theirs'"])
async def test_a_role_of_others_is_never_taken_over(operated: Operated, what: str) -> None:
    operated.by_hand(f"CREATE ROLE {{reader}} {what}")
    attributes = "SELECT rolpassword, rolcanlogin, rolsuper, rolconnlimit FROM pg_authid WHERE rolname = %s"
    before = operated.site.sql(attributes, operated.names.reader)
    for policy in ("Never", "IfUnowned"):
        operated.spec = {"adoptionPolicy": policy}
        message = await refused(operated, Reason.NOT_OWNED)
        assert f"role {operated.names.reader}" in message
        assert "another spec.database.name" in message
        comment = marks.offer("dev").replace("{", "{{").replace("}", "}}")
        operated.by_hand(f"COMMENT ON ROLE {{reader}} IS '{comment}'")
    assert operated.site.sql(attributes, operated.names.reader) == before


async def test_the_second_environment_with_a_database_is_stalled(operated: Operated) -> None:
    await operated.run()
    second = Operated(operated.site, operated.servers, operated.database, environment_name="late")
    for policy in ("Never", "IfUnowned"):
        second.spec = {"adoptionPolicy": policy}
        assert "belongs to BioSparkEnvironment dev" in await refused(second, Reason.DATABASE_CONFLICT)
    assert (await operated.run()).done == ()


async def test_a_namesake_of_an_earlier_environment_is_another_one(one: Operated) -> None:
    await one.run()
    old = marks.parse(str(one.site.scalar(COMMENT, one.database)))
    assert old is not None
    comment = marks.marked(None, marks.Mark("dev", "uid-of-yesterday", Origin.CREATED))
    one.by_hand("COMMENT ON DATABASE {database} IS '" + comment.replace("{", "{{").replace("}", "}}") + "'")
    await refused(one, Reason.DATABASE_CONFLICT)


async def test_adoption_keeps_what_others_granted_and_set(operated: Operated) -> None:
    name = operated.site.name
    operated.site.sql(f"CREATE ROLE \"{name}_dba\" LOGIN PASSWORD 'p'")
    operated.site.sql(f'CREATE ROLE "{name}_analyst"')
    if not operated.site.superuser:
        operated.site.sql(f'GRANT "{name}_dba" TO "{operated.site.admin}"')
    operated.by_hand(f'CREATE DATABASE {{database}} OWNER "{name}_dba"')
    operated.offer("ours since 2019")
    operated.by_hand(f'GRANT CONNECT ON DATABASE {{database}} TO "{name}_analyst"')
    operated.by_hand("ALTER DATABASE {database} SET work_mem = '7MB'")
    with operated.site.connected(operated.database, f"{name}_dba", "p") as connection:
        connection.execute("CREATE TABLE old (id int)")
    operated.spec = {"adoptionPolicy": "IfUnowned"}
    report = await operated.run()
    assert isinstance(report.outcome, Ready), report.outcome
    assert f"rights on it are also granted to {name}_analyst, {name}_dba" in report.outcome.message
    assert f"belong to others, so migrations can't change them: {name}_dba (1)" in report.outcome.message
    assert str(operated.site.scalar(COMMENT, operated.database)).startswith("ours since 2019\n")
    assert operated.as_app("SHOW work_mem") == [("7MB",)]
    with operated.site.connected(operated.database, f"{name}_dba", "p") as connection:
        connection.execute("INSERT INTO old VALUES (1)")
    assert (await operated.run()).done == ()


async def test_adopted_tables_are_the_apis_once_they_are_the_owners(operated: Operated) -> None:
    operated.by_hand("CREATE DATABASE {database}")
    if not operated.site.superuser:
        operated.by_hand(f'ALTER DATABASE {{database}} OWNER TO "{operated.site.admin}"')
    operated.site.sql("CREATE TABLE old (id int)", database=operated.database)
    operated.offer()
    operated.spec = {"adoptionPolicy": "IfUnowned"}
    await operated.run()
    operated.by_hand("ALTER TABLE old OWNER TO {owner}", inside=True)
    assert (await operated.run()).done
    operated.as_app("INSERT INTO old VALUES (1)")
    assert operated.as_reader("SELECT * FROM old") == [(1,)]


@pytest.mark.parametrize("actions", range(1, 16, 1 if os.environ.get("BIOSPARK_LONG") else 4))
async def test_a_pass_that_is_killed_anywhere_is_made_up_for(one: Operated, actions: int) -> None:
    if await one.stopped_after(actions):
        assert actions > 10
    report = await one.run()
    assert isinstance(report.outcome, Ready), report.outcome
    assert (await one.run()).done == ()
    assert one.as_app("SELECT 1") == [(1,)]
