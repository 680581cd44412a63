"""Talks to the API server: read, server-side apply, delete, status, Events. Used by components and runtime.

It bounds how many requests are under way and turns every failure into the vocabulary of `engine.errors`, so that
nothing above knows HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from kubernetes.aio import client as kube

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.fencing import MayAct, fence
from biospark_operator.clients.kubernetes.contact import Contact
from biospark_operator.clients.kubernetes.credentials import configuration
from biospark_operator.clients.kubernetes.discovery import Discovery
from biospark_operator.clients.kubernetes.errors import FAULTS, ConflictError, MissingError, UnservedError, translated
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.clients.kubernetes.sending import Sending

#: Who we are to server-side apply. The status has a manager of its own, as the API server keeps them apart.
FIELD_MANAGER, STATUS_MANAGER = "biospark-operator", "biospark-operator-status"
#: Requests under way at once, over all environments.
CONCURRENCY = 64
#: Seconds that one request may take.
TIMEOUT = 30.0
#: Seconds after which a watch is begun anew, so that one that died silently is noticed.
WATCH_SECONDS = 300
#: Seconds without even a bookmark after which a watch counts as dead.
SILENCE = 90.0
#: Objects that are listed in one request. As Python objects they take ten times what they take as text, and all
#: kinds are listed at once when the operator starts: larger pages would be what needs most memory ever.
PAGE = 100
#: Seconds that a watch lasts at least if all is well. One that is closed sooner is not simply begun anew.
SHORTEST_WATCH = 1.0

#: Kinds of whose objects the API server's words are not repeated.
_CONFIDENTIAL = frozenset({"Secret"})


@dataclass(frozen=True, slots=True)
class Listing:
    """All objects of a kind as they were at one resourceVersion, page by page: all pages up to the `last` one."""

    version: str
    items: Sequence[Manifest]
    last: bool = True


@dataclass(frozen=True, slots=True)
class Change:
    """One object as it is now, or with `gone` as it was last: deleted, or not selected any more."""

    object: Manifest
    gone: bool


class KubernetesClient:
    """The API server as the operator sees it. Safe for use by many tasks at once."""

    def __init__(self, sending: Sending, concurrency: int = CONCURRENCY) -> None:
        self._sending = sending
        self._discovery = Discovery(self._resource_list)
        self._slots = asyncio.Semaphore(concurrency)

    async def get(self, ref: ObjectRef) -> Manifest | None:
        """Return the object, or None where it, its namespace or its kind does not exist."""
        try:
            return await self._to(ref, "get", "read")
        except MissingError:
            return None

    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        """Return the objects of a kind, optionally of one namespace and by label and field selector."""
        path = await self._path(api_version, kind, namespace)
        with self._served(api_version, kind):
            answer = await self._send(
                "get",
                path,
                f"list {kind}s" + (f" in {namespace}" if namespace else ""),
                confidential=kind in _CONFIDENTIAL,
                label_selector=labels or None,
                field_selector=fields or None,
            )
        return [{**item, "apiVersion": api_version, "kind": kind} for item in answer["items"] or ()]

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        """Server-side apply `manifest` as `FIELD_MANAGER` and return the object as it is then.

        `force` takes over fields that other managers set; without it they are a `FieldConflictError`.
        """
        return await self._to(
            ObjectRef.of(manifest),
            "patch",
            "apply",
            body=manifest,
            content_type="application/apply-patch+yaml",
            field_manager=FIELD_MANAGER,
            force_conflicts="true" if force else None,
            dry_run="All" if dry_run else None,
        )

    async def apply_status(self, manifest: Manifest, writer: str = "") -> Manifest:
        """Make `manifest["status"]` all that one `writer` of this operator says in the status of an existing object."""
        return await self._to(
            ObjectRef.of(manifest),
            "patch",
            "write the status of",
            subresource="/status",
            body=manifest,
            content_type="application/apply-patch+yaml",
            field_manager=_status_manager(writer),
            force_conflicts="true",
        )

    async def replace_status(self, live: Manifest, status: Mapping[str, Any], writer: str = "") -> Manifest:
        """Make `status` all that stands in the status of an object.

        Raises `ConflictError` if somebody wrote to it since `live` was read.
        """
        # A `test` that fails is answered as bad input (422); a version that is set is compared, and told as a conflict.
        version = {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
        return await self._to(
            ObjectRef.of(live),
            "patch",
            "write the status of",
            subresource="/status",
            body=[version, {"op": "replace", "path": "/status", "value": status}],
            content_type="application/json-patch+json",
            field_manager=_status_manager(writer),
        )

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object that must not exist yet. Used for Events and Leases, not for children."""
        ref = ObjectRef.of(manifest)
        path = await self._path(ref.api_version, ref.kind, ref.namespace)
        return await self._send("post", path, f"create {ref.short}", body=manifest, field_manager=FIELD_MANAGER)

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace an object; `metadata.resourceVersion` guards against a write in between."""
        return await self._to(ObjectRef.of(manifest), "put", "replace", body=manifest, field_manager=FIELD_MANAGER)

    async def delete(self, ref: ObjectRef, *, uid: str, foreground: bool = False) -> None:
        """Start deleting the object with this uid. An object that is gone, or is another one, is left alone.

        In the `foreground` it stays until all that it owns is gone.
        """
        policy = "Foreground" if foreground else "Background"
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
        try:
            await self._to(ref, "delete", "delete", body={**options, "preconditions": {"uid": uid}})
        except (MissingError, ConflictError):
            return

    def look_again(self, group: str) -> None:
        """Find out anew what is served of an API group: a definition was installed or is gone."""
        self._discovery.forget(group)

    async def follow(
        self,
        api_version: str,
        kind: str,
        *,
        namespace: str | None = None,
        labels: str = "",
        only_metadata: bool = False,
    ) -> AsyncIterator[Listing | Change]:
        """Yield all objects of a kind, page by page, then each change of one.

        Goes on over the streams that the API server closes every few minutes. Ends when it can't go on where it
        was, so that something may have been missed; raises as all methods do, also when the stream falls silent:
        the API server sends a bookmark about once a minute even if nothing happens.
        """
        path = await self._path(api_version, kind, namespace)
        purpose = f"watch {kind}s" + (f" in {namespace}" if namespace else "")
        confidential = kind in _CONFIDENTIAL

        def named(item: Manifest) -> Manifest:
            return {**item, "apiVersion": api_version, "kind": kind}

        accept = _accept("PartialObjectMetadataList") if only_metadata else "application/json"
        version = ""
        with self._served(api_version, kind):
            async for page in self._pages(path, purpose, labels, accept, confidential=confidential):
                version = page.version
                yield Listing(version, [named(item) for item in page.items], page.last)
        accept = _accept("PartialObjectMetadata") if only_metadata else "application/json"
        began = -SHORTEST_WATCH
        while time.monotonic() - began >= SHORTEST_WATCH:
            began = time.monotonic()
            with self._served(api_version, kind):
                async for event in self._events(path, purpose, version, labels, accept, confidential=confidential):
                    if event["type"] == "ERROR":
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield Change(named(event["object"]), gone=event["type"] == "DELETED")

    async def _pages(
        self, path: str, purpose: str, labels: str, accept: str, *, confidential: bool
    ) -> AsyncIterator[Listing]:
        """Yield the pages of a collection. The resourceVersion to watch it from is the same in all of them."""
        following: str | None = None
        while True:
            page = await self._send(
                "get",
                path,
                purpose,
                confidential=confidential,
                limit=PAGE,
                _continue=following,
                label_selector=labels or None,
                accept=accept,
            )
            following = page["metadata"].get("continue")
            yield Listing(page["metadata"]["resourceVersion"], page["items"] or (), last=not following)
            if not following:
                return

    async def _events(
        self, path: str, purpose: str, version: str, labels: str, accept: str, *, confidential: bool
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the events after `version`, bookmarks included, until the API server closes the stream."""
        try:
            response = await self._sending.request(
                "get",
                path,
                seconds=aiohttp.ClientTimeout(connect=TIMEOUT, sock_read=SILENCE),
                accept=accept,
                allow_watch_bookmarks="true",
                watch="true",
                resource_version=version,
                label_selector=labels or None,
                timeout_seconds=WATCH_SECONDS,
            )
            async with response:
                async for line in _lines(response.content):
                    self._sending.contact.heard()
                    yield msgspec.json.decode(line)
        except FAULTS as error:
            raise translated(error, purpose, confidential=confidential) from None if confidential else error

    async def _path(self, api_version: str, kind: str, namespace: str | None, name: str | None = None) -> str:
        """Return the path of an object or a collection. Raises `MissingError` where the cluster lacks the kind."""
        served = await self._discovery.find(api_version, kind)
        if served is None:
            raise _undefined(api_version, kind)
        return served.path(namespace, name)

    @contextmanager
    def _served(self, api_version: str, kind: str) -> Iterator[None]:
        """Notice in what is sent meanwhile that a kind is served no more, and tell it as of one that never was."""
        try:
            yield
        except UnservedError:
            self.look_again(api_version.rpartition("/")[0])
            raise _undefined(api_version, kind) from None

    async def _to(
        self, ref: ObjectRef, method: str, verb: str, *, subresource: str = "", **params: Any
    ) -> dict[str, Any]:
        """Send a request about one object; `verb` tells in messages what was wanted of it."""
        path = await self._path(ref.api_version, ref.kind, ref.namespace, ref.name)
        with self._served(ref.api_version, ref.kind):
            return await self._send(
                method, path + subresource, f"{verb} {ref.short}", confidential=ref.kind in _CONFIDENTIAL, **params
            )

    async def _resource_list(self, path: str) -> Mapping[str, Any] | None:
        try:
            return await self._send("get", path, f"find out what is served at {path}")
        except MissingError:
            return None

    async def _send(
        self, method: str, path: str, purpose: str, *, confidential: bool = False, **params: Any
    ) -> dict[str, Any]:
        async with self._slots:
            try:
                response = await self._sending.request(method, path, seconds=TIMEOUT, **params)
                answer = msgspec.json.decode(await response.read())
                if not isinstance(answer, dict):
                    raise ValueError("the answer is not an object")  # noqa: TRY004 - it is not a defect of ours
            except FAULTS as error:
                # The cause holds the whole answer, which a traceback would print.
                raise translated(error, purpose, confidential=confidential) from None if confidential else error
        return answer


def _undefined(api_version: str, kind: str) -> MissingError:
    return MissingError(
        f"the cluster does not have the kind {kind} of {api_version}: install its CRD",
        reason=Reason.DEFINITION_MISSING,
    )


def _accept(kind: str) -> str:
    return f"application/json;as={kind};g=meta.k8s.io;v=v1"


async def _lines(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the lines of a stream however long they are: an object may be larger than aiohttp takes a line to be."""
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
    if rest:
        yield rest


@asynccontextmanager
async def connected(
    concurrency: int = CONCURRENCY,
    kubeconfig: str | None = None,
    *,
    may_act: MayAct | None = None,
    contact: Contact | None = None,
) -> AsyncIterator[KubernetesClient]:
    """Open a client to the cluster that `credentials.configuration` finds, for as long as the context lasts.

    Nothing is sent yet: an API server that does not answer is met by the first request. `may_act` is asked before
    each request that is not a read, and raises in place of it. `contact` is told when the API server is heard.
    """
    settings = await configuration(kubeconfig)
    settings.trace_configs = [fence(may_act)] if may_act else None
    async with kube.ApiClient(settings) as api:
        yield KubernetesClient(Sending(api, contact), concurrency)


def _status_manager(writer: str) -> str:
    return f"{STATUS_MANAGER}-{writer}" if writer else STATUS_MANAGER
