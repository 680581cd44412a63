"""One pass over one environment: the story of the operator.

`Reconciler.reconcile` brings an environment closer to its specification and says when to look again;
`Reconciler.teardown` does the same for one that is being deleted. Both are called by the runtime's loop under
the environment's lock, never wait for anything slow, and may be killed between any two lines: the next pass
starts from what the API server says.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any

from biospark_operator.api.v1alpha1.environment import FINALIZER
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import Mode
from biospark_operator.engine import events, graph, status
from biospark_operator.engine.component import Action, AnyComponent, Identity
from biospark_operator.engine.convergence import Leadership, Report, converge, outcome_of
from biospark_operator.engine.errors import OutsideError
from biospark_operator.engine.inventory import Inventory
from biospark_operator.engine.outcome import Blocked, Failed, Outcome, Progressing, Waiting, can_be_built_on
from biospark_operator.engine.passes import (
    Admission,
    Body,
    Identify,
    Memory,
    Next,
    Orphaning,
    Pass,
    Store,
    is_fresh,
    requested,
    status_of,
)
from biospark_operator.engine.removal import Removal, remove
from biospark_operator.engine.shares import Part, Rest
from biospark_operator.engine.writing import StatusWriter

#: Seconds until something that needs a human is looked at again without being woken.
BLOCKED_RETRY = 120.0
#: Seconds between looks at something that is being deleted.
REMOVAL_RETRY = 2.0
#: Finalizers that go by themselves: ours, and those by which the garbage collector remembers what it was asked.
_PASSING = frozenset({FINALIZER, "foregroundDeletion", "orphan"})
#: Part of the interval by which passes are spread, so that environments don't move in step.
JITTER = 0.1


@dataclass(frozen=True)
class Reconciler:
    """Carries out passes. Holds no state of an environment, so one serves all of them at once."""

    components: Sequence[AnyComponent]
    admit: Admission
    identify: Identify
    store: Store
    orphaning: Orphaning
    leadership: Leadership
    operator_version: str
    #: What passes tell of the status: all that no other writer owns.
    part: Part = field(default_factory=Rest)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    rng: random.Random = field(default_factory=random.Random)

    @cached_property
    def _writer(self) -> StatusWriter:
        return StatusWriter(self.store, self.part, self.leadership, self.clock)

    async def reconcile(self, name: str, memory: Memory, *, changed: bool) -> Next:
        """Bring the environment closer to its specification.

        `changed` says that something happened (an edit, a child event, a request), so that components which
        wait after a failure are tried at once.
        """
        body = await self._writer.read(name)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return Next(None, gone=True)
        self.leadership.check()
        if body["spec"].get("suspend"):
            return await self._finish(body, status.suspended(status_of(body)), after=None)
        env = self.admit(body)
        if isinstance(env, Blocked):
            return await self._finish(body, status.refused(env, status_of(body)), after=BLOCKED_RETRY)
        if asked := is_fresh(body) or bool(requested(body)):
            memory.contest.clear()
        # Who fights over a field wakes us all the time: that says nothing about what failed elsewhere.
        if asked or (changed and not memory.contest.is_on(self.monotonic())):
            memory.backoff.reset()
        this = Pass(body, env, graph.in_order(c for c in self.components if c.enabled(env)), memory, is_fresh(body))
        wanted = Inventory.wanted(env, this.components)
        this = await self._begin(this, Inventory.wanted(env, [c for c in this.components if not c.outside]))
        unprepared = await self._prepare_orphaning(this)
        reports = await graph.traverse(this.components, lambda c, needs: self._visit(c, needs, this))
        unwanted = this.inventory.without(wanted.entries)
        leftovers = await self._prune(this, unwanted)
        return await self._conclude(this, reports, unwanted, leftovers, unprepared)

    async def teardown(self, name: str, memory: Memory) -> Next:
        """Go on deleting the environment, until the answer says `gone`.

        A resource of this name that nobody deletes is another one, made after the one we took down had gone.
        """
        body = await self._writer.read(name)
        if body is None or not body["metadata"].get("deletionTimestamp"):
            return Next(None, gone=True)
        self.leadership.check()
        if body["spec"].get("suspend"):
            return await self._finish(body, status.suspended(status_of(body)), after=None)
        owner = self.identify(body)
        if owner.protected:
            message = "deletion is refused while spec.deletionProtection is true; set it to false to go on"
            protected = Removal(problem=Blocked(Reason.DELETION_PROTECTED, message))
            return await self._finish(body, status.deleting(protected), after=None)
        if await self.orphaning.asked(body):
            owner = replace(owner, orphans=True, retain=True)
        held, doubtful = self._holdings(body)
        removal = await self._removed(held, owner, memory, doubtful)
        released = events.released(removal.released)
        if not removal.problem and not removal.waiting:
            self.leadership.check()
            await self.orphaning.settle(body)
            for event in [*released, events.orphaned() if owner.orphans else events.deleted()]:
                await self.store.record(body, event)
            await self._tell_of_others(body)
            return Next(None, gone=True)
        unmade = doubtful - removal.waiting.keys()
        left = held.without({*removal.done, *unmade})
        after = self._after_removal(removal, memory)
        return await self._finish(body, status.deleting(removal), after, inventory=left, done=released)

    def _holdings(self, body: Body) -> tuple[Inventory, Set[str]]:
        """Return all that may exist of an environment: somebody may have taken entries out of its status.

        The second are the ids in systems outside that were never reached, as far as the status tells.
        """
        held, nothing = Inventory.from_status(status_of(body)), frozenset[str]()
        env = self.admit(body)
        if isinstance(env, Blocked) or env.spec.mode is not Mode.APPLY:
            return held, nothing
        wanted = [c for c in self.components if c.enabled(env)]
        doubtful = Inventory.wanted(env, [c for c in wanted if c.outside]).without(held.entries)
        return held | Inventory.wanted(env, wanted), doubtful.entries.keys()

    async def _tell_of_others(self, body: Body) -> None:
        """Say whose finalizers the resource waits for now that ours goes: nobody else would."""
        if foreign := [name for name in body["metadata"].get("finalizers") or () if name not in _PASSING]:
            await self._tell(body, status.held_by_others(foreign), inventory=Inventory({}))

    async def _begin(self, this: Pass, wanted: Inventory) -> Pass:
        """Write what is about to happen, if that is news: a generation, a request, things to be created."""
        held = Inventory.from_status(this.status)
        intended = held | wanted if this.applies else held
        if held.covers(intended) and not this.fresh and not requested(this.body):
            return this
        conditions = (
            status.beginning(this.env.generation, this.components, applies=this.applies)
            if this.fresh
            else status.kept(this.status)
        )
        return replace(this, body=await self._tell(this.body, conditions, inventory=intended))

    async def _prepare_orphaning(self, this: Pass) -> dict[str, Outcome]:
        """Have deletion with orphan propagation leave a trace; return what went wrong. It holds up nothing else."""
        if this.applies:
            try:
                self.leadership.check()
                await self.orphaning.prepare(this.body)
            except OutsideError as error:
                return {"ownership": outcome_of(error)}
        return {}

    async def _visit(self, component: AnyComponent, needs: Mapping[str, Report], this: Pass) -> Report:
        """Converge one component, unless it waits for another one or for its backoff to pass."""
        backoff, contest, now = this.memory.backoff, this.memory.contest, self.monotonic()
        unready = sorted(name for name, needed in needs.items() if not can_be_built_on(needed.outcome))
        if unready and this.applies:
            return Report(Waiting(Reason.DEPENDENCY_NOT_READY, f"waits for {', '.join(unready)}"))
        last = this.memory.reports.get(component.name)
        if last is not None and backoff.remaining(component.name, now) > 0:
            return replace(last, done=())
        result = await converge(
            component,
            this.env,
            apply=this.applies,
            leadership=self.leadership,
            due=lambda action: contest.due(component.name, action, now),
            reached=partial(self._reached, component, this),
        )
        for action in () if this.fresh else result.done:
            contest.repaired(component.name, action, self.monotonic())
        result = replace(result, outcome=contest.verdict(component.name, result.outcome, self.monotonic()))
        this.memory.reports[component.name] = result
        if isinstance(result.outcome, Failed):
            backoff.failed(component.name, self.monotonic(), result.outcome.retry_after)
        else:
            backoff.succeeded(component.name)
        return result

    async def _reached(self, component: AnyComponent, this: Pass) -> None:
        """Take into the inventory what may be made in a system outside, now that it answered.

        Not before: what was never reached needs no removal, and must not hold up a deletion.
        """
        wanted = Inventory.wanted(this.env, [component])
        if this.inventory.covers(wanted):
            return
        async with this.writing:
            this.intended.update(wanted.entries)
            await self._tell(this.body, status.kept(this.status), inventory=this.inventory)

    async def _prune(self, this: Pass, unwanted: Inventory) -> Removal:
        """Remove what an earlier specification wanted and this one doesn't."""
        if not this.applies or not unwanted.entries:
            return Removal()
        return await self._removed(unwanted, this.env.identity, this.memory)

    async def _removed(
        self, unwanted: Inventory, owner: Identity, memory: Memory, doubtful: Set[str] = frozenset()
    ) -> Removal:
        removal = await remove(unwanted, owner, self.components, self.leadership, doubtful)
        memory.deletions.update(removal.begun)
        return removal

    async def _conclude(
        self,
        this: Pass,
        reports: Mapping[str, Report],
        unwanted: Inventory,
        leftovers: Removal,
        unprepared: Mapping[str, Outcome],
    ) -> Next:
        """Write what came of the pass and decide when to look again."""
        outcomes = {name: result.outcome for name, result in reports.items()}
        conditions = [
            *status.overall(
                {**outcomes, **unprepared}, leftovers, unwanted=0 if this.applies else len(unwanted.entries)
            ),
            *(status.component_condition(c, outcomes[c.name]) for c in this.components),
        ]
        drifted = self._drifted(this, reports)
        fields = _joined(result.facts for result in reports.values())
        if conditions[0].status == "True":
            fields["readyGeneration"] = this.env.generation
        fields["drift"] = status.drift(drifted, this.status, self.clock(), repaired=this.applies)
        fields["plan"] = None if this.applies else status.plan(reports, unwanted, this.env.generation)
        return await self._finish(
            this.body,
            conditions,
            min(self._after(this, reports, leftovers), BLOCKED_RETRY if unprepared else math.inf),
            inventory=this.inventory.without(leftovers.done),
            fields=fields,
            done=[
                *events.actions_done(reports, drifted),
                *events.removed(leftovers.gone),
                *events.released(leftovers.released),
            ],
        )

    def _drifted(self, this: Pass, reports: Mapping[str, Report]) -> list[tuple[str, Action]]:
        """Return the actions that undo what others did.

        The component was ready as this operator left it, or the whole environment once was: with its namespace, say,
        all is lost, and is made while each component waits for another.
        """
        was = {c["type"]: c for c in this.status.get("conditions") or ()}
        if this.status.get("operatorVersion") != self.operator_version:
            return []
        whole = this.status.get("readyGeneration") == this.env.generation
        settled = [c for c in this.components if whole or _was_settled(was.get(c.condition, {}))]
        found = [(c.name, a) for c in settled for a in (reports[c.name].done or reports[c.name].planned)]
        return [(name, action) for name, action in found if not action.routine]

    async def _finish(
        self,
        body: Body,
        conditions: Iterable[status.Condition],
        after: float | None,
        *,
        inventory: Inventory | None = None,
        fields: Mapping[str, Any] | None = None,
        done: Iterable[events.Event] = (),
    ) -> Next:
        """Tell what came of a pass, and say when to look again."""
        await self._tell(body, conditions, inventory=inventory, fields=fields, done=done)
        return Next(after)

    async def _tell(
        self,
        body: Body,
        conditions: Iterable[status.Condition],
        *,
        inventory: Inventory | None = None,
        fields: Mapping[str, Any] | None = None,
        done: Iterable[events.Event] = (),
    ) -> Body:
        """Write the status if it differs, record what deserves an Event, and return `body` with that status.

        A field of `fields` that is None or empty is taken away; what is not named stays as it was. The resource
        is not read again: an edit in between would pass for the generation that was worked on.
        """
        before = status_of(body)
        said = {
            **before,
            **(fields or {}),
            "observedGeneration": body["metadata"]["generation"],
            "operatorVersion": self.operator_version,
        }
        if inventory is not None:
            said["inventory"] = inventory.to_status()
        if request := requested(body):
            said["lastHandledReconcileAt"] = request
        after = await self._writer.write(body, conditions, said)
        told = {**body, "status": after}
        for event in [*done, *events.transitions(before, after)]:
            await self.store.record(told, event)
        return told

    def _after(self, this: Pass, reports: Mapping[str, Report], leftovers: Removal) -> float:
        """Return the seconds until the next look: the soonest that anything asks for."""
        waits = [this.env.spec.interval.total_seconds() * self.rng.uniform(1 - JITTER, 1 + JITTER)]
        for name, result in reports.items():
            match result.outcome:
                case Progressing(retry_after=seconds):
                    waits.append(seconds)
                case Failed():
                    waits.append(this.memory.backoff.remaining(name, self.monotonic()))
                case Blocked():
                    waits.append(BLOCKED_RETRY)
        if leftovers.waiting or leftovers.problem:
            waits.append(self._after_removal(leftovers, this.memory))
        if (look := this.memory.contest.next_look(self.monotonic())) is not None:
            waits.append(look)
        return min(waits)

    def _after_removal(self, removal: Removal, memory: Memory) -> float:
        if isinstance(removal.problem, Blocked):
            return BLOCKED_RETRY
        if isinstance(removal.problem, Failed):
            return memory.backoff.failed("removal", self.monotonic(), removal.problem.retry_after)
        memory.backoff.succeeded("removal")
        return REMOVAL_RETRY


def _joined(facts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all components tell; an object of which several know something has what each of them tells."""
    fields: dict[str, Any] = {}
    for told in facts:
        for key, value in told.items():
            known = fields.get(key)
            fields[key] = {**known, **value} if isinstance(known, Mapping) and isinstance(value, Mapping) else value
    return fields


def _was_settled(condition: Mapping[str, Any]) -> bool:
    """Whether a component was as this operator left it, by its last condition."""
    return condition.get("status") == "True" or condition.get("reason") == Reason.DRIFT_CONTESTED
