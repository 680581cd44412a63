"""A component made of Kubernetes objects: one class over a pure builder of manifests.

The builder says what shall exist; this gives it ownership, server-side apply, drift repair, readiness and
deletion. What a component needs beyond that it adds as a function: what other components hand over (`receive`), what
else to read (`sources`) and what of it goes in (`fill`), when nothing may be done (`refusal`), what is made only when
it is written (`complete`), what else to look at while not ready (`evidence`), how to judge (`assess`), what to tell in
the status (`tell`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from biospark_operator.api.v1alpha1.reasons import Reason
from biospark_operator.api.v1alpha1.spec import AdoptionPolicy
from biospark_operator.api.v1alpha1.status import Verb
from biospark_operator.clients.kubernetes.client import FIELD_MANAGER
from biospark_operator.clients.kubernetes.errors import ConflictError
from biospark_operator.clients.kubernetes.objects import NEVER, Manifest, ObjectRef
from biospark_operator.engine.component import Action, Environment, Identity, Removed
from biospark_operator.engine.errors import RejectedError, UnavailableError
from biospark_operator.engine.outcome import Blocked, Failed, Outcome, Progressing, Ready
from biospark_operator.objects import drift, field_owners, ownership, readiness
from biospark_operator.objects.kinds import Kind
from biospark_operator.objects.manifest import only_on

#: By kind the field that can't be changed where somebody made the object anew with another value. Nothing is
#: lost by making these kinds anew.
_FIXED = {"RoleBinding": "roleRef", "ClusterRoleBinding": "roleRef", "Secret": "type"}
#: How many objects of others a message names.
_NAMED = 5
#: Kinds that count as gone when their pods are: what these still need stays as long as they run.
_OF_PODS = frozenset({"Deployment"})
#: Seconds between looks at something that is on its way.
POLL = 3.0


class Cluster(Protocol):
    """What a component needs of the API server; `clients.kubernetes.KubernetesClient` is it."""

    async def get(self, ref: ObjectRef) -> Manifest | None: ...
    async def list(
        self, api_version: str, kind: str, *, namespace: str | None = None, labels: str = "", fields: str = ""
    ) -> Sequence[Manifest]: ...
    async def apply(self, manifest: Manifest, *, force: bool, dry_run: bool = False) -> Manifest: ...
    async def delete(self, ref: ObjectRef, *, uid: str, foreground: bool = False) -> None: ...


@dataclass(frozen=True)
class Seen:
    """What was observed: the objects that shall be, those that are, and what explains why they aren't ready."""

    desired: Mapping[ObjectRef, Manifest]
    live: Mapping[ObjectRef, Manifest]
    evidence: Sequence[Manifest] = ()
    #: What others have in the namespace that is to be told.
    strangers: Sequence[Manifest] = ()
    #: What there is of the `sources`.
    sources: Mapping[ObjectRef, Manifest] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class _Write:
    """What is applied, and on which object. That does not make another action of it, so it is not in its text."""

    manifest: Manifest
    force: bool
    seen: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True)
class Strangers:
    """Objects of others in the environment's namespace that change what a component achieves.

    They are left alone, and named: `opens` says which of a kind. `did` and `instead` are words of the message.
    """

    api_version: str
    kind: str
    opens: Callable[[Manifest], bool]
    did: str
    instead: str

    def told(self, found: Sequence[Manifest]) -> str:
        """Name what was found, in the order of the names."""
        names = sorted(live["metadata"]["name"] for live in found)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        listed = ", ".join(names[:_NAMED])
        return f"; more is {self.did} by others with {self.kind} {listed}{more}: delete that, or use {self.instead}"


Sources = Callable[[Environment], Sequence[ObjectRef]]
#: Gets the manifest, the object as it is or None, and what there is of the sources. Pure.
Fill = Callable[[Environment, Manifest, Manifest | None, Mapping[ObjectRef, Manifest]], Manifest]
Refusal = Callable[[Environment, Seen], Blocked | Failed | None]
Receive = Callable[[Environment, Manifest], Awaitable[Manifest]]
Complete = Callable[[Environment, Manifest], Awaitable[Manifest]]
Evidence = Callable[[Environment, Seen], Awaitable[Sequence[Manifest]]]
Assess = Callable[[Environment, Seen], Outcome]
Tell = Callable[[Environment, Seen], Mapping[str, Any]]


def _nothing(env: Environment, seen: Seen) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class ObjectsComponent:
    """A component of Kubernetes objects; satisfies `engine.component.Component`.

    `kinds` are those of all objects that `build` may return, and of those that are listed. `build` must be pure and
    give every object the same name whenever it is asked, since the inventory takes the names in before anything is
    created. `fill` adds to a manifest what has to be read first, `sources` included; where one is missing `refusal`
    says so. `complete` adds to a manifest that is about to be written what is not to be made before; it is written
    only on the object that was seen.
    """

    name: str
    condition: str
    cluster: Cluster
    build: Callable[[Environment], Sequence[Manifest]]
    kinds: frozenset[Kind]
    requires: frozenset[str] = frozenset()
    outside: bool = False
    when: Callable[[Environment], bool] = lambda _: True
    sources: Sources = lambda _: ()
    fill: Fill | None = None
    receive: Receive | None = None
    refusal: Refusal = lambda *_: None
    complete: Complete | None = None
    evidence: Evidence | None = None
    assess: Assess | None = None
    tell: Tell = _nothing
    strangers: Strangers | None = None
    #: Whether its objects stay until the deletion of their namespace takes them along, where that goes as well.
    goes_with_namespace: bool = False
    #: Whether a field is one that this operator changes from time to time, so that its change repairs nothing.
    routine: Callable[[str], bool] = lambda _: False
    field_manager: str = field(default=FIELD_MANAGER, repr=False)

    @cached_property
    def _declared(self) -> Mapping[tuple[str, str], Kind]:
        return {kind.key: kind for kind in self.kinds}

    def enabled(self, env: Environment) -> bool:
        """Whether `when` says so."""
        return self.when(env)

    def targets(self, env: Environment) -> Sequence[str]:
        """Return the text forms of the references of all objects."""
        return [str(ObjectRef.of(manifest)) for manifest in self.build(env)]

    def rendered(self, env: Environment) -> Sequence[Manifest]:
        """Return the objects as they are applied, but for what is read first or made when it is written."""
        return [ownership.marked(manifest, env, self.name) for manifest in self.build(env)]

    async def observe(self, env: Environment) -> Seen:
        """Read every object that shall be, what goes into them, and the evidence if one is not in order."""
        manifests = {ObjectRef.of(manifest): manifest for manifest in self.rendered(env)}
        live, sources, desired = await asyncio.gather(
            self._there(manifests), self._there(self.sources(env)), self._received(env, manifests)
        )
        if self.fill is not None:
            desired = {ref: self.fill(env, manifest, live.get(ref), sources) for ref, manifest in desired.items()}
        for ref, there in live.items():
            if not ownership.is_created(there, env.identity):
                desired[ref] = ownership.as_adopted(desired[ref])
        seen = Seen(desired, live, sources=sources)
        for there in live.values():
            if there["kind"] == "Namespace" and "deletionTimestamp" in there["metadata"]:
                return replace(seen, evidence=await self._pods_of(there))
        if len(live) < len(desired):
            return seen
        if isinstance(self._assessed(env, seen), Ready):
            return replace(seen, strangers=await self._strangers(env)) if self.strangers else seen
        return replace(seen, evidence=await self.evidence(env, seen)) if self.evidence else seen

    async def _received(self, env: Environment, manifests: Mapping[ObjectRef, Manifest]) -> dict[ObjectRef, Manifest]:
        if self.receive is None:
            return dict(manifests)
        return {ref: await self.receive(env, manifest) for ref, manifest in manifests.items()}

    async def _strangers(self, env: Environment) -> Sequence[Manifest]:
        if self.strangers is None:
            return ()
        kind = self.strangers
        found = await self.cluster.list(kind.api_version, kind.kind, namespace=env.spec.namespace.name)
        return [live for live in found if kind.opens(live) and not ownership.is_ours(live, env.identity)]

    async def _pods_of(self, live: Manifest) -> Sequence[Manifest]:
        """Return the pods that an object waits for when it is deleted."""
        metadata = live["metadata"]
        if live["kind"] == "Namespace":
            return await self.cluster.list("v1", "Pod", namespace=metadata["name"])
        if live["kind"] in _OF_PODS:
            selector = ",".join(f"{key}={value}" for key, value in live["spec"]["selector"]["matchLabels"].items())
            return await self.cluster.list("v1", "Pod", namespace=metadata["namespace"], labels=selector)
        return ()

    async def _there(self, refs: Iterable[ObjectRef]) -> Mapping[ObjectRef, Manifest]:
        refs = list(refs)
        found = await asyncio.gather(*(self.cluster.get(ref) for ref in refs))
        return {ref: manifest for ref, manifest in zip(refs, found, strict=True) if manifest is not None}

    def refuse(self, env: Environment, seen: Seen) -> Blocked | Failed | None:
        """Refuse where an object is foreign, and where `refusal` does."""
        for ref, live in seen.live.items():
            if _is_foreign(env, live):
                return _refusal(env, ref, live)
        return self.refusal(env, seen)

    def plan(self, env: Environment, seen: Seen) -> Sequence[Action]:
        """Return what to create and to update, in the order of the builder.

        Nothing is done while an object is on its way out: others may belong into it, and it would refuse them.
        """
        if any("deletionTimestamp" in live["metadata"] for live in seen.live.values()):
            return []
        actions = (self._action(env, ref, manifest, seen.live.get(ref)) for ref, manifest in seen.desired.items())
        return [action for action in actions if action is not None]

    def _action(self, env: Environment, ref: ObjectRef, desired: Manifest, live: Manifest | None) -> Action | None:
        if live is None:
            write = _Write(desired, force=False, seen={"resourceVersion": NEVER})
            return Action(Verb.CREATE, str(ref), f"create {ref.short}", payload=write)
        uid, version = live["metadata"]["uid"], live["metadata"]["resourceVersion"]
        if not ownership.is_ours(live, env.identity):
            write = _Write(desired, force=False, seen={"uid": uid, "resourceVersion": version})
            return Action(Verb.UPDATE, str(ref), f"adopt {ref.short}", payload=write)
        paths = drift.differences(desired, live, self.field_manager)
        if not paths:
            return None
        rivals = tuple(field_owners.others_on(paths, live, self.field_manager))
        fixed = _FIXED.get(ref.kind)
        # What was adopted is not ours to delete: there the API server's refusal is told.
        if fixed and any(_is_in(fixed, path) for path in paths) and ownership.is_created(live, env.identity):
            write = _Write(desired, force=False, seen={"uid": uid})
            summary = f"replace {ref.short}, as {fixed} can't be changed"
            return Action(Verb.REPLACE, str(ref), summary, payload=write, rivals=rivals)
        on = {"uid": uid} | ({"resourceVersion": version} if self.complete is not None else {})
        write = _Write(desired, force=True, seen=on)
        routine = all(self.routine(path) for path in paths)
        summary = f"set {', '.join(paths)}"
        return Action(Verb.UPDATE, str(ref), summary, routine=routine, payload=write, rivals=rivals)

    async def apply(self, env: Environment, action: Action) -> None:
        """Server-side apply the object of the action; what is ours already is forced.

        What is there by then and was not when we looked, or is another one, is left alone: it is refused.
        """
        write: _Write = action.payload
        ref, seen, manifest = ObjectRef.of(write.manifest), write.seen, write.manifest
        if self.complete is not None:
            manifest = await self.complete(env, manifest)
        if action.verb is Verb.REPLACE:
            await self.cluster.delete(ref, uid=seen["uid"])
            seen = {"resourceVersion": NEVER}
        try:
            await self.cluster.apply(only_on(manifest, seen), force=write.force)
        except ConflictError:
            if write.force:
                raise
            raise _taken(ref) from None

    def judge(self, env: Environment, seen: Seen) -> Outcome:
        """Wait for objects on their way out, let `assess` say the rest, and name what others have beside it."""
        for ref, live in seen.live.items():
            if "deletionTimestamp" in live["metadata"]:
                why = readiness.held_up(live, seen.evidence if ref.kind == "Namespace" else ())
                reason = Reason.NAMESPACE_TERMINATING if ref.kind == "Namespace" else Reason.PROGRESSING
                return Progressing(reason, f"waits until {ref.short} is deleted{why}", POLL)
        outcome = self._assessed(env, seen)
        if isinstance(outcome, Ready) and self.strangers and seen.strangers:
            return replace(outcome, message=outcome.message + self.strangers.told(seen.strangers))
        return outcome

    def _assessed(self, env: Environment, seen: Seen) -> Outcome:
        """Return what `assess` says; without one it is ready once every object is there and in order."""
        if self.assess is not None:
            return self.assess(env, seen)
        waited_for = ""
        for ref in seen.desired:
            live, kind = seen.live.get(ref), self._declared.get((ref.api_version, ref.kind))
            if live is None:
                waited_for = waited_for or f"{ref.short} does not exist yet"
            elif kind is not None and not kind.status_matters:
                continue
            elif why := readiness.stalled(live):
                return Blocked(Reason.STALLED, f"{ref.short}: {why}")
            elif why := readiness.unready(live, kind.ready if kind else ""):
                waited_for = waited_for or f"{ref.short}: {why}"
        if waited_for:
            return Progressing(Reason.PROGRESSING, waited_for, POLL)
        count = len(seen.desired)
        return Ready(
            Reason.SUCCEEDED, "1 object is as specified" if count == 1 else f"{count} objects are as specified"
        )

    def facts(self, env: Environment, seen: Seen) -> Mapping[str, Any]:
        """Return what `tell` says."""
        return self.tell(env, seen)

    async def remove(self, owner: Identity, targets: Iterable[str]) -> Removed:
        """Delete what was created, release what was adopted, and say of what is still there what holds it up.

        An id that names no object is none that we wrote: somebody edited the status. There is nothing to remove.
        """
        refs = [ObjectRef.parse(target) for target in targets if ObjectRef.is_one(target)]
        results = await asyncio.gather(*(self._remove(owner, ref) for ref in refs), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        each = [result for result in results if isinstance(result, Removed)]
        return Removed(
            waiting={target: why for result in each for target, why in result.waiting.items()},
            released=tuple(target for result in each for target in result.released),
            deleted=tuple(target for result in each for target in result.deleted),
        )

    async def _remove(self, owner: Identity, ref: ObjectRef) -> Removed:
        target, live = str(ref), await self.cluster.get(ref)
        if live is None or not ownership.is_ours(live, owner):
            return Removed()
        if owner.orphans or not ownership.is_created(live, owner):
            await release(self.cluster, live, owner, self.field_manager)
            return Removed(released=(target,))
        if self.goes_with_namespace and await self._namespace_goes(ref, owner):
            return Removed()
        begins = "deletionTimestamp" not in live["metadata"]
        if begins:
            await self.cluster.delete(ref, uid=live["metadata"]["uid"], foreground=ref.kind in _OF_PODS)
            live = await self.cluster.get(ref)
        if live is None:
            return Removed(deleted=(target,) if begins else ())
        why = readiness.held_up(live, await self._pods_of(live)).removeprefix(": ")
        return Removed({target: why}, deleted=(target,) if begins else ())

    async def _namespace_goes(self, ref: ObjectRef, owner: Identity) -> bool:
        if not owner.deleting or ref.namespace is None:
            return False
        namespace = await self.cluster.get(ObjectRef("v1", "Namespace", None, ref.namespace))
        return namespace is not None and ownership.is_created(namespace, owner)


async def release(cluster: Cluster, live: Manifest, owner: Identity, manager: str = FIELD_MANAGER) -> None:
    """Give an object back.

    From what was adopted all is taken away that we alone set on it; where it can't be without that, our marks, as from
    what was created and is left behind.
    """
    if not ownership.is_created(live, owner):
        with contextlib.suppress(RejectedError):
            await cluster.apply(field_owners.bare(live), force=False)
            return
    await cluster.apply(ownership.without_marks(field_owners.held(live, manager)), force=False)


def _is_in(field_: str, path: str) -> bool:
    return path == field_ or path.startswith(f"{field_}.")


def _taken(ref: ObjectRef) -> UnavailableError:
    return UnavailableError(
        f"{ref.short} was created or changed by somebody else at the same moment; looking at it again",
        reason=Reason.NAMESPACE_CONFLICT if ref.kind == "Namespace" else Reason.NOT_OWNED,
    )


def _is_foreign(env: Environment, live: Manifest) -> bool:
    """Whether an object is not ours and may not be taken over."""
    adoptable = env.spec.adoption_policy is AdoptionPolicy.IF_UNOWNED and ownership.is_unowned(live)
    return not adoptable and not ownership.is_ours(live, env.identity)


def _refusal(env: Environment, ref: ObjectRef, live: Manifest) -> Blocked:
    taken = ref.kind == "Namespace" and ownership.is_of_another_environment(live, env.identity)
    why = ownership.refusal(
        live,
        env.identity,
        owned="choose another spec.namespace.name" if taken else "remove it there, or choose another name",
        unowned="delete it, or set spec.adoptionPolicy: IfUnowned to take it over",
    )
    return Blocked(Reason.NAMESPACE_CONFLICT if taken else Reason.NOT_OWNED, why)
