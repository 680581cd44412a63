"""Values: what is refused and how that reads, and that each is described and can be set."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.unit.chart.helm import CHART, Helm, HelmError
from tests.unit.chart.values_table import OPEN, described_values

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"replica": 2}, "additional properties 'replica' not allowed"),
    ({"replicas": "two"}, "at '/replicas': got string, want integer"),
    ({"replicas": -1}, "at '/replicas': minimum"),
    ({"logLevel": "verbose"}, "at '/logLevel': value must be one of 'DEBUG', 'INFO', 'WARNING', 'ERROR'"),
    ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
    ({"image": {"name": "x"}}, "at '/image': additional properties 'name' not allowed"),
    ({"platform": ["apiImage"]}, "at '/platform': got array, want object"),
    ({"crd": {"install": "yes"}}, "at '/crd/install': got string, want boolean"),
    ({"resources": {"limits": {"memory": "512 MB"}}}, "at '/resources/limits/memory': '512 MB' does not match"),
    ({"networkPolicy": {"egress": {"redis": {}}}}, "at '/networkPolicy/egress': additional properties 'redis'"),
    (
        {"networkPolicy": {"egress": {"apiServer": {"ports": [0]}}}},
        "at '/networkPolicy/egress/apiServer/ports/0': minimum",
    ),
    ({"networkPolicy": {"egress": {"apiServer": {"cidrs": ["api"]}}}}, "'api' does not match pattern"),
    ({"networkPolicy": {"dns": {"ports": []}}}, "at '/networkPolicy/dns/ports': minItems"),
    ({"podSecurityContext": {"runAsNonRoot": False}}, "at '/podSecurityContext/runAsNonRoot': value must be true"),
    ({"podSecurityContext": {"runAsUser": 0}}, "at '/podSecurityContext/runAsUser': minimum"),
    ({"extraEnv": [{"value": "x"}]}, "at '/extraEnv/0': missing property 'name'"),
    ({"serviceAccount": {"create": False}}, "serviceAccount.name: name an existing ServiceAccount"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=lambda part: part if isinstance(part, str) else "")
def test_wrong_values_are_refused_with_their_path(helm: Helm, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HelmError) as refusal:
        helm.template(values)
    assert message in str(refusal.value)


def test_an_older_kubernetes_is_refused(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"requires kubeVersion: >= 1\.33\.0-0"):
        helm.template(kubernetes="1.32.9")


def test_a_vendors_version_of_kubernetes_is_accepted(helm: Helm) -> None:
    assert helm.manifests(kubernetes="1.33.4-eks-a737599")


def test_the_chart_can_be_a_dependency_of_another(helm: Helm) -> None:
    assert helm.manifests({"global": {"anything": 1}})


def test_every_value_has_a_comment() -> None:
    undescribed = [value.path for value in described_values() if not value.description]
    assert undescribed == []


def test_the_table_of_values_in_the_readme_is_current() -> None:
    missing = [value.row() for value in described_values() if value.row() not in (CHART / "README.md").read_text()]
    assert missing == [], "run `python -m tests.unit.chart.values_table`"


def test_values_and_schema_have_the_same_keys() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    optional = {"enabled", "affinity", "resources"}  # more may be set than the defaults show
    in_schema = {path for path in schema_paths(schema, schema["definitions"]) if path.split(".")[0] not in optional}
    in_values = {path for path in value_paths(values) if path.split(".")[0] not in optional}
    assert in_schema == in_values


def schema_paths(schema: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, given in schema["properties"].items():
        child = definitions[given["$ref"].rpartition("/")[2]] if "$ref" in given else given
        path = f"{prefix}{name}"
        if "properties" in child and path not in OPEN:
            yield from schema_paths(child, definitions, f"{path}.")
        else:
            yield path


def value_paths(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and path not in OPEN:
            yield from value_paths(value, f"{path}.")
        else:
            yield path
