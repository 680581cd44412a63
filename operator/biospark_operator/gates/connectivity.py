"""Which connections a set of live NetworkPolicies lets through. Pure: policies, pods and namespaces come as values.

Policies are read as the API defines them: they add up, a pod that none selects in a direction is open in it, and a
connection needs the source's egress and the target's ingress. What a policy says in a way that is unknown here is an
error, never "denied". An address range that holds the address of a pod is taken to match it, as many network plugins
do: for a question of what is denied, that is the careful reading.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Direction = Literal["Ingress", "Egress"]
Protocol = Literal["TCP", "UDP", "SCTP"]
Policy = Mapping[str, Any]


class PolicyError(ValueError):
    """A policy says something that is not understood here; the message names the policy."""


@dataclass(frozen=True)
class Pod:
    """A pod that runs."""

    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    """All that it has, of both families; without one, no address range matches it."""
    named_ports: Mapping[tuple[str, Protocol], int] = field(default_factory=dict)
    """Number of each port that a container names, by name and protocol."""
    host_network: bool = False
    """In the network of its node: policies do not apply to it, and select it by address alone."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Outside:
    """An address that no pod has."""

    address: str

    @property
    def addresses(self) -> tuple[str, ...]:
        """The address, as pods tell theirs."""
        return (self.address,)

    def __str__(self) -> str:
        return self.address


End = Pod | Outside


@dataclass(frozen=True)
class _Flow:
    """Where a connection goes to; names of ports are those of the target."""

    target: End
    port: int
    protocol: Protocol


@dataclass(frozen=True)
class Network:
    """What is there: the policies of all namespaces that matter, and the labels of the namespaces."""

    policies: Sequence[Policy]
    namespaces: Mapping[str, Mapping[str, str]]

    def isolated(self, pod: Pod, direction: Direction) -> bool:
        """Return whether a policy selects the pod in a direction, so that what is not allowed is denied."""
        return any(True for _ in self._selecting(pod, direction))

    def allows(self, source: End, target: End, port: int, protocol: Protocol = "TCP") -> bool:
        """Return whether a connection gets through, at the source and at the target."""
        flow = _Flow(target, port, protocol)
        return source == target or (
            self._lets(source, "Egress", target, flow) and self._lets(target, "Ingress", source, flow)
        )

    def _lets(self, end: End, direction: Direction, peer: End, flow: _Flow) -> bool:
        """Whether one end lets a connection with its peer through."""
        if not isinstance(end, Pod) or not self.isolated(end, direction):
            return True
        rules, peers = _FIELDS[direction]
        return any(
            self._peers(policy, rule.get(peers), peer) and _ports(policy, rule.get("ports"), flow)
            for policy in self._selecting(end, direction)
            for rule in policy["spec"].get(rules) or ()
        )

    def _selecting(self, pod: Pod, direction: Direction) -> Iterable[Policy]:
        return (
            policy
            for policy in self.policies
            if not pod.host_network
            and policy["metadata"]["namespace"] == pod.namespace
            and direction in _types(policy)
            and _selects(policy, policy["spec"].get("podSelector") or {}, pod.labels)
        )

    def _peers(self, policy: Policy, peers: Sequence[Mapping[str, Any]] | None, end: End) -> bool:
        """Whether a rule speaks of an end; one without peers speaks of all."""
        return not peers or any(self._peer(policy, peer, end) for peer in peers)

    def _peer(self, policy: Policy, peer: Mapping[str, Any], end: End) -> bool:
        if not peer or not set(peer) <= {"ipBlock", "namespaceSelector", "podSelector"}:
            raise PolicyError(
                f"NetworkPolicy {_name(policy)} has a peer of an unknown kind: {', '.join(peer) or 'none'}"
            )
        if (block := peer.get("ipBlock")) is not None:
            return _in_block(block, end)
        if not isinstance(end, Pod) or end.host_network:
            return False
        if (namespaces := peer.get("namespaceSelector")) is None:
            here = end.namespace == policy["metadata"]["namespace"]
        else:
            here = end.namespace in self.namespaces and _selects(policy, namespaces, self.namespaces[end.namespace])
        return here and _selects(policy, peer.get("podSelector") or {}, end.labels)


_FIELDS: Mapping[Direction, tuple[str, str]] = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}


def _types(policy: Policy) -> Sequence[str]:
    """The directions that a policy is about; without policyTypes, as the API server fills them in."""
    spec = policy["spec"]
    return spec.get("policyTypes") or (["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _selects(policy: Policy, selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _expression(policy, expression, labels) for expression in selector.get("matchExpressions") or ()
    )


def _expression(policy: Policy, expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value is not None and value in values
        case "NotIn":
            return value is None or value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case other:
            raise PolicyError(f"NetworkPolicy {_name(policy)} has a selector with the unknown operator {other}")


def _in_block(block: Mapping[str, Any], end: End) -> bool:
    inside = ipaddress.ip_network(block["cidr"], strict=False)
    outside = [ipaddress.ip_network(part, strict=False) for part in block.get("except") or ()]
    addresses = map(ipaddress.ip_address, end.addresses)
    return any(address in inside and not any(address in part for part in outside) for address in addresses)


def _ports(policy: Policy, ports: Sequence[Mapping[str, Any]] | None, flow: _Flow) -> bool:
    """Whether a rule speaks of a port of the target; one without ports speaks of all."""
    return not ports or any(_port(policy, entry, flow) for entry in ports)


def _port(policy: Policy, entry: Mapping[str, Any], flow: _Flow) -> bool:
    if entry.get("protocol", "TCP") != flow.protocol:
        return False
    match entry.get("port"):
        case None:
            return True
        case int(first):
            return first <= flow.port <= int(entry.get("endPort", first))
        case str(name):
            return isinstance(flow.target, Pod) and flow.target.named_ports.get((name, flow.protocol)) == flow.port
        case other:
            raise PolicyError(f"NetworkPolicy {_name(policy)} has a port that is neither number nor name: {other}")


def _name(policy: Policy) -> str:
    return f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"
