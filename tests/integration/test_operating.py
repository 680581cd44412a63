"""Passes over environments on a real API server: what they make, plan and tell."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any

import pytest

from biospark_operator.components.outside import ENVIRONMENTS
from biospark_operator.objects import secret_data
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
    assert deployment["metadata"]["annotations"]["biospark.ai/created-for"] == (await env.body())["metadata"]["uid"]


async def test_pods_that_no_node_takes_are_explained(env: Operated) -> None:
    env.apply()
    await env.settle()
    assert (await env.told("WorkloadReady")) == ("False", "Unschedulable")
    assert "no nodes available" in await env.message("Ready")


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
            "metadata": {"name": source, "namespace": OPERATOR_NAMESPACE, "annotations": {ENVIRONMENTS: env.name}},
            "stringData": {".dockerconfigjson": _docker_config(password)},
        }
        env.kubectl("apply", "--server-side", "-f", "-", input=json.dumps(secret))

    passwords = [uuid.uuid4().hex, uuid.uuid4().hex]
    try:
        for password in passwords:
            write(password)
            await env.run()
            assert await env.told("RegistryReady") == ("True", "Succeeded")
            copied = await env.get("v1", "Secret", "biospark-registry")
            assert password in secret_data.texts(copied)[".dockerconfigjson"]
            account = await env.get("v1", "ServiceAccount", "biospark-api")
            assert account["imagePullSecrets"] == [{"name": "biospark-registry"}]
        told = json.dumps(await env.body()) + env.kubectl("get", "events", "-n", "default", "-o", "json")
        assert not [
            password for password in passwords if password in told or copied["data"][".dockerconfigjson"] in told
        ]
    finally:
        env.kubectl("delete", "secret", source, "-n", OPERATOR_NAMESPACE, "--ignore-not-found")


async def test_the_status_is_one_that_the_models_know(env: Operated) -> None:
    from biospark_operator.api.v1alpha1 import parse_environment

    env.apply()
    await env.run()
    parsed = parse_environment(await env.body())
    assert parsed.status.namespace == env.namespace


async def test_the_status_is_written_by_server_side_apply_alone_while_nobody_edits_it(env: Operated) -> None:
    replaced = env.client.replace_status

    async def counted(*args: Any) -> Any:
        calls.append(args)
        return await replaced(*args)

    calls: list[Any] = []
    env.client.replace_status = counted  # type: ignore[method-assign]
    env.apply(mode="Plan")
    await env.settle()
    env.apply()
    await env.settle()
    assert calls == []
