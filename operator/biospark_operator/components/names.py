"""The names that components have to agree on.

The names are fixed, not derived from the environment: each environment has a namespace of its own, and people
who type `kubectl logs deployment/biospark-api` should not have to think.
"""

from __future__ import annotations

#: Deployment, Service and ServiceAccount of the API.
API = "biospark-api"
#: By which everything that means the API's pods finds them. Part of the Deployment's selector: immutable.
API_LABELS = {"app": "biospark"}
API_SELECTOR = ",".join(f"{key}={value}" for key, value in API_LABELS.items())
API_PORT, METRICS_PORT = 8080, 9090
#: The copy of the image pull secret.
PULL_SECRET = "biospark-registry"  # noqa: S105 - a name
