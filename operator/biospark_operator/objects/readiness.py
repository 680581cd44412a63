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


def unready(live: Manifest) -> str | None:
    """Return why an object is not in order, or None if it is."""
    status: Mapping[str, Any] = live.get("status") or {}
    if _is_older(status, live):
        return _UNSEEN_CHANGE
    match live["kind"]:
        case "Namespace":
            return None if status.get("phase") == "Active" else f"it is {status.get('phase', 'not active yet')}"
        case "Deployment":
            return _rollout(live["spec"], status)
        case _:
            return _by_conditions(live, status)


def stalled(live: Manifest) -> str | None:
    """Return why an object does not get in order by itself, or None where its controller does not say so."""
    condition = _conditions(live).get("Stalled", {})
    if condition.get("status") != "True" or _is_older(condition, live):
        return None
    return f"it is stalled{_told(condition)}"


def _by_conditions(live: Manifest, status: Mapping[str, Any]) -> str | None:
    if not status:
        return "its controller has not looked at it yet"
    conditions = _conditions(live)
    for type_, doing in (("Stalled", "stalled"), ("Reconciling", "being changed")):
        condition = conditions.get(type_, {})
        if condition.get("status") == "True":
            return f"it is {doing}{_told(condition)}"
    ready = conditions.get("Ready")
    if ready is None:
        return None
    if _is_older(ready, live):
        return _UNSEEN_CHANGE
    return None if ready.get("status") == "True" else f"it is not ready{_told(ready)}"


_UNSEEN_CHANGE = "its controller has not looked at the change yet"


def _is_older(told: Mapping[str, Any], live: Manifest) -> bool:
    """Whether a status or a condition is about an earlier generation than there is."""
    generation = live["metadata"].get("generation")
    return bool(generation) and told.get("observedGeneration", generation) < generation


def _conditions(live: Manifest) -> Mapping[str, Mapping[str, Any]]:
    return {condition["type"]: condition for condition in (live.get("status") or {}).get("conditions") or ()}


def _told(condition: Mapping[str, Any]) -> str:
    told = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
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
