"""Answers leave in one piece, and nothing of them is lost when the connection closes."""

import asyncio
from typing import Any

import uvicorn
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from biospark_api.connections import impatient_protocol


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

    def close(self) -> None:
        self.closed.set()


async def _answered(request: bytes) -> RecordedTransport:
    """The connection after a request whose answer is `hello`, once it is over."""
    over = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await PlainTextResponse("hello")(scope, receive, send)
        over.set()

    config = uvicorn.Config(app, lifespan="off", log_config=None)
    protocol = impatient_protocol(5)(config, ServerState(), {})
    transport = RecordedTransport()
    protocol.connection_made(transport)
    protocol.data_received(request)
    await over.wait()
    await asyncio.sleep(0)  # the turn of the loop in which it answered is over
    return transport


async def test_head_and_body_of_an_answer_leave_together() -> None:
    (answer,) = (await _answered(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n")).written
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nhello")


async def test_answer_leaves_before_its_connection_is_closed() -> None:
    transport = await _answered(b"GET / HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n")
    assert transport.closed.is_set()
    assert b"".join(transport.written).endswith(b"\r\n\r\nhello")
