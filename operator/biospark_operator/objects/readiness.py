"""Says by the rules of its kind why an object is not in order yet. Pure; used by `objects`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from biospark_operator.clients.kubernetes.objects import Manifest


def unready(live: Manifest) -> str | None:
    """Return why an object is not in order, or None if it is. Kinds without a state of their own always are."""
    status: Mapping[str, Any] = live.get("status") or {}
    generation = live["metadata"].get("generation")
    if "observedGeneration" in status and generation and status["observedGeneration"] < generation:
        return "its controller has not looked at the change yet"
    match live["kind"]:
        case "Namespace" if status.get("phase") != "Active":
            return f"it is {status.get('phase', 'not active yet')}"
        case "Deployment":
            return _rollout(live["spec"], status)
        case _:
            return None


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
