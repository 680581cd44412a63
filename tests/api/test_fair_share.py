"""Searches and connections: what one caller asks for keeps neither the others waiting nor the pod out of service."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.api.service import Service
from tests.api.test_patients import PATIENTS, created

pytestmark = pytest.mark.integration

AGENTS = "/api/v1/agents"


@pytest.mark.parametrize(
    "data",
    [
        {f"m{n}": n for n in range(101)},
        {"items": list(range(101))},
        {"items": [[] for _ in range(101)]},
        {"items": [{"a": 1, "b": [1, 2, 3]} for _ in range(20)]},
    ],
)
def test_a_search_for_very_much_is_refused(service: Service, data: dict[str, Any]) -> None:
    url = f"{PATIENTS}/{created(service.as_role('admin'))['id']}/records/_search"
    answer = service.as_role("agent").post(url, json={"data": data})
    assert answer.status_code == 422
    fault = {"pointer": "#/data", "detail": "Input should have at most 100 members and items in all"}
    assert answer.json()["errors"] == [fault]


def test_a_search_for_as_much_as_may_be_is_answered(service: Service) -> None:
    client = service.as_role("admin")
    url = f"{PATIENTS}/{created(client)['id']}/records"
    data = {f"member {n}": [n] for n in range(50)}
    made = client.post(url, json={"record_type": "a", "data": data, "recorded_at": "2024-01-01T00:00:00Z"}).json()
    assert client.post(f"{url}/_search", json={"data": data}).json()["items"] == [made]


@pytest.mark.parametrize(
    "path", [f"{PATIENTS}/_search", "records/_search", "/api/v1/auth/login", "/api/v1/auth/refresh"]
)
def test_a_body_that_only_asks_is_small(service: Service, path: str) -> None:
    client = service.as_role("agent")
    if path == "records/_search":
        path = f"{PATIENTS}/{created(service.as_role('admin'))['id']}/{path}"
    answer = client.post(path, json={"data": {"a": "x" * 16_384}})
    assert answer.status_code == 413
    assert answer.json()["detail"] == "The body of this operation may have at most 16384 bytes."


class Waiting:
    """Requests that wait for a table which the test has locked."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._threads: list[threading.Thread] = []

    def send(self, client: httpx.Client, number: int) -> None:
        """Ask for patients that many times at once."""
        new = [threading.Thread(target=client.get, args=(PATIENTS,)) for _ in range(number)]
        for thread in new:
            thread.start()
        self._threads += new

    def statements(self) -> int:
        """How many statements wait on the server."""
        with self._service.server.connect() as admin:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
            row = admin.execute(query, (self._service.database,)).fetchone()
        return int(row[0]) if row else 0

    def await_statements(self, number: int) -> None:
        """Wait until so many wait."""
        self._service.await_true(lambda: self.statements() == number, what=f"{number} statements that wait")


@contextmanager
def _locked(service: Service) -> Iterator[Waiting]:
    waiting = Waiting(service)
    with service.server.connect(service.database) as blocker, blocker.transaction():
        blocker.execute("LOCK TABLE patients IN ACCESS EXCLUSIVE MODE")
        yield waiting
    for thread in waiting._threads:
        thread.join()


def _warm(service: Service, *roles: str) -> list[httpx.Client]:
    """Clients whose tokens are known, so that they need no connection."""
    clients = [service.as_role(role) for role in roles]
    for client in clients:
        assert client.get("/api/v1/auth/me").status_code == 200
    return clients


SLOW = {"database_statement_seconds": 60, "revocation_seconds": 300}


def test_one_user_gets_half_of_the_connections(start: Callable[..., Service]) -> None:
    service = start(database_pool_size=4, database_wait_seconds=0.5, **SLOW)
    busy, other = _warm(service, "admin", "agent")
    with _locked(service) as waiting:
        waiting.send(busy, 6)
        waiting.await_statements(2)
        assert other.get(AGENTS).status_code == 200
        refused = busy.get(AGENTS)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert waiting.statements() == 2
    assert busy.get(AGENTS).status_code == 200


def test_who_waits_for_the_share_is_answered_when_it_is_free(start: Callable[..., Service]) -> None:
    service = start(database_pool_size=2, database_wait_seconds=30, **SLOW)
    (busy,) = _warm(service, "admin")
    answers: list[int] = []
    with _locked(service) as waiting:
        waiting.send(busy, 1)
        waiting.await_statements(1)
        following = threading.Thread(target=lambda: answers.append(busy.get(AGENTS).status_code))
        following.start()
    following.join()
    assert answers == [200]


def test_a_pod_is_ready_though_all_connections_are_in_use(start: Callable[..., Service]) -> None:
    service = start(database_pool_size=3, database_wait_seconds=0.5, **SLOW)
    one, two, three = _warm(service, "admin", "agent", "clinician")
    with _locked(service) as waiting:
        waiting.send(one, 3)
        waiting.send(two, 3)
        waiting.await_statements(2)
        assert three.get(AGENTS).status_code == 503
        with service.client() as probe:
            for _ in range(3):
                assert probe.get("/readyz").status_code == 200


def test_a_statement_that_the_server_does_not_end_is_given_up(start: Callable[..., Service]) -> None:
    service = start(database_statement_seconds=0.5, revocation_seconds=300)
    (client,) = _warm(service, "admin")
    assert client.get(AGENTS).status_code == 200
    with service.server.connect(service.database) as admin:
        rows = admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND usename = 'api'"
            " AND query NOT LIKE '%alembic_version%'"
        ).fetchall()
        stopped = [pid for (pid,) in rows]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            answer = client.get(AGENTS)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert client.get(AGENTS).status_code == 200, "the connections beside it are not trusted any more"
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
