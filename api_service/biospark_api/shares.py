"""What all callers share and none may take whole: connections of the database, memory for large bodies and answers.

Who calls is `current_holder`, which `calls` sets for each request: a user, or an address where nobody is logged in.
What the service does for itself has none, and is not limited.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

current_holder: ContextVar[str | None] = ContextVar("current_holder", default=None)
"""Who the present request is for."""


_MOST_WAITING = 100
"""Requests of one holder, each of which is in memory."""


class ShareTakenError(Exception):
    """The caller holds the whole of its share, or all is taken, and none of it became free in time."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    holder: str
    amount: int
    granted: "asyncio.Future[None]"


class Shares:
    """An amount of which each holder gets a share. More than a share can be had by whoever has nothing yet."""

    def __init__(self, each: int, total: int | None = None) -> None:
        self.taken = 0
        self._each = each
        self._total = total
        self._held: dict[str, int] = {}
        self._waiting: list[_Waiting] = []

    async def take(self, holder: str, amount: int = 1, *, seconds: float) -> None:
        """Take an amount, or wait for it; raises `ShareTakenError`. `give_back` it."""
        if self.take_at_once(holder, amount):
            return
        if seconds <= 0 or sum(waiting.holder == holder for waiting in self._waiting) >= _MOST_WAITING:
            raise ShareTakenError
        await self._wait(_Waiting(holder, amount, asyncio.get_running_loop().create_future()), seconds)

    def take_at_once(self, holder: str, amount: int = 1) -> bool:
        """Take an amount unless one has to wait for it; whether it was taken. `give_back` it."""
        fits = self._fits(holder, amount)
        if fits:
            self._add(holder, amount)
        return fits

    def take_beyond(self, holder: str, amount: int = 1) -> None:
        """Take an amount that can't be refused any more."""
        self._add(holder, amount)

    def give_back(self, holder: str, amount: int = 1) -> None:
        """What was taken."""
        self._add(holder, -amount)
        for waiting in tuple(self._waiting):
            if self._fits(waiting.holder, waiting.amount):
                self._waiting.remove(waiting)
                self._add(waiting.holder, waiting.amount)
                waiting.granted.set_result(None)

    async def _wait(self, waiting: _Waiting, seconds: float) -> None:
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(seconds):
                await waiting.granted
        except BaseException as error:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            elif waiting.granted.done() and not waiting.granted.cancelled():
                self.give_back(waiting.holder, waiting.amount)  # it came too late
            if isinstance(error, TimeoutError):
                raise ShareTakenError from None
            raise

    def _fits(self, holder: str, amount: int) -> bool:
        held = self._held.get(holder, 0)
        return (not held or held + amount <= self._each) and (
            self._total is None or not self.taken or self.taken + amount <= self._total
        )

    def _add(self, holder: str, amount: int) -> None:
        self.taken += amount
        held = self._held.get(holder, 0) + amount
        if held:
            self._held[holder] = held
        else:
            del self._held[holder]
