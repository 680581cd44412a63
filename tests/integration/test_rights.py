"""The operator has the rights that it needs and no others, and says which one is missing.

It runs through everything that it can do with the rights of the chart, and all its calls are recorded. Then each
right is taken away from a user who has all the others: the authorizer must refuse one of the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dev.deploy import NAMESPACE, RELEASE, Tools
from tests.chaos.faults import Call
from tests.integration.authorization import Authorizer, Request, Right, deprived, requests_of
from tests.integration.restricted import ROLES, Restricted, apply, chart_rights, pull_secret, restricted
from tests.operator_process import Site
from tests.unit.chart.helm import Manifest

pytestmark = pytest.mark.integration

RBAC = "rbac.authorization.k8s.io"
THREADS = 4

EVERYTHING: Mapping[str, Any] = {
    "profile": "Production",
    "deletionProtection": False,
    "access": {"bindings": [{"role": "Viewer", "subjects": [{"kind": "Group", "name": "support"}]}]},
    "network": {"egress": [{"name": "labs", "cidr": "10.9.0.0/16", "ports": [{"port": 443}]}]},
    "api": {"autoscaling": {"minReplicas": 2, "maxReplicas": 3, "targetCPUPercent": 80}},
}


# What it does


async def everything_that_it_does(run: Restricted) -> None:
    """Lead the operator through all that an environment can ask of it."""
    tools = Tools(Path(run.kubeconfig))
    site, adopted = run.site(), run.site()
    source = f"pull-{site.name}"
    wanted = {**EVERYTHING, "registry": {"pullSecretRef": {"name": source}}}
    tools.kubectl("create", "namespace", adopted.namespace)
    tools.kubectl("annotate", "namespace", adopted.namespace, f"biospark.ai/adoptable-by={adopted.name}")
    apply(tools, [pull_secret(source, "first")])
    site.apply(**wanted)
    adopted.apply(adoptionPolicy="IfUnowned")
    await site.settled()
    await adopted.settled()
    await it_repairs(site)
    await it_follows_the_pull_secret(site, source, lambda: apply(tools, [pull_secret(source, "second")]))
    site.apply()
    await its_parts_are(site, there=False)
    site.apply(**wanted)
    await its_parts_are(site, there=True)
    site.delete()
    adopted.delete()
    await site.until(lambda: is_gone(site), "the environment is gone", 60)
    await site.until(lambda: is_gone(adopted), "the environment of the adopted namespace is gone", 60)
    # The namespace was there before, so it stays.
    tools.kubectl("delete", "namespace", adopted.namespace, "--ignore-not-found", "--wait=false")
    tools.kubectl("delete", "secret", source, "-n", NAMESPACE)
    assert await run.operator.terminate() == 0


async def it_repairs(site: Site) -> None:
    before = await site.policy()
    assert before is not None
    site.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", site.namespace)

    async def back() -> bool:
        now = await site.policy()
        return now is not None and now["metadata"]["uid"] != before["metadata"]["uid"]

    await site.until(back, "the network policy is back")


async def it_follows_the_pull_secret(site: Site, source: str, change: Callable[[], None]) -> None:
    before = await site.get("v1", "Secret", "biospark-registry")
    assert before is not None
    change()

    async def followed() -> bool:
        now = await site.get("v1", "Secret", "biospark-registry")
        return now is not None and now["data"] != before["data"]

    await site.until(followed, f"the copy follows {source}")


async def its_parts_are(site: Site, *, there: bool) -> None:
    """Wait until what not every environment has is there, or gone."""
    parts = (
        ("v1", "Secret", "biospark-registry"),
        ("policy/v1", "PodDisruptionBudget", "biospark-api"),
        ("autoscaling/v2", "HorizontalPodAutoscaler", "biospark-api"),
        (f"{RBAC}/v1", "RoleBinding", "biospark-viewer"),
    )

    async def so() -> bool:
        found = [await site.get(*part) is not None for part in parts]
        return all(found) if there else not any(found)

    await site.until(so, f"the parts that are optional are {'there' if there else 'gone'}")


async def is_gone(site: Site) -> bool:
    return await site.body() is None


@pytest.fixture(scope="module")
def calls(own_control_plane: str, tmp_path_factory: pytest.TempPathFactory) -> Sequence[Call]:
    """All calls of an operator that had the chart's rights and did everything."""

    async def recorded() -> Sequence[Call]:
        async with restricted(own_control_plane, tmp_path_factory.mktemp("everything")) as run:
            await everything_that_it_does(run)
            return run.proxy.calls

    return asyncio.run(recorded())


@pytest.fixture(scope="module")
def requests(calls: Sequence[Call]) -> Sequence[Request]:
    """What the authorizer was asked for these calls."""
    return sorted({request for call in calls for request in requests_of(call)})


def test_the_operator_is_refused_nothing(calls: Sequence[Call]) -> None:
    assert len(calls) > 100
    assert [str(call) for call in calls if call.status in (401, 403)] == []


# What it needs


def test_no_right_of_the_operator_is_superfluous(
    own_control_plane: str, calls: Sequence[Call], requests: Sequence[Request]
) -> None:
    cluster, own = own_roles()
    authorizer = Authorizer(own_control_plane)
    # Of objects that did not exist, since admission looks at owners when they are set. They are in no namespace, as
    # all namespaces of the scenario are gone.
    made = [call for call in calls if call.path.startswith("/api/v1/namespaces/") and call.status == 201]
    namespaces = [(call.path, call.json()) for call in made if call.path.count("/") == 4]
    assert namespaces

    def is_needed(user: str, right: Right) -> bool:
        likely_first = sorted(requests, key=lambda request: not right.covers(request))
        return not all(authorizer.allows(user, request) for request in likely_first) or any(
            authorizer.apply_as(user, path, body) for path, body in namespaces
        )

    unneeded = []
    for role, companion in ((cluster, own), (own, cluster)):
        with deprived(own_control_plane, role, [companion]) as users:
            unneeded += superfluous(authorizer, role, users, is_needed)
    hint = "nothing breaks without these: remove them, or add what needs them to what the operator is led through"
    assert not unneeded, f"{hint}\n" + "\n".join(unneeded)


def test_every_right_that_the_operator_grants_is_in_a_role_that_it_makes(
    own_control_plane: str, calls: Sequence[Call]
) -> None:
    (grants,) = (role for role in chart_rights() if role["kind"] == "ClusterRole" and is_grants(role))
    authorizer = Authorizer(own_control_plane)
    # Not those beside the operator, which grant nothing to anybody.
    beside = f"/namespaces/{NAMESPACE}/"
    roles = [call for call in calls if call.method == "PATCH" and "/roles/" in call.path and beside not in call.path]
    applied = [call.json() for call in roles]
    # In a namespace that exists; and without an owner, whom to block is another right.
    bodies = {
        body["metadata"]["name"]: {
            **body, "metadata": {"name": body["metadata"]["name"], "namespace": "default"}
        }
        for body in applied
    }  # fmt: skip
    most_first = ("biospark-admin", "biospark-developer", "biospark-viewer")
    assert bodies.keys() == set(most_first)

    def refusals(user: str) -> Iterator[str | None]:
        for name in most_first:
            yield authorizer.apply_as(user, f"/apis/{RBAC}/v1/namespaces/default/roles/{name}", bodies[name])

    def is_needed(user: str, right: Right) -> bool:
        return any(refusals(user))

    with deprived(own_control_plane, grants) as users:
        unneeded = superfluous(authorizer, grants, users, is_needed)
    assert not unneeded, "no role in an environment has\n" + "\n".join(unneeded)
    assert not any(refusals(f"system:serviceaccount:{NAMESPACE}:{RELEASE}"))


def own_roles() -> tuple[Manifest, Manifest]:
    """Return the roles for what the operator does itself: in the cluster, and in its own namespace."""
    cluster, own = (role for role in chart_rights() if role["kind"] in ROLES and not is_grants(role))
    return (cluster, own) if cluster["kind"] == "ClusterRole" else (own, cluster)


def is_grants(role: Manifest) -> bool:
    return bool(role["metadata"]["name"] == f"{RELEASE}-grants")


def superfluous(
    authorizer: Authorizer, role: Manifest, users: Mapping[Right, str], is_needed: Callable[[str, Right], bool]
) -> list[str]:
    """Return the rights of a role that nobody misses."""

    def missed(right: Right) -> bool:
        # Somebody who has nothing yet would miss everything: the authorizer has to know the new role first.
        others = [Request(r.group, r.resource, r.verb, namespace_of(role), r.name or "") for r in users if r != right]
        authorizer.wait_until_allowed(users[right], others[-1])
        return is_needed(users[right], right)

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(missed, users))
    return [
        f"{role['kind']} {role['metadata']['name']}: {r}"
        for r, is_missed in zip(users, answers, strict=True)
        if not is_missed
    ]


def namespace_of(role: Manifest) -> str:
    return str(role["metadata"].get("namespace", ""))
