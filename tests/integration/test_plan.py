"""Mode Plan changes nothing at all, and says exactly what mode Apply then does.

Both are seen from outside: by the resourceVersions of every object in the cluster, and by the calls that a real
operator process makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from biospark_operator.api.platform import Platform
from biospark_operator.clients.kubernetes.objects import ObjectRef
from biospark_operator.components import catalog
from dev.cluster.api import path_of
from dev.deploy import Tools
from tests.chaos.faults import Call, Hold
from tests.integration.all_objects import Place, all_objects
from tests.integration.restricted import Restricted, apply, ask_again, passed, pull_secret, restricted
from tests.operator_process import LEASE, Site

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
]

#: What the operator writes in any mode (its status, its finalizer, Events, the Lease), and what others move by
#: themselves all the time.
MOVING = {
    ("biospark.ai", "biosparkenvironments"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("coordination.k8s.io", "leases"),
    ("", "nodes"),
}
#: What the name of the Role by which the operator tells deletions apart begins with.
TRACE = "biospark-environment-"
REQUIRES: Mapping[str, frozenset[str]] = {
    component.name: component.requires
    for component in catalog.components(None, Platform(), operator_namespace="any")  # type: ignore[arg-type]
}
LABS = {"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}
SUPPORT = {"role": "Viewer", "subjects": [{"kind": "Group", "name": "support"}]}

#: A step of a plan, or one that was seen: component, verb, target.
Step = tuple[str, str, str]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def run(own_control_plane: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Restricted]:
    """An operator for all tests here."""
    async with restricted(own_control_plane, tmp_path_factory.mktemp("plan")) as running:
        yield running


async def test_a_first_installation(run: Restricted) -> None:
    site = run.site()
    source = f"pull-{site.name}"
    apply(Tools(Path(run.kubeconfig)), [pull_secret(source, "any")])
    wanted: dict[str, Any] = {
        "profile": "Staging",
        "registry": {"pullSecretRef": {"name": source}},
        "network": {"egress": [LABS]},
        "access": {"bindings": [SUPPORT]},
    }
    plan = await planned_without_a_trace(run, site, wanted)
    assert {component for component, _, _ in plan} == {"namespace", "access", "registry", "network", "workload"}
    assert {verb for _, verb, _ in plan} == {"Create"}
    await applied_as_planned(run, site, wanted, plan)


async def test_a_change_that_prunes(run: Restricted) -> None:
    site = run.site()
    site.apply(network={"egress": [LABS]}, access={"bindings": [SUPPORT]})
    await site.settled()
    wanted: dict[str, Any] = {"api": {"resources": {"requests": {"cpu": "50m"}}}, "namespace": {"quota": {"pods": 7}}}
    plan = await planned_without_a_trace(run, site, wanted)
    assert sorted((component, verb) for component, verb, _ in plan) == [
        # The binding, and what lets those who were bound read the environment.
        ("access", "Delete"),
        ("access", "Delete"),
        ("access", "Delete"),
        ("namespace", "Update"),
        ("network", "Delete"),
        ("workload", "Update"),
    ]
    await applied_as_planned(run, site, wanted, plan)


async def test_drift(run: Restricted) -> None:
    site = run.site()
    site.apply()
    await site.settled()
    site.apply(mode="Plan")
    await planned(site)

    inside = ("-n", site.namespace)
    site.kubectl("delete", "role", "biospark-viewer", *inside)
    site.kubectl("patch", "quota", "biospark-quota", *inside, "--type=merge", "-p", '{"spec":{"hard":{"pods":"99"}}}')
    site.kubectl("label", "serviceaccount", "biospark-api", *inside, "biospark.ai/environment-")
    site.kubectl("scale", "deployment", "biospark-api", *inside, "--replicas=3")
    plan = await planned_without_a_trace(run, site, {})
    assert sorted(plan) == [
        ("access", "Create", f"rbac.authorization.k8s.io/v1 Role {site.namespace}/biospark-viewer"),
        ("access", "Update", f"v1 ServiceAccount {site.namespace}/biospark-api"),
        ("namespace", "Update", f"v1 ResourceQuota {site.namespace}/biospark-quota"),
        ("workload", "Update", f"apps/v1 Deployment {site.namespace}/biospark-api"),
    ]
    await applied_as_planned(run, site, {}, plan)


async def test_the_adoption_of_a_namespace(run: Restricted) -> None:
    site = run.site()
    site.kubectl("create", "namespace", site.namespace)
    site.kubectl("annotate", "namespace", site.namespace, f"biospark.ai/adoptable-by={site.name}")
    wanted = {"adoptionPolicy": "IfUnowned"}
    plan = await planned_without_a_trace(run, site, wanted)
    assert ("namespace", "Update", f"v1 Namespace {site.namespace}") in plan
    await applied_as_planned(run, site, wanted, plan)


async def test_a_planned_environment_is_gone_also_when_it_is_deleted_in_the_middle_of_a_pass(run: Restricted) -> None:
    site = run.site()
    site.apply(mode="Plan")
    await planned(site)
    # What does not exist is asked for in each pass.
    with run.proxy.add(lambda call: call.path == f"/api/v1/namespaces/{site.namespace}", Hold()) as held:
        await ask_again(site)
        await held.hit()
        site.delete()
        await asyncio.sleep(1)  # nothing shows when the process got to know

    async def is_gone() -> bool:
        return await site.body() is None

    await site.until(is_gone, "the environment is gone", 20)


# What is looked at


async def planned_without_a_trace(run: Restricted, site: Site, wanted: Mapping[str, Any]) -> list[Step]:
    """Let mode Plan look at an environment, and return its plan. Fails if anything in the cluster changed."""
    before, since = await at_rest(run.kubeconfig), len(run.proxy.calls)
    site.apply(**wanted, mode="Plan")
    plan = await planned(site)
    after = await versions(run.kubeconfig)
    assert changed(before, after) == []
    assert unexpected(run.proxy.mutating(since), site) == []
    return plan


async def planned(site: Site) -> list[Step]:
    """Wait until there is a plan for what is wanted now, and return it."""
    await passed(site)
    body = await site.body()
    found = body["status"]["plan"]
    assert found["generation"] == body["metadata"]["generation"]
    assert found.get("omitted", 0) == 0
    return [(action["component"], action["verb"], action["target"]) for action in found.get("actions", ())]


async def applied_as_planned(run: Restricted, site: Site, wanted: Mapping[str, Any], plan: Sequence[Step]) -> None:
    """Switch to mode Apply and fail if it does anything else than planned, or in another order."""
    since = len(run.proxy.calls)
    site.apply(**wanted, mode="Apply")
    await site.settled()
    await passed(site)
    steps = list(seen(run.proxy.mutating(since), site, plan))
    assert sorted(steps) == sorted(plan)
    components = dict.fromkeys(component for component, _, _ in plan)
    for component in components:
        assert of(component, steps) == of(component, plan)
    # Components that do not need each other work at the same time; what is removed is removed when all is applied.
    order = [component for component, verb, _ in steps if verb != "Delete"]
    assert order == [component for component, verb, _ in steps][: len(order)]
    for component in order:
        for needed in REQUIRES[component] & set(order):
            assert len(order) - order[::-1].index(needed) <= order.index(component)


def of(component: str, steps: Sequence[Step]) -> list[Step]:
    """Return what is applied of one component, in order, and then what is deleted."""
    own = [step for step in steps if step[0] == component]
    return [*(step for step in own if step[1] != "Delete"), *sorted(step for step in own if step[1] == "Delete")]


def seen(calls: Sequence[Call], site: Site, plan: Sequence[Step]) -> Iterator[Step]:
    """Yield what calls did, in the words of a plan; what is not in the plan is told by its path."""
    known = {path_of(as_manifest(target)): (component, target) for component, _, target in plan}
    verbs = {("PATCH", 201): "Create", ("PATCH", 200): "Update", ("DELETE", 200): "Delete"}
    for call in calls:
        if not is_own_record(call, site) and not is_record_of_an_applied_one(call, site):
            component, target = known.get(call.path, ("nobody's", call.path))
            yield component, verbs.get((call.method, call.status or 0), str(call)), target


def as_manifest(target: str) -> Mapping[str, Any]:
    ref = ObjectRef.parse(target)
    metadata = {"name": ref.name, "namespace": ref.namespace}
    return {"apiVersion": ref.api_version, "kind": ref.kind, "metadata": metadata}


def is_own_record(call: Call, site: Site) -> bool:
    """Whether a call writes what the operator writes in any mode: the status, its finalizer, Events, the Lease."""
    own = f"/apis/biospark.ai/v1alpha1/biosparkenvironments/{site.name}"
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{LEASE.namespace}/leases"
    touched = [op["path"] for op in call.json() if op["op"] != "test"] if call.path == own else []
    return (
        call.path in (f"{own}/status", "/apis/events.k8s.io/v1/namespaces/default/events")
        or call.path.startswith(lease)
        or (touched and all(path.startswith("/metadata/finalizers") for path in touched))
    )


def is_record_of_an_applied_one(call: Call, site: Site) -> bool:
    """Whether a call writes what is kept of environments that exist: the trace of orphaning, Events for its readers."""
    roles = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{LEASE.namespace}/roles"
    return call.path in (
        f"{roles}/{TRACE}{site.name}",
        f"/apis/events.k8s.io/v1/namespaces/{site.namespace}/events",
    )


def unexpected(calls: Sequence[Call], site: Site) -> list[str]:
    return [str(call) for call in calls if not is_own_record(call, site)]


async def versions(kubeconfig: str) -> Mapping[Place, str]:
    """Return the resourceVersion of everything that does not move by itself."""
    return _versions(await asyncio.to_thread(all_objects, kubeconfig))


def _versions(found: Mapping[Place, Mapping[str, Any]]) -> Mapping[Place, str]:
    return {
        place: item["metadata"].get("resourceVersion", "")
        for place, item in found.items()
        if (place.group, place.resource) not in MOVING and not is_trace(place)
    }


def is_trace(place: Place) -> bool:
    """Whether it is a Role by which deletions are told apart. Those of environments of other tests go when the garbage
    collector comes to them; that none is made here is seen by the calls.
    """
    return place.namespace == LEASE.namespace and place.name.startswith(TRACE)


async def at_rest(kubeconfig: str, seconds: float = 90) -> Mapping[Place, str]:
    """Wait until controllers are done with what was changed, and return `versions`."""
    before: Mapping[Place, str] = {}
    try:
        async with asyncio.timeout(seconds):
            while True:
                found = await asyncio.to_thread(all_objects, kubeconfig)
                now = _versions(found)
                # It may stand still for seconds before it goes: namespaces wait for what is in them, and environments
                # for the operator, which deletes what is theirs.
                ending = [str(place) for place, item in found.items() if "deletionTimestamp" in item["metadata"]]
                last = ending or changed(before, now)
                if not last:
                    return now
                before = now
                await asyncio.sleep(0.5)
    except TimeoutError:
        raise AssertionError(f"still changing after {seconds} s: {last}") from None


def changed(before: Mapping[Place, str], after: Mapping[Place, str]) -> list[str]:
    """Return what was created, changed or deleted."""
    return [str(place) for place in sorted(before.keys() | after.keys()) if before.get(place) != after.get(place)]
