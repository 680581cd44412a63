"""Nodes that only pretend: pods on them are Running and Ready at once, and nothing runs. For tests of scale.

kwok plays the kubelet of every Node that carries its annotation. A real node holds some dozen pods on a small
machine; of these, thousands cost next to nothing, and all other parts of Kubernetes work as ever. Started on top
of a control plane by whoever needs it; going down takes it along.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dev.cluster import instance as instances
from dev.cluster import programs
from dev.cluster.api import Api, Manifest, has_condition
from dev.cluster.instance import ClusterError, Instance
from dev.cluster.process import Command, Components

PROGRAM = "kwok"
ANNOTATION = ("kwok.x-k8s.io/node", "fake")
#: What happens to fake nodes and pods, in the module's own files: kwok does nothing unless told.
STAGES = (
    "node/fast/node-initialize.yaml",
    "node/heartbeat/node-heartbeat.yaml",
    "pod/fast/pod-ready.yaml",
    "pod/fast/pod-complete.yaml",
    "pod/fast/pod-delete.yaml",
)
LEASE_SECONDS = 40
#: kwok gives its nodes processors, memory and pods, and no disk, which pods ask for as well.
DISK = {"ephemeral-storage": "100Ti"}


def start(name: str, nodes: int, report: Callable[[str], None] = print) -> None:
    """Add `nodes` fake nodes to the running local cluster `name`, and return when pods can be scheduled on them."""
    programs.ensure(programs.FAKE_NODES, report)
    instance = instances.load(name)
    if instance is None:
        raise ClusterError(f"there is no cluster {name!r}: start it first")
    components = Components(instance.records, instance.logs)
    stages = Path(programs.module_directory("addons", "sigs.k8s.io/kwok")) / "kustomize" / "stage"
    components.ensure(command(instance, stages))
    with Api(instance.kubeconfig) as api:
        wanted = [node(f"fake-{number}") for number in range(nodes)]
        api.apply_all(wanted)
        for manifest in wanted:
            path = f"/api/v1/nodes/{manifest['metadata']['name']}"
            api.await_object(path, _takes_pods, 60, f"a node that {PROGRAM} plays. {components.tail(PROGRAM)}\nIt")
            api.apply({**manifest, "status": {"allocatable": DISK, "capacity": DISK}}, "/status")
    report(f"{nodes} fake nodes are ready")


def stop(components: Components) -> None:
    """Stop playing, where it was started."""
    components.stop(PROGRAM, grace=2)


def command(instance: Instance, stages: Path) -> Command:
    """The command line of kwok; `stages` is the directory of the module's stages."""
    key, value = ANNOTATION
    return Command(
        PROGRAM,
        (
            str(programs.binary(PROGRAM)),
            f"--kubeconfig={instance.kubeconfig}",
            f"--manage-nodes-with-annotation-selector={key}={value}",
            f"--node-lease-duration-seconds={LEASE_SECONDS}",
            *(f"--config={stages / stage}" for stage in STAGES),
        ),
    )


def node(name: str) -> Manifest:
    """A node with room for everything: kwok gives it a thousand processors unless it has a status."""
    key, value = ANNOTATION
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "annotations": {key: value}, "labels": {"kubernetes.io/hostname": name}},
    }


def _takes_pods(seen: Manifest) -> bool:
    return has_condition("Ready")(seen) and not seen["spec"].get("taints")
