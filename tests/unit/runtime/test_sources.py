"""The watches beside kopf's: what is passed on, and how they come back after trouble."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, ClassVar

import pytest

from biospark_operator.clients.kubernetes.client import Change, Listing
from biospark_operator.clients.kubernetes.definitions import Definitions
from biospark_operator.clients.kubernetes.errors import MissingError
from biospark_operator.clients.kubernetes.watched_secrets import WatchedSecrets
from biospark_operator.engine.errors import AccessError, UnavailableError
from biospark_operator.objects import kinds
from biospark_operator.objects.kinds import Kind
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

        async def follow(self, api_version: str, kind: str, listed: Callable[[], None]) -> None:
            assert (api_version, kind) == ("v1", "Service")
            if trouble := self.troubles.pop(0):
                raise trouble

    with pytest.raises(asyncio.CancelledError):
        await sources.watch_children(Children(), kinds.SERVICE, Definitions(None), pytest.fail)  # type: ignore[arg-type]
    assert Children.troubles == []
    assert failures == [1, 2]


CERTIFICATE = Kind("cert-manager.io/v1", "Certificate", "certificates", optional=True)


class OptionalChildren:
    """Plays what comes of following an optional kind: it is absent, there and then gone, or interrupted."""

    def __init__(self, *plays: str) -> None:
        self.plays = list(plays)
        self.looked = asyncio.Event()

    async def follow(self, api_version: str, kind: str, listed: Callable[[], None]) -> None:
        self.looked.set()
        if not self.plays:
            raise asyncio.CancelledError
        play = self.plays.pop(0)
        if play == "there":
            listed()
        if play == "interrupted":
            raise UnavailableError("no answer")
        raise MissingError("the cluster does not have the kind")


class WithoutDiscovery:
    def look_again(self, group: str) -> None:
        assert group == "cert-manager.io"


async def followed(
    children: OptionalChildren, definitions: Definitions, news: Sequence[bool], appeared: Callable[[], None]
) -> None:
    """Follow an optional kind, and let its definition appear (True) or go each time that it is waited for."""
    task = asyncio.create_task(sources.watch_children(children, CERTIFICATE, definitions, appeared))  # type: ignore[arg-type]
    for there in news:
        await children.looked.wait()
        children.looked.clear()
        definitions._saw(CERTIFICATE.definition, gone=not there)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_absent_kind_is_told_once_each_time_and_looked_for_when_its_definition_changes(
    failures: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    appeared: list[bool] = []
    children = OptionalChildren("absent", "absent", "there", "absent")
    definitions = Definitions(WithoutDiscovery())  # type: ignore[arg-type]
    await followed(children, definitions, [True, True, False, True], lambda: appeared.append(True))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "Certificates are not watched until their definition certificates.cert-manager.io is installed"),
        ("INFO", "watching Certificates: their definition is installed"),
        ("INFO", "Certificates are not watched until their definition certificates.cert-manager.io is installed"),
    ]
    assert appeared == [True]
    assert failures == []


async def test_a_kind_that_is_defined_and_not_served_yet_is_looked_for_again(
    failures: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SOONEST", 0.0)
    children = OptionalChildren("absent", "absent", "absent", "there")
    definitions = Definitions(WithoutDiscovery())  # type: ignore[arg-type]
    definitions.news(CERTIFICATE.definition)
    definitions._saw(CERTIFICATE.definition, gone=False)
    await followed(children, definitions, [], lambda: None)
    assert children.plays == []


async def test_what_is_defined_and_not_ready_to_be_watched_is_no_trouble(
    failures: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    children = OptionalChildren("absent", "interrupted", "there")
    definitions = Definitions(WithoutDiscovery())  # type: ignore[arg-type]
    await followed(children, definitions, [True, True, False], lambda: None)
    assert caplog.records == []
    assert failures == [1]


async def test_an_optional_kind_that_is_there_and_interrupted_is_told_as_any_other(
    failures: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    definitions = Definitions(WithoutDiscovery())  # type: ignore[arg-type]
    await followed(OptionalChildren("interrupted"), definitions, [], pytest.fail)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert failures == [1]


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
