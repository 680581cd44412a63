"""The contract between `Cluster` and the places a cluster can come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from dev.cluster.images import Recipe
from dev.cluster.size import Size

Report = Callable[[str], None]


class Provider(Protocol):
    """One way to have a cluster: made on this machine, made by kind, or there already.

    Every operation raises ClusterError with what to do when it is not possible.
    """

    def up(self, size: Size, report: Report) -> None:
        """Make the cluster usable; again and again without harm."""

    def down(self, report: Report) -> None:
        """Remove what `up` made."""

    def status(self) -> dict[str, str]:
        """State of each part by name, empty when there is no cluster."""
        ...

    def build(self, recipe: Recipe, report: Report) -> str:
        """Build an image and bring it into the cluster; returns the reference whose tag stands for the content."""
        ...

    def load_archive(self, archive: Path) -> None:
        """Bring the images of an archive into the cluster."""

    def tag(self, reference: str, tag: str) -> None:
        """Give an image of the cluster a further name."""

    @property
    def kubeconfig(self) -> Path:
        """Path of a kubeconfig whose only context is this cluster."""
        ...

    @property
    def host_address(self) -> str:
        """Address of this machine at which pods reach its programs."""
        ...

    @property
    def node_address(self) -> str:
        """Address of the node; node ports are there."""
        ...
