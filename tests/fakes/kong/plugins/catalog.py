"""The list of plugins, in the order in which Kong runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.fakes.kong.exchange import Entity, Exchange
from tests.fakes.kong.identity import Version
from tests.fakes.kong.plugins import cors, jwt, rate_limiting, request_size_limiting
from tests.fakes.kong.plugins.definition import Definition

#: Acts on a request before it goes on; raises `Halt` where it does not. Gets the entity of the plugin.
Access = Callable[[Entity, Exchange], None]
#: Adds headers to the answer. Of global plugins it runs where no route matches, too.
Headers = Callable[[Entity, Exchange], None]


@dataclass(frozen=True)
class Plugin:
    """One plugin. `priority` is Kong's own number."""

    priority: int
    version: str
    definition: Callable[[Version], Definition]
    access: Access
    headers: Headers | None = None


PLUGINS: Mapping[str, Plugin] = {
    "cors": Plugin(2000, "3.4.2", cors.definition_of, cors.access, cors.headers),
    "jwt": Plugin(1450, "3.4.2", jwt.definition_of, jwt.access),
    "request-size-limiting": Plugin(951, "3.4.2", request_size_limiting.definition_of, request_size_limiting.access),
    "rate-limiting": Plugin(910, "3.4.2", rate_limiting.definition_of, rate_limiting.access),
}
