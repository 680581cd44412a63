"""The namespace, and whether its quota and limits mean what users expect."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from biospark_operator.api.platform import NetworkPeers, Platform, reserved_namespace
from biospark_operator.api.v1alpha1.quantities import parse_quantity
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components import namespace
from biospark_operator.components.workload import component as workload
from biospark_operator.engine.component import Environment
from biospark_operator.engine.outcome import Blocked, Failed
from biospark_operator.objects.component import Seen
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment

PROFILES = ["Development", "Staging", "Production"]


def objects(env: Environment) -> Mapping[str, Manifest]:
    """Return what is built, by kind."""
    return {manifest["kind"]: manifest for manifest in namespace.build(env)}


def test_the_namespace_carries_the_users_labels_and_its_security_level() -> None:
    env = environment(namespace={"labels": {"team": "a"}, "podSecurity": "Restricted"})
    assert objects(env)["Namespace"]["metadata"]["labels"] == {
        "team": "a",
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
        "pod-security.kubernetes.io/audit": "restricted",
        "pod-security.kubernetes.io/audit-version": "latest",
        "pod-security.kubernetes.io/warn": "restricted",
        "pod-security.kubernetes.io/warn-version": "latest",
    }


def test_the_quota_bounds_what_pods_can_use() -> None:
    env = environment(namespace={"quota": {"cpu": "3", "pods": 7, "storage": "5Gi"}})
    assert objects(env)["ResourceQuota"]["spec"]["hard"] == {
        "limits.cpu": "3",
        "limits.memory": "4Gi",
        "pods": "7",
        "requests.storage": "5Gi",
    }


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("resource", ["cpu", "memory"])
def test_the_quota_of_a_profile_has_room_for_a_rollout(profile: str, resource: str) -> None:
    env = environment(profile=profile)
    deployment = next(m for m in workload.build(env, Platform()) if m["kind"] == "Deployment")["spec"]
    pods = Decimal(deployment["replicas"] + deployment["strategy"]["rollingUpdate"]["maxSurge"])
    limit = deployment["template"]["spec"]["containers"][0]["resources"]["limits"][resource]
    assert pods * parse_quantity(limit) <= parse_quantity(
        objects(env)["ResourceQuota"]["spec"]["hard"][f"limits.{resource}"]
    )


def test_a_container_without_resources_gets_some() -> None:
    (limits,) = objects(environment())["LimitRange"]["spec"]["limits"]
    assert limits == {
        "type": "Container",
        "default": {"cpu": "500m", "memory": "512Mi"},
        "defaultRequest": {"cpu": "100m", "memory": "128Mi"},
    }


def test_the_defaults_of_a_container_fit_a_small_quota() -> None:
    env = environment(namespace={"quota": {"cpu": "50m", "memory": "256Mi"}})
    (limits,) = objects(env)["LimitRange"]["spec"]["limits"]
    assert limits["default"] == {"cpu": "50m", "memory": "256Mi"}
    assert limits["defaultRequest"] == {"cpu": "50m", "memory": "128Mi"}


@pytest.mark.parametrize(
    ("name", "owner"),
    [("biospark-system", "the operator itself"), ("default", "Kubernetes"), ("kube-system", "Kubernetes")],
)
def test_namespaces_of_others_are_never_an_environments(name: str, owner: str) -> None:
    assert reserved_namespace(name, "biospark-system") == (
        f"namespace {name} belongs to {owner}; create the environment with another spec.namespace.name"
    )


async def test_the_operators_own_namespace_is_never_taken() -> None:
    cluster = FakeCluster()
    component = namespace.component(cluster, "biospark-dev")
    env = environment(adoptionPolicy="IfUnowned")
    refused = component.refuse(env, await component.observe(env))
    assert isinstance(refused, Blocked)
    assert refused.reason == Reason.NAMESPACE_REFUSED
    assert cluster.objects == {}


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ({"profile": "Production"}, "true"),
        ({"deletionProtection": True}, "true"),
        ({"profile": "Production", "deletionProtection": False}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_namespace_of_a_protected_environment_says_so(spec: dict[str, Any], label: str | None) -> None:
    (found, *_) = namespace.build(environment(**spec))
    assert found["metadata"]["labels"].get("biospark.ai/deletion-protection") == label


async def refusal(env: Environment, *live: Manifest) -> Blocked | None:
    component = namespace.component(FakeCluster(*live), "biospark-system", NetworkPeers().namespaces())
    refused = component.refuse(env, await component.observe(env))
    assert not isinstance(refused, Failed)
    return refused


def theirs(**annotations: str) -> Manifest:
    metadata = {"name": "biospark-dev", "uid": "theirs", "resourceVersion": "1", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


@pytest.mark.parametrize("annotations", [{}, {"biospark.ai/adoptable-by": "other"}], ids=str)
async def test_a_namespace_is_adopted_only_by_the_environment_that_it_names(annotations: dict[str, str]) -> None:
    env = environment(adoptionPolicy="IfUnowned")
    refused = await refusal(env, theirs(**annotations))
    assert refused is not None
    assert refused.reason == Reason.NOT_OWNED
    assert refused.message.endswith("kubectl annotate namespace biospark-dev biospark.ai/adoptable-by=dev")
    assert await refusal(env, theirs(**{"biospark.ai/adoptable-by": "dev"})) is None


@pytest.mark.parametrize("name", ["kong", "monitoring", "biospark-platform"])
async def test_the_namespaces_of_the_platform_are_never_taken(name: str) -> None:
    refused = await refusal(environment(namespace={"name": name}))
    assert refused is not None
    assert refused.reason == Reason.NAMESPACE_REFUSED
    assert refused.message.startswith(f"namespace {name} belongs to the platform (platform.network);")


def test_the_status_tells_the_name() -> None:
    component = namespace.component(FakeCluster(), "biospark-system")
    assert component.facts(environment(), Seen({}, {})) == {"namespace": "biospark-dev"}
