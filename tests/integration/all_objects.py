"""Every object of a cluster, of every kind that can be listed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.cluster.api import Api


@dataclass(frozen=True, order=True)
class Place:
    """Where an object is."""

    group: str
    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


def all_objects(kubeconfig: str) -> Mapping[Place, Mapping[str, Any]]:
    """Return all objects, each in the version that its group prefers."""
    with Api(Path(kubeconfig)) as api:
        return {
            Place(group, resource, item["metadata"].get("namespace", ""), item["metadata"]["name"]): item
            for group, root in _roots(api)
            for resource in _listable(api, root)
            for item in api.items(f"{root}/{resource}")
        }


def _roots(api: Api) -> Iterator[tuple[str, str]]:
    yield "", "/api/v1"
    for group in (api.get("/apis") or {"groups": ()})["groups"]:
        yield group["name"], f"/apis/{group['preferredVersion']['groupVersion']}"


def _listable(api: Api, root: str) -> list[str]:
    found = (api.get(root) or {"resources": ()})["resources"]
    return [resource["name"] for resource in found if "list" in resource["verbs"]]
