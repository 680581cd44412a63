"""The chart as a dependency of an umbrella chart: its condition, its names, and what all charts in it are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.chart.helm import Helm, HelmError

NAME = "biospark-operator"


def pod(manifests: Any) -> Any:
    (deployment,) = (manifest for manifest in manifests if manifest["kind"] == "Deployment")
    return deployment["spec"]["template"]["spec"]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_condition_turns_it_on_and_off(helm: Helm, tmp_path: Path, enabled: bool) -> None:
    manifests = helm.within(tmp_path, {NAME: {"enabled": enabled}})
    assert {manifest["kind"] for manifest in manifests} >= {"Deployment", "CustomResourceDefinition"} or not enabled
    assert bool(manifests) is enabled


def test_values_are_under_its_name_and_are_checked_there(helm: Helm, tmp_path: Path) -> None:
    platform = {"apiImage": "registry.example.com/api:1"}
    manifests = helm.within(tmp_path, {NAME: {"platform": platform}})
    (settings,) = (m["data"]["settings.yaml"] for m in manifests if m["kind"] == "ConfigMap")
    assert platform["apiImage"] in settings
    with pytest.raises(HelmError, match="additional properties 'replica' not allowed"):
        helm.within(tmp_path / "wrong", {NAME: {"replica": 3}})


@pytest.mark.parametrize(
    ("alias", "release", "name"),
    [(None, "clinic", f"clinic-{NAME}"), ("ops", "clinic", "clinic-ops"), (None, "007", f"007-{NAME}")],
)
def test_names_are_those_of_the_release_and_selectors_find_the_pods(
    helm: Helm, tmp_path: Path, alias: str | None, release: str, name: str
) -> None:
    manifests = helm.within(tmp_path, {}, alias=alias, release=release)
    (deployment,) = (manifest for manifest in manifests if manifest["kind"] == "Deployment")
    assert (deployment["metadata"]["name"], deployment["metadata"]["namespace"]) == (name, "clinics")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert all(isinstance(value, str) for value in labels.values())


@pytest.mark.parametrize(
    ("repository", "image"),
    [
        ("biospark-operator", "mirror.example/biospark-operator:1"),
        ("biospark/biospark-operator", "mirror.example/biospark/biospark-operator:1"),
        ("registry.example.com/biospark/operator", "mirror.example/biospark/operator:1"),
        ("localhost:5000/operator", "mirror.example/operator:1"),
    ],
)
def test_the_registry_of_all_charts_takes_the_place_of_its_own(
    helm: Helm, tmp_path: Path, repository: str, image: str
) -> None:
    values = {"global": {"imageRegistry": "mirror.example"}, NAME: {"image": {"repository": repository, "tag": "1"}}}
    assert pod(helm.within(tmp_path, values))["containers"][0]["image"] == image


@pytest.mark.parametrize("form", [["mirror", "own"], [{"name": "mirror"}, {"name": "own"}]], ids=["names", "objects"])
def test_pull_secrets_of_all_charts_come_first_and_each_is_there_once(helm: Helm, tmp_path: Path, form: Any) -> None:
    values = {
        "global": {"imagePullSecrets": form, "storageClass": "fast"},
        NAME: {"imagePullSecrets": [{"name": "own"}, {"name": "more"}]},
    }
    manifests = helm.within(tmp_path, values)
    secrets = [{"name": "mirror"}, {"name": "own"}, {"name": "more"}]
    assert pod(manifests)["imagePullSecrets"] == secrets
    (test,) = (manifest for manifest in manifests if manifest["kind"] == "Pod")
    assert test["spec"]["imagePullSecrets"] == secrets
