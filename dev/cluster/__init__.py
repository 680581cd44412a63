"""A real Kubernetes on one machine for demo and tests, without Docker and without an image registry.

`Cluster` is the interface for tests and the demo; ``python -m dev.cluster`` is the same for a shell.
"""

from dev.cluster.cluster import Cluster
from dev.cluster.instance import ClusterError
from dev.cluster.size import Size

__all__ = ["Cluster", "ClusterError", "Size"]
