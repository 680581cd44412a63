"""The oldest Kubernetes that is promised accepts the definition and the policies: its own validation says so.

Newer versions take rules to cost less, so what the others accept it may refuse; a local cluster would not show it.
"""

import re
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import yaml

from dev.cluster import programs
from tests.unit.chart.helm import CHART, ROOT, Helm

DEFINITION = CHART / "files" / "biospark.ai_biosparkenvironments.yaml"
Refusals = Callable[[str], list[str]]


@pytest.fixture(scope="session")
def refusals() -> Refusals:
    """The lines in which the oldest API server would refuse manifests; raises where it can't read them."""
    program = programs.path("validate-definitions")

    def validate(manifests: str) -> list[str]:
        done = subprocess.run([program], input=manifests, capture_output=True, text=True, check=False)
        if done.stderr or done.returncode not in (0, 1):
            raise AssertionError(done.stderr)
        return done.stdout.splitlines()

    return validate


def test_the_definition_is_accepted(refusals: Refusals) -> None:
    assert refusals(DEFINITION.read_text()) == []


def test_the_definition_and_the_admission_policies_of_the_chart_are_accepted(helm: Helm, refusals: Refusals) -> None:
    rendered = helm.template(kubernetes=f"{oldest()}.0")
    kinds = {manifest["kind"] for manifest in yaml.safe_load_all(rendered) if manifest}
    assert kinds >= {"CustomResourceDefinition", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    assert refusals(rendered) == []


def broken(change: Callable[[Mapping[str, Any]], None]) -> str:
    definition = yaml.safe_load(DEFINITION.read_text())
    change(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])
    return yaml.safe_dump(definition)


def test_a_rule_that_could_cost_too_much_is_found(refusals: Refusals) -> None:
    def unbound(spec: Mapping[str, Any]) -> None:
        spec["api"]["properties"]["resources"]["properties"]["requests"]["maxProperties"] = 1000

    assert any("cost exceeds budget" in line for line in refusals(broken(unbound)))


def test_a_rule_that_does_not_compile_is_found(refusals: Refusals) -> None:
    def misspell(spec: Mapping[str, Any]) -> None:
        spec["api"]["x-kubernetes-validations"][0]["rule"] = "isWhatever(self.image)"

    assert any("undeclared reference to 'isWhatever'" in line for line in refusals(broken(misspell)))


def test_a_policy_that_does_not_compile_is_found(helm: Helm, refusals: Refusals) -> None:
    policies = [item for item in helm.manifests() if item["kind"] == "ValidatingAdmissionPolicy"]
    for policy in policies:
        policy["spec"]["validations"][0]["expression"] = "oldObject.+"
    assert policies
    found = refusals(yaml.safe_dump_all(policies))
    assert sum("compilation failed" in line for line in found) == len(policies)


# One version is promised everywhere


def oldest() -> str:
    """The oldest minor version that the local cluster is pinned to, and thereby tested with."""
    versions = [programs.minor(group) for group in programs.kubernetes_groups()]
    return min(versions, key=lambda version: [int(part) for part in version.split(".")])


def test_validation_is_that_of_the_oldest_version() -> None:
    assert programs.minor("validation") == oldest()


def test_the_chart_requires_the_oldest_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">= {oldest()}.0-0"


@pytest.mark.parametrize("page", ["README.md", "docs/install.md", "docs/reference/environment.md"])
def test_the_documentation_promises_the_oldest_version(page: str) -> None:
    promised = re.findall(r"Kubernetes (1\.\d+) or newer", (ROOT / page).read_text())
    assert promised
    assert set(promised) == {oldest()}


def test_the_documentation_names_the_versions_that_are_tested() -> None:
    page = (ROOT / "docs" / "install.md").read_text()
    for group in programs.kubernetes_groups():
        assert re.search(rf"\b{re.escape(programs.minor(group))}\b", page)
