"""A world that consists of named things, components that make them, and a store for the resource.

The engine's tests run whole passes against it. Every call is recorded in `World.calls`, so that a test can say
what was read and written and in which order.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.component import Action, Environment, Identity, Removed
from biospark_operator.engine.errors import NotLeaderError, OutsideError
from biospark_operator.engine.events import Event
from biospark_operator.engine.outcome import Blocked, Failed, Outcome, Progressing, Ready
from biospark_operator.engine.shares import Part, combined


@dataclass
class World:
    """Things by name with their value, and everything that was done to them."""

    things: dict[str, str] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def writes(self) -> list[str]:
        """Return the calls that change something."""
        return [call for call in self.calls if not call.startswith("read")]


@dataclass
class FakeComponent:
    """Makes one thing per name in `things`, each with the value `value`."""

    name: str
    world: World
    things: Sequence[str] = ()
    requires: frozenset[str] = frozenset()
    value: str = "wanted"
    on: bool = True
    outside: bool = False
    #: Raised by the next calls of `observe` and of `apply`.
    observe_error: OutsideError | Exception | None = None
    apply_error: OutsideError | Exception | None = None
    #: Raised by the next calls of `remove`.
    remove_error: OutsideError | None = None
    #: What `refuse` says.
    refusal: Blocked | Failed | None = None
    #: What `judge` says instead of ready or not.
    outcome: Outcome | None = None
    #: Things that don't go away at once, with why.
    sticky: dict[str, str] = field(default_factory=dict)
    #: Things that were there before.
    adopted: Sequence[str] = ()
    #: Who else sets the things.
    rivals: tuple[str, ...] = ()
    delay: float = 0.0

    @property
    def condition(self) -> str:
        return f"{self.name.capitalize()}Ready"

    def enabled(self, env: Environment) -> bool:
        return self.on

    def targets(self, env: Environment) -> Sequence[str]:
        return list(self.things)

    async def observe(self, env: Environment) -> dict[str, str]:
        self.world.calls.append(f"read {self.name}")
        await asyncio.sleep(self.delay)
        if self.observe_error:
            raise self.observe_error
        return {thing: self.world.things[thing] for thing in self.things if thing in self.world.things}

    def refuse(self, env: Environment, seen: dict[str, str]) -> Blocked | Failed | None:
        return self.refusal

    def plan(self, env: Environment, seen: dict[str, str]) -> Sequence[Action]:
        missing = [Action(Verb.CREATE, t, f"create {t}") for t in self.things if t not in seen]
        changed = [
            Action(Verb.UPDATE, t, f"set {t}", payload=self.value, rivals=self.rivals)
            for t, value in seen.items()
            if value != self.value
        ]
        return missing + changed

    async def apply(self, env: Environment, action: Action) -> None:
        if self.apply_error:
            raise self.apply_error
        self.world.calls.append(f"{action.verb.value.lower()} {action.target}")
        self.world.things[action.target] = self.value

    def judge(self, env: Environment, seen: dict[str, str]) -> Outcome:
        if self.outcome:
            return self.outcome
        if set(seen) == set(self.things):
            return Ready("Succeeded", f"{len(seen)} things are there")
        return Progressing("Progressing", "things are missing", 3.0)

    def facts(self, env: Environment, seen: dict[str, str]) -> Mapping[str, Any]:
        return {}

    async def remove(self, owner: Identity, targets: Iterable[str]) -> Removed:
        if self.remove_error:
            raise self.remove_error
        waiting, released, deleted = {}, [], []
        for target in targets:
            if target in self.sticky:
                waiting[target] = self.sticky[target]
            elif target in self.adopted or owner.orphans:
                self.world.calls.append(f"release {target}")
                released.append(target)
            elif target in self.world.things:
                self.world.calls.append(f"delete {target}")
                del self.world.things[target]
                deleted.append(target)
        return Removed(waiting, tuple(released), tuple(deleted))


@dataclass
class FakeStore:
    """One resource, its status writes and its Events."""

    body: Any
    world: World
    events: list[Event] = field(default_factory=list)
    statuses: list[Mapping[str, Any]] = field(default_factory=list)

    async def read(self, name: str) -> Any:
        return copy.deepcopy(self.body)

    async def write_status(self, body: Any, status: Mapping[str, Any], part: Part) -> None:
        self.world.calls.append("write status")
        self.body["status"] = copy.deepcopy(combined(self.body.get("status") or {}, part, status))
        self.statuses.append(copy.deepcopy(self.body["status"]))

    async def record(self, body: Any, event: Event) -> None:
        self.events.append(event)

    def condition(self, type_: str) -> Mapping[str, Any] | None:
        """Return a condition of the stored status, or None."""
        return next((c for c in self.body["status"].get("conditions", ()) if c["type"] == type_), None)


@dataclass
class FakeLeadership:
    """Leads until it lost, or for a number of checks."""

    checks_left: int | None = None

    def check(self) -> None:
        if self.checks_left is not None:
            if self.checks_left == 0:
                raise NotLeaderError
            self.checks_left -= 1


@dataclass
class FakeOrphaning:
    """Says of every deletion that it leaves all behind, or that it does not."""

    orphans: bool = False
    #: Raised by `prepare`.
    error: OutsideError | None = None
    prepared: int = 0
    settled: int = 0

    async def prepare(self, body: Any) -> None:
        if self.error:
            raise self.error
        self.prepared += 1

    async def asked(self, body: Any) -> bool:
        return self.orphans

    async def settle(self, body: Any) -> None:
        self.settled += 1
