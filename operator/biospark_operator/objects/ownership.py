"""Whose something is: the words for it, whatever system it is in, and how Kubernetes objects say it. Pure.

Nothing that does not carry our marks is ever changed or deleted. A mark says the environment by name and uid, and how
the thing came to it (`Origin`); from that follows how it stands to an environment (`Standing`), and with which sentence
it is refused. Each system carries marks in a way of its own: PostgreSQL in comments, Kubernetes in labels and
annotations. An object that is ours was created or adopted:

- *Created*: an annotation has the uid of the environment, and the label `biospark.ai/origin` says so. Either is
  enough, so that the other is put back when somebody takes it away. It is deleted with the environment.
- *Adopted*: labels alone. It is never deleted but released. Whatever of its marks gets lost, it does not become a
  created one.

Neither has an owner reference to the environment, or garbage collection would delete it out of order: at once when the
environment is deleted in the foreground, whether it is suspended or protected. Earlier versions set one: it counts
as the annotation does, until it is taken off.

Labels count while nobody else owns the object. What was created for an environment of the same name that is gone has
another uid: it is taken over only where the annotation `biospark.ai/take-over-from` names that uid.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from biospark_operator.api.v1alpha1.environment import KIND, TAKE_OVER_FROM
from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.engine.component import Environment, Identity

ENVIRONMENT_LABEL = "biospark.ai/environment"
MANAGED_BY_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "biospark-operator"
#: How the object came to the environment, an `Origin`.
ORIGIN_LABEL = "biospark.ai/origin"
#: Annotation of what was created: the uid of its environment.
CREATED_FOR = "biospark.ai/created-for"
#: The label selector of all children of all environments.
CHILDREN = ENVIRONMENT_LABEL


#: Labels that many tools set and read.
_COMMON = frozenset(
    {*(f"app.kubernetes.io/{word}" for word in ("name", "instance", "component", "part-of")), MANAGED_BY_LABEL}
)
_LABELS = _COMMON | {ENVIRONMENT_LABEL, ORIGIN_LABEL}


class Origin(StrEnum):
    """How something came to its environment."""

    CREATED = "Created"
    ADOPTED = "Adopted"
    RELEASED = "Released"
    OFFERED = "Offered"


class Standing(StrEnum):
    """Whose something is."""

    OURS = "Ours"
    UNOWNED = "Unowned"
    #: Nobody's, and this environment may have it.
    OFFERED = "Offered"
    #: Of an environment of the same name, from which this one takes over.
    PREDECESSORS = "Predecessors"
    ANOTHERS = "Anothers"


def standing_of(environment: str, uid: str, origin: Origin, owner: Identity) -> Standing:
    """Say how something stands to `owner` whose mark names this environment. One that offers may leave out the uid."""
    if origin is Origin.OFFERED and uid not in ("", owner.uid):
        return Standing.ANOTHERS
    if origin in (Origin.OFFERED, Origin.RELEASED):
        return Standing.OFFERED if environment == owner.name else Standing.ANOTHERS
    if uid == owner.predecessor and environment == owner.name:
        return Standing.PREDECESSORS
    return Standing.OURS if uid == owner.uid else Standing.ANOTHERS


def belongs_to(what: str, owner: str, way_out: str) -> str:
    """Return the sentence that refuses what belongs to another, wherever it is."""
    return f"{what} exists and belongs to {owner}; {way_out}"


def kept_for(what: str, environment: str, way_out: str) -> str:
    """Return the sentence that refuses what is nobody's, and meant for an environment of another name."""
    return f"{what} exists and is kept for the {KIND} {environment}; {way_out}"


def not_created_here(what: str, way_out: str) -> str:
    """Return the sentence that refuses what exists and carries no mark of an environment, wherever it is."""
    return f"{what} exists and was not created for this environment; {way_out}"


def earlier(what: str, owner: Identity, uid: str) -> str:
    """Return the sentence that refuses what an environment of the same name left, wherever it is."""
    return (
        f"{what} exists and was created for an earlier environment {owner.name} with the uid {uid}; to take over what "
        f"that left, annotate this one with {TAKE_OVER_FROM}: {uid}"
    )


def labels(env: Environment, component: str) -> dict[str, str]:
    """Return the labels that every child carries; `component` is the name of the component it belongs to."""
    return {
        "app.kubernetes.io/name": "biospark",
        "app.kubernetes.io/instance": env.name,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "biospark",
        MANAGED_BY_LABEL: MANAGED_BY,
        ENVIRONMENT_LABEL: env.name,
    }


def marked(manifest: Manifest, env: Environment, component: str) -> Manifest:
    """Return `manifest` with the marks of an object that is created for its environment."""
    metadata = manifest["metadata"]
    all_labels = {**metadata.get("labels", {}), **labels(env, component), ORIGIN_LABEL: Origin.CREATED.value}
    notes = {**metadata.get("annotations", {}), CREATED_FOR: env.uid}
    return {**manifest, "metadata": {**metadata, "labels": all_labels, "annotations": notes}}


def as_adopted(manifest: Manifest) -> Manifest:
    """Return a marked manifest with the marks of an object that is adopted instead.

    They are of our own domain alone: the common labels are by which Helm, Argo CD and others know what is theirs.
    """
    metadata = dict(manifest["metadata"])
    labels_ = {key: value for key, value in metadata["labels"].items() if key not in _COMMON}
    notes = {key: value for key, value in metadata.pop("annotations", {}).items() if key != CREATED_FOR}
    kept = {"annotations": notes} if notes else {}
    return {**manifest, "metadata": {**metadata, **kept, "labels": {**labels_, ORIGIN_LABEL: Origin.ADOPTED.value}}}


def without_marks(manifest: Manifest) -> Manifest:
    """Return a manifest without what `marked` adds: that of an object which belongs to nobody."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "ownerReferences"}
    for key, marks in (("labels", _LABELS), ("annotations", frozenset({CREATED_FOR}))):
        if left := {name: value for name, value in metadata.pop(key, {}).items() if name not in marks}:
            metadata[key] = left
    return {**manifest, "metadata": metadata}


def is_created(live: Manifest, owner: Identity) -> bool:
    """Whether an existing object was created for the environment, so that it is deleted with it."""
    uids = set(_created_for(live))
    if owner.uid in uids or (owner.predecessor in uids and _is_named(live, owner)):
        return True
    return _says_so(live, owner) and (live["metadata"].get("labels") or {}).get(ORIGIN_LABEL) == Origin.CREATED


def is_ours(live: Manifest, owner: Identity) -> bool:
    """Whether an existing object belongs to the environment, created or adopted."""
    return is_created(live, owner) or _says_so(live, owner)


def earlier_uid(live: Manifest, owner: Identity) -> str | None:
    """Return the uid of an environment of the same name that an existing object was created for, if that is another."""
    uid: str | None = (live["metadata"].get("annotations") or {}).get(CREATED_FOR)
    return uid if _is_named(live, owner) and uid not in (owner.uid, owner.predecessor) else None


def is_of_another_environment(live: Manifest, owner: Identity) -> bool:
    """Whether an existing object that is not ours says that another environment owns it."""
    return earlier_uid(live, owner) is None and (owner_of(live) or "").startswith(KIND)


def refusal(live: Manifest, owner: Identity, *, owned: str, unowned: str) -> str:
    """Return the sentence that refuses an existing object that is not ours.

    The way out is `owned` where it says who owns it, and `unowned` where it does not.
    """
    what = ObjectRef.of(live).short
    if uid := earlier_uid(live, owner):
        return earlier(what, owner, uid)
    if holder := owner_of(live):
        return belongs_to(what, holder, owned)
    return not_created_here(what, unowned)


def _is_named(live: Manifest, owner: Identity) -> bool:
    """Whether the label names the environment. No two of one name live at once: of another one nothing is inherited."""
    return bool((live["metadata"].get("labels") or {}).get(ENVIRONMENT_LABEL) == owner.name)


def _says_so(live: Manifest, owner: Identity) -> bool:
    return _is_named(live, owner) and not any(_created_for(live))


def is_unowned(live: Manifest) -> bool:
    """Whether an existing object carries no mark of an owner, so that it may be adopted if the user says so."""
    found = live["metadata"].get("labels") or {}
    return not any(_created_for(live)) and ENVIRONMENT_LABEL not in found


def owner_of(live: Manifest) -> str | None:
    """Say who owns an object, as in "BioSparkEnvironment dev", or None if it does not say."""
    for reference in live["metadata"].get("ownerReferences") or ():
        return f"{reference['kind']} {reference['name']}"
    found = live["metadata"].get("labels") or {}
    if ENVIRONMENT_LABEL in found:
        return f"{KIND} {found[ENVIRONMENT_LABEL]}"
    return next((f"the {KIND} with the uid {uid}" for uid in _created_for(live)), None)


def _created_for(live: Manifest) -> Iterator[str]:
    """Yield the uids of whom an object was created for."""
    metadata = live["metadata"]
    if uid := (metadata.get("annotations") or {}).get(CREATED_FOR):
        yield uid
    for reference in metadata.get("ownerReferences") or ():
        yield reference["uid"]
