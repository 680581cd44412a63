"""Environments for tests: resources as the API server returns them, and what admission makes of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.effective import effective
from biospark_operator.api.v1alpha1.validation import parse_environment
from biospark_operator.engine.component import Environment
from biospark_operator.runtime.admission import identity_of


def body(name: str = "dev", *, generation: int = 1, metadata: Mapping[str, Any] | None = None, **spec: Any) -> Any:
    """Return a resource as it is stored: a Development environment with `spec` on top."""
    return {
        "apiVersion": "biospark.ai/v1alpha1",
        "kind": "BioSparkEnvironment",
        "metadata": {"name": name, "uid": f"uid-of-{name}", "generation": generation, **(metadata or {})},
        "spec": {"profile": "Development", "host": f"api.{name}.biospark.example", **copy.deepcopy(spec)},
        "status": {"observedGeneration": -1},
    }


def environment(
    name: str = "dev", *, image: str | None = "registry.example/biospark/api:1", **spec: Any
) -> Environment:
    """Return the environment that a valid resource is, with the platform's image for the API."""
    resource = body(name, **spec)
    parsed = parse_environment({key: value for key, value in resource.items() if key != "status"})
    return Environment(identity_of(resource), 1, effective(parsed, Platform(api_image=image)))
