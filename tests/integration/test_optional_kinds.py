"""A kind that the cluster lacks costs nothing, is watched as soon as it is there, and is told of when it is gone."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.client import connected
from biospark_operator.clients.kubernetes.objects import Manifest
from dev.deploy import NAMESPACE
from tests.integration.badges import BADGE, CONDITION, DEFINITION, PREFIX, with_badges
from tests.operator_process import LEASE, Operator, Site

pytestmark = pytest.mark.integration

#: For one step; the operator starts within them, too.
SECONDS = 90
MISSING = ("False", "DefinitionMissing")
INSTALL = f"the cluster does not have the kind {BADGE.kind} of {BADGE.api_version}: install its CRD"
UNWATCHED = f"Badges are not watched until their definition {BADGE.definition} is installed"


class Badges(Site):
    """An environment with a badge, or without, on a cluster that has the definition of badges or not."""

    def define(self) -> None:
        self.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(DEFINITION))

    def undefine(self, *, wait: bool = True) -> None:
        self.kubectl("delete", "crd", BADGE.definition, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def hold_the_definition(self) -> None:
        """Let a badge of others keep the definition from going at once."""
        metadata = {"name": self.name, "namespace": "default", "finalizers": ["toys.example.org/held"]}
        badge = {"apiVersion": BADGE.api_version, "kind": BADGE.kind, "metadata": metadata}
        self.kubectl("apply", "--server-side", "-f", "-", text=json.dumps(badge))

    def let_the_definition_go(self) -> None:
        unheld = json.dumps({"metadata": {"finalizers": None}})
        self.kubectl("patch", BADGE.plural, self.name, "-n", "default", "--type=merge", "-p", unheld)

    def report(self, **status: Any) -> None:
        """Say something in the status of the badge, as its controller does."""
        change = json.dumps({"status": status})
        self.kubectl(
            "patch", BADGE.plural, "badge", "-n", self.namespace, "--subresource=status", "--type=merge", "-p", change
        )

    async def is_gone(self) -> bool:
        return await self.body() is None

    async def badge(self) -> Manifest | None:
        return await self.get(BADGE.api_version, BADGE.kind, "badge")

    async def becomes(self, *told: str) -> None:
        async def so() -> bool:
            return await self.told(CONDITION) == told

        await self.until(so, f"{CONDITION} is {told}", SECONDS)

    async def is_there_again(self, before: Manifest | None) -> Manifest:
        async def so() -> Manifest | None:
            found = await self.badge()
            new = found is not None and (before is None or found["metadata"]["uid"] != before["metadata"]["uid"])
            return found if new else None

        found: Manifest = await self.until(so, "there is a new badge", SECONDS)
        return found

    async def says(self, message: str, *, times: int) -> None:
        async def so() -> bool:
            return [line["message"] for line in self.logged()].count(message) == times

        await self.until(so, f"the log has {times} times: {message}", SECONDS)

    async def tells(self, end: str) -> None:
        async def so() -> bool:
            return (await self.message()).endswith(end)

        await self.until(so, f"{CONDITION} tells: {end}", SECONDS)

    async def message(self) -> str:
        conditions = (await self.body())["status"]["conditions"]
        return str(next(item["message"] for item in conditions if item["type"] == CONDITION))

    def logged(self) -> Sequence[Mapping[str, Any]]:
        """What the operator's log says of badges, but for what a single pass has to say."""
        lines = [json.loads(line) for line in self.operator.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if "Badges" in str(line)]


@pytest.fixture
async def badges(own_control_plane: str, tmp_path: Path) -> AsyncIterator[Badges]:
    operator = Operator(own_control_plane, tmp_path / "log", spawn=with_badges)
    async with connected(kubeconfig=own_control_plane) as client:
        site = Badges(client, own_control_plane, operator, name=f"{PREFIX}{uuid.uuid4().hex[:8]}")
        site.undefine()
        site.kubectl("delete", "lease", LEASE.name, "-n", NAMESPACE, "--ignore-not-found")
        operator.start()
        try:
            yield site
        finally:
            operator.kill()
            if await site.body():
                site.patch({"spec": {"deletionProtection": False}, "metadata": {"finalizers": None}})
            with contextlib.suppress(RuntimeError):
                site.let_the_definition_go()
            site.undefine()
            for kind, name in (("bse", site.name), ("namespace", site.namespace)):
                site.kubectl("delete", kind, name, "--ignore-not-found", "--wait=false")


async def test_a_definition_may_be_absent_appear_disappear_and_come_back(badges: Badges) -> None:
    badges.apply()
    await badges.becomes(*MISSING)
    assert await badges.message() == INSTALL
    assert await badges.told("NetworkReady") == ("True", "Succeeded")
    assert [line["message"] for line in badges.logged()] == [UNWATCHED]
    assert watching(badges) == 1

    badges.define()
    made = await badges.is_there_again(None)
    await badges.becomes("False", "Progressing")
    badges.report(conditions=[{"type": "Ready", "status": "True"}])
    await badges.becomes("True", "Succeeded")
    badges.report(conditions=[{"type": "Stalled", "status": "True", "message": "no ink"}])
    await badges.becomes("False", "Stalled")
    badges.kubectl("delete", BADGE.plural, "badge", "-n", badges.namespace)
    made = await badges.is_there_again(made)
    badges.report(observedGeneration=1)
    await badges.becomes("True", "Succeeded")

    badges.undefine()
    await badges.becomes(*MISSING)
    assert await badges.message() == INSTALL
    await badges.says(UNWATCHED, times=2)

    badges.define()
    made = await badges.is_there_again(made)
    badges.report(observedGeneration=1)
    await badges.becomes("True", "Succeeded")
    badges.kubectl("delete", BADGE.plural, "badge", "-n", badges.namespace)
    await badges.is_there_again(made)
    logged = badges.logged()
    assert [line["message"] for line in logged].count(UNWATCHED) == 2
    assert [line for line in logged if line["level"] not in ("INFO", "DEBUG")] == []

    badges.hold_the_definition()
    badges.undefine(wait=False)
    await badges.tells("the definition of its kind is being deleted; retrying when it is gone")
    badges.let_the_definition_go()
    await badges.tells(INSTALL)
    badges.delete()
    await badges.until(badges.is_gone, "the environment goes although the definition went before it", 120)


def watching(badges: Badges) -> float | None:
    return badges.operator.metric(f'biospark_operator_watching{{kind="{BADGE.kind}"}}')
