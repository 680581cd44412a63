"""Tells which events of children are news, and for which environments. Used by `handlers`.

An event is no news if it echoes what this operator wrote, if nothing of substance changed, or if it is part of
the first list. After an interruption the API server lists everything anew without saying what changed, so
digests are kept to compare with.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from biospark_operator.api.v1alpha1.environment import KIND
from biospark_operator.components import ownership

#: Kinds whose status is news: it says whether the environment is ready.
_STATUS_MATTERS = frozenset({"Deployment", "Namespace"})
#: Metadata that changes with every write, or by the bookkeeping of the API server alone.
_HIDDEN = frozenset({"resourceVersion", "managedFields", "generation"})
_NOBODY: frozenset[str] = frozenset()


class Writes(Protocol):
    """What this operator wrote itself; `clients.kubernetes.KubernetesClient` knows."""

    def wrote(self, uid: str, resource_version: str) -> bool: ...
    def forget(self, uid: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Known:
    digest: str
    environments: frozenset[str]


class News:
    """Remembers of every child what it was when it was last seen."""

    def __init__(self, writes: Writes) -> None:
        self._writes = writes
        self._known: dict[str, _Known] = {}

    def __len__(self) -> int:
        """Return how many children are remembered."""
        return len(self._known)

    def of(self, type_: str | None, body: Mapping[str, Any]) -> frozenset[str]:
        """Return the names of the environments that an event concerns; none if it is no news.

        `type_` is ADDED, MODIFIED or DELETED, or None for an object of a list.
        """
        uid, now = body["metadata"]["uid"], _Known(digest(body), _environments(body))
        before = self._known.get(uid)
        concerned = now.environments | (before.environments if before else _NOBODY)
        if type_ == "DELETED":
            self._known.pop(uid, None)
            self._writes.forget(uid)
            return concerned
        self._known[uid] = now
        listed_first = type_ is None and before is None
        unchanged = before is not None and before.digest == now.digest
        if listed_first or unchanged or self._writes.wrote(uid, body["metadata"]["resourceVersion"]):
            return _NOBODY
        return concerned


def digest(body: Mapping[str, Any]) -> str:
    """Return a digest of what of a child is news when it changes."""
    metadata = {key: value for key, value in body["metadata"].items() if key not in _HIDDEN}
    hidden = {"metadata"} if body["kind"] in _STATUS_MATTERS else {"metadata", "status"}
    rest = {key: value for key, value in body.items() if key not in hidden}
    return hashlib.sha256(json.dumps([metadata, rest], sort_keys=True, default=str).encode()).hexdigest()


def _environments(body: Mapping[str, Any]) -> frozenset[str]:
    """Return whose child it is by its label and by its owner: somebody may have changed one of them."""
    metadata = body["metadata"]
    named = {(metadata.get("labels") or {}).get(ownership.ENVIRONMENT_LABEL)}
    owners = metadata.get("ownerReferences") or ()
    named |= {owner["name"] for owner in owners if owner["kind"] == KIND}
    return frozenset(name for name in named if name)
