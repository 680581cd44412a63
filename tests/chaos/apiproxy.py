"""A proxy between an operator process and the API server, on which tests record calls and let them fail.

`async with ApiProxy(kubeconfig) as proxy:` listens on the loopback, plain HTTP; give the operator
`proxy.kubeconfig(directory)`. Everything is forwarded, watches event by event, with the caller's token if it sends
one, else with the client certificate of `kubeconfig`. `proxy.calls` has all calls in the order in which they came.
What can go wrong, and when, is in `faults`. Upgraded connections (exec, port-forward) are not supported.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Self

import aiohttp
from aiohttp import web
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config
from multidict import CIMultiDict
from yarl import URL

from tests.chaos.faults import Answer, Call, Ledger, Matches, Moment, every, failure

#: Headers that are about one connection, or that the next one sets itself.
_HOP_BY_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
#: Bytes that a request or one event of a watch may have at most.
_LIMIT = 2**24


class ApiProxy(Ledger):
    """One proxy. Replicas that shall fail apart get one each, told apart by `Call.caller`."""

    def __init__(self, kubeconfig: str | Path, caller: str = "operator") -> None:
        super().__init__()
        self.caller = caller
        self.port = 0
        self._upstream = str(kubeconfig)
        self._streams: dict[Call, asyncio.Future[bytes | None]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        settings = kube.Configuration()
        await kube_config.load_kube_config(config_file=self._upstream, client_configuration=settings)
        self._server = settings.host
        # The API server believes a certificate before a token, so a caller with a token must not have ours.
        self._anonymous = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        self._certified = ssl.create_default_context(cafile=settings.ssl_ca_cert)
        if settings.cert_file:
            self._certified.load_cert_chain(settings.cert_file, settings.key_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            read_bufsize=_LIMIT,
        )
        self._stack.push_async_callback(self._session.close)
        self._web = web.Server(self._handle, request_factory=_request, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(self._web, shutdown_timeout=1)
        await self._runner.setup()
        self._stack.push_async_callback(self._runner.cleanup)
        self._stack.callback(self.clear)
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._site.stop()
        self.drop()
        await asyncio.sleep(0)  # that cancels the handlers, before calls that are held could go on
        await self._stack.aclose()

    # What tests see

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kubeconfig(self, directory: Path, token: str | None = None) -> str:
        """Write a kubeconfig that points here and return its path; with `token` the caller is who that says."""
        path = directory / f"{self.caller}-{self.port}.kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": self.url}}],
            "users": [{"name": self.caller, "user": {"token": token} if token else {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": self.caller}}],
            "current-context": "proxy",
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(content))
        return str(path)

    def drop(self) -> None:
        """Break every open connection, whatever goes on there."""
        for connection in self._web.connections:
            if connection.transport is not None:
                connection.transport.abort()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Be away for the length of a block: open connections are broken, new ones are refused."""
        await self._site.stop()
        self.drop()
        try:
            yield
        finally:
            await self._listen()

    def cut(self, matches: Matches = every) -> int:
        """End open watches as the API server does when their time is over; return how many there were."""
        return self._end(matches, None)

    def expire(self, matches: Matches = every) -> int:
        """Tell open watches that their resourceVersion is too old, and end them; return how many there were."""
        error = {"type": "ERROR", "object": failure(410, "too old resource version: 1 (2)")}
        return self._end(matches, json.dumps(error).encode() + b"\n")

    @property
    def watches(self) -> Sequence[Call]:
        """The watches that are open."""
        return list(self._streams)

    # How it works

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = Call(self.caller, request.method, request.path, dict(request.query), request.content_type)
        call.body = body if call.mutating else b""
        self.came(call)
        try:
            if refusal := await self.suffer(call, Moment.BEFORE, partial(_broken, request)):
                return self._refused(call, refusal)
            call.forwarded = True
            bearer = "Authorization" in request.headers
            async with self._session.request(
                request.method,
                URL(self._server + request.raw_path, encoded=True),
                headers=_passed_on(request.headers),
                data=body or None,
                ssl=self._anonymous if bearer else self._certified,
                allow_redirects=False,
            ) as answer:
                if call.watch and answer.status == 200:
                    return await self._stream(call, request, answer)
                content = await answer.read()
            if refusal := await self.suffer(call, Moment.AFTER, partial(_broken, request)):
                return self._refused(call, refusal)
            call.status = answer.status
            return web.Response(status=answer.status, headers=_passed_on(answer.headers), body=content)
        except aiohttp.ClientError:
            await _broken(request)
        finally:
            self.changed()

    def _refused(self, call: Call, answer: Answer) -> web.Response:
        call.status = answer.status
        headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
        return web.json_response(answer.body, status=answer.status, headers=headers)

    async def _stream(self, call: Call, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        """Pass events on until the API server, the caller or a test ends the watch."""
        if refusal := await self.suffer(call, Moment.AFTER, partial(_broken, request)):
            return self._refused(call, refusal)
        response = web.StreamResponse(headers=_passed_on(answer.headers))
        await response.prepare(request)
        call.status = answer.status
        end = self._streams[call] = asyncio.get_running_loop().create_future()
        self.changed()
        passing = asyncio.create_task(self._pass_on(call, answer, response))
        try:
            await asyncio.wait({passing, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._streams[call]
            passing.cancel()
            await asyncio.wait({passing})
        if end.done() and (last := end.result()):
            await response.write(last)
        await response.write_eof()
        return response

    async def _pass_on(self, call: Call, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            async for event in answer.content:
                while hole := self.swallowing(call):
                    await hole.removed()
                await response.write(event)

    def _end(self, matches: Matches, last: bytes | None) -> int:
        ended = [end for call, end in self._streams.items() if matches(call) and not end.done()]
        for end in ended:
            end.set_result(last)
        return len(ended)


async def _broken(request: web.BaseRequest) -> NoReturn:
    """End the connection of a request without an answer; the handler ends here, too."""
    if request.transport is not None:
        request.transport.abort()
    while True:
        await asyncio.get_running_loop().create_future()  # the server cancels the handler of a lost connection


def _passed_on(headers: Any) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LIMIT)
