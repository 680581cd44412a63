"""The components together: their order, and that each has a condition of its own."""

from __future__ import annotations

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.components import catalog
from biospark_operator.engine.graph import in_order
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment

COMPONENTS = catalog.components(FakeCluster(), Platform(), operator_namespace="biospark-system")


def test_the_namespace_comes_first_and_the_api_last() -> None:
    names = [component.name for component in in_order(COMPONENTS)]
    assert (names[0], names[-1]) == ("namespace", "workload")
    assert set(names) == {"namespace", "access", "registry", "network", "database", "schema", "secrets", "workload"}


def test_each_component_has_a_documented_condition_of_its_own() -> None:
    conditions = {component.condition for component in COMPONENTS}
    assert len(conditions) == len(COMPONENTS)
    assert conditions <= set(ConditionType)


def test_every_object_is_known_to_the_inventory_before_it_is_made() -> None:
    env = environment(registry={"pullSecretRef": {"name": "pull"}})
    targets = [target for component in COMPONENTS for target in component.targets(env)]
    assert len(set(targets)) == len(targets)
    assert targets[0] == "v1 Namespace biospark-dev"
    assert "v1 Secret biospark-dev/biospark-registry" in targets
    assert "apps/v1 Deployment biospark-dev/biospark-api" in targets


def test_every_kind_that_components_make_is_watched() -> None:
    env = environment(
        "dev",
        profile="Production",
        registry={"pullSecretRef": {"name": "pull"}},
        access={"bindings": [{"role": "Viewer", "subjects": [{"kind": "User", "name": "a"}]}]},
    )
    made = {
        (ref.api_version, ref.kind)
        for component in COMPONENTS
        if component.enabled(env)
        for ref in map(ObjectRef.parse, component.targets(env))
    }
    assert made <= set(catalog.KINDS)
