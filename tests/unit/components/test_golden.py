"""The objects of typical environments, word by word.

After a wanted change write them again with UPDATE_GOLDEN=1 and read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components import catalog
from tests.fakes.components import COMPONENTS
from tests.fakes.environments import environment

GOLDEN = Path(__file__).parents[2] / "golden" / "components"

ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "development": {"profile": "Development"},
    "staging": {"profile": "Staging"},
    "production": {"profile": "Production"},
    "everything": {
        "profile": "Production",
        "namespace": {
            "name": "records",
            "labels": {"team": "records"},
            "podSecurity": "Baseline",
            "quota": {"cpu": "8", "memory": "16Gi", "pods": 50, "storage": "40Gi"},
        },
        "access": {
            "bindings": [
                {"role": "Viewer", "subjects": [{"kind": "Group", "name": "support"}]},
                {"role": "Developer", "subjects": [{"kind": "User", "name": "anna@example.com"}]},
                {"role": "Admin", "subjects": [{"kind": "ServiceAccount", "name": "deployer", "namespace": "ci"}]},
            ]
        },
        "registry": {"pullSecretRef": {"name": "pull"}},
        "network": {
            "ingress": [{"name": "reports", "namespace": "reporting", "podLabels": {"app": "reports"}}],
            "egress": [{"name": "fhir", "cidr": "10.20.0.0/16", "except": ["10.20.30.0/24"], "ports": [{"port": 443}]}],
        },
        "database": {
            "server": {
                "host": "10.40.0.5",
                "adminSecretRef": {"name": "admin"},
                "caSecretRef": {"name": "authority"},
            },
            "connectionLimit": 60,
        },
        "api": {
            "image": "registry.example/biospark/api:2",
            "tokenLifetime": "1h",
            "bootstrapAdmin": {"email": "admin@example.com"},
            "eraseDeletedDays": 365,
            "autoscaling": {"minReplicas": 3, "maxReplicas": 10, "targetCPUPercent": 60},
            "resources": {"limits": {"memory": "2Gi"}},
        },
    },
}


def manifests(spec: dict[str, Any]) -> list[Manifest]:
    """Return every object of an environment as it is applied, but for the data of Secrets."""
    return list(catalog.rendered(COMPONENTS, environment("prod", **spec)))


class PlainDumper(yaml.SafeDumper):
    """Writes equal parts out instead of referring to them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_objects_of_typical_environments(name: str) -> None:
    text = yaml.dump_all(manifests(ENVIRONMENTS[name]), Dumper=PlainDumper, sort_keys=False, width=120)
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8"), "see the first lines of this test for how to update"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_building_twice_gives_the_same(name: str) -> None:
    assert manifests(ENVIRONMENTS[name]) == manifests(ENVIRONMENTS[name])


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_object_has_a_valid_name_of_its_own(name: str) -> None:
    refs = [ObjectRef.of(manifest) for manifest in manifests(ENVIRONMENTS[name])]
    assert len(set(refs)) == len(refs)
    for ref in refs:
        assert re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", ref.name), ref


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_label_is_valid(name: str) -> None:
    for manifest in manifests(ENVIRONMENTS[name]):
        for value in manifest["metadata"]["labels"].values():
            assert re.fullmatch("([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value), value
