"""What is kept of a request when it is over: a line of the request log, and metrics. Written by `edge`."""

import logging
import time
from functools import cached_property

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from prometheus_client import CollectorRegistry, Gauge, Histogram
from starlette.types import Scope

from biospark_api.services import Services

log = logging.getLogger("biospark_api.requests")

UNMATCHED = "unmatched"
"""Route label of requests that fit no route: an attacker's paths must not become time series."""

_PROBES = frozenset({"/healthz", "/readyz"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestMetrics:
    """The metrics of requests, in an own registry: several applications in one process do not collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.in_flight = 0
        self._duration = Histogram(
            "biospark_api_request_duration_seconds",
            "Time from the first byte of a request's head to the last byte of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        # Looked up for each request; as many as there are series.
        self._series: dict[tuple[str, str, int | str], Histogram] = {}
        Gauge(
            "biospark_api_requests_in_flight", "Requests that are being answered.", registry=self.registry
        ).set_function(lambda: self.in_flight)

    def observe(self, method: str, route: str, status: int | str, seconds: float) -> None:
        """Count a request that is over."""
        series = self._series.get((method, route, status))
        if series is None:
            series = self._series[method, route, status] = self._duration.labels(method, route, str(status))
        series.observe(seconds)

    def watch(self, services: Services) -> None:
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


_USUAL = vars(log.makeRecord(log.name, logging.INFO, __file__, 0, "request", (), None))


class RequestRecord(logging.LogRecord):
    """A record of the request log.

    What the library finds out anew for each record, process, thread and the line that logged, is the same for all of
    these, and takes longer than everything else that is done about a request when it is over.
    """

    def __init__(self, level: int, method: str, route: str, status: int | str, seconds: float) -> None:
        self.__dict__.update(_USUAL)
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.created = time.time()
        self.msecs = self.created % 1 * 1000
        self.method = method
        self.route = route
        self.status = status
        self.duration_ms = round(seconds * 1000, 3)


def log_request(method: str, route: str, status: int | str, seconds: float) -> None:
    """Write a line of the request log; probes only at the level of debugging."""
    level = logging.DEBUG if route in _PROBES else logging.INFO
    if log.isEnabledFor(level):
        log.handle(RequestRecord(level, method, route, status, seconds))
