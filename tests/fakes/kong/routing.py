"""Which route takes a request, and which path the upstream gets. Pure.

Routes with more kinds of matcher come first, then hosts before headers before paths before methods, exact hosts
before wildcards, regular expressions before prefixes, longer prefixes; of equals the larger id, not the older route.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.fakes.kong import names
from tests.fakes.kong.exchange import Entity

#: Characters that nginx sends as they are; all others are encoded again.
_PLAIN = "/!$&'()*+,;=:@%~"
#: What counts more, where routes have as many kinds of matcher.
_WEIGHTS = {"hosts": 16, "headers": 8, "paths": 4, "methods": 2, "snis": 1}


@dataclass(frozen=True)
class Asked:
    """What routes look at."""

    method: str
    host: str
    path: str
    headers: Mapping[str, Sequence[str]]
    secure: bool = False
    server_name: str | None = None


@dataclass(frozen=True)
class Match:
    """A route that takes a request, and what of the path it matched."""

    route: Entity
    path: str
    matched: str | None

    def upstream_path(self, base: str | None) -> str:
        """Return the path for an upstream whose own begins with `base`."""
        rest = self.path
        if self.matched is not None and self.route["strip_path"]:
            rest = rest.removeprefix(self.matched)
        joined = f"{(base or '').rstrip('/')}/{rest.lstrip('/')}"
        # It ends with a slash where the request did, and else does not.
        joined = joined.rstrip("/") + ("/" if self.path.endswith("/") else "")
        return quote(joined or "/", safe=_PLAIN)

    @property
    def prefix(self) -> str | None:
        """What was taken away from the path, if anything."""
        return self.matched if self.route["strip_path"] else None


def find(routes: Sequence[Entity], asked: Asked) -> Match | None:
    """Return the route that takes a request."""
    path = names.normalized(asked.path)
    found = [
        (_priority(route, host, pattern), Match(route, path, matched))
        for route in routes
        for host in _hosts(route, asked)
        for pattern, matched in _paths(route, path)
        if _takes(route, asked)
    ]
    return max(found, key=lambda one: one[0])[1] if found else None


def _hosts(route: Entity, asked: Asked) -> Iterator[str | None]:
    if not route["hosts"]:
        yield None
    name, _, port = asked.host.partition(":") if not asked.host.startswith("[") else (asked.host, "", "")
    for host in route["hosts"] or ():
        pattern = re.escape(host).replace(r"\*", ".+")
        if re.fullmatch(pattern, name) or re.fullmatch(pattern, f"{name}:{port}"):
            yield host


def _paths(route: Entity, path: str) -> Iterator[tuple[str | None, str | None]]:
    if not route["paths"]:
        yield None, None
    for pattern in route["paths"] or ():
        if pattern.startswith("~"):
            if found := re.match(names.python_pattern(pattern[1:]), path):
                yield pattern, found[0]
        elif path.startswith(pattern):
            yield pattern, pattern


def _takes(route: Entity, asked: Asked) -> bool:
    if not {"http", "https"} & set(route["protocols"]):
        return False
    if route["methods"] and asked.method not in route["methods"]:
        return False
    # Without TLS such a route answers that TLS is wanted.
    if route["snis"] and asked.secure and asked.server_name not in [one.rstrip(".") for one in route["snis"]]:
        return False
    return all(_has(asked, name, values) for name, values in (route["headers"] or {}).items())


def _has(asked: Asked, name: str, wanted: Sequence[str]) -> bool:
    given = [value.lower() for value in asked.headers.get(name.lower(), ())]
    if len(wanted) == 1 and wanted[0].startswith("~*"):
        return any(re.search(wanted[0][2:], value, re.IGNORECASE) for value in given)
    return bool({value.lower() for value in wanted} & set(given))


def _priority(route: Entity, host: str | None, path: str | None) -> tuple[Any, ...]:
    kinds = [name for name in _WEIGHTS if route[name]]
    regular = path is not None and path.startswith("~")
    return (
        len(kinds),
        sum(_WEIGHTS[name] for name in kinds),
        host is not None and "*" not in host,
        len(route["headers"] or ()),
        regular,
        route["regex_priority"] if regular else 0,
        0 if regular or path is None else len(path),
        route["id"],
    )
