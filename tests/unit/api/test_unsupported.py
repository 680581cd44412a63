"""Nothing that a user asks for is silently ignored."""

import typing
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest

from biospark_operator.api.v1alpha1 import Spec, parse_environment
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.unsupported import MANAGED, NOT_MANAGED, not_managed, unsupported_fields
from tests.unit.api.rule_cases import FORMATS, RULES, RuleCase, environment


def reported(**spec: Any) -> list[str]:
    """The paths that are reported for an environment with the given sections."""
    return [field.path for field in unsupported_fields(parse_environment(environment(**spec)).spec)]


def models_in(annotation: object) -> Iterator[type[Model]]:
    """The models that an annotation mentions, through unions, tuples and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from models_in(argument)


def leaves(model: type[Model] = Spec, prefix: str = "") -> Iterator[str]:
    """The paths of every field of the spec that holds no object."""
    for field in model.model_fields.values():
        nested = list(models_in(field.annotation))
        for inner in nested:
            yield from leaves(inner, f"{prefix}{field.alias}.")
        if not nested:
            yield f"{prefix}{field.alias}"


@pytest.mark.parametrize("path", list(leaves()))
def test_every_field_is_either_managed_or_reported(path: str) -> None:
    managed = any(f"{path}.".startswith(f"{prefix}.") for prefix in MANAGED)
    assert managed is (not_managed(path) is None), f"list {path} or its section in MANAGED or NOT_MANAGED, not in both"


def test_the_tables_name_only_fields_that_exist() -> None:
    paths = [f"{path}." for path in leaves()]
    missing = {row for row in MANAGED | NOT_MANAGED.keys() if not any(path.startswith(f"{row}.") for path in paths)}
    assert missing == set()


@pytest.mark.parametrize("rule", RULES + FORMATS, ids=str)
def test_a_valid_example_is_reported_exactly_where_it_is_not_managed(rule: RuleCase) -> None:
    spec = parse_environment(rule.good).spec
    assert all(not_managed(field.path.removeprefix("spec.")) for field in unsupported_fields(spec))


def test_the_smallest_environment_asks_for_nothing_unmanaged() -> None:
    assert reported() == []


def test_managed_sections_are_accepted() -> None:
    assert (
        reported(
            deletionProtection=True,
            namespace={"name": "a", "labels": {"team": "a"}, "quota": {"cpu": 1}},
            access={"bindings": [{"role": "Admin", "subjects": [{"kind": "Group", "name": "ops"}]}]},
            registry={"pullSecretRef": {"name": "pull"}},
            network={"isolation": "Disabled", "ingress": [{"name": "a", "namespace": "b"}]},
            api={
                "image": "api:1",
                "replicas": 2,
                "resources": {"limits": {"cpu": 1}},
                "tokenLifetime": "1h",
                "bootstrapAdmin": {"email": "a@b.example"},
                "eraseDeletedDays": 30,
            },
        )
        == []
    )


@pytest.mark.parametrize("section", ["gateway", "mesh", "monitoring", "logging"])
def test_provider_none_asks_for_nothing(section: str) -> None:
    assert reported(**{section: {"provider": "None"}}) == []


@pytest.mark.parametrize(
    ("spec", "paths"),
    [
        ({"mesh": {"provider": "Istio", "revision": "1-28"}}, ["spec.mesh.provider", "spec.mesh.revision"]),
        ({"secrets": {"delivery": "KubernetesSecret"}}, ["spec.secrets.delivery"]),
        ({"certificate": {"duration": "1000h"}}, ["spec.certificate.duration"]),
        ({"gateway": {"provider": "KongIngress"}}, ["spec.gateway.provider"]),
        ({"gateway": {"rateLimit": {"requestsPerMinute": 5}}}, ["spec.gateway.rateLimit.requestsPerMinute"]),
        ({"monitoring": {"alerts": False}}, ["spec.monitoring.alerts"]),
        ({"qualityGates": {"enforcement": "Block"}}, ["spec.qualityGates.enforcement"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wish_that_is_not_managed_is_reported_where_it_is_written(spec: dict[str, Any], paths: list[str]) -> None:
    assert reported(**spec) == paths


def test_writing_a_default_out_is_no_wish() -> None:
    assert reported(gateway={"rateLimit": {"requestsPerMinute": 1000}}, certificate={"duration": "129600m"}) == []


def test_the_message_says_what_to_do() -> None:
    (field,) = unsupported_fields(parse_environment(environment(mesh={"provider": "Istio"})).spec)
    assert field.message == "remove it: this version does not manage the service mesh yet"


def test_every_enumeration_is_a_string_in_json() -> None:
    spec = parse_environment(environment()).spec
    assert isinstance(spec.profile, StrEnum)
    assert spec.model_dump(mode="json", by_alias=True, exclude_unset=True)["profile"] == "Development"
