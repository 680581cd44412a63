"""The connections of clients: limits of time and size for the head of a request, and answers in one packet. Used
by `server`.

uvicorn waits forever for a client that opens a connection and says nothing, or one letter a minute: a few
thousand of those would leave no file descriptor for anybody else. And it keeps a head of any size in memory.
It writes head and body of an answer one after the other, which uvloop sends at once: two calls of the kernel, two
packets, and a client that wakes up twice.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGEST = 65_536
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\nconnection: close\r\n\r\n"
    b"The request head is too large."
)


class _Gathered:
    """A transport of uvloop whose writes of one turn of the event loop leave together."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send soon, after what waits already."""
        if not self._waiting:
            self._loop.call_soon(self._write)
        self._waiting.append(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self._write()
        self._transport.close()

    def _write(self) -> None:
        if self._waiting and not self.is_closing():
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()


def impatient_protocol(seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol that closes connections whose head takes longer than `seconds`, or more than 64 KiB."""

    class ImpatientProtocol(HttpToolsProtocol):
        _patience: asyncio.TimerHandle | None = None
        _received = 0
        _in_head = True

        def connection_made(self, transport: Any) -> None:
            gathered: Any = _Gathered(transport, self.loop)
            super().connection_made(gathered)
            self._begin()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if not self._in_head:
                self._received = 0
                return
            if self._patience is None:  # most heads come whole and need no timer
                self._begin()
            self._received += len(data)
            if self._received > _LARGEST and not self.transport.is_closing():
                self.transport.write(_TOO_LARGE)
                self.transport.close()

        def on_message_begin(self) -> None:
            # Also the next head of a connection; between two requests the keep-alive time counts.
            self._in_head = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._end()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def _begin(self) -> None:
            self._patience = self.loop.call_later(seconds, self._give_up)

        def _end(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

        def _give_up(self) -> None:
            self._patience = None
            if self.transport is not None and not self.transport.is_closing():
                self.transport.close()

    return ImpatientProtocol
