"""The components of this version, put together. Called once by the runtime."""

from __future__ import annotations

from biospark_operator.components import access, namespace, network, registry, workload
from biospark_operator.components.objects import Cluster
from biospark_operator.components.platform import Platform
from biospark_operator.engine.component import AnyComponent


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
