"""A component made of Kubernetes objects: one class over a pure builder of manifests.

The builder says what shall exist; this gives it ownership, server-side apply, drift repair, readiness and
deletion. What a component needs beyond that it adds as a function: what to read first (`fill`), what else to
look at while not ready (`evidence`), how to judge (`assess`), what to tell in the status (`tell`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from biospark_operator.api.v1alpha1.environment import KIND
from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import AdoptionPolicy
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.clients.kubernetes import FIELD_MANAGER
from biospark_operator.clients.objects import Manifest, ObjectRef
from biospark_operator.components import drift, ownership, readiness
from biospark_operator.engine.component import Action, Environment, Identity
from biospark_operator.engine.outcome import Blocked, Outcome, Progressing, Ready

#: Seconds between looks at something that is on its way.
POLL = 3.0


class Cluster(Protocol):
    """What a component needs of the API server; `clients.kubernetes.KubernetesClient` is it."""

    async def get(self, ref: ObjectRef) -> Manifest | None: ...
    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]: ...
    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest: ...
    async def delete(self, ref: ObjectRef, *, uid: str) -> None: ...


@dataclass(frozen=True)
class Seen:
    """What was observed: the objects that shall be, those that are, and what explains why they aren't ready."""

    desired: Mapping[ObjectRef, Manifest]
    live: Mapping[ObjectRef, Manifest]
    evidence: Sequence[Manifest] = ()


Fill = Callable[[Environment, Manifest], Awaitable[Manifest]]
Evidence = Callable[[Environment], Awaitable[Sequence[Manifest]]]
Assess = Callable[[Environment, Seen], Outcome]
Tell = Callable[[Environment, Seen], Mapping[str, Any]]


def assess_each(env: Environment, seen: Seen) -> Outcome:
    """Ready once every object is there and in order by the rules of its kind."""
    for ref in seen.desired:
        live = seen.live.get(ref)
        if live is None:
            return Progressing(Reason.PROGRESSING, f"{ref.short} does not exist yet", POLL)
        if why := readiness.unready(live):
            return Progressing(Reason.PROGRESSING, f"{ref.short}: {why}", POLL)
    count = len(seen.desired)
    return Ready(Reason.SUCCEEDED, "1 object is as specified" if count == 1 else f"{count} objects are as specified")


def _nothing(env: Environment, seen: Seen) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class ObjectsComponent:
    """A component of Kubernetes objects; satisfies `engine.component.Component`.

    `build` must be pure and give every object the same name whenever it is asked, since the inventory takes
    the names in before anything is created. `fill` completes a manifest with what has to be read first.
    """

    name: str
    condition: str
    cluster: Cluster
    build: Callable[[Environment], Sequence[Manifest]]
    requires: frozenset[str] = frozenset()
    when: Callable[[Environment], bool] = lambda _: True
    fill: Fill | None = None
    evidence: Evidence | None = None
    assess: Assess = assess_each
    tell: Tell = _nothing
    field_manager: str = field(default=FIELD_MANAGER, repr=False)

    def enabled(self, env: Environment) -> bool:
        """Whether `when` says so."""
        return self.when(env)

    def targets(self, env: Environment) -> Sequence[str]:
        """Return the text forms of the references of all objects."""
        return [str(ObjectRef.of(manifest)) for manifest in self.build(env)]

    async def observe(self, env: Environment) -> Seen:
        """Read every object that shall be, and the evidence if one of them is not in order."""
        manifests = [ownership.marked(manifest, env, self.name) for manifest in self.build(env)]
        if self.fill is not None:
            manifests = [await self.fill(env, manifest) for manifest in manifests]
        desired = {ObjectRef.of(manifest): manifest for manifest in manifests}
        found = await asyncio.gather(*(self.cluster.get(ref) for ref in desired))
        live = {ref: manifest for ref, manifest in zip(desired, found, strict=True) if manifest is not None}
        seen = Seen(desired, live)
        if self.evidence is None or len(live) < len(desired) or isinstance(self.assess(env, seen), Ready):
            return seen
        return Seen(desired, live, await self.evidence(env))

    def plan(self, env: Environment, seen: Seen) -> Sequence[Action]:
        """Return what to create and to update, in the order of the builder.

        Nothing is done while an object is foreign or on its way out: others may belong into a foreign namespace,
        and one that is going would refuse them.
        """
        if any("deletionTimestamp" in live["metadata"] or _is_foreign(env, live) for live in seen.live.values()):
            return []
        actions = (self._action(env, ref, manifest, seen.live.get(ref)) for ref, manifest in seen.desired.items())
        return [action for action in actions if action is not None]

    def _action(self, env: Environment, ref: ObjectRef, desired: Manifest, live: Manifest | None) -> Action | None:
        if live is None:
            return Action(Verb.CREATE, str(ref), f"create {ref.short}", payload=(desired, False))
        if not ownership.is_ours(live, env.identity):
            return Action(Verb.UPDATE, str(ref), f"adopt {ref.short}", payload=(desired, False))
        paths = drift.differences(desired, live, self.field_manager)
        if not paths:
            return None
        return Action(Verb.UPDATE, str(ref), f"set {', '.join(paths)}", payload=(desired, True))

    async def apply(self, env: Environment, action: Action) -> None:
        """Server-side apply the object of the action; what is ours already is forced."""
        manifest, force = action.payload
        await self.cluster.apply(manifest, force=force)

    def judge(self, env: Environment, seen: Seen) -> Outcome:
        """Refuse foreign objects, wait for those on their way out, and let `assess` say the rest."""
        for ref, live in seen.live.items():
            if _is_foreign(env, live):
                return _refusal(ref, live)
            if "deletionTimestamp" in live["metadata"]:
                why = readiness.held_up(live)
                reason = Reason.NAMESPACE_TERMINATING if ref.kind == "Namespace" else Reason.PROGRESSING
                return Progressing(reason, f"waits until {ref.short} is deleted{why}", POLL)
        return self.assess(env, seen)

    def facts(self, env: Environment, seen: Seen) -> Mapping[str, Any]:
        """Return what `tell` says."""
        return self.tell(env, seen)

    async def remove(self, owner: Identity, targets: Iterable[str]) -> Mapping[str, str]:
        """Delete the objects that are ours, and say of those still there what holds them up.

        An id that names no object is none that we wrote: somebody edited the status. There is nothing to remove.
        """
        ids = [target for target in targets if ObjectRef.is_one(target)]
        answers = await asyncio.gather(*(self._remove(owner, ObjectRef.parse(target)) for target in ids))
        return {target: why for target, why in zip(ids, answers, strict=True) if why is not None}

    async def _remove(self, owner: Identity, ref: ObjectRef) -> str | None:
        live = await self.cluster.get(ref)
        if live is None or not ownership.is_ours(live, owner):
            return None
        if "deletionTimestamp" not in live["metadata"]:
            await self.cluster.delete(ref, uid=live["metadata"]["uid"])
            live = await self.cluster.get(ref)
        return None if live is None else readiness.held_up(live).removeprefix(": ")


def _is_foreign(env: Environment, live: Manifest) -> bool:
    """Whether an object is not ours and may not be taken over."""
    adoptable = env.spec.adoption_policy is AdoptionPolicy.IF_UNOWNED and ownership.is_unowned(live)
    return not adoptable and not ownership.is_ours(live, env.identity)


def _refusal(ref: ObjectRef, live: Manifest) -> Blocked:
    if owner := ownership.owner_of(live):
        taken = ref.kind == "Namespace" and owner.startswith(KIND)
        reason = Reason.NAMESPACE_CONFLICT if taken else Reason.NOT_OWNED
        next_step = "choose another spec.namespace.name" if taken else "remove it there, or choose another name"
        return Blocked(reason, f"{ref.short} exists and belongs to {owner}; {next_step}")
    return Blocked(
        Reason.NOT_OWNED,
        f"{ref.short} exists and was not created for this environment; delete it, "
        "or set spec.adoptionPolicy: IfUnowned to take it over",
    )
