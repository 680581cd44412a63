"""Finds containers that others added to the API's Deployment and that read its secrets. Pure; used by `component`.

Server-side apply takes no container away that somebody else added. A sidecar that an injector adds goes into pods, and
reads no secret of ours; it may also be added to the Deployment, and is let be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from biospark_operator.clients.kubernetes.client import FIELD_MANAGER
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.objects import field_owners

_KINDS = ("initContainers", "containers")


def foreign_readers(wanted: Manifest, live: Manifest) -> str | None:
    """Say which containers read a Secret that the Deployment uses and are not in the one that is `wanted`."""
    secrets = set(_secrets(wanted["spec"]["template"]["spec"], None))
    pod, ours = live["spec"]["template"]["spec"], wanted["spec"]["template"]["spec"]
    known = {container["name"] for kind in _KINDS for container in ours.get(kind) or ()}
    told, paths = [], []
    for kind in _KINDS:
        for container in pod.get(kind) or ():
            read = sorted(secrets & set(_secrets(pod, container)))
            if container["name"] not in known and read:
                told.append(f"container {container['name']} reads Secret {', '.join(read)}")
                paths.append(f"spec.template.spec.{kind}[{container['name']}]")
    if not told:
        return None
    metadata = live["metadata"]
    who = ", ".join(field_owners.others_on(paths, live, FIELD_MANAGER)) or "somebody"
    where = f"deployment {metadata['name']} -n {metadata['namespace']}"
    return f"{'; '.join(told)}, which {who} added; remove it with kubectl edit {where}"


def _secrets(pod: Mapping[str, Any], container: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the names of the Secrets that a container of a pod reads, or with None all that the pod uses."""
    mounts = None if container is None else {mount["name"] for mount in container.get("volumeMounts") or ()}
    for volume in pod.get("volumes") or ():
        if mounts is None or volume["name"] in mounts:
            yield from _of_volume(volume)
    containers = [container] if container else [item for kind in _KINDS for item in pod.get(kind) or ()]
    for item in containers:
        for source in item.get("envFrom") or ():
            yield from _named(source.get("secretRef"))
        for variable in item.get("env") or ():
            yield from _named((variable.get("valueFrom") or {}).get("secretKeyRef"))


def _of_volume(volume: Mapping[str, Any]) -> Iterator[str]:
    if "secret" in volume:
        yield volume["secret"].get("secretName", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _named(source.get("secret"))


def _named(reference: Mapping[str, Any] | None) -> Iterator[str]:
    if reference:
        yield reference.get("name", "")
