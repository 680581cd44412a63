"""A failover: connections that are gone cost no reads, and a change is made once or not at all."""

import threading
from collections.abc import Callable

import httpx
import pytest

from tests.api.service import Service
from tests.api.test_patients import PATIENTS, ada

pytestmark = pytest.mark.integration

AGENTS = "/api/v1/agents"


def _with_idle_connections(service: Service, number: int) -> httpx.Client:
    """A client of a service that has used so many connections at once, for two users."""
    service.await_ready()
    clients = [service.as_role("admin"), service.as_role("clinician")]

    def connections() -> int:
        return len(_processes(service))

    while connections() < number:
        with service.server.connect(service.database) as blocker, blocker.transaction():
            blocker.execute("LOCK TABLE agents IN ACCESS EXCLUSIVE MODE")
            threads = [threading.Thread(target=client.get, args=(AGENTS,)) for client in clients for _ in range(number)]
            for thread in threads:
                thread.start()
            service.await_true(lambda: connections() >= number, what=f"{number} connections")
        for thread in threads:
            thread.join()
    return clients[0]


def _processes(service: Service) -> list[int]:
    with service.server.connect(service.database) as admin:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'api'"
        return [pid for (pid,) in admin.execute(query).fetchall()]


def _fail_over(service: Service) -> None:
    """End all connections of the service, as a server that is replaced does."""
    with service.server.connect(service.database) as admin:
        for pid in _processes(service):
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_reads_go_on_after_a_failover(start: Callable[..., Service]) -> None:
    service = start(revocation_seconds=0)
    client = _with_idle_connections(service, 6)
    _fail_over(service)
    answers = [client.get(path) for path in (PATIENTS, AGENTS, PATIENTS, AGENTS)]
    answers += [client.post(f"{PATIENTS}/_search", json={"name": "Ada"}), client.get("/readyz")]
    assert [answer.status_code for answer in answers] == [200] * 6


def test_a_change_after_a_failover_is_made_once_or_refused(start: Callable[..., Service]) -> None:
    service = start(revocation_seconds=300)
    client = _with_idle_connections(service, 6)
    _fail_over(service)
    statuses = [client.post(PATIENTS, json=ada()).status_code for _ in range(4)]
    # The entries of the audit log are written beside: they may be the first to meet the failover.
    assert statuses[0] in (201, 503)
    assert statuses[1:] == [201, 201, 201], "the connections beside the first are not tried"
    with service.server.connect(service.database) as admin:
        assert admin.execute("SELECT count(*) FROM patients").fetchone() == (statuses.count(201),)


def test_a_token_is_checked_again_before_a_change(start: Callable[..., Service]) -> None:
    service = start(revocation_seconds=0)
    client = _with_idle_connections(service, 6)
    _fail_over(service)
    assert client.post(PATIENTS, json=ada()).status_code == 201, "the read for the token met the failover"


# Ends the connection that calls it, and counts in a way that no rollback undoes.
_ENDING = """
CREATE SEQUENCE attempts;
CREATE FUNCTION ends() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    PERFORM nextval('public.attempts');
    PERFORM pg_terminate_backend(pg_backend_pid());
    PERFORM pg_sleep(10);
    RETURN true;
END $$;
CREATE FUNCTION ends_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.ends(); RETURN NEW; END $$;
CREATE TRIGGER ends BEFORE INSERT ON patients EXECUTE FUNCTION ends_change();
ALTER TABLE agents RENAME TO kept;
CREATE VIEW agents AS SELECT * FROM kept WHERE ends();
GRANT SELECT ON agents TO api;
"""


def test_a_read_is_tried_twice_and_a_change_once(start: Callable[..., Service]) -> None:
    service = start(revocation_seconds=300)
    client = service.as_role("admin")
    client.get("/api/v1/auth/me")
    with service.server.connect(service.database) as admin:
        admin.execute(_ENDING)

        def attempts() -> object:
            row = admin.execute("SELECT last_value FROM attempts").fetchone()
            return row and row[0]

        assert client.post(PATIENTS, json=ada()).status_code == 503
        assert attempts() == 1
        assert client.get(AGENTS).status_code == 503
        assert attempts() == 3
    assert client.get(PATIENTS).status_code == 200


def test_a_server_that_became_read_only_is_left(start: Callable[..., Service]) -> None:
    service = start(revocation_seconds=300)
    client = service.as_role("admin")
    client.get("/api/v1/auth/me")
    with service.server.connect(service.database) as admin:
        admin.execute(f'ALTER DATABASE "{service.database}" SET default_transaction_read_only = on')
        _fail_over(service)
        assert client.get(PATIENTS).status_code == 200
        admin.execute(f'ALTER DATABASE "{service.database}" RESET default_transaction_read_only')
    statuses = [client.post(PATIENTS, json=ada()).status_code for _ in range(3)]
    assert statuses == [503, 201, 201]
