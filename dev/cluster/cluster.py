"""`Cluster`: what tests and the demo see of a cluster, wherever it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from dev.cluster import instance as instances
from dev.cluster.local import LocalProvider
from dev.cluster.size import Size


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster of one instance."""

    provider: LocalProvider

    @classmethod
    def for_instance(cls, name: str | None = None) -> Cluster:
        """The cluster of instance `name`, by default ``$BIOSPARK_INSTANCE`` or ``dev``; nothing is started."""
        return cls(LocalProvider(name or instances.default_name()))

    def up(self, size: Size, report: Callable[[str], None] = print) -> None:
        """Start the cluster or what is missing of it; returns when it can be used."""
        self.provider.up(size, report)

    def down(self, report: Callable[[str], None] = print) -> None:
        """Stop the cluster and remove all its traces except the build cache."""
        self.provider.down(report)

    def status(self) -> dict[str, str]:
        """State of each component by name."""
        return self.provider.status()

    @property
    def kubeconfig(self) -> Path:
        """Path of the admin's kubeconfig."""
        return self.provider.kubeconfig
