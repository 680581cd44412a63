"""A thin client of the API server for the benchmark: it drives the load and is the floor that others are held to.

Bare aiohttp, JSON in and out, a bounded number of requests at once. It does nothing that is not needed to send a
request, so what it takes to apply objects with it is what the API server itself takes.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

Body = dict[str, Any]

#: Requests under way at once: as many as the operator has by default.
CONCURRENCY = 64
#: Answers after which the same request is sent again: the API server is overloaded, or just starting.
NOT_NOW = frozenset({429, 503, 504})
SECONDS = aiohttp.ClientTimeout(total=60)
ENVIRONMENTS = "/apis/biospark.ai/v1alpha1/biosparkenvironments"


class RefusedError(Exception):
    """The API server refused a request; the message has its words."""


class Api:
    """One API server as one user sees it."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session, self._server = session, server
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def apply(self, path: str, manifest: Body) -> Body:
        """Server-side apply `manifest` at the path of the object."""
        parameters = {"fieldManager": "benchmark", "force": "true"}
        return await self._send("PATCH", path, manifest, "application/apply-patch+yaml", parameters)

    async def merge(self, path: str, change: Body) -> Body:
        """Merge `change` into the object."""
        parameters = {"fieldManager": "benchmark"}
        return await self._send("PATCH", path, change, "application/merge-patch+json", parameters)

    async def create(self, path: str, manifest: Body) -> Body:
        """Create an object in the collection at `path`."""
        return await self._send("POST", path, manifest, "application/json", {})

    async def delete(self, path: str) -> Body:
        """Delete the object."""
        return await self._send("DELETE", path, None, "application/json", {})

    async def get(self, path: str, **parameters: str) -> Body:
        """Return the object or list at `path`."""
        return await self._send("GET", path, None, "application/json", parameters)

    async def text(self, path: str) -> str:
        """Return what is at `path`, such as metrics."""
        async with self._session.get(self._server + path) as answer:
            answer.raise_for_status()
            return await answer.text()

    async def watch(self, path: str, **parameters: str) -> AsyncIterator[Body]:
        """Yield the events of a collection: first all of its objects as ADDED, then what happens, without end.

        Raises `RefusedError` when it can't go on where the API server closed the stream.
        """
        listed = await self.get(path, **parameters)
        for item in listed["items"]:
            yield {"type": "ADDED", "object": item}
        version = listed["metadata"]["resourceVersion"]
        while True:
            async with self._session.get(
                self._server + path,
                params={**parameters, "watch": "true", "resourceVersion": version},
                timeout=aiohttp.ClientTimeout(total=None),
            ) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise RefusedError(f"the watch of {path} ended: {event['object'].get('message')}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event

    async def _send(
        self, method: str, path: str, body: Body | None, content_type: str, parameters: dict[str, str]
    ) -> Body:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type}
        async with self._slots:
            while True:
                async with self._session.request(
                    method, self._server + path, data=data, headers=headers, params=parameters
                ) as answer:
                    content = await answer.read()
                    if answer.status < 400:
                        found: Body = json.loads(content)
                        return found
                    if answer.status not in NOT_NOW:
                        words = content.decode(errors="replace")[:500]
                        raise RefusedError(f"{method} {path}: {answer.status} {words}")
                await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))


@asynccontextmanager
async def connected(server: str, authority: str, token: str) -> AsyncIterator[Api]:
    """Open a client of the API server at `server`, whose certificates `authority` (PEM) signs, with a token."""
    context = ssl.create_default_context(cadata=authority)
    # Events of watches are lines, and one with all that is said of an environment is long.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, limit=0),
        headers={"Authorization": f"Bearer {token}"},
        timeout=SECONDS,
        read_bufsize=2**22,
    ) as session:
        yield Api(session, server)
