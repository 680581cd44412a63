"""Request ids, the request log and the request metrics, in one pass around each request. Installed by `app`.

Pure ASGI instead of Starlette's `BaseHTTPMiddleware`, which costs a task and 0.2 to 0.4 ms per request. Log
and metrics name the route's template (`/api/v1/patients/{id}`): paths hold ids and query strings hold names,
so neither is ever written down.
"""

import logging
import time
from collections.abc import Callable
from functools import cached_property

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from prometheus_client import CollectorRegistry, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from biospark_api.correlation import HEADER, accept_or_create, current_request_id
from biospark_api.services import Services

log = logging.getLogger("biospark_api.requests")

UNMATCHED = "unmatched"
"""Route label of requests that fit no route: an attacker's paths must not become time series."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = frozenset({"/healthz", "/readyz"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestMetrics:
    """The metrics of requests, in an own registry: several applications in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.duration = Histogram(
            "biospark_api_request_duration_seconds",
            "Time from the first byte of a request's head to the last byte of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "biospark_api_requests_in_flight", "Requests that are being answered.", registry=self.registry
        )

    def observe(self, services: Services) -> None:
        """Also tell what waits inside of the service."""
        for name, text, value in (
            (
                "audit_entries_waiting",
                "Entries of the audit log that are not written yet.",
                lambda: services.audit.waiting,
            ),
            ("audit_entries_dropped", "Refusals that the full audit log left out.", lambda: services.audit.lost),
            ("passwords_waiting", "Passwords that wait for their check.", lambda: services.passwords.waiting),
            ("database_connections", "Open connections.", lambda: services.pool.get_stats()["pool_size"]),
            ("database_requests_waiting", "Waiting for one.", lambda: services.pool.get_stats()["requests_waiting"]),
        ):
            Gauge(f"biospark_api_{name}", text, registry=self.registry).set_function(value)


class RouteTemplates:
    """Finds the template of a served request, with the prefixes of all routers it was included through."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    @cached_property
    def _by_endpoint(self) -> dict[object, str]:
        # Built at the first request, when the application is complete.
        routes = iter_route_contexts(self._app.routes)
        return {route.endpoint: route.path_format for route in routes if route.path_format}

    def of(self, scope: Scope) -> str:
        """The template; the router has put the endpoint into `scope` when a path matched."""
        return self._by_endpoint.get(scope.get("endpoint"), UNMATCHED)


class RequestObserver:
    """The outermost layer of the application: what it sees is what the client gets."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        templates: RouteTemplates,
        metrics: RequestMetrics,
        draining: Callable[[], bool],
    ) -> None:
        self.app = app
        self.templates = templates
        self.metrics = metrics
        self.draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = Headers(scope=scope).get(HEADER)
        token = current_request_id.set(accept_or_create(offered))
        try:
            await self._observe(scope, receive, send)
        finally:
            current_request_id.reset(token)

    async def _observe(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = "aborted"  # stays so when the request is cancelled before an answer

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
                self._mark(MutableHeaders(scope=message))
            await send(message)

        start = time.perf_counter()
        with self.metrics.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, observed_send)
            finally:
                self._record(scope, status, time.perf_counter() - start)

    def _mark(self, headers: MutableHeaders) -> None:
        headers[HEADER] = current_request_id.get() or ""
        if self.draining():
            # A gateway keeps connections open; told so, it opens the next one to a pod that stays.
            headers["Connection"] = "close"

    def _record(self, scope: Scope, status: str, seconds: float) -> None:
        route = self.templates.of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.metrics.duration.labels(method, route, status).observe(seconds)
        level = logging.DEBUG if route in _PROBES else logging.INFO
        if log.isEnabledFor(level):
            extra = {
                "method": method,
                "route": route,
                "status": int(status) if status.isdecimal() else status,
                "duration_ms": round(seconds * 1000, 3),
            }
            # As `log.log` does it, but for the search of the stack for this line, which nobody wants to know.
            log.handle(log.makeRecord(log.name, level, __file__, 0, "request", (), None, extra=extra))
