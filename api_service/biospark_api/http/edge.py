"""The outermost layer, which every request and every answer passes once: request id, request log, metrics,
protective headers, and the 500 of a fault that nothing else handled. Installed by `app`.

It is one layer, outside of the framework, and pure ASGI: what runs after each wait for the database is not in the
processor's caches any more, so a layer costs three times of what it costs in a loop, and Starlette's
`BaseHTTPMiddleware` a task besides. Log and metrics name the route's template (`/api/v1/patients/{id}`): paths hold
ids and query strings hold names, so neither is ever written down.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biospark_api.http.correlation import HEADER, accept_or_create, current_request_id
from biospark_api.http.headers import RawHeader, header
from biospark_api.http.observation import RequestMetrics, RouteTemplates, log_request
from biospark_api.http.problems import problem, problem_response

log = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REQUEST_ID = HEADER.lower().encode()
_CLOSE = (b"connection", b"close")


class Edge:
    """Completes the answers of `app` and writes down how requests ended. HEAD is answered as GET, without the body."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        headers: Iterable[RawHeader],
        templates: RouteTemplates,
        metrics: RequestMetrics,
        draining: Callable[[], bool],
    ) -> None:
        """`headers` are defaults: an answer that sets one itself, as the documentation page does, keeps its own."""
        self.app = app
        self._headers = list(headers)
        self._names = frozenset(name for name, _ in self._headers)
        self._templates = templates
        self._metrics = metrics
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request_id = accept_or_create(header(scope, _REQUEST_ID))
        token = current_request_id.set(request_id)
        try:
            await self._answer(scope, receive, send, request_id)
        finally:
            current_request_id.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        status: int | None = None
        unfinished = False
        is_head = scope["method"] == "HEAD"
        served = {**scope, "method": "GET"} if is_head else scope

        def complete(message: Message) -> Awaitable[None]:
            nonlocal status, unfinished
            if message["type"] == "http.response.start":
                status, unfinished = message["status"], True
                message["headers"] = self._completed(message["headers"], request_id)
            else:
                unfinished = message.get("more_body", False)
                if is_head:
                    message["body"] = b""
            return send(message)

        start = time.perf_counter()
        self._metrics.in_flight += 1
        try:
            await self.app(served, receive, complete)
        except ClientDisconnect:
            # Nobody is there to be answered, and nothing here is at fault.
            log.debug("The client was gone before its request had arrived")
        except Exception:
            log.exception("A request failed")
            if unfinished:
                raise  # the server breaks the connection off, which the client notices
            if status is None:
                await problem_response(problem(500))(scope, receive, complete)
        finally:
            self._metrics.in_flight -= 1
            self._record(scope["method"], served, status, time.perf_counter() - start)

    def _completed(self, own: list[RawHeader], request_id: str) -> list[RawHeader]:
        present = {name for name, _ in own}  # in lower case, as ASGI wants it
        missing = (
            self._headers
            if present.isdisjoint(self._names)
            else [default for default in self._headers if default[0] not in present]
        )
        completed = [*own, *missing, (_REQUEST_ID, request_id.encode())]
        if self._draining() and _CLOSE[0] not in present:
            # A gateway keeps connections open; told so, it opens the next one to a pod that stays.
            completed.append(_CLOSE)
        return completed

    def _record(self, method: str, scope: Scope, status: int | None, seconds: float) -> None:
        route = self._templates.of(scope)
        method = method if method in _METHODS else "other"
        ended = status or "aborted"  # when the request was cancelled before an answer
        self._metrics.observe(method, route, ended, seconds)
        log_request(method, route, ended, seconds)
