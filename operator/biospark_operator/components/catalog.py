"""The components of this version, put together. Called once by the runtime."""

from __future__ import annotations

from biospark_operator.components import access, namespace, network, registry, workload
from biospark_operator.components.objects import Cluster
from biospark_operator.components.platform import Platform
from biospark_operator.engine.component import AnyComponent

#: The apiVersion and kind of everything that components make in Kubernetes: what has to be watched.
KINDS = (
    ("v1", "Namespace"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("v1", "ServiceAccount"),
    ("v1", "Secret"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
)


def components(cluster: Cluster, platform: Platform, *, operator_namespace: str) -> tuple[AnyComponent, ...]:
    """Return all components, enabled or not; the engine finds their order.

    `operator_namespace` is where the operator runs: image pull secrets come from there, and no environment may
    have it as its own namespace.
    """
    return (
        namespace.component(cluster, operator_namespace),
        access.component(cluster),
        registry.component(cluster, operator_namespace),
        network.component(cluster, platform.network),
        workload.component(cluster, platform),
    )
