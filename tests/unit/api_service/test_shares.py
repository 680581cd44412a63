"""What callers share: nobody takes all, who waits gets it in turn, and what was given up is given back."""

import asyncio

import pytest

from biospark_api.shares import Shares, ShareTakenError


async def test_a_holder_gets_its_share_and_others_theirs() -> None:
    shares = Shares(2)
    for holder in ("one", "one", "two"):
        await shares.take(holder, seconds=0)
    with pytest.raises(ShareTakenError):
        await shares.take("one", seconds=0)
    shares.give_back("one")
    await shares.take("one", seconds=0)
    assert shares.taken == 3


async def test_all_together_get_no_more_than_there_is() -> None:
    shares = Shares(each=6, total=10)
    await shares.take("one", 6, seconds=0)
    await shares.take("two", 4, seconds=0)
    with pytest.raises(ShareTakenError):
        await shares.take("three", 1, seconds=0)


async def test_more_than_a_share_is_for_who_has_nothing_yet() -> None:
    shares = Shares(each=5, total=10)
    await shares.take("one", 20, seconds=0)
    with pytest.raises(ShareTakenError):
        await shares.take("two", 1, seconds=0)
    shares.give_back("one", 20)
    await shares.take("two", 1, seconds=0)
    with pytest.raises(ShareTakenError):
        await shares.take("two", 20, seconds=0)


async def test_who_waits_gets_it_in_turn() -> None:
    shares = Shares(1)
    await shares.take("one", seconds=0)
    order: list[str] = []

    async def waiting(name: str) -> None:
        await shares.take("one", seconds=60)
        order.append(name)
        shares.give_back("one")

    tasks = [asyncio.create_task(waiting(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    shares.give_back("one")
    await asyncio.gather(*tasks)
    assert order == ["first", "second", "third"]
    assert shares.taken == 0


async def test_a_holder_does_not_let_thousands_wait() -> None:
    shares = Shares(1)
    await shares.take("one", seconds=0)
    tasks = [asyncio.create_task(shares.take("one", seconds=60)) for _ in range(200)]
    await asyncio.sleep(0)
    refused = [task for task in tasks if task.done()]
    assert [type(task.exception()) for task in refused] == [ShareTakenError] * 100
    await shares.take("two", seconds=0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_waited_too_long_takes_nothing() -> None:
    shares = Shares(1)
    await shares.take("one", seconds=0)
    with pytest.raises(ShareTakenError):
        await shares.take("one", seconds=0.01)
    shares.give_back("one")
    assert shares.taken == 0
    await shares.take("one", seconds=0)


async def test_who_is_cancelled_in_the_moment_of_getting_it_gives_it_back() -> None:
    shares = Shares(1)
    await shares.take("one", seconds=0)
    waiting = asyncio.create_task(shares.take("one", seconds=60))
    await asyncio.sleep(0)
    shares.give_back("one")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert shares.taken == 0
