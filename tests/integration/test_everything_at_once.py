"""What a running operator makes of many things at once: environments, a definition deleted under it, a fight."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.client import connected
from biospark_operator.clients.kubernetes.objects import ObjectRef
from dev.deploy import Tools
from tests.operator_process import Operator, Site

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("rights")]

#: Environments that are made and deleted together; fifty are the full form of the test.
MANY = 50 if os.environ.get("BIOSPARK_LONG") == "1" else 15
DEFINITION = "biosparkenvironments.biospark.ai"


@pytest.fixture
async def site(own_control_plane: str, tmp_path: Path) -> AsyncIterator[Site]:
    """A running operator, and an environment that is there if the test makes it."""
    operator = Operator(own_control_plane, tmp_path / "log").start()
    async with connected(kubeconfig=own_control_plane) as client:
        made = Site(client, own_control_plane, operator)
        try:
            yield made
        finally:
            # First: it would put the finalizers back, and the next operator here would have to delete what is left.
            if operator.alive:
                operator.kill()
            Tools(Path(own_control_plane)).define()
            patch = ["--type=merge", "-p", '{"metadata":{"finalizers":null}}']
            for name in made.kubectl("get", "bse", "-o", "name").split():
                made.kubectl("patch", name, *patch)
                made.kubectl("delete", name, "--ignore-not-found", "--wait=false")
            label = "-lapp.kubernetes.io/managed-by=biospark-operator"
            made.kubectl("delete", "namespace", label, "--wait=false")


def problems(operator: Operator) -> list[str]:
    """Return what the log says that is worse than INFO."""
    lines = [json.loads(line) for line in operator.log.read_text().splitlines()]
    return [line for line in lines if line["level"] not in ("DEBUG", "INFO")]


def beside(site: Site) -> Site:
    """Return another environment of the same operator."""
    return Site(site.client, site.kubeconfig, site.operator)


async def namespace(site: Site) -> Any:
    return await site.client.get(ObjectRef("v1", "Namespace", None, site.namespace))


async def test_many_environments_are_made_and_deleted_together(site: Site, record_property: Any) -> None:
    names = [f"{site.name}-{number}" for number in range(MANY)]
    bodies = [
        {
            "apiVersion": "biospark.ai/v1alpha1",
            "kind": "BioSparkEnvironment",
            "metadata": {"name": name, "labels": {"batch": site.name}},
            "spec": {"profile": "Development", "host": f"{name}.biospark.example"},
        }
        for name in names
    ]
    batch = f"-lbatch={site.name}"
    began = time.monotonic()
    site.kubectl(
        "apply", "--server-side", "-f", "-", text=json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies})
    )

    async def conditions() -> list[dict[str, str]]:
        found = await site.client.list("biospark.ai/v1alpha1", "BioSparkEnvironment", labels=f"batch={site.name}")
        return [{c["type"]: c["status"] for c in (item.get("status") or {}).get("conditions", ())} for item in found]

    async def made() -> bool:
        parts = ("NamespaceReady", "AccessReady", "NetworkReady")
        return all(all(told.get(part) == "True" for part in parts) for told in await conditions())

    await site.until(made, "all are made", 240)
    record_property(f"seconds until {MANY} environments were made", round(time.monotonic() - began, 1))
    deployments = await site.client.list(
        "apps/v1", "Deployment", labels="app.kubernetes.io/managed-by=biospark-operator"
    )
    assert {f"biospark-{name}" for name in names} <= {item["metadata"]["namespace"] for item in deployments}

    began = time.monotonic()
    site.kubectl("delete", "bse", batch, "--wait=false")

    async def gone() -> bool:
        return not await conditions()

    await site.until(gone, "all are gone", 400)
    record_property(f"seconds until {MANY} environments were deleted", round(time.monotonic() - began, 1))
    spaces = {item["metadata"]["name"] for item in await site.client.list("v1", "Namespace")}
    assert not {f"biospark-{name}" for name in names} & spaces
    assert site.name not in site.operator.ask("/metrics")[1], "nor do the metrics remember them"
    assert problems(site.operator) == []


async def test_a_deleted_definition_takes_no_protected_environment_and_its_return_finds_the_operator_at_work(
    site: Site,
) -> None:
    """Deleting the definition deletes every environment. Only the operator's finalizer stands before that."""
    protected, plain, later = site, beside(site), beside(site)
    protected.apply(deletionProtection=True)
    plain.apply()
    await asyncio.gather(protected.settled(), plain.settled())
    protected.kubectl("create", "configmap", "records", "-n", protected.namespace)
    protected.kubectl("delete", "crd", DEFINITION, "--wait=false")

    async def held() -> bool:
        return await protected.told("Ready") == ("False", "DeletionProtected")

    await protected.until(held, "the protected one is held", 30)

    async def plain_is_gone() -> bool:
        return await plain.body() is None and await namespace(plain) is None

    await plain.until(plain_is_gone, "the other one is gone, as a deletion of it would do", 60)
    assert await protected.get("v1", "ConfigMap", "records")
    assert await protected.policy()
    assert "deletionTimestamp" not in (await namespace(protected))["metadata"]

    protected.patch({"spec": {"deletionProtection": False}})

    async def definition_is_gone() -> bool:
        return not protected.kubectl("get", "crd", DEFINITION, "--ignore-not-found")

    await protected.until(definition_is_gone, "the definition is gone with its last environment", 60)
    assert site.operator.alive, site.operator.log.read_text()[-3000:]
    Tools(Path(site.kubeconfig)).define()
    later.apply()
    await later.settled()
    assert site.operator.ask("/healthz") == (200, "ok")
    later.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", later.namespace)
    await later.until(later.policy, "repairs work as before", 15)
    later.delete()

    async def later_is_gone() -> bool:
        return await later.body() is None and await namespace(later) is None

    await later.until(later_is_gone, "deletion works as before", 60)
    assert site.operator.alive
    assert "Traceback" not in site.operator.log.read_text()


async def test_somebody_who_changes_a_field_all_the_time_is_named_and_costs_few_writes(site: Site) -> None:
    """A controller that answers each repair at once, and an operator that is woken by it each time."""
    site.apply()
    await site.settled()
    other = beside(site)
    other.apply()
    await other.settled()
    updates = 'biospark_operator_actions_total{component="namespace",verb="Update"}'
    before = site.operator.metric(updates) or 0
    quota = ObjectRef("v1", "ResourceQuota", site.namespace, "biospark-quota")
    patch = ["patch", "quota", quota.name, "-n", site.namespace, "--type=merge", "--field-manager=cost-controller"]
    answers = 0

    async def contested() -> bool:
        nonlocal answers
        live = await site.client.get(quota)
        if live is not None and live["spec"]["hard"]["pods"] != "999":
            answers += 1
            site.kubectl(*patch, "-p", '{"spec":{"hard":{"pods":"999"}}}')
        return await site.told("NamespaceReady") == ("False", "DriftContested")

    await site.until(contested, "who fights is named", 60)
    message = next(c["message"] for c in (await site.body())["status"]["conditions"] if c["type"] == "NamespaceReady")
    assert "cost-controller keeps changing spec.hard.pods" in message
    assert 5 <= answers <= 7
    assert (site.operator.metric(updates) or 0) - before <= answers
    for one in (site, other):
        one.kubectl("delete", "networkpolicy", "biospark-default-deny", "-n", one.namespace)
    for one in (site, other):
        await one.until(one.policy, "nothing else is slowed down", 15)
