"""Comparisons of schemas are made once for all databases with the same schema; servers do not wait for each other."""

from __future__ import annotations

import asyncio

import pytest

from biospark_api.schema import Comparison
from biospark_operator.components.schema import comparisons
from biospark_operator.components.schema.comparisons import Comparisons

FOUND = Comparison(("index i is missing",))


async def test_all_who_ask_at_once_get_what_one_comparison_finds() -> None:
    asked = 0

    async def compare() -> Comparison:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return FOUND

    known = Comparisons()
    assert await asyncio.gather(*(known.of("f", "here", compare) for _ in range(5))) == [FOUND] * 5
    assert asked == 1


async def test_a_slow_server_holds_up_no_other_one() -> None:
    never = asyncio.Event()

    async def slow() -> Comparison:
        await never.wait()
        return FOUND

    async def quick() -> Comparison:
        return FOUND

    known = Comparisons()
    waiting = asyncio.create_task(known.of("f", "slow", slow))
    await asyncio.sleep(0)
    assert await known.of("f", "quick", quick) == FOUND
    never.set()
    assert await waiting == FOUND


async def test_a_comparison_that_fails_is_made_again() -> None:
    async def failing() -> Comparison:
        raise RuntimeError

    async def working() -> Comparison:
        return FOUND

    known = Comparisons()
    with pytest.raises(RuntimeError):
        await known.of("f", "here", failing)
    assert await known.of("f", "here", working) == FOUND


async def test_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "REMEMBERED", 3)

    async def compare() -> Comparison:
        return FOUND

    known = Comparisons()
    for number in range(10):
        await known.of(str(number), "here", compare)
    assert len(known) == 3
