"""The operator's network policy, judged by what an independent analyzer says it lets through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.components.names import API_LABELS
from tests.unit.chart.helm import Helm, Manifest
from tests.unit.components.connectivity import Connectivity, Pod, connectivity

NAMESPACE = "biospark-system"


@dataclass(frozen=True)
class OperatorPod(Pod):
    """A pod of the chart's Deployment: its ports have names, by which the policy means them."""

    template: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    def manifests(self) -> list[Manifest]:
        """Return the pod and its namespace."""
        namespace, _ = super().manifests()
        metadata = {**self.template["metadata"], "name": self.name, "namespace": self.namespace}
        return [namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self.template["spec"]}]


OPERATOR = Pod(NAMESPACE, "operator")
NEIGHBOUR = Pod(NAMESPACE, "neighbour")
PROMETHEUS = Pod("monitoring", "prometheus")
DNS = Pod("kube-system", "dns", (("k8s-app", "kube-dns"),))
BESIDE_DNS = Pod("kube-system", "beside-dns")
ENVIRONMENT = Pod("biospark-dev", "api", tuple(API_LABELS.items()))
DATABASE = Pod("biospark-platform", "database")
#: Has every label that the policy names, in a namespace that it does not name.
STRANGER = Pod("stranger", "stranger", (("k8s-app", "kube-dns"), ("app.kubernetes.io/name", "biospark-operator")))
OTHERS = (NEIGHBOUR, PROMETHEUS, DNS, BESIDE_DNS, ENVIRONMENT, DATABASE, STRANGER)
API_SERVER, INTERNET, INTERNET_6 = "10.0.0.1", "93.184.215.14", "2606:2800:21f:cb07::1"
NODE_LOCAL_DNS = "169.254.20.10"
NOTHING: set[str] = set()

#: Everything that is let through by default; whatever is not here is refused. No policy can name the API server but
#: by its address, which the chart does not know: by default any address is allowed on the ports of an API server.
ALLOWED: dict[tuple[Pod | str, Pod | str], set[str]] = {
    (PROMETHEUS, OPERATOR): {"TCP 8080"},
    (OPERATOR, DNS): {"UDP 53", "TCP 53"},
    **{
        (OPERATOR, address): {"TCP 443", "TCP 6443", "TCP 8443", "TCP 16443"}
        for address in (API_SERVER, INTERNET, INTERNET_6, NODE_LOCAL_DNS)
    },
}
ENDS = (*OTHERS, API_SERVER, INTERNET, INTERNET_6, NODE_LOCAL_DNS)
PAIRS = [pair for end in ENDS for pair in ((OPERATOR, end), (end, OPERATOR))]

NARROW: dict[str, Any] = {
    "ingressNamespaces": [],
    "dns": {"cidrs": [f"{NODE_LOCAL_DNS}/32"]},
    "egress": {
        "apiServer": {"cidrs": [f"{API_SERVER}/32"], "ports": [6443]},
        "database": {"cidrs": ["10.8.0.7/32"]},
    },
    "additionalEgress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 3128}]}],
}


def _computed(helm: Helm, folder: Path, values: Mapping[str, Any]) -> Connectivity:
    template = helm.manifest("Deployment")["spec"]["template"]
    policy = helm.manifest("NetworkPolicy", values={"networkPolicy": values})
    operator = OperatorPod(NAMESPACE, OPERATOR.name, template=template)
    return connectivity(folder, (operator, *OTHERS), [policy])


@pytest.fixture(scope="module")
def by_default(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Connectivity:
    """The policy of an installation that says nothing about the network."""
    return _computed(helm, tmp_path_factory.mktemp("default"), {})


@pytest.fixture(scope="module")
def narrowed(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Connectivity:
    """The policy of an installation that says where things are."""
    return _computed(helm, tmp_path_factory.mktemp("narrowed"), NARROW)


def _name(end: Pod | str) -> str:
    return end.name if isinstance(end, Pod) else end


@pytest.mark.parametrize(("source", "target"), PAIRS, ids=_name)
def test_exactly_what_the_operator_needs_is_let_through(
    by_default: Connectivity, source: Pod | str, target: Pod | str
) -> None:
    assert by_default.ports(source, target) == ALLOWED.get((source, target), NOTHING)


@pytest.mark.parametrize(
    ("source", "target", "ports"),
    [
        (OPERATOR, API_SERVER, {"TCP 6443"}),
        (OPERATOR, INTERNET, NOTHING),
        (OPERATOR, INTERNET_6, NOTHING),
        (OPERATOR, NODE_LOCAL_DNS, {"UDP 53", "TCP 53"}),
        (OPERATOR, DNS, {"UDP 53", "TCP 53"}),
        (OPERATOR, "10.9.1.1", {"TCP 3128"}),
        (OPERATOR, "10.8.0.7", {"TCP 5432"}),
        (OPERATOR, "10.8.0.8", NOTHING),
        (PROMETHEUS, OPERATOR, NOTHING),
        ("10.9.1.1", OPERATOR, NOTHING),
    ],
)
def test_values_narrow_it_down(narrowed: Connectivity, source: Pod | str, target: Pod | str, ports: set[str]) -> None:
    assert narrowed.ports(source, target) == ports
