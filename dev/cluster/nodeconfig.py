"""Configuration files of the node's programs, as pure functions of the instance and of the machine.

What differs between machines (version of control groups, capabilities) is found at run time by `Machine.here`
and passed in, so that every variant is tested anywhere. The node writes the files.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dev.cluster import cgroups, controlplane
from dev.cluster.instance import Instance

PAUSE_IMAGE = "localhost/biospark/pause:1"
CLUSTER_DOMAIN = "cluster.local"
CAP_SYS_RESOURCE = 24
COREDNS_READY_PORT = 8181
METRICS_PORT = 4443
UNWANTED_PLUGINS = (
    "io.containerd.internal.v1.opt",  # makes a directory in /opt of this machine
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs",
)


@dataclasses.dataclass(frozen=True)
class Machine:
    """What of this machine the configuration depends on."""

    cgroup_version_2: bool
    may_raise_priorities: bool
    cni_plugins: Path

    @classmethod
    def here(cls, cni_plugins: Path) -> Machine:
        """The machine this runs on."""
        status = Path("/proc/self/status").read_text()
        effective = next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1]
        capable = bool(int(effective, 16) >> CAP_SYS_RESOURCE & 1)
        return cls(cgroups.is_version_2(), capable, cni_plugins)


def files(instance: Instance, machine: Machine) -> dict[str, str]:
    """Content of every configuration file by its path below the instance's directory."""
    return {
        "containerd.toml": containerd(instance, machine),
        "cni/10-bridge.conflist": _as_json(container_network(instance)),
        "kubelet.json": _as_json(kubelet(instance, machine)),
        "kube-proxy.json": _as_json(kube_proxy(instance)),
        "Corefile": corefile(instance),
        "resolv.conf": f"nameserver {instance.node_address}\n",
    }


def containerd(instance: Instance, machine: Machine) -> str:
    """Configuration of containerd. Without CAP_SYS_RESOURCE no sandbox could lower its out-of-memory score."""
    plugins = ", ".join(f'"{plugin}"' for plugin in UNWANTED_PLUGINS)
    restrict = "false" if machine.may_raise_priorities else "true"
    return f"""\
version = 2
root = "{instance.directory}/node/containerd"
state = "/run/containerd"
disabled_plugins = [{plugins}]

[grpc]
address = "{instance.containerd_socket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = {restrict}
stream_server_address = "127.0.0.1"
stream_server_port = "0"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{machine.cni_plugins}"
conf_dir = "{instance.directory}/cni"
"""


def pod_subnet(instance: Instance) -> str:
    """Addresses of the pods of the only node: the first part of the cluster's range."""
    subnets = ipaddress.ip_network(instance.pod_cidr).subnets(new_prefix=controlplane.NODE_PREFIX_LENGTH)
    return str(next(subnets))


def container_network(instance: Instance) -> Mapping[str, Any]:
    """One bridge for all pods; hairpin, so that a pod reaches itself through its Service."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": pod_subnet(instance)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, portmap]}


def kubelet(instance: Instance, machine: Machine) -> Mapping[str, Any]:
    """Configuration of the kubelet for a machine that it shares with everything else the developer runs."""
    certificate = instance.pki / "kubelet"
    shared = {
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "address": instance.node_address,
        "containerRuntimeEndpoint": f"unix://{instance.containerd_socket}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(instance.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{certificate}.crt",
        "tlsPrivateKeyFile": f"{certificate}.key",
        "clusterDNS": [instance.node_address],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": str(instance.directory / "resolv.conf"),
        "volumePluginDir": str(instance.directory / "node" / "volume-plugins"),
        "staticPodPath": "",
        "failSwapOn": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": instance.cgroup,
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        "shutdownGracePeriod": "0s",
    }
    return shared if machine.cgroup_version_2 else {**shared, "failCgroupV1": False}


def kube_proxy(instance: Instance) -> Mapping[str, Any]:
    """Configuration of kube-proxy; the zeroes leave the machine's connection tracking as it is."""
    return {
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(instance.pki / "kube-proxy.kubeconfig")},
        "clusterCIDR": instance.pod_cidr,
        "hostnameOverride": instance.node_name,
        "bindAddress": instance.node_address,
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def corefile(instance: Instance) -> str:
    """Names of the cluster; every other name does not exist, at once, as pods have no way out of the machine."""
    common = f"bind {instance.node_address}\n    errors"
    return f"""\
{CLUSTER_DOMAIN}:53 in-addr.arpa:53 {{
    {common}
    ready {instance.node_address}:{COREDNS_READY_PORT}
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {instance.pki}/coredns.kubeconfig
        ttl 5
    }}
}}
.:53 {{
    {common}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1) + "\n"
