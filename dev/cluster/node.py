"""The node: containerd, kubelet, kube-proxy, CoreDNS and metrics-server, so that pods really run. Needs root.

Everything runs inside the sandbox of the instance. `prepare` makes the link that the API server listens on, so
it comes before the control plane; `start` brings up the rest; `stop` ends every process and with the last of
them the namespaces vanish. Called by the local provider.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import httpx

from dev.cluster import cgroups, nodeconfig, nodeobjects, packages, pauseimage, programs, sandbox
from dev.cluster.api import Api, has_condition
from dev.cluster.controlplane import arguments
from dev.cluster.instance import ClusterError, Instance
from dev.cluster.nodeconfig import METRICS_PORT, Machine
from dev.cluster.process import Command, Components

ORDER = ("containerd", "kubelet", "kube-proxy", "coredns", "metrics-server")


def prepare(instance: Instance, components: Components, report: Callable[[str], None]) -> None:
    """Make what the control plane needs of the node: its namespaces and the link. Repairs a broken sandbox."""
    packages.ensure(packages.NODE, report)
    if components.pid(sandbox.HOLDER) is None:
        stop(instance, components)  # survivors would live in namespaces that nothing new can enter
    sandbox.start(instance, components)


def start(instance: Instance, components: Components, report: Callable[[str], None]) -> None:
    """Start what does not run of the node; returns when pods can be scheduled to it."""
    plugins = packages.cni_directory()
    if plugins is None:
        raise ClusterError("the plugins of the container network are gone: install containernetworking-plugins")
    write_configuration(instance, Machine.here(plugins))
    cgroups.create(instance.cgroup)
    commands = {command.name: command for command in all_commands(instance, sandbox.enter(components))}

    components.bring_up(commands["containerd"], lambda: _containerd_answers(instance), 30)
    pauseimage.ensure(instance)
    with Api(instance.kubeconfig) as api:
        for manifest in nodeobjects.manifests(instance):
            api.apply(manifest)
        for name in ORDER[1:]:
            components.ensure(commands[name])
        components.bring_up(commands["coredns"], lambda: _coredns_answers(instance), 30)
        components.bring_up(commands["kubelet"], lambda: _node_is_ready(api, instance), 90)
    report(f"Node {instance.node_name} is ready; programs of this machine reach pods from {instance.host_address}")


def stop(instance: Instance, components: Components) -> None:
    """End every process of the node, pods included, and remove the link and the control groups."""
    for name in reversed(ORDER):
        components.stop(name, grace=2)
    if os.geteuid() == 0:
        cgroups.kill(instance.cgroup)
        _kill_members(instance)
        components.stop(sandbox.HOLDER, grace=0)
        sandbox.disconnect(instance)
        cgroups.remove(instance.cgroup)


def exists(components: Components) -> bool:
    """Whether the instance has a node, running or broken."""
    return sandbox.HOLDER in components.names()


def write_configuration(instance: Instance, machine: Machine) -> None:
    """Write the configuration files of the node's programs."""
    for name, content in nodeconfig.files(instance, machine).items():
        target = instance.directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


def all_commands(instance: Instance, enter: tuple[str, ...]) -> list[Command]:
    """The command lines of the node's programs; `enter` brings them into the sandbox."""

    def inside(program: str, *options: str) -> Command:
        return Command(program, (str(programs.binary(program)), *options), wrapper=enter)

    directory, pki = instance.directory, instance.pki
    containerd = packages.which("containerd") or "containerd"
    return [
        Command("containerd", (containerd, f"--config={directory}/containerd.toml"), enter),
        inside(
            "kubelet",
            *arguments(
                config=directory / "kubelet.json",
                kubeconfig=pki / "kubelet.kubeconfig",
                hostname_override=instance.node_name,
                node_ip=instance.node_address,
            ),
        ),
        inside("kube-proxy", f"--config={directory}/kube-proxy.json"),
        inside("coredns", f"-conf={directory}/Corefile"),
        inside("metrics-server", *metrics_server(instance)),
    ]


def metrics_server(instance: Instance) -> list[str]:
    """Options of metrics-server."""
    kubeconfig = instance.pki / "metrics-server.kubeconfig"
    return [
        *arguments(
            kubeconfig=kubeconfig,
            authentication_kubeconfig=kubeconfig,
            authorization_kubeconfig=kubeconfig,
            bind_address=instance.node_address,
            secure_port=METRICS_PORT,
            tls_cert_file=instance.pki / "metrics-server.crt",
            tls_private_key_file=instance.pki / "metrics-server.key",
            kubelet_certificate_authority=instance.pki / "ca.crt",
            kubelet_preferred_address_types="InternalIP",
            metric_resolution="10s",
            kubelet_request_timeout="5s",
        )
    ]


def _kill_members(instance: Instance, seconds: float = 20) -> None:
    """Kill what lives in the sandbox apart from its pods, such as the shims of containerd, and wait for the end."""
    deadline = time.monotonic() + seconds
    while remaining := sandbox.members(instance):
        for pid in remaining:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)
            except (ProcessLookupError, ChildProcessError):
                continue
        if time.monotonic() > deadline:
            raise ClusterError(f"processes of the node do not end: {remaining}")
        time.sleep(0.05)


def _containerd_answers(instance: Instance) -> bool:
    ctr = packages.which("ctr") or "ctr"
    command = [ctr, f"--address={instance.containerd_socket}", "--connect-timeout=1s", "version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _coredns_answers(instance: Instance) -> bool:
    url = f"http://{instance.node_address}:{nodeconfig.COREDNS_READY_PORT}/ready"
    try:
        return httpx.get(url, timeout=2, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _node_is_ready(api: Api, instance: Instance) -> bool:
    """Whether the node says it is ready and its kubelet answers: a killed one still looks ready for a while."""
    path = f"/api/v1/nodes/{instance.node_name}"
    node = api.get(path)
    return node is not None and has_condition("Ready")(node) and api.answers(f"{path}/proxy/healthz")
