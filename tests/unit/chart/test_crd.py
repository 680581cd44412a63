"""The definition of environments that the chart installs is the generated one, and survives the release."""

import yaml

from tests.unit.chart.helm import CHART, ROOT, Helm

NAME = "biosparkenvironments.biospark.ai"
GENERATED = ROOT / "crds" / "biospark.ai_biosparkenvironments.yaml"


def test_the_copy_in_the_chart_is_the_generated_definition() -> None:
    copy = CHART / "files" / GENERATED.name
    assert copy.read_text() == GENERATED.read_text(), "run `make crd`"


def test_helm_changes_nothing_in_the_definition(helm: Helm) -> None:
    generated = yaml.safe_load(GENERATED.read_text())
    rendered = helm.manifest("CustomResourceDefinition", NAME)
    assert rendered["metadata"]["name"] == generated["metadata"]["name"]
    assert {key: rendered[key] for key in generated if key != "metadata"} == {
        key: value for key, value in generated.items() if key != "metadata"
    }


def test_uninstalling_keeps_the_definition_and_with_it_the_environments(helm: Helm) -> None:
    rendered = helm.manifest("CustomResourceDefinition", NAME)
    assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_definition_can_be_left_to_others(helm: Helm) -> None:
    kinds = {manifest["kind"] for manifest in helm.manifests({"crd": {"install": False}})}
    assert "CustomResourceDefinition" not in kinds
    assert "Deployment" in kinds


def test_nothing_is_in_the_folder_that_helm_never_upgrades() -> None:
    assert not (CHART / "crds").exists()
