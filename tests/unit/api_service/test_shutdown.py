"""A stop loses no request: a real process, real connections, a real signal.

A request is held open by sending its body late. `Expect: 100-continue` tells when the service waits for the body,
so nothing here depends on how fast the machine is.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

LAUNCHER = Path(__file__).with_name("stoppable_service.py")
HEAD = b"POST /count HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"


class Service:
    """A running process of the service."""

    def __init__(self, drain_seconds: float, shutdown_seconds: int = 20) -> None:
        settings = {
            "BIOSPARK_PORT": "0",
            "BIOSPARK_METRICS_PORT": "0",
            "BIOSPARK_DRAIN_SECONDS": str(drain_seconds),
            "BIOSPARK_SHUTDOWN_SECONDS": str(shutdown_seconds),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(LAUNCHER)], env=os.environ | settings, stdout=subprocess.PIPE, text=True
        )
        listening = [self.await_record("Listening") for _ in ("api", "metrics")]
        self.ports = {record["serves"]: record["port"] for record in listening}

    def await_record(self, message: str) -> dict[str, Any]:
        """The next log record with this message."""
        assert self.process.stdout
        for line in self.process.stdout:
            record: dict[str, Any] = json.loads(line)
            if record["message"] == message:
                return record
        raise AssertionError(f"the service ended without logging {message!r}")

    def get(self, path: str, serves: str = "api") -> tuple[int, str]:
        """Status and body, over a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[serves], timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def open_request(self) -> socket.socket:
        """A request whose body the service is waiting for."""
        connection = socket.create_connection(("127.0.0.1", self.ports["api"]), timeout=5)
        connection.sendall(HEAD)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        return connection

    def ask_to_stop(self) -> None:
        """Send the stop signal and wait until it was noticed."""
        self.process.send_signal(signal.SIGTERM)
        self.await_record("Draining")


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    """Starts services and leaves none behind."""
    services: list[Service] = []

    def started(*arguments: Any) -> Service:
        services.append(Service(*arguments))
        return services[-1]

    yield started
    for service in services:
        service.process.kill()
        service.process.communicate()


def _finish(connection: socket.socket) -> bytes:
    connection.sendall(b"abc")
    with connection, connection.makefile("rb") as answer:
        return answer.read()


def test_draining_service_is_not_ready_but_serves_until_the_last_answer(
    start: Callable[..., Service],
) -> None:
    service = start(60)
    held = service.open_request()
    assert service.get("/readyz")[0] == 200
    service.ask_to_stop()
    assert service.get("/readyz")[0] == 503
    assert service.get("/healthz")[0] == 200
    assert "biospark_api_requests_in_flight 1.0" in service.get("/metrics", "metrics")[1]
    service.process.send_signal(signal.SIGTERM)  # the second one skips the rest of the drain time
    answer = _finish(held)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert answer.endswith(b"3")
    assert service.process.wait(5) == 0


def test_request_that_is_open_after_the_drain_time_still_gets_its_answer(
    start: Callable[..., Service],
) -> None:
    service = start(0)
    held = service.open_request()
    service.ask_to_stop()
    service.await_record("Closing")
    with pytest.raises(ConnectionError):
        _until_refused(service)
    assert _finish(held).startswith(b"HTTP/1.1 200 ")
    assert service.process.wait(5) == 0


def _until_refused(service: Service) -> None:
    for _ in range(1000):
        service.get("/healthz")


def test_request_that_never_ends_is_given_up_after_the_time_limit(start: Callable[..., Service]) -> None:
    service = start(0, 1)
    with service.open_request():
        service.ask_to_stop()
        assert service.process.wait(5) == 0


def test_failed_start_ends_the_process_without_its_reason_in_the_log() -> None:
    settings = {"BIOSPARK_PORT": "0", "BIOSPARK_METRICS_PORT": "0"}
    ended = subprocess.run(
        [sys.executable, str(LAUNCHER), "broken"], env=os.environ | settings, capture_output=True, text=True
    )
    assert ended.returncode == 3
    assert "RuntimeError" in ended.stdout
    assert "hunter2" not in ended.stdout + ended.stderr
