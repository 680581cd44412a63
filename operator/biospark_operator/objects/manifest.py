"""The frame of a manifest. Used by the builders, and by what applies manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.engine.component import Environment


def namespaced(env: Environment, api_version: str, kind: str, name: str, **content: Any) -> Manifest:
    """Return an object in the namespace of the environment; `content` are its top-level fields."""
    metadata = {"name": name, "namespace": env.spec.namespace.name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def cluster_scoped(api_version: str, kind: str, name: str, **content: Any) -> Manifest:
    """Return an object that is in no namespace."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **content}


def only_on(manifest: Manifest, seen: Mapping[str, str]) -> Manifest:
    """Return a manifest that the API server applies only to the object that was seen: else it is a conflict.

    `seen` is what tells that of its metadata: uid, resourceVersion.
    """
    return {**manifest, "metadata": {**manifest["metadata"], **seen}}
