"""Command lines and configuration files for both sizes and for both kinds of machines."""

import json
import tomllib
from pathlib import Path

import pytest

from dev.cluster import controlplane, fakenodes, node, nodeconfig, nodeobjects
from dev.cluster.instance import Instance, Ports
from dev.cluster.nodeconfig import Machine

INSTANCE = Instance("test", Path("/state/test"), 2, Ports(20001, 20002, 20003))
OLD = Machine(cgroup_version_2=False, may_raise_priorities=False, cni_plugins=Path("/usr/lib/cni"))
USUAL = Machine(cgroup_version_2=True, may_raise_priorities=True, cni_plugins=Path("/opt/cni/bin"))


def options(with_node: bool) -> dict[str, set[str]]:
    commands = controlplane.all_commands(INSTANCE, controlplane.endpoint(INSTANCE, with_node))
    return {command.name: set(command.argv[1:]) for command in commands}


def test_without_a_node_the_api_server_is_on_loopback_and_advertises_no_address() -> None:
    flags = options(with_node=False)["kube-apiserver"]
    assert {"--bind-address=127.0.0.1", "--secure-port=20001", "--endpoint-reconciler-type=none"} <= flags


def test_with_a_node_the_api_server_is_where_pods_reach_it() -> None:
    flags = options(with_node=True)["kube-apiserver"]
    link = "10.208.2.1"
    assert {f"--bind-address={link}", f"--advertise-address={link}", "--endpoint-reconciler-type=lease"} <= flags


def test_nothing_listens_beyond_loopback_and_the_link() -> None:
    for flags in options(with_node=True).values():
        assert not any("0.0.0.0" in flag for flag in flags)
    assert "--secure-port=0" in options(with_node=True)["kube-controller-manager"]
    assert "--secure-port=0" in options(with_node=True)["kube-scheduler"]


def test_api_server_and_controller_manager_agree_on_the_addresses_of_services() -> None:
    flags = options(with_node=False)
    both = flags["kube-apiserver"] & flags["kube-controller-manager"]
    assert "--service-cluster-ip-range=10.178.0.0/16" in both


def test_etcd_and_its_peers_ask_for_certificates() -> None:
    assert {"--client-cert-auth=true", "--peer-client-cert-auth=true"} <= options(with_node=False)["etcd"]


def test_containerd_keeps_everything_in_the_instance_and_off_opt() -> None:
    config = tomllib.loads(nodeconfig.containerd(INSTANCE, OLD))
    assert config["root"] == "/state/test/node/containerd"
    assert config["grpc"]["address"] == "/state/test/containerd.sock"
    assert "io.containerd.internal.v1.opt" in config["disabled_plugins"]


@pytest.mark.parametrize(("machine", "restricted"), [(OLD, True), (USUAL, False)])
def test_scores_are_restricted_only_where_the_capability_is_missing(machine: Machine, restricted: bool) -> None:
    config = tomllib.loads(nodeconfig.containerd(INSTANCE, machine))
    assert config["plugins"]["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] is restricted


def test_the_kubelet_accepts_old_control_groups_only_where_there_are_no_others() -> None:
    assert nodeconfig.kubelet(INSTANCE, OLD)["failCgroupV1"] is False
    assert "failCgroupV1" not in nodeconfig.kubelet(INSTANCE, USUAL)


def test_pods_get_addresses_the_controller_manager_gave_to_the_node() -> None:
    plugin = nodeconfig.container_network(INSTANCE)["plugins"][0]
    assert plugin["ipam"]["ranges"] == [[{"subnet": "10.194.0.0/20"}]]


def test_configuration_files_are_well_formed() -> None:
    files = nodeconfig.files(INSTANCE, OLD)
    for name in ("kubelet.json", "kube-proxy.json", "cni/10-bridge.conflist"):
        assert json.loads(files[name])
    assert files["Corefile"].count("{") == files["Corefile"].count("}")
    assert files["resolv.conf"] == "nameserver 10.208.2.2\n"


def test_every_program_of_the_node_runs_in_its_namespaces() -> None:
    enter = ("nsenter", "--target=7", "--")
    commands = node.all_commands(INSTANCE, enter)
    assert tuple(command.name for command in commands) == node.ORDER
    assert all(command.wrapper == enter for command in commands)


def test_a_program_of_this_machine_gets_a_name_in_the_cluster() -> None:
    service, endpoints = nodeobjects.selectorless_service("postgres", "biospark-platform", "10.208.2.1", 20432, 5432)
    assert "selector" not in service["spec"]
    assert service["spec"]["ports"][0]["port"] == 5432
    assert endpoints["metadata"]["labels"] == {"kubernetes.io/service-name": "postgres"}
    assert endpoints["endpoints"][0]["addresses"] == ["10.208.2.1"]
    assert endpoints["ports"][0]["port"] == 20432
    assert endpoints["ports"][0]["name"] == service["spec"]["ports"][0]["name"]


def test_only_nodes_that_say_so_are_fake() -> None:
    flags = fakenodes.command(INSTANCE, Path("/stages")).argv
    selector = next(flag for flag in flags if flag.startswith("--manage-nodes-with-annotation-selector="))
    key, value = selector.split("=")[1:]
    assert fakenodes.node("fake-0")["metadata"]["annotations"] == {key: value}
    assert "--config=/stages/pod/fast/pod-ready.yaml" in flags
