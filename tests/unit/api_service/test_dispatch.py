"""The short way to operations and the framework's way lead to the same place."""

import re
import uuid
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from biospark_api.app import DOMAINS
from biospark_api.http.dispatch import Dispatch
from biospark_api.http.observation import UNMATCHED, RouteTemplates

OPERATIONS = [(method, path) for domain in DOMAINS for method, path, _ in domain.declared]
ID = uuid.UUID("6f1c2a52-4d0e-4c56-9f0a-9a4de5a0f3b1")


@pytest.fixture
def passed_on() -> list[Scope]:
    """What the dispatch left to the framework."""
    return []


@pytest.fixture
def dispatch(passed_on: list[Scope]) -> Dispatch:
    async def framework(scope: Scope, receive: Receive, send: Send) -> None:
        passed_on.append(scope)

    return Dispatch(framework, domains=DOMAINS)


def _scope(app: FastAPI, method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"", "app": app}


async def _status(dispatch: Dispatch, scope: Scope) -> int:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await dispatch(scope, receive, send)
    return int(sent[0]["status"])


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_every_operation_is_found_with_its_ids_and_its_template(
    app: FastAPI, dispatch: Dispatch, passed_on: list[Scope], method: str, path: str
) -> None:
    ids = {name: str(uuid.uuid4()) for name in re.findall(r"{(\w+)}", path)}
    scope = _scope(app, method, path.format(**ids))
    assert await _status(dispatch, scope) == 503  # it was called, and has no database
    assert scope["path_params"] == ids
    assert RouteTemplates(app).of(scope) == path
    assert passed_on == []
    matches = [route.matches(_scope(app, method, path.format(**ids)))[0] for route in app.routes]
    assert Match.FULL in matches


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/patients"),
        ("HEAD", "/api/v1/patients"),
        ("GET", "/api/v1/patients/"),
        ("GET", "/api/v1/patients/{}"),
        ("GET", "/api/v1/patients/1"),
        ("GET", f"/api/v1/patients/{ID.hex}"),
        ("GET", f"/api/v1/patients/{ID}/"),
        ("GET", f"/api/v1/patients/x{ID}"),
        ("GET", f"/api/v1/{ID}"),
        ("GET", "/healthz"),
    ],
)
async def test_everything_else_is_left_to_the_framework(
    app: FastAPI, dispatch: Dispatch, passed_on: list[Scope], method: str, path: str
) -> None:
    scope = _scope(app, method, path)
    with pytest.raises(IndexError):
        await _status(dispatch, scope)
    assert passed_on == [scope]
    assert RouteTemplates(app).of(scope) == UNMATCHED
