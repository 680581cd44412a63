"""A gateway on sockets of the loopback: Admin API, proxy with and without TLS, and the port for probes.

    async with Gateway() as kong:
        requests.get(f"{kong.admin_url}/status")   # in a thread, as the operator does

What can go wrong is up to the test:

- `kong.admin` and `kong.traffic` have the calls to the Admin API and to the proxy in order, and let them fail by
  `add(matches, fault)`, with the faults of `tests.chaos.faults`: answers of any status, delays, broken connections,
  before or after the call did something;
- `kong.lose_state()` is a database that was restored empty, `kong.away()` a gateway that is down;
- `kong.token` is what the Admin API asks for in `Kong-Admin-Token`, if it is set;
- `kong.propagation_delay` is how many seconds the proxy takes to follow a write; Kong's own is up to 5;
- `Gateway(database="off")` has no database and refuses writes; `seed` configures it;
- `Gateway(admin_tls=context)` has its Admin API behind TLS, with whatever certificate the test wants.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NoReturn, Self

from aiohttp import web
from multidict import CIMultiDict

from tests.chaos.faults import Answer as Planted
from tests.chaos.faults import Call, Ledger, Moment
from tests.fakes.kong.admin import Admin, Answer, Request
from tests.fakes.kong.configuration import Configurations
from tests.fakes.kong.identity import Version
from tests.fakes.kong.information import Information
from tests.fakes.kong.proxy import Incoming, Proxy, upstream_pool
from tests.fakes.kong.store import Store
from tests.fakes.kong.tls import Terminator

_LIMIT = 2**27
_JSON = "application/json; charset=utf-8"
_HTML = "text/html; charset=UTF-8"
_LISTENERS = ("admin", "proxy", "secure", "status")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Gateway:
    """One gateway. `ports` fixes those of the listeners `admin`, `proxy`, `secure` and `status`; others are free ones.

    `database` is "postgres" or "off", `role` "traditional" or "control_plane"; `clock` tells the seconds since the
    epoch, for windows of rate limits, tokens and the delay of the proxy.
    """

    def __init__(
        self,
        version: str = "3.4.2",
        *,
        database: str = "postgres",
        role: str = "traditional",
        clock: Callable[[], float] = time.time,
        ports: Mapping[str, int] | None = None,
        admin_tls: ssl.SSLContext | None = None,
    ) -> None:
        self.version = Version.parse(version)
        self.database, self.role = database, role
        self.clock = clock
        self.ports = dict.fromkeys(_LISTENERS, 0) | dict(ports or {})
        #: The calls to the Admin API and to the proxy, and what shall go wrong with them.
        self.admin, self.traffic = Ledger(), Ledger()
        #: What the Admin API asks for, as Kong Enterprise does; None: nothing.
        self.token: str | None = None
        #: Seconds that the proxy takes to follow a write.
        self.propagation_delay = 0.0
        self._stack = AsyncExitStack()
        self._admin_tls = admin_tls
        self._runners: dict[str, web.ServerRunner] = {}
        self._sites: dict[str, web.TCPSite] = {}
        self._upstream = upstream_pool()
        self.restart_empty()

    def restart_empty(self) -> None:
        """Be as right after a start: without entities and without counters."""
        self.store = Store(self.version, self.clock)
        about = Information(self.version, self.store, str(uuid.uuid4()), self.database, self.role)
        self._admin_api = Admin(self.store, about)
        self._configurations = Configurations(self.store, self.clock, lambda: self.propagation_delay)
        self._configurations.current()
        self._proxy = Proxy(self.version, self._configurations, self._upstream)

    def lose_state(self) -> None:
        """Lose all entities, as when the database is restored empty. Counters stay."""
        self.store.clear()

    def seed(self, collection: str, **fields: Any) -> Mapping[str, Any]:
        """Add an entity past the Admin API, also where that refuses writes."""
        entity = self.store.insert(collection, fields)
        self._configurations.written()
        return entity

    # Where it is

    @property
    def admin_url(self) -> str:
        return f"http{'s' if self._admin_tls else ''}://127.0.0.1:{self.ports['admin']}"

    @property
    def proxy_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['proxy']}"

    @property
    def status_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['status']}"

    async def __aenter__(self) -> Self:
        self._terminator = Terminator(lambda: self._configurations.current())
        handlers: Mapping[str, Handler] = {
            "admin": partial(self._admin_call, lambda request: self._admin_api.answer(request)),
            "status": self._probe,
            "proxy": self._traffic_call,
            "secure": self._traffic_call,
        }
        for name, handler in handlers.items():
            server = web.Server(
                handler, request_factory=_request, handler_cancellation=True, access_log=None, max_line_size=2**17
            )
            runner = web.ServerRunner(server, shutdown_timeout=1)
            await runner.setup()
            self._stack.push_async_callback(runner.cleanup)
            self._runners[name] = runner
            await self._listen(name)
        self._stack.push_async_callback(self._upstream.aclose)
        self._stack.callback(self.admin.clear)
        self._stack.callback(self.traffic.clear)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        """Be down for the length of a block: open connections are broken, new ones are refused."""
        for name, runner in self._runners.items():
            await self._sites[name].stop()
            for connection in runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        try:
            yield
        finally:
            for name in self._runners:
                await self._listen(name)

    async def _listen(self, name: str) -> None:
        runner = self._runners[name]
        context = {"secure": self._terminator.context, "admin": self._admin_tls}.get(name)
        site = web.TCPSite(runner, "127.0.0.1", self.ports[name], ssl_context=context)
        await site.start()
        self._sites[name] = site
        self.ports[name] = runner.addresses[0][1]

    # Calls

    async def _admin_call(self, api: Callable[[Request], Answer], request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        call = Call("admin", request.method, request.path, dict(request.query), request.content_type, body)
        self.admin.came(call)
        try:
            if planted := await self.admin.suffer(call, Moment.BEFORE, partial(_broken, request)):
                return self._written(request, call, _planted(planted), planted.retry_after)
            call.forwarded = True
            if self.token is not None and request.headers.get("Kong-Admin-Token") != self.token:
                message = "Invalid credentials. Token or User credentials required"
                return self._written(request, call, Answer(401, {"message": message}))
            answer = api(Request(request.method, request.raw_path, request.headers.get("Content-Type"), body))
            self._configurations.written()
            if planted := await self.admin.suffer(call, Moment.AFTER, partial(_broken, request)):
                return self._written(request, call, _planted(planted), planted.retry_after)
            return self._written(request, call, answer)
        finally:
            self.admin.changed()

    async def _probe(self, request: web.BaseRequest) -> web.StreamResponse:
        answer = self._admin_api.status_port(Request(request.method, request.raw_path))
        return self._written(request, None, answer, credentials=False)

    def _written(
        self,
        request: web.BaseRequest,
        call: Call | None,
        answer: Answer,
        retry_after: int | None = None,
        *,
        credentials: bool = True,
    ) -> web.Response:
        if call is not None:
            call.status = answer.status
        headers = {
            "Server": self.version.product,
            "Access-Control-Allow-Origin": "*",
            "X-Kong-Admin-Latency": "0",
        }
        if credentials:
            headers["Access-Control-Allow-Credentials"] = "true"
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        if answer.allow is not None:
            headers["Allow"] = headers["Access-Control-Allow-Methods"] = answer.allow
            headers["Access-Control-Allow-Headers"] = "Content-Type"
        if answer.body is None:
            return web.Response(status=answer.status, headers=headers)
        if isinstance(answer.body, str):
            if answer.status == 414:  # nginx answers that before Kong is asked
                headers = {"Server": self.version.product}
            return web.Response(status=answer.status, headers=headers | {"Content-Type": _HTML}, text=answer.body)
        body = json.dumps(answer.body, ensure_ascii=False, separators=(",", ":")).encode()
        return web.Response(status=answer.status, headers=headers | {"Content-Type": _JSON}, body=body)

    async def _traffic_call(self, request: web.BaseRequest) -> web.StreamResponse:
        if (request.headers.get("Expect") or "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.read()
        call = Call("client", request.method, request.path, dict(request.query), request.content_type)
        self.traffic.came(call)
        try:
            if planted := await self.traffic.suffer(call, Moment.BEFORE, partial(_broken, request)):
                return self._written(request, call, _planted(planted), planted.retry_after)
            call.forwarded = True
            answer = await self._proxy.answer(self._incoming(request, body))
            if planted := await self.traffic.suffer(call, Moment.AFTER, partial(_broken, request)):
                return self._written(request, call, _planted(planted), planted.retry_after)
            call.status = answer.status
            return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
        finally:
            self.traffic.changed()

    def _incoming(self, request: web.BaseRequest, body: bytes) -> Incoming:
        transport = request.transport
        connection = transport.get_extra_info("ssl_object") if transport is not None else None
        return Incoming(
            request.method,
            request.raw_path,
            CIMultiDict(request.headers),
            body,
            request.remote or "127.0.0.1",
            self.ports["secure" if connection else "proxy"],
            connection is not None,
            self._terminator.server_name(connection) if connection else None,
        )


def _planted(fault: Planted) -> Answer:
    return Answer(fault.status, {"message": fault.message})


async def _broken(request: web.BaseRequest) -> NoReturn:
    """End the connection of a request without an answer; the handler ends here, too."""
    if request.transport is not None:
        request.transport.abort()
    while True:
        await asyncio.get_running_loop().create_future()  # the server cancels the handler of a lost connection


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_LIMIT)


async def serve(gateway: Gateway, started: Callable[[Gateway], None]) -> None:
    """Run a gateway until it is cancelled."""
    async with gateway:
        started(gateway)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
