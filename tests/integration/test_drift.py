"""What others change about the objects of an environment: put back, named, left where it is theirs, and fought over."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from biospark_operator.engine.contest import QUIET
from biospark_operator.engine.passes import Next
from tests.integration.conftest import Operated

pytestmark = pytest.mark.integration

POLICY = "networking.k8s.io/v1"
RBAC = "rbac.authorization.k8s.io/v1"


@pytest.mark.parametrize("profile", ["Development", "Staging", "Production"])
async def test_an_unchanged_environment_is_never_written(env: Operated, profile: str) -> None:
    env.apply(profile=profile, network={"ingress": [{"name": "jobs", "namespace": "jobs"}]})
    await env.settle()
    before = await env.versions()
    env.memory = type(env.memory)()
    await env.run()
    assert await env.versions() == before
    assert "drift" not in await env.status()


@pytest.mark.parametrize(
    ("kind", "name", "patch"),
    [
        ("networkpolicy", "biospark-default-deny", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
        ("networkpolicy", "biospark-allow-dns", {"spec": {"egress": []}}),
        ("resourcequota", "biospark-quota", {"spec": {"hard": {"pods": "99"}}}),
        ("limitrange", "biospark-limits", {"spec": {"limits": []}}),
        ("role", "biospark-viewer", {"rules": []}),
        ("role", "biospark-viewer", {"metadata": {"labels": {"biospark.ai/environment": "other"}}}),
        ("serviceaccount", "biospark-api", {"automountServiceAccountToken": True}),
        ("service", "biospark-api", {"spec": {"selector": {"app": "other"}}}),
        ("deployment", "biospark-api", {"spec": {"progressDeadlineSeconds": 99}}),
    ],
)
async def test_a_field_that_somebody_changed_is_put_back_and_named(
    env: Operated, kind: str, name: str, patch: dict[str, object]
) -> None:
    env.apply()
    await env.settle()
    before = env.kubectl("get", kind, name, "-n", env.namespace, "-o", "jsonpath={.spec}{.rules}{.metadata.labels}")
    env.kubectl("patch", kind, name, "-n", env.namespace, "--type=merge", "-p", json.dumps(patch))
    await env.run()
    after = env.kubectl("get", kind, name, "-n", env.namespace, "-o", "jsonpath={.spec}{.rules}{.metadata.labels}")
    assert after == before
    drifted = [d["target"].rpartition("/")[2] for d in (await env.status()).get("drift", ())]
    # Drift is told of components that were ready; without a node the workload never is.
    assert drifted == ([] if kind in ("service", "deployment") else [name])


async def test_subjects_of_one_name_are_told_apart(env: Operated) -> None:
    subjects = [
        {"kind": "User", "name": "support"},
        {"kind": "Group", "name": "support"},
        {"kind": "ServiceAccount", "name": "default", "namespace": "a"},
        {"kind": "ServiceAccount", "name": "default", "namespace": "b"},
    ]
    env.apply(access={"bindings": [{"role": "Viewer", "subjects": subjects}]})
    await env.settle()
    assert await env.told("AccessReady") == ("True", "Succeeded")
    before = await env.versions()
    await env.run()
    assert await env.versions() == before
    assert "drift" not in await env.status()


async def test_labels_that_others_add_stay(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("label", "namespace", env.namespace, "team=heart")
    env.kubectl("annotate", "deployment", "biospark-api", "-n", env.namespace, "note=seen")
    await env.run()
    assert env.kubectl("get", "ns", env.namespace, "-o", "jsonpath={.metadata.labels.team}") == "heart"
    assert "drift" not in await env.status()


async def test_an_object_that_lost_all_its_labels_is_still_ours_and_gets_them_back(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl(
        "patch", "role", "biospark-admin", "-n", env.namespace, "--type=merge", "-p", '{"metadata":{"labels":null}}'
    )
    await env.run()
    role = await env.get(RBAC, "Role", "biospark-admin")
    assert role["metadata"]["labels"]["biospark.ai/environment"] == env.name


async def test_a_deleted_object_comes_back(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.kubectl("delete", "networkpolicy", "--all", "-n", env.namespace)
    await env.run()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-default-deny")
    assert await env.told("NetworkReady") == ("True", "Succeeded")


async def test_mode_plan_finds_drift_and_leaves_it(env: Operated) -> None:
    env.apply()
    await env.settle()
    env.apply(mode="Plan")
    await env.run()
    env.kubectl("delete", "role", "biospark-viewer", "-n", env.namespace)
    await env.run()
    assert await env.get(RBAC, "Role", "biospark-viewer") is None
    assert [a["target"] for a in (await env.status())["plan"]["actions"]] == [
        f"{RBAC} Role {env.namespace}/biospark-viewer"
    ]


class Opponent:
    """Somebody who sets a field of an object back, and a clock that runs as fast as the test wants."""

    def __init__(self, env: Operated, target: tuple[str, str], patch: dict[str, object], manager: str) -> None:
        self.env, self.target, self.patch, self.manager = env, target, patch, manager
        self.now, self.next = 1000.0, Next(None)
        env.reconciler = replace(env.reconciler, monotonic=lambda: self.now)

    async def strikes(self) -> None:
        """Set the field, and let the operator look."""
        change = ["--type=merge", "-p", json.dumps(self.patch), f"--field-manager={self.manager}"]
        self.env.kubectl("patch", *self.target, "-n", self.env.namespace, *change)
        self.next = await self.env.run()

    async def looks(self) -> None:
        """Let the operator look of its own accord."""
        self.next = await self.env.run(changed=False)

    async def fights(self, condition: str) -> None:
        """Go on until the operator says that somebody fights with it."""
        for _ in range(20):
            await self.strikes()
            if await self.env.told(condition) == ("False", "DriftContested"):
                return
            self.now += 5
        raise AssertionError(f"nobody noticed: {await self.env.status()}")


def pods_of_the_quota(env: Operated) -> str:
    return env.kubectl("get", "quota", "biospark-quota", "-n", env.namespace, "-o", "jsonpath={.spec.hard.pods}")


RAISED = {"spec": {"hard": {"pods": "999"}}}


async def test_who_fights_over_a_field_is_named_with_the_field_and_is_answered_ever_more_seldom(env: Operated) -> None:
    env.apply()
    await env.settle()
    opponent = Opponent(env, ("resourcequota", "biospark-quota"), RAISED, "cost-controller")
    await opponent.fights("NamespaceReady")
    assert await env.told("Ready") == ("False", "DriftContested")
    assert await env.told("Stalled") == ("True", "DriftContested")
    message = await env.message("NamespaceReady")
    quota = f"v1 ResourceQuota {env.namespace}/biospark-quota"
    assert f"cost-controller keeps changing spec.hard.pods of {quota}" in message
    await opponent.strikes()
    assert pods_of_the_quota(env) == "999"
    for _ in range(10):
        opponent.now += opponent.next.after or 0
        await opponent.looks()
    assert pods_of_the_quota(env) == "20"
    events = json.loads(
        env.kubectl("get", "events", "--field-selector", f"involvedObject.name={env.name}", "-o", "json")
    )["items"]
    assert [event["type"] for event in events if event["reason"] == "DriftContested"] == ["Warning"]


async def test_a_fight_slows_nothing_else_down_and_is_over_when_it_ends(env: Operated) -> None:
    env.apply()
    await env.settle()
    opponent = Opponent(env, ("resourcequota", "biospark-quota"), RAISED, "cost-controller")
    await opponent.fights("NamespaceReady")
    env.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", env.namespace)
    env.kubectl(
        "patch", "limitrange", "biospark-limits", "-n", env.namespace, "--type=merge", "-p", '{"spec":{"limits":[]}}'
    )
    await opponent.strikes()
    assert await env.get(POLICY, "NetworkPolicy", "biospark-default-deny")
    limits = await env.get("v1", "LimitRange", "biospark-limits")
    assert limits is not None
    assert limits["spec"]["limits"]
    opponent.now += 30
    await opponent.looks()
    assert pods_of_the_quota(env) == "20"
    opponent.now += QUIET - 30
    await opponent.looks()
    assert await env.told("NamespaceReady") == ("False", "DriftContested"), "it may come back"
    opponent.now += 60
    await opponent.looks()
    assert await env.told("NamespaceReady") == ("True", "Succeeded")
    await opponent.strikes()
    assert pods_of_the_quota(env) == "20"


async def test_who_asks_for_a_pass_gets_a_contested_field_repaired_at_once(env: Operated) -> None:
    env.apply()
    await env.settle()
    opponent = Opponent(env, ("role", "biospark-viewer"), {"rules": []}, "rbac-sync")
    await opponent.fights("AccessReady")
    await opponent.strikes()
    assert not (await env.get(RBAC, "Role", "biospark-viewer") or {})["rules"]
    env.kubectl("annotate", "bse", env.name, "biospark.ai/reconcile-requested-at=now")
    await env.run()
    assert (await env.get(RBAC, "Role", "biospark-viewer") or {})["rules"]
    assert await env.told("AccessReady") == ("True", "Succeeded")


async def test_an_object_that_is_deleted_again_and_again_is_told_as_such(env: Operated) -> None:
    env.apply()
    await env.settle()
    opponent = Opponent(env, ("role", "biospark-viewer"), {}, "nobody")

    async def strikes() -> None:
        env.kubectl("delete", "role", "biospark-viewer", "-n", env.namespace, "--ignore-not-found")
        await env.run()

    opponent.strikes = strikes  # type: ignore[method-assign]
    await opponent.fights("AccessReady")
    assert f"Role {env.namespace}/biospark-viewer keeps being deleted" in await env.message("AccessReady")


async def test_a_manager_that_scales_the_api_is_named(env: Operated) -> None:
    env.apply()
    await env.settle()
    opponent = Opponent(env, ("deployment", "biospark-api"), {}, "")

    async def strikes() -> None:
        env.kubectl("scale", "deployment", "biospark-api", "-n", env.namespace, "--replicas=4")
        await env.run()

    opponent.strikes = strikes  # type: ignore[method-assign]
    await opponent.fights("WorkloadReady")
    message = await env.message("WorkloadReady")
    assert f"kubectl keeps changing spec.replicas of apps/v1 Deployment {env.namespace}/biospark-api" in message
