"""Corrects what kopf finds out about our resource, in two cases in which it would leave environments alone.

kopf looks for what is served when a definition changes, and has no setting for either:

- While the definition of environments is being deleted, the API server lists them without the verb `patch`,
  although it takes patches. kopf serves nothing that can't be patched, but the definition waits for the
  finalizers that only we take away.
- A new definition is announced before it is listed. kopf would look too early, and not again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from kopf._cogs.clients import api, scanning
from kopf._cogs.structs import references

from biospark_operator.api.v1alpha1.environment import GROUP, PLURAL

logger = logging.getLogger(__name__)

#: Where the definition of environments is; the operator may list definitions, not get one.
DEFINITION = (
    f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions?limit=1&fieldSelector=metadata.name%3D{PLURAL}.{GROUP}"
)
#: Seconds between looks for a resource that is defined and not listed yet, and how often it is looked for.
PAUSE, LOOKS = 0.5, 120

Scan = Callable[..., Awaitable[Collection[references.Resource]]]


def correct() -> None:
    """Let kopf find our resource as it is. To be called before kopf is started; again does nothing."""
    if not isinstance(scanning.scan_resources, Corrected):
        scanning.scan_resources = Corrected(scanning.scan_resources)


class Corrected:
    """kopf's way to find out what is served, and our corrections."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan

    async def __call__(self, **options: Any) -> Collection[references.Resource]:
        """Return what is served, see `kopf._cogs.clients.scanning.scan_resources`."""
        for look in range(LOOKS):
            found = [_patchable(resource) for resource in await self._scan(**options)]
            if any(map(_is_ours, found)) or not await _is_defined(options["settings"]):
                return found
            if not look:
                logger.info("the definition of environments is there and not served yet; waiting for it")
            await asyncio.sleep(PAUSE)
        return found


def _is_ours(resource: references.Resource) -> bool:
    return (resource.group, resource.plural) == (GROUP, PLURAL)


def _patchable(resource: references.Resource) -> references.Resource:
    if not _is_ours(resource):
        return resource
    return dataclasses.replace(resource, verbs=resource.verbs | {"patch"})


async def _is_defined(settings: Any) -> bool:
    listed = await api.get(DEFINITION, settings=settings, logger=logger)
    return any("deletionTimestamp" not in item["metadata"] for item in listed.get("items") or ())
