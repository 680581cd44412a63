"""The CustomResourceDefinition, generated from the models.

`python -m biospark_operator.api.v1alpha1.crd` prints it; `crds/` holds the result and a test keeps both equal.
The work is turning pydantic's JSON schema into a structural schema: references inlined, no titles, no `anyOf`
with null, and only those defaults that the API server is meant to store.
"""

import sys
from typing import Any

import yaml

from biospark_operator.api.v1alpha1 import environment
from biospark_operator.api.v1alpha1.environment import BioSparkEnvironment
from biospark_operator.api.v1alpha1.model import Model
from biospark_operator.api.v1alpha1.spec import Profile, Spec
from biospark_operator.api.v1alpha1.status import Status

Schema = dict[str, Any]

HEADER = (
    "# Generated from the models in operator/biospark_operator/api/v1alpha1; do not edit.\n# To change it, change "
    "the models and run `make crd`.\n"
)

DROPPED = frozenset({"title", "default", "additionalProperties", "$defs", "const"})
"""Keywords of pydantic that a structural schema does not take, or takes only where this module adds them."""


def inlined(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema with everything it refers to put in place, at every depth."""
    result = _dereferenced(schema, definitions)
    children = {name: inlined(child, definitions) for name, child in result.get("properties", {}).items()}
    nested = {"properties": children} if children else {}
    for keyword in ("items", "additionalProperties"):
        if isinstance(child := result.get(keyword), dict):
            nested[keyword] = inlined(child, definitions)
    return result | nested


def _dereferenced(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema with references and "or null" resolved; what is written beside a reference wins."""
    while "$ref" in schema or _alternatives(schema):
        outer = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf"}}
        inner = definitions[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else _alternatives(schema)[0]
        schema = inner | outer
    return schema


def _alternatives(schema: Schema) -> list[Schema]:
    """The alternatives besides null; empty where null is not among them, as with int-or-string."""
    options: list[Schema] = schema.get("anyOf", [])
    return [option for option in options if option != {"type": "null"}] if {"type": "null"} in options else []


def structural(schema: Schema) -> Schema:
    """An inlined schema in the form that the API server accepts."""
    result = {key: value for key, value in schema.items() if key not in DROPPED}
    if "properties" in schema:
        result["properties"] = {name: structural(child) for name, child in schema["properties"].items()}
    if isinstance(values := schema.get("additionalProperties"), dict):
        result["additionalProperties"] = structural(values)
    if "items" in schema:
        result["items"] = _item(structural(schema["items"]), schema["x-kubernetes-list-type"])
    return dict(sorted(result.items(), key=lambda entry: _position(entry[0])))


def _item(schema: Schema, list_type: str) -> Schema:
    """Objects in a set are compared and replaced as a whole."""
    if list_type == "set" and schema["type"] == "object":
        return schema | {"x-kubernetes-map-type": "atomic"}
    return schema


def _position(keyword: str) -> tuple[int, str]:
    order = ("description", "type", "default", "required", "properties")
    return (order.index(keyword) if keyword in order else len(order), keyword)


def schema_of(model: type[Model]) -> Schema:
    """The schema of a model with everything inlined, defaults included."""
    schema = model.model_json_schema(by_alias=True)
    return inlined(schema, schema.get("$defs", {}))


def spec_schema() -> Schema:
    """The structural schema of `spec`, with the defaults that the API server stores."""
    schema = structural(schema_of(Spec) | _description("spec"))
    smallest = Spec(profile=Profile.DEVELOPMENT)
    defaults = smallest.model_dump(mode="json", by_alias=True, include=set(Spec.stored_defaults))
    for name, value in defaults.items():
        schema["properties"][name]["default"] = value
    return schema


def status_schema() -> Schema:
    """The structural schema of `status`; by its default a new resource is not taken for a processed one."""
    schema = structural(schema_of(Status) | _description("status"))
    return schema | {"default": {"observedGeneration": -1}}


def _description(part: str) -> Schema:
    return {"description": BioSparkEnvironment.model_fields[part].description}


def root_schema() -> Schema:
    """The structural schema of the whole resource."""
    return {
        "description": BioSparkEnvironment.__doc__,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"`{environment.API_VERSION}`."},
            "kind": {"type": "string", "description": f"`{environment.KIND}`."},
            # The bound is Kubernetes' own; it is repeated for the cost estimate of the rule on the name.
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}},
            "spec": spec_schema(),
            "status": status_schema(),
        },
        "x-kubernetes-validations": [rule.schema() for rule in BioSparkEnvironment.rules],
    }


def _column(name: str, path: str, description: str, *, kind: str = "string", wide: bool = False) -> Schema:
    column: Schema = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | {"priority": 1} if wide else column


def _of_ready(member: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{member}'


PRINTER_COLUMNS = [
    _column("Profile", ".spec.profile", "What the environment is for."),
    _column("Ready", _of_ready("status"), "Whether everything is as the spec wants it."),
    _column("Reason", _of_ready("reason"), "Why."),
    _column("Gates", ".status.gateSummary", "Quality gates passed or waived, of all."),
    _column("Age", ".metadata.creationTimestamp", "Time since creation.", kind="date"),
    _column("Host", ".spec.host", "Public name of the API.", wide=True),
    _column("Schema", ".status.database.schemaRevision", "Migration of the database schema.", wide=True),
    _column("Message", _of_ready("message"), "Why, in words.", wide=True),
]


def definition() -> Schema:
    """The CustomResourceDefinition."""
    version = {
        "name": environment.VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": PRINTER_COLUMNS,
        "schema": {"openAPIV3Schema": root_schema()},
        "subresources": {"status": {}},
    }
    names = {
        "kind": environment.KIND,
        "listKind": f"{environment.KIND}List",
        "plural": environment.PLURAL,
        "singular": environment.SINGULAR,
        "shortNames": [environment.SHORT_NAME],
        "categories": [environment.CATEGORY],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{environment.PLURAL}.{environment.GROUP}"},
        "spec": {"group": environment.GROUP, "names": names, "scope": "Cluster", "versions": [version]},
    }


class _Dumper(yaml.SafeDumper):
    """Writes shared values out each time: an anchor would be noise to readers and some tools."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def render() -> str:
    """The definition as YAML, with a header that says where it comes from."""
    return HEADER + yaml.dump(definition(), Dumper=_Dumper, sort_keys=False, width=110, allow_unicode=True)


if __name__ == "__main__":
    sys.stdout.write(render())
