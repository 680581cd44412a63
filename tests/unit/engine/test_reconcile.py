"""One pass after another over an environment in a world of named things: what is done, and what is told."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from biospark_operator.api.platform import Platform
from biospark_operator.engine.errors import (
    AccessError,
    FieldConflictError,
    NotLeaderError,
    RejectedError,
    UnavailableError,
)
from biospark_operator.engine.outcome import Blocked, Progressing
from biospark_operator.engine.passes import Memory
from biospark_operator.engine.reconcile import BLOCKED_RETRY, Reconciler
from biospark_operator.runtime.admission import admission, identity_of
from tests.fakes.environments import body
from tests.fakes.world import FakeComponent, FakeLeadership, FakeOrphaning, FakeStore, World


class Bench:
    """A reconciler over fakes, and shortcuts to what came of a pass."""

    def __init__(self, *components: FakeComponent, world: World, resource=None) -> None:
        self.world, self.components = world, components
        self.store = FakeStore(resource or body(), world)
        self.leadership, self.orphaning = FakeLeadership(), FakeOrphaning()
        self.now = 1000.0
        self.memory = Memory()
        self.reconciler = Reconciler(
            components=components,
            admit=admission(Platform(), "biospark-system"),
            identify=identity_of,
            store=self.store,
            orphaning=self.orphaning,
            leadership=self.leadership,
            operator_version="1",
            clock=lambda: datetime.fromtimestamp(self.now, UTC),
            monotonic=lambda: self.now,
            rng=random.Random(1),
        )

    async def run(self, *, changed: bool = False):
        self.world.calls.clear()
        return await self.reconciler.reconcile("dev", self.memory, changed=changed)

    async def teardown(self):
        self.store.body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.world.calls.clear()
        return await self.reconciler.teardown("dev", self.memory)

    def edit(self, **spec) -> None:
        self.store.body["spec"].update(spec)
        self.store.body["metadata"]["generation"] += 1

    def told(self, type_: str):
        condition = self.store.condition(type_)
        return (condition["status"], condition["reason"]) if condition else None

    @property
    def inventory(self):
        return [entry["id"] for entry in self.store.body["status"].get("inventory", ())]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def base(world) -> FakeComponent:
    return FakeComponent("base", world, things=["house"])


@pytest.fixture
def top(world) -> FakeComponent:
    return FakeComponent("top", world, things=["roof", "window"], requires=frozenset({"base"}))


@pytest.fixture
def bench(world, base, top) -> Bench:
    return Bench(base, top, world=world)


async def test_the_first_pass_makes_everything_and_says_ready(bench) -> None:
    next_ = await bench.run()
    assert bench.world.things == dict.fromkeys(["house", "roof", "window"], "wanted")
    assert bench.told("Ready") == ("True", "Succeeded")
    assert bench.told("BaseReady") == bench.told("TopReady") == ("True", "Succeeded")
    assert bench.told("Reconciling") is None
    assert 540 <= next_.after <= 660


async def test_the_inventory_is_written_before_the_first_creation(bench) -> None:
    await bench.run()
    assert bench.world.writes()[0] == "write status"
    assert {e["id"] for e in bench.store.statuses[0]["inventory"]} == {"house", "roof", "window"}


async def test_what_is_outside_enters_the_inventory_when_it_answered_and_before_anything_is_made(bench, top) -> None:
    top.outside = True
    top.observe_error = UnavailableError("no answer")
    await bench.run()
    assert bench.inventory == ["house"]
    top.observe_error = None
    await bench.run(changed=True)
    assert bench.inventory == ["house", "roof", "window"]
    assert bench.world.writes()[:2] == ["write status", "create roof"]
    await bench.run()
    assert bench.world.writes() == []


async def test_several_systems_outside_that_answer_at_once_lose_none_of_each_other(world) -> None:
    sides = [FakeComponent(f"side{n}", world, things=[f"thing{n}"], outside=True) for n in range(3)]
    bench = Bench(*sides, world=world)
    await bench.run()
    assert bench.inventory == ["thing0", "thing1", "thing2"]


async def test_what_was_never_reached_does_not_hold_up_a_deletion(bench, top) -> None:
    top.outside = True
    top.observe_error = top.remove_error = UnavailableError("no answer")
    await bench.run()
    bench.components[0].sticky = {"house": "it is heavy"}
    assert not (await bench.teardown()).gone
    assert bench.inventory == ["house"]
    bench.components[0].sticky = {}
    assert (await bench.teardown()).gone


async def test_what_was_reached_once_is_removed_before_a_deletion_ends(bench, top) -> None:
    top.outside = True
    await bench.run()
    top.remove_error = UnavailableError("no answer")
    assert not (await bench.teardown()).gone
    assert bench.inventory == ["house", "roof", "window"]
    top.remove_error = None
    assert (await bench.teardown()).gone


async def test_a_lost_inventory_hides_nothing_from_a_deletion(bench, top) -> None:
    top.outside = True
    await bench.run()
    bench.store.body["status"] = {}
    assert (await bench.teardown()).gone
    assert bench.world.things == {}


async def test_the_first_status_is_unknown_and_reconciling(bench) -> None:
    await bench.run()
    first = {c["type"]: c["status"] for c in bench.store.statuses[0]["conditions"]}
    assert first == {"Ready": "Unknown", "Reconciling": "True", "BaseReady": "Unknown", "TopReady": "Unknown"}


async def test_an_unchanged_environment_is_read_and_nothing_is_written(bench) -> None:
    await bench.run()
    await bench.run()
    assert bench.world.writes() == []


async def test_a_restart_with_an_unchanged_environment_writes_nothing(bench) -> None:
    await bench.run()
    bench.memory = Memory()
    await bench.run(changed=True)
    assert bench.world.writes() == []


async def test_an_edit_during_a_pass_does_not_pass_for_what_was_worked_on(bench) -> None:
    write = bench.store.write_status

    async def edited_after_the_first_write(body, status, part):
        await write(body, status, part)
        if len(bench.store.statuses) == 1:
            bench.edit(interval="20m")

    bench.store.write_status = edited_after_the_first_write
    await bench.run()
    assert bench.store.body["metadata"]["generation"] == 2
    assert bench.store.body["status"]["observedGeneration"] == 1
    assert {c["observedGeneration"] for c in bench.store.body["status"]["conditions"]} == {1}


async def test_every_condition_carries_the_generation_that_was_processed(bench) -> None:
    await bench.run()
    bench.edit(interval="20m")
    await bench.run()
    assert bench.store.body["status"]["observedGeneration"] == 2
    assert {c["observedGeneration"] for c in bench.store.body["status"]["conditions"]} == {2}


async def test_a_condition_that_stays_as_it_is_keeps_its_transition_time(bench) -> None:
    await bench.run()
    before = bench.store.condition("BaseReady")["lastTransitionTime"]
    bench.now += 100
    bench.components[1].things = ["roof", "window", "door"]
    await bench.run()
    assert bench.store.condition("BaseReady")["lastTransitionTime"] == before


async def test_what_was_changed_by_others_is_put_back_and_named_as_drift(bench) -> None:
    await bench.run()
    bench.world.things["roof"] = "painted"
    await bench.run()
    assert bench.world.things["roof"] == "wanted"
    assert [(d["component"], d["target"], d["summary"]) for d in bench.store.body["status"]["drift"]] == [
        ("top", "roof", "set roof")
    ]
    assert [e.reason for e in bench.store.events][-1] == "DriftRepaired"


async def test_a_repair_of_a_ready_environment_sets_no_reconciling(bench) -> None:
    await bench.run()
    written = len(bench.store.statuses)
    del bench.world.things["roof"]
    await bench.run()
    assert all("Reconciling" not in {c["type"] for c in s["conditions"]} for s in bench.store.statuses[written:])


async def test_a_change_of_the_spec_is_not_drift(bench) -> None:
    await bench.run()
    bench.edit(interval="20m")
    bench.components[1].value = "new"
    await bench.run()
    assert "drift" not in bench.store.body["status"]


async def test_a_new_version_of_the_operator_does_not_call_its_changes_drift(bench) -> None:
    await bench.run()
    bench.store.body["status"]["operatorVersion"] = "0"
    bench.components[1].value = "new"
    await bench.run()
    assert "drift" not in bench.store.body["status"]


@pytest.mark.parametrize(
    ("error", "reason", "extra"),
    [
        (UnavailableError("no answer; retrying"), "ServerUnavailable", "Reconciling"),
        (AccessError("forbidden; grant it"), "AccessDenied", "Reconciling"),
        (RejectedError("wrong; change it"), "Invalid", "Stalled"),
        (FieldConflictError("helm manages x"), "FieldConflict", "Stalled"),
        (ZeroDivisionError("a defect"), "InternalError", "Reconciling"),
    ],
)
async def test_an_error_is_told_on_top_with_its_reason(bench, base, error, reason, extra) -> None:
    base.observe_error = error
    await bench.run()
    assert bench.told("Ready") == ("False", reason)
    assert bench.told(extra)[0] == "True"
    assert bench.told("Stalled" if extra == "Reconciling" else "Reconciling") is None
    assert bench.told("TopReady") == ("Unknown", "DependencyNotReady")


async def test_the_text_of_a_defect_does_not_reach_the_status(bench, base) -> None:
    base.observe_error = ValueError("the password is hunter2")
    await bench.run()
    assert "hunter2" not in str(bench.store.statuses)
    assert "hunter2" not in str(bench.store.events)


async def test_one_failing_branch_does_not_hold_up_the_others(world, base, top) -> None:
    other = FakeComponent("other", world, things=["garden"])
    base.observe_error = UnavailableError("no answer; retrying")
    bench = Bench(base, top, other, world=world)
    await bench.run()
    assert world.things == {"garden": "wanted"}
    assert bench.told("OtherReady") == ("True", "Succeeded")


@pytest.mark.parametrize("mode", ["Apply", "Plan"])
async def test_where_a_component_refuses_nothing_is_planned_or_done(bench, base, mode) -> None:
    base.refusal = Blocked("NotOwned", "the house is somebody else's")
    bench.edit(mode=mode)
    next_ = await bench.run()
    assert bench.world.things.keys() & {"house"} == set()
    assert "house" not in str(bench.store.body["status"].get("plan"))
    assert bench.told("BaseReady") == ("False", "NotOwned")
    assert bench.told("Stalled") == ("True", "NotOwned")
    assert next_.after <= BLOCKED_RETRY


async def test_what_became_refused_while_it_was_made_is_told_in_the_same_pass(bench, base) -> None:
    async def somebody_moves_in(env, action) -> None:
        base.refusal = Blocked("NotOwned", "the house is somebody else's")

    base.apply = somebody_moves_in
    await bench.run()
    assert bench.told("BaseReady") == ("False", "NotOwned")


async def test_all_that_is_lost_at_once_is_told_as_drift_although_the_parts_wait_for_each_other(bench, base) -> None:
    await bench.run()
    bench.world.things.clear()
    base.outcome = Progressing("NamespaceTerminating", "the house burns", 3.0)
    await bench.run(changed=True)
    assert bench.told("TopReady") == ("Unknown", "DependencyNotReady")
    assert bench.store.events[-1].type == "Warning", "what is lost is nobody's wish"
    base.outcome = None
    bench.world.things.clear()
    await bench.run(changed=True)
    drift = {entry["component"]: entry["summary"] for entry in bench.store.body["status"]["drift"]}
    assert drift == {"base": "create house", "top": "create roof and 1 more"}
    repairs = [(event.type, event.reason) for event in bench.store.events if event.reason == "DriftRepaired"]
    assert set(repairs) == {("Warning", "DriftRepaired")}
    assert len(repairs) >= 2


async def test_what_was_never_ready_is_made_and_not_repaired(bench, base, top) -> None:
    base.outcome = Progressing("Progressing", "not yet", 3.0)
    await bench.run()
    base.outcome = None
    await bench.run(changed=True)
    assert "roof" in bench.world.things
    assert "drift" not in bench.store.body["status"]


async def test_deletion_that_orphans_gives_everything_back_and_says_so_last(bench) -> None:
    await bench.run()
    bench.orphaning.orphans = True
    assert (await bench.teardown()).gone
    assert bench.world.things.keys() == {"house", "roof", "window"}
    assert [event.reason for event in bench.store.events[-2:]] == ["Released", "Orphaned"]
    assert bench.orphaning.settled == 1


async def test_a_protected_or_suspended_environment_is_not_given_back_either(bench) -> None:
    await bench.run()
    bench.orphaning.orphans = True
    for hold in ({"suspend": True}, {"deletionProtection": True}):
        bench.edit(suspend=False, **hold) if "suspend" not in hold else bench.edit(**hold)
        assert not (await bench.teardown()).gone
        assert bench.world.writes() in ([], ["write status"])
    assert bench.orphaning.settled == 0


async def test_orphaning_is_prepared_before_anything_is_made_and_not_in_mode_plan(bench) -> None:
    bench.edit(mode="Plan")
    await bench.run()
    assert bench.orphaning.prepared == 0
    bench.edit(mode="Apply")
    await bench.run()
    assert bench.orphaning.prepared == 1


async def test_orphaning_that_can_not_be_prepared_holds_up_nothing_and_is_told(bench) -> None:
    bench.orphaning.error = AccessError("could not apply Role a/b: forbidden; grant the operator this right")
    next_ = await bench.run()
    assert bench.world.things.keys() == {"house", "roof", "window"}
    assert bench.told("Ready") == ("False", "AccessDenied")
    assert "ownership: could not apply Role a/b" in bench.store.condition("Ready")["message"]
    assert next_.after <= BLOCKED_RETRY


async def test_a_failing_component_waits_for_its_backoff_and_a_change_ends_the_wait(bench, base) -> None:
    base.observe_error = UnavailableError("no answer; retrying", retry_after=60)
    next_ = await bench.run()
    assert next_.after == pytest.approx(60)
    await bench.run()
    assert "read base" not in bench.world.calls
    await bench.run(changed=True)
    assert "read base" in bench.world.calls


async def test_after_its_backoff_a_component_is_tried_again_and_recovers(bench, base) -> None:
    base.observe_error = UnavailableError("no answer; retrying")
    next_ = await bench.run()
    base.observe_error, bench.now = None, bench.now + next_.after
    await bench.run()
    assert bench.told("Ready") == ("True", "Succeeded")


async def test_something_on_its_way_is_looked_at_soon(bench, top) -> None:
    top.outcome = Progressing("RollingOut", "1 of 2 pods are ready", 3.0)
    next_ = await bench.run()
    assert next_.after == 3.0
    assert bench.told("Ready") == ("Unknown", "RollingOut")
    assert bench.told("Reconciling") == ("True", "Progressing")


async def test_what_nobody_wants_any_more_is_removed_and_leaves_the_inventory(bench, top) -> None:
    await bench.run()
    top.things = ["roof"]
    bench.edit(interval="20m")
    await bench.run()
    assert "window" not in bench.world.things
    assert bench.inventory == ["house", "roof"]


async def test_the_things_of_a_disabled_component_are_removed(bench, top) -> None:
    await bench.run()
    top.on = False
    await bench.run()
    assert bench.world.things == {"house": "wanted"}
    assert bench.told("TopReady") is None


async def test_an_entry_stays_in_the_inventory_until_the_thing_is_gone(bench, top) -> None:
    await bench.run()
    top.things, top.sticky = ["roof"], {"window": "a finalizer of somebody"}
    await bench.run()
    assert "window" in bench.inventory
    assert bench.told("Ready") == ("Unknown", "WaitingForDeletion")
    assert "a finalizer of somebody" in bench.store.condition("Ready")["message"]
    top.sticky = {}
    await bench.run()
    assert "window" not in bench.inventory
    assert bench.told("Ready") == ("True", "Succeeded")


async def fight(bench: Bench, thing: str, rounds: int) -> None:
    """Somebody changes a thing back each time, and the operator looks whenever it wants to or is woken."""
    for _ in range(rounds):
        bench.world.things[thing] = "theirs"
        await bench.run(changed=True)


async def test_a_fight_over_one_thing_is_damped_and_told_and_does_not_slow_the_others(world, base, top) -> None:
    other = FakeComponent("other", world, things=["garden"])
    bench = Bench(base, top, other, world=world)
    await bench.run()
    base.rivals = ("helm",)
    while bench.told("BaseReady") != ("False", "DriftContested"):
        await fight(bench, "house", 1)
        bench.now += 1
    assert bench.told("Stalled") == ("True", "DriftContested")
    assert "helm" in bench.store.condition("Ready")["message"]
    assert [e.reason for e in bench.store.events].count("DriftContested") == 1
    written = len(bench.store.statuses)
    bench.world.things["house"] = "theirs"
    next_ = await bench.run(changed=True)
    assert bench.world.things["house"] == "theirs", "held back"
    assert 0 < next_.after <= 16
    for thing in ("garden", "roof"):
        bench.world.things[thing] = "painted"
        await bench.run(changed=True)
        assert bench.world.things[thing] == "wanted", "neither the others nor what requires it are slowed"
    assert len(bench.store.statuses) - written == 2, "one for each repair of the others"


async def test_a_fight_is_over_when_the_drift_stays_away(bench) -> None:
    await bench.run()
    while bench.told("Stalled") is None:
        await fight(bench, "house", 1)
        bench.now += 1
    bench.world.things["house"] = "wanted"
    next_ = await bench.run(changed=True)
    while bench.told("Stalled"):
        bench.now += next_.after
        next_ = await bench.run()
    assert bench.told("Ready") == ("True", "Succeeded")
    bench.world.things["house"] = "painted"
    await bench.run(changed=True)
    assert bench.world.things["house"] == "wanted"


@pytest.mark.parametrize("how", ["request", "edit"])
async def test_who_asks_for_a_pass_ends_the_wait_for_a_repair(bench, how) -> None:
    await bench.run()
    while bench.told("Stalled") is None:
        await fight(bench, "house", 1)
        bench.now += 1
    bench.world.things["house"] = "theirs"
    if how == "edit":
        bench.edit(interval="20m")
    else:
        bench.store.body["metadata"]["annotations"] = {"biospark.ai/reconcile-requested-at": "now"}
    await bench.run(changed=True)
    assert bench.world.things["house"] == "wanted"
    assert bench.told("Ready") == ("True", "Succeeded")


async def test_every_repair_in_a_fight_is_told_as_drift(bench) -> None:
    await bench.run()
    for _ in range(40):
        await fight(bench, "house", 1)
        bench.now += 1
    assert bench.told("BaseReady") == ("False", "DriftContested")
    repairs = [call for call in bench.store.events if call.reason == "DriftRepaired"]
    assert 5 < len(repairs) < 15
    assert "Applied" not in [e.reason for e in bench.store.events[3:]]


async def test_a_fight_does_not_end_the_backoff_of_what_fails_elsewhere(world, base, top) -> None:
    other = FakeComponent("other", world, things=["garden"])
    bench = Bench(base, top, other, world=world)
    await bench.run()
    while bench.told("Stalled") is None:
        await fight(bench, "house", 1)
        bench.now += 1
    other.observe_error = AccessError("forbidden; grant it")
    await bench.run(changed=True)
    world.calls.clear()
    await fight(bench, "house", 1)
    assert "read other" not in world.calls


async def test_changes_of_the_spec_are_no_fight_however_many(bench) -> None:
    await bench.run()
    for number in range(10):
        bench.edit(interval=f"{number + 20}m")
        bench.components[0].value = f"value {number % 2}"
        await bench.run(changed=True)
        assert bench.world.things["house"] == f"value {number % 2}"
        assert bench.told("Ready") == ("True", "Succeeded")


async def test_nothing_is_made_in_what_is_held_back(bench, base) -> None:
    base.things = ["house", "cellar"]
    await bench.run()
    for _ in range(4):
        del bench.world.things["house"]
        await bench.run(changed=True)
    del bench.world.things["cellar"]
    await bench.run(changed=True)
    assert "house" not in bench.world.things
    assert "cellar" not in bench.world.things, "it may belong into what is not there yet"


async def test_mode_plan_changes_nothing_and_plans_what_apply_then_does(bench) -> None:
    bench.edit(mode="Plan")
    await bench.run()
    assert bench.world.things == {}
    planned = [(a["verb"], a["target"]) for a in bench.store.body["status"]["plan"]["actions"]]
    assert bench.told("Ready") == ("Unknown", "PlanOnly")
    assert bench.inventory == []
    bench.edit(mode="Apply")
    await bench.run()
    done = [tuple(call.split()) for call in bench.world.writes() if call != "write status"]
    assert [(verb.lower(), target) for verb, target in planned] == done
    assert "plan" not in bench.store.body["status"]


async def test_mode_plan_on_an_environment_as_specified_stays_ready(bench) -> None:
    await bench.run()
    bench.edit(mode="Plan")
    await bench.run()
    assert bench.told("Ready") == ("True", "Succeeded")
    assert bench.store.body["status"]["plan"]["actions"] == []


async def test_mode_plan_lists_what_would_be_removed(bench, top) -> None:
    await bench.run()
    top.things = ["roof"]
    bench.edit(mode="Plan")
    await bench.run()
    assert "window" in bench.world.things
    assert [(a["verb"], a["target"]) for a in bench.store.body["status"]["plan"]["actions"]] == [("Delete", "window")]
    assert bench.told("Ready") == ("Unknown", "PlanOnly")


async def test_a_suspended_environment_is_left_alone_and_keeps_its_last_ready(bench) -> None:
    await bench.run()
    del bench.world.things["roof"]
    bench.edit(suspend=True)
    next_ = await bench.run()
    assert "roof" not in bench.world.things
    assert next_.after is None
    assert bench.told("Ready") == ("True", "Succeeded")
    assert bench.told("Suspended") == ("True", "Suspended")
    assert bench.store.body["status"]["observedGeneration"] == 2
    bench.edit(suspend=False)
    await bench.run()
    assert bench.told("Suspended") is None
    assert "roof" in bench.world.things


async def test_a_forced_reconcile_is_echoed_once_and_ends_a_backoff(bench, base) -> None:
    await bench.run()
    bench.store.body["metadata"]["annotations"] = {"biospark.ai/reconcile-requested-at": "now"}
    await bench.run(changed=True)
    assert bench.store.body["status"]["lastHandledReconcileAt"] == "now"
    assert bench.told("Reconciling") is None
    await bench.run(changed=True)
    assert bench.world.writes() == []
    del bench.store.body["metadata"]["annotations"]
    await bench.run(changed=True)
    assert bench.world.writes() == []


async def test_an_unsupported_field_stalls_and_is_named(bench) -> None:
    bench.edit(mesh={"provider": "Istio"})
    next_ = await bench.run()
    assert bench.told("Ready") == ("False", "UnsupportedFeature")
    assert bench.told("Stalled") == ("True", "UnsupportedFeature")
    message = "spec.mesh.provider: remove it: this version does not manage the service mesh yet"
    assert bench.store.condition("Stalled")["message"] == message
    assert bench.world.things == {}
    assert next_.after == BLOCKED_RETRY


async def test_an_invalid_spec_stalls_and_names_the_field(bench) -> None:
    bench.edit(profile="Nonsense")
    await bench.run()
    assert bench.told("Stalled") == ("True", "InvalidSpec")
    assert "spec.profile" in bench.store.condition("Stalled")["message"]


async def test_deletion_removes_everything_against_the_dependency_order(bench) -> None:
    await bench.run()
    assert (await bench.teardown()).gone
    assert [c for c in bench.world.writes() if c != "write status"] == ["delete roof", "delete window", "delete house"]


async def test_deletion_says_what_it_waits_for_and_keeps_what_is_still_needed(bench, top) -> None:
    await bench.run()
    top.sticky = {"roof": "a finalizer of somebody"}
    next_ = await bench.teardown()
    assert not next_.gone
    assert bench.told("Ready") == ("False", "Deleting")
    assert bench.told("Reconciling") == ("True", "Deleting")
    assert "roof (a finalizer of somebody)" in bench.store.condition("Ready")["message"]
    assert "house" in bench.world.things
    top.sticky = {}
    assert (await bench.teardown()).gone
    assert bench.world.things == {}


async def test_deletion_also_works_when_the_spec_cannot_be_read(bench) -> None:
    await bench.run()
    bench.edit(profile="Nonsense", deletionProtection=False)
    assert (await bench.teardown()).gone
    assert bench.world.things == {}


@pytest.mark.parametrize(
    "spec", [{"profile": "Production"}, {"profile": "Nonsense"}, {"deletionProtection": True}, {"interval": 5}]
)
async def test_a_specification_that_cannot_be_worked_on_does_not_lift_the_protection(bench, spec) -> None:
    await bench.run()
    bench.edit(mesh={"provider": "Istio"}, **{"deletionProtection": None, "profile": "Production", **spec})
    if bench.store.body["spec"]["deletionProtection"] is None:
        del bench.store.body["spec"]["deletionProtection"]
    assert not (await bench.teardown()).gone
    assert bench.told("Stalled") == ("True", "DeletionProtected")
    assert bench.world.things


async def test_a_protected_environment_is_not_deleted_until_the_protection_is_lifted(bench) -> None:
    await bench.run()
    bench.edit(deletionProtection=True)
    assert not (await bench.teardown()).gone
    assert bench.told("Stalled") == ("True", "DeletionProtected")
    assert bench.world.things
    bench.edit(deletionProtection=False)
    assert (await bench.teardown()).gone


async def test_a_suspended_environment_is_not_deleted(bench) -> None:
    await bench.run()
    bench.edit(suspend=True)
    assert not (await bench.teardown()).gone
    assert bench.world.things


async def test_a_namesake_made_after_the_deletion_is_left_alone(bench) -> None:
    await bench.run()
    assert (await bench.reconciler.teardown("dev", bench.memory)).gone
    assert bench.world.things


async def test_what_was_adopted_is_given_back_when_nobody_wants_it_any_more(bench, top) -> None:
    await bench.run()
    top.things, top.adopted = ["roof"], ["window"]
    await bench.run()
    assert "window" in bench.world.things
    assert bench.inventory == ["house", "roof"]
    told = [(e.reason, e.message) for e in bench.store.events if e.reason in ("Released", "Pruned")]
    assert told == [("Released", "kept, and not managed any more: window")]


async def test_what_was_adopted_is_given_back_when_the_environment_is_deleted(bench, base) -> None:
    await bench.run()
    base.adopted = ["house"]
    assert (await bench.teardown()).gone
    assert bench.world.things == {"house": "wanted"}
    assert [e.reason for e in bench.store.events][-2:] == ["Released", "Deleted"]


async def test_deletions_are_counted_when_they_begin(bench, top) -> None:
    await bench.run()
    top.things = ["roof"]
    await bench.run()
    assert bench.memory.deletions == {"top": 1}
    await bench.teardown()
    assert bench.memory.deletions == {"top": 2, "base": 1}


async def test_deletion_also_finds_what_somebody_took_out_of_the_status(bench) -> None:
    await bench.run()
    bench.store.body["status"] = {"observedGeneration": 1}
    assert (await bench.teardown()).gone
    assert bench.world.things == {}


async def test_deletion_looks_for_nothing_that_mode_plan_never_made(bench) -> None:
    bench.world.things["house"] = "somebody's"
    bench.edit(mode="Plan")
    await bench.run()
    assert (await bench.teardown()).gone
    assert bench.world.writes() == []


async def test_finalizers_of_others_on_the_resource_are_named_when_ours_goes(bench) -> None:
    bench.store.body["metadata"]["finalizers"] = ["biospark.ai/finalizer", "example.com/hold"]
    await bench.run()
    assert (await bench.teardown()).gone
    assert bench.told("Ready") == ("False", "Deleting")
    assert "its finalizer example.com/hold" in bench.store.condition("Ready")["message"]
    assert bench.inventory == []


async def test_things_of_an_unknown_component_are_reported_and_kept(bench) -> None:
    await bench.run()
    bench.store.body["status"]["inventory"].append({"id": "tower", "component": "future"})
    assert not (await bench.teardown()).gone
    assert "'future'" in bench.store.condition("Ready")["message"]
    assert bench.inventory == ["tower"]


async def test_a_pass_over_an_environment_that_is_gone_ends_the_loop(bench) -> None:
    bench.store.body = None
    assert (await bench.run()).gone


@pytest.mark.parametrize("checks", range(6))
async def test_who_lost_the_lead_changes_nothing_any_more_and_the_next_leader_finishes(bench, checks) -> None:
    bench.leadership.checks_left = checks
    try:
        await bench.run()
    except NotLeaderError:
        changed = len(bench.world.writes())
        assert changed <= checks
    bench.leadership.checks_left, bench.memory = None, Memory()
    await bench.run()
    assert bench.told("Ready") == ("True", "Succeeded")
    assert bench.inventory == ["house", "roof", "window"]


async def test_events_tell_what_was_done_what_was_pruned_and_that_all_is_gone(bench, top) -> None:
    await bench.run()
    top.things = ["roof"]
    await bench.run()
    await bench.teardown()
    told = [(e.reason, e.message) for e in bench.store.events]
    assert ("Applied", "base: created house; top: created 2") in told
    assert ("Pruned", "no longer wanted, and gone: window") in told
    assert told[-1] == ("Deleted", "everything that was created for this environment is gone")


async def test_mode_plan_does_not_say_that_it_applies(bench) -> None:
    bench.edit(mode="Plan")
    await bench.run()
    assert bench.store.events[0].message == "planning generation 2"


async def test_events_tell_transitions_once(bench, base) -> None:
    await bench.run()
    reasons = [e.reason for e in bench.store.events]
    assert reasons == ["Progressing", "Applied", "Succeeded"]
    base.observe_error = UnavailableError("no answer; retrying", retry_after=0)
    await bench.run(changed=True)
    await bench.run(changed=True)
    assert [(e.type, e.reason) for e in bench.store.events[3:]] == [("Warning", "ServerUnavailable")]
