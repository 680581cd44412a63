"""What others add to an environment and what decides its safety: put back where it is ours, and else named."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.components.secrets.store import KubernetesSecrets
from biospark_operator.components.workload import component as workload
from biospark_operator.engine.convergence import converge
from biospark_operator.runtime.admission import identity_of
from biospark_operator.runtime.leader import SoleReplica
from tests.fakes.environments import environment
from tests.integration.conftest import Operated
from tests.integration.test_deletion_propagation import events

pytestmark = pytest.mark.integration


def patched(env: Operated, kind: str, name: str, patch: Any, *, how: str = "merge") -> None:
    env.kubectl("patch", kind, name, "-n", env.namespace, f"--type={how}", "-p", json.dumps(patch))


async def drift(env: Operated) -> list[str]:
    return [entry["summary"] for entry in (await env.status()).get("drift", ())]


@pytest.mark.parametrize(
    ("opening", "path"),
    [
        ({"type": "NodePort"}, "spec.type"),
        ({"type": "LoadBalancer"}, "spec.type"),
        ({"externalIPs": ["192.0.2.1"]}, "spec.externalIPs"),
    ],
    ids=str,
)
async def test_a_service_that_is_opened_to_the_outside_is_closed_again(
    env: Operated, opening: dict[str, Any], path: str
) -> None:
    env.apply()
    await env.settle()
    before: Any = await env.get("v1", "Service", "biospark-api")
    patched(env, "service", "biospark-api", {"spec": opening})
    await env.run()
    (repair,) = env.memory.reports["workload"].done
    assert repair.summary == f"set {path}"
    after: Any = await env.get("v1", "Service", "biospark-api")
    assert after["spec"] == before["spec"]
    await env.run()
    assert env.memory.reports["workload"].done == ()


@pytest.mark.parametrize("field", ["command", "args"])
async def test_another_program_in_the_container_of_the_api_is_put_back(env: Operated, field: str) -> None:
    env.apply()
    await env.settle()
    container = {"name": "api", field: ["sh"]}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    patched(env, "deployment", "biospark-api", change, how="strategic")
    await env.run()
    (repair,) = env.memory.reports["workload"].done
    assert repair.summary == f"set spec.template.spec.containers[api].{field}"
    deployment: Any = await env.get("apps/v1", "Deployment", "biospark-api")
    assert field not in deployment["spec"]["template"]["spec"]["containers"][0]
    await env.run()
    assert env.memory.reports["workload"].done == ()


@pytest.mark.parametrize("direction", ["ingress", "egress"])
async def test_a_rule_that_is_added_to_the_policy_that_denies_is_taken_away(env: Operated, direction: str) -> None:
    env.apply()
    await env.settle()
    patched(env, "networkpolicy", "biospark-default-deny", {"spec": {direction: [{}]}})
    await env.run()
    policy: Any = await env.get("networking.k8s.io/v1", "NetworkPolicy", "biospark-default-deny")
    assert not policy["spec"].get(direction)
    assert f"set spec.{direction}" in await drift(env)


DATABASE = {"server": {"host": "db.example", "adminSecretRef": {"name": "admin"}}}


@pytest.mark.parametrize("reads", [True, False])
async def test_a_container_that_reads_our_secret_is_named_and_a_sidecar_is_let_be(
    env: Operated, *, reads: bool
) -> None:
    env.apply()
    await env.settle()
    made = workload.component(env.client, Platform(), KubernetesSecrets(env.client, "database"))
    with_database = environment(env.name, database=DATABASE)
    of_this = replace(with_database, identity=identity_of(await env.body()))
    await converge(made, of_this, apply=True, leadership=SoleReplica())
    secret = {"secretRef": {"name": "biospark-database"}}
    container = {"name": "beside", "image": "registry.example/beside:1", "envFrom": [secret] if reads else []}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    patched(env, "deployment", "biospark-api", change, how="strategic")
    outcome = (await converge(made, of_this, apply=True, leadership=SoleReplica())).outcome
    assert (outcome.reason == "SecretsExposed") is reads
    if reads:
        assert "container beside reads Secret biospark-database, which kubectl-patch added" in outcome.message
    deployment: Any = await env.get("apps/v1", "Deployment", "biospark-api")
    assert "beside" in [item["name"] for item in deployment["spec"]["template"]["spec"]["containers"]]


async def test_a_network_policy_of_others_that_opens_is_named_and_left_alone(env: Operated) -> None:
    env.apply()
    await env.settle()
    everything = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
    for name, spec in (("open", everything), ("closed", {"podSelector": {}, "policyTypes": ["Ingress"]})):
        policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec}
        env.kubectl("create", "-n", env.namespace, "-f", "-", input=json.dumps({**policy, "metadata": {"name": name}}))
    await env.run()
    assert await env.told("NetworkReady") == ("True", "Succeeded")
    assert "more is opened by others with NetworkPolicy open: delete that, or use spec.network.ingress or egress" in (
        await env.message("NetworkReady")
    )
    assert await env.get("networking.k8s.io/v1", "NetworkPolicy", "open")


async def test_a_role_binding_of_others_is_named_and_left_alone(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("create", "rolebinding", "theirs", "--clusterrole=admin", "--user=anna", "-n", env.namespace)
    await env.run()
    assert await env.told("AccessReady") == ("True", "Succeeded")
    assert "more is granted by others with RoleBinding theirs: delete that, or use spec.access.bindings" in (
        await env.message("AccessReady")
    )


async def test_a_namespace_that_is_deleted_is_a_warning_and_drift(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("delete", "namespace", env.namespace, "--timeout=60s")
    await env.settle()
    assert f"create Namespace {env.namespace} and 2 more" in await drift(env)
    warnings = [event["note"] for event in events(env) if event["type"] == "Warning"]
    assert any(f"create Namespace {env.namespace}" in note for note in warnings)
