"""The API's Deployment and what goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components.handover import DATABASE_LOGIN
from biospark_operator.components.secrets.store import KubernetesSecrets
from biospark_operator.components.workload import component as workload
from biospark_operator.engine import status
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked, Ready
from biospark_operator.objects.component import ObjectsComponent, Seen
from biospark_operator.objects.ownership import marked
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment
from tests.unit.components import rollouts
from tests.unit.objects.test_objects import Cluster as Applied

AUTOSCALING = {"autoscaling": {"minReplicas": 2, "maxReplicas": 5}}


def objects(env: Environment, platform: Platform | None = None) -> Mapping[str, Manifest]:
    """Return what is built, by kind."""
    return {manifest["kind"]: manifest for manifest in workload.build(env, platform or Platform())}


def pod_of(env: Environment, platform: Platform | None = None) -> Mapping[str, Any]:
    """Return the specification of the pods."""
    spec: Mapping[str, Any] = objects(env, platform)["Deployment"]["spec"]["template"]["spec"]
    return spec


def settings(env: Environment, platform: Platform | None = None) -> dict[str, str]:
    """Return the environment variables of the API."""
    return {item["name"]: item["value"] for item in pod_of(env, platform)["containers"][0]["env"]}


def test_the_user_and_the_groups_are_those_of_the_image() -> None:
    context = pod_of(environment())["securityContext"]
    assert context == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


@pytest.mark.parametrize("assigned", [{}, {"fsGroup": 2000}, {"runAsUser": 1001, "runAsGroup": 1001}])
def test_a_platform_that_assigns_users_and_groups_is_asked_for_none(assigned: dict[str, int]) -> None:
    platform = Platform.model_validate({"podSecurityContext": assigned})
    context = pod_of(environment(), platform)["securityContext"]
    assert context == {"runAsNonRoot": True, **assigned, "seccompProfile": {"type": "RuntimeDefault"}}


def test_the_platform_says_which_nodes_the_pods_may_run_on() -> None:
    tolerations = [
        {"key": "dedicated", "operator": "Equal", "value": "records", "effect": "NoSchedule"},
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    ]
    platform = Platform.model_validate({"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": tolerations})
    pod = pod_of(environment(), platform)
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["tolerations"] == tolerations
    assert not {"nodeSelector", "tolerations"} & pod_of(environment()).keys()


@pytest.mark.parametrize(
    ("profile", "wanted", "keys"),
    [
        ("Development", [], []),
        ("Production", [], ["kubernetes.io/hostname"]),
        ("Development", ["topology.kubernetes.io/zone"], ["topology.kubernetes.io/zone"]),
        (
            "Production",
            ["topology.kubernetes.io/zone"],
            ["topology.kubernetes.io/zone", "kubernetes.io/hostname"],
        ),
        ("Production", ["kubernetes.io/hostname"], ["kubernetes.io/hostname"]),
    ],
)
def test_the_platform_says_how_the_pods_are_spread(profile: str, wanted: list[str], keys: list[str]) -> None:
    constraints = [{"topologyKey": key, "whenUnsatisfiable": "DoNotSchedule"} for key in wanted]
    platform = Platform.model_validate({"topologySpreadConstraints": constraints})
    built = pod_of(environment(profile=profile), platform).get("topologySpreadConstraints", [])
    assert [constraint["topologyKey"] for constraint in built] == keys
    for constraint in built:
        demanded = "DoNotSchedule" if constraint["topologyKey"] in wanted else "ScheduleAnyway"
        assert (constraint["maxSkew"], constraint["whenUnsatisfiable"]) == (1, demanded)
        assert constraint["labelSelector"] == objects(environment())["Deployment"]["spec"]["selector"]


def test_the_api_listens_and_is_reached_by_addresses_of_both_families() -> None:
    assert settings(environment())["BIOSPARK_HOST"] == "::"
    assert objects(environment())["Service"]["spec"]["ipFamilyPolicy"] == "PreferDualStack"


def test_a_fixed_number_of_replicas_is_the_deployments() -> None:
    built = objects(environment(api={"replicas": 4}))
    assert built["Deployment"]["spec"]["replicas"] == 4
    assert "HorizontalPodAutoscaler" not in built


def test_beside_an_autoscaler_the_deployment_has_no_number_of_replicas() -> None:
    built = objects(environment(api=AUTOSCALING))
    assert "replicas" not in built["Deployment"]["spec"]
    autoscaler = built["HorizontalPodAutoscaler"]["spec"]
    assert (autoscaler["minReplicas"], autoscaler["maxReplicas"]) == (2, 5)
    assert autoscaler["scaleTargetRef"]["name"] == built["Deployment"]["metadata"]["name"]


def live_deployment(env: Environment, replicas: int, owner: str) -> Manifest:
    """Return a Deployment whose number of replicas `owner` set."""
    manifest = workload.with_replicas(marked(objects(env)["Deployment"], env, "workload"), replicas)
    ours: dict[str, Any] = {"f:spec": {"f:minReadySeconds": {}}}
    theirs: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
    fields = [
        {"manager": "biospark-operator", "operation": "Apply", "fieldsV1": ours},
        {"manager": "kube-controller-manager", "operation": "Update", "subresource": "scale", "fieldsV1": theirs},
    ]
    if owner == "operator":
        fields = [{**fields[0], "fieldsV1": {"f:spec": {**ours["f:spec"], **theirs["f:spec"]}}}]
    return {**manifest, "metadata": {**manifest["metadata"], "managedFields": fields}}


@pytest.mark.parametrize(
    ("replicas", "owner", "applied"),
    [(None, "", 2), (3, "operator", 3), (4, "autoscaler", None)],
    ids=["new", "autoscaling turned on", "scaled"],
)
async def test_turning_autoscaling_on_never_drops_replicas(
    replicas: int | None, owner: str, applied: int | None
) -> None:
    env = environment(api=AUTOSCALING)
    cluster = FakeCluster(*([] if replicas is None else [live_deployment(env, replicas, owner)]))
    seen = await component_on(cluster).observe(env)
    deployment = next(manifest for manifest in seen.desired.values() if manifest["kind"] == "Deployment")
    assert deployment["spec"].get("replicas") == applied


async def test_a_missing_image_needs_a_human_and_takes_nothing_away() -> None:
    env = environment(image=None)
    component = component_on(FakeCluster())
    assert component.targets(env) == component.targets(environment())
    refused = component.refuse(env, await component.observe(env))
    assert isinstance(refused, Blocked)
    assert refused.reason == Reason.PLATFORM_SETTING_MISSING
    assert "set spec.api.image, or platform.apiImage" in refused.message


def test_the_api_learns_its_place_from_its_settings() -> None:
    assert settings(environment("staging", profile="Staging")) == {
        "BIOSPARK_ENVIRONMENT": "staging",
        "BIOSPARK_PUBLIC_URL": "https://api.staging.biospark.example",
        "BIOSPARK_HOST": "::",
        "BIOSPARK_PORT": "8080",
        "BIOSPARK_METRICS_PORT": "9090",
        "BIOSPARK_LOG_LEVEL": "info",
        "BIOSPARK_DRAIN_SECONDS": "5",
        "BIOSPARK_SHUTDOWN_SECONDS": "20",
    }


def test_the_api_accepts_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    from biospark_api.settings import load_settings

    for name, value in settings(environment()).items():
        monkeypatch.setenv(name, value)
    assert load_settings().environment == "dev"


def test_without_a_host_there_is_no_public_address() -> None:
    env = environment(host=None, gateway={"provider": "None"})
    assert "BIOSPARK_PUBLIC_URL" not in settings(env)
    component = component_on(FakeCluster())
    facts = component.facts(env, Seen({}, {}))
    assert facts == {"endpoints": {"internal": "http://biospark-api.biospark-dev.svc"}}


def test_the_status_tells_both_addresses() -> None:
    facts = component_on(FakeCluster()).facts(environment(), Seen({}, {}))
    assert facts["endpoints"] == {
        "public": "https://api.dev.biospark.example",
        "internal": "http://biospark-api.biospark-dev.svc",
    }


def test_a_stopping_replica_gets_longer_than_it_needs() -> None:
    platform = Platform(drain_seconds=30, shutdown_seconds=60)
    found = settings(environment(), platform)
    assert (found["BIOSPARK_DRAIN_SECONDS"], found["BIOSPARK_SHUTDOWN_SECONDS"]) == ("30", "60")
    assert pod_of(environment(), platform)["terminationGracePeriodSeconds"] > 90


def test_a_changed_setting_changes_the_pods() -> None:
    one, other = environment(host="a.example"), environment(host="b.example")
    assert pod_of(one) != pod_of(other)


def test_resources_of_the_environment_reach_the_container() -> None:
    env = environment(api={"resources": {"requests": {"cpu": "200m"}, "limits": {"cpu": "1", "memory": "1Gi"}}})
    assert pod_of(env)["containers"][0]["resources"] == {
        "requests": {"cpu": "200m", "memory": "128Mi", "ephemeral-storage": "64Mi"},
        "limits": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "256Mi"},
    }


@pytest.mark.parametrize(("profile", "spread"), [("Development", False), ("Staging", False), ("Production", True)])
def test_production_is_spread_and_disrupted_one_by_one(profile: str, spread: bool) -> None:
    env = environment(profile=profile)
    assert ("topologySpreadConstraints" in pod_of(env)) is spread
    assert ("PodDisruptionBudget" in objects(env)) is spread


def test_the_platform_chooses_pull_policy_and_priority() -> None:
    platform = Platform.model_validate({"imagePullPolicy": "Never", "priorityClassName": "important"})
    pod = pod_of(environment(), platform)
    assert (pod["containers"][0]["imagePullPolicy"], pod["priorityClassName"]) == ("Never", "important")
    assert "priorityClassName" not in pod_of(environment())


@pytest.mark.parametrize("profile", ["Development", "Staging", "Production"])
def test_pods_fit_the_level_restricted_in_every_profile(profile: str) -> None:
    pod = pod_of(environment(profile=profile))
    container = pod["containers"][0]["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def test_service_disruption_budget_and_policies_mean_the_pods_of_the_deployment() -> None:
    built = objects(environment(profile="Production"))
    labels = built["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert built["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert built["Service"]["spec"]["selector"].items() <= labels.items()
    assert built["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    names = {port["name"] for port in pod_of(environment())["containers"][0]["ports"]}
    assert {port["targetPort"] for port in built["Service"]["spec"]["ports"]} == names


APP_SECRET, ROTATED_AT = DATABASE_LOGIN.credential, DATABASE_LOGIN.annotation


def component_on(cluster: FakeCluster) -> ObjectsComponent:
    return workload.component(cluster, Platform(), KubernetesSecrets(cluster, "database"))


def with_database() -> Environment:
    return environment(database={"server": {"host": "db.example", "adminSecretRef": {"name": "admin"}}})


def secret(rotated_at: str) -> Manifest:
    metadata = {"name": APP_SECRET, "namespace": "biospark-dev", "annotations": {DATABASE_LOGIN.annotation: rotated_at}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata}


@pytest.mark.parametrize(("name", "secret"), [("database", APP_SECRET), ("secrets", "biospark-api")])
def test_the_pods_have_their_secrets_where_there_is_a_database(name: str, secret: str) -> None:
    mounts = pod_of(with_database())["containers"][0]["volumeMounts"]
    assert {"name": name, "mountPath": f"/etc/biospark/{name}", "readOnly": True} in mounts
    mounted = {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}
    assert mounted in pod_of(with_database())["volumes"]
    assert name not in str(pod_of(environment())["volumes"])


async def test_a_new_signing_key_leaves_the_pods_as_they_are() -> None:
    env = with_database()
    one, other = (
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "data": {"token-key.pem": text},
            "metadata": {"name": "biospark-api", "namespace": "biospark-dev"},
        }
        for text in ("b25l", "b3RoZXI=")
    )
    cluster = Applied(one)
    component = component_on(cluster)
    for action in component.plan(env, await component.observe(env)):
        await component.apply(env, action)
    await cluster.apply(other, force=True)
    assert component.plan(env, await component.observe(env)) == []


async def test_new_credentials_replace_the_pods_and_that_is_no_repair() -> None:
    env, cluster = with_database(), Applied(secret("2026-01-01T00:00:00Z"))
    component = component_on(cluster)
    for action in component.plan(env, await component.observe(env)):
        await component.apply(env, action)
    assert component.plan(env, await component.observe(env)) == []
    await cluster.apply(secret("2026-02-01T00:00:00Z"), force=True)
    (rotation,) = component.plan(env, await component.observe(env))
    assert rotation.routine
    await component.apply(env, rotation)
    live: Any = next(found for ref, found in cluster.objects.items() if ref.kind == "Deployment")
    assert live["spec"]["template"]["metadata"]["annotations"] == {DATABASE_LOGIN.annotation: "2026-02-01T00:00:00Z"}
    live["spec"]["replicas"] = 7
    (repair,) = component.plan(env, await component.observe(env))
    assert not repair.routine


@pytest.mark.parametrize("server", [None, {"host": "db.example", "adminSecretRef": {"name": "admin"}}])
def test_who_reads_that_all_is_ready_learns_that_nobody_can_log_in(server: dict[str, Any] | None) -> None:
    env = environment(database={"server": server} if server else {})
    component = component_on(FakeCluster())
    live = rollouts.deployment(available=1)
    live["spec"] |= {"template": {"spec": {"containers": []}}}
    ref = ObjectRef.of(live)
    outcome = component.assess(
        env, Seen({ref: live}, {ref: live}, [*rollouts.VERSIONS, rollouts.serving(rollouts.NEW)])
    )
    assert isinstance(outcome, Ready)
    (ready,) = status.overall({"workload": outcome})
    assert (ready.status, ready.reason) == ("True", "Succeeded")
    assert ("nobody can log in" in ready.message) is (server is None)
    assert ("spec.database.server" in ready.message) is (server is None)
