"""Marks objects as belonging to an environment, and recognises the marks. Pure.

Nothing that does not carry our marks is ever changed or deleted. What is ours was created or adopted:

- *Created*: it has an owner reference with the uid of the environment, and the label `biospark.ai/origin` says so.
  Either is enough, so that the other is put back when somebody takes it away. It is deleted with the environment.
- *Adopted*: labels alone, no owner reference, or garbage collection would delete it. It is never deleted but
  released. Whatever of its marks gets lost, it does not become a created one.

Labels count while nobody else owns the object.
"""

from __future__ import annotations

from biospark_operator.api.v1alpha1.environment import API_VERSION, KIND
from biospark_operator.clients.objects import Manifest
from biospark_operator.engine.component import Environment, Identity

ENVIRONMENT_LABEL = "biospark.ai/environment"
MANAGED_BY_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "biospark-operator"
#: How the object came to the environment: what is deleted with it says `CREATED`.
ORIGIN_LABEL, CREATED, ADOPTED = "biospark.ai/origin", "Created", "Adopted"
#: The label selector of all children of all environments.
CHILDREN = f"{MANAGED_BY_LABEL}={MANAGED_BY}"


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
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": env.name,
        "uid": env.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    all_labels = {**metadata.get("labels", {}), **labels(env, component), ORIGIN_LABEL: CREATED}
    return {**manifest, "metadata": {**metadata, "labels": all_labels, "ownerReferences": [owner]}}


def as_adopted(manifest: Manifest) -> Manifest:
    """Return a marked manifest with the marks of an object that is adopted instead."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "ownerReferences"}
    return {**manifest, "metadata": {**metadata, "labels": {**metadata["labels"], ORIGIN_LABEL: ADOPTED}}}


def is_created(live: Manifest, owner: Identity) -> bool:
    """Whether an existing object was created for the environment, so that it is deleted with it."""
    owners = live["metadata"].get("ownerReferences") or ()
    if any(reference["uid"] == owner.uid for reference in owners):
        return True
    return _says_so(live, owner) and (live["metadata"].get("labels") or {}).get(ORIGIN_LABEL) == CREATED


def is_ours(live: Manifest, owner: Identity) -> bool:
    """Whether an existing object belongs to the environment, created or adopted."""
    return is_created(live, owner) or _says_so(live, owner)


def not_created_here(what: str, way_out: str) -> str:
    """Return the sentence that refuses what exists and carries no mark of an environment, wherever it is."""
    return f"{what} exists and was not created for this environment; {way_out}"


def _says_so(live: Manifest, owner: Identity) -> bool:
    found = live["metadata"].get("labels") or {}
    named = (found.get(MANAGED_BY_LABEL), found.get(ENVIRONMENT_LABEL)) == (MANAGED_BY, owner.name)
    return named and not live["metadata"].get("ownerReferences")


def is_unowned(live: Manifest) -> bool:
    """Whether an existing object carries no mark of an owner, so that it may be adopted if the user says so."""
    found = live["metadata"].get("labels") or {}
    return not live["metadata"].get("ownerReferences") and ENVIRONMENT_LABEL not in found


def owner_of(live: Manifest) -> str | None:
    """Say who owns an object, as in "BioSparkEnvironment dev", or None if it does not say."""
    for reference in live["metadata"].get("ownerReferences") or ():
        return f"{reference['kind']} {reference['name']}"
    found = live["metadata"].get("labels") or {}
    if ENVIRONMENT_LABEL in found:
        return f"{KIND} {found[ENVIRONMENT_LABEL]}"
    return None
