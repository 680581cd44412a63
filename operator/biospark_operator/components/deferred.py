"""A component whose modules are imported when the first environment that has it is looked at.

What a component needs beyond the others may be large: SQLAlchemy, Alembic and psycopg were nearly half of the
operator's start, and much of what it keeps in memory, also where no environment has a database. What the engine asks
before it looks at anything is said here; everything else is the component's own answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from biospark_operator.engine.component import Action, AnyComponent, Environment, Identity, Removed
from biospark_operator.engine.outcome import Blocked, Failed, Outcome
from biospark_operator.objects.kinds import Kind


@dataclass(frozen=True)
class Deferred:
    """Stands for the component that `load` imports and makes; satisfies `engine.component.Component`.

    It is for components whose Kubernetes objects, if they make any, have no hooks of `ObjectsComponent`.
    """

    name: str
    condition: str
    requires: frozenset[str]
    outside: bool
    load: Callable[[], AnyComponent]
    when: Callable[[Environment], bool] = field(default=lambda _: True)
    #: What the component says are its targets.
    wants: Callable[[Environment], Sequence[str]] = field(default=lambda _: ())
    kinds: frozenset[Kind] = frozenset()
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False, compare=False)

    @cached_property
    def component(self) -> AnyComponent:
        """The component itself."""
        return self.load()

    async def _loaded(self) -> AnyComponent:
        if "component" not in self.__dict__:
            # Imports take a second of processor time. In a thread they slow other passes down, and hold up none; a
            # Lease is renewed meanwhile.
            async with self._loading:
                return await asyncio.to_thread(lambda: self.component)
        return self.component

    def enabled(self, env: Environment) -> bool:
        """Whether `when` says so."""
        return self.when(env)

    def targets(self, env: Environment) -> Sequence[str]:
        """Return what `wants` says."""
        return self.wants(env)

    async def observe(self, env: Environment) -> Any:
        """Let the component observe."""
        return await (await self._loaded()).observe(env)

    def refuse(self, env: Environment, seen: Any) -> Blocked | Failed | None:
        """Let the component say."""
        return self.component.refuse(env, seen)

    def plan(self, env: Environment, seen: Any) -> Sequence[Action]:
        """Let the component plan."""
        return self.component.plan(env, seen)

    async def apply(self, env: Environment, action: Action) -> None:
        """Let the component act."""
        await self.component.apply(env, action)

    def judge(self, env: Environment, seen: Any) -> Outcome:
        """Let the component judge."""
        return self.component.judge(env, seen)

    def facts(self, env: Environment, seen: Any) -> Mapping[str, Any]:
        """Let the component tell."""
        return self.component.facts(env, seen)

    async def remove(self, owner: Identity, targets: Iterable[str]) -> Removed:
        """Let the component remove."""
        return await (await self._loaded()).remove(owner, targets)
