"""Tells which changes of children are news, and for which environments. Pure; used by `main`.

The bookkeeping of the API server is none, nor is the status of a kind that has nothing to say about whether the
environment is ready. What this operator wrote itself does not get here: `clients.kubernetes.children` drops it.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from biospark_operator.api.v1alpha1.environment import KIND
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.objects import ownership

#: Metadata that changes with every write, or by the bookkeeping of the API server alone.
_HIDDEN = frozenset({"resourceVersion", "managedFields", "generation"})


def concerned(before: Manifest | None, after: Manifest | None, *, status_matters: bool) -> frozenset[str]:
    """Return the names of the environments to which it is news that a child was `before` and is `after`.

    Both count: somebody may have taken the marks of the environment away, or given it to another one.
    `status_matters` is what is declared of its kind.
    """
    hidden = {"metadata"} if status_matters else {"metadata", "status"}
    if before is not None and after is not None and _substance(before, hidden) == _substance(after, hidden):
        return frozenset()
    return frozenset(name for live in (before, after) if live is not None for name in _environments(live))


def _substance(live: Manifest, hidden: Set[str]) -> Mapping[str, Any]:
    """Return what of a child is news when it changes."""
    metadata = {key: value for key, value in live["metadata"].items() if key not in _HIDDEN}
    return {**{key: value for key, value in live.items() if key not in hidden}, "metadata": metadata}


def _environments(live: Manifest) -> frozenset[str]:
    """Return whose child it is by its label and by its owner: somebody may have changed one of them."""
    metadata = live["metadata"]
    named = {(metadata.get("labels") or {}).get(ownership.ENVIRONMENT_LABEL)}
    owners = metadata.get("ownerReferences") or ()
    named |= {owner["name"] for owner in owners if owner["kind"] == KIND}
    return frozenset(name for name in named if name)
