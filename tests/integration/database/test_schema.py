"""The schema on real servers: migrated by whom it should be, compared, its rights kept, and nothing lost."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from biospark_api.schema import HEAD, HISTORY, revisions
from biospark_api.schema import migrator as migrations
from biospark_api.schema.migrations.steps import OnlineIndex, Script
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.components.schema import component, migration
from biospark_operator.engine.errors import NotLeaderError
from biospark_operator.engine.outcome import Blocked, Failed, Progressing, Ready
from tests.integration.database.operated import Operated
from tests.postgres import Site

pytestmark = pytest.mark.integration

NAMES = tuple(revision.name for revision in revisions())


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> list[migrations.Revision]:
    """The revisions of a release that a test makes up, in the place of the real ones."""
    made = list(revisions())
    monkeypatch.setattr(migrations, "revisions", lambda: tuple(made))
    return made


async def test_a_database_is_migrated_and_the_next_pass_writes_nothing(operated: Operated) -> None:
    report = await operated.migrated()
    assert isinstance(report.outcome, Ready), report.outcome
    assert report.facts == {"database": {"schemaRevision": HEAD, "targetRevision": HEAD}}
    mark = len(operated.site.server.log.read_text())
    again = await operated.run_schema()
    assert again.outcome == report.outcome
    assert again.done == ()
    said = [line for line in operated.site.server.log.read_text()[mark:].splitlines() if "statement:" in line]
    assert said
    assert not [line for line in said if any(word in line for word in ("CREATE", "ALTER", "GRANT", "INSERT"))]


async def test_what_migrations_make_belongs_to_the_owner_and_the_api_works_with_it(operated: Operated) -> None:
    await operated.migrated()
    owners = operated.site.sql(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'", database=operated.database
    )
    assert owners == [(operated.names.owner,)]
    assert operated.as_app("SELECT count(*) FROM agents") == [(4,)]
    operated.as_app("INSERT INTO audit_log (action, outcome) VALUES ('test', 'success')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        operated.as_app("DELETE FROM audit_log")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        operated.as_app("CREATE TABLE public.mine (id int)")
    assert operated.as_reader("SELECT count(*) FROM patients") == [(0,)]
    for table in ("users", "refresh_tokens", "idempotency_keys"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            operated.as_reader(f"SELECT * FROM {table}")
    # Neither gives the database component anything to repair.
    assert (await operated.run()).done == ()


async def test_nobody_can_log_in_as_the_migrator_afterwards(operated: Operated) -> None:
    await operated.migrated()
    assert operated.site.sql(
        "SELECT rolpassword FROM pg_authid WHERE rolname = %s", operated.names.migrator
    ) == [(None,)]  # fmt: skip
    log = operated.site.server.log.read_text()
    assert f"user={operated.names.migrator} database={operated.database}" in log, "migrations were run by somebody else"


async def test_password_that_a_killed_run_left_expires_and_is_taken_away(operated: Operated) -> None:
    await operated.migrated()
    state = "SELECT rolpassword IS NULL, isfinite(rolvaliduntil) FROM pg_authid WHERE rolname = %s"
    operated.by_hand("ALTER ROLE {migrator} PASSWORD 'p' VALID UNTIL '2100-01-01'")
    assert (await operated.run()).done == (), "whoever gave it may be about to log in"
    operated.by_hand("ALTER ROLE {migrator} VALID UNTIL '2000-01-01'")
    with pytest.raises(psycopg.OperationalError):
        operated.site.sql("SELECT 1", database=operated.database, user=operated.names.migrator, password="p")
    (done,) = (await operated.run()).done
    assert done.routine, "nobody else changed anything"
    assert operated.site.sql(state, operated.names.migrator) == [(True, False)]


async def test_changed_rights_are_put_back(operated: Operated) -> None:
    await operated.migrated()
    operated.as_owner(f'REVOKE INSERT ON patients FROM "{operated.names.app}"')
    operated.as_owner(f'GRANT DELETE ON audit_log TO "{operated.names.app}"')
    operated.as_owner(f'GRANT SELECT ON users TO "{operated.names.reader}"')
    report = await operated.run_schema()
    assert isinstance(report.outcome, Ready)
    assert len(report.done) == 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        operated.as_app("DELETE FROM audit_log")
    operated.as_app("INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('A', 'B', '2000-01-01')")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        operated.as_reader("SELECT * FROM users")
    assert (await operated.run_schema()).done == ()


async def test_a_plan_shows_the_sql_and_changes_nothing(one: Operated) -> None:
    await one.settled()
    report = await one.run_schema(apply=False)
    assert [action.summary.partition(":")[0] for action in report.planned] == [f"migration {name}" for name in NAMES]
    assert "CREATE TABLE patients ( id UUID PRIMARY KEY" in report.planned[0].summary
    assert not any(action.destructive for action in report.planned)
    tables = one.site.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=one.database)
    assert tables == []
    applied = await one.migrated()
    assert applied.done == () or [action.summary for action in applied.done] == [a.summary for a in report.planned]


async def test_a_plan_of_a_database_that_is_not_there_yet_shows_the_sql_too(one: Operated) -> None:
    report = await one.run_schema(apply=False)
    assert len(report.planned) == len(NAMES)


async def test_the_policy_manual_names_what_is_pending_and_applies_nothing(one: Operated) -> None:
    one.wishes = {"migrations": {"policy": "Manual"}}
    report = await one.migrated()
    assert isinstance(report.outcome, Blocked)
    assert report.outcome.reason == Reason.MIGRATIONS_PENDING
    assert not report.outcome.usable
    assert ", ".join(NAMES) in report.outcome.message
    assert report.planned == report.done == ()
    one.wishes = {"migrations": {"policy": "Automatic"}}
    assert isinstance((await one.migrated()).outcome, Ready)


async def test_a_target_is_migrated_to_and_no_further(one: Operated) -> None:
    one.wishes = {"migrations": {"target": "0003"}}
    report = await one.migrated()
    assert isinstance(report.outcome, Ready)
    assert "0003 as wanted" in report.outcome.message
    assert report.facts["database"] == {"schemaRevision": "0003", "targetRevision": "0003"}
    one.wishes = {}
    assert (await one.migrated()).facts["database"]["schemaRevision"] == HEAD
    one.wishes = {"migrations": {"target": "0003"}}
    report = await one.migrated()
    assert isinstance(report.outcome, Ready)
    assert "no way back to 0003" in report.outcome.message


async def test_a_target_that_is_not_known_is_told_with_those_that_are(one: Operated) -> None:
    one.wishes = {"migrations": {"target": "0999"}}
    report = await one.migrated()
    assert isinstance(report.outcome, Blocked)
    assert report.outcome.reason == Reason.MIGRATION_UNKNOWN
    assert "head or one of 0001" in report.outcome.message


async def test_a_migration_that_destroys_data_waits_until_it_is_allowed(
    one: Operated, release: list[migrations.Revision]
) -> None:
    losing = migrations.Revision("0003", (Script("DROP TABLE agents"),))
    release[2:] = [losing, *release[3:]]
    report = await one.migrated()
    assert isinstance(report.outcome, Blocked)
    assert (report.outcome.reason, report.outcome.usable) == (Reason.DATA_LOSS_REFUSED, True)
    assert "migration 0003" in report.outcome.message
    assert "allowDestructive" in report.outcome.message
    # What comes before it was applied.
    assert report.facts["database"]["schemaRevision"] == "0002"
    one.wishes = {"migrations": {"allowDestructive": True}}
    planned = (await one.run_schema(apply=False)).planned
    assert [action.destructive for action in planned] == [True, *(False for _ in release[3:])]


async def test_a_schema_of_a_newer_release_is_left_alone_and_what_is_built_on_it_goes_on(one: Operated) -> None:
    await one.migrated()
    one.as_owner("UPDATE alembic_version SET version_num = '0099'")
    report = await one.run_schema()
    assert isinstance(report.outcome, Blocked)
    assert (report.outcome.reason, report.outcome.usable) == (Reason.SCHEMA_NEWER, True)
    assert "0099" in report.outcome.message
    assert report.done == ()


async def test_a_migration_that_was_edited_after_it_ran_stops_the_next_ones(one: Operated) -> None:
    one.wishes = {"migrations": {"target": "0003"}}
    await one.migrated()
    one.as_owner(f"UPDATE {HISTORY} SET checksum = repeat('0', 64) WHERE revision = '0002'")
    one.wishes = {}
    report = await one.run_schema()
    assert isinstance(report.outcome, Blocked)
    assert (report.outcome.reason, report.outcome.usable) == (Reason.MIGRATION_EDITED, True)
    assert "0002" in report.outcome.message
    assert report.done == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DROP INDEX idx_agents_type", "index idx_agents_type of agents is missing"),
        ("ALTER TABLE patients ALTER phone TYPE varchar(30)", "column patients.phone has the type VARCHAR(30)"),
        ("ALTER TABLE agents ALTER status SET DEFAULT 'active'", "column agents.status has another default"),
        ("DELETE FROM agents WHERE type = 'analyst'", "agent Analyst Agent is missing"),
    ],
)
async def test_changes_by_hand_are_named(one: Operated, change: str, told: str) -> None:
    await one.migrated()
    one.as_owner(change)
    report = await one.run_schema()
    assert isinstance(report.outcome, Blocked)
    assert (report.outcome.reason, report.outcome.usable) == (Reason.SCHEMA_DIFFERS, True)
    assert told in report.outcome.message
    assert report.done == ()


async def test_a_table_besides_is_named_and_harms_nobody(one: Operated) -> None:
    await one.migrated()
    one.as_owner("CREATE TABLE reports (id int)")
    report = await one.run_schema()
    assert isinstance(report.outcome, Ready)
    assert "unexpected table reports" in report.outcome.message


async def test_a_database_that_was_set_up_by_hand_is_taken_over_with_its_data(mighty: Operated) -> None:
    await mighty.settled()
    mighty.as_owner(revisions()[0].sql)
    mighty.as_owner("INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('A', 'B', '2000-01-01')")
    report = await mighty.migrated()
    assert isinstance(report.outcome, Ready), report.outcome
    assert mighty.as_app("SELECT count(*) FROM patients") == [(1,)]
    assert mighty.as_app("SELECT count(*) FROM agents") == [(4,)]


async def test_tables_of_our_names_that_are_others_are_told_and_left_alone(one: Operated) -> None:
    await one.settled()
    one.as_owner("CREATE TABLE patients (name text)")
    report = await one.migrated()
    assert isinstance(report.outcome, Blocked)
    assert report.outcome.reason == Reason.SCHEMA_DIFFERS
    assert "patients has column name text" in report.outcome.message
    tables = one.site.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=one.database)
    assert tables == [("patients",)]


async def test_a_migration_that_fails_in_the_middle_leaves_nothing_of_itself(
    one: Operated, release: list[migrations.Revision], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Script("CREATE TABLE half (id int); INSERT INTO half VALUES (1); SELECT no_such_function()")
    monkeypatch.setattr(migrations._script().get_revision("0003").module, "STEPS", (broken,))
    report = await one.migrated()
    assert isinstance(report.outcome, Blocked)
    assert report.outcome.reason == Reason.MIGRATION_FAILED
    assert "apply migration 0003" in report.outcome.message
    assert "no_such_function" in report.outcome.message
    tables = one.site.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=one.database)
    assert ("half",) not in tables
    assert ("users",) in tables
    monkeypatch.undo()
    assert isinstance((await one.migrated()).outcome, Ready)


async def test_values_in_the_way_of_a_migration_are_not_told(one: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    one.wishes = {"migrations": {"target": "0002"}}
    await one.migrated()
    for _ in range(2):
        one.as_owner(
            "INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('Planted', 'B', '2000-01-01')"
        )
    one.wishes = {}
    once = Script("CREATE UNIQUE INDEX once ON patients (first_name)")
    monkeypatch.setattr(migrations._script().get_revision("0003").module, "STEPS", (once,))
    report = await one.migrated()
    assert isinstance(report.outcome, Blocked)
    assert 'could not create unique index "once"' in report.outcome.message
    assert "Planted" not in report.outcome.message


async def test_a_table_in_use_is_waited_for_briefly_and_tried_again(
    one: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(component, "LOCK", 1)
    monkeypatch.setitem(component._SETTINGS, "lock_timeout", "1s")
    one.wishes = {"migrations": {"target": "0003"}}
    await one.migrated()
    one.wishes = {}
    with one.site.connected(one.database) as reader, reader.transaction():
        reader.execute("SELECT count(*) FROM patients")
        outcomes = [(await one.migrated()).outcome for _ in range(5)]
    assert all(isinstance(outcome, Failed) for outcome in outcomes[:4]), outcomes
    assert outcomes[0].reason == Reason.MIGRATION_FAILED
    assert "a lock is held by somebody else" in outcomes[0].message
    # Then a human is called.
    assert isinstance(outcomes[4], Blocked)
    assert "failed 5 times" in outcomes[4].message
    assert isinstance((await one.migrated()).outcome, Ready)


async def test_a_long_migration_does_not_hold_up_the_pass_and_says_how_far_it_is(
    one: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "PATIENCE", 0.2)
    one.wishes = {"migrations": {"target": "0002"}}
    await one.migrated()
    one.wishes = {}
    slow = (OnlineIndex("idx_slow", "ON patients (first_name)"),)
    monkeypatch.setattr(migrations._script().get_revision("0003").module, "STEPS", slow)
    with one.site.connected(one.database) as writer:
        with writer.transaction():
            # An index that is built beside waits for all who write.
            writer.execute(
                "INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('A', 'B', '2000-01-01')"
            )
            report = await one.run_schema()
            assert isinstance(report.outcome, Progressing)
            assert "migration 0003 is under way since" in report.outcome.message
            assert (await one.run_schema()).outcome == report.outcome
            assert (await one.run()).done == ()
        assert one.runs.get((one.env.uid, one.database)) is not None
    await one.migrated()
    assert one.site.sql("SELECT to_regclass('public.idx_slow')::text", database=one.database) == [("idx_slow",)]


async def test_a_process_that_may_not_act_any_more_applies_nothing(one: Operated) -> None:
    await one.settled()

    def refuse() -> None:
        raise NotLeaderError

    (server,) = one.servers._servers.values()
    with pytest.raises(NotLeaderError):
        await server.in_thread(
            server.admin,
            one.database,
            lambda c: component._upgraded(one.names, HEAD, migration.Run(), refuse, c),
            role=one.names.owner,
        )
    tables = one.site.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database=one.database)
    assert tables == []


async def test_a_run_that_is_cut_off_is_made_up_for(one: Operated, monkeypatch: pytest.MonkeyPatch) -> None:
    await one.settled()
    site: Site = one.site
    for revision in NAMES:

        def cut(self: migration.Run, begun: str, at: str = revision) -> None:
            if begun == at:
                site.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", one.names.migrator
                )

        monkeypatch.setattr(migration.Run, "begins", cut)
        report = await one.run_schema()
        assert isinstance(report.outcome, Failed), report.outcome
        one.runs._failures.clear()
    monkeypatch.undo()
    assert isinstance((await one.migrated()).outcome, Ready)


async def test_many_databases_are_migrated_at_once(one: Operated) -> None:
    site, clients, shared = one.site, one.servers, one.comparisons
    several = [
        Operated(site, clients, f"{site.name}_{n}", environment_name=f"e{n}", comparisons=shared) for n in range(6)
    ]
    reports = await asyncio.gather(*(each.migrated() for each in several))
    assert all(isinstance(report.outcome, Ready) for report in reports), [report.outcome for report in reports]
    # They share what the comparison of the first of them found.
    assert len(shared) == 1
