"""Definitions lose what nobody validates with, and nothing else; paths follow from manifests."""

from typing import Any

import pytest

from dev.cluster.api import path_of
from dev.cluster.crds import ANNOTATION, marked, prepared


def definition(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {"schema": schema},
        "status": {"conditions": []},
    }


def test_descriptions_and_status_are_left_out() -> None:
    schema = {"description": "a thing", "properties": {"size": {"type": "integer", "description": "how large"}}}
    found = prepared(definition(schema))
    assert "status" not in found
    assert found["spec"]["schema"] == {"properties": {"size": {"type": "integer"}}}


def test_a_property_called_description_stays() -> None:
    schema = {"properties": {"description": {"type": "string", "description": "what it is for"}}}
    assert prepared(definition(schema))["spec"]["schema"] == {"properties": {"description": {"type": "string"}}}


def test_a_default_value_with_a_description_stays() -> None:
    schema = {"default": {"description": "none"}}
    assert prepared(definition(schema))["spec"]["schema"] == schema


def test_a_definition_is_marked_with_its_pins_beside_its_own_annotations() -> None:
    thing = {"metadata": {"name": "x", "annotations": {"a": "b"}}}
    assert marked(thing, "1234")["metadata"]["annotations"] == {"a": "b", ANNOTATION: "1234"}
    assert thing == {"metadata": {"name": "x", "annotations": {"a": "b"}}}


@pytest.mark.parametrize(
    ("version", "kind", "path"),
    [
        ("v1", "Namespace", "/api/v1/namespaces/x"),
        ("v1", "Service", "/api/v1/namespaces/n/services/x"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterroles/x"),
        ("apiregistration.k8s.io/v1", "APIService", "/apis/apiregistration.k8s.io/v1/apiservices/x"),
        ("networking.k8s.io/v1", "NetworkPolicy", "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x"),
        ("networking.k8s.io/v1", "Ingress", "/apis/networking.k8s.io/v1/namespaces/n/ingresses/x"),
    ],
)
def test_paths_of_objects(version: str, kind: str, path: str) -> None:
    assert path_of({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}}) == path
