"""Remembers everything that was created for an environment, inside Kubernetes and outside.

The inventory stands in `status.inventory`, so it survives the operator. An entry is written *before* the thing
is created and leaves only after the thing was seen gone: killing the operator at any moment loses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from biospark_operator.engine.component import AnyComponent, Environment


@dataclass(frozen=True)
class Inventory:
    """The ids of what exists or may exist, each with the component that knows how to remove it."""

    entries: Mapping[str, str]

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Inventory:
        """Read the inventory out of a status as the API server returned it."""
        return cls({item["id"]: item.get("component", "") for item in status.get("inventory") or ()})

    @classmethod
    def wanted(cls, env: Environment, components: Iterable[AnyComponent]) -> Inventory:
        """Return what `components` may create for `env`."""
        return cls({target: c.name for c in components for target in c.targets(env)})

    def __or__(self, other: Inventory) -> Inventory:
        return Inventory({**self.entries, **other.entries})

    def covers(self, other: Inventory) -> bool:
        """Whether every id of `other` is known here already."""
        return self.entries.keys() >= other.entries.keys()

    def without(self, targets: Iterable[str]) -> Inventory:
        """Return the inventory after `targets` were confirmed gone."""
        gone = frozenset(targets)
        return Inventory({id_: name for id_, name in self.entries.items() if id_ not in gone})

    def of(self, component: str) -> list[str]:
        """Return the ids that belong to `component`, sorted."""
        return sorted(id_ for id_, name in self.entries.items() if name == component)

    def to_status(self) -> list[dict[str, str]]:
        """Return the list for `status.inventory`, sorted so that equal inventories are equal lists."""
        return [{"id": id_, "component": name} for id_, name in sorted(self.entries.items())]
