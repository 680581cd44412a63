"""Says why an object is not in order yet, and why it does not go. Pure; used by `component` and by components.

For most kinds the rules are those of kstatus, by which Flux and Argo CD judge objects: the controller has looked at
the newest generation, `Stalled` and `Reconciling` are not true, and `Ready` is, where there is one. One thing is
stricter: what has no status yet was not looked at, so it is not ready. Kinds whose status says nothing of the kind are
declared as such (`kinds.Kind.status_matters`) and don't get here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biospark_operator.clients.kubernetes.objects import Manifest


def unready(live: Manifest, awaits: str = "") -> str | None:
    """Return why an object is not in order, or None if it is.

    `awaits` is the condition that its controller always sets in the end; without it, `Ready` counts where it is set.
    """
    status: Mapping[str, Any] = live.get("status") or {}
    if _is_older(status, live):
        return _UNSEEN_CHANGE
    match live["kind"]:
        case "Namespace":
            return None if status.get("phase") == "Active" else f"it is {status.get('phase', 'not active yet')}"
        case "Deployment":
            return _rollout(live["spec"], status)
        case _:
            return _by_conditions(live, status, awaits)


def stalled(live: Manifest) -> str | None:
    """Return why an object does not get in order by itself, or None where its controller does not say so."""
    condition = _conditions(live).get("Stalled", {})
    if not _holds(condition, live) or _is_older(live.get("status") or {}, live):
        return None
    return f"it is stalled{_told(condition)}"


def _by_conditions(live: Manifest, status: Mapping[str, Any], awaits: str) -> str | None:
    if not status:
        return "its controller has not looked at it yet"
    conditions = _conditions(live)
    for type_, doing in (("Stalled", "stalled"), ("Reconciling", "being changed")):
        condition = conditions.get(type_, {})
        if _holds(condition, live):
            return f"it is {doing}{_told(condition)}"
    ready = conditions.get(awaits or "Ready")
    if ready is None:
        return f"its controller has not set the condition {awaits} yet" if awaits else None
    if _is_older(ready, live):
        return _UNSEEN_CHANGE
    return None if ready.get("status") == "True" else f"it is not {ready['type'].lower()}{_told(ready)}"


_UNSEEN_CHANGE = "its controller has not looked at the change yet"
#: How many characters of what a controller says are repeated.
_LONGEST = 300


def _is_older(told: Mapping[str, Any], live: Manifest) -> bool:
    """Whether a status or a condition is about an earlier generation than there is."""
    generation = live["metadata"].get("generation")
    return bool(generation) and told.get("observedGeneration", generation) < generation


def _holds(condition: Mapping[str, Any], live: Manifest) -> bool:
    return condition.get("status") == "True" and not _is_older(condition, live)


def _conditions(live: Manifest) -> Mapping[str, Mapping[str, Any]]:
    """Return the conditions by type. Some kinds call something else `conditions`, which says nothing here."""
    found = (live.get("status") or {}).get("conditions")
    items = found if isinstance(found, Sequence) else ()
    return {item["type"]: item for item in items if isinstance(item, Mapping) and "type" in item}


def _told(condition: Mapping[str, Any]) -> str:
    """Return what a condition says, on one line."""
    told = " ".join(": ".join(filter(None, (condition.get("reason"), condition.get("message")))).split())
    told = told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
    return f" ({told})" if told else ""


def held_up(live: Manifest, pods: Sequence[Manifest] = ()) -> str:
    """Return what keeps an object from being gone, as ": …", or nothing if it does not say.

    `pods` are those that it waits for. The conditions of a namespace don't tell of them from Kubernetes 1.33 on.
    """
    stuck = [
        condition["message"]
        for condition in (live.get("status") or {}).get("conditions") or ()
        if condition["status"] == "True" and condition["type"] in _REMAINING
    ]
    if held := sorted(pod["metadata"]["name"] for pod in pods if pod["metadata"].get("finalizers")):
        holders = sorted({finalizer for pod in pods for finalizer in pod["metadata"].get("finalizers") or ()})
        more = f" and {len(held) - _NAMED} more" if len(held) > _NAMED else ""
        stuck.append(f"finalizer {', '.join(holders)} on Pod {', '.join(held[:_NAMED])}{more}")
    elif pods and not stuck:
        stuck.append("its pods are ending")
    if stuck:
        return f": {'; '.join(stuck)}"
    finalizers = [name for name in live["metadata"].get("finalizers") or () if name != "foregroundDeletion"]
    return f": finalizer {', '.join(finalizers)}" if finalizers else ""


#: How many pods a message names.
_NAMED = 3
#: Conditions of a Namespace that say what is left in it.
_REMAINING = frozenset(
    {
        "NamespaceContentRemaining",
        "NamespaceFinalizersRemaining",
        "NamespaceDeletionContentFailure",
        "NamespaceDeletionDiscoveryFailure",
    }
)


def _rollout(spec: Mapping[str, Any], status: Mapping[str, Any]) -> str | None:
    wanted = spec.get("replicas", 1)
    updated, total = status.get("updatedReplicas", 0), status.get("replicas", 0)
    available = status.get("availableReplicas", 0)
    if "observedGeneration" not in status:
        return "its controller has not looked at it yet"
    if updated < wanted:
        return f"{updated} of {wanted} pods are of the new version"
    if total > updated:
        return f"{total - updated} pods of the old version are still there"
    if available < wanted:
        return f"{available} of {wanted} pods are ready"
    return None
