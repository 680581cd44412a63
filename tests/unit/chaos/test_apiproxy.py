"""The proxy that tests let fail: what it passes on, and that each fault is what it says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from tests.chaos.apiproxy import ApiProxy
from tests.chaos.faults import Answer, Blackhole, Call, Close, Delay, Hold, Moment, every

#: Calls that may fail are PATCHes here: aiohttp's client tries GET, PUT and DELETE again by itself.
POD = "/api/v1/namespaces/a/pods/b"


@dataclass
class Upstream:
    """An API server in name only: it keeps what it gets, and sends the events of `events` to watches."""

    got: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    events: asyncio.Queue[dict[str, Any] | None] = field(default_factory=asyncio.Queue)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.got.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        if "watch" not in request.query:
            return web.json_response({"path": request.path}, status=201 if request.method == "POST" else 200)
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(json.dumps(event).encode() + b"\n")
        return response


@pytest.fixture
async def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def proxy(upstream: Upstream, tmp_path: Path) -> AsyncIterator[ApiProxy]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", upstream.handle)
    async with TestServer(app, handler_cancellation=True) as server:
        kubeconfig = tmp_path / "upstream"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": {"server": str(server.make_url("")).rstrip("/")}}],
            "users": [{"name": "it", "user": {}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }
        kubeconfig.write_text(json.dumps(content))
        async with ApiProxy(kubeconfig) as made:
            yield made
        upstream.events.put_nowait(None)
        left = [task for task in asyncio.all_tasks() if "ApiProxy" in repr(task)]
        assert not left


@pytest.fixture
async def http(proxy: ApiProxy) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(proxy.url) as session:
        yield session


async def test_a_call_is_passed_on_as_it_is_and_recorded(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    headers = {"Authorization": "Bearer it", "Content-Type": "application/json"}
    async with http.post(
        URL("/api/v1/pods?fieldManager=a%2Fb", encoded=True), data=b'{"a": 1}', headers=headers
    ) as answer:
        assert (answer.status, await answer.json()) == (201, {"path": "/api/v1/pods"})
    method, path, sent, body = upstream.got[0]
    assert (method, path, body) == ("POST", "/api/v1/pods?fieldManager=a%2Fb", b'{"a": 1}')
    assert sent["Authorization"] == "Bearer it"
    [call] = proxy.calls
    assert (call.caller, call.method, call.path, call.query) == (
        "operator",
        "POST",
        "/api/v1/pods",
        {"fieldManager": "a/b"},
    )
    assert (call.content_type, call.json(), call.status) == ("application/json", {"a": 1}, 201)
    assert call.mutating
    assert call.forwarded


@pytest.mark.parametrize(
    ("method", "path", "query", "mutating"),
    [
        ("GET", POD, {}, False),
        ("PATCH", POD, {"fieldManager": "x"}, True),
        ("PATCH", POD, {"dryRun": "All"}, False),
        ("DELETE", POD, {}, True),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {}, False),
        ("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, False),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/b", {}, True),
    ],
)
def test_what_changes_nothing_is_not_a_mutating_call(
    method: str, path: str, query: dict[str, str], mutating: bool
) -> None:
    assert Call("operator", method, path, query, "").mutating is mutating


async def test_events_of_a_watch_pass_one_by_one(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with http.get("/api/v1/pods?watch=true", read_bufsize=2**20) as watch:
        for size in (1, 300_000):
            event = {"type": "ADDED", "object": "x" * size}
            upstream.events.put_nowait(event)
            assert json.loads(await watch.content.readline()) == event
        assert [call.watch for call in proxy.watches] == [True]
        upstream.events.put_nowait(None)
        assert await watch.content.read() == b""
    assert not proxy.watches


async def test_an_answer_is_given_in_place_of_the_api_server_as_often_as_asked(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    rule = proxy.add(lambda call: call.mutating, Answer(429, retry_after=7), times=1)
    async with http.get(POD) as read:
        assert read.status == 200
    async with http.patch(POD) as refused:
        assert (refused.status, refused.headers["Retry-After"]) == (429, "7")
        status = await refused.json()
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "TooManyRequests", 429)
    async with http.patch(POD) as second:
        assert second.status == 200
    assert [call.status for call in rule.hits] == [429]
    assert [method for method, *_ in upstream.got] == ["GET", "PATCH"]


async def test_an_answer_can_be_lost_after_the_work_was_done(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    with proxy.add(every, Close(), moment=Moment.AFTER), pytest.raises(aiohttp.ServerDisconnectedError):
        await http.patch(POD)
    assert [method for method, *_ in upstream.got] == ["PATCH"]
    assert [(call.forwarded, call.status) for call in proxy.calls] == [(True, None)]


async def test_a_held_call_goes_on_when_it_is_released(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    with proxy.add(every, Hold()) as hold:
        asking = asyncio.create_task(http.patch(POD))
        assert (await hold.hit()).method == "PATCH"
        assert not upstream.got
    assert (await asking).status == 200
    await proxy.wait_for(lambda call: call.status == 200)


async def test_a_held_call_of_a_caller_that_ended_is_never_passed_on(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    with proxy.add(every, Hold()) as hold:
        asking = asyncio.create_task(http.patch(POD))
        await hold.hit()
        asking.cancel()
        await asyncio.wait({asking})
        async with asyncio.timeout(5):
            while any(connection.transport for connection in proxy._web.connections):
                await asyncio.sleep(0)
    async with http.get(POD) as later:
        assert later.status == 200
    assert [method for method, *_ in upstream.got] == ["GET"]


async def test_a_delayed_call_takes_its_time(proxy: ApiProxy, http: aiohttp.ClientSession) -> None:
    with proxy.add(every, Delay(0.2)):
        began = time.monotonic()
        async with http.get(POD) as answer:
            assert answer.status == 200
    assert time.monotonic() - began >= 0.2


async def test_a_blackhole_swallows_requests_and_freezes_open_watches(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream
) -> None:
    async with http.get("/api/v1/pods?watch=true") as watch:
        with proxy.add(every, Blackhole()) as hole:
            upstream.events.put_nowait({"type": "ADDED"})
            asking = asyncio.create_task(http.patch(POD))
            await hole.hit()
            event = asyncio.create_task(watch.content.readline())
            await asyncio.wait({asking, event}, timeout=0.2)
            assert not asking.done()
            assert not event.done()
        assert json.loads(await event) == {"type": "ADDED"}
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await asking
    assert [method for method, *_ in upstream.got] == ["GET"]


async def test_connections_are_refused_while_the_api_server_is_away(
    proxy: ApiProxy, http: aiohttp.ClientSession
) -> None:
    async with http.get("/api/v1/pods?watch=true") as watch, proxy.away():
        with pytest.raises(aiohttp.ClientPayloadError):
            await watch.content.readline()
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(POD)
    async with http.get(POD) as answer:
        assert answer.status == 200


async def test_open_watches_can_be_ended_and_expired(proxy: ApiProxy, http: aiohttp.ClientSession) -> None:
    for path, end, last in (("/a", proxy.cut, None), ("/b", proxy.expire, 410)):
        async with http.get(f"{path}?watch=true") as watch:
            assert end(lambda call: call.path == "/elsewhere") == 0
            assert end(lambda call, path=path: call.path == path) == 1
            said = await watch.content.read()
            assert (json.loads(said)["object"]["code"] if said else None) == last


async def test_waiting_for_a_call_that_never_comes_tells_the_last_ones(
    proxy: ApiProxy, http: aiohttp.ClientSession
) -> None:
    async with http.get(POD):
        pass
    with pytest.raises(AssertionError, match=f"operator: GET {POD}: 200"):
        await proxy.wait_for(lambda call: call.method == "PUT", seconds=0.05)


async def test_nothing_is_left_when_it_ends_amid_work(
    proxy: ApiProxy, http: aiohttp.ClientSession, upstream: Upstream, tmp_path: Path
) -> None:
    async with ApiProxy(tmp_path / "upstream") as second, aiohttp.ClientSession(second.url) as other:
        watch = await other.get("/api/v1/pods?watch=true")
        rule = second.add(lambda call: call.method == "PATCH", Hold())
        asking = asyncio.create_task(other.patch(POD))
        await rule.hit()
        before = time.monotonic()
    assert time.monotonic() - before < 1
    with pytest.raises(aiohttp.ClientConnectionError):
        await asking
    watch.close()
    assert "PATCH" not in [method for method, *_ in upstream.got]
