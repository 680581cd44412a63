"""Which proxy a server is reached through, by the variables that programs take it from."""

from __future__ import annotations

import pytest

from biospark_operator.clients.kubernetes.proxies import proxy_of

PROXY = "http://proxy.example:3128"


def asked(url: str, without: str = "", **variables: str) -> str | None:
    return proxy_of(url, {"HTTPS_PROXY": PROXY, "NO_PROXY": without, **variables})


@pytest.mark.parametrize(
    "without",
    [
        "*",
        "10.96.0.1",
        "10.96.0.0/12",
        "10.96.0.1/32",
        "10.96.3.4/12",
        "intern.example,10.0.0.0/8",
        "intern.example 10.0.0.0/8",
        "10.96.0.1:443",
    ],
)
def test_an_address_that_is_excepted_is_reached_directly(without: str) -> None:
    assert asked("https://10.96.0.1", without) is None


@pytest.mark.parametrize(
    "without", ["", "10.96.0.2", "10.97.0.0/16", "10.96.0.1:6443", "fd00::/8", "10.96", "10.96.0.0/99", "/", ".", ","]
)
def test_an_address_that_is_not_excepted_is_reached_through_the_proxy(without: str) -> None:
    assert asked("https://10.96.0.1", without) == PROXY


@pytest.mark.parametrize("without", ["fd00:10:96::1", "[fd00:10:96::1]", "[fd00:10:96::1]:443", "fd00:10:96::/112"])
def test_addresses_of_the_sixth_version_are_excepted_in_each_form(without: str) -> None:
    assert asked("https://[fd00:10:96::1]:443", without) is None
    assert asked("https://[fd00:10:97::1]:443", without) == PROXY


@pytest.mark.parametrize("without", ["example.com", ".example.com", "*.example.com", "EXAMPLE.com", "example.com:6443"])
def test_a_domain_excepts_the_names_in_it(without: str) -> None:
    assert asked("https://api.example.com:6443", without) is None
    assert asked("https://api.notexample.com:6443", without) == PROXY
    assert asked("https://example.com.evil.test:6443", without) == PROXY


@pytest.mark.parametrize("url", ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"])
def test_this_machine_is_never_asked_for_through_a_proxy(url: str) -> None:
    assert asked(url) is None


@pytest.mark.parametrize(
    ("url", "variables", "proxy"),
    [
        ("https://api.example", {"HTTPS_PROXY": "proxy.example:3128"}, PROXY),
        ("https://api.example", {"https_proxy": PROXY, "HTTPS_PROXY": "http://other.example"}, PROXY),
        ("https://api.example", {"HTTP_PROXY": PROXY}, None),
        ("http://api.example", {"HTTP_PROXY": PROXY}, PROXY),
        ("https://api.example", {"HTTPS_PROXY": PROXY, "no_proxy": "api.example"}, None),
        ("https://api.example", {"HTTPS_PROXY": ""}, None),
        ("https://api.example", {}, None),
    ],
)
def test_the_variable_of_the_scheme_names_the_proxy(url: str, variables: dict[str, str], proxy: str | None) -> None:
    assert proxy_of(url, variables) == proxy
