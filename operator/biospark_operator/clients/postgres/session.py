"""One connection to a PostgreSQL server: rows, transactions, verifiers. Lent by `server.Server`.

Identifiers and literals come as `psycopg.sql` values, never as text: DDL takes no parameters.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from biospark_operator.clients.fencing import MayAct
from biospark_operator.clients.postgres.address import Login
from biospark_operator.clients.postgres.errors import FAULTS, translated

#: Seconds that one statement may take, and that it waits for a lock.
STATEMENT, LOCK = 10.0, 5.0
Row = Mapping[str, Any]


class Session:
    """One connection, for as long as `Server.session` lends it."""

    def __init__(self, connection: psycopg.AsyncConnection[dict[str, Any]], where: str, may_act: MayAct) -> None:
        self._connection = connection
        self._where = where
        self._may_act = may_act

    @property
    def usable(self) -> bool:
        """Whether the next one can have it: open, and outside of a transaction."""
        idle = self._connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        return not self._connection.closed and idle

    async def rows(self, purpose: str, query: LiteralString | sql.Composed, *params: Any) -> Sequence[Row]:
        """Return the rows of a query. `purpose` says what for, in messages: "read roles"."""
        try:
            async with asyncio.timeout(STATEMENT + 1):
                cursor = await self._connection.execute(query, params or None)
                return await cursor.fetchall()
        except FAULTS as error:
            raise translated(error, purpose, self._where) from None

    async def run(
        self, purpose: str, statements: Sequence[sql.Composed], *, role: str | None = None, transaction: bool = True
    ) -> None:
        """Execute statements, all or none unless `transaction` is False; `role` is whom to act as.

        A process that may not act any more (see `fencing`) executes nothing, and keeps nothing of what it began.
        """
        try:
            async with asyncio.timeout(STATEMENT * 3), contextlib.AsyncExitStack() as stack:
                if transaction:
                    await stack.enter_async_context(self._connection.transaction())
                if role is not None:
                    await self._connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                for statement in statements:
                    self._may_act()
                    await self._connection.execute(statement)
                self._may_act()  # else nothing of the transaction is kept
        except FAULTS as error:
            raise translated(error, purpose, self._where) from None

    def verifier(self, login: Login) -> str:
        """Return what a server keeps of a password: it is all that is ever sent."""
        made = self._connection.pgconn.encrypt_password(login.password.encode(), login.user.encode(), b"scram-sha-256")
        return made.decode()

    async def close(self) -> None:
        """Close the connection, also one that is in the middle of something."""
        with contextlib.suppress(*FAULTS):
            await self._connection.close()
