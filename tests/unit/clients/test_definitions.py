"""Which definitions the cluster has, and that a change of one is news and makes the client look again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from biospark_operator.clients.kubernetes.client import Change, Listing
from biospark_operator.clients.kubernetes.definitions import Definitions
from biospark_operator.clients.kubernetes.objects import Manifest

CERTIFICATES = "certificates.cert-manager.io"


def definition(name: str = CERTIFICATES) -> Manifest:
    return {"metadata": {"name": name}}


class Client:
    """Plays one watch."""

    def __init__(self, *news: Listing | Change) -> None:
        self._news = news
        self.forgotten: list[str] = []

    def look_again(self, group: str) -> None:
        self.forgotten.append(group)

    async def follow(self, api_version: str, kind: str, *, only_metadata: bool) -> AsyncIterator[Listing | Change]:
        assert (api_version, kind, only_metadata) == ("apiextensions.k8s.io/v1", "CustomResourceDefinition", True)
        for news in self._news:
            yield news


async def followed(*news: Listing | Change) -> tuple[Definitions, asyncio.Event, Sequence[str]]:
    client = Client(*news)
    definitions = Definitions(client)  # type: ignore[arg-type]
    event = definitions.news(CERTIFICATES)
    await definitions.follow()
    return definitions, event, client.forgotten


@pytest.mark.parametrize(
    ("news", "there"),
    [
        ([Listing("1", [definition()])], True),
        ([Listing("1", [definition("others.example.org")])], False),
        ([Listing("1", [definition()], last=False), Listing("1", [])], True),
        ([Listing("1", []), Change(definition(), gone=False)], True),
        ([Listing("1", [definition()]), Change(definition(), gone=True)], False),
        ([Listing("1", [definition()]), Listing("2", [])], False),
    ],
)
async def test_what_is_there_is_what_the_watch_shows(news: Sequence[Listing | Change], there: bool) -> None:
    definitions, event, forgotten = await followed(*news)
    assert (CERTIFICATES in definitions) is there
    assert event.is_set()
    assert set(forgotten) == {"cert-manager.io"}


async def test_definitions_that_nobody_asked_about_are_no_news() -> None:
    definitions, event, forgotten = await followed(Change(definition("others.example.org"), gone=False))
    assert "others.example.org" not in definitions
    assert not event.is_set()
    assert forgotten == []
