"""The namespace of an environment, its quota, and the limits that make pods without resources admissible.

The quota counts limits, so "2 CPU" is what all pods together can use at most, whatever they request.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from biospark_operator.api.platform import reserved_namespace
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.quantities import parse_quantity
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import AdoptionPolicy
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked
from biospark_operator.objects import kinds, ownership
from biospark_operator.objects.component import Cluster, ObjectsComponent, Seen
from biospark_operator.objects.manifest import namespaced

NAME = "namespace"
#: Annotation of a namespace that somebody else made: the environment that may adopt it.
ADOPTABLE_BY = "biospark.ai/adoptable-by"
#: Says that the namespace is a protected environment's. The chart's admission policy refuses to delete it then, and
#: lets nobody but the operator set the label or take it away.
PROTECTED_LABEL, PROTECTED = "biospark.ai/deletion-protection", "true"
#: What a container gets that says nothing of its own: a quota on limits admits none without.
DEFAULT_LIMITS = {"cpu": "500m", "memory": "512Mi"}
DEFAULT_REQUESTS = {"cpu": "100m", "memory": "128Mi"}


def component(cluster: Cluster, operator_namespace: str, platform_namespaces: Collection[str] = ()) -> ObjectsComponent:
    """Return the component; `operator_namespace` and those of the platform are never taken for an environment."""

    def refusal(env: Environment, seen: Seen) -> Blocked | None:
        if why := reserved_namespace(env.spec.namespace.name, operator_namespace, platform_namespaces):
            return Blocked(Reason.NAMESPACE_REFUSED, why)
        live = next((live for ref, live in seen.live.items() if ref.kind == "Namespace"), None)
        why = unconsented(env, live) if live is not None else None
        return Blocked(Reason.NOT_OWNED, why) if why else None

    return ObjectsComponent(
        name=NAME,
        condition=ConditionType.NAMESPACE_READY,
        cluster=cluster,
        build=build,
        kinds=frozenset({kinds.NAMESPACE, kinds.RESOURCE_QUOTA, kinds.LIMIT_RANGE, kinds.POD}),
        refusal=refusal,
        tell=tell,
    )


def build(env: Environment) -> Sequence[Manifest]:
    """Return the Namespace, its ResourceQuota and its LimitRange."""
    return [_namespace(env), _quota(env), _limits(env)]


def tell(env: Environment, seen: Seen) -> Mapping[str, Any]:
    """Report the name of the namespace."""
    return {"namespace": env.spec.namespace.name}


def unconsented(env: Environment, live: Manifest) -> str | None:
    """Say why a namespace may not be adopted although the environment wants it, or None.

    Whoever writes environments would get at everything in any namespace: who administers it has to let them in.
    """
    wanted = env.spec.adoption_policy is AdoptionPolicy.IF_UNOWNED and ownership.is_unowned(live)
    annotations = live["metadata"].get("annotations") or {}
    if not wanted or ownership.is_ours(live, env.identity) or annotations.get(ADOPTABLE_BY) == env.name:
        return None
    name = live["metadata"]["name"]
    return (
        f"Namespace {name} exists and its administrators have not let this environment take it over; they do so with "
        f"kubectl annotate namespace {name} {ADOPTABLE_BY}={env.name}"
    )


def _namespace(env: Environment) -> Manifest:
    wanted = env.spec.namespace
    labels = {**wanted.labels, **_pod_security(wanted.pod_security.lower())}
    if env.spec.deletion_protection:
        labels[PROTECTED_LABEL] = PROTECTED
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wanted.name, "labels": labels}}


def _pod_security(level: str) -> dict[str, str]:
    domain = "pod-security.kubernetes.io"
    return {
        label: value
        for mode in ("enforce", "audit", "warn")
        for label, value in ((f"{domain}/{mode}", level), (f"{domain}/{mode}-version", "latest"))
    }


def _quota(env: Environment) -> Manifest:
    quota = env.spec.namespace.quota
    hard = {
        "limits.cpu": quota.cpu,
        "limits.memory": quota.memory,
        "pods": str(quota.pods),
        "requests.storage": quota.storage,
    }
    return namespaced(env, "v1", "ResourceQuota", "biospark-quota", spec={"hard": hard})


def _limits(env: Environment) -> Manifest:
    quota = env.spec.namespace.quota
    room = {"cpu": quota.cpu, "memory": quota.memory}
    container = {
        "type": "Container",
        "default": _at_most(room, DEFAULT_LIMITS),
        "defaultRequest": _at_most(room, DEFAULT_REQUESTS),
    }
    return namespaced(env, "v1", "LimitRange", "biospark-limits", spec={"limits": [container]})


def _at_most(room: Mapping[str, str], amounts: Mapping[str, str]) -> dict[str, str]:
    """Lower the defaults to what a small quota has room for at all."""
    return {key: min(amount, room[key], key=parse_quantity) for key, amount in amounts.items()}
