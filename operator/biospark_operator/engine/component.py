"""The contract between the engine and the things an environment is made of.

A component is added by writing one module that satisfies `Component`; the engine does not change. `refuse`, `plan`
and `judge` are pure, so most behaviour is tested with tables and without a cluster. The same `plan` serves mode
`Apply`, mode `Plan`, the drift report and the Events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from biospark_operator.api.v1alpha1.effective_spec import EffectiveSpec
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.engine.outcome import Blocked, Failed, Outcome


@dataclass(frozen=True)
class Identity:
    """Which environment something belongs to: all that is known when its specification can't be read."""

    name: str
    uid: str
    #: Whether data (databases, secrets) stays when the environment goes: `deletionPolicy: Retain`.
    retain: bool = True
    #: Whether it may not be deleted for now: `deletionProtection`.
    protected: bool = False
    #: Whether it is being deleted. Else what is removed is only not wanted any more.
    deleting: bool = False
    #: The uid of an environment of the same name that is gone, whose things this one takes over.
    predecessor: str | None = None
    #: Whether its deletion leaves everything behind, data or not: what is removed is given back.
    orphans: bool = False
    #: Servers outside, as "host:port", that a human says are gone for good.
    abandoned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Environment:
    """One environment as a pass sees it: who it is, and what it shall be with every default filled in."""

    identity: Identity
    generation: int
    spec: EffectiveSpec
    #: The annotations of the resource: requests that are no part of the specification.
    annotations: Mapping[str, str] = field(default_factory=dict)
    #: The status as it was before this pass. It may be lost, so it tells of what was, and of nothing that is.
    status: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the resource, as in "staging"."""
        return self.identity.name

    @property
    def uid(self) -> str:
        """The uid of the resource: what it owns carries it, so a namesake owns nothing of it."""
        return self.identity.uid


@dataclass(frozen=True, slots=True)
class Action:
    """One step towards the specification. Shown to users as it is, so it holds no secret.

    `target` is the id that the inventory keeps, `summary` names field paths and never values, `destructive`
    says that data is lost, `rivals` names who else set what is to be changed, as far as that is known, and
    `payload` is what `apply` needs (never shown): if its `repr` is the same, the same is wanted.
    """

    verb: Verb
    target: str
    summary: str
    destructive: bool = False
    #: Whether it was due by itself, so that it repairs nothing that others did.
    routine: bool = False
    rivals: tuple[str, ...] = field(default=(), compare=False)
    payload: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Removed:
    """How far the removal of some targets came. What `waiting` does not hold is gone, given back, or was not ours."""

    #: What is still there, with what it waits for.
    waiting: Mapping[str, str] = field(default_factory=dict)
    #: What is given back and stays: it was adopted, or holds data that is to be kept.
    released: tuple[str, ...] = ()
    #: Of which this call began the deletion.
    deleted: tuple[str, ...] = ()


SeenT = TypeVar("SeenT")


class Component(Protocol[SeenT]):
    """One thing an environment is made of."""

    @property
    def name(self) -> str:
        """Lower case, as in "network"; unique."""

    @property
    def condition(self) -> str:
        """The condition type that tells of this component, as in "NetworkReady"."""

    @property
    def outside(self) -> bool:
        """Whether its things are in a system outside of the cluster, where nothing is before that was reached."""

    @property
    def requires(self) -> frozenset[str]:
        """Names of the components that must be ready before this one is touched."""

    def enabled(self, env: Environment) -> bool:
        """Whether this environment has this component at all."""

    def targets(self, env: Environment) -> Sequence[str]:
        """Return the ids of everything that `apply` may create. Pure: the inventory takes them in beforehand.

        Those of a component that is `outside` it takes in when `observe` succeeded for the first time.
        """

    async def observe(self, env: Environment) -> SeenT:
        """Read the state of the world. Reads only. Raises an error of `engine.errors`."""

    def refuse(self, env: Environment, seen: SeenT) -> Blocked | Failed | None:
        """Say why nothing may be done with what was observed, or None where something may. Pure.

        Asked before `plan` and `judge`, which need not ask again.
        """

    def plan(self, env: Environment, seen: SeenT) -> Sequence[Action]:
        """Return the actions that make the world equal to the specification, in order. Pure."""

    async def apply(self, env: Environment, action: Action) -> None:
        """Carry out one action. Idempotent: it may have been carried out before. Raises as `observe` does."""

    def judge(self, env: Environment, seen: SeenT) -> Outcome:
        """Say how far the component is, from what was observed alone. Pure."""

    def facts(self, env: Environment, seen: SeenT) -> Mapping[str, Any]:
        """Return top-level status fields that this component knows, such as `endpoints`. Pure."""

    async def remove(self, owner: Identity, targets: Iterable[str]) -> Removed:
        """Start or go on removing `targets`. What is not ours is left alone. Called again until nothing waits."""


#: The engine holds components of many kinds of observation and hands each only its own.
AnyComponent = Component[Any]
