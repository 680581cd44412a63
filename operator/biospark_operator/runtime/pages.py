"""The reference page of the settings, generated from their models.

`python -m biospark_operator.runtime.pages docs/reference` writes `settings.md` there; a test keeps it equal
to `OperatorSettings`. Run by `make crd`, beside the pages of the resource.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_snake

from biospark_operator.api.v1alpha1.crd import Schema, inlined
from biospark_operator.api.v1alpha1.reference import NOTICE, Field, fields, table, type_of
from biospark_operator.runtime.settings import CONFIG_VARIABLE, OperatorSettings

PAGE = "settings.md"
PREFIX = str(OperatorSettings.model_config["env_prefix"])
DELIMITER = str(OperatorSettings.model_config["env_nested_delimiter"])

INTRODUCTION = f"""# Settings of the operator

The operator reads its settings once, when it starts: from environment variables, and from the YAML file that the
variable `{CONFIG_VARIABLE}` names. A variable wins over the file. The file is written as the keys below say:

```yaml
platform:
  apiImage: registry.example.com/biospark/biospark-api:0.1.0
  network:
    gateway: {{namespace: kong}}
```

With the Helm chart, write `platform` as the value of that name: the chart makes the file of it. The other settings
are set by the chart itself (`logLevel`), or by its value `extraEnv`. A change of the values rolls the operator's pods.

A wrong value ends the operator at start, with exit code 2 and a line for each that names the setting. A list, map or
object in a variable is written as JSON: `{PREFIX}PLATFORM__NETWORK__DNS_PORTS=[5353]`. A setting whose key
has `[]` in it is part of a list and has no variable of its own.

"""

COLUMNS = ("Key", "Environment variable", "Type", "Default", "Meaning")
SECTIONS = {
    "": ("The process", "How the operator itself runs."),
    "platform": ("The platform", "What is the same for all environments of the cluster."),
    "platform.network": (
        "The network of the platform",
        "Whom the [network policies](../concepts.md#network-isolation) of every environment let through.",
    ),
    "platform.limits": (
        "The limits of environments",
        "What [editors of environments](../editors.md) may not ask for. What is written here binds environments, not "
        "the other settings of the platform.",
    ),
}
"""Sections of the page: the objects whose fields get a table of their own, by key."""


def variable(key: str) -> str:
    """The environment variable of a setting, by its key in the file; empty for a part of a list."""
    if "[]" in key:
        return ""
    return PREFIX + DELIMITER.join(to_snake(part).upper() for part in key.split("."))


def settings() -> Iterator[Field]:
    """Every setting, with its key as the path."""
    schema = OperatorSettings.model_json_schema(by_alias=True)
    for field in fields(inlined(schema, schema["$defs"]), ""):
        if (key := field.path.removeprefix(".")) not in SECTIONS:
            yield Field(key, field.schema, field.required)


def page() -> str:
    """The whole page."""
    text = NOTICE + INTRODUCTION
    for section, (title, words) in SECTIONS.items():
        rows = [_row(field) for field in settings() if _section_of(field.path) == section]
        text += f"## {title}\n\n{words}\n\n" + table(
            ("Key", "Environment variable", "Type", "Default", "Meaning"), rows
        )
    return text.rstrip() + "\n"


def _section_of(key: str) -> str:
    return max((name for name in SECTIONS if f"{key}.".startswith(f"{name}." if name else "")), key=len)


def _row(field: Field) -> tuple[str, ...]:
    default = "required" if field.required else _default(_at(_defaults(), field.path))
    name = f"`{variable(field.path)}`" if variable(field.path) else ""
    return f"`{field.path}`", name, _type(field.schema), default, field.schema["description"]


def _type(schema: Schema) -> str:
    """What to write, in a few words."""
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    return "address or range" if schema.get("format") == "ipvanynetwork" else type_of(schema)


def _defaults() -> Mapping[str, Any]:
    """The settings of an operator that is told nothing; neither variables nor a file are read."""
    return OperatorSettings.model_construct().model_dump(mode="json", by_alias=True)


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree


def _default(value: Any) -> str:
    if isinstance(value, list):
        # Lists of objects are told in the description: as a literal they would fill the table.
        return ", ".join(_default(item) for item in value)
    if value in (None, "") or isinstance(value, Mapping):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def write(folder: Path) -> None:
    """Write the page into a folder, which is made if needed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PAGE).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference"))
