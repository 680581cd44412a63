"""The components together: none is forgotten, their order, and that each has a condition of its own."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from typing import Any

import pytest

from biospark_operator import components
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.components import catalog
from biospark_operator.engine.graph import in_order
from biospark_operator.objects.kinds import LISTS, Kind, kinds_of
from tests.fakes.components import COMPONENTS
from tests.fakes.environments import environment
from tests.unit.components.test_golden import ENVIRONMENTS

EVERYTHING = environment(**ENVIRONMENTS["everything"])


def test_the_namespace_comes_first_and_the_api_last() -> None:
    names = [component.name for component in in_order(COMPONENTS)]
    assert (names[0], names[-1]) == ("namespace", "workload")


def test_every_module_of_a_component_is_in_the_catalog() -> None:
    names = [module.name for module in pkgutil.walk_packages(components.__path__, f"{components.__name__}.")]
    of_components = {name for name in names if inspect.isfunction(vars(import_module(name)).get("component"))}
    listed = {value.__name__ for value in vars(catalog).values() if inspect.ismodule(value)}
    forgotten = sorted(of_components - listed)
    assert forgotten == [], "add them to components in components/catalog.py"


def test_the_environment_with_everything_has_every_component() -> None:
    without = [component.name for component in COMPONENTS if not component.enabled(EVERYTHING)]
    assert without == [], "make them part of everything in test_golden.py"


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


def test_each_component_makes_no_other_kinds_than_it_declares() -> None:
    for component in COMPONENTS:
        made = {ObjectRef.parse(target) for target in component.targets(EVERYTHING) if ObjectRef.is_one(target)}
        declared = {kind.key for kind in kinds_of([component])}
        assert {(ref.api_version, ref.kind) for ref in made} <= declared, component.name


def test_components_that_disagree_about_a_kind_are_a_mistake() -> None:
    class Toy:
        def __init__(self, *, status_matters: bool) -> None:
            self.kinds = frozenset({Kind("example.com/v1", "Toy", "toys", status_matters=status_matters)})

    assert len(kinds_of([Toy(status_matters=True), Toy(status_matters=True)])) == 1
    with pytest.raises(ValueError, match="v1 Toy in different ways"):
        kinds_of([Toy(status_matters=True), Toy(status_matters=False)])


def test_who_lists_what_another_makes_adds_nothing() -> None:
    class Component:
        def __init__(self, **options: Any) -> None:
            self.kinds = frozenset({Kind("example.com/v1", "Toy", "toys", **options)})

    assert kinds_of([Component(verbs=LISTS), Component()]) == tuple(Component().kinds)
