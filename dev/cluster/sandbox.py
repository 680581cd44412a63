"""The node's own network and mount namespace: what happens in it cannot outlive it.

Bridges, routes, packet filter rules, forwarding and every mount of containers are made inside; this machine
only gets one end of a link and two routes. When the last process inside ends, the kernel removes all of it, so
going down cannot leave anything. A small holder process keeps the namespaces; all others enter through it.
Called by the node; needs root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dev.cluster.instance import ClusterError, Instance
from dev.cluster.packages import administrator_path
from dev.cluster.process import Command, Components, command_line

HOLDER = "sandbox"
PREFIX = 30
# The kubelet sets these for a server that runs nothing else. Inside, it writes into files instead.
KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
HIDDEN_BY_MOUNTS = ("/run", "/var/run", "/var/log", "/var/lib")


def start(instance: Instance, components: Components) -> None:
    """Make the namespaces and the link; a sandbox that is complete stays as it is."""
    _refuse_hidden_directory(instance)
    if components.pid(HOLDER) is not None and _has_link(instance):
        return
    components.stop(HOLDER)
    unshare = ("unshare", "--mount", "--net", "--propagation", "private", "--")
    components.bring_up(Command(HOLDER, ("sleep", "infinity"), wrapper=unshare), lambda: _entered(components), 10)
    _mount(instance, components)
    _connect(instance, components)


def enter(components: Components) -> tuple[str, ...]:
    """What to put before a command line so that it runs inside."""
    pid = components.pid(HOLDER)
    if pid is None:
        raise ClusterError("the node's namespaces are gone: run `up` again")
    return ("nsenter", f"--target={pid}", "--mount", "--net", "--")


def members(instance: Instance) -> list[int]:
    """Processes that live in the mount namespace, known by the private /run that carries the link's name."""
    mark = f" - tmpfs {instance.link} "
    return [pid for pid in all_pids() if mark in _mounts_of(pid)]


def disconnect(instance: Instance) -> None:
    """Remove this machine's end of the link, and with it its routes.

    The kernel removes it as well, some time after the last process of the node has ended.
    """
    try:
        _run("ip", "link", "delete", instance.link)
    except ClusterError:
        if _has_link(instance):
            raise


def _entered(components: Components) -> bool:
    pid = components.pid(HOLDER)
    return pid is not None and command_line(pid)[0] == "sleep"  # unshare has become what it was asked to run


def _mount(instance: Instance, components: Components) -> None:
    """Give the programs inside their own /run, /var/log and /var/lib, kept in the instance's directory."""
    private = instance.directory / "node"
    for name in ("log", "kubelet", "cni", "upper", "work", "kernel"):
        (private / name).mkdir(parents=True, exist_ok=True)
    overlay = f"lowerdir=/var/lib,upperdir={private}/upper,workdir={private}/work"
    steps = [
        f"mount -t tmpfs -o mode=755 {instance.link} /run",
        f"mount --bind {private}/log /var/log",
        f"mount -t overlay -o {overlay} overlay /var/lib",
        "mkdir -p /var/lib/kubelet /var/lib/cni /run/containerd",
        f"mount --bind {private}/kubelet /var/lib/kubelet",
        f"mount --bind {private}/cni /var/lib/cni",
        "rm -rf /var/lib/cni/networks",  # addresses of pods that ended with the previous namespace
        *(step for setting in KERNEL_SETTINGS for step in _shadow(private / "kernel", setting)),
        "mount --make-rshared /",  # volumes with mount propagation work, but only in here
    ]
    _run(*enter(components), "sh", "-ec", "\n".join(steps))


def _shadow(directory: Path, setting: str) -> Sequence[str]:
    """Shell steps that put a copy of a kernel setting in the place of the setting, where it exists."""
    original, copy = f"/proc/sys/{setting}", directory / setting.replace("/", ".")
    return [f"if [ -e {original} ]; then cat {original} > {copy}; mount --bind {copy} {original}; fi"]


def _connect(instance: Instance, components: Components) -> None:
    """Link this machine and the inside, and route pods and Services through the link."""
    disconnect(instance)
    host, node, link = instance.host_address, instance.node_address, instance.link
    _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(components.pid(HOLDER)))
    _run("ip", "address", "add", f"{host}/{PREFIX}", "dev", link)
    _run("ip", "link", "set", link, "up")
    for destination in (instance.service_cidr, instance.pod_cidr):
        _run("ip", "route", "replace", destination, "via", node, "dev", link)
    inside = [
        "ip link set lo up",
        f"ip address add {node}/{PREFIX} dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {host}",
        "echo 1 > /proc/sys/net/ipv4/ip_forward",
    ]
    _run(*enter(components), "sh", "-ec", "\n".join(inside))


def _has_link(instance: Instance) -> bool:
    return Path("/sys/class/net", instance.link).exists()


def _refuse_hidden_directory(instance: Instance) -> None:
    """The sandbox covers these directories, so the state of the instance cannot be below them."""
    for hidden in HIDDEN_BY_MOUNTS:
        if instance.directory.is_relative_to(hidden):
            raise ClusterError(
                f"{instance.directory} is below {hidden}, which the node replaces: set XDG_STATE_HOME to another place"
            )


def _run(*command: str) -> None:
    environment = {**os.environ, "PATH": administrator_path()}
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise ClusterError(f"`{' '.join(command)}` failed: {answer.stderr.strip()}")


def all_pids() -> list[int]:
    """Every process of this machine."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _mounts_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/mountinfo").read_text()
    except OSError:  # it ended, or is a zombie or not ours to look into
        return ""
