"""Everything that an environment has on the API server, in a form in which two environments can be compared.

Every kind that can be listed is listed over the whole cluster, so an object is found wherever it was put. What
belongs to an environment is what has its name or its uid anywhere in its metadata, or is in its namespace.

Left out is what differs between two equal environments: uids, times, versions, addresses, the status of the
children, which is not the operator's. Of what controllers make of the children, such as pods, which have random
names, the number is kept. Events are left out, too: they may be lost by design, and are counted by the tests.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Container, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import yaml
from kubernetes.aio import client as kube
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.aio.dynamic import DynamicClient

from biospark_operator.clients.kubernetes.credentials import configuration

Manifest = Mapping[str, Any]
#: What an environment has: each object by its kind and name, and the number of those that controllers made.
Footprint = Mapping[str, Any]

KIND = "BioSparkEnvironment"
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|[+-]\d\d:\d\d)")
#: Object ids of databases, in the status and in the marks on roles: each environment's own.
_OBJECT_ID = re.compile(r"""(\\?"(?:objectId|creates|holds)\\?": )\d+""")
_NO_OBJECTS = frozenset({"Event", "ComponentStatus"})
_CHANGING = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
_ADDRESSES = ("clusterIP", "clusterIPs")
_GENERATIONS = ("observedGeneration", "readyGeneration")
_TIMES = ("lastTransitionTime", "detectedAt")


class Api:
    """The API server as a test sees it: past every proxy, with none of the operator's code."""

    def __init__(self, dynamic: DynamicClient) -> None:
        self._dynamic = dynamic
        self._collections: list[tuple[str, str, str]] = []

    async def get(self, path: str) -> Any:
        """Return what is at `path`, or None."""
        try:
            return await self._send("get", path)
        except ApiException as error:
            if error.status == 404:
                return None
            raise

    async def apply(self, path: str, manifest: Manifest) -> Any:
        """Apply a manifest as a user does, server-side."""
        return await self._send(
            "patch", path, body=manifest, content_type="application/apply-patch+yaml", field_manager="test"
        )

    async def delete(self, path: str) -> None:
        """Ask for a deletion; nothing there is fine."""
        try:
            await self._send("delete", path)
        except ApiException as error:
            if error.status != 404:
                raise

    async def release(self, path: str) -> None:
        """Take all finalizers away."""
        body = {"metadata": {"finalizers": None}}
        await self._send("patch", path, body=body, content_type="application/merge-patch+json")

    async def everything(self, kinds: Container[str] | None = None) -> list[Manifest]:
        """Return all objects of all kinds, or of some, each with its apiVersion and kind."""
        if not self._collections:
            self._collections = [found async for found in self._discovered()]
        wanted = [found for found in self._collections if kinds is None or found[1] in kinds]
        lists = await asyncio.gather(*(self.get(path) for _, _, path in wanted))
        return [
            {**item, "apiVersion": version, "kind": kind}
            for (version, kind, _), listed in zip(wanted, lists, strict=True)
            for item in (listed or {}).get("items") or ()
        ]

    async def _discovered(self) -> AsyncIterator[tuple[str, str, str]]:
        """Yield version, kind and path of every collection, each kind in the version that the API server prefers."""
        groups = (await self._send("get", "/apis"))["groups"]
        roots = {"v1": "/api/v1"}
        roots |= {v: f"/apis/{v}" for v in (group["preferredVersion"]["groupVersion"] for group in groups)}
        for version, root in roots.items():
            for resource in (await self._send("get", root))["resources"]:
                if "list" in resource["verbs"] and resource["kind"] not in _NO_OBJECTS:
                    yield version, resource["kind"], f"{root}/{resource['name']}"

    async def _send(self, method: str, path: str, **params: Any) -> Any:
        response = await self._dynamic.request(method, path, serialize=False, **params)
        return json.loads(await response.read())


@asynccontextmanager
async def opened(kubeconfig: str) -> AsyncIterator[Api]:
    """Open the API server of a kubeconfig."""
    async with kube.ApiClient(await configuration(kubeconfig)) as client:
        yield Api(DynamicClient(client))


def footprint(objects: Iterable[Manifest], name: str) -> Footprint:
    """Return what of `objects` the environment `name` has. `name` must not be a part of any other word."""
    items = [item for item in objects if name in _identity(item)]
    uids = {item["metadata"]["uid"] for item in items if item["kind"] == KIND}
    found: dict[str, Any] = {}
    made_by_others: Counter[str] = Counter()
    for item in items:
        if not _is_of_the_operator(item):
            made_by_others[f"{item['apiVersion']} {item['kind']} made by others"] += 1
            continue
        text = _UID.sub(lambda uid: "UID" if uid[0] in uids else "another uid", json.dumps(item))
        text = _OBJECT_ID.sub(r"\1 1", _TIME.sub("TIME", text))
        manifest = json.loads(text.replace(name, "NAME"))
        ref = "/".join(filter(None, (manifest["metadata"].get("namespace"), manifest["metadata"]["name"])))
        found[f"{item['apiVersion']} {item['kind']} {ref}"] = normalised(manifest)
    return {**found, **made_by_others}


def without_random(text: str) -> str:
    """Return a text with uids, object ids and times masked."""
    return _OBJECT_ID.sub(r"\1 1", _TIME.sub("TIME", _UID.sub("UID", text)))


def kinds(known: Footprint) -> set[str]:
    """Return the kinds of which there is anything."""
    return {key.split(" ")[1] for key in known}


def _identity(item: Manifest) -> str:
    metadata = item["metadata"]
    return json.dumps([metadata.get(key) for key in ("name", "namespace", "labels", "ownerReferences")])


def _is_of_the_operator(item: Manifest) -> bool:
    managers = {entry.get("manager", "") for entry in item["metadata"].get("managedFields") or ()}
    return item["kind"] == KIND or any(manager.startswith("biospark") for manager in managers)


def normalised(manifest: Manifest) -> Manifest:
    """Return an object without what differs between two equal environments."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key not in _CHANGING}
    metadata["annotations"] = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if "deployment.kubernetes.io" not in key
    }
    metadata["fields of the operator"] = [
        [entry["operation"], entry.get("subresource"), entry["fieldsV1"]]
        for entry in manifest["metadata"].get("managedFields") or ()
        if entry["manager"].startswith("biospark")
    ]
    rest = {key: value for key, value in manifest.items() if key not in ("metadata", "status")}
    if isinstance(rest.get("spec"), dict):
        rest["spec"] = {key: value for key, value in rest["spec"].items() if key not in _ADDRESSES}
    if manifest["kind"] == KIND:
        rest["status"] = _status(manifest.get("status") or {}, manifest["metadata"].get("generation"))
    if manifest["kind"] == "Secret" and manifest.get("type") == "Opaque":  # with what was made by chance
        rest["data"] = sorted(manifest.get("data") or ())
    return {**rest, "metadata": metadata}


def _status(value: Any, generation: int | None) -> Any:
    """Leave out times, and say of generations whether they are the current one."""
    if isinstance(value, list):
        return [_status(item, generation) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: ("current" if item == generation else "old") if key in _GENERATIONS else _status(item, generation)
        for key, item in value.items()
        if key not in _TIMES
    }


def difference(expected: Footprint, found: Footprint) -> str:
    """Return how two footprints differ, as a diff that people read; empty if they don't."""
    return "\n".join(
        line
        for key in sorted({*expected, *found})
        if expected.get(key) != found.get(key)
        for line in (f"{key}:", *_lines(expected.get(key), found.get(key)))
    )


def _lines(expected: Any, found: Any) -> Sequence[str]:
    if expected is None:
        return ["  is there and should not be"]
    if found is None:
        return ["  is missing"]
    before, after = (yaml.safe_dump(value).splitlines() for value in (expected, found))
    return list(difflib.unified_diff(before, after, "without a kill", "after the kill", lineterm="", n=2))
