"""The operator's pods and what finds them: settings, security, probes, Service, policies."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from biospark_operator.api.platform import Platform
from tests.unit.chart.helm import Helm, Manifest

PLATFORM: dict[str, Any] = {
    "apiImage": "registry.example.com/biospark/biospark-api:1.0.0",
    "network": {"gateway": {"namespace": "kong", "podLabels": {"app": "kong"}}, "dnsPorts": [53]},
}


@pytest.fixture(scope="module")
def deployment(helm: Helm) -> Manifest:
    return helm.manifest("Deployment")


def test_the_operator_reads_the_platform_word_by_word(helm: Helm) -> None:
    settings = yaml.safe_load(helm.manifest("ConfigMap", values={"platform": PLATFORM})["data"]["settings.yaml"])
    assert settings == {"platform": PLATFORM}
    assert Platform.model_validate(settings["platform"]).api_image == PLATFORM["apiImage"]


def test_other_settings_roll_the_pods_and_the_same_do_not(helm: Helm) -> None:
    def checksum(platform: dict[str, Any]) -> str:
        pod = helm.manifest("Deployment", values={"platform": platform})["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/config"])

    assert checksum(PLATFORM) == checksum(PLATFORM)
    assert checksum(PLATFORM) != checksum({**PLATFORM, "drainSeconds": 9})


def test_a_digest_decides_over_the_tag(helm: Helm) -> None:
    image = {"repository": "registry.example.com/op", "tag": "1.2.3", "digest": "sha256:" + "0" * 64}
    pod = helm.manifest("Deployment", values={"image": image})["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == f"registry.example.com/op:1.2.3@sha256:{'0' * 64}"


def test_the_pods_satisfy_the_restricted_pod_security_standard(deployment: Manifest) -> None:
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert {next(iter(volume.keys() - {"name"})) for volume in pod["volumes"]} == {"configMap", "emptyDir"}


def test_the_cpu_is_not_limited(deployment: Manifest) -> None:
    resources = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources == {
        "requests": {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
        "limits": {"memory": "512Mi", "ephemeral-storage": "256Mi"},
    }


def test_services_of_the_namespace_do_not_become_settings(deployment: Manifest) -> None:
    """A Service `biospark-operator` would set BIOSPARK_OPERATOR_PORT."""
    assert deployment["spec"]["template"]["spec"]["enableServiceLinks"] is False


def test_the_pods_know_where_and_who_they_are(deployment: Manifest) -> None:
    environment = {entry["name"]: entry for entry in deployment["spec"]["template"]["spec"]["containers"][0]["env"]}
    fields = {
        name: entry["valueFrom"]["fieldRef"]["fieldPath"] for name, entry in environment.items() if "valueFrom" in entry
    }
    assert fields == {
        "BIOSPARK_OPERATOR_NAMESPACE": "metadata.namespace",
        "BIOSPARK_OPERATOR_POD_NAME": "metadata.name",
    }


def test_settings_are_where_the_variable_says(deployment: Manifest) -> None:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (file,) = (entry["value"] for entry in container["env"] if entry["name"] == "BIOSPARK_OPERATOR_CONFIG")
    (mount,) = (mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "settings")
    assert Path(file) == Path(mount) / "settings.yaml"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("Deployment", ("spec", "selector", "matchLabels")),
        ("Service", ("spec", "selector")),
        ("PodDisruptionBudget", ("spec", "selector", "matchLabels")),
        ("NetworkPolicy", ("spec", "podSelector", "matchLabels")),
    ],
)
def test_selectors_find_the_pods(helm: Helm, deployment: Manifest, kind: str, path: tuple[str, ...]) -> None:
    selector: Any = helm.manifest(kind)
    for key in path:
        selector = selector[key]
    assert selector.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_the_service_monitor_finds_the_service(helm: Helm) -> None:
    monitor = helm.manifest("ServiceMonitor", values={"serviceMonitor": {"enabled": True}})
    service = helm.manifest("Service")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {port["name"] for port in service["spec"]["ports"]} == {monitor["spec"]["endpoints"][0]["port"]}


def test_a_constraint_without_selector_spreads_the_operators_pods(helm: Helm, deployment: Manifest) -> None:
    zone = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    own = {**zone, "labelSelector": {"matchLabels": {"app": "x"}}}
    pod = helm.manifest("Deployment", values={"topologySpreadConstraints": [zone, own]})["spec"]["template"]["spec"]
    completed = {**zone, "labelSelector": deployment["spec"]["selector"]}
    assert pod["topologySpreadConstraints"] == [completed, own]


def test_egress_without_ports_is_not_allowed_at_all(helm: Helm) -> None:
    def ports(values: dict[str, Any]) -> set[int]:
        rules = helm.manifest("NetworkPolicy", values={"networkPolicy": values})["spec"]["egress"]
        return {port["port"] for rule in rules for port in rule["ports"]}

    assert ports({}) == {53, 443, 6443, 8443, 16443}
    assert ports({"egress": {"apiServer": {"ports": []}}}) == {53}


def test_no_namespace_may_connect_where_none_is_named(helm: Helm) -> None:
    policy = helm.manifest("NetworkPolicy", values={"networkPolicy": {"ingressNamespaces": []}})
    assert policy["spec"]["ingress"] == []
    assert "Ingress" in policy["spec"]["policyTypes"]


def test_the_notes_lead_to_a_first_environment_that_can_be_applied(helm: Helm, tmp_path: Path) -> None:
    notes = helm.notes(tmp_path)
    example = notes.split("<<EOF\n")[1].split("     EOF\n")[0]
    environment = yaml.safe_load(example)
    assert environment["kind"] == "BioSparkEnvironment"
    assert environment["spec"]["api"]["bootstrapAdmin"], "somebody has to log in"
    assert environment["spec"]["api"]["image"], "nothing else says which image: the platform is empty"


def test_the_notes_lead_through_the_database(helm: Helm, tmp_path: Path) -> None:
    notes = helm.notes(tmp_path)
    values = yaml.safe_load(notes.split("# platform.yaml\n")[1].split("\n\n")[0])
    assert Platform.model_validate(values["platform"]).database is not None
    assert f"create secret generic {values['platform']['database']['adminSecretRef']['name']}" in notes
    told = helm.notes(tmp_path / "told", values)
    assert "nobody can log in" in notes
    assert "nobody can log in" not in told
    assert "databases on 10.10.0.5" in told
    assert "which is empty" not in told
    alone = {"platform": values["platform"]}
    assert "networkPolicy.egress.database.cidrs, which is empty" in helm.notes(tmp_path / "alone", alone)


def test_the_notes_say_what_is_left_to_the_user(helm: Helm, tmp_path: Path) -> None:
    notes = helm.notes(tmp_path, {"platform": PLATFORM, "crd": {"install": False}, "rbac": {"create": False}})
    assert "crd.install is false" in notes
    assert "rbac.create is false" in notes
    assert "image:" not in notes
