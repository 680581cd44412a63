"""Answers leave in one piece, nothing of them is lost when the connection closes, and offers of an upgrade are
ignored.
"""

import asyncio
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from biospark_api.http.connections import impatient_protocol


class RecordedTransport(asyncio.Transport):
    """What is written to a connection, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = asyncio.Event()

    def write(self, data: Any) -> None:
        assert not self.closed.is_set(), "written after the end"
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closed.set()

    def abort(self) -> None:
        self.closed.set()

    def get_write_buffer_size(self) -> int:
        return 0


async def _answered(request: bytes, sending_seconds: float = 5) -> RecordedTransport:
    """The connection after a request whose answer is `hello`, once it is over."""
    return (await _served(request, sending_seconds))[1]


async def _served(request: bytes, sending_seconds: float) -> tuple[Any, RecordedTransport]:
    over = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("hello")(scope, receive, send)
        over.set()

    config = uvicorn.Config(app, lifespan="off", log_config=None)
    protocol = impatient_protocol(5, sending_seconds)(config, ServerState(), {})
    transport = RecordedTransport()
    protocol.connection_made(transport)
    protocol.data_received(request)
    await over.wait()
    await asyncio.sleep(0)  # the turn of the loop in which it answered is over
    return protocol, transport


async def test_head_and_body_of_an_answer_leave_together() -> None:
    (answer,) = (await _answered(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")).written
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")


async def test_answer_leaves_before_its_connection_is_closed() -> None:
    transport = await _answered(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
    assert transport.closed.is_set()
    assert b"".join(transport.written).endswith(b"\r\n\r\nhello")


async def _echoed(*received: bytes, answers: int) -> tuple[str, RecordedTransport]:
    """What a connection was sent after it received this, once there were so many answers: method, path and body."""
    transport, over = RecordedTransport(), asyncio.Semaphore(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive, send)
        body = (await request.body()).decode()
        await PlainTextResponse(f"<{request.method} {request.url.path} {body}>")(scope, receive, send)
        over.release()

    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    protocol = impatient_protocol(5, 5)(config, ServerState(), {})
    protocol.connection_made(transport)
    for data in received:
        protocol.data_received(data)
    for _ in range(answers):
        await asyncio.wait_for(over.acquire(), 5)
    await asyncio.sleep(0)
    return b"".join(transport.written).decode(), transport


def _offer(protocol: str = "h2c", connection: str = "Upgrade, HTTP2-Settings", path: str = "/a") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: test\r\nConnection: {connection}\r\nUpgrade: {protocol}\r\n"
        "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nContent-Length: 4\r\n\r\nbody"
    ).encode()


NEXT = b"GET /next HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "WebSocket", "h2c, websocket", "TLS/1.3"])
async def test_offer_of_another_protocol_is_ignored_and_its_body_read(protocol: str) -> None:
    said, transport = await _echoed(_offer(protocol) + NEXT, answers=2)
    assert said.count("HTTP/1.1 200 OK\r\n") == said.count("HTTP/1.1") == 2
    assert said.index("<POST /a body>") < said.index("<GET /next >")
    assert not transport.is_closing()


async def test_offer_that_comes_letter_by_letter_is_ignored() -> None:
    said, _ = await _echoed(*(bytes([letter]) for letter in _offer() + NEXT), answers=2)
    assert said.index("<POST /a body>") < said.index("<GET /next >")


async def test_offer_with_a_body_in_chunks_is_ignored() -> None:
    head = (
        b"POST /a HTTP/1.1\r\nHost: test\r\nConnection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    said, _ = await _echoed(head, b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n", NEXT, answers=2)
    assert said.index("<POST /a body>") < said.index("<GET /next >")


async def test_connection_of_an_offer_closes_if_that_is_asked_for() -> None:
    said, transport = await _echoed(_offer(connection="Upgrade, close"), answers=1)
    assert "<POST /a body>" in said
    assert transport.closed.is_set()


async def test_many_offers_at_once_are_answered_one_after_another() -> None:
    many = 2000
    said, _ = await _echoed(b"".join(_offer(path=f"/{number}") for number in range(many)), answers=many)
    assert said.count("HTTP/1.1 200 OK\r\n") == many
    assert said.index("<POST /0 ") < said.index(f"<POST /{many - 1} ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\nHost: api.example.org:443\r\n\r\n", 200),
    ],
)
async def test_request_names_one_host(head: bytes, status: int) -> None:
    said, transport = await _echoed(head, answers=1 if status == 200 else 0)
    assert said.startswith(f"HTTP/1.1 {status} ")
    assert said.count("HTTP/1.1") == 1
    assert transport.is_closing() == (status == 400 or b"HTTP/1.0" in head)


async def test_a_client_that_takes_nothing_of_what_waits_is_given_up() -> None:
    protocol, transport = await _served(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n", 0.01)
    protocol.pause_writing()
    await asyncio.wait_for(transport.closed.wait(), 5)


async def test_a_client_that_takes_it_slowly_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol, transport = await _served(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n", 60)
    begun: list[asyncio.TimerHandle] = []
    call_later = protocol.loop.call_later

    def recorded(*arguments: Any) -> asyncio.TimerHandle:
        begun.append(call_later(*arguments))
        return begun[-1]

    monkeypatch.setattr(protocol.loop, "call_later", recorded)
    for times in range(1, 5):
        protocol.pause_writing()
        assert len(begun) == times, "each pause has a time of its own"
        protocol.resume_writing()
        assert begun[-1].cancelled()
    assert not transport.closed.is_set()
