"""Passes over environments on a real API server: ownership, drift, plan, prune, deletion."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest

from tests.integration.conftest import OPERATOR_NAMESPACE, Operated

pytestmark = pytest.mark.integration

POLICY = "networking.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"


async def test_everything_but_the_pods_is_there_after_one_pass(env: Operated) -> None:
    env.apply()
    await env.run()
    for condition in ("NamespaceReady", "AccessReady", "NetworkReady"):
        assert await env.told(condition) == ("True", "Succeeded"), await env.message(condition)
    deployment = await env.get("apps/v1", "Deployment", "biospark-api")
    assert deployment["metadata"]["ownerReferences"][0]["uid"] == (await env.body())["metadata"]["uid"]


async def test_pods_that_no_node_takes_are_explained(env: Operated) -> None:
    env.apply()
    await env.settle()
    assert (await env.told("WorkloadReady")) == ("False", "Unschedulable")
    assert "no nodes available" in await env.message("Ready")


@pytest.mark.parametrize("profile", ["Development", "Staging", "Production"])
async def test_an_unchanged_environment_is_never_written(env: Operated, profile: str) -> None:
    env.apply(profile=profile, network={"ingress": [{"name": "jobs", "namespace": "jobs"}]})
    await env.settle()
    before = await env.versions()
    env.memory = type(env.memory)()
    await env.run()
    assert await env.versions() == before
    assert "drift" not in await env.status()


@pytest.mark.parametrize(
    ("kind", "name", "patch"),
    [
        ("networkpolicy", "biospark-default-deny", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
        ("networkpolicy", "biospark-allow-dns", {"spec": {"egress": []}}),
        ("resourcequota", "biospark-quota", {"spec": {"hard": {"pods": "99"}}}),
        ("limitrange", "biospark-limits", {"spec": {"limits": []}}),
        ("role", "biospark-viewer", {"rules": []}),
        ("role", "biospark-viewer", {"metadata": {"labels": {"biospark.ai/environment": "other"}}}),
        ("serviceaccount", "biospark-api", {"automountServiceAccountToken": True}),
        ("service", "biospark-api", {"spec": {"selector": {"app": "other"}}}),
        ("deployment", "biospark-api", {"spec": {"progressDeadlineSeconds": 99}}),
    ],
)
async def test_a_field_that_somebody_changed_is_put_back_and_named(
    env: Operated, kind: str, name: str, patch: dict[str, object]
) -> None:
    env.apply()
    await env.settle()
    before = env.kubectl("get", kind, name, "-n", env.namespace, "-o", "jsonpath={.spec}{.rules}{.metadata.labels}")
    env.kubectl("patch", kind, name, "-n", env.namespace, "--type=merge", "-p", json.dumps(patch))
    await env.run()
    after = env.kubectl("get", kind, name, "-n", env.namespace, "-o", "jsonpath={.spec}{.rules}{.metadata.labels}")
    assert after == before
    drifted = [d["target"].rpartition("/")[2] for d in (await env.status()).get("drift", ())]
    # Drift is told of components that were ready; without a node the workload never is.
    assert drifted == ([] if kind in ("service", "deployment") else [name])


async def test_subjects_of_one_name_are_told_apart(env: Operated) -> None:
    subjects = [
        {"kind": "User", "name": "support"},
        {"kind": "Group", "name": "support"},
        {"kind": "ServiceAccount", "name": "default", "namespace": "a"},
        {"kind": "ServiceAccount", "name": "default", "namespace": "b"},
    ]
    env.apply(access={"bindings": [{"role": "Viewer", "subjects": subjects}]})
    await env.settle()
    assert await env.told("AccessReady") == ("True", "Succeeded")
    before = await env.versions()
    await env.run()
    assert await env.versions() == before
    assert "drift" not in await env.status()


async def test_a_namespace_on_its_way_out_is_waited_for_and_made_again(env: Operated) -> None:
    env.apply()
    await env.settle()
    held = ["configmap", "held", "-n", env.namespace]
    env.kubectl("create", *held)
    env.kubectl("patch", *held, "--type=merge", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    env.kubectl("delete", "namespace", env.namespace, "--wait=false")
    await env.run()
    assert await env.told("NamespaceReady") == ("False", "NamespaceTerminating")
    assert await env.told("Ready") == ("Unknown", "NamespaceTerminating")
    env.kubectl("patch", *held, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    env.kubectl("wait", "--for=delete", f"namespace/{env.namespace}", "--timeout=60s")
    await env.run()
    assert await env.told("NamespaceReady") == ("True", "Succeeded")


async def test_labels_that_others_add_stay(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("label", "namespace", env.namespace, "team=heart")
    env.kubectl("annotate", "deployment", "biospark-api", "-n", env.namespace, "note=seen")
    await env.run()
    assert env.kubectl("get", "ns", env.namespace, "-o", "jsonpath={.metadata.labels.team}") == "heart"
    assert "drift" not in await env.status()


async def test_an_object_that_lost_all_its_labels_is_still_ours_and_gets_them_back(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl(
        "patch", "role", "biospark-admin", "-n", env.namespace, "--type=merge", "-p", '{"metadata":{"labels":null}}'
    )
    await env.run()
    role = await env.get(RBAC, "Role", "biospark-admin")
    assert role["metadata"]["labels"]["biospark.ai/environment"] == env.name


async def test_a_deleted_object_comes_back(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("delete", "networkpolicy", "--all", "-n", env.namespace)
    await env.run()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-default-deny")
    assert await env.told("NetworkReady") == ("True", "Succeeded")


async def test_what_the_spec_no_longer_wants_is_pruned(env: Operated) -> None:
    env.apply(network={"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]})
    await env.settle()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-egress-labs")
    env.apply()
    await env.settle()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-egress-labs") is None
    env.apply(network={"isolation": "Disabled"})
    await env.settle()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-default-deny") is None
    assert await env.told("NetworkReady") is None
    assert not [e for e in (await env.status())["inventory"] if e["component"] == "network"]


async def test_mode_plan_writes_nothing_and_plans_what_apply_then_does(env: Operated) -> None:
    env.apply(mode="Plan")
    await env.run()
    planned = {a["target"] for a in (await env.status())["plan"]["actions"]}
    assert env.kubectl("get", "ns", env.namespace, "--ignore-not-found") == ""
    assert await env.told("Ready") == ("Unknown", "PlanOnly")
    env.apply(mode="Apply")
    await env.run()
    assert {e["id"] for e in (await env.status())["inventory"]} == planned
    assert "plan" not in await env.status()


async def test_mode_plan_finds_drift_and_leaves_it(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.apply(mode="Plan")
    await env.run()
    env.kubectl("delete", "role", "biospark-viewer", "-n", env.namespace)
    await env.run()
    assert await env.get(RBAC, "Role", "biospark-viewer") is None
    assert [a["target"] for a in (await env.status())["plan"]["actions"]] == [
        f"{RBAC} Role {env.namespace}/biospark-viewer"
    ]


async def test_a_foreign_namespace_is_refused_and_left_alone_until_adoption_is_allowed(env: Operated) -> None:
    env.kubectl("create", "namespace", env.namespace)
    env.apply()
    await env.run()
    assert await env.told("Ready") == ("False", "NotOwned")
    assert await env.told("Stalled") == ("True", "NotOwned")
    assert "adoptionPolicy: IfUnowned" in await env.message("Stalled")
    assert env.kubectl("get", "ns", env.namespace, "-o", "jsonpath={.metadata.ownerReferences}") == ""
    assert env.kubectl("get", "quota,limitrange,role,netpol,deploy", "-n", env.namespace, "-o", "name") == ""
    env.apply(adoptionPolicy="IfUnowned")
    await env.run()
    assert await env.told("NamespaceReady") == ("True", "Succeeded")
    await env.run()
    assert await env.told("AccessReady") == ("True", "Succeeded")


async def test_two_environments_that_want_one_namespace(operate: Callable[[], Operated]) -> None:
    first, second = operate(), operate()
    first.apply()
    await first.settle()
    second.apply(namespace={"name": first.namespace})
    await second.run()
    assert await second.told("Stalled") == ("True", "NamespaceConflict")
    assert first.name in await second.message("Stalled")
    await first.run()
    assert await first.told("NamespaceReady") == ("True", "Succeeded")
    await second.torn_down()
    assert await first.get("apps/v1", "Deployment", "biospark-api")


async def test_another_manager_of_a_field_of_an_adopted_object_is_named(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("delete", "service", "biospark-api", "-n", env.namespace)
    foreign = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "biospark-api", "namespace": env.namespace},
        "spec": {"selector": {"app": "old"}, "ports": [{"port": 80, "targetPort": 1234}]},
    }
    env.kubectl("apply", "--server-side", "--field-manager=helm", "-f", "-", input=json.dumps(foreign))
    env.apply(adoptionPolicy="IfUnowned")
    await env.run()
    assert await env.told("WorkloadReady") == ("False", "FieldConflict")
    message = await env.message("WorkloadReady")
    assert "helm" in message
    assert "spec.selector" in message


def _docker_config(password: str) -> str:
    auth = base64.b64encode(f"robot:{password}".encode()).decode()
    return json.dumps({"auths": {"registry.example": {"username": "robot", "password": password, "auth": auth}}})


async def test_the_pull_secret_is_copied_and_followed_and_its_content_stays_secret(env: Operated) -> None:
    source = f"pull-{env.name}"
    env.apply(registry={"pullSecretRef": {"name": source}})
    await env.run()
    assert await env.told("Stalled") == ("True", "PullSecretNotFound")
    assert source in await env.message("Stalled")

    def write(password: str) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": source, "namespace": OPERATOR_NAMESPACE},
            "stringData": {".dockerconfigjson": _docker_config(password)},
        }
        env.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(secret))

    try:
        for password in ("planted-one", "planted-two"):
            write(password)
            await env.run()
            assert await env.told("RegistryReady") == ("True", "Succeeded")
            copied = await env.get("v1", "Secret", "biospark-registry")
            assert password in base64.b64decode(copied["data"][".dockerconfigjson"]).decode()
            account = await env.get("v1", "ServiceAccount", "biospark-api")
            assert account["imagePullSecrets"] == [{"name": "biospark-registry"}]
        told = json.dumps(await env.body()) + env.kubectl("get", "events", "-n", "default", "-o", "json")
        assert "planted" not in told
        assert base64.b64encode(b"planted").decode()[:8] not in told
    finally:
        env.kubectl("delete", "secret", source, "-n", OPERATOR_NAMESPACE, "--ignore-not-found")


async def test_deletion_leaves_nothing(env: Operated) -> None:
    env.apply()
    await env.settle()
    await env.torn_down()
    assert env.kubectl("get", "ns", env.namespace, "--ignore-not-found") == ""


async def test_deletion_waits_for_a_foreign_finalizer_and_names_it(env: Operated) -> None:
    env.apply()
    await env.settle()
    path = ["configmap", "held", "-n", env.namespace]
    env.kubectl("create", *path)
    env.kubectl("patch", *path, "--type=merge", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    with pytest.raises(TimeoutError, match=r"example\.com/hold"):
        await env.torn_down(seconds=20)
    assert await env.told("Ready") == ("False", "Deleting")
    env.kubectl("patch", *path, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await env.torn_down()


async def test_the_status_is_one_that_the_models_know(env: Operated) -> None:
    from biospark_operator.api.v1alpha1 import parse_environment

    env.apply()
    await env.run()
    parsed = parse_environment(await env.body())
    assert parsed.status.namespace == env.namespace
