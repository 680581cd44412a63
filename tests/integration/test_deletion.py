"""Ends: of an environment, of what its specification no longer wants, and of its namespace under its feet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.engine.errors import AccessError, UnavailableError
from tests.integration.conftest import Operated

pytestmark = pytest.mark.integration

POLICY = "networking.k8s.io/v1"


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


async def test_what_the_spec_no_longer_wants_is_pruned(env: Operated) -> None:
    env.apply(network={"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]})
    await env.settle()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-egress-labs")
    env.apply()
    await env.settle()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-egress-labs") is None
    env.limit(isolation={"development": "Disabled"})
    env.apply(network={"isolation": "Disabled"})
    await env.settle()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-default-deny") is None
    assert await env.told("NetworkReady") is None
    assert not [e for e in (await env.status())["inventory"] if e["component"] == "network"]


async def test_deletion_leaves_nothing(env: Operated) -> None:
    env.apply()
    await env.settle()
    await env.torn_down()
    assert env.kubectl("get", "ns", env.namespace, "--ignore-not-found") == ""


HELD = '{"metadata":{"finalizers":["example.com/hold"]}}'
UNHELD = '{"metadata":{"finalizers":null}}'


async def is_gone(env: Operated) -> bool:
    return await env.client.get(ObjectRef("v1", "Namespace", None, env.namespace)) is None


@pytest.mark.parametrize(
    ("held", "waited_for"),
    [
        # Made by somebody else in our namespace: Kubernetes waits for it, and says so of the namespace.
        (["configmap", "held"], "v1 Namespace"),
        # Ours.
        (["role", "biospark-viewer"], "rbac.authorization.k8s.io/v1 Role"),
        # Ours as well, and left to the deletion of the namespace.
        (["networkpolicy", "biospark-default-deny"], "v1 Namespace"),
        # The namespace itself.
        (["namespace"], "v1 Namespace"),
    ],
)
async def test_deletion_waits_for_a_foreign_finalizer_names_it_and_goes_on_without_it(
    env: Operated, held: list[str], waited_for: str
) -> None:
    env.apply()
    await env.settle()
    path = [*held, env.namespace] if held == ["namespace"] else [*held, "-n", env.namespace]
    if held[0] == "configmap":
        env.kubectl("create", *path)
    env.kubectl("patch", *path, "--type=merge", "-p", HELD)
    env.kubectl("delete", "bse", env.name, "--wait=false")

    async def named() -> bool:
        assert not (await env.reconciler.teardown(env.name, env.memory)).gone
        return "example.com/hold" in await env.message("Ready")

    await until(named, lambda: env.message("Ready"))
    assert waited_for in await env.message("Ready")
    assert await env.told("Ready") == ("False", "Deleting")
    assert await env.told("Reconciling") == ("True", "Deleting")
    env.kubectl("patch", *path, "--type=merge", "-p", UNHELD)
    await env.torn_down()
    assert await is_gone(env)


async def until(holds: Callable[[], Awaitable[bool]], told: Callable[[], Awaitable[Any]], seconds: float = 30) -> None:
    """Wait until `holds`; if it never does, fail with what is `told`."""
    try:
        async with asyncio.timeout(seconds):
            while not await holds():
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {await told()}") from None


async def test_a_finalizer_of_somebody_else_on_the_environment_is_named_when_all_else_is_gone(env: Operated) -> None:
    env.apply()
    await env.settle()
    patch = '{"metadata":{"finalizers":["biospark.ai/finalizer","example.com/hold"]}}'
    env.kubectl("patch", "bse", env.name, "--type=merge", "-p", patch)
    await env.torn_down()
    assert await is_gone(env)
    assert await env.told("Ready") == ("False", "Deleting")
    message = await env.message("Ready")
    assert "all that was created is gone" in message
    assert "finalizer example.com/hold" in message
    assert "inventory" not in await env.status()


@pytest.mark.parametrize("policy", ["Retain", "Delete"])
async def test_what_was_created_goes_under_either_deletion_policy(env: Operated, policy: str) -> None:
    env.apply(deletionPolicy=policy)
    await env.settle()
    await env.torn_down()
    assert await is_gone(env)


async def test_an_environment_that_was_never_looked_at_can_be_deleted(env: Operated) -> None:
    env.apply()
    await env.torn_down()
    assert await is_gone(env)


async def test_an_environment_that_is_blocked_half_built_can_be_deleted(env: Operated) -> None:
    env.apply(registry={"pullSecretRef": {"name": f"missing-{env.name}"}})
    await env.run()
    assert await env.told("Stalled") == ("True", "PullSecretNotFound")
    assert await env.told("WorkloadReady") == ("Unknown", "DependencyNotReady")
    await env.torn_down()
    assert await is_gone(env)


@pytest.mark.parametrize("calls", [0, 4, 8, 12])
async def test_an_environment_whose_making_fails_at_any_point_can_be_deleted(env: Operated, calls: int) -> None:
    """What the failing pass had made is deleted, and nothing is made after the deletion has begun."""
    env.apply()
    apply, left = env.client.apply, iter(range(calls))

    async def failing(manifest: Manifest, **options: Any) -> Manifest:
        if next(left, None) is None:
            raise UnavailableError(f"could not apply {manifest['kind']}: the API server failed (500); retrying")
        return await apply(manifest, **options)

    env.client.apply = failing  # type: ignore[method-assign]
    await env.run()
    assert await env.told("Ready") == ("False", "ServerUnavailable")
    assert (await env.told("Reconciling")) == ("True", "ProgressingWithRetry")
    env.kubectl("delete", "bse", env.name, "--wait=false")
    assert (await env.run()).gone, "a pass makes nothing for what is being deleted"
    await env.torn_down()
    assert await is_gone(env)


async def test_a_deletion_that_the_api_server_refuses_is_told_and_tried_again(env: Operated) -> None:
    env.apply()
    await env.settle()
    delete = env.client.delete

    async def refused(ref: ObjectRef, *, uid: str, foreground: bool = False) -> None:
        raise AccessError(f"could not delete {ref.short}: forbidden; grant the operator this right")

    env.client.delete = refused  # type: ignore[method-assign]
    env.kubectl("delete", "bse", env.name, "--wait=false")
    next_ = await env.reconciler.teardown(env.name, env.memory)
    assert next_.after is not None
    assert await env.told("Ready") == ("False", "Deleting")
    assert "grant the operator this right" in await env.message("Ready")
    env.client.delete = delete  # type: ignore[method-assign]
    await env.torn_down()
    assert await is_gone(env)


async def test_a_protected_environment_stays_complete_until_the_protection_is_lifted(env: Operated) -> None:
    env.apply(profile="Production")
    await env.settle()
    before = await env.versions()
    env.kubectl("delete", "bse", env.name, "--wait=false")
    for _ in range(2):
        assert not (await env.reconciler.teardown(env.name, env.memory)).gone
    assert await env.told("Stalled") == ("True", "DeletionProtected")
    assert "set it to false" in await env.message("Ready")
    after = await env.versions()
    assert {k: v for k, v in after.items() if k != env.name} == {k: v for k, v in before.items() if k != env.name}
    env.apply(profile="Production", deletionProtection=False)
    await env.torn_down()
    assert await is_gone(env)


async def test_a_suspended_environment_stays_complete_until_it_is_resumed(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.apply(suspend=True)
    env.kubectl("delete", "bse", env.name, "--wait=false")
    assert not (await env.reconciler.teardown(env.name, env.memory)).gone
    assert await env.told("Suspended") == ("True", "Suspended")
    assert await env.get("apps/v1", "Deployment", "biospark-api")
    env.apply(suspend=False)
    await env.torn_down()
    assert await is_gone(env)
