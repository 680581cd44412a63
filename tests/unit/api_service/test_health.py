"""Liveness and readiness over the life of the process."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from biospark_api import readiness as readiness_module
from biospark_api.readiness import NotReadyError, Readiness
from tests.unit.api_service.in_process import in_process

WITHOUT_DATABASE = {
    "name": "database",
    "ready": True,
    "detail": "Not configured: without BIOSPARK_DATABASE_HOST there are only health and documentation.",
}


async def _passes() -> None:
    return None


async def _lacks_schema() -> None:
    raise NotReadyError("The schema is at revision 3, this release needs 4.")


async def _breaks() -> None:
    raise OSError("password of db-7.internal is hunter2")


async def _hangs() -> None:
    await asyncio.Event().wait()


async def test_process_is_alive_before_it_is_ready(app: FastAPI) -> None:
    async with in_process(app) as early:
        assert (await early.get("/healthz")).json() == {"status": "alive"}
        refused = await early.get("/readyz")
    assert refused.status_code == 503
    assert refused.json()["detail"] == "The service is starting."


async def test_started_service_without_a_database_is_ready_and_says_what_is_missing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "checks": [WITHOUT_DATABASE]}


async def test_operation_without_a_database_says_what_is_missing(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/patients")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert answer.json()["detail"] == "This service has no database; set BIOSPARK_DATABASE_HOST."


async def test_passing_checks_are_listed(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.readiness.add("queue", _passes)
    assert (await client.get("/readyz")).json()["checks"] == [
        WITHOUT_DATABASE,
        {"name": "queue", "ready": True},
    ]


async def test_failing_check_is_named_with_its_reason(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.readiness.add("queue", _passes)
    app.state.readiness.add("schema", _lacks_schema)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "Not ready: schema."
    assert answer.json()["checks"] == [
        WITHOUT_DATABASE,
        {"name": "queue", "ready": True},
        {"name": "schema", "ready": False, "detail": "The schema is at revision 3, this release needs 4."},
    ]


async def test_unforeseen_fault_of_a_check_stays_inside(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.readiness.add("queue", _breaks)
    answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert "hunter2" not in answer.text


async def test_hanging_check_does_not_hang_the_probe(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness_module, "CHECK_SECONDS", 0.01)
    app.state.readiness.add("queue", _hangs)
    answer = await client.get("/readyz")
    assert answer.json()["checks"][1]["detail"] == "No answer within 0.01 s."


async def test_draining_service_refuses_and_closes_connections(app: FastAPI, client: httpx.AsyncClient) -> None:
    app.state.readiness.drain()
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["detail"]) == (503, "The service is shutting down.")
    assert answer.headers["connection"] == "close"
    assert (await client.get("/healthz")).status_code == 200


def test_stop_signal_during_start_is_not_forgotten() -> None:
    readiness = Readiness()
    readiness.drain()
    readiness.serve()
    assert readiness.phase is readiness_module.Phase.DRAINING


def test_check_name_can_be_taken_once() -> None:
    readiness = Readiness()
    readiness.add("database", _passes)
    with pytest.raises(ValueError, match="'database' already"):
        readiness.add("database", _passes)
