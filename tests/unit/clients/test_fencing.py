"""Requests that change something don't leave a process that may not act, however late it finds out."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from biospark_operator.clients import fencing
from biospark_operator.clients.fencing import fence
from biospark_operator.engine.errors import NotLeaderError


class Leader:
    """May act until told otherwise."""

    def __init__(self) -> None:
        self.leading = True

    def check(self) -> None:
        if not self.leading:
            raise NotLeaderError


@pytest.fixture
def leader() -> Leader:
    return Leader()


@pytest.fixture
def received() -> list[str]:
    return []


@pytest.fixture
def go_on() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def url(received: list[str], go_on: asyncio.Event) -> AsyncIterator[str]:
    """An HTTP server that notes the methods it is asked with; for /slow it waits until it may go on."""

    async def handle(request: web.BaseRequest) -> web.Response:
        received.append(request.method)
        if request.path == "/slow":
            await go_on.wait()
        return web.Response(text="{}")

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [None, b"{}"])
async def test_only_reads_leave_a_process_that_may_not_act(
    leader: Leader, url: str, received: list[str], method: str, body: bytes | None
) -> None:
    async with aiohttp.ClientSession(trace_configs=[fence(leader.check)]) as session:
        await session.request(method, url, data=body)
        leader.leading = False
        for _ in range(2):  # with a connection that was used before, and a new one
            with pytest.raises(NotLeaderError):
                await session.request(method, url, data=body)
        await session.get(url)
    assert received == [method, "GET"]


async def test_a_request_that_waited_for_a_connection_is_asked_about_when_it_has_one(
    leader: Leader, url: str, received: list[str], go_on: asyncio.Event
) -> None:
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector, trace_configs=[fence(leader.check)]) as session:
        first = asyncio.create_task(session.get(url + "slow"))
        waiting = asyncio.create_task(session.patch(url, data=b"{}"))
        async with asyncio.timeout(5):
            while not received:
                await asyncio.sleep(0.01)
            leader.leading = False
            go_on.set()
            await first
            with pytest.raises(NotLeaderError):
                await waiting
    assert received == ["GET"]


def test_a_process_that_ends_leaves_nothing_to_be_delivered_later() -> None:
    # More than the buffers take, and nobody reads: the kernel has some of it when the process ends.
    program = (
        "import os, socket, sys\n"
        f"from {fencing.__name__} import withdraw\n"
        "connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "connection.setblocking(False)\n"
        "connection.send(bytes(10_000_000))\n"
        "withdraw()\n"
        "os._exit(0)\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        subprocess.run([sys.executable, "-c", program, str(server.getsockname()[1])], check=True, timeout=120)
        connection, _ = server.accept()
        with connection, pytest.raises(ConnectionResetError):
            list(iter(lambda: connection.recv(2**16), b""))
