"""What components say of the kinds of objects that they make or list.

A component lists its kinds, and everything else follows: what is watched, whose status wakes an environment and is
waited for, what the cluster may lack, and the rights that the operator needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

#: What the operator does with objects of every kind: see drift, apply, remove.
VERBS = frozenset({"get", "list", "watch", "create", "patch", "delete"})
#: What it does with objects of kinds that only explain why others are not in order.
LISTS = frozenset({"list"})

#: The group, the resource and the verb.
Right = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object."""

    api_version: str
    kind: str
    #: How RBAC and paths name it.
    plural: str
    #: Whether its status says if it is in order: then it is waited for, and its changes wake the environment. Other
    #: kinds are in order once they exist.
    status_matters: bool = True
    #: The condition that its controller always sets in the end. Where there is one, it is waited for.
    ready: str = ""
    #: Whether a cluster may lack its definition. Then it is watched as soon as that is installed.
    optional: bool = False
    verbs: frozenset[str] = VERBS

    @property
    def key(self) -> tuple[str, str]:
        """The apiVersion and the kind."""
        return self.api_version, self.kind

    @property
    def group(self) -> str:
        """The API group, which is "" for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def definition(self) -> str:
        """The name of its CustomResourceDefinition, where it has one: "certificates.cert-manager.io"."""
        return f"{self.plural}.{self.group}"

    @property
    def watched(self) -> bool:
        """Whether its objects are children, which are kept in memory."""
        return "watch" in self.verbs


@runtime_checkable
class MakesObjects(Protocol):
    """A component that makes Kubernetes objects."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of all objects that it may make or list."""


def kinds_of(components: Iterable[object]) -> tuple[Kind, ...]:
    """Return each kind that components declare, with all that is done with it.

    Raises `ValueError` where two disagree about one.
    """
    found: dict[tuple[str, str], Kind] = {}
    for component in components:
        for kind in component.kinds if isinstance(component, MakesObjects) else ():
            known = found.setdefault(kind.key, kind)
            if replace(known, verbs=kind.verbs) != kind:
                raise ValueError(f"components declare {kind.api_version} {kind.kind} in different ways")
            found[kind.key] = replace(known, verbs=known.verbs | kind.verbs)
    return tuple(sorted(found.values(), key=lambda kind: kind.key))


def rights(kinds: Iterable[Kind]) -> frozenset[Right]:
    """Return the rights in the cluster that the operator needs for these kinds."""
    return frozenset((kind.group, kind.plural, verb) for kind in kinds for verb in kind.verbs)


NAMESPACE = Kind("v1", "Namespace", "namespaces")
RESOURCE_QUOTA = Kind("v1", "ResourceQuota", "resourcequotas", status_matters=False)
LIMIT_RANGE = Kind("v1", "LimitRange", "limitranges", status_matters=False)
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts", status_matters=False)
SECRET = Kind("v1", "Secret", "secrets", status_matters=False)
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps", status_matters=False)
SERVICE = Kind("v1", "Service", "services", status_matters=False)
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
# It says how far it scaled, not whether the API works: the Deployment does.
HORIZONTAL_POD_AUTOSCALER = Kind(
    "autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", status_matters=False
)
POD_DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", status_matters=False)
POD = Kind("v1", "Pod", "pods", verbs=LISTS)
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets", verbs=LISTS)
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", status_matters=False)
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles", status_matters=False)
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", status_matters=False)
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", status_matters=False)
CLUSTER_ROLE_BINDING = Kind(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", status_matters=False
)
