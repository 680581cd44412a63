"""The definition as users meet it: installing it, explaining it, defaults, columns, strictness, status."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.unit.api.rule_cases import Json, environment

pytestmark = pytest.mark.integration

Kubectl = Callable[..., CompletedProcess[str]]
DEFINITION = Path(__file__).parents[2] / "crds/biospark.ai_biosparkenvironments.yaml"
NOW = "2030-01-31T12:00:00Z"


@pytest.fixture
def stored(kubectl: Kubectl) -> Iterator[str]:
    """The name of an environment that changes nothing; deleted afterwards."""
    name = f"crd-{uuid4().hex[:8]}"
    kubectl("create", "-f", "-", input=json.dumps(environment(name, mode="Plan")))
    yield name
    kubectl("delete", "bse", name, "--wait=false")


def tried(kubectl: Kubectl, body: Json, **options: Any) -> CompletedProcess[str]:
    """Create an object in a dry run."""
    return kubectl(
        "create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", input=json.dumps(body), **options
    )


def test_the_api_server_takes_the_definition_without_a_warning(kubectl: Kubectl) -> None:
    """Created anew, in a group of its own: an update would be checked less strictly."""
    group = f"t{uuid4().hex[:8]}.example.com"
    body = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    body["spec"]["group"] = group
    body["metadata"] = {"name": f"biosparkenvironments.{group}"}
    result = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(body))
    assert f"{body['metadata']['name']} created" in result.stdout
    assert result.stderr == ""


def test_the_definition_is_small_enough_for_a_client_side_apply(kubectl: Kubectl) -> None:
    """`kubectl apply` keeps a copy in an annotation, and annotations end at 256 KiB."""
    converted = kubectl("create", "--dry-run=client", "-o", "json", "-f", str(DEFINITION)).stdout
    assert len(json.dumps(json.loads(converted), separators=(",", ":"))) < 200_000


def test_the_definition_is_established_under_its_names(kubectl: Kubectl) -> None:
    found = json.loads(kubectl("get", "crd", "biosparkenvironments.biospark.ai", "-o", "json").stdout)
    conditions = {condition["type"]: condition["status"] for condition in found["status"]["conditions"]}
    assert (conditions["Established"], conditions["NamesAccepted"]) == ("True", "True")
    assert "NonStructuralSchema" not in conditions
    assert found["status"]["acceptedNames"]["shortNames"] == ["bse"]
    assert found["status"]["acceptedNames"]["categories"] == ["biospark"]
    assert found["spec"]["scope"] == "Cluster"


def published(kubectl: Kubectl) -> Json:
    """The schema that kubectl explain shows; the API server publishes it a moment after the definition."""
    deadline = time.monotonic() + 20
    while True:
        result = kubectl("get", "--raw", "/openapi/v3/apis/biospark.ai/v1alpha1", check=False)
        schemas = json.loads(result.stdout)["components"]["schemas"] if result.returncode == 0 else {}
        for name, schema in schemas.items():
            if name.endswith(".BioSparkEnvironment"):
                return dict(schema)
        assert time.monotonic() < deadline, result.stderr
        time.sleep(0.2)


def undescribed(schema: Json, path: str) -> Iterator[str]:
    """The paths of fields without a description."""
    for name, child in schema.get("properties", {}).items():
        if not child.get("description"):
            yield f"{path}.{name}"
        yield from undescribed(child, f"{path}.{name}")
        yield from undescribed(child.get("items", {}), f"{path}.{name}[]")


def test_kubectl_explain_has_words_for_every_field(kubectl: Kubectl) -> None:
    properties = published(kubectl)["properties"]
    assert {"database", "gateway", "qualityGates"} <= properties["spec"]["properties"].keys()
    missing = [path for part in ("spec", "status") for path in undescribed(properties[part], part)]
    assert missing == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("spec.namespace.quota.cpu", "Cores that all pods together may be limited to"),
        ("spec.network.egress.except", "Ranges inside `cidr` that stay refused"),
        ("status.inventory.component", "Part of the environment that it belongs to"),
    ],
)
def test_kubectl_explain_finds_nested_fields(kubectl: Kubectl, path: str, words: str) -> None:
    published(kubectl)
    shown = kubectl("explain", f"biosparkenvironments.{path}").stdout
    assert words in " ".join(shown.split())


def test_only_the_documented_defaults_are_stored(kubectl: Kubectl) -> None:
    body = environment(gateway={}, network={"egress": [{"name": "a", "cidr": "10.0.0.0/8", "ports": [{"port": 1}]}]})
    stored_spec = json.loads(tried(kubectl, body).stdout)["spec"]
    added = {
        "mode": "Apply",
        "suspend": False,
        "interval": "10m",
        "deletionPolicy": "Retain",
        "adoptionPolicy": "Never",
    }
    assert stored_spec == body["spec"] | added


def test_what_users_write_is_stored_as_they_wrote_it(kubectl: Kubectl) -> None:
    body = environment(interval="60m", namespace={"quota": {"cpu": "1000m", "memory": "1024Mi", "storage": 1}})
    stored_spec = json.loads(tried(kubectl, body).stdout)["spec"]
    assert stored_spec["interval"] == "60m"
    assert stored_spec["namespace"]["quota"] == {"cpu": "1000m", "memory": "1024Mi", "storage": 1}


def test_a_new_environment_is_not_taken_for_a_processed_one(kubectl: Kubectl) -> None:
    created = json.loads(tried(kubectl, environment()).stdout)
    assert created["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("field", ["profil", "namespace.nam", "network.ingress[0].podlabels"])
def test_unknown_fields_are_errors(kubectl: Kubectl, field: str) -> None:
    wrong: dict[str, Json] = {
        "profil": {"profil": "x"},
        "namespace.nam": {"namespace": {"nam": "x"}},
        "network.ingress[0].podlabels": {"network": {"ingress": [{"name": "a", "namespace": "b", "podlabels": {}}]}},
    }
    result = tried(kubectl, environment(**wrong[field]), check=False)
    assert result.returncode != 0
    assert f'unknown field "spec.{field}"' in result.stderr


STATUS = {
    "observedGeneration": 1,
    "operatorVersion": "0.1.0",
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "observedGeneration": 1,
            "lastTransitionTime": NOW,
            "reason": "Progressing",
            "message": "Creating the namespace biospark-dev.",
        }
    ],
    "namespace": "biospark-dev",
    "endpoints": {"public": "https://api.example.com", "internal": "http://biospark-api.biospark-dev.svc"},
    "database": {"name": "biospark_dev", "schemaRevision": "0003", "rotatedAt": NOW},
    "certificate": {"secretName": "tls", "notAfter": NOW, "renewalTime": NOW},
    "inventory": [{"id": "v1/Namespace//biospark-dev", "component": "namespace"}],
    "plan": {
        "generation": 1,
        "actions": [
            {"component": "namespace", "verb": "Create", "target": "a", "summary": "b", "destructive": False},
            {"component": "namespace", "verb": "Create", "target": "a", "summary": "b", "destructive": False},
        ],
        "omitted": 2,
    },
    "drift": [{"component": "network", "target": "a", "summary": "b", "detectedAt": NOW}],
    "gates": [
        {
            "name": "ApiLatency",
            "category": "Performance",
            "result": "Waived",
            "observed": "p95 38 ms, n=40",
            "threshold": "<= 200 ms",
            "reason": "Slow",
            "message": "m",
            "measuredAt": NOW,
            "validUntil": NOW,
            "waivedUntil": NOW,
        }
    ],
    "gateSummary": "18/20",
    "lastHandledReconcileAt": "now",
}


def report(kubectl: Kubectl, name: str, status: Json) -> Json:
    """Write the status and return what was stored."""
    patch = json.dumps({"status": status})
    result = kubectl("patch", "bse", name, "--subresource=status", "--type=merge", "-p", patch, "-o", "json")
    return dict(json.loads(result.stdout)["status"])


def test_a_complete_status_is_stored_as_it_is(kubectl: Kubectl, stored: str) -> None:
    assert report(kubectl, stored, STATUS) == STATUS


def test_an_inventory_holds_each_id_once(kubectl: Kubectl, stored: str) -> None:
    entry = {"id": "a", "component": "namespace"}
    patch = json.dumps({"status": {"inventory": [entry, entry]}})
    result = kubectl("patch", "bse", stored, "--subresource=status", "--type=merge", "-p", patch, check=False)
    assert "status.inventory[1]: Duplicate value" in result.stderr


def test_kubectl_get_shows_the_state_at_a_glance(kubectl: Kubectl, stored: str) -> None:
    report(kubectl, stored, STATUS)
    head, row = (line.split() for line in kubectl("get", "bse", stored).stdout.splitlines())
    assert head == ["NAME", "PROFILE", "READY", "REASON", "GATES", "AGE"]
    assert row[:5] == [stored, "Development", "False", "Progressing", "18/20"]


def test_kubectl_get_wide_adds_host_schema_and_message(kubectl: Kubectl, stored: str) -> None:
    report(kubectl, stored, STATUS)
    head, row = kubectl("get", "bse", stored, "-o", "wide").stdout.splitlines()
    assert head.split()[6:] == ["HOST", "SCHEMA", "MESSAGE"]
    assert row.split(maxsplit=8)[6:] == ["api.example.com", "0003", "Creating the namespace biospark-dev."]


def test_the_category_lists_environments(kubectl: Kubectl, stored: str) -> None:
    assert stored in kubectl("get", "biospark", "-o", "name").stdout
