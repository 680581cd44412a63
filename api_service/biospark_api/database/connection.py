"""A connection as the service uses it: psycopg's, without what it does anew for each statement. Made by `pool`.

For the short statements of a request that is half of their time: a cursor that learns the types of the columns, and a
wait for the answer that the event loop is told of.
"""

import asyncio
import contextlib
from itertools import starmap
from typing import Any, TypeVar

import msgspec
import psycopg
from psycopg import AsyncConnection, AsyncCursor
from psycopg.abc import Params, PQGen
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow, TupleRow, tuple_row
from psycopg.waiting import Ready, Wait

from biospark_api.database.errors import StuckError
from biospark_api.database.sockets import Sockets

Row = Any
"""A row of a list: an object with the columns as attributes, which msgspec writes as JSON."""

_Result = TypeVar("_Result")
_CANCEL_SECONDS = 5.0
_TO_READ, _READABLE = Wait.R, Ready.R  # each look at a member of an enumeration costs as much as a call

_row_classes: dict[str, type] = {}
"""By query, for all connections: the interpreter is fast where the rows of a list are always of one class."""


class Connection(AsyncConnection[DictRow]):
    """A connection in autocommit. Fetch the rows of a statement before you execute the next: its cursor is kept."""

    sockets: Sockets | None = None
    """What it waits with; without them as psycopg does it."""
    since = 0.0
    """When it was made."""
    _cursor: AsyncCursor[DictRow] | None = None
    _list_cursor: AsyncCursor[TupleRow] | None = None

    async def execute(self, query: Any, params: Params | None = None, **options: Any) -> AsyncCursor[DictRow]:
        """The cursor, after a statement."""
        self._cursor = self._cursor or self.cursor()
        return await self._cursor.execute(query, params, **options)

    async def rows(self, query: str, params: Params) -> list[Row]:
        """All rows of a list. Dictionaries would take seven times as long to make.

        A column `fits`, the last one, is for `paging` and not shown.
        """
        self._list_cursor = self._list_cursor or self.cursor(row_factory=tuple_row)
        await self._list_cursor.execute(query, params)
        made = _row_classes.get(query)
        if made is None:
            columns = self._list_cursor.description or []
            fields = [("fits", bool, True) if column.name == "fits" else column.name for column in columns]
            made = msgspec.defstruct("Row", fields, gc=False, omit_defaults=True)
            _row_classes[query] = made
        return list(starmap(made, await self._list_cursor.fetchall()))

    async def close(self) -> None:
        """Close it for good; a statement that waits for its answer fails."""
        if self.sockets is not None and not self.closed:
            self.sockets.wake(self.pgconn.socket)
        await super().close()

    async def wait(
        self,
        gen: PQGen[_Result],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> _Result:
        """Let an exchange of psycopg come to its end. Called by psycopg."""
        if self.sockets is None or timeout is not None:
            return await super().wait(gen, interval, timeout)
        try:
            wanted = next(gen)
            if wanted == _TO_READ:
                deadline = self.sockets.deadline()
                while wanted == _TO_READ:
                    await self.sockets.readable(self.pgconn.socket, deadline)
                    wanted = gen.send(_READABLE)
        except StopIteration as end:
            result: _Result = end.value
            return result
        except TimeoutError:
            self.pgconn.finish()
            raise StuckError("the server did not end a statement in time") from None
        except asyncio.CancelledError:
            await self._give_up(gen)
            raise
        # The server takes no more at present: there is much to send.
        return await super().wait(_resumed(gen, wanted), interval)

    async def _give_up(self, gen: PQGen[Any]) -> None:
        """End a statement that nobody waits for any more. If that fails, the pool closes the connection."""
        with contextlib.suppress(psycopg.Error):
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                await self.cancel_safe(timeout=_CANCEL_SECONDS)
                await super().wait(_resumed(gen, Wait.R), timeout=_CANCEL_SECONDS)


def _resumed(gen: PQGen[_Result], wanted: Wait) -> PQGen[_Result]:
    """An exchange that waits for something already."""
    while True:
        ready = yield wanted
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            result: _Result = end.value
            return result
