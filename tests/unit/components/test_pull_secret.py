"""The copy of the image pull secret, and what is said when there is nothing fit to copy."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.clients.kubernetes.objects import Manifest
from biospark_operator.components import pull_secret
from biospark_operator.components.outside import ENVIRONMENTS
from biospark_operator.engine.convergence import converge
from biospark_operator.engine.outcome import Blocked, Ready
from tests.fakes.cluster import FakeCluster
from tests.fakes.environments import environment

ENV = environment(registry={"pullSecretRef": {"name": "pull"}})
CREATE = "kubectl create secret docker-registry pull -n biospark-system"
PASSWORD = "hunter2"
CONFIG = '{"auths": {"registry.example": {"auth": "hunter2"}}}'


def encoded(text: str) -> str:
    """Return text as Secrets keep it."""
    return base64.b64encode(text.encode()).decode()


def source(namespace: str = "biospark-system", **content: Any) -> Manifest:
    """Return the Secret to copy; `content` replaces what makes it good."""
    good = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encoded(CONFIG)}}
    metadata = {"name": "pull", "namespace": namespace, "annotations": {ENVIRONMENTS: "staging, dev"}}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, **good, **content}


class Leader:
    """Always the leader."""

    def check(self) -> None:
        return None


async def test_the_credentials_are_copied_as_they_are() -> None:
    cluster = FakeCluster(source())
    report = await converge(pull_secret.component(cluster, "biospark-system"), ENV, apply=True, leadership=Leader())
    assert isinstance(report.outcome, Ready)
    copies = await cluster.list("v1", "Secret", namespace="biospark-dev")
    assert [(copy["metadata"]["name"], copy["type"], copy["data"]) for copy in copies] == [
        ("biospark-registry", "kubernetes.io/dockerconfigjson", source()["data"])
    ]


async def test_a_changed_source_is_followed() -> None:
    cluster = FakeCluster(source())
    component = pull_secret.component(cluster, "biospark-system")
    await converge(component, ENV, apply=True, leadership=Leader())
    changed = {".dockerconfigjson": encoded('{"auths": {"other.example": {}}}')}
    await cluster.apply(source(data=changed), force=True)
    await converge(component, ENV, apply=True, leadership=Leader())
    copies = await cluster.list("v1", "Secret", namespace="biospark-dev")
    assert [copy["data"] for copy in copies] == [changed]


async def test_only_the_operators_namespace_is_a_source() -> None:
    cluster = FakeCluster(source(namespace="default"))
    report = await converge(pull_secret.component(cluster, "biospark-system"), ENV, apply=True, leadership=Leader())
    words = (
        f"Secret biospark-system/pull does not exist; create it with {CREATE}, or correct spec.registry.pullSecretRef"
    )
    assert report.outcome == Blocked(Reason.PULL_SECRET_NOT_FOUND, words)


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        (source(type="Opaque"), "has not the type kubernetes.io/dockerconfigjson"),
        (source(data={}), "has no key .dockerconfigjson"),
        (source(data=None), "has no key .dockerconfigjson"),
        *(
            (source(data={".dockerconfigjson": data}), "has no credentials for any registry below auths in its key "
             ".dockerconfigjson")
            for data in (
                f"!{PASSWORD}!",
                base64.b64encode(b"\xff\xfe").decode(),
                encoded(f"user:{PASSWORD}"),
                encoded("[]"),
                encoded("{}"),
                encoded('{"auths": {}}'),
                encoded(f'{{"auths": "{PASSWORD}"}}'),
            )
        ),
    ],
)  # fmt: skip
async def test_a_secret_that_nodes_could_not_use_is_refused_without_its_values(secret: Manifest, fault: str) -> None:
    component = pull_secret.component(FakeCluster(secret), "biospark-system")
    refused = component.refuse(ENV, await component.observe(ENV))
    words = f"Secret biospark-system/pull (spec.registry.pullSecretRef) {fault}; recreate it with {CREATE}"
    assert refused == Blocked(Reason.PULL_SECRET_INVALID, words)


@pytest.mark.parametrize("said", [None, "", "production", "deva, xdev", "dev staging", "Dev"])
async def test_a_secret_that_is_not_for_this_environment_is_not_copied(said: str | None) -> None:
    secret = source()
    secret["metadata"]["annotations"] = {} if said is None else {ENVIRONMENTS: said}
    cluster = FakeCluster(secret)
    report = await converge(pull_secret.component(cluster, "biospark-system"), ENV, apply=True, leadership=Leader())
    words = (
        "Secret biospark-system/pull (spec.registry.pullSecretRef) may not be used for the environment dev; an "
        "administrator of the namespace biospark-system has to add dev to its annotation biospark.ai/environments"
    )
    assert report.outcome == Blocked(Reason.SECRET_USE_REFUSED, words)
    assert await cluster.list("v1", "Secret", namespace="biospark-dev") == []


@pytest.mark.parametrize("said", ["dev", "*", " staging ,dev,", "production,*"])
async def test_a_secret_says_itself_in_which_environments_it_may_be_used(said: str) -> None:
    secret = source()
    secret["metadata"]["annotations"] = {ENVIRONMENTS: said}
    component = pull_secret.component(FakeCluster(secret), "biospark-system")
    report = await converge(component, ENV, apply=True, leadership=Leader())
    assert isinstance(report.outcome, Ready)


async def test_no_credential_is_part_of_what_users_see() -> None:
    component = pull_secret.component(FakeCluster(source()), "biospark-system")
    actions = component.plan(ENV, await component.observe(ENV))
    assert [action.summary for action in actions] == ["create Secret biospark-dev/biospark-registry"]
    assert encoded(CONFIG) not in repr(actions)


def test_without_a_reference_there_is_no_pull_secret() -> None:
    component = pull_secret.component(FakeCluster(), "biospark-system")
    assert not component.enabled(environment())
    assert component.enabled(ENV)
