"""Secrets that are referred to: how often they are read, and that what is told is never older than the watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.client import Change, Listing
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.clients.kubernetes.watched_secrets import WatchedSecrets

A = ObjectRef("v1", "Secret", "biospark-system", "a")


def secret(version: int) -> dict[str, Any]:
    return {"metadata": {"name": "a", "resourceVersion": str(version)}, "data": {"of": str(version)}}


class Client:
    """Answers with what a test puts into `live`, and plays a watch of metadata from a queue that None ends."""

    def __init__(self) -> None:
        self.live: dict[ObjectRef, Manifest] = {}
        self.reads = 0
        self.news: asyncio.Queue[Listing | Change | None] = asyncio.Queue()

    async def get(self, ref: ObjectRef) -> Manifest | None:
        self.reads += 1
        return self.live.get(ref)

    async def follow(
        self, api_version: str, kind: str, *, namespace: str, only_metadata: bool
    ) -> AsyncIterator[Listing | Change]:
        assert (api_version, kind, namespace, only_metadata) == ("v1", "Secret", "biospark-system", True)
        while (news := await self.news.get()) is not None:
            yield news


class Watched:
    """Secrets and their watch, and the names that were told to have changed."""

    def __init__(self) -> None:
        self.client, self.told = Client(), list[str]()
        self.secrets = WatchedSecrets(self.client, "biospark-system", self.told.append)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.secrets.follow())

    async def hears(self, news: Listing | Change | None) -> None:
        self.client.news.put_nowait(news)
        while not self.client.news.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def data(self, ref: ObjectRef = A) -> str | None:
        found = await self.secrets.get(ref)
        return found["data"]["of"] if found else None


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    one = Watched()
    one.client.live[A] = secret(1)
    yield one
    one.task.cancel()
    await asyncio.wait([one.task])


def shown(version: int) -> Manifest:
    return {"metadata": secret(version)["metadata"]}


async def test_secret_is_read_once_for_all_who_refer_to_it(watched: Watched) -> None:
    await watched.hears(Listing("1", [shown(1)]))
    assert [await watched.data() for _ in range(3)] == ["1"] * 3
    assert watched.client.reads == 1


async def test_secret_that_changed_is_read_again(watched: Watched) -> None:
    await watched.hears(Listing("1", [shown(1)]))
    await watched.data()
    watched.client.live[A] = secret(2)
    await watched.hears(Change(shown(2), gone=False))
    assert [await watched.data() for _ in range(2)] == ["2", "2"]
    assert watched.client.reads == 2
    assert watched.told == ["a", "a"]


async def test_what_was_read_before_the_change_was_shown_does_not_stay(watched: Watched) -> None:
    await watched.hears(Listing("1", [shown(1)]))
    watched.client.live[A] = secret(2)
    assert await watched.data() == "2"  # newer than what the watch shows
    watched.client.live[A] = secret(3)
    await watched.hears(Change(shown(2), gone=False))
    await watched.hears(Change(shown(3), gone=False))
    assert await watched.data() == "3"


async def test_secret_that_was_deleted_is_gone(watched: Watched) -> None:
    await watched.hears(Listing("1", [shown(1)]))
    await watched.data()
    del watched.client.live[A]
    await watched.hears(Change(shown(2), gone=True))
    assert await watched.data() is None
    assert watched.told == ["a", "a"]


async def test_without_a_watch_the_api_server_is_asked_each_time(watched: Watched) -> None:
    assert [await watched.data() for _ in range(2)] == ["1", "1"]
    await watched.hears(Listing("1", [shown(1)]))
    await watched.data()
    await watched.hears(None)
    assert watched.task.done()
    watched.client.live[A] = secret(2)
    assert [await watched.data() for _ in range(2)] == ["2", "2"]
    assert watched.client.reads == 4


async def test_what_is_no_secret_of_the_namespace_is_read_as_ever(watched: Watched) -> None:
    elsewhere = ObjectRef("v1", "Secret", "biospark-dev", "a")
    watched.client.live[elsewhere] = secret(7)
    await watched.hears(Listing("1", [shown(1)]))
    assert [await watched.data(elsewhere) for _ in range(2)] == ["7", "7"]
    assert watched.client.reads == 2
