"""Request ids, logs and metrics: enough to follow a request, nothing about whom it concerns."""

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import generate_latest

from biospark_api.logs import SafeJsonFormatter
from biospark_api.readiness import Readiness
from tests.unit.api_service.in_process import in_process

SECRET = "hunter2-jane.doe"
Records = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """The application with a route of two prefixes and one that fails while it holds data."""
    inner, outer = APIRouter(prefix="/patients"), APIRouter(prefix="/v0")

    @inner.post("/{patient_id}")
    async def update(patient_id: str, request: Request) -> int:
        logging.getLogger("someone.else").info("inside")
        return len(await request.body())

    @inner.get("/{patient_id}")
    async def read(patient_id: str) -> None:
        try:
            dict[str, str]()[patient_id]
        except KeyError as error:
            raise RuntimeError(f"no {patient_id}") from error

    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    return app


async def test_request_is_logged_by_template_without_its_data(client: httpx.AsyncClient, records: Records) -> None:
    headers = {"X-Request-ID": "abc-1", "Authorization": f"Bearer {SECRET}"}
    url = f"/api/v0/patients/{SECRET}?name={SECRET}"
    assert (await client.post(url, content=SECRET, headers=headers)).status_code == 200
    request = next(record for record in records() if record["message"] == "request")
    expected = {"method": "POST", "route": "/api/v0/patients/{patient_id}", "status": 200}
    assert expected.items() <= request.items()
    assert {"request_id": "abc-1", "environment": "dev", "level": "INFO"}.items() <= request.items()
    assert request["duration_ms"] > 0
    assert SECRET not in str(records())


async def test_records_of_other_loggers_carry_the_request_id(client: httpx.AsyncClient, records: Records) -> None:
    response = await client.post("/api/v0/patients/1")
    inside = next(record for record in records() if record["message"] == "inside")
    assert inside["request_id"] == response.headers["x-request-id"]


async def test_failure_is_logged_with_types_and_places_but_no_text(client: httpx.AsyncClient, records: Records) -> None:
    await client.get(f"/api/v0/patients/{SECRET}?q={SECRET}")
    failure = next(record for record in records() if record["message"] == "A request failed")
    assert failure["level"] == "ERROR"
    assert "builtins.RuntimeError" in failure["exception"]
    assert "builtins.KeyError" in failure["exception"]
    assert "in read" in failure["exception"]
    assert SECRET not in str(records())


async def test_rejected_and_unknown_requests_leave_no_data_in_the_log(
    client: httpx.AsyncClient, records: Records
) -> None:
    await client.get(f"/{SECRET}?{SECRET}")
    await client.post("/healthz", content=SECRET)
    routes = [record["route"] for record in records() if record["message"] == "request"]
    assert routes == ["unmatched", "/healthz"]
    assert SECRET not in str(records())


def test_record_with_text_that_is_not_unicode_is_written() -> None:
    record = logging.makeLogRecord({"msg": "no file %s", "args": ("caf\udce9",)})
    assert json.loads(SafeJsonFormatter("dev").format(record))["message"] == "no file caf\udce9"


async def test_probes_are_logged_at_debug_only(client: httpx.AsyncClient, records: Records) -> None:
    await client.get("/readyz")
    assert [record["level"] for record in records() if record.get("route") == "/readyz"] == ["DEBUG"]


@pytest.mark.parametrize("offered", ["abc", "0190f5c2-7b1e-7c3a-9d7f-1f3a5b7c9d1e", "a" * 128])
async def test_well_formed_request_id_is_echoed(client: httpx.AsyncClient, offered: str) -> None:
    response = await client.get("/healthz", headers={"X-Request-ID": offered})
    assert response.headers["x-request-id"] == offered


@pytest.mark.parametrize("offered", ["", "jane@example.org", "a b", "a" * 129, "x\u00e9", '{"a":1}'])
async def test_other_request_id_is_replaced(client: httpx.AsyncClient, offered: str) -> None:
    response = await client.get("/healthz", headers=[(b"x-request-id", offered.encode("latin-1"))])
    assert response.headers["x-request-id"] != offered
    assert len(response.headers["x-request-id"]) == 32


async def test_each_request_without_id_gets_its_own(client: httpx.AsyncClient) -> None:
    ids = {(await client.get("/healthz")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


async def test_metrics_count_by_template_and_status(app: FastAPI, client: httpx.AsyncClient) -> None:
    for number in range(3):
        await client.post(f"/api/v0/patients/{number}")
        await client.get(f"/{SECRET}{number}")
    await client.get("/api/v0/patients/1")
    assert _count(app, "POST", "/api/v0/patients/{patient_id}", "200") == 3
    assert _count(app, "GET", "/api/v0/patients/{patient_id}", "500") == 1
    assert _count(app, "GET", "unmatched", "404") == 3
    assert SECRET not in generate_latest(app.state.metrics.registry).decode()


async def test_invented_methods_make_no_new_series(app: FastAPI, client: httpx.AsyncClient) -> None:
    for number in range(3):
        await client.request(f"BREW{number}", "/healthz")
    assert _count(app, "other", "/healthz", "405") == 3


async def test_requests_in_flight_return_to_none(app: FastAPI, client: httpx.AsyncClient) -> None:
    seen: list[float | None] = []
    in_flight = "biospark_api_requests_in_flight"

    async def look() -> None:
        seen.append(app.state.metrics.registry.get_sample_value(in_flight))

    readiness: Readiness = app.state.readiness
    readiness.add("look", look)
    await client.get("/readyz")
    await look()
    assert seen == [1.0, 0.0]


def _count(app: FastAPI, method: str, route: str, status: str) -> float | None:
    labels = {"method": method, "route": route, "status": status}
    value: float | None = app.state.metrics.registry.get_sample_value(
        "biospark_api_request_duration_seconds_count", labels
    )
    return value


async def test_draining_says_once_that_the_connection_closes(app: FastAPI) -> None:
    @app.get("/last")
    async def last() -> Response:
        return Response(headers={"Connection": "close"})

    async with app.router.lifespan_context(app), in_process(app) as client:
        app.state.readiness.drain()
        for path in ("/last", "/healthz"):
            response = await client.get(path)
            assert response.headers.get_list("connection") == ["close"], path
