"""Every example works as it is: the rules take it, this version manages all of it, and its objects are built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.quantities import parse_quantity
from biospark_operator.api.v1alpha1.spec import Mode
from biospark_operator.api.v1alpha1.unsupported import unsupported_fields
from biospark_operator.api.v1alpha1.validation import parse_environment
from biospark_operator.components import catalog
from biospark_operator.engine.component import Environment
from biospark_operator.engine.graph import in_order
from biospark_operator.runtime.admission import admission
from tests.fakes.cluster import FakeCluster

EXAMPLES = Path(__file__).parents[3] / "examples"
VALUES = EXAMPLES / "operator-values.yaml"
ENVIRONMENTS = sorted(set(EXAMPLES.glob("*.yaml")) - {VALUES})
OPERATOR_NAMESPACE = "biospark-system"

every_environment = pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)


def read(path: Path) -> Any:
    """The one document of an example."""
    (document,) = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return document


def platform() -> Platform:
    """The platform that the example of the operator's values describes."""
    return Platform.model_validate(read(VALUES)["platform"])


def admitted(path: Path) -> Environment:
    """The environment as the operator of the example's values works on it."""
    body = read(path)
    body["metadata"] |= {"uid": "uid", "generation": 1}
    answer = admission(platform(), OPERATOR_NAMESPACE)(body)
    assert isinstance(answer, Environment), answer
    return answer


def test_there_is_an_example_for_each_way_of_use() -> None:
    assert {path.stem for path in ENVIRONMENTS} == {
        "development",
        "plan-only",
        "private-registry",
        "production",
        "staging",
    }


@every_environment
def test_the_environment_has_the_name_of_its_file(path: Path) -> None:
    assert read(path)["metadata"]["name"] == path.stem


def test_no_two_examples_have_the_same_host_or_namespace() -> None:
    specs = [admitted(path).spec for path in ENVIRONMENTS]
    assert len({spec.host for spec in specs}) == len({spec.namespace.name for spec in specs}) == len(specs)


@every_environment
def test_this_version_manages_everything_that_is_asked_for(path: Path) -> None:
    assert unsupported_fields(parse_environment(read(path)).spec) == []


@every_environment
def test_every_enabled_component_builds_its_objects(path: Path) -> None:
    env = admitted(path)
    components = catalog.components(FakeCluster(), platform(), operator_namespace=OPERATOR_NAMESPACE)
    enabled = [component for component in in_order(components) if component.enabled(env)]
    assert {"namespace", "access", "network", "workload"} <= {component.name for component in enabled}
    # The schema comes and goes with its database.
    assert all(component.targets(env) for component in enabled if component.name != "schema")


@every_environment
def test_there_is_an_image_of_the_api(path: Path) -> None:
    assert admitted(path).spec.api.image


@pytest.mark.parametrize("resource", ["cpu", "memory"])
@every_environment
def test_the_quota_has_room_for_all_replicas_and_one_more_during_a_rollout(path: Path, resource: str) -> None:
    spec = admitted(path).spec
    replicas = spec.api.autoscaling.max_replicas if spec.api.autoscaling else spec.api.replicas
    limit, quota = spec.api.resources.limits[resource], getattr(spec.namespace.quota, resource)
    assert (replicas + 1) * parse_quantity(limit) <= parse_quantity(quota)


def test_the_examples_show_what_they_are_named_after() -> None:
    assert admitted(EXAMPLES / "plan-only.yaml").spec.mode is Mode.PLAN
    assert admitted(EXAMPLES / "private-registry.yaml").spec.registry.pull_secret_name
    assert admitted(EXAMPLES / "production.yaml").spec.deletion_protection


@every_environment
def test_the_first_lines_say_what_the_example_is_for(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", [*ENVIRONMENTS, VALUES], ids=lambda path: path.stem)
def test_no_example_holds_a_secret(path: Path) -> None:
    assert read(path).get("kind") != "Secret"
    assert "password:" not in path.read_text(encoding="utf-8").lower()
