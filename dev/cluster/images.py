"""Images of this project for the local node: built from the real Dockerfiles, imported without a registry.

The tag of a built image is a hash of its content, so that a pod of an unchanged image is not restarted and a pod
of a changed one is. `Cluster` and the command line call it; needs root.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from dev.cluster import baseimage, hostnetwork, packages, store
from dev.cluster import dockerfile as dockerfiles
from dev.cluster.instance import ClusterError, Instance, locked

CHECKOUT = Path(__file__).parents[2]
KEPT = 8  # builds of each image: enough to go back and forth between branches
NAMESPACE = "k8s.io"  # where the kubelet looks in containerd


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One image: its Dockerfile, the context of the build and the tag that follows the newest build."""

    dockerfile: Path
    context: Path
    tag: str
    arguments: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def repository(self) -> str:
        """The image's name without its tag."""
        name, _, tag = self.tag.rpartition(":")
        return name if "/" not in tag else self.tag


PROJECT = (
    Recipe(CHECKOUT / "operator" / "Dockerfile", CHECKOUT, "localhost/biospark/operator:dev"),
    Recipe(CHECKOUT / "api_service" / "Dockerfile", CHECKOUT, "localhost/biospark/api:dev"),
)


def build(recipe: Recipe, report: Callable[[str], None]) -> str:
    """Reference of the image with its content as tag; builds only when the storage does not have it."""
    if os.geteuid() != 0:
        raise ClusterError("building images for the local node needs root")
    if not recipe.dockerfile.is_file():
        raise ClusterError(f"there is no {recipe.dockerfile}")
    packages.ensure(packages.IMAGES, report)
    with locked(store.directory(), lambda: report("Waiting for another image build to end")):
        base = baseimage.ensure(report)
        arguments = {**recipe.arguments, "BASE": base}
        tag = dockerfiles.content_tag(recipe.dockerfile, recipe.context, arguments)
        reference = f"{recipe.repository}:{tag}"
        if not store.exists(reference):
            report(f"Building {reference}")
            _build(recipe, reference, arguments, report)
        store.buildah("tag", reference, recipe.tag)
        store.forget_old(recipe.repository, KEPT)
    return reference


def load(instance: Instance, reference: str, *tags: str) -> None:
    """Import an image from the storage into the node, under its own name and further `tags`."""
    if reference not in loaded(instance):
        with tempfile.TemporaryDirectory(prefix="biospark-") as directory:
            archive = f"{directory}/image.tar"
            store.buildah("push", "--quiet", reference, f"docker-archive:{archive}:{reference}")
            load_archive(instance, Path(archive))
    for name in tags:
        tag(instance, reference, name)


def tag(instance: Instance, reference: str, name: str) -> None:
    """Give an image on the node a further name, taking it from the image that has it."""
    if name != reference:
        _ctr(instance, "images", "tag", "--force", reference, name)


def load_archive(instance: Instance, archive: Path) -> None:
    """Import an archive as `docker save` writes it."""
    if not archive.is_file():
        raise ClusterError(f"there is no image archive {archive}")
    _ctr(instance, "images", "import", str(archive))


def loaded(instance: Instance) -> set[str]:
    """References of all images on the node."""
    return set(_ctr(instance, "images", "list", "--quiet").split())


def _build(recipe: Recipe, reference: str, arguments: Mapping[str, str], report: Callable[[str], None]) -> None:
    """Build with cached layers, reaching the package index the way this machine does."""
    with tempfile.TemporaryDirectory(prefix="biospark-") as directory:
        mounts = hostnetwork.mounts(Path(directory))
        options = [
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            *(f"--volume={source}:{target}:ro" for target, source in mounts.items()),
            "--layers",
            "--pull-never",
            f"--file={recipe.dockerfile}",
            f"--tag={reference}",
        ]
        command = store.build_command("build", *options, str(recipe.context))
        log = store.directory() / f"{recipe.repository.rpartition('/')[2]}.log"
        store.watched(command, recipe.repository, log, report)


def _ctr(instance: Instance, *arguments: str) -> str:
    """Run containerd's client; raises ClusterError when there is no node to talk to."""
    if not instance.containerd_socket.exists():
        raise ClusterError(f"cluster {instance.name!r} has no node: start it with `up --size node`")
    program = packages.which("ctr") or "ctr"
    command = [program, f"--address={instance.containerd_socket}", f"--namespace={NAMESPACE}", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ClusterError(f"ctr {' '.join(arguments[:2])} failed: {answer.stderr.strip()}")
    return answer.stdout
