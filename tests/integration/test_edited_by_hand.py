"""What people edit by hand in what the operator made, and in the status: it is right again, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.objects.ownership import CREATED_FOR
from tests.integration.conftest import OPERATOR_NAMESPACE, Operated

pytestmark = pytest.mark.integration

RBAC = "rbac.authorization.k8s.io/v1"
ANNA = [{"kind": "User", "name": "anna"}]


async def edited(env: Operated, number: int) -> None:
    """One of the edits that people make by hand."""
    edits: list[tuple[str, ...]] = [
        ("scale", "deployment", "biospark-api", "--replicas=3"),
        ("label", "role", "biospark-admin", "biospark.ai/environment-"),
        ("delete", "networkpolicy", "biospark-allow-dns"),
        ("patch", "quota", "biospark-quota", "--type=merge", "-p", '{"spec":{"hard":{"pods":"1"}}}'),
        ("patch", "service", "biospark-api", "--type=merge", "-p", '{"spec":{"selector":{"app":"x"}}}'),
        ("annotate", "serviceaccount", "biospark-api", "note=seen", "--overwrite"),
        ("annotate", "role", "biospark-viewer", f"{CREATED_FOR}-"),
        ("delete", "limitrange", "biospark-limits"),
    ]
    command = [*edits[number % len(edits)], "-n", env.namespace]
    await asyncio.to_thread(env.kubectl, *command, check=False)


async def test_edits_by_hand_while_the_operator_works_leave_the_environment_as_specified(env: Operated) -> None:
    env.apply()
    await env.settle()
    before = await contents(env)
    editing = asyncio.create_task(many_edits(env))
    while not editing.done():
        await env.run()
    await editing
    await env.settle()
    assert await contents(env) == before


async def many_edits(env: Operated) -> None:
    for number in range(16):
        await edited(env, number)


async def contents(env: Operated) -> dict[str, Any]:
    """Return everything in the inventory, but for what the API server counts and notes."""
    found: dict[str, Any] = {}
    for entry in (await env.status())["inventory"]:
        live = await env.client.get(ObjectRef.parse(entry["id"]))
        assert live is not None, entry
        owner = (live["metadata"].get("annotations") or {}).get(CREATED_FOR)
        kept = {"labels": live["metadata"].get("labels"), CREATED_FOR: owner}
        found[entry["id"]] = {**{k: v for k, v in live.items() if k not in ("metadata", "status")}, **kept}
    return found


async def test_labels_that_are_stripped_from_everything_come_back_and_nothing_is_made_twice(env: Operated) -> None:
    env.apply()
    await env.settle()
    before = await contents(env)
    for id_ in before:
        ref = ObjectRef.parse(id_)
        place = ["-n", ref.namespace] if ref.namespace else []
        patch = '{"metadata":{"labels":null}}'
        env.kubectl("patch", ref.kind.lower(), ref.name, *place, "--type=merge", "-p", patch)
    await env.settle()
    assert await contents(env) == before


@pytest.mark.parametrize("own_labels", [True, False])
async def test_a_binding_to_another_role_is_replaced_if_it_passes_for_ours_and_else_refused(
    env: Operated, own_labels: bool
) -> None:
    """The role of a binding can't be changed: somebody deletes ours and makes one that gives more rights."""
    env.apply(access={"bindings": [{"role": "Viewer", "subjects": ANNA}]})
    await env.settle()
    live: Any = await env.get(RBAC, "RoleBinding", "biospark-viewer")
    marks = {key: live["metadata"][key] for key in ("labels", "annotations")} if own_labels else {}
    other = {
        "apiVersion": RBAC,
        "kind": "RoleBinding",
        "metadata": {"name": "biospark-viewer", "namespace": env.namespace, **marks},
        "roleRef": {**live["roleRef"], "name": "biospark-admin"},
        "subjects": live["subjects"],
    }
    env.kubectl("delete", "rolebinding", "biospark-viewer", "-n", env.namespace)
    env.kubectl("create", "-f", "-", input=json.dumps(other))
    await env.run()
    now: Any = await env.get(RBAC, "RoleBinding", "biospark-viewer")
    if own_labels:
        assert now["roleRef"] == live["roleRef"]
        (drift,) = (await env.status())["drift"]
        assert drift["summary"] == f"replace RoleBinding {env.namespace}/biospark-viewer, as roleRef can't be changed"
    else:
        assert now["roleRef"]["name"] == "biospark-admin"
        assert await env.told("AccessReady") == ("False", "NotOwned")
        env.kubectl("delete", "rolebinding", "biospark-viewer", "-n", env.namespace)
        await env.run()
    assert await env.told("AccessReady") == ("True", "Succeeded")


FOREIGN = "planted-{name}"


@pytest.fixture
async def bystander(env: Operated) -> AsyncIterator[Manifest]:
    """A ConfigMap of somebody else."""
    name = FOREIGN.format(name=env.name)
    env.kubectl("create", "configmap", name, "-n", OPERATOR_NAMESPACE)
    ref = ObjectRef("v1", "ConfigMap", OPERATOR_NAMESPACE, name)
    found = await env.client.get(ref)
    assert found is not None
    yield found
    env.kubectl("delete", "configmap", name, "-n", OPERATOR_NAMESPACE)


def edit_status(env: Operated, *operations: dict[str, Any]) -> None:
    patch = ["patch", "bse", env.name, "--subresource=status", "--type=json", "--field-manager=kubectl-edit"]
    env.kubectl(*patch, "-p", json.dumps(operations))


async def test_foreign_things_that_somebody_writes_into_the_inventory_are_left_alone_and_leave_it(
    env: Operated, bystander: Manifest
) -> None:
    env.apply()
    await env.settle()
    before = await env.status()
    for entry in (
        str(ObjectRef.of(bystander)),
        "v1 Namespace kube-system",
        "v1 Namespace default",
        "nonsense",
        "v1 Nonsense a/b",
        "x" * 1024,
    ):
        value = {"id": entry, "component": "namespace"}
        edit_status(env, {"op": "add", "path": "/status/inventory/-", "value": value})
    await env.run()
    assert await env.status() == before
    assert await env.client.get(ObjectRef.of(bystander)) == bystander
    versions = await env.versions()
    await env.run()
    assert await env.versions() == versions, "what others wrote does not come back"


async def test_foreign_things_in_the_inventory_outlive_the_environment(env: Operated, bystander: Manifest) -> None:
    env.apply()
    await env.settle()
    for entry in (str(ObjectRef.of(bystander)), "v1 Namespace kube-system", "nonsense"):
        value = {"id": entry, "component": "workload"}
        edit_status(env, {"op": "add", "path": "/status/inventory/-", "value": value})
    await env.torn_down()
    assert await env.client.get(ObjectRef.of(bystander)) == bystander
    system = await env.client.get(ObjectRef("v1", "Namespace", None, "kube-system"))
    assert system is not None
    assert "deletionTimestamp" not in system["metadata"]


async def test_an_entry_of_an_unknown_component_holds_deletion_up_until_it_is_taken_out(env: Operated) -> None:
    env.apply()
    await env.settle()
    value = {"id": "tower", "component": "future"}
    edit_status(env, {"op": "add", "path": "/status/inventory/-", "value": value})
    with pytest.raises(TimeoutError, match="'future'"):
        await env.torn_down(seconds=15)
    inventory = (await env.status())["inventory"]
    assert [entry["id"] for entry in inventory] == ["tower"]
    edit_status(env, {"op": "remove", "path": "/status/inventory/0"})
    await env.torn_down()


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "remove", "path": "/status/conditions"}],
        [{"op": "remove", "path": "/status/inventory"}],
        [{"op": "replace", "path": "/status", "value": {}}],
        [{"op": "replace", "path": "/status/conditions/0/status", "value": "Unknown"}],
        [{"op": "replace", "path": "/status/operatorVersion", "value": "9.9.9"}],
        [{"op": "replace", "path": "/status/observedGeneration", "value": 99}],
        [
            {
                "op": "add",
                "path": "/status/conditions/-",
                "value": {
                    "type": "Stalled",
                    "status": "True",
                    "reason": "ByHand",
                    "message": "no",
                    "lastTransitionTime": "2026-01-01T00:00:00Z",
                },
            }
        ],
    ],
    ids=["conditions", "inventory", "all", "condition", "version", "generation", "invented"],
)
async def test_a_status_that_is_edited_by_hand_is_right_again_after_a_pass(
    env: Operated, operations: list[dict[str, Any]]
) -> None:
    env.apply()
    await env.settle()
    before = await env.status()
    edit_status(env, *operations)
    await env.run()
    assert timeless(await env.status()) == timeless(before)
    versions = await env.versions()
    await env.run()
    assert await env.versions() == versions


def timeless(status: Any) -> Any:
    return {**status, "conditions": [{**c, "lastTransitionTime": ""} for c in status["conditions"]]}


async def test_an_environment_whose_inventory_was_emptied_leaves_nothing_behind(env: Operated) -> None:
    env.apply()
    await env.settle()
    edit_status(env, {"op": "replace", "path": "/status", "value": {}})
    await env.torn_down()
    assert await env.client.get(ObjectRef("v1", "Namespace", None, env.namespace)) is None


async def test_annotations_that_mean_nothing_change_nothing_and_stay(env: Operated) -> None:
    env.apply()
    await env.settle()
    before = await env.versions()
    notes = {
        "biospark.ai/nonsense": "yes",
        "biospark.ai/adopted": "true",
        "kopf.zalando.org/last-handled-configuration": "{broken",
        "example.com/large": "x" * 200_000,
    }
    patch = json.dumps({"metadata": {"annotations": notes}})
    env.kubectl("patch", "bse", env.name, "--type=merge", "--patch-file=/dev/stdin", input=patch)
    changed = await env.body()
    await env.run()
    assert await env.body() == changed
    after = await env.versions()
    assert {**after, env.name: ""} == {**before, env.name: ""}
    await env.torn_down()
