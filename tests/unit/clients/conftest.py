"""An API server that answers what a test tells it to, for what a real one can't be made to do."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio import client as kube

from biospark_operator.clients.kubernetes.client import KubernetesClient
from biospark_operator.clients.kubernetes.sending import Sending

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

CORE = {"resources": [{"name": "secrets", "kind": "Secret"}, {"name": "namespaces", "kind": "Namespace"}]}


class ApiServer:
    """Answers by path; `script[path]` is used up first, then `always[path]`. Requests are counted by path."""

    def __init__(self) -> None:
        self.script: dict[str, list[Answer]] = {}
        self.always: dict[str, Answer] = {"/api/v1": says(CORE)}
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []

    @property
    def paths(self) -> Counter[str]:
        return Counter(request.path for request in self.requests)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(json.loads(await request.text() or "null"))
        planned = self.script.get(request.path)
        answer = planned.pop(0) if planned else self.always.get(request.path, says({"message": "no such path"}, 404))
        return await answer(request)


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    """Answer with JSON, or with text as it is."""

    async def answer(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=status, headers=headers, content_type="application/json")

    return answer


def streams(*lines: Any) -> Answer:
    """Answer a watch with these events, then close it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        return response

    return answer


async def hangs(_: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def hangs_up(request: web.Request) -> web.StreamResponse:
    """Close the connection instead of answering."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    """The scripted API server; its address is `server.url`."""
    api = ApiServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"  # type: ignore[attr-defined]
    yield api
    await runner.cleanup()


@pytest.fixture
async def client(server: ApiServer) -> AsyncIterator[KubernetesClient]:
    """The operator's client, connected to `server`."""
    settings = kube.Configuration(host=server.url)  # type: ignore[attr-defined]
    async with kube.ApiClient(settings) as api:
        yield KubernetesClient(Sending(api))
