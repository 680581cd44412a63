"""What is generated from the models is up to date and has the form that it must have."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from biospark_operator.api.v1alpha1 import ConditionType, Reason, Spec, Status, crd, reference
from biospark_operator.api.v1alpha1.durations import format_duration
from biospark_operator.api.v1alpha1.model import Model
from tests.unit.api.test_unsupported import models_in

ROOT = Path(__file__).parents[3]
Node = tuple[str, dict[str, Any]]


def nodes(schema: dict[str, Any], path: str) -> Iterator[Node]:
    """Every schema inside a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}{suffix}")


NODES = [*nodes(crd.spec_schema(), "spec"), *nodes(crd.status_schema(), "status")]
FIELDS = [(path, schema) for path, schema in NODES if not path.endswith(("[]", "{}"))]


def test_the_definition_in_the_repository_is_the_generated_one() -> None:
    written = (ROOT / "crds/biospark.ai_biosparkenvironments.yaml").read_text(encoding="utf-8")
    assert written == crd.render(), "run `make crd`"


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_pages_are_the_generated_ones(name: str) -> None:
    written = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), "run `make crd`"


def test_pages_are_written_into_a_folder_that_may_be_missing(tmp_path: Path) -> None:
    reference.write(tmp_path / "new")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"environment.md", "conditions.md"}


def test_the_definition_is_yaml_without_anchors() -> None:
    text = crd.render()
    assert yaml.safe_load(text) == crd.definition()
    assert not re.search(r": [&*]id\d", text)


def test_every_field_is_described() -> None:
    assert [path for path, schema in FIELDS if not schema.get("description", "").endswith(".")] == []


def test_every_string_list_and_map_is_bounded() -> None:
    limits = {"string": "maxLength", "array": "maxItems"}
    free = [path for path, schema in NODES if (limit := limits.get(schema.get("type", ""))) and limit not in schema]
    free += [path for path, schema in NODES if "additionalProperties" in schema and "maxProperties" not in schema]
    unbounded = [path for path in free if path not in closed()]
    assert unbounded == []


def closed() -> set[str]:
    """Strings that are bounded by what they are: enumerations and times."""
    return {path for path, schema in NODES if "enum" in schema or schema.get("format") == "date-time"}


def test_a_list_is_a_set_of_scalars_a_map_of_objects_or_atomic() -> None:
    """The API server takes a set of objects, and then fails on every server-side apply of a resource that has one."""
    lists = {path: schema for path, schema in NODES if schema.get("type") == "array"}
    assert all("x-kubernetes-list-type" in schema for schema in lists.values())
    sets = [schema for schema in lists.values() if schema["x-kubernetes-list-type"] == "set"]
    assert sets
    assert all(schema["items"]["type"] != "object" for schema in sets)


def test_nothing_in_an_atomic_list_has_a_default() -> None:
    """GitOps controllers would see a difference that never ends."""
    atomic = [schema for _, schema in NODES if schema.get("x-kubernetes-list-type") == "atomic"]
    assert atomic
    assert not any("default" in field for s in atomic for field in s["items"].get("properties", {}).values())


def test_keys_of_lists_are_required() -> None:
    for path, schema in NODES:
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            assert key in schema["items"]["required"], path


def test_only_the_documented_defaults_are_stored() -> None:
    assert {path: schema["default"] for path, schema in NODES if "default" in schema} == {
        "spec.mode": "Apply",
        "spec.suspend": False,
        "spec.interval": "10m",
        "spec.deletionPolicy": "Retain",
        "spec.adoptionPolicy": "Never",
        "status": {"observedGeneration": -1},
    }


def test_the_schema_is_structural() -> None:
    for path, schema in NODES:
        assert "type" in schema or schema.get("x-kubernetes-int-or-string"), path
        assert not {"title", "$ref", "const", "oneOf", "allOf"} & schema.keys(), path


def static_defaults(model: type[Model], path: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and description of every field whose default does not depend on anything."""
    for field in model.model_fields.values():
        where = f"{path}.{field.alias}"
        for inner in models_in(field.annotation):
            yield from static_defaults(inner, where)
        value = field.default
        if isinstance(value, (str, int, timedelta)):
            text = format_duration(value) if isinstance(value, timedelta) else str(value)
            yield where, text.lower() if isinstance(value, bool) else text, field.description or ""


@pytest.mark.parametrize(("path", "default", "description"), list(static_defaults(Spec, "spec")))
def test_descriptions_state_the_default(path: str, default: str, description: str) -> None:
    assert re.search(rf"Default `?{re.escape(default)}`?\b", description), path


def test_conditions_and_reasons_are_explained() -> None:
    page = reference.conditions_page()
    for condition in ConditionType:
        assert f"| `{condition.value}` | {condition.meaning} |" in page
    for reason in Reason:
        assert f"| `{reason.value}` | {reason.meaning} | {reason.action} |" in page


@pytest.mark.parametrize("reason", Reason)
def test_reasons_are_words_that_the_schema_of_conditions_accepts(reason: Reason) -> None:
    assert re.fullmatch("[A-Z][A-Za-z]+", reason)
    assert reason.meaning.endswith(".")
    assert reason.action.endswith(".")


def test_a_status_of_a_newer_version_stays_readable() -> None:
    status = Status.model_validate(
        {"inventory": [{"id": "v1/Namespace//a", "component": "namespace", "new": 1}], "newer": {}}
    )
    assert [entry.id for entry in status.inventory] == ["v1/Namespace//a"]
    assert status.observed_generation == -1
