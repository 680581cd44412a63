"""The provider that has kind make the cluster, for machines with Docker. ``CLUSTER=kind`` chooses it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

from dev.cluster import current
from dev.cluster import dockerfile as dockerfiles
from dev.cluster import instance as instances
from dev.cluster.images import Recipe
from dev.cluster.instance import ClusterError
from dev.cluster.provider import Report
from dev.cluster.size import Size


@dataclasses.dataclass(frozen=True)
class KindProvider:
    """A kind cluster named after the instance."""

    name: str

    @property
    def cluster(self) -> str:
        """Name of the cluster for kind."""
        return f"biospark-{self.name}"

    def up(self, size: Size, report: Report) -> None:
        """Create the cluster unless it exists, and add what environments expect of it."""
        del size  # kind always brings a node
        existing = _run("kind", "get", "clusters").split()
        with instances.locked(self._directory):
            kubeconfig = str(self._directory / "admin.kubeconfig")
            if self.cluster not in existing:
                report(f"kind creates the cluster {self.cluster} (usually a minute)")
                _run("kind", "create", "cluster", "--name", self.cluster, "--wait=120s", "--kubeconfig", kubeconfig)
            else:
                _run("kind", "export", "kubeconfig", "--name", self.cluster, "--kubeconfig", kubeconfig)
            current.furnish(Path(kubeconfig), report)

    def down(self, report: Report) -> None:
        """Delete the cluster."""
        _run("kind", "delete", "cluster", "--name", self.cluster)
        shutil.rmtree(self._directory, ignore_errors=True)
        report(f"kind cluster {self.cluster!r} is gone")

    def status(self) -> dict[str, str]:
        """Whether the cluster exists."""
        return {"kind": "running"} if self.cluster in _run("kind", "get", "clusters").split() else {}

    def build(self, recipe: Recipe, report: Report) -> str:
        """Build with Docker and load the image into kind's node."""
        tag = dockerfiles.content_tag(recipe.dockerfile, recipe.context, recipe.arguments)
        reference = f"{recipe.repository}:{tag}"
        report(f"Building {reference}")
        options = [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]
        tags = (f"--tag={reference}", f"--tag={recipe.tag}")
        _run("docker", "build", *options, *tags, f"--file={recipe.dockerfile}", str(recipe.context))
        _run("kind", "load", "docker-image", "--name", self.cluster, reference, recipe.tag)
        return reference

    def load_archive(self, archive: Path) -> None:
        """Load an archive into kind's node."""
        _run("kind", "load", "image-archive", "--name", self.cluster, str(archive))

    def tag(self, reference: str, tag: str) -> None:
        """Give an image a further name and load that."""
        _run("docker", "tag", reference, tag)
        _run("kind", "load", "docker-image", "--name", self.cluster, tag)

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig that kind wrote."""
        path = self._directory / "admin.kubeconfig"
        if not path.exists():
            raise ClusterError(f"there is no kind cluster {self.cluster!r}: run `make cluster-up` with CLUSTER=kind")
        return path

    @property
    def host_address(self) -> str:
        """Gateway of Docker's network: this machine as containers see it."""
        return self._network("Gateway")

    @property
    def node_address(self) -> str:
        """Address of the node's container."""
        return self._network("IPAddress")

    @property
    def _directory(self) -> Path:
        return instances.directory_of(self.name, "kind")

    def _network(self, field: str) -> str:
        template = f"{{{{range .NetworkSettings.Networks}}}}{{{{.{field}}}}}{{{{end}}}}"
        return _run("docker", "inspect", "--format", template, f"{self.cluster}-control-plane").strip()


def _run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        raise ClusterError(f"CLUSTER=kind needs `{command[0]}` in PATH: install it, or use the local cluster on Linux")
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ClusterError(f"`{' '.join(command[:3])}` failed:\n{answer.stderr.strip()[-2000:]}")
    return answer.stdout
