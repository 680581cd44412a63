"""What the gateway tells about itself: the root, its status, its plugins and its schemas."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.kong import errors
from tests.fakes.kong.identity import MARK, Version
from tests.fakes.kong.plugins.catalog import PLUGINS
from tests.fakes.kong.store import Store

#: The hash of a gateway without a database that was never configured.
EMPTY = "0" * 32


@dataclass(frozen=True)
class Information:
    """Answers of the reading kind. `database` is "postgres" or "off", `role` "traditional" or "control_plane"."""

    version: Version
    store: Store
    node_id: str
    database: str
    role: str

    def root(self) -> Mapping[str, Any]:
        """Return the answer to `GET /`."""
        plugins = {name: {"version": one.version, "priority": one.priority} for name, one in PLUGINS.items()}
        edition = {"edition": "community"} if self.version.since(3, 6) else {}
        return {
            "version": str(self.version),
            **edition,
            "tagline": f"Welcome to kong ({MARK})",
            "hostname": MARK.lower().replace(" ", "-"),
            "node_id": self.node_id,
            "lua_version": "none",
            "timers": {"running": 0, "pending": 0},
            "pids": {"master": 1, "workers": [1]},
            "plugins": {
                "available_on_server": plugins,
                "enabled_in_cluster": sorted({one["name"] for one in self.store.all("plugins")}),
            },
            "configuration": {
                "database": self.database,
                "role": self.role,
                "router_flavor": "traditional_compatible",
                "plugins": ["bundled"],
                "pg_password": "******",
            },
        }

    def status(self) -> Mapping[str, Any]:
        """Return the answer to `GET /status`."""
        about = {
            "memory": {"lua_shared_dicts": {}, "workers_lua_vms": []},
            "server": {
                "connections_accepted": 1,
                "connections_active": 1,
                "connections_handled": 1,
                "connections_reading": 0,
                "connections_waiting": 0,
                "connections_writing": 1,
                "total_requests": 1,
            },
        }
        if self.database == "off":
            return {**about, "configuration_hash": self.configuration_hash()}
        return {**about, "database": {"reachable": True}}

    def configuration_hash(self) -> str:
        if not any(self.store.all(name) for name in self.store.kinds):
            return EMPTY
        return hashlib.md5(str(self.store.revision).encode(), usedforsecurity=False).hexdigest()

    def schema(self, collection: str) -> Mapping[str, Any]:
        """Return the answer to `GET /schemas/{collection}`. Raises `Refused`."""
        if collection not in self.store.kinds:
            raise errors.plain(404, f"No entity named '{collection}'")
        if collection == "plugins":
            # Without a name there is no configuration to describe.
            described = dict(self.store.kinds["plugins"].schema({"name": "cors"}).served())
            fields = [one for one in described["fields"] if "config" not in one]
            return {"fields": fields, "entity_checks": []}
        return self.store.kinds[collection].schema({}).served()

    def plugin_schema(self, name: str) -> Mapping[str, Any]:
        """Return the answer to `GET /schemas/plugins/{name}`. Raises `Refused`."""
        if name not in PLUGINS:
            raise errors.plain(404, f"No plugin named '{name}'")
        described = self.store.kinds["plugins"].schema({"name": name}).served()
        own = PLUGINS[name].definition(self.version)
        wanted = {*own.fields, *(() if own.per_consumer else ("consumer",))}
        fields = [one for one in described["fields"] if wanted & one.keys()]
        return {"fields": fields, "entity_checks": described["entity_checks"]}

    def plugin_configuration(self, name: str) -> Mapping[str, Any]:
        """Return the answer to `GET /plugins/schema/{name}`, the older form. Raises `Refused`."""
        fields = [one["config"]["fields"] for one in self.plugin_schema(name)["fields"] if "config" in one]
        return {"fields": fields[0], "entity_checks": []}
