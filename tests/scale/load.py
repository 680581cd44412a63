"""The environments of the benchmark, and the objects that each of them is made of.

An environment has one of everything that is cheap to have: bindings for all roles, a pull secret, extra network
rules. The objects come from the components themselves, so the floor applies the very same as the operator.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from biospark_operator.api.platform import Platform
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components import catalog
from biospark_operator.components.outside import ENVIRONMENTS
from biospark_operator.engine import graph
from biospark_operator.engine.outcome import Blocked
from biospark_operator.objects import ownership
from biospark_operator.objects.component import Seen
from biospark_operator.runtime.admission import admission
from tests.scale.api import Body

OPERATOR_NAMESPACE = "biospark-system"
IMAGE = "registry.example/api:1"
PULL_SECRET = "registry"
#: Every tenth environment is broken where some are.
BROKEN_SHARE = 10


def names(count: int, group: str) -> list[str]:
    """Return the names of `count` environments; those of another `group` are others."""
    return [f"{group}-{number:04d}" for number in range(count)]


def environment(name: str, **spec: Any) -> Body:
    """Return the manifest of an environment, with `spec` on top."""
    roles = ("Viewer", "Developer", "Admin")
    bindings = [{"role": role, "subjects": [{"kind": "Group", "name": f"{name}-{role.lower()}s"}]} for role in roles]
    source = {"name": "reports", "namespace": "reporting", "podLabels": {"app": "reports"}}
    target = {"name": "mail", "cidr": "192.0.2.0/24", "ports": [{"port": 25}]}
    return {
        "apiVersion": "biospark.ai/v1alpha1",
        "kind": "BioSparkEnvironment",
        "metadata": {"name": name},
        "spec": {
            "profile": "Development",
            "host": f"api.{name}.biospark.example",
            "access": {"bindings": bindings},
            "registry": {"pullSecretRef": {"name": PULL_SECRET}},
            "network": {"ingress": [source], "egress": [target]},
            **spec,
        },
    }


def broken(among: Sequence[str]) -> dict[str, Body]:
    """Return environments that can't become ready for reasons of every kind, by name: a tenth of those named."""
    return {name: _broken(name, number) for number, name in enumerate(among[::BROKEN_SHARE])}


def occupied(among: Sequence[str]) -> list[Body]:
    """Return the namespaces that somebody else has to have before, for environments that are broken by that."""
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"biospark-{name}"}}
        for number, name in enumerate(among[::BROKEN_SHARE])
        if number % 4 == 1
    ]


def _broken(name: str, number: int) -> Body:
    match number % 4:
        case 0:  # waits for a Secret that nobody makes
            return environment(name, registry={"pullSecretRef": {"name": "missing"}})
        case 1:  # its namespace is somebody else's, see `occupied`
            return environment(name)
        case 2:  # its pods are refused
            return environment(name, namespace={"quota": {"cpu": "1m"}})
        case _:  # its pods fit on no node
            huge = {"requests": {"cpu": "2000"}, "limits": {"cpu": "2000"}}
            return environment(name, namespace={"quota": {"cpu": "9000"}}, api={"resources": huge})


def pull_secret() -> Body:
    """Return the Secret that environments copy."""
    config = {"auths": {"registry.example": {"auth": base64.b64encode(b"puller:password").decode()}}}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PULL_SECRET, "namespace": OPERATOR_NAMESPACE, "annotations": {ENVIRONMENTS: "*"}},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(json.dumps(config).encode()).decode()},
    }


async def manifests(resource: Body) -> list[Manifest]:
    """Return all objects of an environment."""
    platform = Platform(api_image=IMAGE)
    admitted = admission(platform, OPERATOR_NAMESPACE)(resource)
    if isinstance(admitted, Blocked):
        raise TypeError(f"the environment of the benchmark is refused: {admitted.message}")
    built: list[Manifest] = []
    components = catalog.components(_Nothing(), platform, operator_namespace=OPERATOR_NAMESPACE)
    for component in graph.in_order(c for c in components if c.enabled(admitted)):
        seen: Seen = await component.observe(admitted)
        built.extend(seen.desired.values())
    return built


def foreign(manifest: Manifest, owner: Mapping[str, Any]) -> Body:
    """Return the same object, owned and marked by somebody else: the operator neither sees nor minds it."""
    metadata = ownership.without_marks(manifest)["metadata"]
    labels = {**metadata.get("labels", {}), ownership.MANAGED_BY_LABEL: "biospark-benchmark"}
    return {**manifest, "metadata": {**metadata, "labels": labels, "ownerReferences": [owner]}}


class _Nothing:
    """A cluster that has nothing but the pull secret: what an environment meets that is new."""

    async def get(self, ref: ObjectRef) -> Manifest | None:
        return pull_secret() if (ref.namespace, ref.name) == (OPERATOR_NAMESPACE, PULL_SECRET) else None

    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]:
        return []

    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest:
        raise NotImplementedError

    async def delete(self, ref: ObjectRef, *, uid: str, foreground: bool = False) -> None:
        raise NotImplementedError
