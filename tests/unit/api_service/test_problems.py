"""Errors are problem documents that never repeat what the client sent."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, Body, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Field, field_validator

SECRET = "hunter2-jane.doe"


class Contact(BaseModel):
    kind: Literal["home", "work"]
    email: str = Field(max_length=5)


class Patient(BaseModel):
    id: UUID
    born: int = Field(ge=1900)
    contacts: list[Contact] = []
    name: str = "x"

    @field_validator("name")
    @classmethod
    def _no_digits(cls, name: str) -> str:
        if any(letter.isdigit() for letter in name):
            raise ValueError(f"{name} holds digits")
        return name


@pytest.fixture
def app(app: FastAPI) -> FastAPI:
    """The application with routes that can fail in each way."""
    router = APIRouter()

    @router.post("/patients")
    async def create(patient: Patient) -> None: ...

    @router.get("/patients")
    async def search(limit: Annotated[int, Query(le=200)] = 50) -> None: ...

    @router.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    @router.post("/json")
    async def parsed(value: Annotated[object, Body()]) -> None: ...

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError(f"Key (email)=({SECRET}) already exists")

    @router.get("/gone")
    async def gone() -> None:
        raise HTTPException(410, "This patient was deleted.", {"X-Deleted": "yes"})

    app.include_router(router, prefix="/api/v0")
    return app


def _problem(response: httpx.Response, status: int, title: str) -> dict[str, object]:
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    body: dict[str, object] = response.json()
    assert (body["type"], body["title"], body["status"]) == ("about:blank", title, status)
    assert body["requestId"] == response.headers["x-request-id"]
    return body


async def test_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    body = _problem(await client.get(f"/{SECRET}"), 404, "Not Found")
    assert body["detail"] == "There is nothing at this path."


async def test_wrong_slash_is_not_redirected_with_the_query(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/healthz/?name={SECRET}")
    _problem(response, 404, "Not Found")
    assert "location" not in response.headers


async def test_wrong_method_names_the_allowed_one(client: httpx.AsyncClient) -> None:
    response = await client.delete("/api/v0/gone")
    assert _problem(response, 405, "Method Not Allowed")["detail"] == "This path allows GET, HEAD."
    assert response.headers["allow"] == "GET, HEAD"


async def test_raised_error_keeps_detail_and_headers(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v0/gone")
    assert _problem(response, 410, "Gone")["detail"] == "This patient was deleted."
    assert response.headers["x-deleted"] == "yes"


async def test_unhandled_exception_shows_nothing_of_itself(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v0/broken")
    _problem(response, 500, "Internal Server Error")
    assert SECRET not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_every_fault_of_a_body_has_a_pointer(client: httpx.AsyncClient) -> None:
    contacts = [{"kind": "home", "email": "a@b"}, {"kind": SECRET, "email": SECRET}]
    body = {"id": SECRET, "born": 1066, "contacts": contacts, "name": SECRET}
    response = await client.post("/api/v0/patients", json=body)
    assert _problem(response, 422, "Unprocessable Content")["errors"] == [
        {"pointer": "#/id", "detail": "Input should be a valid UUID"},
        {"pointer": "#/born", "detail": "Input should be greater than or equal to 1900"},
        {"pointer": "#/contacts/1/kind", "detail": "Input should be 'home' or 'work'"},
        {"pointer": "#/contacts/1/email", "detail": "String should have at most 5 characters"},
        {"pointer": "#/name", "detail": "Input is not valid"},
    ]
    assert SECRET not in response.text


async def test_body_that_is_no_json_is_one_fault_of_the_whole(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    response = await client.post("/api/v0/patients", content=f'{{"a": {SECRET}', headers=headers)
    errors = _problem(response, 422, "Unprocessable Content")["errors"]
    assert errors == [{"pointer": "#", "detail": "The body should be valid JSON"}]


async def test_fault_of_a_parameter_names_it_and_its_place(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/api/v0/patients?limit={SECRET}")
    assert _problem(response, 422, "Unprocessable Content")["errors"] == [
        {
            "parameter": "limit",
            "location": "query",
            "detail": "Input should be a valid integer, unable to parse string as an integer",
        }
    ]


@pytest.mark.parametrize("path", ["/api/v0/raw", "/api/v0/json", "/healthz", "/nowhere"])
async def test_announced_body_over_the_limit_is_refused(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, content=b"x" * 1001)
    body = _problem(response, 413, "Content Too Large")
    assert body["detail"] == "A request body may have at most 1000 bytes."


@pytest.mark.parametrize("path", ["/api/v0/raw", "/api/v0/json"])
async def test_streamed_body_over_the_limit_is_refused(client: httpx.AsyncClient, path: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"1" * 400

    headers = {"Content-Type": "application/json"}
    _problem(await client.post(path, content=chunks(), headers=headers), 413, "Content Too Large")


async def test_body_at_the_limit_is_read(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v0/raw", content=b"x" * 1000)).json() == 1000
