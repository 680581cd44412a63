"""The administrator's settings of the platform: what is taken, what is refused, and that all is described."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from biospark_operator.api.platform import (
    Gateway,
    NetworkPeers,
    Platform,
    PodPeer,
    PodSecurityContext,
    ServerPeer,
    Toleration,
    TopologySpreadConstraint,
)


def test_an_empty_file_is_a_usable_platform() -> None:
    platform = Platform.model_validate({})
    assert platform.network.gateway == Gateway(namespace="kong")
    assert platform.network.dns == PodPeer(namespace="kube-system", pod_labels={"k8s-app": "kube-dns"})
    assert platform.network.database == (ServerPeer(namespace="biospark-platform", ports=(5432,)),)
    assert platform.api_image is None


def test_names_are_written_in_camel_case() -> None:
    platform = Platform.model_validate(
        {"apiImage": "registry.example/api:1", "network": {"dnsAddresses": ["169.254.20.10", "fd00::/64"]}}
    )
    assert platform.api_image == "registry.example/api:1"
    assert [str(address) for address in platform.network.dns_addresses] == ["169.254.20.10/32", "fd00::/64"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"apiimage": "x"}, "Extra inputs are not permitted"),
        ({"apiImage": "registry.example/api latest"}, "write an image reference without scheme"),
        ({"imagePullPolicy": "Sometimes"}, "'Always', 'IfNotPresent' or 'Never'"),
        ({"network": {"gateway": {}}}, "Field required"),
        ({"network": {"dnsAddresses": ["dns.example"]}}, "write an address such as"),
        ({"network": {"dnsAddresses": ["10.20.0.5/16"]}}, "a range whose host bits are zero, such as 10.20.0.0/16"),
        ({"network": {"dnsAddresses": ["fd00::1/64"]}}, "a range whose host bits are zero"),
        ({"network": {"dnsAddresses": ["::ffff:10.20.0.0/112"]}}, "a range whose host bits are zero"),
        ({"network": {"vault": [{"cidr": "10.20.0.5/16", "ports": [1]}]}}, "a range whose host bits are zero"),
        ({"network": {"vault": [{"ports": [8200]}]}}, "write either namespace or cidr"),
        ({"network": {"vault": [{"namespace": "a", "cidr": "10.0.0.1", "ports": [1]}]}}, "either namespace or cidr"),
        (
            {"network": {"vault": [{"cidr": "10.0.0.1", "podLabels": {"a": "b"}, "ports": [1]}]}},
            "write podLabels only together with namespace",
        ),
        ({"network": {"vault": [{"namespace": "a", "ports": []}]}}, "write at least 1 item"),
        ({"network": {"gateway": {"namespace": "kong", "addresses": ["0.0.0.0/0"]}}}, "lets each client name its own"),
        ({"network": {"gateway": {"namespace": "kong", "addresses": ["::/0"]}}}, "lets each client name its own"),
        ({"network": {"gateway": {"namespace": "kong", "addresses": ["kong.example"]}}}, "valid IPv4 or IPv6 network"),
        ({"podSecurityContext": {"runAsUser": 0}}, "greater than or equal to 1"),
        ({"podSecurityContext": {"runAsNonRoot": False}}, "Extra inputs are not permitted"),
        ({"tolerations": [{"value": "x"}]}, "write a key, or operator: Exists"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]}, "write value only with operator: Equal"),
        ({"tolerations": [{"key": "a", "tolerationSeconds": 3}]}, "write tolerationSeconds only with effect"),
        ({"tolerations": [{"key": "a b"}]}, "write the key of a label"),
        ({"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 0}]}, "greater than or equal to 1"),
        ({"drainSeconds": -1}, "greater than or equal to 0"),
    ],
)
def test_what_can_not_be_meant_is_refused(settings: Any, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Platform.model_validate(settings)


MODELS = [
    Platform,
    NetworkPeers,
    Gateway,
    PodPeer,
    ServerPeer,
    PodSecurityContext,
    Toleration,
    TopologySpreadConstraint,
]


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_is_described(model: type[BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []
