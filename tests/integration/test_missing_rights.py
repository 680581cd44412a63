"""An operator that lacks a right says which one, does all the rest, and goes on by itself when it gets the right.

Administrators who review roles leave out what they doubt. In its full form nobody asks for a pass in between, so
that it is seen how often the operator tries by itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dev.deploy import Tools
from tests.integration.authorization import Right, without
from tests.integration.restricted import ROLES, apply, ask_again, chart_rights, pull_secret, restricted
from tests.operator_process import Site
from tests.unit.chart.helm import Manifest

pytestmark = pytest.mark.integration

LONG = bool(os.environ.get("BIOSPARK_LONG"))
#: Seconds until a right that came back is made use of; by itself the operator tries every minute.
HEALED = 90 if LONG else 20

CREATE_POLICIES = Right("networking.k8s.io", "networkpolicies", "create")
PATCH_SECRETS = Right("", "secrets", "patch")
EXEC = Right("", "pods/exec", "create")
WATCH_NAMESPACES = Right("", "namespaces", "watch")
CREATE_EVENTS = Right("events.k8s.io", "events", "create")
DELETE_NAMESPACES = Right("", "namespaces", "delete")


def chart_rights_without(*missing: Right) -> Sequence[Manifest]:
    """Return the chart's rights without some; the same right may be in several roles."""

    def lessened(role: Manifest) -> Manifest:
        for right in missing:
            role = {**role, "rules": without(role, right)}
        return role

    return [lessened(item) if item["kind"] in ROLES else item for item in chart_rights()]


async def test_a_missing_right_is_named_and_used_as_soon_as_it_is_there(own_control_plane: str, tmp_path: Path) -> None:
    tools = Tools(Path(own_control_plane))
    lacking = chart_rights_without(CREATE_POLICIES, PATCH_SECRETS, EXEC, WATCH_NAMESPACES, CREATE_EVENTS)
    async with restricted(own_control_plane, tmp_path, lacking) as run:
        site = run.site()
        source = pull_secret(f"pull-{site.name}", "any")
        apply(tools, [source])
        site.apply(registry={"pullSecretRef": {"name": source["metadata"]["name"]}})

        await says(site, "NetworkReady", 'cannot create resource "networkpolicies" in API group "networking.k8s.io"')
        await says(site, "RegistryReady", 'cannot patch resource "secrets" in API group ""')
        await says(site, "AccessReady", 'APIGroups:[""], Resources:["pods/exec"], Verbs:["create"]')
        # What is not refused is done all the same, and said.
        assert await site.told("NamespaceReady") == ("True", "Succeeded")
        assert await site.told("WorkloadReady") == ("Unknown", "DependencyNotReady")
        assert await site.told("Ready") == ("False", "AccessDenied")
        assert await site.told("Reconciling") == ("True", "ProgressingWithRetry")
        assert 'cannot watch resource \\"namespaces\\"' in run.operator.log.read_text()
        assert 'cannot create resource \\"events\\"' in run.operator.log.read_text()

        apply(tools, chart_rights_without(DELETE_NAMESPACES))
        await look_again(site)
        for condition in ("NetworkReady", "RegistryReady", "AccessReady"):
            await becomes(site, condition, ("True", "Succeeded"))
        await becomes(site, "WorkloadReady", ("False", "Unschedulable"))

        site.delete()
        await says(site, "Ready", 'cannot delete resource "namespaces" in API group ""', reason="Deleting")
        apply(tools, chart_rights())

        async def is_gone() -> bool:
            return await site.body() is None

        await site.until(is_gone, "the environment is gone", HEALED + 30)
        tools.kubectl("delete", "secret", source["metadata"]["name"], "-n", source["metadata"]["namespace"])


async def says(site: Site, type_: str, what: str, *, reason: str = "AccessDenied") -> None:
    """Wait until a condition is False for this reason and its message says what is missing, and what to do."""

    async def said() -> bool:
        conditions = {c["type"]: c for c in ((await site.body()).get("status") or {}).get("conditions", ())}
        found: Any = conditions.get(type_, {"status": "", "reason": "", "message": ""})
        right = what in found["message"] and "grant the operator this right" in found["message"]
        return right and (found["status"], found["reason"]) == ("False", reason)

    await site.until(said, f"{type_} is False/{reason} and says: {what}", HEALED)


async def becomes(site: Site, type_: str, wanted: tuple[str, str]) -> None:
    async def so() -> bool:
        return await site.told(type_) == wanted

    await site.until(so, f"{type_} becomes {wanted}", HEALED)


async def look_again(site: Site) -> None:
    if not LONG:
        await ask_again(site)
