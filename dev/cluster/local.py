"""The provider that makes a cluster on this machine out of built programs; the default one.

It knows the order of the parts: programs, sandbox of the node, control plane, node; and the way down in the
opposite order until nothing is left. `Cluster` calls it.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from dev.cluster import controlplane, fakenodes, images, node, programs
from dev.cluster import instance as instances
from dev.cluster.images import Recipe
from dev.cluster.instance import ClusterError, Instance
from dev.cluster.process import Components
from dev.cluster.provider import Report
from dev.cluster.size import Size, missing_for_node

#: Seconds for a server of the instance to end by itself; its data go in any case.
SERVER_GRACE_SECONDS = 3
WAITING = "Waiting: another command works on this cluster"


@dataclasses.dataclass(frozen=True)
class LocalProvider:
    """One instance of the cluster on this machine."""

    name: str

    def up(self, size: Size, report: Report) -> None:
        """Start what does not run. Works again after any component was killed and after a reboot.

        A cluster that has a node keeps it when only a control plane is asked for.
        """
        if sys.platform != "linux":
            raise ClusterError("the local cluster runs on Linux; elsewhere use CLUSTER=kind or CLUSTER=current")
        directory = instances.directory_of(self.name)
        with_node = size is Size.NODE or node.exists(_components(directory))
        if with_node and (missing := missing_for_node()):
            raise ClusterError(f"{missing}. `--size control-plane` does without")
        programs.ensure(programs.CONTROL_PLANE + (programs.NODE if with_node else ()), report)
        with instances.locked(directory, lambda: report(WAITING)):
            instance, components = instances.load_or_create(self.name), _components(directory)
            if with_node:
                node.prepare(instance, components, report)
            instance = controlplane.start(instance, components, with_node, report)
            if with_node:
                node.start(instance, components, report)

    def down(self, report: Report) -> None:
        """Stop everything and leave nothing behind but the cache."""
        directory = instances.directory_of(self.name)
        if not directory.exists():
            report(f"There is no cluster {self.name!r}")
            return
        with instances.locked(directory, lambda: report(WAITING)):
            components = _components(directory)
            node.stop(instances.unnumbered(self.name), components)
            fakenodes.stop(components)
            controlplane.stop(components)
            for server in _servers(directory):
                for program in server.names():
                    server.stop(program, grace=SERVER_GRACE_SECONDS)
            shutil.rmtree(directory)
        report(f"Cluster {self.name!r} is gone")

    def status(self) -> dict[str, str]:
        """What each component that was started does: ``running (pid)`` or ``stopped``."""
        components = _components(instances.directory_of(self.name))
        pids = {name: components.pid(name) for name in components.names()}
        return {name: f"running ({pid})" if pid else "stopped" for name, pid in pids.items()}

    def build(self, recipe: Recipe, report: Report) -> str:
        """Build an image and import it into the node, under its content's tag and under the recipe's."""
        instance = self.instance
        reference = images.build(recipe, report)
        images.load(instance, reference, recipe.tag)
        return reference

    def load_archive(self, archive: Path) -> None:
        """Import an archive as `docker save` writes it."""
        images.load_archive(self.instance, archive)

    def tag(self, reference: str, tag: str) -> None:
        """Give an image on the node a further name."""
        images.tag(self.instance, reference, tag)

    @property
    def kubeconfig(self) -> Path:
        """Path of the admin's kubeconfig."""
        return self.instance.kubeconfig

    @property
    def host_address(self) -> str:
        """This machine's end of the link to the node; loopback when there is no node."""
        components = _components(instances.directory_of(self.name))
        return self.instance.host_address if node.exists(components) else "127.0.0.1"

    @property
    def node_address(self) -> str:
        """The node's end of the link."""
        return self.instance.node_address

    @property
    def instance(self) -> Instance:
        """Ports, directories and addresses; raises ClusterError when the cluster was never started."""
        instance = instances.load(self.name)
        if instance is None:
            raise ClusterError(f"there is no cluster {self.name!r}: start it with `make cluster-up`")
        return instance


def _servers(directory: Path) -> list[Components]:
    """What runs beside the cluster in the same instance: PostgreSQL, OpenBao."""
    return [_components(records.parent) for records in directory.glob("*/run")]


def _components(directory: Path) -> Components:
    return Components(directory / "run", directory / "logs")
