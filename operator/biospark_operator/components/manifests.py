"""The names that components have to agree on, and the frame of a manifest. Used by the builders.

The names are fixed, not derived from the environment: each environment has a namespace of its own, and people
who type `kubectl logs deployment/biospark-api` should not have to think.
"""

from __future__ import annotations

from typing import Any

from biospark_operator.clients.objects import Manifest
from biospark_operator.engine.component import Environment

#: Deployment, Service and ServiceAccount of the API.
API = "biospark-api"
#: By which everything that means the API's pods finds them. Part of the Deployment's selector: immutable.
API_LABELS = {"app": "biospark"}
API_SELECTOR = ",".join(f"{key}={value}" for key, value in API_LABELS.items())
API_PORT, METRICS_PORT = 8080, 9090
#: The copy of the image pull secret.
PULL_SECRET = "biospark-registry"  # noqa: S105 - a name


def namespaced(env: Environment, api_version: str, kind: str, name: str, **content: Any) -> Manifest:
    """Return an object in the namespace of the environment; `content` are its top-level fields."""
    metadata = {"name": name, "namespace": env.spec.namespace.name}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}


def cluster_scoped(api_version: str, kind: str, name: str, **content: Any) -> Manifest:
    """Return an object that is in no namespace."""
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **content}
