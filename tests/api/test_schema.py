"""The schema and the migrations to it, on a real server."""

import concurrent.futures
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, create_engine, pool

from biospark_api.schema import (
    API_PRIVILEGES,
    DEFAULT_AGENTS,
    HEAD,
    HISTORY,
    METADATA,
    READER_PRIVILEGES,
    Comparison,
    DifferentTablesError,
    compare,
    current_revision,
    edited,
    migrate,
    missing_revisions,
    revisions,
)
from dev.cluster.postgres import MAJORS
from tests.api.postgres import API_PASSWORD, MIGRATOR_PASSWORD, Server

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("server", MAJORS, indirect=True, scope="session")]

NAMES = tuple(revision.name for revision in revisions())

SPECIFIED = {
    "patients": [
        ("id", "uuid", "NO", "gen_random_uuid()"),
        ("first_name", "character varying(100)", "NO", None),
        ("last_name", "character varying(100)", "NO", None),
        ("date_of_birth", "date", "NO", None),
        ("email", "character varying(255)", "YES", None),
        ("phone", "character varying(20)", "YES", None),
        ("created_at", "timestamp without time zone", "YES", "CURRENT_TIMESTAMP"),
        ("updated_at", "timestamp without time zone", "YES", "CURRENT_TIMESTAMP"),
    ],
    "health_records": [
        ("id", "uuid", "NO", "gen_random_uuid()"),
        ("patient_id", "uuid", "YES", None),
        ("record_type", "character varying(50)", "NO", None),
        ("data", "jsonb", "NO", None),
        ("recorded_at", "timestamp without time zone", "NO", None),
        ("created_at", "timestamp without time zone", "YES", "CURRENT_TIMESTAMP"),
    ],
    "agents": [
        ("id", "uuid", "NO", "gen_random_uuid()"),
        ("name", "character varying(100)", "NO", None),
        ("type", "character varying(50)", "NO", None),
        ("config", "jsonb", "YES", None),
        ("status", "character varying(20)", "YES", "'inactive'::character varying"),
        ("created_at", "timestamp without time zone", "YES", "CURRENT_TIMESTAMP"),
        ("updated_at", "timestamp without time zone", "YES", "CURRENT_TIMESTAMP"),
    ],
}
INDEXES = {
    "idx_patients_email": "btree (email)",
    "idx_health_records_patient_id": "btree (patient_id)",
    "idx_health_records_recorded_at": "btree (recorded_at)",
    "idx_agents_type": "btree (type)",
    "idx_agents_status": "btree (status)",
    "idx_health_records_data_gin": "gin (data)",
}


@contextmanager
def connected(server: Server, database: str) -> Iterator[Connection]:
    """A connection of the migrator, acting as the owner."""
    engine = create_engine(
        "postgresql+psycopg://",
        poolclass=pool.NullPool,
        connect_args={
            "host": "127.0.0.1",
            "port": server.port,
            "dbname": database,
            "user": "migrator",
            "password": MIGRATOR_PASSWORD,
            "options": "-c role=owner",
        },
    )
    with engine.connect() as connection:
        yield connection


def columns(connection: psycopg.Connection[Any], table: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        """SELECT attname, format_type(atttypid, atttypmod), CASE WHEN attnotnull THEN 'NO' ELSE 'YES' END,
                  pg_get_expr(adbin, adrelid)
           FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
           WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum""",
        (table,),
    ).fetchall()


def test_first_revision_is_exactly_the_specification(server: Server, empty_database: str) -> None:
    with connected(server, empty_database) as connection:
        migrate(connection, "0001")
    with server.connect(empty_database) as admin:
        for table, expected in SPECIFIED.items():
            assert columns(admin, table) == expected, table
        tables = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert {name for (name,) in tables} == {*SPECIFIED, "alembic_version", HISTORY}
        made = admin.execute("SELECT indexname, indexdef FROM pg_indexes WHERE indexname LIKE 'idx_%'").fetchall()
        assert {name: definition.partition(" USING ")[2] for name, definition in made} == INDEXES
        constraints = admin.execute(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE contype IN ('u', 'f') AND connamespace = 'public'::regnamespace"
        ).fetchall()
        assert dict(constraints) == {
            "patients_email_key": "UNIQUE (email)",
            "health_records_patient_id_fkey": "FOREIGN KEY (patient_id) REFERENCES patients(id)",
        }
        agents = admin.execute("SELECT name, type, config, status FROM agents ORDER BY name").fetchall()
    assert [(name, kind, status) for name, kind, _, status in agents] == [
        ("Analyst Agent", "analyst", "active"),
        ("Architect Agent", "architect", "active"),
        ("Developer Agent", "developer", "active"),
        ("Orchestrator Agent", "orchestrator", "active"),
    ]
    assert {kind: name for name, kind, _, _ in agents} == DEFAULT_AGENTS
    assert [config["capabilities"] for _, _, config, _ in agents] == [
        ["data_analysis", "reporting"],
        ["system_design", "optimization"],
        ["code_generation", "testing"],
        ["workflow_management", "coordination"],
    ]
    assert {config["version"] for _, _, config, _ in agents} == {"1.0"}


def test_later_revisions_keep_what_is_specified(server: Server, database: str) -> None:
    with server.connect(database) as admin:
        for table, expected in SPECIFIED.items():
            assert columns(admin, table)[: len(expected)] == expected, table
        made = {name for (name,) in admin.execute("SELECT indexname FROM pg_indexes").fetchall()}
    assert made >= INDEXES.keys()


def test_migrations_lead_to_the_schema_of_this_release(server: Server, database: str) -> None:
    with connected(server, database) as connection:
        assert compare(connection) == Comparison()
        assert current_revision(connection) == HEAD == NAMES[-1]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("DROP INDEX idx_agents_type", "index idx_agents_type of agents is missing"),
        ("DROP INDEX idx_patients_last_name", "index idx_patients_last_name of patients is missing"),
        ("DROP TABLE audit_log", "table audit_log is missing"),
        ("ALTER TABLE patients DROP COLUMN phone", "column patients.phone is missing"),
        (
            "ALTER TABLE patients ALTER phone TYPE VARCHAR(30)",
            "column patients.phone has the type VARCHAR(30) instead of VARCHAR(20)",
        ),
        ("ALTER TABLE patients ALTER phone SET NOT NULL", "column patients.phone may not be NULL"),
        ("ALTER TABLE patients ALTER last_name DROP NOT NULL", "column patients.last_name may be NULL"),
        ("ALTER TABLE users ALTER active SET DEFAULT false", "column users.active has another default"),
        ("ALTER TABLE agents ALTER status DROP DEFAULT", "column agents.status has another default"),
        ("ALTER TABLE users DROP CONSTRAINT users_email_key", "unique constraint on email of users is missing"),
        ("ALTER TABLE users DROP CONSTRAINT users_role_check", "constraint users_role_check of users is missing"),
        (
            "ALTER TABLE health_records DROP CONSTRAINT health_records_patient_id_fkey",
            "foreign key on patient_id of health_records is missing",
        ),
        (
            "ALTER TABLE patients ADD COLUMN ssn TEXT NOT NULL",
            "unexpected column patients.ssn, which must be given",
        ),
        ("CREATE UNIQUE INDEX once ON patients (phone)", "unexpected index once of patients"),
        (
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_agents_type'::regclass",
            "index idx_agents_type of agents is invalid: its build was interrupted",
        ),
    ],
)
def test_what_breaks_the_api_is_named(server: Server, database: str, change: str, fault: str) -> None:
    with server.connect(database) as admin:
        admin.execute(change)
    with connected(server, database) as connection:
        found = compare(connection)
    assert found.faults == (fault,)
    assert found.extras == ()


@pytest.mark.parametrize(
    ("change", "extra"),
    [
        ("CREATE TABLE of_somebody_else (id int)", "unexpected table of_somebody_else"),
        ("ALTER TABLE patients ADD COLUMN nickname TEXT", "unexpected column patients.nickname"),
        ("CREATE INDEX faster ON patients (phone)", "unexpected index faster of patients"),
    ],
)
def test_what_is_there_besides_is_told_apart(server: Server, database: str, change: str, extra: str) -> None:
    with server.connect(database) as admin:
        admin.execute(change)
    with connected(server, database) as connection:
        assert compare(connection) == Comparison(extras=(extra,))


def test_a_database_that_was_set_up_by_hand_is_taken_over(server: Server, empty_database: str) -> None:
    by_hand = revisions()[0].sql
    with server.connect(empty_database, user="migrator", password="migrator-Secret-of-the-tests") as migrator:
        migrator.execute("SET ROLE owner")
        migrator.execute(by_hand)
        migrator.execute("INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('A', 'B', '2000-01-01')")
    applied: list[str] = []
    with connected(server, empty_database) as connection:
        migrate(connection, applied=applied.append)
        assert compare(connection) == Comparison()
    assert tuple(applied) == NAMES
    with server.connect(empty_database) as admin:
        assert admin.execute("SELECT count(*) FROM patients").fetchone() == (1,)
        assert admin.execute("SELECT count(*) FROM agents").fetchone() == (4,)


def test_tables_of_the_same_names_that_are_others_are_left_alone(server: Server, empty_database: str) -> None:
    with server.connect(empty_database) as admin:
        admin.execute("CREATE TABLE patients (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), name TEXT)")
    with connected(server, empty_database) as connection:
        with pytest.raises(DifferentTablesError) as caught:
            migrate(connection)
        assert current_revision(connection) is None
    assert "there is no table agents" in caught.value.differences
    assert "patients has column name text" in caught.value.differences
    with server.connect(empty_database) as admin:
        tables = admin.execute("SELECT tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information)'").fetchall()
    assert tables == [("patients",)]


def test_a_revision_that_was_edited_after_it_ran_is_noticed(server: Server, database: str) -> None:
    known = {revision.name: revision.checksum for revision in revisions()}
    with server.connect(database) as admin:
        applied = dict(admin.execute(f"SELECT revision, checksum FROM {HISTORY}").fetchall())
    assert applied == known
    assert edited(applied, known) == ()
    assert edited(applied | {"0002": "0" * 64}, known) == ("0002",)
    # What a newer release did is not known here, and no sign of an edit.
    assert edited(applied | {"9999": "0" * 64}, known) == ()


def test_each_revision_is_applied_once_in_order(server: Server, empty_database: str) -> None:
    applied: list[str] = []
    with connected(server, empty_database) as connection:
        migrate(connection, "0002", applied=applied.append)
        assert tuple(applied) == NAMES[:2]
        migrate(connection, applied=applied.append)
        migrate(connection, applied=applied.append)
    assert tuple(applied) == NAMES


def test_migrations_at_the_same_time_apply_each_revision_once(server: Server, empty_database: str) -> None:
    applied: list[str] = []

    def run() -> None:
        with connected(server, empty_database) as connection:
            migrate(connection, applied=applied.append)

    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for run_through in [threads.submit(run) for _ in range(4)]:
            run_through.result()
    assert tuple(applied) == NAMES


def test_databases_are_migrated_at_the_same_time_in_one_process(server: Server) -> None:
    names = [f"several_{number}" for number in range(3)]

    def run(name: str) -> None:
        server.create_database(name)
        try:
            with connected(server, name) as connection:
                migrate(connection)
                assert compare(connection) == Comparison()
        finally:
            server.drop_database(name)

    with concurrent.futures.ThreadPoolExecutor(3) as threads:
        for run_through in [threads.submit(run, name) for name in names]:
            run_through.result()


def test_database_of_a_newer_release_is_left_alone(server: Server, database: str) -> None:
    with server.connect(database) as admin:
        admin.execute("UPDATE alembic_version SET version_num = '9999'")
    with connected(server, database) as connection:
        migrate(connection)
        assert current_revision(connection) == "9999"
    assert missing_revisions("9999") == ()


def test_migration_that_stands_behind_a_long_reader_gives_up_and_goes_on_later(
    server: Server, empty_database: str
) -> None:
    with connected(server, empty_database) as connection:
        migrate(connection, "0003")
        with server.connect(empty_database) as reader, reader.transaction():
            reader.execute("SELECT count(*) FROM patients")
            with pytest.raises(Exception, match="lock timeout"):
                migrate(connection, lock_timeout_ms=50)
        assert current_revision(connection) == "0003"
        connection.rollback()
        migrate(connection)
        assert current_revision(connection) == HEAD


def test_index_that_an_interrupted_build_left_behind_is_built_again(server: Server, empty_database: str) -> None:
    with connected(server, empty_database) as connection:
        migrate(connection, "0004")
    with server.connect(empty_database) as admin:
        admin.execute("CREATE INDEX idx_patients_page ON patients (created_at)")
        admin.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_patients_page'::regclass")
    with connected(server, empty_database) as connection:
        migrate(connection)
        assert compare(connection) == Comparison()


def test_previous_release_goes_on_writing_to_the_new_schema(server: Server, database: str) -> None:
    with server.connect(database) as old:
        patient = old.execute(
            "INSERT INTO patients (first_name, last_name, date_of_birth) VALUES ('A', 'B', '2000-01-01') RETURNING id"
        ).fetchone()
        assert patient
        old.execute(
            "INSERT INTO health_records (patient_id, record_type, data, recorded_at) VALUES (%s, 'x', '{}', now())",
            patient,
        )
        old.execute("INSERT INTO agents (name, type) VALUES ('n', 't')")
        old.execute("UPDATE patients SET first_name = 'C', updated_at = now()")


def _api(server: Server, database: str) -> psycopg.Connection[Any]:
    return server.connect(database, user="api")


def test_api_role_has_exactly_its_privileges(server: Server, database: str) -> None:
    with server.connect(database) as admin:
        granted = admin.execute(
            "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = 'api'"
        ).fetchall()
    tables = {*METADATA.tables, "alembic_version", HISTORY}
    assert API_PRIVILEGES.keys() == READER_PRIVILEGES.keys() == tables
    assert {(table, kind) for table, kinds in API_PRIVILEGES.items() for kind in kinds} == set(granted)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_log SET outcome = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log", "DROP TABLE audit_log"],
)
def test_api_role_cannot_change_the_audit_log(server: Server, database: str, statement: str) -> None:
    with _api(server, database) as api:
        api.execute("INSERT INTO audit_log (action, outcome) VALUES ('test', 'success')")
        with pytest.raises(InsufficientPrivilege):
            api.execute(statement)


def test_default_privileges_do_not_open_the_audit_log(server: Server, empty_database: str) -> None:
    with server.connect(empty_database) as admin:
        admin.execute("ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON TABLES TO api")
    with connected(server, empty_database) as connection:
        migrate(connection)
    with _api(server, empty_database) as api:
        api.execute("INSERT INTO audit_log (action, outcome) VALUES ('test', 'success')")
        with pytest.raises(InsufficientPrivilege):
            api.execute("DELETE FROM audit_log")


def test_migration_by_hand_needs_only_the_variables_of_libpq(server: Server, empty_database: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "biospark_api.schema", "--owner", "owner", "--api-role", "api", "--audit-days", "365"],
        env={
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGDATABASE": empty_database,
            "PGUSER": "migrator",
            "PGPASSWORD": MIGRATOR_PASSWORD,
        },
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"this release needs {HEAD}" in done.stdout
    with _api(server, empty_database) as api:
        assert api.execute("SELECT count(*) FROM agents").fetchone() == (4,)
        assert api.execute("SELECT * FROM retention").fetchall() == [("audit_log", 365)]
    assert API_PASSWORD not in done.stdout
