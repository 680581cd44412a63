"""The reference pages, generated from the schema, the defaults, and the tables of conditions and reasons.

`python -m biospark_operator.api.v1alpha1.reference docs/reference` writes `environment.md` and `conditions.md`
there; a test keeps them equal to the models. Defaults are those that `effective` computes for each profile.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.conditions import ConditionType
from biospark_operator.api.v1alpha1.crd import Schema, schema_of
from biospark_operator.api.v1alpha1.durations import PATTERN as DURATION
from biospark_operator.api.v1alpha1.effective import effective
from biospark_operator.api.v1alpha1.environment import BioSparkEnvironment, Metadata
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import Profile, Spec
from biospark_operator.api.v1alpha1.status import Status

NOTICE = "<!-- Generated from the models; do not edit. To change it, change the models and run `make crd`. -->\n\n"


INTRODUCTION = """# BioSparkEnvironment

`apiVersion: biospark.ai/v1alpha1`, `kind: BioSparkEnvironment`, cluster-scoped, short name `bse`. One resource is one
environment. The smallest one, with everything else from the profile and from the operator's platform settings:

```yaml
apiVersion: biospark.ai/v1alpha1
kind: BioSparkEnvironment
metadata:
  name: dev
spec:
  profile: Development
  host: api.dev.biospark.example
```

- Durations are written in hours, minutes and seconds: `30s`, `10m`, `1h30m`, `720h`. There is no unit for days.
- Quantities are those of Kubernetes: `500m`, `2`, `4Gi`.
- References to Secrets and ConfigMaps resolve in the operator's own namespace only.
- The operator never writes to `spec`. Defaults that are not stored in the object are computed when it is reconciled.
- The rules are evaluated by the API server, Kubernetes 1.33 or newer.
- `kubectl explain biosparkenvironments.spec` shows the same descriptions.

"""

STATUS_INTRODUCTION = """## `status`

Only the operator writes it. [Conditions and reasons](conditions.md) are listed apart.

"""

CONDITIONS_INTRODUCTION = """`status.conditions` follows the conventions that `kubectl wait`, Flux and Argo CD read:

| State | `Ready` | `Reconciling` | `Stalled` |
| --- | --- | --- | --- |
| not yet looked at | Unknown | True | absent |
| ready | True | absent | absent |
| at work, or trying again by itself | False or Unknown | True | absent |
| needs a human | False | absent | True |
| being deleted | False | True | absent |
| suspended | as it was | absent | absent |

"""


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
    if isinstance(values := schema.get("additionalProperties"), dict):
        return f"map of {type_of(values)}"
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
    computed = effective(smallest, Platform()).model_dump(mode="json", by_alias=True)
    return computed | {"host": None}


def default_of(field: Field, defaults: Mapping[Profile, Mapping[str, Any]]) -> str:
    """The default of a field of the spec, by profile where profiles differ; empty where there is none."""
    if field.required:
        return "required"
    by_profile = {profile: _written(_at(tree, field.path)) for profile, tree in defaults.items()}
    if len(set(by_profile.values())) > 1:
        return "<br>".join(f"{profile}: {value or 'none'}" for profile, value in by_profile.items())
    return by_profile[Profile.DEVELOPMENT] or _written(field.schema.get("default"))


def _at(tree: Any, path: str) -> Any:
    for part in path.split(".")[1:]:
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _written(value: Any) -> str:
    if value is None or isinstance(value, Mapping):
        return ""
    if isinstance(value, list):
        return ", ".join(_written(item) for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def rules(schema: Schema, path: str) -> str:
    """One line for every rule of the schema and of what is in it, with the fields that it is reported for."""
    reported: dict[str, list[str]] = {}
    for owner, part in ((path, schema), *((field.path, field.schema) for field in fields(schema, path))):
        for where, message in (*_rules_of(part, owner), *_rules_of(part.get("items", {}), f"{owner}[]")):
            reported.setdefault(message, []).append(f"`{where}`")
    return "".join(f"- {', '.join(dict.fromkeys(where))}: {message}.\n" for message, where in reported.items())


def _rules_of(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"{path}{rule.get('fieldPath', '')}", rule["message"]


def table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    rows = (head, tuple("---" for _ in head), *lines)
    return "".join(_line(row) for row in rows) + "\n"


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"


def environment_page() -> str:
    """Every field of the resource: what to write, the default, what it means, and the rules."""
    spec, status = schema_of(Spec), schema_of(Status)
    scalars = {name: child for name, child in spec["properties"].items() if "properties" not in child}
    sections = {name: child for name, child in spec["properties"].items() if "properties" in child}
    text = NOTICE + INTRODUCTION + _spec_section("spec", "spec", spec | {"properties": scalars})
    for name, schema in sections.items():
        text += _spec_section(f"spec.{name}", f"spec.{name}", schema)
    return text + STATUS_INTRODUCTION + _status_table(status)


def _spec_section(title: str, path: str, schema: Schema) -> str:
    defaults = profile_defaults()
    rows = [
        (f"`{field.path}`", type_of(field.schema), default_of(field, defaults), field.schema["description"])
        for field in fields(schema, path)
    ]
    text = f"## `{title}`\n\n{schema['description']}\n\n" + table(("Field", "Type", "Default", "Meaning"), rows)
    written = rules(schema, path)
    return f"{text}What the API server refuses, and what to write instead:\n\n{written}\n" if written else text


def _status_table(schema: Schema) -> str:
    rows = [
        (f"`{field.path}`", type_of(field.schema), field.schema["description"]) for field in fields(schema, "status")
    ]
    return table(("Field", "Type", "Meaning"), rows).rstrip() + "\n"


def conditions_page() -> str:
    """Every condition type, and every reason with what to do about it."""
    types = table(("Condition", "Meaning when True"), [(f"`{one}`", one.meaning) for one in ConditionType])
    reasons = table(("Reason", "Meaning", "What to do"), [(f"`{one}`", one.meaning, one.action) for one in Reason])
    text = f"{NOTICE}# Conditions and reasons\n\n{CONDITIONS_INTRODUCTION}## Conditions\n\n{types}"
    return f"{text}## Reasons\n\n{reasons}".rstrip() + "\n"


PAGES = {"environment.md": environment_page, "conditions.md": conditions_page}


def write(folder: Path) -> None:
    """Write all pages into a folder, which is made if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
