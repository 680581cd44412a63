"""Bad input of every kind: the user is told which field and what to write, and nothing is lost.

What the API server refuses by the definition is asked of it; the rest shows in conditions after passes.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.components.outside import ENVIRONMENTS
from tests.integration.conftest import OPERATOR_NAMESPACE, Kubectl, Operated

pytestmark = pytest.mark.integration

#: The longest name that an environment may have: biospark-<name> is a namespace, of 63 characters at most.
LONGEST = 54


def environment(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "biospark.ai/v1alpha1",
        "kind": "BioSparkEnvironment",
        "metadata": {"name": name},
        "spec": {"profile": "Development", "host": "api.biospark.example", **spec},
    }


def subjects(count: int, length: int = 10) -> list[dict[str, str]]:
    return [{"kind": "User", "name": f"user-{number}".ljust(length, "x")} for number in range(count)]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (environment("n" * (LONGEST + 1)), f"choose a name of at most {LONGEST}"),
        (environment("with.dots"), "choose a name"),
        (environment("long", namespace={"name": "n" * 64}), "spec.namespace.name"),
        (environment("reserved", namespace={"name": "kube-public"}), "choose another name: default and everything"),
        (environment("reserved", namespace={"name": "default"}), "choose another name: default and everything"),
        (environment("image", api={"image": "not an image"}), "write an image reference without scheme, such as"),
        (environment("image", api={"image": "https://registry.example/api:1"}), "without scheme"),
        (environment("pull", registry={"pullSecretRef": {"name": "Not_A_Name"}}), "spec.registry.pullSecretRef.name"),
        (
            environment("many", access={"bindings": [{"role": "Viewer", "subjects": subjects(1)}] * 1000}),
            "spec.access.bindings: Too many: 1000: must have at most 3 items",
        ),
        (
            environment("many", access={"bindings": [{"role": "Viewer", "subjects": subjects(1000)}]}),
            "spec.access.bindings[0].subjects: Too many: 1000: must have at most 64 items",
        ),
        (
            environment("role", access={"bindings": [{"role": "Viewer", "subjects": subjects(1)}] * 2}),
            "spec.access.bindings[1]: Duplicate value",
        ),
        (
            environment(
                "egress",
                network={
                    "egress": [{"name": f"e{n}", "cidr": "10.0.0.0/8", "ports": [{"port": 1}]} for n in range(17)]
                },
            ),
            "spec.network.egress: Too many: 17: must have at most 16 items",
        ),
    ],
    ids=lambda value: value["metadata"]["name"][:10] if isinstance(value, dict) else "",
)
def test_what_can_never_work_is_refused_at_once_with_the_field_and_what_to_write(
    kubectl: Kubectl, body: dict[str, Any], says: str
) -> None:
    refused = kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(body), check=False)
    assert refused.returncode != 0
    assert says in refused.stderr


async def test_the_longest_name_works(operate: Callable[[], Operated]) -> None:
    env = operate()
    env.name = env.name.ljust(LONGEST, "n")
    env.namespace = f"biospark-{env.name}"
    env.apply()
    await env.settle()
    assert await env.told("NetworkReady") == ("True", "Succeeded")
    await env.torn_down()


async def test_nothing_is_planned_for_a_namespace_that_is_refused(env: Operated) -> None:
    env.apply(namespace={"name": OPERATOR_NAMESPACE}, mode="Plan")
    await env.run()
    assert await env.told("Stalled") == ("True", "NamespaceRefused")
    assert {"plan", "inventory"}.isdisjoint(await env.status())


async def test_the_operators_own_namespace_is_refused_and_left_alone(env: Operated) -> None:
    before = await env.client.get(ObjectRef("v1", "Namespace", None, OPERATOR_NAMESPACE))
    env.apply(namespace={"name": OPERATOR_NAMESPACE}, adoptionPolicy="IfUnowned")
    await env.run()
    assert await env.told("Stalled") == ("True", "NamespaceRefused")
    message = await env.message("Stalled")
    assert "belongs to the operator itself" in message
    assert "another spec.namespace.name" in message
    assert "inventory" not in await env.status(), "what stands there is taken down with the environment"
    await env.torn_down()
    after = await env.client.get(ObjectRef("v1", "Namespace", None, OPERATOR_NAMESPACE))
    assert after is not None
    assert after["metadata"] == (before or {})["metadata"]


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({}, {"namespace": {"name": "other"}}, "spec.namespace"),
        ({"namespace": {"name": "own-{name}"}}, {"namespace": {"name": "other"}}, "spec.namespace"),
        ({"namespace": {"name": "own-{name}"}}, {}, "spec.namespace"),
        ({}, {"database": {"name": "other"}}, "spec.database"),
    ],
)
async def test_a_field_that_must_not_change_is_refused_and_the_environment_stays_as_it_is(
    env: Operated, before: dict[str, Any], after: dict[str, Any], field: str
) -> None:
    if before:
        env.namespace = f"own-{env.name}"
        before = {"namespace": {"name": env.namespace}}
    env.apply(**before)
    await env.settle()
    versions = await env.versions()
    with pytest.raises(AssertionError, match="can't be changed, added or removed after creation") as refused:
        env.apply(**after)
    assert field in str(refused.value)
    await env.run()
    assert await env.versions() == versions


@pytest.fixture
async def source(env: Operated) -> AsyncIterator[str]:
    """The name of a pull secret in the operator's namespace, which is deleted afterwards."""
    name = f"pull-{env.name}"
    yield name
    env.kubectl("delete", "secret", name, "-n", OPERATOR_NAMESPACE, "--ignore-not-found")


DOCKER = "kubernetes.io/dockerconfigjson"
GOOD = json.dumps({"auths": {"registry.example": {"auth": base64.b64encode(b"robot:planted").decode()}}})


def write(env: Operated, name: str, content: dict[str, str], type_: str = DOCKER) -> None:
    """Replace the secret: its type can't be changed."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": type_,
        "metadata": {"name": name, "namespace": OPERATOR_NAMESPACE, "annotations": {ENVIRONMENTS: env.name}},
        "stringData": content,
    }
    env.kubectl("delete", "secret", name, "-n", OPERATOR_NAMESPACE, "--ignore-not-found")
    env.kubectl("create", "-f", "-", input=json.dumps(secret))


@pytest.mark.parametrize(
    ("content", "type_", "reason", "fault"),
    [
        (None, "", "PullSecretNotFound", "does not exist"),
        ({".dockerconfigjson": GOOD}, "Opaque", "PullSecretInvalid", f"has not the type {DOCKER}"),
        ({"user": "planted"}, "Opaque", "PullSecretInvalid", f"has not the type {DOCKER}"),
        ({".dockerconfigjson": "{}"}, DOCKER, "PullSecretInvalid", "no credentials for any registry below auths"),
        ({".dockerconfigjson": '{"auths":[]}'}, DOCKER, "PullSecretInvalid", "no credentials for any registry"),
        ({".dockerconfigjson": '{"auths":{}}'}, DOCKER, "PullSecretInvalid", "no credentials for any registry"),
    ],
    ids=["missing", "opaque", "user", "empty", "list", "no-registry"],
)
async def test_a_bad_pull_secret_is_told_with_the_command_that_mends_it_and_the_last_good_copy_stays(
    env: Operated, source: str, content: dict[str, str] | None, type_: str, reason: str, fault: str
) -> None:
    write(env, source, {".dockerconfigjson": GOOD})
    env.apply(registry={"pullSecretRef": {"name": source}})
    await env.settle()
    copied = await env.get("v1", "Secret", "biospark-registry")
    assert copied is not None
    if content is None:
        env.kubectl("delete", "secret", source, "-n", OPERATOR_NAMESPACE)
    else:
        write(env, source, content, type_)
    await env.run()
    assert await env.told("RegistryReady") == ("False", reason)
    assert await env.told("Stalled") == ("True", reason)
    message = await env.message("RegistryReady")
    assert fault in message
    assert "spec.registry.pullSecretRef" in message
    assert f"kubectl create secret docker-registry {source} -n {OPERATOR_NAMESPACE}" in message
    assert "planted" not in json.dumps(await env.status())
    still = await env.get("v1", "Secret", "biospark-registry")
    assert still is not None
    assert still["data"] == copied["data"]
    assert await env.get("apps/v1", "Deployment", "biospark-api")
    write(env, source, {".dockerconfigjson": GOOD})
    await env.run()
    assert await env.told("RegistryReady") == ("True", "Succeeded")


@pytest.mark.parametrize("content", ["not json", '["a list"]', ""])
def test_the_api_server_takes_no_pull_secret_that_is_no_json_object(kubectl: Kubectl, content: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": DOCKER,
        "metadata": {"name": "not-json", "namespace": OPERATOR_NAMESPACE},
        "stringData": {".dockerconfigjson": content},
    }
    refused = kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(secret), check=False)
    assert "data[.dockerconfigjson]" in refused.stderr


async def test_a_quota_that_leaves_no_room_for_the_pods_is_named_with_the_field_that_raises_it(env: Operated) -> None:
    env.apply(namespace={"quota": {"memory": "64Mi"}})
    await env.settle()

    async def told() -> bool:
        await env.run()
        return await env.told("WorkloadReady") == ("False", "QuotaExceeded")

    await until(told, env)
    message = await env.message("Ready")
    assert "biospark-quota" in message
    assert "spec.namespace.quota" in message
    env.apply(namespace={"quota": {"memory": "8Gi"}})
    await env.run()
    quota = await env.get("v1", "ResourceQuota", "biospark-quota")
    assert quota is not None
    assert quota["spec"]["hard"]["limits.memory"] == "8Gi"


async def until(holds: Callable[[], Any], env: Operated, seconds: float = 30) -> None:
    """Wait until `holds`; if it never does, fail with the status."""
    try:
        async with asyncio.timeout(seconds):
            while not await holds():
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {json.dumps(await env.status(), indent=1)}") from None


async def test_a_quota_of_somebody_else_that_refuses_our_objects_is_named(env: Operated) -> None:
    env.foreign_namespace()
    foreign = ["create", "quota", "theirs", "-n", env.namespace, "--hard=count/services=0"]
    env.kubectl(*foreign)
    env.apply(adoptionPolicy="IfUnowned")
    await env.run()
    before = await env.get("v1", "ResourceQuota", "theirs")

    async def told() -> bool:
        await env.run()
        return (await env.told("Stalled") or ("", ""))[0] == "True"

    await until(told, env)
    message = await env.message("WorkloadReady")
    assert "exceeded quota: theirs" in message
    assert f"Service {env.namespace}/biospark-api" in message
    after = await env.get("v1", "ResourceQuota", "theirs")
    assert before is not None
    assert after is not None
    assert after["spec"] == before["spec"]
    env.kubectl("delete", "quota", "theirs", "-n", env.namespace)
    await env.run()
    assert await env.get("v1", "Service", "biospark-api")


@pytest.mark.parametrize(
    ("state", "reported", "says"),
    [
        ("ImagePullBackOff", 'failed to resolve reference "x": registry.example/api:1: not found', "does not exist"),
        ("ErrImagePull", "pull access denied, repository does not exist or may require authorization", "pullSecretRef"),
        ("InvalidImageName", "couldn't parse image name", "correct spec.api.image"),
    ],
)
async def test_an_image_that_does_not_exist_is_told_with_the_fields_to_look_at(
    env: Operated, state: str, reported: str, says: str
) -> None:
    env.apply()
    await env.settle()

    async def pod() -> str:
        return env.kubectl("get", "pods", "-n", env.namespace, "-l", "app=biospark", "-o", "name").strip()

    await until(pod, env)
    # There is no node, so the test says what a kubelet would.
    waiting = {"name": "api", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    status = {"containerStatuses": [{**waiting, "state": {"waiting": {"reason": state, "message": reported}}}]}
    patch = ["patch", await pod(), "-n", env.namespace, "--subresource=status", "--type=merge"]
    env.kubectl(*patch, "-p", json.dumps({"status": {"phase": "Pending", **status}}))
    await env.run()
    assert (await env.told("WorkloadReady") or ("", ""))[1] == "ImagePullFailed"
    message = await env.message("WorkloadReady")
    assert "registry.example/api:1" in message
    assert says in message


async def test_a_copy_of_a_pull_secret_of_the_wrong_type_is_replaced(env: Operated, source: str) -> None:
    write(env, source, {".dockerconfigjson": GOOD})
    env.apply(registry={"pullSecretRef": {"name": source}})
    await env.settle()
    live: Any = await env.get("v1", "Secret", "biospark-registry")
    marks = {key: live["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    other = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": marks}
    env.kubectl("delete", "secret", "biospark-registry", "-n", env.namespace)
    env.kubectl("create", "-f", "-", input=json.dumps(other))
    await env.run()
    now: Any = await env.get("v1", "Secret", "biospark-registry")
    assert (now["type"], now["data"]) == (live["type"], live["data"])
    assert await env.told("RegistryReady") == ("True", "Succeeded")


async def test_the_largest_environment_fits_and_is_never_written_again(env: Operated) -> None:
    ports = [{"port": port} for port in range(1, 17)]
    env.apply(
        profile="Production",
        access={"bindings": [{"role": r, "subjects": subjects(64, 253)} for r in ("Viewer", "Developer", "Admin")]},
        network={
            "ingress": [{"name": f"in{n}".ljust(63, "x"), "namespace": f"n{n}", "ports": ports} for n in range(16)],
            "egress": [{"name": f"out{n}".ljust(63, "x"), "cidr": f"10.{n}.0.0/16", "ports": ports} for n in range(16)],
        },
        api={"autoscaling": {"minReplicas": 3, "maxReplicas": 9, "targetCPUPercent": 60}},
    )
    await env.settle()
    for condition in ("NamespaceReady", "AccessReady", "NetworkReady"):
        assert await env.told(condition) == ("True", "Succeeded"), await env.message(condition)
    before = await env.versions()
    await env.run()
    assert await env.versions() == before
    body = await env.body()
    assert len(body["status"]["inventory"]) < 100
    # etcd takes 1.5 MiB; the definition allows ten times as many entries as are here.
    assert len(json.dumps(body)) < 300_000
