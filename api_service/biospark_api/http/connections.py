"""The connections of clients: limits of time and size for the head of a request, a limit of time for taking an
answer, upgrades that are ignored, and answers in one packet. Used by `server`.

uvicorn waits forever for a client that opens a connection and says nothing, or one letter a minute: a few
thousand of those would leave no file descriptor for anybody else. The same for one that asks and does not read, whose
answer stays in memory. And it keeps a head of any size in memory.
It writes head and body of an answer one after the other, which uvloop sends at once: two calls of the kernel, two
packets, and a client that wakes up twice.

A request may offer to go on with another protocol, as Java's client does with each first one (`Upgrade: h2c`). The
parser then takes what follows the head for that protocol. No upgrade is accepted here, and RFC 9110 (7.8) has an offer
that is not accepted ignored, so such a head is read again without it.
"""

import asyncio
import re
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGEST = 65_536
_DEMANDS_UPGRADE = b"CONNECT"
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 30\r\nconnection: close\r\n\r\n"
    b"The request head is too large."
)


class _Gathered:
    """A transport of uvloop whose writes of one turn of the event loop leave together."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport = transport
        self._loop = loop
        self._seconds = seconds
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
        """Send what waits, then close; a client that does not take it gets no more than its time."""
        self._write()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._loop.call_later(self._seconds, self._transport.abort)

    def _write(self) -> None:
        if self._waiting and not self.is_closing():
            self._transport.write(b"".join(self._waiting))
        self._waiting.clear()


def _refuse_host(hosts: list[bytes], version: str) -> None:
    """Raise ValueError, which is 400, where RFC 9112 (3.2) wants it: one name, which HTTP/1.0 may leave out."""
    if hosts or version != "1.0":
        raise ValueError("the request has no Host, several, or none that could be one")


class _Parser:
    """A parser of requests that reads on, after the head of one that offers an upgrade."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpRequestParser(self._protocol)
        # As uvicorn does: what comes after the last request of a connection is no fault of that request.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.get_method = self._parser.get_method
        self.get_http_version = self._parser.get_http_version
        self.should_keep_alive = self._parser.should_keep_alive
        self.should_upgrade = self._parser.should_upgrade

    def feed_data(self, data: bytes) -> None:
        """Parse what was received; raises httptools' errors."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                if self.get_method() == _DEMANDS_UPGRADE:
                    raise
                data = self._head() + data[offer.args[0] :]
                self._begin()
            else:
                return

    def _head(self) -> bytes:
        """The head that was just read, without the offer."""
        version = self._parser.get_http_version().encode()
        lines = [self._parser.get_method() + b" " + self._protocol.url + b" HTTP/" + version]
        lines += [name + b": " + value for name, value in self._protocol.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])


def impatient_protocol(seconds: float, sending_seconds: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol that closes connections whose head takes longer than `seconds`, or more than 64 KiB, and
    those that take nothing of what waits for them within `sending_seconds`.
    """

    class ImpatientProtocol(HttpToolsProtocol):
        _patience: asyncio.TimerHandle | None = None
        _stalled: asyncio.TimerHandle | None = None
        _received = 0
        _in_head = True
        _is_offer = False

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.parser: Any = _Parser(self)

        def connection_made(self, transport: Any) -> None:
            gathered: Any = _Gathered(transport, self.loop, sending_seconds)
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
            self._is_offer = self.parser.should_upgrade() and self.parser.get_method() != _DEMANDS_UPGRADE
            if self._is_offer:
                return  # the head comes again
            self._in_head = False
            self._end()
            hosts = [value for name, value in self.headers if name == b"host"]
            if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
                _refuse_host(hosts, self.parser.get_http_version())
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            if not self._is_offer:
                super().on_message_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._stalled = self.loop.call_later(sending_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._go_on()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            self._go_on()
            super().connection_lost(exc)

        def _go_on(self) -> None:
            if self._stalled is not None:
                self._stalled.cancel()
                self._stalled = None

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
