"""Whose an object is: what is foreign, another environment's, adopted or released, and what is told about it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.objects.ownership import CREATED_FOR
from tests.integration.conftest import Operated

pytestmark = pytest.mark.integration

ADOPTED = ("biospark.ai/", "app.kubernetes.io/", "pod-security.kubernetes.io/")


def create(env: Operated, *manifests: dict[str, Any], manager: str = "kubectl-create") -> None:
    for manifest in manifests:
        env.kubectl("create", f"--field-manager={manager}", "-f", "-", input=json.dumps(manifest))


def config_map(env: Operated, name: str = "theirs") -> dict[str, Any]:
    metadata = {"name": name, "namespace": env.namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "value"}}


def role(env: Operated, name: str) -> dict[str, Any]:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    metadata = {"name": name, "namespace": env.namespace}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}


def service(env: Operated, name: str, selector: str = "biospark") -> dict[str, Any]:
    ports = [
        {"name": "http", "port": 80, "targetPort": "http"},
        {"name": "metrics", "port": 9090, "targetPort": "metrics"},
    ]
    metadata = {"name": name, "namespace": env.namespace}
    spec = {"selector": {"app": selector}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def someone_elses(env: Operated) -> list[dict[str, Any]]:
    """Things that people keep in a namespace: none has a name that an environment needs."""
    secret = {**config_map(env, "secret"), "kind": "Secret"}
    del secret["data"]
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "records", "namespace": env.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "theirs", "namespace": env.namespace},
        "spec": {"podSelector": {"matchLabels": {"app": "theirs"}}},
    }
    return [config_map(env), secret, claim, policy, role(env, "theirs"), service(env, "theirs")]


async def as_they_are(env: Operated, manifests: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the objects as they are stored, but for their status."""
    found = {str(ref := ObjectRef.of(manifest)): await env.client.get(ref) for manifest in manifests}
    return {key: {**live, "status": None, "metadata": spared(live)} for key, live in found.items() if live is not None}


def spared(live: Manifest) -> dict[str, Any]:
    """What of the metadata only a write of the object itself changes: the status of a claim has a writer."""
    return {key: value for key, value in live["metadata"].items() if key not in ("resourceVersion", "managedFields")}


async def namespace_of(env: Operated) -> Any:
    return await env.client.get(ObjectRef("v1", "Namespace", None, env.namespace))


def kept_labels(live: Any) -> dict[str, str]:
    own = "kubernetes.io/metadata.name"
    return {key: value for key, value in live["metadata"].get("labels", {}).items() if key != own}


async def test_a_foreign_namespace_is_refused_and_left_alone_until_adoption_is_allowed(env: Operated) -> None:
    env.kubectl("create", "namespace", env.namespace)
    before = await namespace_of(env)
    env.apply()
    await env.run()
    assert await env.told("Ready") == ("False", "NotOwned")
    assert await env.told("Stalled") == ("True", "NotOwned")
    assert "adoptionPolicy: IfUnowned" in await env.message("Stalled")
    assert await namespace_of(env) == before
    assert env.kubectl("get", "quota,limitrange,role,netpol,deploy", "-n", env.namespace, "-o", "name") == ""
    env.apply(adoptionPolicy="IfUnowned")
    await env.run()
    assert await env.told("Stalled") == ("True", "NotOwned")
    assert "its administrators have not let this environment take it over" in await env.message("Stalled")
    assert await namespace_of(env) == before
    env.kubectl("annotate", "namespace", env.namespace, f"biospark.ai/adoptable-by={env.name}")
    await env.run()
    assert await env.told("NamespaceReady") == ("True", "Succeeded")
    await env.run()
    assert await env.told("AccessReady") == ("True", "Succeeded")


async def test_a_refused_namespace_outlives_the_environment(env: Operated) -> None:
    env.foreign_namespace()
    theirs = someone_elses(env)
    create(env, *theirs)
    space, before = await namespace_of(env), await as_they_are(env, theirs)
    env.apply()
    await env.run()
    await env.torn_down()
    assert await namespace_of(env) == space
    assert await as_they_are(env, theirs) == before


async def test_a_foreign_object_in_our_namespace_is_refused_left_alone_and_the_way_out_works(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("delete", "role", "biospark-viewer", "-n", env.namespace)
    create(env, role(env, "biospark-viewer"))
    before = await env.get("rbac.authorization.k8s.io/v1", "Role", "biospark-viewer")
    await env.run()
    assert await env.told("AccessReady") == ("False", "NotOwned")
    assert f"Role {env.namespace}/biospark-viewer exists" in await env.message("Stalled")
    assert await env.get("rbac.authorization.k8s.io/v1", "Role", "biospark-viewer") == before
    env.kubectl("delete", "role", "biospark-viewer", "-n", env.namespace)
    await env.run()
    assert await env.told("AccessReady") == ("True", "Succeeded")


async def test_an_adopted_namespace_is_released_with_all_that_others_keep_in_it(env: Operated) -> None:
    env.foreign_namespace()
    env.kubectl("label", "namespace", env.namespace, "team=heart")
    theirs = someone_elses(env)
    create(env, *theirs)
    uid, before = (await namespace_of(env))["metadata"]["uid"], await as_they_are(env, theirs)
    env.apply(adoptionPolicy="IfUnowned")
    await env.settle()
    assert await env.told("NetworkReady") == ("True", "Succeeded")
    adopted = await namespace_of(env)
    assert CREATED_FOR not in adopted["metadata"]["annotations"], "or it would count as created"
    assert adopted["metadata"]["labels"]["biospark.ai/origin"] == "Adopted"
    await env.torn_down()
    left = await namespace_of(env)
    assert left["metadata"]["uid"] == uid
    assert "deletionTimestamp" not in left["metadata"]
    assert kept_labels(left) == {"team": "heart"}
    assert "biospark-operator" not in json.dumps(left["metadata"]["managedFields"])
    assert await as_they_are(env, theirs) == before
    made = env.kubectl("get", "quota,limitrange,sa,role,netpol,deploy,svc", "-n", env.namespace, "-o", "name")
    assert [line for line in made.split() if "biospark" in line] == []
    events = env.kubectl("get", "events", "--field-selector", f"involvedObject.name={env.name}", "-o", "json")
    (released,) = [event["message"] for event in json.loads(events)["items"] if event["reason"] == "Released"]
    assert f"v1 Namespace {env.namespace}" in released


@pytest.mark.parametrize("retained", ["Retain", "Delete"])
async def test_an_adopted_namespace_is_released_under_either_deletion_policy(env: Operated, retained: str) -> None:
    env.foreign_namespace()
    env.apply(adoptionPolicy="IfUnowned", deletionPolicy=retained)
    await env.settle()
    await env.torn_down()
    assert "deletionTimestamp" not in (await namespace_of(env))["metadata"]


async def test_what_was_adopted_stays_so_when_adoption_is_no_longer_allowed(env: Operated) -> None:
    env.foreign_namespace()
    env.apply(adoptionPolicy="IfUnowned")
    await env.settle()
    env.apply()
    await env.settle()
    assert await env.told("NamespaceReady") == ("True", "Succeeded")
    await env.torn_down()
    assert "deletionTimestamp" not in (await namespace_of(env))["metadata"]


async def test_drift_of_an_adopted_object_is_repaired_and_it_stays_adopted(env: Operated) -> None:
    env.foreign_namespace()
    env.apply(adoptionPolicy="IfUnowned")
    await env.settle()
    before = await env.versions()
    await env.run()
    assert await env.versions() == before
    label = "pod-security.kubernetes.io/enforce"
    env.kubectl("label", "namespace", env.namespace, "--overwrite", f"{label}=privileged", "biospark.ai/origin-")
    await env.run()
    live = await namespace_of(env)
    assert live["metadata"]["labels"][label] == "baseline"
    assert live["metadata"]["labels"]["biospark.ai/origin"] == "Adopted"
    assert CREATED_FOR not in live["metadata"]["annotations"]


async def test_adopted_objects_are_released_when_the_spec_no_longer_wants_them(env: Operated) -> None:
    env.foreign_namespace()
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "biospark-default-deny", "namespace": env.namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }
    create(env, policy)
    env.apply(adoptionPolicy="IfUnowned")
    await env.settle()
    assert await env.told("NetworkReady") == ("True", "Succeeded")
    env.limit(isolation={"development": "Disabled"})
    env.apply(adoptionPolicy="IfUnowned", network={"isolation": "Disabled"})
    await env.settle()
    left = await env.get("networking.k8s.io/v1", "NetworkPolicy", "biospark-default-deny")
    assert left is not None
    assert left["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "labels" not in left["metadata"]
    assert await env.get("networking.k8s.io/v1", "NetworkPolicy", "biospark-allow-dns") is None
    assert not [entry for entry in (await env.status())["inventory"] if entry["component"] == "network"]


async def test_an_adopted_service_that_only_we_set_any_more_keeps_its_values_when_released(env: Operated) -> None:
    env.foreign_namespace()
    create(env, service(env, "biospark-api"))
    env.apply(adoptionPolicy="IfUnowned")
    await env.settle()
    # Whoever made it gives all fields up: a Service without ports would be refused.
    given_up = [{"op": "replace", "path": "/metadata/managedFields/0/fieldsV1", "value": {}}]
    live = await env.get("v1", "Service", "biospark-api")
    index = next(i for i, e in enumerate(live["metadata"]["managedFields"]) if e["manager"] == "kubectl-create")
    given_up[0]["path"] = f"/metadata/managedFields/{index}/fieldsV1"
    env.kubectl("patch", "svc", "biospark-api", "-n", env.namespace, "--type=json", "-p", json.dumps(given_up))
    await env.torn_down()
    left = await env.get("v1", "Service", "biospark-api")
    assert left["spec"]["selector"] == {"app": "biospark"}
    assert [port["port"] for port in left["spec"]["ports"]] == [80, 9090]
    assert "labels" not in left["metadata"]


async def test_another_manager_of_a_field_of_an_adopted_object_is_named(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("delete", "service", "biospark-api", "-n", env.namespace)
    theirs = ["apply", "--server-side", "--field-manager=helm", "-f", "-"]
    env.kubectl(*theirs, input=json.dumps(service(env, "biospark-api", "old")))
    before = await env.get("v1", "Service", "biospark-api")
    env.apply(adoptionPolicy="IfUnowned")
    await env.run()
    assert await env.told("WorkloadReady") == ("False", "FieldConflict")
    message = await env.message("WorkloadReady")
    assert "helm" in message
    assert "spec.selector" in message
    assert await env.get("v1", "Service", "biospark-api") == before
    env.kubectl(*theirs, input=json.dumps(service(env, "biospark-api")))
    await env.run()
    assert (await env.told("WorkloadReady"))[1] != "FieldConflict"
    await env.torn_down()


async def test_a_field_that_another_manager_takes_is_taken_back_and_the_object_stays_ours(env: Operated) -> None:
    env.apply()
    await env.settle()
    theirs = service(env, "biospark-api", "old")
    env.kubectl(
        "apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-", input=json.dumps(theirs)
    )
    await env.run()
    live = await env.get("v1", "Service", "biospark-api")
    assert live["spec"]["selector"] == {"app": "biospark"}
    await env.torn_down()
    assert await namespace_of(env) is None


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


async def raced(first: Operated, second: Operated) -> tuple[Operated, Operated]:
    """Let two environments look at the same state, then let one act after the other; return winner and loser."""
    looked = asyncio.Barrier(2)
    for env in (first, second):
        component = next(c for c in env.reconciler.components if c.name == "namespace")
        observe, met = component.observe, []

        async def observe_together(of: Any, observe: Any = observe, met: list[bool] = met) -> Any:
            seen = await observe(of)
            if not met:
                met.append(True)
                await looked.wait()
            return seen

        object.__setattr__(component, "observe", observe_together)
    await asyncio.gather(first.run(), second.run())
    states = {env: await env.told("NamespaceReady") for env in (first, second)}
    (winner,) = [env for env, state in states.items() if state == ("True", "Succeeded")]
    (loser,) = [env for env in states if env is not winner]
    return winner, loser


async def test_two_environments_that_take_one_namespace_at_the_same_moment(operate: Callable[[], Operated]) -> None:
    first, second = operate(), operate()
    first.apply(adoptionPolicy="IfUnowned")
    second.apply(adoptionPolicy="IfUnowned", namespace={"name": first.namespace})
    winner, loser = await raced(first, second)
    next_ = await loser.run()
    assert await loser.told("Stalled") == ("True", "NamespaceConflict")
    assert winner.name in await loser.message("Stalled")
    assert next_.after is not None
    await loser.torn_down()
    await winner.run()
    assert await winner.told("NamespaceReady") == ("True", "Succeeded")
    await winner.torn_down()


async def test_who_comes_second_looks_again_within_seconds(operate: Callable[[], Operated]) -> None:
    first, second = operate(), operate()
    first.apply()
    second.apply(namespace={"name": first.namespace})
    _, loser = await raced(first, second)
    assert await loser.told("NamespaceReady") == ("False", "NamespaceConflict")
    assert loser.memory.backoff.remaining("namespace", loser.reconciler.monotonic()) <= 2


async def test_what_somebody_creates_while_we_are_at_it_is_not_taken_over(env: Operated) -> None:
    env.apply()
    component = next(c for c in env.reconciler.components if c.name == "namespace")
    observe = component.observe
    created: list[Any] = []

    async def observe_too_early(of: Any) -> Any:
        seen = await observe(of)
        if not created:
            env.foreign_namespace()
            created.append(await namespace_of(env))
        return seen

    object.__setattr__(component, "observe", observe_too_early)
    await env.run()
    left = await namespace_of(env)
    assert left["metadata"]["uid"] == created[0]["metadata"]["uid"]
    assert CREATED_FOR not in left["metadata"]["annotations"]
    assert kept_labels(left) == {}
    await env.run()
    assert await env.told("Stalled") == ("True", "NotOwned")
    await env.torn_down()
    assert "deletionTimestamp" not in (await namespace_of(env))["metadata"]


HELM = {
    "app.kubernetes.io/managed-by": "Helm",
    "app.kubernetes.io/instance": "team-a",
    "app.kubernetes.io/name": "team",
}
ARGO = {"app.kubernetes.io/instance": "team-a"}
RELEASE = {"meta.helm.sh/release-name": "team-a", "meta.helm.sh/release-namespace": "apps"}
TRACKING = {"argocd.argoproj.io/tracking-id": "team-a:/Namespace:/{name}"}


@pytest.mark.parametrize("manager", ["helm", "argocd-controller"])
@pytest.mark.parametrize(("labels", "notes"), [(HELM, RELEASE), (ARGO, TRACKING)], ids=["Helm", "Argo CD"])
async def test_a_namespace_of_helm_or_argo_cd_is_adopted_and_given_back_with_its_marks(
    env: Operated, manager: str, labels: dict[str, str], notes: dict[str, str]
) -> None:
    consent = {"biospark.ai/adoptable-by": env.name}
    metadata = {"name": env.namespace, "labels": labels, "annotations": {**notes, **consent}}
    space = json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    env.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", input=space)
    ref = ObjectRef("v1", "Namespace", None, env.namespace)
    before = await env.client.get(ref)
    env.apply(adoptionPolicy="IfUnowned")
    await env.settle()
    assert await env.told("NamespaceReady") == ("True", "Succeeded")
    adopted = await env.client.get(ref)
    assert before is not None
    assert adopted is not None
    assert before["metadata"]["labels"].items() <= adopted["metadata"]["labels"].items()
    env.kubectl("apply", "--server-side", f"--field-manager={manager}", "-f", "-", input=space)
    written = await env.versions()
    await env.settle()
    assert await env.versions() == written, "both go on without a fight"
    await env.torn_down()
    after = await env.client.get(ref)
    assert after is not None
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
