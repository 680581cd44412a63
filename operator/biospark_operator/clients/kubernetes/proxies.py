"""Says through which proxy a server is reached, as the variables of the process want it. Pure; used by `credentials`.

Python's own reading of NO_PROXY knows no ranges of addresses, and aiohttp asks it anew for each request. What counts
here is what Go's programs make of the same variables, kubectl among them: NO_PROXY holds names, addresses, ranges and
`*`, each perhaps with a port, and what is on this machine is never asked for through a proxy.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_PORTS = {"http": 80, "https": 443}


def proxy_of(url: str, variables: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy through which `url` is reached, or None where it is reached directly."""
    target = urllib.parse.urlsplit(url)
    proxy = _named(variables, f"{target.scheme}_proxy")
    host, port = target.hostname or "", target.port or _PORTS.get(target.scheme)
    if not proxy or _here(host) or any(_covers(entry, host, port) for entry in _entries(variables)):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _named(variables: Mapping[str, str], name: str) -> str:
    return variables.get(name) or variables.get(name.upper()) or ""


def _entries(variables: Mapping[str, str]) -> list[str]:
    return _named(variables, "no_proxy").replace(",", " ").lower().split()


def _here(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _covers(entry: str, host: str, port: int | None) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        return address is not None and _within(address, entry)
    name, only = _split(entry)
    if only is not None and only != port:
        return False
    if address is not None:
        return _address(name) == address
    domain = name.removeprefix("*").removeprefix(".")
    return host == domain or host.endswith(f".{domain}")


def _split(entry: str) -> tuple[str, int | None]:
    """Part a name or an address from its port, if it has one; an address of IPv6 has one only behind brackets."""
    name, colon, port = entry.rpartition(":")
    if not colon or not port.isdigit() or (":" in name and not name.endswith("]")):
        return entry.strip("[]"), None
    return name.strip("[]"), int(port)


def _within(address: Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
