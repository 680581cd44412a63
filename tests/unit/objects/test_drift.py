"""What counts as a difference, on objects recorded from an API server and on made-up ones.

Each file of `recorded` holds an object as it was applied and as it was stored, defaults and managedFields
included.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from biospark_operator.objects.drift import differences

RECORDED = {path.stem: yaml.safe_load(path.read_text()) for path in (Path(__file__).parent / "recorded").glob("*.yaml")}
US = "biospark-operator"

Change = Callable[[Any], object]


def found(name: str, *, desired: Change = lambda _: None, live: Change = lambda _: None) -> list[str]:
    """Return the differences of a recorded object after changing what is wanted or what is there."""
    wanted, stored = copy.deepcopy(RECORDED[name]["desired"]), copy.deepcopy(RECORDED[name]["live"])
    desired(wanted)
    live(stored)
    return differences(wanted, stored, US)


def container(body: Any) -> Any:
    return next(c for c in body["spec"]["template"]["spec"]["containers"] if c["name"] == "api")


def own_fields(live: Any) -> Any:
    return next(entry["fieldsV1"] for entry in live["metadata"]["managedFields"] if entry["manager"] == US)


def taken(*path: str) -> Change:
    """Let another manager take a field from us, with the value it has."""

    def change(live: Any) -> None:
        above = [own_fields(live)]
        for part in path[:-1]:
            above.append(above[-1][part])
        # The API server notes no fields that hold nothing of ours any more.
        for fields, part in zip(reversed(above), reversed(path), strict=True):
            if fields[part] == {} or part == path[-1]:
                del fields[part]

    return change


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_what_the_api_server_made_of_an_object_is_no_difference(name: str) -> None:
    assert found(name) == []


CONTAINERS = "spec.template.spec.containers[api]"


@pytest.mark.parametrize(
    ("name", "change", "paths"),
    [
        ("deployment", lambda o: container(o).update(image="x"), [f"{CONTAINERS}.image"]),
        ("deployment", lambda o: container(o).update(args=["serve"]), [f"{CONTAINERS}.args"]),
        ("deployment", lambda o: container(o)["env"][0].update(value="x"), [f"{CONTAINERS}.env[MODE].value"]),
        ("deployment", lambda o: container(o)["env"].pop(0), [f"{CONTAINERS}.env[MODE]"]),
        ("deployment", lambda o: container(o)["ports"].pop(), [f"{CONTAINERS}.ports[metrics]"]),
        (
            "deployment",
            lambda o: container(o)["resources"]["limits"].update(memory="600Mi"),
            [f"{CONTAINERS}.resources.limits.memory"],
        ),
        ("deployment", lambda o: o["spec"].update(replicas=0), ["spec.replicas"]),
        ("deployment", lambda o: o["spec"].pop("template"), ["spec.template"]),
        (
            "deployment",
            lambda o: o["metadata"]["labels"].pop("biospark.ai/environment"),
            ["metadata.labels[biospark.ai/environment]"],
        ),
        (
            "deployment",
            lambda o: o["spec"]["template"]["spec"]["topologySpreadConstraints"][0].update(maxSkew=3),
            ["spec.template.spec.topologySpreadConstraints[0].maxSkew"],
        ),
        ("service", lambda o: o["spec"]["selector"].update(app="x"), ["spec.selector.app"]),
        ("service", lambda o: o["spec"]["ports"][0].update(targetPort=1), ["spec.ports[http].targetPort"]),
        ("networkpolicy", lambda o: o["spec"].update(egress=[]), ["spec.egress"]),
        ("networkpolicy", lambda o: o["spec"]["policyTypes"].remove("Egress"), ["spec.policyTypes"]),
        ("rolebinding", lambda o: o["subjects"].pop(0), ["subjects"]),
        ("rolebinding", lambda o: o["subjects"][1].update(name="x"), ["subjects[1].name"]),
        ("rolebinding", lambda o: o.pop("subjects"), ["subjects"]),
        ("resourcequota", lambda o: o["spec"]["hard"].update(pods="21"), ["spec.hard.pods"]),
        (
            "limitrange",
            lambda o: o["spec"]["limits"][0]["max"].update(memory="1"),
            ["spec.limits[Container].max.memory"],
        ),
        ("secret", lambda o: o["data"].update(password="eA=="), ["data.password"]),
        ("serviceaccount", lambda o: o.update(automountServiceAccountToken=True), ["automountServiceAccountToken"]),
        ("serviceaccount", lambda o: o.update(imagePullSecrets=[]), ["imagePullSecrets[pull]"]),
    ],
)
def test_what_somebody_changed_is_named_by_its_path(name: str, change: Change, paths: list[str]) -> None:
    assert found(name, live=change) == paths


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("deployment", lambda o: o["metadata"].update(annotations={"biospark.ai/note": "x", "added": "by others"})),
        ("deployment", lambda o: container(o)["env"].append({"name": "MORE", "value": "x"})),
        ("deployment", lambda o: container(o)["env"].reverse()),
        ("deployment", lambda o: o["spec"]["template"]["spec"].update(nodeName="x")),
        ("service", lambda o: o["spec"]["ports"].append({"name": "more", "port": 81})),
        ("serviceaccount", lambda o: o["imagePullSecrets"].append({"name": "more"})),
        ("resourcequota", lambda o: o["spec"]["hard"].update({"services": "3"})),
        ("resourcequota", lambda o: o["spec"]["hard"].update({"requests.cpu": "1"})),
    ],
)
def test_what_others_add_and_other_spellings_are_no_difference(name: str, change: Change) -> None:
    assert found(name, live=change) == []


def test_items_that_others_add_to_a_list_without_names_are_no_difference() -> None:
    spread = RECORDED["meshed-deployment"]["live"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert len(spread) == 2, "the recorded object has one of ours and one of another manager"
    assert found("meshed-deployment") == []


def test_one_of_ours_among_items_of_others_is_compared() -> None:
    def change(live: Any) -> None:
        spread = live["spec"]["template"]["spec"]["topologySpreadConstraints"]
        next(item for item in spread if item["topologyKey"] == "kubernetes.io/hostname")["maxSkew"] = 5

    assert found("meshed-deployment", live=change) == ["spec.template.spec.topologySpreadConstraints[0].maxSkew"]


@pytest.mark.parametrize(
    ("name", "path", "named"),
    [
        ("deployment", ("f:spec", "f:replicas"), "spec.replicas"),
        ("deployment", ("f:spec", "f:template", "f:spec", "f:containers"), "spec.template.spec.containers"),
        (
            "deployment",
            ("f:spec", "f:template", "f:spec", "f:containers", 'k:{"name":"api"}', "f:image"),
            f"{CONTAINERS}.image",
        ),
        ("networkpolicy", ("f:spec", "f:podSelector"), "spec.podSelector"),
        ("rolebinding", ("f:subjects",), "subjects"),
        ("secret", ("f:data", "f:password"), "data"),
    ],
)
def test_a_field_that_another_manager_took_is_a_difference_even_with_our_value(
    name: str, path: tuple[str, ...], named: str
) -> None:
    assert found(name, live=taken(*path)) == [named]


def test_a_selector_that_was_narrowed_is_a_difference() -> None:
    def narrow(live: Any) -> None:
        live["spec"]["podSelector"] = {"matchLabels": {"nobody": "has-this"}}
        taken("f:spec", "f:podSelector")(live)

    assert found("networkpolicy", live=narrow) == ["spec.podSelector"]


def test_an_object_that_we_never_applied_differs_in_all_that_we_want() -> None:
    def forget(live: Any) -> None:
        live["metadata"]["managedFields"] = []

    assert found("secret", live=forget) == ["data", "metadata", "type"]


def test_what_we_wrote_to_the_status_or_by_updates_does_not_count_as_applied() -> None:
    def elsewhere(live: Any) -> None:
        live["metadata"]["managedFields"][0].update(subresource="status")

    assert "data" in found("secret", live=elsewhere)


@pytest.mark.parametrize(
    ("name", "change", "paths"),
    [
        ("deployment", lambda o: o["spec"].pop("replicas"), ["spec.replicas"]),
        ("deployment", lambda o: o["metadata"].pop("annotations"), ["metadata.annotations"]),
        ("deployment", lambda o: container(o)["ports"].pop(), [f"{CONTAINERS}.ports[9090]"]),
        ("deployment", lambda o: container(o)["env"].pop(0), [f"{CONTAINERS}.env[MODE]"]),
        ("deployment", lambda o: container(o).pop("readinessProbe"), [f"{CONTAINERS}.readinessProbe"]),
        ("secret", lambda o: o["data"].clear(), ["data.password"]),
        ("resourcequota", lambda o: o["spec"]["hard"].pop("pods"), ["spec.hard.pods"]),
    ],
)
def test_what_we_no_longer_want_is_a_difference(name: str, change: Change, paths: list[str]) -> None:
    assert found(name, desired=change) == paths


def test_no_value_is_ever_shown() -> None:
    def change(live: Any) -> None:
        live["data"] = {"password": "cGxhbnRlZC1saXZl", "more": "cGxhbnRlZA=="}

    assert "cGxhbn" not in json.dumps(found("secret", live=change))


names = st.text("abcdefgh./-", min_size=1, max_size=6)
leaves = st.one_of(st.booleans(), st.integers(-5, 5), st.text("xyz", min_size=1, max_size=4))


def _keyed(items: list[Any]) -> list[Any]:
    return [{**item, "name": f"n{index}"} for index, item in enumerate(items)]


values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.dictionaries(names, inner, max_size=4),
        st.lists(leaves, max_size=3),
        st.lists(st.dictionaries(names, inner, max_size=3), max_size=3).map(_keyed),
    ),
    max_leaves=15,
)
objects = st.builds(
    lambda spec, labels: {
        "apiVersion": "v1",
        "kind": "Thing",
        "metadata": {"name": "x", "namespace": "y", "labels": labels},
        "spec": spec,
    },
    st.dictionaries(names, values, min_size=1, max_size=4),
    st.dictionaries(names, st.text("xyz", max_size=3), min_size=1, max_size=3),
)


def managed(value: Any) -> Any:
    """What the API server notes of an applied value: maps by field, lists of named items by key, others whole."""
    if isinstance(value, dict):
        return {f"f:{key}": managed(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {f"k:{json.dumps({'name': item['name']})}": {".": {}, **managed(item)} for item in value}
    return {}


def stored(manifest: Any) -> Any:
    fields = managed({"metadata": {"labels": manifest["metadata"]["labels"]}, "spec": manifest["spec"]})
    live = copy.deepcopy(manifest)
    live["metadata"]["managedFields"] = [{"manager": US, "operation": "Apply", "fieldsV1": fields}]
    return live


@given(objects)
def test_an_object_as_it_was_applied_has_no_difference(manifest: Any) -> None:
    assert differences(manifest, stored(manifest), US) == []


@given(objects, st.data())
def test_any_label_that_changes_is_found_and_nothing_else(manifest: Any, data: st.DataObject) -> None:
    live = stored(manifest)
    key = data.draw(st.sampled_from(sorted(manifest["metadata"]["labels"])))
    live["metadata"]["labels"][key] = "changed"
    (path,) = differences(manifest, live, US)
    assert path.startswith("metadata.labels")
    assert key in path


@given(objects, objects)
def test_any_other_specification_is_found(manifest: Any, other: Any) -> None:
    wanted = {**manifest, "spec": other["spec"]}
    if json.dumps(wanted["spec"], sort_keys=True) != json.dumps(manifest["spec"], sort_keys=True):
        assert differences(wanted, stored(manifest), US)


@pytest.mark.parametrize(("wanted", "there"), [(0, False), (False, 0), (1, True), (True, 1)])
def test_a_truth_value_is_not_a_number(wanted: Any, there: Any) -> None:
    metadata = {"name": "x", "labels": {"a": "b"}}
    manifest = {"apiVersion": "v1", "kind": "Thing", "metadata": metadata, "spec": {"a": wanted}}
    live = stored(manifest)
    live["spec"] = {"a": there}
    assert differences(manifest, live, US) == ["spec.a"]
