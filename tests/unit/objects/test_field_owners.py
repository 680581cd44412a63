"""Who else sets fields, and what is applied to give an object back; on objects recorded from an API server."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from biospark_operator.objects.field_owners import bare, held, others_on

RECORDED = {path.stem: yaml.safe_load(path.read_text()) for path in (Path(__file__).parent / "recorded").glob("*.yaml")}
US = "biospark-operator"


def live(name: str, *entries: dict[str, Any]) -> Any:
    """Return a recorded object with further entries of managedFields."""
    found = copy.deepcopy(RECORDED[name]["live"])
    found["metadata"]["managedFields"] = [*own_entries(found), *entries]
    return found


def own_entries(found: Any) -> list[Any]:
    return [entry for entry in found["metadata"]["managedFields"] if entry["manager"] == US]


def entry(manager: str, fields: Any, **more: str) -> dict[str, Any]:
    return {"manager": manager, "operation": "Update", "fieldsV1": fields, **more}


REPLICAS = {"f:spec": {"f:replicas": {}}}
IMAGE = {
    "f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"api"}': {".": {}, "f:name": {}, "f:image": {}}}}}}
}
LABEL = {"f:metadata": {"f:labels": {".": {}, "f:biospark.ai/environment": {}}}}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        (REPLICAS, "spec.replicas"),
        (IMAGE, "spec.template.spec.containers[api].image"),
        (IMAGE, "spec.template.spec.containers"),
        (LABEL, "metadata.labels[biospark.ai/environment]"),
    ],
)
def test_who_sets_a_field_is_found(fields: Any, path: str) -> None:
    found = live("deployment", entry("kubectl-edit", fields), entry("helm", {"f:spec": {"f:paused": {}}}))
    assert others_on([path], found, US) == ["kubectl-edit"]


def test_who_sets_a_list_as_a_whole_sets_what_is_in_it() -> None:
    found = live("deployment", entry("helm", {"f:spec": {"f:list": {}}}))
    assert others_on(["spec.list[0].name"], found, US) == ["helm"]


def test_items_are_found_by_any_key_that_tells_them_apart() -> None:
    port = json.dumps({"port": 80, "protocol": "TCP"}, separators=(",", ":"))
    fields = {"f:spec": {"f:ports": {f"k:{port}": {".": {}, "f:targetPort": {}}}}}
    assert others_on(["spec.ports[http].targetPort"], live("service", entry("kubectl", fields)), US) == ["kubectl"]


def test_a_field_of_a_similar_name_is_another_one() -> None:
    found = live("deployment", entry("helm", {"f:spec": {"f:replicasWanted": {}}}))
    assert others_on(["spec.replicas"], found, US) == []


def test_scaling_counts_and_writing_the_status_does_not() -> None:
    found = live(
        "deployment",
        entry("autoscaler", REPLICAS, subresource="scale"),
        entry("controller", {"f:status": {"f:replicas": {}}}, subresource="status"),
    )
    assert others_on(["spec.replicas"], found, US) == ["autoscaler"]
    assert others_on(["status"], found, US) == []


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_giving_all_up_names_the_object_and_nothing_else(name: str) -> None:
    found = live(name)
    assert bare(found)["metadata"]["uid"] == found["metadata"]["uid"], "or an object that is gone would be made"
    assert set(bare(found)) == {"apiVersion", "kind", "metadata"}


def is_part_of(part: Any, whole: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(is_part_of(value, whole.get(key)) for key, value in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and all(any(is_part_of(item, other) for other in whole) for item in part)
    return bool(part == whole)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_what_we_hold_is_every_value_that_we_applied(name: str) -> None:
    desired, found = RECORDED[name]["desired"], live(name)
    kept = held(found, US)
    assert kept["metadata"]["uid"] == found["metadata"]["uid"], "or an object that is gone would be made"
    assert is_part_of(kept, found)
    wanted = {key for key, value in desired.items() if value or key in ("apiVersion", "kind")}
    assert set(kept) >= wanted


def test_of_a_list_only_our_items_are_kept() -> None:
    found = live("deployment")
    found["spec"]["template"]["spec"]["containers"].append({"name": "sidecar", "image": "theirs"})
    containers = held(found, US)["spec"]["template"]["spec"]["containers"]
    assert [container["name"] for container in containers] == ["api"]
    assert containers[0]["image"] == found["spec"]["template"]["spec"]["containers"][0]["image"]


def test_the_items_of_a_list_keep_their_order_or_giving_a_deployment_back_would_replace_its_pods() -> None:
    found = live("deployment")
    container = found["spec"]["template"]["spec"]["containers"][0]
    names = [variable["name"] for variable in container["env"]]
    assert names != sorted(names), "or nothing is proved"
    kept = held(found, US)["spec"]["template"]["spec"]["containers"][0]
    assert [variable["name"] for variable in kept["env"]] == names
