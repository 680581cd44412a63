"""The operator with one more component, of a kind that a cluster may lack. `python -m` starts it, as `spawned` does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.components import catalog, namespace
from biospark_operator.objects.component import Cluster, ObjectsComponent
from biospark_operator.objects.kinds import Kind
from biospark_operator.objects.manifest import namespaced
from biospark_operator.runtime.main import main
from tests.operator_process import Process

BADGE = Kind("toys.example.org/v1", "Badge", "badges", optional=True)
#: Environments whose names begin so have a badge.
PREFIX = "badge"
#: The condition of the component: one that no other component has.
CONDITION = ConditionType.LOGGING_READY
DEFINITION: Mapping[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": BADGE.definition},
    "spec": {
        "group": BADGE.group,
        "scope": "Namespaced",
        "names": {"kind": BADGE.kind, "plural": BADGE.plural},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                },
            }
        ],
    },
}


def component(cluster: Cluster) -> ObjectsComponent:
    """Return the component."""
    return ObjectsComponent(
        name="badge",
        condition=CONDITION,
        cluster=cluster,
        build=lambda env: [namespaced(env, BADGE.api_version, BADGE.kind, "badge", spec={"owner": env.name})],
        kinds=frozenset({BADGE}),
        requires=frozenset({namespace.NAME}),
        when=lambda env: env.name.startswith(PREFIX),
    )


def with_badges(environment: Mapping[str, str], log: Path) -> Process:
    """Start the operator with these environment variables; all that it prints is appended to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen([sys.executable, "-m", __name__], env=environment, stdout=output, stderr=output)


if __name__ == "__main__":
    made = catalog.components
    catalog.components = lambda cluster, *args, **options: (  # type: ignore[assignment]
        *made(cluster, *args, **options),
        component(cluster),
    )
    main()
