"""Network policies, judged by what an independent analyzer says they let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from biospark_operator.api.platform import NetworkPeers
from biospark_operator.components import network
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment
from tests.unit.components.connectivity import Connectivity, Pod, connectivity

API = Pod("biospark-dev", "api", (("app", "biospark"),))
NEIGHBOUR = Pod("biospark-dev", "neighbour")
GATEWAY = Pod("kong", "gateway", (("app", "kong"),))
BESIDE_GATEWAY = Pod("kong", "beside-gateway")
PROMETHEUS = Pod("monitoring", "prometheus")
DNS = Pod("kube-system", "dns", (("k8s-app", "kube-dns"),))
BESIDE_DNS = Pod("kube-system", "beside-dns")
SERVERS = Pod("biospark-platform", "servers")
#: Has every label that a policy names, in a namespace that none names.
STRANGER = Pod("stranger", "stranger", (("app", "biospark"), ("k8s-app", "kube-dns")))
REPORTS = Pod("reporting", "reports", (("app", "reports"),))
BESIDE_REPORTS = Pod("reporting", "beside-reports")

PODS = (
    API, NEIGHBOUR, GATEWAY, BESIDE_GATEWAY, PROMETHEUS, DNS, BESIDE_DNS, SERVERS, STRANGER, REPORTS, BESIDE_REPORTS,
)  # fmt: skip
INTERNET = "93.184.215.14"
NOTHING: set[str] = set()

EXTRA = {
    "ingress": [
        {"name": "reports", "namespace": "reporting", "podLabels": {"app": "reports"}, "ports": [{"port": 8080}]}
    ],
    "egress": [
        {"name": "fhir", "cidr": "10.20.0.0/16", "except": ["10.20.30.0/24"], "ports": [{"port": 443}]},
        {"name": "ntp", "cidr": "10.30.0.1/32", "ports": [{"port": 123, "protocol": "UDP"}]},
    ],
}
PEERS: dict[str, Any] = {
    "gateway": {"namespace": "kong", "podLabels": {"app": "kong"}},
    "dnsAddresses": ["169.254.20.10"],
    "database": [{"cidr": "10.40.0.5", "ports": [5432, 6432]}],
}


@pytest.fixture(scope="module")
def by_default(tmp_path_factory: pytest.TempPathFactory) -> Connectivity:
    """An environment without wishes, on a cluster without settings."""
    policies = network.build(environment(), NetworkPeers())
    return connectivity(tmp_path_factory.mktemp("default"), PODS, policies)


@pytest.fixture(scope="module")
def as_set(tmp_path_factory: pytest.TempPathFactory) -> Connectivity:
    """An environment with wishes, on a cluster with settings."""
    policies = network.build(environment(network=EXTRA), NetworkPeers.model_validate(PEERS))
    return connectivity(tmp_path_factory.mktemp("set"), PODS, policies)


#: Everything that an environment is let through by default; whatever is not here is refused.
ALLOWED: dict[tuple[Pod | str, Pod | str], set[str]] = {
    (GATEWAY, API): {"TCP 8080"},
    (BESIDE_GATEWAY, API): {"TCP 8080"},
    (PROMETHEUS, API): {"TCP 9090"},
    (API, SERVERS): {"TCP 5432", "TCP 8200"},
    (API, DNS): {"UDP 53", "TCP 53"},
    (NEIGHBOUR, DNS): {"UDP 53", "TCP 53"},
}
PAIRS = [
    (source, target)
    for source in (*PODS, INTERNET)
    for target in (*PODS, INTERNET)
    if source != target and (source in (API, NEIGHBOUR) or target in (API, NEIGHBOUR))
]


def _name(end: Pod | str) -> str:
    return end.name if isinstance(end, Pod) else "internet"


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=_name)
def test_exactly_what_an_environment_needs_is_let_through(
    by_default: Connectivity, source: Pod | str, target: Pod | str
) -> None:
    assert by_default.ports(source, target) == ALLOWED.get((source, target), NOTHING)


@pytest.mark.parametrize(
    ("source", "target", "ports"),
    [
        (GATEWAY, API, {"TCP 8080"}),
        (BESIDE_GATEWAY, API, NOTHING),
        (API, "169.254.20.10", {"UDP 53", "TCP 53"}),
        (API, "169.254.20.11", NOTHING),
        (API, DNS, {"UDP 53", "TCP 53"}),
        (API, "10.40.0.5", {"TCP 5432", "TCP 6432"}),
        (API, SERVERS, {"TCP 8200"}),
        (NEIGHBOUR, "10.40.0.5", NOTHING),
    ],
)
def test_the_platforms_peers_are_taken_from_the_settings(
    as_set: Connectivity, source: Pod, target: Pod | str, ports: set[str]
) -> None:
    assert as_set.ports(source, target) == ports


@pytest.mark.parametrize(
    ("source", "target", "ports"),
    [
        (REPORTS, API, {"TCP 8080"}),
        (BESIDE_REPORTS, API, NOTHING),
        (REPORTS, NEIGHBOUR, NOTHING),
        (API, "10.20.1.1", {"TCP 443"}),
        (NEIGHBOUR, "10.20.1.1", {"TCP 443"}),
        (API, "10.20.30.1", NOTHING),
        (API, "10.30.0.1", {"UDP 123"}),
        ("10.20.1.1", API, NOTHING),
        (API, INTERNET, NOTHING),
    ],
)
def test_what_the_environment_lists_is_let_through_as_well(
    as_set: Connectivity, source: Pod | str, target: Pod | str, ports: set[str]
) -> None:
    assert as_set.ports(source, target) == ports


def test_a_source_without_ports_reaches_every_port_of_the_api(tmp_path: Path) -> None:
    env = environment(network={"ingress": [{"name": "all", "namespace": "reporting"}]})
    found = connectivity(tmp_path, PODS, network.build(env, NetworkPeers()))
    assert found.ports(BESIDE_REPORTS, API) == {"all"}
    assert found.ports(BESIDE_REPORTS, NEIGHBOUR) == NOTHING


@pytest.mark.parametrize(
    ("host", "address"), [("10.50.0.5", "10.50.0.5"), ("fd00::5", "fd00::5"), ("db.example", None)], ids=str
)
def test_the_api_reaches_its_own_server_where_that_is_an_address(
    tmp_path: Path, host: str, address: str | None
) -> None:
    server = {"host": host, "port": 5433, "adminSecretRef": {"name": "admin"}}
    policies = network.build(environment(database={"server": server}), NetworkPeers())
    found = connectivity(tmp_path, PODS, policies)
    reached = {target for target in ("10.50.0.5", "fd00::5") if found.ports(API, target) == {"TCP 5433"}}
    assert reached == ({address} if address else set())
    assert found.ports(NEIGHBOUR, host if address else INTERNET) == NOTHING
    assert found.ports(API, SERVERS) == {"TCP 5432", "TCP 8200"}


def test_what_allows_is_applied_before_what_denies() -> None:
    names = [policy["metadata"]["name"] for policy in network.build(environment(network=EXTRA), NetworkPeers())]
    assert names == [
        "biospark-allow-dns",
        "biospark-allow-gateway",
        "biospark-allow-database",
        "biospark-allow-vault",
        "biospark-allow-prometheus",
        "biospark-ingress-reports",
        "biospark-egress-fhir",
        "biospark-egress-ntp",
        "biospark-default-deny",
    ]


def test_a_cluster_without_database_and_vault_gets_no_policies_for_them() -> None:
    names = {p["metadata"]["name"] for p in network.build(environment(), NetworkPeers(database=(), vault=()))}
    assert names == {
        "biospark-allow-dns", "biospark-allow-gateway", "biospark-allow-prometheus", "biospark-default-deny",
    }  # fmt: skip


@pytest.mark.parametrize(("isolation", "enabled"), [("Enforced", True), ("Disabled", False)])
def test_policies_are_wanted_only_while_isolation_is_enforced(isolation: str, enabled: bool) -> None:
    component = network.component(FakeCluster(), NetworkPeers())
    assert component.enabled(environment(network={"isolation": isolation})) is enabled
