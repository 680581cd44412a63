"""Handovers: one component gives a credential to pods that another one makes, and neither knows the other.

The giver keeps the credential in a store, with a stamp: a note that is new with each new value and tells nothing of it.
The taker writes the stamp on its pods' template, so that they are replaced. From there the giver learns which one all
pods have: what an earlier one opened may be closed. A handover is the pair of these two places, written down here once.

A signing key is handed over without a stamp: pods read the file again and should go on (see `workload.settings`).
"""

from __future__ import annotations

from dataclasses import dataclass

from biospark_operator.clients.kubernetes.objects import Manifest, ObjectRef
from biospark_operator.components.names import API
from biospark_operator.components.secrets.store import CredentialStore, Slot
from biospark_operator.engine.component import Environment
from biospark_operator.objects import readiness
from biospark_operator.objects.component import Cluster


@dataclass(frozen=True, slots=True)
class Uptake:
    """Which stamp all pods have. None while they are being replaced, or have none."""

    has_pods: bool = False
    stamp: str | None = None

    def is_done(self, stamp: str) -> bool:
        """Whether no pod is without the credential of this stamp."""
        return not self.has_pods or self.stamp == stamp


@dataclass(frozen=True, slots=True)
class Handover:
    """A credential by its name in the store, and where its stamp is: as a note there, as an annotation on the pods."""

    credential: str
    note: str
    annotation: str
    #: The Deployment that takes it.
    taker: str = API

    def given(self, slot: Slot) -> str | None:
        """Return the stamp of what is in the store."""
        return slot.held.notes.get(self.note) if slot.held is not None else None

    async def taken(self, store: CredentialStore, env: Environment, deployment: Manifest) -> Manifest:
        """Return the Deployment with pods that take what is in the store now."""
        stamp = self.given(await store.read(env, self.credential))
        return deployment if stamp is None else self.stamped(deployment, stamp)

    def stamped(self, deployment: Manifest, stamp: str) -> Manifest:
        """Return the Deployment with a stamp on its pods. Pure."""
        template = deployment["spec"]["template"]
        metadata = template.get("metadata") or {}
        notes = {**(metadata.get("annotations") or {}), self.annotation: stamp}
        marked = {**template, "metadata": {**metadata, "annotations": notes}}
        return {**deployment, "spec": {**deployment["spec"], "template": marked}}

    async def uptake(self, cluster: Cluster, env: Environment) -> Uptake:
        """Look at the pods."""
        return self.uptake_of(
            await cluster.get(ObjectRef("apps/v1", "Deployment", env.spec.namespace.name, self.taker))
        )

    def uptake_of(self, deployment: Manifest | None) -> Uptake:
        """Return what a Deployment says of its pods. Pure."""
        if deployment is None:
            return Uptake()
        if readiness.unready(deployment) is not None:
            return Uptake(has_pods=True)
        notes = (deployment["spec"]["template"].get("metadata") or {}).get("annotations") or {}
        return Uptake(has_pods=True, stamp=notes.get(self.annotation))

    def is_its_field(self, path: str) -> bool:
        """Whether a field of the Deployment, as drift names it, is one that handing over changes from time to time."""
        return path.startswith("spec.template.metadata.annotations")


#: The login of the API. The annotation is on pods that run, so another name would replace all of them.
DATABASE_LOGIN = Handover("biospark-database", "rotated-at", "biospark.ai/rotated-at")
