"""Ranges of addresses that Kubernetes 1.36 and newer refuse in a policy are refused here, with what to write."""

import ipaddress
from typing import Any

import pytest

from tests.unit.chart.helm import Helm, HelmError

GOOD = (
    "0.0.0.0/0", "10.0.0.0/8", "10.1.2.128/25", "10.1.2.3/32", "::/0", "::/3", "::1/128", "2001:db8::/32",
    "2001:db8::1/128", "fd00:0:0:5::/64", "1:2:3:4:5:6:7:8/128",
)  # fmt: skip
NO_RANGE = (
    "10.0.0/8", "10.0.0.256/32", "10.0.0.0/33", "08.0.0.0/8", "1::2::3/64", ":1::/64", "1:/64", "fe80::/129",
    "1:2:3:4:5:6:7/64", "1:2:3:4:5:6:7:8:9/64", "1:2:3:4:5:6:7:8::/64",
)  # fmt: skip
HOST_BITS = {
    "10.1.2.3/8": "10.0.0.0/8",
    "10.1.2.3/25": "10.1.2.0/25",
    "10.1.2.129/25": "10.1.2.128/25",
    "128.0.0.0/0": "0.0.0.0/0",
    "2001:db8::1/32": "2001:db8::/32",
    "fd00:0:0:5:1::/64": "fd00:0:0:5::/64",
    "1:2:3:4:5:6:7:8/65": "1:2:3:4::/65",
}
EVERYWHERE = {
    "networkPolicy.dns.cidrs[0]": lambda cidr: {"dns": {"cidrs": [cidr]}},
    "networkPolicy.egress.apiServer.cidrs[0]": lambda cidr: {"egress": {"apiServer": {"cidrs": [cidr]}}},
    "networkPolicy.egress.database.cidrs[1]": lambda cidr: {"egress": {"database": {"cidrs": ["10.0.0.0/8", cidr]}}},
    "networkPolicy.additionalEgress[0].to[0].ipBlock.cidr": lambda cidr: additional({"cidr": cidr}),
    "networkPolicy.additionalEgress[0].to[0].ipBlock.except[0]": lambda cidr: additional(
        {"cidr": "0.0.0.0/0", "except": [cidr]}
    ),
}


def additional(block: dict[str, Any]) -> dict[str, Any]:
    return {"additionalEgress": [{"to": [{"ipBlock": block}]}]}


def refusal(helm: Helm, policy: dict[str, Any]) -> str:
    with pytest.raises(HelmError) as refused:
        helm.template({"networkPolicy": policy})
    return str(refused.value)


def test_ranges_are_accepted_as_they_are(helm: Helm) -> None:
    rendered = helm.manifest("NetworkPolicy", values={"networkPolicy": {"dns": {"cidrs": list(GOOD)}}})
    (dns, *_) = rendered["spec"]["egress"]
    assert [peer["ipBlock"]["cidr"] for peer in dns["to"] if "ipBlock" in peer] == list(GOOD)


@pytest.mark.parametrize("cidr", NO_RANGE)
def test_what_is_no_range_is_refused_with_an_example(helm: Helm, cidr: str) -> None:
    with pytest.raises(ValueError, match=r"appear|permitted"):
        ipaddress.ip_network(cidr)
    message = refusal(helm, {"dns": {"cidrs": [cidr]}})
    assert f'networkPolicy.dns.cidrs[0]: "{cidr}" is no address range; write one such as 10.20.0.0/16' in message


@pytest.mark.parametrize("cidr", HOST_BITS)
def test_bits_beyond_the_prefix_are_refused_with_the_range_that_is_meant(helm: Helm, cidr: str) -> None:
    meant, address = HOST_BITS[cidr], ipaddress.ip_interface(cidr)
    assert ipaddress.ip_network(meant) == address.network
    message = refusal(helm, {"dns": {"cidrs": [cidr]}})
    assert (
        f"write {meant} for the range, or {cidr.split('/')[0]}/{address.max_prefixlen} for the one address" in message
    )


@pytest.mark.parametrize("path", EVERYWHERE)
def test_every_place_that_takes_a_range_is_checked(helm: Helm, path: str) -> None:
    assert f'{path}: "10.9.8.7/24" has bits set beyond its prefix' in refusal(helm, EVERYWHERE[path]("10.9.8.7/24"))
