"""Marks objects as belonging to an environment, and recognises the marks. Pure.

Nothing that does not carry our mark is ever changed or deleted. The mark is the owner reference with the uid of
the environment; the labels say the same to people and selectors, and count while no other environment owns the
object.
"""

from __future__ import annotations

from biospark_operator.api.v1alpha1.environment import API_VERSION, KIND
from biospark_operator.clients.objects import Manifest
from biospark_operator.engine.component import Environment, Identity

ENVIRONMENT_LABEL = "biospark.ai/environment"
MANAGED_BY_LABEL, MANAGED_BY = "app.kubernetes.io/managed-by", "biospark-operator"
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
    """Return `manifest` with the labels and the owner reference of its environment."""
    metadata = manifest["metadata"]
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": env.name,
        "uid": env.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    all_labels = {**metadata.get("labels", {}), **labels(env, component)}
    return {**manifest, "metadata": {**metadata, "labels": all_labels, "ownerReferences": [owner]}}


def is_ours(live: Manifest, owner: Identity) -> bool:
    """Whether an existing object belongs to the environment."""
    owners = live["metadata"].get("ownerReferences") or ()
    if any(reference["uid"] == owner.uid for reference in owners):
        return True
    found = live["metadata"].get("labels") or {}
    says_so = (found.get(MANAGED_BY_LABEL), found.get(ENVIRONMENT_LABEL)) == (MANAGED_BY, owner.name)
    return says_so and not owners


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
