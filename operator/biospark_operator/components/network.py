"""Network policies: everything is refused in both directions but what the environment needs.

Policies add up, so each allowed relation is an object of its own that says what it is for, and they are applied
before the one that denies: turning isolation on interrupts nothing. A peer names namespace and pods together;
as two peers they would mean "either".
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterator, Sequence
from typing import Any

from biospark_operator.api.platform import NetworkPeers, PodPeer, ServerPeer
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.network import EgressTarget, IngressSource, Isolation, NetworkPort
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components import namespace
from biospark_operator.components.names import API_LABELS, API_PORT, METRICS_PORT
from biospark_operator.engine.component import Environment
from biospark_operator.objects import kinds
from biospark_operator.objects.component import Cluster, ObjectsComponent, Strangers
from biospark_operator.objects.manifest import namespaced

NAME = "network"
_EVERY_POD: dict[str, Any] = {}
_API_PODS = {"matchLabels": API_LABELS}


def component(cluster: Cluster, peers: NetworkPeers) -> ObjectsComponent:
    """Return the component; where isolation is disabled it is too, so its policies are pruned."""
    return ObjectsComponent(
        name=NAME,
        condition=ConditionType.NETWORK_READY,
        cluster=cluster,
        build=lambda env: build(env, peers),
        kinds=frozenset({kinds.NETWORK_POLICY}),
        requires=frozenset({namespace.NAME}),
        when=lambda env: env.spec.network.isolation is Isolation.ENFORCED,
        strangers=Strangers(
            "networking.k8s.io/v1", "NetworkPolicy", _opens, "opened", "spec.network.ingress or egress"
        ),
        # Pods may run until the last moment, also those of others.
        goes_with_namespace=True,
    )


def build(env: Environment, peers: NetworkPeers) -> Sequence[Manifest]:
    """Return the policies, those that allow before the one that denies."""
    return [*_platform(env, peers), *_extra(env), _default_deny(env)]


def _platform(env: Environment, peers: NetworkPeers) -> Iterator[Manifest]:
    yield _egress(env, "biospark-allow-dns", _EVERY_POD, [_dns(peers)])
    yield _ingress(env, "biospark-allow-gateway", _from(peers.gateway, API_PORT))
    if servers := [*(_to(server) for server in peers.database), *_own_database(env)]:
        yield _egress(env, "biospark-allow-database", _API_PODS, servers)
    if peers.vault:
        yield _egress(env, "biospark-allow-vault", _API_PODS, [_to(server) for server in peers.vault])
    yield _ingress(env, "biospark-allow-prometheus", _from(peers.prometheus, METRICS_PORT))


def _own_database(env: Environment) -> Iterator[dict[str, Any]]:
    """Let the API reach its server where that is an address; of names a policy knows nothing."""
    server = env.spec.database.server
    if server is None:
        return
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_network(server.host)
        yield {"to": [{"ipBlock": {"cidr": str(address)}}], "ports": [_tcp(server.port)]}


def _extra(env: Environment) -> Iterator[Manifest]:
    for source in env.spec.network.ingress:
        yield _ingress(env, f"biospark-ingress-{source.name}", _extra_source(source))
    for target in env.spec.network.egress:
        yield _egress(env, f"biospark-egress-{target.name}", _EVERY_POD, [_extra_target(target)])


def _opens(policy: Manifest) -> bool:
    """Whether a policy lets anything through: policies add up, and one without rules only denies."""
    return any(policy["spec"].get(direction) for direction in ("ingress", "egress"))


def _default_deny(env: Environment) -> Manifest:
    # That there are no rules is said, or a rule that somebody adds would not be ours to take away.
    nothing: dict[str, Any] = {"ingress": [], "egress": []}
    return _policy(env, "biospark-default-deny", podSelector=_EVERY_POD, policyTypes=["Ingress", "Egress"], **nothing)


def _dns(peers: NetworkPeers) -> dict[str, Any]:
    addresses = [{"ipBlock": {"cidr": str(address)}} for address in peers.dns_addresses]
    ports = [{"port": port, "protocol": protocol} for port in peers.dns_ports for protocol in ("UDP", "TCP")]
    return {"to": [_pods(peers.dns.namespace, peers.dns.pod_labels), *addresses], "ports": ports}


def _from(peer: PodPeer, port: int) -> dict[str, Any]:
    return {"from": [_pods(peer.namespace, peer.pod_labels)], "ports": [_tcp(port)]}


def _to(server: ServerPeer) -> dict[str, Any]:
    ports = [_tcp(port) for port in server.ports]
    if server.namespace is None:
        return {"to": [{"ipBlock": {"cidr": str(server.cidr)}}], "ports": ports}
    return {"to": [_pods(server.namespace, server.pod_labels)], "ports": ports}


def _extra_source(source: IngressSource) -> dict[str, Any]:
    rule: dict[str, Any] = {"from": [_pods(source.namespace, source.pod_labels)]}
    return {**rule, "ports": [_port(port) for port in source.ports]} if source.ports else rule


def _extra_target(target: EgressTarget) -> dict[str, Any]:
    block: dict[str, Any] = {"cidr": target.cidr}
    if target.except_:
        block["except"] = list(target.except_)
    return {"to": [{"ipBlock": block}], "ports": [_port(port) for port in target.ports]}


def _pods(name: str, labels: dict[str, str]) -> dict[str, Any]:
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}
    return {**peer, "podSelector": {"matchLabels": labels}} if labels else peer


def _tcp(port: int) -> dict[str, Any]:
    return {"port": port, "protocol": "TCP"}


def _port(port: NetworkPort) -> dict[str, Any]:
    return {"port": port.port, "protocol": port.protocol.value}


def _ingress(env: Environment, name: str, rule: dict[str, Any]) -> Manifest:
    return _policy(env, name, podSelector=_API_PODS, policyTypes=["Ingress"], ingress=[rule])


def _egress(env: Environment, name: str, pods: dict[str, Any], rules: list[dict[str, Any]]) -> Manifest:
    return _policy(env, name, podSelector=pods, policyTypes=["Egress"], egress=rules)


def _policy(env: Environment, name: str, **spec: Any) -> Manifest:
    return namespaced(env, "networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)
