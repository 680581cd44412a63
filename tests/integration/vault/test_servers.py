"""The servers that the tests here run on: what the two kinds have, and that nothing is left of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dev.cluster import Cluster, ClusterError, leftovers
from dev.cluster.api import Api
from dev.cluster.local import LocalProvider
from dev.cluster.openbao import KUBERNETES, KV, Server
from tests.openbao import server

pytestmark = pytest.mark.integration

ROLE = {
    "bound_service_account_names": ["default"],
    "bound_service_account_namespaces": ["default"],
    "audience": "vault",
    "token_policies": ["default"],
    "token_ttl": 60,
}


@pytest.fixture(params=["dev", "group"])
def each(request: pytest.FixtureRequest) -> Server:
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Server)
    return found


def logged_in(server: Server, kubeconfig: str, audience: str) -> str:
    with Api(Path(kubeconfig)) as api:
        token = api.token("default", "default", (audience,), 600)
    answer = server.request("POST", f"auth/{KUBERNETES}/login", {"role": "servers", "jwt": token}, token="")
    return str(answer["auth"]["metadata"]["service_account_name"])


def test_each_has_secrets_of_version_2(each: Server) -> None:
    assert each.request("GET", f"sys/mounts/{KV}")["data"]["options"]["version"] == "2"


def test_each_asks_the_real_api_server_whose_token_it_was_given(each: Server, kubeconfig: str) -> None:
    each.request("POST", f"auth/{KUBERNETES}/role/servers", ROLE)
    assert logged_in(each, kubeconfig, "vault") == "default"
    with pytest.raises(ClusterError, match="audience"):
        logged_in(each, kubeconfig, "another")


def test_a_group_has_one_active_process_and_a_standby(group: Server) -> None:
    active, standby = group.await_leader(), group.standby()
    assert {active, standby} == set(group.nodes)
    assert group.health(active)["standby"] is False
    assert group.health(standby)["standby"] is True


def test_a_group_writes_down_who_asked_for_what(group: Server) -> None:
    group.request("GET", f"{KV}/metadata/written-down")
    asked = [json.loads(line) for line in group.audit_log.read_text().splitlines()]
    assert f"{KV}/metadata/written-down" in {entry["request"]["path"] for entry in asked}
    assert group.token not in group.audit_log.read_text()


def test_what_was_kept_is_there_after_a_crash() -> None:
    with server(1, "crash") as running:
        running.request("POST", f"{KV}/data/kept", {"data": {"word": "stays"}})
        running.stop(running.nodes[0], grace=0)
        assert running.health(running.nodes[0]) == {}
        running.up()
        assert running.request("GET", f"{KV}/data/kept")["data"]["data"] == {"word": "stays"}


@pytest.mark.parametrize("nodes", [0, 1], ids=["dev", "group"])
def test_nobody_reads_the_root_token_from_the_list_of_processes(nodes: int) -> None:
    with server(nodes, "argv") as running:
        lines = leftovers.of(running.name)
        assert any(line.startswith("process ") for line in lines)
        for pid in (line.split()[1].rstrip(":") for line in lines if line.startswith("process ")):
            assert running.token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.mark.parametrize("nodes", [0, 1], ids=["dev", "group"])
def test_going_down_with_the_cluster_leaves_nothing_of_a_server(nodes: int) -> None:
    with server(nodes, "down") as running:
        assert any(line.startswith("process ") for line in leftovers.of(running.name))
        Cluster(LocalProvider(running.name)).down(lambda _: None)
        assert leftovers.of(running.name) == []
        assert running.name not in leftovers.names()
