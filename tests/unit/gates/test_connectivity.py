"""What network policies let through: rule by rule, as properties, and beside an independent analyzer."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.api.platform import NetworkPeers
from biospark_operator.components import network
from biospark_operator.gates.connectivity import Direction, Network, Outside, Pod, PolicyError
from tests.fakes.environments import environment
from tests.unit.components.connectivity import Pod as AnalyzedPod
from tests.unit.components.connectivity import connectivity

HOME, OTHER = "biospark-dev", "kong"
NAMESPACES = {name: {"kubernetes.io/metadata.name": name} for name in (HOME, OTHER)}
API = Pod(HOME, "api", {"app": "biospark", "tier": "web"}, ("10.0.0.1",), {("http", "TCP"): 8080})
NEIGHBOUR = Pod(HOME, "neighbour", {"app": "other"}, ("10.0.0.2", "2001:db8:1::2"))
GATEWAY = Pod(OTHER, "gateway", {"app": "kong"}, ("10.0.1.1",))
ON_NODE = Pod(HOME, "on-node", {"app": "biospark"}, ("192.0.2.10",), host_network=True)
INTERNET = Outside("203.0.113.7")
EVERY: dict[str, Any] = {}
APP = {"matchLabels": {"app": "biospark"}}
KONG = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": OTHER}}}


def policy(name: str = "p", namespace: str = HOME, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"podSelector": APP, **spec}}


def ingress(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> Network:
    """Return a network in which the API is reached by `peers` alone."""
    rule: dict[str, Any] = {"from": list(peers)} | ({"ports": ports} if ports else {})
    return Network([policy(policyTypes=["Ingress"], ingress=[rule])], NAMESPACES)


def egress(*peers: dict[str, Any], ports: list[dict[str, Any]] | None = None) -> Network:
    """Return a network in which the API reaches `peers` alone."""
    rule: dict[str, Any] = {"to": list(peers)} | ({"ports": ports} if ports else {})
    return Network([policy(policyTypes=["Egress"], egress=[rule])], NAMESPACES)


def test_without_a_policy_everything_gets_through() -> None:
    assert Network([], NAMESPACES).allows(INTERNET, API, 8080)


def test_a_policy_without_rules_denies_the_pods_that_it_selects() -> None:
    denied = Network([policy(policyTypes=["Ingress", "Egress"])], NAMESPACES)
    assert not denied.allows(GATEWAY, API, 8080)
    assert not denied.allows(API, INTERNET, 443)
    assert denied.allows(GATEWAY, NEIGHBOUR, 8080)
    assert (denied.isolated(API, "Ingress"), denied.isolated(NEIGHBOUR, "Ingress")) == (True, False)


def test_a_pod_reaches_itself() -> None:
    assert Network([policy(policyTypes=["Ingress", "Egress"])], NAMESPACES).allows(API, API, 8080)


def test_policies_count_in_their_own_namespace_alone() -> None:
    assert Network([policy(namespace=OTHER, podSelector=EVERY, policyTypes=["Ingress"])], NAMESPACES).allows(
        INTERNET, API, 8080
    )


def test_policies_add_up() -> None:
    deny = policy("deny", podSelector=EVERY, policyTypes=["Ingress", "Egress"])
    allow = policy("allow", policyTypes=["Ingress"], ingress=[{"from": [KONG]}])
    both = Network([deny, allow], NAMESPACES)
    assert both.allows(GATEWAY, API, 8080)
    assert not both.allows(NEIGHBOUR, API, 8080)


def test_a_connection_needs_both_ends() -> None:
    home = policy("home", policyTypes=["Ingress"], ingress=[{"from": [KONG]}])
    kong = policy("kong", OTHER, podSelector=EVERY, policyTypes=["Egress"])
    assert Network([home], NAMESPACES).allows(GATEWAY, API, 8080)
    assert not Network([home, kong], NAMESPACES).allows(GATEWAY, API, 8080)


@pytest.mark.parametrize(
    ("spec", "isolated"),
    [
        ({}, {"Ingress"}),
        ({"egress": [{}]}, {"Ingress", "Egress"}),
        ({"policyTypes": ["Egress"]}, {"Egress"}),
        ({"policyTypes": ["Egress"], "ingress": [{}]}, {"Egress"}),
    ],
)
def test_directions_are_filled_in_as_the_api_server_does(spec: dict[str, Any], isolated: set[Direction]) -> None:
    live, directions = Network([policy(**spec)], NAMESPACES), ("Ingress", "Egress")
    assert {direction for direction in directions if live.isolated(API, direction)} == isolated  # type: ignore[arg-type]


def test_a_rule_without_peers_speaks_of_all_and_one_with_both_selectors_of_their_meeting() -> None:
    assert ingress().allows(INTERNET, API, 8080)
    both = ingress({**KONG, "podSelector": {"matchLabels": {"app": "kong"}}})
    assert both.allows(GATEWAY, API, 8080)
    assert not both.allows(Pod(OTHER, "beside", {"app": "beside"}), API, 8080)
    either = ingress(KONG, {"podSelector": {"matchLabels": {"app": "other"}}})
    assert either.allows(NEIGHBOUR, API, 8080)
    assert not ingress({"podSelector": EVERY}).allows(GATEWAY, API, 8080)


def test_a_namespace_that_is_not_known_is_not_selected() -> None:
    assert not ingress({"namespaceSelector": EVERY}).allows(Pod("unknown", "pod"), API, 8080)


def test_address_ranges_and_their_exceptions() -> None:
    live = egress({"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.128/25"]}})
    assert live.allows(API, INTERNET, 443)
    assert not live.allows(API, Outside("203.0.113.200"), 443)
    assert not live.allows(API, Outside("2001:db8::1"), 443)
    assert egress({"ipBlock": {"cidr": "2001:db8::/32"}}).allows(API, Outside("2001:db8::1"), 443)


def test_a_range_that_holds_the_address_of_a_pod_lets_the_pod_through() -> None:
    assert egress({"ipBlock": {"cidr": "10.0.0.0/8"}}).allows(API, NEIGHBOUR, 5432)
    assert egress({"ipBlock": {"cidr": "2001:db8:1::/48"}}).allows(API, NEIGHBOUR, 5432)
    assert not egress({"ipBlock": {"cidr": "10.0.0.0/8"}}).allows(API, Pod(HOME, "starting"), 5432)


def test_pods_in_the_network_of_their_node_are_beyond_policies() -> None:
    live = Network([policy(podSelector=EVERY, policyTypes=["Ingress", "Egress"])], NAMESPACES)
    assert live.allows(INTERNET, ON_NODE, 22)
    assert not live.isolated(ON_NODE, "Ingress")
    assert not ingress({"podSelector": EVERY}).allows(ON_NODE, API, 8080)
    assert ingress({"ipBlock": {"cidr": "192.0.2.0/24"}}).allows(ON_NODE, API, 8080)


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ({"port": 8080}, {(8080, "TCP")}),
        ({"port": 8080, "protocol": "UDP"}, {(8080, "UDP")}),
        ({"protocol": "UDP"}, {(8080, "UDP"), (8081, "UDP"), (9090, "UDP")}),
        ({"port": 8080, "endPort": 8081}, {(8080, "TCP"), (8081, "TCP")}),
        ({"port": "http"}, {(8080, "TCP")}),
        ({"port": "http", "protocol": "UDP"}, set()),
        ({"port": "metrics"}, set()),
    ],
)
def test_ports(entry: dict[str, Any], allowed: set[tuple[int, str]]) -> None:
    live = ingress(ports=[entry])
    asked = [(port, protocol) for port in (8080, 8081, 9090) for protocol in ("TCP", "UDP")]
    assert {(port, protocol) for port, protocol in asked if live.allows(GATEWAY, API, port, protocol)} == allowed  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"key": "tier", "operator": "In", "values": ["web", "db"]}, True),
        ({"key": "tier", "operator": "In", "values": ["db"]}, False),
        ({"key": "none", "operator": "In", "values": ["db"]}, False),
        ({"key": "tier", "operator": "NotIn", "values": ["web"]}, False),
        ({"key": "none", "operator": "NotIn", "values": ["web"]}, True),
        ({"key": "tier", "operator": "Exists"}, True),
        ({"key": "none", "operator": "Exists"}, False),
        ({"key": "tier", "operator": "DoesNotExist"}, False),
        ({"key": "none", "operator": "DoesNotExist"}, True),
    ],
)
def test_selectors(expression: dict[str, Any], selected: bool) -> None:
    live = Network([policy(podSelector={"matchExpressions": [expression]}, policyTypes=["Ingress"])], NAMESPACES)
    assert live.isolated(API, "Ingress") is selected


@pytest.mark.parametrize(
    ("live", "message"),
    [
        (ingress({"fqdn": "example.com"}), "biospark-dev/p has a peer of an unknown kind: fqdn"),
        (ingress({}), "peer of an unknown kind: none"),
        (ingress(ports=[{"port": 1.5}]), "a port that is neither number nor name"),
        (
            ingress({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}, **KONG}),
            "unknown operator Like",
        ),
    ],
)
def test_what_is_not_understood_is_an_error_and_not_a_denial(live: Network, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        live.allows(GATEWAY, API, 8080)


PODS = (API, NEIGHBOUR, GATEWAY)
ENDS = (*PODS, INTERNET)
LABELS = st.sampled_from([EVERY, APP, {"matchLabels": {"app": "other"}}, {"matchLabels": {"app": "kong"}}])
PEERS = st.sampled_from(
    [
        KONG,
        {"podSelector": EVERY},
        {"podSelector": {"matchLabels": {"app": "other"}}},
        {"namespaceSelector": EVERY},
        {**KONG, "podSelector": APP},
        {"ipBlock": {"cidr": "203.0.113.0/24"}},
    ]
)
PORTS = st.lists(st.sampled_from([{"port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]), max_size=2)
POLICIES = st.builds(
    lambda namespace, selector, peers, outward, ports: policy(
        namespace=namespace,
        podSelector=selector,
        policyTypes=["Egress" if outward else "Ingress"],
        **{"egress" if outward else "ingress": [{"to" if outward else "from": peers, "ports": ports}]},
    ),
    st.sampled_from([HOME, OTHER]),
    LABELS,
    st.lists(PEERS, min_size=1, max_size=2),
    st.booleans(),
    PORTS,
)
CONNECTIONS = [(a, b, port, protocol) for a in ENDS for b in ENDS for port, protocol in ((8080, "TCP"), (53, "UDP"))]


def through(policies: list[dict[str, Any]]) -> set[Any]:
    live = Network(policies, NAMESPACES)
    return {(str(a), str(b), p, protocol) for a, b, p, protocol in CONNECTIONS if live.allows(a, b, p, protocol)}  # type: ignore[arg-type]


@given(st.lists(POLICIES, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_policies_does_not_matter(policies: list[dict[str, Any]], shuffle: random.Random) -> None:
    other = policies.copy()
    shuffle.shuffle(other)
    assert through(policies) == through([*other, *policies[:1]])


@given(st.lists(POLICIES, max_size=4), POLICIES)
def test_one_more_policy_never_opens_more_than_it_allows_where_all_is_isolated(
    policies: list[dict[str, Any]], one: dict[str, Any]
) -> None:
    deny = [policy("deny", name, podSelector=EVERY, policyTypes=["Ingress", "Egress"]) for name in NAMESPACES]
    assert through([*deny, *policies]) <= through([*deny, *policies, one])
    assert through([*deny, *policies]) <= through(policies)


@given(st.lists(POLICIES, max_size=4))
def test_a_connection_to_the_outside_of_all_policies_is_not_touched(policies: list[dict[str, Any]]) -> None:
    outside = Pod("elsewhere", "pod")
    assert Network(policies, NAMESPACES).allows(outside, Outside("198.51.100.1"), 443)


def analyzed(pod: Pod) -> AnalyzedPod:
    return AnalyzedPod(pod.namespace, pod.name, tuple(sorted(pod.labels.items())))


def compare(folder: Path, policies: list[dict[str, Any]]) -> None:
    """Compare each connection with what the analyzer says; addresses of pods are not known to it."""
    ends = tuple(Pod(pod.namespace, pod.name, pod.labels) for pod in PODS)
    answer = connectivity(folder, map(analyzed, ends), policies)
    live = Network(policies, NAMESPACES)
    for source in (*ends, INTERNET):
        for target in (*ends, INTERNET):
            if source == target:
                continue
            ports = answer.ports(*(analyzed(end) if isinstance(end, Pod) else end.address for end in (source, target)))
            for port, protocol in ((8080, "TCP"), (53, "UDP")):
                theirs = bool(ports & {"all", f"{protocol} all", f"{protocol} {port}"})
                assert live.allows(source, target, port, protocol) == theirs, (str(source), str(target), port, ports)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_an_independent_analyzer_agrees(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    peers = [
        KONG,
        {"podSelector": EVERY},
        {"podSelector": {"matchLabels": {"app": "other"}}},
        {**KONG, "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["kong"]}]}},
        {"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "Exists"}]}},
        {"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.64/26"]}},
        {"ipBlock": {"cidr": "203.0.113.0/24", "except": ["203.0.113.0/28"]}},
    ]
    ports = [{"port": 8080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    policies = []
    for number in range(5):
        direction, peer = draw.choice([("ingress", "from"), ("egress", "to")])
        rule: dict[str, Any] = {peer: draw.sample(peers, draw.randint(1, 2))}
        rule |= {"ports": draw.sample(ports, 1)} if draw.random() < 0.6 else {}
        made = policy(
            f"p{number}",
            draw.choice([HOME, OTHER]),
            podSelector=draw.choice([EVERY, APP, {"matchLabels": {"app": "kong"}}]),
            policyTypes=[direction.capitalize()],
            **{direction: [rule]},
        )
        policies.append({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **made})
    compare(tmp_path, policies)


def test_the_policies_of_an_environment_are_read_as_the_analyzer_reads_them(tmp_path: Path) -> None:
    compare(tmp_path, list(network.build(environment(), NetworkPeers())))


def test_an_environment_lets_the_gateway_in_and_nobody_else() -> None:
    live = Network(network.build(environment(), NetworkPeers()), NAMESPACES)
    assert live.allows(GATEWAY, API, 8080)
    assert not live.allows(GATEWAY, API, 9090)
    assert not live.allows(NEIGHBOUR, API, 8080)
    assert not live.allows(API, INTERNET, 443)
    assert all(live.isolated(pod, direction) for pod in (API, NEIGHBOUR) for direction in ("Ingress", "Egress"))  # type: ignore[arg-type]
