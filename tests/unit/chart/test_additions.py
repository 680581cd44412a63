"""What users add to the chart's objects: labels, variables, volumes, objects. Nothing is ever there twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.chart.helm import Helm, HelmError
from tests.unit.chart.test_golden import SETS

SELECTED = ("app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/component")
AGAIN: dict[str, Any] = {
    "commonLabels": {"app.kubernetes.io/part-of": "clinic", "app.kubernetes.io/version": "7", "team": "platform"},
    "podLabels": {"app.kubernetes.io/part-of": "clinic", "team": "records"},
    "podAnnotations": {"checksum/config": "0"},
    "serviceMonitor": {"enabled": True, "labels": {"team": "monitoring", "app.kubernetes.io/part-of": "x"}},
}


def deployment(helm: Helm, values: dict[str, Any]) -> Any:
    return helm.manifest("Deployment", values=values)


def test_labels_that_are_given_again_are_there_once_and_the_users_win(helm: Helm) -> None:
    for manifest in helm.manifests(AGAIN):
        labels = manifest["metadata"]["labels"]
        assert labels["team"] == ("monitoring" if manifest["kind"] == "ServiceMonitor" else "platform")
    made = deployment(helm, AGAIN)
    assert made["metadata"]["labels"]["app.kubernetes.io/part-of"] == "clinic"
    assert made["metadata"]["labels"]["app.kubernetes.io/version"] == "7"
    assert made["spec"]["template"]["metadata"]["labels"]["team"] == "records"


def test_an_annotation_of_the_user_does_not_keep_new_settings_from_rolling_the_pods(helm: Helm) -> None:
    annotations = deployment(helm, AGAIN)["spec"]["template"]["metadata"]["annotations"]
    assert annotations["checksum/config"] != "0"


def test_a_new_version_of_the_chart_alone_does_not_change_the_labels_of_pods(helm: Helm) -> None:
    labels = deployment(helm, {})["spec"]["template"]["metadata"]["labels"]
    assert set(labels) == {*SELECTED, "app.kubernetes.io/part-of"}


@pytest.mark.parametrize("value", ["commonLabels", "podLabels"])
@pytest.mark.parametrize("label", SELECTED)
def test_labels_by_which_pods_are_found_are_not_the_users(helm: Helm, value: str, label: str) -> None:
    with pytest.raises(HelmError, match=f"remove {label}, by which the chart finds its pods"):
        helm.template({value: {label: "mine"}})


VOLUME = {"name": "authorities", "configMap": {"name": "corporate-authorities"}}
MOUNT = {"name": "authorities", "mountPath": "/etc/authorities", "readOnly": True}


@pytest.mark.parametrize(
    ("value", "item", "said"),
    [
        ("extraEnv", {"name": "BIOSPARK_OPERATOR_LOG_LEVEL", "value": "DEBUG"}, "BIOSPARK_OPERATOR_LOG_LEVEL"),
        ("extraEnv", {"name": "BIOSPARK_OPERATOR_NAMESPACE", "value": "x"}, "BIOSPARK_OPERATOR_NAMESPACE"),
        ("extraVolumes", {"name": "tmp", "emptyDir": {}}, "tmp"),
        ("extraVolumeMounts", {"name": "x", "mountPath": "/etc/biospark-operator"}, "/etc/biospark-operator"),
    ],
)
def test_what_the_chart_sets_itself_can_not_be_added(helm: Helm, value: str, item: Any, said: str) -> None:
    with pytest.raises(HelmError, match=f"{value}: remove {said}, which the chart sets itself"):
        helm.template({value: [item]})


@pytest.mark.parametrize(
    ("value", "item", "said"),
    [
        ("extraEnv", {"name": "A", "value": "1"}, "A"),
        ("extraVolumes", VOLUME, "authorities"),
        ("extraVolumeMounts", MOUNT, "/etc/authorities"),
    ],
)
def test_what_is_added_twice_is_refused(helm: Helm, value: str, item: Any, said: str) -> None:
    with pytest.raises(HelmError, match=f"{value}: {said} is listed twice; keep one"):
        helm.template({value: [item, item]})


def test_certificates_of_an_authority_can_be_mounted(helm: Helm) -> None:
    variable = {"name": "SSL_CERT_FILE", "value": "/etc/authorities/ca.crt"}
    values = {"extraVolumes": [VOLUME], "extraVolumeMounts": [MOUNT], "extraEnv": [variable]}
    pod = deployment(helm, values)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["volumes"][-1] == VOLUME
    assert container["volumeMounts"][-1] == MOUNT
    assert container["env"][-1] == variable


def test_more_objects_are_part_of_the_release_and_templates_in_them_are_rendered(helm: Helm) -> None:
    as_object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "{{ .Release.Name }}-more", "namespace": "{{ .Release.Namespace }}"},
    }
    as_text = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: text\n"
        '  labels:\n    {{- include "biospark-operator.labels" . | nindent 4 }}\n'
    )
    values = {"extraObjects": [as_object, as_text]}
    assert helm.manifest("ConfigMap", "biospark-operator-more", values)["metadata"]["namespace"] == "biospark-system"
    assert helm.manifest("ConfigMap", "text", values)["metadata"]["labels"]["app.kubernetes.io/part-of"] == "biospark"


@pytest.mark.parametrize("name", [*SETS, "again"])
def test_kustomize_takes_the_rendered_chart(helm: Helm, tmp_path: Path, name: str) -> None:
    """Flux passes what Helm renders through kustomize, which refuses a key or an object that is there twice."""
    (tmp_path / "all.yaml").write_text(helm.template({**SETS, "again": AGAIN}[name]))
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resources": ["all.yaml"]}))
    command = [str(Path(sys.prefix) / "bin" / "kubectl"), "kustomize", str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    assert "kind: Deployment" in built.stdout
