"""What the administrator of the operator says about the cluster, once for all environments.

A contract, like the resource: the runtime reads it as the section `platform` of the operator's settings, `effective`
and the components are given it. Names are
in camelCase in the file, and an unknown name is an error, as in the resource. The reference page of the
settings is generated from these models.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    Field,
    IPvAnyNetwork,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from biospark_operator.api.v1alpha1.constraints import Text, Unique, refused
from biospark_operator.api.v1alpha1.database import DatabaseServer
from biospark_operator.api.v1alpha1.formats import LABEL_KEY_PATTERN, DnsLabel, Labels, LabelValue, Port
from biospark_operator.api.v1alpha1.limits import Limits
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.workload import Image

#: User and group of the API's image, which have no name on any node.
USER_ID = 10001


def _range(written: object, parse: ValidatorFunctionWrapHandler) -> IPv4Network | IPv6Network:
    """Take only what Kubernetes 1.36 and newer take in a policy; an address is the range of this one."""
    with contextlib.suppress(ValueError):
        network: IPv4Network | IPv6Network = parse(written)
        if isinstance(network, IPv4Network) or not network.network_address.ipv4_mapped:
            return network
    raise refused("write an address such as 10.20.0.5, or a range whose host bits are zero, such as 10.20.0.0/16")


AddressRange = Annotated[IPvAnyNetwork, WrapValidator(_range)]
Ports = Annotated[tuple[Port, ...], Unique(16, min_items=1)]
Id = Annotated[int, Field(ge=1, le=2_147_483_647)]
LabelKey = Annotated[
    str,
    Text("write the key of a label, such as topology.kubernetes.io/zone", pattern=LABEL_KEY_PATTERN, max_length=317),
]
Priority = Annotated[str, Text("write the name of a PriorityClass", max_length=253)]


def _narrow(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    if network.prefixlen == 0:
        raise refused("write the addresses of your proxies; a range of all addresses lets each client name its own")
    return network


TrustedRange = Annotated[IPvAnyNetwork, AfterValidator(_narrow)]


class ImagePullPolicy(StrEnum):
    """When a node pulls an image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class PodSecurityContext(Model):
    """User and groups that the API's pods run as; whatever is left out the platform assigns."""

    run_as_user: Id | None = Field(None, description="User of the processes. Left out: as the platform assigns.")
    run_as_group: Id | None = Field(None, description="Group of the processes. Left out: as the platform assigns.")
    fs_group: Id | None = Field(
        None, description="Group that reads the mounted Secrets. Left out: as the platform assigns."
    )


class TolerationOperator(StrEnum):
    """How a toleration is compared with a taint."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    """What a taint does to pods that don't tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint of nodes that the API's pods tolerate, as in a pod."""

    key: LabelKey | None = Field(None, description="Key of the taint. Left out, with operator Exists: every taint.")
    operator: TolerationOperator = Field(
        TolerationOperator.EQUAL, description="Equal compares the value, Exists does not. Default Equal."
    )
    value: LabelValue | None = Field(None, description="Value of the taint, with operator Equal.")
    effect: TaintEffect | None = Field(
        None, description="NoSchedule, PreferNoSchedule or NoExecute. Left out: every effect."
    )
    toleration_seconds: int | None = Field(
        None,
        ge=0,
        description="Seconds that a pod stays on a node with such a taint of effect NoExecute. Default: ever.",
    )

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if self.operator is TolerationOperator.EQUAL and self.key is None:
            raise refused("write a key, or operator: Exists to tolerate every taint")
        if self.operator is TolerationOperator.EXISTS and self.value is not None:
            raise refused("write value only with operator: Equal")
        if self.toleration_seconds is not None and self.effect is not TaintEffect.NO_EXECUTE:
            raise refused("write tolerationSeconds only with effect: NoExecute")
        return self


class WhenUnsatisfiable(StrEnum):
    """What to do with a pod that no node has a good place for."""

    SCHEDULE_ANYWAY = "ScheduleAnyway"
    DO_NOT_SCHEDULE = "DoNotSchedule"


class TopologySpreadConstraint(Model):
    """How the API's pods of one environment are spread over zones or nodes."""

    topology_key: LabelKey = Field(description="Label of nodes, such as `topology.kubernetes.io/zone`.")
    max_skew: int = Field(1, ge=1, le=100, description="By how many pods places may differ. Default 1.")
    when_unsatisfiable: WhenUnsatisfiable = Field(
        WhenUnsatisfiable.SCHEDULE_ANYWAY,
        description="ScheduleAnyway makes it a wish, DoNotSchedule a demand. Default ScheduleAnyway.",
    )


class PodPeer(Model):
    """Pods of one namespace that environments talk to, or that talk to them."""

    namespace: DnsLabel = Field(description="Namespace of the pods.")
    pod_labels: Labels = Field(
        default_factory=dict, description="Labels that the pods have. Default: all pods of the namespace."
    )


class Gateway(PodPeer):
    """The gateway in front of the API, and what it is believed."""

    addresses: tuple[TrustedRange, ...] = Field(
        (),
        description="Addresses or ranges that the gateway, and any other proxy in front of the API, connects from: "
        "the pod network `10.244.0.0/16`, or a load balancer's `10.0.7.0/24`. What these say about the address of a "
        "client in X-Forwarded-For is believed, and nobody else is. Default: none, and all clients behind the gateway "
        "count as one address.",
    )


class ServerPeer(Model):
    """A server that environments connect to: pods of a namespace, or a range of addresses."""

    namespace: DnsLabel | None = Field(None, description="Namespace of the server's pods; excludes `cidr`.")
    pod_labels: Labels = Field(
        default_factory=dict,
        description="Labels that the server's pods have, beside `namespace`. Default: all pods of the namespace.",
    )
    cidr: AddressRange | None = Field(
        None,
        description="Address or range of a server outside the pod network, such as `10.20.0.5` or `10.20.0.0/16`; "
        "excludes `namespace`.",
    )
    ports: Ports = Field(description="TCP ports of the server, as its pods or its address have them.")

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.namespace is None) == (self.cidr is None):
            raise refused("write either namespace or cidr")
        if self.cidr is not None and self.pod_labels:
            raise refused("write podLabels only together with namespace")
        return self


def _servers(port: int) -> tuple[ServerPeer, ...]:
    return (ServerPeer(namespace="biospark-platform", ports=(port,)),)


class NetworkPeers(Model):
    """Whom the network policies of every environment let through."""

    gateway: Gateway = Field(
        default_factory=lambda: Gateway(namespace="kong"),
        description="The gateway; its pods may connect to the API. Default: namespace `kong`.",
    )
    prometheus: PodPeer = Field(
        default_factory=lambda: PodPeer(namespace="monitoring"),
        description="Prometheus; its pods may connect to the metrics port. Default: namespace `monitoring`.",
    )
    dns: PodPeer = Field(
        default_factory=lambda: PodPeer(namespace="kube-system", pod_labels={"k8s-app": "kube-dns"}),
        description="The DNS server of the cluster. Default: namespace `kube-system`, label `k8s-app: kube-dns`.",
    )
    dns_addresses: tuple[AddressRange, ...] = Field(
        (),
        description="Addresses of DNS servers that are not pods of the pod network: a node-local cache, such as "
        "`169.254.20.10`, or a server on the host network. Default: none.",
    )
    dns_ports: Ports = Field(
        (53,),
        description="Ports of the DNS server, UDP and TCP, as its pods have them. Default 53; OpenShift has 5353.",
    )
    database: tuple[ServerPeer, ...] = Field(
        default_factory=lambda: _servers(5432),
        description="PostgreSQL servers, beside one that the environment names by its address. Default: port 5432 in "
        "namespace `biospark-platform`.",
    )
    vault: tuple[ServerPeer, ...] = Field(
        default_factory=lambda: _servers(8200),
        description="Vault servers. Default: port 8200 in namespace `biospark-platform`.",
    )

    def namespaces(self) -> frozenset[str]:
        """Return the namespaces of the platform: the policies of every environment take their pods for its own."""
        servers = (server.namespace for server in (*self.database, *self.vault))
        return frozenset(
            (self.gateway.namespace, self.prometheus.namespace, self.dns.namespace, *filter(None, servers))
        )


class Platform(Model):
    """The cluster as the operator has to know it."""

    api_image: Image | None = Field(
        None, description="Image of the API for environments without `spec.api.image`. Default: none."
    )
    image_pull_policy: ImagePullPolicy = Field(
        ImagePullPolicy.IF_NOT_PRESENT, description="When nodes pull the image of the API. Default IfNotPresent."
    )
    priority_class_name: Priority | None = Field(
        None, description="PriorityClass of the API's pods. Default: that of the cluster."
    )
    pod_security_context: PodSecurityContext = Field(
        default_factory=lambda: PodSecurityContext(run_as_user=USER_ID, run_as_group=USER_ID, fs_group=USER_ID),
        description="User and groups of the API's pods. Default: those of the image, 10001. Write `{}` where the "
        "platform assigns them, as OpenShift does. Pods never run as root.",
    )
    node_selector: Labels = Field(
        default_factory=dict, description="Labels of the nodes that the API's pods may run on. Default: every node."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=32)] = Field(
        (), description="Taints of nodes that the API's pods tolerate. Default: none."
    )
    topology_spread_constraints: Annotated[tuple[TopologySpreadConstraint, ...], Field(max_length=8)] = Field(
        (),
        description="How the API's pods of each environment are spread, beside the wish for different nodes in "
        "Production, which one of key `kubernetes.io/hostname` replaces. Default: none.",
    )
    drain_seconds: int = Field(
        5,
        ge=0,
        le=300,
        description="Seconds that a stopping replica goes on accepting requests, until no proxy sends it new ones. "
        "Default 5.",
    )
    shutdown_seconds: int = Field(
        20, ge=1, le=600, description="Seconds that open requests of a stopping replica get after that. Default 20."
    )
    database: DatabaseServer | None = Field(
        None,
        description="PostgreSQL server of environments without `spec.database.server`. Its Secrets are in the "
        "operator's namespace, and may be used for this server without an annotation that says so. Default: none, "
        "and such environments have no database.",
    )
    network: NetworkPeers = Field(
        default_factory=NetworkPeers, description="Whom the network policies of every environment let through."
    )
    limits: Limits = Field(default_factory=Limits, description="How far environments may go, whoever writes them.")


def reserved_namespace(name: str, operator_namespace: str, platform_namespaces: Collection[str] = ()) -> str | None:
    """Say why a namespace can't be an environment's. The CRD refuses some of them, `IfUnowned` would adopt all."""
    if name == operator_namespace:
        owner = "the operator itself"
    elif name == "default" or name.startswith("kube-"):
        owner = "Kubernetes"
    elif name in platform_namespaces:
        owner = "the platform (platform.network)"
    else:
        return None
    return f"namespace {name} belongs to {owner}; create the environment with another spec.namespace.name"
