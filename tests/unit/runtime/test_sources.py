"""The watches beside kopf's: what is passed on, and how they come back after trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from biospark_operator.clients.kubernetes.client import Change, Listing
from biospark_operator.clients.kubernetes.watched_secrets import WatchedSecrets
from biospark_operator.engine.errors import AccessError, UnavailableError
from biospark_operator.runtime import sources


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": "1"}}


class Client:
    """Plays watches: each is a list of names, and an error at the end that ends it, or None."""

    def __init__(self, *watches: tuple[list[str], Exception | None]) -> None:
        self.watches = list(watches)
        self.asked: list[tuple[str, str, str]] = []

    async def follow(
        self, api_version: str, kind: str, *, namespace: str, only_metadata: bool
    ) -> AsyncIterator[Listing | Change]:
        assert only_metadata
        self.asked.append((api_version, kind, namespace))
        if not self.watches:
            raise asyncio.CancelledError
        (first, *rest), error = self.watches.pop(0)
        yield Listing("1", [_named(first)])
        for name in rest:
            yield Change(_named(name), gone=False)
        if error:
            raise error


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the series of failures for which a delay was asked; none is waited."""
    counted: list[int] = []

    def delay(count: int, _: Any) -> float:
        counted.append(count)
        return 0.0

    monkeypatch.setattr(sources, "delay", delay)
    return counted


async def watched(client: Any) -> list[str]:
    changed: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        await sources.watch_secrets(WatchedSecrets(client, "biospark-system", changed.append))
    return changed


async def test_names_are_passed_on_and_after_trouble_all_of_them_again(failures: list[int]) -> None:
    client = Client((["a", "b"], UnavailableError("no answer")), (["a", "b"], None))
    assert await watched(client) == ["a", "b", "a", "b"]
    assert set(client.asked) == {("v1", "Secret", "biospark-system")}


async def test_watches_that_end_soon_are_begun_more_and_more_slowly(failures: list[int]) -> None:
    await watched(Client(*[(["a"], UnavailableError("no answer")), (["a"], None)] * 2))
    assert failures == [1, 2, 3, 4]


async def test_a_watch_that_lasted_begins_the_count_anew(failures: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "STEADY", -1.0)
    await watched(Client((["a"], None), (["a"], None)))
    assert failures == [1, 1]


async def test_children_of_a_kind_are_followed_again_after_every_trouble(failures: list[int]) -> None:
    class Children:
        troubles: ClassVar = [AccessError("no right"), None, asyncio.CancelledError()]

        async def follow(self, api_version: str, kind: str) -> None:
            assert (api_version, kind) == ("v1", "Service")
            if trouble := self.troubles.pop(0):
                raise trouble

    with pytest.raises(asyncio.CancelledError):
        await sources.watch_children(Children(), "v1", "Service")  # type: ignore[arg-type]
    assert Children.troubles == []
    assert failures == [1, 2]


@pytest.mark.parametrize(
    ("error", "seconds"), [(AccessError("no right"), sources.SLOWEST), (UnavailableError("", retry_after=90.0), 90.0)]
)
async def test_the_next_try_is_never_far_unless_the_api_server_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, error: Exception, seconds: float
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(sources, "delay", lambda *_: 300.0)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    await watched(Client((["a"], error)))
    assert waited == [seconds]
