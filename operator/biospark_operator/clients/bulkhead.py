"""Bounds how many use one server outside of the cluster at once, and sends a crowd away. Used by the server's client.

A few use it, whatever the number of environments on it. Whoever would wait behind a crowd at a server that is slow or
silent is told so at once, so that it never holds up all passes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from biospark_operator.engine.errors import UnavailableError

#: Seconds that waiting for one's turn may take.
TURN = 10.0
#: How many may wait for their turn at a server that has been silent for so many seconds. They are fewer than passes
#: run at once.
WAITING, SILENCE = 10, 2.0
#: Seconds after which what is kept of a server that nobody asks for is dropped.
FORGOTTEN = 600.0


class Bulkhead:
    """The turns at one server, `limit` at once; `busy` is what is raised when there is none."""

    def __init__(self, limit: int, busy: Callable[[], UnavailableError]) -> None:
        self._busy = busy
        self._free = asyncio.Semaphore(limit)
        self._lent = self._waiting = 0
        self._answered = self._asked = time.monotonic()

    async def take(self) -> None:
        """Wait for a turn; it is to be given back."""
        self._asked = time.monotonic()
        if not self._lent:
            self._answered = self._asked
        if self._waiting >= WAITING and self._asked - self._answered > SILENCE:
            raise self._busy()
        self._waiting += 1
        try:
            async with asyncio.timeout(TURN):
                await self._free.acquire()
        except TimeoutError:
            raise self._busy() from None
        finally:
            self._waiting -= 1
        self._lent += 1

    def give_back(self) -> None:
        """End a turn."""
        self._lent -= 1
        self._free.release()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold a turn for as long as the context lasts."""
        await self.take()
        try:
            yield
        finally:
            self.give_back()

    def answered(self) -> None:
        """Note that the server is not silent."""
        self._answered = time.monotonic()

    @property
    def forgotten(self) -> bool:
        """Whether nobody has asked for long, and nobody has a turn: credentials or certificate were replaced."""
        return not self._lent and not self._waiting and time.monotonic() - self._asked > FORGOTTEN
