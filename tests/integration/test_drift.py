"""What others change about the objects of an environment: put back, named, left where it is theirs, and fought over."""

from __future__ import annotations

import json

import pytest

from tests.integration.conftest import Operated

pytestmark = pytest.mark.integration

POLICY = "networking.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"


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
