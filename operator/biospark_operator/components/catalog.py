"""The components of this version, put together, and what follows from them. Used by the runtime."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from biospark_operator.api.platform import Platform
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.clients.postgres.servers import Servers
from biospark_operator.components import access, database, namespace, network, pull_secret, schema
from biospark_operator.components.database.access import Access
from biospark_operator.components.secrets import component as secrets
from biospark_operator.components.secrets.store import KubernetesSecrets
from biospark_operator.components.workload import component as workload
from biospark_operator.engine.component import AnyComponent, Environment
from biospark_operator.objects.component import Cluster, ObjectsComponent


def components(
    cluster: Cluster, platform: Platform, *, operator_namespace: str, servers: Servers | None = None
) -> tuple[AnyComponent, ...]:
    """Return all components, enabled or not; the engine finds their order.

    `operator_namespace` is where the operator runs: Secrets that environments refer to come from there, and no
    environment may have it as its own namespace. `servers` are the connections to PostgreSQL, for who wants to
    close them.
    """
    servers_of_databases = Access(cluster, servers or Servers(), operator_namespace, platform.database)
    credentials = KubernetesSecrets(cluster, database.NAME)
    return (
        namespace.component(cluster, operator_namespace, platform.network.namespaces()),
        access.component(cluster),
        pull_secret.component(cluster, operator_namespace),
        network.component(cluster, platform.network),
        database.deferred(servers_of_databases, credentials),
        schema.deferred(servers_of_databases),
        secrets.component(cluster),
        workload.component(cluster, platform, credentials),
    )


def rendered(components: Iterable[AnyComponent], env: Environment) -> Sequence[Manifest]:
    """Return every Kubernetes object of an environment as it is applied, but for what is read or made at that time.

    The data of Secrets is not among it, nor what Kubernetes or an autoscaler decides.
    """
    made = (c for c in components if isinstance(c, ObjectsComponent) and c.enabled(env))
    return [manifest for component in made for manifest in component.rendered(env)]
