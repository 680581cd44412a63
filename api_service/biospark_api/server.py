"""Serves the application and its metrics, and ends without losing a request. Called by `main`.

A stop is: not ready at once → go on serving for the drain time, while the cluster takes the pod out of its
endpoints → accept no more connections → open requests finish within the shutdown time → exit code 0. A second
signal skips the rest of the drain time.
"""

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Iterator
from typing import Any, Literal

import uvicorn
import uvloop
from fastapi import FastAPI
from prometheus_client import GCCollector, PlatformCollector, ProcessCollector, make_asgi_app

from biospark_api.http.connections import impatient_protocol
from biospark_api.logs import log_loop_fault
from biospark_api.readiness import Readiness
from biospark_api.settings import Settings

log = logging.getLogger(__name__)

# Longer than gateways keep an idle connection (Kong: 60 s). The side that sends requests must be the one that
# closes, otherwise a request can meet a closing connection and fail.
_KEEP_ALIVE_SECONDS = 75


class ListenError(Exception):
    """An address cannot be listened on; the message says which and why."""


class _NoSuchFamilyError(ListenError):
    """The machine has no addresses of this family."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handling, which knows no drain time and ends the process by the signal."""

    def __init__(self, config: uvicorn.Config, serves: str) -> None:
        super().__init__(config)
        self._serves = serves

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say on which port; it was chosen by the kernel if the setting is 0."""
        await super().startup(sockets)
        for listener in sockets or []:
            log.info("Listening", extra={"serves": self._serves, "port": listener.getsockname()[1]})

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_Stop`."""
        yield


class _Stop:
    """The stop signals: the first asks for a stop, the next for haste."""

    def __init__(self, readiness: Readiness) -> None:
        self.asked = asyncio.Event()
        self.haste = asyncio.Event()
        self._readiness = readiness
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        self._readiness.drain()
        (self.haste if self.asked.is_set() else self.asked).set()


def run(app: FastAPI, settings: Settings) -> None:
    """Serve until a stop signal. Raises `ListenError`; a failed start of the application ends the process."""
    with (
        _bound(settings.host, settings.port, "BIOSPARK_PORT") as api_sockets,
        _bound(settings.host, settings.metrics_port, "BIOSPARK_METRICS_PORT") as metrics_sockets,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(app, settings, api_sockets, metrics_sockets))


async def _serve(
    app: FastAPI, settings: Settings, api_sockets: list[socket.socket], metrics_sockets: list[socket.socket]
) -> None:
    asyncio.get_running_loop().set_exception_handler(log_loop_fault)
    stop = _Stop(app.state.readiness)
    api = _Server(_config(app, "on", settings.shutdown_seconds, settings), "api")
    metrics = _Server(_config(_metrics_app(app), "off", 1, settings), "metrics")
    async with asyncio.TaskGroup() as group:
        group.create_task(metrics.serve(metrics_sockets))
        serving = group.create_task(api.serve(api_sockets))
        await stop.asked.wait()
        await _drain(settings.drain_seconds, stop.haste)
        log.info("Closing", extra={"shutdown_seconds": settings.shutdown_seconds})
        api.should_exit = True
        await serving
        metrics.should_exit = True  # last, so that the drain itself can be watched
    log.info("Stopped")


async def _drain(seconds: float, haste: asyncio.Event) -> None:
    log.info("Draining", extra={"drain_seconds": seconds})
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(haste.wait(), timeout=seconds)


def _config(app: Any, lifespan: Literal["on", "off"], shutdown_seconds: int, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=impatient_protocol(settings.head_seconds, settings.send_seconds),
        ws="none",
        lifespan=lifespan,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # what they say about the client is anyone's word; nothing here needs it
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=shutdown_seconds,
    )


def _metrics_app(app: FastAPI) -> Any:
    registry = app.state.metrics.registry
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return make_asgi_app(registry)


@contextlib.contextmanager
def _bound(host: str, port: int, setting: str) -> Iterator[list[socket.socket]]:
    """Sockets bound to `host`, closed at the end; `::` is every address of the machine, of the families it has.

    One for each family: on a socket for both, clients of IPv4 would have addresses of IPv6, in which nobody writes down
    networks.
    """
    with contextlib.ExitStack() as stack:
        if host != "::":
            yield [stack.enter_context(_bind(host, port, setting))]
            return
        sockets = [stack.enter_context(_bind("0.0.0.0", port, setting))]  # noqa: S104 - asked for
        with contextlib.suppress(_NoSuchFamilyError):
            sockets.append(stack.enter_context(_bind(host, sockets[0].getsockname()[1], setting)))
        yield sockets


def _bind(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoSuchFamilyError(_refusal(host, port, setting, error)) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        # IPv6 may be compiled in and turned off.
        kind = _NoSuchFamilyError if error.errno == errno.EADDRNOTAVAIL else ListenError
        raise kind(_refusal(host, port, setting, error)) from error
    return listener


def _refusal(host: str, port: int, setting: str, error: OSError) -> str:
    return f"cannot listen on {host} port {port} (BIOSPARK_HOST, {setting}): {error.strerror}"
