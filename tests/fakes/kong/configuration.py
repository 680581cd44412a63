"""What the proxy goes by: the entities as they were when it last looked.

Kong's workers learn of a write some time after it was answered. `Configurations` keeps what the proxy knows, and
lets a write through once the `delay` is over; with none, at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tests.fakes.kong.exchange import Entity
from tests.fakes.kong.plugins.catalog import PLUGINS, Plugin
from tests.fakes.kong.store import Store

#: The scopes of plugins, most special first: which fields are set.
_SCOPES = (
    ("consumer", "route", "service"),
    ("consumer", "route"),
    ("consumer", "service"),
    ("route", "service"),
    ("consumer",),
    ("route",),
    ("service",),
    (),
)


@dataclass(frozen=True)
class Configuration:
    """The entities of one moment."""

    revision: int
    entities: Mapping[str, Mapping[str, Entity]]

    @classmethod
    def of(cls, store: Store) -> Configuration:
        return cls(store.revision, {name: {one["id"]: one for one in store.all(name)} for name in store.kinds})

    def routes(self) -> list[Entity]:
        """Return the routes, without those of services that are switched off."""
        return [one for one in self.entities["routes"].values() if (self.service(one) or {"enabled": True})["enabled"]]

    def service(self, route: Entity) -> Entity | None:
        return self.entities["services"].get(route["service"]["id"]) if route["service"] else None

    def consumer(self, id_or_name: str) -> Entity | None:
        named = (one for one in self.entities["consumers"].values() if one["username"] == id_or_name)
        return self.entities["consumers"].get(id_or_name) or next(named, None)

    def jwt_secret(self, key: str) -> Entity | None:
        return next((one for one in self.entities["jwt_secrets"].values() if one["key"] == key), None)

    def certificate(self, server_name: str | None) -> Entity | None:
        """Return the certificate for a name that a client asks for: exact, by wildcard, or the one for all."""
        snis = {one["name"]: one for one in self.entities["snis"].values()}
        first, _, rest = (server_name or "").partition(".")
        wanted = [server_name, f"*.{rest}", f"{(server_name or '').rpartition('.')[0]}.*"] if first and rest else []
        found = next((snis[name] for name in [*wanted, server_name, "*"] if name in snis), None)
        return self.entities["certificates"].get(found["certificate"]["id"]) if found else None

    def plugins(
        self, service: Entity | None, route: Entity | None, consumer: Callable[[], Entity | None]
    ) -> Iterator[tuple[Plugin, Entity]]:
        """Return the plugins that act on a request in their order, of each name the most special one.

        `consumer` is asked for each: an earlier plugin may have found out who asks.
        """
        enabled = [one for one in self.entities["plugins"].values() if one["enabled"]]
        for name, plugin in sorted(PLUGINS.items(), key=lambda item: -item[1].priority):
            of_name = {self._scope(one): one for one in enabled if one["name"] == name}
            parties = {"service": service, "route": route, "consumer": consumer()}
            for scope in _SCOPES:
                party_ids = tuple((field, (parties[field] or {"id": None})["id"]) for field in scope)
                if entity := of_name.get(party_ids):
                    yield plugin, entity
                    break

    @staticmethod
    def _scope(plugin: Entity) -> tuple[tuple[str, str], ...]:
        return tuple((name, plugin[name]["id"]) for name in ("consumer", "route", "service") if plugin[name])


@dataclass
class Configurations:
    """The configuration that the proxy knows now."""

    store: Store
    clock: Callable[[], float]
    #: Seconds until the proxy follows a write; Kong takes up to 5.
    delay: Callable[[], float]
    _known: Configuration | None = field(default=None, repr=False)
    _changed: tuple[int, float] | None = field(default=None, repr=False)

    def written(self) -> None:
        """Take note that a write may have happened."""
        if self._known is None:
            self._known = Configuration.of(self.store)
        elif self._changed is None and self.store.revision != self._known.revision:
            self._changed = (self.store.revision, self.clock())

    def current(self) -> Configuration:
        """Return what the proxy goes by."""
        self.written()
        if self._changed is not None and self.clock() - self._changed[1] >= self.delay():
            self._known, self._changed = Configuration.of(self.store), None
        assert self._known is not None
        return self._known
