"""Deletion in the foreground, in the background, and with orphans, as a real garbage collector carries it out.

The operator is down but for the passes that a test asks for.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.environment import FINALIZER
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from tests.integration.conftest import OPERATOR_NAMESPACE, Operated
from tests.integration.test_deletion import until
from tests.operator_process import COLLECTED

pytestmark = pytest.mark.integration

HOLDS: list[dict[str, Any]] = [{"suspend": True}, {"deletionProtection": True}]
#: The finalizer by which the garbage collector remembers what it was asked, by way of deletion.
REMEMBERED = {"foreground": "foregroundDeletion", "orphan": "orphan"}


async def objects(env: Operated) -> dict[str, Manifest | None]:
    """Return everything that was made for an environment, by id."""
    return {entry["id"]: await env.client.get(ObjectRef.parse(entry["id"])) for entry in await inventory(env)}


async def inventory(env: Operated) -> list[Any]:
    found: list[Any] = (await env.status())["inventory"]
    return found


async def deleted(env: Operated, cascade: str) -> None:
    """Delete an environment, and return when the garbage collector has done its part."""
    env.kubectl("delete", "bse", env.name, f"--cascade={cascade}", "--wait=false")

    async def collected() -> bool:
        metadata = (await env.body())["metadata"]
        return "deletionTimestamp" in metadata and REMEMBERED.get(cascade) not in metadata["finalizers"]

    await until(collected, env.body, COLLECTED)


def trace(env: Operated) -> ObjectRef:
    name = f"biospark-environment-{env.name}"
    return ObjectRef("rbac.authorization.k8s.io/v1", "Role", OPERATOR_NAMESPACE, name)


@pytest.mark.parametrize("hold", HOLDS, ids=str)
@pytest.mark.parametrize("cascade", ["foreground", "background", "orphan"])
async def test_nothing_goes_before_the_operator_says_so(env: Operated, cascade: str, hold: dict[str, Any]) -> None:
    env.apply()
    await env.settle()
    before = await env.versions()
    env.apply(**hold)
    await deleted(env, cascade)
    assert not (await env.reconciler.teardown(env.name, env.memory)).gone
    after = await env.versions()
    assert {k: v for k, v in after.items() if k != env.name} == {k: v for k, v in before.items() if k != env.name}


@pytest.mark.parametrize("cascade", ["foreground", "background"])
async def test_what_was_created_goes_by_either_propagation(env: Operated, cascade: str) -> None:
    env.apply()
    await env.settle()
    await deleted(env, cascade)
    await env.torn_down()
    assert await env.client.get(ObjectRef("v1", "Namespace", None, env.namespace)) is None
    assert await env.client.get(trace(env)) is None


@pytest.mark.parametrize("held_by", [{}, *HOLDS], ids=str)
async def test_orphan_propagation_leaves_everything_also_if_the_operator_was_down(
    env: Operated, held_by: dict[str, Any]
) -> None:
    env.apply(deletionPolicy="Delete", **held_by)
    await env.settle()
    env.apply(deletionPolicy="Delete", **dict.fromkeys(held_by, False))
    await env.settle()
    before = await objects(env)
    await deleted(env, "orphan")
    await env.torn_down()
    for id_, was in before.items():
        live = await env.client.get(ObjectRef.parse(id_))
        assert was is not None, id_
        assert live is not None, f"{id_} is gone"
        assert live["metadata"]["uid"] == was["metadata"]["uid"]
        assert live.get("spec") == was.get("spec")
        assert live.get("rules") == was.get("rules")
        marks = {**live["metadata"].get("labels", {}), **live["metadata"].get("annotations", {})}
        assert not [key for key in marks if key.startswith(("biospark.ai/", "app.kubernetes.io/"))], id_
    assert await env.client.get(trace(env)) is None
    reasons = [event["reason"] for event in events(env)]
    assert "Orphaned" in reasons
    assert "Deleted" not in reasons


def events(env: Operated) -> list[Any]:
    selector = f"--field-selector=regarding.name={env.name}"
    listed: list[Any] = json.loads(env.kubectl("get", "events.v1.events.k8s.io", selector, "-o", "json"))["items"]
    return listed


async def test_what_was_left_behind_can_be_adopted_by_an_environment_of_the_same_name(env: Operated) -> None:
    env.apply()
    await env.settle()
    before = await env.get("apps/v1", "Deployment", "biospark-api")
    await deleted(env, "orphan")
    await env.torn_down()
    env.kubectl("patch", "bse", env.name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    env.apply()
    await env.run()
    assert await env.told("NamespaceReady") == ("False", "NotOwned")
    env.consent()
    env.apply(adoptionPolicy="IfUnowned")
    await env.settle()
    after = await env.get("apps/v1", "Deployment", "biospark-api")
    assert before is not None
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"] == before["spec"], "or pods are replaced"


async def test_owner_references_of_earlier_versions_are_taken_off_in_one_pass(env: Operated) -> None:
    env.apply()
    await env.settle()
    uid = (await env.body())["metadata"]["uid"]
    owner = {"apiVersion": "biospark.ai/v1alpha1", "kind": "BioSparkEnvironment", "name": env.name, "uid": uid}
    earlier = {**owner, "controller": True, "blockOwnerDeletion": True}
    for id_, live in (await objects(env)).items():
        assert live is not None, id_
        applied = env.kubectl("get", *path(live), "-o", "json", "--show-managed-fields=false")
        manifest = {key: value for key, value in json.loads(applied).items() if key != "status"}
        metadata = {key: manifest["metadata"].get(key) for key in ("name", "namespace", "labels")}
        manifest["metadata"] = {**metadata, "ownerReferences": [earlier]}
        command = ("apply", "--server-side", "--force-conflicts", "--field-manager=biospark-operator", "-f", "-")
        env.kubectl(*command, input=json.dumps(manifest))
    await env.run()
    assert not [id_ for id_, live in (await objects(env)).items() if live and "ownerReferences" in live["metadata"]]
    await env.settle()


def path(live: Manifest) -> list[str]:
    metadata = live["metadata"]
    return [live["kind"], metadata["name"], *(["-n", metadata["namespace"]] if "namespace" in metadata else [])]


HELD = '{"metadata":{"finalizers":["example.com/hold"]}}'
UNHELD = '{"metadata":{"finalizers":null}}'


@pytest.mark.parametrize("whose", ["the API's", "somebody else's"])
async def test_network_policies_stay_until_the_last_pod_is_gone_and_the_pod_is_named(env: Operated, whose: str) -> None:
    env.apply()
    await env.settle()

    async def pods() -> list[str]:
        found = await env.client.list("v1", "Pod", namespace=env.namespace)
        return [pod["metadata"]["name"] for pod in found]

    async def there() -> bool:
        return bool(await pods())

    if whose == "the API's":
        await until(there, env.status)
        (pod,) = (await pods())[:1]
    else:
        pod = "stranger"
        restricted = {
            "runAsNonRoot": True,
            "runAsUser": 1,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        container = {"name": "c", "image": "registry.example/other:1", "securityContext": restricted}
        stranger = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": pod, "namespace": env.namespace},
            "spec": {"containers": [container]},
        }
        env.kubectl("create", "-f", "-", input=json.dumps(stranger))
    env.kubectl("patch", "pod", pod, "-n", env.namespace, "--type=merge", "-p", HELD)
    env.kubectl("delete", "bse", env.name, "--wait=false")

    async def named() -> bool:
        assert not (await env.reconciler.teardown(env.name, env.memory)).gone
        return f"finalizer example.com/hold on Pod {pod}" in await env.message("Ready")

    await until(named, lambda: env.message("Ready"))
    policies = await env.client.list("networking.k8s.io/v1", "NetworkPolicy", namespace=env.namespace)
    assert "biospark-default-deny" in [policy["metadata"]["name"] for policy in policies]
    env.kubectl("patch", "pod", pod, "-n", env.namespace, "--type=merge", "-p", UNHELD)
    await env.torn_down()
    assert await env.client.get(ObjectRef("v1", "Namespace", None, env.namespace)) is None


async def test_a_finalizer_of_the_garbage_collector_is_no_bodys_fault(env: Operated) -> None:
    env.apply()
    await env.settle()
    finalizers = json.dumps({"metadata": {"finalizers": [FINALIZER, "foregroundDeletion"]}})
    env.kubectl("patch", "bse", env.name, "--type=merge", "-p", finalizers)
    await env.torn_down()
    assert "foregroundDeletion" not in await env.message("Ready")
