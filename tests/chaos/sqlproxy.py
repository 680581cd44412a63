"""A proxy between an operator process and PostgreSQL, on which tests record statements and let them fail.

`async with SqlProxy(host, port, ledger) as proxy:` listens on the loopback; give the operator `proxy.port`, without
TLS. Each statement is a `Call` in the ledger, which may be that of an `ApiProxy`: one list then has all that the
operator does outside. The path of a call is its text, without what is random in it, and for a COMMIT what it keeps.
An answer is passed on when it is whole, so that a kill can come before the operator knows it. Of the faults, `Answer`
is one of HTTP and does nothing here.

Known of the protocol (version 3) is what statements need: messages of a type and a length, queries that are sent as
text or are prepared, and that the server says when it is ready for the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import NoReturn, Self

from tests.chaos.faults import SQL_READ, SQL_WRITE, Call, Ledger, Moment

#: How a statement begins that changes nothing by itself. What is not committed was never there.
_READING = re.compile(r"(BEGIN|ROLLBACK|SAVEPOINT|RELEASE|SELECT|SET|RESET|SHOW|WITH|DISCARD|DEALLOCATE)\b", re.I)
#: What is random in a statement: verifiers of passwords, uids, times.
_RANDOM = re.compile(
    r"SCRAM-SHA-256\$[^'\"\s]+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d(?::?\d\d)?)?"
)
_LOCK_NUMBER = re.compile(r"(advisory\w*\()-?\d+")
_LENGTH = struct.Struct("!I")
#: Messages that a statement is prepared with, and with which the server says that it is ready for the next one.
_PARSE, _READY = b"P", b"Z"


@dataclass(eq=False)
class _Connection:
    """Both directions of one connection, and what is known of it."""

    client: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    server: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    login: dict[str, str]
    #: Prepared statements by name, the one without a name included.
    prepared: dict[bytes, str] = field(default_factory=dict)
    #: What the transaction that is open changes.
    written: set[str] = field(default_factory=set)
    #: Statements that were sent and whose answer is not whole yet.
    pending: list[Call] = field(default_factory=list)

    def abort(self) -> None:
        for _, writer in (self.client, self.server):
            writer.transport.abort()

    async def broken(self) -> NoReturn:
        self.abort()
        while True:
            await asyncio.get_running_loop().create_future()  # both directions are cancelled when they end


class SqlProxy:
    """One proxy before one server. `caller` is what `Call.caller` says."""

    def __init__(self, host: str, port: int, ledger: Ledger, caller: str = "operator") -> None:
        self.port = 0
        self._upstream = host, port
        self._ledger = ledger
        self._caller = caller
        self._connections: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.drop()
        await self._server.wait_closed()

    def drop(self) -> None:
        """Break every open connection, whatever goes on there."""
        for connection in self._connections:
            connection.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            start = await _packet(reader)
            upstream = await asyncio.open_connection(*self._upstream)
            upstream[1].write(start)
            connection = _Connection((reader, writer), upstream, _login(start))
            await self._pass_on(connection)
        writer.transport.abort()

    async def _pass_on(self, connection: _Connection) -> None:
        self._connections.add(connection)
        directions = [asyncio.create_task(work(connection)) for work in (self._requests, self._answers)]
        ending = [asyncio.create_task(_closed(writer)) for _, writer in (connection.client, connection.server)]
        try:
            await asyncio.wait([*directions, *ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._connections.discard(connection)
            connection.abort()
            for task in (*directions, *ending):
                task.cancel()
            await asyncio.wait([*directions, *ending])

    async def _requests(self, connection: _Connection) -> None:
        reader, writer = connection.client[0], connection.server[1]
        async for kind, message in _messages(reader):
            if kind == _PARSE:
                name, text, *_ = message[5:].split(b"\0")
                connection.prepared[name] = text.decode()
            elif text_ := _statement(kind, message, connection):
                call = self._call(text_, message, connection)
                self._ledger.came(call)
                await self._ledger.suffer(call, Moment.BEFORE, connection.broken)
                call.forwarded = True
                connection.pending.append(call)
            writer.write(message)
            await writer.drain()

    async def _answers(self, connection: _Connection) -> None:
        reader, writer = connection.server[0], connection.client[1]
        kept = bytearray()
        async for kind, message in _messages(reader):
            kept += message
            if kind == _READY:
                for call in connection.pending:
                    await self._ledger.suffer(call, Moment.AFTER, connection.broken)
                    call.status = 200
                connection.pending.clear()
                self._ledger.changed()
            if not connection.pending:
                writer.write(bytes(kept))
                await writer.drain()
                kept.clear()

    def _call(self, text: str, message: bytes, connection: _Connection) -> Call:
        path = _LOCK_NUMBER.sub(r"\1…", _RANDOM.sub("…", " ".join(text.split())))
        method = SQL_READ if _READING.match(path) else SQL_WRITE
        if path == "BEGIN":
            connection.written = set()
        elif path == "COMMIT":
            method = SQL_WRITE if connection.written else SQL_READ
            # Statements may come in any order, as the server tells roles in any.
            path = f"COMMIT of {min(connection.written, default='nothing')}"
        elif method == SQL_WRITE:
            connection.written.add(path)
        return Call(self._caller, method, path, connection.login, "application/sql", body=message)


def _statement(kind: bytes, message: bytes, connection: _Connection) -> str:
    """Return the text of the statement that a message has executed, empty if it has none executed."""
    match kind:
        case b"Q":
            return message[5:-1].decode()
        case b"B":
            _, name, _ = message[5:].split(b"\0", 2)
            return connection.prepared.get(name, "")
    return ""


def _login(start: bytes) -> dict[str, str]:
    """Return the parameters of a connection, such as user and database, as its first packet says."""
    words = [word.decode() for word in start[8:].split(b"\0")]
    return {key: value for key, value in zip(words[::2], words[1::2], strict=False) if key in {"user", "database"}}


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(4)
    return head + await reader.readexactly(_LENGTH.unpack(head)[0] - 4)


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """Yield the type of each message, and the whole of it."""
    while kind := await reader.read(1):
        yield kind, kind + await _packet(reader)


async def _closed(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
