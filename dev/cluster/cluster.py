"""`Cluster`: what tests and the demo see of a cluster, wherever it runs."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from dev.cluster import instance as instances
from dev.cluster.current import CurrentProvider
from dev.cluster.images import CHECKOUT, PROJECT, Recipe
from dev.cluster.instance import ClusterError
from dev.cluster.kind import KindProvider
from dev.cluster.local import LocalProvider
from dev.cluster.provider import Provider
from dev.cluster.size import Size


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A cluster of one instance."""

    provider: Provider

    @classmethod
    def for_instance(cls, name: str | None = None, *, really: bool = False) -> Cluster:
        """The cluster of instance `name`, by default ``$BIOSPARK_INSTANCE`` or ``dev``; nothing is started.

        ``$CLUSTER`` chooses where it comes from: ``local`` (default), ``kind``, or ``current``, for which `really`
        accepts a context that does not look local.
        """
        return cls(provider_for(os.environ.get("CLUSTER", ""), name or instances.default_name(), really))

    def up(self, size: Size, report: Callable[[str], None] = print) -> None:
        """Start the cluster or what is missing of it; returns when it can be used."""
        self.provider.up(size, report)

    def down(self, report: Callable[[str], None] = print) -> None:
        """Stop the cluster and remove all its traces except the cache."""
        self.provider.down(report)

    def status(self) -> dict[str, str]:
        """State of each component by name; empty when there is no cluster."""
        return self.provider.status()

    def build_image(
        self,
        dockerfile: Path,
        tag: str,
        context: Path = CHECKOUT,
        arguments: Mapping[str, str] | None = None,
        report: Callable[[str], None] = print,
    ) -> str:
        """Build an image and bring it into the cluster, which has it under `tag` then.

        Returns the reference whose tag stands for the content: put this one into pods, so that they are replaced
        when, and only when, the content has changed. `arguments` are build arguments.
        """
        return self.provider.build(Recipe(dockerfile, context, tag, arguments or {}), report)

    def build_project_images(self, report: Callable[[str], None] = print) -> dict[str, str]:
        """Build and load the images of this project; references with content tags by name (operator, api)."""
        return {recipe.repository.rpartition("/")[2]: self.provider.build(recipe, report) for recipe in PROJECT}

    def load_image(self, archive: Path) -> None:
        """Bring the images of an archive, as `docker save` writes it, into the cluster."""
        self.provider.load_archive(archive)

    def tag_image(self, reference: str, tag: str) -> None:
        """Give an image of the cluster a further name, for instance to roll out the same content again."""
        self.provider.tag(reference, tag)

    @property
    def kubeconfig(self) -> Path:
        """Path of the admin's kubeconfig; its only context is this cluster."""
        return self.provider.kubeconfig

    @property
    def host_address(self) -> str:
        """Address of this machine at which pods reach its programs: bind servers for pods to it."""
        return self.provider.host_address

    @property
    def node_address(self) -> str:
        """Address of the node, where node ports are reached from this machine."""
        return self.provider.node_address


def provider_for(kind: str, name: str, really: bool = False) -> Provider:
    """The provider that ``$CLUSTER`` names."""
    match kind:
        case "" | "local":
            return LocalProvider(name)
        case "kind":
            return KindProvider(name)
        case "current":
            return CurrentProvider(name, really)
    raise ClusterError(f"CLUSTER={kind}: use local (the default), kind or current")
