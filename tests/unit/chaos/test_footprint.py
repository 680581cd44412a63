"""The comparison of two environments: it sees what a kill could do, and nothing that always differs."""

from __future__ import annotations

import copy
from typing import Any

from tests.chaos.footprint import difference, footprint, kinds

Json = dict[str, Any]


def environment(name: str, uid: str, generation: int = 1) -> Json:
    return {
        "apiVersion": "biospark.ai/v1alpha1",
        "kind": "BioSparkEnvironment",
        "metadata": {"name": name, "uid": uid, "resourceVersion": uid[:4], "generation": generation},
        "spec": {"host": f"{name}.biospark.example"},
        "status": {
            "observedGeneration": generation,
            "conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": generation, "lastTransitionTime": uid}
            ],
            "inventory": [{"id": f"v1 Service biospark-{name}/api"}],
        },
    }


def service(name: str, uid: str, owner: str) -> Json:
    fields = {"f:metadata": {"f:ownerReferences": {f'k:{{"uid":"{owner}"}}': {}}}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "api",
            "namespace": f"biospark-{name}",
            "uid": uid,
            "ownerReferences": [{"kind": "BioSparkEnvironment", "name": name, "uid": owner}],
            "managedFields": [
                {"manager": "biospark-operator", "operation": "Apply", "fieldsV1": fields, "time": uid},
                {"manager": "somebody", "operation": "Update", "fieldsV1": {}, "time": uid},
            ],
        },
        "spec": {"clusterIP": uid, "ports": [{"port": 80}]},
        "status": {"loadBalancer": uid},
    }


def pod(name: str, number: int) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"api-{number}", "namespace": f"biospark-{name}", "uid": str(number), "managedFields": []},
    }


def uid(number: int) -> str:
    return f"{number:08x}-0000-4000-8000-000000000000"


def everything(name: str, number: int) -> list[Json]:
    owner = uid(number)
    return [environment(name, owner), service(name, uid(number + 1), owner), pod(name, number)]


ONE, OTHER = everything("c1111", 1), everything("c2222", 5)
KNOWN = footprint(ONE, "c1111")


def test_two_equal_environments_have_one_footprint_wherever_they_are() -> None:
    assert difference(KNOWN, footprint([*ONE, *OTHER], "c2222")) == ""
    assert kinds(KNOWN) == {"BioSparkEnvironment", "Service", "Pod"}


def test_nothing_is_the_footprint_of_what_is_gone() -> None:
    assert footprint(ONE, "c2222") == {}


def test_a_missing_object_and_one_too_many_are_told() -> None:
    without = footprint([ONE[0], ONE[2]], "c1111")
    assert difference(KNOWN, without) == "v1 Service biospark-NAME/api:\n  is missing"
    assert difference(without, KNOWN) == "v1 Service biospark-NAME/api:\n  is there and should not be"


def test_a_leaked_object_is_found_in_any_namespace_by_its_label() -> None:
    leaked = pod("elsewhere", 3)
    leaked["metadata"]["labels"] = {"biospark.ai/environment": "c1111"}
    assert "Pod made by others" in difference(KNOWN, footprint([*ONE, leaked], "c1111"))


def test_a_second_pod_is_told() -> None:
    assert "+2" in difference(KNOWN, footprint([*ONE, pod("c1111", 9)], "c1111"))


def test_a_changed_field_is_told_with_its_place() -> None:
    changed = copy.deepcopy(ONE)
    changed[1]["spec"]["ports"][0]["port"] = 81
    assert "+  - port: 81" in difference(KNOWN, footprint(changed, "c1111"))


def test_an_owner_that_is_not_the_environment_is_told() -> None:
    changed = copy.deepcopy(ONE)
    changed[1]["metadata"]["ownerReferences"][0]["uid"] = uid(99)
    assert "another uid" in difference(KNOWN, footprint(changed, "c1111"))


def test_a_generation_counts_by_whether_it_is_the_current_one() -> None:
    later = copy.deepcopy(ONE)
    later[0] = environment("c1111", uid(1), generation=7)
    assert difference(KNOWN, footprint(later, "c1111")) == ""
    later[0]["metadata"]["generation"] = 8
    assert "old" in difference(KNOWN, footprint(later, "c1111"))
