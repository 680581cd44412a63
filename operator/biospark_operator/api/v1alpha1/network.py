"""`spec.network` and `spec.mesh`: who may talk to the environment, and to whom it may talk."""

import re
from enum import StrEnum
from ipaddress import IPv6Network, ip_network
from typing import Annotated, ClassVar

from pydantic import Field

from biospark_operator.api.v1alpha1.constraints import Keyed, Text, Unique
from biospark_operator.api.v1alpha1.formats import DnsLabel, Labels, Port
from biospark_operator.api.v1alpha1.model import Model, Rule

Cidr = Annotated[str, Text("write an address range such as 10.20.0.0/16", max_length=43, min_length=4)]


class Isolation(StrEnum):
    """Whether traffic that nobody asked for is refused."""

    ENFORCED = "Enforced"
    DISABLED = "Disabled"


class Protocol(StrEnum):
    """Transport protocol of a port."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class NetworkPort(Model):
    """A port of one transport protocol."""

    port: Port = Field(description="Port number, 1 to 65535.")
    protocol: Protocol = Field(Protocol.TCP, description="Transport protocol. Default TCP.")


class IngressSource(Model):
    """Pods that may connect to the API."""

    name: DnsLabel = Field(description="Unique name of this entry.")
    namespace: DnsLabel = Field(description="Namespace of the pods.")
    pod_labels: Labels = Field(
        default_factory=dict, description="Labels the pods must have. Default: all pods of the namespace."
    )
    ports: Annotated[tuple[NetworkPort, ...], Unique(16)] = Field(
        (), description="Ports they may connect to. Default: all ports."
    )


def is_range(text: str) -> bool:
    """As CEL sees it: Python would also take a bare address, a netmask, leading zeros, and IPv4 written as IPv6."""
    try:
        network = ip_network(text)
    except ValueError:
        return False
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None:
        return False
    return re.fullmatch("[^/%]+/(0|[1-9][0-9]*)", text) is not None


def _inside(inner: str, outer: str) -> bool:
    if not (is_range(inner) and is_range(outer)):
        return False
    small, large = ip_network(inner), ip_network(outer)
    return (
        small.version == large.version
        and small.prefixlen > large.prefixlen
        and int(large.network_address) <= int(small.network_address) <= int(large.broadcast_address)
    )


class EgressTarget(Model):
    """Addresses outside the environment that it may connect to."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "cidr",
            "write an address range whose host bits are zero, such as 10.20.0.0/16 or 2001:db8::/32",
            cel="isCIDR(self.cidr) && cidr(self.cidr) == cidr(self.cidr).masked()",
            holds=lambda s: is_range(s.cidr),
        ),
        Rule(
            "except",
            "write ranges that lie inside cidr and are smaller, such as 10.20.30.0/24 in 10.20.0.0/16",
            cel="!has(self.except) || self.except.all(e, isCIDR(e) && cidr(e) == cidr(e).masked() && "
            "isCIDR(self.cidr) && cidr(self.cidr).containsCIDR(e) && cidr(self.cidr).prefixLength() < "
            "cidr(e).prefixLength())",
            holds=lambda s: all(_inside(item, s.cidr) for item in s.except_),
        ),
    )

    name: DnsLabel = Field(description="Unique name of this entry.")
    cidr: Cidr = Field(description="Address range, IPv4 or IPv6, such as `10.20.0.0/16`.")
    except_: Annotated[tuple[Cidr, ...], Unique(16)] = Field(
        (), alias="except", description="Ranges inside `cidr` that stay refused. Default: none."
    )
    ports: Annotated[tuple[NetworkPort, ...], Unique(16, min_items=1)] = Field(
        description="Ports the environment may connect to."
    )


class Network(Model):
    """Network policies of the namespace."""

    isolation: Isolation = Field(
        Isolation.ENFORCED,
        description="Enforced: everything is refused in both directions but what the environment needs and what is "
        "listed here. Disabled: no network policies. Default Enforced.",
    )
    ingress: Annotated[tuple[IngressSource, ...], Keyed("name", 16)] = Field(
        (), description="Additional sources that may connect to the API. Default: none."
    )
    egress: Annotated[tuple[EgressTarget, ...], Keyed("name", 16)] = Field(
        (), description="Additional targets the environment may connect to. Default: none."
    )


class MeshProvider(StrEnum):
    """The service mesh."""

    NONE = "None"
    ISTIO = "Istio"


class MutualTLS(StrEnum):
    """Whether connections without a client certificate are refused."""

    STRICT = "Strict"
    PERMISSIVE = "Permissive"


class Mesh(Model):
    """Membership of the namespace in a service mesh."""

    provider: MeshProvider = Field(
        MeshProvider.NONE,
        description="Istio: injection label on the namespace, PeerAuthentication, AuthorizationPolicy and "
        "DestinationRule. Default None.",
    )
    revision: DnsLabel | None = Field(
        None,
        description="Istio control plane revision that injects the sidecars. Default: the unnamed revision.",
    )
    mutual_tls: MutualTLS = Field(
        MutualTLS.STRICT,
        alias="mutualTLS",
        description="Strict: connections without mutual TLS are refused. Permissive: accepted. Default Strict.",
    )
