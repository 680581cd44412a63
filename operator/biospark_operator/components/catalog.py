"""The components of this version, put together. Called once by the runtime."""

from __future__ import annotations

from biospark_operator.api.platform import Platform
from biospark_operator.clients.postgres.server import Servers
from biospark_operator.components import access, database, namespace, network, pull_secret, schema
from biospark_operator.components.database.access import Access
from biospark_operator.components.secrets import component as secrets
from biospark_operator.components.workload import component as workload
from biospark_operator.engine.component import AnyComponent
from biospark_operator.objects.component import Cluster

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
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
)


def components(
    cluster: Cluster, platform: Platform, *, operator_namespace: str, servers: Servers | None = None
) -> tuple[AnyComponent, ...]:
    """Return all components, enabled or not; the engine finds their order.

    `operator_namespace` is where the operator runs: Secrets that environments refer to come from there, and no
    environment may have it as its own namespace. `servers` are the connections to PostgreSQL, for who wants to
    close them.
    """
    servers_of_databases = Access(cluster, servers or Servers(), operator_namespace, platform.database)
    return (
        namespace.component(cluster, operator_namespace, platform.network.namespaces()),
        access.component(cluster),
        pull_secret.component(cluster, operator_namespace),
        network.component(cluster, platform.network),
        database.DatabaseComponent(servers_of_databases),
        schema.deferred(servers_of_databases),
        secrets.component(cluster),
        workload.component(cluster, platform),
    )
