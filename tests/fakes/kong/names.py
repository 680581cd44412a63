"""Hosts, server names, paths and tags as Kong takes them. Each function returns why it does not take one, or None."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from urllib.parse import unquote

_ONLY = "the only accepted ascii characters are alphanumerics or ., -, _, and ~"
#: Characters that stay percent-encoded in a normalised path, because they would mean something else.
_RESERVED = frozenset("!#$&'()*+,/:;=?@[]%")
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")


def name(value: str) -> str | None:
    """Judge the name of a service, a route or an instance of a plugin."""
    fine = all(char > "\x7f" or char.isalnum() or char in ".-_~" for char in value)
    return None if fine else f"invalid value '{value}': {_ONLY}"


def tag(value: str) -> str | None:
    if all((" " <= char <= "~" and char not in ",/") or char > "\x7f" for char in value):
        return None
    return f"invalid tag '{value}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"


def host(value: str) -> str | None:
    """Judge the host of a service."""
    fine, _, port = _split(value)
    if not fine:
        return f"invalid value: {value}"
    return None if port is None else "must not have a port"


def route_host(value: str) -> str | None:
    """Judge a host that a route matches: with a port, or with one wildcard."""
    if value.count("*") > 1:
        return "invalid wildcard: must have at most one wildcard"
    if "*" in value and not (value.startswith("*.") or value.endswith(".*")):
        return "invalid wildcard: must be placed at leftmost or rightmost label"
    fine, _, _ = _split(value.replace("*", "abc"))
    return None if fine else f"invalid hostname: {value}"


def server_name(value: str) -> str | None:
    """Judge a name that clients ask for in TLS."""
    fine, address, port = _split(value)
    if not fine:
        return f"invalid value: {value}"
    if address:
        return "must not be an IP"
    return None if port is None else "must not have a port"


def sni(value: str) -> str | None:
    """Judge the name of an SNI: a server name, one with a wildcard, or `*` for all others."""
    if value == "*":
        return None
    if "*" in value:
        one = value.count("*") == 1 and (value.startswith("*.") or value.endswith(".*"))
        if not one:
            return "wildcard must be leftmost or rightmost character"
    return server_name(value.replace("*", "abc"))


def header_name(value: str) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9_-]+", value):
        return None
    return f"bad header name '{value}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"


def route_path(value: str) -> str | None:
    """Judge a path that a route matches."""
    if value.startswith("~"):
        try:
            re.compile(python_pattern(value[1:]))
        except re.error as error:
            return f"invalid regex: '{value[1:]}' ({error})"
        return None
    if bad := re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", value):
        return f"invalid url-encoded value: '{bad[0]}'"
    if (normal := normalized(value)) != value:
        return f"non-normalized path, consider use '{normal}' instead"
    return None


def python_pattern(pattern: str) -> str:
    """Return a regular expression of PCRE as Python writes it; they differ in named groups."""
    return pattern.replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")


def normalized(path: str) -> str:
    """Return a path as routes see it: decoded where that changes no meaning, without `.`, `..` and doubled slashes."""
    decoded = _ENCODED.sub(_decoded, path)
    segments: list[str] = []
    for segment in decoded.split("/")[1:]:
        if segment == "..":
            segments = segments[:-1]
        elif segment not in ("", "."):
            segments.append(segment)
    ends = decoded.endswith(("/", "/.", "/.."))
    return "/" + "/".join(segments) + ("/" if ends and segments else "")


def _decoded(found: re.Match[str]) -> str:
    # Characters beyond ASCII come in several bytes and stay as they are.
    code = int(found[1], 16)
    char = unquote(found[0]) if code < 0x80 else ""
    return found[0].upper() if not char or char in _RESERVED or code < 0x20 else char


def _split(value: str) -> tuple[bool, bool, str | None]:
    """Return whether a host is one, whether it is an address, and its port."""
    if value.count(":") > 1 or value.startswith("["):
        found = re.fullmatch(r"\[([^\]]*)\](?::(\d+))?", value)
        address, port = (found[1], found[2]) if found else (value, None)
        try:
            IPv6Address(address)
        except AddressValueError:
            return False, True, port
        return True, True, port
    name_, _, port_ = value.partition(":")
    found_port = port_ if ":" in value else None
    if found_port is not None and not (found_port.isdigit() and int(found_port) <= 65535):
        return False, False, found_port
    if re.fullmatch(r"[\d.]+", name_):
        parts = name_.split(".")
        return len(parts) == 4 and all(part.isdigit() and int(part) < 256 for part in parts), True, found_port
    return re.fullmatch(r"[A-Za-z0-9._-]+", name_) is not None, False, found_port
