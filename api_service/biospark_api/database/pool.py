"""The pool of connections: dynamic credentials, time limits, nothing waits without bound.

Connections are in autocommit: a read is one statement and needs no transaction. What writes more than one
statement opens a transaction itself.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import starmap
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import Params
from psycopg.rows import DictRow, TupleRow, dict_row, tuple_row
from psycopg_pool import AsyncConnectionPool

from biospark_api.database import types
from biospark_api.settings import Settings
from biospark_api.sources import Secrets

Row = Any
"""A row of a list: an object with the columns as attributes, which msgspec writes as JSON."""


class Connection(AsyncConnection[DictRow]):
    """A connection in autocommit. A cursor is kept, with what it has learned about types: fetch the rows of a statement
    before you execute the next.
    """

    _cursor: AsyncCursor[DictRow] | None = None
    _list_cursor: AsyncCursor[TupleRow] | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._row_classes: dict[str, type] = {}

    async def execute(self, query: Any, params: Params | None = None, **options: Any) -> AsyncCursor[DictRow]:
        """The cursor, after a statement."""
        self._cursor = self._cursor or self.cursor()
        return await self._cursor.execute(query, params, **options)

    async def rows(self, query: str, params: Params) -> list[Row]:
        """All rows of a list. Dictionaries would take seven times as long to make."""
        self._list_cursor = self._list_cursor or self.cursor(row_factory=tuple_row)
        await self._list_cursor.execute(query, params)
        made = self._row_classes.get(query)
        if made is None:
            columns = self._list_cursor.description or []
            made = self._row_classes[query] = msgspec.defstruct("Row", [column.name for column in columns])
        return list(starmap(made, await self._list_cursor.fetchall()))


class _Lease:
    """A connection of the pool, for a while."""

    def __init__(self, pool: "Pool", timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout

    async def __aenter__(self) -> Connection:
        self._connection = await self._pool.getconn(self._timeout)
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._pool.putconn(self._connection)


class Pool(AsyncConnectionPool[Connection]):
    """Connections in autocommit, which have nothing to commit or roll back when they are returned: to ask costs as
    much as the rest of the exchange.
    """

    def connection(self, timeout: float | None = None) -> _Lease:  # type: ignore[override]  # is a context, too
        """A connection as a context; raises PoolTimeout when none becomes free in time."""
        return _Lease(self, timeout)


# Give up soon: a later request begins anew at once, while an attempt that goes on waits longer and longer.
_RECONNECT_SECONDS = 3.0


def create_pool(settings: Settings, secrets: Secrets) -> Pool:
    """A pool that is not open yet. Raises RuntimeError with psycopg's pure Python implementation (ten times slower)."""
    if psycopg.pq.__impl__ == "python":
        raise RuntimeError("psycopg has no compiled implementation here; install psycopg[binary]")
    # They log each use of a connection, at info.
    logging.getLogger("psycopg.pool").setLevel(logging.WARNING)

    async def arguments() -> dict[str, Any]:
        # Read for each connection: a Secret may have been exchanged since the last look at it.
        credentials = await secrets.database.read()
        return _fixed_arguments(settings) | {"user": credentials.user, "password": credentials.password}

    return Pool(
        kwargs=arguments,
        connection_class=Connection,
        configure=_configure,
        min_size=min(2, settings.database_pool_size),
        max_size=settings.database_pool_size,
        open=False,
        timeout=settings.database_wait_seconds,
        max_waiting=settings.database_pool_size * 20,
        max_lifetime=1800,
        reconnect_timeout=_RECONNECT_SECONDS,
        name="api",
    )


def _fixed_arguments(settings: Settings) -> dict[str, Any]:
    statement_ms = int(settings.database_statement_seconds * 1000)
    limits = {
        "TimeZone": "UTC",
        "statement_timeout": statement_ms,
        "lock_timeout": statement_ms // 2,
        "idle_in_transaction_session_timeout": statement_ms * 2,
    }
    return {
        "host": settings.database_host,
        "port": settings.database_port,
        "dbname": settings.database_name,
        "sslmode": settings.database_ssl_mode,
        **({"sslrootcert": settings.database_ca_path} if settings.database_ca_path else {}),
        "application_name": f"biospark-api/{settings.environment}",
        "connect_timeout": 3,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "tcp_user_timeout": 10_000,
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        "autocommit": True,
        "row_factory": dict_row,
        "prepare_threshold": 1 if settings.database_prepared_statements else None,
    }


async def _configure(connection: Connection) -> None:
    types.register(connection)


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection with a transaction open; committed at the end, rolled back on an exception."""
    async with pool.connection() as connection, connection.transaction():
        yield connection
