"""Tells which definitions of kinds the cluster has: of kinds that it may lack. Used by the runtime.

Their watch asks for metadata alone, since a definition may be large. What discovery knows of a group is forgotten with
each change of a definition in it, so that a kind is found as soon as it is served, and is not once it is gone.
"""

from __future__ import annotations

import asyncio

from biospark_operator.clients.kubernetes.client import Change, KubernetesClient, Listing


class Definitions:
    """The definitions that were asked about, by name. `follow` keeps up with them."""

    def __init__(self, client: KubernetesClient) -> None:
        self._client = client
        self._there: set[str] = set()
        self._news: dict[str, list[asyncio.Event]] = {}

    def __contains__(self, name: str) -> bool:
        """Whether the cluster has the definition, as far as is known; what it defines may not be served yet."""
        return name in self._there

    def news(self, name: str) -> asyncio.Event:
        """Return an event that is set whenever the definition appears, changes or goes."""
        event = asyncio.Event()
        self._news.setdefault(name, []).append(event)
        return event

    def look_again(self, name: str) -> None:
        """Forget what was served of the group of a definition."""
        self._client.look_again(name.partition(".")[2])

    async def follow(self) -> None:
        """Keep up with them. Returns or raises an `OutsideError` when it has to be begun anew."""
        there = set[str]()
        async for news in self._client.follow(
            "apiextensions.k8s.io/v1", "CustomResourceDefinition", only_metadata=True
        ):
            match news:
                case Listing(items=items):
                    there.update(item["metadata"]["name"] for item in items)
                    if news.last:
                        for name in self._news:
                            self._saw(name, gone=name not in there)
                        there.clear()
                case Change(object=item, gone=gone):
                    self._saw(item["metadata"]["name"], gone=gone)

    def _saw(self, name: str, *, gone: bool) -> None:
        if name not in self._news:
            return
        if gone:
            self._there.discard(name)
        else:
            self._there.add(name)
        self.look_again(name)
        for event in self._news[name]:
            event.set()
