"""Secrets of the operator's own namespace that environments refer to: read once, and again when they change.

They carry no label of ours, so they are no `children`. Their watch asks for metadata alone: the data of Secrets
that nobody refers to never reaches the operator's memory. What was read counts as long as the watch shows the
very version of it. While there is no watch (not yet, or it was interrupted) the API server is asked each time.
"""

from __future__ import annotations

from collections.abc import Callable

from biospark_operator.clients.kubernetes.client import Change, KubernetesClient, Listing
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef


class WatchedSecrets:
    """The Secrets of one namespace. `follow` keeps up with them, `get` reads one."""

    def __init__(self, client: KubernetesClient, namespace: str, changed: Callable[[str], None]) -> None:
        """`changed` is told the name of each Secret that appears, changes or goes."""
        self.namespace = namespace
        self._client = client
        self._changed = changed
        #: By name the version that the watch shows, and what was read.
        self._versions: dict[str, str] = {}
        self._read: dict[str, Manifest] = {}

    async def follow(self) -> None:
        """Keep up with the Secrets. Returns or raises an `OutsideError` when it has to be begun anew.

        Every Secret counts as changed then, since something may have been missed.
        """
        try:
            async for news in self._client.follow("v1", "Secret", namespace=self.namespace, only_metadata=True):
                match news:
                    case Listing(items=items):
                        for item in items:
                            self._saw(item["metadata"])
                    case Change(object=item, gone=gone):
                        self._saw(item["metadata"], gone=gone)
        finally:
            self._versions.clear()
            self._read.clear()

    async def get(self, ref: ObjectRef) -> Manifest | None:
        """Return the object, or None where it does not exist. What is no Secret of the namespace is read as ever."""
        if (ref.api_version, ref.kind, ref.namespace) != ("v1", "Secret", self.namespace):
            return await self._client.get(ref)
        known = self._read.get(ref.name)
        if known is not None and known["metadata"]["resourceVersion"] == self._versions.get(ref.name):
            return known
        self._read.pop(ref.name, None)
        found = await self._client.get(ref)
        if found is not None:
            self._read[ref.name] = found
        return found

    def _saw(self, metadata: Manifest, *, gone: bool = False) -> None:
        name = metadata["name"]
        if gone:
            self._versions.pop(name, None)
            self._read.pop(name, None)
        else:
            self._versions[name] = metadata["resourceVersion"]
        self._changed(name)
