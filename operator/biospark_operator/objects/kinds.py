"""What components say of the kinds of objects that they make.

A component lists its kinds, and everything else follows: what is watched, whose status wakes an environment and is
waited for, and the rights that the operator needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

#: What the operator does with objects of every kind: see drift, apply, remove.
VERBS = frozenset({"get", "list", "watch", "create", "patch", "delete"})


@dataclass(frozen=True, slots=True, order=True)
class Kind:
    """A kind of object."""

    api_version: str
    kind: str
    #: How RBAC and paths name it.
    plural: str
    #: Whether its status says if it is in order: then it is waited for, and its changes wake the environment. Other
    #: kinds are in order once they exist.
    status_matters: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """The apiVersion and the kind."""
        return self.api_version, self.kind

    @property
    def group(self) -> str:
        """The API group, which is "" for the core."""
        return self.api_version.rpartition("/")[0]


@runtime_checkable
class MakesObjects(Protocol):
    """A component that makes Kubernetes objects."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of all objects that it may make."""


def kinds_of(components: Iterable[object]) -> tuple[Kind, ...]:
    """Return the kinds of all that components may make. Raises `ValueError` where two disagree about one."""
    found: dict[tuple[str, str], Kind] = {}
    for component in components:
        for kind in component.kinds if isinstance(component, MakesObjects) else ():
            if found.setdefault(kind.key, kind) != kind:
                raise ValueError(f"components declare {kind.api_version} {kind.kind} in different ways")
    return tuple(sorted(found.values()))


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
NETWORK_POLICY = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies", status_matters=False)
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role", "roles", status_matters=False)
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", status_matters=False)
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", status_matters=False)
CLUSTER_ROLE_BINDING = Kind(
    "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", status_matters=False
)
