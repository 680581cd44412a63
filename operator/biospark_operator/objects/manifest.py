"""The frame of a manifest. Used by the builders."""

from __future__ import annotations

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
