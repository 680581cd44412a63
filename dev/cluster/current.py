"""The provider for a cluster that is there already: the current context of the user's kubeconfig.

The tests create and delete namespaces, definitions and rights, so a cluster that does not look like one on a
developer's machine is refused. The context is copied into a kubeconfig of its own: switching contexts in
another terminal afterwards changes nothing. `Cluster` chooses it for ``CLUSTER=current``.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import os
import shutil
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import yaml

from dev.cluster import crds
from dev.cluster import instance as instances
from dev.cluster.api import Api
from dev.cluster.controlplane import ISSUER, PLATFORM_NAMESPACE
from dev.cluster.images import Recipe
from dev.cluster.instance import ClusterError
from dev.cluster.provider import Report
from dev.cluster.size import Size

LOCAL_NAMES = ("minikube", "docker-desktop", "rancher-desktop", "orbstack", "colima")
LOCAL_PREFIXES = ("kind-", "k3d-", "biospark-", "colima-")
PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(network) for network in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)


@dataclasses.dataclass(frozen=True)
class CurrentProvider:
    """The cluster of the current context; `really` accepts one that does not look local."""

    name: str
    really: bool = False

    def up(self, size: Size, report: Report) -> None:
        """Check that the cluster is a local one and answers, and add what environments expect of it."""
        del size  # the cluster is as large as it is
        config = flattened(current_config())
        if not self.really:
            refuse_remote(config)
        with instances.locked(self._directory):
            target = self._directory / "admin.kubeconfig"
            target.touch(mode=0o600)
            target.write_text(yaml.safe_dump(config))
            report(f"Using the cluster of context {config['current-context']}")
            furnish(target, report)

    def down(self, report: Report) -> None:
        """Forget the cluster; it belongs to the user, with everything in it."""
        shutil.rmtree(self._directory, ignore_errors=True)
        report("The cluster of the current context stays as it is")

    def status(self) -> dict[str, str]:
        """Whether the API server answers."""
        if not (self._directory / "admin.kubeconfig").exists():
            return {}
        with Api(self.kubeconfig) as api:
            return {"kube-apiserver": "running" if api.is_ready() else "stopped"}

    def build(self, recipe: Recipe, report: Report) -> str:
        """Not possible: how images get into the cluster is the user's business."""
        del report
        raise ClusterError(
            f"CLUSTER=current cannot load {recipe.tag}: build it with `docker build -f {recipe.dockerfile}` and "
            "push or load it the way this cluster wants, or use CLUSTER=kind or the local cluster"
        )

    def load_archive(self, archive: Path) -> None:
        """Not possible, see `build`."""
        raise ClusterError(f"CLUSTER=current cannot load {archive}: load it the way this cluster wants")

    def tag(self, reference: str, tag: str) -> None:
        """Not possible, see `build`."""
        raise ClusterError(f"CLUSTER=current cannot tag {reference} as {tag}: do it the way this cluster wants")

    @property
    def kubeconfig(self) -> Path:
        """The copy of the context that `up` made."""
        path = self._directory / "admin.kubeconfig"
        if not path.exists():
            raise ClusterError("no context was taken yet: run `make cluster-up` with CLUSTER=current")
        return path

    @property
    def host_address(self) -> str:
        """Only the user knows at which address pods of that cluster reach this machine."""
        address = os.environ.get("BIOSPARK_HOST_ADDRESS")
        if not address:
            raise ClusterError("set BIOSPARK_HOST_ADDRESS to the address at which pods reach this machine")
        return address

    @property
    def node_address(self) -> str:
        """Internal address of the cluster's first node."""
        with Api(self.kubeconfig) as api:
            addresses = [entry for node in api.items("/api/v1/nodes") for entry in node["status"]["addresses"]]
        found = [entry["address"] for entry in addresses if entry["type"] == "InternalIP"]
        if not found:
            raise ClusterError("the cluster has no node with an internal address")
        return str(found[0])

    @property
    def _directory(self) -> Path:
        return instances.directory_of(self.name, "current")


def refuse_remote(config: Any) -> None:
    """Raise ClusterError unless the current context of a minified kubeconfig looks like a local cluster."""
    context, server = config["current-context"], config["clusters"][0]["cluster"]["server"]
    if looks_local(context, server):
        return
    raise ClusterError(
        f"context {context!r} (server {server}) does not look like a cluster on this machine. Tests and demo "
        "create and delete namespaces and definitions in it. Choose another one with `kubectl config "
        "use-context`, or say `--yes-really`"
    )


def looks_local(context: str, server: str) -> bool:
    """Whether a context is local by its name or its server's address.

    The name alone does not make a cluster local if its server has a public name: anything can be called kind-x.
    """
    host = urllib.parse.urlsplit(server).hostname or ""
    if host == "localhost" or host.endswith((".localhost", ".internal")):
        return True
    named = context in LOCAL_NAMES or context.startswith(LOCAL_PREFIXES)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    here = address.is_loopback or address.is_unspecified
    return here or (named and any(address in network for network in PRIVATE_NETWORKS))


def current_config() -> Any:
    """The user's kubeconfig reduced to the current context, with certificates embedded."""
    beside_python = Path(sys.executable).parent / "kubectl"
    kubectl = str(beside_python) if beside_python.exists() else "kubectl"
    command = [kubectl, "config", "view", "--minify", "--flatten", "--raw"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ClusterError(f"CLUSTER=current needs a kubeconfig with a current context: {answer.stderr.strip()}")
    return yaml.safe_load(answer.stdout)


def flattened(config: Any) -> Any:
    """The kubeconfig itself if its user has a client certificate, as clusters on developers' machines give."""
    user = (config.get("users") or [{}])[0].get("user") or {}
    if "client-certificate-data" not in user:
        raise ClusterError(
            f"context {config.get('current-context')!r} has no client certificate: CLUSTER=current supports "
            "clusters that give one, such as kind, minikube, k3d and Docker Desktop"
        )
    return config


def furnish(kubeconfig: Path, report: Report) -> None:
    """Add the definitions that are missing and the platform's namespace to somebody else's cluster."""
    definitions = crds.ensure(report)
    with Api(kubeconfig) as api:
        if not api.is_ready():
            raise ClusterError("the API server of the cluster does not answer")
        crds.apply_missing(api, definitions)
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLATFORM_NAMESPACE}})
        if api.get(f"/apis/cert-manager.io/v1/clusterissuers/{ISSUER}") is None:
            report(f"There is no ClusterIssuer {ISSUER}: install cert-manager and make one for certificates")
