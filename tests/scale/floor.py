"""The floor: what the API server itself needs for the objects of the environments, with nobody thinking about them.

The very objects that the operator would apply are applied bare, with the operator's account, each namespace first
and then the rest of it. Nothing can be faster on this machine at this moment, so this is what times are held to.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from tests.scale import load
from tests.scale.api import Api, Body
from tests.scale.following import following
from tests.scale.site import Site

_SELECTOR = "app.kubernetes.io/managed-by=biospark-benchmark"
_PLURALS = {"NetworkPolicy": "networkpolicies"}


@dataclass(frozen=True)
class Floor:
    """Seconds until everything was applied, and until the pods of all Deployments were available as well.

    `server_cpu_seconds` is what API server and etcd used until then: it depends less on what else the machine does.
    """

    objects: int
    applied_seconds: float
    available_seconds: float
    server_cpu_seconds: float


async def measure(site: Site, names: Sequence[str]) -> Floor:
    """Apply the objects of the environments of these names; there are no such environments."""
    owner = await _owner(site.driver)
    planned = [await _objects(name, owner) for name in names]
    deployments = [f"{m['metadata']['namespace']}/{m['metadata']['name']}" for p in planned for m in p if _runs(m)]
    async with following(site.driver, "/apis/apps/v1/deployments", _SELECTOR) as follower:
        begin, used = time.monotonic(), site.server_cpu_seconds()
        await asyncio.gather(*(_apply(site.operator_api, manifests) for manifests in planned))
        applied = time.monotonic() - begin
        times = await follower.until(deployments, _is_available, 60 + len(names))
        available = max(times.values()) - begin
        return Floor(sum(map(len, planned)), applied, available, site.server_cpu_seconds() - used)


async def _owner(api: Api) -> Body:
    """Make something that can own objects, as an environment owns its objects, and return the reference to it."""
    made = await api.create("/api/v1/namespaces", {"metadata": {"name": "floor"}})
    return {"apiVersion": "v1", "kind": "Namespace", "name": "floor", "uid": made["metadata"]["uid"]}


async def _objects(name: str, owner: Body) -> list[Body]:
    resource = load.environment(name)
    resource["metadata"] |= {"uid": "floor", "generation": 1}
    return [load.foreign(manifest, owner) for manifest in await load.manifests(resource)]


async def _apply(api: Api, manifests: list[Body]) -> None:
    """Apply what nothing else needs first: a namespace before all, and roles before what binds them."""
    waves: dict[int, list[Body]] = defaultdict(list)
    for manifest in manifests:
        waves[{"Namespace": 0, "RoleBinding": 2, "ClusterRoleBinding": 2}.get(manifest["kind"], 1)].append(manifest)
    for number in sorted(waves):
        await asyncio.gather(*(api.apply(path_of(manifest), manifest) for manifest in waves[number]))


def path_of(manifest: Manifest) -> str:
    """Return the path of an object of an environment."""
    ref = ObjectRef.of(manifest)
    root = f"/apis/{ref.api_version}" if "/" in ref.api_version else f"/api/{ref.api_version}"
    scope = f"/namespaces/{ref.namespace}" if ref.namespace else ""
    return f"{root}{scope}/{_PLURALS.get(ref.kind, ref.kind.lower() + 's')}/{ref.name}"


def _runs(manifest: Manifest) -> bool:
    return bool(manifest["kind"] == "Deployment")


def _is_available(deployment: Body | None) -> bool:
    status = (deployment or {}).get("status") or {}
    return bool(status.get("availableReplicas", 0) >= 1)
