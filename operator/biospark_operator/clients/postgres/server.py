"""Talks to PostgreSQL servers: reads, transactions, logins. Used by the database component.

There is one `Server` per address and administrator (see `servers`), and it opens a few connections at once at most,
whatever the number of environments on it. Connections are kept for a few seconds for whoever comes next and then
closed, so that none is left behind. psycopg's own pool is not used because it says of a failed connection only
that time ran out: whether the password, the certificate or the address is wrong is what users need to know.

Connect directly, or through a pooler that pools sessions: settings of a session must last. They are set by a statement
of their own, as PgBouncer refuses them as parameters of the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from psycopg import sql
from psycopg.rows import dict_row

from biospark_operator.api.v1alpha1.database import SslMode
from biospark_operator.clients.bulkhead import Bulkhead
from biospark_operator.clients.fencing import MayAct
from biospark_operator.clients.memory_file import in_memory
from biospark_operator.clients.postgres.address import MAINTENANCE, SSL_MODES, Address, Login
from biospark_operator.clients.postgres.connecting import AsyncConnection, Connection
from biospark_operator.clients.postgres.errors import FAULTS, translated, unreachable
from biospark_operator.clients.postgres.session import LOCK, STATEMENT, Session
from biospark_operator.engine.errors import OutsideError, UnavailableError

Result = TypeVar("Result")

#: Seconds that an unused connection is kept.
IDLE = 5.0
#: Seconds that connecting may take.
CONNECT = 5.0
#: Seconds in which nobody tries to connect to a server that did not answer.
DOWN = 3.0
_SETTINGS = {
    "statement_timeout": f"{STATEMENT:.0f}s",
    "lock_timeout": f"{LOCK:.0f}s",
    "idle_in_transaction_session_timeout": "60s",
    # Functions of others are never found before those of PostgreSQL.
    "search_path": "pg_catalog",
}


class Server:
    """One server as one administrator sees it. Safe for use by many tasks at once."""

    def __init__(self, address: Address, admin: Login, limit: int, may_act: MayAct) -> None:
        self.address, self.admin = address, admin
        #: Asked before everything that changes something; whoever works `in_thread` asks by itself.
        self.may_act = may_act
        self._turns = Bulkhead(limit, self._busy)
        self._limit = limit
        self._open = 0
        self._idle: list[tuple[float, str, Session]] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._down: tuple[float, str] | None = None
        self._authority = in_memory(address.authority)

    @asynccontextmanager
    async def session(self, database: str = MAINTENANCE) -> AsyncIterator[Session]:
        """Lend a connection of the administrator to a database."""
        async with self._turns.turn():
            session = await self._taken(database)
            try:
                yield session
            finally:
                if session.usable:
                    self._turns.answered()
                    self._idle.append((time.monotonic(), database, session))
                    self._expect_sweep()
                else:
                    await self._closed(session)

    async def try_login(self, login: Login, database: str) -> None:
        """Log in as somebody else, to see that it works. Raises `LoginRefusedError` where it does not."""
        async with self._turns.turn():
            await self._make_room()
            await self._closed(await self._connected(login, database))

    async def in_thread(
        self, login: Login, database: str, work: Callable[[Connection], Result], **settings: str
    ) -> Result:
        """Do `work` over a connection of its own, in a thread: for libraries that know nothing of asyncio.

        `settings` are those of the session, by their names in PostgreSQL. Connecting raises the errors of the
        engine, `work` what it likes. When the caller is cancelled the connection is closed, which ends the work.
        """
        held: list[Connection] = []

        def run() -> Result:
            with self._connected_blocking(login, database, settings) as connection:
                held.append(connection)
                return work(connection)

        async with self._turns.turn():
            await self._make_room()
            self._open += 1
            task = asyncio.create_task(asyncio.to_thread(run))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                for connection in held:
                    connection.cancel()
                with contextlib.suppress(Exception):
                    await task
                raise
            finally:
                self._open -= 1

    def _connected_blocking(self, login: Login, database: str, settings: Mapping[str, str]) -> Connection:
        connection = None
        try:
            connection = Connection.connect(
                **self._parameters(login, database),
                connect_timeout=int(CONNECT),
                autocommit=True,
                prepare_threshold=None,
            )
            connection.execute(_set({**_SETTINGS, **settings}))
        except FAULTS as error:
            if connection is not None:
                connection.close()
            raise self._refusal(error, database) from None
        return connection

    async def forget(self, database: str) -> None:
        """Close what is open and unused to a database, which is about to be dropped."""
        mine = [entry for entry in self._idle if entry[1] == database]
        self._idle = [entry for entry in self._idle if entry[1] != database]
        for _, _, session in mine:
            await self._closed(session)

    @property
    def forgotten(self) -> bool:
        """Whether nobody asked for it for long: its credentials or its certificate were replaced."""
        return self._open == 0 and self._turns.forgotten

    def drop(self) -> None:
        """Let go of what is kept beside connections."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._authority is not None:
            os.close(self._authority)
            self._authority = None

    async def close(self) -> None:
        """Close every connection that nobody uses."""
        idle, self._idle = self._idle, []
        for _, _, session in idle:
            await self._closed(session)
        self.drop()

    def _busy(self) -> UnavailableError:
        return UnavailableError(
            f"could not get a connection to {self.address}: all {self._limit} that the operator allows itself are "
            "busy; retrying"
        )

    async def _taken(self, database: str) -> Session:
        for index in range(len(self._idle) - 1, -1, -1):
            if self._idle[index][1] == database:
                _, _, session = self._idle.pop(index)
                if session.usable and await self._alive(session):
                    return session
                await self._closed(session)
                break
        await self._make_room()
        return await self._connected(self.admin, database)

    async def _alive(self, session: Session) -> bool:
        """Whether a kept connection still is one: the server may have been restarted."""
        try:
            await session.rows("reach the server", "SELECT 1")
        except OutsideError:
            return False
        return True

    async def _make_room(self) -> None:
        if self._open >= self._limit and self._idle:
            await self._closed(self._idle.pop(0)[2])

    async def _connected(self, login: Login, database: str) -> Session:
        where = str(self.address)
        if self._down is not None and time.monotonic() < self._down[0]:
            raise UnavailableError(self._down[1])
        self._open += 1
        connection = None
        try:
            async with asyncio.timeout(CONNECT):
                connection = await AsyncConnection.connect(
                    **self._parameters(login, database), autocommit=True, prepare_threshold=None, row_factory=dict_row
                )
                await connection.execute(_set(_SETTINGS))
        except BaseException as error:
            self._open -= 1
            if connection is not None:
                await connection.close()
            if not isinstance(error, FAULTS):
                raise
            problem = self._refusal(error, database)
            if unreachable(problem):
                self._down = (time.monotonic() + DOWN, problem.message)
            raise problem from None
        self._down = None
        return Session(connection, where, self.may_act)

    def _refusal(self, error: Exception, database: str) -> OutsideError:
        plain = self.address.ssl_mode is SslMode.DISABLE
        return translated(error, f"connect to database {database}", str(self.address), plain=plain)

    def _parameters(self, login: Login, database: str) -> dict[str, Any]:
        authority = {} if self._authority is None else {"sslrootcert": f"/proc/self/fd/{self._authority}"}
        return {
            "host": self.address.host,
            "port": self.address.port,
            "user": login.user,
            "password": login.password,
            "dbname": database,
            "sslmode": SSL_MODES[self.address.ssl_mode],
            # The password itself is never sent, whatever the server asks for, nor what MD5 makes of it.
            "require_auth": "scram-sha-256",
            "gssencmode": "disable",
            "application_name": "biospark-operator",
            "client_encoding": "utf8",
            "tcp_user_timeout": int(STATEMENT * 1000),
            **authority,
        }

    async def _closed(self, session: Session) -> None:
        self._open -= 1
        await session.close()

    def _expect_sweep(self) -> None:
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(IDLE, self._swept)

    def _swept(self) -> None:
        self._sweep = None
        now = time.monotonic()
        old = [entry for entry in self._idle if now - entry[0] >= IDLE]
        self._idle = [entry for entry in self._idle if now - entry[0] < IDLE]
        for _, _, session in old:
            task = asyncio.get_running_loop().create_task(self._closed(session))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        if self._idle:
            self._expect_sweep()


def _set(settings: Mapping[str, str]) -> sql.Composed:
    """Return what gives a session its settings. They are no parameters of the connection: poolers take none."""
    assigned = (sql.SQL("SET {} = {}").format(sql.Identifier(key), sql.Literal(text)) for key, text in settings.items())
    return sql.SQL("; ").join(assigned)
