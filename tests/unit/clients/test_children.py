"""What is answered from memory, what is asked for, and which changes are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.children import NEW, Children
from biospark_operator.clients.kubernetes.client import Change, Listing
from biospark_operator.clients.kubernetes.errors import MissingError
from biospark_operator.clients.kubernetes.objects import NEVER, Manifest, ObjectRef
from biospark_operator.engine.errors import UnavailableError

A = ObjectRef("v1", "Service", "ns", "a")
POD = ObjectRef("v1", "Pod", "ns", "a")


def service(version: int, name: str = "a", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


class Client:
    """Answers with what a test puts into `live`, and plays a watch from a queue."""

    def __init__(self) -> None:
        self.live: dict[ObjectRef, Manifest] = {}
        self.asked: list[ObjectRef] = []
        self.news: asyncio.Queue[Listing | Change | Exception | None] = asyncio.Queue()
        self.applied: Callable[[], None] = lambda: None
        self.version = 100
        self.refusal: Exception | None = None

    async def get(self, ref: ObjectRef) -> Manifest | None:
        self.asked.append(ref)
        return self.live.get(ref)

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        self.applied()
        if self.refusal:
            raise self.refusal
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self.version)}}

    async def delete(self, ref: ObjectRef, *, uid: str, foreground: bool = False) -> None:
        self.live.pop(ref, None)

    async def follow(self, api_version: str, kind: str, *, labels: str) -> AsyncIterator[Listing | Change]:
        assert (api_version, kind, labels) == ("v1", "Service", "x=y")
        while (news := await self.news.get()) is not None:
            if isinstance(news, Exception):
                raise news
            yield news


class Followed:
    """Children that are followed, and what they told."""

    def __init__(self) -> None:
        self.client = Client()
        self.told: list[tuple[int | None, int | None]] = []
        self.now = 0.0
        self.children = Children(
            self.client,  # type: ignore[arg-type]
            [("v1", "Service")],
            "x=y",
            self._changed,
            monotonic=lambda: self.now,
        )
        self.task = asyncio.create_task(self.children.follow("v1", "Service"))

    def _changed(self, before: Manifest | None, after: Manifest | None) -> None:
        def version(live: Manifest | None) -> int | None:
            return int(live["metadata"]["resourceVersion"]) if live else None

        self.told.append((version(before), version(after)))

    async def hears(self, *news: Listing | Change) -> None:
        for one in news:
            self.client.news.put_nowait(one)
        while not self.client.news.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def ends(self, trouble: Exception | None) -> None:
        self.client.news.put_nowait(trouble)
        await asyncio.wait([self.task])

    async def begins_anew(self) -> None:
        self.task = asyncio.create_task(self.children.follow("v1", "Service"))

    async def version(self) -> int | None:
        """Return the resourceVersion that `get` answers for `a`."""
        live = await self.children.get(A)
        return int(live["metadata"]["resourceVersion"]) if live else None


@pytest.fixture
async def followed() -> AsyncIterator[Followed]:
    one = Followed()
    yield one
    one.task.cancel()
    await asyncio.wait([one.task])


def listing(version: int, *items: Manifest) -> Listing:
    return Listing(str(version), items)


async def test_what_was_listed_is_not_asked_for_again(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    assert await followed.version() == 3
    assert followed.client.asked == []


async def test_a_list_of_several_pages_counts_when_it_is_complete(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    await followed.ends(None)
    await followed.begins_anew()
    await followed.hears(Listing("9", [service(8, "b")], last=False))
    assert not followed.children.watched("v1", "Service")
    assert followed.told == [(None, 3), (None, 8)]  # `a` may be on a later page
    await followed.hears(Listing("9", [service(8, "c")]))
    assert followed.children.watched("v1", "Service")
    assert followed.told == [(None, 3), (None, 8), (None, 8), (3, None)]


async def test_what_is_not_there_and_what_is_no_child_is_asked_for(followed: Followed) -> None:
    followed.client.live = {A: service(9), POD: service(9)}
    await followed.hears(listing(5))
    assert await followed.version() == 9, "it may be foreign, without our label"
    assert await followed.children.get(POD) == service(9)
    assert followed.client.asked == [A, POD]


async def test_nobody_is_trusted_before_the_first_list_and_after_an_interruption(followed: Followed) -> None:
    followed.client.live = {A: service(9)}
    assert await followed.version() == 9
    await followed.hears(listing(5, service(3)))
    assert await followed.version() == 3
    await followed.ends(UnavailableError("cut"))
    assert await followed.version() == 9
    with pytest.raises(UnavailableError):
        followed.task.result()


async def test_every_kind_is_listed_before_it_counts_as_synced(followed: Followed) -> None:
    waiting = asyncio.create_task(followed.children.synced())
    await asyncio.sleep(0)
    assert not waiting.done()
    assert not followed.children.watched("v1", "Service")
    await followed.hears(listing(5))
    await waiting
    assert followed.children.watched("v1", "Service")


async def test_a_change_is_told_with_what_was_before(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)), Change(service(6, a=1), gone=False), Change(service(7), gone=True))
    assert followed.told == [(None, 3), (3, 6), (6, None)]
    assert len(followed.children) == 0


async def test_our_own_write_is_read_at_once_and_its_echo_is_not_told(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    followed.told.clear()
    await followed.children.apply(service(0), force=True)
    assert await followed.version() == 100
    await followed.hears(Change(service(100), gone=False))
    assert followed.told == []
    await followed.hears(Change(service(101), gone=False))
    assert followed.told == [(100, 101)]


async def test_an_echo_that_is_faster_than_the_answer_is_not_told_but_what_follows_is(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    followed.told.clear()

    def heard() -> None:
        followed.client.news.put_nowait(Change(service(100), gone=False))
        followed.client.news.put_nowait(Change(service(101, a=1), gone=False))

    followed.client.applied = heard
    await followed.children.apply(service(0), force=True)
    await followed.hears()
    assert followed.told == [(100, 101)]
    assert await followed.version() == 101


async def test_what_happens_during_an_apply_that_fails_is_not_lost(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    followed.told.clear()

    def fails() -> None:
        followed.children._happened(Change(service(8), gone=True))
        raise UnavailableError("no answer")

    followed.client.applied = fails
    with pytest.raises(UnavailableError):
        await followed.children.apply(service(0), force=True)
    assert followed.told == [(3, None)]


async def test_a_dry_run_changes_nothing_here(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    await followed.children.apply(service(0), force=True, dry_run=True)
    assert await followed.version() == 3


async def test_after_a_deletion_the_api_server_is_asked_whether_it_is_gone(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    followed.client.live = {}
    await followed.children.delete(A, uid="u")
    assert await followed.version() is None
    await followed.hears(Change(service(6), gone=True))
    assert followed.told[-1] == (6, None), "who waits for the deletion is woken"


async def test_what_our_own_write_makes_no_child_any_more_is_forgotten(followed: Followed) -> None:
    await followed.hears(listing(5, service(3)))
    await followed.children.apply(service(0), force=True)
    await followed.hears(Change(service(100), gone=True))
    followed.client.live = {A: service(120)}
    assert await followed.version() == 120, "who released it must see what others make of it"


async def test_a_deletion_that_was_missed_is_found_by_the_next_list(followed: Followed) -> None:
    await followed.hears(listing(5, service(3), service(4, "b")))
    await followed.ends(None)
    await followed.begins_anew()
    await followed.hears(listing(9, service(4, "b")))
    assert followed.told[-1] == (3, None)
    assert len(followed.children) == 1


async def test_what_was_applied_after_a_list_was_made_is_not_taken_for_deleted(followed: Followed) -> None:
    await followed.children.apply(service(0), force=True)
    await followed.hears(listing(50))
    assert await followed.version() == 100
    assert followed.told == []


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns", "resourceVersion": NEVER}}


async def test_nothing_is_asked_for_in_a_namespace_that_was_created_here_a_moment_ago(followed: Followed) -> None:
    await followed.hears(listing(5))
    await followed.children.apply(NAMESPACE, force=False)
    assert await followed.version() is None
    assert await followed.children.get(POD) is None
    assert followed.client.asked == [POD], "what is not watched is asked for"
    followed.now = NEW
    assert await followed.version() is None
    assert followed.client.asked == [POD, A]


@pytest.mark.parametrize("how", ["applied", "unwatched", "refused", "deleted"])
async def test_a_namespace_that_may_hold_something_is_asked(followed: Followed, how: str) -> None:
    await followed.hears(listing(5))
    existing = {**NAMESPACE, "metadata": {"name": "ns"}}
    await followed.children.apply(existing if how == "applied" else NAMESPACE, force=False)
    followed.client.live = {A: service(9)}
    if how == "unwatched":
        await followed.ends(None)
    if how == "deleted":
        await followed.children.delete(ObjectRef("v1", "Namespace", None, "ns"), uid="u")
    if how == "refused":
        followed.client.refusal = UnavailableError("somebody was faster")
        with pytest.raises(UnavailableError):
            await followed.children.apply(service(0), force=False)
    assert await followed.version() == 9


async def test_a_kind_that_the_cluster_lacks_is_not_waited_for(followed: Followed) -> None:
    waiting = asyncio.create_task(followed.children.synced())
    await followed.ends(MissingError("the cluster does not have the kind"))
    await waiting
    assert followed.children.absent("v1", "Service")
    assert not followed.children.watched("v1", "Service")


async def test_what_was_known_of_a_kind_that_the_cluster_lacks_by_now_is_gone(followed: Followed) -> None:
    await followed.hears(listing(100, service(90)))
    await followed.ends(MissingError("the cluster does not have the kind"))
    assert followed.told == [(None, 90), (90, None)]
    assert len(followed.children) == 0


async def test_a_kind_that_appears_is_watched_from_then_on(followed: Followed) -> None:
    await followed.ends(MissingError("the cluster does not have the kind"))
    await followed.begins_anew()
    await followed.hears(listing(100, service(90)))
    assert followed.children.watched("v1", "Service")
    assert not followed.children.absent("v1", "Service")


async def test_an_interruption_says_nothing_of_what_there_is(followed: Followed) -> None:
    await followed.hears(listing(100, service(90)))
    await followed.ends(UnavailableError("no answer"))
    assert not followed.children.absent("v1", "Service")
    assert len(followed.children) == 1
