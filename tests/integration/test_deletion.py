"""Ends: of an environment, of what its specification no longer wants, and of its namespace under its feet."""

from __future__ import annotations

import pytest

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
