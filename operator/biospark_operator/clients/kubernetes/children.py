"""Keeps the children of all environments in memory, as their watches show them. Used by components and runtime.

What an informer is elsewhere: each kind is listed once and then watched, so that looking at an unchanged
environment costs the API server nothing. Three rules keep what is read here as good as what the API server says:

- Only what is there is answered from memory. What is not (never made, foreign, just deleted) is asked for.
- What `apply` answers counts at once, and an older event never replaces it: we see our own writes.
- While a kind is not watched (not yet, or the watch was interrupted) the API server is asked.

One kind of absence is known: a namespace that was created here a moment ago is empty but for what is made here. That
spares a new environment a question for each of its objects. Should somebody have been faster, the creation is
refused, and the API server is asked from then on.

A watch that begins anew compares the new list with what was known, so a deletion in between is noticed.
Objects are kept as JSON text, a fifth of what they would take as Python objects.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec

from biospark_operator.clients.kubernetes.client import Change, KubernetesClient, Listing
from biospark_operator.clients.kubernetes.errors import MissingError
from biospark_operator.clients.kubernetes.objects import NEVER, Manifest, ObjectRef
from biospark_operator.engine.errors import OutsideError

#: Seconds for which a namespace that was created here counts as new: a first pass is over by then.
NEW = 30.0
#: Told of every change that is not an echo of our own write: the object before and after it. `None` before says
#: that it was not known, `None` after that it is gone or not a child any more.
Changed = Callable[[Manifest | None, Manifest | None], None]


@dataclass(frozen=True, slots=True)
class _Known:
    version: int
    text: bytes

    @classmethod
    def of(cls, live: Manifest) -> _Known:
        return cls(_version(live), msgspec.json.encode(live))

    @property
    def object(self) -> Manifest:
        live: Manifest = msgspec.json.decode(self.text)
        return live


class Children:
    """Children by reference. Reads and writes as `KubernetesClient` does; `follow` fills it."""

    def __init__(
        self,
        client: KubernetesClient,
        kinds: Iterable[tuple[str, str]],
        labels: str,
        changed: Changed,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        otherwise: Callable[[ObjectRef], Awaitable[Manifest | None]] | None = None,
    ) -> None:
        """Keep the objects of `kinds`, pairs of apiVersion and kind, that the label selector `labels` selects.

        What is not known here is read with `otherwise`, without one from the API server.
        """
        self._client = client
        self._otherwise = otherwise or client.get
        self._labels = labels
        self._changed = changed
        self._known: dict[ObjectRef, _Known] = {}
        self._synced: dict[tuple[str, str], asyncio.Event] = {}
        #: Of each kind whether it is known by now what there is of it, be it that the cluster lacks it.
        self._settled: dict[tuple[str, str], asyncio.Event] = {}
        self._absent: set[tuple[str, str]] = set()
        self.keep(kinds)
        self._monotonic = monotonic
        #: Namespaces that were created here, each with the time until which it counts as new.
        self._new: dict[str, float] = {}
        #: Events of objects that an apply is under way for: whether they are its echo is known when it ends.
        self._late: dict[ObjectRef, list[Change]] = {}

    def __len__(self) -> int:
        """Return how many children are known."""
        return len(self._known)

    def keep(self, kinds: Iterable[tuple[str, str]]) -> None:
        """Keep the objects of these kinds as well."""
        for kind in kinds:
            self._synced.setdefault(kind, asyncio.Event())
            self._settled.setdefault(kind, asyncio.Event())

    @property
    def kinds(self) -> Sequence[tuple[str, str]]:
        """The apiVersion and kind of what is to be followed."""
        return tuple(self._synced)

    def watched(self, api_version: str, kind: str) -> bool:
        """Whether one kind was listed and is watched since."""
        return self._synced[api_version, kind].is_set()

    def absent(self, api_version: str, kind: str) -> bool:
        """Whether the cluster does not have one kind, so that there is nothing to watch."""
        return (api_version, kind) in self._absent

    async def synced(self) -> None:
        """Return once every kind was listed that the cluster has."""
        for event in self._settled.values():
            await event.wait()

    async def follow(self, api_version: str, kind: str, listed: Callable[[], None] = lambda: None) -> None:
        """Keep up with one kind. Returns or raises an `OutsideError` when it has to be begun anew.

        A `MissingError` says that the cluster does not have the kind, and so none of its objects. `listed` is called
        when all of them are known.
        """
        synced, there = self._synced[api_version, kind], set[ObjectRef]()
        try:
            async for news in self._client.follow(api_version, kind, labels=self._labels):
                match news:
                    case Listing(items=items):
                        there.update(map(ObjectRef.of, items))
                        for item in items:
                            self._happened(Change(item, gone=False))
                        if news.last:
                            self._drop_all_but(there, api_version, kind, int(news.version))
                            there.clear()
                            self._absent.discard((api_version, kind))
                            synced.set()
                            self._settled[api_version, kind].set()
                            listed()
                    case Change():
                        self._happened(news)
        except MissingError:
            synced.clear()
            self._absent.add((api_version, kind))
            self._settled[api_version, kind].set()
            self._drop_all_but(frozenset(), api_version, kind, math.inf)
            raise
        finally:
            synced.clear()

    async def get(self, ref: ObjectRef) -> Manifest | None:
        """Return the object, or None where it does not exist."""
        of_ours = (ref.api_version, ref.kind) in self._synced
        if of_ours and self.watched(ref.api_version, ref.kind):
            if known := self._known.get(ref):
                return known.object
            if self._in_new_namespace(ref):
                return None
        return await self._otherwise(ref)

    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        """Return the objects of a kind, as the API server has them."""
        return await self._client.list(api_version, kind, namespace=namespace, labels=labels, fields=fields)

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        """Server-side apply `manifest`, see `KubernetesClient.apply`. The answer is what `get` returns next."""
        if dry_run:
            return await self._client.apply(manifest, force=force, dry_run=True)
        ref = ObjectRef.of(manifest)
        late = self._late.setdefault(ref, [])
        try:
            answer = await self._client.apply(manifest, force=force)
            if (ref.api_version, ref.kind) in self._synced:
                self._known[ref] = _Known.of(answer)
            if ref.kind == "Namespace" and manifest["metadata"].get("resourceVersion") == NEVER:
                self._new[ref.name] = self._monotonic() + NEW
        except OutsideError:
            self._new.pop(ref.namespace or ref.name, None)
            raise
        finally:
            self._late.pop(ref, None)
            for change in late:
                self._happened(change)
        return answer

    async def delete(self, ref: ObjectRef, *, uid: str, foreground: bool = False) -> None:
        """Start deleting the object with this uid, see `KubernetesClient.delete`."""
        self._new.pop(ref.namespace or ref.name, None)
        await self._client.delete(ref, uid=uid, foreground=foreground)
        self._known.pop(ref, None)

    def _in_new_namespace(self, ref: ObjectRef) -> bool:
        until = self._new.get(ref.namespace or "")
        if until is None or self._monotonic() < until:
            return until is not None
        del self._new[ref.namespace or ""]
        return False

    def _drop_all_but(self, there: AbstractSet[ObjectRef], api_version: str, kind: str, version: float) -> None:
        """Take what was known of a kind and is not `there` for gone; the list was made at this version."""
        of_kind = [ref for ref in self._known if (ref.api_version, ref.kind) == (api_version, kind)]
        for ref in of_kind:
            # What was applied after the list was made is not in it, and is there.
            if ref not in there and self._known[ref].version <= version:
                self._changed(self._known.pop(ref).object, None)

    def _happened(self, change: Change) -> None:
        ref = ObjectRef.of(change.object)
        if ref in self._late:
            self._late[ref].append(change)
            return
        known = self._known.get(ref)
        if known is not None and _older(change, known):
            return
        before = known.object if known else None
        if change.gone:
            self._new.pop(ref.namespace or ref.name, None)
            self._known.pop(ref, None)
            self._changed(before or change.object, None)
        else:
            self._known[ref] = _Known.of(change.object)
            self._changed(before, change.object)


def _older(change: Change, known: _Known) -> bool:
    """Whether a change is one that is known already. A write of ours may make an object no child any more."""
    version = _version(change.object)
    return version < known.version or (version == known.version and not change.gone)


def _version(live: Manifest) -> int:
    """Return the resourceVersion, which the API server counts up over all objects of a kind."""
    return int(live["metadata"]["resourceVersion"])
