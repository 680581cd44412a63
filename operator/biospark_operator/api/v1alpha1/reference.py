"""The reference pages, generated from the schema, the defaults, and the tables of conditions and reasons.

`python -m biospark_operator.api.v1alpha1.reference docs/reference` writes `environment.md` and `conditions.md`
there; a test keeps them equal to the models. Defaults are those that `effective` computes for each profile.
"""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biospark_operator.api.v1alpha1 import crd
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.crd import Schema
from biospark_operator.api.v1alpha1.durations import PATTERN as DURATION
from biospark_operator.api.v1alpha1.effective import effective
from biospark_operator.api.v1alpha1.effective_spec import PlatformDefaults
from biospark_operator.api.v1alpha1.environment import BioSparkEnvironment, Metadata
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import Profile, Spec

NOTICE = (
    "<!-- Generated from the models; do not edit. To change it, change the models and run `make crd`. -->\n\n"
)


@dataclass(frozen=True)
class Field:
    """One field of the schema, with where it is."""

    path: str
    schema: Schema
    required: bool


def fields(schema: Schema, path: str) -> Iterator[Field]:
    """Every field below the schema in the order of the models; items of lists are written `[]`."""
    for name, child in schema.get("properties", {}).items():
        field = Field(f"{path}.{name}", child, name in schema.get("required", ()))
        yield field
        yield from fields(child, field.path)
        yield from fields(child.get("items", {}), f"{field.path}[]")


def type_of(schema: Schema) -> str:
    """What to write, in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "x-kubernetes-int-or-string" in schema:
        return "quantity"
    if "items" in schema:
        return f"list of {type_of(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {type_of(schema['additionalProperties'])}"
    if schema.get("pattern") == DURATION:
        return "duration"
    return "date and time" if schema.get("format") == "date-time" else str(schema["type"]) + _range(schema)


def _range(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f", {schema['minimum']} to {schema['maximum']}"
    return f", at least {schema['minimum']}" if "minimum" in schema else ""


def profile_defaults() -> dict[Profile, Mapping[str, Any]]:
    """The whole effective spec of an environment that says nothing but its profile and host."""
    return {profile: _defaults_of(profile) for profile in Profile}


def _defaults_of(profile: Profile) -> Mapping[str, Any]:
    smallest = BioSparkEnvironment(
        metadata=Metadata(name="<metadata.name>"), spec=Spec(profile=profile, host="spec.host")
    )
    result: Mapping[str, Any] = effective(smallest, PlatformDefaults()).model_dump(mode="json", by_alias=True)
    return result


def default_of(path: str, defaults: Mapping[Profile, Mapping[str, Any]]) -> str:
    """The default of a field of the spec, by profile where profiles differ; empty where there is none."""
    by_profile = {profile: _at(tree, path) for profile, tree in defaults.items()}
    values = {_written(value) for value in by_profile.values()}
    if len(values) == 1:
        return values.pop()
    return "<br>".join(f"{profile}: {_written(value) or 'none'}" for profile, value in by_profile.items())


def _at(tree: Any, path: str) -> Any:
    for part in path.split(".")[1:]:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _written(value: Any) -> str:
    if value is None or isinstance(value, Mapping) or value == []:
        return ""
    if isinstance(value, list):
        return ", ".join(_written(item) for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def rules(schema: Schema, path: str) -> Iterator[str]:
    """One line for every rule of the schema, with the field that it is reported for."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"- `{path}{rule.get('fieldPath', '')}`: {rule['message']}"
    for field in fields(schema, path):
        for rule in field.schema.get("x-kubernetes-validations", ()):
            yield f"- `{field.path}{rule.get('fieldPath', '')}`: {rule['message']}"


def table(head: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> str:
    """A Markdown table."""
    cells = [head, tuple("---" for _ in head), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in cells)


def _spec_row(field: Field, defaults: Mapping[Profile, Mapping[str, Any]]) -> tuple[str, ...]:
    default = "required" if field.required else default_of(field.path, defaults)
    return f"`{field.path}`", type_of(field.schema), default, field.schema["description"]


def _spec_section(title: str, members: list[Field], written_rules: list[str]) -> str:
    defaults = profile_defaults()
    rows = (_spec_row(field, defaults) for field in members)
    text = f"\n### {title}\n\n" + table(("Field", "Type", "Default", "Meaning"), rows)
    return text + ("\nRules:\n\n" + "\n".join(written_rules) + "\n" if written_rules else "")
