"""Several writers of one status: each has its part, and none takes away what is another's."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from biospark_operator.engine.errors import NotLeaderError
from biospark_operator.engine.shares import Rest, Share, combined, equal, own
from biospark_operator.engine.status import Condition
from biospark_operator.engine.writing import StatusWriter
from tests.fakes.environments import body
from tests.fakes.world import FakeLeadership, FakeStore, World

GATES = Share("gates", frozenset({"PromotionReady", "GatesFresh"}), frozenset({"gates", "gateSummary"}))
PASSES = Rest((GATES,))
READY, PROMOTION = {"type": "Ready", "status": "True"}, {"type": "PromotionReady", "status": "False"}
OLD = {"type": "WrittenByAnOlderVersion", "status": "True"}
WHOLE = {"conditions": [READY, PROMOTION, OLD], "namespace": "biospark-dev", "gateSummary": "18/20"}


def condition(type_: str, status: Any = "True", message: str = "so it is") -> Condition:
    return Condition(type_, status, "Succeeded", message)


def test_each_writer_sees_its_own_part_and_the_rest_is_one_writers() -> None:
    assert own(WHOLE, GATES) == {"conditions": [PROMOTION], "gateSummary": "18/20"}
    assert own(WHOLE, PASSES) == {"conditions": [READY, OLD], "namespace": "biospark-dev"}
    assert own({}, GATES) == own({}, PASSES) == {}


def test_what_is_written_replaces_the_writers_part_alone() -> None:
    written = combined(WHOLE, PASSES, {"conditions": [READY], "inventory": [1]})
    assert equal(written, {"conditions": [READY, PROMOTION], "gateSummary": "18/20", "inventory": [1]})
    assert combined({"conditions": [PROMOTION]}, GATES, {}) == {}


def test_the_order_of_conditions_is_no_difference() -> None:
    assert equal({"conditions": [READY, OLD]}, {"conditions": [OLD, READY]})
    assert not equal({"conditions": [READY]}, {"conditions": [{**READY, "status": "False"}]})
    assert not equal({"conditions": [READY]}, {})


class Bench:
    """Two writers of one resource."""

    def __init__(self) -> None:
        self.store = FakeStore(body("dev"), World())
        self.passes = self.writer(PASSES)
        self.gates = self.writer(GATES)

    def writer(self, part: Any, leadership: Any = None) -> StatusWriter:
        clock = lambda: datetime(2030, 1, 1, tzinfo=UTC)  # noqa: E731
        return StatusWriter(self.store, part, leadership or FakeLeadership(), clock)

    async def read(self, writer: StatusWriter) -> Any:
        found = await writer.read("dev")
        assert found is not None
        return found

    @property
    def types(self) -> set[str]:
        return {entry["type"] for entry in self.store.body["status"].get("conditions", ())}


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_writers_that_read_before_the_other_wrote_take_nothing_away(bench: Bench) -> None:
    for_passes, for_gates = await bench.read(bench.passes), await bench.read(bench.gates)
    await bench.passes.write(for_passes, [condition("Ready"), condition("NetworkReady")], {"namespace": "biospark-dev"})
    await bench.gates.write(for_gates, [condition("PromotionReady", "False")], {"gateSummary": "18/20"})
    await bench.passes.write(for_passes, [condition("Ready", "False")], {"namespace": "biospark-dev"})
    assert bench.types == {"Ready", "PromotionReady"}
    assert bench.store.body["status"]["gateSummary"] == "18/20"
    assert bench.store.body["status"]["namespace"] == "biospark-dev"


async def test_a_writer_takes_its_own_conditions_and_fields_away(bench: Bench) -> None:
    await bench.passes.write(await bench.read(bench.passes), [condition("Ready")], {})
    found = await bench.read(bench.gates)
    await bench.gates.write(found, [condition("PromotionReady"), condition("GatesFresh")], {"gateSummary": "1/1"})
    await bench.gates.write(await bench.read(bench.gates), [condition("PromotionReady")], {"gateSummary": None})
    assert bench.types == {"Ready", "PromotionReady"}
    assert "gateSummary" not in bench.store.body["status"]


async def test_what_an_older_version_wrote_and_nobody_owns_does_not_stay(bench: Bench) -> None:
    bench.store.body["status"] = {"conditions": [OLD], "forgotten": 1}
    await bench.gates.write(await bench.read(bench.gates), [condition("PromotionReady")], {})
    assert bench.types == {OLD["type"], "PromotionReady"}
    await bench.passes.write(await bench.read(bench.passes), [condition("Ready")], {})
    assert bench.types == {"Ready", "PromotionReady"}
    assert "forgotten" not in bench.store.body["status"]


async def test_what_stands_there_is_not_written_again(bench: Bench) -> None:
    for _ in range(2):
        await bench.gates.write(await bench.read(bench.gates), [condition("PromotionReady")], {"gateSummary": "1/1"})
    assert bench.store.world.calls == ["write status"]


async def test_a_condition_that_keeps_its_status_keeps_its_time(bench: Bench) -> None:
    bench.store.body["status"] = {"conditions": [{**PROMOTION, "lastTransitionTime": "2029-01-01T00:00:00Z"}]}
    await bench.gates.write(await bench.read(bench.gates), [condition("PromotionReady", "False", "another")], {})
    assert bench.store.condition("PromotionReady")["lastTransitionTime"] == "2029-01-01T00:00:00Z"  # type: ignore[index]


async def test_who_does_not_lead_writes_nothing(bench: Bench) -> None:
    follower = bench.writer(GATES, FakeLeadership(checks_left=0))
    with pytest.raises(NotLeaderError):
        await follower.write(await bench.read(follower), [condition("PromotionReady")], {})
    assert bench.store.world.calls == []
