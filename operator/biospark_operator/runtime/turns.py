"""Says who is next when more environments wait for a pass than are worked on at once. Used by `loop`.

By rank, then first come, first served. Without ranks, who edits an environment would wait behind a hundred new ones
for a first word. There is no rank for those that were begun: they would be looked at more often before they are ready,
and all of them would be ready later.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import IntEnum


class Rank(IntEnum):
    """How soon it is an environment's turn."""

    #: Somebody changed its specification and looks at what becomes of it.
    EDITED = 0
    #: Time has come, something it owns changed, or it is new.
    USUAL = 1


class Turns:
    """A bounded number of turns at the same time."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._numbers = itertools.count()
        self._waiting: list[tuple[Rank, int, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, rank: Rank) -> AsyncIterator[None]:
        """Wait for a turn, and hold it for as long as the context lasts."""
        if self._free:
            self._free -= 1
        else:
            await self._handed_over(rank)
        try:
            yield
        finally:
            self._hand_over()

    async def _handed_over(self, rank: Rank) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._numbers), mine))
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._hand_over()  # it came at the moment at which nobody wanted it any more
            raise

    def _hand_over(self) -> None:
        """Give a turn that has ended to who is next, if anybody still waits."""
        while self._waiting:
            *_, next_ = heapq.heappop(self._waiting)
            if not next_.done():
                next_.set_result(None)
                return
        self._free += 1
