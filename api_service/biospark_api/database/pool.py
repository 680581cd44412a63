"""The pool of connections: dynamic credentials, time limits, nothing waits without bound.

Connections are in autocommit: a read is one statement and needs no transaction. What writes more than one
statement opens a transaction itself.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from biospark_api.database import types
from biospark_api.database.connection import Connection
from biospark_api.database.errors import ShareInUseError, is_lost
from biospark_api.database.sockets import Sockets
from biospark_api.settings import Settings
from biospark_api.shares import Shares, ShareTakenError, current_holder
from biospark_api.sources import Secrets


class _Lease:
    """A connection of the pool, for a while."""

    def __init__(self, pool: "Pool", timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._holder = current_holder.get()

    async def __aenter__(self) -> Connection:
        pool = self._pool
        if self._holder is None:
            self._connection = await pool.getconn(self._timeout)
            return self._connection
        if not pool.shares.take_at_once(self._holder):
            try:
                await pool.shares.take(self._holder, seconds=self._timeout or pool.timeout)
            except ShareTakenError:
                raise ShareInUseError from None
        try:
            self._connection = await pool.getconn(self._timeout)
        except BaseException:
            pool.shares.give_back(self._holder)
            raise
        return self._connection

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if error is not None and isinstance(error, psycopg.Error):
                await self._pool.doubt(self._connection, error)
            await self._pool.putconn(self._connection)
        finally:
            if self._holder is not None:
                self._pool.shares.give_back(self._holder)


class Pool(AsyncConnectionPool[Connection]):
    """Connections in autocommit, which have nothing to commit or roll back when they are returned: to ask costs as
    much as the rest of the exchange.

    Each caller gets a share of them: who waits for long statements does not keep the others waiting.
    """

    shares: Shares
    """What each caller has of the connections."""
    patience: float
    """Seconds within which an exchange with the server must be over."""
    sockets: Sockets | None = None
    """What its connections wait with, while it is open."""
    _doubted = 0.0

    async def open(self, wait: bool = False, timeout: float = 30.0) -> None:  # noqa: ASYNC109 - psycopg's signature
        """Begin to connect."""
        self.sockets = Sockets(self.patience)
        await super().open(wait, timeout)

    async def doubt(self, connection: Connection, error: psycopg.Error) -> None:
        """Drop the idle connections, too, if an error says that the server behind one is gone, or not what it was."""
        if not (connection.closed or is_lost(error) or isinstance(error, psycopg.errors.ReadOnlySqlTransaction)):
            return
        await connection.close()
        if connection.since >= self._doubted:  # else somebody did it since
            self._doubted = time.monotonic()
            await self.drain()

    async def close(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - psycopg's signature
        """Close all connections; statements that are under way fail."""
        await super().close(timeout)
        if self.sockets is not None:
            self.sockets.close()

    def connection(self, timeout: float | None = None) -> _Lease:  # type: ignore[override]  # is a context, too
        """A connection as a context; raises PoolTimeout when none becomes free in time."""
        return _Lease(self, timeout)


_CONNECT_SECONDS = 3
_GRACE_SECONDS = 1.0
"""How long the server may take to end a statement that is over its time."""
_LARGE = 8
"""From so many connections on two are kept for the service itself."""
# Give up soon: a later request begins anew at once, while an attempt that goes on waits longer and longer.
_RECONNECT_SECONDS = 3.0


def create_pool(settings: Settings, secrets: Secrets) -> Pool:
    """A pool that is not open yet. Raises RuntimeError with psycopg's pure Python implementation (ten times slower)."""
    if psycopg.pq.__impl__ == "python":
        raise RuntimeError("psycopg has no compiled implementation here; install psycopg[binary]")
    # They log each use of a connection, at info.
    logging.getLogger("psycopg.pool").setLevel(logging.WARNING)

    async def arguments() -> dict[str, Any]:
        return await _arguments(settings, secrets)

    limits = _limits(settings)

    async def configure(connection: Connection) -> None:
        types.register(connection)
        async with asyncio.timeout(_CONNECT_SECONDS):
            await connection.execute(limits, prepare=False)
        connection.sockets = pool.sockets
        connection.since = time.monotonic()

    pool = Pool(
        kwargs=arguments,
        connection_class=Connection,
        configure=configure,
        min_size=min(2, settings.database_pool_size),
        max_size=settings.database_pool_size,
        open=False,
        timeout=settings.database_wait_seconds,
        max_waiting=settings.database_pool_size * 20,
        max_lifetime=1800,
        reconnect_timeout=_RECONNECT_SECONDS,
        name="api",
    )
    pool.shares = _shares(settings.database_pool_size)
    pool.patience = settings.database_statement_seconds + _GRACE_SECONDS
    return pool


@asynccontextmanager
async def connected(settings: Settings, secrets: Secrets) -> AsyncIterator[Connection]:
    """A connection of its own, with the limits of the others. Raises psycopg's errors and `SourceError`."""
    async with await Connection.connect(**await _arguments(settings, secrets)) as connection:
        types.register(connection)
        await connection.execute(_limits(settings), prepare=False)
        yield connection


async def _arguments(settings: Settings, secrets: Secrets) -> dict[str, Any]:
    # Read for each connection: a Secret may have been exchanged since the last look at it.
    credentials = await secrets.database.read()
    return _fixed_arguments(settings) | {"user": credentials.user, "password": credentials.password}


def _limits(settings: Settings) -> str:
    """What gives a session its settings. They are no parameters of the connection: poolers take none."""
    statement_ms = int(settings.database_statement_seconds * 1000)
    limits = {
        "TimeZone": "'UTC'",
        "statement_timeout": statement_ms,
        "lock_timeout": statement_ms // 2,
        "idle_in_transaction_session_timeout": statement_ms * 2,
    }
    return "; ".join(f"SET {name} = {value}" for name, value in limits.items())


def _fixed_arguments(settings: Settings) -> dict[str, Any]:
    return {
        "host": settings.database_host,
        "port": settings.database_port,
        "dbname": settings.database_name,
        "sslmode": settings.database_ssl_mode,
        **({"sslrootcert": settings.database_ca_path} if settings.database_ca_path else {}),
        "application_name": f"biospark-api/{settings.environment}",
        "connect_timeout": _CONNECT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 10_000,
        "autocommit": True,
        "row_factory": dict_row,
        "prepare_threshold": 1 if settings.database_prepared_statements else None,
    }


def _shares(size: int) -> Shares:
    """What callers get of a pool. Together they leave something to readiness and audit log, and one who is alone uses
    most of it, as an integration that speaks for a whole hospital does, but leaves something to the next.
    """
    total = max(1, size - (2 if size >= _LARGE else 1))
    return Shares(each=max(1, min(size * 2 // 3, total - 1)), total=total)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection with a transaction open; committed at the end, rolled back on an exception."""
    async with pool.connection() as connection, connection.transaction():
        yield connection
