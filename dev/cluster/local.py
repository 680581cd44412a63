"""The provider that makes a cluster on this machine out of built programs; the default one.

It knows the order of the parts: programs, control plane, node; and the way down in the opposite order until
nothing is left. `Cluster` in the package calls it.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from dev.cluster import controlplane, node, programs
from dev.cluster import instance as instances
from dev.cluster.instance import ClusterError, Instance
from dev.cluster.process import Components
from dev.cluster.size import Size

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class LocalProvider:
    """One instance of the cluster on this machine."""

    name: str

    def up(self, size: Size, report: Report) -> None:
        """Start what does not run. Works again after any component was killed and after a reboot."""
        if sys.platform != "linux":
            raise ClusterError("the local cluster runs on Linux; elsewhere use CLUSTER=kind or CLUSTER=current")
        wanted = programs.CONTROL_PLANE + (programs.NODE if size is Size.NODE else ())
        programs.ensure(wanted, report)
        directory = instances.directory_of(self.name)
        with instances.locked(directory):
            instance = instances.load_or_create(self.name)
            components = Components(instance.records, instance.logs)
            with_node = size is Size.NODE or node.exists(components)
            if with_node:
                node.prepare(instance, components, report)
            instance = controlplane.start(instance, components, with_node, report)
            if with_node:
                node.start(instance, components, report)

    def down(self, report: Report) -> None:
        """Stop everything and leave nothing behind but the cache of built programs."""
        directory = instances.directory_of(self.name)
        if not directory.exists():
            report(f"There is no cluster {self.name!r}")
            return
        with instances.locked(directory):
            components = Components(directory / "run", directory / "logs")
            if (instance := instances.load(self.name)) is not None:
                node.stop(instance, components)
            controlplane.stop(components)
            shutil.rmtree(directory)
        report(f"Cluster {self.name!r} is gone")

    def status(self) -> dict[str, str]:
        """What each component that was started does: ``running (pid)`` or ``stopped``."""
        directory = instances.directory_of(self.name)
        components = Components(directory / "run", directory / "logs")
        pids = {name: components.pid(name) for name in components.names()}
        return {name: f"running ({pid})" if pid else "stopped" for name, pid in pids.items()}

    @property
    def kubeconfig(self) -> Path:
        """Path of the admin's kubeconfig."""
        return self.instance.kubeconfig

    @property
    def host_address(self) -> str:
        """Address of this machine that pods reach: loopback when there is no node."""
        return self.instance.host_address

    @property
    def instance(self) -> Instance:
        """Ports, directories and addresses; raises ClusterError when the cluster was never started."""
        instance = instances.load(self.name)
        if instance is None:
            raise ClusterError(f"there is no cluster {self.name!r}: start it with `make cluster-up`")
        return instance
