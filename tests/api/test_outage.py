"""What happens when the database is away, slow, behind or exhausted: a 503 that says so, and nothing lost after."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from biospark_api.database.check import NEEDED
from tests.api.postgres import MIGRATOR_PASSWORD, Server, running
from tests.api.service import Load, Service, running_service
from tests.api.test_patients import PATIENTS, ada

pytestmark = pytest.mark.integration


def _is_unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in answer.text


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server that the test may stop."""
    with running(purpose="outage") as started:
        yield started


def _migrate(server: Server, database: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "biospark_api.schema", "--owner", "owner", "--api-role", "api"],
        env={
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGDATABASE": database,
            "PGUSER": "migrator",
            "PGPASSWORD": MIGRATOR_PASSWORD,
        },
        check=True,
        stdout=subprocess.DEVNULL,
    )


def test_service_lives_through_a_database_that_is_empty_then_migrated_then_away_and_back(
    own_server: Server, tmp_path: Path
) -> None:
    own_server.create_database("outage")
    bootstrap = {"bootstrap_admin_email": "root@test.example", "bootstrap_admin_password": "first-Blue-lantern"}
    service = Service(own_server, "outage", tmp_path, revocation_seconds=300, **bootstrap)
    try:
        client = service.client()
        behind = client.get("/readyz")
        assert behind.status_code == 503
        assert behind.json()["checks"][0]["detail"] == f"The schema is at revision none; this release needs {NEEDED}."
        assert client.get("/healthz").status_code == 200

        _migrate(own_server, "outage")
        service.await_ready()
        service.await_record("The first administrator was made")
        client = service.client(service.login("root@test.example", "first-Blue-lantern")["token"])
        assert client.post(PATIENTS, json=ada()).status_code == 201
        assert client.get(PATIENTS).status_code == 200

        own_server.stop()
        answers = [client.get(PATIENTS), client.post(PATIENTS, json=ada()), client.get(f"{PATIENTS}?limit=1")]
        for answer in answers:
            _is_unavailable(answer)
        service.await_true(lambda: client.get("/readyz").status_code == 503, what="not being ready")
        assert client.get("/readyz").json()["checks"][0]["detail"] == "The database cannot be used now."
        assert client.get("/healthz").status_code == 200
        login = {"email": "root@test.example", "password": "first-Blue-lantern"}
        _is_unavailable(client.post("/api/v1/auth/login", json=login))

        own_server.start()
        service.await_ready()
        assert len(client.get(PATIENTS).json()) == 1
        # What was collected while the database was away is written: the failures, and the read before.
        service.await_audit(action="patients.list", outcome="failure", status=503)
        service.await_audit(action="patients.list", outcome="success")

        with own_server.connect("outage") as admin:
            admin.execute("UPDATE alembic_version SET version_num = '0004'")
        service.await_true(lambda: client.get("/readyz").status_code == 503, what="the older schema")
        with own_server.connect("outage") as admin:
            admin.execute("UPDATE alembic_version SET version_num = '0099'")
        service.await_ready()  # a newer one is fine
    finally:
        service.close()


def test_pool_that_is_exhausted_refuses_in_time_and_recovers(server: Server, database: str, tmp_path: Path) -> None:
    settings = {"database_pool_size": 3, "database_wait_seconds": 0.5, "database_statement_seconds": 60}
    with running_service(server, database, tmp_path, revocation_seconds=300, **settings) as service:
        client = service.as_role("admin")
        for role in ("admin", "clinician", "agent"):
            service.as_role(role).get(PATIENTS)
        with server.connect(database) as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
            # One connection for each, and one for the service.
            roles = ("admin", "clinician")
            held = [threading.Thread(target=service.as_role(role).get, args=(PATIENTS,)) for role in roles]
            for thread in held:
                thread.start()

            def waiting() -> bool:
                with server.connect() as admin:
                    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
                    row = admin.execute(query, (database,)).fetchone()
                return row == (2,)

            service.await_true(waiting, what="two statements that wait")
            _is_unavailable(service.as_role("agent").get("/api/v1/agents"))
            assert service.client().get("/healthz").status_code == 200
        for thread in held:
            thread.join()
        assert client.get(PATIENTS).status_code == 200


def test_statement_that_takes_too_long_is_ended_by_the_server(server: Server, database: str, tmp_path: Path) -> None:
    settings = {"database_statement_seconds": 0.6}
    with running_service(server, database, tmp_path, revocation_seconds=300, **settings) as service:
        client = service.as_role("admin")
        with server.connect(database) as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
            _is_unavailable(client.get(PATIENTS))
        assert client.get(PATIENTS).status_code == 200


def test_fault_of_the_service_is_a_problem_that_shows_nothing_of_it(
    server: Server, database: str, tmp_path: Path
) -> None:
    with running_service(server, database, tmp_path) as service:
        client = service.as_role("admin")
        with server.connect(database) as admin:
            admin.execute("ALTER TABLE patients RENAME COLUMN phone TO hunter2_phone")
        answer = client.get(PATIENTS)
        assert answer.status_code == 500
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["requestId"] == answer.headers["x-request-id"]
        failed = service.await_record("A request failed", request_id=answer.headers["x-request-id"])
        assert "psycopg.errors.UndefinedColumn" in failed["exception"]
        assert "SELECT" not in answer.text + failed["exception"]
        service.await_audit(action="patients.list", outcome="failure", status=500)


def test_stop_under_load_loses_no_request_that_was_accepted(server: Server, database: str, tmp_path: Path) -> None:
    with running_service(server, database, tmp_path, drain_seconds=1) as service:
        token = service.token_of("admin")

        def create() -> httpx.Response | None:
            try:
                return service.client(token).post(PATIENTS, json=ada())
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.RemoteProtocolError):
                return None  # refused, or reset while it waited to be accepted: the count below proves which

        with Load(create, threads=4) as load:
            service.await_true(lambda: len(load.results) > 20, what="load")
            assert service.stop() == 0
        answers = [answer for answer in load.results if answer is not None]
        assert {answer.status_code for answer in answers} == {201}
        with server.connect(database) as admin:
            assert admin.execute("SELECT count(*) FROM patients").fetchone() == (len(answers),)
        assert len(service.audit(action="patients.create", outcome="success")) == len(answers)
