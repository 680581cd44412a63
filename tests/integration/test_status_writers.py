"""Two writers of the status of an environment on a real API server, at the same moment and after a kill in between."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from typing import Any

import pytest

from biospark_operator.clients.kubernetes.errors import ConflictError
from biospark_operator.engine.errors import OutsideError
from biospark_operator.engine.shares import Rest, Share
from biospark_operator.engine.status import Condition
from biospark_operator.engine.writing import StatusWriter
from biospark_operator.runtime.leader import SoleReplica
from tests.integration.conftest import Operated

pytestmark = pytest.mark.integration

GATES = Share("gates", frozenset({"PromotionReady", "GatesFresh"}), frozenset({"gateSummary"}))


@pytest.fixture
def shared(env: Operated) -> Operated:
    """An environment whose passes leave to the gates what is theirs."""
    env.reconciler = dataclasses.replace(env.reconciler, part=Rest((GATES,)))
    env.apply()
    return env


async def tell(env: Operated, summary: str | None, **truths: Any) -> None:
    """Write as the gates do."""
    writer = StatusWriter(env.reconciler.store, GATES, SoleReplica())
    body = await writer.read(env.name)
    assert body is not None
    conditions = [Condition(type_, truth, "Succeeded", "so it is") for type_, truth in truths.items()]
    await writer.write(body, conditions, {"gateSummary": summary})


async def types(env: Operated) -> set[str]:
    return {condition["type"] for condition in (await env.status())["conditions"]}


async def test_neither_writer_takes_anything_from_the_other(shared: Operated) -> None:
    await shared.settle()
    before = await types(shared)
    await tell(shared, "18/20", PromotionReady="False", GatesFresh="True")
    assert await types(shared) == before | {"PromotionReady", "GatesFresh"}
    shared.apply(interval="20m")
    await shared.settle()
    assert await types(shared) == before | {"PromotionReady", "GatesFresh"}
    assert (await shared.status())["gateSummary"] == "18/20"
    assert (await shared.status())["inventory"]
    await tell(shared, None, PromotionReady="True")
    status = await shared.status()
    assert await types(shared) == before | {"PromotionReady"}
    assert "gateSummary" not in status
    assert status["inventory"]


async def test_a_pass_after_the_other_writer_finds_nothing_to_write(shared: Operated) -> None:
    await shared.settle()
    await tell(shared, "18/20", PromotionReady="False")
    before = await shared.versions()
    await shared.run()
    await tell(shared, "18/20", PromotionReady="False")
    assert await shared.versions() == before


async def test_writes_at_the_same_moment_both_count(shared: Operated) -> None:
    await shared.settle()
    for number in range(10):
        shared.apply(interval=f"{20 + number}m")
        truth = "True" if number % 2 else "False"
        await asyncio.gather(shared.run(), tell(shared, f"{number}/20", PromotionReady=truth))
        status = await shared.status()
        told = {condition["type"]: condition["status"] for condition in status["conditions"]}
        assert (told["PromotionReady"], status["gateSummary"]) == (truth, f"{number}/20")
        assert told["NamespaceReady"] == "True"
        assert status["observedGeneration"] == (await shared.body())["metadata"]["generation"]
        assert status["inventory"]


async def test_a_writer_that_is_killed_before_its_write_costs_the_other_nothing(shared: Operated) -> None:
    await shared.settle()
    await tell(shared, "18/20", PromotionReady="False")
    store = shared.reconciler.store

    class Killed:
        """Reads, and dies before anything is written."""

        read, record = store.read, store.record

        async def write_status(self, *_: Any) -> None:
            raise OutsideError("killed")

    alive = shared.reconciler
    shared.reconciler = dataclasses.replace(alive, store=Killed())
    shared.apply(interval="25m")
    with pytest.raises(OutsideError, match="killed"):
        await shared.run()
    shared.reconciler = alive
    await tell(shared, "19/20", PromotionReady="True")
    await shared.settle()
    status = await shared.status()
    assert (status["gateSummary"], await shared.told("PromotionReady")) == ("19/20", ("True", "Succeeded"))
    assert status["observedGeneration"] == (await shared.body())["metadata"]["generation"]


async def test_what_is_edited_by_hand_is_put_right_by_its_owner_alone(shared: Operated) -> None:
    await shared.settle()
    await tell(shared, "18/20", PromotionReady="False")
    planted = [
        {
            "op": "add",
            "path": "/status/conditions/-",
            "value": {
                "type": type_,
                "status": "True",
                "reason": "Planted",
                "message": "by hand",
                "lastTransitionTime": "2030-01-01T00:00:00Z",
            },
        }
        for type_ in ("Planted", "GatesFresh")
    ]
    shared.kubectl("patch", "bse", shared.name, "--subresource=status", "--type=json", "-p", json.dumps(planted))
    shared.apply(interval="30m")
    await shared.settle()
    assert "Planted" not in await types(shared)
    assert {"GatesFresh", "PromotionReady"} <= await types(shared)
    await tell(shared, "19/20", PromotionReady="False")
    assert "GatesFresh" not in await types(shared)
    assert "PromotionReady" in await types(shared)


async def test_a_status_that_changes_while_it_is_put_right_is_a_conflict_and_no_refusal(shared: Operated) -> None:
    await shared.settle()
    live = await shared.body()
    shared.apply(interval="31m")
    with pytest.raises(ConflictError):
        await shared.client.replace_status(live, live["status"])
