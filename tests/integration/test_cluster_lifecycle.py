"""The local cluster comes back after anything was killed, and goes without leaving a trace.

Each test has instances of its own, so it disturbs no other cluster on the machine.
"""

import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from dev.cluster import Cluster, Size, leftovers
from dev.cluster.local import LocalProvider
from dev.cluster.nodeconfig import PAUSE_IMAGE
from dev.deploy import Tools
from tests.clusters import require_node

CERTIFICATE = {
    "apiVersion": "cert-manager.io/v1",
    "kind": "Certificate",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "secretName": "web-tls",
        "dnsNames": ["web.example.com"],
        "issuerRef": {"kind": "ClusterIssuer", "name": "biospark-ca"},
    },
}


def silent(_: str) -> None:
    """Progress nobody looks at."""


def instance_name(purpose: str) -> str:
    """A name no other run has, so that runs may overlap."""
    return f"{purpose}-{os.getpid()}"


def kubectl(cluster: Cluster, *arguments: str, manifest: Any = None) -> str:
    return Tools(cluster.kubeconfig).kubectl(*arguments, text=None if manifest is None else json.dumps(manifest))


def kill(cluster: Cluster, component: str) -> None:
    """SIGKILL a component, found by the status a user sees, and wait until it is gone."""
    pid = int(cluster.status()[component].removeprefix("running (").removesuffix(")"))
    handle = os.pidfd_open(pid)
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)


def everything_runs(cluster: Cluster) -> bool:
    return all(state.startswith("running") for state in cluster.status().values())


@pytest.fixture(scope="module")
def control_plane() -> Iterator[Cluster]:
    cluster = Cluster(LocalProvider(instance_name("life")))
    try:
        cluster.up(Size.CONTROL_PLANE, silent)
        yield cluster
    finally:
        cluster.down(silent)


@pytest.mark.integration
@pytest.mark.parametrize("component", ["etcd", "kube-apiserver", "kube-controller-manager", "cert-manager"])
def test_what_was_stored_is_there_after_a_component_was_killed(control_plane: Cluster, component: str) -> None:
    kubectl(control_plane, "create", "configmap", f"before-{component}", "--from-literal=a=b")
    kill(control_plane, component)

    control_plane.up(Size.CONTROL_PLANE, silent)

    assert everything_runs(control_plane)
    assert kubectl(control_plane, "get", "configmap", f"before-{component}", "-o", "jsonpath={.data.a}") == "b"


@pytest.mark.integration
def test_starting_what_runs_restarts_nothing(control_plane: Cluster) -> None:
    before = control_plane.status()
    control_plane.up(Size.CONTROL_PLANE, silent)
    assert control_plane.status() == before


@pytest.mark.integration
def test_certificates_are_issued(control_plane: Cluster) -> None:
    kubectl(control_plane, "apply", "--server-side", "-f", "-", manifest=CERTIFICATE)
    kubectl(control_plane, "wait", "certificate/web", "--for=condition=Ready", "--timeout=60s")
    assert kubectl(control_plane, "get", "secret", "web-tls", "-o", "jsonpath={.type}") == "kubernetes.io/tls"


@pytest.mark.integration
def test_every_definition_environments_use_is_served(control_plane: Cluster) -> None:
    served = kubectl(control_plane, "get", "crd", "-o", "name")
    for group in (
        "certificates.cert-manager.io",
        "kongplugins.configuration.konghq.com",
        "servicemonitors.monitoring.coreos.com",
        "peerauthentications.security.istio.io",
        "elasticsearches.elasticsearch.k8s.elastic.co",
        "httproutes.gateway.networking.k8s.io",
    ):
        assert f"customresourcedefinition.apiextensions.k8s.io/{group}\n" in served


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with any cluster."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.integration
def test_going_down_leaves_nothing_even_after_kills_and_spares_who_got_an_old_process_id(
    stranger: subprocess.Popen[bytes],
) -> None:
    name = instance_name("gone")
    cluster = Cluster(LocalProvider(name))
    try:
        cluster.up(Size.CONTROL_PLANE, silent)
        assert name in leftovers.names()
        kill(cluster, "etcd")
        record = cluster.kubeconfig.parent / "run" / "etcd.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "pid": stranger.pid}))
    finally:
        cluster.down(silent)

    assert stranger.poll() is None
    assert leftovers.of(name) == []
    assert name not in leftovers.names()


@pytest.fixture(scope="module")
def node() -> Iterator[Cluster]:
    require_node()
    cluster = Cluster(LocalProvider(instance_name("node")))
    try:
        cluster.up(Size.NODE, silent)
        yield cluster
    finally:
        cluster.down(silent)


def run_pod(cluster: Cluster, name: str) -> None:
    kubectl(cluster, "run", name, f"--image={PAUSE_IMAGE}", "--image-pull-policy=Never")
    kubectl(cluster, "wait", f"pod/{name}", "--for=condition=Ready", "--timeout=60s")


@pytest.mark.e2e
@pytest.mark.parametrize("component", ["containerd", "kubelet", "sandbox"])
def test_pods_run_again_after_a_part_of_the_node_was_killed(node: Cluster, component: str) -> None:
    kill(node, component)
    node.up(Size.NODE, silent)
    assert everything_runs(node)
    run_pod(node, f"after-{component}")


@pytest.mark.e2e
def test_a_node_goes_with_its_pods_and_leaves_nothing() -> None:
    require_node()
    name = instance_name("trace")
    cluster = Cluster(LocalProvider(name))
    try:
        cluster.up(Size.NODE, silent)
        run_pod(cluster, "web")
        assert any(line.startswith("link ") for line in leftovers.of(name))
    finally:
        cluster.down(silent)
    assert leftovers.of(name) == []
