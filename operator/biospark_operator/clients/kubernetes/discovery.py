"""Finds under which path the API server serves a kind. Used by `client`.

Only the group version that is asked for is read, so a broken aggregated API elsewhere in the cluster harms
nobody here. A kind is reported as missing only when the API server said so: everything else is an error of the
caller's request, since "missing" means "gone" to a deletion.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

#: Seconds before a kind that was missing is looked for again: its CRD may have been installed.
ABSENCE = 5.0

#: Reads the resource list at a path, or returns None where the API server does not have it.
Read = Callable[[str], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True, slots=True)
class ServedKind:
    """Where a kind is served: `/apis/apps/v1` and `deployments`."""

    root: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None) -> str:
        """Return the path of one object, or without `name` that of a collection."""
        parts = [self.root, *(("namespaces", namespace) if namespace else ()), self.plural, *((name,) if name else ())]
        return "/".join(parts)


@dataclass(frozen=True)
class _Listing:
    kinds: Mapping[str, ServedKind]
    read_at: float


class Discovery:
    """What the API server serves, read when it is first asked for and then remembered."""

    def __init__(self, read: Read, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._monotonic = monotonic
        self._listings: dict[str, _Listing] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def find(self, api_version: str, kind: str) -> ServedKind | None:
        """Return where a kind is served, or None where the cluster does not have it. Raises what `read` raises."""
        if not self._settled(api_version, kind):
            async with self._locks[api_version]:
                if not self._settled(api_version, kind):
                    listing = self._listings[api_version] = await self._listing(api_version)
                    return listing.kinds.get(kind)
        return self._listings[api_version].kinds.get(kind)

    def forget(self, group: str) -> None:
        """Read anew what is served of an API group when it is asked for next."""
        for api_version in [known for known in self._listings if known.rpartition("/")[0] == group]:
            del self._listings[api_version]

    def _settled(self, api_version: str, kind: str) -> bool:
        listing = self._listings.get(api_version)
        return listing is not None and (kind in listing.kinds or self._monotonic() - listing.read_at < ABSENCE)

    async def _listing(self, api_version: str) -> _Listing:
        root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        answer = await self._read(root) or {}
        kinds = {
            item["kind"]: ServedKind(root, item["name"])
            for item in answer.get("resources") or ()
            if "/" not in item["name"]
        }
        return _Listing(kinds, self._monotonic())
