"""Who is next: by rank, then first come, first served, and no turn is ever lost."""

from __future__ import annotations

import asyncio

import pytest

from biospark_operator.runtime.turns import Rank, Turns


class Queue:
    """Turns, one at a time, and in which order they were had. Each lasts until `next` ends it."""

    def __init__(self, at_once: int = 1) -> None:
        self.turns = Turns(at_once)
        self.had: list[str] = []
        self._running: list[asyncio.Event] = []

    async def wants(self, name: str, rank: Rank) -> asyncio.Task[None]:
        async def work() -> None:
            async with self.turns.turn(rank):
                self.had.append(name)
                done = asyncio.Event()
                self._running.append(done)
                await done.wait()

        task = asyncio.create_task(work())
        await self._settled()
        return task

    async def next(self) -> None:
        self._running.pop(0).set()
        await self._settled()

    async def _settled(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_what_was_edited_comes_first_and_else_who_waits_longest() -> None:
    queue = Queue()
    await queue.wants("running", Rank.USUAL)
    for name, rank in (("a", Rank.USUAL), ("b", Rank.EDITED), ("c", Rank.USUAL), ("d", Rank.EDITED)):
        await queue.wants(name, rank)
    for _ in range(5):
        await queue.next()
    assert queue.had == ["running", "b", "d", "a", "c"]


async def test_no_more_than_allowed_run_at_once() -> None:
    queue = Queue(at_once=2)
    for name in "abc":
        await queue.wants(name, Rank.USUAL)
    assert queue.had == ["a", "b"]
    await queue.next()
    assert queue.had == ["a", "b", "c"]


async def test_turn_of_who_gave_up_waiting_goes_to_the_next() -> None:
    queue = Queue()
    await queue.wants("running", Rank.USUAL)
    gone = await queue.wants("gone", Rank.EDITED)
    await queue.wants("next", Rank.USUAL)
    gone.cancel()
    await queue.next()
    assert queue.had == ["running", "next"]


async def test_turn_that_comes_with_the_cancellation_is_passed_on() -> None:
    turns = Turns(1)
    async with turns.turn(Rank.USUAL):
        waiting = [asyncio.create_task(_once(turns)) for _ in range(2)]
        await asyncio.sleep(0)
    waiting[0].cancel()  # it has the turn already, and does not know
    await asyncio.wait(waiting)
    assert waiting[0].cancelled()
    async with asyncio.timeout(1), turns.turn(Rank.USUAL):
        pass


async def test_turn_ends_with_the_failure_of_who_had_it() -> None:
    turns = Turns(1)
    with pytest.raises(ZeroDivisionError):
        async with turns.turn(Rank.USUAL):
            _ = 1 / 0
    await asyncio.wait_for(_once(turns), 1)


async def _once(turns: Turns) -> None:
    async with turns.turn(Rank.USUAL):
        pass
